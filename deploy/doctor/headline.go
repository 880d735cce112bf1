package doctor

import (
	"fmt"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/call"
)

// firstInFunction is the index of the first link inside the function.
var firstInFunction = slices.Index(links, LinkCode)

// headline answers what people ask first: who sent the response, whether the request reached the function, and where
// the logs are.
func (r *result) headline(d *Diagnosis) (lines []string) {
	a := d.Answer
	of := values{}
	switch {
	case r.Planned != nil:
		lines = append(lines, r.plannedHead(d))
	case a == nil && d.Verdict.Cause == Unknown:
		lines = append(lines, r.say("head.api.unknown", values{"api": r.Asked.API}))
	case a == nil && d.Verdict.Healthy:
		lines = append(lines, r.say("head.api.healthy", values{"api": r.Asked.API, "routes": len(r.pairs)}))
	case a == nil && d.Faults() == 1:
		lines = append(lines, r.say("head.api.fault", values{"api": r.Asked.API, "routes": len(r.pairs)}))
	case a == nil:
		lines = append(lines, r.say("head.api.faults", values{"api": r.Asked.API, "routes": len(r.pairs),
			"faults": d.Faults()}))
	case a.Status == 0:
		lines = append(lines, r.say("head.none", values{"host": r.Asked.Host}))
	default:
		of["status"], of["body"], of["millis"] = a.Status, a.Body, a.Millis
		line := strings.Join(strings.Fields(r.say("head."+r.answererKey(a.From), of)), " ")
		lines = append(lines, line+r.reachedText(d))
	}
	if a != nil && a.Status >= 400 {
		lines = append(lines, r.logLine(d))
	}
	if d.Verdict.Cause == Unknown {
		lines = append(lines, r.say("head.unknown", values{"summary": d.Verdict.Summary})+r.nextStep(d))
	}
	return append(lines, r.remarks()...)
}

// plannedHead says what the file shows.
func (r *result) plannedHead(d *Diagnosis) string {
	of := values{"file": r.Planned.File, "api": r.Planned.Name, "routes": len(r.pairs), "faults": d.Faults()}
	warnings := 0
	for _, f := range d.Findings {
		if f.Level == Warning {
			warnings++
		}
	}
	of["warnings"] = warnings
	switch {
	case d.Verdict.Cause == Unknown:
		return r.say("head.planned.unknown", of)
	case d.Faults() == 0 && warnings > 0:
		return r.say("head.planned.warnings", of)
	case d.Faults() == 0:
		return r.say("head.planned.healthy", of)
	case d.Faults() == 1:
		return r.say("head.planned.fault", of)
	}
	return r.say("head.planned.faults", of)
}

// nextStep suggests what to do if nothing explains the response.
func (r *result) nextStep(d *Diagnosis) string {
	switch p := r.selected; {
	case d.Answer == nil || d.Answer.Status < 500 || p == nil || !p.invokesLambda():
		return ""
	case r.Invocation.Call == "" && !r.Asked.NoInvoke && !IsSafe(r.Asked.Method):
		return " " + r.say("head.next.invoke", nil)
	case p.function != nil && p.function.Policy.Unseen():
		return " " + r.say("head.next.policy", nil)
	case d.Logs.Function != "":
		return " " + r.say("head.next.log", values{"command": "aws logs tail " + call.Quote(d.Logs.Function) +
			" --since 10m"})
	}
	return ""
}

// remarks point out where the facts differ from what the user asked about.
func (r *result) remarks() (lines []string) {
	of := values{"removed": r.Asked.Removed, "added": r.Asked.Added, "instead": r.Asked.Instead, "api": r.Asked.API}
	for _, remark := range []struct {
		is  bool
		key string
	}{{r.Asked.Removed != "", "head.removed"}, {r.Asked.Added != "", "head.added"},
		{r.Asked.Instead != "", "head.instead"}, {r.Asked.Interrupted, "head.interrupted"}} {
		if remark.is {
			lines = append(lines, r.say(remark.key, of))
		}
	}
	return lines
}

