package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/policy"
)

// checkFunctions judges the state of each function once.
func checkFunctions(v *view, r *result) {
	for i := range v.Functions {
		f := &v.Functions[i]
		reportUnseen(r, f.Configuration, "would.function")
		if c := f.Configuration.Value; c != nil {
			some := v.functionPairs(f)
			before := len(r.findings)
			r.judgeState(f, c, some)
			r.judgeTrust(f, some)
			if len(r.findings) == before && (v.selected == nil || slices.Contains(some, v.selected)) {
				if c.State != "Active" {
					continue
				}
				r.pass("pass.function", values{"function": f.qualifiedName(), "modified": toMinute(c.Modified)})
			}
		}
	}
}

// judgeTrust judges whether Lambda may assume the role of a function.
func (r *result) judgeTrust(f *Function, pairs []*pair) {
	t := f.Trust
	const service = "lambda.amazonaws.com"
	if t.Call == "" || reportUnseen(r, t, "would.trust") {
		return
	}
	decision := policy.Role{Trust: t.Or()}.Assume(service, f.Target.Account)
	if decision.Allowed || r.reportOpen(t.Call, t.Of, openNames(decision), "would.trust") {
		return
	}
	one := draft{
		cause:   "function.role",
		variant: "function.role.trust",
		pairs:   pairs,
		values: values{"function": f.qualifiedName(),
			"role": t.Of},
		explains: slices.Contains(pairs, r.selected) && r.gatewayFailed(500, 503),
		evidence: []Evidence{{Call: t.Call, Of: t.Of, Field: "AssumeRolePolicyDocument", Value: principals(t.Or()),
			Expected: service}},
	}
	if t.Missing() {
		one.variant = "function.role.missing"
		one.evidence = []Evidence{{Call: t.Call, Of: t.Of, Value: errorText(t.Error)}}
	}
	r.addFinding(one)
}

// toMinute shortens an AWS timestamp to the minute.
func toMinute(at string) string { return strings.Replace(at[:min(len(at), 16)], "T", " ", 1) }

// qualifiedName returns NAME or NAME:QUALIFIER.
func (f *Function) qualifiedName() string {
	if f.Target.Qualifier != "" {
		return f.Target.Function + ":" + f.Target.Qualifier
	}
	return f.Target.Function
}

// functionPairs returns the pairs that invoke a function.
func (v *view) functionPairs(f *Function) (some []*pair) {
	for _, p := range v.pairs {
		if p.function == f {
			some = append(some, p)
		}
	}
	return some
}

// retiredRuntimes can no longer be created or updated, but still run ("Lambda runtimes").
var retiredRuntimes = []string{"go1.x", "provided", "python2.7", "python3.6", "python3.7", "nodejs10.x", "nodejs12.x",
	"nodejs14.x", "java8", "ruby2.5", "ruby2.7", "dotnetcore2.1", "dotnetcore3.1", "dotnet5.0"}

// judgeState judges a function's state, last update and concurrency.
func (r *result) judgeState(f *Function, c *Configuration, pairs []*pair) {
	mine := r.selected != nil && slices.Contains(pairs, r.selected)
	one := func(cause string, field, value, reason string, statuses ...int) draft {
		return draft{cause: cause, pairs: pairs, explains: mine && r.gatewayFailed(statuses...),
			values:   values{"function": f.qualifiedName(), "reason": strings.TrimSpace(reason), "value": value},
			evidence: []Evidence{{Call: f.Configuration.Call, Of: f.Configuration.Of, Field: field, Value: value}}}
	}
	reason := c.StateReasonCode + " " + c.StateReason
	switch c.State {
	case "Pending":
		r.addFinding(one("function.pending", "State", c.State, reason, 500, 503))
	case "Inactive":
		r.addFinding(one("function.inactive", "State", c.State, reason, 500, 503))
	case "Failed":
		cause := "function.failed"
		if strings.HasPrefix(c.StateReasonCode, "Image") {
			cause = "function.image"
		}
		r.addFinding(one(cause, "State", c.State, reason, 500, 503))
	}
	if slices.Contains(retiredRuntimes, c.Runtime) {
		r.addFinding(one("function.runtime-retired", "Runtime", c.Runtime, ""))
	}
	switch c.Update {
	case "InProgress":
		if c.State == "Pending" {
			return // the function is being created
		}
		r.addFinding(one("function.updating", "LastUpdateStatus", c.Update, ""))
	case "Failed":
		r.addFinding(one("function.update-failed", "LastUpdateStatus", c.Update, c.UpdateReasonCode+" "+c.UpdateReason))
	}
	if c.Concurrency != nil && *c.Concurrency == 0 {
		f := one("function.concurrency-zero", "ReservedConcurrentExecutions", "0", "", 500, 503, 429)
		f.fix = []Fix{r.awsFix(false, "fix.concurrency", nil,
			&lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String(c.Name)})}
		r.addFinding(f)
	}
}

