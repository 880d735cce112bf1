package policy

import (
	"maps"
	"slices"
	"strings"
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
