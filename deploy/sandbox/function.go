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

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox/function"
)

// functionState is the sandbox's own state of a function; moto stores the rest.
type functionState struct {
	created, changed time.Time
	roleID           string // ID of the role that was set; a new role of the same name has another ID
	running          int    // events in progress
	staged           stagedState
	architectures    map[string]any // by version; moto keeps those of the function's creation
}

// invokeError is Invoke's answer if an event does not reach the function.
type invokeError struct {
	status        int
	code, message string
}

func (r *invokeError) Error() string { return r.code + ": " + r.message }

// configuration returns moto's configuration of a function version, or errNotFound.
func (s *Sandbox) configuration(ctx context.Context, region, name, qualifier string) (*function.Configuration, error) {
	return cached(s, "function "+functionARN(region, name, qualifier), func() (*function.Configuration, error) {
		in := &lambda.GetFunctionConfigurationInput{FunctionName: &name}
		if qualifier != "" {
			in.Qualifier = &qualifier
		}
		config, err := s.lambda(region).GetFunctionConfiguration(ctx, in)
		if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
			return nil, errNotFound
		}
		return config, err
	})
}

// routedVersion returns the qualifier that an event goes to: for an alias with weights one of its versions at random,
// and otherwise the given one.
func (s *Sandbox) routedVersion(ctx context.Context, region, name, qualifier string) string {
	if qualifier == "" || qualifier == "$LATEST" || strings.Trim(qualifier, "0123456789") == "" {
		return qualifier
	}
	weights, err := cached(s, "alias "+functionARN(region, name, qualifier), func() (map[string]float64, error) {
		alias, err := s.lambda(region).GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &name, Name: &qualifier})
		if err != nil || alias.RoutingConfig == nil {
			return nil, err
		}
		return alias.RoutingConfig.AdditionalVersionWeights, nil
	})
	if err != nil {
		return qualifier // reading the function fails too, with an error
	}
	at := mathrand.Float64() // #nosec G404 -- needs no secure randomness
	for _, version := range sortedKeys(weights) {
		if at -= weights[version]; at < 0 {
			return version
		}
	}
	return qualifier
}

// state returns the sandbox's own state of a function, which it creates if needed. The caller must hold s.mu.
func (s *Sandbox) state(region, name string) *functionState {
	on := resource{region, name}
	if s.functions[on] == nil {
		s.functions[on] = &functionState{}
	}
	return s.functions[on]
}

// invoke passes an event to a function, waits for the outcome and counts it in the metrics.
func (s *Sandbox) invoke(ctx context.Context, region, name, qualifier string, payload []byte) (function.Outcome,
	error) {
	o, err := s.run(ctx, region, name, qualifier, payload)
	var r *invokeError
	if throttled := errors.As(err, &r) && r.status == http.StatusTooManyRequests; throttled || err == nil {
		s.countEvent(region, name, o.Failed, throttled)
	}
	return o, err
}

func (s *Sandbox) run(ctx context.Context, region, name, qualifier string, payload []byte) (function.Outcome, error) {
	refuse := func(status int, code, message string) (function.Outcome, error) {
		return function.Outcome{}, &invokeError{status: status, code: code, message: message}
	}
	arn := functionARN(region, name, qualifier)
	config, err := s.configuration(ctx, region, name, s.routedVersion(ctx, region, name, qualifier))
	if err != nil {
		return refuse(http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+arn)
	}
	reserved, err := cached(s, "concurrency "+arn, func() (*int32, error) {
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
	if why := s.assumeRefusal(ctx, *config.Role, policy.Lambda); why != "" {
		s.log.Printf("%s does not start: %s", arn, why)
		return refuse(http.StatusForbidden, "AccessDeniedException",
			"The role defined for the function cannot be assumed by Lambda.")
	} else if err != nil {
		return function.Outcome{}, err
	}
	s.mu.Lock()
	state := s.state(region, name)
	staged := stagedStates[state.staged.kind].refuses
	switch {
	case staged != nil:
		s.mu.Unlock()
		return function.Outcome{}, staged
	case time.Since(state.created) < s.options.Settling:
		s.mu.Unlock()
		return refuse(http.StatusConflict, "ResourceConflictException",
			"The operation cannot be performed at this time. The function is currently in the following state: Pending")
	case state.roleID != "" && state.roleID != r.id:
		s.mu.Unlock()
		s.log.Printf("%s does not start: its role was deleted and created again; set another role, and then this one",
			arn)
		return refuse(http.StatusBadGateway, "KMSAccessDeniedException",
			"Lambda was unable to decrypt the environment variables because KMS access was denied. Please check the "+
				"function's KMS key settings. KMS Exception: AccessDeniedException")
	case reserved != nil && state.running >= int(*reserved):
		s.mu.Unlock()
		return refuse(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
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
		err = &invokeError{status: http.StatusServiceUnavailable, code: "ServiceException", message: err.Error()}
	}
	return o, err
}

// keyPrefix is the prefix of the access keys of functions' sessions.
const keyPrefix = "ASIASANDBOX"

// beginSession begins a session under a function's role, and a stream of its log group.
func (s *Sandbox) beginSession(region string, c *function.Configuration) function.Session {
	name, key := *c.FunctionName, keyPrefix+rand.Text()[:12]
	who := &principal{owner: *c.Role,
		arn: "arn:" + gateway.Partition(region) + ":sts::" + Account + ":assumed-role/" + baseName(*c.Role) + "/" +
			name}
	group := "/aws/lambda/" + name
	if l := c.LoggingConfig; l != nil && l.LogGroup != nil {
		group = *l.LogGroup
	}
	to := stream{region: region, group: group, name: time.Now().UTC().Format("2006/01/02") + "/[" + *c.Version + "]" +
		strings.ReplaceAll(uuid.NewString(), "-", ""), who: who}
	s.setSigner(key, who)
	return function.Session{
		Key: key, Group: to.group, Stream: to.name,
		Write: func(line string) { s.sink.write(to, line) },
		End:   func() { s.setSigner(key, nil) },
	}
}

// zip returns the uploaded zip with a CodeSha256, or nil.
func (s *Sandbox) zip(sha string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code[sha]
}

// layer returns the CodeSha256 of a layer version, or "" if it was not uploaded here.
func (s *Sandbox) layer(arn string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.layers[arn]
}
