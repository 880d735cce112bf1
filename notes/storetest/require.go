package storetest

import (
	"fmt"
	"os"
	"testing"
)

// Lacks skips a test because this machine lacks what it needs. With NOTES_TEST_REQUIRE=all, as in CI, it fails the test
// instead, so that no test is skipped unnoticed.
func Lacks(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("NOTES_TEST_REQUIRE") == "all" {
		t.Fatalf("NOTES_TEST_REQUIRE=all, but this machine lacks %s: %v", what, err)
	}
	t.Skipf("this machine lacks %s: %v", what, err)
}

// Race reports whether the tests are built with -race.
func Race() bool { return race }

// NotWithRace skips a test under -race. It is for tests that run other programs or are sequential, which the race
// detector would only slow down.
func NotWithRace(t testing.TB) {
	t.Helper()
	if race {
		t.Skip("the race detector finds nothing here and is slow")
	}
}

// Amount returns the number of repetitions for a proof: short, or long if NOTES_TEST_LONG is set.
func Amount(short, long int) int {
	if os.Getenv("NOTES_TEST_LONG") != "" {
		return long
	}
	return short
}

// Proved prints a row of the table of proofs (docs/proofs.md): what the proof did, what it found, and what its control
// found.
func Proved(t testing.TB, did, found, control string) {
	fmt.Printf("| %s | %s | %s | %s |\n", t.Name(), did, found, control)
}
