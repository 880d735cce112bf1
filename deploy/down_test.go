package main

import (
	"errors"
	"strings"
	"testing"
)

// TestDown: it removes what up made, and the notes only if that is asked for.
func TestDown(t *testing.T) {
	t.Parallel()
	w := enter(t)
	w.up()
	if out := w.runs("down", "--stack", w.name); !strings.Contains(out, "its notes stay") {
		t.Errorf("down says %s", out)
	}
	if out := w.runs("down", "--stack", w.name); strings.Count(out, " missing") != 5 {
		t.Errorf("down again says %s", out)
	}
	w.up()
	w.answers("up after down", 200, `{"notes":[]}`)
	if out, err := w.deploy("down", "--stack", w.name, "--delete-data", "yes"); !errors.Is(err, errUsage) {
		t.Errorf("--delete-data yes: %v, %s", err, out)
	}
	w.runs("down", "--stack", w.name, "--delete-data", w.name)
	if got := w.state(w.name); strings.Contains(got, `"STACK`) {
		t.Errorf("down leaves %s", got)
	}
}
