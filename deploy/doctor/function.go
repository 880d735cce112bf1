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
		hideFact(r, f.Configuration, "would.function")
		if c := f.Configuration.Value; c != nil {
			some := v.pairsWith(f)
			before := len(r.findings)
			r.state(f, c, some)
			r.assumable(f, some)
			if len(r.findings) == before && (v.selected == nil || slices.Contains(some, v.selected)) {
				if c.State != "Active" {
					continue
				}
				r.pass("pass.function", values{"function": f.name(), "modified": short(c.Modified)})
			}
		}
	}
}

// assumable judges whether Lambda may assume the role of a function.
func (r *result) assumable(f *Function, pairs []*pair) {
	t := f.Trust
	lambda := "lambda.amazonaws.com"
	if t.Call == "" || hideFact(r, t, "would.trust") || t.Seen() &&
		(policy.Role{Trust: *t.Value}).Assume(lambda, f.Target.Account).Allowed {
		return
	}
	one := found{
		cause:   "function.role",
		variant: "function.role.trust",
		pairs:   pairs,
		values: values{"function": f.name(),
			"role": t.Of},
		explains: slices.Contains(pairs, r.selected) && r.failed(500, 503),
		evidence: []Evidence{{t.Call, t.Of, "AssumeRolePolicyDocument", principals(t.Or()), lambda}},
	}
	if t.Missing() {
		one.variant = "function.role.missing"
		one.evidence = []Evidence{{t.Call, t.Of, "", errorText(t.Error), ""}}
	}
	r.find(one)
}

// short is a time of AWS to the minute.
func short(at string) string { return strings.Replace(at[:min(len(at), 16)], "T", " ", 1) }

func (f *Function) name() string {
	if f.Target.Qualifier != "" {
		return f.Target.Function + ":" + f.Target.Qualifier
	}
	return f.Target.Function
}

// pairsWith are the routes that invoke a function.
func (v *view) pairsWith(f *Function) (some []*pair) {
	for _, p := range v.pairs {
		if p.function == f {
			some = append(some, p)
		}
	}
	return some
}

// retired are runtimes that can no longer be created or updated. They still answer ("Lambda runtimes").
var retired = []string{"go1.x", "provided", "python2.7", "python3.6", "python3.7", "nodejs10.x", "nodejs12.x",
	"nodejs14.x", "java8", "ruby2.5", "ruby2.7", "dotnetcore2.1", "dotnetcore3.1", "dotnet5.0"}

// state judges a function's state, its last update and its concurrency.
func (r *result) state(f *Function, c *Configuration, pairs []*pair) {
	mine := r.selected != nil && slices.Contains(pairs, r.selected)
	one := func(cause string, field, value, reason string, statuses ...int) found {
		return found{cause: cause, pairs: pairs, explains: mine && r.failed(statuses...),
			values:   values{"function": f.name(), "reason": strings.TrimSpace(reason), "value": value},
			evidence: []Evidence{{f.Configuration.Call, f.Configuration.Of, field, value, ""}}}
	}
	reason := c.StateReasonCode + " " + c.StateReason
	switch c.State {
	case "Pending":
		r.find(one("function.pending", "State", c.State, reason, 500, 503))
	case "Inactive":
		r.find(one("function.inactive", "State", c.State, reason, 500, 503))
	case "Failed":
		cause := "function.failed"
		if strings.HasPrefix(c.StateReasonCode, "Image") {
			cause = "function.image"
		}
		r.find(one(cause, "State", c.State, reason, 500, 503))
	}
	if slices.Contains(retired, c.Runtime) {
		r.find(one("function.runtime-retired", "Runtime", c.Runtime, ""))
	}
	switch c.Update {
	case "InProgress":
		if c.State == "Pending" {
			return // it is being created
		}
		r.find(one("function.updating", "LastUpdateStatus", c.Update, ""))
	case "Failed":
		r.find(one("function.update-failed", "LastUpdateStatus", c.Update, c.UpdateReasonCode+" "+c.UpdateReason))
	}
	if c.Concurrency != nil && *c.Concurrency == 0 {
		f := one("function.concurrency-zero", "ReservedConcurrentExecutions", "0", "", 500, 503, 429)
		f.fix = []Fix{r.aws(false, "fix.concurrency", nil,
			&lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String(c.Name)})}
		r.find(f)
	}
}

