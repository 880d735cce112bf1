package token

import (
	"bytes"
	"errors"
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
		"anna":                        "token 1: must be OWNER read|write sha256:HEX [EXPIRES]",
		"anna admin sha256:" + digits: "its scope must be read or write",
		"anna read " + digits:         "its hash must be sha256: and 64 hexadecimal digits",
		"anna read sha256:12":         "its hash must be",
		"anna read sha256:" + digits + " tomorrow":                  "its expiry must be a time",
		"anna read sha256:" + digits + ",ben read sha256:" + digits: "token 2: its hash is there twice",
		"anna read sha256:" + digits + " 2027-01-01T00:00:00Z more": "must be OWNER",
		"anna x sha256:" + digits + "\nben y sha256:" + digits:      "token 2: its scope",
		"# gone, ben write sha256:" + digits + "\n # and more":      "there is no token",
		strings.Repeat("é", 300) + " read sha256:" + digits:         "its owner must be",
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
	if _, err := Open(path, nil); err == nil {
		t.Error("a line that does not end is taken")
	}
	write(firstLine + "\n")
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
	refused := 0
	stays := func(what string) {
		t.Helper()
		for range 3 {
			is(first, "anna")
			is(second, "")
		}
		if refused++; strings.Count(log.String(), "was rejected") != refused {
			t.Errorf("%s: the log says %s", what, &log)
		}
	}
	is(first, "anna")
	is(second, "")
	write("nonsense\n")
	stays("nonsense")
	write(firstLine + "\n" + secondLine)
	stays("cut short")
	write("")
	stays("empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	stays("gone")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	stays("a folder")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(firstLine + "\n" + secondLine + "\n")
	is(second, "ben")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	other := path + ".new" // of the same size and time
	if err := os.WriteFile(other, []byte(secondLine+"\n"+strings.Repeat("#", len(firstLine))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chtimes(other, info.ModTime(), info.ModTime()), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	is(first, "")
	is(second, "ben")
}
