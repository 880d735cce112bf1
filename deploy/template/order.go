package template

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reference is a reference of one resource to another.
type Reference struct {
	Resource, Attribute string // the attribute is "" for Ref and DependsOn
	Line                int
}

// References returns the references of a node to resources and parameters.
func (t *Template) References(n *yaml.Node) (all []Reference) {
	if n == nil {
		return nil
	}
	if f := functionOf(n); f != nil {
		switch f.name {
		case "Ref":
			return []Reference{{Resource: f.argument.Value, Line: n.Line}}
		case "Fn::GetAtt":
			var parts []string
			for _, part := range f.argument.Content {
				parts = append(parts, part.Value)
			}
			if len(parts) > 1 {
				all = append(all, Reference{parts[0], strings.Join(parts[1:], "."), n.Line})
			}
			return all
		case "Fn::Sub":
			return append(t.subReferences(f.argument), t.References(f.argument)...)
		}
		return t.References(f.argument)
	}
	for _, child := range n.Content {
		all = append(all, t.References(child)...)
	}
	return all
}

func (t *Template) subReferences(argument *yaml.Node) (all []Reference) {
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
		all = append(all, Reference{resource, attribute, template.Line})
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
		references := t.References(r.Properties)
		for _, name := range r.DependsOn {
			if _, ok := exists[name]; !ok {
				return nil, &Error{r.Line, "the resource " + r.Name + " depends on " + name + ", which is not there"}
			}
			references = append(references, Reference{Resource: name, Line: r.Line})
		}
		for _, ref := range references {
			if exists[ref.Resource] {
				needs[r.Name] = append(needs[r.Name], ref.Resource)
			}
			_, isResource := exists[ref.Resource]
			if _, isValue := s.Values[ref.Resource]; !isResource && !isValue && ref.Resource != "AWS::NoValue" {
				return nil, &Error{ref.Line, "there is no parameter or resource " + ref.Resource}
			}
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
