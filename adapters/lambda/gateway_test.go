package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"example.com/portable-notes/app/apptest"
)

// gateway simulates an HTTP API: it converts requests to events in payload format 2.0, and results to responses.
//
// To be independent of our code it uses maps, not our types, and follows AWS's documentation:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html.
type gateway struct {
	stage  string // $default or a name
	domain string // that the client uses
	prefix string // of the client's path: the stage, or the base path of a custom domain
}

// maxAnswer is the maximum size of a Lambda's response in bytes
// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const maxAnswer = 6_291_456

// toEvent converts a client's request to an event.
func (g gateway) toEvent(r *http.Request) ([]byte, error) {
	path := r.URL.Path // decoded, like rawPath in real events
	inner, ok := strings.CutPrefix(path, g.prefix)
	if !ok {
		return nil, fmt.Errorf("%s is not under %s", path, g.prefix)
	}
	rawPath := inner
	if g.stage != "$default" {
		rawPath = "/" + g.stage + inner // on a custom domain too, in place of its base path
	}
	headers := map[string]string{"host": g.domain, "x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443",
		"x-forwarded-proto": "https", "x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678"}
	var cookies []string
	for name, values := range r.Header {
		if name == "Cookie" {
			cookies = strings.Split(strings.Join(values, "; "), "; ")
			continue
		}
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	e := map[string]any{
		"version": "2.0", "routeKey": "ANY /notes", "rawPath": rawPath, "rawQueryString": r.URL.RawQuery,
		"headers": headers, "isBase64Encoded": false,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "a1b2c3d4e5", "domainName": g.domain,
			"domainPrefix": strings.Split(g.domain, ".")[0],
			"http": map[string]any{"method": r.Method, "path": rawPath, "protocol": "HTTP/1.1",
				"sourceIp": "192.0.2.1", "userAgent": r.UserAgent()},
			"requestId": "JKJaX" + uuid.NewString()[:8] + "=", "routeKey": "ANY /notes", "stage": g.stage,
			"time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390,
		},
	}
	if len(cookies) > 0 {
		e["cookies"] = cookies
	}
	if values := r.URL.Query(); len(values) > 0 {
		parameters := map[string]string{}
		for name, all := range values {
			parameters[name] = strings.Join(all, ",")
		}
		e["queryStringParameters"] = parameters
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if len(body) > 0 {
			headers["content-length"] = fmt.Sprint(len(body))
			if mediaType, _, _ := strings.Cut(headers["content-type"], ";"); strings.HasPrefix(mediaType, "text/") ||
				mediaType == "application/json" && utf8.Valid(body) {
				e["body"] = string(body)
			} else { // AWS sends binary bodies in base64; that it does so for JSON with invalid UTF-8 is an assumption
				e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
			}
		}
	}
	return json.Marshal(e)
}

