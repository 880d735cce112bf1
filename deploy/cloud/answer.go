package cloud

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jmespath/go-jmespath"
)

// toGeneric converts an output of the SDK to the JSON values that the aws CLI prints.
func toGeneric(output any, service string) any {
	text, err := json.Marshal(output)
	var value any
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		panic(err) // the SDK's types always marshal
	}
	if service == "cloudwatchlogs" {
		return lowerNames(value)
	}
	return value
}

// lowerNames lower-cases the first letter of member names, as CloudWatch Logs writes them.
func lowerNames(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			out[strings.ToLower(name[:1])+name[1:]] = lowerNames(member)
		}
		return out
	case []any:
		for i := range v {
			v[i] = lowerNames(v[i])
		}
	}
	return value
}

// appendPage appends the lists of a page to the lists of the pages before it.
func appendPage(all, page any) any {
	object, ok := all.(map[string]any)
	if !ok {
		return page
	}
	for name, value := range page.(map[string]any) {
		if more, ok := value.([]any); ok {
			list, _ := object[name].([]any)
			object[name] = append(list, more...)
		}
	}
	return object
}

// Search evaluates a JMESPath expression on an answer. It panics if the expression is malformed.
func Search(expression string, answer any) any {
	if expression == "" {
		return answer
	}
	result, err := jmespath.Search(expression, answer)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", expression, err)) // expressions are constants of this program
	}
	return result
}

// Texts returns the strings in the list that a JMESPath expression selects.
func Texts(expression string, answer any) (all []string) {
	list, _ := Search(expression, answer).([]any)
	for _, element := range list {
		if text, ok := element.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// Decode stores an answer in the value that into points to.
func Decode(answer, into any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
