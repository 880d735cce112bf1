package facts

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/gateway"
)

// account returns the answers of AWS about an API with two stages, one of which is deployed manually.
func account() map[string]string {
	const arn = `arn:aws:lambda:us-east-1:123456789012:function:notes`
	const export = `{"paths":{"/notes":{"get":{"x":1}},"/any":{"x-amazon-apigateway-any-method":{}},` +
		`"/$default":{"x-amazon-apigateway-any-method":{}}},"x-amazon-apigateway-cors":{"allowOrigins":["*"]}}`
	return map[string]string{
		"GetCallerIdentity": `<R><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/anna</Arn>` +
			`<Account>123456789012</Account></GetCallerIdentityResult></R>`,
		"/apis/a1": `{"apiId":"a1","name":"notes","protocolType":"HTTP"}`,
		"/stages": `{"items":[{"stageName":"dev","autoDeploy":true,"deploymentId":"d1","stageVariables":` +
			`{"alias":"live","secret":"s3cr3t"}},{"stageName":"prod","deploymentId":"d0"}]}`,
		"/routes": `{"items":[{"routeId":"r1","routeKey":"GET /notes/{id}","target":"integrations/i1"}]}`,
		"/integrations": `{"items":[{"integrationId":"i1","integrationType":"AWS_PROXY","payloadFormatVersion":"2.0",` +
			`"integrationUri":"` + arn + `:${stageVariables.alias}"},` +
			`{"integrationId":"i2","integrationType":"HTTP_PROXY"}]}`,
		"/authorizers": `{"items":[]}`,
		"/OAS30":       export,
		"/functions/notes": `{"Configuration":{"FunctionName":"notes","State":"Active","Timeout":3,"MemorySize":128,` +
			`"Layers":[{"Arn":"arn:layer"}],"Environment":{"Variables":{"PASSWORD":"hunter2","AWS_ENDPOINT_URL":` +
			`"http://127.0.0.1:8000","NONE":""}},"VpcConfig":{"VpcId":"vpc-1"}},"Concurrency":` +
			`{"ReservedConcurrentExecutions":7}}`,
		"/policy": `{"Policy":"{\"Statement\":[{\"Sid\":\"old\",\"Effect\":\"Allow\",` +
			`\"Action\":\"lambda:InvokeFunction\",` +
			`\"Principal\":{\"Service\":\"apigateway.amazonaws.com\"},\"Condition\":{\"ArnLike\":{\"AWS:SourceArn\":` +
			`\"arn:aws:execute-api:us-east-1:123456789012:b2/*\"}}}]}"}`,
		"/aliases": `{"Aliases":[{"Name":"live","FunctionVersion":"1"},{"Name":"next","FunctionVersion":"2"}]}`,
		"/invocations": `{"errorType":"KeyError","errorMessage":"'x' Bearer abcdefghijkl","stackTrace":` +
			`["  File \"/var/task/app.py\", line 3, in handler\n","  File \"/var/lang/x.py\", line 1\n"]}`,
	}
}

// apiAt serves an API that always responds the same, and returns the URL of a request to it.
func apiAt(t *testing.T, status int, body string) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Apigw-Requestid", "Abc=")
		w.Header().Set("Set-Cookie", "session=s3cr3t")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL + "/_aws/execute-api/a1/dev/notes/s3cr3t?token=s3cr3t")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestGather: the facts are those that AWS answers, each with the call that returned it.
