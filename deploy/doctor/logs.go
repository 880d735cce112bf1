package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"example.com/portable-notes/deploy/policy"
)

// errorForms match the forms of an error in a log line, with its type and message.
var errorForms = []*regexp.Regexp{
	regexp.MustCompile(`^\[ERROR\] ([A-Za-z_.]+): (.*?)(?: Traceback.*)?$`),
	regexp.MustCompile(`()(Task timed out after [0-9.]+ seconds)`),
	regexp.MustCompile(`RequestId: \S+ Error: ()(.+)`),
	regexp.MustCompile(`^(?:\S+ ){0,3}ERROR (?:Uncaught Exception |Invoke Error )?([A-Za-z]+Error): (.*)$`),
}

// The fields of an error in a JSON line, and the error type that Lambda logs in a separate line.
var (
	loggedType    = regexp.MustCompile(`"errorType" ?: ?"([^"]+)"`)
	loggedMessage = regexp.MustCompile(`"errorMessage" ?: ?"((?:[^"\\]|\\.)*)"`)
	handledLevel  = regexp.MustCompile(`(?i)"level" ?: ?"(warn|info|debug|trace)`)
	initType      = regexp.MustCompile(`Error Type: (\S+)`)
)

// parseError parses the error in a log line. It reports false if there is none.
func parseError(line string, all []string) (kind, message string, ok bool) {
	if m := loggedType.FindStringSubmatch(line); m != nil && handledLevel.MatchString(line) {
		return "", "", false
	} else if m != nil {
		if text := loggedMessage.FindStringSubmatch(line); text != nil {
			message = text[1]
		}
		return m[1], message, true
	}
	for _, form := range errorForms {
		m := form.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if kind, message = m[1], m[2]; kind != "" || strings.HasPrefix(message, "Task timed out") {
			return kind, message, true
		}
		for _, other := range all { // the type is in another line
			if t := initType.FindStringSubmatch(other); t != nil {
				return t[1], message, true
			}
		}
		if strings.HasPrefix(message, "Runtime exited") {
			kind = "Runtime.ExitError"
		}
		return kind, message, true
	}
	return "", "", false
}

// checkLines judges the function's error by its log, if the function was not invoked.
func checkLines(v *view, r *result) {
	p := v.selected
	direct := v.Invocation.Call != "" && !(v.Invocation.Or().Failed && r.isSynthetic(p))
	if p == nil || direct || !v.gatewayFailed(500, 503) || r.isExplained(LinkPermission, LinkIntegration) {
		return
	}
	if reportUnseen(r, v.Lines, "would.lines") {
		return
	}
	if v.Lines.Seen() && len(*v.Lines.Value) == 0 && !v.Joined && !r.isExplained(LinkCode, LinkFunction, LinkEndpoint) {
		r.addUnseen(v.Lines.Call, v.Lines.Of, &Failure{Kind: Other, Message: r.say("why.no-lines", nil)}, "would.lines")
	}
	for _, line := range slices.Backward(v.Lines.Or()) { // earlier errors were handled
		if kind, message, ok := parseError(line, *v.Lines.Value); ok {
			e := Invocation{Function: p.qualifiedName(), Failed: true, Type: kind, Message: message,
				Log: *v.Lines.Value}
			r.judgeError(Fact[Invocation]{Call: v.Lines.Call, Of: v.Lines.Of, Value: &e}, p, v.textCertainty())
			return
		}
	}
}

// accessErrors maps error messages in access logs to causes ("Troubleshooting issues with HTTP API Lambda
// integrations", "Customize HTTP API access logs").
var accessErrors = []struct{ text, cause, variant string }{
	{"permissions to call the integration", "permission.none", "permission.log"},
	{"permissions to assume the IAM role", "integration.role", "integration.role.log"},
	{"permissions to call the authorizer", "authorizer.not-callable", "authorizer.log"},
	{"from the Lambda Authorizer function doesn't match", "authorizer.shape", "authorizer.shape.log"},
	{"function returned a response", "response.no-status", "response.log"},
	{"doesn't match the format that API Gateway expects", "response.no-status", "response.log"},
	{"returned the following error", "code.error", "code.log"},
	{"timed out", "integration.timeout", "integration.timeout.log"},
}

// checkAccess shows what the access log says about the request, and judges by it if nothing else explains the response.
func checkAccess(v *view, r *result) {
	a := v.clientAnswer()
	if a == nil || a.Status < 400 || reportUnseen(r, v.Access, "would.access") || !v.Access.Seen() {
		return
	}
	l := v.Access.Value
	for _, message := range []string{l.Integration, l.Authorizer} {
		if message == "" {
			continue
		}
		r.addLine(StateNote, "pass.access", values{"message": message})
		for _, e := range accessErrors {
			if strings.Contains(message, e.text) && !r.isExplained(links...) && v.selected != nil {
				r.addFinding(draft{cause: e.cause, variant: e.variant, certainty: Likely, explains: true,
					pairs: []*pair{v.selected}, values: values{
						"function": v.selected.qualifiedName(), "message": message},
					evidence: []Evidence{{Call: v.Access.Call, Of: v.Access.Of, Field: "message", Value: message}}})
				return
			}
		}
	}
}

