// Package template reads CloudFormation templates and evaluates their values. It makes no calls.
//
// The format is described in the CloudFormation template reference
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/introduction.html).
package template

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a CloudFormation template. Names are in the order of the file.
type Template struct {
	Description string
	Transforms  []string // macros that the template declares, such as AWS::Serverless-2016-10-31
	Parameters  []Parameter
	Resources   []Resource
	Outputs     []Output
	Loops       []Loop // of ParseSource, which leaves out their resources
	IsPartial   bool   // references may name what the template does not have; set by the caller

	isSource   bool // what ParseSource has read
	root       *yaml.Node
	conditions map[string]*yaml.Node
	mappings   *yaml.Node
	rules      []*yaml.Node
}

// Loop is a Fn::ForEach that makes resources.
type Loop struct {
	Name string
	Line int // from 1
}

// Resource is a resource of a template.
type Resource struct {
	Name, Type          string
	Line                int    // of its name, from 1
	Condition           string // under which it exists; "" for always
	DependsOn           []string
	DeletionPolicy      string // Delete, Retain, RetainExceptOnCreate or Snapshot; "" for the type's default
	UpdateReplacePolicy string // Delete, Retain or Snapshot; "" for Delete
	Properties          *yaml.Node
	Metadata            *yaml.Node // nil for none
}

// Has reports whether the resource has a property.
func (r Resource) Has(property string) bool { return get(r.Properties, property) != nil }

// Output is an output of a template.
type Output struct {
	Name, Description, Condition string
	Value                        *yaml.Node
	Export                       *yaml.Node // its name for other stacks; nil for none
}

// Error is a mistake in a template.
type Error struct {
	Line    int // 0 if it concerns no line
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Message)
}

func mistake(at *yaml.Node, format string, values ...any) error {
	return &Error{Line: at.Line, Message: fmt.Sprintf(format, values...)}
}

// maxDepth limits how deep values are nested.
const maxDepth = 200

// MaxSize is the maximum size of a template in bytes ("CloudFormation quotas": a template in S3).
const MaxSize = 1 << 20

var (
	yamlLine     = regexp.MustCompile(`^yaml: line (\d+): `)
	resourceName = regexp.MustCompile(`^[A-Za-z0-9]{1,255}$`)
	resourceType = regexp.MustCompile(`^[A-Za-z0-9]+(::[A-Za-z0-9@_-]+)+$`)
)

// Parse reads a template in YAML or JSON. Its errors are of type [*Error] and name the line of a mistake.
func Parse(text []byte) (*Template, error) {
	return parse(text, false)
}

// ParseSource is like Parse for a template that a tool changes before it gives it to CloudFormation. It replaces the
// aliases and merge keys of YAML, leaves out null, and takes the last of equal keys. It accepts sections and attributes
// that it does not know.
func ParseSource(text []byte) (*Template, error) { return parse(text, true) }

func parse(text []byte, isSource bool) (*Template, error) {
	root, err := readNodes(text)
	if err == nil && isSource {
		root, err = expand(root)
	}
	if err != nil {
		return nil, err
	}
	t := &Template{root: root, conditions: map[string]*yaml.Node{}, isSource: isSource}
	if err := check(t.root, 0); err != nil {
		return nil, err
	}
	return t, t.read()
}

// ParseValue reads a value in YAML or JSON that may call functions of CloudFormation, such as an OpenAPI definition. It
// replaces aliases as ParseSource does.
func ParseValue(text []byte) (*yaml.Node, error) {
	root, err := readNodes(text)
	if err == nil {
		root, err = expand(root)
	}
	if err == nil {
		err = check(root, 0)
	}
	return root, err
}

// readNodes reads YAML or JSON.
func readNodes(text []byte) (*yaml.Node, error) {
	if len(text) > MaxSize {
		return nil, &Error{
			Message: fmt.Sprintf("the template has %d bytes, but at most %d are allowed", len(text), MaxSize),
		}
	}
	read := readYAML
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		read = readJSON // which YAML does not read in all its forms
	}
	return read(text)
}

