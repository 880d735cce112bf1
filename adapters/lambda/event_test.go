package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
	"github.com/labstack/echo/v4"

	"example.com/portable-notes/app"
)

// sampleEvent returns an event, modified by change.
func sampleEvent(t testing.TB, change func(e map[string]any)) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(`{
		"version": "2.0", "routeKey": "ANY /notes", "rawPath": "/notes", "rawQueryString": "", "isBase64Encoded": false,
		"headers": {"host": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "accept": "*/*"},
		"requestContext": {
			"accountId": "123456789012", "apiId": "a1b2c3d4e5",
    "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
    "requestId": "JKJaXmPLvHcESHA=", "stage": "$default",
			"http": {"method": "GET", "path": "/notes", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
      "userAgent": "curl"}
		}
	}`), &e); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(e)
	}
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func setMethod(e map[string]any, m string) {
	e["requestContext"].(map[string]any)["http"].(map[string]any)["method"] = m
}

func setStage(e map[string]any, s string) { e["requestContext"].(map[string]any)["stage"] = s }

// capturedRequest is a request as a handler sees it.
type capturedRequest struct {
	*http.Request
	body, realIP, scheme, base string
}

// captureRequest sends an event to a handler that captures the request and calls answer.
func captureRequest(t *testing.T, basePath string, payload []byte,
	answer func(http.ResponseWriter)) (s capturedRequest, a *http.Response) {
	t.Helper()
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			body = []byte("error: " + err.Error())
		}
		c := e.NewContext(r, w)
		s = capturedRequest{
			Request: r, body: string(body), realIP: c.RealIP(), scheme: c.Scheme(), base: app.Base(r.Context()),
		}
		answer(w)
	})
	fn, _ := newTestAdapter(broken{}, basePath)
	fn.proxy = newProxy(h)
	out, err := invokeFunc(fn)(payload)
	if err != nil {
		t.Fatal(err)
	}
	a, err = gateways["DefaultStage"].toResponse(out)
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

func writeOK(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }

// TestPaths: a path reaches the app as API Gateway decoded it, without the stage, and with the base path that the
// client sees.
func TestPaths(t *testing.T) {
	const custom = "notes.example.com"
	for _, c := range []struct{ stage, domain, basePath, rawPath, path, base string }{
		{"$default", "", "", "/notes", "/notes", ""},
		{"dev", "", "", "/dev/notes", "/notes", "/dev"},
		{"dev", "", "", "/dev", "", "/dev"},
		{"dev", "", "", "/developers", "/developers", "/dev"},
		{"dev", "", "", "/dev/dev/notes", "/dev/notes", "/dev"},
		{"dev", "", "", "/notes", "/notes", "/dev"},
		{"dev", "", "/api", "/dev/notes", "/notes", "/dev"},
		{"dev", custom, "", "/dev/notes", "/notes", ""},
		{"dev", custom, "/api", "/dev/notes", "/notes", "/api"},
		{"dev", custom, "/api", "/dev/api/notes", "/notes", "/api"},
		{"$default", custom, "/api", "/api/notes", "/notes", "/api"},
		{"$default", custom, "/api", "/apinotes", "/apinotes", "/api"},
		{"$default", "", "", "/notes/100%", "/notes/100%", ""},
		{"$default", "", "", "/notes/100%25", "/notes/100%25", ""},
		{"$default", "", "", "/notes/a?b#c", "/notes/a?b#c", ""},
		{"$default", "", "", "/notes/a b+c", "/notes/a b+c", ""},
		{"$default", "", "", "/notes/a\nb\x00", "/notes/a\nb\x00", ""},
		{"$default", "", "", "/notes/a%2Fb", "/notes/a%2Fb", ""},
		{"$default", "", "", "/notes/日本", "/notes/日本", ""},
		{"$default", "", "", "//notes/../x", "//notes/../x", ""},
		{"$default", "", "", "", "", ""},
	} {
		s, _ := captureRequest(t, c.basePath, sampleEvent(t, func(e map[string]any) {
			e["rawPath"] = c.rawPath
			setStage(e, c.stage)
			if c.domain != "" {
				e["requestContext"].(map[string]any)["domainName"] = c.domain
			}
		}), writeOK)
		if s.URL.Path != c.path || s.base != c.base || s.URL.RawPath != "" {
			t.Errorf("%+v: the app gets path %q, base %q", c, s.URL.Path, s.base)
		}
	}
}

