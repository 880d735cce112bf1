package stack

import (
	"maps"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// right is the IAM right for one operation.
type right struct {
	actions  string // IAM actions, including dependent ones, separated by spaces
	resource string // key of the resources in OperatorPolicy
}

// rights are the IAM actions that each operation requires, from
// https://docs.aws.amazon.com/service-authorization/latest/reference/. They include actions that are not operations: to
// tag a resource when it is created, for example.
var rights = map[string]right{
	"dynamodb:CreateTable":               {"dynamodb:CreateTable dynamodb:TagResource", "table"},
	"dynamodb:DescribeTable":             {"dynamodb:DescribeTable", "table"},
	"dynamodb:ListTagsOfResource":        {"dynamodb:ListTagsOfResource", "table"},
	"dynamodb:DescribeTimeToLive":        {"dynamodb:DescribeTimeToLive", "table"},
	"dynamodb:UpdateTimeToLive":          {"dynamodb:UpdateTimeToLive", "table"},
	"dynamodb:DescribeContinuousBackups": {"dynamodb:DescribeContinuousBackups", "table"},
	"dynamodb:UpdateContinuousBackups":   {"dynamodb:UpdateContinuousBackups", "table"},
	"dynamodb:UpdateTable":               {"dynamodb:UpdateTable", "table"},
	"dynamodb:DeleteTable":               {"dynamodb:DeleteTable", "table"},

	"iam:GetRole":                  {"iam:GetRole", "role"},
	"iam:CreateRole":               {"iam:CreateRole iam:TagRole", "role"},
	"iam:UpdateAssumeRolePolicy":   {"iam:UpdateAssumeRolePolicy", "role"},
	"iam:GetRolePolicy":            {"iam:GetRolePolicy", "role"},
	"iam:PutRolePolicy":            {"iam:PutRolePolicy", "role"},
	"iam:ListRolePolicies":         {"iam:ListRolePolicies", "role"},
	"iam:ListAttachedRolePolicies": {"iam:ListAttachedRolePolicies", "role"},
	"iam:DeleteRolePolicy":         {"iam:DeleteRolePolicy", "role"},
	"iam:DetachRolePolicy":         {"iam:DetachRolePolicy", "role"},
	"iam:DeleteRole":               {"iam:DeleteRole", "role"},

	"iam:PutRolePermissionsBoundary": {"iam:PutRolePermissionsBoundary", "role"},

	"logs:DescribeLogGroups":   {"logs:DescribeLogGroups", "any"},
	"logs:CreateLogGroup":      {"logs:CreateLogGroup logs:TagResource", "groups"},
	"logs:ListTagsForResource": {"logs:ListTagsForResource", "groups"},
	"logs:PutRetentionPolicy":  {"logs:PutRetentionPolicy", "groups"},
	"logs:DeleteLogGroup":      {"logs:DeleteLogGroup", "groups"},

	"lambda:GetFunction":                 {"lambda:GetFunction lambda:ListTags", "function"},
	"lambda:CreateFunction":              {"lambda:CreateFunction lambda:TagResource", "function"},
	"lambda:UpdateFunctionConfiguration": {"lambda:UpdateFunctionConfiguration", "function"},
	"lambda:TagResource":                 {"lambda:TagResource", "function"},
	"lambda:UpdateFunctionCode":          {"lambda:UpdateFunctionCode", "function"},
	"lambda:DeleteFunction":              {"lambda:DeleteFunction", "function"},
	"lambda:GetPolicy":                   {"lambda:GetPolicy", "function"},
	"lambda:AddPermission":               {"lambda:AddPermission", "function"},
	"lambda:RemovePermission":            {"lambda:RemovePermission", "function"},
	"lambda:GetFunctionConcurrency":      {"lambda:GetFunctionConcurrency", "function"},
	"lambda:PutFunctionConcurrency":      {"lambda:PutFunctionConcurrency", "function"},
	"lambda:DeleteFunctionConcurrency":   {"lambda:DeleteFunctionConcurrency", "function"},

	// API Gateway's actions are HTTP methods, and its resources are paths.
	"apigateway:GetApis":           {"apigateway:GET", "apis"},
	"apigateway:GetApi":            {"apigateway:GET", "apis"},
	"apigateway:GetRoutes":         {"apigateway:GET", "apis"},
	"apigateway:GetRoute":          {"apigateway:GET", "apis"},
	"apigateway:GetIntegrations":   {"apigateway:GET", "apis"},
	"apigateway:GetIntegration":    {"apigateway:GET", "apis"},
	"apigateway:GetStage":          {"apigateway:GET", "apis"},
	"apigateway:GetStages":         {"apigateway:GET", "apis"},
	"apigateway:GetAuthorizers":    {"apigateway:GET", "apis"},
	"apigateway:GetAuthorizer":     {"apigateway:GET", "apis"},
	"apigateway:CreateApi":         {"apigateway:POST apigateway:TagResource", "newApis"},
	"apigateway:CreateStage":       {"apigateway:POST apigateway:TagResource", "newApis"},
	"apigateway:UpdateApi":         {"apigateway:PATCH", "taggedApis"},
	"apigateway:UpdateStage":       {"apigateway:PATCH", "taggedApis"},
	"apigateway:DeleteApi":         {"apigateway:DELETE", "taggedApis"},
	"apigateway:CreateRoute":       {"apigateway:POST", "partsOfApis"},
	"apigateway:CreateIntegration": {"apigateway:POST", "partsOfApis"},
	"apigateway:CreateAuthorizer":  {"apigateway:POST", "partsOfApis"},
	"apigateway:UpdateRoute":       {"apigateway:PATCH", "partsOfApis"},
	"apigateway:UpdateAuthorizer":  {"apigateway:PATCH", "partsOfApis"},
	"apigateway:UpdateIntegration": {"apigateway:PATCH", "partsOfApis"},
	"apigateway:DeleteRoute":       {"apigateway:DELETE", "partsOfApis"},
	"apigateway:DeleteAuthorizer":  {"apigateway:DELETE", "partsOfApis"},
	"apigateway:DeleteIntegration": {"apigateway:DELETE", "partsOfApis"},

	"apigateway:DeleteRouteSettings": {"apigateway:DELETE", "partsOfApis"},

	"sts:GetCallerIdentity": {"", ""}, // always allowed
}

// Operations returns the operations that up, down and permit may call, as SERVICE:OPERATION.
func Operations() []string { return slices.Sorted(maps.Keys(rights)) }

// OperatorPolicy returns the least rights that up, down and permit need for a stack.
//
// It names resources where their names are known. The id of an API is not known in advance, so rights on APIs and
// stages depend on the stack's tag. Routes, integrations and authorizers of HTTP APIs neither have nor inherit tags
// ("API Gateway resources that can be tagged"), so the policy allows changing those of every HTTP API in the region.
// It also allows changing the tags of every API, because a new API is tagged when it is created.
func (s Stack) OperatorPolicy() policy.Document {
	arn := "arn:" + s.Partition + ":"
	apis := arn + "apigateway:" + s.Region + "::/apis"
	resources := map[string]policy.Strings{
		"table": {s.TableARN()},
		"role":  {s.RoleARN(), s.RoleARN() + otherRole},
		"groups": {s.groupARN(s.LogGroup()), s.groupARN(s.LogGroup()) + ":*", s.groupARN(s.AccessLogGroup()),
			s.groupARN(s.AccessLogGroup()) + ":*"},
		"function":   {s.FunctionARN()},
		"apis":       {apis, apis + "/*"},
		"newApis":    {apis, apis + "/*/stages"},
		"taggedApis": {apis + "/*"},
		"partsOfApis": {apis + "/*/routes*", apis + "/*/integrations*", apis + "/*/authorizers*",
			apis + "/*/routesettings/*"},
		"tags": {arn + "apigateway:" + s.Region + "::/tags/*"},
		"any":  {"*"},
	}
	actions := map[string]policy.Strings{
		"tags": {"apigateway:PUT", "apigateway:POST"}, // tags set at creation
		// API Gateway sets up the access log of a stage, a log delivery, with the caller's rights ("Configuring logging
		// for HTTP APIs").
		"any": {"logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeResourcePolicies",
			"logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery"},
	}
	for _, r := range rights {
		for _, action := range strings.Fields(r.actions) {
			if !slices.Contains(actions[r.resource], action) {
				actions[r.resource] = append(actions[r.resource], action)
			}
		}
	}
	conditions := map[string]policy.Conditions{
		"newApis":    {"StringEquals": {"aws:RequestTag/" + StackTag: {s.Name}}},
		"taggedApis": {"StringEquals": {"aws:ResourceTag/" + StackTag: {s.Name}}},
	}
	operatorPolicy := policy.Document{Version: "2012-10-17"}
	if s.Boundary == "" {
		actions["role"] = slices.DeleteFunc(actions["role"],
			func(a string) bool { return a == "iam:PutRolePermissionsBoundary" })
	} else { // allow the boundable actions only on roles that have the boundary
		actions["role"] = slices.DeleteFunc(actions["role"], func(a string) bool {
			return slices.Contains(boundable, a)
		})
		operatorPolicy.Statement = append(operatorPolicy.Statement, policy.Statement{
			Sid: "BoundedRole", Effect: "Allow", Action: boundable, Resource: resources["role"],
			Condition: policy.Conditions{"StringEquals": {"iam:PermissionsBoundary": {s.Boundary}}},
		})
	}
	for _, kind := range slices.Sorted(maps.Keys(actions)) {
		slices.Sort(actions[kind])
		operatorPolicy.Statement = append(operatorPolicy.Statement, policy.Statement{
			Sid:    strings.ToUpper(kind[:1]) + kind[1:],
			Effect: "Allow", Action: actions[kind], Resource: resources[kind], Condition: conditions[kind]})
	}
	return policy.Document{Version: operatorPolicy.Version, Statement: append(operatorPolicy.Statement,
		policy.Statement{Sid: "PassRole", Effect: "Allow", Action: policy.Strings{"iam:PassRole"},
			Resource: resources["role"], Condition: policy.Conditions{"StringEquals": {"iam:PassedToService": {
				policy.Lambda}}}},
		policy.Statement{Sid: "FirstAPIOfAnAccount", Effect: "Allow",
			Action: policy.Strings{"iam:CreateServiceLinkedRole"}, Resource: policy.Strings{arn + "iam::" + s.Account +
				":role/aws-service-role/ops.apigateway.amazonaws.com/*"}},
	)}
}

// boundable are the actions on a role that can be conditional on its boundary (condition key iam:PermissionsBoundary,
// "Actions, resources, and condition keys for AWS Identity and Access Management").
var boundable = policy.Strings{
	"iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary",
	"iam:PutRolePolicy",
}

// otherRole is the suffix of the temporary role's name, see [Stack.OtherRole].
const otherRole = "-other"
