package sandbox

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// lambdaAuthorized returns an API, and a function that protects its routes by a Lambda authorizer. The authorizer
// answers with the content of the header Answer.
func lambdaAuthorized(t *testing.T) (w *world, api string, protect func(format string, simple bool, ttl int32,
	sources ...string)) {
	t.Helper()
	w = open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	api = w.api(arn, "POST /raw", "POST /raw/echo", "OPTIONS /raw/x", "$default")
	w.grant(api, "*")
	return w, api, func(format string, simple bool, ttl int32, sources ...string) {
		t.Helper()
		a := did[*apigatewayv2.CreateAuthorizerOutput](t)(w.gateway.CreateAuthorizer(ctx,
			&apigatewayv2.CreateAuthorizerInput{ApiId: &api, Name: aws.String("a"), AuthorizerType: "REQUEST",
				AuthorizerUri: &arn, AuthorizerPayloadFormatVersion: &format, EnableSimpleResponses: &simple,
				AuthorizerResultTtlInSeconds: &ttl, IdentitySource: sources}))
		for _, r := range did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
			&apigatewayv2.GetRoutesInput{ApiId: &api})).Items {
			did[*apigatewayv2.UpdateRouteOutput](t)(w.gateway.UpdateRoute(ctx,
				&apigatewayv2.UpdateRouteInput{ApiId: &api,
					RouteId: r.RouteId, AuthorizationType: "CUSTOM", AuthorizerId: a.AuthorizerId}))
		}
	}
}

// TestAuthorizers: the effect of a Lambda authorizer's answers.
func TestAuthorizers(t *testing.T) {
	w, api, protect := lambdaAuthorized(t)
	policy := `{"principalId":"me","policyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"EFFECT",` +
		`"Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:*:*:*/*/POST/*"}]},"context":{"who":"anna"}}`
	for _, c := range []struct {
		name, format string
		simple       bool
		answer       string
		status       int
		body         string
	}{
		{"simple, allowed", "2.0", true, `{"isAuthorized":true,"context":{"who":"anna"}}`, 200,
			`"lambda":{"who":"anna"}`},
		{"simple, denied", "2.0", true, `{"isAuthorized":false}`, 403, `{"message":"Forbidden"}`},
		{"simple, without isAuthorized", "2.0", true, `{"authorized":true}`, 500, internalBody},
		{"a policy where simple responses are enabled", "2.0", true, strings.Replace(policy, "EFFECT", "Allow", 1), 500,
			internalBody},
		{"a simple response where they are not", "2.0", false, `{"isAuthorized":true}`, 500, internalBody},
		{"a policy that allows", "2.0", false, strings.Replace(policy, "EFFECT", "Allow", 1), 200, `"who":"anna"`},
		{"a policy that denies", "1.0", false, strings.Replace(policy, "EFFECT", "Deny", 1), 403,
			`{"message":"Forbidden"}`},
		{"a policy without a principalId", "1.0", false, strings.Replace(strings.Replace(policy, "EFFECT", "Allow", 1),
			`"principalId":"me",`, "", 1), 500, internalBody},
		{"not an object", "1.0", false, `"yes"`, 500, internalBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			protect(c.format, c.simple, 0, "$request.header.Answer")
			a := w.ask(api, "POST", "/dev/raw/echo", "the body", "Answer", c.answer)
			if a.status != c.status || !strings.Contains(a.body, c.body) {
				t.Errorf("%d %s, want %d %s", a.status, a.body, c.status, c.body)
			}
		})
	}
}

// TestAuthorizersWithoutCall: requests for which the authorizer is not called, or not called again.
func TestAuthorizersWithoutCall(t *testing.T) {
	w, api, protect := lambdaAuthorized(t)
	ctx := t.Context()
	body := func(answer string) string { // of a request whose authorizer answers so
		return w.ask(api, "POST", "/dev/raw/echo", "the body", "Answer", answer).body
	}
	t.Run("no identity", func(t *testing.T) {
		protect("2.0", true, 0, "$request.header.Answer", "$stageVariables.nosuch")
		a := w.ask(api, "POST", "/dev/raw/echo", "", "Answer", `{"isAuthorized":true}`)
		if a.status != 401 || a.header.Get("Www-Authenticate") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("a cached answer", func(t *testing.T) {
		protect("2.0", true, 60, "$context.stage")
		first := body(`{"isAuthorized":true}`)
		if again := body(`{"isAuthorized":false}`); !strings.Contains(first, "rawPath") || !strings.Contains(again,
			"rawPath") {
			t.Errorf("first %s, then %s", first, again)
		}
		did[*apigatewayv2.ResetAuthorizersCacheOutput](t)(w.gateway.ResetAuthorizersCache(ctx,
			&apigatewayv2.ResetAuthorizersCacheInput{ApiId: &api, StageName: aws.String("dev")}))
		if after := body(`{"isAuthorized":false}`); after != `{"message":"Forbidden"}` {
			t.Errorf("after a reset: %s", after)
		}
	})
	t.Run("a cached policy is evaluated for each route", func(t *testing.T) {
		protect("2.0", false, 60, "$context.stage")
		policy := `{"principalId":"me","policyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
			`"Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:*:*:*/*/POST/raw/echo"}]}}`
		if first := body(policy); !strings.Contains(first, "rawPath") {
			t.Errorf("the route that it allows: %s", first)
		}
		w.ask(api, "POST", "/dev/raw", "{}", "Answer", policy).is(t, "another route", 403, forbiddenBody)
	})
	t.Run("a preflight", func(t *testing.T) {
		protect("2.0", true, 0, "$request.header.Authorization")
		did[*apigatewayv2.UpdateApiOutput](t)(w.gateway.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
			CorsConfiguration: &types.Cors{AllowOrigins: []string{"*"}, AllowMethods: []string{"*"}}}))
		w.ask(api, "OPTIONS", "/dev/elsewhere", "", "Origin", "https://a.example", "Access-Control-Request-Method",
			"GET").
			is(t, "handled by the authorizer", 401, `{"message":"Unauthorized"}`)
	})
}
