package arrows

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// unplain matches words that the style in CONTRIBUTING.md rules out, except where plain matches.
var (
	unplain = regexp.MustCompile(`(?i)\b(doors?|tells whether|of which|is of no)\b`)
	plain   = regexp.MustCompile(`(?i)\b(one|some|most|all|none) of which\b`)
)

// TestPlainWords: no file that a person writes has a word that is ruled out.
func TestPlainWords(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("git lists the files, and failed: %v", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if path == "words_test.go" || path == "CHANGELOG.md" || strings.Contains(path, "testdata/") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if word := unplain.FindString(plain.ReplaceAllString(line, "")); word != "" {
				t.Errorf("%s:%d says %q", path, i+1, word)
			}
		}
	}
}