func TestGather(t *testing.T) {
	u := apiAt(t, 500, `{ "message": "Internal Server Error" }`)
	c := Gather(t.Context(), served(t, account()), Inquiry{Method: "GET", URL: u, Program: "deploy",
		Headers: http.Header{"Authorization": {"Bearer s3cr3t"}}})
	if a := c.Answer.Or(); a.Status != 500 || a.Body != `{"message":"Internal Server Error"}` ||
		a.RequestID != "Abc=" {
		t.Errorf("the answer is %+v", a)
	}
	if c.Caller.Or().Account != "123456789012" || c.Caller.Or().Partition != "aws" ||
		c.Caller.Call != "sts:GetCallerIdentity" {
		t.Errorf("the caller is %+v", c.Caller)
	}
	if c.API.Or().Name != "notes" || c.API.Call != "apigateway:GetApi" || c.API.Of != "a1" {
		t.Errorf("the API is %+v", c.API)
	}
	want := []gateway.Target{{Region: "us-east-1", Account: "123456789012", Function: "notes", Qualifier: "live"}}
	if len(c.Functions) != 1 || c.Functions[0].Target != want[0] {
		t.Fatalf("the functions are %+v", c.Functions)
	}
	f := c.Functions[0]
	config := f.Configuration.Or()
	if config.Memory != 128 || *config.Concurrency != 7 || !config.VPC || config.Layers[0] != "arn:layer" ||
		config.LogGroup != "/aws/lambda/notes" {
		t.Errorf("the function is %+v", config)
	}
	if !reflect.DeepEqual(config.Variables, []doctor.Variable{{Name: "AWS_ENDPOINT_URL", Loopback: true},
		{Name: "NONE", Empty: true}, {Name: "PASSWORD"}}) {
		t.Errorf("the variables are %+v", config.Variables)
	}
	if f.Policy.Or().Statement[0].Sid != "old" || len(f.Elsewhere) != 2 || len(f.Aliases.Or()) != 2 {
		t.Errorf("the policies are %+v, and %+v", f.Policy, f.Elsewhere)
	}
	if len(c.OtherAPIs) != 1 || c.OtherAPIs[0].Name != "us-east-1 b2" || !c.OtherAPIs[0].Fact.Missing() {
		t.Errorf("the other APIs are %+v", c.OtherAPIs)
	}
	if len(c.Deployed) != 1 || c.Deployed[0].Name != "prod" || len(c.Latest.Or().Routes) != 3 ||
		c.Latest.Or().Routes["ANY /any"] == "" || c.Latest.Or().Routes["$default"] == "" {
		t.Errorf("deployed is %+v, the latest %+v", c.Deployed, c.Latest)
	}
	if c.Calls != len(c.Traced) || c.Sent != "1 GET" {
		t.Errorf("%d calls, %v; sent %q", c.Calls, c.Traced, c.Sent)
	}
	for i, line := range c.Traced {
		for _, other := range c.Traced[:i] {
			if line == other {
				t.Errorf("%s is called twice", line)
			}
		}
	}
}

