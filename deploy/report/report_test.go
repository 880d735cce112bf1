package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReport(t *testing.T) {
	fault := errors.New("it failed")
	for _, c := range []struct {
		name   string
		json   bool
		err    error
		prints string
	}{
		{name: "text", prints: "a                                                created\n" +
			"b                                                updated: <x>  2.0 s\nA note of 1.\n"},
		{name: "text of a failure", err: fault,
			prints: "a                                                created\n" +
				"b                                                updated: <x>  2.0 s\nA note of 1.\n"},
		{name: "JSON", json: true, prints: `{"version":1,"steps":[{"what":"a","state":"created","seconds":0},` +
			`{"what":"b","state":"updated","detail":"<x>","seconds":2}],"notes":["A note of 1."]}`},
		{name: "JSON of a failure", json: true, err: fault,
			prints: `{"version":1,"steps":[{"what":"a","state":"created","seconds":0},` +
				`{"what":"b","state":"updated","detail":"<x>","seconds":2}],"notes":["A note of 1."],"error":"it ` +
				`failed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			synctest.Test(t, func(t *testing.T) { // only the sleep advances the clock
				r := New(&out, &out, c.json)
				r.Done("a", Created, "")
				r.ShowWaiting("not a terminal")
				time.Sleep(2 * time.Second)
				r.Done("b", Updated, "<x>")
				r.Restart()
				r.Done("a", Unchanged, "")
				r.Note("A note of %d.", 1)
				if err := r.End(c.err); !errors.Is(err, c.err) {
					t.Errorf("End returns %v", err)
				}
			})
			got := out.String()
			if c.json {
				got = strings.NewReplacer("\n", "", "  ", "", ": ", ":").Replace(got)
			}
			if got != c.prints {
				t.Errorf("printed\n%s\nwant\n%s", got, c.prints)
			}
		})
	}
	t.Run("JSON without steps", func(t *testing.T) {
		var out bytes.Buffer
		if err := New(&out, &out, true).End(nil); err != nil || !strings.Contains(out.String(), `"steps": []`) {
			t.Errorf("%v, %s", err, &out)
		}
	})
}
