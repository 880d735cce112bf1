package doctor

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// tokenCheck is a token that a JWT authorizer judges.
type tokenCheck struct {
	*result
	p *pair
	a *Authorizer
	t *Token
}

// token judges the token of a request ("Control access to HTTP APIs with JWT authorizers").
func (r *result) token(p *pair, a *Authorizer) {
	refused := r.failed(401, 403)
	before := r.failed(404, 429) && r.explained("endpoint", "stage") // the token would be looked at next
	if r.Token == nil || a.JWT == nil || !refused && !before {
		return
	}
	c := tokenCheck{r, p, a, r.Token}
	all := c.unread()
	if all == nil {
		all = c.claims()
	}
	if all == nil && refused { // the issuer was asked
		all = c.rest()
	}
	for _, f := range all {
		r.find(f)
	}
}

// about makes a finding about the token, with the claim that tells it.
func (c tokenCheck) about(cause, claim, value, expected string) found {
	return found{cause: cause, explains: c.explains(c.p, 401), pairs: []*pair{c.p}, values: values{
		"source": strings.Join(c.a.IdentitySources, ", "), "elsewhere": c.t.Elsewhere, "why": c.t.Malformed,
		"issuer": c.a.JWT.Issuer, "audience": strings.Join(c.a.JWT.Audience, ", "), "algorithm": c.t.Algorithm,
		"scopes": strings.Join(c.p.route.Scopes, " "), "route": c.p.route.Key, "value": value},
		evidence: []Evidence{{"request", "token", claim, value, expected}}}
}

// unread tells why the token, or the keys to check it with, cannot be read; nil where they can.
func (c tokenCheck) unread() []found {
	one := func(cause string) []found {
		f := c.about(cause, "", c.t.Malformed, "")
		switch cause {
		case "jwt.malformed":
		case "jwt.issuer-unreachable":
			f.evidence = []Evidence{{c.Keys.Call, c.Keys.Of, "", c.Keys.Error.Message, ""}}
		default:
			f.evidence = []Evidence{
				{c.Authorizers.Call, c.a.ID, "IdentitySource", strings.Join(c.a.IdentitySources, ", "),
					c.t.Elsewhere},
			}
		}
		return []found{f}
	}
	// An issuer whose name differs by a slash names itself otherwise, and can be reached.
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

// claims tells all that is wrong with what the token says.
func (c tokenCheck) claims() (all []found) {
	t, now := c.t, c.At.Unix()
	if !strings.HasPrefix(t.Algorithm, "RS") {
		all = append(all, c.about("jwt.algorithm", "alg", t.Algorithm, "RS256, RS384 or RS512"))
	}
	if t.Issuer != c.a.JWT.Issuer { // byte for byte: a slash at the end counts
		f := c.about("jwt.issuer", "iss", t.Issuer, c.a.JWT.Issuer)
		f.fix = []Fix{c.update("fix.issuer", t.Issuer, c.a.JWT.Audience)}
		all = append(all, f)
	}
	switch {
	case t.Expires == 0:
		f := c.about("jwt.expired", "exp", "", "> "+clock(now))
		f.variant = "jwt.expired.none"
		all = append(all, f)
	case t.Expires <= now:
		all = append(all, c.about("jwt.expired", "exp", clock(t.Expires), "> "+clock(now)))
	case t.NotBefore > now, t.Issued > now:
		all = append(all, c.about("jwt.expired", "nbf, iat", clock(max(t.NotBefore, t.Issued)), "<= "+clock(now)))
	}
	audience := t.Audience
	if len(audience) == 0 && t.ClientID != "" {
		audience = []string{t.ClientID}
	}
	if !slices.ContainsFunc(audience, func(one string) bool { return slices.Contains(c.a.JWT.Audience, one) }) {
		f := c.about("jwt.audience", "aud", strings.Join(audience, ", "), strings.Join(c.a.JWT.Audience, ", "))
		if len(audience) > 0 {
			f.fix = []Fix{
				c.update("fix.audience", c.a.JWT.Issuer, append(slices.Clone(c.a.JWT.Audience), audience...)),
			}
		}
		all = append(all, f)
	}
	return all
}

// rest tells of scopes and of the signature, where all else is right.
func (c tokenCheck) rest() []found {
	t, keys := c.t, c.Keys.Or()
	if c.failed(403) {
		wanted := func(s string) bool { return slices.Contains(c.p.route.Scopes, s) }
		if len(c.p.route.Scopes) == 0 || slices.ContainsFunc(t.Scopes, wanted) {
			return nil
		}
		f := c.about("jwt.scope", "scope", strings.Join(t.Scopes, " "), strings.Join(c.p.route.Scopes, " or "))
		if f.explains = c.explains(c.p, 403); len(t.Scopes) == 0 {
			f.variant = "jwt.scope.none"
		}
		return []found{f}
	}
	f := c.about("jwt.signature", "kid", t.KeyID, names(keys, func(k Key) string { return k.Type + " " + k.ID }))
	if !c.Keys.Seen() || slices.ContainsFunc(keys, func(k Key) bool { return k.ID == t.KeyID && k.Type == "RSA" }) {
		f.certainty, f.evidence[0].Expected = Likely, ""
	}
	return []found{f}
}

// update is a fix that changes whose tokens the authorizer takes, and for whom.
func (c tokenCheck) update(does, issuer string, audience []string) Fix {
	return c.aws(false, does, nil, &apigatewayv2.UpdateAuthorizerInput{ApiId: &c.Asked.API, AuthorizerId: &c.a.ID,
		JwtConfiguration: &types.JWTConfiguration{Issuer: aws.String(issuer), Audience: audience}})
}

func clock(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
