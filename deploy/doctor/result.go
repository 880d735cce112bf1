package doctor

import (
	"fmt"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/call"
)

// check judges one part of the chain.
type check struct {
	id    string
	link  Link
	judge func(v *view, r *result)
}

// result collects the findings of the checks.
type result struct {
	*view
	language Language
	check    check
	findings []Finding
	lines    []Line
	unseen   []Unseen
	hidden   map[Link]bool
	// unreachable is set once a line says that AWS does not answer.
	unreachable bool
}

// draft is a finding before its texts are filled in. An empty level or certainty is that of the catalogue.
type draft struct {
	cause     string
	variant   string // key in variants of more specific texts; "" for those of the catalogue
	level     Level
	certainty Certainty
	explains  bool
	pairs     []*pair
	mergeKey  string // findings of one cause with the same key are merged; "" to compare values and evidence
	values    values // for the placeholders in the texts
	evidence  []Evidence
	fix       []Fix
	makeFixes func(first bool) []Fix // makes the fixes; for later merged pairs, only those for several routes
}

// addFinding adds a finding.
func (r *result) addFinding(f draft) {
	e := entryOf(f.cause)
	one := Finding{
		Cause: f.cause, Level: f.level, Certainty: f.certainty, Explains: f.explains, Link: e.Link,
		Routes: []StageRoute{}, Summary: e.Says.in(r.language, f.values), Evidence: f.evidence, Fix: f.fix,
		Source: e.Source, Remedy: e.Does.in(r.language, nil),
	}
	if f.variant != "" {
		one.Summary, one.Remedy = r.say(f.variant, f.values), r.say(f.variant+".does", f.values)
	}
	if one.Level == "" {
		one.Level = e.Level
	}
	if one.Certainty == "" {
		one.Certainty = Proved
	}
	for _, p := range f.pairs {
		if !slices.Contains(one.Routes, p.stageRoute()) {
			one.Routes = append(one.Routes, p.stageRoute())
		}
	}
	if one.Evidence == nil {
		one.Evidence = []Evidence{}
	}
	if one.Fix == nil || r.Planned != nil { // commands change what is deployed
		one.Fix = []Fix{}
	}
	one.Remedy = r.plannedRemedy(one.Remedy)
	one.Places, one.Change = r.places(e.Link, f), r.change(e.Link, f)
	r.findings = append(r.findings, one)
	r.lines = append(r.lines, Line{Check: r.check.id, State: string(one.Level), Text: one.Summary,
		Finding: len(r.findings) - 1})
}

// eachPair judges pairs, and merges the findings that have the same cause and mergeKey into one. Of the fixes for later
// pairs, it keeps the first.
func (r *result) eachPair(pairs []*pair, ask func(p *pair) *draft) {
	var all []*draft
	var keys []string
	for _, p := range pairs {
		f := ask(p)
		if f == nil {
			continue
		}
		if f.mergeKey == "" {
			f.mergeKey = fmt.Sprint(f.values, f.evidence)
		}
		key := fmt.Sprint(f.cause, f.level, f.certainty, f.mergeKey)
		if i := slices.Index(keys, key); i >= 0 {
			all[i].pairs = append(all[i].pairs, p)
			all[i].explains = all[i].explains || f.explains
			if f.makeFixes != nil {
				f.fix = f.makeFixes(false)
			}
			if len(f.fix) > 0 && !slices.ContainsFunc(all[i].fix, func(other Fix) bool {
				return other.Command == f.fix[0].Command
			}) {
				all[i].fix = append(all[i].fix, f.fix[0])
			}
			continue
		}
		if f.pairs = []*pair{p}; f.makeFixes != nil {
			f.fix = f.makeFixes(true)
		}
		all, keys = append(all, f), append(keys, key)
	}
	for _, f := range all {
		r.addFinding(*f)
	}
}

// requestFirst returns the pairs, starting with the one that the request selected.
func (v *view) requestFirst() []*pair {
	all := slices.Clone(v.pairs)
	if i := slices.Index(all, v.selected); i > 0 {
		all[0], all[i] = all[i], all[0]
	}
	return all
}

// hasFinding reports whether a cause was found.
func (r *result) hasFinding(cause string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Cause == cause })
}

// isExplained reports whether a finding at one of some links already explains the response.
func (r *result) isExplained(at ...Link) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Explains && slices.Contains(at, f.Link) })
}

