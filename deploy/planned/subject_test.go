package planned_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/planned"
	"example.com/portable-notes/deploy/template"
)

// subject is the typical API of docs/building as one tool describes it before a deployment. The files in testdata are
// what the tools have written.
type subject struct {
	tool, file string
	source     string // of what SAM has translated; "" for the file itself
	terraform  bool
	names      bool // it writes the names of functions, not references to the stack's name
}

// subjects are the tools. The plan of a first deployment does not show whole source ARNs, so that it has no faults.
var subjects = []subject{
	{tool: "CloudFormation", file: "../../docs/building/cloudformation.yaml"},
	{tool: "SAM", file: "testdata/sam.json", source: "../../docs/building/sam.yaml"},
	{tool: "CDK", file: "testdata/cdk.json", names: true},
	{tool: "Serverless Framework", file: "testdata/serverless.json", names: true},
	{tool: "Terraform plan", file: "testdata/replan.json", terraform: true, names: true},
	{tool: "Terraform state", file: "testdata/state.json", terraform: true, names: true},
}

// readFile reads a file that must be there.
func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// read reads the subject's file after a change.
func (s subject) read(t *testing.T, change func(d *document)) planned.Result {
	t.Helper()
	text := readFile(t, s.file)
	if change != nil {
		d := parseDocument(t, text, s.terraform)
		change(d)
		text = d.encode()
	}
	o, name := planned.Options{}, s.file
	if s.source != "" {
		processed := text
		o.Translate = func([]byte, map[string]string) ([]byte, error) { return processed, nil }
		text, name = readFile(t, s.source), s.source
	}
	r, err := planned.Read(name, text, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// document is a template, or a plan or state of Terraform, for tests to change.
type document struct {
	t         *testing.T
	fields    map[string]any
	terraform bool
	api       string // logical name, or ID
}

func parseDocument(t *testing.T, text []byte, terraform bool) *document {
	t.Helper()
	d := &document{t: t, terraform: terraform}
	if terraform {
		if err := json.Unmarshal(text, &d.fields); err != nil {
			t.Fatal(err)
		}
	} else {
		read, err := template.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(read.Data())
		if err == nil {
			err = json.Unmarshal(encoded, &d.fields)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d.each("Api", func(name string, properties map[string]any) bool {
		if d.api = name; terraform {
			d.api = properties["id"].(string)
		}
		return true
	})
	return d
}

func (d *document) encode() []byte {
	text, err := json.Marshal(d.fields)
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

// kinds are the types of CloudFormation and of Terraform.
var kinds = map[string][2]string{
	"Api":         {"AWS::ApiGatewayV2::Api", "aws_apigatewayv2_api"},
	"Integration": {"AWS::ApiGatewayV2::Integration", "aws_apigatewayv2_integration"},
	"Route":       {"AWS::ApiGatewayV2::Route", "aws_apigatewayv2_route"},
	"Stage":       {"AWS::ApiGatewayV2::Stage", "aws_apigatewayv2_stage"},
	"Function":    {"AWS::Lambda::Function", "aws_lambda_function"},
	"Permission":  {"AWS::Lambda::Permission", "aws_lambda_permission"},
	"Role":        {"AWS::IAM::Role", "aws_iam_role"},
}

// each calls do with the properties of the resources of a kind, and removes those for which it returns false.
func (d *document) each(kind string, do func(name string, properties map[string]any) bool) {
	if !d.terraform {
		resources := d.fields["Resources"].(map[string]any)
		for name, one := range resources {
			fields := one.(map[string]any)
			properties, _ := fields["Properties"].(map[string]any)
			if fields["Type"] == kinds[kind][0] && !do(name, properties) {
				delete(resources, name)
			}
		}
		return
	}
	values, ok := d.fields["planned_values"].(map[string]any)
	if !ok {
		values = d.fields["values"].(map[string]any)
	}
	root := values["root_module"].(map[string]any)
	var kept []any
	for _, one := range root["resources"].([]any) {
		fields := one.(map[string]any)
		if fields["type"] != kinds[kind][1] || do(fields["address"].(string), fields["values"].(map[string]any)) {
			kept = append(kept, one)
		}
	}
	root["resources"] = kept
}

// key returns the name of a property.
func (d *document) key(name string) string {
	if !d.terraform {
		return name
	}
	switch name {
	case "AssumeRolePolicyDocument":
		return "assume_role_policy"
	case "DefaultRouteSettings":
		return "default_route_settings"
	}
	var out strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				out.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		out.WriteRune(c)
	}
	return out.String()
}

// isApp reports whether a value is about the function of the routes, not that of the authorizer.
func isApp(value any) bool {
	text, err := json.Marshal(value)
	return err == nil && !strings.Contains(string(text), "uth")
}

// set sets a property of the resources of a kind that are about the function of the routes.
func (d *document) set(kind, property string, value any) {
	changed := 0
	d.each(kind, func(_ string, properties map[string]any) bool {
		if kind == "Stage" || isApp(properties["FunctionName"]) && isApp(properties["function_name"]) {
			properties[d.key(property)] = value
			changed++
		}
		return true
	})
	if changed == 0 {
		d.t.Fatalf("there is no %s", kind)
	}
}

// setAll sets a property of all resources of a kind.
func (d *document) setAll(kind, property string, value any) {
	d.each(kind, func(_ string, properties map[string]any) bool {
		properties[d.key(property)] = value
		return true
	})
}

// source is a source ARN of the API.
func (d *document) source(region, account, rest string) any {
	if d.terraform {
		return "arn:aws:execute-api:" + region + ":" + account + ":" + d.api + rest
	}
	return map[string]any{"Fn::Sub": "arn:${AWS::Partition}:execute-api:" + region + ":" + account + ":${" + d.api +
		"}" + rest}
}

// own returns the region and account of the API.
func (d *document) own() (region, account string) {
	if d.terraform {
		return "us-east-1", "123456789012"
	}
	return "${AWS::Region}", "${AWS::AccountId}"
}

// grant gives all grants for the function of the routes a source ARN.
func (d *document) grant(rest string) {
	region, account := d.own()
	d.set("Permission", "SourceArn", d.source(region, account, rest))
}

// suffix adds a suffix to the function in the URIs of integrations.
func (d *document) suffix(suffix string) {
	changed := 0
	d.each("Integration", func(_ string, properties map[string]any) bool {
		key := d.key("IntegrationUri")
		if uri, ok := properties[key].(string); ok {
			uri, invoked := strings.CutSuffix(uri, "/invocations")
			if properties[key] = uri + suffix; invoked {
				properties[key] = uri + suffix + "/invocations"
			}
		} else {
			properties[key] = map[string]any{"Fn::Join": []any{"", []any{properties[key], suffix}}}
		}
		changed++
		return true
	})
	d.each("Api", func(_ string, properties map[string]any) bool {
		encoded, err := json.Marshal(properties["Body"])
		if err != nil {
			d.t.Fatal(err)
		}
		was := `functions/${App.Arn}/invocations`
		if strings.Contains(string(encoded), was) {
			changed++
			text := strings.ReplaceAll(string(encoded), was, `functions/${App.Arn}`+suffix+`/invocations`)
			properties["Body"] = json.RawMessage(text)
		}
		return true
	})
	if changed == 0 {
		d.t.Fatal("there is no integration")
	}
}

// remove removes the resources of a kind that are, or are not, about the function of the routes.
func (d *document) remove(kind string, app bool) {
	d.each(kind, func(_ string, properties map[string]any) bool {
		return (isApp(properties["FunctionName"]) && isApp(properties["function_name"])) != app
	})
}
