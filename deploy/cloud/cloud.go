// Package cloud carries calls of AWS out: it has the clients and the retries, reads lists whole, and says what to do
// about an error.
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

// Cloud makes calls of AWS that are values: inputs of the SDK. Call is safe for use by many goroutines.
type Cloud struct {
	cfg     aws.Config
	mu      sync.Mutex               // guards read, writes and deploys
	clients map[string]reflect.Value // by the service's package
	once    map[string]reflect.Value // the same, which send a call once only
	read    map[string]any           // what was read since the last change
	writes  int
	deploys int
	calls   atomic.Int64

	Said func(input any) // is told each call that changes something; nil for nobody
}

// Patience is how long what passes is waited for: IAM's roles become known within a minute (IAM user guide, eventual
// consistency), stages are deployed within seconds. A table, and its recovery, may take some minutes.
const (
	Patience   = 90 * time.Second
	tableWait  = 5 * time.Minute
	ActiveWait = 5 * time.Minute // of functions
)

// New returns a cloud for settings of the AWS SDK.
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
	return &Cloud{cfg: cfg, clients: clients(many), once: clients(once), read: map[string]any{}}
}

// Do makes a call, once what passes has passed, and returns its answer as JSON.
func (c *Cloud) Do(ctx context.Context, input any) (answer any, err error) {
	service, operation := call.Operation(input)
	limit := Patience
	if service == "dynamodb" {
		limit = tableWait
	}
	err = Retry(ctx, limit, func() (err error) {
		answer, err = c.Call(ctx, input)
		if err != nil && IsTransient(err) && !(strings.HasPrefix(operation, "Create") && IsExists(err)) {
			return Later(err)
		}
		return err
	})
	return answer, Explained(err)
}

// IsWrite reports whether an operation changes something. Those that do not begin with Get, List,
// Describe, Export, Filter or Simulate.
func IsWrite(operation string) bool {
	return !slices.ContainsFunc(
		[]string{"Get", "List", "Describe", "Export", "Filter", "Simulate"},
		func(prefix string) bool {
			return strings.HasPrefix(operation, prefix)
		},
	)
}

// Call makes a call once; of a list it reads all pages.
func (c *Cloud) Call(ctx context.Context, input any) (any, error) {
	service, operation := call.Operation(input)
	command := call.Command(input)
	clients := c.clients
	if IsWrite(operation) {
		c.mu.Lock()
		clear(c.read)
		c.mu.Unlock()
		if c.Said != nil {
			c.Said(input)
		}
		// a second API or integration would be a twin, and a function may do anything
		if slices.Contains([]string{"CreateApi", "CreateIntegration", "Invoke"}, operation) {
			clients = c.once
		}
	} else if known, ok := c.known(command); ok {
		return known, nil
	}
	all, err := c.pages(ctx, clients[service].MethodByName(operation), reflect.ValueOf(input), service)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case operation == "FilterLogEvents": // a log grows
	case !IsWrite(operation) && err == nil:
		c.read[command] = all
	case IsWrite(operation) && (err == nil || IsAmbiguous(err)): // what AWS refuses is not written
		c.writes++
		ofRoutes := strings.HasSuffix(operation, "Route") || strings.HasSuffix(operation, "Integration")
		if service == "apigatewayv2" && ofRoutes {
			c.deploys++
		}
	}
	return all, err
}

// known returns what a call answered before.
func (c *Cloud) known(command string) (answer any, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, ok = c.read[command]
	return answer, ok
}

// Knows reports whether a call was made before, so that Call answers without making it again.
func (c *Cloud) Knows(input any) bool {
	_, ok := c.known(call.Command(input))
	return ok
}

// pages makes a call, and makes it again for each further page of its answer.
func (c *Cloud) pages(ctx context.Context, method, input reflect.Value, service string) (all any, err error) {
	for {
		c.calls.Add(1)
		results := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
		if err, _ := results[1].Interface().(error); err != nil {
			return nil, err
		}
		all = merged(all, generic(results[0].Interface(), service))
		next, more := following(input.Elem(), results[0].Elem())
		if !more {
			return all, nil
		}
		input = next
	}
}

// pagings are the ways in which answers say that there is more: the field of the answer that tells where to go on, and
// the field of the input that takes it.
var pagings = []struct{ told, taken string }{
	{"NextToken", "NextToken"}, {"NextMarker", "Marker"}, {"Marker", "Marker"},
	{"LastEvaluatedTableName", "ExclusiveStartTableName"},
}

// following returns the input for the page after an answer, and reports whether there is one.
func following(input, answer reflect.Value) (next reflect.Value, more bool) {
	for _, p := range pagings {
		told, taken := answer.FieldByName(p.told), input.FieldByName(p.taken)
		if !told.IsValid() || !taken.IsValid() || told.IsNil() || told.Elem().String() == "" {
			continue
		}
		next = reflect.New(input.Type())
		next.Elem().Set(input)
		next.Elem().FieldByName(p.taken).Set(told)
		return next, true
	}
	return next, false
}

// Calls returns how many calls were made, each page of a list as one.
func (c *Cloud) Calls() int { return int(c.calls.Load()) }

// Forget forgets what was read, so that it is read again.
func (c *Cloud) Forget() { clear(c.read) }

// Writes returns how many calls changed something.
func (c *Cloud) Writes() int { return c.writes }

// Deploys returns how many of the writes make API Gateway deploy a stage that deploys automatically.
func (c *Cloud) Deploys() int { return c.deploys }

// Region returns the region of the calls.
func (c *Cloud) Region() string { return c.cfg.Region }

// In returns a cloud for another region.
func (c *Cloud) In(region string) *Cloud {
	cfg := c.cfg.Copy()
	cfg.Region = region
	return New(cfg)
}
