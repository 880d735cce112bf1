package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/go-jose/go-jose/v4"

	"example.com/portable-notes/notes/storetest"
)

// TestOddOutput: whatever a function prints, its log is complete and nothing hangs.
func TestOddOutput(t *testing.T) {
	w := open(t)
	w.function(bootstrap(t))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for what, prints := range map[string]string{
		"a mark":          `printf 'abc\036'`,
		"a marked line":   `printf '\036{"a":1}\n'`,
		"a long line":     `head -c 262130 /dev/zero | tr '\0' x`,
		"empty lines":     `printf '\n\n\n'`,
		"no line at all":  `true`,
		"half a line":     `printf half`,
		"two long pieces": `head -c 700000 /dev/zero | tr '\0' x`,
	} {
		program := "#!/bin/sh\n" + prints + "\nGORACE=atexit_sleep_ms=0 exec '" + self + "'\n"
		did[*lambda.UpdateFunctionCodeOutput](t)(w.functions.UpdateFunctionCode(t.Context(),
			&lambda.UpdateFunctionCodeInput{FunctionName: &w.name, ZipFile: zipOf(t, "bootstrap", program, 0o755)}))
		w.settle()
		if out, tail := w.invoked("/x"); out.FunctionError != nil || !strings.HasPrefix(tail, "START ") ||
			!strings.Contains(tail, "\nthe function was here\nEND ") {
			t.Errorf("%s: %s, log %q", what, out.Payload, tail)
		}
	}
	w.logged("/aws/lambda/"+w.name, "\x1e"+`{"a":1}`)
}

// TestStartLimit: the init phase is limited to 10 s. Then it is tried again, within the event's timeout.
func TestStartLimit(t *testing.T) {
	w := open(t)
	w.function(zipOf(t, "bootstrap", "#!/bin/sh\nexec sleep 60\n", 0o755))
	w.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
	begin := time.Now()
	out, tail := w.invoked("/x")
	if took := time.Since(begin); took < 11*time.Second || !strings.Contains(string(out.Payload),
		"Task timed out after 1.00 seconds") || !strings.Contains(tail, "Task timed out after 1.00 seconds") {
		t.Errorf("after %v: %s, log %s", took, out.Payload, tail)
	}
	w.logged("/aws/lambda/"+w.name, "Phase: init\tStatus: timeout")
}

// TestMotoInDocker: without an installed moto the sandbox runs its image, and removes the container. A fake docker
// command runs moto instead.
func TestMotoInDocker(t *testing.T) {
	moto, err := exec.LookPath("moto_server")
	if err != nil {
		storetest.Lacks(t, "moto", err)
	}
	folder := t.TempDir()
	program := `#!/bin/sh
cd ` + folder + `
echo "$@" >>calls
case $1 in
run) ` + moto + ` -H 127.0.0.1 -p 0 2>&1 | while read -r line; do echo "$line" >>moto; echo "$line"; done;;
port) sed -n 's/.*Running on http:..127.0.0.1:/127.0.0.1:/p' moto;;
esac
`
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":/usr/bin:/bin")
	if path, err := exec.LookPath("moto_server"); err == nil {
		t.Skipf("moto is installed at %s, which the test needs for other programs", path)
	}
	s := start(t, Options{})
	s.Close()
	calls, err := os.ReadFile(filepath.Join(folder, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(s.folder)
	for _, want := range []string{"run --rm --name " + name + " -p 127.0.0.1:0:5000 ", " " + motoImage + "\n", "port " +
		name + " 5000\n", "rm -f " + name + "\n"} {
		if !strings.Contains(string(calls), want) {
			t.Errorf("docker is not called with %q: %s", want, calls)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(strings.Replace(program, "sed -n", "true", 1)),
		0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(),
		`has no port: docker port answers ""`) {
		t.Errorf("without a port: %v", err)
	}
}

// TestNothingOutlives: the processes of a changed or deleted function, and their children, end no later than the
// sandbox.
func TestNothingOutlives(t *testing.T) {
	s := start(t, Options{Settling: -1})
	w := enter(t, s)
	w.function(zipOf(t, "bootstrap", "#!/bin/sh\nsleep 4711 &\nexit 1\n", 0o755))
	w.invoked("/x")
	did[*lambda.UpdateFunctionCodeOutput](t)(w.functions.UpdateFunctionCode(t.Context(),
		&lambda.UpdateFunctionCodeInput{FunctionName: &w.name, ZipFile: bootstrap(t)}))
	w.settle()
	go func() {
		_, _ = w.functions.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &w.name,
			Payload: []byte(`{"rawPath":"/hang"}`)})
	}()
	w.configure(lambda.UpdateFunctionConfigurationInput{MemorySize: aws.Int32(256)})
	w.invoked("/x")
	did[*lambda.DeleteFunctionOutput](t)(w.functions.DeleteFunction(t.Context(),
		&lambda.DeleteFunctionInput{FunctionName: &w.name}))
	s.Close()
	if left, err := exec.Command("pgrep", "-f", "sleep 4711").Output(); err == nil {
		t.Errorf("a function's child still runs: %s", left)
	}
	folders, _ := filepath.Glob(s.folder + "*")
	if len(folders) > 0 {
		t.Errorf("left behind: %v", folders)
	}
}