// TestEmptyLists: an empty list is known to be empty, even after the case was saved and parsed.
func TestEmptyLists(t *testing.T) {
	answers := account()
	answers["/stages"], answers["/routes"] = `{}`, `{"items":[]}`
	text, err := json.Marshal(Gather(t.Context(), served(t, answers), Inquiry{API: "a1"}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := doctor.ParseCase(text)
	if err != nil || !c.Stages.Seen() || !c.Routes.Seen() {
		t.Errorf("%v %+v %+v", err, c.Stages, c.Routes)
	}
}

// TestInvocation: the function is invoked once, after an error of API Gateway itself, if the inquiry allows it.
func TestInvocation(t *testing.T) {
	granted := account()
	for _, c := range []struct {
		name   string
		status int
		body   string
		ask    Inquiry
		want   bool
	}{
		{"GET", 500, `{"message":"Internal Server Error"}`, Inquiry{Method: "GET"}, true},
		{"POST", 500, `{"message":"Internal Server Error"}`, Inquiry{Method: "POST"}, false},
		{"POST with --invoke", 500, `{"message":"Internal Server Error"}`, Inquiry{Method: "POST", Invoke: true}, true},
		{"GET with --no-invoke", 500, `{"message":"Internal Server Error"}`, Inquiry{Method: "GET", NoInvoke: true},
			false},
		{"an error of the app", 500, `{"error":"x"}`, Inquiry{Method: "GET"}, false},
		{"a success", 200, `{}`, Inquiry{Method: "GET"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.ask.URL = apiAt(t, c.status, c.body)
			granted["/routes"] = strings.Replace(account()["/routes"], "GET /", "ANY /", 1)
			got := Gather(t.Context(), served(t, granted), c.ask)
			if invoked := got.Invocation.Call != ""; invoked != c.want {
				t.Errorf("invoked: %v, %+v", invoked, got.Invocation)
			}
		})
	}
}

// TestNoSecrets: the facts contain nothing that must not be shared.
func TestNoSecrets(t *testing.T) {
	u := apiAt(t, 500, `{"message":"Internal Server Error"}`)
	c := Gather(t.Context(), served(t, account()), Inquiry{Method: "GET", URL: u, Body: []byte("s3cr3t"),
		Headers: http.Header{"Authorization": {"Bearer s3cr3t"}, "Cookie": {"s3cr3t"}}})
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"s3cr3t", "hunter2", "abcdefghijkl"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
	if !strings.HasSuffix(c.Asked.URL, "/dev/notes/{id}") {
		t.Errorf("the URL is %s", c.Asked.URL)
	}
}

// TestScrub: the request's own values are removed from what the function returns.
func TestScrub(t *testing.T) {
	answers := account()
	answers["/invocations"] = `{"errorType":"ValueError","errorMessage":"/dev/notes/ALICE q=QUERY c=COOKIE k=APIKEY ` +
		`b=BODYVALUE arn:aws:dynamodb:us-east-1:123456789012:table/notes-production-NotesTable-1ABCDEFGHIJKLMNOPQRS",` +
		`"stackTrace":[]}`
	answers["/integrations"] = strings.Replace(answers["/integrations"], `"integrationType":"HTTP_PROXY"`,
		`"integrationType":"HTTP_PROXY","integrationUri":"https://user:PASSWD@x.example/?key=SECRET",`+
			`"requestParameters":{"overwrite:header.x-api-key":"SECRET","overwrite:path":"/x"}`, 1)
	u := apiAt(t, 500, `{"message":"Internal Server Error"}`)
	u.Path, u.RawQuery = strings.Replace(u.Path, "s3cr3t", "ALICE", 1), "q=QUERY"
	got := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET", URL: u, Body: []byte(`{"a":"BODYVALUE"}`),
		Headers: http.Header{"Cookie": {"a=COOKIE"}, "X-Api-Key": {"APIKEY"}}})
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"ALICE", "QUERY", "COOKIE", "APIKEY", "BODYVALUE", "PASSWD", "SECRET"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
	if !strings.Contains(string(text), "table/notes-production-NotesTable-1ABCDEFGHIJKLMNOPQRS") {
		t.Errorf("the ARN is not whole in %s", got.Invocation.Or().Message)
	}
}

// TestEvent: the event is the one that API Gateway would send. Empty fields are left out in 2.0 and null in 1.0.
func TestEvent(t *testing.T) {
	u, err := url.Parse("https://a1.execute-api.us-east-1.amazonaws.com/dev/notes/7?a=1&a=2")
	if err != nil {
		t.Fatal(err)
	}
	g := &gatherer{inquiry: Inquiry{Method: "GET", URL: u, Headers: http.Header{"Cookie": {"a=b; c=d"}}}}
	g.c.Asked = doctor.Asked{Method: "GET"}
	g.c.Stages.Value = &[]doctor.Stage{{Name: "dev"}}
	target := doctor.Target{Stage: "dev", Route: "GET /notes/{id}", API: "a1"}
	two := g.buildEvent(target, true)
	if _, has := two["body"]; has || fmt.Sprint(two["cookies"]) != "[a=b c=d]" || two["rawPath"] != "/dev/notes/7" ||
		fmt.Sprint(two["pathParameters"], two["queryStringParameters"]) != "map[id:7] map[a:1,2]" {
		t.Errorf("2.0: %v", two)
	}
	one := g.buildEvent(target, false)
	if body, has := one["body"]; !has || body != nil || one["httpMethod"] != "GET" || one["path"] != "/dev/notes/7" {
		t.Errorf("1.0: %v", one)
	}
	g.inquiry.Body, g.inquiry.Headers = []byte("a=b"), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}}
	if two = g.buildEvent(target, true); two["body"] != "YT1i" || two["isBase64Encoded"] != true {
		t.Errorf("a form: %v", two)
	}
}

