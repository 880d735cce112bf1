// Package jwt knows callers by the access tokens of an OpenID Connect issuer: JSON Web Tokens whose signature is
// checked with the keys that the issuer publishes (OpenID Connect Discovery 1.0; RFC 9068), by the rules of RFC 8725.
package jwt

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json/jsontext"
	lru "github.com/hashicorp/golang-lru/v2"

	"example.com/portable-notes/app"
)

// Verifier knows the tokens of one issuer. It is safe for use by many goroutines.
type Verifier struct {
	issuer, audience string
	keys             *keys
	verified         *lru.Cache[[sha256.Size]byte, verified] // by a token's hash
	now              func() instant
}

// verified is a token that was checked. It is good until it expires or its key goes.
type verified struct {
	caller app.Caller
	key    *jose.JSONWebKey
	alg    string // of the token
	until  time.Time
}

const (
	remembered = 10_000           // tokens that are verified once
	leeway     = 30 * time.Second // by which clocks may differ
	maxOwner   = 512              // bytes
)

// algorithms are those that are taken: signatures with a public key, all that RFC 7518 and RFC 8037 have. A secret
// that is shared with the issuer (HS256) is none: whoever could check such a token could make one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// types are what the header may say that a token is, if it says so, in lower case: an access token (RFC 9068, section
// 2.1), or nothing but a JWT. Tokens for other purposes, such as logout+jwt, are none for us (RFC 8725, section
// 3.11).
var types = []string{"jwt", "at+jwt", "application/at+jwt"}

// Open returns the way to know callers by an issuer's tokens for an audience, as [New] makes it.
func Open(ctx context.Context, issuer, audience string, log *slog.Logger) (app.Authenticate, error) {
	v, err := New(ctx, issuer, audience, log)
	if err != nil {
		return nil, err
	}
	return v.Caller, nil
}

// New makes a verifier of an issuer's tokens for an audience, and asks the issuer for its keys. An issuer that cannot
// be reached or publishes no usable key is a warning in the log, and is asked again when the first token comes. One
// that answers otherwise than an issuer is an error.
func New(ctx context.Context, issuer, audience string, log *slog.Logger) (*Verifier, error) {
	if err := Check(issuer); err != nil {
		return nil, err
	}
	cache, err := lru.New[[sha256.Size]byte, verified](remembered)
	if err != nil {
		return nil, err
	}
	v := &Verifier{issuer: issuer, audience: audience, keys: newKeys(issuer, log), verified: cache, now: now}
	err = v.keys.ask(ctx, v.keys.now())
	if err != nil && !errors.Is(err, ErrUnreachable) && !errors.Is(err, errNoKeys) {
		return nil, err
	}
	return v, nil
}

// What is wrong with a token.
const (
	malformed   app.Refusal = "malformed"
	wrongType   app.Refusal = "type"
	unknownKey  app.Refusal = "key"
	signature   app.Refusal = "signature"
	wrongIssuer app.Refusal = "issuer"
	forOthers   app.Refusal = "audience"
	noExpiry    app.Refusal = "no expiry"
	notYet      app.Refusal = "not yet valid"
	noSubject   app.Refusal = "subject"
)

// Caller implements app.Authenticate. The owner is the issuer and the subject, with a space between them, which
// neither a URL nor the owner of a configured token has. app.ErrCannotVerify where a token cannot be judged because the
// issuer does not answer.
func (v *Verifier) Caller(ctx context.Context, token string) (app.Caller, error) {
	sum := sha256.Sum256([]byte(token))
	if known, ok := v.verified.Get(sum); ok && v.now().wall.Before(known.until) {
		key, err := v.keys.find(ctx, known.key.KeyID, known.alg)
		if err != nil {
			return app.Caller{}, err
		}
		if key == known.key {
			return known.caller, nil
		}
	}
	known, err := v.verify(ctx, token)
	if err != nil {
		return app.Caller{}, err
	}
	v.verified.Add(sum, known)
	return known.caller, nil
}

// verify judges a token.
func (v *Verifier) verify(ctx context.Context, token string) (is verified, err error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 || !strictHeader(token) {
		return is, malformed
	}
	header := parsed.Headers[0]
	if given, ok := header.ExtraHeaders[jose.HeaderType]; ok {
		if kind, _ := given.(string); !slices.Contains(types, strings.ToLower(kind)) {
			return is, wrongType
		}
	}
	key, err := v.keys.find(ctx, header.KeyID, header.Algorithm) // nothing else of the header names a key
	if err != nil {
		return is, err
	}
	if key == nil {
		return is, unknownKey
	}
	var payload json.RawMessage
	var claims jwt.Claims
	var ours struct {
		Scope    words  `json:"scope"` // RFC 9068, section 2.2.3
		SCP      words  `json:"scp"`   // what Microsoft and Okta call it
		ClientID string `json:"client_id"`
	}
	if err := parsed.Claims(key.Key, &payload, &claims, &ours); errors.Is(err, jose.ErrCryptoFailure) {
		return is, signature
	} else if err != nil || !strict(payload) {
		return is, malformed
	}
	if len(claims.Audience) == 0 && ours.ClientID != "" { // as Amazon Cognito's, which API Gateway takes like this too
		claims.Audience = jwt.Audience{ours.ClientID}
	}
	if claims.Expiry == nil {
		return is, noExpiry
	}
	err = claims.ValidateWithLeeway(jwt.Expected{
		Issuer: v.issuer, AnyAudience: jwt.Audience{v.audience}, Time: v.now().wall,
	}, leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return is, wrongIssuer
	case errors.Is(err, jwt.ErrInvalidAudience):
		return is, forOthers
	case errors.Is(err, jwt.ErrExpired):
		return is, app.ExpiredToken
	case err != nil:
		return is, notYet
	}
	is = verified{
		key: key, alg: header.Algorithm, until: claims.Expiry.Time().Add(leeway),
		caller: app.Caller{Owner: v.issuer + " " + claims.Subject},
	}
	if claims.Subject == "" || len(is.caller.Owner) > maxOwner {
		return is, noSubject
	}
	scopes := append(ours.Scope, ours.SCP...)
	switch {
	case slices.Contains(scopes, "notes:write"):
		is.caller.Scope = app.Write
	case slices.Contains(scopes, "notes:read"):
		is.caller.Scope = app.Read
	}
	return is, nil
}

// strict reports whether JSON can be read in one way only: it has no name twice, no invalid UTF-8 and no half of a
// surrogate pair. Decoders replace the latter two by U+FFFD, which would make one subject of many.
func strict(text []byte) bool { return jsontext.Value(text).IsValid() }

// strictHeader reports whether the header of a token is strict.
func strictHeader(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	return err == nil && strict(text)
}

// words are a text with spaces between them, or a list.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		*w = strings.Fields(text)
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}
