// Package token knows callers by bearer tokens whose hashes alone are configured.
//
// A token is 256 random bits, so its SHA-256 can be kept where settings are kept: nobody finds the token for a hash.
// Each is configured by a line
//
//	OWNER read|write sha256:HEX [EXPIRES]
//
// with the end of its life as in RFC 3339, or without one.
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
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/portable-notes/app"
)

// Tokens are the tokens that are known. It is safe for use by many goroutines.
type Tokens struct {
	now   func() time.Time
	known map[[sha256.Size]byte]entry
}

type entry struct {
	caller app.Caller
	hash   [sha256.Size]byte
	until  time.Time // zero for ever
}

// prefix begins tokens, so that one that was lost somewhere is recognised.
const prefix = "notes_"

var owner = regexp.MustCompile(`^[^\s,]+$`)

// maxOwner is the most bytes of an owner's name (notes.Store).
const maxOwner = 512

func isOwner(name string) bool {
	return len(name) <= maxOwner && owner.MatchString(name) && utf8.ValidString(name)
}

// New makes a token for an owner who may also write, and the line that configures it.
func New(name string) (token, line string, err error) {
	if !isOwner(name) {
		return "", "", fmt.Errorf("an owner must be 1 to 512 bytes without spaces and commas, is %q", name)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // which never fails (crypto/rand)
	token = prefix + base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	return token, name + " write sha256:" + hex.EncodeToString(sum[:]), nil
}

// maxMistakes is the number of mistakes that an error of Parse names.
const maxMistakes = 100

// byteOrderMark begins texts that some editors save as UTF-8. It is not white space, so it would become a part of an
// owner.
const byteOrderMark = "\ufeff"

// Parse reads tokens: lines, or commas between them. Empty lines and those that begin with # are skipped, whole. A byte
// order mark at the beginning of a line is skipped too. The error names every mistake, or the first hundred, by the
// number of its token, and no hash. A text without a token is a mistake.
func Parse(text string, now func() time.Time) (*Tokens, error) {
	t, err := parse(text, now)
	if err == nil && len(t.known) == 0 {
		err = errors.New("there is no token: make one with server -new-token OWNER")
	}
	return t, err
}

// parse is Parse for texts that may be without a token.
func parse(text string, now func() time.Time) (*Tokens, error) {
	t := &Tokens{now: now, known: map[[sha256.Size]byte]entry{}}
	var mistakes []error
	n, wrong := 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(line, byteOrderMark) // of each line, as files may be put one after the other
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			n++
			e, err := parseLine(one)
			if _, twice := t.known[e.hash]; err == nil && twice {
				err = errors.New("its hash is there twice")
			}
			if err != nil {
				if wrong++; wrong <= maxMistakes {
					mistakes = append(mistakes, fmt.Errorf("token %d: %w", n, err))
				}
				continue
			}
			t.known[e.hash] = e
		}
	}
	if wrong > maxMistakes {
		mistakes = append(mistakes, fmt.Errorf("and %d more", wrong-maxMistakes))
	}
	return t, errors.Join(mistakes...)
}

func parseLine(line string) (e entry, err error) {
	fields := strings.Fields(line)
	if len(fields) < 3 || len(fields) > 4 {
		return e, errors.New("must be OWNER read|write sha256:HEX [EXPIRES]")
	}
	e.caller = app.Caller{Owner: fields[0], Scope: map[string]app.Scope{
		"read": app.Read, "write": app.Write}[fields[1]]}
	if !isOwner(fields[0]) {
		return e, errors.New("its owner must be 1 to 512 bytes of UTF-8")
	}
	if e.caller.Scope == app.NoScope {
		return e, errors.New("its scope must be read or write")
	}
	digits, ok := strings.CutPrefix(fields[2], "sha256:")
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return e, errors.New("its hash must be sha256: and 64 hexadecimal digits, not the token itself")
	}
	e.hash = [sha256.Size]byte(sum)
	if len(fields) == 4 {
		if e.until, err = time.Parse(time.RFC3339, fields[3]); err != nil {
			return e, errors.New("its expiry must be a time such as 2027-01-31T12:00:00Z")
		}
	}
	return e, nil
}

// Caller implements app.Authenticate. Hashes are looked up, not tokens, so the time that it takes tells nothing of a
// token.
func (t *Tokens) Caller(_ context.Context, token string) (app.Caller, error) {
	sum := sha256.Sum256([]byte(token))
	e, ok := t.known[sum]
	switch {
	case !ok || subtle.ConstantTimeCompare(e.hash[:], sum[:]) != 1:
		return app.Caller{}, app.UnknownToken
	case !e.until.IsZero() && !t.now().Before(e.until):
		return app.Caller{}, app.ExpiredToken
	}
	return e.caller, nil
}