func readYAML(text []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		message := err.Error()
		e := &Error{Message: strings.TrimPrefix(message, "yaml: ")}
		if found := yamlLine.FindStringSubmatch(message); found != nil {
			_, _ = fmt.Sscan(found[1], &e.Line)
			e.Message = message[len(found[0]):]
		}
		return nil, e
	}
	if len(document.Content) == 0 {
		return nil, &Error{Message: "the template is empty"}
	}
	return document.Content[0], nil
}

// check returns an error for what CloudFormation does not allow anywhere in a template.
func check(node *yaml.Node, depth int) error {
	if depth > maxDepth {
		return mistake(node, "the values are nested too deep")
	}
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		return mistake(node, "CloudFormation does not support the aliases of YAML")
	case node.ShortTag() == "!!null":
		return mistake(node, "null is not allowed in a template")
	case node.Kind == yaml.MappingNode:
		seen := map[string]bool{}
		for key := range pairs(node) {
			if key.Kind != yaml.ScalarNode {
				return mistake(key, "a key must be a string")
			}
			if key.ShortTag() == "!!merge" {
				return mistake(key, "CloudFormation does not support the merge keys of YAML")
			}
			if seen[key.Value] {
				return mistake(key, "the key %q is there twice", key.Value)
			}
			seen[key.Value] = true
		}
	}
	if f := functionOf(node); f != nil && !slices.Contains(functions, f.name) {
		return mistake(node, "there is no function %s", f.name)
	}
	for _, child := range node.Content {
		if err := check(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// pairs ranges over the keys and values of a mapping.
func pairs(node *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if node == nil || node.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if !yield(node.Content[i], node.Content[i+1]) {
				return
			}
		}
	}
}

// Find returns the value at a path of keys of mappings; nil if there is none.
func Find(node *yaml.Node, path ...string) *yaml.Node {
	for _, name := range path {
		node = get(node, name)
	}
	return node
}

// Members ranges over the keys and values of a mapping, in the order of the file. Other nodes have none.
func Members(node *yaml.Node) func(yield func(key, value *yaml.Node) bool) { return pairs(node) }

// get returns the value of a key; nil if there is none.
func get(node *yaml.Node, name string) *yaml.Node {
	for key, value := range pairs(node) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

// sections are the keys that a template may have.
var sections = []string{"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions",
	"Transform", "Resources", "Outputs", "Rules", "Hooks", "Globals"}

// read fills in t from its root.
func (t *Template) read() error {
	if t.root.Kind != yaml.MappingNode {
		return mistake(t.root, "a template must be a mapping with the key Resources")
	}
	for key, value := range pairs(t.root) {
		var err error
		switch key.Value {
		case "Description":
			t.Description, err = text(value)
		case "Transform":
			t.Transforms, err = texts(value)
		case "Parameters":
			err = each(value, t.readParameter)
		case "Mappings":
			t.mappings = value
		case "Conditions":
			err = each(value, func(key, n *yaml.Node) error { t.conditions[key.Value] = n; return nil })
		case "Rules":
			err = each(value, func(_, n *yaml.Node) error { t.rules = append(t.rules, n); return nil })
		case "Resources":
			err = each(value, t.readResource)
		case "Outputs":
			err = each(value, t.readOutput)
		default:
			if !t.isSource && !slices.Contains(sections, key.Value) {
				return mistake(key, "a template has no section %s", key.Value)
			}
		}
		if err != nil {
			return err
		}
	}
	if len(t.Resources) == 0 {
		return mistake(t.root, "at least one member of Resources must be defined")
	}
	return nil
}

// each calls read for the members of a section.
func each(section *yaml.Node, read func(key, n *yaml.Node) error) error {
	if section.Kind != yaml.MappingNode {
		return mistake(section, "a mapping of names is expected")
	}
	for key, value := range pairs(section) {
		if err := read(key, value); err != nil {
			return err
		}
	}
	return nil
}

// text returns a string that is not computed.
func text(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return "", mistake(n, "a string is expected")
	}
	return n.Value, nil
}