// checkChanges lists the recent changes, if the user asked for them.
func checkChanges(v *view, r *result) {
	if reportUnseen(r, v.Changes, "would.changes") {
		return
	}
	for _, c := range v.Changes.Or() {
		r.addLine(StateNote, "changed", values{"at": c.At.Format("2006-01-02 15:04 UTC"), "event": c.Event, "of": c.Of,
			"by": c.By})
	}
	if v.Changes.Seen() && len(*v.Changes.Value) == 0 {
		r.skip("skip.changes", nil)
	}
}

// gatewayStopped reports whether the access log says that API Gateway did not invoke the function.
func (v *view) gatewayStopped() bool {
	l := v.Access.Or()
	return strings.Contains(l.Integration, "permissions to call the integration") ||
		strings.Contains(
			l.Integration,
			"permissions to assume the IAM role",
		) || l.Authorizer != "" && l.Integration == ""
}

// checkRoleLogs judges whether the function's role may write its log. Without that, nothing is logged.
func checkRoleLogs(v *view, r *result) {
	p := v.selected
	c := p.configuration()
	if c == nil || !v.Lines.Missing() || !v.Role.Seen() || c.LogGroup == "" {
		return
	}
	group := fmt.Sprintf(
		"arn:%s:logs:%s:%s:log-group:%s",
		v.api.Partition,
		p.target.Region,
		p.target.Account,
		c.LogGroup,
	)
	for _, of := range []struct{ action, resource string }{{"logs:CreateLogGroup", group},
		{"logs:CreateLogStream", group + ":*"}, {"logs:PutLogEvents", group + ":log-stream:x"}} {
		decision, _ := v.Role.Value.Judge(
			policy.Request{Action: of.action, Resource: of.resource, Undecided: undecided},
		)
		if decision.Allowed {
			continue
		}
		r.addFinding(draft{cause: "role.logs", pairs: r.sharingFunction(p), values: values{
			"function": p.qualifiedName(), "action": of.action,
			"role": v.Role.Value.Name}, evidence: []Evidence{
			{Call: v.Role.Call, Of: v.Role.Value.Name, Field: "Action", Expected: of.action},
			{Call: v.Lines.Call, Of: v.Lines.Of, Value: v.Lines.Error.Code}},
			fix: []Fix{r.awsFix(false, "fix.logs", nil, &iam.AttachRolePolicyInput{RoleName: &v.Role.Value.Name,
				PolicyArn: aws.String("arn:" + v.api.Partition +
					":iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")})}})
		return
	}
}

// checkLogs points out that the access log is off or incomplete, if nothing else proves the cause.
func checkLogs(v *view, r *result) {
	reportUnseen(r, v.History, "would.history")
	a := v.clientAnswer()
	if v.stage == nil || a == nil || a.Status < 400 || a.From != FromGateway || slices.ContainsFunc(r.findings,
		func(f Finding) bool { return f.Explains && f.Certainty == Proved }) {
		return
	}
	log := v.stage.AccessLog
	if log == nil || log.Destination == "" {
		r.addFinding(
			draft{
				cause:  "logs.access-off",
				values: values{"stage": v.stage.Name},
				evidence: []Evidence{{Call: v.Stages.Call,
					Of: v.Asked.API, Field: "AccessLogSettings"}},
				fix: r.accessLogFixes(),
			},
		)
		return
	}
	var lacks []string
	for _, name := range []string{"integrationErrorMessage", "authorizer.error", "integration.requestId",
		"integration.integrationStatus", "routeKey"} {
		if !strings.Contains(log.Format, "$context."+name) {
			lacks = append(lacks, "$context."+name)
		}
	}
	if len(lacks) > 0 {
		r.addFinding(
			draft{
				cause:  "logs.access-blind",
				values: values{"stage": v.stage.Name, "lacks": strings.Join(lacks, ", ")},
				evidence: []Evidence{
					{Call: v.Stages.Call, Of: v.Asked.API, Field: "AccessLogSettings.Format", Value: log.Format,
						Expected: strings.Join(lacks, " ")},
				},
			},
		)
	}
}

// accessLogFormat contains the variables that show why a request failed ("Customize HTTP API access logs").
const accessLogFormat = `{"requestId":"$context.requestId","routeKey":"$context.routeKey","status":"$context.status",` +
	`"integrationRequestId":"$context.integration.requestId",` +
	`"integrationStatus":"$context.integration.integrationStatus",` +
	`"integrationError":"$context.integrationErrorMessage","authorizerError":"$context.authorizer.error",` +
	`"error":"$context.error.message"}`

// accessLogFixes turns on the access log of the request's stage.
func (r *result) accessLogFixes() []Fix {
	// Groups under this name share one entry of the account's resource policy, which has room for few.
	group := "/aws/vendedlogs/http-api/" + r.Asked.API + "-" + strings.Trim(r.stage.Name, "$")
	arn := fmt.Sprintf("arn:%s:logs:%s:%s:log-group:%s", r.api.Partition, r.api.Region, r.api.Account, group)
	return []Fix{
		r.awsFix(false, "fix.log-group", nil, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}),
		r.awsFix(false, "fix.access-log", values{"stage": r.stage.Name}, &apigatewayv2.UpdateStageInput{
			ApiId: &r.Asked.API, StageName: &r.stage.Name, AccessLogSettings: &types.AccessLogSettings{
				DestinationArn: &arn, Format: aws.String(accessLogFormat)}}),
	}
}
