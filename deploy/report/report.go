// Package report prints what a command does: a line for each step when it is done, or everything as JSON at the end.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/mattn/go-isatty"
)

// State is the outcome of a step. Programs can rely on its values.
type State string

// The states.
const (
	Created   State = "created"
	Updated   State = "updated"
	Unchanged State = "unchanged"
	Removed   State = "removed"
	Kept      State = "kept"     // part of the stack; a flag removes it
	Left      State = "left"     // not part of the stack, or that cannot be determined
	Missing   State = "missing"  // nothing to remove
	Unhelped  State = "unhelped" // a route that no grant can make work
	Changing  State = "changing" // will be updated
	OK        State = "ok"       // built, or checked successfully

	Allowed State = "allowed"
	Refused State = "refused"
	Unsure  State = "unsure" // AWS does not document whether it is allowed
)

// jsonVersion is the version of a report's JSON. It increases when a field or a state changes its meaning, but not when
// a state is added.
const jsonVersion = 1

// Report is the output of one command. Its exported fields are its JSON.
type Report struct {
	out      io.Writer
	progress io.Writer // a terminal, or nil
	json     bool

	began     time.Time // of the current step
	waiting   bool      // a progress line is shown
	restarted bool

	Version int      `json:"version"`
	Steps   []step   `json:"steps"`
	URL     string   `json:"url,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Error   string   `json:"error,omitempty"`
}

type step struct {
	What    string  `json:"what"`
	State   State   `json:"state"`
	Detail  string  `json:"detail,omitempty"`
	Seconds float64 `json:"seconds"`
}

// New returns a report that writes to out. If err is a terminal, it shows there what the command waits for.
func New(out, err io.Writer, asJSON bool) *Report {
	r := &Report{out: out, json: asJSON, began: time.Now(), Version: jsonVersion, Steps: []step{}}
	if f, ok := err.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		r.progress = err
	}
	return r
}

// Restart says that the command begins again. From then on, a step that was reported before is not reported again as
// unchanged.
func (r *Report) Restart() { r.restarted = true }

// Done reports the outcome of a step. The detail is for people and may be empty.
func (r *Report) Done(what string, state State, detail string) {
	if r.restarted && state == Unchanged && slices.ContainsFunc(r.Steps, func(s step) bool { return s.What == what }) {
		return
	}
	took := time.Since(r.began).Round(100 * time.Millisecond)
	seconds := time.Since(r.began).Round(time.Millisecond).Seconds()
	r.Steps = append(r.Steps, step{What: what, State: state, Detail: detail, Seconds: seconds})
	r.began = time.Now()
	r.clear()
	if r.json {
		return
	}
	line := fmt.Sprintf("%-48s %s", what, state)
	if detail != "" {
		line += ": " + detail
	}
	if took > 0 {
		line += fmt.Sprintf("  %.1f s", took.Seconds())
	}
	fmt.Fprintln(r.out, line)
}

// Note adds a note, which is printed at the end.
func (r *Report) Note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// ShowWaiting shows on a terminal what the command waits for.
func (r *Report) ShowWaiting(what string) {
	if r.progress != nil && !r.json {
		r.waiting = true
		fmt.Fprintf(r.progress, "\r\x1b[K%s …", what)
	}
}

func (r *Report) clear() {
	if r.waiting {
		fmt.Fprint(r.progress, "\r\x1b[K")
		r.waiting = false
	}
}

// End prints the notes, or everything as JSON, for a command that ended with err. It returns err, joined with any error
// of encoding.
func (r *Report) End(err error) error {
	r.clear()
	if r.json {
		if err != nil {
			r.Error = err.Error()
		}
		e := json.NewEncoder(r.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return errors.Join(err, e.Encode(r))
	}
	for _, note := range r.Notes {
		fmt.Fprintln(r.out, note)
	}
	return err
}
