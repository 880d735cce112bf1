package planned

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// file is what was read of a file: its resources, in the terms of CloudFormation whatever its format is.
type file struct {
	name      string
	options   Options
	format    doctor.Format
	resources []resource
	notes     []string

	partition, region, account string
	// events returns where a person wrote the event that makes a route. It may be nil.
	events func(path, method string) (doctor.Place, bool)
	// written returns the properties of a resource as a person wrote it, nil if it is not in the file. It may be nil.
	written func(resource string) *yaml.Node
}

// resource is a resource that is going to be deployed.
type resource struct {
	kind       string // such as AWS::Lambda::Function
	name       string // its name in the file
	id         string // the value of Ref
	properties map[string]any
	place      doctor.Place
	node       *yaml.Node // of the properties; nil for none
	code       codeAt     // of a function
}

func (r resource) text(property string) string { return text(r.properties[property]) }

// locate sets the partition, region and account of the file, by pseudo parameter. Those that are not given are open.
func (f *file) locate(own map[string]string) {
	f.partition = cmp.Or(own["AWS::Partition"], unknown.Open("AWS::Partition"))
	f.region = cmp.Or(own["AWS::Region"], unknown.Open("AWS::Region"))
	f.account = cmp.Or(own["AWS::AccountId"], unknown.Open("AWS::AccountId"))
}

// note records what was not judged.
func (f *file) note(format string, values ...any) {
	if one := fmt.Sprintf(format, values...); !slices.Contains(f.notes, one) {
		f.notes = append(f.notes, one)
	}
}

// of returns the resources of a kind.
func (f *file) of(kind string) (all []*resource) {
	for i := range f.resources {
		if f.resources[i].kind == kind {
			all = append(all, &f.resources[i])
		}
	}
	return all
}

// result returns the APIs of the file as cases.
func (f *file) result() Result {
	for _, one := range f.of("AWS::ApiGateway::RestApi") {
		f.note("%s is a REST API; the doctor judges only HTTP APIs", one.place)
	}
	r := Result{}
	apis := map[string]*resource{}
	var order []string
	for _, one := range f.of("AWS::ApiGatewayV2::Api") {
		if strings.EqualFold(one.text("ProtocolType"), "WEBSOCKET") {
			f.note("%s is a WebSocket API; the doctor judges only HTTP APIs", one.place)
		} else {
			order = append(order, one.id)
		}
		apis[one.id] = one
	}
	for _, one := range f.of("AWS::ApiGatewayV2::Route") { // their API may be in another file
		isHTTP := strings.Contains(one.text("RouteKey"), " ") // the routes of WebSocket APIs have no method
		if id := one.text("ApiId"); apis[id] == nil && isHTTP && !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	for _, id := range order {
		r.Cases = append(r.Cases, f.newCase(id, apis[id]))
	}
	if len(order) == 0 && len(f.notes) == 0 {
		f.note("%s has no HTTP API", f.name)
	}
	r.Notes = f.notes
	return r
}

// notHere is why something is not known: it is not in the file.
var notHere = &doctor.Failure{Kind: doctor.Other, Message: "it is not in this file"}

// builder collects the facts about one API.
type builder struct {
	*file
	c   *doctor.Case
	api string // ID
}

// newCase returns the facts about an API. The resource is nil if it is not in the file.
func (f *file) newCase(id string, api *resource) doctor.Case {
	c := doctor.Case{Version: doctor.CaseVersion, Asked: doctor.Asked{API: id, Region: f.region},
		Planned: &doctor.Planned{File: f.name, Format: f.format, Name: id, Places: map[string]doctor.Place{},
			API: gateway.API{Partition: f.partition, Region: f.region, Account: f.account, ID: id}}}
	b := builder{file: f, c: &c, api: id}
	c.Stages = known(f.name, id, []doctor.Stage{})
	c.Routes = known(f.name, id, []doctor.Route{})
	c.Integrations = known(f.name, id, []doctor.Integration{})
	c.Authorizers = known(f.name, id, []doctor.Authorizer{})
	if api != nil {
		b.readAPI(api)
	}
	b.readParts()
	if len(*c.Stages.Value) == 0 { // it may be in another file
		*c.Stages.Value = []doctor.Stage{{Name: unknown.Open("stage"), AutoDeploy: true, Deployment: "?"}}
		c.Planned.NoStage = api != nil && f.format != doctor.OpenAPI
	}
	if len(*c.Routes.Value) == 0 && c.Routes.Error == nil {
		f.note("%s: the file has no route of the API %s", f.name, c.Planned.Name)
	}
	b.readFunctions()
	return c
}

// known returns a fact that is in the file.
func known[T any](file, of string, value T) doctor.Fact[T] {
	return doctor.Fact[T]{Call: file, Of: of, Value: &value}
}

// decode sets the fields of a fact from properties, which have the names of API Gateway's answers. It leaves out what
// is not known yet, and what has another type: the tool that deploys the file reports that.
func decode[T any](properties map[string]any) (value T) {
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &value, TagName: "json",
		WeaklyTypedInput: true, DecodeHook: func(from, to reflect.Type, data any) (any, error) {
			if s, ok := data.(string); ok && unknown.In(s) && !slices.Contains([]reflect.Kind{reflect.String,
				reflect.Slice, reflect.Interface, reflect.Struct}, to.Kind()) {
				return nil, nil
			}
			return data, nil
		}})
	if err == nil {
		_ = d.Decode(properties)
	}
	return value
}

