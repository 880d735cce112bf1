package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// allowAllOrigins sets a CORS configuration that API Gateway refuses: credentials for all origins.
func allowAllOrigins(w *world, api *string) error {
	_, err := w.gateway.UpdateApi(w.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: api,
		CorsConfiguration: &types.Cors{
			AllowOrigins: []string{"*"}, AllowCredentials: aws.Bool(true)}})
	return err
}

// TestRefusedInputs: API Gateway refuses invalid inputs.
func TestRefusedInputs(t *testing.T) {
	w := open(t)
	ctx, none := t.Context(), "arn:aws:lambda:us-east-1:"+Account+":function:none"
	api := aws.String(w.api(none, "GET /notes"))
	integration := func(change func(*apigatewayv2.CreateIntegrationInput)) error {
		in := &apigatewayv2.CreateIntegrationInput{ApiId: api, IntegrationType: "AWS_PROXY", IntegrationUri: &none,
			PayloadFormatVersion: aws.String("2.0")}
		change(in)
		_, err := w.gateway.CreateIntegration(ctx, in)
		return err
	}
	authorizer := func(change func(*apigatewayv2.CreateAuthorizerInput)) error {
		in := &apigatewayv2.CreateAuthorizerInput{ApiId: api, Name: aws.String("a"), AuthorizerType: "REQUEST",
			AuthorizerUri: &none, AuthorizerPayloadFormatVersion: aws.String("2.0"), IdentitySource: []string{}}
		change(in)
		_, err := w.gateway.CreateAuthorizer(ctx, in)
		return err
	}
	route := func(in *apigatewayv2.CreateRouteInput) error {
		in.ApiId = api
		_, err := w.gateway.CreateRoute(ctx, in)
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"a short timeout", integration(func(in *apigatewayv2.CreateIntegrationInput) {
			in.TimeoutInMillis = aws.Int32(
				49)
		}),
			"50 ms"},
		{"a long timeout", integration(func(in *apigatewayv2.CreateIntegrationInput) {
			in.TimeoutInMillis = aws.Int32(30001)
		}), "30000 ms"},
		{"format 3.0", integration(func(in *apigatewayv2.CreateIntegrationInput) {
			in.PayloadFormatVersion = aws.String("3.0")
		}), "1.0 or 2.0"},
		{"no format", integration(func(in *apigatewayv2.CreateIntegrationInput) { in.PayloadFormatVersion = nil }),
			"PayloadFormatVersion is a required parameter"},
		{"no URI", integration(func(in *apigatewayv2.CreateIntegrationInput) { in.IntegrationUri = nil }),
			"URI or integration subtype"},
		{"a long TTL", authorizer(func(in *apigatewayv2.CreateAuthorizerInput) {
			in.AuthorizerResultTtlInSeconds = aws.Int32(3601)
		}), "3600"},
		{"an authorizer without a function", authorizer(func(in *apigatewayv2.CreateAuthorizerInput) {
			in.AuthorizerUri = nil
		}), "URI must be specified"},
		{"an issuer that does not answer", authorizer(func(in *apigatewayv2.CreateAuthorizerInput) {
			in.AuthorizerType, in.AuthorizerUri = "JWT", nil
			in.JwtConfiguration = &types.JWTConfiguration{Issuer: aws.String("http://127.0.0.1:1")}
		}), "http://127.0.0.1:1/.well-known/openid-configuration"},
		{"an issuer without TLS", authorizer(func(in *apigatewayv2.CreateAuthorizerInput) {
			in.AuthorizerType, in.AuthorizerUri = "JWT", nil
			in.JwtConfiguration = &types.JWTConfiguration{Issuer: aws.String("http://issuer.example")}
		}), "invalid issuer"},
		{"a greedy variable in the middle", route(&apigatewayv2.CreateRouteInput{RouteKey: aws.String("GET /{a+}/b")}),
			"at the end of the path"},
		{"a missing authorizer", route(&apigatewayv2.CreateRouteInput{RouteKey: aws.String("GET /x"),
			AuthorizationType: "CUSTOM", AuthorizerId: aws.String("nosuch")}), "Invalid authorizer ID"},
		{"no authorizer", route(&apigatewayv2.CreateRouteInput{RouteKey: aws.String("GET /x"),
			AuthorizationType: "JWT"}),
			"Authorizer id must be specified"},
		{"credentials for all origins", allowAllOrigins(w, api), "Wildcard '*'"},
		{"a lower-case type", integration(func(in *apigatewayv2.CreateIntegrationInput) {
			in.IntegrationType = "aws_proxy"
		}),
			""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.says == "" && c.err != nil || c.says != "" && (c.err == nil || !strings.Contains(c.err.Error(),
				c.says)) {
				t.Errorf("%v, want %q", c.err, c.says)
			}
		})
	}
}

