// Package stack is what the notes service is on AWS, as values: names, policies, and the calls that find, make, compare
// and remove each thing. Nothing here calls AWS. The program that deploys carries the values out; the script that a
// person can run instead prints them.
package stack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	gatewaytypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/app"
	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/notes/dynamo"
)

// Stack is one deployment of the service: what is chosen of it.
type Stack struct {
	Name         string // of the stack, the function, the table and the API; see Check
	Partition    string // aws, aws-cn, aws-us-gov
	Region       string
	Account      string // 12 digits
	Stage        string // of the API: a name or $default
	Architecture string // arm64 or x86_64
	Auth         Auth   // who may use it
	Endpoint     string // on: the API's default endpoint is opened; "": it is left as it is, in a new API open

	// What is nil is left as it is.
	Memory      *int32  // of the function, MB: 128 to 10,240 (Lambda quotas); a new one has 256
	Retention   *int32  // of both log groups, days: one of those that CloudWatch Logs takes; new ones have 14
	Concurrency *int32  // reserved concurrency, which is also the function's maximum; 0 for none; a new one has [Burst]
	BasePath    *string // of a custom domain, such as /api; "" for none

	Kept map[string]string // variables of the function that somebody else set, as KeptOf tells them
	Zip  []byte            // the function

	Boundary string // ARN of the permissions boundary of the role; "" leaves it as it is
}

var (
	stackName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,39}$`)
	boundary  = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+$`)
	stageName = regexp.MustCompile(`^(\$default|[a-zA-Z0-9_-]{1,64})$`)
	retention = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)

// Check names every mistake in what is chosen. The limits are those of AWS: a table has 3 to 255 characters, a role at
// most 64 with the region in its name.
func (s Stack) Check() error {
	var mistakes []error
	if !stackName.MatchString(s.Name) {
		mistakes = append(mistakes, fmt.Errorf("the stack's name must be 3 to 40 letters, digits, - and _ and begin with a letter, is %q", s.Name))
	}
	if !stageName.MatchString(s.Stage) {
		mistakes = append(mistakes, fmt.Errorf("the stage must be $default or 1 to 64 letters, digits, - and _, is %q", s.Stage))
	}
	if s.Architecture != "arm64" && s.Architecture != "x86_64" {
		mistakes = append(mistakes, fmt.Errorf("the architecture must be arm64 or x86_64, is %q", s.Architecture))
	}
	if s.Memory != nil && (*s.Memory < 128 || *s.Memory > 10_240) {
		mistakes = append(mistakes, fmt.Errorf("the memory must be 128 to 10240 MB, is %d", *s.Memory))
	}
	if s.BasePath != nil {
		if err := app.CheckBase(*s.BasePath); err != nil {
			mistakes = append(mistakes, fmt.Errorf("the base path %w, is %q", err, *s.BasePath))
		}
	}
	if s.Retention != nil && !slices.Contains(retention, *s.Retention) {
		mistakes = append(mistakes, fmt.Errorf("CloudWatch Logs keeps logs for one of %v days, not %d",
			retention, *s.Retention))
	}
	if s.Boundary != "" && !boundary.MatchString(s.Boundary) {
		mistakes = append(mistakes, fmt.Errorf("the boundary must be the ARN of a managed policy, such as "+
			"arn:aws:iam::123456789012:policy/NAME, is %q", s.Boundary))
	}
	if s.Endpoint != "" && s.Endpoint != "on" {
		mistakes = append(mistakes, fmt.Errorf("the endpoint can be on, or be left as it is, is %q", s.Endpoint))
	}
	if s.Concurrency != nil && *s.Concurrency < 0 {
		mistakes = append(mistakes, fmt.Errorf("the concurrency must be 0 or more, is %d", *s.Concurrency))
	}
	return errors.Join(mistakes...)
}

// The tags by which what belongs to a stack is known.
const (
	StackTag  = "notes-stack"
	RegionTag = "notes-region"
	RoleTag   = "notes-role-id" // of the function: the id of the role that Lambda was given, which another role of the name has not
)

