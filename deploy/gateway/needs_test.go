package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/policy"
)

const lambdaARN = "arn:aws:lambda:eu-central-1:123456789012:function:"

// exampleFacts returns an API with a route of each kind.
func exampleFacts() Facts {
	f := Facts{API: api, Stages: []types.Stage{
		{StageName: aws.String("dev"), StageVariables: map[string]string{"name": "notes"}},
		{StageName: aws.String("$default")},
	}}
	for i, c := range []struct {
		key, uri, role string
	}{
		{key: "GET /notes", uri: lambdaARN + "notes"},
		{key: "ANY /notes/{id}",
			uri: "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/" + lambdaARN +
				"notes:live/invocations"},
		{key: "$default", uri: lambdaARN + "${stageVariables.name}"},
		{key: "GET /role", uri: lambdaARN + "notes", role: "arn:aws:iam::123456789012:role/x"},
		{key: "GET /other", uri: strings.Replace(lambdaARN, "123456789012", "210987654321", 1) + "notes"},
		{key: "GET /far", uri: strings.Replace(lambdaARN, "eu-central-1", "us-east-1", 1) + "notes"},
		{key: "GET /latest", uri: lambdaARN + "notes:$LATEST"},
		{key: "GET /web", uri: "https://example.com"},
	} {
		id := fmt.Sprint("i", i)
		f.Routes = append(f.Routes, types.Route{RouteKey: aws.String(c.key), Target: aws.String("integrations/" + id)})
		f.Integrations = append(f.Integrations, types.Integration{IntegrationId: &id, IntegrationUri: aws.String(c.uri),
			CredentialsArn: aws.String(c.role)})
	}
	f.Routes = append(f.Routes, types.Route{RouteKey: aws.String("GET /bare")})
	f.Authorizers = []types.Authorizer{
		{AuthorizerId: aws.String("jwt"), Name: aws.String("jwt"), AuthorizerType: types.AuthorizerTypeJwt},
		{AuthorizerId: aws.String("auth1"), Name: aws.String("own"), AuthorizerType: types.AuthorizerTypeRequest,
			AuthorizerUri: aws.String(lambdaARN + "auth")},
		{AuthorizerId: aws.String("auth2"), Name: aws.String("web"), AuthorizerType: types.AuthorizerTypeRequest,
			AuthorizerUri: aws.String("https://example.com")},
	}
	return f
}

