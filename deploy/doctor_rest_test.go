package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/sandbox"
)

// ofAPI begins the source ARN of a grant.
const ofAPI = "arn:aws:execute-api:us-east-1:123456789012:"

// answers makes the function answer with an expression of Python.
func answers(expression string) func(p *patient) {
	return func(p *patient) {
		p.python("import json, os\n\n\ndef handler(event, context):\n    return " + expression + "\n")
	}
}

// change changes the integration.
func (p *patient) change(in apigatewayv2.UpdateIntegrationInput) {
	p.t.Helper()
	in.ApiId, in.IntegrationId = &p.id, &p.integration
	p.did(p.gateway().UpdateIntegration(p.t.Context(), &in))
}

// leads changes what the integration leads to.
func (p *patient) leads(uri string) {
	p.t.Helper()
	p.change(apigatewayv2.UpdateIntegrationInput{IntegrationUri: &uri})
}

// forget removes a statement of the function's policy.
func (p *patient) forget(sid string) {
	p.t.Helper()
	p.did(p.functions().RemovePermission(p.t.Context(), &lambda.RemovePermissionInput{FunctionName: &p.name,
		StatementId: &sid}))
}

// did holds that a call went well.
func (p *patient) did(_ any, err error) { p.t.Helper(); p.must(err) }

// works mends the code of a function.
func works(p *patient) { p.t.Helper(); p.python(working) }

// asks mends nothing: the next request is right.
func asks(*patient) {}

// ofGrant is a grant of all of the API with something else than it needs.
func ofGrant(cause string, in lambda.AddPermissionInput) stagedFault {
	return stagedFault{cause, false, "", func(p *patient) {
		p.revoke()
		in.FunctionName, in.StatementId, in.SourceArn = &p.name, aws.String("api"), aws.String(ofAPI+p.id+"/*/*")
		in.Action = cmp.Or(in.Action, aws.String("lambda:InvokeFunction"))
		in.Principal = cmp.Or(in.Principal, aws.String("apigateway.amazonaws.com"))
		p.did(p.functions().AddPermission(p.t.Context(), &in))
	}, nil}
}

// restGrants are faults of the function's policy.
var restGrants = []stagedFault{
	ofGrant("permission.action", lambda.AddPermissionInput{Action: aws.String("lambda:GetFunction")}),
	ofGrant("permission.principal", lambda.AddPermissionInput{Principal: aws.String("123456789012")}),
	ofGrant("permission.condition", lambda.AddPermissionInput{PrincipalOrgID: aws.String("o-a1b2c3d4e5")}),
	{"permission.other-api", false, "", func(p *patient) {
		other, err := p.gateway().CreateApi(p.t.Context(), &apigatewayv2.CreateApiInput{Name: aws.String("other"),
			ProtocolType: apitypes.ProtocolTypeHttp})
		p.must(err)
		p.regrant(ofAPI + *other.ApiId + "/*/*")
	}, nil},
	{"permission.mangled-arn", false, "", func(p *patient) { p.regrant(ofAPI + p.id + "/*/") }, nil}, // "$default"
	{"permission.default-route", false, "/dev/else", func(p *patient) {
		p.lead(ofLambda+p.name, apigatewayv2.CreateIntegrationInput{}, "$default")
		p.regrant(ofAPI + p.id + "/*/*/*")
	}, nil},
	{"permission.too-wide", false, "", func(p *patient) {
		p.did(p.functions().AddPermission(p.t.Context(), &lambda.AddPermissionInput{FunctionName: &p.name,
			StatementId: aws.String("wide"), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("apigateway.amazonaws.com")}))
	}, func(p *patient) { p.forget("wide") }},
	{"permission.left-over", false, "", func(p *patient) { p.grant("old", ofAPI+"gone000000/*/*") },
		func(p *patient) { p.forget("old") }},
	{"permission.full", false, "", func(p *patient) {
		for i := range 11 {
			p.grant(fmt.Sprint("n", i), ofAPI+p.id+"/*/GET/"+strings.Repeat("x", 1520))
		}
	}, func(p *patient) { p.forget("n0") }},
}

