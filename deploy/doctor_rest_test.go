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
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/sandbox"
)

// apiARN is the prefix of a grant's source ARN.
const apiARN = "arn:aws:execute-api:us-east-1:123456789012:"

// answerWith makes the function return a Python expression.
func answerWith(expression string) func(p *patient) {
	return func(p *patient) {
		p.setPython("import json, os\n\n\ndef handler(event, context):\n    return " + expression + "\n")
	}
}

// updateIntegration changes the integration.
func (p *patient) updateIntegration(in apigatewayv2.UpdateIntegrationInput) {
	p.t.Helper()
	in.ApiId, in.IntegrationId = &p.id, &p.integration
	p.mustDo(p.gateway().UpdateIntegration(p.t.Context(), &in))
}

// setIntegrationURI changes the URI of the integration.
func (p *patient) setIntegrationURI(uri string) {
	p.t.Helper()
	p.updateIntegration(apigatewayv2.UpdateIntegrationInput{IntegrationUri: &uri})
}

// removeStatement removes a statement from the function's policy.
func (p *patient) removeStatement(sid string) {
	p.t.Helper()
	p.mustDo(p.functions().RemovePermission(p.t.Context(), &lambda.RemovePermissionInput{FunctionName: &p.name,
		StatementId: &sid}))
}

// mustDo ends the test if a call failed.
func (p *patient) mustDo(_ any, err error) { p.t.Helper(); p.must(err) }

// restoreCode restores the working code of the function.
func restoreCode(p *patient) { p.t.Helper(); p.setPython(workingCode) }

// noFix fixes nothing, because the next request is right.
func noFix(*patient) {}

// wrongGrant returns the fault that the only grant, for the whole API, has a wrong field.
func wrongGrant(cause string, in lambda.AddPermissionInput) stagedFault {
	return stagedFault{cause: cause, inject: func(p *patient) {
		p.revoke()
		in.FunctionName, in.StatementId, in.SourceArn = &p.name, aws.String("api"), aws.String(apiARN+p.id+"/*/*")
		in.Action = cmp.Or(in.Action, aws.String("lambda:InvokeFunction"))
		in.Principal = cmp.Or(in.Principal, aws.String("apigateway.amazonaws.com"))
		p.mustDo(p.functions().AddPermission(p.t.Context(), &in))
	}}
}

// grantFaults are faults of the function's policy.
var grantFaults = []stagedFault{
	wrongGrant("permission.action", lambda.AddPermissionInput{Action: aws.String("lambda:GetFunction")}),
	wrongGrant("permission.principal", lambda.AddPermissionInput{Principal: aws.String("123456789012")}),
	wrongGrant("permission.condition", lambda.AddPermissionInput{PrincipalOrgID: aws.String("o-a1b2c3d4e5")}),
	{cause: "permission.other-api", inject: func(p *patient) {
		other, err := p.gateway().CreateApi(p.t.Context(), &apigatewayv2.CreateApiInput{Name: aws.String("other"),
			ProtocolType: apitypes.ProtocolTypeHttp})
		p.must(err)
		p.regrant(apiARN + *other.ApiId + "/*/*")
	}},
	{cause: "permission.mangled-arn", inject: func(p *patient) { // as if a shell expanded $default
		p.regrant(apiARN + p.id + "/*/")
	}},
	{cause: "permission.default-route", path: "/dev/else", inject: func(p *patient) {
		p.addRoutes(lambdaARN+p.name, apigatewayv2.CreateIntegrationInput{}, "$default")
		p.regrant(apiARN + p.id + "/*/*/*")
	}},
	{cause: "permission.too-wide", inject: func(p *patient) {
		p.mustDo(p.functions().AddPermission(p.t.Context(), &lambda.AddPermissionInput{FunctionName: &p.name,
			StatementId: aws.String("wide"), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("apigateway.amazonaws.com")}))
	}, repair: func(p *patient) { p.removeStatement("wide") }},
	{cause: "permission.left-over", inject: func(p *patient) { p.grant("old", apiARN+"gone000000/*/*") },
		repair: func(p *patient) { p.removeStatement("old") }},
	{cause: "permission.full", inject: func(p *patient) {
		for i := range 11 {
			p.grant(fmt.Sprint("n", i), apiARN+p.id+"/*/GET/"+strings.Repeat("x", 1520))
		}
	}, repair: func(p *patient) { p.removeStatement("n0") }},
}