// pass adds a line about something in order.
func (r *result) pass(text string, of values) { r.addLine(StateOK, text, of) }

// skip adds a line about something that was not checked.
func (r *result) skip(text string, of values) { r.addLine(StateSkipped, text, of) }

func (r *result) addLine(state, text string, of values) {
	r.lines = append(r.lines, Line{Check: r.check.id, State: state, Text: r.say(text, of), Finding: -1})
}

// addUnseen records something that could not be read.
func (r *result) addUnseen(action, of string, f *Failure, would string) {
	u := Unseen{Call: strings.TrimSpace(action + " " + of), Why: strings.TrimSpace(f.Code + " " + f.Message),
		WouldTell: r.say(would, nil)}
	if f.Kind == Denied {
		u.Right = iamAction(action)
	}
	if strings.Contains(f.Message, "service control policy") {
		u.Why += "; " + r.say("why.scp", nil)
	}
	if slices.Contains(r.unseen, u) {
		return
	}
	r.unseen = append(r.unseen, u)
	if r.hidden == nil {
		r.hidden = map[Link]bool{}
	}
	r.hidden[r.check.link] = true
	if r.Planned != nil {
		r.addLine(StateUnseen, "unseen.planned", values{"why": u.Why, "would": u.WouldTell})
		return
	}
	if f.Kind == Unreachable && r.unreachable {
		return // one such line is enough
	}
	if r.unreachable = r.unreachable || f.Kind == Unreachable; f.Kind == Unreachable {
		r.addLine(StateUnseen, "unreachable", values{"call": u.Call, "why": u.Why, "region": r.Asked.Region})
		return
	}
	r.addLine(StateUnseen, "unseen", values{"call": u.Call, "why": u.Why, "would": u.WouldTell})
}

// iamAction returns the IAM action for a call. It has the name of the call, except that the actions of API Gateway are
// HTTP methods.
func iamAction(action string) string {
	if strings.HasPrefix(action, "apigateway:") {
		return "apigateway:GET"
	}
	if action == "lambda:Invoke" {
		return "lambda:InvokeFunction"
	}
	return action
}

// reportUnseen reports whether a fact could not be read. If so, it records that.
func reportUnseen[T any](r *result, f Fact[T], would string) bool {
	if f.Unseen() {
		r.addUnseen(f.Call, f.Of, f.Error, would)
	}
	return f.Unseen()
}

// say returns the text of a key in the language of the report.
func (r *result) say(key string, of values) string {
	t, ok := texts[key]
	if !ok {
		t, ok = variants[key]
	}
	if !ok {
		panic("there is no text " + key)
	}
	return t.in(r.language, of)
}

// awsFix returns a fix by a call to AWS, as an AWS CLI command.
func (r *result) awsFix(safe bool, does string, of values, input any) Fix {
	command := call.Command(input)
	if r.Asked.Region != r.Asked.Configured && r.Asked.Region != "" {
		command += " --region " + call.Quote(r.Asked.Region)
	}
	return Fix{Command: command, Does: r.say(does, of), Safe: safe, call: input}
}

// programFix returns a fix by a command of this program.
func (r *result) programFix(safe bool, does string, arguments ...string) Fix {
	words := []string{r.Program}
	for _, a := range arguments {
		words = append(words, call.Quote(a))
	}
	command := strings.Join(words, " ")
	if r.Asked.Region != r.Asked.Configured && r.Asked.Region != "" {
		command = "AWS_REGION=" + call.Quote(r.Asked.Region) + " " + command
	}
	return Fix{Command: command, Does: r.say(does, nil), Safe: safe}
}

// explainsAnswer reports whether API Gateway answered a request for the pair with one of some statuses.
func (v *view) explainsAnswer(p *pair, statuses ...int) bool {
	return p != nil && p == v.selected && v.gatewayFailed(statuses...)
}

// invokedFunctions lists the functions that were invoked.
func (r *result) invokedFunctions() string {
	var all []string
	for _, f := range []Fact[Invocation]{r.AuthorizerInvocation, r.Invocation} {
		switch {
		case f.Value != nil:
			all = append(all, fmt.Sprintf("%s (request id %s)", f.Value.Function, f.Value.RequestID))
		case f.Error != nil:
			all = append(all, fmt.Sprintf("%s (%s)", f.Of, f.Error.Code))
		}
	}
	return strings.Join(all, ", ")
}
