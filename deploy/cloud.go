package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/jmespath/go-jmespath"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/call"
)

// cloud makes calls of AWS that are values: inputs of the SDK.
type cloud struct {
	cfg     aws.Config
	clients map[string]reflect.Value // by the service's package
	once    map[string]reflect.Value // the same, which send a call once only
	said    func(command string)     // is told each call that changes something, as a command; nil for nobody
	read    map[string]any           // what was read since the last change
	writes  int
	deploys int // writes that make API Gateway deploy
}

// patience is how long what passes is waited for: IAM's roles become known within a minute (IAM user guide, eventual
// consistency), stages are deployed within seconds. A table, and its recovery, may take some minutes.
const (
	patience   = 90 * time.Second
	tableWait  = 5 * time.Minute
	activeWait = 5 * time.Minute // of functions
)

// openCloud reads the settings of the AWS SDK.
func openCloud(ctx context.Context) (*cloud, aws.Config, error) {
	cfg, err := awsConfig(ctx)
	if err != nil {
		return nil, cfg, err
	}
	c := newCloud(cfg)
	return c, cfg, c.oneWorld()
}

func newCloud(cfg aws.Config) *cloud {
	clients := func(cfg aws.Config) map[string]reflect.Value {
		all := map[string]reflect.Value{}
		for _, client := range []any{apigatewayv2.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), iam.NewFromConfig(cfg), lambda.NewFromConfig(cfg), sts.NewFromConfig(cfg)} {
			path := reflect.TypeOf(client).Elem().PkgPath()
			all[path[strings.LastIndex(path, "/")+1:]] = reflect.ValueOf(client)
		}
		return all
	}
	once := cfg.Copy()
	once.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	many := cfg.Copy()
	many.Retryer = func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 6) }
	return &cloud{cfg: cfg, clients: clients(many), once: clients(once), read: map[string]any{}}
}

// oneWorld refuses settings, of the environment or of a profile, by which some calls would go to this machine and others to
// AWS.
func (c *cloud) oneWorld() error {
	here := map[bool][]string{}
	for name, client := range c.clients {
		endpoint, _ := client.MethodByName("Options").Call(nil)[0].FieldByName("BaseEndpoint").Interface().(*string)
		here[isLocal(endpoint)] = append(here[isLocal(endpoint)], name)
	}
	slices.Sort(here[true])
	slices.Sort(here[false])
	if len(here[true]) == 0 || len(here[false]) == 0 {
		return nil
	}
	return fmt.Errorf("the endpoints of %v are of this machine, those of %v are not, so the stack would be half here and half there: unset AWS_ENDPOINT_URL_… of the ones, or set AWS_ENDPOINT_URL for all (they may also stand in ~/.aws/config)", here[true], here[false])
}

// tell says each change on standard error, if that is asked for.
func (c *cloud) tell(cmd *cobra.Command, verbose bool) {
	if verbose {
		c.said = func(command string) { fmt.Fprintln(cmd.ErrOrStderr(), command) }
	}
}

// isLocal tells whether an endpoint is of this machine, as the sandbox's is.
func isLocal(endpoint *string) bool {
	if endpoint == nil {
		return false
	}
	u, err := url.Parse(*endpoint)
	return err == nil && (u.Hostname() == "localhost" || strings.HasPrefix(u.Hostname(), "127.") || u.Hostname() == "::1")
}

// missing tells whether what is called about is not there.
func missing(err error) bool {
	return slices.Contains([]string{"NoSuchEntity", "NotFoundException", "ResourceNotFoundException", "ResourceNotFound", "TableNotFoundException", "NoSuchEntityException"}, errorCode(err))
}

// already tells whether what is created is there: by another program, or by a call whose answer was lost.
func already(err error) bool {
	switch code, text := errorCode(err), fmt.Sprint(err); code {
	case "EntityAlreadyExists", "EntityAlreadyExistsException", "ResourceAlreadyExistsException", "ResourceInUseException":
		return true
	case "ConflictException", "ResourceConflictException":
		return strings.Contains(text, "already exist")
	}
	return false
}

// passes tells whether a failure ends by itself: AWS has not heard of something yet, or is at work on it.
func passes(err error) bool {
	switch code, text := errorCode(err), fmt.Sprint(err); code {
	case "InvalidParameterValueException":
		return strings.Contains(text, "cannot be assumed by Lambda") || strings.Contains(text, "does not refer to a valid principal") // of a role that is new
	case "NotFoundException":
		return strings.Contains(text, "log delivery") // of a stage that is new
	case "TooManyRequestsException", "ThrottlingException", "Throttling":
		return true // it surely did not take place
	case "ResourceConflictException":
		return !strings.Contains(text, "already exist")
	case "ConflictException":
		return strings.Contains(strings.ToLower(text), "concurrent")
	case "ContinuousBackupsUnavailableException", "ConcurrentModification", "ConcurrentModificationException", "OperationAbortedException", "ResourceInUseException", "DeleteConflict", "DeleteConflictException":
		return true
	}
	return false
}

func errorCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// unclear tells whether a call may have taken place although it failed: no answer of the service says that it did not.
func unclear(err error) bool {
	var e smithy.APIError
	return err != nil && (!errors.As(err, &e) || e.ErrorFault() == smithy.FaultServer)
}

// do makes a call, once what passes has passed, and returns its answer as JSON.
func (c *cloud) do(ctx context.Context, input any) (answer any, err error) {
	service, operation := call.Operation(input)
	limit := patience
	if service == "dynamodb" {
		limit = tableWait
	}
	err = again(ctx, limit, func() (err error) {
		answer, err = c.call(ctx, input)
		if err != nil && passes(err) && !(strings.HasPrefix(operation, "Create") && already(err)) {
			return later{err}
		}
		return err
	})
	return answer, explained(err)
}

// changing are the operations that change something, by how their names begin.
func changing(operation string) bool {
	return !strings.HasPrefix(operation, "Get") && !strings.HasPrefix(operation, "List") && !strings.HasPrefix(operation, "Describe")
}

// call makes a call once; of a list it reads all pages.
func (c *cloud) call(ctx context.Context, input any) (any, error) {
	service, operation := call.Operation(input)
	command := call.Command(input)
	clients := c.clients
	if changing(operation) {
		c.writes++
		if service == "apigatewayv2" && (strings.HasSuffix(operation, "Route") || strings.HasSuffix(operation, "Integration")) {
			c.deploys++
		}
		clear(c.read)
		if c.said != nil {
			c.said(command)
		}
		if operation == "CreateApi" || operation == "CreateIntegration" { // a second one would be a twin
			clients = c.once
		}
	} else if known, ok := c.read[command]; ok {
		return known, nil
	}
	method := clients[service].MethodByName(operation)
	var all any
	for in := reflect.ValueOf(input); ; {
		results := method.Call([]reflect.Value{reflect.ValueOf(ctx), in})
		if err, _ := results[1].Interface().(error); err != nil {
			return nil, err
		}
		page := generic(results[0].Interface(), service)
		all = merged(all, page)
		next := results[0].Elem().FieldByName("NextToken")
		if !next.IsValid() || next.IsNil() || !in.Elem().FieldByName("NextToken").IsValid() {
			break
		}
		again := reflect.New(in.Type().Elem())
		again.Elem().Set(in.Elem())
		again.Elem().FieldByName("NextToken").Set(next)
		in = again
	}
	if !changing(operation) {
		c.read[command] = all
	}
	return all, nil
}

// generic is an answer as the aws CLI would print it.
func generic(output any, service string) any {
	text, err := json.Marshal(output)
	var value any
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		panic(err) // of the SDK's types
	}
	if service == "cloudwatchlogs" {
		return small(value)
	}
	return value
}

// small begins names with a small letter, as CloudWatch Logs does.
func small(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, one := range v {
			out[strings.ToLower(name[:1])+name[1:]] = small(one)
		}
		return out
	case []any:
		for i := range v {
			v[i] = small(v[i])
		}
	}
	return value
}

// merged appends the lists of a page to those of the pages before.
func merged(all, page any) any {
	before, ok := all.(map[string]any)
	if !ok {
		return page
	}
	for name, value := range page.(map[string]any) {
		if more, ok := value.([]any); ok {
			former, _ := before[name].([]any)
			before[name] = append(former, more...)
		}
	}
	return before
}

// search is what a JMESPath expression finds in an answer.
func search(expression string, in any) any {
	if expression == "" {
		return in
	}
	found, err := jmespath.Search(expression, in)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", expression, err)) // of expressions of ours
	}
	return found
}

// texts are the texts in a list that an expression finds.
func texts(expression string, in any) (all []string) {
	list, _ := search(expression, in).([]any)
	for _, one := range list {
		if text, ok := one.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// explained says in one sentence what is wrong and what to do about it, for the failures that people meet.
func explained(err error) error {
	if err == nil {
		return nil
	}
	advice := ""
	switch code := errorCode(err); {
	case code == "ExpiredToken" || code == "ExpiredTokenException":
		advice = "the credentials have expired: get new ones (aws sso login, or aws configure)"
	case code == "InvalidClientTokenId" || code == "UnrecognizedClientException" || code == "InvalidSignatureException" || code == "SignatureDoesNotMatch":
		advice = "AWS does not know these credentials, or the clock is wrong: try aws sts get-caller-identity"
	case code == "AccessDenied" || code == "AccessDeniedException":
		advice = "these credentials may not do this: deploy up --print-policy prints what is needed"
	case strings.Contains(err.Error(), "no such host"):
		advice = "AWS has no such address: is the region (AWS_REGION) spelt right, and is there a network?"
	case strings.Contains(err.Error(), "SSO") || strings.Contains(err.Error(), "sso"):
		advice = "the session of the single sign-on has ended: aws sso login"
	case strings.Contains(err.Error(), "Insufficient permissions to enable logging"):
		advice = "the access log of the stage needs the log delivery rights that deploy up --print-policy prints, and room in the region's CloudWatch Logs resource policy"
	case strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "failed to refresh cached credentials"):
		advice = "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}
