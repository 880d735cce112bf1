package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/facts"
)

// addAuthorizer adds an authorizer to GET /items.
func (p *patient) addAuthorizer(
	in apigatewayv2.CreateAuthorizerInput,
	kind apitypes.AuthorizationType,
	scopes ...string,
) {
	p.t.Helper()
	in.ApiId, in.Name = &p.id, aws.String("judge")
	a, err := p.gateway().CreateAuthorizer(p.t.Context(), &in)
	p.must(err)
	p.authorizer = *a.AuthorizerId
	p.updateRoute(apigatewayv2.UpdateRouteInput{AuthorizationType: kind, AuthorizerId: a.AuthorizerId,
		AuthorizationScopes: scopes})
}

// updateRoute changes the route GET /items.
func (p *patient) updateRoute(in apigatewayv2.UpdateRouteInput) {
	p.t.Helper()
	all, err := p.gateway().GetRoutes(p.t.Context(), &apigatewayv2.GetRoutesInput{ApiId: &p.id})
	p.must(err)
	for _, r := range all.Items {
		if *r.RouteKey == "GET /items" {
			in.ApiId, in.RouteId = &p.id, r.RouteId
			_, err := p.gateway().UpdateRoute(p.t.Context(), &in)
			p.must(err)
		}
	}
}

// addJWTAuthorizer makes GET /items require the tokens of an issuer.
func (p *patient) addJWTAuthorizer(issuer string, audience string, scopes ...string) {
	p.t.Helper()
	p.addAuthorizer(apigatewayv2.CreateAuthorizerInput{AuthorizerType: apitypes.AuthorizerTypeJwt,
		IdentitySource:   []string{"$request.header.Authorization"},
		JwtConfiguration: &apitypes.JWTConfiguration{Issuer: &issuer, Audience: []string{audience}}},
		apitypes.AuthorizationTypeJwt, scopes...)
}

// addLambdaAuthorizer makes the function itself the Lambda authorizer of GET /items.
func (p *patient) addLambdaAuthorizer(simple bool) {
	p.t.Helper()
	p.addAuthorizer(apigatewayv2.CreateAuthorizerInput{AuthorizerType: apitypes.AuthorizerTypeRequest,
		IdentitySource:                 []string{"$request.header.Authorization"},
		AuthorizerPayloadFormatVersion: aws.String("2.0"), EnableSimpleResponses: &simple,
		AuthorizerUri: aws.String("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" +
			"arn:aws:lambda:us-east-1:123456789012:function:" + p.name + "/invocations")},
		apitypes.AuthorizationTypeCustom)
}

// createTable creates a table with the patient's name, and makes the function scan it.
func (p *patient) createTable() {
	p.t.Helper()
	p.must(func() error {
		_, err := dynamodb.NewFromConfig(p.cfg).CreateTable(p.t.Context(), &dynamodb.CreateTableInput{
			TableName: &p.name, BillingMode: dynamodbtypes.BillingModePayPerRequest,
			KeySchema: []dynamodbtypes.KeySchemaElement{{AttributeName: aws.String("id"),
				KeyType: dynamodbtypes.KeyTypeHash}},
			AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: aws.String("id"),
				AttributeType: dynamodbtypes.ScalarAttributeTypeS}}})
		return err
	}())
	p.setPython(scanCode(p.name))
}

// scanCode returns the code of a function that scans a table.
func scanCode(table string) string {
	return `import boto3


def handler(event, context):
    boto3.resource("dynamodb").Table("` + table + `").scan()
    return {"statusCode": 200}
`
}

