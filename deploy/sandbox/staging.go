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

// StateTag is the tag that puts a function into a state, for rehearsal. Its value is one of States, optionally followed
// by a colon and a reason.
const StateTag = "sandbox-state"

// stagedState is a state that a function was put into.
type stagedState struct{ kind, reason string }

// stagedStates maps the states that a function can be put into to their effects: shown changes the configuration, and
// refuses is the answer to events ("Lambda function states"; Lambda API reference, Invoke).
var stagedStates = map[string]struct {
	shown   func(config map[string]any, reason string)
	refuses *invokeError
}{
	"pending": {stateSetter("Pending", "Creating", "The function is being created."), notReady("Pending")},
	"inactive": {stateSetter("Inactive", "Idle", "The function has not been invoked for a long time."),
		notReady("Inactive")},
	"failed": {stateSetter("Failed", "InternalError", "The function could not be created."), notReady("Failed")},
	"update-failed": {func(config map[string]any, reason string) {
		config["LastUpdateStatus"], config["LastUpdateStatusReasonCode"] = "Failed", "InternalError"
		config["LastUpdateStatusReason"] = cmp.Or(reason, "The function could not be updated.")
	}, nil},
	"throttled": {nil, &invokeError{status: http.StatusTooManyRequests, code: "TooManyRequestsException",
		message: "Rate Exceeded."}},
	"kms-denied": {nil, &invokeError{status: http.StatusBadGateway, code: "KMSAccessDeniedException",
		message: "Lambda was unable to decrypt the " +
			"environment variables because KMS access was denied. Please check the function's KMS key settings. KMS " +
			"Exception: AccessDeniedException"}},
}

// States returns the states that a function can be put into.
func States() []string { return sortedKeys(stagedStates) }

func stateSetter(state, code, why string) func(map[string]any, string) {
	return func(config map[string]any, reason string) {
		config["State"], config["StateReasonCode"], config["StateReason"] = state, code, cmp.Or(reason, why)
	}
}

func notReady(state string) *invokeError {
	return &invokeError{status: http.StatusConflict, code: "ResourceConflictException",
		message: "The operation cannot be performed at this time. The function is currently in the following " +
			"state: " + state}
}

// Stage puts a function of the sandbox's own region into one of States, optionally followed by a colon and a reason; ""
// ends that. The function may be created later.
func (s *Sandbox) Stage(function, state string) error { return s.stageIn(s.region, function, state) }

func (s *Sandbox) stageIn(region, function, state string) error {
	kind, reason, _ := strings.Cut(state, ":")
	if _, ok := stagedStates[kind]; !ok && state != "" {
		return fmt.Errorf("unknown state %q: must be one of %s, optionally with a colon and a reason", kind,
			strings.Join(States(), ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state(region, function).staged = stagedState{kind, reason}
	return nil
}

// stageByTag puts a function into the state that its StateTag names.
func stageByTag(s *Sandbox, c *call, next func() answer) answer {
	name, _ := splitFunction(c.PathValue("arn"))
	var in struct{ Tags map[string]string }
	c.decode(&in)
	state, given := in.Tags[StateTag]
	for _, key := range c.URL.Query()["tagKeys"] {
		given = given || key == StateTag
	}
	if !given {
		return next()
	}
	kind, _, _ := strings.Cut(state, ":")
	if _, ok := stagedStates[kind]; !ok && state != "" {
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

// codePath is the path under which the sandbox serves the zips of functions.
const codePath = "/_aws/code/"

// serveCode serves a zip by its CodeSha256, whole or in ranges.
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
