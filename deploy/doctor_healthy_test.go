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

// ofLambda begins the ARN of a function.
const ofLambda = "arn:aws:lambda:us-east-1:123456789012:function:"

// invoked is a function with a qualifier or not, as most tools write the URI of an integration.
func invoked(named string) string {
	return "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + ofLambda + named + "/invocations"
}

// lay makes an API in the place of the patient's, with routes to a function, and no grant.
func (p *patient) lay(name, uri string, routes ...string) {
	p.t.Helper()
	p.create(apigatewayv2.CreateApiInput{Name: &name})
	p.lead(uri, apigatewayv2.CreateIntegrationInput{}, routes...)
}

// create makes an API in the place of the patient's.
func (p *patient) create(in apigatewayv2.CreateApiInput) {
	p.t.Helper()
	p.clear()
	in.ProtocolType = apitypes.ProtocolTypeHttp
	api, err := p.gateway().CreateApi(p.t.Context(), &in)
	p.must(err)
	p.id = *api.ApiId
}

// clear removes the patient's API and the grant for it, and leaves the function.
func (p *patient) clear() {
	p.t.Helper()
	_, err := p.gateway().DeleteApi(p.t.Context(), &apigatewayv2.DeleteApiInput{ApiId: &p.id})
	p.must(err)
	p.revoke()
	p.updated()
}

