package arrows

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxColumns is where lines of code end. A tab counts four columns.
const maxColumns = 120

// TestLines: lines of Go, shell and YAML end by column 120. What is quoted as it was printed, in testdata, may not.
func TestLines(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-co", "--exclude-standard", "*.go", "*.sh",
		"*.yml", "*.yaml", "Dockerfile", ".ci").Output()
	if err != nil {
		t.Skipf("the files are listed by git, which fails: %v", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if strings.Contains(path, "testdata/") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if n := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); n > maxColumns {
				t.Errorf("%s:%d has %d columns", path, i+1, n)
			}
		}
	}
}
