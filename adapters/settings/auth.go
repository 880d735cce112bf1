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

// Auth is how callers are known.
type Auth struct {
	Kind             string // none, token or jwt; "" where nothing is said
	Tokens           string // as package token reads them
	TokensFile       string // of such
	Issuer, Audience string // of JSON Web Tokens
}

// AuthSettings are the settings of an Auth that is a part of an adapter's settings. An adapter without files has no
// file of tokens.
func AuthSettings[C any](of func(*C) *Auth, files bool) []Setting[C] {
	all := []Setting[C]{
		New("NOTES_AUTH", "", "who may use the service: none: anyone who reaches it reads and writes the notes; "+
			"token: callers with a token of NOTES_TOKENS or NOTES_TOKENS_FILE; jwt: callers with a token of "+
			"NOTES_JWT_ISSUER",
			func(c *C, v string) error {
				of(c).Kind = v
				return Expect(slices.Contains([]string{"", "none", "token", "jwt"}, v), "must be none, token or jwt")
			}),
		New("NOTES_TOKENS", "", "the tokens that are known, with commas between them: OWNER SCOPE sha256:HEX "+
			"[EXPIRES], the scope read or write; server -new-token OWNER makes one",
			func(c *C, v string) error { of(c).Tokens = v; return nil }),
		New("NOTES_TOKENS_FILE", "", "a file of such tokens, one a line, that is read again when it changes; while "+
			"it is missing or wrong, those read last stay valid",
			func(c *C, v string) error { of(c).TokensFile = v; return nil }),
		New("NOTES_JWT_ISSUER", "", "the OpenID Connect issuer whose tokens (JWTs) are taken: its https URL, as "+
			"the tokens have it in iss",
			func(c *C, v string) error { of(c).Issuer = v; return nil }),
		New("NOTES_JWT_AUDIENCE", "", "whom the issuer's tokens must be for, as they have it in aud (or, without "+
			"one, in client_id)",
			func(c *C, v string) error { of(c).Audience = v; return nil }),
	}
	if !files {
		all = slices.Delete(all, 2, 3)
	}
	return all
}

// Mistake is what of it does not go together, for an adapter that has files or has none.
func (a Auth) Mistake(files bool) error {
	var mistakes []error
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
		mistakes = append(mistakes, fmt.Errorf("NOTES_AUTH=token needs %s; server -new-token OWNER makes a token",
			where))
	}
	return errors.Join(mistakes...)
}

// OpenJWT makes a way to know callers by JSON Web Tokens.
type OpenJWT func(ctx context.Context, issuer, audience string, log *slog.Logger) (app.Authenticate, error)

// Open makes the way to know callers; nil where nobody is asked. An adapter that does not link JSON Web Tokens gives
// nil for that way. The options are for a file of tokens.
func (a Auth) Open(
	ctx context.Context, log *slog.Logger, jwt OpenJWT, options ...token.Option,
) (app.Authenticate, error) {
	switch {
	case a.Kind == "jwt" && jwt == nil:
		return nil, errors.New("NOTES_AUTH=jwt: this build knows no JSON Web Tokens; build it with deploy zip " +
			"--jwt, or with -tags jwt")
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
		return tokens.Caller, nil
	}
	return nil, nil
}

// Says is how callers are known, for a person.
func (a Auth) Says() string {
	switch a.Kind {
	case "token":
		return "callers are known by their tokens (NOTES_AUTH=token)"
	case "jwt":
		return "callers are known by the tokens of " + a.Issuer + " (NOTES_AUTH=jwt)"
	case "":
		return "only this machine reaches them, and every program on it may read and write them (NOTES_AUTH is not set)"
	}
	return "anyone who reaches this address can read and write them (NOTES_AUTH=none)"
}