// Tags are those of all that a stack has.
func (s Stack) Tags() map[string]string {
	return map[string]string{StackTag: s.Name, RegionTag: s.Region}
}

// RoleName is the name of the execution role. IAM is one for all regions, so the region is in it.
func (s Stack) RoleName() string { return s.Name + "-" + s.Region }

// RoleARN is the execution role's ARN.
func (s Stack) RoleARN() string {
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", s.Partition, s.Account, s.RoleName())
}

func (s Stack) arn(service, rest string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", s.Partition, service, s.Region, s.Account, rest)
}

// TableARN is the table's ARN.
func (s Stack) TableARN() string { return s.arn("dynamodb", "table/"+s.Name) }

// FunctionARN is the function's ARN.
func (s Stack) FunctionARN() string { return s.arn("lambda", "function:"+s.Name) }

// LogGroup is the function's log group.
func (s Stack) LogGroup() string { return "/aws/lambda/" + s.Name }

// AccessLogPrefix begins the names of stages' log groups.
const AccessLogPrefix = "/aws/vendedlogs/apigateway/"

// AccessLogGroup is the log group of the stage's access log. Under /aws/vendedlogs/ all groups share one entry of the
// region's resource policy, whose size is limited.
func (s Stack) AccessLogGroup() string {
	return AccessLogPrefix + s.Name + "-" + strings.TrimPrefix(s.Stage, "$")
}

func (s Stack) groupARN(name string) string { return s.arn("logs", "log-group:"+name) }

// Routes are the keys of the API's routes. Where an authorizer guards them, a browser's question before a request
// (OPTIONS), which carries no token, has a route of its own.
func (s Stack) Routes() (keys []string) {
	for _, path := range app.Paths {
		keys = append(keys, "ANY "+path)
	}
	if s.Auth.Kind == "jwt" {
		for _, path := range app.Paths {
			keys = append(keys, "OPTIONS "+path)
		}
	}
	return keys
}

// document is a policy as a text.
func document(statements ...policy.Statement) *string {
	text, err := json.Marshal(policy.Document{Version: "2012-10-17", Statement: statements})
	if err != nil {
		panic(err) // of texts
	}
	return aws.String(string(text))
}

// Actions are what the service calls of DynamoDB.
var Actions = policy.Strings{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query"}

// permissions are the execution role's: the service's calls on its one table, and Lambda's of its own log group, which
// is there already.
func (s Stack) permissions() *string {
	return document(
		policy.Statement{Sid: "Notes", Effect: "Allow", Action: Actions, Resource: policy.Strings{s.TableARN()}},
		policy.Statement{Sid: "Logs", Effect: "Allow", Action: policy.Strings{"logs:CreateLogStream", "logs:PutLogEvents"}, Resource: policy.Strings{s.groupARN(s.LogGroup()) + ":*"}},
	)
}

// trust lets Lambda alone assume the role.
func trust() *string {
	return document(policy.Statement{Effect: "Allow", Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {"lambda.amazonaws.com"}}}, Action: policy.Strings{"sts:AssumeRole"}})
}

// AccessLog is the format of the stage's access log.
const AccessLog = `{"requestId":"$context.requestId","time":"$context.requestTime","method":"$context.httpMethod","path":"$context.path","route":"$context.routeKey","status":"$context.status","latency":"$context.responseLatency","integrationStatus":"$context.integrationStatus","integrationError":"$context.integrationErrorMessage"}`