// TestDisabledEndpoint: disabling an API's own endpoint takes effect with the next deployment, and so does enabling it.
func TestDisabledEndpoint(t *testing.T) {
	w := open(t)
	api := w.api(w.function(bootstrap(t)), "GET /notes")
	w.grant(api, "*")
	manual := aws.String("manual")
	did[*apigatewayv2.CreateStageOutput](t)(w.gateway.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{
		ApiId: &api, StageName: manual}))
	deploy := func() {
		did[*apigatewayv2.CreateDeploymentOutput](t)(w.gateway.CreateDeployment(t.Context(),
			&apigatewayv2.CreateDeploymentInput{ApiId: &api, StageName: manual}))
	}
	deploy()
	for _, disabled := range []bool{true, false} {
		before, after := 200, 404
		if !disabled {
			before, after = after, before
		}
		did[*apigatewayv2.UpdateApiOutput](t)(w.gateway.UpdateApi(t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &api,
			DisableExecuteApiEndpoint: &disabled}))
		w.ask(api, "GET", "/dev/notes", "").is(t, fmt.Sprint("with AutoDeploy, disabled ", disabled), after, "")
		w.ask(api, "GET", "/manual/notes", "").is(t, fmt.Sprint("before a deployment, disabled ", disabled), before, "")
		deploy()
		w.ask(api, "GET", "/manual/notes", "").is(t, fmt.Sprint("after a deployment, disabled ", disabled), after, "")
	}
}

// TestHTTPProxy: a route can lead to an HTTP server, with parameter mapping of the request and the response.
func TestHTTPProxy(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test compares what was read
		rw.Header().Set("X-From", "the server")
		rw.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(rw, "%s %s %s %s %s", r.Method, r.URL, r.Header.Get("X-Who"), r.Header.Get("X-Gone"), body)
	}))
	defer server.Close()
	api := w.api("arn:aws:lambda:us-east-1:"+Account+":function:none", "GET /none")
	i := did[*apigatewayv2.CreateIntegrationOutput](t)(w.gateway.CreateIntegration(ctx,
		&apigatewayv2.CreateIntegrationInput{
			ApiId: &api, IntegrationType: "HTTP_PROXY", IntegrationMethod: aws.String("ANY"),
			IntegrationUri: aws.String(server.URL + "/in/{id}"), PayloadFormatVersion: aws.String("1.0"),
			RequestParameters: map[string]string{"overwrite:header.X-Who": "$request.querystring.who",
				"remove:header.X-Gone": "", "append:querystring.stage": "it is ${context.stage}"},
			ResponseParameters: map[string]map[string]string{"202": {"overwrite:statuscode": "201",
				"append:header.X-Copy": "$response.header.X-From"}}}))
	did[*apigatewayv2.CreateRouteOutput](t)(w.gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api,
		RouteKey: aws.String("POST /out/{id}"), Target: aws.String("integrations/" + *i.IntegrationId)}))
	a := w.ask(api, "POST", "/dev/out/7?who=anna", "the body", "X-Gone", "x")
	if want := "POST /in/7?stage=it+is+dev&who=anna anna  the body"; a.status != 201 || a.body != want ||
		a.header.Get("X-Copy") != "the server" {
		t.Errorf("%d %q %v, want %q", a.status, a.body, a.header, want)
	}
	w.ask(api, "POST", "/dev/out/a%3Fb%23c", "").is(t, "characters that a path escapes", 201,
		"POST /in/a%3Fb%23c?stage=it+is+dev   ")
	did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(ctx,
		&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i.IntegrationId,
			ResponseParameters: map[string]map[string]string{"202": {"overwrite:statuscode": "99"}}}))
	w.ask(api, "POST", "/dev/out/7", "").is(t, "an invalid status", 202, "")
	server.Close()
	w.ask(api, "POST", "/dev/out/7", "").is(t, "no server", 503, unavailableBody)
}

