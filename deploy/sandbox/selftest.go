package sandbox

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// The self-test builds a stack with all that this project's programs call, in a region where nobody looks, and takes it
// down again: a moto that lacks something is found at the start, not in the middle of a deployment.
const (
	testRegion = "ap-southeast-7"
	testName   = "sandbox-self-test"
	testTrust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
		`"Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	testPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}]}`
)

// tester calls operations until one fails.
type tester struct {
	ctx context.Context
	err error
}

// must calls an operation.
func must[In, Out, Options any](t *tester, operation func(context.Context, *In, ...func(*Options)) (*Out, error),
	in *In) *Out {
	out := new(Out)
	if t.err == nil {
		if got, err := operation(t.ctx, in); err != nil {
			t.err = fmt.Errorf("this moto lacks what the sandbox needs, moto 5.2.1 has it: %w", err)
		} else {
			out = got
		}
	}
	return out
}

func (s *Sandbox) selfTest(ctx context.Context) error {
	cfg := aws.Config{Region: testRegion, BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider(
		"sandbox", "sandbox", ""), Logger: logging.Nop{}, RetryMaxAttempts: 1}
	roles, functions, apis := iam.NewFromConfig(cfg), lambda.NewFromConfig(cfg), apigatewayv2.NewFromConfig(cfg)
	logs, tables, t := cloudwatchlogs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), &tester{ctx: ctx}
	name, tags, v2 := aws.String(testName), map[string]string{"test": "self"}, aws.String("2.0")
	var packed bytes.Buffer
	if err := zip.NewWriter(&packed).Close(); err != nil {
		return err
	}

	must(t, sts.NewFromConfig(cfg).GetCallerIdentity, &sts.GetCallerIdentityInput{})
	must(t, tables.CreateTable, &dynamodb.CreateTableInput{TableName: name,
		BillingMode:          dynamodbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: name, AttributeType: "S"}},
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: name, KeyType: "HASH"}}})
	table := must(t, tables.DescribeTable, &dynamodb.DescribeTableInput{TableName: name}).Table
	if t.err == nil {
		must(t, tables.TagResource, &dynamodb.TagResourceInput{ResourceArn: table.TableArn,
			Tags: []dynamodbtypes.Tag{{Key: name, Value: name}}})
		must(t, tables.ListTagsOfResource, &dynamodb.ListTagsOfResourceInput{ResourceArn: table.TableArn})
	}
	must(t, tables.UpdateTimeToLive, &dynamodb.UpdateTimeToLiveInput{TableName: name,
		TimeToLiveSpecification: &dynamodbtypes.TimeToLiveSpecification{AttributeName: name, Enabled: aws.Bool(true)}})
	must(t, tables.DescribeTimeToLive, &dynamodb.DescribeTimeToLiveInput{TableName: name})
	must(t, tables.UpdateContinuousBackups, &dynamodb.UpdateContinuousBackupsInput{TableName: name,
		PointInTimeRecoverySpecification: &dynamodbtypes.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: aws.Bool(true)}})
	must(t, tables.DescribeContinuousBackups, &dynamodb.DescribeContinuousBackupsInput{TableName: name})
	must(t, tables.UpdateTable, &dynamodb.UpdateTableInput{TableName: name, DeletionProtectionEnabled: aws.Bool(false)})
	must(t, tables.DeleteTable, &dynamodb.DeleteTableInput{TableName: name})

	must(t, logs.CreateLogGroup, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name, Tags: tags})
	must(t, logs.PutRetentionPolicy, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: name,
		RetentionInDays: aws.Int32(14)})
	must(t, logs.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: name})
	group := aws.String("arn:aws:logs:" + testRegion + ":" + Account + ":log-group:" + testName)
	must(t, logs.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: group, Tags: tags})
	must(t, logs.ListTagsForResource, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: group})
	must(t, logs.FilterLogEvents, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: name})

	role := must(t, roles.CreateRole, &iam.CreateRoleInput{RoleName: name,
		AssumeRolePolicyDocument: aws.String(testTrust)}).Role
	must(t, roles.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: name, PolicyName: name,
		PolicyDocument: aws.String(testPolicy)})
	must(t, roles.GetRole, &iam.GetRoleInput{RoleName: name})
	must(t, roles.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: name, PolicyName: name})
	must(t, roles.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: name})
	must(t, roles.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: name})
	must(t, roles.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: name,
		PolicyDocument: aws.String(testTrust)})
	must(t, roles.TagRole, &iam.TagRoleInput{RoleName: name, Tags: []iamtypes.Tag{{Key: name, Value: name}}})
	must(t, roles.ListRoleTags, &iam.ListRoleTagsInput{RoleName: name})
	if t.err == nil {
		must(t, roles.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: role.Arn,
			ActionNames: []string{"dynamodb:GetItem"}})
		must(t, functions.CreateFunction, &lambda.CreateFunctionInput{FunctionName: name, Role: role.Arn,
			Runtime: "provided.al2023", Handler: aws.String("bootstrap"),
			Code: &lambdatypes.FunctionCode{ZipFile: packed.Bytes()}, Tags: tags})
	}
	must(t, functions.GetFunction, &lambda.GetFunctionInput{FunctionName: name})
	must(t, functions.GetFunctionConfiguration, &lambda.GetFunctionConfigurationInput{FunctionName: name})
	must(t, functions.UpdateFunctionCode, &lambda.UpdateFunctionCodeInput{FunctionName: name, ZipFile: packed.Bytes()})
	must(t, functions.UpdateFunctionConfiguration, &lambda.UpdateFunctionConfigurationInput{FunctionName: name,
		MemorySize: aws.Int32(256)})
	must(t, functions.PutFunctionConcurrency, &lambda.PutFunctionConcurrencyInput{FunctionName: name,
		ReservedConcurrentExecutions: aws.Int32(2)})
	must(t, functions.GetFunctionConcurrency, &lambda.GetFunctionConcurrencyInput{FunctionName: name})
	must(t, functions.DeleteFunctionConcurrency, &lambda.DeleteFunctionConcurrencyInput{FunctionName: name})
	must(t, functions.PublishVersion, &lambda.PublishVersionInput{FunctionName: name})
	must(t, functions.ListVersionsByFunction, &lambda.ListVersionsByFunctionInput{FunctionName: name})
	must(t, functions.CreateAlias, &lambda.CreateAliasInput{FunctionName: name, Name: name,
		FunctionVersion: aws.String("1")})
	must(t, functions.GetAlias, &lambda.GetAliasInput{FunctionName: name, Name: name})
	must(t, functions.ListAliases, &lambda.ListAliasesInput{FunctionName: name})
	must(t, functions.ListTags, &lambda.ListTagsInput{Resource: aws.String(functionARN(testRegion, testName, ""))})
	must(t, functions.TagResource, &lambda.TagResourceInput{Resource: aws.String(functionARN(testRegion, testName, "")),
		Tags: tags})
	must(t, functions.GetAccountSettings, &lambda.GetAccountSettingsInput{})
	must(t, functions.AddPermission, &lambda.AddPermissionInput{FunctionName: name, Qualifier: name, StatementId: name,
		Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com")})
	must(t, functions.GetPolicy, &lambda.GetPolicyInput{FunctionName: name, Qualifier: name})
	must(t, functions.RemovePermission, &lambda.RemovePermissionInput{FunctionName: name, Qualifier: name,
		StatementId: name})
	must(t, functions.Invoke, &lambda.InvokeInput{FunctionName: name, InvocationType: lambdatypes.InvocationTypeDryRun})

	api := must(t, apis.CreateApi, &apigatewayv2.CreateApiInput{Name: name, ProtocolType: types.ProtocolTypeHttp,
		Tags: tags}).ApiId
	apiARN := aws.String("arn:aws:apigateway:" + testRegion + "::/apis/" + *orEmpty(api))
	must(t, apis.GetApi, &apigatewayv2.GetApiInput{ApiId: api})
	must(t, apis.GetApis, &apigatewayv2.GetApisInput{})
	must(t, apis.UpdateApi, &apigatewayv2.UpdateApiInput{ApiId: api, Description: name})
	must(t, apis.TagResource, &apigatewayv2.TagResourceInput{ResourceArn: apiARN, Tags: tags})
	must(t, apis.GetTags, &apigatewayv2.GetTagsInput{ResourceArn: apiARN})
	integration := must(t, apis.CreateIntegration, &apigatewayv2.CreateIntegrationInput{ApiId: api,
		IntegrationType: types.IntegrationTypeAwsProxy, IntegrationUri: aws.String(functionARN(testRegion, testName,
			"")), PayloadFormatVersion: v2}).IntegrationId
	must(t, apis.GetIntegration, &apigatewayv2.GetIntegrationInput{ApiId: api, IntegrationId: integration})
	must(t, apis.GetIntegrations, &apigatewayv2.GetIntegrationsInput{ApiId: api})
	must(t, apis.UpdateIntegration, &apigatewayv2.UpdateIntegrationInput{ApiId: api, IntegrationId: integration,
		PayloadFormatVersion: v2})
	authorizer := must(t, apis.CreateAuthorizer, &apigatewayv2.CreateAuthorizerInput{ApiId: api, Name: name,
		AuthorizerType: types.AuthorizerTypeJwt, IdentitySource: []string{"$request.header.Authorization"},
		JwtConfiguration: &types.JWTConfiguration{Issuer: aws.String("https://issuer.example"),
			Audience: []string{testName}}}).AuthorizerId
	must(t, apis.GetAuthorizer, &apigatewayv2.GetAuthorizerInput{ApiId: api, AuthorizerId: authorizer})
	must(t, apis.GetAuthorizers, &apigatewayv2.GetAuthorizersInput{ApiId: api})
	must(t, apis.UpdateAuthorizer, &apigatewayv2.UpdateAuthorizerInput{ApiId: api, AuthorizerId: authorizer,
		Name: name})
	route := must(t, apis.CreateRoute, &apigatewayv2.CreateRouteInput{ApiId: api, RouteKey: aws.String("GET /"),
		Target: aws.String("integrations/" + *orEmpty(integration))}).RouteId
	must(t, apis.GetRoute, &apigatewayv2.GetRouteInput{ApiId: api, RouteId: route})
	must(t, apis.GetRoutes, &apigatewayv2.GetRoutesInput{ApiId: api})
	must(t, apis.UpdateRoute, &apigatewayv2.UpdateRouteInput{ApiId: api, RouteId: route, OperationName: name})
	must(t, apis.CreateStage, &apigatewayv2.CreateStageInput{ApiId: api, StageName: name})
	must(t, apis.CreateDeployment, &apigatewayv2.CreateDeploymentInput{ApiId: api, StageName: name})
	must(t, apis.GetDeployments, &apigatewayv2.GetDeploymentsInput{ApiId: api})
	must(t, apis.UpdateStage, &apigatewayv2.UpdateStageInput{ApiId: api, StageName: name, AutoDeploy: aws.Bool(true),
		AccessLogSettings: &types.AccessLogSettings{DestinationArn: group, Format: aws.String("$context.requestId")}})
	must(t, apis.TagResource, &apigatewayv2.TagResourceInput{ResourceArn: aws.String(*apiARN + "/stages/" + testName),
		Tags: tags})
	must(t, apis.GetStage, &apigatewayv2.GetStageInput{ApiId: api, StageName: name})
	must(t, apis.GetStages, &apigatewayv2.GetStagesInput{ApiId: api})

	must(t, apis.DeleteAccessLogSettings, &apigatewayv2.DeleteAccessLogSettingsInput{ApiId: api, StageName: name})
	must(t, apis.DeleteStage, &apigatewayv2.DeleteStageInput{ApiId: api, StageName: name})
	must(t, apis.DeleteRoute, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: route})
	must(t, apis.DeleteIntegration, &apigatewayv2.DeleteIntegrationInput{ApiId: api, IntegrationId: integration})
	must(t, apis.DeleteAuthorizer, &apigatewayv2.DeleteAuthorizerInput{ApiId: api, AuthorizerId: authorizer})
	must(t, apis.DeleteApi, &apigatewayv2.DeleteApiInput{ApiId: api})
	must(t, functions.DeleteAlias, &lambda.DeleteAliasInput{FunctionName: name, Name: name})
	must(t, functions.DeleteFunction, &lambda.DeleteFunctionInput{FunctionName: name})
	must(t, logs.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: name})
	must(t, roles.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: name})
	must(t, roles.DeleteRole, &iam.DeleteRoleInput{RoleName: name})
	return t.err
}
