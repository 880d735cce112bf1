package doctor

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// tokenCheck judges the token of a request for a JWT authorizer.
type tokenCheck struct {
	*result
	p *pair
	a *Authorizer
	t *Token
}

// judgeToken judges the token of a request ("Control access to HTTP APIs with JWT authorizers").
func (r *result) judgeToken(p *pair, a *Authorizer) {
	refused := r.gatewayFailed(401, 403)
	before := r.gatewayFailed(404, 429) && r.isExplained(LinkEndpoint, LinkStage) // the token is checked next
	if r.Token == nil || a.JWT == nil || !refused && !before {
		return
	}
	c := tokenCheck{result: r, p: p, a: a, t: r.Token}
	all := c.findUnreadable()
	if all == nil {
		all = c.findWrongClaims()
	}
	if all == nil && refused { // then the keys were fetched
		all = c.findScopeOrSignature()
	}
	for _, f := range all {
		r.addFinding(f)
	}
}

// draftFinding returns a finding about a claim of the token.
func (c tokenCheck) draftFinding(cause, claim, value, expected string) draft {
	return draft{cause: cause, explains: c.explainsAnswer(c.p, 401), pairs: []*pair{c.p}, values: values{
		"source": strings.Join(c.a.IdentitySources, ", "), "elsewhere": c.t.Elsewhere, "why": c.t.Malformed,
		"issuer": c.a.JWT.Issuer, "audience": strings.Join(c.a.JWT.Audience, ", "), "algorithm": c.t.Algorithm,
		"scopes": strings.Join(c.p.route.Scopes, " "), "route": c.p.route.Key, "value": value},
		evidence: []Evidence{{Call: "request", Of: "token", Field: claim, Value: value, Expected: expected}}}
}

// findUnreadable finds why the token, or the keys that verify it, cannot be read. It returns nil if they can.
func (c tokenCheck) findUnreadable() []draft {
	one := func(cause string) []draft {
		f := c.draftFinding(cause, "", c.t.Malformed, "")
		switch cause {
		case "jwt.malformed":
		case "jwt.issuer-unreachable":
			f.evidence = []Evidence{{Call: c.Keys.Call, Of: c.Keys.Of, Value: c.Keys.Error.Message}}
		default:
			f.evidence = []Evidence{
				{Call: c.Authorizers.Call, Of: c.a.ID, Field: "IdentitySource",
					Value:    strings.Join(c.a.IdentitySources, ", "),
					Expected: c.t.Elsewhere},
			}
		}
		return []draft{f}
	}
	// An issuer whose URL differs only by a slash is reachable, but its documents name another issuer.
	slash := c.t.Issuer != c.a.JWT.Issuer && strings.Trim(c.t.Issuer, "/") == strings.Trim(c.a.JWT.Issuer, "/")
	switch {
	case !c.t.Present && c.t.Elsewhere != "":
		return one("jwt.identity-source")
	case !c.t.Present:
		return one("jwt.missing")
	case c.t.Malformed != "":
		return one("jwt.malformed")
	case c.Keys.Error != nil && !slash:
		return one("jwt.issuer-unreachable")
	}
	return nil
}

// findWrongClaims finds everything wrong with the claims of the token.
func (c tokenCheck) findWrongClaims() (all []draft) {
	t, now := c.t, c.At.Unix()
	if !strings.HasPrefix(t.Algorithm, "RS") {
		all = append(all, c.draftFinding("jwt.algorithm", "alg", t.Algorithm, "RS256, RS384 or RS512"))
	}
	if t.Issuer != c.a.JWT.Issuer { // a slash at the end counts
		f := c.draftFinding("jwt.issuer", "iss", t.Issuer, c.a.JWT.Issuer)
		f.fix = []Fix{c.updateFix("fix.issuer", t.Issuer, c.a.JWT.Audience)}
		all = append(all, f)
	}
	switch {
	case t.Expires == 0:
		f := c.draftFinding("jwt.expired", "exp", "", "> "+formatTime(now))
		f.variant = "jwt.expired.none"
		all = append(all, f)
	case t.Expires <= now:
		all = append(all, c.draftFinding("jwt.expired", "exp", formatTime(t.Expires), "> "+formatTime(now)))
	case t.NotBefore > now, t.Issued > now:
		all = append(all, c.draftFinding("jwt.expired", "nbf, iat", formatTime(max(t.NotBefore, t.Issued)), "<= "+
			formatTime(now)))
	}
	audience := t.Audience
	if len(audience) == 0 && t.ClientID != "" {
		audience = []string{t.ClientID}
	}
	if !slices.ContainsFunc(audience, func(one string) bool { return slices.Contains(c.a.JWT.Audience, one) }) {
		f := c.draftFinding("jwt.audience", "aud", strings.Join(audience, ", "), strings.Join(c.a.JWT.Audience, ", "))
		if len(audience) > 0 {
			f.fix = []Fix{
				c.updateFix("fix.audience", c.a.JWT.Issuer, append(slices.Clone(c.a.JWT.Audience), audience...)),
			}
		}
		all = append(all, f)
	}
	return all
}

// findScopeOrSignature finds wrong scopes after a 403, and a wrong signature otherwise. Everything else is right by
// then.
func (c tokenCheck) findScopeOrSignature() []draft {
	t, keys := c.t, c.Keys.Or()
	if c.gatewayFailed(403) {
		wanted := func(s string) bool { return slices.Contains(c.p.route.Scopes, s) }
		if len(c.p.route.Scopes) == 0 || slices.ContainsFunc(t.Scopes, wanted) {
			return nil
		}
		f := c.draftFinding("jwt.scope", "scope", strings.Join(t.Scopes, " "), strings.Join(c.p.route.Scopes, " or "))
		if f.explains = c.explainsAnswer(c.p, 403); len(t.Scopes) == 0 {
			f.variant = "jwt.scope.none"
		}
		return []draft{f}
	}
	f := c.draftFinding("jwt.signature", "kid", t.KeyID,
		joinNames(keys, func(k Key) string { return k.Type + " " + k.ID }))
	if !c.Keys.Seen() || slices.ContainsFunc(keys, func(k Key) bool { return k.ID == t.KeyID && k.Type == "RSA" }) {
		f.certainty, f.evidence[0].Expected = Likely, ""
	}
	return []draft{f}
}

// updateFix changes the issuer and audience that the authorizer accepts.
func (c tokenCheck) updateFix(does, issuer string, audience []string) Fix {
	return c.awsFix(false, does, nil, &apigatewayv2.UpdateAuthorizerInput{ApiId: &c.Asked.API, AuthorizerId: &c.a.ID,
		JwtConfiguration: &types.JWTConfiguration{Issuer: aws.String(issuer), Audience: audience}})
}

// formatTime formats seconds since 1970.
func formatTime(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
