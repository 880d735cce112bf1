package planned

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/template"
	"example.com/portable-notes/deploy/unknown"
)

// readTemplate reads a CloudFormation template.
func readTemplate(name string, text []byte, o Options) (Result, error) {
	source, err := template.ParseSource(text)
	if err != nil {
		return Result{}, err
	}
	r := &reader{file: file{name: name, options: o, format: doctor.CloudFormation}, source: source, template: source,
		evaluated: map[string]map[string]any{}, naming: map[string]bool{}, names: map[string]any{}}
	for _, loop := range source.Loops {
		r.note("%s:%d: the resources of %s are not judged", name, loop.Line, loop.Name)
	}
	for _, macro := range source.Transforms {
		if macro != serverless && macro != "AWS::LanguageExtensions" {
			r.note("%s: what the macro %s changes is not known", name, macro)
		}
	}
	if slices.ContainsFunc(source.Resources, func(one template.Resource) bool {
		return strings.HasPrefix(one.Type, "AWS::Serverless::")
	}) {
		if r.template, err = r.translate(o); err != nil {
			return Result{}, err
		}
	}
	r.scope = r.newScope(o.Parameters)
	if err := r.read(); err != nil {
		return Result{}, err
	}
	if written := r.literals(); len(written) > 0 { // again, with what the template itself says
		r.scope = r.newScope(with(written, o.Parameters))
		r.resources, r.evaluated, r.names = nil, map[string]map[string]any{}, map[string]any{}
		if err := r.read(); err != nil {
			return Result{}, err
		}
	}
	r.partition, r.region, r.account = r.value("Partition"), r.value("Region"), r.value("AccountId")
	if r.template != r.source {
		r.events, r.written = r.eventPlace, r.writtenProperties
	}
	out := r.result()
	for _, p := range source.Parameters {
		out.Parameters = append(out.Parameters, p.Name)
	}
	return out, nil
}

// with returns parameters with those of more, which take precedence.
func with(parameters, more map[string]string) map[string]string {
	maps.Copy(parameters, more)
	return parameters
}

// reader reads the resources of a template.
type reader struct {
	file
	source    *template.Template // as a person wrote it
	template  *template.Template // the same, or what SAM makes of it
	scope     template.Scope
	evaluated map[string]map[string]any // properties, by resource; nil while they are being evaluated
	naming    map[string]bool           // resources whose Ref is being evaluated
	names     map[string]any            // values of Ref, by resource
}

// newScope returns the values to which the template refers. Parameters have the given value, or their default.
func (r *reader) newScope(given map[string]string) template.Scope {
	s := openScope(given)
	s.Ref, s.Attribute = r.refOf, r.attributeOf
	for _, p := range r.template.Parameters {
		if s.Values[p.Name] = unknown.Open(p.Name); p.NoEcho { // it must not appear in a report
			continue
		}
		if p.Default != nil && !p.IsFromSSM() {
			s.Values[p.Name] = p.Value(*p.Default)
		}
		if value, ok := given[p.Name]; ok {
			s.Values[p.Name] = p.Value(value)
		}
	}
	return s
}

// openScope returns a scope in which nothing is known but the given pseudo parameters.
func openScope(given map[string]string) template.Scope {
	s := template.Scope{Values: map[string]any{}, Unknown: unknown.Open,
		Import: func(name string) (any, error) { return unknown.Open("Fn.ImportValue." + name), nil },
		Resolve: func(service, name string) (string, error) {
			return unknown.Open("Fn.Resolve." + service + "." + name), nil
		}}
	for _, name := range []string{"AccountId", "NotificationARNs", "Partition", "Region", "StackId", "StackName",
		"URLSuffix"} {
		s.Values["AWS::"+name] = unknown.Open("AWS::" + name)
	}
	s.Values["AWS::URLSuffix"] = "amazonaws.com" // but in China, for which it can be given
	for name, value := range given {
		if strings.HasPrefix(name, "AWS::") {
			s.Values[name] = value
		}
	}
	return s
}

// value returns the value of a pseudo parameter.
func (r *reader) value(pseudo string) string { return fmt.Sprint(r.scope.Values["AWS::"+pseudo]) }

// arn returns an ARN in the stack's region and account.
func (r *reader) arn(service, rest string) string {
	region := r.value("Region")
	if service == "iam" {
		region = ""
	}
	return "arn:" + r.value("Partition") + ":" + service + ":" + region + ":" + r.value("AccountId") + ":" + rest
}

