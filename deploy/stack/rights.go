package stack

import (
	"maps"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// right is what an operator needs for one operation.
type right struct {
	actions  string // of IAM; with those that it depends on
	resource string // what it is done to: a key of resources
}

// rights are the actions of IAM that each operation takes, from the service authorization reference of each service:
// https://docs.aws.amazon.com/service-authorization/latest/reference/. Actions that are no operations are among them:
// tags that come with a creation have rights of their own, and iam:PassRole is asked for where a function is given a
// role.
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

	// API Gateway's actions are HTTP methods, its resources paths.
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

	"sts:GetCallerIdentity": {"", ""}, // nothing can forbid it
}

// Operations are those that up, down and permit may call.
func Operations() []string { return slices.Sorted(maps.Keys(rights)) }

// OperatorPolicy is the least that whoever runs up, down and permit for a stack may do.
//
// A resource with a name of ours is named. An API has an id that is not known before, so APIs and stages are known by
// their tags: they are made with the stack's, and only what has them is changed or removed. Routes, integrations and
// authorizers have no tags and inherit none in HTTP APIs ("API Gateway resources that can be tagged"), so those of
// every HTTP API of the region are reached, and so are the tags themselves, which are set as an API is made.
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
		"tags": {"apigateway:PUT", "apigateway:POST"}, // of tags that come with a creation
		// The access log of a stage is a log delivery, which API Gateway sets up with the caller's rights ("Configuring
		// logging for HTTP APIs").
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
	document := policy.Document{Version: "2012-10-17"}
	if s.Boundary == "" {
		actions["role"] = slices.DeleteFunc(actions["role"],
			func(a string) bool { return a == "iam:PutRolePermissionsBoundary" })
	} else { // then these are for roles that have it alone
		actions["role"] = slices.DeleteFunc(actions["role"], func(a string) bool {
			return slices.Contains(boundable, a)
		})
		document.Statement = append(document.Statement, policy.Statement{
			Sid: "BoundedRole", Effect: "Allow", Action: boundable, Resource: resources["role"],
			Condition: policy.Conditions{"StringEquals": {"iam:PermissionsBoundary": {s.Boundary}}},
		})
	}
	for _, kind := range slices.Sorted(maps.Keys(actions)) {
		slices.Sort(actions[kind])
		document.Statement = append(document.Statement, policy.Statement{Sid: strings.ToUpper(kind[:1]) + kind[1:],
			Effect: "Allow", Action: actions[kind], Resource: resources[kind], Condition: conditions[kind]})
	}
	return policy.Document{Version: document.Version, Statement: append(document.Statement,
		policy.Statement{Sid: "PassRole", Effect: "Allow", Action: policy.Strings{"iam:PassRole"},
			Resource: resources["role"], Condition: policy.Conditions{"StringEquals": {"iam:PassedToService": {
				policy.Lambda}}}},
		policy.Statement{Sid: "FirstAPIOfAnAccount", Effect: "Allow",
			Action: policy.Strings{"iam:CreateServiceLinkedRole"}, Resource: policy.Strings{arn + "iam::" + s.Account +
				":role/aws-service-role/ops.apigateway.amazonaws.com/*"}},
	)}
}

// boundable are the actions on a role that can be allowed under a boundary alone (condition key
// iam:PermissionsBoundary, "Actions, resources, and condition keys for AWS Identity and Access Management").
var boundable = policy.Strings{
	"iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary",
	"iam:PutRolePolicy",
}

// otherRole ends the name of the role that a function has for a moment, so that Lambda lets go of a former one.
const otherRole = "-other"
