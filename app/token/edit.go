package token

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// tokensAssignment matches a line that assigns tokens to the environment variable.
var tokensAssignment = regexp.MustCompile(`^(\s*(?:export\s+)?NOTES_TOKENS=(["']?))(.*?)(["']?\s*)$`)

// splitLine splits a line into its list of tokens and what surrounds it. A comment has an empty list.
func splitLine(line string) (before, list, after string) {
	line, isMarked := strings.CutPrefix(line, byteOrderMark) // on any line, because files may have been concatenated
	if isMarked {
		before = byteOrderMark
	}
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return before + line, "", ""
	}
	end := len(strings.TrimRight(line, "\r\n"))
	line, after = line[:end], line[end:]
	if m := tokensAssignment.FindStringSubmatch(line); m != nil && strings.TrimSpace(m[4]) == m[2] {
		return before + m[1], m[3], m[4] + after
	}
	return before, line, after
}

// List returns the tokens of a text in their order. Its errors are those of [Parse], but a text without a token is
// valid.
func List(text string) ([]Token, error) {
	t, err := parse(text, time.Now)
	if err != nil {
		return nil, err
	}
	return t.list, nil
}

// Append returns the text with one more token on a line of its own.
func Append(text string, t Token) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + t.String() + "\n"
}

// Revoke removes the owner's tokens whose hash begins with hashPrefix; an empty prefix matches all. It returns the rest
// of the text, with its comments, and the removed tokens. It fails if the text is not valid, if there is no such token,
// or if a prefix that is not empty matches several.
func Revoke(text, owner, hashPrefix string) (rest string, removed []Token, err error) {
	all, err := List(text)
	if err != nil {
		return "", nil, err
	}
	hashPrefix = strings.ToLower(strings.TrimPrefix(hashPrefix, "sha256:"))
	fits := func(t Token) bool { return t.Owner == owner && strings.HasPrefix(t.Digits(), hashPrefix) }
	for _, t := range all {
		if fits(t) {
			removed = append(removed, t)
		}
	}
	switch {
	case len(removed) == 0 && hashPrefix == "":
		return "", nil, fmt.Errorf("%q has no token", owner)
	case len(removed) == 0:
		return "", nil, fmt.Errorf("%q has no token whose hash begins with %s", owner, hashPrefix)
	case len(removed) > 1 && hashPrefix != "":
		return "", nil, errors.New("several hashes begin like that: give more digits, or none for all tokens of " +
			"the owner")
	}
	var kept strings.Builder
	for line := range strings.Lines(text) {
		before, list, after := splitLine(line)
		var fields []string
		gone := false
		for field := range strings.SplitSeq(list, ",") {
			if t, err := parseToken(field); err == nil && fits(t) {
				gone = true
			} else if strings.TrimSpace(field) != "" {
				fields = append(fields, field)
			}
		}
		switch {
		case !gone:
			kept.WriteString(line)
		case len(fields) > 0:
			kept.WriteString(before + strings.TrimSpace(strings.Join(fields, ",")) + after)
		case strings.HasPrefix(before, byteOrderMark):
			kept.WriteString(byteOrderMark)
		}
	}
	return kept.String(), removed, nil
}