// Step is one thing of a stack: the calls that find, make, compare and remove it, as values. An expression is JMESPath over
// the answer of the call that is named. An input may hold ${ref}, the id of an earlier step. For example, a log group:
//
//	Step{
//		What:     "log group /aws/lambda/notes",
//		Find:     &cloudwatchlogs.DescribeLogGroupsInput{…},           // answers all groups whose names begin so
//		Pick:     "logGroups[?logGroupName=='/aws/lambda/notes'] | [0].logGroupName", // null: it does not exist
//		Tags:     &cloudwatchlogs.ListTagsForResourceInput{…},         // they tell whose it is
//		TagsAt:   "tags",
//		Create:   &cloudwatchlogs.CreateLogGroupInput{…},
//		Settings: []Setting{{Read: …, At: …, Put: &cloudwatchlogs.PutRetentionPolicyInput{…}}},
//		Remove:   []any{&cloudwatchlogs.DeleteLogGroupInput{…}},
//	}
type Step struct {
	// Identity
	What string // for people
	Find any    // the call that reads it; it does not exist where the call fails with "not found", or Pick is null
	Pick string // expression for its id in Find; "" where the call alone tells
	Ref  string // name of the id for later steps; "" where none needs it

	// Owner
	Tags   any    // the call that reads its tags; nil where Find does
	TagsAt string // expression for them; "" where Pick looks at them already

	// State
	Create   any
	ID       string    // expression for the id in Find, where it is not in what Create answers
	Fixed    string    // expression in Find for what Create sets and nothing can change
	Settings []Setting // what can be changed
	Extras   []Extra   // what must not be there
	Going    string    // expression in Find: it is being deleted
	Settled  string    // expression in Find: AWS is not at work on it; "" for Ready
	Ready    string    // expression in Find: later steps can build on it; "" for nothing
	Reason   string    // expression in Find for why it is not ready
	Wait     string    // the command of a shell that waits for Ready

	// Undo
	Remove []any  // the calls that remove it; nil where it goes with its API
	Data   bool   // it holds notes, and is removed only if that is asked for
	Twins  string // expression in Find for the ids of further ones, which lost answers left behind
	Twin   any    // the call that removes one, ${twin}
}

// Setting is how something must be.
type Setting struct {
	Read  any
	At    string // JMESPath of what Put sets, in what Read tells; "" for all of it
	Holds string // JMESPath of whether it is so, where Put cannot be compared; then Name says what Put does
	Name  string
	// Refused is a part of what AWS says where it will not have it so; Else says what that means. It is no failure.
	Refused, Else string
	// Optional is what DynamoDB Local lacks.
	Optional bool
	Put      any
}

// Extra is what must not be there.
type Extra struct {
	List   any
	At     string // JMESPath of the names of what is too much, in what List tells
	Remove any    // the call that removes one, ${extra}
}

// Steps are what a stack is, in the order in which it is made.
func (s Stack) Steps() []Step {
	return slices.Concat(s.Foundation(), []Step{s.Function(), s.API()}, s.Entrance())
}

// Foundation is what the function stands on: the table, the role and the log groups.
func (s Stack) Foundation() []Step {
	return []Step{s.table(), s.role(), s.logGroup(s.LogGroup()), s.AccessLogs()}
}

// Entrance returns the steps that lead requests from the API to the function. The grants are made before them, so that a
// route never exists without its grant.
func (s Stack) Entrance() []Step {
	steps := []Step{s.integration()}
	if s.Auth.Kind == "jwt" {
		steps = append(steps, s.authorizer())
	}
	for i, key := range s.Routes() {
		steps = append(steps, s.route(key, fmt.Sprintf("route_%d", i+1)))
	}
	return append(steps, s.stage())
}

// AccessLogs is the step of the log group of the stage's access log.
func (s Stack) AccessLogs() Step { return s.logGroup(s.AccessLogGroup()) }