// routeFaults are faults of stages, routes and integrations.
var routeFaults = []stagedFault{
	{cause: "endpoint.url", path: "/dev/dev/items", inject: noFix, repair: noFix},
	{cause: "route.case", path: "/dev/Items", inject: noFix, repair: noFix},
	{cause: "route.trailing-slash", path: "/dev/items/", inject: noFix, repair: noFix},
	{cause: "route.greedy-parent", path: "/dev/files", inject: func(p *patient) {
		p.addRoutes(lambdaARN+p.name, apigatewayv2.CreateIntegrationInput{}, "ANY /files/{proxy+}")
	}},
	{cause: "route.integration-gone", inject: func(p *patient) {
		p.updateRoute(apigatewayv2.UpdateRouteInput{Target: aws.String("integrations/gone000")})
	}},
	{cause: "stage.not-deployed", path: "/test/items", inject: func(p *patient) {
		p.mustDo(p.gateway().CreateStage(p.t.Context(), &apigatewayv2.CreateStageInput{ApiId: &p.id,
			StageName: aws.String("test")}))
	}},
	{cause: "stage.shadows-path", path: "/items", inject: func(p *patient) {
		p.addStage("$default", apigatewayv2.CreateStageInput{})
		p.addStage("items", apigatewayv2.CreateStageInput{})
	}, repair: func(p *patient) {
		p.mustDo(p.gateway().DeleteStage(p.t.Context(), &apigatewayv2.DeleteStageInput{ApiId: &p.id,
			StageName: aws.String("items")}))
	}},
	{cause: "integration.stage-variable", inject: func(p *patient) {
		p.addStage("prod", apigatewayv2.CreateStageInput{StageVariables: map[string]string{"function": p.name}})
		p.setIntegrationURI(invokeURI("${stageVariables.function}"))
	}},
	{cause: "integration.uri",
		inject: func(p *patient) { p.setIntegrationURI("arn:aws:lambda:us-east-1:123456789012:layer:one") },
		repair: func(p *patient) { p.setIntegrationSuffix("") }},
	{cause: "integration.elsewhere", inject: func(p *patient) {
		p.setIntegrationURI("arn:aws:lambda:eu-west-1:123456789012:function:" + p.name)
	}, repair: func(p *patient) { p.setIntegrationSuffix("") }},
	{cause: "integration.method", inject: func(p *patient) {
		p.updateIntegration(apigatewayv2.UpdateIntegrationInput{IntegrationMethod: aws.String("GET")})
	}},
	{cause: "integration.caller-role", inject: func(p *patient) {
		p.updateIntegration(apigatewayv2.UpdateIntegrationInput{CredentialsArn: aws.String("arn:aws:iam::*:user/*")})
	}, repair: func(p *patient) {
		p.updateIntegration(apigatewayv2.UpdateIntegrationInput{CredentialsArn: aws.String("")})
	}},
	{cause: "integration.path", inject: func(p *patient) {
		answerWith(`{"statusCode": 200 if event["rawPath"].endswith("/items") else 404, "body": "gone"}`)(p)
		p.updateIntegration(apigatewayv2.UpdateIntegrationInput{
			RequestParameters: map[string]string{"overwrite:path": "/new"}})
	}, repair: func(p *patient) {
		p.updateIntegration(apigatewayv2.UpdateIntegrationInput{
			RequestParameters: map[string]string{"overwrite:path": ""}})
	}},
	{cause: "integration.other", path: "/dev/site", inject: func(p *patient) { p.addSite(p.newServer()) },
		repair: noFix},
	{cause: "logs.access-off", path: "/dev/site", inject: func(p *patient) { p.addSite("http://127.0.0.1:1") },
		repair: func(p *patient) { p.setIntegrationURI(p.newServer()) }},
	{cause: "logs.access-blind", path: "/dev/site", inject: func(p *patient) {
		p.addSite("http://127.0.0.1:1")
		p.logAccess("$context.requestId")
	}, repair: func(p *patient) { p.setIntegrationURI(p.newServer()) }},
}

