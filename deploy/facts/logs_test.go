package facts

import (
	"strings"
	"testing"

	"example.com/portable-notes/deploy/doctor"
)

// TestAccessLine: a line is parsed by the format of its log, whatever that is.
func TestAccessLine(t *testing.T) {
	const message = `The Lambda function said \"no\": Check it.`
	for _, c := range []struct {
		name, format, line string
		want               doctor.AccessLine
		ok                 bool
	}{
		{"JSON", `{"id":"$context.requestId","e":"$context.integrationErrorMessage",` +
			`"r":"$context.integration.requestId"}`,
			`{"id":"Abc=","e":"` + message + `","r":"1-2"}`, doctor.AccessLine{Integration: message, RequestID: "1-2"},
			true},
		{"text", `$context.identity.sourceIp [$context.requestTime] "$context.routeKey" $context.status ` +
			`$context.authorizer.error $context.integration.integrationStatus $context.error.message`,
			`192.0.2.1 [30/Nov/2026:08:00:00 +0000] "GET /notes" 500 - 200 Internal Server Error` + "\n",
			doctor.AccessLine{Status: "200", Error: "Internal Server Error"}, true},
		{"a former format", `$context.requestId $context.status`, "x", doctor.AccessLine{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := accessLine(c.format, c.line); got != c.want || ok != c.ok {
				t.Errorf("%+v %v, want %+v", got, ok, c.want)
			}
		})
	}
}

// TestBlock: the events of a request are found by an id of it, within one log stream.
func TestBlock(t *testing.T) {
	all := []logEvent{
		{"a", "INIT_START", 1}, {"a", "START RequestId: 1-1 Version: $LATEST", 2},
		{"b", "START RequestId: 2-2 Version: 1", 3}, {"a", "[ERROR] KeyError: 'a'", 4}, {"b", "app says Abc=", 5},
		{"b", "[ERROR] ValueError: b", 6}, {"a", "END RequestId: 1-1", 7}, {"a", "REPORT RequestId: 1-1", 8},
		{"b", "REPORT RequestId: 2-2", 9}, {"a", "START RequestId: 3-3 Version: $LATEST", 10},
		{"a", "[ERROR] third", 11},
	}
	for _, c := range []struct {
		name, id, has, lacks string
		joined               bool
	}{
		{"Lambda's id", "1-1", "KeyError", "ValueError", true},
		{"API Gateway's id, which the app logs", "Abc=", "ValueError", "KeyError", true},
		{"a request that has not ended", "3-3", "third", "KeyError", true},
		{"no id", "", "third", "KeyError", false},
		{"an unknown id", "9-9", "third", "ValueError", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := findBlock(all, []string{c.id})
			text := strings.Join(b.lines, "\n")
			if b.matched != c.joined || !strings.Contains(text, c.has) || strings.Contains(text, c.lacks) {
				t.Errorf("%v %s", b.matched, text)
			}
		})
	}
	if b := findBlock(nil, nil); b.lines != nil || b.matched {
		t.Errorf("without events: %+v", b)
	}
}

// TestOwnLog: if the access log contains the request's id at Lambda, the error is read from the function's log, and
// nothing is invoked.
func TestOwnLog(t *testing.T) {
	answers := account()
	answers["/stages"] = `{"items":[{"stageName":"dev","autoDeploy":true,"deploymentId":"d1","stageVariables":` +
		`{"alias":"live"},"accessLogSettings":{"destinationArn":"arn:aws:logs:us-east-1:1:log-group:/access",` +
		`"format":"id $context.requestId at $context.integration.requestId"}}]}`
	answers["/policy"] = `{"Policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"lambda:InvokeFunction\",` +
		`\"Principal\":{\"Service\":\"apigateway.amazonaws.com\"},\"Resource\":\"*\"}]}"}`
	answers["FilterLogEvents"] = `{"events":[{"logStreamName":"s","message":"START RequestId: 1-1 Version: 1"},` +
		`{"logStreamName":"s","message":"[ERROR] KeyError: 'x'"},` +
		`{"logStreamName":"s","message":"REPORT RequestId: 1-1"},` +
		`{"logStreamName":"x","message":"id Abc= at 1-1"}]}` // both logs return these
	c := Gather(t.Context(), served(t, answers),
		Inquiry{Method: "GET", URL: apiAt(t, 500, `{"message":"Internal Server Error"}`)})
	if c.Invocation.Call != "" || !c.Joined || len(c.Lines.Or()) != 1 || c.Access.Or().RequestID != "1-1" {
		t.Errorf("invoked %+v, joined %v, lines %+v, access %+v", c.Invocation, c.Joined, c.Lines, c.Access)
	}
}
