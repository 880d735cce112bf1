// Package stack describes the AWS resources of the service as values: their names and policies, and the calls that
// find, create, compare and remove them. It makes no calls itself. Package converge makes them, and [Script] prints
// them as a shell script.
package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/web"
	"example.com/portable-notes/deploy/policy"
)

// Stack is the configuration of one deployment of the service.
type Stack struct {
	Name         string // of the stack, its function, table and API
	Partition    string // aws, aws-cn, aws-us-gov
	Region       string
	Account      string // 12 digits
	Stage        string // of the API: a name or $default
	Architecture string // arm64 or x86_64
	Auth         Auth   // who may use the service
	Page         bool   // the notes page is at the root of the API
	Endpoint     string // on opens the API's default endpoint; "" leaves it unchanged, which is open in a new API

	// Nil leaves the setting unchanged, and means the default for a new stack.
	Memory      *int32  // of the function, 128 to 10,240 MB (Lambda quotas); default 256
	Retention   *int32  // of both log groups, in days; CloudWatch Logs allows certain numbers; default 14
	Concurrency *int32  // reserved concurrency, which is also the function's maximum; 0 reserves none; default [Burst]
	BasePath    *string // of a custom domain, such as /api; "" for none, which is the default

	Kept map[string]string // variables of the function to keep, see [KeptOf]
	Zip  []byte            // the packed function

	Boundary string // ARN of the role's permissions boundary; "" leaves it unchanged
}

var (
	stackName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{2,39}$`)
	boundary  = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+$`)
	stageName = regexp.MustCompile(`^(\$default|[a-zA-Z0-9_-]{1,64})$`)
	retention = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
		3288, 3653}
)

// Check returns an error for every invalid value. The limits of the name follow from AWS's: 3 to 255 characters for a
// table, and at most 64 for a role, whose name includes the region.
func (s Stack) Check() error {
	var mistakes []error
	if !stackName.MatchString(s.Name) {
		mistakes = append(mistakes, fmt.Errorf("the stack's name must be 3 to 40 letters, digits, - and _ and begin "+
			"with a letter, not %q", s.Name))
	}
	if !stageName.MatchString(s.Stage) {
		mistakes = append(mistakes, fmt.Errorf("the stage must be $default or 1 to 64 letters, digits, - and _, not %q",
			s.Stage))
	}
	if s.Architecture != "arm64" && s.Architecture != "x86_64" {
		mistakes = append(mistakes, fmt.Errorf("the architecture must be arm64 or x86_64, not %q", s.Architecture))
	}
	if s.Memory != nil && (*s.Memory < 128 || *s.Memory > 10_240) {
		mistakes = append(mistakes, fmt.Errorf("the memory must be 128 to 10240 MB, not %d", *s.Memory))
	}
	if s.BasePath != nil {
		if err := app.CheckBase(*s.BasePath); err != nil {
			mistakes = append(mistakes, fmt.Errorf("the base path %w, not %q", err, *s.BasePath))
		}
	}
	if s.Retention != nil && !slices.Contains(retention, *s.Retention) {
		mistakes = append(mistakes, fmt.Errorf("the retention must be one of %v days, not %d",
			retention, *s.Retention))
	}
	if s.Boundary != "" && !boundary.MatchString(s.Boundary) {
		mistakes = append(mistakes, fmt.Errorf("the boundary must be the ARN of a managed policy, such as "+
			"arn:aws:iam::123456789012:policy/NAME, not %q", s.Boundary))
	}
	if s.Endpoint != "" && s.Endpoint != "on" {
		mistakes = append(mistakes, fmt.Errorf("--endpoint must be on or be left out, not %q", s.Endpoint))
	}
	if s.Concurrency != nil && *s.Concurrency < 0 {
		mistakes = append(mistakes, fmt.Errorf("the concurrency must be 0 or more, not %d", *s.Concurrency))
	}
	return errors.Join(mistakes...)
}

