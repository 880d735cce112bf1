package template

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/unknown"
)

// Scope has what a template refers to. All functions must be set; their errors become errors with the line of the
// reference. Values has an entry for each parameter, and for each pseudo parameter except AWS::NoValue.
type Scope struct {
	Values    map[string]any                             // of parameters and pseudo parameters, by name
	Ref       func(resource string) (any, error)         // value of Ref for a resource
	Attribute func(resource, name string) (any, error)   // value of Fn::GetAtt
	Import    func(name string) (any, error)             // value of Fn::ImportValue
	Resolve   func(service, name string) (string, error) // value of {{resolve:SERVICE:NAME}}
	// Unknown returns the placeholder of a value that cannot be evaluated. If nil, such a value is an error.
	Unknown func(name string) string
}

// ErrUnknown reports that a condition depends on a value that is not known.
var ErrUnknown = errors.New("the condition depends on a value that is not known")

// removed is the value of AWS::NoValue.
type removed struct{}

// Evaluate returns the value of a node: a string, bool, json.Number, map[string]any or []any. A value from the scope is
// returned as it is. A nil node is an empty mapping. AWS::NoValue is removed from mappings and lists, and is nil by
// itself.
func (t *Template) Evaluate(n *yaml.Node, s Scope) (any, error) {
	if n == nil {
		return map[string]any{}, nil
	}
	value, err := t.evaluator(s).value(n)
	if _, ok := value.(removed); ok {
		value = nil
	}
	return value, err
}

type evaluator struct {
	t         *Template
	s         Scope
	following []string          // conditions being evaluated, to find cycles
	known     map[string]result // of conditions
}

// result is that of a condition.
type result struct {
	holds bool
	doubt error // ErrUnknown if it is not known
}

func (t *Template) evaluator(s Scope) *evaluator {
	return &evaluator{t: t, s: s, known: map[string]result{}}
}

// fail returns the placeholder of what a function cannot evaluate, or an error. The line is in the name, because other
// calls of the function have other values.
func (e *evaluator) fail(n *yaml.Node, name, format string, values ...any) (any, error) {
	if e.s.Unknown != nil {
		return e.s.Unknown(e.numbered(name, n)), nil
	}
	return nil, mistake(n, format, values...)
}

// numbered returns the name of a function with where it is called.
func (e *evaluator) numbered(name string, n *yaml.Node) string {
	return fmt.Sprintf("%s.%d.%d", name, n.Line, n.Column)
}

// missing returns the placeholder of what a reference names, or an error if the template would have it.
func (e *evaluator) missing(n *yaml.Node, name, format string, values ...any) (any, error) {
	if e.s.Unknown != nil && !e.t.isWhole() {
		return e.s.Unknown(name), nil
	}
	return nil, mistake(n, format, values...)
}

// function is a call of a function of CloudFormation.
type function struct {
	name     string // Ref, Condition or Fn::NAME
	argument *yaml.Node
}

// functions are the functions of CloudFormation.
var functions = []string{
	"Ref",
	"Condition",
	"Fn::And",
	"Fn::Base64",
	"Fn::Cidr",
	"Fn::Contains",
	"Fn::EachMemberEquals",
	"Fn::EachMemberIn",
	"Fn::Equals",
	"Fn::FindInMap",
	"Fn::ForEach",
	"Fn::GetAZs",
	"Fn::GetAtt",
	"Fn::If",
	"Fn::ImportValue",
	"Fn::Join",
	"Fn::Length",
	"Fn::Not",
	"Fn::Or",
	"Fn::RefAll",
	"Fn::Select",
	"Fn::Split",
	"Fn::Sub",
	"Fn::ToJsonString",
	"Fn::Transform",
	"Fn::ValueOf",
	"Fn::ValueOfAll",
}

// functionOf returns the function that a node calls; nil if it is a plain value.
func functionOf(n *yaml.Node) *function {
	if n == nil {
		return nil
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		argument := *n
		argument.Tag = ""
		name := n.Tag[1:]
		if name != "Ref" && name != "Condition" {
			name = "Fn::" + name
		}
		if name == "Fn::GetAtt" && n.Kind == yaml.ScalarNode { // !GetAtt NAME.ATTRIBUTE
			first, rest, _ := strings.Cut(n.Value, ".")
			argument = yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{
				{
					Kind:  yaml.ScalarNode,
					Line:  n.Line,
					Value: first,
				}, {Kind: yaml.ScalarNode, Line: n.Line, Value: rest}}}
		}
		if n.Kind == yaml.ScalarNode && name != "Fn::GetAtt" {
			argument.Tag = "!!str"
		}
		return &function{name, &argument}
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		key, value := n.Content[0], n.Content[1]
		if key.Value == "Ref" || strings.HasPrefix(key.Value, "Fn::") {
			if key.Value == "Fn::GetAtt" && value.Kind == yaml.ScalarNode {
				return functionOf(
					&yaml.Node{Kind: yaml.ScalarNode, Tag: "!GetAtt", Value: value.Value, Line: value.Line},
				)
			}
			return &function{key.Value, value}
		}
	}
	return nil
}

