package doctor

import (
	"fmt"
	"regexp"
)

// Language is the language of a report: en or ja.
type Language string

// The languages.
const (
	English  Language = "en"
	Japanese Language = "ja"
)

// phrase is a sentence in each language, with placeholders such as {name} for values.
type phrase struct{ en, ja string }

// In returns the text in a language, with its placeholders.
func (t phrase) In(l Language) string { return t.in(l, nil) }

// values are the values of placeholders.
type values map[string]any

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// in returns the text in a language, with values for its placeholders. A name in braces without a value is kept: it may
// belong to a route key.
func (t phrase) in(l Language, of values) string {
	words := t.en
	if l == Japanese {
		words = t.ja
	}
	return placeholder.ReplaceAllStringFunc(words, func(name string) string {
		if value, ok := of[name[1:len(name)-1]]; ok {
			return fmt.Sprint(value)
		}
		return name
	})
}
