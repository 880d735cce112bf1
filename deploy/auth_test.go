package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	gatewaytypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/deploy/cloud"
)

// ask asks the stack's API with a token, or without.
func (w *world) ask(method, token string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+"/_aws/execute-api/"+w.api()+"/dev/notes",
		strings.NewReader(`{"title":"x"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// is tells that the stack's API answers so.
func (w *world) is(what, method, token string, want int, says string) {
	w.t.Helper()
	if status, body := w.ask(method, token); status != want || !strings.Contains(body, says) {
		w.t.Errorf("%s: %d %s, want %d %s", what, status, body, want, says)
	}
}

// changed tells which calls that change something were made since.
func (w *world) changed(since int) (calls []string) {
	some, _ := w.calls(since)
	for _, c := range some {
		if cloud.IsWrite(c.Operation) {
			calls = append(calls, c.Operation)
		}
	}
	return calls
}

// makeJWTZip makes the function with JSON Web Tokens once.
var makeJWTZip sync.Once

// jwtZip is the function with JSON Web Tokens.
func (w *world) jwtZip() string {
	w.t.Helper()
	zip := filepath.Join(filepath.Dir(w.zip), "notes-jwt.zip")
	makeJWTZip.Do(func() { w.runs("zip", "--jwt", "--arch", runtime.GOARCH, "--out", zip) })
	return zip
}

var shown = regexp.MustCompile(`NOTES_TOKEN=(notes_\S+)`)

// TestNothingIsOpenByAccident: without a choice nothing is made, and what was chosen stays.
func TestNothingIsOpenByAccident(t *testing.T) {
	t.Parallel()
	w := enter(t)
	_, before := w.calls(0)
	for _, c := range [][2]string{
		{"", "say who may use the service"}, {"--auth=open", "--auth must be token, jwt or none"}, {"--auth=jwt",
			"needs --issuer"}, {"--auth=jwt --issuer=example.com --audience=x", "--issuer must be the issuer's https " +
			"URL"}, {"--issuer=https://example.com", "go with --auth jwt"},
		{"--tokens=x", "goes with --auth token"}, {"--auth=none --tokens=x", "goes with --auth token"},
		{"--auth=token --tokens=anna", "--tokens: token 1: must be"}, {"--auth=token --audience=x",
			"go with --auth jwt"},
		{"--auth=token --tokens=" + strings.Repeat("x", 4000), "has room for 3500"}, {"--auth=none --concurrency=-1",
			"must be 0 or more"}, {"--auth=token --tokens=", "--tokens is empty"}, {"--auth=", "--auth is empty"},
		{"--auth=none --boundary=", "--boundary is empty"},
	} {
		for _, verb := range []string{"up", "plan"} {
			out, err := w.deploy(append([]string{verb, "--stack", w.name}, strings.Fields(c[0])...)...)
			if err == nil || !strings.Contains(err.Error(), c[1]) || strings.Contains(out, "NOTES_TOKEN=") {
				t.Errorf("%s %.80s: %v %s, want %q", verb, c[0], err, out, c[1])
			}
		}
	}
	if made := w.changed(before); made != nil {
		t.Errorf("mistakes made %v", made)
	}
}

// TestToken: a token is made and shown once, only its hash is kept, and it stays what it is until others are given.
func TestToken(t *testing.T) {
	w := enter(t)
	out := w.runs("up", "--stack", w.name, "--zip", w.zip, "--auth", "token")
	match := shown.FindStringSubmatch(out)
	if match == nil || strings.Count(out, match[1]) != 1 || !strings.Contains(out, "a note was created, read, changed") {
		t.Fatalf("up says %s", out)
	}
	function, err := w.functions().GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprint(function.Environment.Variables); strings.Contains(said, match[1]) || !strings.Contains(said,
		"owner write sha256:") {
		t.Errorf("the function is told %s", said)
	}
	_, after := w.calls(0)
	w.is("a stranger", "GET", "", 401, `"code":"unauthenticated"`)
	w.is("another token", "GET", match[1]+"x", 401, `"code":"unauthenticated"`)
	w.is("the token", "GET", match[1], 200, `{"notes":[]}`)
	for _, args := range [][]string{{}, {"--auth", "token"}} {
		again := w.runs(append([]string{"up", "--stack", w.name, "--zip", w.zip}, args...)...)
		if strings.Contains(again, "notes_") || !strings.Contains(again, "requests without a token are refused") {
			t.Errorf("up again says %s", again)
		}
	}
	if made := w.changed(after); made != nil {
		t.Errorf("up again calls %v", made)
	}
	t.Setenv("NOTES_TOKEN", match[1])
	if out := w.runs("up", "--stack", w.name, "--zip", w.zip, "--check"); !strings.Contains(out,
		"a note was created, read, changed") {
		t.Errorf("with the token up says %s", out)
	}

	made, line, err := token.New("anna")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTES_TOKEN", "")
	w.runs("up", "--stack", w.name, "--zip", w.zip, "--tokens", strings.Replace(line, "write", "read", 1))
	w.is("the former token", "GET", match[1], 401, "unauthenticated")
	w.is("the new token", "GET", made, 200, `{"notes":[]}`)
	w.is("which may only read", "POST", made, 403, `"code":"forbidden"`)
	w.runs("down", "--stack", w.name, "--delete-data", w.name)
	cmd := w.command("up", "--stack", w.name, "--zip", w.zip, "--auth", "token", "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	again := shown.FindStringSubmatch(stderr.String())
	if err != nil || !json.Valid(stdout.Bytes()) || strings.Contains(stdout.String(), "notes_") || again == nil {
		t.Fatalf("as JSON up says %s %s, %v", &stdout, &stderr, err)
	}
	w.is("the token", "GET", again[1], 200, `{"notes":[]}`)
}

// TestDriftOfAuth: what somebody changed of who may come is not taken for what is meant, and what a person set beside
// it stays.
func TestDriftOfAuth(t *testing.T) {
	t.Parallel()
	w := enter(t)
	issuer := jwttest.New(t)
	zip := w.jwtZip()
	jwt := []string{"up", "--stack", w.name, "--zip", zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		jwttest.Audience}
	w.runs(jwt...)
	set := func(change func(map[string]string)) {
		t.Helper()
		function, err := w.functions().GetFunctionConfiguration(t.Context(),
			&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		change(function.Environment.Variables)
		if _, err := w.functions().UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
			FunctionName: &w.name, Environment: &lambdatypes.Environment{
				Variables: function.Environment.Variables}}); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string) {
		t.Helper()
		_, before := w.calls(0)
		if out, err := w.deploy("up", "--stack", w.name, "--zip", zip); err == nil || !strings.Contains(err.Error(),
			"say with --auth who may use the service") {
			t.Errorf("%s: %v %s", what, err, out)
		}
		if made := w.changed(before); made != nil {
			t.Errorf("%s: up calls %v", what, made)
		}
		w.is(what, "GET", "", 401, `{"message":"Unauthorized"}`)
	}
	set(func(v map[string]string) {
		maps.Copy(v, map[string]string{"NOTES_AUTH": "none", "NOTES_LOG_KEY": "0123456789abcdef-secret",
			"NOTES_CORS_ORIGINS": "https://example.com"})
		delete(v, "NOTES_JWT_ISSUER")
		delete(v, "NOTES_JWT_AUDIENCE")
	})
	refused("a function that was opened by hand")
	out := w.runs(jwt...)
	if strings.Contains(out, "secret") || !strings.Contains(out, "Environment.Variables.NOTES_AUTH changed") {
		t.Errorf("up says %s", out)
	}
	function, err := w.functions().GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if v := function.Environment.Variables; err != nil || v["NOTES_LOG_KEY"] == "" || v["NOTES_CORS_ORIGINS"] == "" ||
		v["NOTES_AUTH"] != "jwt" {
		t.Errorf("the function's variables are %v, %v", v, err)
	}
	w.runs("up", "--stack", w.name, "--zip", zip, "--auth", "none")
	w.is("opened on purpose", "GET", "", 200, "notes")
	api := aws.String(w.api())
	authorizer, err := w.gateway().CreateAuthorizer(t.Context(), &apigatewayv2.CreateAuthorizerInput{ApiId: api,
		Name: aws.String("mine"), AuthorizerType: "JWT", IdentitySource: []string{"$request.header.Authorization"},
		JwtConfiguration: &gatewaytypes.JWTConfiguration{Issuer: &issuer.URL, Audience: []string{"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := w.gateway().GetRoutes(t.Context(), &apigatewayv2.GetRoutesInput{ApiId: api})
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes.Items {
		if _, err := w.gateway().UpdateRoute(t.Context(), &apigatewayv2.UpdateRouteInput{ApiId: api,
			RouteId: route.RouteId, AuthorizationType: "JWT", AuthorizerId: authorizer.AuthorizerId}); err != nil {
			t.Fatal(err)
		}
	}
	refused("routes that a person guarded")
}

// TestJWT: API Gateway judges the tokens of an issuer, and the service judges them again; another choice leaves nothing
// of it.
func TestJWT(t *testing.T) {
	w := enter(t)
	issuer := jwttest.New(t)
	zip := w.jwtZip()
	t.Setenv("NOTES_TOKEN", issuer.Token(t, "deploy", "notes:write"))
	args := []string{"up", "--stack", w.name, "--zip", zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		jwttest.Audience}
	if out := w.runs(args...); !strings.Contains(out, "a note was created, read, changed") || !strings.Contains(out,
		"authorizer for tokens of "+issuer.URL) {
		t.Errorf("up says %s", out)
	}
	t.Setenv("NOTES_TOKEN", "")
	_, before := w.calls(0)
	if out := w.runs("up", "--stack", w.name, "--zip", zip); !strings.Contains(out, "requests without a token are refused") {
		t.Errorf("up again says %s", out)
	}
	if made := w.changed(before); made != nil {
		t.Errorf("up again calls %v", made)
	}
	w.is("a stranger", "GET", "", 401, `{"message":"Unauthorized"}`)
	w.is("a browser's question", "OPTIONS", "", 204, "")
	w.is("no scope", "GET", issuer.Token(t, "anna", "openid"), 403, `{"message":"Forbidden"}`)
	w.is("a reader", "GET", issuer.Token(t, "anna", "notes:read"), 200, `{"notes":[]}`)
	w.is("a reader", "POST", issuer.Token(t, "anna", "notes:read"), 403, `"code":"forbidden"`)
	w.is("a writer", "POST", issuer.Token(t, "anna", "notes:write"), 201, `"title":"x"`)
	w.is("another", "GET", issuer.Token(t, "ben", "notes:write"), 200, `{"notes":[]}`)
	event := `{"version":"2.0","rawPath":"/dev/notes","headers":{"host":"x"},` +
		`"requestContext":{"http":{"method":"GET","sourceIp":"127.0.0.1"},"stage":"dev",` +
		`"authorizer":{"jwt":{"claims":{"sub":"anna"}}}}}`
	if answer, err := w.functions().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &w.name,
		Payload: []byte(event)}); err != nil || !strings.Contains(string(answer.Payload), "unauthenticated") {
		t.Errorf("past API Gateway the function answers %s, %v", answer.Payload, err)
	}

	// What a person loosened is tightened.
	routes, err := w.gateway().GetRoutes(t.Context(), &apigatewayv2.GetRoutesInput{ApiId: aws.String(w.api())})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.gateway().UpdateRoute(t.Context(), &apigatewayv2.UpdateRouteInput{ApiId: aws.String(w.api()),
		RouteId: routes.Items[0].RouteId, AuthorizationType: "NONE", AuthorizationScopes: []string{}}); err != nil {
		t.Fatal(err)
	}
	if out := w.runs(args...); !strings.Contains(out, "AuthorizationType NONE -> JWT") {
		t.Errorf("up says %s", out)
	}

	w.runs("up", "--stack", w.name, "--zip", w.zip, "--auth", "none")
	w.is("a stranger", "GET", "", 200, `{"notes":[]}`)
	authorizers, err := w.gateway().GetAuthorizers(t.Context(),
		&apigatewayv2.GetAuthorizersInput{ApiId: aws.String(w.api())})
	if err != nil || len(authorizers.Items) > 0 {
		t.Errorf("of the authorizer there is left %v, %v", authorizers.Items, err)
	}
	if state := w.state(w.name); strings.Contains(state, "OPTIONS") || strings.Contains(state, "JWT") {
		t.Errorf("of the other choice there is left\n%s", state)
	}
	w.runs("down", "--stack", w.name)
}

// TestIssuerKeys: up refuses an issuer whose tokens API Gateway cannot check, and makes nothing.
func TestIssuerKeys(t *testing.T) {
	t.Parallel()
	w := enter(t)
	issuer := jwttest.New(t)
	issuer.Publish(`{"keys":[]}`)
	_, before := w.calls(0)
	out, err := w.deploy("up", "--stack", w.name, "--zip", w.zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		"notes")
	if !errors.Is(err, errUsage) || w.changed(before) != nil {
		t.Errorf("%v, %s", err, out)
	}
}

// TestConcurrency: it is reserved, changed and given back; an account that has no room is told, and served.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	w := enter(t)
	w.up()
	reserved := func() int32 {
		t.Helper()
		is, err := w.functions().GetFunctionConcurrency(t.Context(),
			&lambda.GetFunctionConcurrencyInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToInt32(is.ReservedConcurrentExecutions)
	}
	if reserved() != 100 {
		t.Errorf("reserved are %d", reserved())
	}
	if out := w.up("--concurrency", "7"); reserved() != 7 || !strings.Contains(out,
		"ReservedConcurrentExecutions 100 -> 7") {
		t.Errorf("reserved are %d; up says %s", reserved(), out)
	}
	if out := w.up("--concurrency", "0"); reserved() != 0 || !strings.Contains(out, "reserved concurrency removed") {
		t.Errorf("reserved are %d; up says %s", reserved(), out)
	}
	if out := w.up("--concurrency", "950"); reserved() != 0 || !strings.Contains(out,
		"the account's quota leaves no room") || !strings.Contains(out, "/dev/notes") {
		t.Errorf("reserved are %d; up says %s", reserved(), out)
	}
}

// TestBoundary: the role has the boundary that was told, and keeps it.
func TestBoundary(t *testing.T) {
	t.Parallel()
	w := enter(t)
	made, err := w.roles().CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: aws.String(w.name + "-bound"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",` +
			`"Resource":"*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	bound := *made.Policy.Arn
	has := func() string {
		role, err := w.roles().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String(w.name + "-us-east-1")})
		if err != nil {
			t.Fatal(err)
		}
		if role.Role.PermissionsBoundary == nil {
			return ""
		}
		return *role.Role.PermissionsBoundary.PermissionsBoundaryArn
	}
	w.up()
	if got := has(); got != "" {
		t.Errorf("without --boundary the role has %s", got)
	}
	if out := w.up("--boundary", bound); has() != bound || !strings.Contains(out, "setting boundary") {
		t.Errorf("the role has %q; up says %s", has(), out)
	}
	if out := w.up(); has() != bound || strings.Contains(out, "updated") {
		t.Errorf("a later up leaves %q, and says %s", has(), out)
	}
	w.answers("under the boundary", 200, `{"notes":[]}`)
}
