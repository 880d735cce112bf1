package arrows

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/text/width"
)

// maxColumns is where lines of code end.
const maxColumns = 120

// TestLines: lines of Go, shell, YAML and the other sources end by column 120.
func TestLines(t *testing.T) {
	for _, path := range files(t, "*.go", "*.sh", "*.yml", "*.yaml", "Dockerfile", ".ci") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if n := columns(line); n > maxColumns {
				t.Errorf("%s:%d has %d columns", path, i+1, n)
			}
		}
	}
}

// columns returns the number of columns that a line takes: four for a tab, two for a wide character such as those of
// Japanese (Unicode Standard Annex 11), one for another.
func columns(line string) (n int) {
	for _, r := range line {
		switch kind := width.LookupRune(r).Kind(); {
		case r == '\t':
			n += 4
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

func TestColumns(t *testing.T) {
	for line, want := range map[string]int{"": 0, "\tab": 6, "é…": 2, "関数 f": 6} {
		if got := columns(line); got != want {
			t.Errorf("%q has %d columns, want %d", line, got, want)
		}
	}
}