// newServer starts an HTTP server that answers 200, and returns its URL.
func (p *patient) newServer() string {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // 200
	p.t.Cleanup(server.Close)
	return server.URL
}

// addSite routes GET /site to a server. Only an access log says why the server does not answer.
func (p *patient) addSite(url string) {
	p.addRoutes(url, apigatewayv2.CreateIntegrationInput{IntegrationMethod: aws.String("GET"),
		IntegrationType: apitypes.IntegrationTypeHttpProxy, PayloadFormatVersion: aws.String("1.0")}, "GET /site")
}

// setTrust lets only one service assume the function's role.
func setTrust(service string) func(p *patient) {
	return func(p *patient) {
		p.mustDo(p.roles().UpdateAssumeRolePolicy(p.t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &p.name,
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{` +
				`"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`)}))
	}
}

// setEnvironment sets the variables of the function.
func setEnvironment(all map[string]string) func(p *patient) {
	return func(p *patient) {
		p.configure(lambda.UpdateFunctionConfigurationInput{Environment: &lambdatypes.Environment{Variables: all}})
	}
}

// logPolicy is the policy that lets a function write its log.
const logPolicy = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

// tableFault returns a fault in the code that uses a table: from is replaced by to.
func tableFault(cause, from, to string) stagedFault {
	return stagedFault{cause: cause, inject: func(p *patient) {
		p.createTable()
		p.allowAction("dynamodb:*", "arn:aws:dynamodb:us-east-1:123456789012:table/"+p.name+"*")
		p.setPython(strings.Replace(scanCode(p.name), from, to, 1))
	}, repair: func(p *patient) { p.setPython(scanCode(p.name)) }}
}

// functionFaults are faults of the function and its code.
var functionFaults = []stagedFault{
	{cause: "function.pending", inject: func(p *patient) { p.must(p.Stage(p.name, "pending")) },
		repair: func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{cause: "function.update-failed", inject: func(p *patient) { p.must(p.Stage(p.name, "update-failed")) },
		repair: func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{cause: "function.updating", path: "/dev/notes",
		inject: func(p *patient) { // in a sandbox where updates take a while
			p.world = newWorld(p.t).withOwnSandbox(sandbox.Options{Settling: 4 * time.Second})
			p.up()
			p.id = p.api()
			p.mustDo(p.functions().UpdateFunctionConfiguration(p.t.Context(), &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &p.name, MemorySize: aws.Int32(256)}))
		}, repair: func(p *patient) { p.awaitUpdate() }},
	{cause: "function.role", inject: setTrust("ec2.amazonaws.com"), repair: setTrust("lambda.amazonaws.com")},
	{cause: "code.crash", inject: answerWith("os._exit(3)"), repair: restoreCode},
	{cause: "code.init-timeout", inject: func(p *patient) {
		p.setPython("import time\n\ntime.sleep(30)\n" + workingCode)
		p.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
	}, repair: restoreCode},
	{cause: "code.layer", inject: func(p *patient) { // its extension is not executable
		layer, err := p.functions().PublishLayerVersion(p.t.Context(), &lambda.PublishLayerVersionInput{
			LayerName: &p.name, Content: &lambdatypes.LayerVersionContentInput{
				ZipFile: p.zipOf(map[string]string{"extensions/watch": "#!/bin/sh\n"})}})
		p.must(err)
		p.awaitUpdate()
		p.configure(lambda.UpdateFunctionConfigurationInput{Layers: []string{*layer.LayerVersionArn}})
	}, repair: func(p *patient) { p.configure(lambda.UpdateFunctionConfigurationInput{Layers: []string{}}) }},
	{cause: "code.wrapper", inject: setEnvironment(map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nosuch"}),
		repair: setEnvironment(map[string]string{})},
	{cause: "response.no-status", inject: func(p *patient) {
		answerWith("1")(p)
		p.updateIntegration(apigatewayv2.UpdateIntegrationInput{PayloadFormatVersion: aws.String("1.0")})
	}, repair: restoreCode},
	{cause: "response.base64",
		inject: answerWith(`{"statusCode": 200, "body": "plain!", "isBase64Encoded": 1 > 0}`), repair: restoreCode},
	{cause: "response.too-large", inject: answerWith(`{"statusCode": 200, "body": "x" * (7 << 20)}`),
		repair: restoreCode},
	{cause: "app.stage-in-path",
		inject: answerWith(`{"statusCode": 404, "body": "Cannot GET " + event["rawPath"]}`), repair: restoreCode},
	{cause: "role.logs", path: postItem, inject: func(p *patient) {
		p.mustDo(p.roles().DetachRolePolicy(p.t.Context(), &iam.DetachRolePolicyInput{RoleName: &p.name,
			PolicyArn: aws.String(logPolicy)}))
		answerWith("1 / 0")(p)
	}, repair: func(p *patient) {
		p.mustDo(p.roles().AttachRolePolicy(p.t.Context(), &iam.AttachRolePolicyInput{RoleName: &p.name,
			PolicyArn: aws.String(logPolicy)}))
		p.setPython(workingCode)
	}},
	tableFault("table.elsewhere", `"dynamodb"`, `"dynamodb", region_name="eu-west-1"`),
	tableFault("table.keys", "scan()", `get_item(Key={"name": "a"})`),
	tableFault("table.index", "scan()", `scan(IndexName="by-name")`),
	{cause: "table.local-endpoint", inject: func(p *patient) {
		p.setPython(scanCode(p.name))
		setEnvironment(map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:1", "AWS_MAX_ATTEMPTS": "1"})(p)
	}, repair: restoreCode},
}

// otherFaults returns the faults that are not in the other tables.
func otherFaults() (all []stagedCase) {
	for _, f := range slices.Concat(grantFaults, routeFaults, functionFaults) {
		s := stagedCase{stagedFault: f}
		if slices.Contains([]string{"endpoint.url", "route.case", "route.trailing-slash"}, f.cause) {
			s.healed = func(p *patient) []string { return []string{p.url("/dev/items")} }
		}
		all = append(all, s)
	}
	return slices.Concat(all, tokenFaults(), requestFaults(), pageFaults(), domainFaults())
}

// signToken returns a function that makes an issuer's token, signed with an algorithm and a key. A nil key means the
// issuer's own.
func signToken(algorithm jose.SignatureAlgorithm, key any,
	lifetime time.Duration) func(p *patient, i *jwttest.Issuer) string {
	return func(p *patient, i *jwttest.Issuer) string {
		id, own := i.SigningKey()
		signingKey := jose.JSONWebKey{Key: key, KeyID: id}
		if key == nil {
			signingKey.Key = own
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: signingKey}, nil)
		p.must(err)
		token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: i.URL, Audience: jwt.Audience{jwttest.Audience},
			Expiry: jwt.NewNumericDate(time.Now().Add(lifetime))}).Serialize()
		p.must(err)
		return token
	}
}

// tokenFaults returns faults of tokens that are refused.
func tokenFaults() (all []stagedCase) {
	words := func(p *patient, token string) []string {
		return []string{"-H", "Authorization: Bearer " + token, p.url("/dev/items")}
	}
	for cause, newToken := range map[string]func(p *patient, i *jwttest.Issuer) string{
		"jwt.expired":   signToken(jose.RS256, nil, -time.Hour),
		"jwt.algorithm": signToken(jose.HS256, []byte(strings.Repeat("k", 32)), time.Hour),
		"jwt.signature": func(p *patient, i *jwttest.Issuer) string {
			_, other := jwttest.New(p.t).SigningKey()
			return signToken(jose.RS256, other, time.Hour)(p, i)
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
		s := stagedCase{stagedFault: stagedFault{cause: cause, inject: func(p *patient) {
			issuer = jwttest.New(p.t)
			p.addJWTAuthorizer(issuer.URL, jwttest.Audience)
			token = newToken(p, issuer)
		}, repair: func(*patient) { issuer.Gone(false) }},
			request: func(p *patient) []string { return words(p, token) },
			healed:  func(p *patient) []string { return words(p, issuer.Token(p.t, "anna", "openid")) }}
		if cause == "jwt.issuer" { // the printed fix accepts the other issuer
			s.repair, s.healed = nil, nil
		}
		all = append(all, s)
	}
	return all
}

// requestFaults returns requests that an authorizer refuses, and request bodies that are misread.
func requestFaults() []stagedCase {
	authorized := func(p *patient) []string { return []string{"-H", "Authorization: x", p.url("/dev/items")} }
	with := func(words ...string) func(p *patient) []string {
		return func(p *patient) []string { return append(words, p.url("/dev/items/7")) }
	}
	var key string
	return []stagedCase{
		{stagedFault: stagedFault{cause: "request.too-large", inject: noFix, repair: noFix},
			request: func(p *patient) []string {
				large := filepath.Join(p.t.TempDir(), "large")
				p.must(os.WriteFile(large, make([]byte, 7<<20), 0o600))
				return with("--data-binary", "@"+large)(p)
			}, healed: with("-d", "a")},
		{stagedFault: stagedFault{cause: "request.base64-body",
			inject: answerWith(`json.loads(event["body"]) and {"statusCode": 200}`), repair: noFix},
			request: with("-d", `{"a":1}`), healed: with("--json", `{"a":1}`)},
		{stagedFault: stagedFault{cause: "authorizer.fails", inject: func(p *patient) {
			p.setPython(strings.Replace(allowCode, `{"isAuthorized": True}`, "1 / 0", 1))
			p.addLambdaAuthorizer(true)
		}, repair: func(p *patient) { p.setPython(allowCode) }}, request: authorized},
		{stagedFault: stagedFault{cause: "authorizer.cached", inject: func(p *patient) {
			p.setPython(denyCode)
			p.addLambdaAuthorizer(true)
			p.mustDo(p.gateway().UpdateAuthorizer(p.t.Context(), &apigatewayv2.UpdateAuthorizerInput{ApiId: &p.id,
				AuthorizerId: &p.authorizer, AuthorizerResultTtlInSeconds: aws.Int32(300)}))
			p.diagnose(append([]string{"--no-invoke", "--", "curl"}, authorized(p)...)...)
			p.setPython(allowCode)
		}}, request: authorized},
		{stagedFault: stagedFault{cause: "iam.denied", inject: func(p *patient) {
			p.updateRoute(apigatewayv2.UpdateRouteInput{AuthorizationType: apitypes.AuthorizationTypeAwsIam})
			p.mustDo(p.roles().CreateUser(p.t.Context(), &iam.CreateUserInput{UserName: &p.name}))
			made, err := p.roles().CreateAccessKey(p.t.Context(), &iam.CreateAccessKeyInput{UserName: &p.name})
			p.must(err)
			key = *made.AccessKey.AccessKeyId + ":" + *made.AccessKey.SecretAccessKey
		}, repair: func(p *patient) {
			p.mustDo(p.roles().PutUserPolicy(p.t.Context(), &iam.PutUserPolicyInput{UserName: &p.name,
				PolicyName: aws.String("call"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{` +
					`"Effect":"Allow","Action":"execute-api:Invoke","Resource":"` + apiARN + p.id + `/*"}]}`)}))
		}}, request: func(p *patient) []string {
			return []string{"--aws-sigv4", "aws:amz:us-east-1:execute-api", "-u", key, p.url("/dev/items")}
		}},
	}
}
