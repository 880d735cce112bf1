package storetest

import (
	"os"
	"testing"
)

// Lacks ends a test that cannot run here, and says what it lacks. Where NOTES_TEST_REQUIRE=all is set, as in CI, that is
// a failure: no part of the tests may go missing unnoticed.
func Lacks(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("NOTES_TEST_REQUIRE") == "all" {
		t.Fatalf("NOTES_TEST_REQUIRE=all, but this machine lacks %s: %v", what, err)
	}
	t.Skipf("this machine lacks %s: %v", what, err)
}
