// Package report says what a command does: a line for each thing as it is done, or everything as JSON at the end.
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

// State is what became of a thing, in one word that programs can rely on.
type State string

// The states.
const (
	Created   State = "created"
	Updated   State = "updated"
	Unchanged State = "unchanged"
	Removed   State = "removed"
	Kept      State = "kept"     // it is the stack's and stays; a flag removes it
	Left      State = "left"     // it is not the stack's, or that cannot be told
	Missing   State = "missing"  // there was nothing to remove
	Unhelped  State = "unhelped" // of a route that no grant can make work
	Changing  State = "changing" // it will be updated
	OK        State = "ok"       // it was built, or tried, and is as it must be

	Allowed State = "allowed"
	Refused State = "refused"
	Unsure  State = "unsure" // allowed or refused: AWS does not document which
)

// format is the version of the JSON of a report. It grows where a field or a state changes its meaning; a new state
// does not count.
const format = 1

// Report is what one command says. Its JSON has the fields below.
type Report struct {
	out      io.Writer
	progress io.Writer // of what is awaited; nil where nobody looks
	json     bool

	began  time.Time
	waited bool
	again  bool

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

// New returns a report that writes to out. What is awaited is shown on err where that is a terminal.
func New(out, err io.Writer, asJSON bool) *Report {
	r := &Report{out: out, json: asJSON, began: time.Now(), Version: format, Steps: []step{}}
	if f, ok := err.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		r.progress = err
	}
	return r
}

// Again tells that the command begins again. From then on a thing that has a line gets none for being unchanged.
func (r *Report) Again() { r.again = true }

// Done says what became of a thing. The detail is for people; "" is none.
func (r *Report) Done(what string, state State, detail string) {
	if r.again && state == Unchanged && slices.ContainsFunc(r.Steps, func(s step) bool { return s.What == what }) {
		return
	}
	took := time.Since(r.began).Round(100 * time.Millisecond)
	r.Steps = append(r.Steps, step{what, state, detail, time.Since(r.began).Round(time.Millisecond).Seconds()})
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

// Note says something at the end.
func (r *Report) Note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// Waits shows what is awaited, on a terminal.
func (r *Report) Waits(what string) {
	if r.progress != nil && !r.json {
		r.waited = true
		fmt.Fprintf(r.progress, "\r\x1b[K%s …", what)
	}
}

func (r *Report) clear() {
	if r.waited {
		fmt.Fprint(r.progress, "\r\x1b[K")
		r.waited = false
	}
}

// End says the notes, or all as JSON, at the end of a command that ended with err. It returns err.
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
