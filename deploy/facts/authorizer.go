package facts

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// readAuthorization reads the facts that may explain the decision of an authorizer: the request's token and the
// issuer's keys, or what the Lambda authorizer returns.
func (g *gatherer) readAuthorization(d doctor.Diagnosis) {
	route, ok := findIn(g.c.Routes.Or(), func(r doctor.Route) bool { return r.Key == d.Target.Route })
	a, known := findIn(g.c.Authorizers.Or(), func(a doctor.Authorizer) bool { return a.ID == route.Authorizer })
	if !ok || !known || d.Answer == nil || d.Answer.From != doctor.FromGateway {
		return
	}
	switch {
	case a.Type == "JWT" && a.JWT != nil:
		g.c.Token = g.readToken(a.IdentitySources)
		if t := g.c.Token; t.Present && t.Malformed == "" && (d.Answer.Status == 401 || d.Answer.Status == 403) {
			g.c.Keys = g.readKeys(a.JWT.Issuer)
		}
	case (d.Answer.Status == 500 || d.Answer.Status == 403) && g.mayInvoke():
		g.invokeAuthorizer(d, a)
	}
}

// findIn returns the first element for which fits reports true.
func findIn[T any](all []T, fits func(T) bool) (one T, ok bool) {
	if i := slices.IndexFunc(all, fits); i >= 0 {
		return all[i], true
	}
	return one, false
}

// mayInvoke reports whether a function may be invoked for the request.
func (g *gatherer) mayInvoke() bool {
	return !g.inquiry.NoInvoke && (doctor.IsSafe(g.inquiry.Method) || g.inquiry.Invoke)
}

// identitySource returns the request's value for an identity source, such as $request.header.Authorization.
func (g *gatherer) identitySource(expression string) string {
	_, rest, _ := strings.Cut(expression, "$request.")
	kind, name, _ := strings.Cut(rest, ".")
	switch kind {
	case "header":
		return g.inquiry.Headers.Get(name)
	case "querystring":
		return g.inquiry.URL.Query().Get(name)
	}
	return ""
}

// readToken decodes the token of the request, without its signature.
func (g *gatherer) readToken(sources []string) *doctor.Token {
	var given string
	for _, s := range sources {
		if given == "" {
			given = g.identitySource(s)
		}
	}
	t := &doctor.Token{Present: given != ""}
	if !t.Present {
		for _, name := range slices.Sorted(headerKeys(g.inquiry.Headers)) {
			if strings.Contains(g.inquiry.Headers.Get(name), "eyJ") {
				t.Elsewhere = "$request.header." + name
			}
		}
		for _, name := range sortedKeys(g.inquiry.URL.Query()) {
			if t.Elsewhere == "" && strings.HasPrefix(g.inquiry.URL.Query().Get(name), "eyJ") {
				t.Elsewhere = "$request.querystring." + name
			}
		}
		return t
	}
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(given, "Bearer "), "bearer "), ".")
	if len(parts) != 3 {
		t.Malformed = "it does not have three parts separated by dots"
		return t
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss           string
		Aud           any
		ClientID      string `json:"client_id"`
		Exp, Nbf, Iat float64
		Scope, Scp    any
	}
	for i, into := range []any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil || json.Unmarshal(text, into) != nil {
			t.Malformed = []string{"its header", "its claims"}[i] + " cannot be read"
			return t
		}
	}
	t.Algorithm, t.KeyID, t.Issuer, t.ClientID = header.Alg, header.Kid, claims.Iss, claims.ClientID
	t.Audience, t.Scopes = claimWords(claims.Aud), append(claimWords(claims.Scope), claimWords(claims.Scp)...)
	t.Expires, t.NotBefore, t.Issued = int64(claims.Exp), int64(claims.Nbf), int64(claims.Iat)
	return t
}

// headerKeys returns an iterator over the names of headers.
func headerKeys(header http.Header) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range header {
			if !yield(name) {
				return
			}
		}
	}
}

// claimWords returns the words of a claim, which is a list or a string of words separated by spaces.
func claimWords(claim any) (all []string) {
	switch v := claim.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
	}
	return all
}

// readKeys fetches the keys of the issuer that an authorizer names.
func (g *gatherer) readKeys(issuer string) doctor.Fact[[]doctor.Key] {
	f := doctor.Fact[[]doctor.Key]{Call: "issuer", Of: issuer}
	published, err := jwt.Published(g.ctx, issuer)
	if err != nil {
		f.Error = &doctor.Failure{Kind: doctor.Unreachable, Message: truncate(mask(err.Error()))}
		return f
	}
	keys := []doctor.Key{}
	for _, k := range published {
		keys = append(keys, doctor.Key{ID: k.ID, Type: k.Type})
	}
	f.Value = &keys
	return f
}

