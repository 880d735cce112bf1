package doctor

import (
	"slices"
	"time"
)

// Level is the severity of a finding.
type Level string

// The levels. A fault makes requests fail, a warning may, and a note does not.
const (
	Fault   Level = "fault"
	Warning Level = "warning"
	Note    Level = "note"
)

// Certainty is how certain a finding is.
type Certainty string

// The certainties. If a finding is proved, the facts allow no other explanation.
const (
	Proved Certainty = "proved"
	Likely Certainty = "likely"
)

// StageRoute names a route of a stage.
type StageRoute struct {
	Stage string `json:"stage"`
	Route string `json:"route"`
}

// Evidence is one thing that was read: a field in the answer to a call about a resource.
type Evidence struct {
	Call     string `json:"call"`
	Of       string `json:"of"`
	Field    string `json:"field"`
	Value    string `json:"value"`
	Expected string `json:"expected,omitempty"`
}

// Fix is a command that can be pasted into a POSIX shell to fix a finding. A safe fix does not lose data, open access
// or cost money, and does not undo what may be intended.
type Fix struct {
	Command string `json:"command"`
	Does    string `json:"does"`
	Safe    bool   `json:"safe"`

	call any // the SDK input that equals the command; nil for a command of this program
}

// appliable lists the causes whose unsafe fixes may be applied when the user names the cause. They may undo what is
// intended, or ship unfinished work, but do not by themselves lose data, open access or cost money.
var appliable = []string{"endpoint.disabled", "stage.stale", "stage.not-deployed", "stage.missing", "route.missing",
	"route.method", "route.greedy-parent", "route.no-target", "route.integration-gone", "integration.method",
	"integration.timeout", "integration.payload-format", "integration.stage-variable", "integration.qualifier-missing",
	"permission.qualifier", "function.concurrency-zero", "authorizer.cached", "code.timeout", "logs.access-off"}

// Calls returns the calls that fix a finding, as SDK inputs, and the equal commands. It returns either the safe or the
// unsafe ones, and none that only a person may run.
func (f Finding) Calls(safe bool) (calls []any, commands []string) {
	for i, fix := range f.Fix {
		alternative := i > 0 && f.Cause == "stage.not-deployed"
		if fix.call != nil && fix.Safe == safe && (safe || slices.Contains(appliable, f.Cause)) && !alternative {
			calls, commands = append(calls, fix.call), append(commands, fix.Command)
		}
	}
	return calls, commands
}

// Finding is one thing that is wrong or worth knowing.
type Finding struct {
	Cause     string       `json:"cause"`
	Level     Level        `json:"level"`
	Certainty Certainty    `json:"certainty"`
	Explains  bool         `json:"explains"` // it is a reason for the response that the client received
	Link      Link         `json:"link"`
	Routes    []StageRoute `json:"routes"` // affected routes
	Summary   string       `json:"summary"`
	Evidence  []Evidence   `json:"evidence"`
	Fix       []Fix        `json:"fix"`
	Remedy    string       `json:"remedy"`           // how to fix it, in words
	Source    string       `json:"source"`           // the documentation behind it
	Places    []Place      `json:"places,omitempty"` // where a file says it; nil for what is deployed
	Change    string       `json:"change,omitempty"` // what to write there, in the file's language; "" for nothing
}

// Unseen is something that could not be read, and what it would have shown.
type Unseen struct {
	Call      string `json:"call"`
	Right     string `json:"right"` // the missing IAM action; "" if that is not the reason
	Why       string `json:"why"`
	WouldTell string `json:"would_tell"`
}

// Link is a part of the chain that a request passes through.
type Link string

// The links, in the order of the chain.
const (
	LinkClient      Link = "client"
	LinkEndpoint    Link = "endpoint"
	LinkStage       Link = "stage"
	LinkRoute       Link = "route"
	LinkCORS        Link = "cors"
	LinkAuthorizer  Link = "authorizer"
	LinkIntegration Link = "integration"
	LinkPermission  Link = "permission"
	LinkFunction    Link = "function"
	LinkCode        Link = "code"
	LinkResponse    Link = "response"
	LinkApp         Link = "app"
	LinkRole        Link = "role"
	LinkTable       Link = "table"
	LinkNetwork     Link = "network"
	LinkLogs        Link = "logs"
)