// reasons are what Lambda says as it refuses to invoke a function, and the cause ("Invoke", Lambda API reference).
var reasons = []struct{ code, message, cause string }{
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

// checkThrottles tells of a function that was throttled in the last hour, where nothing else explains the answer.
func checkThrottles(v *view, r *result) {
	p, n := v.selected, v.History.Or().Throttles
	if n == 0 || p == nil || !v.failed(500, 503) || r.explained(links...) {
		return
	}
	r.find(found{cause: "function.throttled", variant: "function.throttled.metric", certainty: Likely, explains: true,
		pairs: r.alike(p), values: values{"function": p.named(), "count": n},
		evidence: []Evidence{{v.History.Call, p.target.Function, "Throttles", fmt.Sprint(n), "0"}}})
}

// checkInvocation judges what came of invoking the function directly.
func checkInvocation(v *view, r *result) {
	i := v.Invocation
	p := v.selected
	switch {
	case i.Error != nil && i.Error.Kind == Denied && !strings.Contains(i.Error.Message, "cannot be assumed"):
		r.hide(i.Call, i.Of, i.Error, "would.invocation")
	case i.Error != nil && i.Error.Kind != Missing:
		r.refused(i, p)
	case i.Seen() && i.Value.Failed:
		r.broken(i, p, Proved)
	case i.Seen():
		r.pass("pass.invocation", values{"function": i.Value.Function, "millis": i.Value.Millis})
	case v.Asked.Method != "" && p != nil && p.invokes() && v.answer() != nil && v.answer().Status >= 500:
		if v.Asked.NoInvoke {
			r.skip("skip.invocation.flag", nil)
		} else if !Safe(v.Asked.Method) {
			r.skip("skip.invocation.method", values{"method": v.Asked.Method})
		}
	}
}

// Safe reports whether a method changes nothing (RFC 9110, section 9.2.1), so that a function may be invoked for it.
func Safe(method string) bool { return slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method) }

// refused tells why Lambda does not invoke the function, unless its state told already.
func (r *result) refused(i Fact[Invocation], p *pair) {
	for _, reason := range reasons {
		if !strings.HasPrefix(i.Error.Code, reason.code) || !strings.Contains(i.Error.Message, reason.message) {
			continue
		}
		cause := reason.cause
		if cause == "function.kms" && r.recreated(p) {
			cause = "function.role-recreated"
		}
		told := slices.ContainsFunc(r.findings, func(f Finding) bool {
			return f.Cause == cause || f.Cause == "function.concurrency-zero" && cause == "function.throttled"
		})
		if !told {
			r.find(found{cause: cause, pairs: r.alike(p), explains: r.explains(p, 500, 503),
				values:   values{"function": i.Of, "reason": i.Error.Message, "value": i.Error.Code},
				evidence: []Evidence{{i.Call, i.Of, i.Error.Code, i.Error.Message, ""}}})
		}
		return
	}
}

// recreated reports whether the role of a function was made after the function was last changed. Lambda's grant to use
// the key then names the role that was there before ("Troubleshoot invocation issues in Lambda").
func (r *result) recreated(p *pair) bool {
	c, role := p.configuration(), r.Role.Value
	if c == nil || role == nil {
		return false
	}
	made, err := time.Parse(time.RFC3339, role.Created)
	changed, err2 := time.Parse("2006-01-02T15:04:05.000-0700", c.Modified)
	return err == nil && err2 == nil && made.After(changed)
}

// alike are the routes that invoke the same function as one.
func (r *result) alike(p *pair) []*pair {
	if p == nil || p.function == nil {
		return nil
	}
	return r.pairsWith(p.function)
}

// configuration is that of the function of a route; nil where it is not known.
func (p *pair) configuration() *Configuration {
	if p == nil || p.function == nil {
		return nil
	}
	return p.function.Configuration.Value
}

// code is what the zip of the function of a route has; nil where it is not known.
func (p *pair) code() *Code {
	if p == nil || p.function == nil {
		return nil
	}
	return p.function.Code.Value
}

