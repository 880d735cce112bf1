package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox/function"
)

// functionState is what the sandbox knows of a function beside what moto keeps.
type functionState struct {
	created, changed time.Time
	roleID           string // of the role that Lambda was given; another role of the name is not it
	running          int    // events under way
	staged           staging
}

// refused is why an event did not reach a function, as Invoke says it.
type refused struct {
	status        int
	code, message string
}

func (r *refused) Error() string { return r.code + ": " + r.message }

// configuration is what moto keeps of a function's version.
func (s *Sandbox) configuration(ctx context.Context, region, name, qualifier string) (*function.Configuration, error) {
	return remembered(s, "function "+functionARN(region, name, qualifier), func() (*function.Configuration, error) {
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

// routed is the version that an event for an alias goes to, by the alias's weights; another qualifier stays as it is.
func (s *Sandbox) routed(ctx context.Context, region, name, qualifier string) string {
	if qualifier == "" || qualifier == "$LATEST" || strings.Trim(qualifier, "0123456789") == "" {
		return qualifier
	}
	weights, err := remembered(s, "alias "+functionARN(region, name, qualifier), func() (map[string]float64, error) {
		alias, err := s.lambda(region).GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &name, Name: &qualifier})
		if err != nil || alias.RoutingConfig == nil {
			return nil, err
		}
		return alias.RoutingConfig.AdditionalVersionWeights, nil
	})
	if err != nil {
		return qualifier // what is wrong is said where the function is looked for
	}
	at := mathrand.Float64() // #nosec G404 -- as good as any
	for _, version := range sortedKeys(weights) {
		if at -= weights[version]; at < 0 {
			return version
		}
	}
	return qualifier
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
func (s *Sandbox) invoke(ctx context.Context, region, name, qualifier string, payload []byte) (function.Outcome,
	error) {
	o, err := s.run(ctx, region, name, qualifier, payload)
	var r *refused
	if throttled := errors.As(err, &r) && r.status == http.StatusTooManyRequests; throttled || err == nil {
		s.countEvent(region, name, o.Failed, throttled)
	}
	return o, err
}

func (s *Sandbox) run(ctx context.Context, region, name, qualifier string, payload []byte) (function.Outcome, error) {
	arn := functionARN(region, name, qualifier)
	config, err := s.configuration(ctx, region, name, s.routed(ctx, region, name, qualifier))
	if err != nil {
		return function.Outcome{}, &refused{http.StatusNotFound, "ResourceNotFoundException", "Function not found: " +
			arn}
	}
	reserved, err := remembered(s, "concurrency "+arn, func() (*int32, error) {
		c, err := s.lambda(region).GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
		if err != nil {
			return nil, err
		}
		return c.ReservedConcurrentExecutions, nil
	})
	if err != nil {
		return function.Outcome{}, err
	}
	r, err := s.readRole(ctx, *config.Role)
	if why := s.assumable(ctx, *config.Role, policy.Lambda); why != "" {
		s.log.Printf("%s does not start: %s", arn, why)
		return function.Outcome{}, &refused{http.StatusForbidden, "AccessDeniedException",
			"The role defined for the function cannot be assumed by Lambda."}
	} else if err != nil {
		return function.Outcome{}, err
	}
	s.mu.Lock()
	state := s.state(region, name)
	staged := stagings[state.staged.kind].refuses
	switch {
	case staged != nil:
		s.mu.Unlock()
		return function.Outcome{}, staged
	case time.Since(state.created) < s.options.Settling:
		s.mu.Unlock()
		return function.Outcome{}, &refused{http.StatusConflict, "ResourceConflictException",
			"The operation cannot be performed at this time. The function is currently in the following state: Pending"}
	case state.roleID != "" && state.roleID != r.id:
		s.mu.Unlock()
		s.log.Printf("%s does not start: its role was deleted and made again; set another role, then this one", arn)
		return function.Outcome{}, &refused{http.StatusBadGateway, "KMSAccessDeniedException",
			"Lambda was unable to decrypt the environment variables because KMS access was denied. Please check the " +
				"function's KMS key settings. KMS Exception: AccessDeniedException"}
	case reserved != nil && state.running >= int(*reserved):
		s.mu.Unlock()
		return function.Outcome{}, &refused{http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."}
	}
	state.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		state.running--
		s.mu.Unlock()
	}()
	o, err := s.runner.Invoke(ctx, region, config, function.Event{ARN: arn, Trace: traceID(), Payload: payload})
	if errors.Is(err, function.ErrClosed) {
		err = &refused{http.StatusServiceUnavailable, "ServiceException", err.Error()}
	}
	return o, err
}

// keyPrefix begins the access keys of functions' sessions.
const keyPrefix = "ASIASANDBOX"

// begin begins a session of a function with its role, and a stream of its log group.
func (s *Sandbox) begin(region string, c *function.Configuration) function.Session {
	name, key := *c.FunctionName, keyPrefix+rand.Text()[:12]
	who := &principal{owner: *c.Role,
		arn: "arn:" + partition(region) + ":sts::" + Account + ":assumed-role/" + baseName(*c.Role) + "/" + name}
	group := "/aws/lambda/" + name
	if l := c.LoggingConfig; l != nil && l.LogGroup != nil {
		group = *l.LogGroup
	}
	to := stream{region, group, time.Now().UTC().Format("2006/01/02") + "/[" + *c.Version + "]" +
		strings.ReplaceAll(uuid.NewString(), "-", ""), who}
	s.admit(key, who)
	return function.Session{
		Key: key, Group: to.group, Stream: to.name,
		Write: func(line string) { s.sink.write(to, line) },
		End:   func() { s.admit(key, nil) },
	}
}

// zip returns what was uploaded with a CodeSha256, or nil.
func (s *Sandbox) zip(sha string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code[sha]
}

// layer returns the CodeSha256 of a version of a layer, "" for one that was not uploaded here.
func (s *Sandbox) layer(arn string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.layers[arn]
}
