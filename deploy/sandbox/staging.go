package sandbox

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// StateTag is a tag that puts a function into a state, for rehearsal: one of States, with a reason after a colon or
// not.
const StateTag = "sandbox-state"

// staging is a state that a function was put into.
type staging struct{ kind, reason string }

// stagings are the states that a function can be put into: how its configuration shows them, and how an event is
// refused ("Lambda function states", "Invoke" in the Lambda API reference).
var stagings = map[string]struct {
	shown   func(config map[string]any, reason string)
	refuses *refused
}{
	"pending":  {shown("Pending", "Creating", "The function is being created."), notReady("Pending")},
	"inactive": {shown("Inactive", "Idle", "The function has not been invoked for a long time."), notReady("Inactive")},
	"failed":   {shown("Failed", "InternalError", "The function could not be created."), notReady("Failed")},
	"update-failed": {func(config map[string]any, reason string) {
		config["LastUpdateStatus"], config["LastUpdateStatusReasonCode"] = "Failed", "InternalError"
		config["LastUpdateStatusReason"] = cmp.Or(reason, "The function could not be updated.")
	}, nil},
	"throttled": {nil, &refused{http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."}},
	"kms-denied": {nil, &refused{http.StatusBadGateway, "KMSAccessDeniedException",
		"Lambda was unable to decrypt the " +
			"environment variables because KMS access was denied. Please check the function's KMS key settings. KMS " +
			"Exception: AccessDeniedException"}},
}

// States are the states that a function can be put into.
func States() []string { return sortedKeys(stagings) }

func shown(state, code, why string) func(map[string]any, string) {
	return func(config map[string]any, reason string) {
		config["State"], config["StateReasonCode"], config["StateReason"] = state, code, cmp.Or(reason, why)
	}
}

func notReady(state string) *refused {
	return &refused{http.StatusConflict, "ResourceConflictException", "The operation cannot be performed at this " +
		"time. " +
		"The function is currently in the following state: " + state}
}

// Stage puts a function of the sandbox's own region into a state, "" for none. It may be created later. It is an error
// if there is no such state.
func (s *Sandbox) Stage(function, state string) error { return s.stageIn(s.region, function, state) }

func (s *Sandbox) stageIn(region, function, state string) error {
	kind, reason, _ := strings.Cut(state, ":")
	if _, ok := stagings[kind]; !ok && state != "" {
		return fmt.Errorf("there is no state %q: %s, with a reason after a colon or not", kind, strings.Join(States(),
			", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state(region, function).staged = staging{kind, reason}
	return nil
}

// stageByTag puts a function into the state that a tag says.
func stageByTag(s *Sandbox, c *call, next func() answer) answer {
	name, _ := splitFunction(c.PathValue("arn"))
	var in struct{ Tags map[string]string }
	c.decode(&in)
	state, told := in.Tags[StateTag]
	for _, key := range c.URL.Query()["tagKeys"] {
		told = told || key == StateTag
	}
	if !told {
		return next()
	}
	kind, _, _ := strings.Cut(state, ":")
	if _, ok := stagings[kind]; !ok && state != "" {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "%v", s.stageIn(c.Region, name, state))
	}
	a := next()
	if a.ok() {
		if err := s.stageIn(c.Region, name, state); err != nil {
			return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "%v", err)
		}
	}
	return a
}

// codePath is where the zips of functions are.
const codePath = "/_aws/code/"

// serveCode answers with a function's zip, or ranges of it.
func (s *Sandbox) serveCode(w http.ResponseWriter, r *http.Request, escaped string) {
	sha, err := url.PathUnescape(escaped)
	packed := s.zip(sha)
	if err != nil || packed == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(packed))
}
