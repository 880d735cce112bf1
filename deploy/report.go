package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// report says what a command does, as it does it: a line for each thing, or everything as JSON at the end.
type report struct {
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

func newReport(out, err io.Writer, asJSON bool) *report {
	r := &report{out: out, json: asJSON, began: time.Now()}
	if f, ok := err.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		r.progress = err
	}
	return r
}

// done says what became of a thing.
func (r *report) done(what, state string) {
	took := time.Since(r.began)
	r.began = time.Now()
	r.Lines = append(r.Lines, reported{what, state, took.Round(time.Millisecond).Seconds()})
	r.clear()
	if !r.json {
		fmt.Fprintf(r.out, "%-48s %s  %.1f s\n", what, state, took.Seconds())
	}
}

// showToken shows a token that was made: before anything else can fail, because nobody can show it again.
func showToken(to io.Writer, token string) {
	fmt.Fprintf(to, "NOTES_TOKEN=%s\nThat is the token; it is shown only now.\n\n", token)
}

// note says something at the end.
func (r *report) note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// waits shows what is awaited, on a terminal.
func (r *report) waits(what string) {
	if r.progress != nil && !r.json {
		r.waited = true
		fmt.Fprintf(r.progress, "\r\x1b[K%s …", what)
	}
}

func (r *report) clear() {
	if r.waited {
		fmt.Fprint(r.progress, "\r\x1b[K")
		r.waited = false
	}
}

// end says the notes, or all as JSON.
func (r *report) end() error {
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
