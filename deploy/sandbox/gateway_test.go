package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestStatuses: API Gateway's own answers, and its treatment of what functions return.
func TestStatuses(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	api := w.api(w.function(bootstrap(t)), "ANY /{what}", "GET /only")
	w.grant(api, "*/*")
	for _, c := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/dev/notes", "", 200, "/dev/notes"},
		{"GET", "/prod/notes", "", 404, notFoundBody},
		{"GET", "/notes", "", 404, notFoundBody},
		{"GET", "/dev/a/b", "", 404, notFoundBody},
		{"GET", "/dev", "", 404, notFoundBody},
		{"GET", "/", "", 404, notFoundBody},
		{"GET", "/dev/fail", "", 500, internalBody},
		{"GET", "/dev/panic", "", 500, internalBody},
		{"GET", "/dev/exit", "", 500, internalBody},
		{"GET", "/dev/exit0", "", 500, internalBody},
		{"GET", "/dev/big", "", 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":201,"body":"made"}`, 201, "made"},
		{"POST", "/dev/raw", `{"statusCode":"202","body":"as text"}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":103}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":200,"headers":{"x":5}}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":200,"headers":{"x":"a\u0000"}}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":200,"Body":"x"}`, 200, ""},
		{"POST", "/dev/raw", `{"statusCode":200,"body":"eA==","isBase64encoded":true}`, 200, "eA=="},
		{"POST", "/dev/raw", `{"statusCode":200,"body":"aGVsbG8=","isBase64Encoded":true}`, 200, "hello"},
		{"POST", "/dev/raw", `{"statusCode":200,"body":"no base64!","isBase64Encoded":true}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":"many"}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":99}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":200,"body":{"an":"object"}}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":200,"headers":{"x":["a","b"]}}`, 500, internalBody},
		{"POST", "/dev/raw", `{"statusCode":200,"headers":"x"}`, 500, internalBody},
		{"POST", "/dev/raw", `{"no":"statusCode"}`, 200, `{"no":"statusCode"}`},
		{"POST", "/dev/raw", `"a text"`, 200, "a text"},
		{"POST", "/dev/raw", `[1,2]`, 200, "[1,2]"},
		{"POST", "/dev/raw", `{"statusCode":204}`, 204, ""},
		{"POST", "/dev/echo", strings.Repeat("x", 7<<20), 413, `{"message":"Request Entity Too Large"}`},
		{"POST", "/dev/echo", strings.Repeat("x", maxBody+1), 413, `{"message":"Request Entity Too Large"}`},
	} {
		w.ask(api, c.method, c.path, c.body, "Content-Type", "application/json").is(t, fmt.Sprintf("%s %s %.60s",
			c.method, c.path, c.body), c.status, c.answer)
	}
	w.ask(api, "GET", "/dev/notes", "", "X-Long", strings.Repeat("x", maxHeaders)).is(t, "long headers", 431, "")
	w.ask("nosuchapi", "GET", "/dev/notes", "").is(t, "no such API", 404, notFoundBody)
	a := w.ask(api, "POST", "/dev/raw",
		`{"statusCode":200,"body":"x","headers":{"content-type":"text/x","x-number":"5"},"cookies":["a=1","b=2; `+
			`Secure"]}`, "Content-Type", "application/json")
	if a.header.Get("Content-Type") != "text/x" || a.header.Get("X-Number") != "5" ||
		!reflect.DeepEqual(a.header["Set-Cookie"], []string{"a=1", "b=2; Secure"}) ||
		a.header.Get("Apigw-Requestid") == "" {
		t.Errorf("headers are %v", a.header)
	}
	if a := w.ask(api, "POST", "/dev/raw", `{"statusCode":201,"headers":{"location":"/dev/x"}}`, "Content-Type",
		"application/json"); a.header.Get("Location") != apiPath+api+"/dev/x" {
		t.Errorf("Location is %q", a.header.Get("Location"))
	}
	did[*apigatewayv2.UpdateApiOutput](t)(w.gateway.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
		DisableExecuteApiEndpoint: aws.Bool(true)}))
	w.ask(api, "GET", "/dev/notes", "").is(t, "endpoint disabled", 404, notFoundBody)
}

