package doctor

import (
	"strings"
	"testing"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// plannedCase returns a healthy API as a file describes it: two routes of a function, one with an authorizer.
func plannedCase(format Format) Case {
	known := func(of string) (call, name string) { return "t.yaml", of }
	c := Case{Version: CaseVersion, Asked: Asked{API: "‹Api›", Region: "«AWS.Region»"}}
	c.Planned = &Planned{File: "t.yaml", Format: format, Name: "Api", API: gateway.API{Partition: "«AWS.Partition»",
		Region: "«AWS.Region»", Account: "«AWS.AccountId»", ID: "‹Api›"}, Places: map[string]Place{
		"‹Get›": {File: "t.yaml", Line: 1, Name: "Get"}, "‹To›": {File: "t.yaml", Line: 2, Name: "To"},
		"‹Key›": {File: "t.yaml", Line: 3, Name: "Key"}, "Grant": {File: "t.yaml", Line: 4, Name: "Grant",
			Lines: map[string]int{"SourceArn": 5}},
		PlaceOf("stage", "$default"): {File: "t.yaml", Line: 6, Name: "Stage"},
		PlaceOf("function", "‹App›"): {File: "t.yaml", Line: 7, Name: "App"},
		PlaceOf("role", "‹Role›"):    {File: "t.yaml", Line: 8, Name: "Role"},
		PlaceOf("api", "‹Api›"):      {File: "t.yaml", Line: 9, Name: "Api"},
	}}
	if format == Terraform {
		c.Planned.Name = "aws_apigatewayv2_api.a"
		c.Planned.Places[PlaceOf("function", "‹App›")] = Place{File: "t.yaml", Name: "aws_lambda_function.f"}
	}
	call, api := known("‹Api›")
	c.API = Fact[API]{Call: call, Of: api, Value: &API{ID: "‹Api›", Protocol: "HTTP"}}
	c.Stages = Fact[[]Stage]{Call: call, Of: api, Value: &[]Stage{{Name: "$default", AutoDeploy: true,
		Deployment: "?"}}}
	c.Routes = Fact[[]Route]{Call: call, Of: api, Value: &[]Route{
		{ID: "‹Get›", Key: "ANY /x", Target: "integrations/‹To›"},
		{ID: "‹Put›", Key: "PUT /y", Target: "integrations/‹To›", Authorization: "CUSTOM", Authorizer: "‹Key›"}}}
	uri := "arn:«AWS.Partition»:lambda:«AWS.Region»:«AWS.AccountId»:function:‹App›"
	c.Integrations = Fact[[]Integration]{Call: call, Of: api, Value: &[]Integration{{ID: "‹To›", Type: "AWS_PROXY",
		URI: uri, PayloadFormat: "2.0"}}}
	c.Authorizers = Fact[[]Authorizer]{Call: call, Of: api, Value: &[]Authorizer{{ID: "‹Key›", Name: "key",
		Type: "REQUEST", URI: uri}}}
	c.Functions = []Function{{Target: gateway.Target{Region: "«AWS.Region»", Account: "«AWS.AccountId»",
		Function: "‹App›"}}}
	f := &c.Functions[0]
	f.Configuration = Fact[Configuration]{Call: call, Of: "‹App›", Value: &Configuration{Name: "‹App›",
		Runtime: "python3.12", Handler: "app.handler"}}
	f.Policy = Fact[policy.Document]{Call: call, Of: "‹App›", Value: &policy.Document{Statement: policy.Statements{
		{Sid: "Grant", Effect: "Allow", Action: policy.Strings{gateway.Invoke}, Resource: policy.Strings{uri},
			Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {gateway.Principal}}},
			Condition: policy.Conditions{"ArnLike": {"AWS:SourceArn": {arnOfPlanned("*")}}}}}}}
	trust, _ := policy.Parse([]byte(`{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": ` +
		`{"Service": "lambda.amazonaws.com"}}}`))
	f.Trust = Fact[policy.Document]{Call: call, Of: "‹Role›", Value: &trust}
	rights, _ := policy.Parse([]byte(`{"Statement": {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}}`))
	f.Rights = Fact[Role]{Call: call, Of: "‹Role›", Value: &Role{Name: "‹Role›", Role: policy.Role{Trust: trust,
		Identity: []policy.Document{rights}}}}
	f.Needs = []Need{{Resource: "arn:table", Variable: "TABLE"}}
	return c
}

func arnOfPlanned(rest string) string {
	return "arn:«AWS.Partition»:execute-api:«AWS.Region»:«AWS.AccountId»:‹Api›/" + rest
}

