package planned_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
)

// TestIntegrationRole checks integrations that invoke a function with a role.
func TestIntegrationRole(t *testing.T) {
	const text = `Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: x, ProtocolType: HTTP, RouteKey: GET /x,
    Target: !GetAtt App.Arn, CredentialsArn: ARN}}
  App: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub "${AWS::StackName}-app", Role: !GetAtt Own.Arn}}
  Own: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: {Effect: Allow,
    Principal: {Service: lambda.amazonaws.com}, Action: "sts:AssumeRole"}}}}
  Caller:
    Type: AWS::IAM::Role
    Properties:
      Path: /gateways/
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Principal: {Service: PRINCIPAL}, Action: "sts:AssumeRole"}}
      ManagedPolicyArns: MANAGED
      Policies: INLINE
  Shared: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: POLICY}}
  More: {Type: AWS::IAM::Policy, Properties: {Roles: [!Ref MORE], PolicyDocument: {Statement: {Effect: Allow, Action:
    "lambda:InvokeFunction", Resource: !GetAtt App.Arn}}}}
`
	const invoke = `{Statement: {Effect: Allow, Action: "lambda:*", Resource: !Sub "${App.Arn}"}}`
	usual := map[string]string{"ARN": "!GetAtt Caller.Arn", "PRINCIPAL": "apigateway.amazonaws.com", "MANAGED": "[]",
		"INLINE": "[{PolicyName: x, PolicyDocument: " + invoke + "}]", "POLICY": invoke, "MORE": "Own"}
	for _, c := range []struct {
		name, key, value, cause string
		unseen                  bool
	}{
		{name: "as it should be", key: "-"},
		{name: "not assumable", key: "PRINCIPAL", value: "ec2.amazonaws.com", cause: "integration.role"},
		{name: "a principal that is open", key: "PRINCIPAL", value: "!ImportValue x", unseen: true},
		{name: "no right", key: "INLINE", value: "[]", cause: "integration.role"},
		{name: "a managed policy of AWS that is known", key: "MANAGED",
			value: "[!Sub 'arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaRole']"},
		{name: "a managed policy that is not known", key: "MANAGED", value: "['arn:aws:iam::aws:policy/Other']",
			unseen: true},
		{name: "a managed policy of the file", key: "MANAGED", value: "[!Ref Shared]"},
		{name: "a policy of the file", key: "MORE", value: "Caller"},
		{name: "a role of another file", key: "ARN", value: "!ImportValue role", unseen: true},
		{name: "the caller's own identity", key: "ARN", value: "'arn:aws:iam::*:user/*'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs := []string{}
			for key, value := range usual {
				switch {
				case key == c.key:
					value = c.value
				case key == "INLINE" && (c.key == "MANAGED" || c.key == "MORE"):
					value = "[]"
				}
				pairs = append(pairs, key, value)
			}
			d, _ := judge(t, "t.yaml", strings.NewReplacer(pairs...).Replace(text), planned.Options{})
			if got := strings.Join(faults(d), " "); got != c.cause || (len(d.Unseen) > 0) != c.unseen {
				t.Errorf("faults %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
		})
	}
}

// TestAliases checks integrations with an alias or a version of a function, in both languages.
func TestAliases(t *testing.T) {
	const text = `Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: x, ProtocolType: HTTP, Target: TARGET}}
  App: {Type: AWS::Lambda::Function, Properties: {Handler: a.b}}
  One: {Type: AWS::Lambda::Version, Properties: {FunctionName: !Ref App}}
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref App, Name: live,
    FunctionVersion: !GetAtt One.Version}}
  Grant: {Type: AWS::Lambda::Permission, Properties: {Action: "lambda:InvokeFunction", FunctionName: FUNCTION,
    Principal: apigateway.amazonaws.com, SourceAccount: !Ref AWS::AccountId}}
`
	const plan = `{"terraform_version": "1", "planned_values": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
    "values": {"name": "x", "protocol_type": "HTTP"}},
  {"address": "aws_lambda_function.f", "mode": "managed", "type": "aws_lambda_function", "name": "f",
    "values": {"function_name": "f", "vpc_config": [], "reserved_concurrent_executions": -1}},
  {"address": "aws_lambda_alias.l", "mode": "managed", "type": "aws_lambda_alias", "name": "l",
    "values": {"name": "live"}},
  {"address": "aws_lambda_permission.p", "mode": "managed", "type": "aws_lambda_permission", "name": "p",
    "values": {"action": "lambda:InvokeFunction", "principal": "apigateway.amazonaws.com" VALUES}}]}},
  "configuration": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "expressions": {"target": {"references": ["TARGET"]}}},
  {"address": "aws_lambda_alias.l", "expressions": {
    "function_name": {"references": ["aws_lambda_function.f.function_name", "aws_lambda_function.f"]}}},
  {"address": "aws_lambda_permission.p", "expressions": {
    "function_name": {"references": ["FUNCTION", "aws_lambda_function.f"]}}}]}}}`
	for _, c := range []struct{ name, text, target, function, values, cause string }{
		{name: "the alias", text: text, target: "!Ref Live", function: "!Ref Live"},
		{name: "the alias by its name", text: text, target: "!Sub '${App.Arn}:live'", function: "!Sub '${App}:live'"},
		{name: "the version", text: text, target: "!Ref One", function: "!Ref One"},
		{name: "the function", text: text, target: "!GetAtt App.Arn", function: "!Ref App"},
		{name: "a grant for the function alone", text: text, target: "!Ref Live", function: "!Ref App",
			cause: "permission.qualifier"},
		{name: "a grant for the alias alone", text: text, target: "!GetAtt App.Arn", function: "!Ref Live",
			cause: "permission.qualifier"},
		{name: "Terraform: the alias", text: plan, target: "aws_lambda_alias.l.invoke_arn",
			function: "aws_lambda_function.f.function_name", values: `, "qualifier": "live"`},
		{name: "Terraform: the alias's ARN", text: plan, target: "aws_lambda_alias.l.arn",
			function: "aws_lambda_function.f.function_name", values: `, "qualifier": "live"`},
		{name: "Terraform: the version", text: plan, target: "aws_lambda_function.f.qualified_arn",
			function: "aws_lambda_function.f.qualified_arn"},
		{name: "Terraform: the version's URI", text: plan, target: "aws_lambda_function.f.qualified_invoke_arn",
			function: "aws_lambda_function.f.arn", cause: "permission.qualifier"},
		{name: "Terraform: a grant for the function alone", text: plan, target: "aws_lambda_alias.l.invoke_arn",
			function: "aws_lambda_function.f.function_name", cause: "permission.qualifier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer("TARGET", c.target, "FUNCTION", c.function, "VALUES", c.values).Replace(c.text)
			d, _ := judge(t, "t.yaml", text, planned.Options{})
			if got := strings.Join(faults(d), " "); got != c.cause || len(d.Unseen) > 0 {
				t.Errorf("faults %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
		})
	}
}

// TestModules checks that references of a plan are followed through modules.
func TestModules(t *testing.T) {
	const plan = `{"terraform_version": "1", "variables": {"name": {"value": "x"}},
"planned_values": {"root_module": {
  "resources": [{"address": "aws_lambda_permission.p[\"x\"]", "mode": "managed", "type": "aws_lambda_permission",
    "name": "p", "index": "x", "values": {"action": "lambda:InvokeFunction", "principal": "apigateway.amazonaws.com"}}],
  "child_modules": [
    {"address": "module.api", "resources": [
      {"address": "module.api.aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
        "values": {"name": "x", "protocol_type": "HTTP"}},
      {"address": "module.api.data.aws_region.r", "mode": "data", "type": "aws_region", "name": "r", "values": {}}]},
    {"address": "module.app[0]", "resources": [
      {"address": "module.app[0].aws_lambda_function.f", "mode": "managed", "type": "aws_lambda_function", "name": "f",
        "values": {}}]}]}},
"configuration": {"root_module": {
  "resources": [{"address": "aws_lambda_permission.p", "expressions": {
    "function_name": {"references": ["module.app[0].name", "module.app[0]", "module.app"]},
    "source_arn": {"references": ["module.api.arn", "module.api"]}}}],
  "module_calls": {
    "api": {"source": "./api", "expressions": {"target": {"references": ["module.app[0].arn", "module.app"]}},
      "module": {"outputs": {"arn": {"expression": {"references": ["aws_apigatewayv2_api.a.execution_arn",
          "aws_apigatewayv2_api.a"]}}},
        "resources": [{"address": "aws_apigatewayv2_api.a",
          "expressions": {"target": {"references": ["var.target"]}}}]}},
    "app": {"source": "example/app/aws", "expressions": {"name": {"references": ["var.name"]}},
      "module": {"outputs": {
          "name": {"expression": {"references": ["aws_lambda_function.f.function_name", "aws_lambda_function.f"]}},
          "arn": {"expression": {"references": ["aws_lambda_function.f.invoke_arn", "aws_lambda_function.f"]}}},
        "resources": [{"address": "aws_lambda_function.f", "expressions": {
          "function_name": {"references": ["var.name"]}}}]}}}}}}`
	files := func(source string) fstest.MapFS {
		return fstest.MapFS{"main.tf": {Data: []byte("resource \"aws_lambda_permission\" \"p\" {\n  source_arn = " +
			source + "\n}\n")}, "api/main.tf": {Data: []byte("resource \"aws_apigatewayv2_api\" \"a\" {\n}\n")}}
	}
	for _, c := range []struct {
		name   string
		files  fstest.MapFS
		cause  string
		unseen bool
	}{
		{name: "without the configuration", unseen: true},
		{name: "with it", files: files(`"${module.api.arn}/*"`)},
		{name: "with a mistake", files: files(`"${module.api.arn}/prod/${each.key}"`),
			cause: "permission.default-route"},
		{name: "with what is not known", files: files(`"${module.api.arn}/${module.api.stage}"`), unseen: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := planned.Options{}
			if c.files != nil {
				o.Files = c.files
			}
			d, r := judge(t, "plan.json", plan, o)
			if got := strings.Join(faults(d), " "); got != c.cause || (len(d.Unseen) > 0) != c.unseen {
				t.Errorf("faults %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
			if got := r.Cases[0].Functions[0].Target.Function; got != "x" {
				t.Errorf("the function is %q", got)
			}
			for _, f := range d.Findings {
				if !strings.Contains(f.Places[0].Name, `aws_lambda_permission.p["x"]`) {
					t.Errorf("%+v", f.Places)
				}
			}
		})
	}
}

// TestRemaining checks what no other test reads: an API of Terraform with a definition, JWT authorizers, CORS, settings
// of routes, and permissions for others.
func TestRemaining(t *testing.T) {
	const plan = `{"terraform_version": "1", "values": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
    "values": {"id": "a1", "name": "", "protocol_type": "HTTP", "cors_configuration": [{"allow_origins": ["*"]}],
      "body": "openapi: 3.0.1\ninfo: {title: named}\npaths:\n  /x:\n    get:\n      security: [{token: [read]}]\n` +
		`      x-amazon-apigateway-integration: {type: http_proxy, uri: 'https://example.com'}\n    put:\n` +
		`      x-amazon-apigateway-auth: {type: AWS_IAM}\n      x-amazon-apigateway-integration: {type: http_proxy}\n` +
		`components:\n  securitySchemes:\n    token:\n      x-amazon-apigateway-authorizer:\n` +
		`        {type: jwt, jwtConfiguration: {issuer: 'https://i.example', audience: [x]}}\n"}},
  {"address": "aws_apigatewayv2_stage.s", "mode": "managed", "type": "aws_apigatewayv2_stage", "name": "s",
    "values": {"api_id": "a1", "name": "dev", "auto_deploy": true, "default_route_settings": [], "route_settings": [
      {"route_key": "GET /x", "throttling_rate_limit": 0, "throttling_burst_limit": 0}]}}]}}}`
	d, r := judge(t, "state.json", plan, planned.Options{})
	c := r.Cases[0]
	if c.API.Value.Name != "named" || c.API.Value.CORS == nil || c.API.Value.CORS.Origins[0] != "*" {
		t.Errorf("the API is %+v", c.API.Value)
	}
	if a := c.Authorizers.Or(); len(a) != 1 || a[0].Type != "JWT" || a[0].JWT.Issuer != "https://i.example" {
		t.Errorf("the authorizers are %+v", a)
	}
	routes := c.Routes.Or()
	if routes[0].Authorization != "JWT" || routes[0].Scopes[0] != "read" || routes[1].Authorization != "AWS_IAM" {
		t.Errorf("the routes are %+v", routes)
	}
	if f := finding(t, d, "stage.throttled"); len(f.Routes) != 1 || f.Routes[0].Route != "GET /x" {
		t.Errorf("%+v", f)
	}
	const text = `Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: x, ProtocolType: HTTP, Target: !GetAtt App.Arn}}
  App: {Type: AWS::Lambda::Function, Properties: {Environment: {Variables: {A: "", B: b}}}}
  Anyone: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !Ref App, Action: "lambda:InvokeFunction",
    Principal: PRINCIPAL, FunctionUrlAuthType: AUTH}}
`
	for _, p := range []struct{ principal, auth, cause string }{
		{"'*'", "!Ref AWS::NoValue", ""}, {"'*'", "NONE", "permission.condition"},
		{"'123456789012'", "!Ref AWS::NoValue", "permission.no-apigateway"},
	} {
		t.Run(p.principal+" "+p.auth, func(t *testing.T) {
			d, _ := judge(t, "t.yaml", strings.NewReplacer("PRINCIPAL", p.principal, "AUTH", p.auth).Replace(text),
				planned.Options{})
			if got := strings.Join(faults(d), " "); got != p.cause {
				t.Errorf("faults %q, want %q", got, p.cause)
			}
		})
	}
}

// TestCode checks that the code which is here is judged, where it is what will be deployed.
func TestCode(t *testing.T) {
	const text = `Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: x, ProtocolType: HTTP, Target: !GetAtt App.Arn}}
  App:
    Type: AWS::Lambda::Function
    Properties: {Runtime: RUNTIME, Handler: HANDLER, Code: CODE, Layers: LAYERS}
    Metadata: {aws:asset:path: ASSET}
  Grant: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !Ref App, Action: "lambda:InvokeFunction",
    Principal: apigateway.amazonaws.com, SourceAccount: !Ref AWS::AccountId}}
`
	const armHeader = "\x7fELF\x02\x01\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\xb7\x00"
	files := fstest.MapFS{
		"src/app.py":        {Data: []byte("def handler(event, context):\n    return event['rawPath']\n")},
		"src/old.py":        {Data: []byte("def handler(event, context):\n    return event['httpMethod']\n")},
		"src/index.js":      {Data: []byte("exports.handler = async () => 1\n")},
		"src/bootstrap":     {Data: []byte("#!/bin/sh\n"), Mode: 0o644},
		"arm/bootstrap":     {Data: []byte(armHeader + strings.Repeat("\x00", 60)), Mode: 0o755},
		"windows/bootstrap": {Data: []byte("#!/bin/sh\r\n"), Mode: 0o755},
		"esm/index.js":      {Data: []byte("import x from 'x'\nexport const handler = x\n")},
		"old/index.js":      {Data: []byte("exports.handler = (event, context, callback) => callback()\n")},
		"src/main/app.py":   {Data: []byte("handler = 1\n")},
	}
	for _, c := range []struct{ name, runtime, handler, code, asset, layers, cause string }{
		{name: "a handler", runtime: "python3.12", handler: "app.handler", code: "src"},
		{name: "an asset", runtime: "python3.12", handler: "app.handler", asset: "src"},
		{name: "another function", runtime: "python3.12", handler: "app.main", code: "src", cause: "code.handler"},
		{name: "another file", runtime: "nodejs22.x", handler: "app.handler", code: "src", cause: "code.handler"},
		{name: "another file, perhaps of a layer", runtime: "nodejs22.x", handler: "app.handler", code: "src",
			layers: "[x]"},
		{name: "a folder outside", runtime: "python3.12", handler: "app.main", code: "../src"},
		{name: "a folder that is not there", runtime: "python3.12", handler: "app.main", code: "none"},
		{name: "a file", runtime: "python3.12", handler: "app.main", code: "src/app.py"},
		{name: "an event of format 1.0", runtime: "python3.12", handler: "old.handler", code: "src",
			cause: "integration.payload-format"},
		{name: "not executable", runtime: "provided.al2023", handler: "x", code: "src", cause: "code.not-executable"},
		{name: "another architecture", runtime: "provided.al2023", handler: "x", code: "arm",
			cause: "code.architecture"},
		{name: "a name without a function", runtime: "python3.12", handler: "app", code: "src", cause: "code.handler"},
		{name: "lines of Windows", runtime: "provided.al2023", handler: "x", code: "windows", cause: "code.bootstrap"},
		{name: "an ES module", runtime: "nodejs22.x", handler: "index.handler", code: "esm", cause: "code.import"},
		{name: "a callback", runtime: "nodejs24.x", handler: "index.handler", code: "old", cause: "code.callback"},
		{name: "inline", runtime: "python3.12", handler: "index.handler", code: "{ZipFile: 'handler = 1'}"},
		{name: "inline, another function", runtime: "nodejs22.x", handler: "index.main",
			code: "{ZipFile: 'exports.handler = 1'}", cause: "code.handler"},
		{name: "a zip that is none", runtime: "python3.12", handler: "app.main", code: "app.zip"},
		{name: "in S3", runtime: "python3.12", handler: "app.main", code: "{S3Bucket: b, S3Key: k}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer("RUNTIME", c.runtime, "HANDLER", c.handler, "CODE", or(c.code), "ASSET",
				c.asset, "LAYERS", or(c.layers)).Replace(text)
			if c.asset == "" {
				text = strings.Replace(text, "    Metadata: {aws:asset:path: }\n", "", 1)
			}
			d, _ := judge(t, "t.yaml", text, planned.Options{Files: files})
			if got := strings.Join(faults(d), " "); got != c.cause {
				t.Errorf("faults %q, want %q", got, c.cause)
			}
			for _, f := range d.Findings {
				if f.Link == doctor.LinkCode && f.Places[0].Name != "App" {
					t.Errorf("at %+v", f.Places)
				}
			}
		})
	}
}

// or returns a text, or no value for "".
func or(text string) string {
	if text == "" {
		return "!Ref AWS::NoValue"
	}
	return text
}

// TestNeeds checks what the role of a function must allow on a table whose name the function has.
func TestNeeds(t *testing.T) {
	const text = `Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: x, ProtocolType: HTTP, Target: !GetAtt App.Arn}}
  Table: {Type: AWS::DynamoDB::Table}
  App: {Type: AWS::Lambda::Function, Properties: {Role: !GetAtt Role.Arn, Environment: {Variables: {TABLE: VALUE}}}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Principal: {Service: lambda.amazonaws.com},
        Action: "sts:AssumeRole"}}
      ManagedPolicyArns: [MANAGED]
      Policies: [{PolicyName: x, PolicyDocument: {Statement: {Effect: Allow, Action: ACTION, Resource: RESOURCE}}}]
  Grant: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !Ref App, Action: "lambda:InvokeFunction",
    Principal: apigateway.amazonaws.com, SourceAccount: !Ref AWS::AccountId}}
`
	const basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
	for _, c := range []struct {
		name, value, managed, action, resource, cause string
		level                                         doctor.Level
		unseen                                        bool
	}{
		{name: "an action", value: "!Ref Table", action: "'dynamodb:Query'", resource: "!GetAtt Table.Arn"},
		{name: "on an index", value: "!GetAtt Table.Arn", action: "'dynamodb:Query'",
			resource: "!Sub '${Table.Arn}/index/*'"},
		{name: "no action on items", value: "!Ref Table", action: "'dynamodb:DescribeTable'",
			resource: "!GetAtt Table.Arn", cause: "role.action", level: doctor.Warning},
		{name: "another table", value: "!Ref Table", action: "'dynamodb:*'", resource: "'arn:aws:dynamodb:*:*:table/x'",
			cause: "role.action", level: doctor.Warning},
		{name: "another value", value: "x", action: "'s3:*'", resource: "'*'"},
		{name: "a managed policy that is not known", value: "!Ref Table", managed: "arn:aws:iam::aws:policy/Other",
			action: "'s3:*'", resource: "'*'", unseen: true},
		{name: "the notes service", value: "!Sub 'dynamodb:${Table}'", action: "'dynamodb:*Item'",
			resource: "!GetAtt Table.Arn", cause: "role.action", level: doctor.Fault},
		{name: "the notes service with all rights", value: "!Sub 'dynamodb:${Table}'", action: "'dynamodb:*'",
			resource: "!GetAtt Table.Arn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer("VALUE", c.value, "MANAGED", cmp.Or(c.managed, basic), "ACTION", c.action,
				"RESOURCE", c.resource).Replace(text)
			own := []string{"dynamodb:GetItem", "dynamodb:Query"}
			d, _ := judge(t, "t.yaml", text, planned.Options{NotesActions: own})
			if (len(d.Unseen) > 0) != c.unseen || (len(d.Findings) > 0) != (c.cause != "") {
				t.Fatalf("%+v, unseen %+v", d.Findings, d.Unseen)
			}
			for _, f := range d.Findings {
				if f.Cause != c.cause || f.Level != c.level || f.Places[0].Name != "Role" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// TestTerraformState checks what a state shows beside the API: the code, and the roles with their policies.
func TestTerraformState(t *testing.T) {
	const state = `{"terraform_version": "1", "values": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
    "values": {"id": "a1", "name": "x", "protocol_type": "HTTP"}},
  {"address": "aws_apigatewayv2_stage.s", "mode": "managed", "type": "aws_apigatewayv2_stage", "name": "s",
    "values": {"api_id": "a1", "name": "dev", "auto_deploy": true}},
  {"address": "aws_apigatewayv2_route.r", "mode": "managed", "type": "aws_apigatewayv2_route", "name": "r",
    "values": {"id": "r1", "api_id": "a1", "route_key": "GET /x", "target": "integrations/i1"}},
  {"address": "aws_apigatewayv2_integration.i", "mode": "managed", "type": "aws_apigatewayv2_integration", "name": "i",
    "values": {"id": "i1", "api_id": "a1", "integration_type": "AWS_PROXY", "payload_format_version": "FORMAT",
      "integration_uri": "arn:aws:lambda:us-east-1:123456789012:function:f", "credentials_arn": "CREDENTIALS"}},
  {"address": "aws_lambda_function.f", "mode": "managed", "type": "aws_lambda_function", "name": "f",
    "values": {"function_name": "f", "role": "arn:aws:iam::123456789012:role/f", "runtime": "python3.12",
      "handler": "HANDLER", "filename": "app.zip", "environment": [{"variables": {"TABLE": "notes"}}]}},
  {"address": "aws_lambda_permission.p", "mode": "managed", "type": "aws_lambda_permission", "name": "p",
    "values": {"action": "lambda:InvokeFunction", "function_name": "f", "principal": "PRINCIPAL",
      "source_arn": "arn:aws:execute-api:us-east-1:123456789012:a1/*", "source_account": ""}},
  {"address": "aws_dynamodb_table.t", "mode": "managed", "type": "aws_dynamodb_table", "name": "t",
    "values": {"name": "notes"}},
  {"address": "aws_iam_role.f", "mode": "managed", "type": "aws_iam_role", "name": "f",
    "values": {"name": "f", "assume_role_policy": "{\"Statement\": {\"Effect\": \"Allow\", \"Principal\": ` +
		`{\"Service\": [\"lambda.amazonaws.com\", \"apigateway.amazonaws.com\"]}, \"Action\": \"sts:AssumeRole\"}}"}},
  {"address": "aws_iam_role_policy.f", "mode": "managed", "type": "aws_iam_role_policy", "name": "f",
    "values": {"role": "f", "policy": "{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"dynamodb:ACTION\", ` +
		`\"Resource\": \"*\"}}"}},
  {"address": "aws_iam_role_policy_attachment.f", "mode": "managed", "type": "aws_iam_role_policy_attachment",
    "name": "f", "values": {"role": "f",
      "policy_arn": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}}]}}}`
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	file, err := w.Create("app.py")
	if err == nil {
		_, err = io.WriteString(file, "def handler(event, context):\n    return event['rawPath']\n")
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"app.zip": {Data: packed.Bytes()}}
	for _, c := range []struct{ name, key, value, cause string }{
		{name: "as it should be", key: "-"},
		{name: "another handler", key: "HANDLER", value: "app.main", cause: "code.handler"},
		{name: "another format", key: "FORMAT", value: "1.0", cause: "integration.payload-format"},
		{name: "another principal", key: "PRINCIPAL", value: "s3.amazonaws.com", cause: "permission.principal"},
		{name: "a role without the right", key: "CREDENTIALS", value: "arn:aws:iam::123456789012:role/f",
			cause: "integration.role"},
		{name: "no action on the table", key: "ACTION", value: "ListTables", cause: "role.action"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := state
			for key, value := range map[string]string{"HANDLER": "app.handler", "FORMAT": "2.0", "CREDENTIALS": "",
				"PRINCIPAL": "apigateway.amazonaws.com", "ACTION": "Query"} {
				if key == c.key {
					value = c.value
				}
				text = strings.ReplaceAll(text, key, value)
			}
			d, _ := judge(t, "state.json", text, planned.Options{Files: files})
			var causes []string
			for _, f := range d.Findings {
				causes = append(causes, f.Cause)
			}
			if got := strings.Join(causes, " "); got != c.cause || len(d.Unseen) > 0 {
				t.Errorf("found %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
		})
	}
}