// has reports whether the environment of the function of a route has a variable.
func (p *pair) has(variable string) bool {
	c := p.configuration()
	return c == nil ||
		slices.ContainsFunc(c.Variables, func(v Variable) bool { return v.Name == variable && !v.Empty })
}

// Authorized reports whether a route has an authorizer, which adds to the event.
func Authorized(r Route) bool { return r.Authorization != "" && r.Authorization != "NONE" }

// synthetic reports whether a direct invocation lacks what a request of the route would have: what its authorizer adds.
func (r *result) synthetic(p *pair) bool {
	return p != nil && Authorized(*p.route)
}

// checkResponse judges the shape of what the function returned.
func checkResponse(v *view, r *result) {
	i, p := v.Invocation, v.selected
	if !i.Seen() || i.Value.Failed || p == nil || p.integration == nil {
		return
	}
	s, v2 := i.Value.Shape, p.integration.PayloadFormat == "2.0"
	f := found{
		pairs:    r.alike(p),
		explains: r.explains(p, 500),
		values: values{"function": i.Value.Function, "field": s.Wrong,
			"value": s.StatusCode, "format": p.integration.PayloadFormat, "kind": s.Kind, "length": s.Length},
	}
	at := func(field, value, expected string) {
		f.evidence = []Evidence{{i.Call, i.Of, field, value, expected}}
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
	r.find(f)
}

// overwrites is what the integration of a route puts in place of the path; "" for nothing.
func (p *pair) overwrites() string {
	if p.integration == nil {
		return ""
	}
	return p.integration.Parameters["overwrite:path"]
}

// ofRouter are the answers of common routers to a path that they do not know.
var ofRouter = regexp.MustCompile(`^(\{"detail":"Not Found"\}|\{"message":"Not Found"\}|404 page not found|` +
	`Cannot (GET|POST|PUT|PATCH|DELETE) /|404 Not Found|Not Found$)|<title>(404 )?Not Found</title>|<h1>Not ` +
	`Found</h1>|` +
	`"Code":"NotFoundError"`)

// routes reports whether the app looks at the path itself, as the route of the request takes all.
func (v *view) routes() bool {
	key := v.selected.route.Key
	return key == "$default" || strings.HasSuffix(key, "+}")
}

// checkApp tells of an answer of the app's own that failed.
func checkApp(v *view, r *result) {
	a := v.answer()
	if a != nil && a.Status == 413 && OwnBody(a.Body) && v.Asked.Length > 4<<20 { // base64 adds a third
		r.find(found{cause: "request.too-large", explains: true,
			evidence: []Evidence{{v.Answer.Call, v.Asked.URL, "status", "413", ""}}})
	}
	if a == nil || a.From != FromApp || a.Status < 400 || v.selected == nil {
		return
	}
	f := found{cause: "app.answered", level: Note, explains: true, values: values{"status": a.Status, "body": a.Body,
		"function": v.selected.named()},
		evidence: []Evidence{{v.Answer.Call, v.Asked.URL, fmt.Sprint(a.Status), a.Body, ""}}}
	if a.Status >= 500 && !r.explained("role", "table") { // which tell why
		f.level = Fault
	}
	if r.unread(a.Body) {
		f.cause, f.level, f.certainty, f.values["type"] = "request.base64-body", Fault, Likely, v.Asked.Encoded
	}
	if to := v.selected.overwrites(); a.Status == 404 && to != "" {
		f.cause, f.level, f.certainty, f.values["to"] = "integration.path", Fault, Likely, to
		f.evidence = append(
			f.evidence,
			Evidence{v.Integrations.Call, v.selected.integration.ID, "RequestParameters", to, ""},
		)
	}
	doubled := strings.HasPrefix(v.path, "/"+v.stage.Name+"/")
	switch inPath := strings.Contains(a.Body, "/"+v.stage.Name+"/") || v.routes() && ofRouter.MatchString(a.Body); {
	case a.Status != 404 || v.stage.Name == "$default":
	case doubled && v.routes():
		f.cause, f.variant, f.level, f.certainty = "endpoint.url", "endpoint.url.doubled", Fault, Likely
		f.values["stage"] = v.stage.Name
	case inPath:
		f.cause, f.level, f.certainty = "app.stage-in-path", Fault, Likely // the app may have another reason
		f.values["stage"] = v.stage.Name
	}
	r.find(f)
}