// reachingCauses lists causes before the function that do not keep a request from reaching it.
var reachingCauses = []string{"integration.timeout", "integration.payload-format", "integration.path", "stage.stale",
	"stage.deploy-failed"}

// reachedText says whether the request reached the function, if that is certain.
func (r *result) reachedText(d *Diagnosis) string {
	switch {
	case d.Verdict.Healthy:
		return r.say("head.fine", nil)
	case d.Answer.From == FromApp && r.selected != nil && !r.selected.invokesLambda():
		return r.say("head.stop", nil)
	case d.Answer.From == FromApp:
		return r.say("head.app-reached", nil)
	case d.Answer.From != FromGateway:
		return r.say("head.stop", nil)
	case r.gatewayStopped():
		return r.say("head.not-reached", nil)
	}
	for _, f := range d.Findings {
		if f.Explains && f.Certainty == Proved && f.Level == Fault && slices.Index(links, f.Link) < firstInFunction &&
			!slices.Contains(reachingCauses, f.Cause) {
			return r.say("head.not-reached", nil)
		}
	}
	return r.say("head.stop", nil)
}

// logLine says where the logs are, and how many requests failed.
func (r *result) logLine(d *Diagnosis) string {
	var parts []string
	if d.Logs.Access != "" {
		parts = append(parts, d.Logs.Access)
	} else if r.stage != nil {
		parts = append(parts, r.say("head.no-access-log", values{"stage": r.stage.Name}))
	}
	if d.Logs.Function != "" {
		parts = append(parts, r.say("head.function-log", values{"group": d.Logs.Function}))
	}
	if len(parts) == 0 {
		parts = append(parts, r.say("head.no-log", nil))
	}
	line := r.say("head.log", values{"where": strings.Join(parts, "; ")})
	if h := d.History; h != nil && h.Failures > 0 {
		of := values{"requests": h.Requests, "failures": h.Failures, "since": h.Since}
		switch {
		case h.Failures == h.Requests && h.Requests > 1:
			line += " " + r.say("head.all-failed", of)
		case h.Requests > 1:
			line += " " + r.say("head.some-failed", of)
		}
	}
	return line
}

// pastRequests returns the history of requests to the stage, nil if it was not read.
func (v *view) pastRequests() *RequestHistory {
	h := v.History.Value
	if h == nil {
		return nil
	}
	p := &RequestHistory{Requests: h.Requests, Failures: h.Failures, Throttles: h.Throttles}
	if h.Since != nil {
		p.Since = h.Since.Format("15:04 UTC")
	}
	return p
}

// closing returns the last line: how much was checked, sent and invoked.
func (r *result) closing(d *Diagnosis) string {
	count := func(key string, n int) string {
		if n == 1 {
			return r.say("close.1-"+key, nil)
		}
		return r.say("close."+key+"s", values{"n": n})
	}
	done := []string{count("fault", d.Faults()), count("check", len(d.Lines))}
	if r.Planned != nil {
		return strings.Join(done, " · ")
	}
	done = append(done, count("call", d.Calls), fmt.Sprintf("%.1f s", d.Seconds))
	if d.Sent != "" {
		done = append(done, r.say("close.sent", values{"sent": d.Sent}))
	}
	if d.Invoked != "" {
		done = append(done, r.say("close.invoked", values{"invoked": d.Invoked}))
	}
	at := d.At.Format("2006-01-02T15:04:05Z")
	if d.Answer != nil && d.Answer.RequestID != "" {
		at += ", request id " + d.Answer.RequestID
	}
	return strings.Join(append(done, at), " · ")
}

// answererKey returns the part of a text key that stands for who sent a response.
func (r *result) answererKey(f From) string {
	if f == FromNobody || f == FromFunction || f == FromAuthorizer {
		return "other"
	}
	return string(f)
}

// Label returns a word of the report's layout.
func Label(key string, l Language, count int) string {
	return texts["label."+key].in(l, values{"count": count})
}