func (s Stack) table() Step {
	step := Table(s.Name)
	create := step.Create.(*dynamodb.CreateTableInput)
	for key, value := range s.Tags() {
		create.Tags = append(create.Tags, dynamodbtypes.Tag{Key: &key, Value: &value})
	}
	slices.SortFunc(create.Tags, func(a, b dynamodbtypes.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	step.Tags, step.TagsAt = &dynamodb.ListTagsOfResourceInput{ResourceArn: aws.String(s.TableARN())}, "Tags"
	return step
}

// Table is the step of a table of the notes, of no stack.
func Table(table string) Step {
	name := &table
	return Step{
		What:   "table " + table,
		Find:   &dynamodb.DescribeTableInput{TableName: name},
		Create: dynamo.Table(table),
		Fixed:  "Table.{KeySchema: KeySchema, AttributeDefinitions: sort_by(AttributeDefinitions[?AttributeName=='pk' || AttributeName=='sk'], &AttributeName), BillingMode: BillingModeSummary.BillingMode || 'PROVISIONED'}",
		Going:  "Table.TableStatus=='DELETING'",
		Ready:  "Table.TableStatus=='ACTIVE'",
		Wait:   "aws dynamodb wait table-exists --table-name " + call.Quote(table),
		Settings: []Setting{
			{Name: "deletion protection switched on", Read: &dynamodb.DescribeTableInput{TableName: name}, Holds: "Table.DeletionProtectionEnabled",
				Put: &dynamodb.UpdateTableInput{TableName: name, DeletionProtectionEnabled: aws.Bool(true)}},
			{Name: "time to live switched on", Read: &dynamodb.DescribeTimeToLiveInput{TableName: name}, Holds: "contains(['ENABLED', 'ENABLING'], TimeToLiveDescription.TimeToLiveStatus) && TimeToLiveDescription.AttributeName=='" + dynamo.TTLAttribute + "'",
				Put:     &dynamodb.UpdateTimeToLiveInput{TableName: name, TimeToLiveSpecification: &dynamodbtypes.TimeToLiveSpecification{AttributeName: aws.String(dynamo.TTLAttribute), Enabled: aws.Bool(true)}},
				Refused: "within a fixed interval", // of an hour (DynamoDB developer guide, "Enable Time to Live")
				Else:    "time to live is off, and AWS switches it at most once an hour: run this again in an hour, or notes' traces and idempotency keys are never removed"},
			{Name: "point-in-time recovery switched on", Optional: true, Read: &dynamodb.DescribeContinuousBackupsInput{TableName: name}, Holds: "ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus=='ENABLED'",
				Put: &dynamodb.UpdateContinuousBackupsInput{TableName: name, PointInTimeRecoverySpecification: &dynamodbtypes.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}}},
		},
		Remove: []any{&dynamodb.UpdateTableInput{TableName: name, DeletionProtectionEnabled: aws.Bool(false)}, &dynamodb.DeleteTableInput{TableName: name}},
		Data:   true,
	}
}

// rolePolicy is the name of the execution role's one policy.
const rolePolicy = "notes"

func (s Stack) role() Step {
	name, own := aws.String(s.RoleName()), aws.String(rolePolicy)
	step := Step{
		What:   "execution role " + s.RoleName(),
		Find:   &iam.GetRoleInput{RoleName: name},
		Pick:   "Role.RoleId",
		Ref:    "role_id",
		ID:     "Role.RoleId",
		TagsAt: "Role.Tags",
		Create: &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust(), Tags: s.roleTags()},
		Settings: []Setting{
			{Read: &iam.GetRoleInput{RoleName: name}, At: "{PolicyDocument: Role.AssumeRolePolicyDocument}", Put: &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: trust()}},
			{Read: &iam.GetRolePolicyInput{RoleName: name, PolicyName: own}, Put: &iam.PutRolePolicyInput{RoleName: name, PolicyName: own, PolicyDocument: s.permissions()}},
		},
		Extras: []Extra{ // what a person added: the role has exactly these rights
			{List: &iam.ListRolePoliciesInput{RoleName: name}, At: "PolicyNames[?@!='" + rolePolicy + "']", Remove: &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("${extra}")}},
			{List: &iam.ListAttachedRolePoliciesInput{RoleName: name}, At: "AttachedPolicies[].PolicyArn", Remove: &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: aws.String("${extra}")}},
		},
		Remove: []any{&iam.DeleteRolePolicyInput{RoleName: name, PolicyName: own}, &iam.DeleteRoleInput{RoleName: name}},
	}
	if s.Boundary != "" { // before the role's own policy: whoever may write that only under a boundary can do so then
		step.Create.(*iam.CreateRoleInput).PermissionsBoundary = &s.Boundary
		step.Settings = append([]Setting{{
			Read: &iam.GetRoleInput{RoleName: name},
			At:   "{PermissionsBoundary: Role.PermissionsBoundary.PermissionsBoundaryArn}",
			Put:  &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: &s.Boundary},
		}}, step.Settings...)
	}
	return step
}

