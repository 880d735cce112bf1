package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// authorizer is that of a route; nil where it has none, or it is not known.
func (v *view) authorizer(p *pair) *Authorizer {
	all := v.Authorizers.Or()
	if i := slices.IndexFunc(all, func(a Authorizer) bool { return p != nil && a.ID == p.route.Authorizer }); i >= 0 {
		return &all[i]
	}
	return nil
}

func checkAuthorizers(v *view, r *result) {
	if hideFact(r, v.Authorizers, "would.authorizers") {
		return
	}
	r.each(v.requestFirst(), func(p *pair) *found {
		if a := v.authorizer(p); a != nil && a.Type == "REQUEST" {
			return r.callable(p, a)
		}
		return nil
	})
	p := v.selected
	if p == nil || r.explained("cors") { // a browser sends no token with a preflight
		return
	}
	a := v.authorizer(p)
	switch {
	case p.route.Authorization == "AWS_IAM":
		r.signed(p)
	case a == nil:
	case a.Type == "JWT":
		r.token(p, a)
	default:
		r.asked(p, a)
	}
}

// callable judges whether API Gateway may invoke a Lambda authorizer; nil where it may, or that is not known.
func (r *result) callable(p *pair, a *Authorizer) *found {
	t, wrong := gateway.ParseURI(a.URI, p.stage.Variables)
	f := r.function(t)
	one := &found{cause: "authorizer.not-callable", same: a.ID, explains: r.explains(p, 500),
		values: values{"authorizer": a.Name, "function": t.Function}}
	arn := fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", r.api.Partition, t.Region, t.Account, t.Function)
	if t.Qualifier != "" {
		arn += ":" + t.Qualifier
	}
	source := r.api.Authorizer(a.ID)
	grant := gateway.NewGrant(r.api, t.Function, t.Qualifier, "", source)
	switch {
	case wrong != nil:
		one.variant = "authorizer.missing"
		one.evidence = []Evidence{{r.Authorizers.Call, a.ID, "AuthorizerUri", a.URI, ""}}
		return one
	case f == nil || a.Credentials != "":
		return nil
	case f.Configuration.Missing():
		one.variant = "authorizer.missing"
		one.evidence = []Evidence{{f.Configuration.Call, f.Configuration.Of, "", f.Configuration.Error.Code, ""}}
		return one
	case hideFact(r, f.Policy, "would.permission"):
		return nil
	}
	if f.Policy.Or().Judge(policy.Request{
		Principal: policy.Caller{Service: gateway.Principal}, Action: gateway.Invoke, Resource: arn,
		Context:   map[string]string{"AWS:SourceArn": source, "AWS:SourceAccount": r.api.Account},
		Undecided: undecided,
	}).Allowed {
		return nil
	}
	value := errorText(f.Policy.Error)
	if f.Policy.Seen() {
		value = sourceIn(*f.Policy.Value)
	}
	one.evidence = []Evidence{{f.Policy.Call, f.Policy.Of, "AWS:SourceArn", value, source}}
	one.fix = []Fix{r.aws(true, "fix.authorizer", nil, grant.Input())}
	return one
}

// signed judges a request to a route that takes signed requests alone.
func (r *result) signed(p *pair) {
	if !r.explains(p, 403) {
		return
	}
	f := found{cause: "iam.denied", certainty: Likely, explains: true, pairs: []*pair{p},
		values:   values{"route": p.route.Key},
		evidence: []Evidence{{r.Routes.Call, r.Asked.API, p.route.Key + " AuthorizationType", "AWS_IAM", ""}}}
	switch want := r.Asked.Region + "/execute-api"; {
	case r.Asked.Signed == "":
		f.cause, f.certainty = "iam.unsigned", Proved
	case r.Asked.Signed != want:
		f.certainty = Proved
		f.evidence = append(f.evidence, Evidence{"request", "signature", "Credential", r.Asked.Signed, want})
	}
	r.find(f)
}

// asked judges what a Lambda authorizer did with the request.
func (r *result) asked(p *pair, a *Authorizer) {
	i := r.AuthorizerInvocation
	f := found{pairs: []*pair{p}, values: values{"authorizer": a.Name, "route": p.route.Key,
		"source": strings.Join(a.IdentitySources, ", ")}}
	at := func(call, of, field, value, expected string) {
		f.evidence = []Evidence{{call, of, field, value, expected}}
	}
	e := i.Or()
	f.values["type"], f.values["message"], f.values["why"] = e.Type, e.Message, e.Shape.Decision.Wrong
	switch {
	case r.explains(p, 401):
		f.cause, f.explains = "authorizer.identity-missing", true
		at(r.Authorizers.Call, a.ID, "IdentitySource", strings.Join(a.IdentitySources, ", "), "")
	case i.Seen() && e.Failed:
		f.cause, f.explains = "authorizer.fails", r.explains(p, 500)
		at(i.Call, i.Of, e.Type, e.Message, "")
		for _, line := range e.Log {
			f.evidence = append(f.evidence, Evidence{i.Call, i.Of, "LogResult", line, ""})
		}
	case i.Seen() && e.Shape.Decision.Says == "":
		f.cause, f.explains = "authorizer.shape", r.explains(p, 500)
		at(i.Call, i.Of, "Payload", e.Shape.Decision.Wrong, "")
	case i.Seen() && e.Shape.Decision.Says == Others && r.failed(403):
		f.cause, f.variant, f.explains = "authorizer.denies", "authorizer.denies.others", r.explains(p, 403)
		f.values["allows"] = strings.Join(e.Shape.Decision.Allows, "; ")
		at(i.Call, i.Of, "policyDocument", strings.Join(e.Shape.Decision.Allows, "; "), "execute-api:Invoke "+
			strings.Join(r.api.Possible(p.stage.Name, exampleKey(p, r)), " or "))
	case i.Seen() && e.Shape.Decision.Says == Denies && r.failed(403):
		f.cause, f.explains = "authorizer.denies", r.explains(p, 403)
		at(i.Call, i.Of, "Payload", "denies", "allows")
	case i.Seen() && r.failed(403) && a.TTL > 0:
		f.cause, f.certainty, f.explains = "authorizer.cached", Likely, r.explains(p, 403)
		at(r.Authorizers.Call, a.ID, "AuthorizerResultTtlInSeconds", fmt.Sprint(a.TTL), "0")
		f.fix = []Fix{r.aws(true, "fix.cache", nil, &apigatewayv2.ResetAuthorizersCacheInput{ApiId: &r.Asked.API,
			StageName: &p.stage.Name})}
	case !i.Seen() && r.explains(p, 403):
		f.cause, f.certainty, f.explains = "authorizer.denies", Likely, true
		at(r.Routes.Call, r.Asked.API, p.route.Key+" AuthorizationType", p.route.Authorization, "")
	default:
		return
	}
	r.find(f)
}
