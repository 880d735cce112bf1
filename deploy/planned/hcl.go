package planned

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/unknown"
)

// A plan has the references in an expression whose value is not known yet, but not its text:
// "${…execution_arn}/*/*" and "${…execution_arn}" look alike. The text is in the configuration, which is read where it
// lies beside the plan.

// tfSource is the configuration of one module.
type tfSource struct {
	resources map[string]*hclsyntax.Block // by TYPE.NAME
	locals    map[string]hclsyntax.Expression
	outputs   map[string]hclsyntax.Expression
	calls     map[string]*hclsyntax.Body // of modules
	files     map[string]string          // of the resources
}

// sourceAt returns the configuration of a module, nil if it cannot be read.
func (r *tfReader) sourceAt(modules []string) *tfSource {
	folder, m := ".", r.doc.Config.Root
	for _, name := range modules {
		call := m.Calls[name]
		if !strings.HasPrefix(call.Source, ".") { // of a registry
			return nil
		}
		folder, m = path.Join(folder, call.Source), call.Module
	}
	if known, ok := r.sources[folder]; ok {
		return known
	}
	s := &tfSource{resources: map[string]*hclsyntax.Block{}, locals: map[string]hclsyntax.Expression{},
		outputs: map[string]hclsyntax.Expression{}, calls: map[string]*hclsyntax.Body{}, files: map[string]string{}}
	for _, name := range r.options.glob(path.Join(folder, "*.tf")) {
		s.read(name, r.options.open(name))
	}
	r.sources[folder] = s
	return s
}

// read adds a file. Terraform has accepted it; what cannot be read is left out.
func (s *tfSource) read(name string, text []byte) {
	if isDeep(text) {
		return
	}
	file, diagnostics := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if diagnostics.HasErrors() {
		return
	}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		switch {
		case block.Type == "resource" && len(block.Labels) == 2:
			address := strings.Join(block.Labels, ".")
			s.resources[address], s.files[address] = block, name
		case block.Type == "module" && len(block.Labels) == 1:
			s.calls[block.Labels[0]] = block.Body
		case block.Type == "output" && len(block.Labels) == 1 && block.Body.Attributes["value"] != nil:
			s.outputs[block.Labels[0]] = block.Body.Attributes["value"].Expr
		case block.Type == "locals":
			for local, attribute := range block.Body.Attributes {
				s.locals[local] = attribute.Expr
			}
		}
	}
}

// isDeep reports whether a configuration is so deeply nested that the library's parser might need more stack than there
// is. No person writes such a file.
func isDeep(text []byte) bool {
	const deepest = 500
	tokens, _ := hclsyntax.LexConfig(text, "", hcl.InitialPos)
	depth, inLine := 0, 0
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenNewline:
			inLine = 0
		case hclsyntax.TokenMinus, hclsyntax.TokenBang, hclsyntax.TokenQuestion: // each is a level too
			inLine++
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenTemplateSeqEnd:
			depth--
		}
		if depth+inLine > deepest {
			return true
		}
	}
	return false
}

// place returns where the configuration in a folder has a resource, and the lines of its attributes by CloudFormation's
// names.
func (s *tfSource) place(folder string, one *tfOne) (p doctor.Place, found bool) {
	address := one.Type + "." + one.Name
	if s == nil || s.resources[address] == nil {
		return p, false
	}
	block := s.resources[address]
	p = doctor.Place{File: path.Join(folder, s.files[address]), Line: block.DefRange().Start.Line, Name: one.Address,
		Lines: map[string]int{}}
	for name, attribute := range block.Body.Attributes {
		p.Lines[tfKinds[one.Type].property(name)] = attribute.NameRange.Start.Line
	}
	return p, true
}

// written returns the value of an attribute as the configuration has it. It reports false if it does not have it.
func (r *tfReader) written(one *tfOne, name string) (value string, found bool) {
	s := r.sourceAt(one.path)
	if s == nil || s.resources[one.Type+"."+one.Name] == nil {
		return "", false
	}
	attribute := s.resources[one.Type+"."+one.Name].Body.Attributes[name]
	if attribute == nil {
		return "", false
	}
	e := tfEvaluator{r: r, one: one, source: s, open: unknown.Open(one.Address + "." + name)}
	return e.text(attribute.Expr, 0), true
}

// tfEvaluator evaluates expressions of one resource.
type tfEvaluator struct {
	r      *tfReader
	one    *tfOne
	source *tfSource
	open   string // for what is not known
}

// text returns the value of an expression as text, with placeholders for what is not known.
func (e tfEvaluator) text(expression hclsyntax.Expression, depth int) string {
	switch v := e.value(expression, depth).(type) {
	case string:
		return v
	case bool, json.Number:
		return fmt.Sprint(v)
	}
	return e.open
}

