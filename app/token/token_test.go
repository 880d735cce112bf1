package token

import (
	"strings"
	"testing"
	"time"
)

const hexDigits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestParse: the error names each mistake by the number of the token, and has no hashes.
func TestParse(t *testing.T) {
	for text, says := range map[string]string{
		"":                               "there is no token",
		"# nothing\n":                    "there is no token",
		"anna":                           "token 1: must be OWNER read|write sha256:HEX [EXPIRES]",
		"anna admin sha256:" + hexDigits: "its scope must be read or write",
		"anna read " + hexDigits:         "its hash must be sha256: and 64 hexadecimal digits",
		"anna read sha256:12":            "its hash must be",
		"anna read sha256:" + hexDigits + " tomorrow":                     "its expiry must be a time",
		"anna read sha256:" + hexDigits + ",ben read sha256:" + hexDigits: "token 2: its hash is a duplicate",
		"anna read sha256:" + hexDigits + " 2027-01-01T00:00:00Z more":    "must be OWNER",
		"anna x sha256:" + hexDigits + "\nben y sha256:" + hexDigits:      "token 2: its scope",
		"# gone, ben write sha256:" + hexDigits + "\n # and more":         "there is no token",
		strings.Repeat("é", 300) + " read sha256:" + hexDigits:            "its owner must be",
		strings.Repeat("x", 513) + " read sha256:" + hexDigits:            "its owner must be",
	} {
		_, err := Parse(text, time.Now)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), hexDigits) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
	for _, owner := range []string{"", "a b", "a,b", "a\n", strings.Repeat("x", 513)} {
		if _, _, err := New(owner); err == nil {
			t.Errorf("%q is accepted as an owner", owner)
		}
	}
}

// TestMaxMistakes: an error names at most a hundred mistakes.
func TestMaxMistakes(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong int
		lines int
		last  string
	}{
		{"a hundred", 100, 100, "token 100: must be OWNER read|write sha256:HEX [EXPIRES]"},
		{"more", 100_001, 101, "and 99901 more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(strings.Repeat("x\n", c.wrong), time.Now)
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != c.lines || lines[len(lines)-1] != c.last {
				t.Errorf("the error has %d lines, the last is %q; want %d and %q", len(lines), lines[len(lines)-1],
					c.lines, c.last)
			}
		})
	}
}

// TestByteOrderMark: a byte order mark does not become part of an owner's name.
func TestByteOrderMark(t *testing.T) {
	anna, annas := newToken(t, "anna")
	ben, bens := newToken(t, "ben")
	for _, c := range []struct{ name, text string }{
		{"control", annas + "\n" + bens + "\n"},
		{"first line", "\ufeff" + annas + "\n" + bens + "\n"},
		{"first line, CRLF", "\ufeff" + annas + "\r\n" + bens + "\r\n"},
		{"comment", "\ufeff# tokens\n" + annas + "\n" + bens + "\n"},
		{"concatenated files", "\ufeff" + annas + "\n\ufeff" + bens + "\n"},
		{"commas", "\ufeff" + annas + "," + bens},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens, err := Parse(c.text, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			for secret, owner := range map[string]string{anna: "anna", ben: "ben"} {
				if caller, err := tokens.Caller(t.Context(), secret); err != nil || caller.Owner != owner {
					t.Errorf("the caller is %q, %v; want %q", caller.Owner, err, owner)
				}
			}
		})
	}
}

// newToken returns a new token of an owner, and the line that configures it.
func newToken(t *testing.T, owner string) (secret, line string) {
	t.Helper()
	secret, line, err := New(owner)
	if err != nil {
		t.Fatal(err)
	}
	return secret, line
}

func TestExpired(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	past, later := now.Format(time.RFC3339), now.Add(time.Second).Format(time.RFC3339)
	line := func(digit, expires string) string {
		return "anna read sha256:" + strings.Repeat(digit, 64) + " " + expires + "\n"
	}
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"one in the past", line("a", past), true},
		{"two in the past", line("a", past) + line("b", past), true},
		{"one is left", line("a", past) + line("b", later), false},
		{"no expiry", line("a", past) + line("b", ""), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens, err := Parse(c.text, func() time.Time { return now })
			if err != nil || tokens.Expired() != c.want {
				t.Errorf("%v, %v", tokens.Expired(), err)
			}
		})
	}
}
