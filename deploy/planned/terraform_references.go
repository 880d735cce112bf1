package planned

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/unknown"
)

// resolve returns the value of the only reference in an expression. It reports false if there is none or more, or if
// its value is not known.
func (r *tfReader) resolve(from *tfOne, path []string, module string, expression json.RawMessage) (any, bool) {
	var e struct {
		References []string `json:"references"`
		Constant   any      `json:"constant_value"`
	}
	if json.Unmarshal(expression, &e) != nil {
		return nil, false
	}
	if e.Constant != nil {
		return e.Constant, true
	}
	var whole []string // without those that are the beginning of another
	for _, reference := range e.References {
		if !slices.ContainsFunc(e.References, func(o string) bool {
			return o != reference && strings.HasPrefix(o, reference)
		}) && !strings.HasPrefix(reference, "each.") && !strings.HasPrefix(reference, "count.") {
			whole = append(whole, reference)
		}
	}
	if len(whole) != 1 {
		return nil, false
	}
	return r.lookUp(from, path, module, whole[0])
}

// lookUp returns the value of a reference in a module. It reports false if that is not known, or not a scalar.
func (r *tfReader) lookUp(from *tfOne, path []string, module, reference string) (any, bool) {
	const deepest = 100
	r.depth++
	defer func() { r.depth-- }()
	parts := strings.Split(reference, ".")
	if len(parts) < 2 || r.depth > deepest { // or it leads in a circle
		return nil, false
	}
	switch name, index, _ := strings.Cut(parts[1], "["); {
	case parts[0] == "var" && (len(parts) > 2 || index != ""):
		return nil, false
	case parts[0] == "var" && len(path) == 0:
		v := r.doc.Variables[name].Value
		return v, text(v) != ""
	case parts[0] == "var": // what the caller of the module gives
		outer, outerModule := path[:len(path)-1], module[:max(0, strings.LastIndex(module, ".module."))]
		caller := &tfOne{path: outer, module: outerModule}
		if s := r.sourceAt(outer); s != nil && s.calls[path[len(path)-1]] != nil {
			if given := s.calls[path[len(path)-1]].Attributes[name]; given != nil {
				e := tfEvaluator{r: r, one: caller, source: s, open: unknown.Open(module + ".var." + name)}
				return e.text(given.Expr, 0), true
			}
		}
		given := r.moduleAt(outer).Calls[path[len(path)-1]].Expressions[name]
		return r.resolve(caller, outer, outerModule, given)
	case parts[0] == "module" && len(parts) > 2:
		inner := append(slices.Clone(path), name)
		address := strings.TrimPrefix(module+".module."+parts[1], ".")
		output := &tfOne{path: inner, module: address}
		if s := r.sourceAt(inner); s != nil && s.outputs[parts[2]] != nil {
			e := tfEvaluator{r: r, one: output, source: s, open: unknown.Open(address + "." + parts[2])}
			return e.text(s.outputs[parts[2]], 0), true
		}
		value, known := r.resolve(output, inner, address, r.moduleAt(inner).Outputs[parts[2]].Expression)
		return value, known && text(value) != ""
	case len(parts) < 3:
		return nil, false
	case parts[0] == "data":
		value := r.data(parts[1], parts[len(parts)-1])
		return value, value != ""
	default:
		attribute := strings.Join(parts[2:], ".")
		return r.lookUpResource(from, path, module, parts[0], name, strings.Trim(index, `"]`), attribute)
	}
}

// addLocation adds what the data sources of a module say about where Terraform deploys, by pseudo parameter.
func addLocation(own map[string]string, m tfInstance) {
	for _, one := range m.Resources {
		switch one.Type {
		case "aws_caller_identity":
			own["AWS::AccountId"] = text(one.Values["account_id"])
		case "aws_partition":
			own["AWS::Partition"] = text(one.Values["partition"])
		case "aws_region":
			own["AWS::Region"] = cmp.Or(text(one.Values["region"]), text(one.Values["name"]), text(one.Values["id"]))
		}
	}
	for _, child := range m.Children {
		addLocation(own, child)
	}
}

// data returns what a data source says about where Terraform deploys, "" for another one.
func (r *tfReader) data(kind, attribute string) string {
	switch kind + " " + attribute {
	case "aws_caller_identity account_id":
		return r.account
	case "aws_region name", "aws_region id", "aws_region region":
		return r.region
	case "aws_partition partition":
		return r.partition
	}
	return ""
}

// lookUpResource returns an attribute of a resource of a module. Of several with a name it takes the one with the given
// index, or with that of the resource which refers to it.
func (r *tfReader) lookUpResource(from *tfOne, path []string, module, kind, name, index, attribute string) (any, bool) {
	var found []*tfOne
	for i := range r.instances {
		one := &r.instances[i]
		if one.Type == kind && one.Name == name && slices.Equal(one.path, path) &&
			(index == "" || fmt.Sprint(one.Index) == index) {
			found = append(found, one)
		}
	}
	for _, fits := range []func(o *tfOne) bool{
		func(o *tfOne) bool { return o.module == module },
		func(o *tfOne) bool { return fmt.Sprint(o.Index) == fmt.Sprint(from.Index) },
	} {
		if len(found) > 1 {
			found = slices.DeleteFunc(found, func(o *tfOne) bool { return !fits(o) })
		}
	}
	if len(found) != 1 {
		return nil, false
	}
	value := r.attribute(found[0], attribute)
	return value, text(value) != ""
}