// source sets the source ARN of the only grant.
func (c *Case) source(arn string) {
	c.Functions[0].Policy.Value.Statement[0].Condition["ArnLike"]["AWS:SourceArn"] = policy.Strings{arn}
}

// TestPlanned checks what is found in facts from a file, where, and what to write there.
func TestPlanned(t *testing.T) {
	missing := Fact[policy.Document]{Call: "t.yaml", Of: "‹App›", Error: &Failure{Kind: Missing, Message: "none"}}
	for _, c := range []struct {
		name, file string
		format     Format
		change     func(c *Case)
		cause      string // of the first finding; "" for none
		at, write  string // parts
		unseen     string // part of why something is not known
	}{
		{name: "healthy", format: CloudFormation, change: func(*Case) {}},
		{name: "no grant", format: CloudFormation, change: func(c *Case) { c.Functions[0].Policy = missing },
			cause: "authorizer.not-callable", at: "t.yaml:3 Key", write: "    FunctionName: !Ref App\n    Principal: " +
				"apigateway.amazonaws.com\n    SourceArn: !Sub arn:${AWS::Partition}:execute-api:${AWS::Region}:" +
				"${AWS::AccountId}:${Api}/authorizers/${Key}"},
		{name: "no grant in JSON", file: "t.json", format: CloudFormation,
			change: func(c *Case) { c.Functions[0].Policy = missing; c.Authorizers.Value = nil },
			cause:  "permission.none", at: "t.yaml:7 App", write: `"Fn::Sub": "arn:${AWS::Partition}`},
		{name: "no grant in CDK", format: CDK, change: func(c *Case) { c.Functions[0].Policy = missing },
			cause: "authorizer.not-callable"},
		{name: "no grant in Terraform", format: Terraform,
			change: func(c *Case) { c.Functions[0].Policy = missing; c.Authorizers.Value = nil },
			cause:  "permission.none", write: "  function_name = aws_lambda_function.f.function_name\n"},
		{name: "another stage", format: CloudFormation, change: func(c *Case) {
			c.Authorizers.Value = nil
			c.source(arnOfPlanned("prod/*"))
		}, cause: "permission.stage", at: "t.yaml:5 Grant", write: "SourceArn: !Sub arn:${AWS::Partition}:" +
			"execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/$default/*"},
		{name: "another stage in JSON", file: "t.json", format: CloudFormation, change: func(c *Case) {
			c.Authorizers.Value = nil
			c.source(arnOfPlanned("prod/*"))
		}, cause: "permission.stage", write: `"SourceArn": {"Fn::Sub": "arn:`},
		{name: "another stage in Terraform", format: Terraform, change: func(c *Case) {
			c.Authorizers.Value = nil
			c.source(arnOfPlanned("prod/*"))
		}, cause: "permission.stage", write: `source_arn = "${aws_apigatewayv2_api.a.execution_arn}/$default/*"`},
		{name: "another route", format: CloudFormation, change: func(c *Case) {
			c.Authorizers.Value = nil
			c.source(arnOfPlanned("*/*/x"))
		}, cause: "permission.path", at: "Grant", write: "AppApiPermission:"},
		{name: "one method", format: CloudFormation, change: func(c *Case) {
			c.Authorizers.Value = nil
			*c.Routes.Value = (*c.Routes.Value)[:1]
			c.source(arnOfPlanned("*/GET/x"))
		}, cause: "permission.method", at: "Grant", write: "${Api}/$default/*/x"},
		{name: "an alias in Terraform", format: Terraform, change: func(c *Case) {
			c.Authorizers.Value = nil
			(*c.Integrations.Value)[0].URI += ":live"
			c.Functions[0].Target.Qualifier = "live"
			c.Functions[0].Policy = missing
		}, cause: "permission.none", write: "  qualifier     = \"live\"\n"},
		{name: "an alias", format: CloudFormation, change: func(c *Case) {
			c.Authorizers.Value = nil
			(*c.Integrations.Value)[0].URI += ":live"
			c.Functions[0].Target.Qualifier = "live"
			c.Functions[0].Elsewhere = []Named[policy.Document]{{Name: "‹App›", Fact: c.Functions[0].Policy}}
			c.Functions[0].Policy = missing
		}, cause: "permission.qualifier", at: "Grant"},
		{name: "an imported source", format: CloudFormation, change: func(c *Case) { c.source("«Fn.ImportValue.x»") },
			unseen: "what Fn.ImportValue.x is"},
		{name: "an imported function", format: CloudFormation, change: func(c *Case) {
			(*c.Integrations.Value)[0].URI = "«Fn.ImportValue.x»"
			(*c.Authorizers.Value)[0].URI = "«Fn.ImportValue.y»"
		}, unseen: "what Fn.ImportValue"},
		{name: "an imported integration", format: CloudFormation, change: func(c *Case) {
			(*c.Routes.Value)[0].Target = "integrations/«To»"
		}, unseen: "what To is"},
		{name: "no function", format: CloudFormation, change: func(c *Case) {
			(*c.Integrations.Value)[0].URI = "https://«AWS.Region».example"
		}, cause: "integration.uri", at: "t.yaml:2 To"},
		{name: "no integration", format: CloudFormation, change: func(c *Case) { (*c.Routes.Value)[0].Target = "‹To›" },
			cause: "route.integration-gone", at: "t.yaml:1 Get"},
		{name: "no stage", format: CloudFormation, change: func(c *Case) { c.Planned.NoStage = true },
			cause: "stage.missing", at: "t.yaml:9 Api"},
		{name: "no deployment", format: CloudFormation, change: func(c *Case) {
			(*c.Stages.Value)[0].Deployment = ""
		}, cause: "stage.not-deployed", at: "t.yaml:6 Stage"},
		{name: "a principal that is open", format: CloudFormation, change: func(c *Case) {
			c.Functions[0].Trust.Value.Statement[0].Principal.Names = map[string]policy.Strings{"Service": {"«Who»"}}
		}, unseen: "what Who is"},
		{name: "a role for accounts", format: CloudFormation, change: func(c *Case) {
			accounts := map[string]policy.Strings{"AWS": {"«AWS.AccountId»"}}
			c.Functions[0].Trust.Value.Statement[0].Principal.Names = accounts
		}, cause: "function.role", at: "t.yaml:8 Role"},
		{name: "no right", format: CloudFormation, change: func(c *Case) {
			c.Functions[0].Rights.Value.Identity[0].Statement[0].Action = policy.Strings{"s3:*"}
		}, cause: "role.action", at: "t.yaml:8 Role"},
		{name: "not one right", format: CloudFormation, change: func(c *Case) {
			c.Functions[0].Needs[0].Actions = []string{"dynamodb:Query", "s3:GetObject"}
		}, cause: "role.action", at: "t.yaml:8 Role"},
		{name: "a right that is open", format: CloudFormation, change: func(c *Case) {
			c.Functions[0].Rights.Value.Identity[0].Statement[0].Action = policy.Strings{"«What»"}
		}, unseen: "what What is"},
		{name: "no file in the handler", format: CloudFormation, change: func(c *Case) {
			c.Functions[0].Configuration.Value.Handler = "app"
			c.Functions[0].Code = Fact[Code]{Call: "src", Of: "‹App›", Value: &Code{Files: []string{"app.py"}}}
		}, cause: "code.handler", at: "t.yaml:7 App"},
		{name: "another format", format: CloudFormation, change: func(c *Case) {
			(*c.Integrations.Value)[0].PayloadFormat = ""
			c.Functions[0].Code = Fact[Code]{Call: "src", Of: "‹App›", Value: &Code{Wanted: "app.py",
				Program: &Program{Name: "app.py", Format: "2.0"}}}
		}, cause: "integration.payload-format", at: "t.yaml:2 To"},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := plannedCase(c.format)
			if c.file != "" {
				one.Planned.File = c.file
			}
			c.change(&one)
			for _, language := range []Language{English, Japanese} {
				d := Judge(one, language)
				if (len(d.Findings) > 0) != (c.cause != "") || (len(d.Unseen) > 0) != (c.unseen != "") {
					t.Fatalf("%+v, unseen %+v", d.Findings, d.Unseen)
				}
				if language == Japanese {
					continue
				}
				for _, u := range d.Unseen {
					if !strings.Contains(u.Why, c.unseen) {
						t.Errorf("not known: %s", u.Why)
					}
				}
				if c.cause == "" {
					continue
				}
				f := d.Findings[0]
				if f.Cause != c.cause || !strings.Contains(f.Places[0].String(), c.at) ||
					!strings.Contains(f.Change, c.write) || c.write == "" && f.Change != "" || len(f.Fix) > 0 ||
					strings.Contains(f.Remedy, "aws ") {
					t.Errorf("%s at %v: %s, write %s", f.Cause, f.Places, f.Remedy, f.Change)
				}
			}
		})
	}
}
