package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/doctor"
)

// lambdaARN is the prefix of a function's ARN.
const lambdaARN = "arn:aws:lambda:us-east-1:123456789012:function:"

// invokeURI returns the integration URI that most tools write for a function, NAME or NAME:QUALIFIER.
func invokeURI(named string) string {
	return "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + lambdaARN + named + "/invocations"
}

// replaceAPI replaces the patient's API by one with routes to a function, without grants.
func (p *patient) replaceAPI(name, uri string, routes ...string) {
	p.t.Helper()
	p.createAPI(apigatewayv2.CreateApiInput{Name: &name})
	p.addRoutes(uri, apigatewayv2.CreateIntegrationInput{}, routes...)
}

// createAPI replaces the patient's API by an empty one.
func (p *patient) createAPI(in apigatewayv2.CreateApiInput) {
	p.t.Helper()
	p.removeAPI()
	in.ProtocolType = apitypes.ProtocolTypeHttp
	api, err := p.gateway().CreateApi(p.t.Context(), &in)
	p.must(err)
	p.id = *api.ApiId
}

// removeAPI removes the patient's API and its grant, but not the function.
func (p *patient) removeAPI() {
	p.t.Helper()
	_, err := p.gateway().DeleteApi(p.t.Context(), &apigatewayv2.DeleteApiInput{ApiId: &p.id})
	p.must(err)
	p.revoke()
	p.awaitUpdate()
}

// addRoutes makes an integration and routes to it. By default it is with a Lambda function and has payload format 2.0.
func (p *patient) addRoutes(uri string, in apigatewayv2.CreateIntegrationInput, routes ...string) {
	p.t.Helper()
	in.ApiId, in.IntegrationUri = &p.id, &uri
	in.IntegrationType = cmp.Or(in.IntegrationType, apitypes.IntegrationTypeAwsProxy)
	in.PayloadFormatVersion = cmp.Or(in.PayloadFormatVersion, aws.String("2.0"))
	made, err := p.gateway().CreateIntegration(p.t.Context(), &in)
	p.must(err)
	p.integration = *made.IntegrationId
	for _, key := range routes {
		_, err := p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id, RouteKey: &key,
			Target: aws.String("integrations/" + p.integration)})
		p.must(err)
	}
}

// addStage makes a stage. It deploys automatically unless in has a deployment.
func (p *patient) addStage(name string, in apigatewayv2.CreateStageInput) {
	p.t.Helper()
	in.ApiId, in.StageName, in.AutoDeploy = &p.id, &name, aws.Bool(in.DeploymentId == nil)
	_, err := p.gateway().CreateStage(p.t.Context(), &in)
	p.must(err)
}

// addDeployedStage makes a deployment and then a stage that serves it, as CloudFormation does.
func (p *patient) addDeployedStage(stage string) {
	p.t.Helper()
	d, err := p.gateway().CreateDeployment(p.t.Context(), &apigatewayv2.CreateDeploymentInput{ApiId: &p.id})
	p.must(err)
	p.addStage(stage, apigatewayv2.CreateStageInput{DeploymentId: d.DeploymentId})
}

// allowInvoke lets the API invoke a function, NAME or NAME:ALIAS. The pattern is the source ARN after the API's id.
func (p *patient) allowInvoke(named, sid, pattern string) {
	p.t.Helper()
	name, qualifier, found := strings.Cut(named, ":")
	in := &lambda.AddPermissionInput{FunctionName: &name, StatementId: &sid,
		Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
		SourceArn: aws.String("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/" + pattern)}
	if found {
		in.Qualifier = &qualifier
	}
	_, err := p.functions().AddPermission(p.t.Context(), in)
	p.must(err)
}

