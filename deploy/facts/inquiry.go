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

// Inquiry is what the user wants explained: one request, or a whole API.
type Inquiry struct {
	Method   string   // "" if there is no request
	URL      *url.URL // nil if there is no request
	Headers  http.Header
	Body     []byte
	Follow   bool // follow redirects
	Insecure bool // do not verify the server's certificate, as curl -k
	// Signer signs the request, as curl --aws-sigv4 does. If nil, the request is sent unsigned.
	Signer *Signer
	// Resolve maps HOST:PORT to the address to connect to instead, as curl --resolve.
	Resolve     map[string]string
	Authorities *x509.CertPool   // verify the server's certificate; nil for the system's
	Certificate *tls.Certificate // the client certificate; nil for none
	Changed     Changes          // corrections to the URL as it was pasted

	API, Region  string // "" for those of the URL
	Stage, Route string // "" for those of the URL, or all
	NoSend       bool   // do not send the request
	NoInvoke     bool   // do not invoke the function
	Invoke       bool   // invoke the function even for a method that may change data
	Changes      bool   // also read the changes of the last day
	Timeout      time.Duration
	Program      string // the command that ran this program
	// Progress is called with each AWS call as it is made, never concurrently. It may be nil.
	Progress func(command string)
}

// Signer signs a request with an AWS access key ("AWS Signature Version 4 for API requests").
type Signer struct{ Key, Secret, Region, Service string }

// Check returns an error if the inquiry contradicts itself.
func (q Inquiry) Check() error {
	if q.Timeout < 0 {
		return fmt.Errorf("--timeout must be positive, not %s", q.Timeout)
	}
	if q.URL == nil {
		return nil
	}
	api, region, _ := locate(q.URL)
	switch {
	case api != "" && q.API != "" && api != q.API:
		return fmt.Errorf("the URL is that of API %s, but --api is %s: leave one out", api, q.API)
	case region != "" && q.Region != "" && region != q.Region:
		return fmt.Errorf("the URL is in region %s, but --region is %s: leave one out", region, q.Region)
	}
	return nil
}

// ErrURL reports a URL that cannot be that of an HTTP API.
var ErrURL = errors.New("this is not the URL of an HTTP API")

// Changes are the corrections to a pasted URL: the characters removed from it, and the text added in front of it.
type Changes struct{ Removed, Added string }

// ParseURL parses a URL as people paste it. It removes quotes, spaces and the <> of a placeholder, adds a missing
// https://, and returns what it changed.
func ParseURL(pasted string) (u *url.URL, changed Changes, err error) {
	text := strings.TrimSpace(pasted)
	text = strings.Trim(text, "\"'`“”‘’")
	text = strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	if inner := strings.NewReplacer("<", "", ">", "", " ", "").Replace(text); inner != text {
		text = inner
	}
	if text != pasted {
		changed.Removed = removedCharacters(strings.TrimSpace(pasted), text)
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

// removedCharacters returns the characters of before that were removed to make after.
func removedCharacters(before, after string) string {
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

// endpointPattern matches the host of an HTTP API's default endpoint.
var endpointPattern = regexp.MustCompile(
	`^([a-z0-9]+)(?:-vpce-[a-z0-9]+)?\.execute-api\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)\.?$`,
)

// sandboxPath is the path under which a sandbox serves APIs.
const sandboxPath = "/_aws/execute-api/"

// domainPath is the path under which a sandbox serves custom domains.
const domainPath = "/_aws/domains/"

// splitDomain returns the host of a URL, which may be a custom domain, and the path under it.
func splitDomain(u *url.URL) (name, path string) {
	if rest, ok := strings.CutPrefix(u.EscapedPath(), domainPath); ok {
		name, path, _ := strings.Cut(rest, "/")
		return name, "/" + path
	}
	return u.Hostname(), u.EscapedPath()
}

// locate returns the API and region that a URL names, each "" if it names none, and the path with the stage.
func locate(u *url.URL) (api, region, path string) {
	if m := endpointPattern.FindStringSubmatch(strings.ToLower(u.Hostname())); m != nil {
		return m[1], m[2], u.EscapedPath()
	}
	if rest, ok := strings.CutPrefix(u.EscapedPath(), sandboxPath); ok {
		id, path, _ := strings.Cut(rest, "/")
		return id, "", "/" + path
	}
	return "", "", u.EscapedPath()
}

// credentialScope matches the region and service of a signature ("AWS Signature Version 4 for API requests").
var credentialScope = regexp.MustCompile(`^AWS4-HMAC-SHA256 .*Credential=[^/]+/\d{8}/([^/]+/[^/]+)/aws4_request`)

// signatureScope returns the REGION/SERVICE of the signature in an Authorization header, "" if it has none.
func signatureScope(header string) string {
	if m := credentialScope.FindStringSubmatch(header); m != nil {
		return m[1]
	}
	return ""
}

// shareable returns the parts of the inquiry that may be shared: no user, query or values.
func (q Inquiry) shareable() doctor.Asked {
	out := doctor.Asked{Method: q.Method, API: q.API, Region: q.Region, Stage: q.Stage, Route: q.Route,
		NoSend: q.NoSend, NoInvoke: q.NoInvoke, Removed: q.Changed.Removed, Added: q.Changed.Added}
	if q.URL == nil {
		return out
	}
	api, region, path := locate(q.URL)
	if out.API == "" {
		out.API = api
	}
	if region != "" {
		out.Region = region
	}
	out.Host, out.Path = q.URL.Host, path
	for _, name := range strings.Split(q.Headers.Get("Access-Control-Request-Headers"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			out.Wanted = append(out.Wanted, name)
		}
	}
	for name := range q.Headers {
		out.Headers = append(out.Headers, strings.ToLower(name))
	}
	out.Signed = signatureScope(q.Headers.Get("Authorization"))
	if s := q.Signer; s != nil {
		out.Headers, out.Signed = append(out.Headers, "authorization"), s.Region+"/"+s.Service
	}
	if kind := q.Headers.Get("Content-Type"); len(q.Body) > 0 && !isText(kind) {
		out.Encoded = cmp.Or(kind, "-")
	}
	out.HasCertificate, out.Length = q.Certificate != nil, len(q.Body)
	if host := q.Headers.Get("Host"); host != "" && !strings.EqualFold(host, q.URL.Host) {
		out.OtherHost = host
	}
	out.Origin = q.Headers.Get("Origin")
	if q.Method == http.MethodOptions {
		out.Preflight = q.Headers.Get("Access-Control-Request-Method")
	}
	return out
}
