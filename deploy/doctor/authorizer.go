package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// findAuthorizer returns the authorizer of a pair, nil if it has none or it is not known.
func (v *view) findAuthorizer(p *pair) *Authorizer {
	all := v.Authorizers.Or()
	if i := slices.IndexFunc(all, func(a Authorizer) bool { return p != nil && a.ID == p.route.Authorizer }); i >= 0 {
		return &all[i]
	}
	return nil
}

func checkAuthorizers(v *view, r *result) {
	if reportUnseen(r, v.Authorizers, "would.authorizers") {
		return
	}
	r.eachPair(v.requestFirst(), func(p *pair) *draft {
		if a := v.findAuthorizer(p); a != nil && a.Type == "REQUEST" {
			return r.judgeAuthorizerGrant(p, a)
		}
		return nil
	})
	p := v.selected
	if p == nil || r.isExplained(LinkCORS) { // a browser sends no token with a preflight
		return
	}
	a := v.findAuthorizer(p)
	switch {
	case p.route.Authorization == "AWS_IAM":
		r.judgeSignature(p)
	case a == nil:
	case a.Type == "JWT":
		r.judgeToken(p, a)
	default:
		r.judgeDecision(p, a)
	}
}

// judgeAuthorizerGrant judges whether API Gateway may invoke a Lambda authorizer. It returns nil if so, or if that is
// not known.
func (r *result) judgeAuthorizerGrant(p *pair, a *Authorizer) *draft {
	t, wrong := gateway.ParseURI(a.URI, p.stage.Variables)
	f := r.findFunction(t)
	one := &draft{cause: "authorizer.not-callable", mergeKey: a.ID, explains: r.explainsAnswer(p, 500),
		values: values{"authorizer": a.Name, "function": t.Function}}
	arn := fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", r.api.Partition, t.Region, t.Account, t.Function)
	if t.Qualifier != "" {
		arn += ":" + t.Qualifier
	}
	source := r.api.Authorizer(a.ID)
	grant := gateway.NewGrant(r.api, t.Function, t.Qualifier, "", source)
	switch {
	case wrong != nil && unknown.OpenForm(a.URI) &&
		r.reportOpen(r.Authorizers.Call, a.Name, unknown.Names(a.URI), "would.permission"):
		return nil
	case wrong != nil:
		one.variant = "authorizer.missing"
		one.evidence = []Evidence{{Call: r.Authorizers.Call, Of: a.ID, Field: "AuthorizerUri", Value: a.URI}}
		return one
	case f == nil || a.Credentials != "":
		return nil
	case f.Configuration.Missing():
		one.variant = "authorizer.missing"
		one.evidence = []Evidence{{Call: f.Configuration.Call, Of: f.Configuration.Of,
			Value: f.Configuration.Error.Code}}
		return one
	case reportUnseen(r, f.Policy, "would.permission"):
		return nil
	}
	decision := f.Policy.Or().Judge(policy.Request{
		Principal: policy.Caller{Service: gateway.Principal}, Action: gateway.Invoke, Resource: arn,
		Context:   map[string]string{"AWS:SourceArn": source, "AWS:SourceAccount": r.api.Account},
		Undecided: undecided,
	})
	if decision.Allowed || r.reportOpen(f.Policy.Call, f.Policy.Of, openNames(decision), "would.permission") {
		return nil
	}
	value := errorText(f.Policy.Error)
	if f.Policy.Seen() {
		value = firstSource(*f.Policy.Value)
	}
	one.evidence = []Evidence{{Call: f.Policy.Call, Of: f.Policy.Of, Field: "AWS:SourceArn", Value: value,
		Expected: source}}
	one.fix = []Fix{r.awsFix(true, "fix.authorizer", nil, grant.Input())}
	return one
}

