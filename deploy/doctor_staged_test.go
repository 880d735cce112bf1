package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// stagedCase is a fault with the request that shows it, and the request that shows that it is fixed.
type stagedCase struct {
	stagedFault
	others  bool                      // other routes of the API may have faults of their own
	request func(p *patient) []string // arguments of curl; nil for the path of the fault
	healed  func(p *patient) []string // the request that works afterwards; nil for the same request
}

// words returns the arguments of curl for the request of a case.
func (s stagedCase) words(p *patient) []string {
	if s.request != nil {
		return s.request(p)
	}
	method, path, found := strings.Cut(s.path, " ")
	if !found {
		method, path = "GET", s.path
	}
	if path == "" {
		path = p.items()
	}
	return []string{"-X", method, p.url(path)}
}

// proofRow is the result of a case, a row of the table in docs/proofs.md.
type proofRow struct{ cause, request, found, also, repair string }

// proof collects the results of the staged cases.
type proof struct {
	mu   sync.Mutex
	rows []proofRow
}

func (r *proof) add(row proofRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
}

// table returns the results as a Markdown table.
func (r *proof) table() string {
	slices.SortFunc(r.rows, func(a, b proofRow) int { // the cases end in any order
		return cmp.Or(catalogueIndex(a.cause)-catalogueIndex(b.cause), strings.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var out strings.Builder
	out.WriteString("| cause | staged by | found | also named | healed by |\n|---|---|---|---|---|\n")
	for _, row := range r.rows {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", row.cause, row.request, row.found, row.also, row.repair)
	}
	return out.String()
}

// catalogueIndex returns the index of a cause in the catalogue.
func catalogueIndex(cause string) int {
	return slices.IndexFunc(doctor.Catalogue, func(e doctor.Entry) bool { return e.Cause == cause })
}

// TestDoctorStaged breaks working APIs, and checks that the doctor finds the cause and no other fault, and that the fix
// works. With NOTES_TEST_LONG=1 it stages all cases, and with -update it writes the table in docs/proofs.md.
func TestDoctorStaged(t *testing.T) {
	t.Parallel()
	long := os.Getenv("NOTES_TEST_LONG") != ""
	var all proof
	t.Cleanup(func() {
		if !long || t.Failed() || flag.Lookup("test.run").Value.String() != "TestDoctorStaged" {
			return
		}
		t.Logf("%d causes staged\n%s", len(all.rows), all.table())
		compareTable(t, "../docs/proofs.md", "| cause | staged by |", all.table())
	})
	cases := append(accessFaults(t), otherFaults()...)
	for _, f := range slices.Concat(basicFaults, codeFaults) {
		cases = append(cases, stagedCase{stagedFault: f})
	}
	for _, s := range cases {
		t.Run(s.cause, func(t *testing.T) {
			if !s.usual && !long {
				t.Skip("only with NOTES_TEST_LONG=1; the usual run judges it from recorded facts")
			}
			t.Parallel()
			all.add(s.stage(t))
		})
	}
}

// stage breaks an API, runs the doctor, fixes the API, and runs the doctor again.
func (s stagedCase) stage(t *testing.T) proofRow {
	t.Helper()
	return s.stageOn(newPatient(t))
}

// stageOn is like stage, for an API that works.
func (s stagedCase) stageOn(p *patient) proofRow {
	t := p.t
	t.Helper()
	s.inject(p)
	d, code := p.diagnose(append([]string{"--", "curl"}, s.words(p)...)...)
	isFault := doctor.Catalogue[catalogueIndex(s.cause)].Level == doctor.Fault
	named := slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool { return f.Cause == s.cause })
	got := faults(d)
	alone := got == s.cause || s.others
	if !named || isFault && (!alone || d.Verdict.Cause != s.cause || code != 1) || !isFault && got != "" {
		t.Fatalf("found %q, cause %q, exit %d; %+v %+v", got, d.Verdict.Cause, code, d.Answer, d.Findings)
	}
	row := proofRow{cause: s.cause, request: s.describe(), found: "as the cause", also: "–",
		repair: "what it printed"}
	var also []string
	for _, f := range d.Findings {
		if f.Cause != s.cause {
			also = append(also, "`"+f.Cause+"`")
		} else if f.Certainty == doctor.Likely {
			row.found += ", likely"
		}
	}
	if also != nil {
		row.also = strings.Join(also, ", ")
	}
	if s.repair != nil {
		row.repair = "the user's own change"
		s.repair(p)
	} else {
		p.runFix(d, s.cause)
	}
	then := s.words
	if s.healed != nil {
		then = s.healed
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) { // until caches expire
		d, code = p.diagnose(append([]string{"--", "curl"}, then(p)...)...)
		if code == 0 && d.Verdict.Healthy {
			return row
		} else if time.Now().After(end) {
			t.Fatalf("after the fix: exit %d, %+v %+v", code, d.Answer, d.Findings)
		}
	}
}

// describe returns the request of a case for the table.
func (s stagedCase) describe() string {
	switch {
	case s.request != nil:
		return "a request with headers"
	case s.path == "":
		return "GET /dev/items"
	case !strings.Contains(s.path, " "):
		return "GET " + s.path
	}
	return s.path
}

// TestDoctorPairs checks that one run finds two faults, one behind the other.
func TestDoctorPairs(t *testing.T) {
	if os.Getenv("NOTES_TEST_LONG") == "" {
		t.Skip("only with NOTES_TEST_LONG=1; the usual run judges pairs from recorded facts")
	}
	t.Parallel()
	var chain []stagedFault
	for _, cause := range []string{"endpoint.disabled", "stage.throttled", "permission.none", "function.failed",
		"function.concurrency-zero", "code.handler"} {
		for _, s := range slices.Concat(codeFaults, basicFaults) {
			if s.cause == cause && !slices.ContainsFunc(chain, func(o stagedFault) bool { return o.cause == cause }) {
				chain = append(chain, s)
			}
		}
	}
	for i, first := range chain {
		for _, second := range chain[i+1:] {
			t.Run(first.cause+" and "+second.cause, func(t *testing.T) {
				t.Parallel()
				p := newPatient(t)
				second.inject(p)
				first.inject(p)
				d, _ := p.diagnose(p.url("/dev/items"))
				if got := faults(d); got != first.cause+" "+second.cause || d.Verdict.Cause != first.cause {
					t.Errorf("found %q, cause %q, unseen %+v", got, d.Verdict.Cause, d.Unseen)
				}
			})
		}
	}
}