// addAlias publishes a version and makes an alias for it.
func (p *patient) addAlias(name string) {
	p.t.Helper()
	p.awaitUpdate()
	v, err := p.functions().PublishVersion(p.t.Context(), &lambda.PublishVersionInput{FunctionName: &p.name})
	p.must(err)
	_, err = p.functions().CreateAlias(p.t.Context(), &lambda.CreateAliasInput{FunctionName: &p.name, Name: &name,
		FunctionVersion: v.Version})
	p.must(err)
}

// addFunction makes another function, whose name is the patient's with a suffix.
func (p *patient) addFunction(suffix, code string) string {
	p.t.Helper()
	name := p.name + suffix
	_, err := p.functions().CreateFunction(p.t.Context(), &lambda.CreateFunctionInput{FunctionName: &name,
		Role: &p.role, Runtime: lambdatypes.RuntimePython312, Handler: aws.String("app.handler"),
		Code: &lambdatypes.FunctionCode{ZipFile: p.zipOf(map[string]string{"app.py": code})}})
	p.must(err)
	return name
}

// getArgs returns the doctor's arguments for GET requests to paths of the API.
func (p *patient) getArgs(paths ...string) (all [][]string) {
	for _, path := range paths {
		all = append(all, []string{p.url(path)})
	}
	return all
}

// authorizerCode is a Lambda authorizer. contextCode answers with the authorizer's context, and claimsCode with a claim
// of a token. They fail without it.
const (
	authorizerCode = "def handler(event, context):\n" +
		"    return {\"isAuthorized\": True, \"context\": {\"user\": \"anna\"}}\n"
	authorizerResult = "def handler(event, context):\n" +
		"    return {\"statusCode\": 200, \"body\": event[\"requestContext\"][\"authorizer\"]"
	contextCode, claimsCode = authorizerResult + "[\"lambda\"][\"user\"]}\n", authorizerResult +
		"[\"jwt\"][\"claims\"][\"sub\"]}\n"
)

