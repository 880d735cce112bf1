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

// authorize reads what tells why an authorizer lets a request through, or not.
func (g *gatherer) authorize(d doctor.Diagnosis) {
	route, ok := find(g.c.Routes.Or(), func(r doctor.Route) bool { return r.Key == d.Target.Route })
	a, known := find(g.c.Authorizers.Or(), func(a doctor.Authorizer) bool { return a.ID == route.Authorizer })
	if !ok || !known || d.Answer == nil || d.Answer.From != doctor.FromGateway {
		return
	}
	switch {
	case a.Type == "JWT" && a.JWT != nil:
		g.c.Token = g.token(a.IdentitySources)
		if t := g.c.Token; t.Present && t.Malformed == "" && (d.Answer.Status == 401 || d.Answer.Status == 403) {
			g.c.Keys = g.keys(a.JWT.Issuer)
		}
	case (d.Answer.Status == 500 || d.Answer.Status == 403) && g.mayInvoke():
		g.askAuthorizer(d, a)
	}
}

func find[T any](all []T, fits func(T) bool) (one T, ok bool) {
	if i := slices.IndexFunc(all, fits); i >= 0 {
		return all[i], true
	}
	return one, false
}

// mayInvoke reports whether a function may be invoked for the request.
func (g *gatherer) mayInvoke() bool {
	return !g.ask.NoInvoke && (doctor.Safe(g.ask.Method) || g.ask.Invoke)
}

// source is what a request has at an identity source, such as $request.header.Authorization.
func (g *gatherer) source(expression string) string {
	_, rest, _ := strings.Cut(expression, "$request.")
	kind, name, _ := strings.Cut(rest, ".")
	switch kind {
	case "header":
		return g.ask.Headers.Get(name)
	case "querystring":
		return g.ask.URL.Query().Get(name)
	}
	return ""
}

// token reads the token of the request, without its signature.
func (g *gatherer) token(sources []string) *doctor.Token {
	var given string
	for _, s := range sources {
		if given == "" {
			given = g.source(s)
		}
	}
	t := &doctor.Token{Present: given != ""}
	if !t.Present {
		for _, name := range slices.Sorted(headerNamesOf(g.ask.Headers)) {
			if strings.Contains(g.ask.Headers.Get(name), "eyJ") {
				t.Elsewhere = "$request.header." + name
			}
		}
		for _, name := range sortedKeys(g.ask.URL.Query()) {
			if t.Elsewhere == "" && strings.HasPrefix(g.ask.URL.Query().Get(name), "eyJ") {
				t.Elsewhere = "$request.querystring." + name
			}
		}
		return t
	}
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(given, "Bearer "), "bearer "), ".")
	if len(parts) != 3 {
		t.Malformed = "it has not three parts with dots between them"
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
	t.Audience, t.Scopes = texts(claims.Aud), append(texts(claims.Scope), texts(claims.Scp)...)
	t.Expires, t.NotBefore, t.Issued = int64(claims.Exp), int64(claims.Nbf), int64(claims.Iat)
	return t
}

// headerNamesOf are the names of headers.
func headerNamesOf(header http.Header) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range header {
			if !yield(name) {
				return
			}
		}
	}
}

