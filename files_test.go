package arrows

import (
	"os/exec"
	"strings"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

// files returns the paths of the repository's own files that match one of the patterns, or of all of them without one.
// What testdata quotes is not our own.
func files(t *testing.T, patterns ...string) (paths []string) {
	t.Helper()
	args := append([]string{"ls-files", "-co", "--exclude-standard"}, patterns...)
	out, err := exec.Command("git", args...).Output() // #nosec G204 -- fixed patterns
	if err != nil {
		storetest.Lacks(t, "a clone of the repository with git", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if !strings.Contains(path, "testdata/") {
			paths = append(paths, path)
		}
	}
	return paths
}
