package planned_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
)

// judge reads a file that must be right, and judges its only API.
func judge(t *testing.T, name, text string, o planned.Options) (doctor.Diagnosis, planned.Result) {
	t.Helper()
	r, err := planned.Read(name, []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cases) != 1 {
		t.Fatalf("%d APIs, notes %q", len(r.Cases), r.Notes)
	}
	d := doctor.Judge(r.Cases[0], doctor.English)
	record(d, r.Cases[0].Planned.Format)
	return d, r
}

// finding returns the finding of a cause, which must be there.
func finding(t *testing.T, d doctor.Diagnosis, cause string) doctor.Finding {
	t.Helper()
	i := slices.IndexFunc(d.Findings, func(f doctor.Finding) bool { return f.Cause == cause })
	if i < 0 {
		t.Fatalf("%s is not found: %+v %+v", cause, d.Findings, d.Unseen)
	}
	return d.Findings[i]
}

// TestMistakes checks the errors for files that are not what they should be.
func TestMistakes(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("Resources:\n  A0: &a0 {Type: 'AWS::X::Y', Properties: {P: [x, x, x, x, x, x, x, x, x, x]}}\n")
	for i := range 8 {
		fmt.Fprintf(&bomb, "  A%d: &a%[1]d {Type: 'AWS::X::Y', Properties: {P: [%s]}}\n", i+1,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	for _, c := range []struct{ name, file, text, says string }{
		{"a binary", "bootstrap", "\x7fELF\x02\x01\x00\x00", "this is not a CloudFormation template"},
		{"nothing", "template.yaml", "", "this is not a CloudFormation template"},
		{"another YAML file", "compose.yaml", "services:\n  notes: {image: x}\n",
			"this is not a CloudFormation template"},
		{"a list", "list.json", "[1, 2]", "this is not a CloudFormation template"},
		{"a binary plan", "plan.out", "PK\x03\x04tfplan", "terraform show -json"},
		{"a configuration of Terraform", "main.tf", `resource "a" "b" {}`, "terraform show -json"},
		{"a service", "serverless.yml", "service: x\nprovider: {name: aws}\n", "serverless package"},
		{"a manifest of CDK", "manifest.json", `{"version": "1", "artifacts": {}}`, "cdk synth"},
		{"a template that ends early", "t.json", "{\"Resources\": {\n\"A\": {\"Type\"",
			"line 2: the text ends too early"},
		{"wrong YAML", "t.yaml", "Resources:\n  A:\n\t- x\n", "line "},
		{"5 MB", "t.yaml", "Resources: {}\n" + strings.Repeat("# x\n", 5<<18), "at most 1048576 are allowed"},
		{"aliases of aliases", "t.yaml", bomb.String(), "too many values"},
		{"no Type", "t.yaml", "Resources:\n  A: {Properties: {}}\n", "line 2: the resource A has no Type"},
		{"a function with too few values", "t.yaml", "Conditions: {C: !Equals [a, b]}\nResources:\n  A:\n" +
			"    Type: AWS::Lambda::Function\n    Properties: {Role: !If [C, a]}\n",
			"line 5: Fn::If needs a list of 3"},
		{"a plan with other values", "p.json", `{"terraform_version": "1", "planned_values": 5}`, "cannot unmarshal"},
		{"a definition with a mistake", "api.yaml", "openapi: 3.0.1\npaths: {", "line 2"},
		{"SAM without a translator", "t.yaml", "Resources:\n  A: {Type: AWS::Serverless::Function}\n", "none here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := planned.Read(c.file, []byte(c.text), planned.Options{
				Translate: func([]byte, map[string]string) ([]byte, error) { return nil, errors.New("none here") }})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// TestNotes checks what is not judged, and that the notes say so.
func TestNotes(t *testing.T) {
	for _, c := range []struct {
		name, file, text, says string
		apis                   int
	}{
		{"a plan of another provider", "p.json", `{"terraform_version": "1", "planned_values": {"root_module": ` +
			`{"resources": [{"address": "google_x.y", "mode": "managed", "type": "google_x", "name": "y"}]}}}`,
			"p.json has no HTTP API", 0},
		{"no API", "t.yaml", "Resources:\n  A: {Type: AWS::S3::Bucket}\n", "t.yaml has no HTTP API", 0},
		{"a REST API", "t.yaml", "Resources:\n  A: {Type: AWS::ApiGateway::RestApi}\n", "t.yaml:2 A is a REST API", 0},
		{"a WebSocket API", "t.yaml", "Resources:\n  A: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: " +
			"WEBSOCKET}}\n", "t.yaml:2 A is a WebSocket API", 0},
		{"Swagger", "api.yaml", "# mine\nswagger: '2.0'\npaths: {}\n", "api.yaml:2 is a definition of a REST API " +
			"(Swagger 2.0)", 0},
		{"a definition of a REST API", "api.yaml", "openapi: 3.0.1\nx-amazon-apigateway-policy: {}\n",
			"api.yaml:2 is a definition of a REST API (x-amazon-apigateway-policy)", 0},
		{"an integration of a REST API", "api.yaml", "openapi: 3.0.1\npaths:\n  /:\n    get:\n" +
			"      x-amazon-apigateway-integration: {type: aws_proxy, passthroughBehavior: never}\n",
			"api.yaml:5 is a definition of a REST API (passthroughBehavior)", 0},
		{"a macro", "t.yaml", "Transform: Mine\nResources:\n  A: {Type: AWS::S3::Bucket}\n",
			"t.yaml: what the macro Mine changes is not known", 0},
		{"a loop", "t.yaml", "Resources:\n  Fn::ForEach::F: []\n  A: {Type: AWS::S3::Bucket}\n",
			"t.yaml:2: the resources of Fn::ForEach::F are not judged", 0},
		{"no stage and no route", "t.yaml", "Resources:\n  A: {Type: AWS::ApiGatewayV2::Api, Properties: " +
			"{ProtocolType: HTTP}}\n", "the file has no route of the API A", 1},
		{"an open condition", "t.yaml", "Parameters: {Stage: {Type: String}}\nConditions: " +
			"{C: !Equals [!Ref Stage, a]}\nResources:\n  A: {Type: AWS::ApiGatewayV2::Api, Condition: C}\n",
			"t.yaml:4 A: whether the resource exists depends on the condition C", 1},
		{"a condition that does not hold", "t.yaml", "Parameters: {Stage: {Type: String, Default: b}}\nConditions: " +
			"{C: !Equals [!Ref Stage, a]}\nResources:\n  A: {Type: AWS::ApiGatewayV2::Api, Condition: C}\n",
			"t.yaml has no HTTP API", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := planned.Read(c.file, []byte(c.text), planned.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(r.Notes, "\n"), c.says) || len(r.Cases) != c.apis {
				t.Errorf("%d APIs, notes %q, want %q", len(r.Cases), r.Notes, c.says)
			}
			for _, one := range r.Cases {
				if d := doctor.Judge(one, doctor.English); d.Exit() != 0 || d.Faults() > 0 {
					t.Errorf("exit %d, %+v", d.Exit(), d.Findings)
				}
			}
		})
	}
}

// small is a template with one route, whose grant is written in several ways.
const small = `Parameters:
  Stage: {Type: String}
  Source: {Type: String, Default: none}
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: small, ProtocolType: HTTP}}
  App: {Type: AWS::Lambda::Function, Properties: {Handler: a.b}}
  To:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {ApiId: !Ref Api, IntegrationType: AWS_PROXY, PayloadFormatVersion: "2.0", IntegrationUri: URI}
  Get:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Api, RouteKey: GET /x, Target: !Sub "integrations/${To}"}
  On: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: !Ref Stage, AutoDeploy: true}}
  Grant:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      Principal: apigateway.amazonaws.com
      FunctionName: FUNCTION
      SourceArn: SOURCE
`

// TestGrants checks how grants are judged whose values are known, or not, in the ways in which templates write them.
func TestGrants(t *testing.T) {
	const own = `!Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/GET/x"`
	for _, c := range []struct {
		name, uri, function, source string
		cause                       string // "" for none
		unseen                      bool
	}{
		{name: "all refer to each other", uri: "!GetAtt App.Arn", function: "!Ref App", source: own},
		{name: "by ARN", uri: "!GetAtt App.Arn", function: "!GetAtt App.Arn", source: own},
		{name: "the stage is open", uri: "!GetAtt App.Arn", function: "!Ref App",
			source: strings.Replace(own, "/*/", "/${Stage}/", 1)},
		{name: "another stage, or not", uri: "!GetAtt App.Arn", function: "!Ref App",
			source: strings.Replace(own, "/*/", "/prod/", 1), unseen: true},
		{name: "another route of a stage that is open", uri: "!GetAtt App.Arn", function: "!Ref App",
			source: strings.Replace(own, "/*/GET", "/prod/PUT", 1), cause: "permission.method"},
		{name: "the source is a parameter with a default", uri: "!GetAtt App.Arn", function: "!Ref App",
			source: "!Ref Source", cause: "permission.mangled-arn"},
		{name: "the source is imported", uri: "!GetAtt App.Arn", function: "!Ref App", source: "!ImportValue source",
			unseen: true},
		{name: "the function is imported", uri: "!ImportValue function", function: "!Ref App", source: own,
			unseen: true},
		{name: "the grant is for an imported function", uri: "!GetAtt App.Arn", function: "!ImportValue function",
			source: own, unseen: true},
		{name: "a function of another file", uri: "arn:aws:lambda:us-east-1:123456789012:function:other",
			function: "!Ref App", source: own, unseen: true},
		{name: "a grant for a function of another file", function: "other", source: own,
			uri: "arn:aws:lambda:us-east-1:123456789012:function:other", unseen: true},
		{name: "written account and region", uri: "arn:aws:lambda:us-east-1:123456789012:function:other",
			function: "123456789012:function:other", source: "!Sub arn:aws:execute-api:us-east-1:123456789012:${Api}/*",
			unseen: true},
		{name: "another account than the function's", uri: "arn:aws:lambda:us-east-1:123456789012:function:other",
			function: "other", source: "!Sub arn:aws:execute-api:us-east-1:210987654321:${Api}/*",
			cause: "permission.account", unseen: true},
		{name: "no Fn::Sub", uri: "!GetAtt App.Arn", function: "!Ref App",
			source: "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*", cause: "permission.mangled-arn"},
		{name: "a logical ID instead of the API's", uri: "!GetAtt App.Arn", function: "!Ref App",
			source: strings.Replace(own, "${Api}", "Api", 1), cause: "permission.mangled-arn"},
		{name: "the other function", uri: "!Sub '${App.Arn}2'", function: "!Ref App", source: own,
			cause: "integration.function-missing"},
		{name: "an open alias", uri: "!Sub '${App.Arn}:${Stage}'", function: "!Ref App", source: own,
			cause: "permission.qualifier", unseen: true}, // whatever its name is, the grant is not for it
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer("URI}", c.uri+"}", "FUNCTION", c.function, "SOURCE", c.source).Replace(small)
			d, _ := judge(t, "small.yaml", text, planned.Options{})
			if got := strings.Join(faults(d), " "); got != c.cause || (len(d.Unseen) > 0) != c.unseen {
				t.Errorf("faults %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
		})
	}
}

// TestParameters checks that given values replace what is open.
func TestParameters(t *testing.T) {
	text := strings.NewReplacer("URI}", "!GetAtt App.Arn}", "FUNCTION", "!Ref App", "SOURCE",
		`!Sub "arn:aws:execute-api:eu-west-1:123456789012:${Api}/prod/GET/x"`).Replace(small)
	for _, c := range []struct{ name, stage, account, region, cause string }{
		{"that of the grant", "prod", "123456789012", "eu-west-1", ""},
		{"another", "dev", "123456789012", "eu-west-1", "permission.stage"},
		{"another account", "prod", "210987654321", "eu-west-1", "permission.account"},
		{"another region", "prod", "123456789012", "eu-west-2", "permission.region"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := judge(t, "small.yaml", text, planned.Options{Parameters: map[string]string{"Stage": c.stage,
				"AWS::AccountId": c.account, "AWS::Region": c.region}})
			if got := strings.Join(faults(d), " "); got != c.cause || len(d.Unseen) > 0 {
				t.Errorf("faults %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
		})
	}
}

// TestPlaces checks that a finding names the line of the property, and says what to write there.
func TestPlaces(t *testing.T) {
	text := string(readFile(t, "../../docs/building/cloudformation.yaml"))
	const grant = `SourceArn: !Sub arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/*`
	lineOf := func(text, part string) int { return 1 + strings.Count(text[:strings.Index(text, part)], "\n") }
	t.Run("a source ARN", func(t *testing.T) {
		text := strings.Replace(text, grant, strings.Replace(grant, "/*/*", "/prod/*", 1), 1)
		d, _ := judge(t, "t.yaml", text, planned.Options{})
		f := finding(t, d, "permission.stage")
		if f.Places[0].String() != fmt.Sprintf("t.yaml:%d AppGrant", lineOf(text, "${Api}/prod/*")) {
			t.Error(f.Places)
		}
		if want := strings.Replace(grant, "/*/*", "/$default/*", 1); f.Change != want {
			t.Errorf("write %s, want %s", f.Change, want)
		}
	})
	t.Run("a statement that other routes need", func(t *testing.T) {
		text := strings.Replace(text, grant, grant+"/*", 1)
		d, _ := judge(t, "t.yaml", text, planned.Options{})
		f := finding(t, d, "permission.default-route")
		if !strings.Contains(f.Change, "Type: AWS::Lambda::Permission") ||
			!strings.HasSuffix(f.Change, "${Api}/$default/$default") {
			t.Error(f.Change)
		}
	})
	t.Run("no statement", func(t *testing.T) {
		begin, end := strings.Index(text, "  AppGrant:"), strings.Index(text, "  AuthGrant:")
		text := text[:begin] + text[end:]
		d, _ := judge(t, "t.yaml", text, planned.Options{})
		f := finding(t, d, "permission.none")
		if f.Places[0].String() != fmt.Sprintf("t.yaml:%d App", lineOf(text, "  App:\n")+0) {
			t.Error(f.Places)
		}
		// What is to be written heals the template.
		added := "  " + strings.ReplaceAll(f.Change, "\n", "\n  ") + "\n"
		if d, _ := judge(t, "t.yaml", text+added, planned.Options{}); len(d.Findings) > 0 {
			t.Errorf("after the change: %+v", d.Findings)
		}
	})
	t.Run("an authorizer", func(t *testing.T) {
		begin, end := strings.Index(text, "  AuthGrant:"), strings.Index(text, "  List:")
		text := text[:begin] + text[end:]
		d, _ := judge(t, "t.yaml", text, planned.Options{})
		f := finding(t, d, "authorizer.not-callable")
		if f.Places[0].Line != lineOf(text, "  Authorizer:") {
			t.Error(f.Places)
		}
		added := "  " + strings.ReplaceAll(f.Change, "\n", "\n  ") + "\n"
		if d, _ := judge(t, "t.yaml", text+added, planned.Options{}); len(d.Findings) > 0 {
			t.Errorf("after the change: %+v", d.Findings)
		}
	})
}

// TestSAM checks where findings about what SAM has made are, and that definitions in other files are read.
func TestSAM(t *testing.T) {
	source := string(readFile(t, "../../docs/building/sam.yaml"))
	t.Run("an event", func(t *testing.T) {
		s := subjects[1]
		r := s.read(t, func(d *document) {
			d.set("Permission", "SourceArn", d.source("${AWS::Region}", "${AWS::AccountId}", "/*/GET/other"))
		})
		d := doctor.Judge(r.Cases[0], doctor.English)
		f := finding(t, d, "permission.path")
		if len(f.Places) != 1 || !strings.HasPrefix(f.Places[0].Name, "App Events ") || f.Places[0].Line == 0 {
			t.Errorf("%+v", f.Places)
		}
	})
	t.Run("a definition in a file", func(t *testing.T) {
		text := strings.Replace(source, "      Name: !Ref AWS::StackName\n", "      DefinitionUri: api.yaml\n", 1)
		var got string
		_, err := planned.Read("sam.yaml", []byte(text), planned.Options{
			Files: fstest.MapFS{"api.yaml": {Data: []byte("openapi: 3.0.1\ninfo: {title: !Ref AWS::StackName}\n")}},
			Translate: func(template []byte, _ map[string]string) ([]byte, error) {
				got = string(template)
				return readFile(t, "testdata/sam.json"), nil
			}})
		if err != nil || !strings.Contains(got, `"DefinitionBody":{"info":{"title":{"Ref":"AWS::StackName"}}`) ||
			strings.Contains(got, "DefinitionUri") {
			t.Errorf("%v, %s", err, got)
		}
	})
	t.Run("a mistake of the translator", func(t *testing.T) {
		_, err := planned.Read("sam.yaml", []byte(source), planned.Options{
			Translate: func([]byte, map[string]string) ([]byte, error) { return []byte("{}"), nil }})
		if err == nil || !strings.Contains(err.Error(), "SAM's translator") {
			t.Error(err)
		}
	})
}

// TestConfiguration checks that the configuration beside a plan gives the source ARNs and lines that the plan lacks.
func TestConfiguration(t *testing.T) {
	plan, written := string(readFile(t, "testdata/plan.json")), string(readFile(t, "../../docs/building/main.tf"))
	const whole = `"${aws_apigatewayv2_api.app.execution_arn}/*/*"`
	for _, c := range []struct{ name, source, more, cause string }{
		{name: "as it is", source: whole},
		{name: "three segments", source: strings.Replace(whole, "/*/*", "/*/*/*", 1),
			cause: "permission.default-route"},
		{name: "no suffix", source: "aws_apigatewayv2_api.app.execution_arn", cause: "permission.mangled-arn"},
		{name: "a local value", source: `"${local.arn}/*"`, more: "locals {\n  arn = \"" +
			"${aws_apigatewayv2_api.app.execution_arn}/prod\"\n}\n",
			cause: "permission.default-route permission.stage"},
		{name: "a condition with one value", source: `(var.name == "" ? ` + whole + ` : ` + whole + `)`},
		{name: "a local value of itself", source: `local.arn`, more: "locals {\n  arn = local.arn\n}\n", cause: "-"},
		{name: "a function", source: `replace(aws_apigatewayv2_api.app.execution_arn, "a", "b")`, cause: "-"},
		{name: "a configuration that cannot be read", source: whole, more: "{", cause: "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{"main.tf": {Data: []byte(strings.Replace(written, whole, c.source, 1) + c.more)}}
			d, _ := judge(t, "plan.json", plan, planned.Options{Files: files})
			cause := strings.TrimPrefix(c.cause, "-")
			if got := strings.Join(faults(d), " "); got != cause || (len(d.Unseen) > 0) != (c.cause == "-") {
				t.Errorf("faults %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
			for _, f := range d.Findings {
				if p := f.Places[0]; p.File != "main.tf" || p.Line < 80 || p.Name != "aws_lambda_permission.app" {
					t.Errorf("%s is at %+v", f.Cause, p)
				}
				if !strings.Contains(f.Change, "source_arn") || !strings.Contains(f.Change,
					`"${aws_apigatewayv2_api.app.execution_arn}/$default/`) {
					t.Errorf("write %s", f.Change)
				}
			}
		})
	}
}

// TestDefinition checks OpenAPI definitions by themselves.
func TestDefinition(t *testing.T) {
	const text = `openapi: 3.0.1
info: {title: items}
paths:
  /items:
    get:
      x-amazon-apigateway-integration: {type: AWS_PROXY, payloadFormatVersion: "2.0", uri: URI}
    post:
      security: [{key: []}]
      x-amazon-apigateway-integration: {$ref: '#/components/x-amazon-apigateway-integrations/none'}
components:
  securitySchemes:
    key: {type: apiKey, x-amazon-apigateway-authorizer: {type: request, authorizerUri: AUTH}}
`
	const arn = "arn:aws:lambda:us-east-1:123456789012:function:items"
	for _, c := range []struct {
		name, uri, auth, cause string
		line                   int
	}{
		{"an ARN", arn, arn, "route.no-target", 7},
		{"a reference", "{'Fn::GetAtt': [App, Arn]}", "!GetAtt Auth.Arn", "route.no-target", 7},
		{"a variable of a tool", "'${app_arn}'", "'${auth_arn}'", "route.no-target", 7},
		{"a stage variable", "'" + arn + ":${stageVariables.alias}'", arn, "integration.stage-variable", 5},
		{"another region than the first", strings.Replace(arn, "us-east-1", "eu-west-1", 1), arn,
			"integration.elsewhere", 5},
		{"an address", "https://example.com", arn, "integration.uri", 5},
		{"an authorizer that is no function", arn, "https://example.com", "authorizer.not-callable", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, r := judge(t, "api.yaml", strings.NewReplacer("URI}", c.uri+"}", "AUTH", c.auth).Replace(text),
				planned.Options{})
			f := finding(t, d, c.cause)
			if f.Places[0].Line != c.line || f.Change != "" {
				t.Errorf("at %+v, write %s", f.Places, f.Change)
			}
			if len(r.Cases[0].Routes.Or()) != 2 || len(r.Notes) != 0 {
				t.Errorf("%d routes, notes %q", len(r.Cases[0].Routes.Or()), r.Notes)
			}
		})
	}
}