// lead makes an integration, with a function of payload format 2.0 unless it is told another, and routes to it.
func (p *patient) lead(uri string, in apigatewayv2.CreateIntegrationInput, routes ...string) {
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

// stage makes a stage that deploys by itself, unless it is given a deployment.
func (p *patient) stage(name string, in apigatewayv2.CreateStageInput) {
	p.t.Helper()
	in.ApiId, in.StageName, in.AutoDeploy = &p.id, &name, aws.Bool(in.DeploymentId == nil)
	_, err := p.gateway().CreateStage(p.t.Context(), &in)
	p.must(err)
}

// deployed makes a stage of a deployment that was made before it, as CloudFormation does.
func (p *patient) deployed(stage string) {
	p.t.Helper()
	d, err := p.gateway().CreateDeployment(p.t.Context(), &apigatewayv2.CreateDeploymentInput{ApiId: &p.id})
	p.must(err)
	p.stage(stage, apigatewayv2.CreateStageInput{DeploymentId: d.DeploymentId})
}

// let lets the API invoke a function, or an alias of it, by a pattern of what follows the API's id.
func (p *patient) let(named, sid, pattern string) {
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

// alias makes a version and an alias of it.
func (p *patient) alias(name string) {
	p.t.Helper()
	p.updated()
	v, err := p.functions().PublishVersion(p.t.Context(), &lambda.PublishVersionInput{FunctionName: &p.name})
	p.must(err)
	_, err = p.functions().CreateAlias(p.t.Context(), &lambda.CreateAliasInput{FunctionName: &p.name, Name: &name,
		FunctionVersion: v.Version})
	p.must(err)
}

// another makes one more function, whose name begins with the patient's.
func (p *patient) another(after, code string) string {
	p.t.Helper()
	name := p.name + after
	_, err := p.functions().CreateFunction(p.t.Context(), &lambda.CreateFunctionInput{FunctionName: &name,
		Role: &p.role, Runtime: lambdatypes.RuntimePython312, Handler: aws.String("app.handler"),
		Code: &lambdatypes.FunctionCode{ZipFile: p.zipOf(map[string]string{"app.py": code})}})
	p.must(err)
	return name
}

// gets are requests for paths of the API.
func (p *patient) gets(paths ...string) (all [][]string) {
	for _, path := range paths {
		all = append(all, []string{p.url(path)})
	}
	return all
}

// deciding is a Lambda authorizer. decided answers with what it says, and claiming with what a token says, without
// which they fail.
const (
	deciding = "def handler(event, context):\n" +
		"    return {\"isAuthorized\": True, \"context\": {\"user\": \"anna\"}}\n"
	authorizing = "def handler(event, context):\n" +
		"    return {\"statusCode\": 200, \"body\": event[\"requestContext\"][\"authorizer\"]"
	decided, claiming = authorizing + "[\"lambda\"][\"user\"]}\n", authorizing + "[\"jwt\"][\"claims\"][\"sub\"]}\n"
)

// healthy are APIs that work, as tools make them. Each is made in the place of a patient's, and returns requests that
// are answered with 200, as arguments of the doctor.
var healthy = []struct {
	name  string
	often bool // also without NOTES_TEST_LONG
	makes func(p *patient) [][]string
	also  func(p *patient, whole doctor.Diagnosis) // judges what is said of the whole API; nil: nothing is unseen
}{
	{"up", true, func(p *patient) [][]string {
		p.world = enter(p.t)
		p.up()
		p.id = p.api()
		return p.gets("/dev/notes")
	}, nil},
	{"aws CLI, quick create", false, func(p *patient) [][]string {
		p.create(apigatewayv2.CreateApiInput{Name: &p.name, Target: aws.String(ofLambda + p.name)})
		p.let(p.name, "apigateway-quick", "*/$default")
		return p.gets("/", "/any/thing")
	}, nil},
	{"SAM", true, bySAM, nil},
	{"CDK", true, func(p *patient) [][]string {
		p.lay("HttpApi", ofLambda+p.name, "GET /items/{id}", "ANY /files/{proxy+}", "ANY /", "$default")
		p.stage("$default", apigatewayv2.CreateStageInput{})
		_, err := p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
			CorsConfiguration: &apitypes.Cors{AllowOrigins: []string{"*"}, AllowHeaders: []string{"Authorization"},
				AllowMethods: []string{"GET", "OPTIONS"}}})
		p.must(err)
		p.let(p.name, "NotesHttpApiGETitemsidListPermission4B2C1D0E", "*/*/items/{id}")
		p.let(p.name, "NotesHttpApiANYfilesproxyListPermission0A1B2C3D", "*/*/files/{proxy+}")
		p.let(p.name, "NotesHttpApiANYListPermission5D6E7F80", "*/*/")
		p.let(p.name, "NotesHttpApiDefaultRouteListPermission9F8E7D6C", "*/*")
		page := []string{"--", "curl", "-H", "Origin: https://app.example", p.url("/items/7")}
		asked := []string{"--", "curl", "-X", "OPTIONS", "-H", "Origin: https://app.example", "-H",
			"Access-Control-Request-Method: GET", p.url("/items/7")}
		return append(p.gets("/items/7", "/files/a/b", "/", "/else"), page, asked)
	}, nil},
	{"CDK, scopePermissionToRoute false", false, func(p *patient) [][]string {
		p.lay("HttpApi", ofLambda+p.name, "GET /items/{id}", "POST /items")
		p.stage("$default", apigatewayv2.CreateStageInput{})
		p.let(p.name, "NotesHttpApiListIntegrationPermission6A5B4C3D", "*/*/*")
		return append(p.gets("/items/7"), []string{"--", "curl", "-d", "{}", p.url("/items")})
	}, nil},
	{"Serverless Framework", false, byServerless, nil},
	{"Terraform", true, func(p *patient) [][]string {
		p.alias("live")
		p.lay(p.name+"-http", invoked(p.name+":live"), "GET /items", "GET /items/{id}")
		group := "/aws/apigw/" + p.name
		_, err := cloudwatchlogs.NewFromConfig(p.cfg).CreateLogGroup(p.t.Context(),
			&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
		p.must(err)
		p.stage("prod", apigatewayv2.CreateStageInput{AccessLogSettings: &apitypes.AccessLogSettings{
			DestinationArn: aws.String("arn:aws:logs:us-east-1:123456789012:log-group:" + group),
			Format:         aws.String(`{"requestId":"$context.requestId","status":"$context.status"}`)}})
		p.let(p.name+":live", "AllowExecutionFromAPIGateway", "*/*")
		return p.gets("/prod/items", "/prod/items/7")
	}, nil},
	{"CloudFormation, payload format 1.0", false, func(p *patient) [][]string {
		p.python("def handler(event, context):\n    return {\"statusCode\": 200, \"body\": event[\"httpMethod\"]}\n")
		p.lay(p.name, invoked(p.name))
		p.lead(invoked(p.name), apigatewayv2.CreateIntegrationInput{IntegrationMethod: aws.String("POST"),
			PayloadFormatVersion: aws.String("1.0"), TimeoutInMillis: aws.Int32(30000)}, "ANY /items")
		p.deployed("v1")
		p.let(p.name, p.name+"-ItemsPermission-1ABCDEFGHIJKL", "*/*/items")
		return p.gets("/v1/items")
	}, nil},
	{"OpenAPI import", false, func(p *patient) [][]string {
		p.imported("  /items/{id}:\n    get:\n" + target(p.name) +
			"  /items:\n    x-amazon-apigateway-any-method:\n" + target(p.name))
		p.stage("dev", apigatewayv2.CreateStageInput{})
		p.let(p.name, "openapi", "*/*")
		return p.gets("/dev/items", "/dev/items/7")
	}, nil},
	{"JWT, whose claims the handler reads", false, func(p *patient) [][]string {
		issuer := jwttest.New(p.t)
		p.python(claiming)
		p.byToken(issuer.URL, jwttest.Audience)
		token := "Authorization: Bearer " + issuer.Token(p.t, "anna", "openid")
		return [][]string{{"--", "curl", "-H", token, p.url("/dev/items")}}
	}, func(p *patient, _ doctor.Diagnosis) {
		d, code := p.seen(p.url("/dev/items"))
		if faults(d) != "jwt.missing" || d.Verdict.Cause != "jwt.missing" || code != 1 {
			p.t.Errorf("without a token: exit %d, the cause %q, %+v", code, d.Verdict.Cause, d.Findings)
		}
	}},
	{"an HTTP server beside a function", false, func(p *patient) [][]string {
		server := httptest.NewServer(http.FileServer(http.Dir(".."))) // of this project's files
		p.t.Cleanup(server.Close)
		p.lay(p.name, ofLambda+p.name, "GET /items")
		p.lead(server.URL+"/{proxy}", apigatewayv2.CreateIntegrationInput{IntegrationMethod: aws.String("ANY"),
			IntegrationType: apitypes.IntegrationTypeHttpProxy, PayloadFormatVersion: aws.String("1.0")},
			"ANY /site/{proxy+}")
		p.stage("$default", apigatewayv2.CreateStageInput{})
		p.let(p.name, "items", "*/GET/items")
		return p.gets("/items", "/site/README.md")
	}, nil},
	{"a domain, and no endpoint of its own", false, byDomain, nil},
	{"a domain, with the API's id", false, func(p *patient) [][]string {
		return [][]string{{byDomain(p)[0][0], "--api", p.id}}
	}, nil},
	{"a stage that lags on purpose", false, func(p *patient) [][]string {
		p.lay(p.name, ofLambda+p.name, "GET /items")
		p.deployed("prod")
		p.lead(ofLambda+p.name, apigatewayv2.CreateIntegrationInput{}, "GET /later")
		p.let(p.name, "items", "prod/GET/items")
		return p.gets("/prod/items")
	}, func(p *patient, d doctor.Diagnosis) {
		if len(d.Findings) != 1 || d.Findings[0].Cause != "stage.stale" {
			p.t.Errorf("of the whole API: %+v", d.Findings)
		}
	}},
	{"a stage that lags, and what is next has no grant", false, func(p *patient) [][]string {
		p.lay(p.name, ofLambda+p.name, "GET /items")
		p.let(p.name, "items", "prod/GET/items")
		p.deployed("prod")
		p.another("-next", working)
		p.integrate("-next")
		return p.gets("/prod/items")
	}, nil},
	{"a function of another account", false, func(p *patient) [][]string {
		p.lay(p.name, ofLambda+p.name, "GET /items")
		p.lead("arn:aws:lambda:us-east-1:999999999999:function:theirs", apigatewayv2.CreateIntegrationInput{},
			"GET /theirs")
		p.stage("dev", apigatewayv2.CreateStageInput{})
		p.let(p.name, "items", "*/*")
		return p.gets("/dev/items")
	}, func(p *patient, d doctor.Diagnosis) {
		if len(d.Unseen) != 1 || !strings.Contains(fmt.Sprint(d.Unseen), "function:theirs") {
			p.t.Errorf("unseen are %+v", d.Unseen)
		}
	}},
	{"two stages, and an alias of each", false, func(p *patient) [][]string {
		p.lay(p.name, invoked(p.name+":${stageVariables.alias}"), "GET /items", "ANY /items/{id}")
		for _, stage := range []string{"dev", "prod"} {
			p.alias(stage)
			p.stage(stage, apigatewayv2.CreateStageInput{StageVariables: map[string]string{"alias": stage}})
			p.let(p.name+":"+stage, "items", stage+"/GET/items")
			p.let(p.name+":"+stage, "item", stage+"/*/items/*")
		}
		return p.gets("/dev/items", "/prod/items/7")
	}, nil},
	{"a function with a layer, a VPC and a limit", false, byLayer, nil},
}

// target is what leads a route of a definition to a function, as SAM writes it.
func target(function string) string {
	return "      x-amazon-apigateway-integration: {httpMethod: POST, type: aws_proxy,\n" +
		"        payloadFormatVersion: \"2.0\", uri: '" + invoked(function) + "'}\n"
}

// imported makes an API of the paths of a definition, and what follows them, in the place of the patient's.
func (p *patient) imported(paths string) {
	p.t.Helper()
	p.clear()
	made, err := p.gateway().ImportApi(p.t.Context(), &apigatewayv2.ImportApiInput{Body: aws.String(
		"openapi: 3.0.1\ninfo: {title: " + p.name + ", version: '1.0'}\npaths:\n" + paths)})
	p.must(err)
	p.id = *made.ApiId
}

// bySAM makes what sam deploy makes of functions with events of type HttpApi, and an authorizer of one's own.
func bySAM(p *patient) [][]string {
	p.python(decided)
	rest, judge := p.another("-rest", working), p.another("-judge", deciding)
	guarded := "      security: [{Judge: []}]\n"
	p.imported("  /items:\n    get:\n" + target(p.name) + guarded +
		"  /items/{id}:\n    x-amazon-apigateway-any-method:\n" + target(rest) +
		"  $default:\n    x-amazon-apigateway-any-method:\n      isDefaultRoute: true\n" + target(rest) +
		"components:\n  securitySchemes:\n    Judge:\n      {type: apiKey, name: Unused, in: header,\n" +
		"       x-amazon-apigateway-authorizer: {type: request, authorizerPayloadFormatVersion: \"2.0\",\n" +
		"         identitySource: $request.header.Authorization, enableSimpleResponses: true,\n" +
		"         authorizerUri: '" + invoked(judge) + "'}}\n")
	p.stage("$default", apigatewayv2.CreateStageInput{Tags: map[string]string{"httpapi:createdBy": "SAM"}})
	p.let(p.name, "stack-ItemsFunctionItemsPermission-1A2B3C4D5E6F", "*/GET/items")
	p.let(rest, "stack-RestFunctionItemPermission-2B3C4D5E6F7A", "*/*/items/*")
	p.let(rest, "stack-RestFunctionDefaultPermission-3C4D5E6F7A8B", "*/*")
	p.let(judge, "stack-ServerlessHttpApiJudgeAuthorizerPermission-4D5E6F7A8B9C", "authorizers/*")
	return append(p.gets("/items/7", "/else"), []string{"--", "curl", "-H", "Authorization: x", p.url("/items")})
}

// byServerless makes what serverless deploy makes of functions with events of type httpApi.
func byServerless(p *patient) [][]string {
	issuer := jwttest.New(p.t)
	second := p.another("-mine", claiming)
	p.lay("dev-"+p.name, ofLambda+second, "GET /items")
	p.byToken(issuer.URL, jwttest.Audience, "openid")
	p.lead(ofLambda+p.name, apigatewayv2.CreateIntegrationInput{TimeoutInMillis: aws.Int32(30000)},
		"GET /items/{id}", "$default")
	p.stage("$default", apigatewayv2.CreateStageInput{DefaultRouteSettings: &apitypes.RouteSettings{
		DetailedMetricsEnabled: aws.Bool(false)}})
	p.let(p.name, p.name+"-dev-ListLambdaPermissionHttpApi-1A2B3C4D5E6F", "*")
	p.let(second, p.name+"-dev-MineLambdaPermissionHttpApi-2B3C4D5E6F7A", "*")
	token := "Authorization: Bearer " + issuer.Token(p.t, "anna", "openid")
	return append(p.gets("/items/7", "/else"), []string{"--", "curl", "-H", token, p.url("/items")})
}

// byDomain makes an API that a custom domain alone leads to.
func byDomain(p *patient) [][]string {
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

// byLayer gives the function a module of a layer, a VPC, variables and concurrency of its own.
func byLayer(p *patient) [][]string {
	zip := p.zipOf(map[string]string{"python/greeting.py": "TEXT = 'hello'\n"})
	layer, err := p.functions().PublishLayerVersion(p.t.Context(), &lambda.PublishLayerVersionInput{
		LayerName: &p.name, Content: &lambdatypes.LayerVersionContentInput{ZipFile: zip}})
	p.must(err)
	p.updated()
	p.configure(lambda.UpdateFunctionConfigurationInput{Layers: []string{*layer.LayerVersionArn},
		Environment: &lambdatypes.Environment{Variables: map[string]string{"NAME": "anna", "EMPTY": ""}},
		VpcConfig: &lambdatypes.VpcConfig{SubnetIds: []string{"subnet-0a1b2c3d"},
			SecurityGroupIds: []string{"sg-0a1b2c3d"}}})
	_, err = p.functions().PutFunctionConcurrency(p.t.Context(), &lambda.PutFunctionConcurrencyInput{
		FunctionName: &p.name, ReservedConcurrentExecutions: aws.Int32(5)})
	p.must(err)
	p.python("import os\nimport greeting\n\n\ndef handler(event, context):\n" +
		"    return {\"statusCode\": 200, \"body\": greeting.TEXT + os.environ[\"NAME\"]}\n")
	return p.gets("/dev/items")
}

// TestDoctorHealthyStacks: of what works, however it was made, nothing is said but notes, with a request and without.
func TestDoctorHealthyStacks(t *testing.T) {
	t.Parallel()
	alarm := func(f doctor.Finding) bool { return f.Level != doctor.Note }
	for _, s := range healthy {
		t.Run(s.name, func(t *testing.T) {
			if !s.often && os.Getenv("NOTES_TEST_LONG") == "" {
				t.Skip("only with NOTES_TEST_LONG=1: some others are judged in the usual run")
			}
			t.Parallel()
			p := newPatient(t)
			for _, args := range append(s.makes(p), []string{"--api", p.id}) {
				d, code := p.seen(args...)
				whole := args[0] == "--api"
				answered := d.Answer != nil && d.Answer.Status >= 200 && d.Answer.Status < 300
				if code != 0 || !d.Verdict.Healthy || answered == whole || slices.ContainsFunc(d.Findings, alarm) {
					t.Errorf("%v: exit %d, %+v %+v %+v", args, code, d.Verdict, d.Answer, d.Findings)
				}
				if s.also == nil && len(d.Unseen) > 0 {
					t.Errorf("%v: unseen %+v", args, d.Unseen)
				} else if s.also != nil && whole {
					s.also(p, d)
				}
			}
		})
	}
}
