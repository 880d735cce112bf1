package notes

import (
	"fmt"
	"testing"
	"unicode"

	"golang.org/x/text/cases"
)

// TestFold checks that appendFold and package cases agree on which characters fold alike, except Cherokee (see
// appendFold).
func TestFold(t *testing.T) {
	fold := func(s string) string { return string(appendFold(nil, s)) }
	reference := cases.Fold()
	ours, theirs := map[string]string{}, map[string]string{} // from one folding to the other
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if unicode.Is(unicode.Cs, r) || unicode.Is(unicode.Cherokee, r) { // surrogates, and see appendFold
			continue
		}
		a, b := fold(string(r)), reference.String(string(r))
		if known, ok := ours[a]; ok && known != b {
			t.Errorf("%U folds to %q, as others do; package cases does not fold them alike", r, a)
		}
		if known, ok := theirs[b]; ok && known != a {
			t.Errorf("%U folds to %q; others that package cases folds like it fold to %q", r, a, known)
		}
		ours[a], theirs[b] = b, a
		if fold(a) != a {
			t.Errorf("%U folds to %q, which folds to %q", r, a, fold(a))
		}
	}
	for _, c := range []struct{ a, b string }{
		{"STRASSE", "Straße"}, {"Ǆ", "ǆ"}, {"Σίσυφος", "ΣΊΣΥΦΟΣ"}, {"K", "k"}, {"ﬃ", "FFI"},
		{"日本語 Ｔｏｋｙｏ", "日本語 ＴＯＫＹＯ"}, {"Ꮳ", "ꮳ"}, {"Ᏸ", "ᏸ"}, // the last two are Cherokee
	} {
		t.Run(fmt.Sprint(c.a, " and ", c.b), func(t *testing.T) {
			if fold(c.a) != fold(c.b) {
				t.Errorf("%q and %q", fold(c.a), fold(c.b))
			}
		})
	}
}
