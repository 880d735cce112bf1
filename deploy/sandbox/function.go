package sandbox

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"
)

// functionState is what the sandbox knows of a function beside what moto keeps.
type functionState struct {
	created, changed time.Time
	roleID           string // of the role that Lambda was given; another role of the name is not it
	running          int    // events under way
}

// pool is the execution environments of one version of a function, as it is configured now.
type pool struct {
	s      *Sandbox
	region string
	config *lambda.GetFunctionConfigurationOutput

	mu     sync.Mutex
	idle   []*environment
	busy   map[*environment]bool
	closed bool
}

// outcome is how an event was handled.
type outcome struct {
	payload []byte
	failed  bool   // the function's own error: payload says which
	tail    []byte // the end of its log
	version string
}

// refused is why an event did not reach a function, as Invoke says it.
type refused struct {
	status        int
	code, message string
}

func (r *refused) Error() string { return r.code + ": " + r.message }

// configuration is what moto keeps of a function's version.
func (s *Sandbox) configuration(ctx context.Context, region, name, qualifier string) (*lambda.GetFunctionConfigurationOutput, error) {
	return remembered(s, "function "+functionARN(region, name, qualifier), func() (*lambda.GetFunctionConfigurationOutput, error) {
		in := &lambda.GetFunctionConfigurationInput{FunctionName: &name}
		if qualifier != "" {
			in.Qualifier = &qualifier
		}
		config, err := s.lambda(region).GetFunctionConfiguration(ctx, in)
		if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
			return nil, errGone
		}
		return config, err
	})
}

// state is the sandbox's part of a function. The caller must hold s.mu.
func (s *Sandbox) state(region, name string) *functionState {
	on := resource{region, name}
	if s.functions[on] == nil {
		s.functions[on] = &functionState{}
	}
	return s.functions[on]
}

// invoke hands an event to a function and waits for what comes of it.
func (s *Sandbox) invoke(ctx context.Context, region, name, qualifier string, payload []byte) (outcome, error) {
	arn := functionARN(region, name, qualifier)
	config, err := s.configuration(ctx, region, name, qualifier)
	if err != nil {
		return outcome{}, &refused{http.StatusNotFound, "ResourceNotFoundException", "Function not found: " + arn}
	}
	reserved, err := remembered(s, "concurrency "+arn, func() (*int32, error) {
		c, err := s.lambda(region).GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
		if err != nil {
			return nil, err
		}
		return c.ReservedConcurrentExecutions, nil
	})
	if err != nil {
		return outcome{}, err
	}
	r, err := s.readRole(ctx, *config.Role)
	if why := s.assumable(ctx, *config.Role, "lambda.amazonaws.com"); why != "" {
		s.log.Printf("%s does not start: %s", arn, why)
		return outcome{}, &refused{http.StatusForbidden, "AccessDeniedException", "The role defined for the function cannot be assumed by Lambda."}
	} else if err != nil {
		return outcome{}, err
	}
	s.mu.Lock()
	state := s.state(region, name)
	switch {
	case time.Since(state.created) < s.options.Settling:
		s.mu.Unlock()
		return outcome{}, &refused{http.StatusConflict, "ResourceConflictException", "The operation cannot be performed at this time. The function is currently in the following state: Pending"}
	case state.roleID != "" && state.roleID != r.id:
		s.mu.Unlock()
		s.log.Printf("%s does not start: its role was deleted and made again; set another role, then this one", arn)
		return outcome{}, &refused{http.StatusBadGateway, "KMSAccessDeniedException", "Lambda was unable to decrypt the environment variables because KMS access was denied. Please check the function's KMS key settings. KMS Exception: AccessDeniedException"}
	case reserved != nil && state.running >= int(*reserved):
		s.mu.Unlock()
		return outcome{}, &refused{http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."}
	}
	state.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		state.running--
		s.mu.Unlock()
	}()
	p, err := s.pool(region, config)
	if err != nil {
		return outcome{}, err
	}
	e, err := p.take()
	if err != nil {
		return outcome{}, err
	}
	defer p.give(e)
	return e.handle(&event{id: uuid.NewString(), arn: arn, payload: payload, done: make(chan outcome, 1)}), nil
}

// pool is the pool of a version as it is configured now. A former one ends as its events do.
func (s *Sandbox) pool(region string, config *lambda.GetFunctionConfigurationOutput) (*pool, error) {
	key := functionARN(region, *config.FunctionName, *config.Version)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[key]
	if p != nil && sameFunction(p.config, config) {
		return p, nil
	}
	if p != nil {
		s.former = append(s.former, p)
		go p.close(false)
	}
	p = &pool{s: s, region: region, config: config, busy: map[*environment]bool{}}
	s.pools[key] = p
	return p, nil
}

// sameFunction tells whether two readings of a configuration are of the same one.
func sameFunction(a, b *lambda.GetFunctionConfigurationOutput) bool {
	x, y := *a, *b
	x.ResultMetadata, y.ResultMetadata = b.ResultMetadata, b.ResultMetadata
	return reflect.DeepEqual(x, y)
}

// take is an environment that is idle, or a new one.
func (p *pool) take() (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.s.ended.Load() {
		return nil, &refused{http.StatusServiceUnavailable, "ServiceException", "the sandbox ends"}
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
