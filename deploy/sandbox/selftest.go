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

	"example.com/portable-notes/deploy/gateway"
)

// The self-test calls every operation that this project's programs use, in a region of its own, so that a moto that
// lacks one fails at the start and not in the middle of a deployment.
const (
	testRegion = "ap-southeast-7"
	testName   = "sandbox-self-test"
	testTrust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
		`"Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	testPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}]}`
)

// tester calls operations until one fails.
type tester struct {
	ctx  context.Context
	err  error
	name *string // name of everything that the test creates
	tags map[string]string
	code []byte // zip of the function

	roles     *iam.Client
	functions *lambda.Client
	apis      *apigatewayv2.Client
	logs      *cloudwatchlogs.Client
	tables    *dynamodb.Client
}

// must calls an operation, unless a former one has failed. If it fails, must sets t.err and returns an empty output.
func must[In, Out, Options any](t *tester, operation func(context.Context, *In, ...func(*Options)) (*Out, error),
	in *In) *Out {
	out := new(Out)
	if t.err == nil {
		if got, err := operation(t.ctx, in); err != nil {
			t.err = fmt.Errorf("this moto lacks an operation that the sandbox needs (moto 5.2.1 has it): %w", err)
		} else {
			out = got
		}
	}
	return out
}

func (s *Sandbox) selfTest(ctx context.Context) error {
	cfg := aws.Config{Region: testRegion, BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider(
		"sandbox", "sandbox", ""), Logger: logging.Nop{}, RetryMaxAttempts: 1}
	var packed bytes.Buffer
	if err := zip.NewWriter(&packed).Close(); err != nil {
		return err
	}
	t := &tester{
		ctx: ctx, name: aws.String(testName), tags: map[string]string{"test": "self"}, code: packed.Bytes(),
		roles: iam.NewFromConfig(cfg), functions: lambda.NewFromConfig(cfg), apis: apigatewayv2.NewFromConfig(cfg),
		logs: cloudwatchlogs.NewFromConfig(cfg), tables: dynamodb.NewFromConfig(cfg),
	}
	must(t, sts.NewFromConfig(cfg).GetCallerIdentity, &sts.GetCallerIdentityInput{})
	t.table()
	group := t.logGroup()
	t.function(t.role())
	t.api(group)
	t.remove()
	return t.err
}

func (t *tester) table() {
	must(t, t.tables.CreateTable, &dynamodb.CreateTableInput{TableName: t.name,
		BillingMode:          dynamodbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: t.name, AttributeType: "S"}},
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: t.name, KeyType: "HASH"}}})
	table := must(t, t.tables.DescribeTable, &dynamodb.DescribeTableInput{TableName: t.name}).Table
	if t.err == nil {
		must(t, t.tables.TagResource, &dynamodb.TagResourceInput{ResourceArn: table.TableArn,
			Tags: []dynamodbtypes.Tag{{Key: t.name, Value: t.name}}})
		must(t, t.tables.ListTagsOfResource, &dynamodb.ListTagsOfResourceInput{ResourceArn: table.TableArn})
	}
	must(t, t.tables.UpdateTimeToLive, &dynamodb.UpdateTimeToLiveInput{TableName: t.name,
		TimeToLiveSpecification: &dynamodbtypes.TimeToLiveSpecification{AttributeName: t.name,
			Enabled: aws.Bool(true)}})
	must(t, t.tables.DescribeTimeToLive, &dynamodb.DescribeTimeToLiveInput{TableName: t.name})
	must(t, t.tables.UpdateContinuousBackups, &dynamodb.UpdateContinuousBackupsInput{TableName: t.name,
		PointInTimeRecoverySpecification: &dynamodbtypes.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: aws.Bool(true)}})
	must(t, t.tables.DescribeContinuousBackups, &dynamodb.DescribeContinuousBackupsInput{TableName: t.name})
	must(t, t.tables.UpdateTable, &dynamodb.UpdateTableInput{TableName: t.name,
		DeletionProtectionEnabled: aws.Bool(false)})
	must(t, t.tables.DeleteTable, &dynamodb.DeleteTableInput{TableName: t.name})
}

// logGroup creates a log group and returns its ARN.
func (t *tester) logGroup() (arn *string) {
	must(t, t.logs.CreateLogGroup, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: t.name, Tags: t.tags})
	must(t, t.logs.PutRetentionPolicy, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: t.name,
		RetentionInDays: aws.Int32(14)})
	must(t, t.logs.DescribeLogGroups, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: t.name})
	arn = aws.String("arn:aws:logs:" + testRegion + ":" + Account + ":log-group:" + testName)
	must(t, t.logs.TagResource, &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: t.tags})
	must(t, t.logs.ListTagsForResource, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: arn})
	must(t, t.logs.FilterLogEvents, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: t.name})
	return arn
}

