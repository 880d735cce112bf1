package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/coreos/go-oidc/v3/oidc"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// authorize returns an error unless the route's authorization lets the request through.
func (x *exchange) authorize() error {
	forbidden := &problem{status: http.StatusForbidden, message: "Forbidden"}
	switch x.route.AuthorizationType {
	case types.AuthorizationTypeAwsIam:
		signed := credentialPattern.FindStringSubmatch(x.r.Header.Get("Authorization"))
		if signed == nil || !x.mayCall(signed[1]) {
			return forbidden
		}
		x.authorizerContext = map[string]any{"iam": x.s.caller(signed[1])}
		return nil
	case types.AuthorizationTypeJwt, types.AuthorizationTypeCustom:
		a := x.routes.authorizers[*orEmpty(x.route.AuthorizerId)]
		if a == nil {
			return internalError("the route's authorizer does not exist")
		}
		if x.route.AuthorizationType == types.AuthorizationTypeJwt {
			return x.authorizeJWT(a)
		}
		return x.authorizeLambda(a)
	}
	return nil
}

// caller describes the owner of a key, in the form of an event's authorizer.iam.
func (s *Sandbox) caller(key string) map[string]any {
	arn := "arn:" + gateway.Partition(s.region) + ":iam::" + Account + ":root"
	if who := s.signer(key); who != nil {
		arn = who.arn
	}
	return map[string]any{"accessKey": key, "accountId": Account, "callerId": baseName(arn), "cognitoIdentity": nil,
		"principalOrgId": nil, "userArn": arn, "userId": baseName(arn)}
}

// mayCall reports whether the owner of a key may call the route. It does not check the signature.
func (x *exchange) mayCall(key string) bool {
	who := x.s.signer(key)
	if who == nil {
		return !strings.HasPrefix(key, keyPrefix) // the operator may do everything, an ended function nothing
	}
	on := x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)[0]
	refusal := x.s.judge(x.r.Context(), *who, x.region, demand{action: "execute-api:Invoke", resource: on})
	if refusal != "" {
		x.s.log.Printf("the request is refused: %s", refusal)
	}
	return refusal == ""
}

// identityValues returns the values of an authorizer's identity sources, such as $request.header.Authorization; nil if
// one is missing.
func (x *exchange) identityValues(sources []string) []string {
	var all []string
	for _, source := range sources {
		value := x.value(source)
		if value == "" {
			return nil
		}
		all = append(all, value)
	}
	return all
}

// issuerClient connects to token issuers, with API Gateway's timeout.
var issuerClient = &http.Client{Timeout: 1500 * time.Millisecond}

// authorizeJWT checks a token ("Controlling access to HTTP APIs with JWT authorizers").
func (x *exchange) authorizeJWT(a *apigatewayv2.GetAuthorizerOutput) error {
	refuse := func(status int, code, format string, values ...any) error {
		message := map[int]string{401: "Unauthorized", 403: "Forbidden"}[status]
		return &problem{status: status, message: message, key: "authorizer.error",
			why: fmt.Sprintf(`Bearer scope="" error=%q error_description=%q`, code, fmt.Sprintf(format, values...))}
	}
	given := x.identityValues(a.IdentitySource)
	if given == nil {
		return &problem{status: 401, message: "Unauthorized", key: "authorizer.error", why: "Bearer"}
	}
	if a.JwtConfiguration == nil {
		return internalError("the route's authorizer has no issuer")
	}
	provider, err := cached(x.s, "issuer "+*orEmpty(a.JwtConfiguration.Issuer), func() (*oidc.Provider, error) {
		// not the request's context: the provider outlives it
		return oidc.NewProvider(oidc.ClientContext(context.Background(), issuerClient),
			*orEmpty(a.JwtConfiguration.Issuer))
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
	var raw json.RawMessage
	claims := map[string]any{}
	err = token.Claims(&raw)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // keeps the digits of times
		err = d.Decode(&claims)
	}
	if err != nil {
		return refuse(401, "invalid_token", "%v", err)
	}
	now := time.Now().Unix()
	for _, claim := range []string{"nbf", "iat"} {
		if at, ok := claims[claim].(json.Number); ok && wholeSeconds(at) > now {
			return refuse(401, "invalid_token", "the token's %s is in the future", claim)
		}
	}
	audience := token.Audience
	if len(audience) == 0 {
		audience = []string{fmt.Sprint(claims["client_id"])}
	}
	if !slices.ContainsFunc(audience, func(one string) bool {
		return slices.Contains(a.JwtConfiguration.Audience, one)
	}) {
		return refuse(401, "invalid_token", "the token does not have a valid audience")
	}
	scopes := append(words(claims["scope"]), words(claims["scp"])...)
	if want := x.route.AuthorizationScopes; len(want) > 0 && !slices.ContainsFunc(scopes,
		func(one string) bool { return slices.Contains(want, one) }) {
		return refuse(403, "insufficient_scope", "insufficient permissions")
	}
	texts := map[string]string{}
	for name, value := range claims {
		texts[name] = fmt.Sprint(value)
	}
	x.authorizerContext = map[string]any{"jwt": map[string]any{"claims": texts, "scopes": x.route.AuthorizationScopes}}
	return nil
}

// wholeSeconds returns a number of seconds without its fraction; 0 if it is not a number.
func wholeSeconds(n json.Number) int64 {
	seconds, _ := n.Float64()
	return int64(seconds)
}

// words returns the words of a claim, which is a list or a text with spaces.
func words(claim any) (all []string) {
	switch v := claim.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
	}
	return all
}