// TestHost: an API also answers at its own host, with and without a default stage.
func TestHost(t *testing.T) {
	w := open(t)
	api := w.api(w.function(bootstrap(t)), "GET /notes", "GET /dev/notes")
	w.grant(api, "*")
	ask := func(path string) replied {
		r, err := http.NewRequest("GET", w.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = api + ".execute-api.us-east-1.amazonaws.com"
		return w.send(r)
	}
	ask("/dev/notes").is(t, "stage dev", 200, "/dev/notes")
	ask("/notes").is(t, "no default stage", 404, notFoundBody)
	w.stage(api, "$default")
	ask("/notes").is(t, "default stage", 200, "/notes")
	ask("/dev/notes").is(t, "a stage name hides a path", 200, "/dev/notes")
	ask("/$default/notes").is(t, "$default in a path", 404, notFoundBody)
}

// startEcho returns a world and an API whose function answers with its event, and a function that sends a request and
// returns the event.
func startEcho(t *testing.T) (w *world, api string, event func(method, path, body string,
	headers ...string) map[string]any) {
	t.Helper()
	w = open(t)
	ctx := t.Context()
	api = w.api(w.function(bootstrap(t)), "$default", "ANY /my/{proxy+}")
	did[*apigatewayv2.CreateStageOutput](t)(w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api,
		StageName: aws.String("$default"), AutoDeploy: aws.Bool(true),
		StageVariables: map[string]string{"stageVariable1": "value1"}}))
	w.grant(api, "*")
	return w, api, func(method, path, body string, headers ...string) map[string]any {
		t.Helper()
		a := w.ask(api, method, path, body, headers...)
		var e map[string]any
		if err := json.Unmarshal([]byte(a.body), &e); err != nil {
			t.Fatalf("%d %s: %v", a.status, a.body, err)
		}
		return e
	}
}

// TestEvents: a function gets the same event as one that API Gateway sent.
func TestEvents(t *testing.T) {
	_, api, event := startEcho(t)

	// Payload format 2.0: AWS's own library has an event for this request in its test data.
	got := event("GET", "/$default/echo", "", "User-Agent", "curl/7.58.0", "Accept", "*/*", "Accept-Encoding",
		"identity")
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-lambda-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)),
		"events/testdata/apigw-v2-request-no-authorizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(strings.ReplaceAll(string(recorded), "aaaaaaaaaa", api),
		"us-west-2", "us-east-1")), &want); err != nil {
		t.Fatal(err)
	}
	want["rawPath"] = "/echo"
	context := want["requestContext"].(map[string]any)
	context["http"].(map[string]any)["path"] = "/echo"
	want["stageVariables"] = map[string]any{"stageVariable1": "value1"}
	delete(context, "authentication")                          // for client certificates
	delete(got["headers"].(map[string]any), "accept-encoding") // Go's client always sends it
	compareEvents(t, "", got, want, "/headers/x-amzn-trace-id", "/headers/x-forwarded-for",
		"/requestContext/http/sourceIp",
		"/requestContext/requestId", "/requestContext/time", "/requestContext/timeEpoch")
}

