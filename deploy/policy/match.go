package policy

import (
	"maps"
	"slices"
	"strings"
)

// Like reports whether a value fits a pattern in which * stands for any characters, also none and also / and :, and ?
// for one. Everything else, braces and $ too, stands for itself.
func Like(pattern, value string) bool {
	// star is where to go on when what came after the last * does not fit: with one more character given to it.
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

// ARNLike reports whether an ARN fits a pattern as ArnLike compares them: each of the six parts that colons separate by
// itself ("Amazon Resource Name (ARN) condition operators", IAM user guide), so that no * reaches beyond its part. What
// is no ARN of six parts fits nothing but "*".
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

// holds judges one condition: any of its values is enough, or for one that negates, none may fit. A key that the
// request does not have fits nothing, unless the operator ends with IfExists.
func holds(operator string, values Strings, got string, there bool) bool {
	name, ifExists := strings.CutSuffix(operator, "IfExists")
	if name == "Null" {
		return len(values) == 1 && (values[0] == "true") == !there
	}
	base := strings.Replace(name, "Not", "", 1) // StringNotEquals, ArnNotLike
	negated := base != name
	if !there {
		return ifExists || negated
	}
	compare := operators[base]
	return slices.ContainsFunc(values, func(want string) bool { return compare(want, got) }) != negated
}

// known reports whether an operator is judged here.
func known(operator string) bool {
	name := strings.TrimSuffix(operator, "IfExists")
	return name == "Null" || operators[strings.Replace(name, "Not", "", 1)] != nil && name != "NotBool"
}

// operators are the condition operators that are known here, without Not.
var operators = map[string]func(want, got string) bool{
	"StringEquals":           func(want, got string) bool { return want == got },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             Like,
	"ArnEquals":              ARNLike, // the same, says the guide
	"ArnLike":                ARNLike,
	"Bool":                   strings.EqualFold,
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