// read evaluates the resources that matter to an API.
func (r *reader) read() error {
	for _, one := range r.template.Resources {
		if !slices.ContainsFunc(kinds, func(kind string) bool { return strings.HasPrefix(one.Type, kind) }) {
			continue
		}
		exists, err := r.template.Holds(one.Condition, r.scope)
		if errors.Is(err, template.ErrUnknown) {
			exists, err = true, nil
			r.note("%s: whether the resource exists depends on the condition %s, which is judged as true",
				r.placeOf(one.Name), one.Condition)
		}
		if err != nil {
			return err
		}
		if !exists {
			continue
		}
		properties, err := r.properties(one.Name)
		if err != nil {
			return err
		}
		id, err := r.refOf(one.Name)
		if err != nil {
			return err
		}
		r.resources = append(r.resources, resource{kind: one.Type, name: one.Name, id: text(id),
			properties: properties, place: r.placeOf(one.Name), node: one.Properties, code: r.codeOf(one, properties)})
		if template.Find(one.Metadata, "aws:cdk:path") != nil {
			r.format = doctor.CDK
		}
	}
	return nil
}

// codeOf returns where the code of a function is.
func (r *reader) codeOf(one template.Resource, properties map[string]any) (at codeAt) {
	if one.Type != "AWS::Lambda::Function" {
		return at
	}
	switch c := properties["Code"].(type) {
	case string: // for aws cloudformation package, which takes the folder as it is
		at.path = c
	case map[string]any:
		at.inline = text(c["ZipFile"])
	}
	if asset := template.Find(one.Metadata, "aws:asset:path"); asset != nil {
		at.path = asset.Value
	}
	if r.template == r.source || r.source.Resource(one.Name) == nil {
		return at
	}
	if written := r.source.Resource(one.Name); template.Find(written.Metadata, "BuildMethod") == nil {
		uri := cmp.Or(template.Find(written.Properties, "CodeUri"), r.source.Global("Function", "CodeUri"))
		if uri != nil {
			at.path, at.isBuilt = uri.Value, true
		}
	}
	return at
}

// kinds are the beginnings of the types that matter to an API.
var kinds = []string{"AWS::ApiGatewayV2::", "AWS::ApiGateway::RestApi", "AWS::Lambda::", "AWS::IAM::",
	"AWS::DynamoDB::"}

// properties returns the evaluated properties of a resource.
func (r *reader) properties(name string) (map[string]any, error) {
	known, ok := r.evaluated[name]
	if ok {
		return known, nil
	}
	r.evaluated[name] = nil // a cycle ends here
	value, err := r.template.Evaluate(r.template.Resource(name).Properties, r.scope)
	properties, _ := value.(map[string]any)
	r.evaluated[name] = properties
	return properties, err
}

// named are the properties that are the names of resources, which Ref returns.
var named = map[string]string{"AWS::Lambda::Function": "FunctionName", "AWS::IAM::Role": "RoleName",
	"AWS::DynamoDB::Table": "TableName", "AWS::ApiGatewayV2::Stage": "StageName",
	"AWS::ApiGatewayV2::DomainName": "DomainName"}

// refOf returns the value of Ref for a resource.
func (r *reader) refOf(name string) (any, error) {
	if value, known := r.names[name]; known {
		return value, nil
	}
	if r.naming[name] { // it refers to itself
		return unknown.Open(name), nil
	}
	r.naming[name] = true
	defer delete(r.naming, name)
	value, err := r.nameOf(r.template.Resource(name))
	if err == nil {
		r.names[name] = value
	}
	return value, err
}

// nameOf evaluates what Ref returns for a resource.
func (r *reader) nameOf(one *template.Resource) (any, error) {
	name := one.Name
	switch kind := one.Type; {
	case kind == "AWS::Lambda::Alias" || kind == "AWS::Lambda::Version":
		properties, err := r.properties(name)
		qualifier := text(properties["Name"])
		if kind == "AWS::Lambda::Version" {
			qualifier = unknown.New(name)
		}
		function, _ := functionOf(text(properties["FunctionName"]))
		return r.arn("lambda", "function:"+function+":"+qualifier), err
	case named[kind] != "" && one.Has(named[kind]):
		value, err := r.template.Evaluate(template.Find(one.Properties, named[kind]), r.scope)
		return value, err
	case named[kind] != "" || strings.HasPrefix(kind, "AWS::ApiGatewayV2::"):
		return unknown.New(name), nil
	}
	return unknown.Open(name), nil
}