// invokeAuthorizer invokes the route's Lambda authorizer once, with the data of the request.
func (g *gatherer) invokeAuthorizer(d doctor.Diagnosis, a doctor.Authorizer) {
	stage, _ := findIn(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == d.Target.Stage })
	t, err := gateway.ParseURI(a.URI, stage.Variables)
	var given []string
	for _, s := range a.IdentitySources {
		if value := g.identitySource(s); value != "" || !strings.HasPrefix(s, "$request.") {
			given = append(given, value)
		}
	}
	if err != nil || len(given) != len(a.IdentitySources) {
		return
	}
	event := g.buildEvent(d.Target, a.PayloadFormat != "1.0")
	delete(event, "body")
	delete(event, "isBase64Encoded")
	event["type"] = "REQUEST"
	api := gateway.API{Partition: g.c.Caller.Or().Partition, Region: g.c.Asked.Region,
		Account: g.c.Caller.Or().Account, ID: g.c.Asked.API}
	_, path := doctor.SplitStage(g.c.Stages.Or(), g.c.Asked)
	arns := api.Presented(d.Target.Stage, d.Target.Route, g.inquiry.Method, path)
	arn := arns[len(arns)-1]
	if a.PayloadFormat != "1.0" {
		event["routeArn"], event["identitySource"] = arn, given
	} else {
		joined := strings.Join(given, ",")
		event["methodArn"], event["identitySource"], event["authorizationToken"] = arn, joined, joined
	}
	payload, err := json.Marshal(event)
	if err != nil {
		panic(err) // an event of strings always encodes
	}
	began := time.Now()
	g.c.AuthorizerInvocation = readFact(
		g,
		&lambda.InvokeInput{FunctionName: &t.Function, Qualifier: optional(t.Qualifier),
			Payload: payload, LogType: types.LogTypeTail},
		qualifiedName(t.Function, t.Qualifier),
		func(answer any) (doctor.Invocation, error) {
			i, err := parseInvocation(answer)
			i.Shape = doctor.Shape{Decision: readDecision(answer, a, arns)}
			return i, err
		},
	)
	if i := g.c.AuthorizerInvocation.Value; i != nil {
		i.Function, i.Millis = qualifiedName(t.Function, t.Qualifier), int(time.Since(began).Milliseconds())
	}
}

// readDecision reads the decision in a Lambda authorizer's response to a request. The request's ARN is one of arns
// ("Control access to HTTP APIs with AWS Lambda authorizers").
func readDecision(answer any, a doctor.Authorizer, arns []string) doctor.Decision {
	var out struct{ Payload []byte }
	var says map[string]json.RawMessage
	wrong := func(why string) doctor.Decision { return doctor.Decision{Wrong: why} }
	if cloud.Decode(answer, &out) != nil || json.Unmarshal(out.Payload, &says) != nil {
		return wrong("it is not a JSON object")
	}
	raw, document := says["isAuthorized"], says["policyDocument"]
	var authorized bool
	switch simple := a.Simple && a.PayloadFormat != "1.0"; {
	case simple && raw == nil && document != nil:
		return wrong("it has a policyDocument, but simple responses are enabled")
	case simple && raw == nil:
		return wrong("it has no isAuthorized")
	case simple && json.Unmarshal(raw, &authorized) != nil:
		return wrong("isAuthorized is " + kindOf(raw) + ", not true or false")
	case simple && authorized:
		return doctor.Decision{Says: doctor.Allows}
	case simple:
		return doctor.Decision{Says: doctor.Denies}
	case document == nil && raw != nil:
		return wrong("it has isAuthorized, but simple responses are not enabled")
	case document == nil:
		return wrong("it has no policyDocument")
	case says["principalId"] == nil:
		return wrong("it has no principalId")
	}
	return decideByPolicy(document, arns)
}

// decideByPolicy returns what the policy of an authorizer decides about a request.
func decideByPolicy(document json.RawMessage, arns []string) doctor.Decision {
	d, err := policy.Parse(document)
	if err != nil {
		return doctor.Decision{Wrong: "its policyDocument cannot be read"}
	}
	denied := false
	for _, arn := range arns {
		judged := d.Judge(policy.Request{Action: "execute-api:Invoke", Resource: arn,
			Undecided: func(string) bool { return true }})
		if judged.Allowed {
			return doctor.Decision{Says: doctor.Allows}
		}
		for i, s := range d.Statement {
			denied = denied || s.Effect == "Deny" && i < len(judged.Reasons) && judged.Reasons[i].Field == ""
		}
	}
	out := doctor.Decision{Says: doctor.Denies}
	for _, s := range d.Statement {
		if s.Effect == "Allow" && !denied {
			out.Says = doctor.Others
			out.Allows = append(out.Allows, strings.Join(s.Action, ", ")+" "+strings.Join(s.Resource, ", "))
		}
	}
	return out
}
