// Package token authenticates callers by bearer tokens. The configuration has only the hashes of the tokens.
//
// A token is 256 random bits. Nobody can find it from its SHA-256 hash, so the hash need not be secret. Each token is
// configured by a line
//
//	OWNER read|write sha256:HEX [EXPIRES]
//
// with an optional expiry time in the format of RFC 3339.
package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/portable-notes/app"
)

// Tokens is a set of tokens. It is safe for concurrent use.
type Tokens struct {
	now   func() time.Time
	list  []Token // in the order of the configuration
	known map[[sha256.Size]byte]Token
}

// prefix is the prefix of all tokens, by which leaked ones can be recognized.
const prefix = "notes_"

// maxOwner is the longest name of an owner, in bytes (notes.Store).
const maxOwner = 512

// IsOwner reports whether name can be the owner of a token: 1 to 512 bytes of UTF-8 without white space and commas.
func IsOwner(name string) bool {
	return name != "" && len(name) <= maxOwner && !strings.ContainsAny(name, "\t\n\f\r ,") && utf8.ValidString(name)
}

// Token is the configuration of one token.
type Token struct {
	Owner   string
	Scope   app.Scope
	Hash    [sha256.Size]byte
	Expires time.Time // zero if the token does not expire
}

// String returns the line that configures the token.
func (t Token) String() string {
	line := t.Owner + " " + scopeNames[t.Scope] + " sha256:" + t.Digits()
	if !t.Expires.IsZero() {
		line += " " + t.Expires.UTC().Format(time.RFC3339)
	}
	return line
}

// Digits returns the hash in hexadecimal digits.
func (t Token) Digits() string { return hex.EncodeToString(t.Hash[:]) }

var scopeNames = map[app.Scope]string{app.Read: "read", app.Write: "write"}

// New returns a new secret token that may read and write, and the line that configures it.
func New(owner string) (secret, line string, err error) {
	secret, t, err := Make(owner, app.Write, time.Time{})
	if err != nil {
		return "", "", err
	}
	return secret, t.String(), nil
}

// Make returns a new secret token and its configuration. A zero time lets it never expire.
func Make(owner string, scope app.Scope, expires time.Time) (secret string, t Token, err error) {
	if !IsOwner(owner) {
		return "", t, fmt.Errorf("an owner must be 1 to 512 bytes without spaces and commas, not %q", owner)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	secret = prefix + base64.RawURLEncoding.EncodeToString(random)
	return secret, Token{Owner: owner, Scope: scope, Hash: sha256.Sum256([]byte(secret)), Expires: expires}, nil
}

// maxMistakes is the largest number of mistakes in an error of Parse.
const maxMistakes = 100

// byteOrderMark is at the start of UTF-8 files from some editors. It is not white space, so it would become part of the
// first owner's name.
const byteOrderMark = "\ufeff"

// Parse parses tokens, one per line or separated by commas. A line may also be the assignment NOTES_TOKENS='…' that is
// printed for a new token. Empty lines, lines that begin with #, and a byte order mark at the start of a line are
// ignored. A text without a token is an error. The error names the first hundred mistakes by the number of the token,
// without hashes.
func Parse(text string, now func() time.Time) (*Tokens, error) {
	t, err := parse(text, now)
	if err == nil && len(t.known) == 0 {
		err = errors.New("there is no token: make one with server token new OWNER")
	}
	return t, err
}

// parse is like Parse, but a text without a token is valid.
func parse(text string, now func() time.Time) (*Tokens, error) {
	t := &Tokens{now: now, known: map[[sha256.Size]byte]Token{}}
	var mistakes []error
	n, wrong := 0, 0
	for line := range strings.Lines(text) {
		_, list, _ := splitLine(line)
		for field := range strings.SplitSeq(list, ",") {
			if field = strings.TrimSpace(field); field == "" {
				continue
			}
			n++
			one, err := parseToken(field)
			if _, duplicate := t.known[one.Hash]; err == nil && duplicate {
				err = errors.New("its hash is a duplicate")
			}
			if err != nil {
				if wrong++; wrong <= maxMistakes {
					mistakes = append(mistakes, fmt.Errorf("token %d: %w", n, err))
				}
				continue
			}
			t.known[one.Hash], t.list = one, append(t.list, one)
		}
	}
	if wrong > maxMistakes {
		mistakes = append(mistakes, fmt.Errorf("and %d more", wrong-maxMistakes))
	}
	return t, errors.Join(mistakes...)
}

// parseToken parses the configuration of one token.
func parseToken(text string) (t Token, err error) {
	fields := strings.Fields(text)
	if len(fields) < 3 || len(fields) > 4 {
		return t, errors.New("must be OWNER read|write sha256:HEX [EXPIRES]")
	}
	t.Owner, t.Scope = fields[0], map[string]app.Scope{"read": app.Read, "write": app.Write}[fields[1]]
	if strings.HasPrefix(t.Owner, "NOTES_TOKENS=") {
		return t, errors.New("the quotes after NOTES_TOKENS= must match")
	}
	if !IsOwner(t.Owner) {
		return t, errors.New("its owner must be 1 to 512 bytes of UTF-8")
	}
	if t.Scope == app.NoScope {
		return t, errors.New("its scope must be read or write")
	}
	digits, ok := strings.CutPrefix(fields[2], "sha256:")
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return t, errors.New("its hash must be sha256: and 64 hexadecimal digits, not the token itself")
	}
	t.Hash = [sha256.Size]byte(sum)
	if len(fields) == 4 {
		if t.Expires, err = time.Parse(time.RFC3339, fields[3]); err != nil {
			return t, errors.New("its expiry must be a time such as 2027-01-31T12:00:00Z")
		}
	}
	return t, nil
}

func (t Token) hasExpired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Expired reports whether all tokens have expired.
func (t *Tokens) Expired() bool {
	for _, one := range t.list {
		if !one.hasExpired(t.now()) {
			return false
		}
	}
	return true
}

// Caller implements app.Authenticate. It looks up the token's hash, so its timing reveals nothing about the token.
func (t *Tokens) Caller(_ context.Context, token string) (app.Caller, error) {
	sum := sha256.Sum256([]byte(token))
	one, ok := t.known[sum]
	switch {
	case !ok || subtle.ConstantTimeCompare(one.Hash[:], sum[:]) != 1:
		return app.Caller{}, app.UnknownToken
	case one.hasExpired(t.now()):
		return app.Caller{}, app.ExpiredToken
	}
	return app.Caller{Owner: one.Owner, Scope: one.Scope}, nil
}
