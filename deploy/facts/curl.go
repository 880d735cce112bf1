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

// curl holds the flags of curl that are understood. Flags that do not affect the request are parsed and ignored.
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

// Curl sets the request to that of a curl command, given without the word curl.
func (q *Inquiry) Curl(words []string) error {
	isOperator := func(word string) bool { return slices.Contains([]string{"|", "&&", ";", "||", ">"}, word) }
	if i := slices.IndexFunc(words, isOperator); i >= 0 {
		return fmt.Errorf("this is more than one command: leave out everything from %q on", words[i])
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
		return fmt.Errorf("a curl command must have exactly one URL, but this one has %q; put the URL in quotes", urls)
	}
	var err error
	if q.URL, q.Changed, err = ParseURL(urls[0]); err != nil {
		return err
	}
	q.Headers, q.Follow, q.Insecure = http.Header{}, *c.follow, *c.insecure
	if err := c.readHeaders(q); err != nil {
		return err
	}
	if err := c.readBody(q); err != nil {
		return err
	}
	if err := c.readConnection(q); err != nil {
		return err
	}
	switch {
	case *c.method != "":
		q.Method = strings.ToUpper(*c.method)
	case *c.head:
		q.Method = http.MethodHead
	case *c.upload != "":
		q.Method = http.MethodPut
	case q.Body != nil:
		q.Method = http.MethodPost
	default:
		q.Method = http.MethodGet
	}
	return nil
}

func (c *curl) readHeaders(q *Inquiry) error {
	for _, line := range *c.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("the header %q has no colon: -H 'Name: value'", line)
		}
		q.Headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	q.Headers.Del("Accept-Encoding") // so that the response is not compressed
	for name, value := range map[string]string{"User-Agent": *c.agent, "Referer": *c.referrer, "Cookie": *c.cookie} {
		if value != "" {
			q.Headers.Set(name, value)
		}
	}
	if *c.bearer != "" {
		q.Headers.Set("Authorization", "Bearer "+*c.bearer)
	}
	if *c.user != "" && *c.sign == "" {
		q.Headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(*c.user)))
	}
	return nil
}

// readBody sets the body from the data flags, joined as curl joins them.
func (c *curl) readBody(q *Inquiry) error {
	if len(*c.form) > 0 {
		return c.readForm(q)
	}
	if *c.upload != "" {
		content, err := os.ReadFile(*c.upload)
		if err != nil {
			return fmt.Errorf("the file with the request's data cannot be read: %w", err)
		}
		q.Body = content
		return nil
	}
	var parts []string
	kind := "application/x-www-form-urlencoded"
	for _, of := range []struct {
		all    []string
		reads  bool // @FILE stands for the content of a file
		breaks bool // line breaks are kept
	}{{*c.data, true, false}, {*c.raw, false, true}, {*c.binary, true, true}, {*c.json, true, true}} {
		for _, one := range of.all {
			text := one
			if name, ok := strings.CutPrefix(one, "@"); ok && of.reads {
				content, err := os.ReadFile(name) // #nosec G304 -- the user names the file
				if err != nil {
					return fmt.Errorf("the file with the request's data cannot be read: %w", err)
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
		q.URL.RawQuery = strings.TrimPrefix(q.URL.RawQuery+"&"+joined, "&")
		return nil
	}
	q.Body = []byte(joined)
	if q.Headers.Get("Content-Type") == "" {
		q.Headers.Set("Content-Type", kind)
	}
	return nil
}

// readForm sets the body to a form, whose fields may be files (RFC 7578).
func (c *curl) readForm(q *Inquiry) error {
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
			content, err = os.ReadFile(file) // #nosec G304 -- the user names the file
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
	q.Body = body.Bytes()
	q.Headers.Set("Content-Type", w.FormDataContentType())
	return nil
}

// readConnection sets how the request is signed and how the client connects.
func (c *curl) readConnection(q *Inquiry) error {
	if *c.sign != "" {
		// aws:amz:REGION:SERVICE; curl derives a missing REGION or SERVICE from the host
		parts := strings.Split(*c.sign, ":")
		key, secret, ok := strings.Cut(*c.user, ":")
		if !ok {
			return errors.New("--aws-sigv4 needs the key and secret to sign with: add --user KEY:SECRET")
		}
		_, region, _ := locate(q.URL)
		q.Signer = &Signer{Key: key, Secret: secret, Region: region, Service: "execute-api"}
		if len(parts) > 2 && parts[2] != "" {
			q.Signer.Region = parts[2]
		}
		if len(parts) > 3 && parts[3] != "" {
			q.Signer.Service = parts[3]
		}
	}
	for _, one := range *c.resolve {
		host, address, ok := strings.Cut(strings.TrimPrefix(one, "+"), ":")
		port, address, more := strings.Cut(address, ":")
		if !ok || !more || address == "" {
			return fmt.Errorf("--resolve %q must be HOST:PORT:ADDRESS", one)
		}
		if q.Resolve == nil {
			q.Resolve = map[string]string{}
		}
		q.Resolve[net.JoinHostPort(host, port)] = net.JoinHostPort(strings.Trim(address, "[]"), port)
	}
	if *c.authority != "" {
		text, err := os.ReadFile(*c.authority)
		q.Authorities = x509.NewCertPool()
		if err == nil && !q.Authorities.AppendCertsFromPEM(text) {
			err = errors.New("it contains no PEM certificate")
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
	q.Certificate = &pair
	return nil
}

// RegionOf returns the region that a URL names, "" if it names none.
func RegionOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	_, region, _ := locate(u)
	return region
}
