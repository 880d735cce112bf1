package template

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Parameter is a parameter of a template.
type Parameter struct {
	Name, Type, Description string
	Line                    int     // of its name, from 1
	Default                 *string // nil for none
	NoEcho                  bool    // its value is secret
	AllowedValues           []string

	pattern, constraint                    string
	minLength, maxLength, minValue, maxVal *float64
}

func (t *Template) readParameter(key, n *yaml.Node) (err error) {
	name := key.Value
	p := Parameter{Name: name, Line: key.Line}
	number := func(at *yaml.Node) *float64 {
		value, e := strconv.ParseFloat(at.Value, 64)
		if e != nil {
			err = mistake(at, "a number is expected, not %q", at.Value)
		}
		return &value
	}
	for attribute, value := range pairs(n) {
		switch attribute.Value {
		case "Type":
			p.Type, err = text(value)
		case "Description":
			p.Description, err = text(value)
		case "Default":
			var values []string
			values, err = texts(value)
			joined := strings.Join(values, ",")
			p.Default = &joined
		case "NoEcho":
			p.NoEcho = strings.EqualFold(value.Value, "true")
		case "AllowedValues":
			p.AllowedValues, err = texts(value)
		case "AllowedPattern":
			p.pattern, err = text(value)
		case "ConstraintDescription":
			p.constraint, err = text(value)
		case "MinLength":
			p.minLength = number(value)
		case "MaxLength":
			p.maxLength = number(value)
		case "MinValue":
			p.minValue = number(value)
		case "MaxValue":
			p.maxVal = number(value)
		default:
			err = mistake(attribute, "the parameter %s has no attribute %s", name, attribute.Value)
		}
		if err != nil {
			return err
		}
	}
	if p.Type == "" {
		return mistake(n, "the parameter %s must be a mapping with a Type, such as String", name)
	}
	t.Parameters = append(t.Parameters, p)
	return nil
}

// IsFromSSM reports whether the parameter's value is the name of a parameter of Systems Manager.
func (p Parameter) IsFromSSM() bool { return strings.HasPrefix(p.Type, "AWS::SSM::Parameter::Value<") }

// isList reports whether the parameter is a list.
func (p Parameter) isList() bool {
	return p.Type == "CommaDelimitedList" || strings.Contains(p.Type, "List<")
}

// Check returns an error if a value breaks the parameter's constraints.
func (p Parameter) Check(value string) error {
	wrong := func(format string, values ...any) error {
		message := fmt.Sprintf("the parameter %s ", p.Name) + fmt.Sprintf(format, values...)
		if p.constraint != "" {
			message += ": " + p.constraint
		}
		return errors.New(message)
	}
	values := []string{value}
	if p.isList() {
		values = splitList(value)
	}
	for _, one := range values {
		number, notNumber := strconv.ParseFloat(one, 64)
		isNumber := strings.Contains(p.Type, "Number")
		switch {
		case p.AllowedValues != nil && !slices.Contains(p.AllowedValues, one):
			return wrong("must be one of [%s]", strings.Join(p.AllowedValues, ", "))
		case isNumber && notNumber != nil:
			return wrong("must be a number, not %q", one)
		case isNumber && (p.minValue != nil && number < *p.minValue || p.maxVal != nil && number > *p.maxVal):
			return wrong("is %s, which is out of range", one)
		case p.minLength != nil && float64(utf8.RuneCountInString(one)) < *p.minLength:
			return wrong("must have at least %v characters", *p.minLength)
		case p.maxLength != nil && float64(utf8.RuneCountInString(one)) > *p.maxLength:
			return wrong("must have at most %v characters", *p.maxLength)
		}
		if p.pattern != "" {
			pattern, err := regexp.Compile(`^(?:` + p.pattern + `)$`)
			if err == nil && !pattern.MatchString(one) { // Java's patterns can be more than Go's
				return wrong("must match pattern %s", p.pattern)
			}
		}
	}
	return nil
}

// Value returns the value of Ref for a value of the parameter: a string, or a list of strings.
func (p Parameter) Value(value string) any {
	if !p.isList() {
		return value
	}
	list := []any{}
	for _, one := range splitList(value) {
		list = append(list, one)
	}
	return list
}

func splitList(value string) (all []string) {
	if value == "" {
		return nil
	}
	for one := range strings.SplitSeq(value, ",") {
		all = append(all, strings.TrimSpace(one))
	}
	return all
}