func (t *tester) role() *iamtypes.Role {
	role := must(t, t.roles.CreateRole, &iam.CreateRoleInput{RoleName: t.name,
		AssumeRolePolicyDocument: aws.String(testTrust)}).Role
	must(t, t.roles.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: t.name, PolicyName: t.name,
		PolicyDocument: aws.String(testPolicy)})
	must(t, t.roles.GetRole, &iam.GetRoleInput{RoleName: t.name})
	must(t, t.roles.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: t.name, PolicyName: t.name})
	must(t, t.roles.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: t.name})
	must(t, t.roles.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: t.name})
	must(t, t.roles.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: t.name,
		PolicyDocument: aws.String(testTrust)})
	must(t, t.roles.TagRole, &iam.TagRoleInput{RoleName: t.name, Tags: []iamtypes.Tag{{Key: t.name, Value: t.name}}})
	must(t, t.roles.ListRoleTags, &iam.ListRoleTagsInput{RoleName: t.name})
	return role
}

func (t *tester) function(role *iamtypes.Role) {
	if t.err == nil {
		must(t, t.roles.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: role.Arn,
			ActionNames: []string{"dynamodb:GetItem"}})
		must(t, t.functions.CreateFunction, &lambda.CreateFunctionInput{FunctionName: t.name, Role: role.Arn,
			Runtime: "provided.al2023", Handler: aws.String("bootstrap"),
			Code: &lambdatypes.FunctionCode{ZipFile: t.code}, Tags: t.tags})
	}
	must(t, t.functions.GetFunction, &lambda.GetFunctionInput{FunctionName: t.name})
	must(t, t.functions.GetFunctionConfiguration, &lambda.GetFunctionConfigurationInput{FunctionName: t.name})
	must(t, t.functions.UpdateFunctionCode, &lambda.UpdateFunctionCodeInput{FunctionName: t.name, ZipFile: t.code})
	must(t, t.functions.UpdateFunctionConfiguration, &lambda.UpdateFunctionConfigurationInput{FunctionName: t.name,
		MemorySize: aws.Int32(256)})
	must(t, t.functions.PutFunctionConcurrency, &lambda.PutFunctionConcurrencyInput{FunctionName: t.name,
		ReservedConcurrentExecutions: aws.Int32(2)})
	must(t, t.functions.GetFunctionConcurrency, &lambda.GetFunctionConcurrencyInput{FunctionName: t.name})
	must(t, t.functions.DeleteFunctionConcurrency, &lambda.DeleteFunctionConcurrencyInput{FunctionName: t.name})
	must(t, t.functions.PublishVersion, &lambda.PublishVersionInput{FunctionName: t.name})
	must(t, t.functions.ListVersionsByFunction, &lambda.ListVersionsByFunctionInput{FunctionName: t.name})
	must(t, t.functions.CreateAlias, &lambda.CreateAliasInput{FunctionName: t.name, Name: t.name,
		FunctionVersion: aws.String("1")})
	must(t, t.functions.GetAlias, &lambda.GetAliasInput{FunctionName: t.name, Name: t.name})
	must(t, t.functions.ListAliases, &lambda.ListAliasesInput{FunctionName: t.name})
	must(t, t.functions.ListTags, &lambda.ListTagsInput{Resource: aws.String(functionARN(testRegion, testName, ""))})
	must(t, t.functions.TagResource, &lambda.TagResourceInput{Resource: aws.String(functionARN(testRegion, testName,
		"")),
		Tags: t.tags})
	must(t, t.functions.GetAccountSettings, &lambda.GetAccountSettingsInput{})
	must(t, t.functions.AddPermission, &lambda.AddPermissionInput{FunctionName: t.name, Qualifier: t.name,
		StatementId: t.name,
		Action:      aws.String(gateway.Invoke), Principal: aws.String(gateway.Principal)})
	must(t, t.functions.GetPolicy, &lambda.GetPolicyInput{FunctionName: t.name, Qualifier: t.name})
	must(t, t.functions.RemovePermission, &lambda.RemovePermissionInput{FunctionName: t.name, Qualifier: t.name,
		StatementId: t.name})
	must(t, t.functions.Invoke, &lambda.InvokeInput{FunctionName: t.name,
		InvocationType: lambdatypes.InvocationTypeDryRun})
}