// healthy are working APIs, as common tools make them. Each one replaces a patient's API, and returns the doctor's
// arguments for requests that are answered with 200.
var healthy = []struct {
	name  string
	usual bool // run even without NOTES_TEST_LONG
	setUp func(p *patient) [][]string
	// checks the diagnosis of the whole API; if nil, Unseen must be empty
	check func(p *patient, whole doctor.Diagnosis)
}{
	{name: "up", usual: true, setUp: func(p *patient) [][]string {
		p.world = newWorld(p.t)
		p.up()
		p.id = p.api()
		return p.getArgs("/dev/notes")
	}},
	{name: "aws CLI, quick create", setUp: func(p *patient) [][]string {
		p.createAPI(apigatewayv2.CreateApiInput{Name: &p.name, Target: aws.String(lambdaARN + p.name)})
		p.allowInvoke(p.name, "apigateway-quick", "*/$default")
		return p.getArgs("/", "/any/thing")
	}},
	{name: "SAM", usual: true, setUp: makeSAM},
	{name: "CDK", usual: true, setUp: func(p *patient) [][]string {
		p.replaceAPI("HttpApi", lambdaARN+p.name, "GET /items/{id}", "ANY /files/{proxy+}", "ANY /", "$default")
		p.addStage("$default", apigatewayv2.CreateStageInput{})
		_, err := p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
			CorsConfiguration: &apitypes.Cors{AllowOrigins: []string{"*"}, AllowHeaders: []string{"Authorization"},
				AllowMethods: []string{"GET", "OPTIONS"}}})
		p.must(err)
		p.allowInvoke(p.name, "NotesHttpApiGETitemsidListPermission4B2C1D0E", "*/*/items/{id}")
		p.allowInvoke(p.name, "NotesHttpApiANYfilesproxyListPermission0A1B2C3D", "*/*/files/{proxy+}")
		p.allowInvoke(p.name, "NotesHttpApiANYListPermission5D6E7F80", "*/*/")
		p.allowInvoke(p.name, "NotesHttpApiDefaultRouteListPermission9F8E7D6C", "*/*")
		page := []string{"--", "curl", "-H", "Origin: https://app.example", p.url("/items/7")}
		asked := []string{"--", "curl", "-X", "OPTIONS", "-H", "Origin: https://app.example", "-H",
			"Access-Control-Request-Method: GET", p.url("/items/7")}
		return append(p.getArgs("/items/7", "/files/a/b", "/", "/else"), page, asked)
	}},
	{name: "CDK, scopePermissionToRoute false", setUp: func(p *patient) [][]string {
		p.replaceAPI("HttpApi", lambdaARN+p.name, "GET /items/{id}", "POST /items")
		p.addStage("$default", apigatewayv2.CreateStageInput{})
		p.allowInvoke(p.name, "NotesHttpApiListIntegrationPermission6A5B4C3D", "*/*/*")
		return append(p.getArgs("/items/7"), []string{"--", "curl", "-d", "{}", p.url("/items")})
	}},
	{name: "Serverless Framework", setUp: makeServerless},
	{name: "Terraform", usual: true, setUp: func(p *patient) [][]string {
		p.addAlias("live")
		p.replaceAPI(p.name+"-http", invokeURI(p.name+":live"), "GET /items", "GET /items/{id}")
		group := "/aws/apigw/" + p.name
		_, err := cloudwatchlogs.NewFromConfig(p.cfg).CreateLogGroup(p.t.Context(),
			&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
		p.must(err)
		p.addStage("prod", apigatewayv2.CreateStageInput{AccessLogSettings: &apitypes.AccessLogSettings{
			DestinationArn: aws.String("arn:aws:logs:us-east-1:123456789012:log-group:" + group),
			Format:         aws.String(`{"requestId":"$context.requestId","status":"$context.status"}`)}})
		p.allowInvoke(p.name+":live", "AllowExecutionFromAPIGateway", "*/*")
		return p.getArgs("/prod/items", "/prod/items/7")
	}},
	{name: "CloudFormation, payload format 1.0", setUp: func(p *patient) [][]string {
		p.setPython("def handler(event, context):\n    return {\"statusCode\": 200, \"body\": event[\"httpMethod\"]}\n")
		p.replaceAPI(p.name, invokeURI(p.name))
		p.addRoutes(invokeURI(p.name), apigatewayv2.CreateIntegrationInput{IntegrationMethod: aws.String("POST"),
			PayloadFormatVersion: aws.String("1.0"), TimeoutInMillis: aws.Int32(30000)}, "ANY /items")
		p.addDeployedStage("v1")
		p.allowInvoke(p.name, p.name+"-ItemsPermission-1ABCDEFGHIJKL", "*/*/items")
		return p.getArgs("/v1/items")
	}},
	{name: "OpenAPI import", setUp: func(p *patient) [][]string {
		p.importAPI("  /items/{id}:\n    get:\n" + openAPIIntegration(p.name) +
			"  /items:\n    x-amazon-apigateway-any-method:\n" + openAPIIntegration(p.name))
		p.addStage("dev", apigatewayv2.CreateStageInput{})
		p.allowInvoke(p.name, "openapi", "*/*")
		return p.getArgs("/dev/items", "/dev/items/7")
	}},
	{name: "JWT, with a handler that reads its claims", setUp: func(p *patient) [][]string {
		issuer := jwttest.New(p.t)
		p.setPython(claimsCode)
		p.addJWTAuthorizer(issuer.URL, jwttest.Audience)
		token := "Authorization: Bearer " + issuer.Token(p.t, "anna", "openid")
		return [][]string{{"--", "curl", "-H", token, p.url("/dev/items")}}
	}, check: func(p *patient, _ doctor.Diagnosis) {
		d, code := p.diagnose(p.url("/dev/items"))
		if faults(d) != "jwt.missing" || d.Verdict.Cause != "jwt.missing" || code != 1 {
			p.t.Errorf("without a token: exit %d, cause %q, %+v", code, d.Verdict.Cause, d.Findings)
		}
	}},
	{name: "an HTTP server and a function", setUp: func(p *patient) [][]string {
		server := httptest.NewServer(http.FileServer(http.Dir(".."))) // serves this repository
		p.t.Cleanup(server.Close)
		p.replaceAPI(p.name, lambdaARN+p.name, "GET /items")
		p.addRoutes(server.URL+"/{proxy}", apigatewayv2.CreateIntegrationInput{IntegrationMethod: aws.String("ANY"),
			IntegrationType: apitypes.IntegrationTypeHttpProxy, PayloadFormatVersion: aws.String("1.0")},
			"ANY /site/{proxy+}")
		p.addStage("$default", apigatewayv2.CreateStageInput{})
		p.allowInvoke(p.name, "items", "*/GET/items")
		return p.getArgs("/items", "/site/README.md")
	}},
	{name: "a custom domain, and no default endpoint", setUp: makeDomain},
	{name: "a custom domain, with --api", setUp: func(p *patient) [][]string {
		return [][]string{{makeDomain(p)[0][0], "--api", p.id}}
	}},
	{name: "a stage that is deployed by hand", setUp: func(p *patient) [][]string {
		p.replaceAPI(p.name, lambdaARN+p.name, "GET /items")
		p.addDeployedStage("prod")
		p.addRoutes(lambdaARN+p.name, apigatewayv2.CreateIntegrationInput{}, "GET /later")
		p.allowInvoke(p.name, "items", "prod/GET/items")
		return p.getArgs("/prod/items")
	}, check: func(p *patient, d doctor.Diagnosis) {
		if len(d.Findings) != 1 || d.Findings[0].Cause != "stage.stale" {
			p.t.Errorf("findings for the whole API: %+v", d.Findings)
		}
	}},
	{name: "a stage that is deployed by hand, and a new integration without a grant",
		setUp: func(p *patient) [][]string {
			p.replaceAPI(p.name, lambdaARN+p.name, "GET /items")
			p.allowInvoke(p.name, "items", "prod/GET/items")
			p.addDeployedStage("prod")
			p.addFunction("-next", workingCode)
			p.setIntegrationSuffix("-next")
			return p.getArgs("/prod/items")
		}},
	{name: "a function of another account", setUp: func(p *patient) [][]string {
		p.replaceAPI(p.name, lambdaARN+p.name, "GET /items")
		p.addRoutes("arn:aws:lambda:us-east-1:999999999999:function:theirs", apigatewayv2.CreateIntegrationInput{},
			"GET /theirs")
		p.addStage("dev", apigatewayv2.CreateStageInput{})
		p.allowInvoke(p.name, "items", "*/*")
		return p.getArgs("/dev/items")
	}, check: func(p *patient, d doctor.Diagnosis) {
		if len(d.Unseen) != 1 || !strings.Contains(fmt.Sprint(d.Unseen), "function:theirs") {
			p.t.Errorf("unseen: %+v", d.Unseen)
		}
	}},
	{name: "two stages with an alias each", setUp: func(p *patient) [][]string {
		p.replaceAPI(p.name, invokeURI(p.name+":${stageVariables.alias}"), "GET /items", "ANY /items/{id}")
		for _, stage := range []string{"dev", "prod"} {
			p.addAlias(stage)
			p.addStage(stage, apigatewayv2.CreateStageInput{StageVariables: map[string]string{"alias": stage}})
			p.allowInvoke(p.name+":"+stage, "items", stage+"/GET/items")
			p.allowInvoke(p.name+":"+stage, "item", stage+"/*/items/*")
		}
		return p.getArgs("/dev/items", "/prod/items/7")
	}},
	{name: "a function with a layer, a VPC and reserved concurrency", setUp: makeLayer},
}

