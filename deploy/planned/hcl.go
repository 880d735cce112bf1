package planned

import (
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

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
	files     map[string]string // of the resources
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
		files: map[string]string{}}
	for _, name := range r.options.glob(path.Join(folder, "*.tf")) {
		s.read(name, r.options.open(name))
	}
	r.sources[folder] = s
	return s
}

// read adds a file. Terraform has accepted it; what cannot be read is left out.
func (s *tfSource) read(name string, text []byte) {
	file, diagnostics := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if diagnostics.HasErrors() {
		return
	}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		switch {
		case block.Type == "resource" && len(block.Labels) == 2:
			address := strings.Join(block.Labels, ".")
			s.resources[address], s.files[address] = block, name
		case block.Type == "locals":
			for local, attribute := range block.Body.Attributes {
				s.locals[local] = attribute.Expr
			}
		}
	}
}

// place returns where the configuration has a resource, and the lines of its attributes by CloudFormation's names.
func (s *tfSource) place(one *tfOne) (p doctor.Place, found bool) {
	address := one.Type + "." + one.Name
	if s == nil || s.resources[address] == nil {
		return p, false
	}
	block := s.resources[address]
	p = doctor.Place{File: s.files[address], Line: block.DefRange().Start.Line, Name: one.Address,
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

// text returns the value of an expression, with placeholders for what is not known.
func (e tfEvaluator) text(expression hclsyntax.Expression, depth int) string {
	const deepest = 20
	if depth > deepest {
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
		return e.text(x.Wrapped, depth+1)
	case *hclsyntax.ParenthesesExpr:
		return e.text(x.Expression, depth+1)
	case *hclsyntax.LiteralValueExpr:
		if x.Val.Type() == cty.String && x.Val.IsKnown() && !x.Val.IsNull() {
			return x.Val.AsString()
		}
	case *hclsyntax.ConditionalExpr:
		if a, b := e.text(x.TrueResult, depth+1), e.text(x.FalseResult, depth+1); a == b {
			return a
		}
	case *hclsyntax.ScopeTraversalExpr:
		return e.reference(x.Traversal, depth)
	}
	return e.open
}

// reference returns the value of a reference.
func (e tfEvaluator) reference(t hcl.Traversal, depth int) string {
	var parts []string
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			parts = append(parts, s.Name)
		case hcl.TraverseAttr:
			parts = append(parts, s.Name)
		}
	}
	switch key, isText := e.one.Index.(string); {
	case len(parts) == 2 && parts[0] == "each" && parts[1] == "key" && isText:
		return key
	case len(parts) == 2 && parts[0] == "local" && e.source.locals[parts[1]] != nil:
		return e.text(e.source.locals[parts[1]], depth+1)
	case len(parts) > 1:
		if value, known := e.r.lookUp(e.one, e.one.path, e.one.module, strings.Join(parts, ".")); known {
			return text(value)
		}
	}
	return e.open
}
