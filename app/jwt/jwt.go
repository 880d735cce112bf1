// Package jwt authenticates callers by the access tokens of an OpenID Connect issuer. The tokens are JSON Web Tokens
// (RFC 9068), verified as RFC 8725 recommends, with the keys that the issuer publishes (OpenID Connect Discovery 1.0).
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

// Verifier verifies the tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	issuer, audience string
	keys             *keyCache
	verified         *lru.Cache[[sha256.Size]byte, verified] // keyed by the token's hash
	now              func() instant
}

// verified is the result of verifying a token. It is valid until the token expires or the key is withdrawn.
type verified struct {
	caller app.Caller
	key    *jose.JSONWebKey
	alg    string // of the token
	until  time.Time
}

const (
	maxVerified = 10_000           // tokens in the cache
	leeway      = 30 * time.Second // allowed difference between the clocks
	maxOwner    = 512              // bytes
)

// algorithms are the accepted algorithms: all public-key signatures of RFC 7518 and RFC 8037. Those with a shared
// secret, such as HS256, are not accepted, because whoever can verify such a token can also forge one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// types are the accepted values of the header typ, in lower case: an access token (RFC 9068, section 2.1) or any JWT. A
// token without typ is accepted too. Others, such as logout+jwt, are for other purposes (RFC 8725, section 3.11).
var types = []string{"jwt", "at+jwt", "application/at+jwt"}

// Open is [New], but returns the Caller method of the verifier.
func Open(ctx context.Context, issuer, audience string, log *slog.Logger) (app.Authenticate, error) {
	v, err := New(ctx, issuer, audience, log)
	if err != nil {
		return nil, err
	}
	return v.Caller, nil
}

// New returns a verifier of an issuer's tokens for an audience, and fetches the issuer's keys. If the issuer cannot be
// reached or publishes no usable key, New logs a warning; the first token fetches the keys again. If the response is
// not that of the issuer, New returns an error.
func New(ctx context.Context, issuer, audience string, log *slog.Logger) (*Verifier, error) {
	if err := Check(issuer); err != nil {
		return nil, err
	}
	cache, err := lru.New[[sha256.Size]byte, verified](maxVerified)
	if err != nil {
		return nil, err
	}
	v := &Verifier{issuer: issuer, audience: audience, keys: newKeyCache(issuer, log), verified: cache, now: readClocks}
	err = v.keys.update(ctx, v.keys.now())
	if err != nil && !errors.Is(err, ErrUnreachable) && !errors.Is(err, errNoKeys) {
		return nil, err
	}
	return v, nil
}

// The reasons to refuse a token.
const (
	malformed     app.Refusal = "malformed"
	wrongType     app.Refusal = "type"
	unknownKey    app.Refusal = "key"
	signature     app.Refusal = "signature"
	wrongIssuer   app.Refusal = "issuer"
	wrongAudience app.Refusal = "audience"
	noExpiry      app.Refusal = "no expiry"
	notYet        app.Refusal = "not yet valid"
	badSubject    app.Refusal = "subject"
)

// Caller implements app.Authenticate. The owner is the issuer and the subject, separated by a space. Neither a URL nor
// the owner of a configured token has a space, so owners are distinct. The error is app.ErrCannotVerify if the issuer's
// keys are needed and cannot be fetched.
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

// verify verifies a token without the cache.
func (v *Verifier) verify(ctx context.Context, token string) (result verified, err error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 || !hasStrictHeader(token) {
		return result, malformed
	}
	header := parsed.Headers[0]
	if given, ok := header.ExtraHeaders[jose.HeaderType]; ok {
		if kind, _ := given.(string); !slices.Contains(types, strings.ToLower(kind)) {
			return result, wrongType
		}
	}
	key, err := v.keys.find(ctx, header.KeyID, header.Algorithm) // ignores jwk, jku, x5c and x5u
	if err != nil {
		return result, err
	}
	if key == nil {
		return result, unknownKey
	}
	var payload json.RawMessage
	var claims jwt.Claims
	var ours struct {
		Scope    words  `json:"scope"` // RFC 9068, section 2.2.3
		SCP      words  `json:"scp"`   // used by Microsoft and Okta
		ClientID string `json:"client_id"`
	}
	if err := parsed.Claims(key.Key, &payload, &claims, &ours); errors.Is(err, jose.ErrCryptoFailure) {
		return result, signature
	} else if err != nil || !isStrict(payload) {
		return result, malformed
	}
	if len(claims.Audience) == 0 && ours.ClientID != "" { // tokens of Amazon Cognito; API Gateway does the same
		claims.Audience = jwt.Audience{ours.ClientID}
	}
	if claims.Expiry == nil {
		return result, noExpiry
	}
	err = claims.ValidateWithLeeway(jwt.Expected{
		Issuer: v.issuer, AnyAudience: jwt.Audience{v.audience}, Time: v.now().wall,
	}, leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return result, wrongIssuer
	case errors.Is(err, jwt.ErrInvalidAudience):
		return result, wrongAudience
	case errors.Is(err, jwt.ErrExpired):
		return result, app.ExpiredToken
	case err != nil:
		return result, notYet
	}
	result = verified{
		key: key, alg: header.Algorithm, until: claims.Expiry.Time().Add(leeway),
		caller: app.Caller{Owner: v.issuer + " " + claims.Subject},
	}
	if claims.Subject == "" || len(result.caller.Owner) > maxOwner {
		return result, badSubject
	}
	scopes := append(ours.Scope, ours.SCP...)
	switch {
	case slices.Contains(scopes, "notes:write"):
		result.caller.Scope = app.Write
	case slices.Contains(scopes, "notes:read"):
		result.caller.Scope = app.Read
	}
	return result, nil
}

// isStrict reports whether text is JSON without duplicate names, invalid UTF-8 and unpaired surrogates. Decoders
// replace the latter two with U+FFFD, which would make different subjects equal.
func isStrict(text []byte) bool { return jsontext.Value(text).IsValid() }

// hasStrictHeader reports whether isStrict holds for the header of a token.
func hasStrictHeader(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	return err == nil && isStrict(text)
}

// words is decoded from a string of words separated by spaces, or from an array of strings.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		*w = strings.Fields(text)
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}
