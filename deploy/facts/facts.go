// Package facts reads AWS, and returns what it reads as values such as [gateway.Facts]. It judges nothing and changes
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

// API reads what an HTTP API has.
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
				"there is no HTTP API %s in %s: aws apigatewayv2 get-apis lists those that are there",
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

// Policy reads the policy of a function, or of one of its versions or aliases.
func Policy(ctx context.Context, c *cloud.Cloud, function, qualifier string) (
	document policy.Document, revision string, err error) {
	in := &lambda.GetPolicyInput{FunctionName: &function}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	answer, err := c.Do(ctx, in)
	if cloud.IsNotFound(err) { // no policy, or no function: then AddPermission fails
		return document, "", nil
	} else if err != nil {
		return document, "", err
	}
	text, _ := cloud.Search("Policy", answer).(string)
	revision, _ = cloud.Search("RevisionId", answer).(string)
	document, err = policy.Parse([]byte(text))
	return document, revision, err
}

// ServesAuthorizer reports whether API Gateway's JWT authorizer can check tokens of an issuer. It takes RSA keys that
// have a kid, and no others ("Control access to HTTP APIs with JWT authorizers", API Gateway developer guide). The
// error is [jwt.ErrUnreachable] where the issuer does not answer.
func ServesAuthorizer(ctx context.Context, issuer string) (bool, error) {
	keys, err := jwt.Published(ctx, issuer)
	return slices.ContainsFunc(keys, func(k jwt.Key) bool { return k.Type == "RSA" && k.ID != "" }), err
}

// Deployed is a function as it is deployed.
type Deployed struct {
	Environment  map[string]string
	Memory       int32  // MB
	Architecture string // arm64 or x86_64
}

// Function reads how a function is deployed. One that does not exist has nothing.
func Function(ctx context.Context, c *cloud.Cloud, name string) (d Deployed, err error) {
	err = read(ctx, c, &lambda.GetFunctionInput{FunctionName: &name},
		"Configuration.{Environment: Environment.Variables, Memory: MemorySize, Architecture: Architectures[0]}", &d)
	return d, err
}

// Concurrency reads the reserved concurrency of a function, nil where none is reserved.
func Concurrency(ctx context.Context, c *cloud.Cloud, function string) (reserved *int32, err error) {
	err = read(ctx, c, &lambda.GetFunctionConcurrencyInput{FunctionName: &function},
		"ReservedConcurrentExecutions", &reserved)
	return reserved, err
}

// Retention reads for how many days a log group keeps logs, nil where it keeps them for ever or does not exist.
func Retention(ctx context.Context, c *cloud.Cloud, group string) (days *int32, err error) {
	err = read(ctx, c, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group},
		"logGroups[?logGroupName=='"+group+"'] | [0].retentionInDays", &days)
	return days, err
}

// Boundary reads the ARN of the permissions boundary of a role, "" where it has none or does not exist.
func Boundary(ctx context.Context, c *cloud.Cloud, role string) (arn string, err error) {
	err = read(ctx, c, &iam.GetRoleInput{RoleName: &role},
		"Role.PermissionsBoundary.PermissionsBoundaryArn", &arn)
	return arn, err
}

// read decodes what an expression finds in the answer of a call. Of what does not exist it finds nothing.
func read(ctx context.Context, c *cloud.Cloud, input any, expression string, into any) error {
	answer, err := c.Do(ctx, input)
	if cloud.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	return cloud.Decode(cloud.Search(expression, answer), into)
}
