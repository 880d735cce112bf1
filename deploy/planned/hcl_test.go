package planned_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"example.com/portable-notes/deploy/planned"
)

// TestExpressions checks which expressions of a configuration are evaluated: those that people write for source ARNs
// and policies.
func TestExpressions(t *testing.T) {
	const plan = `{"terraform_version": "1", "prior_state": {"values": {"root_module": {"resources": [
  {"address": "data.aws_caller_identity.c", "mode": "data", "type": "aws_caller_identity", "name": "c",
    "values": {"account_id": "123456789012"}},
  {"address": "data.aws_partition.c", "mode": "data", "type": "aws_partition", "name": "c",
    "values": {"partition": "aws"}},
  {"address": "data.aws_region.c", "mode": "data", "type": "aws_region", "name": "c",
    "values": {"name": "eu-west-1"}}], "child_modules": [{"address": "module.m"}]}}},
"variables": {"list": {"value": ["a"]}, "text": {"value": "x"}},
"planned_values": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a[\"k\"]", "mode": "managed", "type": "aws_apigatewayv2_api", "name": "a",
    "index": "k", "values": {"name": "x", "protocol_type": "HTTP"}},
  {"address": "aws_lambda_function.f", "mode": "managed", "type": "aws_lambda_function", "name": "f",
    "values": {"function_name": "f", "environment": [{"variables": {"TABLE": "notes"}}]}},
  {"address": "aws_dynamodb_table.t", "mode": "managed", "type": "aws_dynamodb_table", "name": "t",
    "values": {"name": "notes"}},
  {"address": "aws_iam_role.r", "mode": "managed", "type": "aws_iam_role", "name": "r", "values": {"name": "r",
    "assume_role_policy": "{\"Statement\": {\"Effect\": \"Allow\", \"Principal\": {\"Service\": ` +
		`\"lambda.amazonaws.com\"}, \"Action\": \"sts:AssumeRole\"}}"}},
  {"address": "aws_iam_role_policy.r", "mode": "managed", "type": "aws_iam_role_policy", "name": "r",
    "values": {"role": "r"}},
  {"address": "aws_lambda_permission.p[\"a\"]", "mode": "managed", "type": "aws_lambda_permission", "name": "p",
    "index": "a", "values": {"action": "lambda:InvokeFunction", "function_name": "f",
      "principal": "apigateway.amazonaws.com"}}]}},
"configuration": {"root_module": {"resources": [
  {"address": "aws_apigatewayv2_api.a", "expressions": {
    "target": {"references": ["aws_lambda_function.f.arn", "aws_lambda_function.f"]}}},
  {"address": "aws_lambda_function.f", "expressions": {
    "role": {"references": ["aws_iam_role.r.arn", "aws_iam_role.r"]}}},
  {"address": "aws_iam_role_policy.r", "expressions": {"policy": {"references": ["aws_dynamodb_table.t.arn"]}}},
  {"address": "aws_lambda_permission.p", "expressions": {"source_arn": {"references": ["each.value", "local.m"]}}}],
  "module_calls": {"m": {"source": "./m", "expressions": {}, "module": {"outputs": {"arn": {"expression": {}}}}}}}}}`
	const own = `"${aws_apigatewayv2_api.a["k"].execution_arn}/*"`
	const allow = `jsonencode({ "Statement" = [{ Effect = "Allow", Action = ["dynamodb:*"], Resource = ` +
		`aws_dynamodb_table.t.arn, Condition = { Bool = { "aws:SecureTransport" = true } , NumericLessThan = {} } }] })`
	for _, c := range []struct{ name, source, each, policy, cause string }{
		{name: "an index", source: own},
		{name: "another index", source: strings.Replace(own, `"k"`, `"z"`, 1), cause: "-"},
		{name: "an index that is computed", source: strings.Replace(own, `"k"`, "var.text", 1), cause: "-"},
		{name: "every index", source: `aws_apigatewayv2_api.a[*].id`, cause: "-"},
		{name: "the value of each", source: "each.value", each: "{ a = " + own + " }"},
		{name: "that of a local value", source: "each.value", each: "local.m"},
		{name: "the key of a set", source: "each.value", each: `toset(["a"])`, cause: "permission.mangled-arn"},
		{name: "another key", source: "each.value", each: `{ b = "x" }`, cause: "-"},
		{name: "a part of the value", source: "each.value.arn", each: `{ a = { arn = "x" } }`, cause: "-"},
		{name: "the key", source: `"${aws_apigatewayv2_api.a["k"].execution_arn}/${each.key}"`,
			cause: "permission.stage"},
		{name: "data sources", source: `"arn:${data.aws_partition.c.partition}:execute-api:${data.aws_region.c.name}:` +
			`${data.aws_caller_identity.c.account_id}:${aws_apigatewayv2_api.a["k"].id}/*"`},
		{name: "another data source", source: `data.aws_ssm_parameter.c.value`, cause: "-"},
		{name: "the output of a module", source: "module.m.arn", cause: "permission.default-route"},
		{name: "another output", source: "module.m.other", cause: "-"},
		{name: "a variable", source: "var.text", cause: "permission.mangled-arn"},
		{name: "a part of a variable", source: "var.list[0]", cause: "-"},
		{name: "a variable without a value", source: "var.none", cause: "-"},
		{name: "a number", source: "5.5", cause: "permission.mangled-arn"},
		{name: "true", source: "true", cause: "permission.mangled-arn"},
		{name: "null", source: "null", cause: "-"},
		{name: "a text", source: `tostring("x")`, cause: "permission.mangled-arn"},
		{name: "a list", source: `["x"]`, cause: "-"},
		{name: "two arguments", source: `join("", ["x"])`, cause: "-"},
		{name: "an unknown function", source: `upper("x")`, cause: "-"},
		{name: "a condition", source: `(var.text == "" ? "a" : "b")`, cause: "-"},
		{name: "itself", source: "local.loop", cause: "-"},
		{name: "a policy", source: own, policy: allow},
		{name: "a policy for another table", source: own,
			policy: strings.Replace(allow, "aws_dynamodb_table.t.arn", `"arn:aws:dynamodb:eu-west-1:1:table/x"`, 1),
			cause:  "role.action"},
		{name: "a policy in a file", source: own, policy: `file("policy.json")`, cause: "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			each, policy := c.each, c.policy
			if each == "" {
				each = "{ a = 1 }"
			}
			if policy == "" {
				policy = allow
			}
			files := fstest.MapFS{
				"main.tf": {Data: []byte("locals {\n  m = { a = " + own + " }\n  loop = local.loop\n}\n" +
					"resource \"aws_lambda_permission\" \"p\" {\n  for_each = " + each + "\n  source_arn = " +
					c.source + "\n}\nresource \"aws_iam_role_policy\" \"r\" {\n  policy = " + policy + "\n}\n" +
					"module \"m\" {\n  source = \"./m\"\n  arn = " + own + "\n}\n")},
				"m/main.tf": {Data: []byte("output \"arn\" {\n  value = \"${var.arn}/prod/x\"\n}\n")},
			}
			d, _ := judge(t, "plan.json", plan, planned.Options{Files: files})
			var causes []string
			for _, f := range d.Findings {
				causes = append(causes, f.Cause)
			}
			want := strings.TrimPrefix(c.cause, "-")
			if got := strings.Join(causes, " "); got != want || (len(d.Unseen) > 0) != (c.cause == "-") {
				t.Errorf("found %q, want %q; unseen %+v", got, c.cause, d.Unseen)
			}
		})
	}
}
