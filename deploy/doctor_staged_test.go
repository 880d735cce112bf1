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

// stagedCase is a fault with the requests that show it and show that it is mended.
type stagedCase struct {
	stagedFault
	request func(p *patient) []string // words of curl; nil for the path of the fault
	then    func(p *patient) []string // the request that works; nil for the same
}

// words are the words of curl that make the request of a case.
func (s stagedCase) words(p *patient) []string {
	if s.request != nil {
		return s.request(p)
	}
	method, path, found := strings.Cut(s.path, " ")
	if !found {
		method, path = "GET", s.path
	}
	if path == "" {
		path = "/dev/items"
	}
	return []string{"-X", method, p.url(path)}
}

// proofRow is what came of a case: a row of the table in docs/proofs.md.
type proofRow struct{ cause, by, found, also, healed string }

// proof gathers what came of the staged cases.
type proof struct {
	mu   sync.Mutex
	rows []proofRow
}

func (r *proof) add(row proofRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
}

// table is the proof in Markdown.
func (r *proof) table() string {
	slices.SortFunc(r.rows, func(a, b proofRow) int { // which came in any order
		return cmp.Or(orderOf(a.cause)-orderOf(b.cause), strings.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var out strings.Builder
	out.WriteString("| cause | staged by | found | also named | healed by |\n|---|---|---|---|---|\n")
	for _, row := range r.rows {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", row.cause, row.by, row.found, row.also, row.healed)
	}
	return out.String()
}

// orderOf is the place of a cause in the catalogue.
func orderOf(cause string) int {
	return slices.IndexFunc(doctor.Catalogue, func(e doctor.Entry) bool { return e.Cause == cause })
}

// TestDoctorStaged: of an API that works and is broken, the doctor finds the cause and no other fault, and what it
// prints heals it. With NOTES_TEST_LONG=1 all cases are staged, and -update writes the table in docs/proofs.md.
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
	cases := append(stagedAccess(t), stagedRest()...)
	for _, f := range slices.Concat(staged, stagedCode) {
		cases = append(cases, stagedCase{stagedFault: f})
	}
	for _, s := range cases {
		t.Run(s.cause, func(t *testing.T) {
			if !s.often && !long {
				t.Skip("only with NOTES_TEST_LONG=1: it is judged from recorded facts in the usual run")
			}
			t.Parallel()
			all.add(s.stage(t))
		})
	}
}

// stage breaks an API, asks the doctor, mends the API, and asks again.
func (s stagedCase) stage(t *testing.T) proofRow {
	t.Helper()
	p := newPatient(t)
	s.breaks(p)
	d, code := p.seen(append([]string{"--", "curl"}, s.words(p)...)...)
	isFault := doctor.Catalogue[orderOf(s.cause)].Level == doctor.Fault
	named := slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool { return f.Cause == s.cause })
	if got := faults(d); !named || isFault && (got != s.cause || d.Verdict.Cause != s.cause || code != 1) ||
		!isFault && got != "" {
		t.Fatalf("found %q, the cause %q, exit %d; %+v %+v", got, d.Verdict.Cause, code, d.Answer, d.Findings)
	}
	row := proofRow{cause: s.cause, by: s.by(), found: "as the cause", also: "–", healed: "what it printed"}
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
	if s.fixed != nil {
		row.healed = "the user's own change"
		s.fixed(p)
	} else {
		p.pasteFix(d, s.cause)
	}
	then := s.words
	if s.then != nil {
		then = s.then
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) { // what is cached passes
		d, code = p.seen(append([]string{"--", "curl"}, then(p)...)...)
		if code == 0 && d.Verdict.Healthy {
			return row
		} else if time.Now().After(end) {
			t.Fatalf("it is not healed: exit %d, %+v %+v", code, d.Answer, d.Findings)
		}
	}
}

// by is the request with which a case is shown.
func (s stagedCase) by() string {
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

// TestDoctorPairs: of two faults one behind the other, both are found in one run.
func TestDoctorPairs(t *testing.T) {
	if os.Getenv("NOTES_TEST_LONG") == "" {
		t.Skip("only with NOTES_TEST_LONG=1: pairs are judged from recorded facts in the usual run")
	}
	t.Parallel()
	var chain []stagedFault
	for _, cause := range []string{"endpoint.disabled", "stage.throttled", "permission.none", "function.failed",
		"function.concurrency-zero", "code.handler"} {
		for _, s := range slices.Concat(stagedCode, staged) {
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
				second.breaks(p)
				first.breaks(p)
				d, _ := p.seen(p.url("/dev/items"))
				if got := faults(d); got != first.cause+" "+second.cause || d.Verdict.Cause != first.cause {
					t.Errorf("found %q, the cause %q, unseen %+v", got, d.Verdict.Cause, d.Unseen)
				}
			})
		}
	}
}