// judgeSignature judges a request to a route that accepts only signed requests.
func (r *result) judgeSignature(p *pair) {
	if !r.explainsAnswer(p, 403) {
		return
	}
	f := draft{cause: "iam.denied", certainty: Likely, explains: true, pairs: []*pair{p},
		values: values{"route": p.route.Key},
		evidence: []Evidence{{Call: r.Routes.Call, Of: r.Asked.API, Field: p.route.Key + " AuthorizationType",
			Value: "AWS_IAM"}}}
	switch want := r.Asked.Region + "/execute-api"; {
	case r.Asked.Signed == "":
		f.cause, f.certainty = "iam.unsigned", Proved
	case r.Asked.Signed != want:
		f.certainty = Proved
		f.evidence = append(f.evidence, Evidence{Call: "request", Of: "signature", Field: "Credential",
			Value: r.Asked.Signed, Expected: want})
	}
	r.addFinding(f)
}

// judgeDecision judges what a Lambda authorizer decided about the request.
func (r *result) judgeDecision(p *pair, a *Authorizer) {
	i := r.AuthorizerInvocation
	f := draft{pairs: []*pair{p}, values: values{"authorizer": a.Name, "route": p.route.Key,
		"source": strings.Join(a.IdentitySources, ", ")}}
	at := func(call, of, field, value, expected string) {
		f.evidence = []Evidence{{Call: call, Of: of, Field: field, Value: value, Expected: expected}}
	}
	e := i.Or()
	f.values["type"], f.values["message"], f.values["why"] = e.Type, e.Message, e.Shape.Decision.Wrong
	switch {
	case r.explainsAnswer(p, 401):
		f.cause, f.explains = "authorizer.identity-missing", true
		at(r.Authorizers.Call, a.ID, "IdentitySource", strings.Join(a.IdentitySources, ", "), "")
	case i.Seen() && e.Failed:
		f.cause, f.explains = "authorizer.fails", r.explainsAnswer(p, 500)
		at(i.Call, i.Of, e.Type, e.Message, "")
		for _, line := range e.Log {
			f.evidence = append(f.evidence, Evidence{Call: i.Call, Of: i.Of, Field: "LogResult", Value: line})
		}
	case i.Seen() && e.Shape.Decision.Says == "":
		f.cause, f.explains = "authorizer.shape", r.explainsAnswer(p, 500)
		at(i.Call, i.Of, "Payload", e.Shape.Decision.Wrong, "")
	case i.Seen() && e.Shape.Decision.Says == Others && r.gatewayFailed(403):
		f.cause, f.variant, f.explains = "authorizer.denies", "authorizer.denies.others", r.explainsAnswer(p, 403)
		f.values["allows"] = strings.Join(e.Shape.Decision.Allows, "; ")
		at(i.Call, i.Of, "policyDocument", strings.Join(e.Shape.Decision.Allows, "; "), "execute-api:Invoke "+
			strings.Join(r.api.Possible(p.stage.Name, exampleKey(p, r)), " or "))
	case i.Seen() && e.Shape.Decision.Says == Denies && r.gatewayFailed(403):
		f.cause, f.explains = "authorizer.denies", r.explainsAnswer(p, 403)
		at(i.Call, i.Of, "Payload", "denies", "allows")
	case i.Seen() && r.gatewayFailed(403) && a.TTL > 0:
		f.cause, f.certainty, f.explains = "authorizer.cached", Likely, r.explainsAnswer(p, 403)
		at(r.Authorizers.Call, a.ID, "AuthorizerResultTtlInSeconds", fmt.Sprint(a.TTL), "0")
		f.fix = []Fix{r.awsFix(true, "fix.cache", nil, &apigatewayv2.ResetAuthorizersCacheInput{ApiId: &r.Asked.API,
			StageName: &p.stage.Name})}
	case !i.Seen() && r.explainsAnswer(p, 403):
		f.cause, f.certainty, f.explains = "authorizer.denies", Likely, true
		at(r.Routes.Call, r.Asked.API, p.route.Key+" AuthorizationType", p.route.Authorization, "")
	default:
		return
	}
	r.addFinding(f)
}
