package cloud

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jmespath/go-jmespath"
)

// generic is an answer as the aws CLI would print it.
func generic(output any, service string) any {
	text, err := json.Marshal(output)
	var value any
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		panic(err) // of the SDK's types
	}
	if service == "cloudwatchlogs" {
		return small(value)
	}
	return value
}

// small begins names with a small letter, as CloudWatch Logs does.
func small(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, one := range v {
			out[strings.ToLower(name[:1])+name[1:]] = small(one)
		}
		return out
	case []any:
		for i := range v {
			v[i] = small(v[i])
		}
	}
	return value
}

// merged appends the lists of a page to those of the pages before.
func merged(all, page any) any {
	before, ok := all.(map[string]any)
	if !ok {
		return page
	}
	for name, value := range page.(map[string]any) {
		if more, ok := value.([]any); ok {
			former, _ := before[name].([]any)
			before[name] = append(former, more...)
		}
	}
	return before
}

// Search is what a JMESPath expression finds in an answer.
func Search(expression string, in any) any {
	if expression == "" {
		return in
	}
	found, err := jmespath.Search(expression, in)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", expression, err)) // of expressions of ours
	}
	return found
}

// Texts are the texts in a list that an expression finds.
func Texts(expression string, in any) (all []string) {
	list, _ := Search(expression, in).([]any)
	for _, one := range list {
		if text, ok := one.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// Decode makes values of an answer.
func Decode(answer, into any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
