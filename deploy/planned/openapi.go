package planned

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/openapi"
	"example.com/portable-notes/deploy/template"
	"example.com/portable-notes/deploy/unknown"
)

// readOpenAPI reads an OpenAPI definition by itself. It has no stage, no functions and no grants. It may call functions
// of CloudFormation, if a template includes it.
func readOpenAPI(name string, text []byte, o Options) (Result, error) {
	root, err := template.ParseValue(text)
	if err != nil {
		return Result{}, err
	}
	if version := template.Find(root, "swagger"); version != nil {
		return Result{Notes: []string{fmt.Sprintf("%s:%d is a definition of a REST API (Swagger %s); the doctor "+
			"judges only HTTP APIs, which are imported from OpenAPI 3.0", name, version.Line, version.Value)}}, nil
	}
	if key := restKey(root); key != nil {
		return Result{Notes: []string{fmt.Sprintf("%s:%d is a definition of a REST API (%s); the doctor judges only "+
			"HTTP APIs", name, key.Line, key.Value)}}, nil
	}
	body, err := new(template.Template).Evaluate(root, openScope(o.Parameters))
	if err != nil {
		return Result{}, err
	}
	body = openVariables(body)
	title := "-"
	if n := template.Find(root, "info", "title"); n != nil {
		title = n.Value
	}
	own := map[string]string{}
	literals(own, body)
	f := file{name: name, options: o, format: doctor.OpenAPI}
	f.locate(with(own, o.Parameters))
	f.resources = []resource{{kind: "AWS::ApiGatewayV2::Api", name: title, id: unknown.New("Api"),
		properties: map[string]any{"Body": body}, place: doctor.Place{File: name, Line: 1},
		node: &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Value: "Body"}, root}}}}
	return f.result(), nil
}

// variable matches a variable that a tool replaces in a definition before API Gateway imports it.
var variable = regexp.MustCompile(`\$\{([^}]+)\}`)

// openVariables replaces the variables in the texts of a definition by placeholders, except for API Gateway's own.
func openVariables(value any) any {
	switch v := value.(type) {
	case string:
		return variable.ReplaceAllStringFunc(v, func(found string) string {
			if name := found[2 : len(found)-1]; !strings.HasPrefix(name, "stageVariables.") {
				return unknown.Open(name)
			}
			return found
		})
	case map[string]any:
		for name, one := range v {
			v[name] = openVariables(one)
		}
	case []any:
		for i, one := range v {
			v[i] = openVariables(one)
		}
	}
	return value
}

// restKeys are extensions that only REST APIs have ("OpenAPI extensions for API Gateway").
var restKeys = []string{"x-amazon-apigateway-request-validators", "x-amazon-apigateway-gateway-responses",
	"x-amazon-apigateway-policy", "x-amazon-apigateway-api-key-source", "x-amazon-apigateway-binary-media-types",
	"x-amazon-apigateway-endpoint-configuration", "x-amazon-apigateway-minimum-compression-size"}

// restSettings are settings of integrations that only REST APIs have.
var restSettings = []string{"passthroughBehavior", "contentHandling", "requestTemplates", "cacheNamespace",
	"cacheKeyParameters", "responses"}

// restKey returns a key of a definition that only REST APIs have, nil for none. A setting of an integration decides
// only if no integration has the version of a payload, which only HTTP APIs have.
func restKey(definition *yaml.Node) *yaml.Node {
	for key := range template.Members(definition) {
		if slices.Contains(restKeys, key.Value) {
			return key
		}
	}
	var found *yaml.Node
	for _, path := range template.Members(template.Find(definition, "paths")) {
		for _, operation := range template.Members(path) {
			for key := range template.Members(template.Find(operation, "x-amazon-apigateway-integration")) {
				if key.Value == "payloadFormatVersion" {
					return nil
				}
				if slices.Contains(restSettings, key.Value) && found == nil {
					found = key
				}
			}
		}
	}
	return found
}

