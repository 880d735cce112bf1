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

// has is an API with a route of each kind.
func has() Facts {
	f := Facts{API: api, Stages: []types.Stage{
		{StageName: aws.String("dev"), StageVariables: map[string]string{"name": "notes"}},
		{StageName: aws.String("$default")},
	}}
	for i, c := range []struct {
		key, uri, role string
	}{
		{"GET /notes", lambdaARN + "notes", ""},
		{"ANY /notes/{id}", "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/" + lambdaARN +
			"notes:live/invocations", ""},
		{"$default", lambdaARN + "${stageVariables.name}", ""},
		{"GET /role", lambdaARN + "notes", "arn:aws:iam::123456789012:role/x"},
		{"GET /other", strings.Replace(lambdaARN, "123456789012", "210987654321", 1) + "notes", ""},
		{"GET /far", strings.Replace(lambdaARN, "eu-central-1", "us-east-1", 1) + "notes", ""},
		{"GET /latest", lambdaARN + "notes:$LATEST", ""},
		{"GET /web", "https://example.com", ""},
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

// TestGrants: each route that a grant can help has one, no wider than the scope, and each other one a reason.
func TestGrants(t *testing.T) {
	base := "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/"
	for _, c := range []struct {
		name, function string
		stages         []string
		scope          Scope
		grants         []string // function:qualifier source
		unhelped       []string
	}{
		{"the routes of a stage", "", []string{"dev"}, RouteScope,
			[]string{"notes: dev/GET/notes", "notes:live dev/*/notes/*", "notes: dev/$default",
				"auth: authorizers/auth1"},
			[]string{"dev GET /role: it is invoked with the role", "dev GET /other: its function is of account",
				"dev GET /far: its function is in us-east-1",
				"dev GET /latest: it names $LATEST", "dev GET /web: its integration is with https://example.com",
				"dev GET /bare: it has no integration", "authorizer web: its integration is with"}},
		{"a stage without the variable", "notes", []string{"$default"}, RouteScope,
			[]string{"notes: $default/GET/notes", "notes:live $default/*/notes/*"},
			[]string{"$default $default: the stage variable name of its integration is not set", "role", "account",
				"us-east-1", "$LATEST", "example.com", "no integration"}},
		{"a whole stage", "notes", []string{"dev"}, StageScope, []string{"notes: dev/*", "notes:live dev/*"},
			[]string{"role", "account", "us-east-1", "$LATEST", "example.com", "no integration"}},
		{"the whole API", "notes", []string{"dev"}, APIScope, []string{"notes: */*", "notes:live */*"},
			[]string{"role", "account", "us-east-1", "$LATEST", "example.com", "no integration"}},
		{"another function", "auth", []string{"dev"}, RouteScope, []string{"auth: authorizers/auth1"},
			[]string{"another function, notes", "another function, notes", "another function, notes", "role", "account",
				"us-east-1", "$LATEST", "example.com", "no integration"}},
		{"a stage that is not there", "", []string{"prod"}, RouteScope, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			grants, unhelped := Grants(has(), c.function, c.stages, c.scope)
			var got []string
			for _, g := range grants {
				got = append(got, g.Function+":"+g.Qualifier+" "+strings.TrimPrefix(g.SourceARN, base))
				in := g.Input()
				if *in.Principal != Principal || *in.SourceAccount != api.Account || *in.SourceArn != g.SourceARN ||
					aws.ToString(in.Qualifier) != g.Qualifier || !Ours(*in.StatementId) {
					t.Errorf("the call is %+v", in)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.grants) {
				t.Errorf("the grants are %q, want %q", got, c.grants)
			}
			if len(unhelped) != len(c.unhelped) {
				t.Fatalf("unhelped are %v, want %q", unhelped, c.unhelped)
			}
			for i, u := range unhelped {
				if !strings.Contains(u.Route+": "+u.Why, c.unhelped[i]) {
					t.Errorf("%s: %s, want %q", u.Route, u.Why, c.unhelped[i])
				}
			}
		})
	}
}

// TestCovered: a grant is covered by a statement that opens what it opens, whoever wrote it.
func TestCovered(t *testing.T) {
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
		{"itself", allow(g.StatementID, g.SourceARN), g.StatementID},
		{"a wider one of others", allow("theirs", api.Pattern("*", "*")), "theirs"},
		{"another one of ours", allow("notes-0000000000000000", api.Pattern("*", "*")), ""},
		{"another route", allow("theirs", api.Pattern("dev", "GET /other")), ""},
		{"another stage", allow("theirs", api.Pattern("prod", "GET /notes")), ""},
		{"a literal in place of a variable", allow("theirs", strings.Replace(g.SourceARN, "dev", "d*v", 1)), "theirs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			document := policy.Document{Statement: policy.Statements{c.statement}}
			if got := Covered(document, g, resource); got != c.want {
				t.Errorf("it is covered by %q, want %q", got, c.want)
			}
			arn := func(Grant) string { return resource }
			one, two := Size(policy.Document{}, []Grant{g}, arn), Size(document, []Grant{g}, arn)
			if one < 250 || two < one+200 || two > policy.MaxPolicy {
				t.Errorf("the policy has %d bytes, with the statement %d", one, two)
			}
		})
	}
}

// TestCover: what a pattern lets in of a route, under every reading of what API Gateway presents.
func TestCover(t *testing.T) {
	for _, c := range []struct {
		rest, key string
		in        int    // source ARNs that are let in
		out       string // those that are not
	}{
		{"dev/GET/notes", "GET /notes", 1, ""},
		{"dev/*/notes", "ANY /notes", 7, ""},
		{"dev/GET/notes", "ANY /notes", 1, "dev/HEAD/notes dev/OPTIONS/notes dev/POST/notes dev/PUT/notes " +
			"dev/PATCH/notes dev/DELETE/notes"},
		{"dev/GET/notes/*", "GET /notes/{id}", 2, ""},
		{"dev/GET/notes/{id}", "GET /notes/{id}", 1, "dev/GET/notes/0f1e2d3c"},
		{"prod/*", "GET /notes", 0, "dev/GET/notes"},
		{"dev/$default", "$default", 1, ""},
		{"*/*", "$default", 1, ""},
	} {
		t.Run(c.rest+" and "+c.key, func(t *testing.T) {
			got := Cover(api.arn(c.rest), api.Possible("dev", c.key))
			if out := strings.ReplaceAll(strings.Join(got.Out, " "), api.arn(""), ""); len(got.In) != c.in ||
				out != c.out {
				t.Errorf("%d are let in, %q are not", len(got.In), out)
			}
		})
	}
	if got := Cover(api.arn("*"), []string{api.Authorizer("x")}); len(got.In) != 1 {
		t.Errorf("an authorizer: %+v", got)
	}
}
