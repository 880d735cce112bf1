package doctor

import (
	"slices"
	"time"
)

// Level is how bad a finding is.
type Level string

// The levels. A fault makes requests fail, a warning may, and a note does not.
const (
	Fault   Level = "fault"
	Warning Level = "warning"
	Note    Level = "note"
)

// Certainty is how sure a finding is.
type Certainty string

// The certainties. What is proved admits no other reading of the facts.
const (
	Proved Certainty = "proved"
	Likely Certainty = "likely"
)

// StageRoute is a route of a stage.
type StageRoute struct {
	Stage string `json:"stage"`
	Route string `json:"route"`
}

// Evidence is one thing that was read: by a call, of something, in a field of the answer.
type Evidence struct {
	Call     string `json:"call"`
	Of       string `json:"of"`
	Field    string `json:"field"`
	Value    string `json:"value"`
	Expected string `json:"expected,omitempty"`
}

// Fix is a command that heals, as it can be pasted into a POSIX shell. What is safe neither loses data nor opens access
// nor costs money, and does nothing that somebody may not have meant.
type Fix struct {
	Command string `json:"command"`
	Does    string `json:"does"`
	Safe    bool   `json:"safe"`

	call any // the input of the SDK that the command equals; nil where it is a command of this program
}

// appliable are causes whose fixes may be applied where somebody asks for just that: they may undo what was meant, or
// ship what was not finished, but neither lose data nor open access nor cost money by themselves.
var appliable = []string{"endpoint.disabled", "stage.stale", "stage.not-deployed", "stage.missing", "route.missing",
	"route.method", "route.greedy-parent", "route.no-target", "route.integration-gone", "integration.method",
	"integration.timeout", "integration.payload-format", "integration.stage-variable", "integration.qualifier-missing",
	"permission.qualifier", "function.concurrency-zero", "authorizer.cached", "code.timeout", "logs.access-off"}

// Calls returns the calls that heal a finding, as inputs of the SDK, and their commands. They are none for a finding
// whose fixes are for people alone. What is safe is given only where safe is set, the rest only where it is not.
func (f Finding) Calls(safe bool) (calls []any, commands []string) {
	for i, fix := range f.Fix {
		alternative := i > 0 && f.Cause == "stage.not-deployed"
		if fix.call != nil && fix.Safe == safe && (safe || slices.Contains(appliable, f.Cause)) && !alternative {
			calls, commands = append(calls, fix.call), append(commands, fix.Command)
		}
	}
	return calls, commands
}

// Finding is one thing that is wrong, or worth to know.
type Finding struct {
	Cause     string       `json:"cause"`
	Level     Level        `json:"level"`
	Certainty Certainty    `json:"certainty"`
	Explains  bool         `json:"explains"` // it is a reason for the answer that the client saw
	Link      Link         `json:"link"`
	Routes    []StageRoute `json:"routes"` // which suffer from it
	Summary   string       `json:"summary"`
	Evidence  []Evidence   `json:"evidence"`
	Fix       []Fix        `json:"fix"`
	Remedy    string       `json:"remedy"` // what heals it, in words
	Source    string       `json:"source"` // where the fact behind it is documented
}

// Unseen is what could not be read, and what it would have told.
type Unseen struct {
	Call      string `json:"call"`
	Right     string `json:"right"` // action of IAM that lacks; "" where it is not that
	Why       string `json:"why"`
	WouldTell string `json:"would_tell"`
}

// Link is a part of the chain that a request goes along.
type Link string

// links are the parts of the chain, in order.
var links = []Link{
	"client",
	"endpoint",
	"stage",
	"route",
	"cors",
	"authorizer",
	"integration",
	"permission",
	"function",
	"code",
	"response",
	"app",
	"role",
	"table",
	"network",
	"logs",
}

// LinkState is what is known of a link.
type LinkState struct {
	Link  Link   `json:"link"`
	Name  string `json:"name"`
	State string `json:"state"` // ok, fault, warning, unseen or untouched
}

// Line is one line of the report: what is in order, or was not looked at.
type Line struct {
	Check string
	State string // ok, fault, warning, note, unseen or skipped
	Text  string
	// Finding is the index of the finding that the line tells of; -1 for none.
	Finding int
}

// Target is what was judged.
type Target struct {
	URL       string `json:"url,omitempty"`
	Method    string `json:"method,omitempty"`
	Region    string `json:"region"`
	Account   string `json:"account,omitempty"`
	API       string `json:"api,omitempty"`
	Stage     string `json:"stage,omitempty"`
	Route     string `json:"route,omitempty"`
	Function  string `json:"function,omitempty"`
	Qualifier string `json:"qualifier,omitempty"`
}

// Seen is the answer that the client saw, and who gave it.
type Seen struct {
	Status    int    `json:"status"`
	Body      string `json:"body"`
	From      From   `json:"from"`
	RequestID string `json:"request_id"`
	Millis    int    `json:"latency_ms"`
}

// Verdict is the answer to the question that the doctor was asked.
type Verdict struct {
	Healthy bool   `json:"healthy"`
	Cause   string `json:"cause"` // of the finding that explains the answer; unknown where none does; "" where healthy
	Summary string `json:"summary"`
}

// Logs are where to look for what was logged.
type Logs struct {
	Function string `json:"function"` // log group; "" where no function is known
	Access   string `json:"access"`   // ARN of the stage's access log; "" for none
}