// decodeText returns what a text in JSON or YAML stands for, or the text.
func decodeText(text string) (value any) {
	if yaml.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	return value
}

// readDefinition reads the definition of the API, if it has one.
func (b *builder) readDefinition(api *resource) {
	body, isSet := api.properties["Body"]
	if api.properties["BodyS3Location"] != nil {
		body, isSet = nil, true
	}
	if !isSet {
		return
	}
	fields, ok := body.(map[string]any)
	if !ok {
		b.c.Routes.Error = &doctor.Failure{Kind: doctor.Other, Message: "the definition of the API is not in this file"}
		return
	}
	d, _ := openapi.Decode(fields) // the tool that deploys the file reports what has another type
	if d.CORS != nil && b.c.API.Value.CORS == nil {
		b.c.API.Value.CORS = &doctor.CORS{Origins: d.CORS.Origins, Methods: d.CORS.Methods, Headers: d.CORS.Headers,
			Credentials: d.CORS.Credentials != nil && *d.CORS.Credentials, Expose: d.CORS.Expose, MaxAge: d.CORS.MaxAge}
	}
	if b.c.API.Value.Name == "" {
		b.c.API.Value.Name = text(d.Info["title"])
	}
	for _, name := range sortedKeys(d.Components.Schemes) {
		if a := d.Components.Schemes[name].Authorizer; a != nil {
			*b.c.Authorizers.Value = append(*b.c.Authorizers.Value, authorizerOf(b.idIn(name), name, a))
			b.c.Planned.Places[b.idIn(name)] = api.place
			if at, found := b.authorizerPlace(api, name); found {
				b.c.Planned.Places[b.idIn(name)] = at
			}
		}
	}
	for _, one := range d.Routes() {
		b.readOperation(api, one, &d)
	}
}

// idIn returns a placeholder of the ID of what a definition names. The # says that nothing in a template can refer to
// it.
func (b *builder) idIn(name string) string { return unknown.New(b.c.Planned.Name + "#" + name) }

func authorizerOf(id, name string, a *openapi.Authorizer) doctor.Authorizer {
	out := doctor.Authorizer{ID: id, Name: name, Type: "REQUEST", URI: a.URI, Credentials: a.Credentials,
		IdentitySources: a.Sources, PayloadFormat: a.Format, Simple: a.Simple}
	if a.JWT != nil {
		out.Type = "JWT"
		out.JWT = &struct {
			Issuer   string
			Audience []string
		}{a.JWT.Issuer, a.JWT.Audience}
	}
	return out
}

// readOperation reads a route of a definition, and its integration.
func (b *builder) readOperation(api *resource, one openapi.Route, d *openapi.Definition) {
	at := definitionPlace(api.place, template.Find(api.node, "Body"), one.Path, one.Method)
	if b.events != nil {
		if event, found := b.events(one.Path, one.Method); found {
			at = event
		}
	}
	r := doctor.Route{ID: b.idIn("route " + one.Key), Key: one.Key, Authorization: "NONE", Scopes: one.Scopes}
	if one.IAM {
		r.Authorization = "AWS_IAM"
	}
	if one.Authorizer != "" {
		r.Authorizer, r.Authorization = b.idIn(one.Authorizer), "CUSTOM"
		if d.Components.Schemes[one.Authorizer].Authorizer.JWT != nil {
			r.Authorization = "JWT"
		}
	}
	if i := one.Integration; i != nil {
		id := b.idIn("integration " + one.Key)
		r.Target = "integrations/" + id
		b.addIntegration(doctor.Integration{ID: id, Type: strings.ToUpper(i.Type), Subtype: i.Subtype, URI: i.URI,
			Method: i.Method, Credentials: i.Credentials, PayloadFormat: i.Format, TimeoutMillis: int(i.Timeout),
			Connection: i.Connection, Parameters: i.Request}, at)
	}
	b.addRoute(r, at)
}
