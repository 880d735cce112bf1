package converge

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/deploy/report"
)

// TestProbe checks that the live check retries transient answers, reports the last answer, and leaves no note behind.
func TestProbe(t *testing.T) {
	answers := []int{500, 503, 404, 403, 200, 201, 200, 200, 200, 503, 404}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[min(n, len(answers)-1)])
		n++
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	defer server.Close()
	if err := probe(t.Context(), report.New(io.Discard, io.Discard, false), server.URL, "none", "", true); err != nil ||
		n != len(answers) { // the last answer says that the note was already deleted
		t.Errorf("%v after %d answers of %d", err, n, len(answers))
	}
	answers, n = []int{429}, 0
	if err := probe(t.Context(), report.New(io.Discard, io.Discard, false), server.URL, "none", "",
		false); err == nil || !strings.Contains(err.Error(), "429") || n != 1 {
		t.Errorf("%v after %d answers", err, n)
	}
	answers, n = []int{500}, 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := probe(ctx, report.New(io.Discard, io.Discard, false), server.URL, "none", "", false); err == nil ||
		!strings.Contains(err.Error(), "deadline") && !strings.Contains(err.Error(),
			"must answer 200, but its last answer is 500") {
		t.Errorf("%v after %d answers", err, n)
	}
}
