package planned_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
)

var update = flag.Bool("update", false, "write the tables of the docs")

const building = "../../docs/building.md"

// grants returns the source ARNs of the file's grants, after the API, with ID for the IDs of authorizers.
func (s subject) grants(t *testing.T) (all []string) {
	t.Helper()
	for _, f := range s.read(t, nil).Cases[0].Functions {
		for _, one := range f.Policy.Or().Statement {
			source := one.Condition["ArnLike"]["AWS:SourceArn"][0]
			_, source, _ = strings.Cut(strings.SplitN(source, ":", 6)[5], "/")
			all = append(all, regexp.MustCompile(`^authorizers/[^*].*`).ReplaceAllString(source, "authorizers/ID"))
		}
	}
	return all
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// TestBuilding checks the table of tools in docs/building.md: the source ARNs are those in the tools' own files, and
// the causes are known.
func TestBuilding(t *testing.T) {
	files := map[string][]subject{
		"`deploy up`, `deploy permit`":  {{file: "../stack/testdata/cloudformation-none.golden"}},
		"aws CLI, SDKs, OpenAPI import": {},
		"CloudFormation":                {subjects[0]},
		"AWS SAM": {subjects[1], {file: "testdata/sam-events.json",
			source: "../../docs/building/sam.yaml"}},
		"AWS CDK":              {subjects[2], {file: "testdata/cdk-unscoped.json"}},
		"Serverless Framework": {subjects[3]},
		"Terraform":            {subjects[4], subjects[5]},
	}
	_, table, _ := strings.Cut(string(readFile(t, building)), "\n| tool | writes the grant |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")[2:]
	if len(rows) != len(files) {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "|"), " | ")
		name := strings.TrimSpace(cells[0])
		t.Run(name, func(t *testing.T) {
			told, wants := map[string]bool{}, map[string]bool{}
			for _, m := range codeSpan.FindAllStringSubmatch(cells[2], -1) {
				if strings.Contains(m[1], "/") || strings.Contains(m[1], "*") {
					told[m[1]] = true
				}
			}
			all, known := files[name]
			if !known {
				t.Fatal("this tool has no file")
			}
			for _, s := range all {
				for _, g := range s.grants(t) {
					wants[g] = true
				}
			}
			if !maps.Equal(told, wants) {
				t.Errorf("the table has %v, and the files %v", slices.Sorted(maps.Keys(told)),
					slices.Sorted(maps.Keys(wants)))
			}
			for _, m := range codeSpan.FindAllStringSubmatch(cells[4], -1) {
				if !slices.ContainsFunc(doctor.Catalogue, func(e doctor.Entry) bool { return e.Cause == m[1] }) {
					t.Errorf("there is no cause %s", m[1])
				}
			}
		})
	}
	t.Run("what CDK grants without the scope of a route", func(t *testing.T) {
		d, _ := judge(t, "cdk.json", string(readFile(t, "testdata/cdk-unscoped.json")), planned.Options{})
		if got := strings.Join(faults(d), " "); got != "permission.default-route" {
			t.Error(got)
		}
	})
}

// found has the causes that the tests have found in files, by column of the table in docs/building.md.
var found = [3]map[string]bool{{}, {}, {}}

// record records what was found in a file.
func record(d doctor.Diagnosis, format doctor.Format) {
	column := map[doctor.Format]int{doctor.Terraform: 1, doctor.OpenAPI: 2}[format]
	for _, f := range d.Findings {
		found[column][f.Cause] = true
	}
}

// TestMain compares, after all tests, what they have found with the table in docs/building.md.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" {
		code = compareFound()
	}
	os.Exit(code)
}

// compareFound compares the table of causes, or writes it with -update. It returns the exit code.
func compareFound() int {
	const head = "| cause | template | Terraform | OpenAPI |\n|---|---|---|---|\n"
	var table strings.Builder
	table.WriteString(head)
	for _, e := range doctor.Catalogue {
		if !found[0][e.Cause] && !found[1][e.Cause] && !found[2][e.Cause] {
			continue
		}
		fmt.Fprintf(&table, "| `%s` |", e.Cause)
		for _, column := range found {
			fmt.Fprintf(&table, " %s |", map[bool]string{true: "yes", false: "–"}[column[e.Cause]])
		}
		table.WriteString("\n")
	}
	text, err := os.ReadFile(building)
	before, rest, isThere := strings.Cut(string(text), head)
	_, after, _ := strings.Cut(rest, "\n\n")
	switch {
	case err != nil || !isThere:
		fmt.Println("docs/building.md has no table of causes:", err)
		return 1
	case *update:
		if err := os.WriteFile(building, []byte(before+table.String()+"\n"+after), 0o644); err != nil {
			fmt.Println(err)
			return 1
		}
	case !strings.Contains(string(text), table.String()+"\n"):
		fmt.Println("the table of causes in docs/building.md differs: run go test ./deploy/planned -update")
		return 1
	}
	return 0
}