// openAPIIntegration returns the integration of an OpenAPI path with a function, as SAM writes it.
func openAPIIntegration(function string) string {
	return "      x-amazon-apigateway-integration: {httpMethod: POST, type: aws_proxy,\n" +
		"        payloadFormatVersion: \"2.0\", uri: '" + invokeURI(function) + "'}\n"
}

// importAPI replaces the patient's API by an OpenAPI definition with the given paths, and whatever follows them.
func (p *patient) importAPI(paths string) {
	p.t.Helper()
	p.removeAPI()
	made, err := p.gateway().ImportApi(p.t.Context(), &apigatewayv2.ImportApiInput{Body: aws.String(
		"openapi: 3.0.1\ninfo: {title: " + p.name + ", version: '1.0'}\npaths:\n" + paths)})
	p.must(err)
	p.id = *made.ApiId
}

// makeSAM makes what sam deploy makes for functions with HttpApi events and a Lambda authorizer.
func makeSAM(p *patient) [][]string {
	p.setPython(contextCode)
	rest, judge := p.addFunction("-rest", workingCode), p.addFunction("-judge", authorizerCode)
	guarded := "      security: [{Judge: []}]\n"
	p.importAPI("  /items:\n    get:\n" + openAPIIntegration(p.name) + guarded +
		"  /items/{id}:\n    x-amazon-apigateway-any-method:\n" + openAPIIntegration(rest) +
		"  $default:\n    x-amazon-apigateway-any-method:\n      isDefaultRoute: true\n" + openAPIIntegration(rest) +
		"components:\n  securitySchemes:\n    Judge:\n      {type: apiKey, name: Unused, in: header,\n" +
		"       x-amazon-apigateway-authorizer: {type: request, authorizerPayloadFormatVersion: \"2.0\",\n" +
		"         identitySource: $request.header.Authorization, enableSimpleResponses: true,\n" +
		"         authorizerUri: '" + invokeURI(judge) + "'}}\n")
	p.addStage("$default", apigatewayv2.CreateStageInput{Tags: map[string]string{"httpapi:createdBy": "SAM"}})
	p.allowInvoke(p.name, "stack-ItemsFunctionItemsPermission-1A2B3C4D5E6F", "*/GET/items")
	p.allowInvoke(rest, "stack-RestFunctionItemPermission-2B3C4D5E6F7A", "*/*/items/*")
	p.allowInvoke(rest, "stack-RestFunctionDefaultPermission-3C4D5E6F7A8B", "*/*")
	p.allowInvoke(judge, "stack-ServerlessHttpApiJudgeAuthorizerPermission-4D5E6F7A8B9C", "authorizers/*")
	return append(p.getArgs("/items/7", "/else"), []string{"--", "curl", "-H", "Authorization: x", p.url("/items")})
}