// attributeOf returns the value of Fn::GetAtt for a resource.
func (r *reader) attributeOf(name, attribute string) (any, error) {
	id, err := r.refOf(name)
	switch r.template.Resource(name).Type + " " + attribute {
	case "AWS::Lambda::Function Arn":
		return r.arn("lambda", "function:"+text(id)), err
	case "AWS::Lambda::Alias AliasArn", "AWS::Lambda::Version FunctionArn", "AWS::ApiGatewayV2::Api ApiId",
		"AWS::ApiGatewayV2::Authorizer AuthorizerId", "AWS::ApiGatewayV2::Integration IntegrationId":
		return id, err
	case "AWS::Lambda::Version Version":
		return unknown.New(name), err
	case "AWS::IAM::Role Arn":
		properties, err := r.properties(name)
		path := strings.Trim(text(properties["Path"]), "/")
		if path != "" {
			path += "/"
		}
		return r.arn("iam", "role/"+path+text(id)), err
	case "AWS::DynamoDB::Table Arn":
		return r.arn("dynamodb", "table/"+text(id)), err
	case "AWS::ApiGatewayV2::Api ApiEndpoint":
		return "https://" + text(id) + ".execute-api." + r.value("Region") + "." + r.value("URLSuffix"), err
	}
	if kind := r.template.Resource(name).Type; strings.EqualFold(attribute, "arn") && attribute != "Arn" &&
		(kind == "AWS::Lambda::Function" || kind == "AWS::IAM::Role") {
		return nil, fmt.Errorf("%s has no attribute %s: it is Arn", name, attribute)
	}
	return unknown.Open(name + "." + attribute), err
}

// text returns a scalar as text, and "" for another value.
func text(value any) string {
	switch value.(type) {
	case nil, map[string]any, []any:
		return ""
	}
	return fmt.Sprint(value)
}

var writtenARN = regexp.MustCompile(`arn:([^:]*):(?:lambda|execute-api|apigateway):([^:]*):([^:]*):`)

// literals adds the partition, region and account in the ARNs of a value to those that were found before. It leaves out
// what is not known.
func literals(found map[string]string, value any) {
	set := func(pseudo, value string, fits bool) {
		if found[pseudo] == "" && fits && !unknown.Inside(value) {
			found[pseudo] = value
		}
	}
	for _, m := range writtenARN.FindAllStringSubmatch(fmt.Sprint(value), -1) {
		set("AWS::Partition", m[1], strings.HasPrefix(m[1], "aws"))
		set("AWS::Region", m[2], strings.Contains(m[2], "-"))
		set("AWS::AccountId", m[3], isAccount(m[3]))
	}
}

// literals returns the partition, region and account that the template itself writes in ARNs of functions, by pseudo
// parameter. Almost all grants write the partition; the rest of them is to be judged. An authorizer is often that of
// another account.
func (r *reader) literals() map[string]string {
	found, granted := map[string]string{}, map[string]string{}
	for _, one := range r.resources {
		for _, property := range []string{"IntegrationUri", "Target", "Body", "FunctionName"} {
			literals(found, one.properties[property])
		}
		literals(granted, one.properties["SourceArn"])
	}
	if found["AWS::Partition"] == "" && granted["AWS::Partition"] != "" {
		found["AWS::Partition"] = granted["AWS::Partition"]
	}
	return found
}

// isAccount reports whether a text is the ID of an account.
func isAccount(text string) bool { return len(text) == 12 && strings.Trim(text, "0123456789") == "" }

// placeOf returns where the template describes a resource.
func (r *reader) placeOf(name string) doctor.Place {
	one := r.source.Resource(name)
	if one == nil {
		return r.placeInSource(name)
	}
	p := doctor.Place{File: r.name, Line: one.Line, Name: name, Lines: map[string]int{}}
	for key := range template.Members(one.Properties) {
		p.Lines[key.Value] = key.Line
	}
	if path := template.Find(one.Metadata, "aws:cdk:path"); path != nil {
		p.Name = path.Value
	}
	return p
}

// definitionPlace returns where a definition describes an operation.
func definitionPlace(at doctor.Place, definition *yaml.Node, path, method string) doctor.Place {
	for key, item := range template.Members(template.Find(definition, "paths")) {
		if key.Value != path {
			continue
		}
		for operation := range template.Members(item) {
			if operation.Value == method {
				return doctor.Place{File: at.File, Line: operation.Line, Name: strings.TrimLeft(at.Name+" paths "+
					path+" "+method, " ")}
			}
		}
	}
	return doctor.Place{File: at.File, Line: at.Line, Name: at.Name}
}
