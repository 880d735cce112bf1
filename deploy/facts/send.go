package facts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"example.com/portable-notes/deploy/doctor"
)

// maxAnswer is the most bytes of an answer that are read: what an HTTP API may answer ("Quotas for HTTP APIs").
const maxAnswer = 10 << 20

// headerNames are the headers of an answer that are kept: who answered, and what a browser is told.
var headerNames = []string{"apigw-requestid", "x-amzn-requestid", "x-amz-apigw-id", "x-amz-cf-id", "cf-ray", "server",
	"via", "content-type", "content-length", "www-authenticate", "x-amzn-errortype", "x-cache"}

// send sends the request once, without a retry and without following a redirect unless it is to.
func (g *gatherer) send() {
	a := &g.ask
	c := &g.c
	c.Sent = "1 " + a.Method
	c.Answer.Call, c.Answer.Of = "request", a.Method+" "+a.URL.Host
	limit := a.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(g.ctx, limit)
	defer cancel()
	client := a.client()
	if !a.Follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	r, err := http.NewRequestWithContext(ctx, a.Method, a.URL.String(), bytes.NewReader(a.Body))
	if err != nil {
		c.Answer.Value = &doctor.Answer{Failure: mask(err.Error()), Phase: "request"}
		return
	}
	for name, values := range a.Headers {
		r.Header[name] = values
	}
	if host := a.Headers.Get("Host"); host != "" {
		r.Host = host
	}
	if err := a.sign(r); err != nil {
		c.Answer.Value = &doctor.Answer{Failure: mask(err.Error()), Phase: "request"}
		return
	}
	private := false
	if proxy, err := http.ProxyFromEnvironment(r); proxy == nil && err == nil {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) {
				address, ok := c.Conn.RemoteAddr().(*net.TCPAddr)
				private = ok && address.IP.IsPrivate()
			}}))
	}
	began := time.Now()
	g.sent = began
	answer, err := client.Do(r) // #nosec G704 -- where the user says
	if err != nil {
		c.Answer.Value = noAnswer(err, limit)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what there is of it
	c.Answer.Value = &doctor.Answer{Status: answer.StatusCode, Headers: kept(answer.Header), Length: len(body),
		Body: shown(answer.StatusCode, body), Millis: int(time.Since(began).Milliseconds()),
		RequestID: answer.Header.Get(
			"Apigw-Requestid",
		), Private: private, Refusal: refusalOf(answer.StatusCode, body)}
}

// client is an HTTP client that connects as the request says.
func (a *Ask) client() *http.Client {
	settings := &tls.Config{InsecureSkipVerify: a.Insecure, // #nosec G402 -- as curl -k, where the user says
		RootCAs: a.Authorities}
	if a.Certificate != nil {
		settings.Certificates = []tls.Certificate{*a.Certificate}
	}
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: settings,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, cmp.Or(a.Resolve[address], address))
		}}}
}

// sign signs a request, where it is to be.
func (a *Ask) sign(r *http.Request) error {
	if a.Signer == nil {
		return nil
	}
	sum := sha256.Sum256(a.Body)
	keys := aws.Credentials{AccessKeyID: a.Signer.Key, SecretAccessKey: a.Signer.Secret}
	return v4.NewSigner().SignHTTP(r.Context(), keys, r, hex.EncodeToString(sum[:]), a.Signer.Service,
		a.Signer.Region, time.Now())
}

// DefaultTimeout is how long an answer is awaited: API Gateway's own 503 comes after 30 s.
const DefaultTimeout = 35 * time.Second

// noAnswer tells why there is no answer, and how far the request came.
func noAnswer(err error, limit time.Duration) *doctor.Answer {
	a := &doctor.Answer{Phase: "connect"}
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		a.Phase, a.Failure = "name", "no such host"
	case errors.As(err, &certificate):
		a.Phase, a.Failure = "tls", certificate.Err.Error()
	case errors.Is(err, http.ErrSchemeMismatch):
		a.Phase, a.Failure = "tls", "it does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded):
		a.Phase, a.Failure = "timeout", "no answer within "+limit.String()
	default:
		for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
			err = inner // the outer ones tell the URL
		}
		a.Failure = err.Error()
	}
	return a
}

func kept(header http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range headerNames {
		if value := header.Get(name); value != "" {
			out[name] = mask(value)
		}
	}
	for name := range header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "access-control-") {
			out[lower] = strings.Join(header.Values(name), ", ")
		}
	}
	return out
}

// maxShown is the most bytes of an error that are kept.
const maxShown = 300

// shown is what may be shown of a body: one of API Gateway's own, or an error of an app.
func shown(status int, body []byte) string {
	if status < 400 {
		return ""
	}
	var compact bytes.Buffer
	text := string(body)
	if json.Compact(&compact, body) == nil {
		text = compact.String()
	}
	return cut(mask(text))
}

// refusalOf is what AWS says in the error of an app, where somebody may not do something.
func refusalOf(status int, body []byte) string {
	if status < 500 {
		return ""
	}
	return cutAt(mask(doctor.Refusal(string(body))), maxLine)
}

// maxLine is the most bytes of an error or a line of a log that are kept. AWS's refusals have up to 600.
const maxLine = 1000

func cut(text string) string { return cutAt(text, maxShown) }

func cutAt(text string, most int) string {
	if text = strings.TrimSpace(text); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// emails is the index of the addresses of people in secrets.
const emails = 3

// secrets are what a text may hold that must not be shared: tokens, keys, addresses of people, signatures.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?`),
	regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}`),
	regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{12,}\b`),
	regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`),
	regexp.MustCompile(`\b[a-z][a-z0-9+.-]*://[^\s/:@"']*:[^\s/@"']+@[^\s"']*`),
	regexp.MustCompile(`\b([spr]k_(live|test)_\w+|xox[a-z]-[\w-]+|https://hooks\.slack\.com/\S+)`),
	regexp.MustCompile(
		`(?i)(password|passwd|pwd|secret|token|api[_-]?key|signature|credential)["']?\s*[:=]\s*["']?[^\s"',;&}]+`,
	),
	regexp.MustCompile(`\b[A-Za-z0-9+_-]{40,}={0,2}`),
}

// arns are what stays as it is in a text: ARNs, whose parts may be as long as keys.
var arns = regexp.MustCompile(`arn:aws[a-z-]*:[^\s"']+`)

// mask takes out of a text what must not be shared.
func mask(text string) string {
	var out strings.Builder
	hide := func(part string) {
		for _, secret := range secrets {
			part = secret.ReplaceAllString(part, masked)
		}
		out.WriteString(part)
	}
	end := 0
	for _, at := range arns.FindAllStringIndex(text, -1) {
		hide(text[end:at[0]])
		out.WriteString(text[at[0]:at[1]])
		end = at[1]
	}
	hide(text[end:])
	return out.String()
}

// masked stands for what was taken out of a text.
const masked = "[masked]"
