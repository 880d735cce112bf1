// Package cloud makes AWS calls: it holds the clients, retries, follows pagination, and adds advice to errors.
package cloud

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"example.com/portable-notes/deploy/call"
)

// Cloud makes the AWS calls that inputs of the SDK describe. Call is safe for concurrent use.
type Cloud struct {
	cfg     aws.Config
	mu      sync.Mutex               // guards cache, writes and deploys
	clients map[string]reflect.Value // by the service's package
	once    map[string]reflect.Value // the same without the SDK's retries
	cache   map[string]any           // answers since the last write, by aws command
	writes  int
	deploys int
	calls   atomic.Int64

	OnWrite func(input any) // called before each call that changes something, if not nil
}

// How long transient failures are retried. IAM roles become visible within a minute (IAM user guide, eventual
// consistency) and stages are deployed within seconds. A table and its point-in-time recovery may take some minutes.
const (
	DefaultWait  = 90 * time.Second
	tableWait    = 5 * time.Minute
	FunctionWait = 5 * time.Minute
)

// New returns a Cloud for settings of the AWS SDK.
func New(cfg aws.Config) *Cloud {
	clients := func(cfg aws.Config) map[string]reflect.Value {
		all := map[string]reflect.Value{}
		for _, client := range []any{
			apigatewayv2.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg),
			iam.NewFromConfig(cfg), lambda.NewFromConfig(cfg), sts.NewFromConfig(cfg),
		} {
			path := reflect.TypeOf(client).Elem().PkgPath()
			all[path[strings.LastIndex(path, "/")+1:]] = reflect.ValueOf(client)
		}
		return all
	}
	once := cfg.Copy()
	once.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	many := cfg.Copy()
	many.Retryer = func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 6) }
	return &Cloud{cfg: cfg, clients: clients(many), once: clients(once), cache: map[string]any{}}
}

// Do makes a call, retries it while it fails transiently, and returns its answer as JSON values. Its error says what to
// do.
func (c *Cloud) Do(ctx context.Context, input any) (answer any, err error) {
	service, operation := call.Operation(input)
	limit := DefaultWait
	if service == "dynamodb" {
		limit = tableWait
	}
	err = Retry(ctx, limit, func() (err error) {
		answer, err = c.Call(ctx, input)
		if err != nil && IsTransient(err) && !(strings.HasPrefix(operation, "Create") && IsExists(err)) {
			return RetryLater(err)
		}
		return err
	})
	return answer, Explain(err)
}

// IsWrite reports whether an operation changes something. The names of all others begin with Get, List, Describe,
// Export, Filter or Simulate.
func IsWrite(operation string) bool {
	return !slices.ContainsFunc(
		[]string{"Get", "List", "Describe", "Export", "Filter", "Simulate"},
		func(prefix string) bool {
			return strings.HasPrefix(operation, prefix)
		},
	)
}

// Call makes a call once and returns its answer as JSON values, with all pages of a list. A read that was made since
// the last write is answered from the cache.
func (c *Cloud) Call(ctx context.Context, input any) (any, error) {
	service, operation := call.Operation(input)
	command := call.Command(input)
	clients := c.clients
	if IsWrite(operation) {
		c.mu.Lock()
		clear(c.cache)
		c.mu.Unlock()
		if c.OnWrite != nil {
			c.OnWrite(input)
		}
		// A retry could create a duplicate, and an invocation may have any effect.
		if slices.Contains([]string{"CreateApi", "CreateIntegration", "Invoke"}, operation) {
			clients = c.once
		}
	} else if answer, ok := c.cached(command); ok {
		return answer, nil
	}
	all, err := c.callPages(ctx, clients[service].MethodByName(operation), reflect.ValueOf(input), service)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case operation == "FilterLogEvents": // not cached, because a log grows
	case !IsWrite(operation) && err == nil:
		c.cache[command] = all
	case IsWrite(operation) && (err == nil || IsAmbiguous(err)):
		c.writes++
		isRouting := strings.HasSuffix(operation, "Route") || strings.HasSuffix(operation, "Integration")
		if service == "apigatewayv2" && isRouting {
			c.deploys++
		}
	}
	return all, err
}

func (c *Cloud) cached(command string) (answer any, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, ok = c.cache[command]
	return answer, ok
}

// Knows reports whether Call would answer from the cache.
func (c *Cloud) Knows(input any) bool {
	_, ok := c.cached(call.Command(input))
	return ok
}

// callPages makes a call, and repeats it for each further page.
func (c *Cloud) callPages(ctx context.Context, method, input reflect.Value, service string) (all any, err error) {
	for {
		c.calls.Add(1)
		results := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
		if err, _ := results[1].Interface().(error); err != nil {
			return nil, err
		}
		all = appendPage(all, toGeneric(results[0].Interface(), service))
		next, more := nextInput(input.Elem(), results[0].Elem())
		if !more {
			return all, nil
		}
		input = next
	}
}

// pagings are the pairs of fields by which services paginate: the answer's token and the input's field for it.
var pagings = []struct{ answer, input string }{
	{"NextToken", "NextToken"}, {"NextMarker", "Marker"}, {"Marker", "Marker"},
	{"LastEvaluatedTableName", "ExclusiveStartTableName"},
}

// nextInput returns the input for the page after an answer, and reports whether there is one.
func nextInput(input, answer reflect.Value) (next reflect.Value, more bool) {
	for _, p := range pagings {
		token := answer.FieldByName(p.answer)
		if !token.IsValid() || !input.FieldByName(p.input).IsValid() || token.IsNil() || token.Elem().String() == "" {
			continue
		}
		next = reflect.New(input.Type())
		next.Elem().Set(input)
		next.Elem().FieldByName(p.input).Set(token)
		return next, true
	}
	return next, false
}

// Calls returns the number of calls made. Each page of a list counts as one.
func (c *Cloud) Calls() int { return int(c.calls.Load()) }

// Forget empties the cache of reads.
func (c *Cloud) Forget() { clear(c.cache) }

// Writes returns the number of calls that changed something, or may have.
func (c *Cloud) Writes() int { return c.writes }

// Deploys returns the number of writes that make API Gateway redeploy a stage that deploys automatically.
func (c *Cloud) Deploys() int { return c.deploys }

// Region returns the region of the calls.
func (c *Cloud) Region() string { return c.cfg.Region }

// In returns a Cloud for another region.
func (c *Cloud) In(region string) *Cloud {
	cfg := c.cfg.Copy()
	cfg.Region = region
	return New(cfg)
}
