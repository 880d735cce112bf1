package planned

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/unknown"
)

// tfFile is the output of terraform show -json for a plan or a state
// (https://developer.hashicorp.com/terraform/internals/json-format).
type tfFile struct {
	Planned   tfValues                       `json:"planned_values"` // of a plan
	Values    tfValues                       `json:"values"`         // of a state
	Variables map[string]struct{ Value any } `json:"variables"`
	Config    struct {
		Root tfModule `json:"root_module"`
	} `json:"configuration"`
}

type tfValues struct {
	Root tfInstance `json:"root_module"`
}

// tfInstance is a module with the values of its resources.
type tfInstance struct {
	Address   string       `json:"address"` // "" for the root
	Resources []tfResource `json:"resources"`
	Children  []tfInstance `json:"child_modules"`
}

type tfResource struct {
	Address string         `json:"address"`
	Mode    string         `json:"mode"` // managed or data
	Type    string         `json:"type"`
	Name    string         `json:"name"`
	Index   any            `json:"index"`
	Values  map[string]any `json:"values"` // those that are known
}

// tfModule is a module as it is written.
type tfModule struct {
	Resources []struct {
		Address     string                     `json:"address"`
		Expressions map[string]json.RawMessage `json:"expressions"`
	} `json:"resources"`
	Calls map[string]struct {
		Source      string                     `json:"source"`
		Expressions map[string]json.RawMessage `json:"expressions"`
		Module      tfModule                   `json:"module"`
	} `json:"module_calls"`
	Outputs map[string]struct {
		Expression json.RawMessage `json:"expression"`
	} `json:"outputs"`
}

// readTerraform reads a plan or a state of Terraform.
func readTerraform(name string, text []byte, o Options) (Result, error) {
	r := tfReader{file: file{name: name, options: o, format: doctor.Terraform}, sources: map[string]*tfSource{}}
	if err := json.Unmarshal(text, &r.doc); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	r.partition, r.region, r.account = unknown.Open("AWS::Partition"), unknown.Open("AWS::Region"),
		unknown.Open("AWS::AccountId")
	for _, m := range tfARN.FindAllSubmatch(text, -1) { // the first that is written
		for i, value := range []*string{&r.partition, &r.region, &r.account} {
			if unknown.In(*value) {
				*value = string(m[i+1])
			}
		}
	}
	for _, root := range []tfInstance{r.doc.Planned.Root, r.doc.Values.Root} {
		r.collect(root, nil)
	}
	for i := range r.instances {
		r.add(&r.instances[i])
	}
	return r.result(), nil
}

var tfARN = regexp.MustCompile(`arn:(aws[a-z-]*):(?:lambda|execute-api):([a-z0-9-]+):(\d{12}):`)

// tfReader reads a plan or a state.
type tfReader struct {
	file
	sources   map[string]*tfSource // by folder
	doc       tfFile
	instances []tfOne
}

// tfOne is a resource, and the module that it is in.
type tfOne struct {
	tfResource
	path        []string // names of the modules, from the root
	module      string   // address of the module; "" for the root
	expressions map[string]json.RawMessage
}

// id returns a placeholder for the resource's ID.
func (o *tfOne) id() string { return unknown.New(o.Address) }

// collect lists the resources of a module and of those in it.
func (r *tfReader) collect(m tfInstance, path []string) {
	written := r.moduleAt(path)
	for _, one := range m.Resources {
		if one.Mode == "data" || tfKinds[one.Type].kind == "" {
			continue
		}
		added := tfOne{tfResource: one, path: path, module: m.Address}
		for _, w := range written.Resources {
			if w.Address == one.Type+"."+one.Name {
				added.expressions = w.Expressions
			}
		}
		r.instances = append(r.instances, added)
	}
	for _, child := range m.Children {
		name := child.Address[strings.LastIndex(child.Address, "module.")+len("module."):]
		name, _, _ = strings.Cut(name, "[")
		r.collect(child, append(slices.Clone(path), name))
	}
}

// moduleAt returns a module as it is written.
func (r *tfReader) moduleAt(path []string) tfModule {
	m := r.doc.Config.Root
	for _, name := range path {
		m = m.Calls[name].Module
	}
	return m
}

// tfKind is how a type of Terraform is read: the type of CloudFormation with the same properties, and the attributes
// whose names differ by more than their case.
type tfKind struct {
	kind   string
	rename map[string]string
}

// property returns CloudFormation's name of an attribute.
func (k tfKind) property(attribute string) string {
	if k.rename[attribute] != "" {
		return k.rename[attribute]
	}
	return camel(attribute)
}