// toResponse converts the result of a function to a response.
func (g gateway) toResponse(payload []byte) (*http.Response, error) {
	if len(payload) > maxAnswer {
		return nil, fmt.Errorf("the function returned %d bytes, more than %d", len(payload), maxAnswer)
	}
	var a struct {
		StatusCode      int
		Headers         map[string]string
		Cookies         []string
		Body            string
		IsBase64Encoded bool
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(&a); err != nil || a.StatusCode == 0 {
		return nil, fmt.Errorf("the function returned %.200s: %v", payload, err)
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return nil, err
		}
	}
	header := http.Header{}
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	for _, cookie := range a.Cookies {
		header.Add("Set-Cookie", cookie)
	}
	return &http.Response{StatusCode: a.StatusCode, Status: fmt.Sprint(a.StatusCode), Header: header,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// send returns a function that sends requests through the gateway to a Lambda.
func (g gateway) send(invoke func(payload []byte) ([]byte, error)) apptest.Send {
	return func(r *http.Request) (*http.Response, error) {
		e, err := g.toEvent(r)
		if err != nil {
			return nil, err
		}
		a, err := invoke(e)
		if err != nil {
			return nil, fmt.Errorf("the function failed: %w", err)
		}
		return g.toResponse(a)
	}
}

// baseURL returns the URL of the API as a client sees it.
func (g gateway) baseURL() string { return "https://" + g.domain + g.prefix }

// gateways are the kinds of URLs of an API: its own domain with the default stage or a named one, and a custom domain
// with or without a base path.
var gateways = map[string]gateway{
	"DefaultStage":     {stage: "$default", domain: "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"},
	"NamedStage":       {stage: "dev", domain: "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", prefix: "/dev"},
	"CustomDomain":     {stage: "dev", domain: "notes.example.com"},
	"CustomDomainBase": {stage: "dev", domain: "example.com", prefix: "/api/v1"},
}

// TestGatewayMakesTheDocumentedEvent: from the request in AWS's documentation, gateway makes the documented event.
func TestGatewayMakesTheDocumentedEvent(t *testing.T) {
	r, err := http.NewRequest("POST", "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/my/path"+
		"?parameter1=value1&parameter1=value2&parameter2=value", strings.NewReader("Hello from Lambda!"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Header1": {"value1"}, "Header2": {"value1", "value2"}, "Cookie": {"cookie1; cookie2"},
		"Content-Type": {"text/plain"}}
	payload, err := gateways["DefaultStage"].toEvent(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	// The parts of the example in the developer guide that depend on the request.
	const documented = `{
		"version": "2.0", "rawPath": "/my/path", 
    "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
		"cookies": ["cookie1", "cookie2"],
    "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
		"body": "Hello from Lambda!", "isBase64Encoded": false
	}`
	var want map[string]any
	if err := json.Unmarshal([]byte(documented), &want); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("%s is %v, AWS documents %v", name, got[name], value)
		}
	}
	headers := got["headers"].(map[string]any)
	if headers["header1"] != "value1" || headers["header2"] != "value1,value2" || headers["cookie"] != nil {
		t.Errorf("headers are %v", headers)
	}
	httpContext := got["requestContext"].(map[string]any)["http"].(map[string]any)
	if httpContext["method"] != "POST" || httpContext["path"] != "/my/path" || httpContext["protocol"] != "HTTP/1.1" ||
		httpContext["sourceIp"] != "192.0.2.1" {
		t.Errorf("requestContext.http is %v", httpContext)
	}
}

// recordedEvents returns the events from API Gateway in the test data of AWS's own library.
func recordedEvents(t *testing.T) map[string][]byte {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-lambda-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(folder)), "events", "testdata",
		"apigw-v2-request-*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("the recorded events are %v, %v", files, err)
	}
	events := map[string][]byte{}
	for _, file := range files {
		if events[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

// TestGatewayMakesTheRecordedEvent: gateway makes the same event of a request as API Gateway did, except for values
// that only AWS knows.
func TestGatewayMakesTheRecordedEvent(t *testing.T) {
	var want map[string]any
	if err := json.Unmarshal(recordedEvents(t)["apigw-v2-request-no-authorizer.json"], &want); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("GET", "https://aaaaaaaaaa.execute-api.us-west-2.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"curl/7.58.0"}, "Content-Length": {"0"}}
	payload, err := gateway{stage: "$default", domain: "aaaaaaaaaa.execute-api.us-west-2.amazonaws.com"}.toEvent(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	awsDecides := []string{"/routeKey", "/headers/x-amzn-trace-id", "/headers/x-forwarded-for",
		"/requestContext/accountId", "/requestContext/apiId", "/requestContext/http/sourceIp",
		"/requestContext/requestId", "/requestContext/routeKey", "/requestContext/time", "/requestContext/timeEpoch"}
	var compare func(path string, got, want any)
	compare = func(path string, got, want any) {
		g, gotMap := got.(map[string]any)
		w, wantMap := want.(map[string]any)
		switch {
		case gotMap && wantMap:
			for name := range g {
				compare(path+"/"+name, g[name], w[name])
			}
			for name := range w {
				if _, there := g[name]; !there && name != "authentication" { // for client certificates
					t.Errorf("%s/%s is missing", path, name)
				}
			}
		case fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want):
			t.Errorf("%s is %v, recorded is %v", path, got, want)
		case !slices.Contains(awsDecides, path) && got != want:
			t.Errorf("%s is %v, recorded is %v", path, got, want)
		}
	}
	compare("", got, want)
}

// TestRecordedEvents: the function accepts real events from API Gateway, with every kind of authorizer, as requests.
func TestRecordedEvents(t *testing.T) {
	for name, payload := range recordedEvents(t) {
		fn, _ := newTestAdapter(newFileStore(t), "")
		out, err := invokeFunc(fn)(payload)
		if err != nil || !strings.Contains(string(out), `"statusCode":404`) ||
			!strings.Contains(string(out), "there is nothing at this path") {
			t.Errorf("%s: %s, %v", name, out, err)
		}
		out, err = invokeFunc(fn)([]byte(regexp.MustCompile(`"rawPath": "[^"]*"`).ReplaceAllString(string(payload),
			`"rawPath": "/notes"`)))
		if err != nil || !strings.Contains(string(out), `"statusCode":`) ||
			strings.Contains(string(out), "payload format 2.0") {
			t.Errorf("%s to /notes: %s, %v", name, out, err)
		}
	}
}
