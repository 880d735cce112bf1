package planned

import (
	"maps"
	"path"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/doctor"
)

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
	"aws_lambda_permission": {kind: "AWS::Lambda::Permission",
		rename: map[string]string{"principal_org_id": "PrincipalOrgID"}},
	"aws_iam_role": {kind: "AWS::IAM::Role", rename: map[string]string{
		"assume_role_policy": "AssumeRolePolicyDocument", "inline_policy": "Policies", "name": "RoleName"}},
	"aws_iam_role_policy": {kind: "AWS::IAM::RolePolicy",
		rename: map[string]string{"role": "RoleName", "policy": "PolicyDocument"}},
	"aws_iam_role_policy_attachment": {kind: attachment, rename: map[string]string{"role": "RoleName"}},
	"aws_iam_policy_attachment":      {kind: attachment},
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
	if at, found := r.sourceAt(one.path).place(path.Dir(r.name), one); found {
		added.place = at
	}
	for _, name := range one.attributeNames() {
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
		for _, inline := range list(added.properties["Policies"]) {
			if fields, ok := inline.(map[string]any); ok {
				fields["PolicyDocument"] = fields["Policy"]
			}
		}
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

// attributeNames returns the names of the resource's attributes, sorted.
func (o *tfOne) attributeNames() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(o.Values)), maps.Keys(o.expressions))
	slices.Sort(names)
	return slices.Compact(names)
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