// TestRequests: headers, cookies, query, client, scheme, host, method and body are those of the event.
func TestRequests(t *testing.T) {
	headers := map[string]any{
		"host": "h.example:8443", "date": "Tue, 24 Nov 2026 09:00:00 GMT", "if-none-match": `"a,b", W/"c"`,
		"idempotency-key": "k1, k2", "x-sig": "v1,a=b,  c", "x-forwarded-for": "203.0.113.9, 10.0.0.1",
		"x-forwarded-proto": "http", "x-real-ip": "203.0.113.9", "x-golambdaproxy-apigw-context": "{}",
		"accept": "a/b;q=0.5, c/d",
	}
	s, _ := captureRequest(t, "", sampleEvent(t, func(e map[string]any) {
		e["headers"] = headers
		e["cookies"] = []string{"a=1", "b=2,3"}
		e["rawQueryString"] = "tag=a%2Cb&tag=c&q=%20+%F0%9F%98%80&x"
		e["queryStringParameters"] = map[string]any{"tag": "a,b,c"}
		setMethod(e, "pRoPfInD")
		e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString([]byte("\x00\xff")), true
	}), writeOK)
	for name, value := range headers {
		if got := s.Header.Values(name); name != "host" && !reflect.DeepEqual(got, []string{value.(string)}) {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if s.Host != "h.example:8443" || s.Header.Get("Host") != "" {
		t.Errorf("the host is %q, the Host header %q", s.Host, s.Header.Get("Host"))
	}
	if a, err := s.Cookie("a"); err != nil || a.Value != "1" || s.Header.Get("Cookie") != "a=1; b=2,3" {
		t.Errorf("cookies are %q", s.Header["Cookie"])
	}
	if s.URL.RawQuery != "tag=a%2Cb&tag=c&q=%20+%F0%9F%98%80&x" ||
		!reflect.DeepEqual(s.URL.Query()["tag"], []string{"a,b", "c"}) {
		t.Errorf("the query is %q", s.URL.RawQuery)
	}
	if s.RemoteAddr != "192.0.2.1:0" || s.realIP != "192.0.2.1" || s.scheme != "https" {
		t.Errorf("the client is %s, %s, with scheme %s", s.RemoteAddr, s.realIP, s.scheme)
	}
	if s.Method != "pRoPfInD" || s.body != "\x00\xff" || s.ContentLength != 2 {
		t.Errorf("the method is %s, the body %q of %d bytes", s.Method, s.body, s.ContentLength)
	}
	if s, _ := captureRequest(t, "", sampleEvent(t, func(e map[string]any) {
		e["requestContext"].(map[string]any)["http"].(map[string]any)["sourceIp"] = "2001:db8::1"
	}), writeOK); s.RemoteAddr != "[2001:db8::1]:0" || s.realIP != "2001:db8::1" {
		t.Errorf("the client is %s, %s", s.RemoteAddr, s.realIP)
	}
	if s, _ := captureRequest(t, "", []byte(strings.Replace(string(sampleEvent(t,
		func(e map[string]any) { e["body"] = "x" })),
		`"body":"x"`, "\"body\":\"\xff\"", 1)), writeOK); !strings.HasPrefix(s.body, "error: ") {
		t.Errorf("a body that is not UTF-8 is read as %q", s.body)
	}
	if s, _ := captureRequest(t, "", sampleEvent(t, func(e map[string]any) {
		e["requestContext"].(map[string]any)["authorizer"] = map[string]any{
			"jwt": map[string]any{"claims": map[string]any{"email_verified": true, "groups": []string{"x"}}}}
	}), writeOK); s.Request == nil {
		t.Error("a request with claims that are not strings is not served")
	}
	if s, _ := captureRequest(t, "", sampleEvent(t,
		func(e map[string]any) { e["body"], e["isBase64Encoded"] = "no base64!", true }),
		writeOK); !strings.HasPrefix(s.body, "error: ") {
		t.Errorf("a body that is not base64 is read as %q", s.body)
	}
}

// TestAnswers: the client gets what a handler writes.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		write  func(http.ResponseWriter)
		status int
		body   string
	}{
		"nothing": {func(http.ResponseWriter) {}, 200, ""},
		"status":  {func(w http.ResponseWriter) { w.WriteHeader(204) }, 204, ""},
		"text":    {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x<&>\u2028") }, 200, "x<&>\u2028"},
		"gzip": {func(w http.ResponseWriter) { _, _ = w.Write([]byte("\x1f\x8b\x08\x00\xff")) }, 200,
			"\x1f\x8b\x08\x00\xff"},
		"looks like b64": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "AAAA") }, 200, "AAAA"},
		"flush": {func(w http.ResponseWriter) { w.(http.Flusher).Flush(); _, _ = io.WriteString(w, "x") },
			200, "x"},
	} {
		_, a := captureRequest(t, "", sampleEvent(t, nil), c.write)
		body, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != c.status || string(body) != c.body {
			t.Errorf("%s: %d %q, %v", name, a.StatusCode, body, err)
		}
	}
	_, a := captureRequest(t, "", sampleEvent(t, nil), func(w http.ResponseWriter) {
		w.Header().Add("Set-Cookie", "a=1; Expires=Tue, 24 Nov 2026 09:00:00 GMT")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Link", `</notes?a=b,c>; rel="next"`)
	})
	if got := a.Header.Values("Set-Cookie"); len(got) != 2 || a.Header.Get("Link") != `</notes?a=b,c>; rel="next"` {
		t.Errorf("headers are %v", a.Header)
	}
}