// TestEventsOfTheGuide: events have the form of the developer guide's examples, in both payload formats.
func TestEventsOfTheGuide(t *testing.T) {
	w, api, event := startEcho(t)
	ctx := t.Context()
	// The example of the developer guide.
	got := event("POST", "/$default/my/a/echo?parameter1=value1&parameter1=value2&parameter2=value", "Hello", "Header1",
		"value1", "Header2", "value1", "Header2", "value2", "Cookie", "cookie1; cookie2", "Content-Type", "text/plain")
	for path, want := range map[string]any{
		"version": "2.0", "rawPath": "/my/a/echo",
		"rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value", "body": "Hello",
		"isBase64Encoded": false, "routeKey": "ANY /my/{proxy+}",
		"cookies": []any{"cookie1", "cookie2"}, "queryStringParameters": map[string]any{"parameter1": "value1,value2",
			"parameter2": "value"},
		"pathParameters": map[string]any{"proxy": "a/echo"},
		"stageVariables": map[string]any{"stageVariable1": "value1"},
	} {
		if !reflect.DeepEqual(got[path], want) {
			t.Errorf("%s is %v, AWS documents %v", path, got[path], want)
		}
	}
	if h := got["headers"].(map[string]any); h["header1"] != "value1" || h["header2"] != "value1,value2" ||
		h["cookie"] != nil {
		t.Errorf("headers are %v", h)
	}
	// The path is decoded and contains a named stage. A body that is not text is in base64.
	got = event("POST", "/dev/a%2Fb%20c/echo", "a=1", "Content-Type", "application/x-www-form-urlencoded")
	if got["rawPath"] != "/dev/a/b c/echo" || got["body"] != "YT0x" || got["isBase64Encoded"] != true {
		t.Errorf("path %q, body %q", got["rawPath"], got["body"])
	}

	// Payload format 1.0.
	i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(ctx,
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0]
	did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(ctx,
		&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i.IntegrationId,
			PayloadFormatVersion: aws.String("1.0")}))
	got = event("GET", "/$default/my/a/echo?parameter1=value1&parameter1=value2", "", "Header2", "value1", "Header2",
		"value2", "Cookie", "cookie1; cookie2")
	for path, want := range map[string]any{
		"version": "1.0", "resource": "/my/{proxy+}", "path": "/my/a/echo", "httpMethod": "GET", "body": nil,
		"isBase64Encoded":                 false,
		"queryStringParameters":           map[string]any{"parameter1": "value2"},
		"multiValueQueryStringParameters": map[string]any{"parameter1": []any{"value1", "value2"}},
		"pathParameters":                  map[string]any{"proxy": "a/echo"},
		"stageVariables":                  map[string]any{"stageVariable1": "value1"},
	} {
		if !reflect.DeepEqual(got[path], want) {
			t.Errorf("%s is %v, AWS documents %v", path, got[path], want)
		}
	}
	if h, m := got["headers"].(map[string]any), got["multiValueHeaders"].(map[string]any); h["header2"] != "value2" ||
		h["cookie"] != "cookie1; cookie2" || !reflect.DeepEqual(m["header2"], []any{"value1", "value2"}) {
		t.Errorf("headers are %v and %v", h, m)
	}
	w.ask(api, "POST", "/dev/my/raw", `{"no":"statusCode"}`, "Content-Type", "application/json").is(t,
		"format 1.0 without a statusCode", 500, internalBody)
}

// compareEvents compares two events; at the paths in decided, which AWS chooses, it compares only types.
func compareEvents(t *testing.T, path string, got, want any, decided ...string) {
	t.Helper()
	g, gotMap := got.(map[string]any)
	m, wantMap := want.(map[string]any)
	if gotMap && wantMap {
		for name := range m {
			if _, ok := g[name]; !ok {
				t.Errorf("%s/%s is missing", path, name)
			}
		}
		for name := range g {
			compareEvents(t, path+"/"+name, g[name], m[name], decided...)
		}
		return
	}
	for _, d := range decided {
		if d == path && reflect.TypeOf(got) == reflect.TypeOf(want) {
			return
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v, recorded was %v", path, got, want)
	}
}

// TestStages: deployments, stage variables, throttling and access logs.
func TestStages(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	api := w.api("arn:aws:lambda:us-east-1:"+Account+":function:${stageVariables.function}", "GET /notes")
	name := aws.String("prod")
	w.grant(api, "*")

	did[*apigatewayv2.CreateStageOutput](t)(w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api,
		StageName: name}))
	w.ask(api, "GET", "/prod/notes", "").is(t, "nothing deployed", 404, notFoundBody)
	d := did[*apigatewayv2.CreateDeploymentOutput](t)(w.gateway.CreateDeployment(ctx,
		&apigatewayv2.CreateDeploymentInput{ApiId: &api, StageName: name}))
	w.ask(api, "GET", "/prod/notes", "").is(t, "the stage variable is not set", 500, internalBody)
	w.update(api, *name, apigatewayv2.UpdateStageInput{StageVariables: map[string]string{"function": w.name}})
	w.ask(api, "GET", "/prod/notes", "").is(t, "deployed", 200, "/prod/notes")
	i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(ctx,
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0]
	did[*apigatewayv2.CreateRouteOutput](t)(w.gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api,
		RouteKey: aws.String("GET /later"), Target: aws.String("integrations/" + *i.IntegrationId)}))
	w.ask(api, "GET", "/prod/later", "").is(t, "a route that is not deployed", 404, notFoundBody)
	before := did[*apigatewayv2.GetStageOutput](t)(w.gateway.GetStage(ctx, &apigatewayv2.GetStageInput{ApiId: &api,
		StageName: name}))
	if *before.DeploymentId != *d.DeploymentId {
		t.Errorf("the stage serves %s, not %s", *before.DeploymentId, *d.DeploymentId)
	}
	after := w.update(api, *name, apigatewayv2.UpdateStageInput{AutoDeploy: aws.Bool(true)})
	if *after.DeploymentId == *d.DeploymentId || after.LastDeploymentStatusMessage == nil {
		t.Errorf("after AutoDeploy the stage serves %v, %v", *after.DeploymentId, after.LastDeploymentStatusMessage)
	}
	w.ask(api, "GET", "/prod/later", "").is(t, "a route that is deployed", 200, "/prod/later")
	if all := did[*apigatewayv2.GetDeploymentsOutput](t)(w.gateway.GetDeployments(ctx,
		&apigatewayv2.GetDeploymentsInput{ApiId: &api})).Items; len(all) < 3 ||
		*all[0].DeploymentId != *after.DeploymentId {
		t.Errorf("the deployments are %v", all)
	}
}

