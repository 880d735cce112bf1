package unknown_test

import (
	"slices"
	"testing"

	"example.com/portable-notes/deploy/unknown"
)

func TestMayMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{
		{"notes", "notes", false}, // nothing is open: it is known whether they match
		{"«Name»", "notes", true},
		{"notes", "«Name»", true},
		{"«Stage»/GET/notes", "dev/GET/notes", true},
		{"«Stage»/GET/notes", "dev/POST/notes", false},
		{"dev/*/notes", "«Stage»/GET/notes", true},
		{"dev/*/notes", "«Stage»/GET/other", false},
		{"dev/G?T/notes", "«Stage»/GET/notes", true},
		{"«A»-«B»", "x-y", true},
		{"«A»-«B»", "xy", false},
		{"a«A»", "«B»b", true},
		{"a«A»c", "a", false},
		{"‹Api›/«Stage»", "‹Api›/dev", true},
		{"‹Api›/«Stage»", "‹Other›/dev", false},
		{"", "«Stage»", true},
		{"«Stack»-auth", "«Stack»", false}, // whatever the stack's name is
		{"«Stack»-*", "«Stack»-auth", true},
		{"a-«Stack»", "b-«Stack»", false},
		{"«Stack", "«Stack»", true},
	} {
		t.Run(c.pattern+" "+c.value, func(t *testing.T) {
			if got := unknown.MayMatch(c.pattern, c.value); got != c.want {
				t.Error(got)
			}
		})
	}
}

func TestMayEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"*", "*", true}, {"*", "x", false}, {"«A»", "x", true}, {"a«A»", "b", false}, {"‹A›", "‹A›", true},
		{"‹A›", "a", false},
	} {
		t.Run(c.a+" "+c.b, func(t *testing.T) {
			if got := unknown.MayEqual(c.a, c.b); got != c.want {
				t.Error(got)
			}
		})
	}
}

func TestPlaceholders(t *testing.T) {
	marked := unknown.Replace("a ‹B› «C.D» e", func(name string) string { return "[" + name + "]" })
	if marked != "a [B] [C.D] e" {
		t.Error(marked)
	}
	if got := unknown.New(`aws_lambda_function.app["a/b:*"]`); got != `‹aws_lambda_function.app["a.b."]›` {
		t.Error(got)
	}
	if got := unknown.Open("AWS::Region"); got != "«AWS.Region»" || !unknown.In(got) || unknown.In("‹A›") ||
		!unknown.Inside("‹A›") || unknown.Inside("a") {
		t.Error(got)
	}
}

func TestNames(t *testing.T) {
	if got := unknown.Names("«AWS.Region» ‹Api› «Stage» «Stage»"); !slices.Equal(got, []string{"AWS.Region", "Stage"}) {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]bool{"a": false, "‹Api›": false, "«AWS.Region»": false,
		"«AWS.Region»«X»": true} {
		if unknown.OpenForm(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}