// makeServerless makes what serverless deploy makes for functions with httpApi events.
func makeServerless(p *patient) [][]string {
	issuer := jwttest.New(p.t)
	second := p.addFunction("-mine", claimsCode)
	p.replaceAPI("dev-"+p.name, lambdaARN+second, "GET /items")
	p.addJWTAuthorizer(issuer.URL, jwttest.Audience, "openid")
	p.addRoutes(lambdaARN+p.name, apigatewayv2.CreateIntegrationInput{TimeoutInMillis: aws.Int32(30000)},
		"GET /items/{id}", "$default")
	p.addStage("$default", apigatewayv2.CreateStageInput{DefaultRouteSettings: &apitypes.RouteSettings{
		DetailedMetricsEnabled: aws.Bool(false)}})
	p.allowInvoke(p.name, p.name+"-dev-ListLambdaPermissionHttpApi-1A2B3C4D5E6F", "*")
	p.allowInvoke(second, p.name+"-dev-MineLambdaPermissionHttpApi-2B3C4D5E6F7A", "*")
	token := "Authorization: Bearer " + issuer.Token(p.t, "anna", "openid")
	return append(p.getArgs("/items/7", "/else"), []string{"--", "curl", "-H", token, p.url("/items")})
}

// makeDomain makes an API that is reachable only at a custom domain.
func makeDomain(p *patient) [][]string {
	domain, ctx := p.name+".example.com", p.t.Context()
	_, err := p.gateway().CreateDomainName(ctx, &apigatewayv2.CreateDomainNameInput{DomainName: &domain,
		DomainNameConfigurations: []apitypes.DomainNameConfiguration{{EndpointType: apitypes.EndpointTypeRegional,
			CertificateArn: aws.String("arn:aws:acm:us-east-1:123456789012:certificate/x")}}})
	p.must(err)
	_, err = p.gateway().CreateApiMapping(ctx, &apigatewayv2.CreateApiMappingInput{ApiId: &p.id, DomainName: &domain,
		Stage: aws.String("dev"), ApiMappingKey: aws.String("v1")})
	p.must(err)
	_, err = p.gateway().UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &p.id,
		DisableExecuteApiEndpoint: aws.Bool(true)})
	p.must(err)
	return [][]string{{p.URL + "/_aws/domains/" + domain + "/v1/items"}}
}