func (t *tester) api(group *string) {
	v2 := aws.String("2.0")
	api := must(t, t.apis.CreateApi, &apigatewayv2.CreateApiInput{Name: t.name, ProtocolType: types.ProtocolTypeHttp,
		Tags: t.tags}).ApiId
	apiARN := aws.String("arn:aws:apigateway:" + testRegion + "::/apis/" + *orEmpty(api))
	must(t, t.apis.GetApi, &apigatewayv2.GetApiInput{ApiId: api})
	must(t, t.apis.GetApis, &apigatewayv2.GetApisInput{})
	must(t, t.apis.UpdateApi, &apigatewayv2.UpdateApiInput{ApiId: api, Description: t.name})
	must(t, t.apis.TagResource, &apigatewayv2.TagResourceInput{ResourceArn: apiARN, Tags: t.tags})
	must(t, t.apis.GetTags, &apigatewayv2.GetTagsInput{ResourceArn: apiARN})
	integration := must(t, t.apis.CreateIntegration, &apigatewayv2.CreateIntegrationInput{ApiId: api,
		IntegrationType: types.IntegrationTypeAwsProxy, IntegrationUri: aws.String(functionARN(testRegion, testName,
			"")), PayloadFormatVersion: v2}).IntegrationId
	must(t, t.apis.GetIntegration, &apigatewayv2.GetIntegrationInput{ApiId: api, IntegrationId: integration})
	must(t, t.apis.GetIntegrations, &apigatewayv2.GetIntegrationsInput{ApiId: api})
	must(t, t.apis.UpdateIntegration, &apigatewayv2.UpdateIntegrationInput{ApiId: api, IntegrationId: integration,
		PayloadFormatVersion: v2})
	authorizer := must(t, t.apis.CreateAuthorizer, &apigatewayv2.CreateAuthorizerInput{ApiId: api, Name: t.name,
		AuthorizerType: types.AuthorizerTypeRequest, IdentitySource: []string{"$request.header.Authorization"},
		AuthorizerUri:                  aws.String(functionARN(testRegion, testName, "")),
		AuthorizerPayloadFormatVersion: v2}).AuthorizerId
	must(t, t.apis.GetAuthorizer, &apigatewayv2.GetAuthorizerInput{ApiId: api, AuthorizerId: authorizer})
	must(t, t.apis.GetAuthorizers, &apigatewayv2.GetAuthorizersInput{ApiId: api})
	must(t, t.apis.UpdateAuthorizer, &apigatewayv2.UpdateAuthorizerInput{ApiId: api, AuthorizerId: authorizer,
		Name: t.name})
	route := must(t, t.apis.CreateRoute, &apigatewayv2.CreateRouteInput{ApiId: api, RouteKey: aws.String("GET /"),
		Target: aws.String("integrations/" + *orEmpty(integration))}).RouteId
	must(t, t.apis.GetRoute, &apigatewayv2.GetRouteInput{ApiId: api, RouteId: route})
	must(t, t.apis.GetRoutes, &apigatewayv2.GetRoutesInput{ApiId: api})
	must(t, t.apis.UpdateRoute, &apigatewayv2.UpdateRouteInput{ApiId: api, RouteId: route, OperationName: t.name})
	t.stage(api, apiARN, group)
	must(t, t.apis.DeleteRoute, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: route})
	must(t, t.apis.DeleteIntegration, &apigatewayv2.DeleteIntegrationInput{ApiId: api, IntegrationId: integration})
	must(t, t.apis.DeleteAuthorizer, &apigatewayv2.DeleteAuthorizerInput{ApiId: api, AuthorizerId: authorizer})
	must(t, t.apis.DeleteApi, &apigatewayv2.DeleteApiInput{ApiId: api})
}

func (t *tester) stage(api, apiARN, group *string) {
	must(t, t.apis.CreateStage, &apigatewayv2.CreateStageInput{ApiId: api, StageName: t.name})
	must(t, t.apis.CreateDeployment, &apigatewayv2.CreateDeploymentInput{ApiId: api, StageName: t.name})
	must(t, t.apis.GetDeployments, &apigatewayv2.GetDeploymentsInput{ApiId: api})
	must(t, t.apis.UpdateStage, &apigatewayv2.UpdateStageInput{ApiId: api, StageName: t.name,
		AutoDeploy:        aws.Bool(true),
		AccessLogSettings: &types.AccessLogSettings{DestinationArn: group, Format: aws.String("$context.requestId")}})
	must(t, t.apis.TagResource, &apigatewayv2.TagResourceInput{ResourceArn: aws.String(*apiARN + "/stages/" + testName),
		Tags: t.tags})
	must(t, t.apis.GetStage, &apigatewayv2.GetStageInput{ApiId: api, StageName: t.name})
	must(t, t.apis.GetStages, &apigatewayv2.GetStagesInput{ApiId: api})

	must(t, t.apis.DeleteAccessLogSettings, &apigatewayv2.DeleteAccessLogSettingsInput{ApiId: api, StageName: t.name})
	must(t, t.apis.DeleteStage, &apigatewayv2.DeleteStageInput{ApiId: api, StageName: t.name})
}

func (t *tester) remove() {
	must(t, t.functions.DeleteAlias, &lambda.DeleteAliasInput{FunctionName: t.name, Name: t.name})
	must(t, t.functions.DeleteFunction, &lambda.DeleteFunctionInput{FunctionName: t.name})
	must(t, t.logs.DeleteLogGroup, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: t.name})
	must(t, t.roles.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: t.name, PolicyName: t.name})
	must(t, t.roles.DeleteRole, &iam.DeleteRoleInput{RoleName: t.name})
}
