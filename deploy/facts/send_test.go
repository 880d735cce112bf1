package facts

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// TestUnreachable: if there is no response, the facts show why.
func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	untrusted := httptest.NewTLSServer(nil)
	t.Cleanup(untrusted.Close)
	for _, c := range []struct{ name, url, phase string }{
		{"nobody listens", closed.URL, "connect"}, {"no such host", "http://nosuch.invalid", "name"},
		{"an untrusted certificate", untrusted.URL, "tls"}, {"slow", slow.URL, "timeout"},
		{"no TLS", strings.Replace(slow.URL, "http:", "https:", 1), "tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := url.Parse(c.url + "/secret")
			if err != nil {
				t.Fatal(err)
			}
			limit := 10 * time.Second
			if c.name == "slow" {
				limit = 50 * time.Millisecond
			}
			got := Gather(t.Context(), served(t, nil), Inquiry{Method: "GET", URL: u, Timeout: limit}).Answer.Or()
			if got.Phase != c.phase || got.Failure == "" || strings.Contains(got.Failure, "secret") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestUnsigned: without credentials the request is sent, and nothing is read from AWS.
func TestUnsigned(t *testing.T) {
	c := GatherUnsigned(t.Context(), Inquiry{Method: "GET", URL: apiAt(t, 500, `{"message":"Internal Server Error"}`)})
	if c.Answer.Or().Status != 500 || c.Caller.Error.Code != doctor.NoCredentials || c.Calls != 0 ||
		strings.Contains(c.Asked.URL, "s3cr3t") {
		t.Errorf("%+v", c)
	}
}

// TestConnection: a request is sent as curl would send it, signed and encrypted as its flags say.
func TestConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		certificate := ""
		if len(r.TLS.PeerCertificates) > 0 {
			certificate = r.TLS.PeerCertificates[0].Subject.Organization[0]
		}
		fmt.Fprintf(w, "host %s, client %s, %s %q", r.Host, certificate, r.Header.Get("Authorization"), body)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	folder := t.TempDir()
	write := func(name string, blocks ...*pem.Block) string {
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	authority := write("ca.pem", certificate)
	both := write("both.pem", certificate, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	at := "https://example.com:" + port // the name in the certificate
	resolve := []string{"--resolve", "example.com:" + port + ":127.0.0.1", at}
	for _, c := range []struct {
		name  string
		words []string
		want  string // in the response or the error
	}{
		{"any certificate", []string{"-k", server.URL}, "host 127.0.0.1"},
		{"an authority, at another address", append([]string{"--cacert", authority}, resolve...), "host example.com"},
		{"a client's certificate", append([]string{"--cacert", authority, "--cert", both}, resolve...),
			"client Acme Co"},
		{"a signature", []string{"-k", "--aws-sigv4", "aws:amz:eu-west-1:lambda", "--user", "KEY:s", server.URL},
			"/eu-west-1/lambda/aws4_request"},
		{"a form", []string{"-k", "-F", "a=b", "-F", "c=@" + authority, server.URL}, "filename=\\\"ca.pem"},
		{"a signature without a key", []string{"--aws-sigv4", "aws:amz", server.URL}, "--user KEY:SECRET"},
		{"a form field without a value", []string{"-F", "a", server.URL}, "-F name=value"},
		{"a missing form file", []string{"-F", "a=@/nosuch", server.URL}, "nosuch"},
		{"an address without a port", []string{"--resolve", "a:b", server.URL}, "HOST:PORT:ADDRESS"},
		{"an invalid authority", []string{"--cacert", write("no.pem"), server.URL}, "no PEM certificate"},
		{"a certificate without its key", []string{"--cert", authority, server.URL}, "without a password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a Inquiry
			if err := a.Curl(c.words); err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			r, err := http.NewRequestWithContext(t.Context(), a.Method, a.URL.String(), bytes.NewReader(a.Body))
			if err == nil {
				r.Header = a.Headers
				err = a.sign(r)
			}
			if err != nil {
				t.Fatal(err)
			}
			answer, err := a.client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || !strings.Contains(string(body), c.want) {
				t.Errorf("%v %s, want %s", err, body, c.want)
			}
		})
	}
}