// links are the links, in order.
var links = []Link{LinkClient, LinkEndpoint, LinkStage, LinkRoute, LinkCORS, LinkAuthorizer, LinkIntegration,
	LinkPermission,
	LinkFunction, LinkCode, LinkResponse, LinkApp, LinkRole, LinkTable, LinkNetwork, LinkLogs}

// The states of a link or a line. A line about a finding has the finding's level as its state.
const (
	StateOK        = "ok"
	StateFault     = string(Fault)
	StateWarning   = string(Warning)
	StateNote      = string(Note)
	StateUnseen    = "unseen"    // it could not be read
	StateUntouched = "untouched" // the request did not get there
	StateSkipped   = "skipped"   // it was not checked
)

// LinkState is the state of a link.
type LinkState struct {
	Link  Link   `json:"link"`
	Name  string `json:"name"`
	State string `json:"state"` // [StateOK], [StateFault], [StateWarning], [StateUnseen] or [StateUntouched]
}

// Line is one line of the report: a finding, or what is in order or was not checked.
type Line struct {
	Check string
	State string // [StateOK], [StateSkipped], [StateUnseen], or a level
	Text  string
	// Finding is the index of the finding that the line is about; -1 for none.
	Finding int
}

// Target is what was judged: an API, and the route and function of the request.
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

// ClientAnswer is the response that the client received, and who sent it.
type ClientAnswer struct {
	Status    int    `json:"status"`
	Body      string `json:"body"`
	From      From   `json:"from"`
	RequestID string `json:"request_id"`
	Millis    int    `json:"latency_ms"`
}

// Verdict is the overall conclusion.
type Verdict struct {
	Healthy bool   `json:"healthy"`
	Cause   string `json:"cause"` // of the finding that explains the response; [Unknown] if none does; "" if healthy
	Summary string `json:"summary"`
}

// Logs are the places where the request may have been logged.
type Logs struct {
	Function string `json:"function"` // log group; "" if no function is known
	Access   string `json:"access"`   // ARN of the stage's access log; "" for none
}

// RequestHistory counts the requests to the stage in the last hour.
type RequestHistory struct {
	Requests  int    `json:"requests"`
	Failures  int    `json:"failures"`
	Since     string `json:"since"`     // since when all have failed; "" if the last did not
	Throttles int    `json:"throttles"` // of the request's function
}

// Diagnosis is the result of judging a case. [Schema] documents its JSON.
type Diagnosis struct {
	Version  int             `json:"version"`
	At       time.Time       `json:"at"`
	Target   Target          `json:"target"`
	Answer   *ClientAnswer   `json:"answer"` // null if no request was sent
	Sent     string          `json:"sent"`
	Invoked  string          `json:"invoked"`
	Logs     Logs            `json:"logs"`
	History  *RequestHistory `json:"history"` // null if it was not read
	Verdict  Verdict         `json:"verdict"`
	Chain    []LinkState     `json:"chain"`
	Findings []Finding       `json:"findings"`
	Unseen   []Unseen        `json:"unseen"`
	Calls    int             `json:"calls"`
	Seconds  float64         `json:"seconds"`

	Headline []string `json:"-"` // answers what people ask first
	Lines    []Line   `json:"-"` // in the order of the chain
	Closing  string   `json:"-"`
}

// DiagnosisVersion is the version of the JSON of a [Diagnosis].
const DiagnosisVersion = 1

// Unknown is the cause of a response that nothing explains.
const Unknown = "unknown"