// invokeErrors maps errors of Invoke to causes ("Invoke", Lambda API reference). The first match applies.
var invokeErrors = []struct{ code, message, cause string }{
	{"TooManyRequestsException", "", "function.throttled"},
	{"KMS", "UnrecognizedClientException", "function.role-recreated"},
	{"KMS", "", "function.kms"},
	{"AccessDeniedException", "cannot be assumed by Lambda", "function.role"},
	{"InvalidParameterValueException", "cannot be assumed by Lambda", "function.role"},
	{"EFS", "", "function.efs"},
	{"SnapStart", "", "function.snapstart"},
	{"CodeArtifactUserPendingException", "", "function.pending"},
	{"ResourceConflictException", "Pending", "function.pending"},
	{"ResourceConflictException", "Inactive", "function.inactive"},
	{"ResourceConflictException", "Failed", "function.failed"},
	{"ResourceNotReadyException", "", "function.inactive"},
	{"", "", "function.refused"},
}

// checkThrottles finds a function that was throttled in the last hour, if nothing else explains the response.
func checkThrottles(v *view, r *result) {
	p, n := v.selected, v.History.Or().Throttles
	if n == 0 || p == nil || !v.gatewayFailed(500, 503) || r.isExplained(links...) {
		return
	}
	r.addFinding(draft{cause: "function.throttled", variant: "function.throttled.metric", certainty: Likely,
		explains: true,
		pairs:    r.sharingFunction(p), values: values{"function": p.qualifiedName(), "count": n},
		evidence: []Evidence{{Call: v.History.Call, Of: p.target.Function, Field: "Throttles", Value: fmt.Sprint(n),
			Expected: "0"}}})
}

// checkInvocation judges the result of invoking the function directly.
func checkInvocation(v *view, r *result) {
	i := v.Invocation
	p := v.selected
	switch {
	case i.Error != nil && i.Error.Kind == Denied && !strings.Contains(i.Error.Message, "cannot be assumed"):
		r.addUnseen(i.Call, i.Of, i.Error, "would.invocation")
	case i.Error != nil && i.Error.Kind != Missing:
		r.judgeRefusedInvoke(i, p)
	case i.Seen() && i.Value.Failed:
		r.judgeError(i, p, Proved)
	case i.Seen():
		r.pass("pass.invocation", values{"function": i.Value.Function, "millis": i.Value.Millis})
	case v.Asked.Method != "" && p != nil && p.invokesLambda() && v.clientAnswer() != nil &&
		v.clientAnswer().Status >= 500:
		if v.Asked.NoInvoke {
			r.skip("skip.invocation.flag", nil)
		} else if !IsSafe(v.Asked.Method) {
			r.skip("skip.invocation.method", values{"method": v.Asked.Method})
		}
	}
}

// IsSafe reports whether an HTTP method is safe (RFC 9110, section 9.2.1), so that a function may be invoked for it.
func IsSafe(method string) bool { return slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) }