// scalar returns the value of a scalar that calls no function.
func scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if isJSONNumber(n.Value) {
			return json.Number(n.Value)
		}
	}
	return n.Value // dates are strings too, as in Version: 2012-10-17
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func isJSONNumber(text string) bool { return jsonNumber.MatchString(text) }

// value evaluates a node. Dynamic references are resolved last, because functions may compose them.
func (e *evaluator) value(n *yaml.Node) (any, error) {
	value, err := e.unresolved(n)
	if text, ok := value.(string); ok && err == nil && strings.Contains(text, "{{resolve:") {
		return e.resolve(n, text)
	}
	return value, err
}

func (e *evaluator) unresolved(n *yaml.Node) (any, error) {
	if f := functionOf(n); f != nil {
		return e.call(n, f)
	}
	switch n.Kind {
	case yaml.MappingNode:
		all := map[string]any{}
		for key, member := range pairs(n) {
			value, err := e.value(member)
			if err != nil {
				return nil, err
			}
			if _, ok := value.(removed); !ok {
				all[key.Value] = value
			}
		}
		return all, nil
	case yaml.SequenceNode:
		all := []any{}
		for _, member := range n.Content {
			value, err := e.value(member)
			if err != nil {
				return nil, err
			}
			if _, ok := value.(removed); !ok {
				all = append(all, value)
			}
		}
		return all, nil
	}
	return scalar(n), nil
}

var dynamic = regexp.MustCompile(`\{\{resolve:([a-z-]+):([^}]+)\}\}`)

// resolve replaces the dynamic references in a string.
func (e *evaluator) resolve(n *yaml.Node, s string) (any, error) {
	var failed error
	s = dynamic.ReplaceAllStringFunc(s, func(reference string) string {
		found := dynamic.FindStringSubmatch(reference)
		value, err := e.s.Resolve(found[1], found[2])
		if err != nil && failed == nil {
			failed = mistake(n, "%s: %v", reference, err)
		}
		return value
	})
	return s, failed
}

// call evaluates a function ("Intrinsic function reference", CloudFormation template reference).
func (e *evaluator) call(n *yaml.Node, f *function) (any, error) {
	switch f.name {
	case "Ref":
		return e.ref(n, f.argument.Value)
	case "Fn::GetAtt":
		return e.getAtt(n, f.argument)
	case "Fn::Sub":
		return e.sub(f.argument)
	case "Fn::If":
		args, err := e.arguments(n, f, 3)
		if err != nil {
			return nil, err
		}
		holds, err := e.named(args[0])
		if errors.Is(err, ErrUnknown) {
			return e.either(n, args)
		}
		if err != nil {
			return nil, err
		}
		if holds {
			return e.value(args[1])
		}
		return e.value(args[2])
	case "Fn::FindInMap":
		return e.findInMap(n, f.argument)
	case "Fn::GetAZs":
		region, err := e.string(f.argument)
		if region == "" {
			region, _ = e.s.Values["AWS::Region"].(string)
		}
		return []any{region + "a", region + "b", region + "c"}, err // made up: the zones depend on the account
	case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		return nil, mistake(n, "%s is allowed only in conditions", f.name)
	}
	argument, err := e.value(f.argument)
	if err != nil {
		return nil, err
	}
	list, _ := argument.([]any)
	switch f.name {
	case "Fn::Join":
		if len(list) == 2 {
			if members, ok := list[1].([]any); ok {
				return e.join(n, asString(list[0]), members)
			}
		}
		return e.fail(n, "Fn.Join", "Fn::Join needs a separator and a list")
	case "Fn::Split":
		if len(list) == 2 && !unknown.In(asString(list[1])) {
			all := []any{}
			for part := range strings.SplitSeq(asString(list[1]), asString(list[0])) {
				all = append(all, part)
			}
			return all, nil
		}
		return e.fail(n, "Fn.Split", "Fn::Split needs a separator and a string")
	case "Fn::Select":
		if len(list) == 2 {
			members, ok := list[1].([]any)
			i, err := strconv.Atoi(asString(list[0]))
			if ok && err == nil && i >= 0 && i < len(members) {
				return members[i], nil
			}
		}
		return e.fail(n, "Fn.Select", "Fn::Select needs an index and a list that has it")
	case "Fn::Base64":
		return base64.StdEncoding.EncodeToString([]byte(asString(argument))), nil
	case "Fn::ImportValue":
		value, err := e.s.Import(asString(argument))
		if err != nil {
			return nil, mistake(n, "%v", err)
		}
		return value, nil
	case "Fn::Length":
		return json.Number(strconv.Itoa(len(list))), nil
	case "Fn::ToJsonString":
		text, err := json.Marshal(argument)
		return string(text), err
	}
	return e.fail(n, strings.Replace(f.name, "::", ".", 1), "%s is not supported here", f.name)
}

