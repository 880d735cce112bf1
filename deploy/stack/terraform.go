package stack

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
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
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}

// hclQuote returns a template of Terraform as a string.
func hclQuote(text string) string {
	return strings.NewReplacer("$${", "${", "%%{", "%{").Replace(hclLiteral(text))
}