// readAPI reads what the resource of the API itself says.
func (b *builder) readAPI(api *resource) {
	c := b.c
	c.Planned.Name = api.name
	c.Planned.Places[doctor.PlaceOf("api", b.api)] = api.place
	a := decode[doctor.API](api.properties)
	a.ID, a.Protocol = b.api, "HTTP"
	a.CORS = nil
	if cors, ok := api.properties["CorsConfiguration"].(map[string]any); ok {
		one := decode[doctor.CORS](cors)
		a.CORS = &one
	}
	c.API = known(b.name, b.api, a)
	if target := api.text("Target"); target != "" { // quick create ("CreateApi", API Gateway V2 API reference)
		key := api.text("RouteKey")
		if key == "" {
			key = "$default"
		}
		i := doctor.Integration{ID: api.id, Type: "HTTP_PROXY", URI: target, PayloadFormat: "2.0",
			Credentials: api.text("CredentialsArn")}
		if strings.Contains(target, ":lambda:") {
			i.Type = "AWS_PROXY"
		}
		b.addIntegration(i, api.place)
		b.addRoute(doctor.Route{ID: api.id, Key: key, Target: "integrations/" + api.id}, api.place)
		b.addStage(doctor.Stage{Name: "$default", AutoDeploy: true}, api.place)
	}
	b.readDefinition(api)
}

func (b *builder) addRoute(r doctor.Route, at doctor.Place) {
	*b.c.Routes.Value = append(*b.c.Routes.Value, r)
	b.c.Planned.Places[r.ID] = at
}

func (b *builder) addIntegration(i doctor.Integration, at doctor.Place) {
	*b.c.Integrations.Value = append(*b.c.Integrations.Value, i)
	if _, known := b.c.Planned.Places[i.ID]; !known {
		b.c.Planned.Places[i.ID] = at
	}
}

func (b *builder) addStage(s doctor.Stage, at doctor.Place) {
	if s.AutoDeploy && s.Deployment == "" {
		s.Deployment = "?"
	}
	*b.c.Stages.Value = append(*b.c.Stages.Value, s)
	b.c.Planned.Places[doctor.PlaceOf("stage", s.Name)] = at
}

// readParts reads the routes, integrations, authorizers and stages of the API.
func (b *builder) readParts() {
	for i := range b.resources {
		one := &b.resources[i]
		if one.text("ApiId") != b.api {
			continue
		}
		switch strings.TrimPrefix(one.kind, "AWS::ApiGatewayV2::") {
		case "Route":
			r := decode[doctor.Route](one.properties)
			r.ID = one.id
			b.addRoute(r, one.place)
		case "Integration":
			r := decode[doctor.Integration](one.properties)
			r.ID = one.id
			b.addIntegration(r, one.place)
		case "Authorizer":
			a := decode[doctor.Authorizer](one.properties)
			a.ID = one.id
			*b.c.Authorizers.Value = append(*b.c.Authorizers.Value, a)
			b.c.Planned.Places[a.ID] = one.place
		case "Stage":
			s := decode[doctor.Stage](one.properties)
			for _, d := range b.of("AWS::ApiGatewayV2::Deployment") {
				if d.text("ApiId") == b.api && d.text("StageName") == s.Name && s.Deployment == "" {
					s.Deployment = d.id
				}
			}
			if unknown.In(one.text("AutoDeploy")) && s.Deployment == "" {
				s.Deployment = "?"
			}
			b.addStage(s, one.place)
		}
	}
}

// readFunctions reads the functions of the API, and the roles with which integrations invoke them.
func (b *builder) readFunctions() {
	for _, t := range b.c.Targets() {
		b.c.Functions = append(b.c.Functions, b.newFunction(t))
	}
	for _, i := range b.c.Integrations.Or() {
		arn := i.Credentials
		if !strings.Contains(arn, ":role/") && !unknown.In(arn) || slices.ContainsFunc(b.c.Callers,
			func(n doctor.Named[doctor.Role]) bool { return n.Name == arn }) {
			continue
		}
		b.c.Callers = append(b.c.Callers, doctor.Named[doctor.Role]{Name: arn, Fact: b.role(arn)})
	}
}

