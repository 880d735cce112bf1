package template

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxText is the maximum length in bytes of a text that functions compose. It is that of a template, 1 MB
// ("CloudFormation quotas").
const maxText = 1 << 20

func (e *evaluator) join(n *yaml.Node, separator string, members []any) (any, error) {
	var all []string
	for _, member := range members {
		switch member.(type) {
		case map[string]any, []any:
			return e.fail(n, "Fn.Join", "Fn::Join joins strings only")
		}
		all = append(all, asString(member))
	}
	return bounded(n, strings.Join(all, separator))
}

// bounded returns a text, or an error if it is too long.
func bounded(n *yaml.Node, text string) (any, error) {
	if len(text) > maxText {
		return nil, mistake(n, "the functions compose a text of %d bytes, but at most %d are possible", len(text),
			maxText)
	}
	return text, nil
}

var placeholder = regexp.MustCompile(`\$\{([^{}]*)\}`)

// sub evaluates Fn::Sub, whose argument is a string, or a list of a string and a mapping of further names.
func (e *evaluator) sub(argument *yaml.Node) (any, error) {
	var more *yaml.Node
	template := argument
	if argument.Kind == yaml.SequenceNode && len(argument.Content) == 2 {
		template, more = argument.Content[0], argument.Content[1]
	}
	if template.Kind != yaml.ScalarNode {
		return e.fail(argument, "Fn.Sub", "Fn::Sub needs a string, or a string and a mapping")
	}
	var failed error
	known := map[string]string{} // values of the mapping
	replaced := placeholder.ReplaceAllStringFunc(template.Value, func(found string) string {
		name := strings.TrimSpace(found[2 : len(found)-1])
		if strings.HasPrefix(name, "!") {
			return "${" + name[1:] + "}"
		}
		if failed != nil { // the values of others may take long to fail too
			return ""
		}
		var value any
		var err error
		if text, ok := known[name]; ok {
			return text
		}
		if given := get(more, name); given != nil {
			value, err = e.value(given)
			known[name] = asString(value)
		} else if resource, attribute, ok := strings.Cut(name, "."); ok {
			value, err = e.attribute(template, resource, attribute)
		} else {
			value, err = e.ref(template, name)
		}
		failed = err
		return asString(value)
	})
	if failed != nil {
		return nil, failed
	}
	return bounded(template, replaced)
}
