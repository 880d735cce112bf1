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

// request sends a request to the stack's API, with a bearer token unless it is empty.
func (w *world) request(method, bearer string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+"/_aws/execute-api/"+w.api()+"/dev/notes",
		strings.NewReader(`{"title":"x"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return w.send(r)
}

// send sends a request, and returns the status and the body of the answer.
func (w *world) send(r *http.Request) (int, string) {
	w.t.Helper()
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

// checkAnswer checks the status of an answer of the stack's API, and that its body contains a string.
func (w *world) checkAnswer(what, method, bearer string, status int, body string) {
	w.t.Helper()
	if s, b := w.request(method, bearer); s != status || !strings.Contains(b, body) {
		w.t.Errorf("%s: %d %s, want %d %s", what, s, b, status, body)
	}
}

// writes returns the operations since an index of [sandbox.Sandbox.Calls] that change something.
func (w *world) writes(since int) (calls []string) {
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

// jwtZip returns a zip of the function with JSON Web Tokens.
func (w *world) jwtZip() string {
	w.t.Helper()
	zip := filepath.Join(filepath.Dir(w.zip), "notes-jwt.zip")
	makeJWTZip.Do(func() { w.mustRun("zip", "--jwt", "--arch", runtime.GOARCH, "--out", zip) })
	return zip
}

var tokenLine = regexp.MustCompile(`NOTES_TOKEN=(notes_\S+)`)

// TestNothingIsOpenByAccident checks that up and plan reject missing or contradictory authentication, and make nothing.
func TestNothingIsOpenByAccident(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	if made := w.writes(before); made != nil {
		t.Errorf("rejected commands called %v", made)
	}
}

// TestToken checks that a new token is shown once, that only its hash is stored, and that it is valid until replaced.
func TestToken(t *testing.T) {
	w := newWorld(t)
	out := w.mustRun("up", "--stack", w.name, "--zip", w.zip, "--auth", "token")
	match := tokenLine.FindStringSubmatch(out)
	if match == nil || strings.Count(out, match[1]) != 1 ||
		!strings.Contains(out, "a note was created, read, changed") {
		t.Fatalf("up prints %s", out)
	}
	function, err := w.functions().GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if err != nil {
		t.Fatal(err)
	}
	if variables := fmt.Sprint(function.Environment.Variables); strings.Contains(variables, match[1]) ||
		!strings.Contains(variables, "owner write sha256:") {
		t.Errorf("the function's variables are %s", variables)
	}
	_, after := w.calls(0)
	w.checkAnswer("no token", "GET", "", 401, `"code":"unauthenticated"`)
	w.checkAnswer("a wrong token", "GET", match[1]+"x", 401, `"code":"unauthenticated"`)
	w.checkAnswer("the token", "GET", match[1], 200, `{"notes":[]}`)
	for _, args := range [][]string{{}, {"--auth", "token"}} {
		again := w.mustRun(append([]string{"up", "--stack", w.name, "--zip", w.zip}, args...)...)
		if strings.Contains(again, "notes_") || !strings.Contains(again, "requests without a token are refused") {
			t.Errorf("the second up prints %s", again)
		}
	}
	if made := w.writes(after); made != nil {
		t.Errorf("the second up calls %v", made)
	}
	t.Setenv("NOTES_TOKEN", match[1])
	if out := w.mustRun("up", "--stack", w.name, "--zip", w.zip, "--check"); !strings.Contains(out,
		"a note was created, read, changed") {
		t.Errorf("up with the token prints %s", out)
	}

	made, line, err := token.New("anna")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTES_TOKEN", "")
	w.mustRun("up", "--stack", w.name, "--zip", w.zip, "--tokens", strings.Replace(line, "write", "read", 1))
	w.checkAnswer("the former token", "GET", match[1], 401, "unauthenticated")
	w.checkAnswer("the new token", "GET", made, 200, `{"notes":[]}`)
	w.checkAnswer("the new token, which may only read,", "POST", made, 403, `"code":"forbidden"`)
	w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
	cmd := w.command("up", "--stack", w.name, "--zip", w.zip, "--auth", "token", "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	again := tokenLine.FindStringSubmatch(stderr.String())
	if err != nil || !json.Valid(stdout.Bytes()) || strings.Contains(stdout.String(), "notes_") || again == nil {
		t.Fatalf("up --json prints %s %s, %v", &stdout, &stderr, err)
	}
	w.checkAnswer("the token", "GET", again[1], 200, `{"notes":[]}`)
}

// TestDriftOfAuth checks that up rejects authentication that was changed by hand, and keeps other variables set by
// hand.
func TestDriftOfAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := jwttest.New(t)
	zip := w.jwtZip()
	jwt := []string{"up", "--stack", w.name, "--zip", zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		jwttest.Audience}
	w.mustRun(jwt...)
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
	checkRejected := func(what string) {
		t.Helper()
		_, before := w.calls(0)
		if out, err := w.deploy("up", "--stack", w.name, "--zip", zip); err == nil || !strings.Contains(err.Error(),
			"say with --auth who may use the service") {
			t.Errorf("%s: %v %s", what, err, out)
		}
		if made := w.writes(before); made != nil {
			t.Errorf("%s: up calls %v", what, made)
		}
		w.checkAnswer(what, "GET", "", 401, `{"message":"Unauthorized"}`)
	}
	set(func(v map[string]string) {
		maps.Copy(v, map[string]string{"NOTES_AUTH": "none", "NOTES_LOG_KEY": "0123456789abcdef-secret",
			"NOTES_CORS_ORIGINS": "https://example.com"})
		delete(v, "NOTES_JWT_ISSUER")
		delete(v, "NOTES_JWT_AUDIENCE")
	})
	checkRejected("a function opened by hand")
	out := w.mustRun(jwt...)
	if strings.Contains(out, "secret") || !strings.Contains(out, "Environment.Variables.NOTES_AUTH changed") {
		t.Errorf("up prints %s", out)
	}
	function, err := w.functions().GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if v := function.Environment.Variables; err != nil || v["NOTES_LOG_KEY"] == "" || v["NOTES_CORS_ORIGINS"] == "" ||
		v["NOTES_AUTH"] != "jwt" {
		t.Errorf("the function's variables are %v, %v", v, err)
	}
	w.mustRun("up", "--stack", w.name, "--zip", zip, "--auth", "none")
	w.checkAnswer("opened with --auth none", "GET", "", 200, "notes")
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
	checkRejected("routes guarded by hand")
}

// TestJWT checks that both API Gateway and the service check the tokens of an issuer, and that changing to another kind
// of authentication removes the authorizer.
func TestJWT(t *testing.T) {
	w := newWorld(t)
	issuer := jwttest.New(t)
	zip := w.jwtZip()
	t.Setenv("NOTES_TOKEN", issuer.Token(t, "deploy", "notes:write"))
	args := []string{"up", "--stack", w.name, "--zip", zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		jwttest.Audience}
	if out := w.mustRun(args...); !strings.Contains(out, "a note was created, read, changed") || !strings.Contains(out,
		"authorizer for tokens of "+issuer.URL) {
		t.Errorf("up prints %s", out)
	}
	t.Setenv("NOTES_TOKEN", "")
	_, before := w.calls(0)
	if out := w.mustRun("up", "--stack", w.name, "--zip", zip); !strings.Contains(out,
		"requests without a token are refused") {
		t.Errorf("the second up prints %s", out)
	}
	if made := w.writes(before); made != nil {
		t.Errorf("the second up calls %v", made)
	}
	w.checkAnswer("no token", "GET", "", 401, `{"message":"Unauthorized"}`)
	w.checkAnswer("a preflight request", "OPTIONS", "", 204, "")
	w.checkAnswer("no scope", "GET", issuer.Token(t, "anna", "openid"), 403, `{"message":"Forbidden"}`)
	w.checkAnswer("a reader", "GET", issuer.Token(t, "anna", "notes:read"), 200, `{"notes":[]}`)
	w.checkAnswer("a reader", "POST", issuer.Token(t, "anna", "notes:read"), 403, `"code":"forbidden"`)
	w.checkAnswer("a writer", "POST", issuer.Token(t, "anna", "notes:write"), 201, `"title":"x"`)
	w.checkAnswer("another owner", "GET", issuer.Token(t, "ben", "notes:write"), 200, `{"notes":[]}`)
	event := `{"version":"2.0","rawPath":"/dev/notes","headers":{"host":"x"},` +
		`"requestContext":{"http":{"method":"GET","sourceIp":"127.0.0.1"},"stage":"dev",` +
		`"authorizer":{"jwt":{"claims":{"sub":"anna"}}}}}`
	if answer, err := w.functions().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &w.name,
		Payload: []byte(event)}); err != nil || !strings.Contains(string(answer.Payload), "unauthenticated") {
		t.Errorf("invoked directly, the function answers %s, %v", answer.Payload, err)
	}

	// Up restores a route that was opened by hand.
	routes, err := w.gateway().GetRoutes(t.Context(), &apigatewayv2.GetRoutesInput{ApiId: aws.String(w.api())})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.gateway().UpdateRoute(t.Context(), &apigatewayv2.UpdateRouteInput{ApiId: aws.String(w.api()),
		RouteId: routes.Items[0].RouteId, AuthorizationType: "NONE", AuthorizationScopes: []string{}}); err != nil {
		t.Fatal(err)
	}
	if out := w.mustRun(args...); !strings.Contains(out, "AuthorizationType NONE -> JWT") {
		t.Errorf("up prints %s", out)
	}

	w.mustRun("up", "--stack", w.name, "--zip", w.zip, "--auth", "none")
	w.checkAnswer("no token", "GET", "", 200, `{"notes":[]}`)
	authorizers, err := w.gateway().GetAuthorizers(t.Context(),
		&apigatewayv2.GetAuthorizersInput{ApiId: aws.String(w.api())})
	if err != nil || len(authorizers.Items) > 0 {
		t.Errorf("remaining authorizers: %v, %v", authorizers.Items, err)
	}
	if state := w.state(w.name); strings.Contains(state, "OPTIONS") || strings.Contains(state, "JWT") {
		t.Errorf("remains of the former authentication:\n%s", state)
	}
	w.mustRun("down", "--stack", w.name)
}

// TestIssuerKeys checks that up rejects an issuer whose tokens API Gateway cannot check, and makes nothing.
func TestIssuerKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := jwttest.New(t)
	issuer.Publish(`{"keys":[]}`)
	_, before := w.calls(0)
	out, err := w.deploy("up", "--stack", w.name, "--zip", w.zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		"notes")
	if !errors.Is(err, errUsage) || w.writes(before) != nil {
		t.Errorf("%v, %s", err, out)
	}
}

// TestConcurrency checks reserving, changing and removing concurrency, and the note for an account without room.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	reserved := func() int32 {
		t.Helper()
		concurrency, err := w.functions().GetFunctionConcurrency(t.Context(),
			&lambda.GetFunctionConcurrencyInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToInt32(concurrency.ReservedConcurrentExecutions)
	}
	if reserved() != 100 {
		t.Errorf("the reserved concurrency is %d", reserved())
	}
	if out := w.up("--concurrency", "7"); reserved() != 7 || !strings.Contains(out,
		"ReservedConcurrentExecutions 100 -> 7") {
		t.Errorf("the reserved concurrency is %d; up prints %s", reserved(), out)
	}
	if out := w.up("--concurrency", "0"); reserved() != 0 || !strings.Contains(out, "reserved concurrency removed") {
		t.Errorf("the reserved concurrency is %d; up prints %s", reserved(), out)
	}
	if out := w.up("--concurrency", "950"); reserved() != 0 || !strings.Contains(out,
		"the account's quota leaves no room") || !strings.Contains(out, "/dev/notes") {
		t.Errorf("the reserved concurrency is %d; up prints %s", reserved(), out)
	}
}

// TestBoundary checks that up sets the role's boundary, and that a later up keeps it.
func TestBoundary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made, err := w.roles().CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: aws.String(w.name + "-bound"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",` +
			`"Resource":"*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	bound := *made.Policy.Arn
	boundary := func() string {
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
	if got := boundary(); got != "" {
		t.Errorf("without --boundary the role has %s", got)
	}
	if out := w.up("--boundary", bound); boundary() != bound || !strings.Contains(out, "setting boundary") {
		t.Errorf("the boundary is %q; up prints %s", boundary(), out)
	}
	if out := w.up(); boundary() != bound || strings.Contains(out, "updated") {
		t.Errorf("after a later up the boundary is %q; it prints %s", boundary(), out)
	}
	w.checkNotes("under the boundary", 200, `{"notes":[]}`)
}
