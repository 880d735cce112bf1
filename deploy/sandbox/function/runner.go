// Package function runs functions as Lambda does: each execution environment is a process of the function under the
// Runtime API, and Lambda's own lines appear in its log. The package checks no permissions.
package function

import (
	"context"
	"errors"
	"log"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/uuid"
)

// Limits of Lambda in bytes ("Lambda quotas").
const (
	MaxEvent  = 6 << 20   // size of an event
	MaxAnswer = 6_291_556 // size of a function's response
)

// Configuration is the configuration of one version of a function.
type Configuration = lambda.GetFunctionConfigurationOutput

// Host is what a Runner needs from the AWS around it.
type Host struct {
	Endpoint string      // URL of AWS's services, passed to functions
	Folder   string      // to unpack code into
	Log      *log.Logger // receives notes on how functions run
	Docker   string      // image for functions that have a bootstrap; "" runs them on this machine

	Code  func(sha string) []byte                       // the zip with a CodeSha256; nil if unknown
	Layer func(arn string) string                       // the CodeSha256 of a layer version; "" if unknown
	Begin func(region string, c *Configuration) Session // begins a session under the function's role
}

// Session gives one execution environment its access key and its log stream.
type Session struct {
	Key           string // access key ID
	Group, Stream string // log group and log stream
	Write         func(line string)
	End           func() // revokes the key
}

// Event is an invocation event.
type Event struct {
	ARN     string // the invoked function ARN
	Trace   string // value of the X-Ray trace header
	Payload []byte
}

// Outcome is the outcome of an event.
type Outcome struct {
	Payload []byte
	Failed  bool   // the function failed: Payload is its error
	Tail    []byte // end of the log, at most 4 KiB
	Version string
	ID      string // request ID in the log
}

// ErrClosed is returned by Invoke after Close.
var ErrClosed = errors.New("the sandbox is shutting down")

// Runner runs functions. It is safe for concurrent use.
type Runner struct {
	host      Host
	ended     atomic.Bool
	unpacking sync.Mutex

	interpreters interpreters
	mounts       mountSupport

	mu      sync.Mutex
	pools   map[string]*pool // by region, name and version
	retired []*pool          // replaced or dropped; their last events may be in progress
}

// New returns a Runner. The caller must close it.
func New(host Host) *Runner { return &Runner{host: host, pools: map[string]*pool{}} }

// Invoke passes an event to a function and waits for the outcome. It ignores the context: an event that has started
// runs to its end.
func (r *Runner) Invoke(_ context.Context, region string, c *Configuration, v Event) (Outcome, error) {
	p := r.pool(region, c)
	e, err := p.take()
	if err != nil {
		return Outcome{}, err
	}
	defer p.give(e)
	return e.handle(&event{Event: v, id: uuid.NewString(), done: make(chan Outcome, 1)}), nil
}

// Drop ends the environments of all versions of a function, busy ones when their events end.
func (r *Runner) Drop(region, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, p := range r.pools {
		if strings.HasPrefix(key, region+" "+name+" ") {
			r.retired = append(r.retired, p)
			delete(r.pools, key)
			go p.close(false)
		}
	}
}

// Close ends all environments at once and waits until they have ended.
func (r *Runner) Close() {
	r.unpacking.Lock() // wait for a zip that is being unpacked
	r.ended.Store(true)
	r.unpacking.Unlock()
	r.mu.Lock()
	pools := append(slices.Collect(maps.Values(r.pools)), r.retired...)
	r.mu.Unlock()
	for _, p := range pools {
		p.close(true)
	}
}

// pool holds the execution environments of one version of a function under one configuration.
type pool struct {
	*Runner
	region string
	config *Configuration

	mu     sync.Mutex
	idle   []*environment
	busy   map[*environment]bool
	closed bool
}

// pool returns the pool of a version under configuration c. It retires the pool of an older configuration.
func (r *Runner) pool(region string, c *Configuration) *pool {
	key := region + " " + *c.FunctionName + " " + *c.Version
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pools[key]
	if p != nil && sameConfiguration(p.config, c) {
		return p
	}
	if p != nil {
		r.retired = append(r.retired, p)
		go p.close(false)
	}
	p = &pool{Runner: r, region: region, config: c, busy: map[*environment]bool{}}
	r.pools[key] = p
	return p
}

// sameConfiguration reports whether two answers of GetFunctionConfiguration hold the same configuration.
func sameConfiguration(a, b *Configuration) bool {
	x, y := *a, *b
	x.ResultMetadata, y.ResultMetadata = b.ResultMetadata, b.ResultMetadata
	return reflect.DeepEqual(x, y)
}

// take returns an idle environment, or else a new one.
func (p *pool) take() (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.Load() {
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		e := p.idle[n-1]
		p.idle, p.busy[e] = p.idle[:n-1], true
		return e, nil
	}
	e, err := newEnvironment(p)
	if err == nil {
		p.busy[e] = true
	}
	return e, err
}

// give returns an environment to the pool, or ends it if the pool is closed.
func (p *pool) give(e *environment) {
	p.mu.Lock()
	delete(p.busy, e)
	keep := !p.closed
	if keep {
		p.idle = append(p.idle, e)
	}
	p.mu.Unlock()
	if !keep {
		e.end()
	}
}

// close ends the idle environments. It ends the busy ones immediately if atOnce is set, and otherwise when their events
// end.
func (p *pool) close(atOnce bool) {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle = nil
	if atOnce {
		all = slices.AppendSeq(all, maps.Keys(p.busy))
	}
	p.mu.Unlock()
	for _, e := range all {
		e.end()
	}
}
