package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox"
)

// anotherAPI makes an API with all kinds of routes, and returns its id and its authorizer's.
func (w *world) anotherAPI() (api, authorizer *string) {
	w.t.Helper()
	ctx, gateway := w.t.Context(), w.gateway()
	arn := "arn:aws:lambda:us-east-1:" + sandbox.Account + ":function:" + w.name
	made, err := gateway.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String("another"), ProtocolType: "HTTP"})
	if err != nil {
		w.t.Fatal(err)
	}
	api = made.ApiId
	if _, err := w.functions().PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &w.name}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.functions().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &w.name,
		Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		w.t.Fatal(err)
	}
	integrations := map[string]string{}
	for what, in := range map[string]*apigatewayv2.CreateIntegrationInput{
		"bare": {IntegrationType: "AWS_PROXY", IntegrationUri: &arn},
		"alias": {IntegrationType: "AWS_PROXY",
			IntegrationUri: aws.String("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + arn +
				":live/invocations")},
		"stage": {IntegrationType: "AWS_PROXY", IntegrationUri: aws.String("arn:aws:lambda:us-east-1:" +
			sandbox.Account + ":function:${stageVariables.fn}")},
		"role": {IntegrationType: "AWS_PROXY", IntegrationUri: &arn, CredentialsArn: aws.String("arn:aws:iam::" +
			sandbox.Account + ":role/x")},
		"account": {IntegrationType: "AWS_PROXY",
			IntegrationUri: aws.String("arn:aws:lambda:us-east-1:999999999999:function:x")},
		"http": {IntegrationType: "HTTP_PROXY", IntegrationUri: aws.String("https://example.com"),
			IntegrationMethod: aws.String("GET")},
	} {
		in.ApiId, in.PayloadFormatVersion = api, aws.String("2.0")
		i, err := gateway.CreateIntegration(ctx, in)
		if err != nil {
			w.t.Fatal(err)
		}
		integrations[what] = "integrations/" + *i.IntegrationId
	}
	routes := map[string]string{"GET /notes": "bare", "ANY /notes/{id}": "bare", "GET /alias": "alias",
		"GET /stage": "stage", "GET /role": "role", "GET /account": "account", "GET /http": "http", "$default": "bare"}
	for key, what := range routes {
		if _, err := gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: api, RouteKey: &key,
			Target: aws.String(integrations[what])}); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, stage := range []string{"dev", "$default"} {
		variables := map[string]string{"fn": w.name}
		if stage == "dev" {
			variables = map[string]string{"fn": w.name + "-unset"}
		}
		if _, err := gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: api, StageName: &stage,
			AutoDeploy: aws.Bool(true), StageVariables: variables}); err != nil {
			w.t.Fatal(err)
		}
	}
	a, err := gateway.CreateAuthorizer(ctx, &apigatewayv2.CreateAuthorizerInput{ApiId: api,
		Name: aws.String("mine"), AuthorizerType: "REQUEST", AuthorizerUri: &arn,
		AuthorizerPayloadFormatVersion: aws.String("2.0"), IdentitySource: []string{"$request.header.Authorization"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return api, a.AuthorizerId
}

// TestPermit checks that permit fixes an API made by others, grants only what its routes need, keeps the statements of
// others, and lists the routes that no grant can make work.
func TestPermit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	ctx := t.Context()
	api, authorizer := w.anotherAPI()
	ask := func(path string) int {
		a, err := http.Get(w.URL + "/_aws/execute-api/" + *api + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		return a.StatusCode
	}
	// Statements as SAM, CDK, Serverless, Terraform and the console make them, for another API.
	for i, pattern := range []string{"*/GET/notes", "*/*/notes/{id}", "*", "*/*", "*/$default"} {
		if _, err := w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name,
			StatementId: aws.String(fmt.Sprint("other", i)), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("apigateway.amazonaws.com"),
			SourceArn: aws.String("arn:aws:execute-api:us-east-1:" + sandbox.Account + ":otherapi/" +
				pattern)}); err != nil {
			t.Fatal(err)
		}
	}
	statements := func() string {
		p, err := w.functions().GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		return *p.Policy
	}
	before := statements()
	if got := ask("/dev/notes"); got != 500 {
		t.Errorf("before permit: %d", got)
	}
	out := w.mustRun("permit", "--api", *api, "--function", w.name)
	for path, want := range map[string]int{"/dev/notes": 200, "/dev/notes/x": 404, "/dev/alias": 404,
		"/$default/notes": 200, "/$default/stage": 404, "/$default/elsewhere": 404, "/dev/elsewhere": 404} {
		if got := ask(path); got != want { // 404 comes from the service
			t.Errorf("after permit %s answers %d, want %d", path, got, want)
		}
	}
	for _, want := range []string{"GET /role", "whose policy decides", "GET /account",
		`its function is of account "999999999999"`, "GET /http", "which is not a Lambda function",
		"it invokes another function, " + w.name + "-unset"} {
		if !strings.Contains(out, want) {
			t.Errorf("permit does not print %q: %s", want, out)
		}
	}
	// The new statements allow nothing more than the routes, and the existing statements are unchanged.
	granted := map[string]bool{}
	document, err := policy.Parse([]byte(statements()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range document.Statement {
		if source := s.Condition["ArnLike"]["AWS:SourceArn"]; strings.HasPrefix(s.Sid, "notes-") &&
			strings.Contains(source[0], *api) {
			granted[source[0][strings.Index(source[0], *api)+len(*api)+1:]] = true
		}
	}
	want := map[string]bool{"dev/GET/notes": true, "dev/*/notes/*": true, "dev/$default": true,
		"$default/GET/notes": true, "$default/*/notes/*": true, "$default/$default": true, "$default/GET/stage": true,
		"authorizers/" + *authorizer: true}
	if fmt.Sprint(granted) != fmt.Sprint(want) {
		t.Errorf("permit granted %v, want %v", granted, want)
	}
	if !strings.HasPrefix(statements(), strings.TrimSuffix(before, "]}")) {
		t.Error("permit changed existing statements")
	}
}

// TestPermitAgain checks that permit skips what others allow, removes statements that no route needs, and rejects bad
// arguments.
func TestPermitAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	ctx, gateway := t.Context(), w.gateway()
	api, _ := w.anotherAPI()
	w.mustRun("permit", "--api", *api, "--function", w.name)
	// A statement that allows everything makes grants unnecessary.
	if _, err := w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name,
		StatementId: aws.String("wide"), Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("apigateway.amazonaws.com"),
		SourceArn: aws.String("arn:aws:execute-api:us-east-1:" + sandbox.Account + ":" + *api + "/*")}); err != nil {
		t.Fatal(err)
	}
	if out := w.mustRun("permit", "--api", *api, "--stage", "dev", "--scope", "stage"); !strings.Contains(out,
		"statement wide, made by others, already allows it") {
		t.Errorf("permit with a wide statement prints %s", out)
	}
	// The grant of a deleted route is removed.
	all, err := cloud.New(w.cfg).Do(ctx, &apigatewayv2.GetRoutesInput{ApiId: api})
	if err != nil {
		t.Fatal(err)
	}
	id := cloud.Texts("Items[?RouteKey=='$default'].RouteId", all)[0]
	if _, err := gateway.DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: &id}); err != nil {
		t.Fatal(err)
	}
	if out := w.mustRun("permit", "--api", *api); !strings.Contains(out, "no route needs it") {
		t.Errorf("permit without a route prints %s", out)
	}
	for _, args := range [][]string{{"permit"}, {"permit", "--api", "nosuch"}, {"permit", "--api", *api, "--stage",
		"nosuch"}, {"permit", "--api", *api, "--function", "nosuch"}, {"permit", "--api", *api, "--scope", "x"},
		{"explain"}, {"explain", "arn:x"}} {
		if out, err := w.deploy(args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out := w.mustRun("explain", "arn:aws:execute-api:us-east-1:"+sandbox.Account+":"+*api+"/dev/GET/notes", "--api",
		*api); strings.Count(out, " allowed") != 1 {
		t.Errorf("explain prints %s", out)
	}
}

// TestScopes checks that the API works after a wide grant is replaced by narrow ones.
func TestScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	api := w.api()
	w.mustRun("permit", "--api", api, "--scope", "stage")
	w.checkNotes("with one statement for the stage", 200, `{"notes":[]}`)
	w.mustRun("permit", "--api", api)
	w.checkNotes("narrowed by permit", 200, `{"notes":[]}`)
	w.mustRun("permit", "--api", api, "--scope", "api")
	w.up()
	w.checkNotes("narrowed by up", 200, `{"notes":[]}`)
	if got := w.state(w.name); !strings.HasSuffix(got,
		"API0/dev/*/notes arn:aws:execute-api:us-east-1:"+sandbox.Account+":API0/dev/*/notes/*]") {
		t.Errorf("the grants are %s", got[strings.LastIndex(got, "\n"):])
	}
}

