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

// invoke invokes the function of the request's route, once, with an event as the route would send it.
func (g *gatherer) invoke(target doctor.Target) {
	payload, err := json.Marshal(g.event(target, g.v2(target)))
	if err != nil {
		panic(err) // of texts
	}
	began := time.Now()
	g.c.Invocation = fact(
		g,
		&lambda.InvokeInput{FunctionName: &target.Function, Qualifier: optional(target.Qualifier),
			Payload: payload, LogType: types.LogTypeTail},
		nameOf(target.Function, target.Qualifier),
		invocation,
	)
	if i := g.c.Invocation.Value; i != nil {
		i.Function, i.Millis = nameOf(target.Function, target.Qualifier), int(time.Since(began).Milliseconds())
	}
}

// v2 reports whether the integration of a route has payload format 2.0.
func (g *gatherer) v2(target doctor.Target) bool {
	for _, r := range g.c.Routes.Or() {
		for _, i := range g.c.Integrations.Or() {
			if r.Key == target.Route && r.Target == "integrations/"+i.ID {
				return i.PayloadFormat == "2.0"
			}
		}
	}
	return true
}

// invocation reads what Invoke answered, without what must not be shared.
func invocation(answer any) (i doctor.Invocation, err error) {
	var out struct {
		FunctionError, LogResult, ExecutedVersion string
		Payload                                   []byte
	}
	if err = cloud.Decode(answer, &out); err != nil {
		return i, err
	}
	i.Failed, i.Version = out.FunctionError != "", out.ExecutedVersion
	tail, _ := base64.StdEncoding.DecodeString(out.LogResult) // what there is of it
	i.Log, i.Report, i.RequestID = logLines(string(tail))
	if !i.Failed {
		i.Shape = shape(out.Payload)
		i.Log = nil
		return i, nil
	}
	var e struct {
		ErrorType, ErrorMessage string
		StackTrace              any
		Trace                   any
	}
	_ = json.Unmarshal(out.Payload, &e) // a function may fail with anything
	i.Type, i.Message = e.ErrorType, cutAt(mask(e.ErrorMessage), maxLine)
	for _, frames := range []any{e.StackTrace, e.Trace} {
		if frame := ownFrame(frames); frame != "" {
			i.Trace = cut(mask(frame))
		}
	}
	return i, nil
}

// ownFrame is the last frame of a trace that is the function's own: Python writes the last call last, Node first.
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

// shape is how a function's answer looks to API Gateway ("Lambda function response for format 2.0").
func shape(payload []byte) (s doctor.Shape) {
	s.Length, s.JSON = len(payload), json.Valid(payload)
	var value any
	_ = json.Unmarshal(payload, &value) // else it is no JSON, which is said
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
		s.Body = shown(s.Status, []byte(text))
	}
	return s
}

// kindOf is what some JSON is, in a word.
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