var tfKinds = map[string]tfKind{
	"aws_apigatewayv2_api":   {kind: "AWS::ApiGatewayV2::Api"},
	"aws_apigatewayv2_route": {kind: "AWS::ApiGatewayV2::Route"},
	"aws_apigatewayv2_integration": {kind: "AWS::ApiGatewayV2::Integration",
		rename: map[string]string{"timeout_milliseconds": "TimeoutInMillis"}},
	"aws_apigatewayv2_authorizer": {kind: "AWS::ApiGatewayV2::Authorizer",
		rename: map[string]string{"identity_sources": "IdentitySource"}},
	"aws_apigatewayv2_stage":      {kind: "AWS::ApiGatewayV2::Stage", rename: map[string]string{"name": "StageName"}},
	"aws_apigatewayv2_deployment": {kind: "AWS::ApiGatewayV2::Deployment"},
	"aws_api_gateway_rest_api":    {kind: "AWS::ApiGateway::RestApi"},
	"aws_dynamodb_table":          {kind: "AWS::DynamoDB::Table"},
	"aws_lambda_function":         {kind: "AWS::Lambda::Function"},
	"aws_lambda_alias":            {kind: "AWS::Lambda::Alias"},
	"aws_lambda_permission":       {kind: "AWS::Lambda::Permission"},
	"aws_iam_role": {kind: "AWS::IAM::Role", rename: map[string]string{
		"assume_role_policy": "AssumeRolePolicyDocument", "inline_policy": "Policies", "name": "RoleName"}},
	"aws_iam_role_policy": {kind: "AWS::IAM::RolePolicy",
		rename: map[string]string{"role": "RoleName", "policy": "PolicyDocument"}},
	"aws_iam_role_policy_attachment": {kind: attachment, rename: map[string]string{"role": "RoleName"}},
	"aws_iam_policy": {kind: "AWS::IAM::ManagedPolicy",
		rename: map[string]string{"policy": "PolicyDocument"}},
}

// attachment is a managed policy of a role, which CloudFormation has only as a property of the role.
const attachment = "Attachment"

// tfBlocks are blocks that a resource has at most once. Terraform has them as lists.
var tfBlocks = []string{"cors_configuration", "default_route_settings", "access_log_settings", "jwt_configuration",
	"environment"}

// add adds a resource in CloudFormation's terms.
func (r *tfReader) add(one *tfOne) {
	k := tfKinds[one.Type]
	added := resource{kind: k.kind, name: one.Address, id: text(r.attribute(one, "id")),
		properties: map[string]any{}, place: doctor.Place{File: r.name, Name: one.Address}}
	if at, found := r.sourceAt(one.path).place(one); found {
		added.place = at
	}
	for _, name := range slices.Sorted(maps.Keys(one.merged())) {
		value := r.attribute(one, name)
		if value == nil {
			continue
		}
		added.properties[k.property(name)] = value
	}
	switch one.Type {
	case "aws_lambda_function":
		added.id = text(r.attribute(one, "function_name"))
		added.code.path = text(one.Values["filename"])
		if text(one.Values["reserved_concurrent_executions"]) == "-1" { // none
			delete(added.properties, "ReservedConcurrentExecutions")
		}
		if len(list(one.Values["vpc_config"])) == 0 {
			delete(added.properties, "VpcConfig")
		}
	case "aws_lambda_permission":
		if q := added.text("Qualifier"); q != "" {
			function, _ := functionOf(added.text("FunctionName"))
			added.properties["FunctionName"] = function + ":" + q
		}
	case "aws_dynamodb_table":
		added.id = text(r.attribute(one, "name"))
	case "aws_iam_role":
		added.id = text(r.attribute(one, "name"))
	case "aws_iam_policy":
		added.id = text(r.attribute(one, "arn"))
	case "aws_apigatewayv2_stage":
		routes := map[string]any{}
		for _, settings := range list(added.properties["RouteSettings"]) {
			if fields, ok := settings.(map[string]any); ok {
				routes[text(fields["RouteKey"])] = fields
			}
		}
		added.properties["RouteSettings"] = routes
	case "aws_apigatewayv2_api":
		if body := added.text("Body"); body != "" {
			added.properties["Body"] = decodeText(body)
		}
	}
	r.resources = append(r.resources, added)
}

// merged returns the names of the resource's attributes.
func (o *tfOne) merged() map[string]bool {
	names := map[string]bool{}
	for name := range o.Values {
		names[name] = true
	}
	for name := range o.expressions {
		names[name] = true
	}
	return names
}

