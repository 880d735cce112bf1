package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// TestDiagnosis checks the report's text, and that only lines to be pasted exceed its width.
func TestDiagnosis(t *testing.T) {
	routes := []doctor.StageRoute{{Stage: "dev", Route: "GET /notes"}}
	for _, path := range []string{"a", "b", "c", "d", "e", "f"} {
		routes = append(routes, doctor.StageRoute{Stage: "dev", Route: "GET /" + path})
	}
	d := doctor.Diagnosis{
		At:       time.Unix(0, 0),
		Target:   doctor.Target{Stage: "dev", Route: "GET /notes"},
		Answer:   &doctor.ClientAnswer{Status: 500},
		Headline: []string{"500 came from API Gateway", strings.Repeat("a long line ", 20)},
		Chain: []doctor.LinkState{
			{Link: "client", Name: "client", State: "ok"},
			{Link: "stage", Name: "dev", State: "ok"},
			{Link: "permission", Name: "permission", State: "fault"},
			{Link: "function", Name: "notes", State: "untouched"},
		},
		Lines: []doctor.Line{
			{State: "ok", Text: "in order", Finding: -1},
			{State: "fault", Text: "may not", Finding: 0},
			{State: "note", Text: "worth knowing", Finding: 1},
		},
		Findings: []doctor.Finding{{Cause: "permission.stage", Routes: routes,
			Evidence: []doctor.Evidence{{Call: "lambda:GetPolicy", Of: "notes", Field: "s AWS:SourceArn",
				Value: "arn:aws:execute-api:x:1:a1/prod/*", Expected: "arn:aws:execute-api:x:1:a1/dev/GET/notes"}},
			Fix: []doctor.Fix{
				{Command: "deploy permit --api a1", Does: "all at once"},
			}}, {Cause: "logs.access-off", Level: doctor.Note, Remedy: "Switch the log on."}},
		Closing: "1 fault",
	}
	var out bytes.Buffer
	Diagnosis(&out, d, doctor.English)
	text := out.String()
	for _, line := range strings.Split(text, "\n") {
		if n := len([]rune(line)); n > width && !strings.Contains(line, "arn:") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"500 came from API Gateway\n", "client ── dev ──╳── notes", "√ in order\n", "× may not [permission.stage]\n",
		"    lambda:GetPolicy notes s AWS:SourceArn → arn:aws:execute-api:x:1:a1/prod/*\n" +
			"    needed: arn:aws:execute-api:x:1:a1/dev/GET/notes\n" +
			"                                       ^\n",
		"also affected: dev GET /a, dev GET /b, dev GET /c, dev GET /d, and 2 more\n",
		"    fix, all at once:\n      deploy permit --api a1\n",
		"· worth knowing [logs.access-off]\n    note: Switch the log on.", "1 fault\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("the report has colors although it is not written to a terminal")
	}
}

// TestColors checks the escape sequences for colors.
func TestColors(t *testing.T) {
	var out bytes.Buffer
	p := painter{&out, true}
	if got := p.paint("31", "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", got)
	}
}

// TestJSON checks that JSON is not escaped for HTML.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := JSON(&out, map[string]string{"a": "<b>"}); err != nil || out.String() != "{\n  \"a\": \"<b>\"\n}\n" {
		t.Errorf("%v %s", err, out.String())
	}
}

// TestHTML checks that the page has the content of the report, loads nothing, and escapes the output of functions.
func TestHTML(t *testing.T) {
	d := doctor.Diagnosis{
		Headline: []string{"500 came from API Gateway"}, Closing: "1 fault",
		Chain: []doctor.LinkState{{Link: "client", Name: "client", State: "ok"},
			{Link: "permission", Name: "permission", State: "fault"},
			{Link: "function", Name: "notes<b>", State: "untouched"}},
		Lines: []doctor.Line{{State: "ok", Text: "in order", Finding: -1}, {State: "fault", Text: "x", Finding: 0}},
		Findings: []doctor.Finding{{Cause: "code.error", Level: doctor.Fault, Certainty: doctor.Likely,
			Summary:  `it says <script>alert(1)</script>`,
			Evidence: []doctor.Evidence{{Call: "lambda:Invoke", Of: "notes", Value: "ValueError", Expected: "none"}},
			Fix:      []doctor.Fix{{Command: `aws x --y '{"a":"b"}'`, Does: "mends it"}}},
		},
	}
	for _, l := range []doctor.Language{doctor.English, doctor.Japanese} {
		t.Run(string(l), func(t *testing.T) {
			var out bytes.Buffer
			if err := HTML(&out, d, l); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			for _, want := range []string{`<html lang="` + string(l) + `">`, "<h1>500 came from API Gateway</h1>",
				"notes&lt;b&gt;", "it says &lt;script&gt;", `class="cross"`,
				"aws x --y &#39;{&#34;a&#34;:&#34;b&#34;}&#39;",
				"ValueError", "prefers-color-scheme: dark", doctor.Label("copy", l, 0) + "</button>"} {
				if !strings.Contains(text, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			for _, never := range []string{"http:", "https:", "src=", "href=", "url(", "@import", "<script>alert"} {
				if strings.Contains(text, never) {
					t.Errorf("the page contains %q", never)
				}
			}
		})
	}
}