// either evaluates Fn::If whose condition is not known. The value is known only if both sides are equal.
func (e *evaluator) either(n *yaml.Node, args []*yaml.Node) (any, error) {
	a, err := e.value(args[1])
	b, err2 := e.value(args[2])
	if err != nil || err2 != nil || reflect.DeepEqual(a, b) {
		return a, errors.Join(err, err2)
	}
	return e.s.Unknown(e.numbered("Fn.If."+args[0].Value, n)), nil
}

// arguments returns the arguments of a function that needs a certain number of them.
func (e *evaluator) arguments(n *yaml.Node, f *function, count int) ([]*yaml.Node, error) {
	if f.argument.Kind != yaml.SequenceNode || len(f.argument.Content) != count {
		return nil, mistake(n, "%s needs a list of %d values", f.name, count)
	}
	return f.argument.Content, nil
}

// asString returns a scalar as text.
func asString(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil, removed:
		return ""
	}
	return fmt.Sprint(value)
}

func (e *evaluator) string(n *yaml.Node) (string, error) {
	value, err := e.value(n)
	return asString(value), err
}

// at returns an error with the line of a node, unless it has the line of the mistake already.
func at(n *yaml.Node, err error) error {
	if located := new(Error); errors.As(err, &located) {
		return err
	}
	return mistake(n, "%v", err)
}

func (e *evaluator) ref(n *yaml.Node, name string) (any, error) {
	if name == "AWS::NoValue" {
		return removed{}, nil
	}
	if value, ok := e.s.Values[name]; ok {
		return value, nil
	}
	if e.t.Resource(name) == nil {
		return e.missing(n, name, "there is no parameter or resource %s", name)
	}
	value, err := e.s.Ref(name)
	if err != nil {
		return nil, at(n, err)
	}
	return value, nil
}

func (e *evaluator) getAtt(n, argument *yaml.Node) (any, error) {
	if argument.Kind != yaml.SequenceNode || len(argument.Content) < 2 {
		return nil, mistake(n, "Fn::GetAtt needs the name of a resource and of an attribute")
	}
	name := argument.Content[0].Value
	var parts []string
	for _, part := range argument.Content[1:] {
		one, err := e.string(part)
		if err != nil {
			return nil, err
		}
		parts = append(parts, one)
	}
	return e.attribute(n, name, strings.Join(parts, "."))
}

func (e *evaluator) attribute(n *yaml.Node, resource, name string) (any, error) {
	if e.t.Resource(resource) == nil {
		return e.missing(n, resource+"."+name, "there is no resource %s", resource)
	}
	value, err := e.s.Attribute(resource, name)
	if err != nil {
		return nil, at(n, err)
	}
	return value, nil
}

func (e *evaluator) findInMap(n, argument *yaml.Node) (any, error) {
	if argument.Kind != yaml.SequenceNode || len(argument.Content) < 3 {
		return nil, mistake(n, "Fn::FindInMap needs a map and two keys")
	}
	var path []string
	for _, part := range argument.Content[:3] {
		one, err := e.string(part)
		if err != nil {
			return nil, err
		}
		path = append(path, one)
	}
	at := e.t.mappings
	for _, key := range path {
		at = get(at, key)
	}
	if at != nil {
		return e.value(at)
	}
	if len(argument.Content) == 4 {
		if fallback := get(argument.Content[3], "DefaultValue"); fallback != nil {
			return e.value(fallback)
		}
	}
	return e.fail(n, "Fn.FindInMap."+strings.Join(path, "."), "the mappings have no [%s]", strings.Join(path, ", "))
}
