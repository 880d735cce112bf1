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

// maxAnswer is the most bytes read of a response, and the largest response of an HTTP API ("Quotas for HTTP APIs").
const maxAnswer = 10 << 20

// headerNames are the response headers that are kept, besides those of CORS: they show who answered.
var headerNames = []string{"apigw-requestid", "x-amzn-requestid", "x-amz-apigw-id", "x-amz-cf-id", "cf-ray", "server",
	"via", "content-type", "content-length", "www-authenticate", "x-amzn-errortype", "x-cache"}

// send sends the request once. It does not retry, and follows redirects only if the inquiry says so.
func (g *gatherer) send() {
	q := &g.inquiry
	c := &g.c
	c.Sent = "1 " + q.Method
	c.Answer.Call, c.Answer.Of = "request", q.Method+" "+q.URL.Host
	limit := q.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(g.ctx, limit)
	defer cancel()
	client := q.client()
	if !q.Follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL.String(), bytes.NewReader(q.Body))
	if err != nil {
		c.Answer.Value = &doctor.Answer{Failure: mask(err.Error()), Phase: "request"}
		return
	}
	for name, values := range q.Headers {
		r.Header[name] = values
	}
	if host := q.Headers.Get("Host"); host != "" {
		r.Host = host
	}
	if err := q.sign(r); err != nil {
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
	answer, err := client.Do(r) // #nosec G704 -- the user names the URL
	if err != nil {
		c.Answer.Value = unanswered(err, limit)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // keep what arrived before an error
	c.Answer.Value = &doctor.Answer{
		Status:    answer.StatusCode,
		Headers:   keptHeaders(answer.Header),
		Length:    len(body),
		Body:      errorExcerpt(answer.StatusCode, body),
		Millis:    int(time.Since(began).Milliseconds()),
		RequestID: answer.Header.Get("Apigw-Requestid"),
		Private:   private,
		Refusal:   refusalOf(answer.StatusCode, body),
	}
}

// client returns an HTTP client that connects as the inquiry says.
func (q *Inquiry) client() *http.Client {
	settings := &tls.Config{InsecureSkipVerify: q.Insecure, // #nosec G402 -- the user passed -k
		RootCAs: q.Authorities}
	if q.Certificate != nil {
		settings.Certificates = []tls.Certificate{*q.Certificate}
	}
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: settings,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, cmp.Or(q.Resolve[address], address))
		}}}
}

// sign signs a request if the inquiry has a signer.
func (q *Inquiry) sign(r *http.Request) error {
	if q.Signer == nil {
		return nil
	}
	sum := sha256.Sum256(q.Body)
	keys := aws.Credentials{AccessKeyID: q.Signer.Key, SecretAccessKey: q.Signer.Secret}
	return v4.NewSigner().SignHTTP(r.Context(), keys, r, hex.EncodeToString(sum[:]), q.Signer.Service,
		q.Signer.Region, time.Now())
}

// DefaultTimeout is how long to wait for a response. API Gateway answers 503 after 30 s.
const DefaultTimeout = 35 * time.Second

// unanswered describes a request without a response: why there is none, and the phase in which the request failed.
func unanswered(err error, limit time.Duration) *doctor.Answer {
	a := &doctor.Answer{Phase: "connect"}
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		a.Phase, a.Failure = "name", "no such host"
	case errors.As(err, &certificate):
		a.Phase, a.Failure = "tls", certificate.Err.Error()
	case errors.Is(err, http.ErrSchemeMismatch):
		a.Phase, a.Failure = "tls", "the server does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded):
		a.Phase, a.Failure = "timeout", "no answer within "+limit.String()
	default:
		for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
			err = inner // the outer errors contain the URL
		}
		a.Failure = err.Error()
	}
	return a
}

// keptHeaders returns the response headers to keep, by their names in lower case.
func keptHeaders(header http.Header) map[string]string {
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

// maxShown is the most bytes kept of an error.
const maxShown = 300

// errorExcerpt returns the masked beginning of the body of an error response, "" for a success.
func errorExcerpt(status int, body []byte) string {
	if status < 400 {
		return ""
	}
	var compact bytes.Buffer
	text := string(body)
	if json.Compact(&compact, body) == nil {
		text = compact.String()
	}
	return truncate(mask(text))
}

// refusalOf returns AWS's access-denied sentence from the body of an app's error, "" if it has none.
func refusalOf(status int, body []byte) string {
	if status < 500 {
		return ""
	}
	return truncateTo(mask(doctor.Refusal(string(body))), maxLine)
}

// maxLine is the most bytes kept of an error message or a log line. AWS's access-denied sentences have up to 600.
const maxLine = 1000

// truncate shortens a text to maxShown bytes.
func truncate(text string) string { return truncateTo(text, maxShown) }

// truncateTo shortens a text to at most most bytes.
func truncateTo(text string, most int) string {
	if text = strings.TrimSpace(text); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// emailPattern is the index in secretPatterns of the pattern for email addresses.
const emailPattern = 3

// secretPatterns match what must not be shared: tokens, keys, email addresses, signatures.
var secretPatterns = []*regexp.Regexp{
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

// arnPattern matches ARNs. They are never masked, although their parts may be as long as keys.
var arnPattern = regexp.MustCompile(`arn:aws[a-z-]*:[^\s"']+`)

// mask replaces what must not be shared in a text.
func mask(text string) string {
	var out strings.Builder
	hide := func(part string) {
		for _, secret := range secretPatterns {
			part = secret.ReplaceAllString(part, masked)
		}
		out.WriteString(part)
	}
	end := 0
	for _, at := range arnPattern.FindAllStringIndex(text, -1) {
		hide(text[end:at[0]])
		out.WriteString(text[at[0]:at[1]])
		end = at[1]
	}
	hide(text[end:])
	return out.String()
}

// masked replaces each secret in a text.
const masked = "[masked]"