// texts are the words of a claim: a text with spaces between them, or a list.
func texts(claim any) (all []string) {
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

// keys asks the issuer that an authorizer names for its keys.
func (g *gatherer) keys(issuer string) doctor.Fact[[]doctor.Key] {
	f := doctor.Fact[[]doctor.Key]{Call: "issuer", Of: issuer}
	published, err := jwt.Published(g.ctx, issuer)
	if err != nil {
		f.Error = &doctor.Failure{Kind: doctor.Unreachable, Message: cut(mask(err.Error()))}
		return f
	}
	keys := []doctor.Key{}
	for _, k := range published {
		keys = append(keys, doctor.Key{ID: k.ID, Type: k.Type})
	}
	f.Value = &keys
	return f
}

// askAuthorizer invokes the route's Lambda authorizer once, with what the request has.
func (g *gatherer) askAuthorizer(d doctor.Diagnosis, a doctor.Authorizer) {
	stage, _ := find(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == d.Target.Stage })
	t, err := gateway.ParseURI(a.URI, stage.Variables)
	var given []string
	for _, s := range a.IdentitySources {
		if value := g.source(s); value != "" || !strings.HasPrefix(s, "$request.") {
			given = append(given, value)
		}
	}
	if err != nil || len(given) != len(a.IdentitySources) {
		return
	}
	event := g.event(d.Target, a.PayloadFormat != "1.0")
	delete(event, "body")
	delete(event, "isBase64Encoded")
	event["type"] = "REQUEST"
	api := gateway.API{Partition: g.c.Caller.Or().Partition, Region: g.c.Asked.Region,
		Account: g.c.Caller.Or().Account, ID: g.c.Asked.API}
	_, path := doctor.SplitStage(g.c.Stages.Or(), g.c.Asked)
	arns := api.Presented(d.Target.Stage, d.Target.Route, g.ask.Method, path)
	arn := arns[len(arns)-1]
	if a.PayloadFormat != "1.0" {
		event["routeArn"], event["identitySource"] = arn, given
	} else {
		joined := strings.Join(given, ",")
		event["methodArn"], event["identitySource"], event["authorizationToken"] = arn, joined, joined
	}
	payload, err := json.Marshal(event)
	if err != nil {
		panic(err) // of texts
	}
	began := time.Now()
	g.c.AuthorizerInvocation = fact(
		g,
		&lambda.InvokeInput{FunctionName: &t.Function, Qualifier: optional(t.Qualifier),
			Payload: payload, LogType: types.LogTypeTail},
		nameOf(t.Function, t.Qualifier),
		func(answer any) (doctor.Invocation, error) {
			i, err := invocation(answer)
			i.Shape = doctor.Shape{Decision: decision(answer, a, arns)}
			return i, err
		},
	)
	if i := g.c.AuthorizerInvocation.Value; i != nil {
		i.Function, i.Millis = nameOf(t.Function, t.Qualifier), int(time.Since(began).Milliseconds())
	}
}

// decision reads what a Lambda authorizer answered of a request, which has one of some ARNs ("Control access to HTTP
// APIs with AWS Lambda authorizers").
func decision(answer any, a doctor.Authorizer, arns []string) doctor.Decision {
	var out struct{ Payload []byte }
	var says map[string]json.RawMessage
	wrong := func(why string) doctor.Decision { return doctor.Decision{Wrong: why} }
	if cloud.Decode(answer, &out) != nil || json.Unmarshal(out.Payload, &says) != nil {
		return wrong("it is no object of JSON")
	}
	raw, document := says["isAuthorized"], says["policyDocument"]
	var authorized bool
	switch simple := a.Simple && a.PayloadFormat != "1.0"; {
	case simple && raw == nil && document != nil:
		return wrong("it has a policyDocument, and simple responses are enabled")
	case simple && raw == nil:
		return wrong("it has no isAuthorized")
	case simple && json.Unmarshal(raw, &authorized) != nil:
		return wrong("isAuthorized is " + kindOf(raw) + ", not true or false")
	case simple && authorized:
		return doctor.Decision{Says: doctor.Allows}
	case simple:
		return doctor.Decision{Says: doctor.Denies}
	case document == nil && raw != nil:
		return wrong("it has isAuthorized, and simple responses are not enabled")
	case document == nil:
		return wrong("it has no policyDocument")
	case says["principalId"] == nil:
		return wrong("it has no principalId")
	}
	return byPolicy(document, arns)
}

// byPolicy is what the policy of an authorizer says of a request.
func byPolicy(document json.RawMessage, arns []string) doctor.Decision {
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