// TestAccessLog: a stage's access log has a line for each request, and its log group must exist.
func TestAccessLog(t *testing.T) {
	w := open(t)
	ctx, name := t.Context(), aws.String("prod")
	api := w.api(w.function(bootstrap(t)), "GET /notes", "GET /later")
	w.grant(api, "*")
	w.stage(api, *name)
	group := aws.String("/aws/vendedlogs/" + w.name)
	destination := aws.String("arn:aws:logs:us-east-1:" + Account + ":log-group:" + *group)
	settings := &types.AccessLogSettings{DestinationArn: destination,
		Format: aws.String(`{"id":"$context.requestId","status":$context.status,"route":"$context.routeKey",` +
			`"why":"$context.integrationErrorMessage","no":"$context.nosuch"}`)}
	if _, err := w.gateway.UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: name,
		AccessLogSettings: settings}); err == nil {
		t.Error("an access log to a missing group is accepted")
	}
	did[*cloudwatchlogs.CreateLogGroupOutput](t)(w.groups.CreateLogGroup(ctx,
		&cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}))
	if _, err := w.gateway.UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: name,
		AccessLogSettings: &types.AccessLogSettings{DestinationArn: destination,
			Format: aws.String("$context.status")}}); err == nil {
		t.Error("an access log without a request id is accepted")
	}
	w.update(api, *name, apigatewayv2.UpdateStageInput{AccessLogSettings: settings})
	a := w.ask(api, "GET", "/prod/notes", "")
	w.logged(*group, `{"id":"`+a.header.Get(
		"Apigw-Requestid")+`","status":200,"route":"GET /notes","why":"-","no":"-"}`)
	did[*lambda.RemovePermissionOutput](t)(w.functions.RemovePermission(ctx,
		&lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: aws.String("test")}))
	a = w.ask(api, "GET", "/prod/notes", "")
	a.is(t, "no grant", 500, internalBody)
	w.logged(*group, `{"id":"`+a.header.Get(
		"Apigw-Requestid")+`","status":500,"route":"GET /notes","why":"`+fmt.Sprintf(noPermission, "integration",
		"integration")+`","no":"-"}`)
	did[*apigatewayv2.CreateStageOutput](t)(w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api,
		StageName: aws.String("empty"), AccessLogSettings: settings}))
	w.ask(api, "GET", "/empty/notes", "").is(t, "a stage without a deployment", 404, notFoundBody)
}

