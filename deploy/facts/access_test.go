package facts

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/doctor"
)

// jwtOf returns a token with some claims and an invalid signature.
func jwtOf(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + encode([]byte(claims)) + ".c2ln"
}

// TestToken: the facts keep the parts of a token that its authorizer judges, and nothing about the person.
func TestToken(t *testing.T) {
	source := []string{"$request.header.Authorization"}
	for _, c := range []struct {
		name    string
		sources []string
		header  [2]string
		want    doctor.Token
	}{
		{"good", source, [2]string{"Authorization", "Bearer " + jwtOf(`{"iss":"i","aud":"a","exp":7,"nbf":5,"iat":6,`+
			`"scope":"x y","scp":["z"],"sub":"anna","client_id":"c"}`)},
			doctor.Token{Present: true, Algorithm: "RS256", KeyID: "k1", Issuer: "i", Audience: []string{"a"},
				ClientID: "c", Expires: 7, NotBefore: 5, Issued: 6, Scopes: []string{"x", "y", "z"}}},
		{"several audiences", source, [2]string{"Authorization", jwtOf(`{"aud":["a","b"]}`)},
			doctor.Token{Present: true, Algorithm: "RS256", KeyID: "k1", Audience: []string{"a", "b"}}},
		{"none", source, [2]string{"X", "y"}, doctor.Token{}},
		{"in another header", source, [2]string{"X-Token", jwtOf(`{}`)}, doctor.Token{
			Elsewhere: "$request.header.X-Token"}},
		{"in the query", []string{"$request.querystring.token"}, [2]string{"X", "y"},
			doctor.Token{Present: true, Malformed: "it does not have three parts separated by dots"}},
		{"broken", source, [2]string{"Authorization", "a.b.c"},
			doctor.Token{Present: true, Malformed: "its header cannot be read"}},
		{"an unknown source", []string{"$context.x"}, [2]string{"X", "y"}, doctor.Token{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &gatherer{inquiry: Inquiry{URL: &url.URL{RawQuery: "token=x"}, Headers: http.Header{}}}
			g.inquiry.Headers.Set(c.header[0], c.header[1])
			if got := *g.readToken(c.sources); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestKeys: after a token was refused, the keys of the authorizer's issuer are fetched.
func TestKeys(t *testing.T) {
	issuer := jwttest.New(t)
	answers := account()
	answers["/routes"] = `{"items":[{"routeKey":"GET /notes/{id}","target":"integrations/i1","authorizerId":"j1",` +
		`"authorizationType":"JWT"}]}`
	for _, c := range []struct {
		name, issuer string
		keys         int
	}{{"an issuer", issuer.URL, 1}, {"an unreachable issuer", "http://127.0.0.1:1", 0}} {
		t.Run(c.name, func(t *testing.T) {
			answers["/authorizers"] = fmt.Sprintf(
				`{"items":[{"authorizerId":"j1","authorizerType":"JWT","identitySource":`+
					`["$request.header.Authorization"],"jwtConfiguration":{"issuer":%q,"audience":["notes"]}}]}`,
				c.issuer,
			)
			got := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET",
				URL:     apiAt(t, 401, `{"message":"Unauthorized"}`),
				Headers: http.Header{"Authorization": {"Bearer " + issuer.Token(t, "anna", "openid")}}})
			if got.Token == nil || got.Token.Issuer != issuer.URL || len(got.Keys.Or()) != c.keys ||
				(got.Keys.Error == nil) != (c.keys > 0) {
				t.Errorf("the token is %+v, the keys %+v", got.Token, got.Keys)
			}
		})
	}
}

// TestDecision: a Lambda authorizer's response is read as API Gateway reads it.
func TestDecision(t *testing.T) {
	policy := `{"principalId":"u","policyDocument":{"Statement":[{"Effect":"Allow","Action":"execute-api:Invoke",` +
		`"Resource":"arn:aws:execute-api:us-east-1:1:a1/dev/*"}]}}`
	for _, c := range []struct {
		name, payload, format string
		simple                bool
		want                  string
	}{
		{"a simple allow", `{"isAuthorized":true}`, "2.0", true, "allows"},
		{"a simple deny", `{"isAuthorized":false}`, "2.0", true, "denies"},
		{"a policy instead of a simple response", policy, "2.0", true,
			"it has a policyDocument, but simple responses are enabled"},
		{"an empty simple response", `{}`, "2.0", true, "it has no isAuthorized"},
		{"a policy", policy, "1.0", true, "allows"},
		{"a policy that denies", strings.Replace(policy, "Allow", "Deny", 1), "2.0", false, "denies"},
		{"a policy of another stage", strings.Replace(policy, "dev", "prod", 1), "1.0", true, "others"},
		{"a policy of another action", strings.Replace(policy, "execute-api:Invoke", "execute-api:*x", 1), "1.0", true,
			"others"},
		{"a string for true", `{"isAuthorized":"true"}`, "2.0", true, "isAuthorized is text, not true or false"},
		{"an invalid policy", `{"principalId":"u","policyDocument":{"Statement":1}}`, "1.0", true,
			"its policyDocument cannot be read"},
		{"a simple response instead of a policy", `{"isAuthorized":true}`, "2.0", false,
			"it has isAuthorized, but simple responses are not enabled"},
		{"an empty policy response", `{}`, "2.0", false, "it has no policyDocument"},
		{"no principal", `{"policyDocument":{}}`, "2.0", false, "it has no principalId"},
		{"a string", `"x"`, "2.0", false, "it is not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := map[string]any{"Payload": base64.StdEncoding.EncodeToString([]byte(c.payload))}
			if got := readDecision(answer, doctor.Authorizer{PayloadFormat: c.format, Simple: c.simple},
				[]string{"arn:aws:execute-api:us-east-1:1:a1/dev/GET/notes"}); got.Says+got.Wrong != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestInvokeAuthorizer: a Lambda authorizer is invoked once, with the data of the request, if that may explain the
// response.
func TestInvokeAuthorizer(t *testing.T) {
	answers := account()
	answers["/routes"] = `{"items":[{"routeKey":"GET /notes/{id}","target":"integrations/i1","authorizerId":"l1",` +
		`"authorizationType":"CUSTOM"}]}`
	answers["/functions/auth"] = `{"Configuration":{"FunctionName":"auth"}}`
	answers["/invocations"] = `{"isAuthorized":false}`
	for _, c := range []struct {
		name, format string
		header       string
		status       int
		want         string
	}{
		{"2.0", "2.0", "Authorization", 403, "denies"}, {"1.0", "1.0", "Authorization", 403,
			"it has isAuthorized, but simple responses are not enabled"},
		{"without its identity source", "2.0", "X", 403, ""}, {"after 404", "2.0", "Authorization", 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers["/authorizers"] = `{"items":[{"authorizerId":"l1","authorizerType":"REQUEST","identitySource":` +
				`["$request.header.Authorization"],"enableSimpleResponses":true,"authorizerPayloadFormatVersion":"` +
				c.format + `","authorizerUri":"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/` +
				`arn:aws:lambda:us-east-1:123456789012:function:auth/invocations"}]}`
			body := map[int]string{403: `{"message":"Forbidden"}`, 404: `{"message":"Not Found"}`}[c.status]
			got := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET", URL: apiAt(t, c.status, body),
				Headers: http.Header{c.header: {"s3cr3t"}}})
			if d := got.AuthorizerInvocation.Or().Shape.Decision; d.Says+d.Wrong != c.want {
				t.Errorf("%+v", got.AuthorizerInvocation)
			}
		})
	}
}

// TestRights: after an error that names a missing permission, the role is read with all its policies. If the function
// was not invoked, its log is read.
func TestRights(t *testing.T) {
	answers := account()
	answers["/functions/notes"] = `{"Configuration":{"FunctionName":"notes",` +
		`"Role":"arn:aws:iam::123456789012:role/p/r"}}`
	document := url.PathEscape(`{"Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}`)
	result := func(name, inner string) string {
		return "<R><" + name + "Result>" + inner + "</" + name + "Result></R>"
	}
	trust := url.PathEscape(`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":` +
		`"lambda.amazonaws.com"}}]}`)
	answers["GetRole"] = result("GetRole", "<Role><AssumeRolePolicyDocument>"+trust+"</AssumeRolePolicyDocument>"+
		"<PermissionsBoundary><PermissionsBoundaryArn>arn:b</PermissionsBoundaryArn></PermissionsBoundary></Role>")
	answers["ListRolePolicies"] = result("ListRolePolicies", "<PolicyNames><member>one</member></PolicyNames>")
	answers["ListAttachedRolePolicies"] = result("ListAttachedRolePolicies",
		"<AttachedPolicies><member><PolicyArn>arn:m</PolicyArn></member></AttachedPolicies>")
	answers["GetRolePolicy"] = result("GetRolePolicy", "<PolicyDocument>"+document+"</PolicyDocument>")
	answers["GetPolicy"] = result("GetPolicy", "<Policy><DefaultVersionId>v2</DefaultVersionId></Policy>")
	answers["GetPolicyVersion"] = result("GetPolicyVersion", "<PolicyVersion><Document>"+document+
		"</Document></PolicyVersion>")
	refused := "AccessDeniedException: not authorized to perform: dynamodb:Scan"
	answers["FilterLogEvents"] = `{"events":[{"timestamp":4102444800000,"message":"` + refused +
		`"},{"message":"fine"}]}`
	gather := func(answers map[string]string) doctor.Case {
		return Gather(t.Context(), served(t, answers), Inquiry{Method: "POST",
			URL: apiAt(t, 500, `{"message":"Internal Server Error"}`)})
	}
	answers["/routes"] = strings.Replace(answers["/routes"], "GET /", "ANY /", 1)
	answers["/policy"] = strings.Replace(answers["/policy"], ":b2/*", ":a1/*", 1)
	got := gather(answers)
	role := got.Role.Or()
	if role.Name != "r" || len(role.Identity) != 2 || role.Boundary == nil || len(role.Trust.Statement) != 1 {
		t.Errorf("the role is %+v", got.Role)
	}
	if lines := got.Lines.Or(); len(lines) != 1 || lines[0] != refused {
		t.Errorf("the lines are %q", got.Lines.Or())
	}
	for _, missing := range []string{"ListRolePolicies", "ListAttachedRolePolicies", "GetRolePolicy",
		"GetPolicy", "GetPolicyVersion"} {
		t.Run("without "+missing, func(t *testing.T) {
			less := map[string]string{}
			for name, answer := range answers {
				if name != missing {
					less[name] = answer
				}
			}
			if got := gather(less); got.Role.Seen() || got.Role.Error == nil {
				t.Errorf("the role is %+v", got.Role)
			}
		})
	}
}

// TestDomain: the mapping of a custom domain determines the API, the stage and the path.
func TestDomain(t *testing.T) {
	answers := account()
	answers["/domainnames/api.example.com"] = `{"domainName":"api.example.com"}`
	answers["/apimappings"] = `{"items":[{"apiId":"a1","stage":"dev","apiMappingKey":"v1"}]}`
	answers["/routes"] = strings.Replace(answers["/routes"], "/notes/{id}", "/notes", 1)
	u := apiAt(t, 500, `{"message":"Internal Server Error"}`)
	for _, c := range []struct{ path, api, stage, want string }{
		{"/v1/notes", "a1", "dev", "/notes"}, {"/v1", "a1", "dev", "/"}, {"/v2/notes", "", "", "/{…}/{…}"},
	} {
		t.Run(c.path, func(t *testing.T) {
			u.Path = domainPath + "api.example.com" + c.path
			got := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET", URL: u})
			if got.Asked.API != c.api || got.Asked.Stage != c.stage || got.Asked.Domain != "api.example.com" {
				t.Errorf("%+v %+v", got.Asked, got.Domain)
			}
			if c.api != "" && got.Asked.Path != c.want {
				t.Errorf("the path is %s, want %s", got.Asked.Path, c.want)
			}
		})
	}
	delete(answers, "/apimappings")
	u.Path = domainPath + "api.example.com/v1"
	if got := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET", URL: u}); got.Domain.Error == nil {
		t.Errorf("without mappings: %+v", got.Domain)
	}
}

// TestHistory: the requests of the last hour are counted, and the minute since which all fail is found.
func TestHistory(t *testing.T) {
	const minute = 1790000000 / 60 * 60
	series := func(id string, values ...float64) string {
		var times, all []string
		for i, v := range values {
			times = append(times, fmt.Sprint(minute+60*i))
			all = append(all, fmt.Sprint(v))
		}
		return fmt.Sprintf(`{"Id":%q,"Timestamps":[%s],"Values":[%s]}`, id, strings.Join(times, ","),
			strings.Join(all, ","))
	}
	at := func(i int64) *time.Time {
		one := time.Unix(minute+60*i, 0).UTC()
		return &one
	}
	for _, c := range []struct {
		name, answer string
		want         doctor.History
	}{
		{"none", "", doctor.History{}},
		{"all failed", series("all", 2, 1) + "," + series("failed", 2, 1), doctor.History{Requests: 3, Failures: 3,
			Since: at(0)}},
		{"failing since a minute", series("all", 2, 1) + "," + series("failed", 1, 1), doctor.History{
			Requests: 3, Failures: 2,
			Since: at(1)}},
		{"recovered", series("all", 2, 1) + "," + series("failed", 2, 0), doctor.History{Requests: 3, Failures: 2}},
		{"a time as a string", `{"Id":"all","Timestamps":["2026-11-27T09:41:00Z"],"Values":[1]}`,
			doctor.History{Requests: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := account()
			answers["GetMetricData"] = `{"MetricDataResults":[` + c.answer + `]}`
			got := Gather(t.Context(), served(t, answers), Inquiry{Method: "GET",
				URL: apiAt(t, 500, `{"message":"Internal Server Error"}`)})
			if !reflect.DeepEqual(got.History.Or(), c.want) {
				t.Errorf("%+v, want %+v", got.History, c.want)
			}
		})
	}
	t.Run("unseen", func(t *testing.T) {
		got := Gather(t.Context(), served(t, account()), Inquiry{Method: "GET", URL: apiAt(t, 404,
			`{"message":"Not Found"}`)})
		if got.History.Seen() || got.History.Error == nil {
			t.Errorf("%+v", got.History)
		}
	})
}

// TestCallers: the role with which an integration invokes its function is read.
func TestCallers(t *testing.T) {
	answers := account()
	answers["/integrations"] = strings.Replace(answers["/integrations"], `"integrationId":"i1"`,
		`"integrationId":"i1","credentialsArn":"arn:aws:iam::123456789012:role/caller"`, 1)
	got := Gather(t.Context(), served(t, answers), Inquiry{API: "a1"})
	if len(got.Callers) != 1 || !got.Callers[0].Fact.Missing() {
		t.Errorf("%+v", got.Callers)
	}
}
