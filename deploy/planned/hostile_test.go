package planned_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"example.com/portable-notes/deploy/planned"
	"example.com/portable-notes/deploy/template"
)

// right is the small template with a grant that is right.
func right() string {
	return strings.NewReplacer("URI}", "!GetAtt App.Arn}", "FUNCTION", "!Ref App", "SOURCE",
		`!Sub "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"`).Replace(small)
}

// chain returns n lines, in which each but the last refers to the next.
func chain(n int, line, last string) string {
	var all strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&all, line, i, i+1, i+1)
	}
	fmt.Fprintf(&all, last, n-1)
	return all.String()
}

// TestDoubling checks that a small template in which each value refers twice to the next one is read at once.
func TestDoubling(t *testing.T) {
	const levels = 50
	table := "  T%d: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Sub '${T%d}${T%d}'}}\n"
	for _, c := range []struct{ name, text, says string }{
		{name: "conditions", text: right() + "    Condition: C0\nConditions:\n" +
			chain(levels, "  C%d: !Or [!Condition C%d, !Condition C%d]\n", "  C%d: !Equals [!Ref Stage, x]\n")},
		{name: "names", text: right() + chain(levels, table,
			"  T%d: {Type: AWS::DynamoDB::Table, Properties: {TableName: ''}}\n")},
		{name: "names that become longer", text: right() + chain(levels, table,
			"  T%d: {Type: AWS::DynamoDB::Table, Properties: {TableName: abc}}\n"), says: "compose a text of"},
		{name: "a name that refers to itself", text: right() +
			"  T: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Ref T}}\n"},
		{name: "values of Fn::Sub", text: strings.Replace(right(), "Handler: a.b", "Handler: "+
			strings.Repeat("!Sub ['${a}${a}', {a: ", levels)+"''"+strings.Repeat("}]", levels), 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				_, err := planned.Read("t.yaml", []byte(c.text), planned.Options{})
				done <- err
			}()
			select {
			case err := <-done:
				if wrong := new(template.Error); c.says == "" && err != nil || c.says != "" &&
					(!errors.As(err, &wrong) || !strings.Contains(wrong.Message, c.says)) {
					t.Errorf("error %v, want %q", err, c.says)
				}
			case <-time.After(30 * time.Second): // it would be years
				t.Fatal("it does not end")
			}
		})
	}
}

// TestTerraformCircles checks that plans with circles, and with what Terraform does not write, are read.
func TestTerraformCircles(t *testing.T) {
	const start = `{"terraform_version": "1", "planned_values": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
    "values": {"name": "x", "protocol_type": "HTTP"}},
  {"address": "aws_lambda_function.f[0]", "mode": "managed", "type": "aws_lambda_function", "name": "f",
    "index": [1], "values": {}},
  {"address": "aws_lambda_function.f[1]", "mode": "managed", "type": "aws_lambda_function", "name": "f",
    "index": [2], "values": {}},
  {"address": "aws_apigatewayv2_integration.i", "mode": "managed", "type": "aws_apigatewayv2_integration",
    "name": "i", "index": [1], "values": {}}], "child_modules": [{"address": "m"}]}},
"configuration": {"root_module": {"resources": [{"address": "aws_apigatewayv2_integration.i", "expressions":
  {"integration_uri": {"references": ["REFERENCE"]}}},
  {"address": "aws_lambda_function.f", "expressions":
  {"function_name": {"references": ["aws_lambda_function.f.function_name"]}}}],
  "module_calls": {"m": {"source": "./m", "expressions": {"x": {"references": ["module.m.o"]}},
  "module": {"outputs": {"o": {"expression": {"references": ["var.x"]}}}}}}}}}`
	for _, reference := range []string{"module.m.o", "var", "var.x.y", "aws_lambda_function.f", "each",
		"aws_lambda_function.f.arn", "aws_lambda_function.f[0].arn", "", ".", "module.m", "data.x"} {
		t.Run(reference, func(t *testing.T) {
			judge(t, "plan.json", strings.Replace(start, "REFERENCE", reference, 1), planned.Options{})
		})
	}
}

