package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"example.com/portable-notes/deploy/sandbox/function"
)

// invokeCall answers Lambda's Invoke.
func invokeCall(s *Sandbox, c *call) answer {
	name, qualifier := c.function()
	payload := c.body
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	kind := c.Header.Get("X-Amz-Invocation-Type")
	_, err := s.configuration(c.Context(), c.Region, name, qualifier)
	switch {
	case err != nil:
		return c.refuse(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s",
			functionARN(c.Region, name, qualifier))
	case !json.Valid(payload):
		return c.refuse(http.StatusBadRequest, "InvalidRequestContentException",
			"Could not parse request body into json: the payload is not JSON")
	case len(payload) > function.MaxEvent:
		return c.refuse(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
			"%d byte payload is too large for the %s invocation type (limit %d bytes)", len(payload), kind,
			function.MaxEvent)
	case kind == "DryRun":
		return answer{status: http.StatusNoContent}
	case kind == "Event":
		go func() {
			if _, err := s.invoke(context.WithoutCancel(c.Context()), c.Region, name, qualifier, payload); err != nil {
				s.log.Printf("an event for %s is lost: %v", functionARN(c.Region, name, qualifier), err)
			}
		}()
		return answer{status: http.StatusAccepted}
	}
	o, err := s.invoke(c.Context(), c.Region, name, qualifier, payload)
	var r *invokeError
	if errors.As(err, &r) {
		a := c.refuse(r.status, r.code, "%s", r.message)
		if r.status == http.StatusTooManyRequests {
			a = jsonAnswer(r.status, map[string]string{"Type": "User", "message": r.message,
				"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"})
			a.header.Set("X-Amzn-Errortype", r.code)
		}
		return a
	} else if err != nil {
		return c.refuse(http.StatusInternalServerError, "ServiceException", "%v", err)
	}
	a := answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"},
		"X-Amz-Executed-Version": {o.Version}},
		body: o.Payload}
	if o.Failed {
		a.header.Set("X-Amz-Function-Error", "Unhandled")
	}
	if c.Header.Get("X-Amz-Log-Type") == "Tail" {
		a.header.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(o.Tail))
	}
	return a
}
