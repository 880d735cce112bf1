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
		{"text", false, nil, "a                                                created\n" +
			"b                                                updated: <x>  2.0 s\nA note of 1.\n"},
		{"text of a failure", false, fault, "a                                                created\n" +
			"b                                                updated: <x>  2.0 s\nA note of 1.\n"},
		{"JSON", true, nil, `{"version":1,"steps":[{"what":"a","state":"created","seconds":0},` +
			`{"what":"b","state":"updated","detail":"<x>","seconds":2}],"notes":["A note of 1."]}`},
		{"JSON of a failure", true, fault, `{"version":1,"steps":[{"what":"a","state":"created","seconds":0},` +
			`{"what":"b","state":"updated","detail":"<x>","seconds":2}],"notes":["A note of 1."],"error":"it failed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			synctest.Test(t, func(t *testing.T) { // whose clock only the sleep moves
				r := New(&out, &out, c.json)
				r.Done("a", Created, "")
				r.Waits("nobody looks")
				time.Sleep(2 * time.Second)
				r.Done("b", Updated, "<x>")
				r.Again()
				r.Done("a", Unchanged, "")
				r.Note("A note of %d.", 1)
				if err := r.End(c.err); !errors.Is(err, c.err) {
					t.Errorf("it ends with %v", err)
				}
			})
			got := out.String()
			if c.json {
				got = strings.NewReplacer("\n", "", "  ", "", ": ", ":").Replace(got)
			}
			if got != c.prints {
				t.Errorf("it prints\n%s\nwant\n%s", got, c.prints)
			}
		})
	}
	t.Run("JSON of nothing", func(t *testing.T) {
		var out bytes.Buffer
		if err := New(&out, &out, true).End(nil); err != nil || !strings.Contains(out.String(), `"steps": []`) {
			t.Errorf("%v, %s", err, &out)
		}
	})
}