// makeLayer gives the function a layer with a module, a VPC, variables and reserved concurrency.
func makeLayer(p *patient) [][]string {
	zip := p.zipOf(map[string]string{"python/greeting.py": "TEXT = 'hello'\n"})
	layer, err := p.functions().PublishLayerVersion(p.t.Context(), &lambda.PublishLayerVersionInput{
		LayerName: &p.name, Content: &lambdatypes.LayerVersionContentInput{ZipFile: zip}})
	p.must(err)
	p.awaitUpdate()
	p.configure(lambda.UpdateFunctionConfigurationInput{Layers: []string{*layer.LayerVersionArn},
		Environment: &lambdatypes.Environment{Variables: map[string]string{"NAME": "anna", "EMPTY": ""}},
		VpcConfig: &lambdatypes.VpcConfig{SubnetIds: []string{"subnet-0a1b2c3d"},
			SecurityGroupIds: []string{"sg-0a1b2c3d"}}})
	_, err = p.functions().PutFunctionConcurrency(p.t.Context(), &lambda.PutFunctionConcurrencyInput{
		FunctionName: &p.name, ReservedConcurrentExecutions: aws.Int32(5)})
	p.must(err)
	p.setPython("import os\nimport greeting\n\n\ndef handler(event, context):\n" +
		"    return {\"statusCode\": 200, \"body\": greeting.TEXT + os.environ[\"NAME\"]}\n")
	return p.getArgs("/dev/items")
}

// TestDoctorHealthyStacks checks that the doctor reports nothing but notes for working APIs, with a request and
// without.
func TestDoctorHealthyStacks(t *testing.T) {
	t.Parallel()
	alarm := func(f doctor.Finding) bool { return f.Level != doctor.Note }
	for _, s := range healthy {
		t.Run(s.name, func(t *testing.T) {
			if !s.usual && os.Getenv("NOTES_TEST_LONG") == "" {
				t.Skip("only with NOTES_TEST_LONG=1; the usual run has other cases")
			}
			t.Parallel()
			p := newPatient(t)
			for _, args := range append(s.setUp(p), []string{"--api", p.id}) {
				d, code := p.diagnose(args...)
				whole := args[0] == "--api"
				succeeded := d.Answer != nil && d.Answer.Status >= 200 && d.Answer.Status < 300
				if code != 0 || !d.Verdict.Healthy || succeeded == whole || slices.ContainsFunc(d.Findings, alarm) {
					t.Errorf("%v: exit %d, %+v %+v %+v", args, code, d.Verdict, d.Answer, d.Findings)
				}
				if s.check == nil && len(d.Unseen) > 0 {
					t.Errorf("%v: unseen %+v", args, d.Unseen)
				} else if s.check != nil && whole {
					s.check(p, d)
				}
			}
		})
	}
}