func (s Stack) roleTags() []iamtypes.Tag {
	return []iamtypes.Tag{{Key: aws.String(RegionTag), Value: &s.Region}, {Key: aws.String(StackTag), Value: &s.Name}}
}

// OtherRole is the step of a role that the function has for a moment, so that Lambda lets go of a former one.
func (s Stack) OtherRole() (step Step, arn string) {
	name := aws.String(s.RoleName() + otherRole)
	create := &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust(), Tags: s.roleTags()}
	if s.Boundary != "" {
		create.PermissionsBoundary = &s.Boundary
	}
	return Step{
		What:   "role " + *name,
		Find:   &iam.GetRoleInput{RoleName: name},
		TagsAt: "Role.Tags",
		Create: create,
		Remove: []any{&iam.DeleteRoleInput{RoleName: name}},
	}, s.RoleARN() + otherRole
}

// defaultRetention is for how many days a new log group keeps logs.
const defaultRetention = 14

func (s Stack) logGroup(name string) Step {
	find := &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &name}
	here := "logGroups[?logGroupName=='" + name + "'] | [0]"
	return Step{
		What:     "log group " + name,
		Find:     find,
		Pick:     here + ".logGroupName",
		Tags:     &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(s.groupARN(name))},
		TagsAt:   "tags",
		Create:   &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, Tags: s.Tags()},
		Settings: []Setting{s.retention(name, find, here)},
		Remove:   []any{&cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &name}},
	}
}

// retention is for how many days a log group keeps logs. One that keeps them for ever loses the older ones as soon as it
// has a number of days, so that is set unasked only where there are none.
func (s Stack) retention(group string, find any, here string) Setting {
	if s.Retention != nil {
		return Setting{Read: find, At: here,
			Put: &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: s.Retention}}
	}
	return Setting{
		Name: fmt.Sprintf("logs kept for %d days", defaultRetention), Read: find,
		Holds: here + " | retentionInDays!=`null` || storedBytes > `0`",
		Put: &cloudwatchlogs.PutRetentionPolicyInput{
			LogGroupName: &group, RetentionInDays: aws.Int32(defaultRetention)},
	}
}

// defaultMemory is the memory of a new function, MB.
const defaultMemory = 256

// Function is the step of the function.
func (s Stack) Function() Step {
	name := &s.Name
	environment := map[string]string{"NOTES_STORE": "dynamodb:" + s.Name}
	s.Auth.environment(environment)
	maps.Copy(environment, s.Kept)
	if s.BasePath != nil {
		delete(environment, BasePathVariable)
		if *s.BasePath != "" {
			environment[BasePathVariable] = *s.BasePath
		}
	}
	architectures := []lambdatypes.Architecture{lambdatypes.Architecture(s.Architecture)}
	find := &lambda.GetFunctionInput{FunctionName: name}
	tags := s.Tags()
	tags[RoleTag] = "${role_id}"
	const handler, runtime, timeout = "bootstrap", lambdatypes.RuntimeProvidedal2023, 10 // s
	return Step{
		What:   "function " + s.Name,
		Find:   find,
		TagsAt: "Tags",
		Create: &lambda.CreateFunctionInput{FunctionName: name, Role: aws.String(s.RoleARN()), Runtime: runtime, Handler: aws.String(handler), Architectures: architectures, Timeout: aws.Int32(timeout), MemorySize: cmp.Or(s.Memory, aws.Int32(defaultMemory)),
			Environment: &lambdatypes.Environment{Variables: environment}, Code: &lambdatypes.FunctionCode{ZipFile: s.Zip}, Tags: tags},
		Settled: "Configuration.State!='Pending' && Configuration.LastUpdateStatus!='InProgress'",
		Ready:   "Configuration.State=='Active' && Configuration.LastUpdateStatus=='Successful'",
		Reason:  "Configuration.[State, StateReason, LastUpdateStatusReason]",
		Wait:    "aws lambda wait function-active-v2 --function-name " + call.Quote(s.Name) + "; aws lambda wait function-updated-v2 --function-name " + call.Quote(s.Name),
		Settings: []Setting{
			{Read: find, At: "Configuration", Put: &lambda.UpdateFunctionConfigurationInput{FunctionName: name, Role: aws.String(s.RoleARN()), Runtime: runtime, Handler: aws.String(handler), Timeout: aws.Int32(timeout), MemorySize: s.Memory,
				Environment: &lambdatypes.Environment{Variables: environment}}},
			{Read: find, At: "Configuration", Put: &lambda.UpdateFunctionCodeInput{FunctionName: name, Architectures: architectures, ZipFile: s.Zip}},
			s.concurrency(),
		},
		Remove: []any{&lambda.DeleteFunctionInput{FunctionName: name}},
	}
}

