package planned

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/openapi"
	"example.com/portable-notes/deploy/template"
)

// serverless is the transform of SAM. The translator adds nothing that depends on it.
const serverless = "AWS::Serverless-2016-10-31"

// translate returns what SAM makes of the source.
func (r *reader) translate(o Options) (*template.Template, error) {
	data := r.source.Data()
	include(data, o)
	source, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	parameters := map[string]string{}
	for _, p := range r.source.Parameters {
		if p.Default != nil {
			parameters[p.Name] = *p.Default
		}
	}
	if o.Translate == nil {
		return nil, errors.New("the types of SAM cannot be translated")
	}
	processed, err := o.Translate(source, with(parameters, o.Parameters))
	if err != nil {
		return nil, err
	}
	t, err := template.ParseSource(processed)
	if err != nil {
		return nil, fmt.Errorf("SAM's translator: %w", err)
	}
	t.IsPartial = true // the lines of a mistake would be those of the translator
	return t, nil
}

// include replaces the names of local files with definitions of APIs by their content, as the SAM CLI and
// CloudFormation do. A file that cannot be read stays a name.
func include(data any, o Options) {
	read := func(name any) any {
		path, _ := name.(string)
		content := o.open(path)
		if content == nil {
			return nil
		}
		root, err := template.ParseValue(content)
		if err != nil {
			return nil
		}
		return template.DataOf(root)
	}
	root, _ := data.(map[string]any)
	resources, _ := root["Resources"].(map[string]any)
	for _, one := range resources {
		fields, _ := one.(map[string]any)
		properties, _ := fields["Properties"].(map[string]any)
		if fields["Type"] != "AWS::Serverless::HttpApi" {
			continue
		}
		if body := read(properties["DefinitionUri"]); body != nil {
			properties["DefinitionBody"] = body
			delete(properties, "DefinitionUri")
		}
		body, _ := properties["DefinitionBody"].(map[string]any)
		transform, _ := body["Fn::Transform"].(map[string]any)
		parameters, _ := transform["Parameters"].(map[string]any)
		if found := read(parameters["Location"]); found != nil && transform["Name"] == "AWS::Include" {
			properties["DefinitionBody"] = found
		}
	}
}

// placeInSource returns where the source describes a resource that SAM has made: at an event of a function, or the
// resource whose name begins its name.
func (r *reader) placeInSource(name string) doctor.Place {
	best := doctor.Place{File: r.name, Name: name}
	longest := 0
	for _, one := range r.source.Resources {
		rest, found := strings.CutPrefix(name, one.Name)
		if !found || len(one.Name) <= longest {
			continue
		}
		longest = len(one.Name)
		best.Line, best.Name = one.Line, one.Name
		for event := range template.Members(template.Find(one.Properties, "Events")) {
			if strings.HasPrefix(rest, event.Value) {
				best.Line, best.Name = event.Line, one.Name+" Events "+event.Value
			}
		}
	}
	return best
}

// writtenProperties returns the properties of a resource in the source, nil if it is not there.
func (r *reader) writtenProperties(name string) *yaml.Node {
	if one := r.source.Resource(name); one != nil {
		return one.Properties
	}
	return nil
}

// authorizerPlace returns where the source has an authorizer of an API.
func (f *file) authorizerPlace(api *resource, name string) (p doctor.Place, found bool) {
	if f.written == nil {
		return p, false
	}
	for key := range template.Members(template.Find(f.written(api.name), "Auth", "Authorizers")) {
		if key.Value == name {
			return doctor.Place{File: f.name, Line: key.Line, Name: api.name + " Auth Authorizers " + name}, true
		}
	}
	return p, false
}

// eventPlace returns where the source has the event of a function that makes a route.
func (r *reader) eventPlace(path, method string) (p doctor.Place, found bool) {
	for _, one := range r.source.Resources {
		for event, value := range template.Members(template.Find(one.Properties, "Events")) {
			if isEvent(value, path, method) {
				return doctor.Place{File: r.name, Line: event.Line, Name: one.Name + " Events " + event.Value}, true
			}
		}
	}
	return p, false
}

// isEvent reports whether an event makes a route. Without a path it makes the route $default.
func isEvent(event *yaml.Node, path, method string) bool {
	if kind := template.Find(event, "Type"); kind == nil || kind.Value != "HttpApi" {
		return false
	}
	at, with := template.Find(event, "Properties", "Path"), template.Find(event, "Properties", "Method")
	if at == nil {
		return path == "/$default"
	}
	if with == nil || strings.EqualFold(with.Value, "any") || with.Value == "*" {
		return at.Value == path && method == openapi.AnyMethod
	}
	return at.Value == path && strings.EqualFold(with.Value, method)
}
