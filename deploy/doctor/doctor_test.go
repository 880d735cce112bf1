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

// told are the causes of a diagnosis, as situations have them.
func told(d Diagnosis) string {
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

// TestCauses: each cause is found in the facts that show it, and no other one.
func TestCauses(t *testing.T) {
	schema := compiled(t)
	for _, s := range allSituations {
		t.Run(s.name, func(t *testing.T) {
			c := healthy()
			s.set(c)
			d := Judge(*c, English)
			if got := told(d); got != s.found {
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
				t.Errorf("its JSON is not what the schema says: %v", err)
			}
			ja := Judge(*c, Japanese)
			if told(ja) != told(d) || len(ja.Lines) != len(d.Lines) || ja.Verdict.Cause != d.Verdict.Cause {
				t.Error("another language has other findings")
			}
			for _, f := range d.Findings {
				if strings.Contains(f.Summary, "<nil>") || f.Summary == "" {
					t.Errorf("%s says %q", f.Cause, f.Summary)
				}
			}
		})
	}
}

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
				t.Error("a text lacks in one of the languages")
			}
			if placeholders(e.Says.en) != placeholders(e.Says.ja) {
				t.Errorf("the languages have other values: %s, %s", placeholders(e.Says.en), placeholders(e.Says.ja))
			}
			if e.Proof() == "" {
				t.Error("it is not told what proves it")
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
			t.Errorf("%s has another text in the other language", key)
		}
	}
}

func placeholders(text string) string {
	all := placeholder.FindAllString(text, -1)
	slices.Sort(all)
	return fmt.Sprint(slices.Compact(all))
}

// TestSame: the same facts give the same bytes, also after they were saved and read.
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
			read.Program = c.Program // which is of whoever judges
			for range times {
				got, err := json.Marshal(Judge(read, English))
				if err != nil || string(got) != string(want) {
					t.Fatalf("%v\n%s\n%s", err, got, want)
				}
			}
		})
	}
}

// TestExit: the exit code is 0 where nothing is wrong, 1 with a fault, and 3 where nothing explains the answer.
func TestExit(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(c *Case)
		want int
	}{
		{"healthy", func(*Case) {}, 0},
		{"a warning", func(c *Case) { c.function().Configuration.Value.Update = "Failed" }, 0},
		{"a fault", func(c *Case) { blank(c); c.integration().Method = "GET" }, 1},
		{"a fault of another route", func(c *Case) { (*c.Routes.Value)[1].Target = "" }, 1},
		{"a 404 of the app", func(c *Case) { c.Answer.Value.Status = 404 }, 1},
		{"nothing explains it", blank, 3},
		{"an API that could not be read", func(c *Case) {
			*c = Case{Asked: Asked{API: "a1"}}
			c.API = lost[API]("apigateway:GetApi", "a1", Denied, "AccessDeniedException", "")
		}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := healthy()
			c.set(one)
			if d := Judge(*one, English); d.Exit() != c.want {
				t.Errorf("%d for %s, %+v", d.Exit(), told(d), d.Verdict)
			}
		})
	}
}
