package stack

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// expression matches a string that is one expression of Terraform.
var expression = regexp.MustCompile(`^\$\{([^{}"]+)\}$`)

// identifier matches the keys of an object that need no quotes.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// hcl returns a value as an expression of Terraform. Its strings are templates.
func hcl(value any) string {
	switch v := value.(type) {
	case string:
		if found := expression.FindStringSubmatch(v); found != nil {
			return found[1]
		}
		return hclQuote(v)
	case fields:
		var out strings.Builder
		for _, name := range slices.Sorted(maps.Keys(v)) {
			key := name
			if !identifier.MatchString(name) {
				key = hclQuote(name)
			}
			fmt.Fprintf(&out, "%s = %s\n", key, hcl(v[name]))
		}
		return "{\n" + out.String() + "}"
	case []any:
		members := make([]string, len(v))
		for i, member := range v {
			members[i] = hcl(member)
		}
		return "[" + strings.Join(members, ", ") + "]"
	}
	return fmt.Sprint(value)
}

// hclLiteral returns text as a string of Terraform without expressions.
func hclLiteral(text string) string {
	return hclQuote(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text))
}

// hclQuote returns text in quotes. Terraform understands the escapes of JSON.
func hclQuote(text string) string {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // strings always encode
	}
	return strings.TrimSpace(out.String())
}
