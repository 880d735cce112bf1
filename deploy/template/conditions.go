package template

import (
	"errors"
	"slices"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/unknown"
)

// Holds reports whether a condition holds. The condition "" always does. The error is [ErrUnknown] if that depends on a
// placeholder of s.Unknown.
func (t *Template) Holds(condition string, s Scope) (bool, error) {
	if condition == "" {
		return true, nil
	}
	return t.evaluator(s).named(&yaml.Node{Value: condition})
}

// CheckRules returns an error for the first assertion of the template's rules that fails.
func (t *Template) CheckRules(s Scope) error {
	e := t.evaluator(s)
	for _, rule := range t.rules {
		if when := get(rule, "RuleCondition"); when != nil {
			holds, err := e.condition(when)
			if err != nil {
				return err
			}
			if !holds {
				continue
			}
		}
		assertions := get(rule, "Assertions")
		if assertions == nil {
			continue
		}
		for _, assertion := range assertions.Content {
			holds, err := e.condition(get(assertion, "Assert"))
			if err != nil {
				return err
			}
			if !holds {
				message := "an assertion of the template's rules is false"
				if d := get(assertion, "AssertDescription"); d != nil {
					message = d.Value
				}
				return mistake(assertion, "%s", message)
			}
		}
	}
	return nil
}

// named reports whether a condition holds that a node names.
func (e *evaluator) named(n *yaml.Node) (bool, error) {
	condition, ok := e.t.conditions[n.Value]
	if !ok && e.s.Unknown != nil && !e.t.isWhole() {
		return false, ErrUnknown
	}
	if !ok {
		return false, mistake(n, "there is no condition %s", n.Value)
	}
	if slices.Contains(e.following, n.Value) {
		return false, mistake(condition, "the condition %s refers to itself", n.Value)
	}
	if known, ok := e.known[n.Value]; ok {
		return known.holds, known.doubt
	}
	e.following = append(e.following, n.Value)
	defer func() { e.following = e.following[:len(e.following)-1] }()
	holds, err := e.condition(condition)
	if err == nil || errors.Is(err, ErrUnknown) {
		e.known[n.Value] = result{holds, err}
	}
	return holds, err
}

// condition evaluates the functions of conditions.
func (e *evaluator) condition(n *yaml.Node) (bool, error) {
	f := functionOf(n)
	if n == nil {
		return false, &Error{Message: "a condition is missing"}
	}
	if f == nil {
		if name := get(n, "Condition"); name != nil {
			return e.named(name)
		}
		return false, mistake(n, "a condition needs a function such as Fn::Equals")
	}
	switch f.name {
	case "Condition":
		return e.named(f.argument)
	case "Fn::Equals":
		args, err := e.arguments(n, f, 2)
		if err != nil {
			return false, err
		}
		a, err := e.value(args[0])
		b, err2 := e.value(args[1])
		x, y := asString(a), asString(b)
		if e.s.Unknown != nil && err == nil && err2 == nil && x != y && unknown.MayEqual(x, y) {
			err = ErrUnknown
		}
		return x == y, errors.Join(err, err2)
	case "Fn::Contains":
		args, err := e.arguments(n, f, 2)
		if err != nil {
			return false, err
		}
		list, err := e.value(args[0])
		value, err2 := e.value(args[1])
		members, _ := list.([]any)
		return slices.ContainsFunc(members, func(m any) bool { return asString(m) == asString(value) }),
			errors.Join(err, err2)
	case "Fn::Not":
		args, err := e.arguments(n, f, 1)
		if err != nil {
			return false, err
		}
		holds, err := e.condition(args[0])
		return !holds, err
	case "Fn::And", "Fn::Or":
		if f.argument.Kind != yaml.SequenceNode {
			return false, mistake(n, "%s needs a list of conditions", f.name)
		}
		var doubt error
		for _, part := range f.argument.Content {
			holds, err := e.condition(part)
			if errors.Is(err, ErrUnknown) {
				doubt = err // the other parts may decide
			} else if err != nil || holds != (f.name == "Fn::And") {
				return holds, err
			}
		}
		return f.name == "Fn::And", doubt
	}
	return false, mistake(n, "%s is not a condition", f.name)
}