// TestPanic: a panic is answered with 500, and the next event is served.
func TestPanic(t *testing.T) {
	fn, log := newTestAdapter(broken{}, "")
	good := fn.proxy
	fn.proxy = func(context.Context, *incoming) (response, error) { panic("secret") }
	out, err := invokeFunc(fn)(sampleEvent(t, nil))
	if err != nil || !strings.Contains(string(out), `"statusCode":500`) || strings.Contains(string(out), "secret") ||
		!strings.Contains(log.String(), "secret") {
		t.Errorf("%s, %v; log %s", out, err, log)
	}
	fn.proxy = good
	if out, err := invokeFunc(fn)(sampleEvent(t, func(e map[string]any) { e["rawPath"] = "/nothing" })); err != nil ||
		!strings.Contains(string(out), `"statusCode":404`) {
		t.Errorf("the next event: %s, %v", out, err)
	}
}

// TestOtherEvents: an event that is not a request gets a clear answer, and does not end the function.
func TestOtherEvents(t *testing.T) {
	fn, log := newTestAdapter(broken{}, "")
	for name, c := range map[string]struct {
		payload string
		status  string
		says    string
	}{
		"payload 1.0": {`{"version":"1.0","resource":"/notes","path":"/notes","httpMethod":"GET","headers":{},` +
			`"requestContext":{"stage":"dev"}}`, "500", "payload format 1.0"},
		"REST API": {`{"resource":"/{proxy+}","path":"/notes","httpMethod":"POST",` +
			`"requestContext":{"resourcePath":"/{proxy+}"}}`, "500", "payload format 1.0"},
		"load balancer": {`{"requestContext":{"elb":` +
			`{"targetGroupArn":"arn:aws:elasticloadbalancing:x"}},"httpMethod":"GET",` +
			`"path":"/notes","headers":{}}`, "500", "load balancer"},
		"warmer":        {`{"warmer":true,"concurrency":3}`, "204", ""},
		"warmup plugin": {`{"source":"serverless-plugin-warmup"}`, "204", ""},
		"EventBridge": {`{"version":"0","id":"x","detail-type":"Scheduled ` +
			`Event","source":"aws.events","detail":{}}`, "204", ""},
		"empty":          {`{}`, "400", "an event of an unknown kind"},
		"null":           {`null`, "400", "payload format 2.0"},
		"text":           {`"hello"`, "400", "payload format 2.0"},
		"list":           {`[1,2]`, "400", "payload format 2.0"},
		"nothing":        {``, "400", "payload format 2.0"},
		"garbage":        {"\x00\xff{", "400", "payload format 2.0"},
		"wrong types":    {`{"version":"2.0","requestContext":{"http":{"method":5}}}`, "400", "payload format 2.0"},
		"version alone":  {`{"version":"2.0"}`, "400", "payload format 2.0"},
		"queue":          {`{"Records":[{"eventSource":"aws:sqs","body":"x"}]}`, "400", "payload format 2.0"},
		"console's test": {`{"key1":"value1","key2":"value2"}`, "400", "payload format 2.0"},
		"deep": {strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), "400",
			"payload format 2.0"},
		"headers no map": {`{"version":"2.0","rawPath":"/notes","headers":["a"],` +
			`"requestContext":{"http":{"method":"GET"}}}`, "400", "payload format 2.0"},
		"no headers, etc": {`{"version":"2.0","requestContext":{"http":{"method":"GET"}}}`, "404",
			"nothing at this path"},
	} {
		log.Reset()
		out, err := invokeFunc(fn)([]byte(c.payload))
		if err != nil || !strings.Contains(string(out), `"statusCode":`+c.status) ||
			!strings.Contains(string(out), c.says) {
			t.Errorf("%s: %.300s, %v", name, out, err)
		}
		if (c.status == "400" || c.status == "500") &&
			(strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "payload format 2.0")) {
			t.Errorf("%s: the log is %s", name, log)
		}
	}
}

