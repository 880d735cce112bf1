package doctor

import (
	"fmt"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/call"
)

// check looks at one part of the chain.
type check struct {
	id    string
	link  Link
	judge func(v *view, r *result)
}

// result gathers what the checks find.
type result struct {
	*view
	language Language
	check    check
	findings []Finding
	lines    []Line
	unseen   []Unseen
	hidden   map[Link]bool
	// unreachable is set once a line tells that AWS does not answer.
	unreachable bool
}

// found is a finding before it is put into words. Level and certainty are those of the catalogue where they are "".
type found struct {
	cause     string
	variant   string // key of the texts that say and heal it more precisely than the catalogue; "" for the catalogue's
	level     Level
	certainty Certainty
	explains  bool
	pairs     []*pair
	same      string // findings of one cause for which this is the same are one; "" for the values and the evidence
	values    values // for the words
	evidence  []Evidence
	fix       []Fix
	heals     func(first bool) []Fix // makes the fixes; for a pair after the first, those that are about more than it
}

// find adds a finding.
func (r *result) find(f found) {
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
		if !slices.Contains(one.Routes, p.name()) {
			one.Routes = append(one.Routes, p.name())
		}
	}
	if one.Evidence == nil {
		one.Evidence = []Evidence{}
	}
	if one.Fix == nil {
		one.Fix = []Fix{}
	}
	r.findings = append(r.findings, one)
	r.lines = append(r.lines, Line{r.check.id, string(one.Level), one.Summary, len(r.findings) - 1})
}

// each asks about all pairs, and adds what is found once for the pairs that suffer from the same. Of the fixes of the
// others it keeps the first, which is about more than one route.
func (r *result) each(pairs []*pair, ask func(p *pair) *found) {
	var all []*found
	var keys []string
	for _, p := range pairs {
		f := ask(p)
		if f == nil {
			continue
		}
		if f.same == "" {
			f.same = fmt.Sprint(f.values, f.evidence)
		}
		key := fmt.Sprint(f.cause, f.level, f.certainty, f.same)
		if i := slices.Index(keys, key); i >= 0 {
			all[i].pairs = append(all[i].pairs, p)
			all[i].explains = all[i].explains || f.explains
			if f.heals != nil {
				f.fix = f.heals(false)
			}
			if len(f.fix) > 0 && !slices.Contains(all[i].fix, f.fix[0]) {
				all[i].fix = append(all[i].fix, f.fix[0])
			}
			continue
		}
		if f.pairs = []*pair{p}; f.heals != nil {
			f.fix = f.heals(true)
		}
		all, keys = append(all, f), append(keys, key)
	}
	for _, f := range all {
		r.find(*f)
	}
}

// requestFirst is the pairs with that of the request before the others.
func (v *view) requestFirst() []*pair {
	all := slices.Clone(v.pairs)
	if i := slices.Index(all, v.selected); i > 0 {
		all[0], all[i] = all[i], all[0]
	}
	return all
}

// has reports whether a cause was found.
func (r *result) has(cause string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Cause == cause })
}

// explained reports whether a finding about one of some links explains the answer already.
func (r *result) explained(links ...Link) bool {
	return slices.ContainsFunc(
		r.findings,
		func(f Finding) bool { return f.Explains && slices.Contains(links, f.Link) },
	)
}

// pass adds a line for what is in order.
func (r *result) pass(text string, of values) { r.line("ok", text, of) }

// skip adds a line for what was not looked at.
func (r *result) skip(text string, of values) { r.line("skipped", text, of) }

func (r *result) line(state, text string, of values) {
	r.lines = append(r.lines, Line{r.check.id, state, r.say(text, of), -1})
}

// hide adds what could not be read.
func (r *result) hide(call, of string, f *Failure, would string) {
	u := Unseen{Call: strings.TrimSpace(call + " " + of), Why: strings.TrimSpace(f.Code + " " + f.Message),
		WouldTell: r.say(would, nil)}
	if f.Kind == Denied {
		u.Right = rightOf(call)
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
	if f.Kind == Unreachable && r.unreachable {
		return // one line of it is enough
	}
	if r.unreachable = r.unreachable || f.Kind == Unreachable; f.Kind == Unreachable {
		r.lines = append(r.lines, Line{r.check.id, "unseen", r.say("unreachable", values{"call": u.Call, "why": u.Why,
			"region": r.Asked.Region}), -1})
		return
	}
	r.lines = append(r.lines, Line{r.check.id, "unseen", r.say("unseen", values{"call": u.Call, "why": u.Why,
		"would": u.WouldTell}), -1})
}

// rightOf is the action of IAM for a call: the same, but for API Gateway, whose actions are methods of HTTP.
func rightOf(call string) string {
	if strings.HasPrefix(call, "apigateway:") {
		return "apigateway:GET"
	}
	if call == "lambda:Invoke" {
		return "lambda:InvokeFunction"
	}
	return call
}

// hideFact adds a fact that could not be read, if it could not.
func hideFact[T any](r *result, f Fact[T], would string) bool {
	if f.Unseen() {
		r.hide(f.Call, f.Of, f.Error, would)
	}
	return f.Unseen()
}

// say puts a text into words.
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

// aws is a fix by a call of AWS, as a command of the aws CLI.
func (r *result) aws(safe bool, does string, of values, input any) Fix {
	command := call.Command(input)
	if r.Asked.Region != r.Asked.Configured && r.Asked.Region != "" {
		command += " --region " + call.Quote(r.Asked.Region)
	}
	return Fix{command, r.say(does, of), safe, input}
}

// ours is a fix by this program.
func (r *result) ours(safe bool, does string, arguments ...string) Fix {
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

// explains reports whether a finding about some pair is a reason for an answer with one of some statuses.
func (v *view) explains(p *pair, statuses ...int) bool {
	return p != nil && p == v.selected && v.failed(statuses...)
}

// invoked is what was invoked.
func (r *result) invoked() string {
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