// allowAction allows the role one action.
func (p *patient) allowAction(action, resource string) {
	p.t.Helper()
	_, err := p.roles().PutRolePolicy(p.t.Context(), &iam.PutRolePolicyInput{RoleName: &p.name,
		PolicyName: aws.String("table"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{` +
			`"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`)})
	p.must(err)
}

// allowCode and denyCode are authorizers; allowCode also answers requests as a function.
const (
	allowCode = "def handler(event, context):\n" +
		"    if event.get(\"type\") == \"REQUEST\":\n        return {\"isAuthorized\": True}\n" +
		"    return {\"statusCode\": 200}\n"
	denyCode = "def handler(event, context):\n    return {\"isAuthorized\": False}\n"
)

// accessFaults returns faults of authorization, CORS and roles.
func accessFaults(t *testing.T) (all []stagedCase) {
	t.Helper()
	issuer := jwttest.New(t)
	bearer := func(scope string) func(p *patient) []string {
		return func(p *patient) []string {
			return []string{"-H", "Authorization: Bearer " + issuer.Token(p.t, "anna", scope), p.url("/dev/items")}
		}
	}
	with := func(words ...string) func(p *patient) []string {
		return func(p *patient) []string { return append(words, p.url("/dev/items")) }
	}
	plain := with()
	for _, c := range []struct {
		cause   string
		often   bool
		inject  func(p *patient)
		request func(p *patient) []string
		fixed   func(p *patient)
		then    func(p *patient) []string
	}{
		{cause: "jwt.missing", often: true, inject: func(p *patient) { p.addJWTAuthorizer(issuer.URL, "notes") },
			request: plain, fixed: func(*patient) {}, then: bearer("openid")},
		{cause: "jwt.malformed", inject: func(p *patient) { p.addJWTAuthorizer(issuer.URL, "notes") },
			request: with("-H", "Authorization: Bearer x"), fixed: func(*patient) {}, then: bearer("openid")},
		{cause: "jwt.identity-source", inject: func(p *patient) { p.addJWTAuthorizer(issuer.URL, "notes") },
			request: with("-H", "X-Token: eyJ0.eyJ1.x"), fixed: func(*patient) {}, then: bearer("openid")},
		{cause: "jwt.audience", inject: func(p *patient) { p.addJWTAuthorizer(issuer.URL, "others") },
			request: bearer("openid")},
		{cause: "jwt.scope", inject: func(p *patient) { p.addJWTAuthorizer(issuer.URL, "notes", "notes.read") },
			request: bearer("openid"),
			fixed:   func(p *patient) { p.updateRoute(apigatewayv2.UpdateRouteInput{AuthorizationScopes: []string{}}) },
			then:    bearer("openid notes.read")},
		{cause: "authorizer.not-callable", often: true, inject: func(p *patient) {
			p.setPython(allowCode)
			p.addLambdaAuthorizer(true)
			p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/GET/items")
			p.grant("other", "arn:aws:execute-api:us-east-1:123456789012:"+p.id+"/dev/*/items/*")
		}, request: with("-H", "Authorization: x")},
		{cause: "authorizer.identity-missing",
			inject: func(p *patient) { p.setPython(allowCode); p.addLambdaAuthorizer(true) }, request: plain,
			fixed: func(*patient) {}, then: with("-H", "Authorization: x")},
		{cause: "authorizer.denies",
			inject:  func(p *patient) { p.setPython(denyCode); p.addLambdaAuthorizer(true) },
			request: with("-H", "Authorization: x"), fixed: func(p *patient) { p.setPython(allowCode) }},
		{cause: "authorizer.shape",
			inject:  func(p *patient) { p.setPython(allowCode); p.addLambdaAuthorizer(false) },
			request: with("-H", "Authorization: x"), fixed: func(p *patient) {
				_, err := p.gateway().UpdateAuthorizer(p.t.Context(), &apigatewayv2.UpdateAuthorizerInput{ApiId: &p.id,
					AuthorizerId: &p.authorizer, EnableSimpleResponses: aws.Bool(true)})
				p.must(err)
			}},
		{cause: "iam.unsigned", inject: func(p *patient) {
			p.updateRoute(apigatewayv2.UpdateRouteInput{AuthorizationType: apitypes.AuthorizationTypeAwsIam})
		}, request: plain, fixed: func(p *patient) {
			p.updateRoute(apigatewayv2.UpdateRouteInput{AuthorizationType: apitypes.AuthorizationTypeNone})
		}},
		{cause: "cors.off", inject: func(*patient) {}, request: with("-H", "Origin: https://app.example")},
		{cause: "cors.origin", inject: func(p *patient) {
			_, err := p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
				CorsConfiguration: &apitypes.Cors{AllowOrigins: []string{"https://other.example"},
					AllowMethods: []string{"GET"}}})
			p.must(err)
		}, request: with("-H", "Origin: https://app.example")},
		{cause: "role.action", often: true, inject: func(p *patient) { p.createTable() }, request: plain},
		{cause: "role.resource", inject: func(p *patient) {
			p.createTable()
			p.allowAction("dynamodb:Scan", "arn:aws:dynamodb:us-east-1:123456789012:table/other")
		}, request: plain},
		{cause: "role.denied", inject: func(p *patient) {
			p.createTable()
			p.allowAction("dynamodb:Scan", "*")
			_, err := p.roles().PutRolePolicy(p.t.Context(), &iam.PutRolePolicyInput{RoleName: &p.name,
				PolicyName: aws.String("deny"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{` +
					`"Effect":"Deny","Action":"dynamodb:*","Resource":"*"}]}`)})
			p.must(err)
		}, request: plain, fixed: func(p *patient) {
			_, err := p.roles().DeleteRolePolicy(p.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &p.name,
				PolicyName: aws.String("deny")})
			p.must(err)
		}},
		{cause: "table.missing", inject: func(p *patient) {
			p.allowAction("dynamodb:Scan", "*")
			p.setPython(scanCode("nosuch"))
		}, request: plain, fixed: func(p *patient) { p.setPython(workingCode) }},
		{cause: "integration.payload-format", inject: func(p *patient) {
			p.setPython("def handler(event, context):\n    return {\"statusCode\": 200, \"body\": " +
				"event[\"rawPath\"]}\n")
			_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
				IntegrationId: &p.integration, PayloadFormatVersion: aws.String("1.0")})
			p.must(err)
		}, request: plain},
		{cause: "integration.role",
			inject: func(p *patient) { // the function's own role, which only Lambda may assume
				_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{
					ApiId:         &p.id,
					IntegrationId: &p.integration, CredentialsArn: &p.role})
				p.must(err)
			}, request: plain, fixed: func(p *patient) {
				_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{
					ApiId:         &p.id,
					IntegrationId: &p.integration, CredentialsArn: aws.String("")})
				p.must(err)
			}},
		{cause: "code.timeout",
			inject: func(p *patient) { // the doctor does not invoke PUT, so it must read the log
				p.setPython("import time\n\n\ndef handler(event, context):\n    time.sleep(2)\n" +
					"    return {\"statusCode\": 200}\n")
				p.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
			}, request: func(p *patient) []string { return []string{"-X", "PUT", p.url("/dev/items/7")} }},
	} {
		all = append(all, stagedCase{stagedFault: stagedFault{
			cause: c.cause, usual: c.often, inject: c.inject, repair: c.fixed},
			request: c.request, healed: c.then})
	}
	return all
}

// otherRights is a policy without any right of the doctor.
const otherRights = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`

// TestDoctorRights checks that the printed rights suffice, and that without one of them the doctor reports no wrong
// cause and lists what it could not see.
func TestDoctorRights(t *testing.T) {
	t.Parallel()
	some := []string{"lambda:GetPolicy", "iam:GetRole"}
	if os.Getenv("NOTES_TEST_LONG") != "" {
		some = facts.Rights
	}
	for _, c := range []struct {
		name, cause string
		inject      func(p *patient)
	}{
		{name: "healthy", inject: func(*patient) {}},
		{name: "no grant", cause: "permission.none", inject: func(p *patient) {
			p.revoke()
			p.logAccess("$context.requestId $context.integrationErrorMessage")
		}},
		{name: "the role lacks a right", cause: "role.action", inject: func(p *patient) { p.createTable() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			c.inject(p)
			p.useKeyOf(otherRights)
			for _, lacks := range append([]string{""}, some...) {
				rights := slices.DeleteFunc(slices.Clone(facts.Rights), func(r string) bool { return r == lacks })
				document, err := json.Marshal(facts.PolicyOf(rights))
				p.must(err)
				_, err = p.roles().PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
					UserName: aws.String(p.name + "-operator"), PolicyName: aws.String("doctor"),
					PolicyDocument: aws.String(string(document))})
				p.must(err)
				d, code := p.diagnose(p.url("/dev/items"))
				switch got := faults(d); {
				case lacks == "" && (got != c.cause || len(d.Unseen) > 0):
					t.Errorf("found %q, unseen %+v", got, d.Unseen)
				case lacks == "lambda:GetPolicy" && c.cause == "permission.none" && got != c.cause:
					t.Errorf("without %s, the access log tells the cause; found %q", lacks, got)
				case got != c.cause && got != "":
					t.Errorf("without %s: found %q", lacks, got)
				case c.cause != "" && got == "" && code != 3:
					t.Errorf("without %s: exit %d", lacks, code)
				case got != c.cause && len(d.Unseen) == 0:
					t.Errorf("without %s: Unseen is empty", lacks)
				}
			}
		})
	}
}

// TestDoctorManaged checks that the doctor finds no wrong cause with the rights of AWS's managed policies.
func TestDoctorManaged(t *testing.T) {
	if os.Getenv("NOTES_TEST_LONG") == "" {
		t.Skip("only with NOTES_TEST_LONG=1")
	}
	t.Parallel()
	for _, c := range []struct {
		policy string
		sees   bool // the policy allows reading all about grants
	}{{"ReadOnlyAccess", true}, {"SecurityAudit", true}, {"PowerUserAccess", true},
		{"job-function/ViewOnlyAccess", false},
		{"job-function/SupportUser", true}} {
		for _, broken := range []bool{false, true} {
			t.Run(fmt.Sprint(c.policy, ", broken ", broken), func(t *testing.T) {
				t.Parallel()
				p := newPatient(t)
				if broken {
					p.revoke()
				}
				p.useKeyOf(otherRights)
				_, err := p.roles().AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{
					UserName:  aws.String(p.name + "-operator"),
					PolicyArn: aws.String("arn:aws:iam::aws:policy/" + c.policy)})
				p.must(err)
				d, code := p.diagnose(p.url("/dev/items"))
				switch got := faults(d); {
				case !broken && (got != "" || code != 0):
					t.Errorf("found %q, exit %d", got, code)
				case broken && c.sees && got != "permission.none":
					t.Errorf("found %q, unseen %+v", got, d.Unseen)
				case broken && !c.sees && (got != "" || code != 3):
					t.Errorf("found %q, exit %d", got, code)
				}
			})
		}
	}
}
