package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes/storetest"
)

// TestTokenCommands makes, lists and revokes tokens in a file that a server reads.
func TestTokenCommands(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "tokens")
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := runToken(args, &out); err != nil {
			t.Fatalf("token %q: %v", args, err)
		}
		return out.String()
	}
	before := time.Now()
	annas, _, _ := strings.Cut(run("new", "anna", "--append", file), "\n")
	bens, _, _ := strings.Cut(run("new", "ben", "--append", file, "--read", "--expires", "90d"), "\n")
	tokens, err := token.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	for secret, owner := range map[string]string{annas: "anna", bens: "ben"} {
		if caller, err := tokens.Caller(t.Context(), secret); err != nil || caller.Owner != owner {
			t.Errorf("the token of %s is of %q, %v", owner, caller.Owner, err)
		}
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file has mode %v, %v", info.Mode(), err)
		}
	}
	list := run("list", file)
	text, err := token.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	made, err := token.List(text)
	if err != nil || len(made) != 2 {
		t.Fatalf("the file has %v, %v", made, err)
	}
	const validity = 90 * 24 * time.Hour
	expires := made[1].Expires
	if expires.Before(before.Add(validity).Truncate(time.Second)) || expires.After(time.Now().Add(validity)) {
		t.Errorf("the token of 90 days expires at %v", expires)
	}
	if lines := strings.Split(list, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[1], "anna   write  ") ||
		!strings.Contains(lines[1], "never") || !strings.HasPrefix(lines[2], "ben    read   ") ||
		!strings.Contains(lines[2], expires.UTC().Format(time.RFC3339)) || strings.Contains(list, annas) {
		t.Errorf("the list is\n%s", list)
	}
	link := filepath.Join(folder, "link")
	storetest.Symlink(t, file, link)
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if out := run("revoke", link, "anna"); !strings.HasPrefix(
		out,
		"revoked:\nOWNER  SCOPE  HASH          EXPIRES\nanna   write  ",
	) {
		t.Errorf("revoke prints %q", out)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if list := run("list", file); strings.Contains(list, "anna") || !strings.Contains(list, "ben") {
		t.Errorf("after the revocation the list is\n%s", list)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("files are left behind: %v, %v", entries, err)
	}
}

// TestTokenMistakes checks that mistakes are named and leave the file as it is.
func TestTokenMistakes(t *testing.T) {
	const content = "# ours\nanna write\n"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		args  []string
		usage bool
		says  string
	}{
		{"no command", nil, true, "expected token new OWNER"},
		{"an unknown command", []string{"add", "anna"}, true, "expected token new OWNER"},
		{"no owner", []string{"new"}, true, "expected token new OWNER"},
		{"an owner with a space", []string{"new", "a b"}, true, "1 to 512 bytes"},
		{"an unknown flag", []string{"new", "anna", "--write"}, true, "not defined: -write"},
		{"a flag of another command", []string{"list", file, "--read"}, true, "only token new has flags"},
		{"a wrong time", []string{"new", "anna", "--expires", "soon"}, true, "must be such as 90d"},
		{"a time in the past", []string{"new", "anna", "--expires", "2020-01-01"}, true, "is past"},
		{"a negative duration", []string{"new", "anna", "--expires", "-3d"}, true, "is past"},
		{"a malformed file", []string{"new", "anna", "--append", file}, false, "token 1: must be OWNER"},
		{"a malformed list", []string{"list", file}, false, "token 1: must be OWNER"},
		{"a malformed file to revoke from", []string{"revoke", file, "anna"}, false, "token 1: must be OWNER"},
		{"no file", []string{"revoke", file + ".none", "anna"}, false, "no such file"},
		{"no folder", []string{"new", "anna", "--append", filepath.Join(file+".none", "x")}, false, "was not changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := runToken(c.args, &out)
			if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, errUsage) != c.usage {
				t.Errorf("%v", err)
			}
			if out.Len() > 0 {
				t.Errorf("it prints %q", &out)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != content {
				t.Errorf("the file is now %q, %v", text, err)
			}
		})
	}
}