// judgeRefusedInvoke finds why Lambda refuses to invoke the function, unless its state already shows it.
func (r *result) judgeRefusedInvoke(i Fact[Invocation], p *pair) {
	for _, reason := range invokeErrors {
		if !strings.HasPrefix(i.Error.Code, reason.code) || !strings.Contains(i.Error.Message, reason.message) {
			continue
		}
		cause := reason.cause
		if cause == "function.kms" && r.isRoleNewer(p) {
			cause = "function.role-recreated"
		}
		told := slices.ContainsFunc(r.findings, func(f Finding) bool {
			return f.Cause == cause || f.Cause == "function.concurrency-zero" && cause == "function.throttled"
		})
		if !told {
			r.addFinding(draft{cause: cause, pairs: r.sharingFunction(p), explains: r.explainsAnswer(p, 500, 503),
				values:   values{"function": i.Of, "reason": i.Error.Message, "value": i.Error.Code},
				evidence: []Evidence{{Call: i.Call, Of: i.Of, Field: i.Error.Code, Value: i.Error.Message}}})
		}
		return
	}
}

// isRoleNewer reports whether the role of a function was created after the function was last changed. Then Lambda's
// grant for the KMS key names the former role ("Troubleshoot invocation issues in Lambda").
func (r *result) isRoleNewer(p *pair) bool {
	c, role := p.configuration(), r.Role.Value
	if c == nil || role == nil {
		return false
	}
	made, err := time.Parse(time.RFC3339, role.Created)
	changed, err2 := time.Parse("2006-01-02T15:04:05.000-0700", c.Modified)
	return err == nil && err2 == nil && made.After(changed)
}

// sharingFunction returns the pairs that invoke the same function as p.
func (r *result) sharingFunction(p *pair) []*pair {
	if p == nil || p.function == nil {
		return nil
	}
	return r.functionPairs(p.function)
}

// configuration returns the configuration of a pair's function, nil if it is not known.
func (p *pair) configuration() *Configuration {
	if p == nil || p.function == nil {
		return nil
	}
	return p.function.Configuration.Value
}

// code returns the facts about the zip of a pair's function, nil if they are not known.
func (p *pair) code() *Code {
	if p == nil || p.function == nil {
		return nil
	}
	return p.function.Code.Value
}

// setsVariable reports whether the environment of a pair's function sets a variable, or is not known.
func (p *pair) setsVariable(variable string) bool {
	c := p.configuration()
	return c == nil ||
		slices.ContainsFunc(c.Variables, func(v Variable) bool { return v.Name == variable && !v.Empty })
}

// HasAuthorizer reports whether a route has an authorizer. Authorizers add to the event.
func HasAuthorizer(r Route) bool { return r.Authorization != "" && r.Authorization != "NONE" }

// isSynthetic reports whether the event of a direct invocation lacks what the route's authorizer adds.
func (r *result) isSynthetic(p *pair) bool {
	return p != nil && HasAuthorizer(*p.route)
}

// checkResponse judges the shape of what the function returned.
func checkResponse(v *view, r *result) {
	i, p := v.Invocation, v.selected
	if !i.Seen() || i.Value.Failed || p == nil || p.integration == nil {
		return
	}
	s, v2 := i.Value.Shape, p.integration.PayloadFormat == "2.0"
	f := draft{
		pairs:    r.sharingFunction(p),
		explains: r.explainsAnswer(p, 500),
		values: values{"function": i.Value.Function, "field": s.Wrong,
			"value": s.StatusCode, "format": p.integration.PayloadFormat, "kind": s.Kind, "length": s.Length},
	}
	at := func(field, value, expected string) {
		f.evidence = []Evidence{{Call: i.Call, Of: i.Of, Field: field, Value: value, Expected: expected}}
	}
	switch {
	case s.Length > 6_291_556:
		f.cause = "response.too-large"
		at("bytes", fmt.Sprint(s.Length), "6291556")
	case !s.JSON && v2, s.StatusCode == "" && !v2:
		f.cause = "response.no-status"
		at("statusCode", "", "200")
	case s.StatusCode != "" && s.Status == 0:
		f.cause = "response.status"
		at("statusCode", s.StatusCode, "200")
	case s.Wrong != "" && strings.HasPrefix(s.Wrong, "body is not base64"):
		f.cause = "response.base64"
		at("body", s.Wrong, "")
	case s.Wrong != "" && strings.HasPrefix(s.Wrong, "body"):
		f.cause = "response.body"
		at("body", s.Wrong, "")
	case s.Wrong != "":
		f.cause = "response.headers"
		at("headers", s.Wrong, "")
	default:
		return
	}
	r.addFinding(f)
}