// TestFullPolicy checks that permit writes nothing if the policy has no room, and that a wider scope then fits.
func TestFullPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	ctx, api := t.Context(), w.api()
	integrations, err := w.gateway().GetIntegrations(ctx, &apigatewayv2.GetIntegrationsInput{ApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := w.gateway().CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api,
			RouteKey: aws.String(fmt.Sprint("GET /more/", i)), Target: aws.String("integrations/" +
				*integrations.Items[0].IntegrationId)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; ; i++ {
		if _, err := w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name,
			StatementId: aws.String(fmt.Sprint("other", i)), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("s3.amazonaws.com"), SourceArn: aws.String("arn:aws:s3:::" + strings.Repeat("x",
				200)), SourceAccount: aws.String(sandbox.Account)}); err != nil {
			break // it is full
		}
	}
	policyText := func() string {
		p, err := w.functions().GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		return *p.Policy
	}
	before := policyText()
	if out, err := w.deploy("permit", "--api", api); err == nil || !strings.Contains(err.Error(),
		"use --scope stage or --scope api") || policyText() != before {
		t.Errorf("permit with a full policy: %v, %s", err, out)
	}
	for i := range 2 {
		if _, err := w.functions().RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &w.name,
			StatementId: aws.String(fmt.Sprint("other", i))}); err != nil {
			t.Fatal(err)
		}
	}
	if out := w.mustRun("permit", "--api", api, "--scope", "api"); strings.Count(out, "created") != 1 {
		t.Errorf("permit --scope api prints %s", out)
	}
}
