package storetest

import (
	"fmt"
	"os"
	"testing"
)

// Lacks ends a test that cannot run here, and says what it lacks. Where NOTES_TEST_REQUIRE=all is set, as in CI, that
// is a failure: no part of the tests may go missing unnoticed.
func Lacks(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("NOTES_TEST_REQUIRE") == "all" {
		t.Fatalf("NOTES_TEST_REQUIRE=all, but this machine lacks %s: %v", what, err)
	}
	t.Skipf("this machine lacks %s: %v", what, err)
}

// Race reports whether the tests are built with -race.
func Race() bool { return race }

// NotWithRace ends a test that is built with -race: what it looks at runs in a program of its own, or does one thing
// after the other, so that the detector would only make it slow.
func NotWithRace(t testing.TB) {
	t.Helper()
	if race {
		t.Skip("it is not for -race")
	}
}

// Amount is how often a proof does what it does: short in a usual run, long where NOTES_TEST_LONG is set.
func Amount(short, long int) int {
	if os.Getenv("NOTES_TEST_LONG") != "" {
		return long
	}
	return short
}

// Proved prints what a proof did and found, and what its control found, as a row of the table that the long form of the
// proofs makes (see docs/proofs.md).
func Proved(t testing.TB, did, found, control string) {
	fmt.Printf("| %s | %s | %s | %s |\n", t.Name(), did, found, control)
}