// pathOverride returns what a pair's integration replaces the path with, "" if it does not.
func (p *pair) pathOverride() string {
	if p.integration == nil {
		return ""
	}
	return p.integration.Parameters["overwrite:path"]
}

// routerNotFound matches the responses of common routers to unknown paths.
var routerNotFound = regexp.MustCompile(`^(\{"detail":"Not Found"\}|\{"message":"Not Found"\}|404 page not found|` +
	`Cannot (GET|POST|PUT|PATCH|DELETE) /|404 Not Found|Not Found$)|<title>(404 )?Not Found</title>|<h1>Not ` +
	`Found</h1>|` +
	`"Code":"NotFoundError"`)

// takesAllPaths reports whether the route of the request matches all paths, so that the app itself routes.
func (v *view) takesAllPaths() bool {
	key := v.selected.route.Key
	return key == "$default" || strings.HasSuffix(key, "+}")
}

// checkApp judges an error of the app itself.
func checkApp(v *view, r *result) {
	a := v.clientAnswer()
	// base64 makes it a third longer
	if a != nil && a.Status == 413 && IsGatewayBody(a.Body) && v.Asked.Length > 4<<20 {
		r.addFinding(draft{cause: "request.too-large", explains: true,
			evidence: []Evidence{{Call: v.Answer.Call, Of: v.Asked.URL, Field: "status", Value: "413"}}})
	}
	if a == nil || a.From != FromApp || a.Status < 400 || v.selected == nil {
		return
	}
	f := draft{cause: "app.answered", level: Note, explains: true, values: values{"status": a.Status, "body": a.Body,
		"function": v.selected.qualifiedName()},
		evidence: []Evidence{{Call: v.Answer.Call, Of: v.Asked.URL, Field: fmt.Sprint(a.Status), Value: a.Body}}}
	if a.Status >= 500 && !r.isExplained(LinkRole, LinkTable) { // those say why
		f.level = Fault
	}
	if r.misreadsBase64(a.Body) {
		f.cause, f.level, f.certainty, f.values["type"] = "request.base64-body", Fault, Likely, v.Asked.Encoded
	}
	if to := v.selected.pathOverride(); a.Status == 404 && to != "" {
		f.cause, f.level, f.certainty, f.values["to"] = "integration.path", Fault, Likely, to
		f.evidence = append(
			f.evidence,
			Evidence{Call: v.Integrations.Call, Of: v.selected.integration.ID, Field: "RequestParameters", Value: to},
		)
	}
	doubled := strings.HasPrefix(v.path, "/"+v.stage.Name+"/")
	switch inPath := strings.Contains(a.Body, "/"+v.stage.Name+"/") || v.takesAllPaths() &&
		routerNotFound.MatchString(a.Body); {
	case a.Status != 404 || v.stage.Name == "$default":
	case doubled && v.takesAllPaths():
		f.cause, f.variant, f.level, f.certainty = "endpoint.url", "endpoint.url.doubled", Fault, Likely
		f.values["stage"] = v.stage.Name
	case inPath:
		f.cause, f.level, f.certainty = "app.stage-in-path", Fault, Likely // the app may have another reason
		f.values["stage"] = v.stage.Name
	}
	r.addFinding(f)
}
