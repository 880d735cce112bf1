package planned

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/unknown"
)

// tfFile is the output of terraform show -json for a plan or a state
// (https://developer.hashicorp.com/terraform/internals/json-format).
type tfFile struct {
	Planned tfValues `json:"planned_values"` // of a plan
	Values  tfValues `json:"values"`         // of a state
	Prior   struct { // before a plan, with the data sources
		Values tfValues `json:"values"`
	} `json:"prior_state"`
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
	for _, root := range []tfInstance{r.doc.Planned.Root, r.doc.Values.Root} {
		r.collect(root, nil)
	}
	own := map[string]string{}
	for _, root := range []tfInstance{r.doc.Prior.Values.Root, r.doc.Values.Root} {
		addLocation(own, root)
	}
	for _, one := range r.instances {
		for _, attribute := range []string{"arn", "execution_arn", "integration_uri"} {
			found := map[string]string{}
			literals(found, one.Values[attribute])
			for pseudo, value := range found {
				if own[pseudo] = cmp.Or(own[pseudo], value); own[pseudo] != value { // the file has several regions
					own[pseudo] = unknown.Open(pseudo)
				}
			}
		}
	}
	r.locate(with(own, o.Parameters))
	for i := range r.instances {
		r.add(&r.instances[i])
	}
	return r.result(), nil
}

// tfReader reads a plan or a state.
type tfReader struct {
	file
	sources   map[string]*tfSource // by folder
	steps     int                  // of evaluation, to end it if references lead in a circle
	depth     int                  // of references that are being followed
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
		name := child.Address
		if i := strings.LastIndex(name, "module."); i >= 0 {
			name = name[i+len("module."):]
		}
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

// attribute returns an attribute of a resource, nil if it has none.
func (r *tfReader) attribute(one *tfOne, name string) any {
	const most = 200_000
	if r.steps++; r.steps > most {
		return unknown.Open(one.Address + "." + name)
	}
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