// decision is the answer of a Lambda authorizer.
type decision struct {
	allowed bool             // of a simple response
	policy  *policy.Document // evaluated for each request; nil for a simple response
	context map[string]any
	until   time.Time // end of caching
}

// authorizeLambda calls a Lambda authorizer, unless its answer for the same identity values is cached ("Controlling
// access to HTTP APIs with AWS Lambda authorizers").
func (x *exchange) authorizeLambda(a *apigatewayv2.GetAuthorizerOutput) error {
	given := x.identityValues(a.IdentitySource)
	if given == nil && len(a.IdentitySource) > 0 {
		return &problem{status: 401, message: "Unauthorized", key: "authorizer.error",
			why: "an identity source is missing"}
	}
	ttl, cache := a.AuthorizerResultTtlInSeconds, x.s.decisions(*x.api.ApiId)
	key := strings.Join(append([]string{*x.stage.StageName, *a.AuthorizerId}, given...), "\x00")
	known, ok := cache.Load(key)
	d, _ := known.(decision)
	if !ok || time.Now().After(d.until) {
		var err error
		if d, err = x.callAuthorizer(a, given); err != nil {
			return err
		}
		if ttl != nil && *ttl > 0 && given != nil {
			d.until = time.Now().Add(time.Duration(*ttl) * time.Second)
			cache.Store(key, d)
		}
	}
	if d.policy != nil {
		source := x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)[0]
		d.allowed = d.policy.Judge(policy.Request{Action: "execute-api:Invoke", Resource: source}).Allowed
	}
	if !d.allowed {
		return &problem{status: http.StatusForbidden, message: "Forbidden", key: "authorizer.error",
			why: "the authorizer denies"}
	}
	x.authorizerContext = map[string]any{"lambda": d.context}
	return nil
}

// decisions returns the cached answers of an API's Lambda authorizers.
func (s *Sandbox) decisions(api string) *sync.Map {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.apiStates[api]; state != nil {
		if state.decisions == nil {
			state.decisions = &sync.Map{}
		}
		return state.decisions
	}
	return &sync.Map{}
}

// callAuthorizer invokes a Lambda authorizer and reads its answer.
func (x *exchange) callAuthorizer(a *apigatewayv2.GetAuthorizerOutput, given []string) (d decision, err error) {
	f, err := x.targetOf(a.AuthorizerUri)
	if err != nil {
		return d, internalError("The authorizer's URI names no existing function: %v", err)
	}
	if err := x.checkMayInvoke("authorizer", f, a.AuthorizerCredentialsArn,
		[]string{x.policyAPI().Authorizer(*a.AuthorizerId)}); err != nil {
		return d, err
	}
	v2 := *orEmpty(a.AuthorizerPayloadFormatVersion) != "1.0"
	event := map[string]any{}
	if err := json.Unmarshal(x.lambdaEvent(v2), &event); err != nil {
		return d, err
	}
	delete(event, "body")
	delete(event, "isBase64Encoded")
	event["type"] = "REQUEST"
	source := x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)[0]
	if v2 {
		event["routeArn"], event["identitySource"] = source, given
	} else {
		joined := strings.Join(given, ",")
		event["methodArn"], event["identitySource"], event["authorizationToken"] = source, joined, joined
	}
	o, err := x.invokeWithin(authorizerTimeout, f, jsonAnswer(0, event).body)
	if err != nil || o.Failed {
		return d, authorizerError("The authorizer failed: %v %s", err, lambdaError(o.Payload))
	}
	var out struct {
		IsAuthorized   *bool
		PrincipalID    *string
		Context        map[string]any
		PolicyDocument *policy.Document
	}
	simple := a.EnableSimpleResponses != nil && *a.EnableSimpleResponses
	switch err := json.Unmarshal(o.Payload, &out); {
	case err != nil:
		return d, authorizerError("The authorizer's answer is not valid: %v", err)
	case simple && v2 && out.IsAuthorized == nil:
		return d, authorizerError("The authorizer's answer has no isAuthorized, which a simple response needs")
	case simple && v2:
		d.allowed = *out.IsAuthorized
	case out.PolicyDocument == nil || out.PrincipalID == nil:
		return d,
			authorizerError("The authorizer's answer has no policyDocument and principalId, and simple responses " +
				"are not enabled")
	default:
		d.policy = out.PolicyDocument
	}
	d.context = out.Context
	return d, nil
}

// authorizerError is API Gateway's answer if an authorizer fails or its answer is not valid.
func authorizerError(format string, values ...any) error {
	return &problem{status: 500, message: "Internal Server Error", key: "authorizer.error", why: fmt.Sprintf(format,
		values...)}
}
