package facts

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// invoke invokes the function of the request's route once, with the event that the route would send.
func (g *gatherer) invoke(target doctor.Target) {
	payload, err := json.Marshal(g.buildEvent(target, g.usesFormat2(target)))
	if err != nil {
		panic(err) // an event of strings always encodes
	}
	began := time.Now()
	g.c.Invocation = readFact(
		g,
		&lambda.InvokeInput{FunctionName: &target.Function, Qualifier: optional(target.Qualifier),
			Payload: payload, LogType: types.LogTypeTail},
		qualifiedName(target.Function, target.Qualifier),
		parseInvocation,
	)
	if i := g.c.Invocation.Value; i != nil {
		i.Function, i.Millis = qualifiedName(target.Function, target.Qualifier), int(time.Since(began).Milliseconds())
	}
}

// usesFormat2 reports whether the integration of a route uses payload format 2.0.
func (g *gatherer) usesFormat2(target doctor.Target) bool {
	for _, r := range g.c.Routes.Or() {
		for _, i := range g.c.Integrations.Or() {
			if r.Key == target.Route && r.Target == "integrations/"+i.ID {
				return i.PayloadFormat == "2.0"
			}
		}
	}
	return true
}

// parseInvocation reads the answer of Invoke, without what must not be shared.
func parseInvocation(answer any) (i doctor.Invocation, err error) {
	var out struct {
		FunctionError, LogResult, ExecutedVersion string
		Payload                                   []byte
	}
	if err = cloud.Decode(answer, &out); err != nil {
		return i, err
	}
	i.Failed, i.Version = out.FunctionError != "", out.ExecutedVersion
	tail, _ := base64.StdEncoding.DecodeString(out.LogResult) // keep what decodes
	i.Log, i.Report, i.RequestID = logLines(string(tail))
	if !i.Failed {
		i.Shape = shapeOf(out.Payload)
		i.Log = nil
		return i, nil
	}
	var e struct {
		ErrorType, ErrorMessage string
		StackTrace              any
		Trace                   any
	}
	_ = json.Unmarshal(out.Payload, &e) // a function may fail with any JSON
	i.Type, i.Message = e.ErrorType, truncateTo(mask(e.ErrorMessage), maxLine)
	for _, frames := range []any{e.StackTrace, e.Trace} {
		if frame := ownFrame(frames); frame != "" {
			i.Trace = truncate(mask(frame))
		}
	}
	return i, nil
}

// ownFrame returns the frame of a stack trace that is nearest to the error and in the function's own code. Python lists
// the innermost call last, Node.js first.
func ownFrame(frames any) (frame string) {
	all, _ := frames.([]any)
	for _, one := range all {
		text := strings.TrimSpace(fmt.Sprint(one))
		if strings.Contains(text, "/var/task/") && !strings.Contains(text, "/node_modules/") &&
			!strings.Contains(text, "/site-packages/") {
			if frame == "" || !strings.HasPrefix(text, "at ") {
				frame = text
			}
		}
	}
	return frame
}

// shapeOf describes how API Gateway sees a function's response ("Lambda function response for format 2.0").
func shapeOf(payload []byte) (s doctor.Shape) {
	s.Length, s.JSON = len(payload), json.Valid(payload)
	var value any
	_ = json.Unmarshal(payload, &value) // invalid JSON has kind null
	switch value.(type) {
	case map[string]any:
		s.Kind = "object"
	case string:
		s.Kind = "text"
	case []any:
		s.Kind = "list"
	case float64:
		s.Kind = "number"
	case bool:
		s.Kind = "boolean"
	default:
		s.Kind = "null"
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields["statusCode"] == nil {
		return s
	}
	s.StatusCode = string(fields["statusCode"])
	if json.Unmarshal(fields["statusCode"], &s.Status) != nil || s.Status < 100 || s.Status > 599 {
		s.Status = 0
	}
	var text string
	var encoded bool
	if body := fields["body"]; body != nil && json.Unmarshal(body, &text) != nil {
		s.Wrong = "body is " + kindOf(body) + ", not text"
	}
	if raw := fields["isBase64Encoded"]; raw != nil && json.Unmarshal(raw, &encoded) == nil && encoded {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			s.Wrong = "body is not base64"
		}
	}
	var headers map[string]json.RawMessage
	if raw := fields["headers"]; raw != nil && json.Unmarshal(raw, &headers) != nil {
		s.Wrong = "headers is " + kindOf(raw) + ", not an object"
	}
	for _, name := range sortedKeys(headers) {
		var value string
		if json.Unmarshal(headers[name], &value) != nil {
			s.Wrong = "header " + name + " is " + kindOf(headers[name]) + ", not text"
			break
		}
	}
	if s.Status >= 400 {
		s.Body = errorExcerpt(s.Status, []byte(text))
	}
	return s
}

// kindOf names the type of a JSON value.
func kindOf(raw json.RawMessage) string {
	switch strings.TrimSpace(string(raw))[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '"':
		return "text"
	}
	return "a number"
}
