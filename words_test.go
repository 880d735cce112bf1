package arrows

import (
	"os"
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
	for _, path := range files(t) {
		if path == "words_test.go" || path == "CHANGELOG.md" {
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