// camel returns the name of an attribute as CloudFormation writes it.
func camel(name string) string {
	var out strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if word != "" {
			out.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return out.String()
}

// camelKeys returns a value of a block with the names that CloudFormation uses.
func camelKeys(value any) any {
	switch v := value.(type) {
	case map[string]any:
		all := map[string]any{}
		for name, one := range v {
			if one != nil {
				all[camel(name)] = one
			}
		}
		return all
	case []any:
		all := []any{}
		for _, one := range v {
			all = append(all, camelKeys(one))
		}
		return all
	}
	return value
}

// attribute returns an attribute of a resource, nil if it has none.
func (r *tfReader) attribute(one *tfOne, name string) any {
	if value := one.Values[name]; value != nil {
		blocks := list(value)
		switch _, isList := value.([]any); {
		case isList && slices.Contains(tfBlocks, name) && len(blocks) == 0:
			return nil
		case isList && slices.Contains(tfBlocks, name):
			return camelKeys(blocks[0])
		case isList:
			return camelKeys(value)
		}
		return value
	}
	if _, isKnown := one.Values[name]; isKnown {
		return nil // it is null
	}
	if value := r.computed(one, name); value != "" {
		return value
	}
	if expression := one.expressions[name]; expression != nil {
		return r.evaluate(one, name, expression)
	}
	return nil
}

// computed returns an attribute that AWS gives a resource, "" for another one.
func (r *tfReader) computed(one *tfOne, name string) string {
	function := func() string { return r.functionARN(text(r.attribute(one, "function_name"))) }
	switch one.Type + " " + name {
	case "aws_lambda_function function_name", "aws_iam_role name", "aws_dynamodb_table name":
		if one.expressions[name] == nil {
			return one.id()
		}
	case "aws_lambda_function arn":
		return function()
	case "aws_lambda_function invoke_arn":
		return r.invocation(function())
	case "aws_lambda_function version":
		return one.id()
	case "aws_lambda_function qualified_arn":
		return function() + ":" + one.id()
	case "aws_lambda_function qualified_invoke_arn":
		return r.invocation(function() + ":" + one.id())
	case "aws_lambda_alias arn", "aws_lambda_alias invoke_arn":
		name, _ := functionOf(text(r.attribute(one, "function_name")))
		arn := r.functionARN(name + ":" + text(r.attribute(one, "name")))
		if strings.HasSuffix(one.Type+" "+name, "invoke_arn") {
			arn = r.invocation(arn)
		}
		return arn
	case "aws_dynamodb_table arn":
		return r.tableARN(text(r.attribute(one, "name")))
	case "aws_iam_role arn":
		return "arn:" + r.partition + ":iam::" + r.account + ":role" + orSlash(text(one.Values["path"])) +
			text(r.attribute(one, "name"))
	case "aws_iam_role id":
		return text(r.attribute(one, "name"))
	case "aws_iam_policy arn":
		return "arn:" + r.partition + ":iam::" + r.account + ":policy/" + one.id()
	case "aws_apigatewayv2_api execution_arn":
		return "arn:" + r.partition + ":execute-api:" + r.region + ":" + r.account + ":" + text(r.attribute(one, "id"))
	}
	if name == "id" {
		return one.id()
	}
	return ""
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// invocation returns the URI by which API Gateway invokes a function.
func (r *tfReader) invocation(arn string) string {
	return "arn:" + r.partition + ":apigateway:" + r.region + ":lambda:path/2015-03-31/functions/" + arn +
		"/invocations"
}

// evaluate returns the value of an expression: as it is written, or as far as its references determine it.
func (r *tfReader) evaluate(one *tfOne, name string, expression json.RawMessage) any {
	if value, found := r.written(one, name); found {
		return value
	}
	open := unknown.Open(one.Address + "." + name)
	value, known := r.resolve(one, one.path, one.module, expression)
	found := text(value)
	switch {
	case !known:
		return open
	case name == "target" && one.Type == "aws_apigatewayv2_route":
		return "integrations/" + found
	case name == "source_arn":
		return found + "/" + open // an API's ARN has a suffix, which Terraform does not give
	case slices.Contains(tfWhole, name):
		return value
	}
	return open
}

// tfWhole are attributes whose expressions are usually a reference and nothing else.
var tfWhole = []string{"api_id", "authorizer_id", "authorizer_uri", "credentials_arn", "deployment_id", "function_name",
	"function_version", "integration_uri", "policy_arn", "qualifier", "role", "source_account", "target"}

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

// lookUp returns the value of a reference in a module.
func (r *tfReader) lookUp(from *tfOne, path []string, module, reference string) (any, bool) {
	parts := strings.Split(reference, ".")
	switch {
	case parts[0] == "var" && len(path) == 0:
		v, known := r.doc.Variables[parts[1]]
		return v.Value, known && v.Value != nil
	case parts[0] == "var" && len(parts) > 1: // what the caller of the module gives
		outer := path[:len(path)-1]
		given := r.moduleAt(outer).Calls[path[len(path)-1]].Expressions[parts[1]]
		return r.resolve(from, outer, module[:max(0, strings.LastIndex(module, ".module."))], given)
	case parts[0] == "module" && len(parts) > 2:
		name, _, _ := strings.Cut(parts[1], "[")
		inner := append(slices.Clone(path), name)
		address := strings.TrimPrefix(module+".module."+parts[1], ".")
		return r.resolve(from, inner, address, r.moduleAt(inner).Outputs[parts[2]].Expression)
	case len(parts) < 3:
		return nil, false
	}
	var found []*tfOne
	for i := range r.instances {
		one := &r.instances[i]
		name, _, _ := strings.Cut(parts[1], "[")
		if one.Type == parts[0] && one.Name == name && slices.Equal(one.path, path) {
			found = append(found, one)
		}
	}
	if len(found) > 1 { // those with for_each or count usually refer to each other by the same key
		found = slices.DeleteFunc(found, func(o *tfOne) bool { return o.Index != from.Index })
	}
	if len(found) != 1 {
		return nil, false
	}
	value := r.attribute(found[0], strings.Join(parts[2:], "."))
	return value, value != nil
}
