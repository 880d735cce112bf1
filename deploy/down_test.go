package main

import (
	"errors"
	"strings"
	"testing"
)

// TestDown checks that down removes what up made, and the notes only with --delete-data.
func TestDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	if out := w.mustRun("down", "--stack", w.name); !strings.Contains(out, "its notes stay") {
		t.Errorf("down prints %s", out)
	}
	if out := w.mustRun("down", "--stack", w.name); strings.Count(out, " missing") != 5 {
		t.Errorf("the second down prints %s", out)
	}
	w.up()
	w.checkNotes("up after down", 200, `{"notes":[]}`)
	if out, err := w.deploy("down", "--stack", w.name, "--delete-data", "yes"); !errors.Is(err, errUsage) {
		t.Errorf("--delete-data yes: %v, %s", err, out)
	}
	w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
	if got := w.state(w.name); strings.Contains(got, `"STACK`) {
		t.Errorf("remaining after down: %s", got)
	}
}