// newFunction returns the facts about a function, version or alias.
func (b *builder) newFunction(t gateway.Target) doctor.Function {
	f := doctor.Function{Target: t}
	named := strings.TrimSuffix(t.Function+":"+t.Qualifier, ":")
	f.Configuration = doctor.Fact[doctor.Configuration]{Call: b.name, Of: named, Error: notHere}
	f.Policy = b.grants(t.Function, t.Qualifier)
	i := slices.IndexFunc(b.resources, func(r resource) bool {
		return r.kind == "AWS::Lambda::Function" && r.id == t.Function
	})
	if i < 0 {
		if isOwnName(t.Function) { // no other file can make a function with this name
			f.Configuration.Error = &doctor.Failure{Kind: doctor.Missing, Message: "no function has this name"}
		} else if !f.Policy.Seen() {
			f.Policy.Error = notHere
		}
		return f
	}
	one := &b.resources[i]
	b.c.Planned.Places[doctor.PlaceOf("function", t.Function)] = one.place
	c := configuration(one)
	var aliases []doctor.Alias
	others, exists := []string{""}, strings.Trim(t.Qualifier, "0123456789") == "" ||
		t.Qualifier == unknown.New(one.name) // Terraform publishes a version with the function
	for _, a := range b.resources {
		function, _ := functionOf(a.text("FunctionName"))
		if function != t.Function {
			continue
		}
		switch a.kind {
		case "AWS::Lambda::Alias":
			aliases = append(aliases, doctor.Alias{Name: a.text("Name"), Version: a.text("FunctionVersion")})
			b.c.Planned.Places[doctor.PlaceOf("function", function+":"+a.text("Name"))] = a.place
			others = append(others, a.text("Name"))
			exists = exists || t.Qualifier == a.text("Name")
		case "AWS::Lambda::Version":
			_, version := functionOf(a.id)
			b.c.Planned.Places[doctor.PlaceOf("function", function+":"+version)] = a.place
			others = append(others, version)
			exists = exists || t.Qualifier == version
		case "AWS::Lambda::Permission":
			if _, q := functionOf(a.text("FunctionName")); !slices.Contains(others, q) {
				others = append(others, q)
			}
		}
	}
	f.Aliases = known(b.name, t.Function, aliases)
	for _, q := range others {
		if q != t.Qualifier {
			f.Elsewhere = append(f.Elsewhere, doctor.Named[policy.Document]{
				Name: strings.TrimSuffix(t.Function+":"+q, ":"), Fact: b.grants(t.Function, q)})
		}
	}
	switch {
	case exists || t.Qualifier == "$LATEST":
		f.Configuration = known(b.name, named, c)
	case unknown.In(t.Qualifier):
	default:
		f.Configuration.Error = &doctor.Failure{Kind: doctor.Missing, Message: "no alias or version has this name"}
		f.Bare = known(b.name, t.Function, c)
	}
	f.Code = b.code(one, &c)
	if role := b.role(c.Role); role.Seen() {
		b.c.Planned.Places[doctor.PlaceOf("role", role.Value.Name)] = b.rolePlace(role.Value.Name)
		f.Needs, f.Rights = b.needs(one), role
		f.Trust = known(b.name, role.Value.Name, role.Value.Trust)
	}
	return f
}

// needs returns what a function needs: the tables of the file whose name or ARN is in one of its variables.
func (b *builder) needs(function *resource) (all []doctor.Need) {
	environment, _ := function.properties["Environment"].(map[string]any)
	variables, _ := environment["Variables"].(map[string]any)
	for _, name := range sortedKeys(variables) {
		for _, table := range b.of("AWS::DynamoDB::Table") {
			n := doctor.Need{Resource: b.tableARN(table.id), Variable: name}
			switch text(variables[name]) {
			case table.id, n.Resource:
			case "dynamodb:" + table.id: // of the notes service
				n.Actions = b.options.NotesActions
			default:
				continue
			}
			all = append(all, n)
		}
	}
	return all
}

// tableARN returns the ARN of a table.
func (f *file) tableARN(name string) string {
	return "arn:" + f.partition + ":dynamodb:" + f.region + ":" + f.account + ":table/" + name
}

// isOwnName reports whether a name contains what only this deployment has: the ID of a resource, or the stack's name.
func isOwnName(name string) bool {
	return strings.Contains(name, "‹") || strings.Contains(name, unknown.Open("AWS::StackName"))
}

// configuration returns the configuration of a function.
func configuration(one *resource) doctor.Configuration {
	c := decode[doctor.Configuration](one.properties)
	c.Name, c.LogGroup = one.id, "/aws/lambda/"+one.id
	c.Concurrency = decode[struct {
		Reserved *int `json:"ReservedConcurrentExecutions"`
	}](one.properties).Reserved
	_, c.VPC = one.properties["VpcConfig"]
	environment, _ := one.properties["Environment"].(map[string]any)
	variables, _ := environment["Variables"].(map[string]any)
	c.Variables = nil
	for _, name := range sortedKeys(variables) {
		c.Variables = append(c.Variables, doctor.Variable{Name: name, Empty: text(variables[name]) == ""})
	}
	return c
}
