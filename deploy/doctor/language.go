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

// text is a sentence in each language. {name} stands for a value.
type text struct{ en, ja string }

// In returns the text in a language, with {name} where a report has a value.
func (t text) In(l Language) string { return t.in(l, nil) }

// values are what a text is about.
type values map[string]any

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// in returns the text in a language, with its values. A name without a value stays as it is, as in the key of a route.
func (t text) in(l Language, of values) string {
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