// restRoutes are faults of stages, of routes, and of what these lead to.
var restRoutes = []stagedFault{
	{"endpoint.url", false, "/dev/dev/items", asks, asks},
	{"route.case", false, "/dev/Items", asks, asks},
	{"route.trailing-slash", false, "/dev/items/", asks, asks},
	{"route.greedy-parent", false, "/dev/files", func(p *patient) {
		p.lead(ofLambda+p.name, apigatewayv2.CreateIntegrationInput{}, "ANY /files/{proxy+}")
	}, nil},
	{"route.integration-gone", false, "", func(p *patient) {
		p.routeTo(apigatewayv2.UpdateRouteInput{Target: aws.String("integrations/gone000")})
	}, nil},
	{"stage.not-deployed", false, "/test/items", func(p *patient) {
		p.did(p.gateway().CreateStage(p.t.Context(), &apigatewayv2.CreateStageInput{ApiId: &p.id,
			StageName: aws.String("test")}))
	}, nil},
	{"stage.shadows-path", false, "/items", func(p *patient) {
		p.stage("$default", apigatewayv2.CreateStageInput{})
		p.stage("items", apigatewayv2.CreateStageInput{})
	}, func(p *patient) {
		p.did(p.gateway().DeleteStage(p.t.Context(), &apigatewayv2.DeleteStageInput{ApiId: &p.id,
			StageName: aws.String("items")}))
	}},
	{"integration.stage-variable", false, "", func(p *patient) {
		p.stage("prod", apigatewayv2.CreateStageInput{StageVariables: map[string]string{"function": p.name}})
		p.leads(invoked("${stageVariables.function}"))
	}, nil},
	{"integration.uri", false, "", func(p *patient) { p.leads("arn:aws:lambda:us-east-1:123456789012:layer:one") },
		func(p *patient) { p.integrate("") }},
	{"integration.elsewhere", false, "", func(p *patient) {
		p.leads("arn:aws:lambda:eu-west-1:123456789012:function:" + p.name)
	}, func(p *patient) { p.integrate("") }},
	{"integration.method", false, "", func(p *patient) {
		p.change(apigatewayv2.UpdateIntegrationInput{IntegrationMethod: aws.String("GET")})
	}, nil},
	{"integration.caller-role", false, "", func(p *patient) {
		p.change(apigatewayv2.UpdateIntegrationInput{CredentialsArn: aws.String("arn:aws:iam::*:user/*")})
	}, func(p *patient) { p.change(apigatewayv2.UpdateIntegrationInput{CredentialsArn: aws.String("")}) }},
	{"integration.path", false, "", func(p *patient) {
		answers(`{"statusCode": 200 if event["rawPath"].endswith("/items") else 404, "body": "gone"}`)(p)
		p.change(apigatewayv2.UpdateIntegrationInput{RequestParameters: map[string]string{"overwrite:path": "/new"}})
	}, func(p *patient) {
		p.change(apigatewayv2.UpdateIntegrationInput{RequestParameters: map[string]string{"overwrite:path": ""}})
	}},
	{"integration.other", false, "/dev/site", func(p *patient) { p.site(p.server()) }, asks},
	{"logs.access-off", false, "/dev/site", func(p *patient) { p.site("http://127.0.0.1:1") },
		func(p *patient) { p.leads(p.server()) }},
	{"logs.access-blind", false, "/dev/site", func(p *patient) {
		p.site("http://127.0.0.1:1")
		group := "/aws/apigw/" + p.name
		p.did(cloudwatchlogs.NewFromConfig(p.cfg).CreateLogGroup(p.t.Context(),
			&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}))
		p.did(p.gateway().UpdateStage(p.t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &p.id,
			StageName: aws.String("dev"), AccessLogSettings: &apitypes.AccessLogSettings{
				DestinationArn: aws.String("arn:aws:logs:us-east-1:123456789012:log-group:" + group),
				Format:         aws.String("$context.requestId")}}))
	}, func(p *patient) { p.leads(p.server()) }},
}