// TestLongLineOfMoto: long lines in moto's own log do not block it.
func TestLongLineOfMoto(t *testing.T) {
	w := open(t)
	for range 200 {
		r, err := http.NewRequest("GET", w.URL+"/2015-03-31/functions/?x="+strings.Repeat("x", 60_000), nil)
		if err != nil {
			t.Fatal(err)
		}
		w.send(r, "Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, "+
			"SignedHeaders=host, Signature=x").is(t, "a long call", 200, "")
	}
}

// TestRefusals: calls about APIs and functions that AWS refuses.
func TestRefusals(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	arn := w.function(bootstrap(t))
	api := w.api(arn, "GET /a")
	integration := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(ctx,
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0].IntegrationId
	for what, c := range map[string]struct {
		want string
		call func() error
	}{
		"an integration in use": {"ConflictException", func() error {
			_, err := w.gateway.DeleteIntegration(ctx, &apigatewayv2.DeleteIntegrationInput{ApiId: &api,
				IntegrationId: integration})
			return err
		}},
		"no such API": {"NotFoundException", func() error {
			_, err := w.gateway.DeleteApi(ctx, &apigatewayv2.DeleteApiInput{ApiId: aws.String("nosuch")})
			return err
		}},
		"no such route": {"NotFoundException", func() error {
			_, err := w.gateway.DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: &api,
				RouteId: aws.String("nosuch")})
			return err
		}},
		"a lower-case route key": {"BadRequestException", func() error {
			_, err := w.gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api,
				RouteKey: aws.String("get /a")})
			return err
		}},
		"a deployment in use": {"BadRequestException", func() error {
			g := did[*apigatewayv2.GetStageOutput](t)(w.gateway.GetStage(ctx, &apigatewayv2.GetStageInput{ApiId: &api,
				StageName: aws.String("dev")}))
			_, err := w.gateway.DeleteDeployment(ctx, &apigatewayv2.DeleteDeploymentInput{ApiId: &api,
				DeploymentId: g.DeploymentId})
			return err
		}},
		"an unknown deployment": {"BadRequestException", func() error {
			_, err := w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api,
				StageName: aws.String("odd"), DeploymentId: aws.String("nosuch")})
			return err
		}},
		"the stage of an unknown deployment": {"NotFoundException", func() error {
			_, err := w.gateway.GetStage(ctx, &apigatewayv2.GetStageInput{ApiId: &api, StageName: aws.String("odd")})
			return err
		}},
		"a reserved variable": {"InvalidParameterValueException", func() error {
			_, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Environment: &lambdatypes.Environment{Variables: map[string]string{
					"AWS_REGION": "x"}}})
			return err
		}},
		"a retired runtime": {"InvalidParameterValueException", func() error {
			_, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Runtime: "go1.x"})
			return err
		}},
		"an unknown runtime": {"ValidationException", func() error {
			_, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Runtime: "python3.99"})
			return err
		}},
		"no handler": {"InvalidParameterValueException", func() error {
			_, err := w.functions.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: aws.String("x"),
				Runtime: "provided.al2023", Role: aws.String("arn:aws:iam::" + Account + ":role/" + w.name),
				Code: lambdaCode(t)})
			return err
		}},
		"an operation that moto lacks": {"NotImplementedException", func() error {
			_, err := w.gateway.GetRouteResponse(ctx, &apigatewayv2.GetRouteResponseInput{ApiId: &api,
				RouteId: aws.String("a/b"), RouteResponseId: aws.String("x/y")})
			return err
		}},
	} {
		if err := c.call(); errorCode(err) != c.want {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	none := did[*apigatewayv2.CreateApiOutput](t)(w.gateway.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name,
		ProtocolType: types.ProtocolTypeHttp})).ApiId
	if stages := did[*apigatewayv2.GetStagesOutput](t)(w.gateway.GetStages(ctx,
		&apigatewayv2.GetStagesInput{ApiId: none})); stages.Items == nil {
		t.Error("without stages, items is missing")
	}
}

