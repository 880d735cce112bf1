package token

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestParse: every mistake is named, by the number of its token, and no hash is.
func TestParse(t *testing.T) {
	for text, says := range map[string]string{
		"":                            "there is no token",
		"# nothing\n":                 "there is no token",
		"anna":                        "token 1: must be OWNER read|write sha256:HEX [UNTIL]",
		"anna admin sha256:" + digits: "its scope must be read or write",
		"anna read " + digits:         "its hash must be sha256: and 64 hexadecimal digits",
		"anna read sha256:12":         "its hash must be",
		"anna read sha256:" + digits + " tomorrow":                  "its end must be a time",
		"anna read sha256:" + digits + ",ben read sha256:" + digits: "token 2: its hash is there twice",
		"anna read sha256:" + digits + " 2027-01-01T00:00:00Z more": "must be OWNER",
		"anna x sha256:" + digits + "\nben y sha256:" + digits:      "token 2: its scope",
		strings.Repeat("x", 513) + " read sha256:" + digits:         "its owner must be",
	} {
		_, err := Parse(text, time.Now)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), digits) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
	for _, owner := range []string{"", "a b", "a,b", "a\n", strings.Repeat("x", 513)} {
		if _, _, err := New(owner); err == nil {
			t.Errorf("an owner %q", owner)
		}
	}
}

// TestFile: a file that changes is read again; one that is wrong then leaves the tokens as they were.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	first, firstLine, err := New("anna")
	if err != nil {
		t.Fatal(err)
	}
	second, secondLine, err := New("ben")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(path, nil); err == nil {
		t.Error("a file that is not there is opened")
	}
	write(firstLine)
	var log bytes.Buffer
	f, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	is := func(secret, owner string) {
		t.Helper()
		f.looked = time.Time{} // as if a second had passed
		caller, err := f.Caller(t.Context(), secret)
		if caller.Owner != owner || (err == nil) != (owner != "") {
			t.Errorf("the caller is %q, %v; want %q", caller.Owner, err, owner)
		}
	}
	is(first, "anna")
	is(second, "")
	write(firstLine + "\n" + secondLine)
	is(second, "ben")
	write("nonsense, and longer than what was there before: " + strings.Repeat("x", 300))
	is(first, "anna")
	is(second, "ben")
	if strings.Count(log.String(), "is not taken") != 1 {
		t.Errorf("the log says %s", &log)
	}
	write(secondLine)
	is(first, "")
	is(second, "ben")
}