// Tags of the resources of a stack.
const (
	StackTag  = "notes-stack"  // name of the stack
	RegionTag = "notes-region" // region of the stack
	// RoleTag is a tag of the function with the id of its role. A role that was deleted and created again has another
	// id.
	RoleTag = "notes-role-id"

	concurrencyTag = "notes-concurrency" // of a function whose reserved concurrency was set, or declined, once
)

// Tags returns the tags of the stack's resources.
func (s Stack) Tags() map[string]string {
	return map[string]string{StackTag: s.Name, RegionTag: s.Region}
}

// RoleName returns the name of the execution role. It contains the region, because IAM is global.
func (s Stack) RoleName() string { return s.Name + "-" + s.Region }

// RoleARN returns the ARN of the execution role.
func (s Stack) RoleARN() string {
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", s.Partition, s.Account, s.RoleName())
}

func (s Stack) arn(service, rest string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", s.Partition, service, s.Region, s.Account, rest)
}

// TableARN returns the ARN of the table.
func (s Stack) TableARN() string { return s.arn("dynamodb", "table/"+s.Name) }

// FunctionARN returns the ARN of the function.
func (s Stack) FunctionARN() string { return s.arn("lambda", "function:"+s.Name) }

// LogGroup returns the name of the function's log group.
func (s Stack) LogGroup() string { return "/aws/lambda/" + s.Name }

// AccessLogPrefix is the prefix of the log groups of access logs.
const AccessLogPrefix = "/aws/vendedlogs/apigateway/"

// AccessLogGroup returns the name of the log group of the stage's access log. Groups under /aws/vendedlogs/ share one
// entry of the region's resource policy, whose size is limited.
func (s Stack) AccessLogGroup() string {
	return AccessLogPrefix + s.Name + "-" + strings.TrimPrefix(s.Stage, "$")
}

func (s Stack) groupARN(name string) string { return s.arn("logs", "log-group:"+name) }

// Routes returns the route keys of the API. If an authorizer guards them, OPTIONS has routes of its own, because a
// browser's preflight request carries no token. Those of the notes page, for GET, have no authorizer either: the page
// asks for the token.
func (s Stack) Routes() (keys []string) {
	for _, path := range app.Paths {
		keys = append(keys, "ANY "+path)
	}
	if s.Auth.Kind == "jwt" {
		for _, path := range app.Paths {
			keys = append(keys, "OPTIONS "+path)
		}
	}
	if s.Page {
		for _, path := range web.Paths {
			keys = append(keys, "GET "+path)
		}
	}
	return keys
}

// document returns a policy as JSON.
func document(statements ...policy.Statement) *string {
	text, err := json.Marshal(policy.Document{Version: "2012-10-17", Statement: statements})
	if err != nil {
		panic(err) // strings always marshal
	}
	return aws.String(string(text))
}

// Actions are the DynamoDB actions of the service.
var Actions = policy.Strings{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
	"dynamodb:Query"}

// permissions returns the execution role's policy. It allows the service to use its table, and Lambda to write to the
// function's log group, which exists before the function.
func (s Stack) permissions() *string {
	return document(
		policy.Statement{Sid: "Notes", Effect: "Allow", Action: Actions, Resource: policy.Strings{s.TableARN()}},
		policy.Statement{Sid: "Logs", Effect: "Allow", Action: policy.Strings{"logs:CreateLogStream",
			"logs:PutLogEvents"}, Resource: policy.Strings{s.groupARN(s.LogGroup()) + ":*"}},
	)
}

// trust returns the role's trust policy, which lets only Lambda assume it.
func trust() *string {
	return document(policy.Statement{Effect: "Allow", Principal: &policy.Principal{Names: map[string]policy.Strings{
		"Service": {policy.Lambda}}}, Action: policy.Strings{"sts:AssumeRole"}})
}

