package policy

import (
	"maps"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/unknown"
)

// Like reports whether a value matches a pattern. In the pattern * matches any sequence of characters, including / and
// :, and ? matches one character. All others, including braces and $, match themselves.
func Like(pattern, value string) bool {
	// star is the last * in the pattern. After a mismatch it takes one more character, and matching resumes there.
	star, resume := -1, 0
	p, v := 0, 0
	for v < len(value) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, v
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == value[v]):
			p, v = p+1, v+1
		case star >= 0:
			resume++
			p, v = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// ARNLike reports whether an ARN matches a pattern as the operator ArnLike compares them: each of the six
// colon-separated parts by itself, so that no * spans parts ("Amazon Resource Name (ARN) condition operators", IAM user
// guide). A value that does not have six parts matches only "*".
func ARNLike(pattern, value string) bool {
	want, got := strings.SplitN(pattern, ":", 6), strings.SplitN(value, ":", 6)
	if len(want) != 6 || len(got) != 6 {
		return pattern == "*"
	}
	for i := range want {
		if !Like(want[i], got[i]) {
			return false
		}
	}
	return true
}

// holds reports whether a condition holds: one of its values matches or, for a negated operator, none does. A key that
// the request lacks matches no value, but satisfies an operator that ends in IfExists.
func holds(operator string, values Strings, got string, exists bool) bool {
	name, ifExists := strings.CutSuffix(operator, "IfExists")
	if name == "Null" {
		return len(values) == 1 && (values[0] == "true") == !exists
	}
	base := strings.Replace(name, "Not", "", 1) // StringNotEquals, ArnNotLike
	negated := base != name
	if !exists {
		return ifExists || negated
	}
	compare := operators[base]
	return slices.ContainsFunc(values, func(want string) bool { return compare(want, got) }) != negated
}

// isOpen reports whether it is not known yet if a condition holds, because a value is open.
func isOpen(operator string, values Strings, got string) bool {
	base := strings.Replace(strings.TrimSuffix(operator, "IfExists"), "Not", "", 1)
	compare := operators[base]
	if compare == nil || slices.ContainsFunc(values, func(want string) bool { return compare(want, got) }) {
		return false
	}
	return slices.ContainsFunc(values, func(want string) bool {
		if strings.HasPrefix(base, "Arn") {
			return mayMatchARN(want, got)
		}
		return unknown.MayMatch(want, got)
	})
}

// mayMatchARN reports whether an ARN may match a pattern as ARNLike compares them, once what is open is known. An empty
// part of a pattern never does: a region or an account is not empty.
func mayMatchARN(pattern, value string) bool {
	want, got := strings.SplitN(pattern, ":", 6), strings.SplitN(value, ":", 6)
	if len(want) != 6 || len(got) != 6 {
		return unknown.OpenForm(pattern) && unknown.MayMatch(pattern, value)
	}
	open := false
	for i := range want {
		switch {
		case Like(want[i], got[i]):
		case want[i] != "" && unknown.MayMatch(want[i], got[i]):
			open = true
		default:
			return false
		}
	}
	return open
}

// known reports whether this package evaluates an operator.
func known(operator string) bool {
	name := strings.TrimSuffix(operator, "IfExists")
	return name == "Null" || operators[strings.Replace(name, "Not", "", 1)] != nil && name != "NotBool"
}

// operators are the known condition operators, without Not.
var operators = map[string]func(want, got string) bool{
	"StringEquals":           func(want, got string) bool { return want == got },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             Like,
	"ArnEquals":              ARNLike, // the guide says that the two behave alike
	"ArnLike":                ARNLike,
	"Bool":                   strings.EqualFold,
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
