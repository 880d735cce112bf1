package facts

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// curl are the flags of curl that are understood, and those that make no difference to the request.
type curl struct {
	*pflag.FlagSet
	method, user, cookie, agent, referrer, target *string
	data, raw, binary, encoded, json, form        *[]string
	headers                                       *[]string
	get, head, follow, insecure                   *bool
}

func newCurl() *curl {
	set := pflag.NewFlagSet("curl", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	c := &curl{FlagSet: set,
		method: set.StringP("request", "X", "", ""), user: set.StringP("user", "u", "", ""),
		cookie: set.StringP("cookie", "b", "", ""), agent: set.StringP("user-agent", "A", "", ""),
		referrer: set.StringP("referer", "e", "", ""), target: set.String("url", "", ""),
		data: set.StringArrayP("data", "d", nil, ""), raw: set.StringArray("data-raw", nil, ""),
		binary: set.StringArray("data-binary", nil, ""), encoded: set.StringArray("data-urlencode", nil, ""),
		json: set.StringArray("json", nil, ""), form: set.StringArrayP("form", "F", nil, ""),
		headers: set.StringArrayP("header", "H", nil, ""), get: set.BoolP("get", "G", false, ""),
		head: set.BoolP("head", "I", false, ""), follow: set.BoolP("location", "L", false, ""),
		insecure: set.BoolP("insecure", "k", false, ""),
	}
	for _, ignored := range []struct{ name, short string }{
		{"include", "i"}, {"verbose", "v"}, {"silent", "s"}, {"show-error", "S"}, {"fail", "f"}, {"compressed", ""},
		{"http1.1", ""}, {"http2", ""}, {"globoff", "g"}, {"no-progress-meter", ""},
	} {
		set.BoolP(ignored.name, ignored.short, false, "")
	}
	for _, ignored := range []struct{ name, short string }{
		{"output", "o"}, {"write-out", "w"}, {"max-time", "m"}, {"connect-timeout", ""}, {"retry", ""},
	} {
		set.StringP(ignored.name, ignored.short, "", "")
	}
	return c
}

// Curl reads a request that is written as a curl command, without the word curl.
func (a *Ask) Curl(words []string) error {
	between := func(word string) bool { return slices.Contains([]string{"|", "&&", ";", "||", ">"}, word) }
	if i := slices.IndexFunc(words, between); i >= 0 {
		return fmt.Errorf("this is more than one command: leave out what begins with %q", words[i])
	}
	c := newCurl()
	if err := c.Parse(words); err != nil {
		return fmt.Errorf("this curl command cannot be sent: %w", err)
	}
	urls := c.Args()
	if *c.target != "" {
		urls = append(urls, *c.target)
	}
	if len(urls) != 1 {
		return fmt.Errorf("a curl command must have one URL, and has %q; put the URL in quotes", urls)
	}
	var err error
	if a.URL, a.Changed, err = ParseURL(urls[0]); err != nil {
		return err
	}
	a.Headers, a.Follow, a.Insecure = http.Header{}, *c.follow, *c.insecure
	if err := c.readHeaders(a); err != nil {
		return err
	}
	if err := c.readBody(a); err != nil {
		return err
	}
	switch {
	case *c.method != "":
		a.Method = strings.ToUpper(*c.method)
	case *c.head:
		a.Method = http.MethodHead
	case a.Body != nil:
		a.Method = http.MethodPost
	default:
		a.Method = http.MethodGet
	}
	return nil
}

func (c *curl) readHeaders(a *Ask) error {
	for _, line := range *c.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("the header %q has no colon: -H 'Name: value'", line)
		}
		a.Headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for name, value := range map[string]string{"User-Agent": *c.agent, "Referer": *c.referrer, "Cookie": *c.cookie} {
		if value != "" {
			a.Headers.Set(name, value)
		}
	}
	if *c.user != "" {
		a.Headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(*c.user)))
	}
	return nil
}

// readBody reads what is to be sent: the data, joined as curl does.
func (c *curl) readBody(a *Ask) error {
	if len(*c.form) > 0 {
		return errors.New(
			"a form with -F is not sent: write its body with --data-binary and its Content-Type with -H",
		)
	}
	var parts []string
	kind := "application/x-www-form-urlencoded"
	for _, of := range []struct {
		all    []string
		reads  bool // @FILE
		breaks bool // line breaks stay
	}{{*c.data, true, false}, {*c.raw, false, true}, {*c.binary, true, true}, {*c.json, true, true}} {
		for _, one := range of.all {
			text := one
			if name, ok := strings.CutPrefix(one, "@"); ok && of.reads {
				content, err := os.ReadFile(name) // #nosec G304 -- that the user names
				if err != nil {
					return fmt.Errorf("the file of the request's data cannot be read: %w", err)
				}
				text = string(content)
			}
			if !of.breaks {
				text = strings.NewReplacer("\r", "", "\n", "").Replace(text)
			}
			parts = append(parts, text)
		}
	}
	for _, one := range *c.encoded {
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			name, value = "", one
		}
		if name != "" {
			name += "="
		}
		parts = append(parts, name+url.QueryEscape(value))
	}
	if parts == nil {
		return nil
	}
	if len(*c.json) > 0 {
		kind = "application/json"
	}
	joined := strings.Join(parts, "&")
	if *c.get {
		a.URL.RawQuery = strings.TrimPrefix(a.URL.RawQuery+"&"+joined, "&")
		return nil
	}
	a.Body = []byte(joined)
	if a.Headers.Get("Content-Type") == "" {
		a.Headers.Set("Content-Type", kind)
	}
	return nil
}

// RegionOf is the region that a URL tells; "" for none.
func RegionOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	_, region, _ := locate(u)
	return region
}
