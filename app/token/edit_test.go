package token

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/app"
)

// numberedHash returns a hash of one digit, as it is written.
func numberedHash(digit string) string { return strings.Repeat(digit, 64) }

func hashOf(t *testing.T, digit string) (hash [32]byte) {
	t.Helper()
	if _, err := hex.Decode(hash[:], []byte(numberedHash(digit))); err != nil {
		t.Fatal(err)
	}
	return hash
}

// tokenFile has every form of a line.
var tokenFile = strings.Join([]string{
	"\ufeff# the team",
	"anna write sha256:" + numberedHash("a"),
	"",
	"ben read sha256:" + numberedHash("b") + " 2027-01-31T12:00:00Z, anna read sha256:" + numberedHash("c") + "\r",
	"NOTES_TOKENS='anna write sha256:" + numberedHash("d") + "'",
	`export NOTES_TOKENS="carl write sha256:` + numberedHash("e") + ",anna read sha256:" + numberedHash("f") + `" `,
	"# the end",
}, "\n") + "\n"

func TestList(t *testing.T) {
	tokens, err := List(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []Token{
		{Owner: "anna", Scope: app.Write, Hash: hashOf(t, "a")},
		{Owner: "ben", Scope: app.Read, Hash: hashOf(t, "b"),
			Expires: time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)},
		{Owner: "anna", Scope: app.Read, Hash: hashOf(t, "c")},
		{Owner: "anna", Scope: app.Write, Hash: hashOf(t, "d")},
		{Owner: "carl", Scope: app.Write, Hash: hashOf(t, "e")},
		{Owner: "anna", Scope: app.Read, Hash: hashOf(t, "f")},
	}
	if !slices.Equal(tokens, want) {
		t.Errorf("the tokens are %v", tokens)
	}
	if _, err := List("anna"); err == nil {
		t.Error("a malformed line is accepted")
	}
	if tokens, err := List("# nothing\n"); err != nil || len(tokens) > 0 {
		t.Errorf("an empty list: %v, %v", tokens, err)
	}
}

// TestAssignments checks which lines are read as assignments of NOTES_TOKENS.
func TestAssignments(t *testing.T) {
	entry := "anna write sha256:" + numberedHash("a")
	for _, c := range []struct {
		name, line string
		ok         bool
	}{
		{"single quotes", "NOTES_TOKENS='" + entry + "'", true},
		{"double quotes", `NOTES_TOKENS="` + entry + `"`, true},
		{"no quotes", "NOTES_TOKENS=" + entry, true},
		{"export", "export NOTES_TOKENS='" + entry + "'", true},
		{"quotes that differ", `NOTES_TOKENS="` + entry + `'`, false},
		{"a quote that does not end", "NOTES_TOKENS='" + entry, false},
		{"another variable", "NOTES_TOKEN='" + entry + "'", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if tokens, err := List(c.line); (err == nil && len(tokens) == 1) != c.ok {
				t.Errorf("%v, %v", tokens, err)
			}
		})
	}
}

// TestRevoke checks that exactly the named tokens go, and all comments stay.
func TestRevoke(t *testing.T) {
	for _, c := range []struct {
		name, owner, hash string
		left              string // first digits of the hashes that stay
		err               string
	}{
		{"all of an owner", "anna", "", "be", ""},
		{"one of several in a line", "anna", "c", "abdef", ""},
		{"one in an assignment", "anna", "sha256:DDDD", "abcef", ""},
		{"the only one", "ben", "", "acdef", ""},
		{"nobody's", "dora", "", "", `"dora" has no token`},
		{"another's", "anna", "b", "", "has no token whose hash begins with b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rest, removed, err := Revoke(tokenFile, c.owner, c.hash)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := List(rest)
			if err != nil {
				t.Fatalf("%v in\n%s", err, rest)
			}
			left := ""
			for _, token := range tokens {
				left += token.Digits()[:1]
			}
			if left != c.left || len(removed) != 6-len(c.left) {
				t.Errorf("left %q and removed %v, want %q left", left, removed, c.left)
			}
			if !strings.HasPrefix(rest, "\ufeff# the team\n") || !strings.HasSuffix(rest, "# the end\n") {
				t.Errorf("a comment is lost: %q", rest)
			}
		})
	}
	same := "anna read sha256:" + numberedHash("a")[:63]
	if _, _, err := Revoke(same+"1\n"+same+"2\n", "anna", "aa"); err == nil ||
		!strings.Contains(err.Error(), "several") {
		t.Errorf("a prefix of two hashes: %v", err)
	}
}

func TestAppend(t *testing.T) {
	_, made, err := Make("anna", app.Read, time.Date(2027, 1, 31, 13, 0, 0, 0, time.FixedZone("", 3600)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "# tokens", "ben write sha256:" + numberedHash("b") + "\n"} {
		tokens, err := List(Append(text, made))
		if err != nil || tokens[len(tokens)-1].String() != made.String() {
			t.Errorf("after %q: %v, %v", text, tokens, err)
		}
	}
	if !strings.HasSuffix(made.String(), " 2027-01-31T12:00:00Z") {
		t.Errorf("the line is %s", made)
	}
}