// server is the URL of a server of the test.
func (p *patient) server() string {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // 200
	p.t.Cleanup(server.Close)
	return server.URL
}

// site leads GET /site to a server. Why it does not answer, only an access log tells.
func (p *patient) site(url string) {
	p.lead(url, apigatewayv2.CreateIntegrationInput{IntegrationMethod: aws.String("GET"),
		IntegrationType: apitypes.IntegrationTypeHttpProxy, PayloadFormatVersion: aws.String("1.0")}, "GET /site")
}

// trusts lets a service alone assume the function's role.
func trusts(service string) func(p *patient) {
	return func(p *patient) {
		p.did(p.roles().UpdateAssumeRolePolicy(p.t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &p.name,
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{` +
				`"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`)}))
	}
}

// sets sets the variables of the function's environment.
func sets(all map[string]string) func(p *patient) {
	return func(p *patient) {
		p.configure(lambda.UpdateFunctionConfigurationInput{Environment: &lambdatypes.Environment{Variables: all}})
	}
}

// logging is the policy by which a function may write its log.
const logging = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

// ofTable is a fault of how a function uses its table: what its code has in place of something else.
func ofTable(cause, instead, has string) stagedFault {
	return stagedFault{cause, false, "", func(p *patient) {
		p.table()
		p.allow("dynamodb:*", "arn:aws:dynamodb:us-east-1:123456789012:table/"+p.name+"*")
		p.python(strings.Replace(scanning(p.name), instead, has, 1))
	}, func(p *patient) { p.python(scanning(p.name)) }}
}

// restFunctions are faults of the function, and of its code.
var restFunctions = []stagedFault{
	{"function.pending", false, "", func(p *patient) { p.must(p.Stage(p.name, "pending")) },
		func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{"function.update-failed", false, "", func(p *patient) { p.must(p.Stage(p.name, "update-failed")) },
		func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{"function.updating", false, "/dev/notes", func(p *patient) { // where it takes a while
		p.world = enter(p.t).alone(sandbox.Options{Settling: 4 * time.Second})
		p.up()
		p.id = p.api()
		p.did(p.functions().UpdateFunctionConfiguration(p.t.Context(), &lambda.UpdateFunctionConfigurationInput{
			FunctionName: &p.name, MemorySize: aws.Int32(256)}))
	}, func(p *patient) { p.updated() }},
	{"function.role", false, "", trusts("ec2.amazonaws.com"), trusts("lambda.amazonaws.com")},
	{"code.crash", false, "", answers("os._exit(3)"), works},
	{"code.init-timeout", false, "", func(p *patient) {
		p.python("import time\n\ntime.sleep(30)\n" + working)
		p.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
	}, works},
	{"code.layer", false, "", func(p *patient) { // its extension may not be executed
		layer, err := p.functions().PublishLayerVersion(p.t.Context(), &lambda.PublishLayerVersionInput{
			LayerName: &p.name, Content: &lambdatypes.LayerVersionContentInput{
				ZipFile: p.zipOf(map[string]string{"extensions/watch": "#!/bin/sh\n"})}})
		p.must(err)
		p.updated()
		p.configure(lambda.UpdateFunctionConfigurationInput{Layers: []string{*layer.LayerVersionArn}})
	}, func(p *patient) { p.configure(lambda.UpdateFunctionConfigurationInput{Layers: []string{}}) }},
	{"code.wrapper", false, "", sets(map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nosuch"}),
		sets(map[string]string{})},
	{"response.no-status", false, "", func(p *patient) {
		answers("1")(p)
		p.change(apigatewayv2.UpdateIntegrationInput{PayloadFormatVersion: aws.String("1.0")})
	}, works},
	{"response.base64", false, "", answers(`{"statusCode": 200, "body": "plain!", "isBase64Encoded": 1 > 0}`), works},
	{"response.too-large", false, "", answers(`{"statusCode": 200, "body": "x" * (7 << 20)}`), works},
	{"app.stage-in-path", false, "", answers(`{"statusCode": 404, "body": "Cannot GET " + event["rawPath"]}`), works},
	{"role.logs", false, write, func(p *patient) {
		p.did(p.roles().DetachRolePolicy(p.t.Context(), &iam.DetachRolePolicyInput{RoleName: &p.name,
			PolicyArn: aws.String(logging)}))
		answers("1 / 0")(p)
	}, func(p *patient) {
		p.did(p.roles().AttachRolePolicy(p.t.Context(), &iam.AttachRolePolicyInput{RoleName: &p.name,
			PolicyArn: aws.String(logging)}))
		p.python(working)
	}},
	ofTable("table.elsewhere", `"dynamodb"`, `"dynamodb", region_name="eu-west-1"`),
	ofTable("table.keys", "scan()", `get_item(Key={"name": "a"})`),
	ofTable("table.index", "scan()", `scan(IndexName="by-name")`),
	{"table.local-endpoint", false, "", func(p *patient) {
		p.python(scanning(p.name))
		sets(map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:1", "AWS_MAX_ATTEMPTS": "1"})(p)
	}, works},
}

// stagedRest are faults that the other tables do not have.
func stagedRest() (all []stagedCase) {
	for _, f := range slices.Concat(restGrants, restRoutes, restFunctions) {
		s := stagedCase{stagedFault: f}
		if slices.Contains([]string{"endpoint.url", "route.case", "route.trailing-slash"}, f.cause) {
			s.then = func(p *patient) []string { return []string{p.url("/dev/items")} }
		}
		all = append(all, s)
	}
	return slices.Concat(all, restTokens(), restRequests(), restPages(), restDomains())
}

// signed is a token of an issuer by an algorithm and a key, nil for its own, which lasts for a time.
func signed(by jose.SignatureAlgorithm, key any, lasts time.Duration) func(p *patient, i *jwttest.Issuer) string {
	return func(p *patient, i *jwttest.Issuer) string {
		id, own := i.SigningKey()
		with := jose.JSONWebKey{Key: key, KeyID: id}
		if key == nil {
			with.Key = own
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: by, Key: with}, nil)
		p.must(err)
		token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: i.URL, Audience: jwt.Audience{jwttest.Audience},
			Expiry: jwt.NewNumericDate(time.Now().Add(lasts))}).Serialize()
		p.must(err)
		return token
	}
}

// restTokens are tokens that are not taken.
func restTokens() (all []stagedCase) {
	words := func(p *patient, token string) []string {
		return []string{"-H", "Authorization: Bearer " + token, p.url("/dev/items")}
	}
	for cause, asks := range map[string]func(p *patient, i *jwttest.Issuer) string{
		"jwt.expired":   signed(jose.RS256, nil, -time.Hour),
		"jwt.algorithm": signed(jose.HS256, []byte(strings.Repeat("k", 32)), time.Hour),
		"jwt.signature": func(p *patient, i *jwttest.Issuer) string {
			_, other := jwttest.New(p.t).SigningKey()
			return signed(jose.RS256, other, time.Hour)(p, i)
		},
		"jwt.issuer": func(p *patient, _ *jwttest.Issuer) string {
			return jwttest.New(p.t).Token(p.t, "anna", "openid")
		},
		"jwt.issuer-unreachable": func(p *patient, i *jwttest.Issuer) string {
			defer i.Gone(true)
			return i.Token(p.t, "anna", "openid")
		},
	} {
		var issuer *jwttest.Issuer
		token := ""
		s := stagedCase{stagedFault: stagedFault{cause: cause, breaks: func(p *patient) {
			issuer = jwttest.New(p.t)
			p.byToken(issuer.URL, jwttest.Audience)
			token = asks(p, issuer)
		}, fixed: func(*patient) { issuer.Gone(false) }},
			request: func(p *patient) []string { return words(p, token) },
			then:    func(p *patient) []string { return words(p, issuer.Token(p.t, "anna", "openid")) }}
		if cause == "jwt.issuer" { // what is printed takes the other issuer
			s.fixed, s.then = nil, nil
		}
		all = append(all, s)
	}
	return all
}

// restRequests are requests that an authorizer refuses, and bodies that are not taken as they are meant.
func restRequests() []stagedCase {
	asked := func(p *patient) []string { return []string{"-H", "Authorization: x", p.url("/dev/items")} }
	with := func(words ...string) func(p *patient) []string {
		return func(p *patient) []string { return append(words, p.url("/dev/items/7")) }
	}
	var key string
	return []stagedCase{
		{stagedFault{"request.too-large", false, "", asks, asks}, func(p *patient) []string {
			large := filepath.Join(p.t.TempDir(), "large")
			p.must(os.WriteFile(large, make([]byte, 7<<20), 0o600))
			return with("--data-binary", "@"+large)(p)
		}, with("-d", "a")},
		{stagedFault{"request.base64-body", false, "", answers(`json.loads(event["body"]) and {"statusCode": 200}`),
			asks}, with("-d", `{"a":1}`), with("--json", `{"a":1}`)},
		{stagedFault{"authorizer.fails", false, "", func(p *patient) {
			p.python(strings.Replace(allowing, `{"isAuthorized": True}`, "1 / 0", 1))
			p.byFunction(true)
		}, func(p *patient) { p.python(allowing) }}, asked, nil},
		{stagedFault{"authorizer.cached", false, "", func(p *patient) {
			p.python(denying)
			p.byFunction(true)
			p.did(p.gateway().UpdateAuthorizer(p.t.Context(), &apigatewayv2.UpdateAuthorizerInput{ApiId: &p.id,
				AuthorizerId: &p.authorizer, AuthorizerResultTtlInSeconds: aws.Int32(300)}))
			p.seen(append([]string{"--no-invoke", "--", "curl"}, asked(p)...)...)
			p.python(allowing)
		}, nil}, asked, nil},
		{stagedFault{"iam.denied", false, "", func(p *patient) {
			p.routeTo(apigatewayv2.UpdateRouteInput{AuthorizationType: apitypes.AuthorizationTypeAwsIam})
			p.did(p.roles().CreateUser(p.t.Context(), &iam.CreateUserInput{UserName: &p.name}))
			made, err := p.roles().CreateAccessKey(p.t.Context(), &iam.CreateAccessKeyInput{UserName: &p.name})
			p.must(err)
			key = *made.AccessKey.AccessKeyId + ":" + *made.AccessKey.SecretAccessKey
		}, func(p *patient) {
			p.did(p.roles().PutUserPolicy(p.t.Context(), &iam.PutUserPolicyInput{UserName: &p.name,
				PolicyName: aws.String("call"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{` +
					`"Effect":"Allow","Action":"execute-api:Invoke","Resource":"` + ofAPI + p.id + `/*"}]}`)}))
		}}, func(p *patient) []string {
			return []string{"--aws-sigv4", "aws:amz:us-east-1:execute-api", "-u", key, p.url("/dev/items")}
		}, nil},
	}
}

// restPages are answers that a browser keeps from a page.
func restPages() []stagedCase {
	allow := func(c apitypes.Cors) func(p *patient) {
		return func(p *patient) {
			p.did(p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
				CorsConfiguration: &c}))
		}
	}
	page := []string{"https://app.example"}
	with := `{"statusCode": 200, "headers": {"access-control-allow-headers": "*", "access-control-allow-origin": "`
	asks := func(path string, words ...string) func(p *patient) []string {
		return func(p *patient) []string {
			return append([]string{"-H", "Origin: https://app.example", p.url(path)}, words...)
		}
	}
	preflight := func(path, method string) func(p *patient) []string {
		return asks(path, "-X", "OPTIONS", "-H", "Access-Control-Request-Method: "+method, "-H",
			"Access-Control-Request-Headers: x-app")
	}
	return []stagedCase{
		{stagedFault{"cors.credentials", false, "", allow(apitypes.Cors{AllowOrigins: []string{"*"}}),
			allow(apitypes.Cors{AllowOrigins: page, AllowCredentials: aws.Bool(true)})},
			asks("/dev/items", "-b", "a=b"), nil},
		{stagedFault{"cors.method", false, "", allow(apitypes.Cors{AllowOrigins: page, AllowHeaders: []string{"*"},
			AllowMethods: []string{"GET"}}), nil}, preflight("/dev/items", "DELETE"), nil},
		{stagedFault{"cors.header", false, "", allow(apitypes.Cors{AllowOrigins: page,
			AllowMethods: []string{"GET"}}), nil}, preflight("/dev/items", "GET"), nil},
		{stagedFault{"cors.twice", false, "", answers(with + page[0] + `, *"}}`), answers(with + page[0] + `"}}`)},
			asks("/dev/items"), nil},
		{stagedFault{"cors.preflight-authorized", false, "", func(p *patient) {
			answers(with + page[0] + `"}}`)(p)
			p.byToken(jwttest.New(p.t).URL, jwttest.Audience)
			p.did(p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
				RouteKey: aws.String("ANY /{proxy+}"), Target: aws.String("integrations/" + p.integration),
				AuthorizationType: apitypes.AuthorizationTypeJwt, AuthorizerId: &p.authorizer}))
		}, nil}, preflight("/dev/else", "GET"), nil},
	}
}

// restDomains are faults of the way to the API by another name.
func restDomains() []stagedCase {
	name := func(p *patient) *string { return aws.String(p.name + ".example.com") }
	at := func(path string) func(p *patient) []string {
		return func(p *patient) []string { return []string{p.URL + "/_aws/domains/" + *name(p) + path} }
	}
	makes := func(p *patient) {
		p.did(p.gateway().CreateDomainName(p.t.Context(), &apigatewayv2.CreateDomainNameInput{DomainName: name(p),
			DomainNameConfigurations: []apitypes.DomainNameConfiguration{{}}}))
	}
	maps := func(p *patient) {
		p.did(p.gateway().CreateApiMapping(p.t.Context(), &apigatewayv2.CreateApiMappingInput{ApiId: &p.id,
			DomainName: name(p), Stage: aws.String("dev"), ApiMappingKey: aws.String("v1")}))
	}
	own := func(p *patient) []string {
		host, port := p.id+".execute-api.us-east-1.amazonaws.com", p.URL[strings.LastIndex(p.URL, ":")+1:]
		return []string{"--resolve", host + ":" + port + ":127.0.0.1", "http://" + host + ":" + port + "/dev/items"}
	}
	return []stagedCase{
		{stagedFault{"endpoint.domain-unmapped", false, "", makes, maps}, at("/v1/items"), nil},
		{stagedFault{"endpoint.domain-key", false, "", func(p *patient) { makes(p); maps(p) }, asks},
			at("/v2/items"), at("/v1/items")},
		{stagedFault{"endpoint.domain-stage", false, "", func(p *patient) {
			makes(p)
			maps(p)
			p.did(p.gateway().DeleteStage(p.t.Context(), &apigatewayv2.DeleteStageInput{ApiId: &p.id,
				StageName: aws.String("dev")}))
		}, func(p *patient) { p.stage("dev", apigatewayv2.CreateStageInput{}) }}, at("/v1/items"), nil},
		{stagedFault{"endpoint.host-header", false, "", makes, asks},
			func(p *patient) []string { return append(own(p), "-H", "Host: "+*name(p)) }, own},
	}
}