// concurrency is what is reserved for the function: the most that it costs, and what others cannot take from it. An
// account must keep 100 unreserved, or 10 (Lambda developer guide, "Configuring reserved concurrency").
//
// A function that was never asked for has none, as one has from which somebody took it. The first is without a policy
// still, because its grants come later.
func (s Stack) concurrency() Setting {
	setting := Setting{
		Read: &lambda.GetFunctionConcurrencyInput{FunctionName: &s.Name},
		Put: &lambda.PutFunctionConcurrencyInput{
			FunctionName: &s.Name, ReservedConcurrentExecutions: cmp.Or(s.Concurrency, aws.Int32(Burst))},
		Refused: "UnreservedConcurrentExecution",
		Else:    "no concurrency is reserved: this account's quota leaves no room; --concurrency 0 asks for none",
	}
	switch {
	case s.Concurrency == nil:
		setting.Name = fmt.Sprintf("reserved concurrency set to %d", Burst)
		setting.Read, setting.Holds = &lambda.GetPolicyInput{FunctionName: &s.Name}, "Policy!=`null`"
	case *s.Concurrency == 0:
		return Setting{Name: "reserved concurrency removed", Read: setting.Read,
			Holds: "ReservedConcurrentExecutions==`null`",
			Put:   &lambda.DeleteFunctionConcurrencyInput{FunctionName: &s.Name}}
	}
	return setting
}

// API is the step of the HTTP API.
func (s Stack) API() Step {
	ours := fmt.Sprintf("Items[?Tags.\"%s\"=='%s' && Tags.\"%s\"=='%s'] | sort_by(@, &join('', [CreatedDate, ApiId]))[].ApiId", StackTag, s.Name, RegionTag, s.Region)
	id := aws.String("${api}")
	find := &apigatewayv2.GetApisInput{}
	update := &apigatewayv2.UpdateApiInput{ApiId: id, Name: &s.Name}
	if s.Endpoint == "on" {
		update.DisableExecuteApiEndpoint = aws.Bool(false)
	}
	return Step{
		What:     "HTTP API " + s.Name,
		Find:     find,
		Pick:     ours + " | [0]", // the oldest, so that two programs at once agree
		Ref:      "api",
		Create:   &apigatewayv2.CreateApiInput{Name: &s.Name, ProtocolType: gatewaytypes.ProtocolTypeHttp, Tags: s.Tags()},
		Twins:    ours + " | [1:]",
		Twin:     &apigatewayv2.DeleteApiInput{ApiId: aws.String("${twin}")},
		Settings: []Setting{{Read: &apigatewayv2.GetApiInput{ApiId: id}, Put: update}},
		Remove:   []any{&apigatewayv2.DeleteApiInput{ApiId: id}},
	}
}

