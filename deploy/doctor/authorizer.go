package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

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

// token judges the token of a request ("Control access to HTTP APIs with JWT authorizers").
func (r *result) token(p *pair, a *Authorizer) {
	t := r.Token
	refused := r.failed(401, 403)
	before := r.failed(404, 429) && r.explained("endpoint", "stage") // the token would be looked at next
	if t == nil || a.JWT == nil || !refused && !before {
		return
	}
	source := strings.Join(a.IdentitySources, ", ")
	f := found{
		explains: r.explains(p, 401),
		pairs:    []*pair{p},
		values: values{"source": source, "elsewhere": t.Elsewhere,
			"why": t.Malformed, "issuer": a.JWT.Issuer, "value": t.Issuer,
			"audience":  strings.Join(a.JWT.Audience, ", "),
			"algorithm": t.Algorithm, "scopes": strings.Join(p.route.Scopes, " "), "route": p.route.Key},
	}
	field := func(name, value, expected string) {
		f.evidence = []Evidence{{"request", "token", name, value, expected}}
	}
	audience := t.Audience
	if len(audience) == 0 && t.ClientID != "" {
		audience = []string{t.ClientID}
	}
	now := r.At.Unix()
	keys := r.Keys.Or()
	switch {
	case !t.Present && t.Elsewhere != "":
		f.cause = "jwt.identity-source"
		f.evidence = []Evidence{{r.Authorizers.Call, a.ID, "IdentitySource", source, t.Elsewhere}}
	case !t.Present:
		f.cause = "jwt.missing"
		f.evidence = []Evidence{{r.Authorizers.Call, a.ID, "IdentitySource", source, ""}}
	case t.Malformed != "":
		f.cause = "jwt.malformed"
		field("", t.Malformed, "")
	case r.Keys.Error != nil && (t.Issuer == a.JWT.Issuer || strings.Trim(t.Issuer, "/") != strings.Trim(a.JWT.Issuer, "/")):
		f.cause = "jwt.issuer-unreachable"
		f.evidence = []Evidence{{r.Keys.Call, r.Keys.Of, "", r.Keys.Error.Message, ""}}
	case !strings.HasPrefix(t.Algorithm, "RS"):
		f.cause = "jwt.algorithm"
		field("alg", t.Algorithm, "RS256, RS384 or RS512")
	case t.Issuer != a.JWT.Issuer: // byte for byte: a slash at the end counts
		f.cause = "jwt.issuer"
		field("iss", t.Issuer, a.JWT.Issuer)
		f.fix = []Fix{r.aws(false, "fix.issuer", nil, &apigatewayv2.UpdateAuthorizerInput{ApiId: &r.Asked.API,
			AuthorizerId:     &a.ID,
			JwtConfiguration: &types.JWTConfiguration{Issuer: &t.Issuer, Audience: a.JWT.Audience}})}
	case t.Expires == 0:
		f.cause, f.variant = "jwt.expired", "jwt.expired.none"
		field("exp", "", "> "+clock(now))
	case t.Expires <= now:
		f.cause = "jwt.expired"
		field("exp", clock(t.Expires), "> "+clock(now))
	case t.NotBefore > now, t.Issued > now:
		f.cause = "jwt.expired"
		field("nbf, iat", clock(max(t.NotBefore, t.Issued)), "<= "+clock(now))
	case !slices.ContainsFunc(audience, func(one string) bool { return slices.Contains(a.JWT.Audience, one) }):
		f.cause, f.values["value"] = "jwt.audience", strings.Join(audience, ", ")
		field("aud", strings.Join(audience, ", "), strings.Join(a.JWT.Audience, ", "))
		if len(audience) > 0 {
			f.fix = []Fix{r.aws(false, "fix.audience", nil, &apigatewayv2.UpdateAuthorizerInput{ApiId: &r.Asked.API,
				AuthorizerId: &a.ID, JwtConfiguration: &types.JWTConfiguration{Issuer: aws.String(a.JWT.Issuer),
					Audience: append(slices.Clone(a.JWT.Audience), audience...)}})}
		}
	case before:
		return // the rest is told by the issuer, which was not asked
	case r.failed(403):
		if len(p.route.Scopes) == 0 || slices.ContainsFunc(t.Scopes, func(s string) bool {
			return slices.Contains(p.route.Scopes, s)
		}) {
			return
		}
		f.cause, f.explains, f.values["value"] = "jwt.scope", r.explains(p, 403), strings.Join(t.Scopes, " ")
		if len(t.Scopes) == 0 {
			f.variant = "jwt.scope.none"
		}
		field("scope", strings.Join(t.Scopes, " "), strings.Join(p.route.Scopes, " or "))
	case r.Keys.Seen() && !slices.ContainsFunc(keys, func(k Key) bool { return k.ID == t.KeyID && k.Type == "RSA" }):
		f.cause = "jwt.signature"
		field("kid", t.KeyID, names(keys, func(k Key) string { return k.Type + " " + k.ID }))
	default:
		f.cause, f.certainty = "jwt.signature", Likely
		field("kid", t.KeyID, "")
	}
	r.find(f)
}

func clock(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
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
