package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/coreos/go-oidc/v3/oidc"

	"example.com/portable-notes/deploy/policy"
)

// authorize lets a request through to the route's integration, as the route's authorization says.
func (x *exchange) authorize() error {
	forbidden := &problem{status: http.StatusForbidden, message: "Forbidden"}
	switch x.route.AuthorizationType {
	case types.AuthorizationTypeAwsIam:
		signed := credential.FindStringSubmatch(x.r.Header.Get("Authorization"))
		if signed == nil || !x.mayCall(signed[1]) {
			return forbidden
		}
		return nil
	case types.AuthorizationTypeJwt, types.AuthorizationTypeCustom:
		a := x.routes.authorizers[*orEmpty(x.route.AuthorizerId)]
		if a == nil {
			return failed("the route's authorizer is not there")
		}
		if x.route.AuthorizationType == types.AuthorizationTypeJwt {
			return x.authorizeJWT(a)
		}
		return x.authorizeLambda(a)
	}
	return nil
}

// mayCall judges whether who signs with a key may call the route. Signatures are not checked here.
func (x *exchange) mayCall(key string) bool {
	who := x.s.signer(key)
	if who == nil {
		return !strings.HasPrefix(key, keyPrefix) // the operator may do all, a function that has ended nothing
	}
	on := x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)[0]
	refusal := x.s.judge(x.r.Context(), *who, x.region, demand{action: "execute-api:Invoke", resource: on})
	if refusal != "" {
		x.s.log.Printf("the request is refused: %s", refusal)
	}
	return refusal == ""
}

// identity are the values of an authorizer's identity sources, such as $request.header.Authorization; nil if one is
// missing.
func (x *exchange) identity(sources []string) []string {
	var all []string
	for _, source := range sources {
		value := ""
		if name, ok := strings.CutPrefix(source, "$request.header."); ok {
			value = x.r.Header.Get(name)
		} else if name, ok := strings.CutPrefix(source, "$request.querystring."); ok {
			value = x.r.URL.Query().Get(name)
		}
		if value == "" {
			return nil
		}
		all = append(all, value)
	}
	return all
}

// issuers asks issuers of tokens, as long as API Gateway does.
var issuers = &http.Client{Timeout: 1500 * time.Millisecond}

// authorizeJWT judges a token ("Controlling access to HTTP APIs with JWT authorizers").
func (x *exchange) authorizeJWT(a *apigatewayv2.GetAuthorizerOutput) error {
	refuse := func(status int, code, format string, values ...any) error {
		message := map[int]string{401: "Unauthorized", 403: "Forbidden"}[status]
		return &problem{status, message, "authorizer.error",
			fmt.Sprintf(`Bearer scope="" error=%q error_description=%q`, code, fmt.Sprintf(format, values...))}
	}
	given := x.identity(a.IdentitySource)
	if given == nil {
		return &problem{status: 401, message: "Unauthorized", key: "authorizer.error", why: "Bearer"}
	}
	if a.JwtConfiguration == nil {
		return failed("the route's authorizer has no issuer")
	}
	provider, err := remembered(x.s, "issuer "+*orEmpty(a.JwtConfiguration.Issuer), func() (*oidc.Provider, error) {
		// whose keys outlive this request
		return oidc.NewProvider(oidc.ClientContext(context.Background(), issuers), *orEmpty(a.JwtConfiguration.Issuer))
	})
	if err != nil {
		return refuse(401, "invalid_token", "OIDC discovery endpoint communication error")
	}
	verifier := provider.Verifier(&oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{oidc.RS256,
		oidc.RS384, oidc.RS512}})
	token, err := verifier.Verify(x.r.Context(), strings.TrimPrefix(given[0], "Bearer "))
	if err != nil {
		return refuse(401, "invalid_token", "%v", err)
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return refuse(401, "invalid_token", "%v", err)
	}
	audience := append(slices.Clone(token.Audience), fmt.Sprint(claims["client_id"]))
	if !slices.ContainsFunc(audience, func(one string) bool {
		return slices.Contains(a.JwtConfiguration.Audience,
			one)
	}) {
		return refuse(401, "invalid_token", "the token does not have a valid audience")
	}
	scopes := strings.Fields(strings.Trim(fmt.Sprint(claims["scope"], " ", claims["scp"]), "[]"))
	if want := x.route.AuthorizationScopes; len(want) > 0 && !slices.ContainsFunc(scopes,
		func(one string) bool { return slices.Contains(want, one) }) {
		return refuse(403, "insufficient_scope", "insufficient permissions")
	}
	texts := map[string]string{}
	for name, value := range claims {
		texts[name] = fmt.Sprint(value)
	}
	x.context = map[string]any{"jwt": map[string]any{"claims": texts, "scopes": x.route.AuthorizationScopes}}
	return nil
}

// authorizeLambda asks a function ("Controlling access to HTTP APIs with AWS Lambda authorizers").
func (x *exchange) authorizeLambda(a *apigatewayv2.GetAuthorizerOutput) error {
	given := x.identity(a.IdentitySource)
	if given == nil && len(a.IdentitySource) > 0 {
		return &problem{status: 401, message: "Unauthorized", key: "authorizer.error",
			why: "an identity source is missing"}
	}
	f, err := x.lambdaOf(a.AuthorizerUri)
	if err != nil {
		return failed("The authorizer names no function that is there: %v", err)
	}
	if err := x.mayInvoke("authorizer", functionARN(f.Region, f.Function, f.Qualifier), a.AuthorizerCredentialsArn,
		[]string{x.policyAPI().Authorizer(*a.AuthorizerId)}); err != nil {
		return err
	}
	v2 := *orEmpty(a.AuthorizerPayloadFormatVersion) != "1.0"
	event := map[string]any{}
	if err := json.Unmarshal(x.event(v2), &event); err != nil {
		return err
	}
	event["type"] = "REQUEST"
	source := x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)[0]
	if v2 {
		event["routeArn"], event["identitySource"] = source, given
	} else {
		event["methodArn"], event["identitySource"] = source, strings.Join(given, ",")
	}
	o, err := x.within(authorizerTimeout, f, jsonAnswer(0, event).body)
	if err != nil || o.Failed {
		return failed("The authorizer failed: %v %s", err, lambdaError(o.Payload))
	}
	var says struct {
		IsAuthorized   *bool
		Context        map[string]any
		PolicyDocument *policy.Document
	}
	if err := json.Unmarshal(o.Payload, &says); err != nil {
		return failed("The authorizer's answer is no valid one: %v", err)
	}
	allowed := says.IsAuthorized != nil && *says.IsAuthorized
	if simple := a.EnableSimpleResponses != nil && *a.EnableSimpleResponses; !simple && says.PolicyDocument == nil {
		return failed("The authorizer's answer has no policy, and simple responses are not enabled")
	} else if !simple {
		allowed = says.PolicyDocument.Judge(policy.Request{Action: "execute-api:Invoke", Resource: source}).Allowed
	}
	if !allowed {
		return &problem{status: http.StatusForbidden, message: "Forbidden", key: "authorizer.error",
			why: "the authorizer denies"}
	}
	x.context = map[string]any{"lambda": says.Context}
	return nil
}
