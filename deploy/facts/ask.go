package facts

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// Ask is what somebody wants to be explained: a request, or a whole API.
type Ask struct {
	Method  string   // "" where there is no request
	URL     *url.URL // nil where there is no request
	Headers http.Header
	Body    []byte
	Follow  bool // redirects
	// Insecure is set for a server whose certificate is not checked, as by curl -k.
	Insecure bool
	// Signer signs the request, as curl --aws-sigv4; nil for a request that is sent as it is.
	Signer      *Signer
	Resolve     map[string]string // addresses to connect to instead, by HOST:PORT
	Authorities *x509.CertPool    // that the server's certificate is checked with; nil for those of the system
	Certificate *tls.Certificate  // the client's own; nil for none
	Changed     Changes           // of the URL as it was pasted

	API, Region  string // "" for those of the URL
	Stage, Route string // "" for the URL's, or all
	NoSend       bool
	NoInvoke     bool
	Invoke       bool // also for a method that may change something
	Changes      bool // also read what was changed in the last day
	Timeout      time.Duration
	Program      string // how this program was run
	// Progress is told each call as it is made, by one goroutine at a time; nil for nobody.
	Progress func(command string)
}

// Signer signs a request with a key of AWS ("AWS Signature Version 4 for API requests").
type Signer struct{ Key, Secret, Region, Service string }

// Check tells of what contradicts itself.
func (a Ask) Check() error {
	if a.Timeout < 0 {
		return fmt.Errorf("--timeout must be positive, is %s", a.Timeout)
	}
	if a.URL == nil {
		return nil
	}
	api, region, _ := locate(a.URL)
	switch {
	case api != "" && a.API != "" && api != a.API:
		return fmt.Errorf("the URL is of API %s, and --api says %s: leave one out", api, a.API)
	case region != "" && a.Region != "" && region != a.Region:
		return fmt.Errorf("the URL is of the region %s, and --region says %s: leave one out", region, a.Region)
	}
	return nil
}

// ErrURL is a URL that cannot be asked.
var ErrURL = errors.New("this is no URL of an HTTP API")

// Changes are what was changed of a URL as it was pasted: the characters that were taken away, and what was put before
// it.
type Changes struct{ Removed, Added string }

// ParseURL reads a URL as people paste it: with quotes, spaces or the <> of a placeholder around it, which it takes
// away and tells.
func ParseURL(pasted string) (u *url.URL, changed Changes, err error) {
	text := strings.TrimSpace(pasted)
	text = strings.Trim(text, "\"'`“”‘’")
	text = strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	if inner := strings.NewReplacer("<", "", ">", "", " ", "").Replace(text); inner != text {
		text = inner
	}
	if text != pasted {
		changed.Removed = removed(strings.TrimSpace(pasted), text)
	}
	if !strings.Contains(text, "://") && strings.Contains(text, ".") {
		changed.Added = "https://"
		text = changed.Added + text
	}
	u, err = url.Parse(text)
	switch {
	case err != nil:
		return nil, Changes{}, fmt.Errorf("%w: %q cannot be read", ErrURL, pasted)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, Changes{}, fmt.Errorf("%w: %q; it must begin with https://", ErrURL, pasted)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, changed, nil
}

// removed are the characters of a text that are not in what was left of it.
func removed(before, after string) string {
	var out strings.Builder
	rest := after
	for _, c := range before {
		if strings.HasPrefix(rest, string(c)) {
			rest = rest[len(string(c)):]
			continue
		}
		out.WriteRune(c)
	}
	return out.String()
}

// endpoint is the host of an HTTP API's own endpoint.
var endpoint = regexp.MustCompile(
	`^([a-z0-9]+)(?:-vpce-[a-z0-9]+)?\.execute-api\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)\.?$`,
)

// sandboxPath is the path under which a sandbox serves APIs.
const sandboxPath = "/_aws/execute-api/"

// domainPath is the path under which a sandbox serves custom domains.
const domainPath = "/_aws/domains/"

// domainOf is the name that may be a custom domain, and the path under it.
func domainOf(u *url.URL) (name, path string) {
	if rest, ok := strings.CutPrefix(u.EscapedPath(), domainPath); ok {
		name, path, _ := strings.Cut(rest, "/")
		return name, "/" + path
	}
	return u.Hostname(), u.EscapedPath()
}

// locate tells which API a URL is of, and its path with the stage. The API is "" where the URL does not tell.
func locate(u *url.URL) (api, region, path string) {
	if m := endpoint.FindStringSubmatch(strings.ToLower(u.Hostname())); m != nil {
		return m[1], m[2], u.EscapedPath()
	}
	if rest, ok := strings.CutPrefix(u.EscapedPath(), sandboxPath); ok {
		id, path, _ := strings.Cut(rest, "/")
		return id, "", "/" + path
	}
	return "", "", u.EscapedPath()
}

// credentialScope is what a signature is for: the region and the service ("AWS Signature Version 4 for API requests").
var credentialScope = regexp.MustCompile(`^AWS4-HMAC-SHA256 .*Credential=[^/]+/\d{8}/([^/]+/[^/]+)/aws4_request`)

// signedFor is the region and the service that the signature of a header is for; "" for a header without one.
func signedFor(header string) string {
	if m := credentialScope.FindStringSubmatch(header); m != nil {
		return m[1]
	}
	return ""
}

// asked is what can be shared of a request: without user, query and values.
func (a Ask) asked() doctor.Asked {
	out := doctor.Asked{Method: a.Method, API: a.API, Region: a.Region, Stage: a.Stage, Route: a.Route,
		NoSend: a.NoSend, NoInvoke: a.NoInvoke, Removed: a.Changed.Removed, Added: a.Changed.Added}
	if a.URL == nil {
		return out
	}
	api, region, path := locate(a.URL)
	if out.API == "" {
		out.API = api
	}
	if region != "" {
		out.Region = region
	}
	out.Host, out.Path = a.URL.Host, path
	for _, name := range strings.Split(a.Headers.Get("Access-Control-Request-Headers"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			out.Wanted = append(out.Wanted, name)
		}
	}
	for name := range a.Headers {
		out.Headers = append(out.Headers, strings.ToLower(name))
	}
	out.Signed = signedFor(a.Headers.Get("Authorization"))
	if s := a.Signer; s != nil {
		out.Headers, out.Signed = append(out.Headers, "authorization"), s.Region+"/"+s.Service
	}
	if kind := a.Headers.Get("Content-Type"); len(a.Body) > 0 && !isText(kind) {
		out.Encoded = cmp.Or(kind, "-")
	}
	out.HasCertificate, out.Length = a.Certificate != nil, len(a.Body)
	if host := a.Headers.Get("Host"); host != "" && !strings.EqualFold(host, a.URL.Host) {
		out.OtherHost = host
	}
	out.Origin = a.Headers.Get("Origin")
	if a.Method == http.MethodOptions {
		out.Preflight = a.Headers.Get("Access-Control-Request-Method")
	}
	return out
}
