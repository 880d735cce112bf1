// Package unknown writes values that are not known before a deployment as placeholders in text, and compares texts that
// contain them.
//
// There are two kinds. ‹Api› is an ID that AWS is going to make: it equals itself and nothing else. «Stage» is open: it
// may turn out to be anything, such as the value of a parameter without a default. Placeholders with the same name have
// the same value.
package unknown

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Pattern is a regular expression that matches a placeholder.
const Pattern = `(?:‹[^›]*›|«[^»]*»)`

var placeholder = regexp.MustCompile(Pattern)

// Replace returns a text with each placeholder replaced by what the function returns for its name.
func Replace(text string, replacement func(name string) string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		return replacement(strings.Trim(found, "‹›«»"))
	})
}

// New returns the placeholder of an ID that AWS is going to make.
func New(name string) string { return "‹" + clean.Replace(name) + "›" }

// Open returns the placeholder of a value that may be anything.
func Open(name string) string { return "«" + clean.Replace(name) + "»" }

// clean replaces what ends a part of an ARN, a wildcard, and the marks of placeholders.
var clean = strings.NewReplacer("::", ".", ":", ".", "/", ".", "*", "", "?", "", " ", ".", "‹", "", "›", "", "«", "",
	"»", "")

// In reports whether a text contains an open placeholder.
func In(text string) bool { return strings.Contains(text, "«") }

// OpenForm reports whether a text contains an open placeholder whose value may have colons and slashes, as ARNs do. The
// pseudo parameters of CloudFormation, such as «AWS.Region», have none.
func OpenForm(text string) bool { return strings.Count(text, "«") > strings.Count(text, "«AWS.") }

// Names returns the names of the open placeholders in a text, nil for none.
func Names(text string) (names []string) {
	for _, found := range placeholder.FindAllString(text, -1) {
		if name := strings.Trim(found, "«»"); In(found) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Inside reports whether a text contains a placeholder of either kind.
func Inside(text string) bool { return In(text) || strings.Contains(text, "‹") }

// MayEqual reports whether two texts are equal, or may be once their open placeholders are known. A placeholder that
// both have is taken to be equal only at their beginning and end.
func MayEqual(a, b string) bool {
	return a == b || (In(a) || In(b)) && canMatch(trimCommon(tokens(a, false), tokens(b, false)))
}

// MayMatch reports whether a value may match a pattern once the open placeholders in them are known. In the pattern *
// matches any sequence of characters, and ? one character. It returns false if neither text has such a placeholder.
func MayMatch(pattern, value string) bool {
	return (In(pattern) || In(value)) && canMatch(trimCommon(tokens(pattern, true), tokens(value, false)))
}

// token is a character, a wildcard, or an open placeholder.
type token struct {
	char rune
	open string // name of the placeholder
}

// The wildcards: any character, and any sequence of characters.
const (
	anyOne = -1
	anyRun = -2
)

func (t token) isRun() bool { return t.char == anyRun || t.open != "" }

// tokens returns the tokens of a text.
func tokens(text string, isPattern bool) (all []token) {
	for len(text) > 0 {
		if strings.HasPrefix(text, "«") {
			if name, rest, closed := strings.Cut(text[len("«"):], "»"); closed {
				all, text = append(all, token{open: "«" + name}), rest
				continue
			}
		}
		c, size := utf8.DecodeRuneInString(text)
		switch text = text[size:]; {
		case isPattern && c == '*':
			c = anyRun
		case isPattern && c == '?':
			c = anyOne
		}
		all = append(all, token{char: c})
	}
	return all
}

// trimCommon removes the tokens with which both lists begin or end. They have the same value on both sides.
func trimCommon(a, b []token) ([]token, []token) {
	same := func(x, y token) bool { return x == y && x.char >= 0 }
	for len(a) > 0 && len(b) > 0 && same(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && same(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

// canMatch reports whether there is a text that two lists of tokens match. It returns true for lists that are too long
// to compare, because neither is then an ARN or a name.
func canMatch(a, b []token) bool {
	const most = 10_000_000 // comparisons
	if len(a)*len(b) > most {
		return true
	}
	// fits[j] reports whether a[i:] and b[j:] fit.
	fits := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		below := fits // those of a[i+1:]
		fits = make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				fits[j] = true
			case i < len(a) && a[i].isRun():
				fits[j] = below[j] || j < len(b) && fits[j+1]
			case j < len(b) && b[j].isRun():
				fits[j] = fits[j+1] || i < len(a) && below[j]
			case i < len(a) && j < len(b):
				fits[j] = (a[i] == b[j] || a[i].char == anyOne) && below[j+1]
			}
		}
	}
	return fits[0]
}