// texts returns a string or a list of strings.
func texts(n *yaml.Node) (all []string, err error) {
	if n.Kind == yaml.ScalarNode {
		one, err := text(n)
		return []string{one}, err
	}
	if n.Kind != yaml.SequenceNode {
		return nil, mistake(n, "a string or a list of strings is expected")
	}
	for _, member := range n.Content {
		one, err := text(member)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (t *Template) readResource(key, n *yaml.Node) (err error) {
	name := key.Value
	r := Resource{Name: name, Line: key.Line}
	if t.isSource && strings.HasPrefix(name, "Fn::") {
		t.Loops = append(t.Loops, Loop{name, key.Line})
		return nil
	}
	if !resourceName.MatchString(name) {
		return mistake(n, "the name %q of a resource must be letters and digits", name)
	}
	if n.Kind != yaml.MappingNode {
		return mistake(n, "the resource %s must be a mapping with a Type", name)
	}
	for attribute, value := range pairs(n) {
		switch attribute.Value {
		case "Type":
			r.Type, err = text(value)
		case "Condition":
			r.Condition, err = text(value)
		case "DependsOn":
			r.DependsOn, err = texts(value)
		case "DeletionPolicy":
			r.DeletionPolicy, err = text(value)
		case "UpdateReplacePolicy":
			r.UpdateReplacePolicy, err = text(value)
		case "Properties":
			if r.Properties = value; value.Kind != yaml.MappingNode {
				err = mistake(value, "the properties of %s must be a mapping", name)
			}
		case "Metadata":
			r.Metadata = value
		case "CreationPolicy", "UpdatePolicy":
		case "Connectors": // of SAM
		default:
			if !t.isSource {
				err = mistake(attribute, "the resource %s has no attribute %s", name, attribute.Value)
			}
		}
		if err != nil {
			return err
		}
	}
	if !resourceType.MatchString(r.Type) {
		return mistake(n, "the resource %s has no Type such as AWS::Lambda::Function", name)
	}
	t.Resources = append(t.Resources, r)
	return nil
}

func (t *Template) readOutput(key, n *yaml.Node) (err error) {
	name := key.Value
	o := Output{Name: name, Value: get(n, "Value"), Export: get(get(n, "Export"), "Name")}
	if o.Value == nil {
		return mistake(n, "the output %s has no Value", name)
	}
	if d := get(n, "Description"); d != nil {
		o.Description, err = text(d)
	}
	if c := get(n, "Condition"); c != nil && err == nil {
		o.Condition, err = text(c)
	}
	t.Outputs = append(t.Outputs, o)
	return err
}

// Global returns a value that SAM's section Globals gives all resources of a kind; nil if there is none.
func (t *Template) Global(kind, property string) *yaml.Node {
	return Find(t.root, "Globals", kind, property)
}

// Resource returns the resource with a name; nil if there is none.
func (t *Template) Resource(name string) *Resource {
	i := slices.IndexFunc(t.Resources, func(r Resource) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Resources[i]
}

// isWhole reports whether the template has all that its references may name: no macro and no loop adds resources.
func (t *Template) isWhole() bool {
	isMacro := func(name string) bool {
		return name != "AWS::LanguageExtensions" && name != "AWS::Serverless-2016-10-31"
	}
	return t.root != nil && !t.IsPartial && len(t.Loops) == 0 && !slices.ContainsFunc(t.Transforms, isMacro)
}

// Data returns the whole template as JSON values, with functions in their long form, such as {"Ref": NAME} for !Ref.
func (t *Template) Data() any { return data(t.root) }

// DataOf returns a value as [Template.Data] returns a template.
func DataOf(n *yaml.Node) any { return data(n) }

func data(n *yaml.Node) any {
	if f := functionOf(n); f != nil {
		if f.name == "Condition" {
			return map[string]any{"Condition": f.argument.Value}
		}
		return map[string]any{f.name: data(f.argument)}
	}
	switch n.Kind {
	case yaml.MappingNode:
		all := map[string]any{}
		for key, value := range pairs(n) {
			all[key.Value] = data(value)
		}
		return all
	case yaml.SequenceNode:
		all := []any{}
		for _, member := range n.Content {
			all = append(all, data(member))
		}
		return all
	}
	return scalar(n)
}
