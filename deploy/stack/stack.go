// Package stack describes what the service must have on AWS, as values: names, policies, and the calls that find, make,
// compare and remove each thing. Nothing here calls AWS. The program that deploys carries the values out; the script
// that a person can run instead prints them.
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
	"example.com/portable-notes/deploy/policy"
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
	retention = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
		3288, 3653}
)

// Check names every mistake in what is chosen. The limits are those of AWS: a table has 3 to 255 characters, a role at
// most 64 with the region in its name.
func (s Stack) Check() error {
	var mistakes []error
	if !stackName.MatchString(s.Name) {
		mistakes = append(mistakes, fmt.Errorf("the stack's name must be 3 to 40 letters, digits, - and _ and begin "+
			"with a letter, is %q", s.Name))
	}
	if !stageName.MatchString(s.Stage) {
		mistakes = append(mistakes, fmt.Errorf("the stage must be $default or 1 to 64 letters, digits, - and _, is %q",
			s.Stage))
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
	// RoleTag is of the function: the id of the role that Lambda was given. A role that is made again has another one.
	RoleTag = "notes-role-id"

	concurrencyTag = "notes-concurrency" // of a function for which concurrency was reserved once, or was not to be
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
var Actions = policy.Strings{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
	"dynamodb:Query"}

// permissions are the execution role's: the service's calls on its one table, and Lambda's of its own log group, which
// is there already.
func (s Stack) permissions() *string {
	return document(
		policy.Statement{Sid: "Notes", Effect: "Allow", Action: Actions, Resource: policy.Strings{s.TableARN()}},
		policy.Statement{Sid: "Logs", Effect: "Allow", Action: policy.Strings{"logs:CreateLogStream",
			"logs:PutLogEvents"}, Resource: policy.Strings{s.groupARN(s.LogGroup()) + ":*"}},
	)
}

// trust lets Lambda alone assume the role.
func trust() *string {
	return document(policy.Statement{Effect: "Allow", Principal: &policy.Principal{Names: map[string]policy.Strings{
		"Service": {policy.Lambda}}}, Action: policy.Strings{"sts:AssumeRole"}})
}

// AccessLog is the format of the stage's access log.
const AccessLog = `{"requestId":"$context.requestId","time":"$context.requestTime","method":"$context.httpMethod",` +
	`"path":"$context.path","route":"$context.routeKey","status":"$context.status",` +
	`"latency":"$context.responseLatency","integrationStatus":"$context.integrationStatus",` +
	`"integrationError":"$context.integrationErrorMessage"}`

// Step is one thing of a stack: the calls that find, make, compare and remove it, as values. An expression is JMESPath
// over the answer of the call that is named. An input may hold ${ref}, the id of an earlier step. For example, a log
// group:
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
	// Optional: no error where the server does not know the call, as DynamoDB Local.
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

// Entrance returns the steps that lead requests from the API to the function. The grants are made before them, so that
// a route never exists without its grant.
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