// TestMappedParameters: a function sees the request as changed by the integration's parameters.
func TestMappedParameters(t *testing.T) {
	w := open(t)
	api := w.api(w.function(bootstrap(t)), "POST /notes/{id}")
	w.grant(api, "*")
	i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(t.Context(),
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0]
	did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(t.Context(),
		&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i.IntegrationId,
			RequestParameters: map[string]string{
				"overwrite:path": "/changed/${request.path.id}/echo", "append:header.x-title": "$request.body.title"}}))
	a := w.ask(api, "POST", "/dev/notes/7", `{"title":"t"}`, "Content-Type", "application/json")
	if !strings.Contains(a.body, `"rawPath":"/dev/changed/7/echo"`) || !strings.Contains(a.body, `"x-title":"t"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestDomains: a custom domain leads to the API and the stage of the longest mapping that matches.
func TestDomains(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	api := w.api(w.function(bootstrap(t)), "GET /notes/echo", "POST /raw")
	w.grant(api, "*")
	name := w.name + ".example.com"
	did[*apigatewayv2.CreateDomainNameOutput](t)(w.gateway.CreateDomainName(ctx, &apigatewayv2.CreateDomainNameInput{
		DomainName: &name, DomainNameConfigurations: []types.DomainNameConfiguration{{
			CertificateArn: aws.String("arn:aws:acm:us-east-1:" + Account + ":certificate/x"),
			EndpointType:   "REGIONAL"}}}))
	mapTo := func(key string) {
		did[*apigatewayv2.CreateApiMappingOutput](t)(w.gateway.CreateApiMapping(ctx,
			&apigatewayv2.CreateApiMappingInput{
				ApiId: &api, DomainName: &name, Stage: aws.String("dev"), ApiMappingKey: &key}))
	}
	ask := func(host, path string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, "GET", w.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			r.Host = host
		}
		a := w.send(r)
		return a.status, a.body
	}
	if status, body := ask(name, "/notes/echo"); status != 403 || body != `{"message":"Forbidden"}` {
		t.Errorf("without a mapping: %d %s", status, body)
	}
	mapTo("v1")
	did[*apigatewayv2.UpdateApiOutput](t)(w.gateway.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
		DisableExecuteApiEndpoint: aws.Bool(true)}))
	for _, c := range []struct {
		host, path string
		status     int
		says       string
	}{
		{name, "/v1/notes/echo", 200, `"rawPath":"/dev/notes/echo"`},
		{name, "/v1/notes/echo", 200, `"domainName":"` + name + `"`},
		{"", domainPath + name + "/v1/notes/echo", 200, `"rawPath":"/dev/notes/echo"`},
		{name, "/v1notes/echo", 403, "Forbidden"},
		{name, "/notes/echo", 403, "Forbidden"},
		{name, "/v1/nothing", 404, "Not Found"},
	} {
		t.Run(c.host+c.path, func(t *testing.T) {
			if status, body := ask(c.host, c.path); status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%d %s, want %d %s", status, body, c.status, c.says)
			}
		})
	}
	t.Run("format 1.0 contains the mapping's key", func(t *testing.T) {
		i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(ctx,
			&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0].IntegrationId
		set := func(format string) {
			did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(ctx,
				&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i, PayloadFormatVersion: &format}))
		}
		set("1.0")
		defer set("2.0")
		if _, body := ask(name, "/v1/notes/echo"); !strings.Contains(body, `"path":"/v1/notes/echo"`) {
			t.Error(body)
		}
	})
	t.Run("a redirect is not rewritten", func(t *testing.T) {
		r, err := http.NewRequestWithContext(ctx, "POST", w.URL+"/v1/raw", strings.NewReader(
			`{"statusCode":302,"headers":{"Location":"/v1/notes/echo"}}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = name
		r.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		if a.StatusCode != 302 || a.Header.Get("Location") != "/v1/notes/echo" {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
	})
}

// TestTarget: only a quick-created API, as create-api --target makes it, can get another target.
func TestTarget(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	quick := did[*apigatewayv2.CreateApiOutput](t)(w.gateway.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name,
		ProtocolType: "HTTP", Target: aws.String("arn:aws:lambda:us-east-1:" + Account + ":function:none")})).ApiId
	w.grant(*quick, "*")
	w.ask(*quick, "GET", "/notes", "").is(t, "a missing function", 500, internalBody)
	update := func(api string) error {
		_, err := w.gateway.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api, Target: &arn})
		return err
	}
	if err := update(*quick); err != nil {
		t.Fatal(err)
	}
	w.ask(*quick, "GET", "/notes", "").is(t, "the function", 200, "/notes")
	if err := update(w.api(arn, "GET /notes", "GET /other")); err == nil ||
		!strings.Contains(err.Error(), "quick create only") {
		t.Errorf("another API: %v", err)
	}
}

// TestAliasWeights: events for an alias with weights reach both versions.
func TestAliasWeights(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	publish := func() string {
		return *did[*lambda.PublishVersionOutput](t)(w.functions.PublishVersion(ctx,
			&lambda.PublishVersionInput{FunctionName: &w.name})).Version
	}
	first := publish()
	w.configure(lambda.UpdateFunctionConfigurationInput{Description: aws.String("another")})
	second := publish()
	did[*lambda.CreateAliasOutput](t)(w.functions.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &w.name,
		Name: aws.String("live"), FunctionVersion: &first, RoutingConfig: &lambdatypes.AliasRoutingConfiguration{
			AdditionalVersionWeights: map[string]float64{second: 0.5}}}))
	seen := map[string]int{}
	for range 60 {
		out := did[*lambda.InvokeOutput](t)(w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name,
			Qualifier: aws.String("live")}))
		seen[*out.ExecutedVersion]++
	}
	if seen[first] == 0 || seen[second] == 0 || len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}