// AccessLog is the format of the stage's access log. It has all variables that show why a request failed, as "Customize
// HTTP API access logs" lists them.
const AccessLog = `{"requestId":"$context.requestId","time":"$context.requestTime","method":"$context.httpMethod",` +
	`"path":"$context.path","route":"$context.routeKey","status":"$context.status",` +
	`"latency":"$context.responseLatency","integrationRequestId":"$context.integration.requestId",` +
	`"integrationStatus":"$context.integration.integrationStatus",` +
	`"integrationError":"$context.integrationErrorMessage","authorizerError":"$context.authorizer.error"}`

// Step describes one resource of a stack by the calls that find, create, compare and remove it. Expressions are
// JMESPath on the answer of a call. An input may contain ${REF}, the id of an earlier step's resource. For example, a
// log group:
//
//	Step{
//		What:     "log group /aws/lambda/notes",
//		Find:     &cloudwatchlogs.DescribeLogGroupsInput{…},           // returns all groups with the prefix
//		Pick:     "logGroups[?logGroupName=='/aws/lambda/notes'] | [0].logGroupName", // null: it does not exist
//		Tags:     &cloudwatchlogs.ListTagsForResourceInput{…},         // the tags name its stack
//		TagsAt:   "tags",
//		Create:   &cloudwatchlogs.CreateLogGroupInput{…},
//		Settings: []Setting{{Read: …, At: …, Put: &cloudwatchlogs.PutRetentionPolicyInput{…}}},
//		Remove:   []any{&cloudwatchlogs.DeleteLogGroupInput{…}},
//	}
type Step struct {
	// Identity
	What string // for people
	Find any    // reads the resource; it does not exist if the call fails with "not found", or Pick is null
	Pick string // expression on Find for the id; "" if Find succeeds only when the resource exists
	Ref  string // name of the id for later steps; "" if none needs it

	// Owner
	Tags   any    // reads the tags; nil if Find does
	TagsAt string // expression for the tags; "" if Pick selects by tags

	// State
	Create    any
	ID        string    // expression on Find for the id; "" if Create returns it
	Immutable string    // expression on Find for what Create sets and nothing can change
	Settings  []Setting // what can be changed
	Extras    []Extra   // what must not exist
	Deleting  string    // expression on Find: the resource is being deleted
	Settled   string    // expression on Find: AWS is not changing the resource; "" to use Ready
	Ready     string    // expression on Find: later steps can use the resource; "" for always
	Reason    string    // expression on Find for why it is not ready
	Wait      string    // shell command that waits for Ready

	// Undo
	Remove          []any  // calls that remove the resource; nil if deleting the API removes it
	Data            bool   // it holds notes, and is removed only on request
	Duplicates      string // expression on Find for the ids of duplicates, which calls with lost answers left behind
	RemoveDuplicate any    // removes the duplicate ${duplicate}
}

// Setting is a setting of a resource that must have a certain value.
type Setting struct {
	Read  any
	At    string // expression on Read for what Put sets; "" for the whole answer
	Holds string // expression on Read for whether the setting is right, if Put cannot be compared
	Name  string // says what Put does, if Holds is set
	// Refused is a part of the message with which AWS may refuse Put. RefusedNote then explains it; it is not a
	// failure.
	Refused, RefusedNote string
	// Optional ignores that a server, such as DynamoDB Local, does not know the call.
	Optional bool
	Put      any
}

// Extra describes things that must not exist.
type Extra struct {
	List   any
	At     string // expression on List for their names
	Remove any    // removes the one named ${extra}
}

// Steps returns the steps that make a stack, in order.
func (s Stack) Steps() []Step {
	return slices.Concat(s.Foundation(), []Step{s.Function(), s.API()}, s.Entrance())
}

// Foundation returns the steps of what the function depends on: the table, the role and the log groups.
func (s Stack) Foundation() []Step {
	return []Step{s.table(), s.role(), s.logGroup(s.LogGroup()), s.AccessLogs()}
}

// Entrance returns the steps that route requests from the API to the function. They follow the grants, so that no route
// exists without its grant.
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

// AccessLogs returns the step of the log group of the stage's access log.
func (s Stack) AccessLogs() Step { return s.logGroup(s.AccessLogGroup()) }
