// Package facts reads AWS and returns what it reads as values such as [gateway.Facts]. It judges nothing and changes
// nothing.
package facts

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// API reads the routes, integrations, stages and authorizers of an HTTP API.
func API(ctx context.Context, c *cloud.Cloud, api gateway.API) (f gateway.Facts, err error) {
	f.API = api
	id := &api.ID
	for _, list := range []struct {
		input any
		into  any
	}{
		{&apigatewayv2.GetRoutesInput{ApiId: id}, &f.Routes},
		{&apigatewayv2.GetIntegrationsInput{ApiId: id}, &f.Integrations},
		{&apigatewayv2.GetStagesInput{ApiId: id}, &f.Stages},
		{&apigatewayv2.GetAuthorizersInput{ApiId: id}, &f.Authorizers},
	} {
		answer, err := c.Do(ctx, list.input)
		if cloud.IsNotFound(err) {
			return f, fmt.Errorf(
				"there is no HTTP API %s in %s: aws apigatewayv2 get-apis lists the existing ones",
				*id,
				c.Region(),
			)
		}
		if err == nil {
			err = cloud.Decode(cloud.Search("Items", answer), list.into)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// Policy reads the resource-based policy of a function, or of the version or alias that qualifier names. The revision
// is "" where there is no policy.
func Policy(ctx context.Context, c *cloud.Cloud, function, qualifier string) (
	document policy.Document, revision string, err error) {
	in := &lambda.GetPolicyInput{FunctionName: &function}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	answer, err := c.Do(ctx, in)
	if cloud.IsNotFound(err) { // no policy, or no function, for which AddPermission fails later
		return document, "", nil
	} else if err != nil {
		return document, "", err
	}
	text, _ := cloud.Search("Policy", answer).(string)
	revision, _ = cloud.Search("RevisionId", answer).(string)
	document, err = policy.Parse([]byte(text))
	return document, revision, err
}

// ServesAuthorizer reports whether API Gateway's JWT authorizer can check tokens of an issuer. It accepts only RSA keys
// that have a kid ("Control access to HTTP APIs with JWT authorizers", API Gateway developer guide). The error is
// [jwt.ErrUnreachable] if the issuer does not answer.
func ServesAuthorizer(ctx context.Context, issuer string) (bool, error) {
	keys, err := jwt.Published(ctx, issuer)
	return slices.ContainsFunc(keys, func(k jwt.Key) bool { return k.Type == "RSA" && k.ID != "" }), err
}

// Deployed is the deployed configuration of a function.
type Deployed struct {
	Environment  map[string]string
	Memory       int32  // MB
	Architecture string // arm64 or x86_64
}

// Function reads the deployed configuration of a function. It is zero if the function does not exist.
func Function(ctx context.Context, c *cloud.Cloud, name string) (d Deployed, err error) {
	err = readSetting(ctx, c, &lambda.GetFunctionInput{FunctionName: &name},
		"Configuration.{Environment: Environment.Variables, Memory: MemorySize, Architecture: Architectures[0]}", &d)
	return d, err
}

// Concurrency reads the reserved concurrency of a function. It is nil if none is reserved.
func Concurrency(ctx context.Context, c *cloud.Cloud, function string) (reserved *int32, err error) {
	err = readSetting(ctx, c, &lambda.GetFunctionConcurrencyInput{FunctionName: &function},
		"ReservedConcurrentExecutions", &reserved)
	return reserved, err
}

// Retention reads how many days a log group keeps logs. It is nil if they never expire or the group does not exist.
func Retention(ctx context.Context, c *cloud.Cloud, group string) (days *int32, err error) {
	err = readSetting(ctx, c, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group},
		"logGroups[?logGroupName=='"+group+"'] | [0].retentionInDays", &days)
	return days, err
}

// Boundary reads the ARN of a role's permissions boundary. It is "" if there is none or the role does not exist.
func Boundary(ctx context.Context, c *cloud.Cloud, role string) (arn string, err error) {
	err = readSetting(ctx, c, &iam.GetRoleInput{RoleName: &role},
		"Role.PermissionsBoundary.PermissionsBoundaryArn", &arn)
	return arn, err
}

// readSetting calls AWS and decodes what a JMESPath expression selects from the answer. It leaves into unchanged if AWS
// answers that the resource does not exist.
func readSetting(ctx context.Context, c *cloud.Cloud, input any, expression string, into any) error {
	answer, err := c.Do(ctx, input)
	if cloud.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	return cloud.Decode(cloud.Search(expression, answer), into)
}