// TestRegions checks that a state of several regions has no region, rather than the first.
func TestRegions(t *testing.T) {
	const function = `{"address": "aws_lambda_function.%[1]s", "mode": "managed", "type": "aws_lambda_function",
  "name": "%[1]s", "values": {"function_name": "%[1]s", "arn": "arn:aws:lambda:%[2]s:123456789012:function:%[1]s"}}`
	const rest = `{"address": "aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
  "values": {"id": "abc123", "name": "x", "protocol_type": "HTTP"}},
  {"address": "aws_apigatewayv2_stage.s", "mode": "managed", "type": "aws_apigatewayv2_stage", "name": "s",
  "values": {"api_id": "abc123", "name": "$default", "auto_deploy": true}},
  {"address": "aws_apigatewayv2_integration.i", "mode": "managed", "type": "aws_apigatewayv2_integration", "name": "i",
  "values": {"id": "int", "api_id": "abc123", "integration_type": "AWS_PROXY", "payload_format_version": "2.0",
  "integration_uri": "arn:aws:lambda:eu-west-1:123456789012:function:g"}},
  {"address": "aws_apigatewayv2_route.r", "mode": "managed", "type": "aws_apigatewayv2_route", "name": "r",
  "values": {"id": "r", "api_id": "abc123", "route_key": "GET /x", "target": "integrations/int"}},
  {"address": "aws_lambda_permission.p", "mode": "managed", "type": "aws_lambda_permission", "name": "p",
  "values": {"action": "lambda:InvokeFunction", "function_name": "g", "principal": "apigateway.amazonaws.com",
  "source_arn": "arn:aws:execute-api:eu-west-1:123456789012:abc123/*/*"}}`
	state := `{"terraform_version": "1", "values": {"root_module": {"resources": [` +
		fmt.Sprintf(function, "f", "us-east-1") + "," + fmt.Sprintf(function, "g", "eu-west-1") + "," + rest + `]}}}`
	if d, _ := judge(t, "state.json", state, planned.Options{}); len(faults(d)) > 0 {
		t.Errorf("faults %q", faults(d))
	}
}

// TestDeepConfiguration checks that a configuration which would exhaust the stack of the library is left out.
func TestDeepConfiguration(t *testing.T) {
	const deep = 900_000
	plan := `{"terraform_version": "1", "planned_values": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
    "values": {"name": "x", "protocol_type": "HTTP"}}]}}}`
	for name, text := range map[string]string{"parentheses": strings.Repeat("(", deep),
		"signs": strings.Repeat("-", deep) + "1", "templates": strings.Repeat(`"${`, deep/3)} {
		t.Run(name, func(t *testing.T) {
			judge(t, "plan.json", plan, planned.Options{Files: fstest.MapFS{
				"main.tf": {Data: []byte("locals {\n  a = " + text + "\n}\n")},
				"pipe.tf": {Mode: fs.ModeNamedPipe}, // which is not opened
			}})
		})
	}
}

// TestDoubts checks that values which are not known are no faults, and that a value which is not one of ours is.
func TestDoubts(t *testing.T) {
	const source = `!Sub "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"`
	const own = `Handler: a.b, FunctionName: !Sub "${Stage}-a"}`
	for _, c := range []struct {
		name  string
		edits []string // old and new texts
		cause string
		hides string // must not be in the report
	}{
		{name: "whether a stage deploys", edits: []string{"AutoDeploy: true", "AutoDeploy: !Ref Stage"}},
		{name: "the name of the function", edits: []string{"Handler: a.b}", own}},
		{name: "the name of the function, which the grant writes", edits: []string{"Handler: a.b}", own,
			"FunctionName: !Ref App", "FunctionName: dev-a"}},
		{name: "an authorizer of another account", edits: []string{"  Grant:\n", "  Auth: {Type: " +
			"AWS::ApiGatewayV2::Authorizer, Properties: {ApiId: !Ref Api, Name: a, AuthorizerType: REQUEST, " +
			`AuthorizerUri: "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:` +
			`999999999999:function:a/invocations"}}` + "\n  Grant:\n", source,
			`!Sub "arn:aws:execute-api:us-east-1:111111111111:${Api}/*"`}},
		{name: "a source ARN of a report", edits: []string{source,
			"arn:aws:execute-api:«AWS.Region»:«AWS.AccountId»:‹Api›/*"}, cause: "permission.mangled-arn"},
		{name: "a secret", edits: []string{"Default: none", "Default: hunter2, NoEcho: true",
			"IntegrationUri: !GetAtt App.Arn", `IntegrationUri: !Sub "https://example.com/?key=${Source}"`},
			hides: "hunter2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := judge(t, "t.yaml", strings.NewReplacer(c.edits...).Replace(right()), planned.Options{})
			if got := strings.Join(faults(d), " "); got != c.cause {
				t.Errorf("faults %q, want %q", got, c.cause)
			}
			if all := fmt.Sprintf("%+v", d); c.hides != "" && strings.Contains(all, c.hides) {
				t.Errorf("%q is in %s", c.hides, all)
			}
		})
	}
}

// TestForms checks that templates are recognized in other forms of YAML, and definitions with functions are read.
func TestForms(t *testing.T) {
	for name, text := range map[string]string{
		"indented": "  " + strings.ReplaceAll(strings.TrimSpace(right()), "\n", "\n  ") + "\n",
		"a definition with a condition": `openapi: 3.0.1
info: {title: x, version: "1"}
paths:
  /x:
    get:
      x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, payloadFormatVersion: "2.0",
        uri: !If [Prod, !Ref A, !Ref B]}
`} {
		t.Run(name, func(t *testing.T) {
			if d, _ := judge(t, "t.yaml", text, planned.Options{}); len(faults(d)) > 0 {
				t.Errorf("faults %q", faults(d))
			}
		})
	}
}
