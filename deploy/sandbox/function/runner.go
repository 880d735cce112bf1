// Package function runs functions as Lambda does: in execution environments, each a process of the function under the
// Runtime API, with Lambda's own lines between those of its log. Who may invoke a function, and what it may do, is not
// known here.
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

// Limits of Lambda, bytes ("Lambda quotas").
const (
	MaxEvent  = 6 << 20   // of an event
	MaxAnswer = 6_291_556 // of what a function returns
)

// Configuration is a version of a function as it is configured.
type Configuration = lambda.GetFunctionConfigurationOutput

// Host is the AWS that functions are run in.
type Host struct {
	Endpoint string      // URL of AWS's services, which functions are told
	Folder   string      // that code is unpacked to
	Log      *log.Logger // takes what is wrong with a function's requests
	Docker   string      // image that functions with a bootstrap run in; "" runs them on this machine

	// Code returns the zip with a CodeSha256, or nil; Layer the CodeSha256 of a version of a layer, or "". Begin begins
	// a session of a function with its role.
	Code  func(sha string) []byte
	Layer func(arn string) string
	Begin func(region string, c *Configuration) Session
}

// Session is the time of one execution environment, with its keys and its log stream.
type Session struct {
	Key           string // id of the access key
	Group, Stream string // of the log
	Write         func(line string)
	End           func() // takes the key back
}

// Event is an event for a function.
type Event struct {
	ARN     string // by which the function is invoked
	Trace   string // X-Ray's header
	Payload []byte
}

// Outcome is how an event was handled.
type Outcome struct {
	Payload []byte
	Failed  bool   // the function's own error: Payload says which
	Tail    []byte // the end of its log, at most 4 KB
	Version string
	ID      string // of the request, as the log has it
}

// ErrEnds is returned for events that come when the runner has ended.
var ErrEnds = errors.New("the sandbox ends")

// Runner runs functions. It is safe for use by many goroutines.
type Runner struct {
	host      Host
	ended     atomic.Bool
	unpacking sync.Mutex

	interpreters interpreters
	mounts       mounts

	mu     sync.Mutex
	pools  map[string]*pool // by region, name and version
	former []*pool          // whose events may not have ended
}

// New returns a runner, which the caller must close.
func New(host Host) *Runner { return &Runner{host: host, pools: map[string]*pool{}} }

// Invoke hands an event to a function and waits for what comes of it. An event that has begun is not given up.
func (r *Runner) Invoke(_ context.Context, region string, c *Configuration, v Event) (Outcome, error) {
	p := r.pool(region, c)
	e, err := p.take()
	if err != nil {
		return Outcome{}, err
	}
	defer p.give(e)
	return e.handle(&event{Event: v, id: uuid.NewString(), done: make(chan Outcome, 1)}), nil
}

// Drop ends the environments of all versions of a function, each when its event has ended.
func (r *Runner) Drop(region, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, p := range r.pools {
		if strings.HasPrefix(key, region+" "+name+" ") {
			r.former = append(r.former, p)
			delete(r.pools, key)
			go p.close(false)
		}
	}
}

// Close ends all environments at once, and returns when they have ended.
func (r *Runner) Close() {
	r.unpacking.Lock() // what is being unpacked is waited for
	r.ended.Store(true)
	r.unpacking.Unlock()
	r.mu.Lock()
	pools := append(slices.Collect(maps.Values(r.pools)), r.former...)
	r.mu.Unlock()
	for _, p := range pools {
		p.close(true)
	}
}

// pool is the execution environments of one version of a function, as it is configured now.
type pool struct {
	*Runner
	region string
	config *Configuration

	mu     sync.Mutex
	idle   []*environment
	busy   map[*environment]bool
	closed bool
}

// pool returns the pool of a version as it is configured now. A former one ends as its events do.
func (r *Runner) pool(region string, c *Configuration) *pool {
	key := region + " " + *c.FunctionName + " " + *c.Version
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pools[key]
	if p != nil && same(p.config, c) {
		return p
	}
	if p != nil {
		r.former = append(r.former, p)
		go p.close(false)
	}
	p = &pool{Runner: r, region: region, config: c, busy: map[*environment]bool{}}
	r.pools[key] = p
	return p
}

// same reports whether two readings of a configuration are of the same one.
func same(a, b *Configuration) bool {
	x, y := *a, *b
	x.ResultMetadata, y.ResultMetadata = b.ResultMetadata, b.ResultMetadata
	return reflect.DeepEqual(x, y)
}

// take returns an environment that is idle, or a new one.
func (p *pool) take() (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.Load() {
		return nil, ErrEnds
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

// give takes an environment back.
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

// close ends the environments that are idle now, and the others when their events end, or at once.
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