// value returns the value of an expression: a string, bool, json.Number, []any or map[string]any. What is not known is
// a placeholder.
func (e tfEvaluator) value(expression hclsyntax.Expression, depth int) any {
	const deepest, most = 20, 200_000
	if e.r.steps++; depth > deepest || e.r.steps > most {
		return e.open
	}
	switch x := expression.(type) {
	case *hclsyntax.TemplateExpr:
		var out strings.Builder
		for _, part := range x.Parts {
			out.WriteString(e.text(part, depth+1))
		}
		return out.String()
	case *hclsyntax.TemplateWrapExpr:
		return e.value(x.Wrapped, depth+1)
	case *hclsyntax.ParenthesesExpr:
		return e.value(x.Expression, depth+1)
	case *hclsyntax.ObjectConsKeyExpr:
		return e.key(x, depth)
	case *hclsyntax.LiteralValueExpr:
		return e.literal(x.Val)
	case *hclsyntax.ConditionalExpr:
		if a, b := e.value(x.TrueResult, depth+1), e.value(x.FalseResult, depth+1); reflect.DeepEqual(a, b) {
			return a
		}
	case *hclsyntax.TupleConsExpr:
		all := []any{}
		for _, one := range x.Exprs {
			all = append(all, e.value(one, depth+1))
		}
		return all
	case *hclsyntax.ObjectConsExpr:
		all := map[string]any{}
		for _, item := range x.Items {
			all[e.text(item.KeyExpr, depth+1)] = e.value(item.ValueExpr, depth+1)
		}
		return all
	case *hclsyntax.FunctionCallExpr:
		return e.call(x, depth)
	case *hclsyntax.ScopeTraversalExpr:
		return e.reference(x.Traversal, depth)
	}
	return e.open
}

// key returns the key of a mapping: a word stands for itself.
func (e tfEvaluator) key(x *hclsyntax.ObjectConsKeyExpr, depth int) any {
	if word := hcl.ExprAsKeyword(x.Wrapped); word != "" && !x.ForceNonLiteral {
		return word
	}
	return e.value(x.Wrapped, depth+1)
}

// literal returns a value that is written as it is.
func (e tfEvaluator) literal(v cty.Value) any {
	if v.IsNull() || !v.IsKnown() {
		return e.open
	}
	switch v.Type() {
	case cty.String:
		return v.AsString()
	case cty.Bool:
		return v.True()
	case cty.Number:
		return json.Number(v.AsBigFloat().Text('f', -1))
	}
	return e.open
}

// call returns the value of a function that encodes or converts its argument.
func (e tfEvaluator) call(x *hclsyntax.FunctionCallExpr, depth int) any {
	if len(x.Args) != 1 {
		return e.open
	}
	switch x.Name {
	case "toset", "tolist", "tomap", "tostring":
		return e.value(x.Args[0], depth+1)
	case "jsonencode":
		if encoded, err := json.Marshal(e.value(x.Args[0], depth+1)); err == nil {
			return string(encoded)
		}
	}
	return e.open
}

// each returns what each.key or each.value stands for in the resource.
func (e tfEvaluator) each(name string, depth int) any {
	key, isText := e.one.Index.(string)
	block := e.source.resources[e.one.Type+"."+e.one.Name]
	if !isText || block == nil || block.Body.Attributes["for_each"] == nil {
		return e.open
	}
	if name == "key" {
		return key
	}
	switch all := e.value(block.Body.Attributes["for_each"].Expr, depth+1).(type) {
	case map[string]any:
		if value, known := all[key]; known {
			return value
		}
	case []any: // of a set, whose values are its keys
		return key
	}
	return e.open
}

// reference returns the value of a reference.
func (e tfEvaluator) reference(t hcl.Traversal, depth int) any {
	var parts []string
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			parts = append(parts, s.Name)
		case hcl.TraverseAttr:
			parts = append(parts, s.Name)
		case hcl.TraverseIndex:
			key, err := convert.Convert(s.Key, cty.String)
			if err != nil || len(parts) != 2 || key.IsNull() || !key.IsKnown() {
				return e.open
			}
			parts[1] += "[" + key.AsString() + "]"
		default:
			return e.open
		}
	}
	switch {
	case len(parts) == 2 && parts[0] == "each":
		return e.each(parts[1], depth)
	case len(parts) == 2 && parts[0] == "local" && e.source.locals[parts[1]] != nil:
		return e.value(e.source.locals[parts[1]], depth+1)
	case len(parts) > 1:
		if value, known := e.r.lookUp(e.one, e.one.path, e.one.module, strings.Join(parts, ".")); known {
			return text(value)
		}
	}
	return e.open
}
