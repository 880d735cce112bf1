package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/sandbox"
)

var update = flag.Bool("update", false, "write the tables of the docs")

// TestSandboxDocs: the table of docs/sandbox.md is the one of the code.
func TestSandboxDocs(t *testing.T) {
	const path = "../docs/sandbox.md"
	var table strings.Builder
	table.WriteString("| | here | on AWS |\n|---|---|---|\n")
	for _, d := range sandbox.Stays {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", d.What, d.Here, d.AWS)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.Index(string(text), "| | here |")
	if begin < 0 {
		t.Fatalf("%s has no table", path)
	}
	end := begin + strings.Index(string(text[begin:]), "\n\n") + 1
	if end <= begin {
		end = len(text)
	}
	if *update {
		text = []byte(string(text[:begin]) + table.String() + string(text[end:]))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if got := string(text[begin:end]); got != table.String() {
		t.Errorf("the table is not that of the code: run go test ./deploy -run TestSandboxDocs -update")
	}
}
