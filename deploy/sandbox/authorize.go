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
		x.context = map[string]any{"iam": x.s.caller(signed[1])}
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

// caller is who signs with a key, as a function is told it.
func (s *Sandbox) caller(key string) map[string]any {
	arn := "arn:" + partition(s.region) + ":iam::" + Account + ":root"
	if who := s.signer(key); who != nil {
		arn = who.arn
	}
	return map[string]any{"accessKey": key, "accountId": Account, "callerId": baseName(arn), "cognitoIdentity": nil,
		"principalOrgId": nil, "userArn": arn, "userId": baseName(arn)}
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
		value := x.value(source)
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
	var raw json.RawMessage
	claims := map[string]any{}
	err = token.Claims(&raw)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // so that a time stays one
		err = d.Decode(&claims)
	}
	if err != nil {
		return refuse(401, "invalid_token", "%v", err)
	}
	now := time.Now().Unix()
	for _, claim := range []string{"nbf", "iat"} {
		if at, ok := claims[claim].(json.Number); ok && number(at) > now {
			return refuse(401, "invalid_token", "the token's %s is in the future", claim)
		}
	}
	audience := token.Audience
	if len(audience) == 0 {
		audience = []string{fmt.Sprint(claims["client_id"])}
	}
	if !slices.ContainsFunc(audience, func(one string) bool {
		return slices.Contains(a.JwtConfiguration.Audience,
			one)
	}) {
		return refuse(401, "invalid_token", "the token does not have a valid audience")
	}
	scopes := append(texts(claims["scope"]), texts(claims["scp"])...)
	if want := x.route.AuthorizationScopes; len(want) > 0 && !slices.ContainsFunc(scopes,
		func(one string) bool { return slices.Contains(want, one) }) {
		return refuse(403, "insufficient_scope", "insufficient permissions")
	}
	said := map[string]string{}
	for name, value := range claims {
		said[name] = fmt.Sprint(value)
	}
	x.context = map[string]any{"jwt": map[string]any{"claims": said, "scopes": x.route.AuthorizationScopes}}
	return nil
}

// number is a number of seconds.
func number(n json.Number) int64 {
	seconds, _ := n.Float64() // 0 for none
	return int64(seconds)
}

// texts are the words of a claim: a text with spaces between them, or a list.
func texts(claim any) (all []string) {
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

// decision is what a Lambda authorizer said, and until when it is remembered.
type decision struct {
	allowed bool             // by a simple response
	policy  *policy.Document // which is judged for each request; nil for a simple response
	context map[string]any
	until   time.Time
}

// authorizeLambda asks a function ("Controlling access to HTTP APIs with AWS Lambda authorizers"), unless it answered
// for the same identity sources before.
func (x *exchange) authorizeLambda(a *apigatewayv2.GetAuthorizerOutput) error {
	given := x.identity(a.IdentitySource)
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
		if d, err = x.ask(a, given); err != nil {
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
	x.context = map[string]any{"lambda": d.context}
	return nil
}

// decisions are what the Lambda authorizers of an API said.
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

// ask asks a Lambda authorizer.
func (x *exchange) ask(a *apigatewayv2.GetAuthorizerOutput, given []string) (d decision, err error) {
	f, err := x.lambdaOf(a.AuthorizerUri)
	if err != nil {
		return d, failed("The authorizer names no function that is there: %v", err)
	}
	if err := x.mayInvoke("authorizer", f, a.AuthorizerCredentialsArn,
		[]string{x.policyAPI().Authorizer(*a.AuthorizerId)}); err != nil {
		return d, err
	}
	v2 := *orEmpty(a.AuthorizerPayloadFormatVersion) != "1.0"
	event := map[string]any{}
	if err := json.Unmarshal(x.event(v2), &event); err != nil {
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
	o, err := x.within(authorizerTimeout, f, jsonAnswer(0, event).body)
	if err != nil || o.Failed {
		return d, unfit("The authorizer failed: %v %s", err, lambdaError(o.Payload))
	}
	var says struct {
		IsAuthorized   *bool
		PrincipalID    *string
		Context        map[string]any
		PolicyDocument *policy.Document
	}
	simple := a.EnableSimpleResponses != nil && *a.EnableSimpleResponses
	switch err := json.Unmarshal(o.Payload, &says); {
	case err != nil:
		return d, unfit("The authorizer's answer is no valid one: %v", err)
	case simple && v2 && says.IsAuthorized == nil:
		return d, unfit("The authorizer's answer has no isAuthorized, which simple responses have")
	case simple && v2:
		d.allowed = *says.IsAuthorized
	case says.PolicyDocument == nil || says.PrincipalID == nil:
		return d, unfit("The authorizer's answer has no policyDocument and principalId, and simple responses are not " +
			"enabled")
	default:
		d.policy = says.PolicyDocument
	}
	d.context = says.Context
	return d, nil
}

// unfit is the answer where an authorizer fails, or answers what it may not.
func unfit(format string, values ...any) error {
	return &problem{500, "Internal Server Error", "authorizer.error", fmt.Sprintf(format, values...)}
}