func (s Stack) integration() Step {
	api, id := aws.String("${api}"), aws.String("${integration}")
	ours := "Items[?IntegrationUri=='" + s.FunctionARN() + "'].IntegrationId | sort(@)"
	return Step{
		What:   "integration with " + s.Name,
		Find:   &apigatewayv2.GetIntegrationsInput{ApiId: api},
		Pick:   ours + " | [0]",
		Ref:    "integration",
		Create: &apigatewayv2.CreateIntegrationInput{ApiId: api, IntegrationType: gatewaytypes.IntegrationTypeAwsProxy, IntegrationUri: aws.String(s.FunctionARN()), PayloadFormatVersion: aws.String("2.0")},
		Twins:  ours + " | [1:]",
		Twin:   &apigatewayv2.DeleteIntegrationInput{ApiId: api, IntegrationId: aws.String("${twin}")},
		Settings: []Setting{{Read: &apigatewayv2.GetIntegrationInput{ApiId: api, IntegrationId: id},
			Put: &apigatewayv2.UpdateIntegrationInput{ApiId: api, IntegrationId: id, IntegrationUri: aws.String(s.FunctionARN()), PayloadFormatVersion: aws.String("2.0")}}},
	}
}

func (s Stack) route(key, ref string) Step {
	api, id, target := aws.String("${api}"), aws.String("${"+ref+"}"), aws.String("integrations/${integration}")
	create := &apigatewayv2.CreateRouteInput{ApiId: api, RouteKey: &key, Target: target}
	put := &apigatewayv2.UpdateRouteInput{ApiId: api, RouteId: id, Target: target, AuthorizationType: gatewaytypes.AuthorizationTypeNone, AuthorizerId: aws.String(""), AuthorizationScopes: []string{}}
	if s.Auth.Kind == "jwt" && !strings.HasPrefix(key, "OPTIONS ") {
		create.AuthorizationType, create.AuthorizerId, create.AuthorizationScopes = gatewaytypes.AuthorizationTypeJwt, aws.String("${authorizer}"), scopes
		put.AuthorizationType, put.AuthorizerId, put.AuthorizationScopes = create.AuthorizationType, create.AuthorizerId, create.AuthorizationScopes
	}
	return Step{
		What:     "route " + key,
		Find:     &apigatewayv2.GetRoutesInput{ApiId: api},
		Pick:     "Items[?RouteKey=='" + key + "'].RouteId | [0]",
		Ref:      ref,
		Create:   create,
		Settings: []Setting{{Read: &apigatewayv2.GetRouteInput{ApiId: api, RouteId: id}, Put: put}},
	}
}

// Rate and Burst are the stage's throttling: requests a second, and how many at once. Both are set: one alone would
// make the other 0, and every answer 429 (hashicorp/terraform-provider-aws#43307).
const (
	Rate  = 50
	Burst = 100
)

func (s Stack) stage() Step {
	api, name := aws.String("${api}"), &s.Stage
	log := &gatewaytypes.AccessLogSettings{DestinationArn: aws.String(s.groupARN(s.AccessLogGroup())), Format: aws.String(AccessLog)}
	limits := &gatewaytypes.RouteSettings{ThrottlingBurstLimit: aws.Int32(Burst), ThrottlingRateLimit: aws.Float64(Rate)}
	find := &apigatewayv2.GetStageInput{ApiId: api, StageName: name}
	return Step{
		What:     "stage " + s.Stage,
		Find:     find,
		Create:   &apigatewayv2.CreateStageInput{ApiId: api, StageName: name, AutoDeploy: aws.Bool(true), AccessLogSettings: log, DefaultRouteSettings: limits, Tags: s.Tags()},
		Settings: []Setting{{Read: find, Put: &apigatewayv2.UpdateStageInput{ApiId: api, StageName: name, AutoDeploy: aws.Bool(true), AccessLogSettings: log, DefaultRouteSettings: limits}}},
		Extras:   []Extra{{List: find, At: "keys(RouteSettings || `{}`)", Remove: &apigatewayv2.DeleteRouteSettingsInput{ApiId: api, StageName: name, RouteKey: aws.String("${extra}")}}, s.otherAuthorizers()},
	}
}

// Grants returns the grants that the stack's API needs. api is its id, or ${api} where the id is not known yet.
func (s Stack) Grants(api string) (grants []gateway.Grant) {
	a := gateway.API{Partition: s.Partition, Region: s.Region, Account: s.Account, ID: api}
	for _, key := range s.Routes() {
		grants = append(grants, gateway.NewGrant(a, s.Name, "", s.Stage+" "+key, a.Pattern(s.Stage, key)))
	}
	return grants
}