// startIssuer starts a token issuer. It also returns a function that signs claims.
func startIssuer(t *testing.T) (issuer *httptest.Server, token func(claims string) string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"id_token_signing_alg_values_supported":["RS256"]}`, issuer.URL,
				issuer.URL+"/keys")
		case "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "1",
				Algorithm: "RS256", Use: "sig"}}})
		}
	}))
	t.Cleanup(issuer.Close)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}},
		nil)
	if err != nil {
		t.Fatal(err)
	}
	return issuer, func(claims string) string {
		signed, err := signer.Sign([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
}

// TestJWT: a valid token is accepted, and an issuer that does not answer lets nobody in.
func TestJWT(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	issuer, token := startIssuer(t)
	var asked atomic.Int32
	var silent *httptest.Server
	silent = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 { // for CreateAuthorizer
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, silent.URL, silent.URL+"/keys")
			return
		}
		<-r.Context().Done()
	}))
	defer silent.Close()
	api := w.api(w.function(bootstrap(t)), "GET /echo")
	w.grant(api, "*")
	route := did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
		&apigatewayv2.GetRoutesInput{ApiId: &api})).Items[0]
	protect := func(configuration *types.JWTConfiguration) {
		t.Helper()
		a := did[*apigatewayv2.CreateAuthorizerOutput](t)(w.gateway.CreateAuthorizer(ctx,
			&apigatewayv2.CreateAuthorizerInput{ApiId: &api, Name: aws.String("jwt"),
				AuthorizerType: types.AuthorizerTypeJwt, IdentitySource: []string{"$request.header.Authorization"},
				JwtConfiguration: configuration}))
		did[*apigatewayv2.UpdateRouteOutput](t)(w.gateway.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api,
			RouteId: route.RouteId, AuthorizationType: types.AuthorizationTypeJwt, AuthorizerId: a.AuthorizerId,
			AuthorizationScopes: []string{"notes:read"}}))
	}
	protect(&types.JWTConfiguration{Issuer: &issuer.URL, Audience: []string{"notes"}})
	good := `{"iss":"` + issuer.URL + `","aud":"notes","sub":"somebody","scope":"notes:read","exp":` +
		fmt.Sprint(time.Now().Add(time.Hour).Unix()) + `}`
	a := w.ask(api, "GET", "/dev/echo", "", "Authorization", token(good))
	if a.status != 200 || !strings.Contains(a.body, `"sub":"somebody"`) || !regexp.MustCompile(
		`"exp":"\d{10}"`).MatchString(a.body) || !strings.Contains(a.body,
		`"scopes":["notes:read"]`) {
		t.Errorf("a good token: %d %s", a.status, a.body)
	}
	for what, c := range map[string]struct {
		token  string
		status int
	}{
		"none":             {"", 401},
		"not a token":      {"Bearer x", 401},
		"another audience": {token(strings.Replace(good, `"aud":"notes"`, `"aud":"x"`, 1)), 401},
		"another issuer":   {token(strings.Replace(good, issuer.URL, "https://x.example", 1)), 401},
		"expired":          {token(strings.Replace(good, `"exp":`, `"exp":1,"x":`, 1)), 401},
		"no scope":         {token(strings.Replace(good, "notes:read", "notes:write", 1)), 403},
		"cut short":        {token(good)[:200], 401},
		"not valid yet":    {token(strings.Replace(good, `"exp":`, `"nbf":4102444800,"exp":`, 1)), 401},
		"issued later":     {token(strings.Replace(good, `"exp":`, `"iat":4102444800,"exp":`, 1)), 401},
		"client_id beside an audience": {token(strings.Replace(good, `"aud":"notes"`, `"aud":"x","client_id":"notes"`,
			1)), 401},
		"client_id":     {token(strings.Replace(good, `"aud":"notes"`, `"client_id":"notes"`, 1)), 200},
		"scopes as scp": {token(strings.Replace(good, `"scope":"notes:read"`, `"scp":["a","notes:read"]`, 1)), 200},
		"scp as a text": {token(strings.Replace(good, `"scope":"notes:read"`, `"scp":"a notes:read"`, 1)), 200},
	} {
		if a := w.ask(api, "GET", "/dev/echo", "", "Authorization", c.token); a.status != c.status || c.status == 401 &&
			a.header.Get("Www-Authenticate") == "" {
			t.Errorf("%s: %d %s %v", what, a.status, a.body, a.header)
		}
	}
	protect(&types.JWTConfiguration{Issuer: &silent.URL, Audience: []string{"notes"}})
	w.ask(api, "GET", "/dev/echo", "", "Authorization", token(good)).is(t, "a silent issuer", 401, "")
}
