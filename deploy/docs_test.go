package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/sandbox"
)

var update = flag.Bool("update", false, "write the tables of the docs")

// TestDocs compares the tables in the documents with the code.
func TestDocs(t *testing.T) {
	var differences, causes strings.Builder
	differences.WriteString("| | here | on AWS |\n|---|---|---|\n")
	for _, d := range sandbox.Differences {
		fmt.Fprintf(&differences, "| %s | %s | %s |\n", d.What, d.Here, d.AWS)
	}
	causes.WriteString(
		"| cause | the client sees | what is wrong | what proves it | what heals it |\n|---|---|---|---|---|\n",
	)
	for _, e := range doctor.Catalogue {
		fmt.Fprintf(&causes, "| `%s` | %s | %s | %s | %s |\n", e.Cause, e.Sees, e.Says.In(doctor.English), e.Proof(),
			e.Does.In(doctor.English))
	}
	for _, c := range []struct{ name, path, begin, table string }{
		{name: "sandbox", path: "../docs/sandbox.md", begin: "| | here |", table: differences.String()},
		{name: "doctor", path: "../docs/doctor.md", begin: "| cause |", table: causes.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			compareTable(t, c.path, c.begin, c.table)
		})
	}
}

// compareTable compares a table in a document with the code's, or writes it with -update.
func compareTable(t *testing.T, path, begins, table string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.Index(string(text), begins)
	if begin < 0 {
		t.Fatalf("%s has no table", path)
	}
	end := begin + strings.Index(string(text[begin:]), "\n\n") + 1
	if end <= begin {
		end = len(text)
	}
	if *update {
		text = []byte(string(text[:begin]) + table + string(text[end:]))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if got := string(text[begin:end]); got != table {
		t.Errorf("the table differs from the code: run go test ./deploy -run %s -update", t.Name())
	}
}

// TestDocsReport compares the reports in the documents with those that the doctor prints.
func TestDocsReport(t *testing.T) {
	for _, c := range []struct{ path, flag, file string }{
		{"../docs/doctor.md", "--facts", "docs/blank-500.json"},
		{"../docs/building.md", "--template", "docs/blank-500.yaml"},
	} {
		t.Run(c.path, func(t *testing.T) {
			text, err := os.ReadFile(c.path)
			if err != nil {
				t.Fatal(err)
			}
			_, block, found := strings.Cut(string(text), "$ go run ./deploy doctor "+c.flag+" "+c.file+"\n")
			want, _, ended := strings.Cut(block, "```\n")
			if !found || !ended {
				t.Fatal("the document has no report")
			}
			got, err := deploy(t, "doctor", c.flag, "../"+c.file)
			if err == nil {
				t.Error("the doctor finds nothing")
			}
			got = strings.ReplaceAll(got, "../docs", "docs")
			if got = strings.TrimSpace(got); got != strings.TrimSpace(want) {
				t.Errorf("the doctor prints\n%s\nand the document has\n%s", got, want)
			}
		})
	}
}
