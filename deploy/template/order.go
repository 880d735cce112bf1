package template

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reference is one to a resource, a parameter or a pseudo parameter.
type reference struct {
	Name, Attribute string // the attribute is "" except for Fn::GetAtt
	Line            int    // from 1
}

// referencesIn returns the references in a node.
func referencesIn(n *yaml.Node) (all []reference) {
	if n == nil {
		return nil
	}
	if f := functionOf(n); f != nil {
		switch f.name {
		case "Ref":
			return []reference{{Name: f.argument.Value, Line: n.Line}}
		case "Fn::GetAtt":
			var parts []string
			for _, part := range f.argument.Content {
				parts = append(parts, part.Value)
			}
			if len(parts) > 1 {
				all = append(all, reference{parts[0], strings.Join(parts[1:], "."), n.Line})
			}
			return all
		case "Fn::Sub":
			return append(subReferences(f.argument), referencesIn(f.argument)...)
		}
		return referencesIn(f.argument)
	}
	for _, child := range n.Content {
		all = append(all, referencesIn(child)...)
	}
	return all
}

func subReferences(argument *yaml.Node) (all []reference) {
	template, more := argument, (*yaml.Node)(nil)
	if argument.Kind == yaml.SequenceNode && len(argument.Content) == 2 {
		template, more = argument.Content[0], argument.Content[1]
	}
	for _, found := range placeholder.FindAllStringSubmatch(template.Value, -1) {
		name := strings.TrimSpace(found[1])
		if strings.HasPrefix(name, "!") || get(more, name) != nil {
			continue
		}
		resource, attribute, _ := strings.Cut(name, ".")
		all = append(all, reference{resource, attribute, template.Line})
	}
	return all
}

// Order returns the resources whose conditions hold, each after those that it refers to. It is an error if resources
// refer to each other in a cycle, or to something that is not there.
func (t *Template) Order(s Scope) ([]Resource, error) {
	exists := map[string]bool{}
	for _, r := range t.Resources {
		holds, err := t.Holds(r.Condition, s)
		if err != nil {
			return nil, err
		}
		exists[r.Name] = holds
	}
	needs := map[string][]string{}
	for _, r := range t.Resources {
		references := referencesIn(r.Properties)
		for _, name := range r.DependsOn {
			if _, ok := exists[name]; !ok {
				return nil, &Error{r.Line, "the resource " + r.Name + " depends on " + name + ", which is not there"}
			}
			references = append(references, reference{Name: name, Line: r.Line})
		}
		for _, ref := range references {
			if exists[ref.Name] {
				needs[r.Name] = append(needs[r.Name], ref.Name)
			}
		}
		if err := t.checkReferences(references, s); err != nil {
			return nil, err
		}
	}
	for _, o := range t.Outputs { // checked here too, so that a mistake shows before any resource is created
		if err := t.checkReferences(append(referencesIn(o.Value), referencesIn(o.Export)...), s); err != nil {
			return nil, err
		}
	}
	var ordered []Resource
	done, path := map[string]bool{}, []string{}
	var visit func(name string) error
	visit = func(name string) error {
		if done[name] || !exists[name] {
			return nil
		}
		if i := slices.Index(path, name); i >= 0 {
			return &Error{t.Resource(name).Line,
				"circular dependency between resources: [" + strings.Join(path[i:], ", ") + "]"}
		}
		path = append(path, name)
		for _, need := range needs[name] {
			if err := visit(need); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		ordered = append(ordered, *t.Resource(name))
		return nil
	}
	for _, r := range t.Resources {
		if err := visit(r.Name); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// checkReferences returns an error for a reference to what is not there.
func (t *Template) checkReferences(all []reference, s Scope) error {
	for _, ref := range all {
		if _, isValue := s.Values[ref.Name]; !isValue && t.Resource(ref.Name) == nil && ref.Name != "AWS::NoValue" {
			return &Error{ref.Line, "there is no parameter or resource " + ref.Name}
		}
	}
	return nil
}
