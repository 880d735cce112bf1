package facts

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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
	sign, cert, key, authority, bearer, upload    *string
	resolve                                       *[]string
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
		insecure: set.BoolP("insecure", "k", false, ""), sign: set.String("aws-sigv4", "", ""),
		cert: set.StringP("cert", "E", "", ""), key: set.String("key", "", ""),
		authority: set.String("cacert", "", ""), bearer: set.String("oauth2-bearer", "", ""),
		upload: set.StringP("upload-file", "T", "", ""), resolve: set.StringArray("resolve", nil, ""),
	}
	for _, ignored := range []struct{ name, short string }{
		{"include", "i"}, {"verbose", "v"}, {"silent", "s"}, {"show-error", "S"}, {"fail", "f"}, {"compressed", ""},
		{"http1.1", ""}, {"http2", ""}, {"globoff", "g"}, {"no-progress-meter", ""}, {"fail-with-body", ""},
		{"no-buffer", "N"}, {"progress-bar", "#"}, {"ipv4", "4"},
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
	if err := c.readConnection(a); err != nil {
		return err
	}
	switch {
	case *c.method != "":
		a.Method = strings.ToUpper(*c.method)
	case *c.head:
		a.Method = http.MethodHead
	case *c.upload != "":
		a.Method = http.MethodPut
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
	a.Headers.Del("Accept-Encoding") // so that the answer can be read
	for name, value := range map[string]string{"User-Agent": *c.agent, "Referer": *c.referrer, "Cookie": *c.cookie} {
		if value != "" {
			a.Headers.Set(name, value)
		}
	}
	if *c.bearer != "" {
		a.Headers.Set("Authorization", "Bearer "+*c.bearer)
	}
	if *c.user != "" && *c.sign == "" {
		a.Headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(*c.user)))
	}
	return nil
}

// readBody reads what is to be sent: the data, joined as curl does.
func (c *curl) readBody(a *Ask) error {
	if len(*c.form) > 0 {
		return c.readForm(a)
	}
	if *c.upload != "" {
		content, err := os.ReadFile(*c.upload)
		if err != nil {
			return fmt.Errorf("the file of the request's data cannot be read: %w", err)
		}
		a.Body = content
		return nil
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

// readForm reads a form, whose fields may be files (RFC 7578).
func (c *curl) readForm(a *Ask) error {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, field := range *c.form {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return fmt.Errorf("the field %q of the form has no value: -F name=value", field)
		}
		value, _, _ = strings.Cut(value, ";type=")
		into, err := w.CreateFormField(name)
		if file, ok := strings.CutPrefix(value, "@"); ok && err == nil {
			into, err = w.CreateFormFile(name, filepath.Base(file))
		}
		if file := strings.TrimLeft(value, "@<"); err == nil && file != value {
			var content []byte
			content, err = os.ReadFile(file) // #nosec G304 -- that the user names
			value = string(content)
		}
		if err == nil {
			_, err = io.WriteString(into, value)
		}
		if err != nil {
			return fmt.Errorf("the form cannot be sent: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	a.Body = body.Bytes()
	a.Headers.Set("Content-Type", w.FormDataContentType())
	return nil
}

// readConnection reads how the request is signed, and how the connection is made.
func (c *curl) readConnection(a *Ask) error {
	if *c.sign != "" {
		parts := strings.Split(*c.sign, ":") // aws:amz:REGION:SERVICE, of which curl guesses the last two
		key, secret, ok := strings.Cut(*c.user, ":")
		if !ok {
			return errors.New("--aws-sigv4 signs with the key and the secret of --user KEY:SECRET, which is missing")
		}
		_, region, _ := locate(a.URL)
		a.Signer = &Signer{Key: key, Secret: secret, Region: region, Service: "execute-api"}
		if len(parts) > 2 && parts[2] != "" {
			a.Signer.Region = parts[2]
		}
		if len(parts) > 3 && parts[3] != "" {
			a.Signer.Service = parts[3]
		}
	}
	for _, one := range *c.resolve {
		host, address, ok := strings.Cut(strings.TrimPrefix(one, "+"), ":")
		port, address, more := strings.Cut(address, ":")
		if !ok || !more || address == "" {
			return fmt.Errorf("--resolve %q must be HOST:PORT:ADDRESS", one)
		}
		if a.Resolve == nil {
			a.Resolve = map[string]string{}
		}
		a.Resolve[net.JoinHostPort(host, port)] = net.JoinHostPort(strings.Trim(address, "[]"), port)
	}
	if *c.authority != "" {
		text, err := os.ReadFile(*c.authority)
		a.Authorities = x509.NewCertPool()
		if err == nil && !a.Authorities.AppendCertsFromPEM(text) {
			err = errors.New("it has no certificate in PEM")
		}
		if err != nil {
			return fmt.Errorf("--cacert %s cannot be read: %w", *c.authority, err)
		}
	}
	if *c.cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(*c.cert, cmp.Or(*c.key, *c.cert))
	if err != nil {
		return fmt.Errorf("--cert %s and its --key must be PEM files without a password: %w", *c.cert, err)
	}
	a.Certificate = &pair
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
