// Package unknown writes values that are not known before a deployment as placeholders in text, and compares texts that
// contain them.
//
// There are two kinds. ‹Api› is an ID that AWS is going to make: it equals itself and nothing else. «Stage» is open: it
// may turn out to be anything, such as the value of a parameter without a default.
package unknown

import "strings"

// New returns the placeholder of an ID that AWS is going to make.
func New(name string) string { return "‹" + clean.Replace(name) + "›" }

// Open returns the placeholder of a value that may be anything.
func Open(name string) string { return "«" + clean.Replace(name) + "»" }

// clean replaces what ends a part of an ARN, a wildcard, and the marks of placeholders.
var clean = strings.NewReplacer("::", ".", ":", ".", "/", ".", "*", "", "?", "", " ", ".", "‹", "", "›", "", "«", "",
	"»", "")

// In reports whether a text contains an open placeholder.
func In(text string) bool { return strings.Contains(text, "«") }

// Inside reports whether a text contains a placeholder of either kind.
func Inside(text string) bool { return In(text) || strings.Contains(text, "‹") }

// MayEqual reports whether two texts are equal, or may be once their open placeholders are known.
func MayEqual(a, b string) bool { return a == b || fit(tokens(a, false), tokens(b, false)) }

// MayMatch reports whether a value, whose open placeholders or whose pattern's are known later, may then match the
// pattern. In the pattern * matches any sequence of characters, and ? one character.
func MayMatch(pattern, value string) bool {
	return (In(pattern) || In(value)) && fit(tokens(pattern, true), tokens(value, false))
}

// token is a character, or a wildcard.
type token rune

const (
	one token = -1
	run token = -2
)

// tokens returns the tokens of a text, whose open placeholders are wildcards.
func tokens(text string, isPattern bool) (all []token) {
	inside := false
	for _, c := range text {
		switch {
		case c == '«':
			inside, all = true, append(all, run)
		case c == '»':
			inside = false
		case inside:
		case isPattern && c == '*':
			all = append(all, run)
		case isPattern && c == '?':
			all = append(all, one)
		default:
			all = append(all, token(c))
		}
	}
	return all
}

// fit reports whether there is a text that two lists of tokens match.
func fit(a, b []token) bool {
	// fits[j] reports whether a[i:] and b[j:] fit.
	fits := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		below := fits // those of a[i+1:]
		fits = make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				fits[j] = true
			case i < len(a) && a[i] == run:
				fits[j] = below[j] || j < len(b) && fits[j+1]
			case j < len(b) && b[j] == run:
				fits[j] = fits[j+1] || i < len(a) && below[j]
			case i < len(a) && j < len(b):
				fits[j] = (a[i] == b[j] || a[i] == one) && below[j+1]
			}
		}
	}
	return fits[0]
}