// Past is what became of the requests to the stage in the last hour.
type Past struct {
	Requests  int    `json:"requests"`
	Failures  int    `json:"failures"`
	Since     string `json:"since"`     // from when on all failed; "" where the last did not
	Throttles int    `json:"throttles"` // of the request's function
}

// Diagnosis is what the doctor says of a case. Its JSON is documented by [Schema].
type Diagnosis struct {
	Version  int         `json:"version"`
	At       time.Time   `json:"at"`
	Target   Target      `json:"target"`
	Answer   *Seen       `json:"answer"` // null where no request was sent
	Sent     string      `json:"sent"`
	Invoked  string      `json:"invoked"`
	Logs     Logs        `json:"logs"`
	History  *Past       `json:"history"` // null where it was not read
	Verdict  Verdict     `json:"verdict"`
	Chain    []LinkState `json:"chain"`
	Findings []Finding   `json:"findings"`
	Unseen   []Unseen    `json:"unseen"`
	Calls    int         `json:"calls"`
	Seconds  float64     `json:"seconds"`

	Headline []string `json:"-"` // the answers to what people ask first
	Lines    []Line   `json:"-"` // in the order of the chain
	Closing  string   `json:"-"`
}

// DiagnosisVersion is the version of the JSON of a [Diagnosis].
const DiagnosisVersion = 1

// Unknown is the cause of an answer that nothing explains.
const Unknown = "unknown"

// Judge judges a case, with texts in a language.
func Judge(c Case, language Language) Diagnosis {
	v := look(c)
	r := &result{view: v, language: language, findings: []Finding{}, unseen: []Unseen{}}
	for _, check := range checks {
		r.check = check
		check.judge(v, r)
	}
	d := Diagnosis{
		Version: DiagnosisVersion, At: c.At, Target: v.target(), Answer: v.answer(), Sent: c.Sent,
		Invoked: r.invoked(), Logs: v.logs(), Findings: r.findings, Unseen: r.unseen, Calls: c.Calls,
		Seconds: c.Seconds, History: v.history(), Lines: r.lines,
	}
	d.Verdict = r.verdict(d.Answer)
	d.Chain = r.chain()
	d.Headline, d.Closing = r.headline(&d), r.closing(&d)
	return d
}

// Exit is the exit code of the program: 0 where nothing is wrong, 1 with a fault, 3 where nothing explains the answer.
func (d Diagnosis) Exit() int {
	switch {
	case d.Verdict.Cause == Unknown:
		return 3
	case d.Faults() > 0 || d.Answer != nil && d.Answer.Status >= 400: // an app's own 404 is explained, and no success
		return 1
	}
	return 0
}

// Faults is the number of faults.
func (d Diagnosis) Faults() (n int) {
	for _, f := range d.Findings {
		if f.Level == Fault {
			n++
		}
	}
	return n
}

// verdict tells what explains the answer: the first fault along the chain that does.
func (r *result) verdict(answer *Seen) Verdict {
	first := func(fits func(Finding) bool) *Finding {
		if i := slices.IndexFunc(r.findings, fits); i >= 0 {
			return &r.findings[i]
		}
		return nil
	}
	fails := answer != nil && (answer.Status == 0 || answer.Status >= 400)
	cause := first(func(f Finding) bool { return f.Explains && f.Level == Fault })
	if cause == nil {
		cause = first(func(f Finding) bool { return f.Explains })
	}
	if cause == nil && !fails {
		cause = first(func(f Finding) bool { return f.Level == Fault })
	}
	switch {
	case cause != nil:
		return Verdict{Cause: cause.Cause, Summary: cause.Summary}
	case fails:
		return Verdict{Cause: Unknown, Summary: r.say("verdict.unknown", nil)}
	case r.blind():
		return Verdict{Cause: Unknown, Summary: r.say("verdict.unseen", nil)}
	case r.unjudged():
		return Verdict{Cause: Unknown, Summary: r.say("verdict.unjudged", nil)}
	}
	return Verdict{Healthy: true, Summary: r.say("verdict.healthy", nil)}
}

// unjudged reports whether there is no HTTP API that was judged: it is an API of another kind, or another server.
func (r *result) unjudged() bool {
	return r.REST.Seen() || r.API.Or().Protocol == "WEBSOCKET" || r.Asked.API == "" && !r.Domain.Seen()
}

// blind reports whether what could not be read leaves open whether anything is wrong.
func (r *result) blind() bool { return len(r.unseen) > 0 && !r.API.Seen() }

// place is the link of the chain where a finding is drawn: what is wrong within the function is drawn at the function.
func (f Finding) place() Link {
	if i := slices.Index(links, f.Link); i >= reach && f.Link != "logs" && f.Link != "app" {
		return "function"
	}
	return f.Link
}

// chain tells of each link whether it is in order. What lies behind a fault that stops the request was not reached.
func (r *result) chain() (all []LinkState) {
	reached := true
	for _, link := range links[:slices.Index(links, "code")] {
		name := r.linkName(link)
		if name == "" {
			continue
		}
		state := "ok"
		for _, f := range r.findings {
			if f.place() == link && f.Level == Fault && (r.selected == nil || f.Explains || len(f.Routes) == 0 ||
				slices.Contains(f.Routes, r.selected.name())) {
				state = "fault"
			} else if f.place() == link && f.Level == Warning && state == "ok" {
				state = "warning"
			}
		}
		if state == "ok" && r.hidden[link] {
			state = "unseen"
		}
		if !reached && state == "ok" {
			state = "untouched"
		}
		reached = reached && state != "fault"
		all = append(all, LinkState{link, name, state})
	}
	return all
}