// TestGrants checks that each route gets a grant no wider than the scope, or a reason why no grant can make it work.
func TestGrants(t *testing.T) {
	base := "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/"
	for _, c := range []struct {
		name, function string
		stages         []string
		scope          Scope
		grants         []string // FUNCTION:QUALIFIER SOURCE
		unhelped       []string
	}{
		{name: "the routes of a stage", stages: []string{"dev"}, scope: RouteScope,
			grants: []string{"notes: dev/GET/notes", "notes:live dev/*/notes/*", "notes: dev/$default",
				"auth: authorizers/auth1"},
			unhelped: []string{"dev GET /role: it is invoked with the role",
				"dev GET /other: its function is of account",
				"dev GET /far: its function is in us-east-1",
				"dev GET /latest: it names $LATEST", "dev GET /web: its integration is with https://example.com",
				"dev GET /bare: it has no integration", "authorizer web: its integration is with"}},
		{name: "a stage without the variable", function: "notes", stages: []string{"$default"}, scope: RouteScope,
			grants: []string{"notes: $default/GET/notes", "notes:live $default/*/notes/*"},
			unhelped: []string{"$default $default: the stage variable name of its integration is not set", "role",
				"account",
				"us-east-1", "$LATEST", "example.com", "no integration"}},
		{name: "a whole stage", function: "notes", stages: []string{"dev"}, scope: StageScope,
			grants:   []string{"notes: dev/*", "notes:live dev/*"},
			unhelped: []string{"role", "account", "us-east-1", "$LATEST", "example.com", "no integration"}},
		{name: "the whole API", function: "notes", stages: []string{"dev"}, scope: APIScope,
			grants:   []string{"notes: */*", "notes:live */*"},
			unhelped: []string{"role", "account", "us-east-1", "$LATEST", "example.com", "no integration"}},
		{name: "another function", function: "auth", stages: []string{"dev"}, scope: RouteScope,
			grants: []string{"auth: authorizers/auth1"},
			unhelped: []string{"another function, notes", "another function, notes", "another function, notes",
				"role", "account",
				"us-east-1", "$LATEST", "example.com", "no integration"}},
		{name: "a stage that does not exist", stages: []string{"prod"}, scope: RouteScope},
	} {
		t.Run(c.name, func(t *testing.T) {
			grants, unhelped := Grants(exampleFacts(), c.function, c.stages, c.scope)
			var got []string
			for _, g := range grants {
				got = append(got, g.Function+":"+g.Qualifier+" "+strings.TrimPrefix(g.SourceARN, base))
				in := g.Input()
				if *in.Principal != Principal || *in.SourceAccount != api.Account || *in.SourceArn != g.SourceARN ||
					aws.ToString(in.Qualifier) != g.Qualifier || !IsOurs(*in.StatementId) {
					t.Errorf("the call is %+v", in)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.grants) {
				t.Errorf("the grants are %q, want %q", got, c.grants)
			}
			if len(unhelped) != len(c.unhelped) {
				t.Fatalf("unhelped: %v, want %q", unhelped, c.unhelped)
			}
			for i, u := range unhelped {
				if !strings.Contains(u.Route+": "+u.Why, c.unhelped[i]) {
					t.Errorf("%s: %s, want %q", u.Route, u.Why, c.unhelped[i])
				}
			}
		})
	}
}

// TestCoveredBy checks that a statement that allows what a grant would allow covers it, whoever wrote the statement.
func TestCoveredBy(t *testing.T) {
	g := NewGrant(api, "notes", "", "", api.Pattern("dev", "GET /notes"))
	resource := lambdaARN + "notes"
	allow := func(sid, source string) policy.Statement {
		return policy.Statement{Sid: sid, Effect: "Allow", Action: policy.Strings{"lambda:InvokeFunction"},
			Resource:  policy.Strings{resource},
			Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {Principal}}},
			Condition: policy.Conditions{"ArnLike": {"AWS:SourceArn": {source}}}}
	}
	for _, c := range []struct {
		name      string
		statement policy.Statement
		want      string
	}{
		{name: "itself", statement: allow(g.StatementID, g.SourceARN), want: g.StatementID},
		{name: "a wider one by others", statement: allow("theirs", api.Pattern("*", "*")), want: "theirs"},
		{name: "another one of ours", statement: allow("notes-0000000000000000", api.Pattern("*", "*"))},
		{name: "another route", statement: allow("theirs", api.Pattern("dev", "GET /other"))},
		{name: "another stage", statement: allow("theirs", api.Pattern("prod", "GET /notes"))},
		{name: "a wildcard in the stage", statement: allow("theirs", strings.Replace(g.SourceARN, "dev", "d*v", 1)),
			want: "theirs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			document := policy.Document{Statement: policy.Statements{c.statement}}
			if got := CoveredBy(document, g, resource); got != c.want {
				t.Errorf("covered by %q, want %q", got, c.want)
			}
			arn := func(Grant) string { return resource }
			one, two := Size(policy.Document{}, []Grant{g}, arn), Size(document, []Grant{g}, arn)
			if one < 250 || two < one+200 || two > policy.MaxPolicy {
				t.Errorf("the policy has %d bytes, and %d with the statement", one, two)
			}
		})
	}
}

// TestCover checks which of the source ARNs of a route a pattern allows.
func TestCover(t *testing.T) {
	for _, c := range []struct {
		rest, key string
		in        int    // number of source ARNs allowed
		out       string // source ARNs not allowed
	}{
		{rest: "dev/GET/notes", key: "GET /notes", in: 1},
		{rest: "dev/*/notes", key: "ANY /notes", in: 7},
		{rest: "dev/GET/notes", key: "ANY /notes", in: 1,
			out: "dev/HEAD/notes dev/OPTIONS/notes dev/POST/notes dev/PUT/notes " +
				"dev/PATCH/notes dev/DELETE/notes"},
		{rest: "dev/GET/notes/*", key: "GET /notes/{id}", in: 2},
		{rest: "dev/GET/notes/{id}", key: "GET /notes/{id}", in: 1, out: "dev/GET/notes/0f1e2d3c"},
		{rest: "prod/*", key: "GET /notes", out: "dev/GET/notes"},
		{rest: "dev/$default", key: "$default", in: 1},
		{rest: "*/*", key: "$default", in: 1},
	} {
		t.Run(c.rest+" and "+c.key, func(t *testing.T) {
			got := Cover(api.arn(c.rest), api.Possible("dev", c.key))
			if out := strings.ReplaceAll(strings.Join(got.Out, " "), api.arn(""), ""); len(got.In) != c.in ||
				out != c.out {
				t.Errorf("%d allowed, %q not allowed", len(got.In), out)
			}
		})
	}
	if got := Cover(api.arn("*"), []string{api.Authorizer("x")}); len(got.In) != 1 {
		t.Errorf("an authorizer: %+v", got)
	}
}
