package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/jsonschema/v6"
)

// causesOf lists the causes in a diagnosis, in the notation of situations.
func causesOf(d Diagnosis) string {
	var all []string
	for _, f := range d.Findings {
		text := f.Cause
		if f.Certainty == Likely && strings.HasPrefix(f.Cause, "permission.") {
			text += "?"
		}
		if f.Level != Fault {
			text = "(" + text + ")"
		}
		if f.Explains {
			text = "+" + text
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// TestCauses: each situation leads to exactly the expected findings.
func TestCauses(t *testing.T) {
	schema := compiled(t)
	for _, s := range allSituations {
		t.Run(s.name, func(t *testing.T) {
			c := healthy()
			s.set(c)
			d := Judge(*c, English)
			if got := causesOf(d); got != s.found {
				t.Errorf("found %q, want %q", got, s.found)
			}
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
			if err == nil {
				err = schema.Validate(value)
			}
			if err != nil {
				t.Errorf("the JSON does not match the schema: %v", err)
			}
			ja := Judge(*c, Japanese)
			if causesOf(ja) != causesOf(d) || len(ja.Lines) != len(d.Lines) || ja.Verdict.Cause != d.Verdict.Cause {
				t.Error("the findings depend on the language")
			}
			for _, f := range d.Findings {
				if strings.Contains(f.Summary, "<nil>") || f.Summary == "" {
					t.Errorf("the summary of %s is %q", f.Cause, f.Summary)
				}
				for i, fix := range f.Fix {
					if slices.ContainsFunc(f.Fix[:i], func(o Fix) bool { return o.Command == fix.Command }) {
						t.Errorf("%s names the same command twice: %s", f.Cause, fix.Command)
					}
				}
			}
		})
	}
}

// compiled returns the compiled JSON schema of a diagnosis.
func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("diagnosis.json", value); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("diagnosis.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEveryCause: each cause of the catalogue has a situation that shows it.
func TestEveryCause(t *testing.T) {
	var all []string
	for _, s := range allSituations {
		all = append(
			all,
			strings.FieldsFunc(s.found, func(c rune) bool { return strings.ContainsRune("+()? ", c) })...)
	}
	for _, e := range Catalogue {
		t.Run(e.Cause, func(t *testing.T) {
			if !slices.Contains(all, e.Cause) {
				t.Error("no situation shows it")
			}
			if e.Says.en == "" || e.Says.ja == "" || e.Does.en == "" || e.Does.ja == "" {
				t.Error("a text is missing in one of the languages")
			}
			if placeholders(e.Says.en) != placeholders(e.Says.ja) {
				t.Errorf("the languages have different placeholders: %s, %s", placeholders(e.Says.en),
					placeholders(e.Says.ja))
			}
			if e.Proof() == "" {
				t.Error("nothing proves it")
			}
			if !slices.Contains(links, e.Link) {
				t.Errorf("there is no link %s", e.Link)
			}
		})
	}
	words := maps.Clone(texts)
	maps.Copy(words, variants)
	for key, text := range words {
		if text.en == "" || text.ja == "" || placeholders(text.en) != placeholders(text.ja) {
			t.Errorf("%s differs between the languages", key)
		}
	}
}

func placeholders(text string) string {
	all := placeholder.FindAllString(text, -1)
	slices.Sort(all)
	return fmt.Sprint(slices.Compact(all))
}

// TestSame: the same facts always give the same JSON, even after they were saved and parsed.
func TestSame(t *testing.T) {
	times := 20
	if os.Getenv("NOTES_TEST_LONG") != "" {
		times = 1000
	}
	for _, s := range allSituations {
		t.Run(s.name, func(t *testing.T) {
			c := healthy()
			s.set(c)
			c.Version = CaseVersion
			want, err := json.Marshal(Judge(*c, English))
			if err != nil {
				t.Fatal(err)
			}
			saved, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			read, err := ParseCase(saved)
			if err != nil {
				t.Fatal(err)
			}
			read.Program = c.Program // the JSON does not contain it
			for range times {
				got, err := json.Marshal(Judge(read, English))
				if err != nil || string(got) != string(want) {
					t.Fatalf("%v\n%s\n%s", err, got, want)
				}
			}
		})
	}
}

// TestExit: the exit code is 0 if nothing is wrong, 1 if something is, and 3 if nothing explains the response.
func TestExit(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(c *Case)
		want int
	}{
		{"healthy", func(*Case) {}, 0},
		{"a warning", func(c *Case) { c.function().Configuration.Value.Update = "Failed" }, 0},
		{"a fault", func(c *Case) { blank500(c); c.integration().Method = "GET" }, 1},
		{"a fault of another route", func(c *Case) { (*c.Routes.Value)[1].Target = "" }, 1},
		{"a 404 of the app", func(c *Case) { c.Answer.Value.Status = 404 }, 1},
		{"an unexplained response", blank500, 3},
		{"an API that could not be read", func(c *Case) {
			*c = Case{Asked: Asked{API: "a1"}}
			c.API = failedFact[API]("apigateway:GetApi", "a1", Denied, "AccessDeniedException", "")
		}, 3},
		{"a policy that could not be read, and no request", func(c *Case) {
			c.unreadPolicy()
			c.Answer = Fact[Answer]{}
		}, 3},
		{"a policy that could not be read, and a good response", (*Case).unreadPolicy, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := healthy()
			c.set(one)
			if d := Judge(*one, English); d.Exit() != c.want {
				t.Errorf("%d for %s, %+v", d.Exit(), causesOf(d), d.Verdict)
			}
		})
	}
}
