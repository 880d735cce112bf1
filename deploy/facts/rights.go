package facts

import "example.com/portable-notes/deploy/policy"

// Rights are the IAM actions that gathering uses. If one is missing, the facts that need it are unseen, and the report
// says so.
var Rights = []string{
	"apigateway:GET", "cloudtrail:LookupEvents", "cloudwatch:GetMetricData",
	"dynamodb:DescribeTable",
	"iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies",
	"iam:ListRolePolicies", "iam:SimulatePrincipalPolicy",
	"lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetLayerVersion", "lambda:GetPolicy",
	"lambda:InvokeFunction", "lambda:ListAliases",
	"logs:FilterLogEvents",
}

// PolicyOf returns a policy that allows actions on all resources. The resources behind an API are not known beforehand.
func PolicyOf(rights []string) policy.Document {
	return policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Sid: "Doctor", Effect: "Allow",
		Action: rights, Resource: policy.Strings{"*"}}}}
}
