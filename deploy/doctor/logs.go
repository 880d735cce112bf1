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

// logged are the forms in which an error stands in a log, with its type and its message.
var logged = []*regexp.Regexp{
	regexp.MustCompile(`^\[ERROR\] ([A-Za-z_.]+): (.*?)(?: Traceback.*)?$`),
	regexp.MustCompile(`()(Task timed out after [0-9.]+ seconds)`),
	regexp.MustCompile(`RequestId: \S+ Error: ()(.+)`),
	regexp.MustCompile(`^(?:\S+ ){0,3}ERROR (?:Uncaught Exception |Invoke Error )?([A-Za-z]+Error): (.*)$`),
}

// What an error is in a line of JSON, and which type Lambda tells of it in a line of its own.
var (
	loggedType    = regexp.MustCompile(`"errorType" ?: ?"([^"]+)"`)
	loggedMessage = regexp.MustCompile(`"errorMessage" ?: ?"((?:[^"\\]|\\.)*)"`)
	handled       = regexp.MustCompile(`(?i)"level" ?: ?"(warn|info|debug|trace)`)
	initType      = regexp.MustCompile(`Error Type: (\S+)`)
)

// errorIn reads the error in a line of a log; false where there is none.
func errorIn(line string, all []string) (kind, message string, ok bool) {
	if m := loggedType.FindStringSubmatch(line); m != nil && handled.MatchString(line) {
		return "", "", false
	} else if m != nil {
		if said := loggedMessage.FindStringSubmatch(line); said != nil {
			message = said[1]
		}
		return m[1], message, true
	}
	for _, form := range logged {
		m := form.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if kind, message = m[1], m[2]; kind != "" || strings.HasPrefix(message, "Task timed out") {
			return kind, message, true
		}
		for _, other := range all { // which type the line does not tell
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

// checkLines judges the function's error by its log, where it was not invoked.
func checkLines(v *view, r *result) {
	p := v.selected
	direct := v.Invocation.Call != "" && !(v.Invocation.Or().Failed && r.synthetic(p))
	if p == nil || direct || !v.failed(500, 503) || r.explained("permission", "integration") {
		return
	}
	if hideFact(r, v.Lines, "would.lines") {
		return
	}
	if v.Lines.Seen() && len(*v.Lines.Value) == 0 && !v.Joined && !r.explained("code", "function", "endpoint") {
		r.hide(v.Lines.Call, v.Lines.Of, &Failure{Kind: Other, Message: r.say("why.no-lines", nil)}, "would.lines")
	}
	for _, line := range slices.Backward(v.Lines.Or()) { // what was handled before is not it
		if kind, message, ok := errorIn(line, *v.Lines.Value); ok {
			e := Invocation{Function: p.named(), Failed: true, Type: kind, Message: message, Log: *v.Lines.Value}
			r.broken(Fact[Invocation]{Call: v.Lines.Call, Of: v.Lines.Of, Value: &e}, p, v.ofLines())
			return
		}
	}
}

// accessErrors are what an access log says of API Gateway's own errors, and the cause ("Troubleshooting issues with
// HTTP API Lambda integrations", "Customize HTTP API access logs").
var accessErrors = []struct{ says, cause, variant string }{
	{"permissions to call the integration", "permission.none", "permission.log"},
	{"permissions to assume the IAM role", "integration.role", "integration.role.log"},
	{"permissions to call the authorizer", "authorizer.not-callable", "authorizer.log"},
	{"from the Lambda Authorizer function doesn't match", "authorizer.shape", "authorizer.shape.log"},
	{"function returned a response", "response.no-status", "response.log"},
	{"doesn't match the format that API Gateway expects", "response.no-status", "response.log"},
	{"returned the following error", "code.error", "code.log"},
	{"timed out", "integration.timeout", "integration.timeout.log"},
}

// checkAccess tells what the access log says of the request, and judges by it what nothing else explains.
func checkAccess(v *view, r *result) {
	a := v.answer()
	if a == nil || a.Status < 400 || hideFact(r, v.Access, "would.access") || !v.Access.Seen() {
		return
	}
	l := v.Access.Value
	for _, said := range []string{l.Integration, l.Authorizer} {
		if said == "" {
			continue
		}
		r.line("note", "pass.access", values{"message": said})
		for _, e := range accessErrors {
			if strings.Contains(said, e.says) && !r.explained(links...) && v.selected != nil {
				r.find(found{cause: e.cause, variant: e.variant, certainty: Likely, explains: true,
					pairs: []*pair{v.selected}, values: values{"function": v.selected.named(), "message": said},
					evidence: []Evidence{{v.Access.Call, v.Access.Of, "message", said, ""}}})
				return
			}
		}
	}
}

// checkChanges tells what was changed, where somebody asked for it.
func checkChanges(v *view, r *result) {
	if hideFact(r, v.Changes, "would.changes") {
		return
	}
	for _, c := range v.Changes.Or() {
		r.line("note", "changed", values{"at": c.At.Format("2006-01-02 15:04 UTC"), "event": c.Event, "of": c.Of,
			"by": c.By})
	}
	if v.Changes.Seen() && len(*v.Changes.Value) == 0 {
		r.skip("skip.changes", nil)
	}
}

// stopped reports whether the access log says that API Gateway did not invoke the function.
func (v *view) stopped() bool {
	l := v.Access.Or()
	return strings.Contains(l.Integration, "permissions to call the integration") ||
		strings.Contains(
			l.Integration,
			"permissions to assume the IAM role",
		) || l.Authorizer != "" && l.Integration == ""
}

// checkRoleLogs judges whether the function's role lets Lambda write its log. Without it there is no line of anything.
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
		r.find(found{cause: "role.logs", pairs: r.alike(p), values: values{"function": p.named(), "action": of.action,
			"role": v.Role.Value.Name}, evidence: []Evidence{{v.Role.Call, v.Role.Value.Name, "Action", "", of.action},
			{v.Lines.Call, v.Lines.Of, "", v.Lines.Error.Code, ""}},
			fix: []Fix{r.aws(false, "fix.logs", nil, &iam.AttachRolePolicyInput{RoleName: &v.Role.Value.Name,
				PolicyArn: aws.String("arn:" + v.api.Partition +
					":iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")})}})
		return
	}
}

// checkLogs tells that the access log is off, where it would have told the cause.
func checkLogs(v *view, r *result) {
	hideFact(r, v.History, "would.history")
	a := v.answer()
	if v.stage == nil || a == nil || a.Status < 400 || a.From != FromGateway || slices.ContainsFunc(r.findings,
		func(f Finding) bool { return f.Explains && f.Certainty == Proved }) {
		return
	}
	log := v.stage.AccessLog
	if log == nil || log.Destination == "" {
		r.find(
			found{
				cause:  "logs.access-off",
				values: values{"stage": v.stage.Name},
				evidence: []Evidence{{v.Stages.Call,
					v.Asked.API, "AccessLogSettings", "", ""}},
				fix: r.accessLog(),
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
		r.find(
			found{
				cause:  "logs.access-blind",
				values: values{"stage": v.stage.Name, "lacks": strings.Join(lacks, ", ")},
				evidence: []Evidence{
					{v.Stages.Call, v.Asked.API, "AccessLogSettings.Format", log.Format, strings.Join(lacks, " ")},
				},
			},
		)
	}
}

// accessLogFormat has what tells why a request failed ("Customize HTTP API access logs").
const accessLogFormat = `{"requestId":"$context.requestId","routeKey":"$context.routeKey","status":"$context.status",` +
	`"integrationRequestId":"$context.integration.requestId",` +
	`"integrationStatus":"$context.integration.integrationStatus",` +
	`"integrationError":"$context.integrationErrorMessage","authorizerError":"$context.authorizer.error",` +
	`"error":"$context.error.message"}`

// accessLog are fixes that switch the access log of the request's stage on.
func (r *result) accessLog() []Fix {
	// Groups under this name share one entry of the account's resource policy, which has room for few.
	group := "/aws/vendedlogs/http-api/" + r.Asked.API + "-" + strings.Trim(r.stage.Name, "$")
	arn := fmt.Sprintf("arn:%s:logs:%s:%s:log-group:%s", r.api.Partition, r.api.Region, r.api.Account, group)
	return []Fix{
		r.aws(false, "fix.log-group", nil, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}),
		r.aws(false, "fix.access-log", values{"stage": r.stage.Name}, &apigatewayv2.UpdateStageInput{
			ApiId: &r.Asked.API, StageName: &r.stage.Name, AccessLogSettings: &types.AccessLogSettings{
				DestinationArn: &arn, Format: aws.String(accessLogFormat)}}),
	}
}