// TestThrottling: a stage's limits apply, and a route's own settings override them.
func TestThrottling(t *testing.T) {
	w := open(t)
	ctx, name := t.Context(), aws.String("prod")
	api := w.api(w.function(bootstrap(t)), "GET /notes", "GET /later")
	w.grant(api, "*")
	w.stage(api, *name)
	w.update(api, *name, apigatewayv2.UpdateStageInput{DefaultRouteSettings: &types.RouteSettings{
		ThrottlingBurstLimit: aws.Int32(3), ThrottlingRateLimit: aws.Float64(0.001)}})
	for n := range 5 {
		want := 200
		if n >= 3 {
			want = 429
		}
		w.ask(api, "GET", "/prod/notes", "").is(t, fmt.Sprint("throttled request ", n), want, "")
	}
	w.update(api, *name, apigatewayv2.UpdateStageInput{DefaultRouteSettings: &types.RouteSettings{
		ThrottlingBurstLimit: aws.Int32(100)}})
	w.ask(api, "GET", "/prod/notes", "").is(t, "burst without a rate", 429, `{"message":"Too Many Requests"}`)
	w.update(api, *name, apigatewayv2.UpdateStageInput{RouteSettings: map[string]types.RouteSettings{"GET /notes": {
		ThrottlingBurstLimit: aws.Int32(100), ThrottlingRateLimit: aws.Float64(100)}}})
	w.ask(api, "GET", "/prod/notes", "").is(t, "a route's own settings", 200, "")
	w.ask(api, "GET", "/prod/later", "").is(t, "the default settings", 429, "")
	did[*apigatewayv2.DeleteStageOutput](t)(w.gateway.DeleteStage(ctx, &apigatewayv2.DeleteStageInput{ApiId: &api,
		StageName: name}))
	w.ask(api, "GET", "/prod/notes", "").is(t, "a deleted stage", 404, notFoundBody)
}

// TestCORS: preflight requests and headers of an API with a CORS configuration.
func TestCORS(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	api := w.api(w.function(bootstrap(t)), "POST /raw")
	w.grant(api, "*")
	w.ask(api, "OPTIONS", "/dev/raw", "", "Origin", "https://a.example", "Access-Control-Request-Method", "POST").is(t,
		"no configuration", 404, notFoundBody)
	did[*apigatewayv2.UpdateApiOutput](t)(w.gateway.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
		CorsConfiguration: &types.Cors{
			AllowOrigins: []string{"https://a.example"}, AllowMethods: []string{"POST"},
			AllowHeaders: []string{"content-type"}, MaxAge: aws.Int32(60), ExposeHeaders: []string{"etag"}}}))
	a := w.ask(api, "OPTIONS", "/dev/raw", "", "Origin", "https://a.example", "Access-Control-Request-Method", "POST")
	a.is(t, "preflight", 204, "")
	if h := a.header; h.Get("Access-Control-Allow-Origin") != "https://a.example" ||
		h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Max-Age") != "60" {
		t.Errorf("preflight headers are %v", h)
	}
	a = w.ask(api, "POST", "/dev/raw", `{"statusCode":200,"headers":{"access-control-allow-origin":"*"}}`, "Origin",
		"https://a.example", "Content-Type", "application/json")
	if a.header.Get("Access-Control-Allow-Origin") != "https://a.example" ||
		a.header.Get("Access-Control-Expose-Headers") != "etag" {
		t.Errorf("headers are %v", a.header)
	}
	if a = w.ask(api, "POST", "/dev/raw", `{"statusCode":200}`, "Origin", "https://b.example", "Content-Type",
		"application/json"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign origin gets %v", a.header)
	}
}

// TestIAMAuthorization: an unsigned request is forbidden, and the event describes the signer of others.
func TestIAMAuthorization(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	api := w.api(w.function(bootstrap(t)), "GET /echo")
	w.grant(api, "*")
	r := did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
		&apigatewayv2.GetRoutesInput{ApiId: &api})).Items[0]
	did[*apigatewayv2.UpdateRouteOutput](t)(w.gateway.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api,
		RouteId: r.RouteId, AuthorizationType: types.AuthorizationTypeAwsIam}))
	w.ask(api, "GET", "/dev/echo", "").is(t, "not signed", 403, forbiddenBody)
	i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(ctx,
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0].IntegrationId
	for format, says := range map[string]string{"1.0": `"accessKey":"a","accountId":"` + Account + `"`,
		"2.0": `"authorizer":{"iam":{"accessKey":"a",`} {
		did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(ctx,
			&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i, PayloadFormatVersion: &format}))
		a := w.ask(api, "GET", "/dev/echo", "", "Authorization",
			"AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, "+
				"Signature=x")
		if a.status != 200 || !strings.Contains(a.body, says) {
			t.Errorf("format %s: %d %s, want %s", format, a.status, a.body, says)
		}
	}
}
