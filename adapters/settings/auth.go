package settings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/token"
)

// Auth configures authentication.
type Auth struct {
	Kind             string // none, token or jwt; "" if NOTES_AUTH is not set
	Tokens           string // in the format of token.Parse
	TokensFile       string // path of a file in the format of token.Open
	Issuer, Audience string // of JSON Web Tokens
}

// kinds are the values of NOTES_AUTH.
var kinds = []string{"", "none", "token", "jwt"}

// AuthSettings returns the settings that fill in the Auth of a C. NOTES_TOKENS_FILE is among them only if the adapter
// has files.
func AuthSettings[C any](of func(*C) *Auth, files bool) []Setting[C] {
	all := []Setting[C]{
		New("NOTES_AUTH", "", "who may use the service: none (anyone who can reach it), token (callers with a "+
			"token in NOTES_TOKENS or NOTES_TOKENS_FILE) or jwt (callers with a token from NOTES_JWT_ISSUER)",
			func(c *C, v string) error {
				of(c).Kind = v
				return Expect(slices.Contains(kinds, v), "must be none, token or jwt")
			}),
		New("NOTES_TOKENS", "", "accepted tokens, separated by commas: OWNER SCOPE sha256:HEX [EXPIRES], where "+
			"SCOPE is read or write; server token new OWNER makes one",
			func(c *C, v string) error {
				of(c).Tokens = v
				if v == "" {
					return nil
				}
				_, err := token.Parse(v, time.Now)
				return err
			}),
		New("NOTES_TOKENS_FILE", "", "a file of such tokens, one per line, reread when it changes; while it is "+
			"missing or malformed, the tokens read last stay valid",
			func(c *C, v string) error { of(c).TokensFile = v; return nil }),
		New("NOTES_JWT_ISSUER", "", "the OpenID Connect issuer whose tokens (JWTs) are accepted: its https URL, "+
			"exactly as in their iss claim",
			func(c *C, v string) error { of(c).Issuer = v; return nil }),
		New("NOTES_JWT_AUDIENCE", "", "the audience that tokens must name in their aud claim or, if they have no "+
			"aud, in client_id",
			func(c *C, v string) error { of(c).Audience = v; return nil }),
	}
	if !files {
		all = slices.Delete(all, 2, 3)
	}
	return all
}

// Validate returns an error that names every setting that conflicts with NOTES_AUTH or is missing for it. Files reports
// whether the adapter reads NOTES_TOKENS_FILE.
func (a Auth) Validate(files bool) error {
	var mistakes []error
	if !slices.Contains(kinds, a.Kind) {
		return nil // which settings it needs is not known
	}
	for _, one := range []struct{ name, value, kind string }{
		{"NOTES_TOKENS", a.Tokens, "token"}, {"NOTES_TOKENS_FILE", a.TokensFile, "token"}, {
			"NOTES_JWT_ISSUER", a.Issuer, "jwt"}, {"NOTES_JWT_AUDIENCE", a.Audience, "jwt"},
	} {
		switch {
		case one.value != "" && a.Kind != one.kind:
			mistakes = append(mistakes, fmt.Errorf("%s is set, but NOTES_AUTH is not %s: set NOTES_AUTH=%[2]s, or "+
				"remove it", one.name, one.kind))
		case one.value == "" && a.Kind == "jwt" && one.kind == "jwt":
			mistakes = append(mistakes, fmt.Errorf("NOTES_AUTH=jwt needs %s", one.name))
		}
	}
	if a.Kind == "token" && (a.Tokens == "") == (a.TokensFile == "") {
		where := map[bool]string{true: "either NOTES_TOKENS or NOTES_TOKENS_FILE", false: "NOTES_TOKENS"}[files]
		mistakes = append(mistakes, fmt.Errorf("NOTES_AUTH=token needs %s; server token new OWNER makes a token",
			where))
	}
	if a.Kind == "token" && a.TokensFile != "" {
		if _, err := token.Open(a.TokensFile, slog.New(slog.DiscardHandler)); err != nil {
			mistakes = append(mistakes, fmt.Errorf("NOTES_TOKENS_FILE: %w", err))
		}
	}
	return errors.Join(mistakes...)
}

// OpenJWT is the type of jwt.Open, which returns a function that authenticates callers by JSON Web Tokens.
type OpenJWT func(ctx context.Context, issuer, audience string, log *slog.Logger) (app.Authenticate, error)

// Open returns the function that authenticates callers; nil if callers are not authenticated. An adapter that does not
// link JSON Web Tokens passes a nil jwt. The options apply to NOTES_TOKENS_FILE.
func (a Auth) Open(
	ctx context.Context, log *slog.Logger, jwt OpenJWT, options ...token.Option,
) (app.Authenticate, error) {
	switch {
	case a.Kind == "jwt" && jwt == nil:
		return nil, errors.New("NOTES_AUTH=jwt: this build does not support JSON Web Tokens: build it with " +
			"deploy zip --jwt or with -tags jwt")
	case a.Kind == "jwt":
		authenticate, err := jwt(ctx, a.Issuer, a.Audience, log)
		if err != nil {
			return nil, fmt.Errorf("NOTES_JWT_ISSUER: %w", err)
		}
		return authenticate, nil
	case a.TokensFile != "":
		file, err := token.Open(a.TokensFile, log, options...)
		if err != nil {
			return nil, fmt.Errorf("NOTES_TOKENS_FILE: %w", err)
		}
		return file.Caller, nil
	case a.Kind == "token":
		tokens, err := token.Parse(a.Tokens, time.Now)
		if err != nil {
			return nil, fmt.Errorf("NOTES_TOKENS: %w", err)
		}
		if tokens.Expired() {
			log.WarnContext(ctx, "every token of NOTES_TOKENS has expired, so every request for notes is refused")
		}
		return tokens.Caller, nil
	}
	return nil, nil
}

// Describe says, in a sentence for the operator, who can read and write the notes.
func (a Auth) Describe() string {
	switch a.Kind {
	case "token":
		return "callers need a token (NOTES_AUTH=token)"
	case "jwt":
		return "callers need a token from " + a.Issuer + " (NOTES_AUTH=jwt)"
	case "":
		return "every program on this machine, and nobody else, can read and write the notes (NOTES_AUTH is not set)"
	}
	return "anyone who can reach this address can read and write the notes (NOTES_AUTH=none)"
}