// Judge judges a case. The texts of the diagnosis are in the given language.
func Judge(c Case, language Language) Diagnosis {
	v := newView(c)
	r := &result{view: v, language: language, findings: []Finding{}, unseen: []Unseen{}}
	for _, one := range checks {
		r.check = one
		one.judge(v, r)
	}
	d := Diagnosis{
		Version: DiagnosisVersion, At: c.At, Target: v.target(), Answer: v.clientAnswer(), Sent: c.Sent,
		Invoked: r.invokedFunctions(), Logs: v.logLocations(), Findings: r.findings, Unseen: r.unseen, Calls: c.Calls,
		Seconds: c.Seconds, History: v.pastRequests(), Lines: r.lines,
	}
	d.Verdict = r.verdict(d.Answer)
	d.Chain = r.chain()
	d.Headline, d.Closing = r.headline(&d), r.closing(&d)
	return d
}

// Exit returns the exit code of the program: 0 if nothing is wrong, 1 if something is, 3 if nothing explains the
// response.
func (d Diagnosis) Exit() int {
	switch {
	case d.Verdict.Cause == Unknown:
		return 3
	// an app's own 404 is explained, but is not a success
	case d.Faults() > 0 || d.Answer != nil && d.Answer.Status >= 400:
		return 1
	}
	return 0
}

// Faults returns the number of faults.
func (d Diagnosis) Faults() (n int) {
	for _, f := range d.Findings {
		if f.Level == Fault {
			n++
		}
	}
	return n
}

// verdict returns the first fault along the chain that explains the response, else another finding that does.
func (r *result) verdict(answer *ClientAnswer) Verdict {
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
	case r.Planned != nil && !r.Routes.Unseen(): // a file never says everything
	case r.isBlind():
		return Verdict{Cause: Unknown, Summary: r.say("verdict.unseen", nil)}
	case answer == nil && r.hidesFault():
		return Verdict{Cause: Unknown, Summary: r.say("verdict.hidden", nil)}
	case r.isUnjudged():
		return Verdict{Cause: Unknown, Summary: r.say("verdict.unjudged", nil)}
	}
	return Verdict{Healthy: true, Summary: r.say("verdict.healthy", nil)}
}

// isUnjudged reports whether there was no HTTP API to judge: the API is of another kind, or the server is not an API.
func (r *result) isUnjudged() bool {
	return r.REST.Seen() || r.API.Or().Protocol == "WEBSOCKET" || r.Asked.API == "" && !r.Domain.Seen()
}

// isBlind reports whether too little could be read to tell if anything is wrong.
func (r *result) isBlind() bool { return len(r.unseen) > 0 && !r.API.Seen() }

// hidesFault reports whether a fact could not be read that may keep requests from the function.
func (r *result) hidesFault() bool {
	return slices.ContainsFunc(links[:firstInFunction], func(link Link) bool { return r.hidden[link] })
}

// drawnAt returns the link at which a finding is drawn. What is wrong inside the function is drawn at the function.
func (f Finding) drawnAt() Link {
	if i := slices.Index(links, f.Link); i >= firstInFunction && f.Link != LinkLogs && f.Link != LinkApp {
		return LinkFunction
	}
	return f.Link
}

// chain returns the state of each link. Links behind a fault that stops the request were not reached.
func (r *result) chain() (all []LinkState) {
	reached := true
	for _, link := range links[:slices.Index(links, LinkCode)] {
		name := r.linkName(link)
		if name == "" {
			continue
		}
		state := StateOK
		for _, f := range r.findings {
			if f.drawnAt() == link && f.Level == Fault && (r.selected == nil || f.Explains || len(f.Routes) == 0 ||
				slices.Contains(f.Routes, r.selected.stageRoute())) {
				state = StateFault
			} else if f.drawnAt() == link && f.Level == Warning && state == StateOK {
				state = StateWarning
			}
		}
		if state == StateOK && r.hidden[link] {
			state = StateUnseen
		}
		if !reached && state == StateOK {
			state = StateUntouched
		}
		reached = reached && state != StateFault
		all = append(all, LinkState{Link: link, Name: name, State: state})
	}
	return all
}