// TestShape: the shape shows what API Gateway rejects in a function's response, but not its content.
func TestShape(t *testing.T) {
	for _, c := range []struct {
		payload string
		want    doctor.Shape
	}{
		{`{"statusCode":200,"body":"x"}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "200", Status: 200}},
		{`{"statusCode":"200"}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: `"200"`}},
		{`{"statusCode":200,"body":{"a":1}}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "200", Status: 200,
			Wrong: "body is an object, not text"}},
		{`{"statusCode":200,"headers":{"a":1}}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "200",
			Status: 200,
			Wrong:  "header a is a number, not text"}},
		{`{"statusCode":200,"headers":[]}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "200", Status: 200,
			Wrong: "headers is a list, not an object"}},
		{`{"statusCode":200,"body":"?","isBase64Encoded":true}`, doctor.Shape{JSON: true, Kind: "object",
			StatusCode: "200",
			Status:     200, Wrong: "body is not base64"}},
		{`"text"`, doctor.Shape{JSON: true, Kind: "text"}}, {`[]`, doctor.Shape{JSON: true, Kind: "list"}},
		{`7`, doctor.Shape{JSON: true, Kind: "number"}}, {`true`, doctor.Shape{JSON: true, Kind: "boolean"}},
		{`no JSON`, doctor.Shape{Kind: "null"}}, {``, doctor.Shape{Kind: "null"}},
		{`{"statusCode":404,"body":"none"}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "404", Status: 404,
			Body: "none"}},
		{`{"statusCode":200,"body":null}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "200", Status: 200}},
		{`{"statusCode":200,"body":false}`, doctor.Shape{JSON: true, Kind: "object", StatusCode: "200", Status: 200,
			Wrong: "body is a boolean, not text"}},
	} {
		t.Run(c.payload, func(t *testing.T) {
			c.want.Length = len(c.payload)
			if got := shapeOf([]byte(c.payload)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestError: of a function's error, the type, the function's own frame and the error lines of the log are kept.
func TestError(t *testing.T) {
	for _, c := range []struct{ name, trace, want string }{
		{"Python", `["File \"/var/task/app.py\", line 1","File \"/var/task/lib.py\", line 9",` +
			`"File \"/opt/x.py\", line 3"]`,
			`File "/var/task/lib.py", line 9`},
		{"Node", `["Error: no","    at inner (/var/task/index.js:3:1)","    at handler (/var/task/index.js:9:1)"]`,
			"at inner (/var/task/index.js:3:1)"},
		{"a library", `["    at x (/var/task/node_modules/y/index.js:3:1)"]`, ""},
		{"no trace", `"none"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var frames any
			if err := json.Unmarshal([]byte(c.trace), &frames); err != nil {
				t.Fatal(err)
			}
			if got := ownFrame(frames); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	lines, report, id := logLines("START\n[ERROR] KeyError: 'x' user anna@example.com\nhello\n" +
		"REPORT RequestId: 0a-1 \tDuration: 1 ms\n")
	if !reflect.DeepEqual(lines, []string{"[ERROR] KeyError: 'x' user [masked]"}) || id != "0a-1" ||
		report != "REPORT RequestId: 0a-1 Duration: 1 ms" {
		t.Errorf("%q %q %q", lines, report, id)
	}
}

// TestReducedPath: values in a path are removed, but segments that resemble those of routes are kept.
func TestReducedPath(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/dev/notes/anna", "/dev/notes/{id}"}, {"/dev/ntoes", "/dev/ntoes"}, {"/dev/people/anna", "/dev/{…}/{…}"},
		{"/deb/notes", "/deb/notes"}, {"/prod/anna", "/prod/{…}"}, {"/0f1e2d/x", "/{…}/{…}"},
		{"/dev/notes/", "/dev/notes/"}, {"/", "/"}, {"/dev", "/dev"},
	} {
		t.Run(c.path, func(t *testing.T) {
			g := &gatherer{c: doctor.Case{Asked: doctor.Asked{Method: "GET", Path: c.path},
				Stages: doctor.Fact[[]doctor.Stage]{Value: &[]doctor.Stage{{Name: "dev"}}},
				Routes: doctor.Fact[[]doctor.Route]{
					Value: &[]doctor.Route{{Key: "GET /notes/{id}"}, {Key: "GET /notes"}},
				}}}
			if got := g.reducedPath(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