// TestTheLibraryAlone is the control: aws-lambda-go-api-proxy without event.go gets these events wrong.
func TestTheLibraryAlone(t *testing.T) {
	differs := 0
	for _, change := range []func(*events.APIGatewayV2HTTPRequest){
		func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/notes/100%" },
		func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/notes/a?b" },
		func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/notes/a#b" },
		func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/notes/a\nb" },
		func(e *events.APIGatewayV2HTTPRequest) { e.Headers["if-none-match"] = `"a,b"` },
		func(e *events.APIGatewayV2HTTPRequest) { e.Headers["idempotency-key"] = "k1, k2" },
		func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "get" },
		func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "!", true },
	} {
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(sampleEvent(t, nil), &e); err != nil {
			t.Fatal(err)
		}
		change(&e)
		right := false
		_, err := httpadapter.NewV2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			right = r.URL.Path == e.RawPath && r.Method == e.RequestContext.HTTP.Method &&
				strings.Contains(r.RemoteAddr, ":")
			for name, value := range e.Headers {
				right = right && (name == "host" || reflect.DeepEqual(r.Header.Values(name), []string{value}))
			}
			w.WriteHeader(200)
		})).ProxyWithContext(t.Context(), e)
		if err != nil || !right {
			differs++
		}
	}
	if differs != 8 {
		t.Errorf("the library alone is right in %d of 8 cases: event.go may no longer need to handle them", 8-differs)
	}
}

// TestBadBase64: invalid base64 is a malformed request.
func TestBadBase64(t *testing.T) {
	fn, _ := newTestAdapter(newFileStore(t), "")
	out, err := invokeFunc(fn)(sampleEvent(t, func(e map[string]any) {
		setMethod(e, "POST")
		e["headers"].(map[string]any)["content-type"] = "application/json"
		e["body"], e["isBase64Encoded"] = "{no base64}", true
	}))
	if err != nil || !strings.Contains(string(out), `"statusCode":400`) ||
		!strings.Contains(string(out), "malformed_request") {
		t.Errorf("%s, %v", out, err)
	}
}
