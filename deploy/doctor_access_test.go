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

// authorize lets an authorizer judge who may use GET /items.
func (p *patient) authorize(
	in apigatewayv2.CreateAuthorizerInput,
	kind apitypes.AuthorizationType,
	scopes ...string,
) {
	p.t.Helper()
	in.ApiId, in.Name = &p.id, aws.String("judge")
	a, err := p.gateway().CreateAuthorizer(p.t.Context(), &in)
	p.must(err)
	p.authorizer = *a.AuthorizerId
	p.routeTo(apigatewayv2.UpdateRouteInput{AuthorizationType: kind, AuthorizerId: a.AuthorizerId,
		AuthorizationScopes: scopes})
}

// routeTo changes the route GET /items.
func (p *patient) routeTo(in apigatewayv2.UpdateRouteInput) {
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

// byToken lets the tokens of an issuer in.
func (p *patient) byToken(issuer string, audience string, scopes ...string) {
	p.t.Helper()
	p.authorize(apigatewayv2.CreateAuthorizerInput{AuthorizerType: apitypes.AuthorizerTypeJwt,
		IdentitySource:   []string{"$request.header.Authorization"},
		JwtConfiguration: &apitypes.JWTConfiguration{Issuer: &issuer, Audience: []string{audience}}},
		apitypes.AuthorizationTypeJwt, scopes...)
}

// byFunction lets a Lambda authorizer judge, which is the patient's own function.
func (p *patient) byFunction(simple bool) {
	p.t.Helper()
	p.authorize(apigatewayv2.CreateAuthorizerInput{AuthorizerType: apitypes.AuthorizerTypeRequest,
		IdentitySource:                 []string{"$request.header.Authorization"},
		AuthorizerPayloadFormatVersion: aws.String("2.0"), EnableSimpleResponses: &simple,
		AuthorizerUri: aws.String("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" +
			"arn:aws:lambda:us-east-1:123456789012:function:" + p.name + "/invocations")},
		apitypes.AuthorizationTypeCustom)
}

// table makes a table with the patient's name, which the function scans.
func (p *patient) table() {
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
	p.python(scanning(p.name))
}

// scanning is a function that scans a table.
func scanning(table string) string {
	return `import boto3


def handler(event, context):
    boto3.resource("dynamodb").Table("` + table + `").scan()
    return {"statusCode": 200}
`
}

// allow gives the role a right.
func (p *patient) allow(action, resource string) {
	p.t.Helper()
	_, err := p.roles().PutRolePolicy(p.t.Context(), &iam.PutRolePolicyInput{RoleName: &p.name,
		PolicyName: aws.String("table"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{` +
			`"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`)})
	p.must(err)
}

// allowing and denying are authorizers that also answer as a function.
const (
	allowing = "def handler(event, context):\n" +
		"    if event.get(\"type\") == \"REQUEST\":\n        return {\"isAuthorized\": True}\n" +
		"    return {\"statusCode\": 200}\n"
	denying = "def handler(event, context):\n    return {\"isAuthorized\": False}\n"
)

// stagedAccess are faults of who may use a route, of what a browser may see, and of what a role may do.
func stagedAccess(t *testing.T) (all []stagedCase) {
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
		breaks  func(p *patient)
		request func(p *patient) []string
		fixed   func(p *patient)
		then    func(p *patient) []string
	}{
		{"jwt.missing", true, func(p *patient) { p.byToken(issuer.URL, "notes") }, plain, func(*patient) {},
			bearer("openid")},
		{"jwt.malformed", false, func(p *patient) { p.byToken(issuer.URL, "notes") },
			with("-H", "Authorization: Bearer x"), func(*patient) {}, bearer("openid")},
		{"jwt.identity-source", false, func(p *patient) { p.byToken(issuer.URL, "notes") },
			with("-H", "X-Token: eyJ0.eyJ1.x"), func(*patient) {}, bearer("openid")},
		{"jwt.audience", false, func(p *patient) { p.byToken(issuer.URL, "others") }, bearer("openid"), nil, nil},
		{"jwt.scope", false, func(p *patient) { p.byToken(issuer.URL, "notes", "notes.read") }, bearer("openid"),
			func(p *patient) { p.routeTo(apigatewayv2.UpdateRouteInput{AuthorizationScopes: []string{}}) },
			bearer("openid notes.read")},
		{"authorizer.not-callable", true, func(p *patient) {
			p.python(allowing)
			p.byFunction(true)
			p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/GET/items")
			p.grant("other", "arn:aws:execute-api:us-east-1:123456789012:"+p.id+"/dev/*/items/*")
		}, with("-H", "Authorization: x"), nil, nil},
		{"authorizer.identity-missing", false, func(p *patient) { p.python(allowing); p.byFunction(true) }, plain,
			func(*patient) {}, with("-H", "Authorization: x")},
		{"authorizer.denies", false, func(p *patient) { p.python(denying); p.byFunction(true) },
			with("-H", "Authorization: x"), func(p *patient) { p.python(allowing) }, nil},
		{"authorizer.shape", false, func(p *patient) { p.python(allowing); p.byFunction(false) },
			with("-H", "Authorization: x"), func(p *patient) {
				_, err := p.gateway().UpdateAuthorizer(p.t.Context(), &apigatewayv2.UpdateAuthorizerInput{ApiId: &p.id,
					AuthorizerId: &p.authorizer, EnableSimpleResponses: aws.Bool(true)})
				p.must(err)
			}, nil},
		{"iam.unsigned", false, func(p *patient) {
			p.routeTo(apigatewayv2.UpdateRouteInput{AuthorizationType: apitypes.AuthorizationTypeAwsIam})
		}, plain, func(p *patient) {
			p.routeTo(apigatewayv2.UpdateRouteInput{AuthorizationType: apitypes.AuthorizationTypeNone})
		}, nil},
		{"cors.off", false, func(*patient) {}, with("-H", "Origin: https://app.example"), nil, nil},
		{"cors.origin", false, func(p *patient) {
			_, err := p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
				CorsConfiguration: &apitypes.Cors{AllowOrigins: []string{"https://other.example"},
					AllowMethods: []string{"GET"}}})
			p.must(err)
		}, with("-H", "Origin: https://app.example"), nil, nil},
		{"role.action", true, func(p *patient) { p.table() }, plain, nil, nil},
		{"role.resource", false, func(p *patient) {
			p.table()
			p.allow("dynamodb:Scan", "arn:aws:dynamodb:us-east-1:123456789012:table/other")
		}, plain, nil, nil},
		{"role.denied", false, func(p *patient) {
			p.table()
			p.allow("dynamodb:Scan", "*")
			_, err := p.roles().PutRolePolicy(p.t.Context(), &iam.PutRolePolicyInput{RoleName: &p.name,
				PolicyName: aws.String("deny"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{` +
					`"Effect":"Deny","Action":"dynamodb:*","Resource":"*"}]}`)})
			p.must(err)
		}, plain, func(p *patient) {
			_, err := p.roles().DeleteRolePolicy(p.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &p.name,
				PolicyName: aws.String("deny")})
			p.must(err)
		}, nil},
		{"table.missing", false, func(p *patient) {
			p.allow("dynamodb:Scan", "*")
			p.python(scanning("nosuch"))
		}, plain,
			func(p *patient) { p.python(working) }, nil},
		{"integration.payload-format", false, func(p *patient) {
			p.python("def handler(event, context):\n    return {\"statusCode\": 200, \"body\": event[\"rawPath\"]}\n")
			_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
				IntegrationId: &p.integration, PayloadFormatVersion: aws.String("1.0")})
			p.must(err)
		}, plain, nil, nil},
		{"integration.role", false, func(p *patient) { // the function's own role, which Lambda alone may assume
			_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
				IntegrationId: &p.integration, CredentialsArn: &p.role})
			p.must(err)
		}, plain, func(p *patient) {
			_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
				IntegrationId: &p.integration, CredentialsArn: aws.String("")})
			p.must(err)
		}, nil},
		{"code.timeout", false, func(p *patient) { // of a request that may not be invoked: by the log
			p.python("import time\n\n\ndef handler(event, context):\n    time.sleep(2)\n" +
				"    return {\"statusCode\": 200}\n")
			p.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
		}, func(p *patient) []string { return []string{"-X", "PUT", p.url("/dev/items/7")} }, nil, nil},
	} {
		all = append(all, stagedCase{stagedFault{c.cause, c.often, "", c.breaks, c.fixed}, c.request, c.then})
	}
	return all
}

// TestDoctorRights: with the printed rights nothing is refused. Without one of them nothing wrong is said, and what it
// would have told is not seen.
func TestDoctorRights(t *testing.T) {
	t.Parallel()
	some := []string{"lambda:GetPolicy", "iam:GetRole"}
	if os.Getenv("NOTES_TEST_LONG") != "" {
		some = facts.Rights
	}
	for _, c := range []struct {
		name, cause string
		breaks      func(p *patient)
	}{
		{"healthy", "", func(*patient) {}},
		{"no grant", "permission.none", func(p *patient) { p.revoke() }},
		{"a right of the role lacks", "role.action", func(p *patient) { p.table() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			c.breaks(p)
			p.as(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`)
			for _, lacks := range append([]string{""}, some...) {
				rights := slices.DeleteFunc(slices.Clone(facts.Rights), func(r string) bool { return r == lacks })
				document, err := json.Marshal(facts.PolicyOf(rights))
				p.must(err)
				_, err = p.roles().PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
					UserName: aws.String(p.name + "-operator"), PolicyName: aws.String("doctor"),
					PolicyDocument: aws.String(string(document))})
				p.must(err)
				d, code := p.seen(p.url("/dev/items"))
				switch got := faults(d); {
				case lacks == "" && (got != c.cause || len(d.Unseen) > 0):
					t.Errorf("found %q, unseen %+v", got, d.Unseen)
				case got != c.cause && got != "":
					t.Errorf("without %s: found %q", lacks, got)
				case c.cause != "" && got == "" && code != 3:
					t.Errorf("without %s: exit %d", lacks, code)
				case got != c.cause && len(d.Unseen) == 0:
					t.Errorf("without %s: nothing is unseen", lacks)
				}
			}
		})
	}
}

// TestDoctorManaged: with the policies that AWS has for people who look, the doctor names no wrong cause.
func TestDoctorManaged(t *testing.T) {
	if os.Getenv("NOTES_TEST_LONG") == "" {
		t.Skip("only with NOTES_TEST_LONG=1")
	}
	t.Parallel()
	for _, c := range []struct {
		policy string
		sees   bool // all that matters of a grant
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
				p.as(
					`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`,
				)
				_, err := p.roles().AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{
					UserName:  aws.String(p.name + "-operator"),
					PolicyArn: aws.String("arn:aws:iam::aws:policy/" + c.policy)})
				p.must(err)
				d, code := p.seen(p.url("/dev/items"))
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
