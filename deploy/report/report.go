// Package report says what a command does: a line for each thing as it is done, or everything as JSON at the end.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// Report is what one command says.
type Report struct {
	out      io.Writer
	progress io.Writer // of what is awaited; nil where nobody looks
	json     bool

	began  time.Time
	waited bool

	Lines []reported `json:"steps"`
	URL   string     `json:"url,omitempty"`
	Notes []string   `json:"notes,omitempty"`
}

type reported struct {
	What    string  `json:"what"`
	State   string  `json:"state"` // created, updated: …, unchanged, removed, …
	Seconds float64 `json:"seconds"`
}

// New returns a report that writes to out. What is awaited is shown on err where that is a terminal.
func New(out, err io.Writer, asJSON bool) *Report {
	r := &Report{out: out, json: asJSON, began: time.Now()}
	if f, ok := err.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		r.progress = err
	}
	return r
}

// Done says what became of a thing.
func (r *Report) Done(what, state string) {
	took := time.Since(r.began)
	r.began = time.Now()
	r.Lines = append(r.Lines, reported{what, state, took.Round(time.Millisecond).Seconds()})
	r.clear()
	if !r.json {
		fmt.Fprintf(r.out, "%-48s %s  %.1f s\n", what, state, took.Seconds())
	}
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

// End says the notes, or all as JSON.
func (r *Report) End() error {
	r.clear()
	if r.json {
		e := json.NewEncoder(r.out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(r.out, note)
	}
	return nil
}
