package facts

import "example.com/portable-notes/deploy/policy"

// Rights are the actions of IAM that gathering may take. Without one, what it would tell is not seen, and said so.
var Rights = []string{
	"apigateway:GET", "cloudtrail:LookupEvents", "cloudwatch:GetMetricData",
	"dynamodb:DescribeTable",
	"iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies",
	"iam:ListRolePolicies", "iam:SimulatePrincipalPolicy",
	"lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetLayerVersion", "lambda:GetPolicy",
	"lambda:InvokeFunction", "lambda:ListAliases",
	"logs:FilterLogEvents",
}

// PolicyOf is a policy of some rights. They are on all resources, because which an API leads to is not known before.
func PolicyOf(rights []string) policy.Document {
	return policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Sid: "Doctor", Effect: "Allow",
		Action: rights, Resource: policy.Strings{"*"}}}}
}
