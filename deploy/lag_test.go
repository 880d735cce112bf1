package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/notes/storetest"
)

// lagging is a proxy that delays the effect of writes on reads of one service.
type lagging struct {
	forward http.Handler
	by      time.Duration

	mu    sync.Mutex
	reads map[string]*delayedRead
	stale int // number of reads whose answer was out of date
}

// delayedRead is a read with its answers just before each write.
type delayedRead struct {
	request *http.Request
	body    []byte
	before  []recordedAnswer
}

type recordedAnswer struct {
	at time.Time
	*httptest.ResponseRecorder
}

func (l *lagging) forwardRequest(r *http.Request, body []byte) recordedAnswer {
	again := r.Clone(context.Background())
	again.Body = io.NopCloser(bytes.NewReader(body))
	a := recordedAnswer{time.Now(), httptest.NewRecorder()}
	l.forward.ServeHTTP(a, again)
	return a
}

func (l *lagging) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // as much as there is
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
		operation = form.Get("Action")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Method != http.MethodGet && (operation == "" || cloud.IsWrite(operation)) {
		for _, read := range l.reads {
			read.before = append(read.before, l.forwardRequest(read.request, read.body))
		}
		l.writeAnswer(w, l.forwardRequest(r, body))
		return
	}
	key := r.Method + r.URL.String() + operation + string(body)
	if l.reads[key] == nil {
		l.reads[key] = &delayedRead{request: r.Clone(context.Background()), body: body}
	}
	now := l.forwardRequest(r, body)
	for _, before := range l.reads[key].before {
		// This answer is the state at the time now - by, because the next write came after it.
		if before.at.After(now.at.Add(-l.by)) {
			if before.Code != now.Code || before.Body.String() != now.Body.String() {
				l.stale++
			}
			now = before
			break
		}
	}
	l.writeAnswer(w, now)
}

func (l *lagging) writeAnswer(w http.ResponseWriter, a recordedAnswer) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes()) // fails only if the program has ended
}

// newLagging returns a lagging proxy for a service behind an endpoint, and the proxy's endpoint.
func newLagging(t *testing.T, endpoint, service string, by time.Duration) (*lagging, string) {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l := &lagging{forward: httputil.NewSingleHostReverseProxy(target), by: by, reads: map[string]*delayedRead{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "/"+service+"/aws4_request") {
			l.serve(w, r)
		} else {
			l.forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return l, server.URL
}

// TestLaggingReads checks up and down when removed resources are still visible for a while, and new ones not yet: they
// succeed, or ask to be run again.
func TestLaggingReads(t *testing.T) {
	by := time.Duration(storetest.Amount(500, 2000)) * time.Millisecond
	settle = by + by/4
	t.Cleanup(func() { settle = 0 })
	for _, service := range []string{"iam", "dynamodb", "logs", "lambda", "apigateway"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l, endpoint := newLagging(t, w.URL, service, by)
			w.connect(endpoint, "us-east-1")
			untilDone := func(args ...string) {
				t.Helper()
				for try := 1; ; try++ {
					out, err := w.deploy(args...)
					if err == nil {
						return
					}
					if try == 20 || !strings.Contains(err.Error(), "run this again") {
						t.Fatalf("%v: %v\n%s", args, err, out)
					}
				}
			}
			up := []string{"up", "--stack", w.name, "--zip", w.zip, "--auth", "none"}
			down := []string{"down", "--stack", w.name, "--delete-data", w.name}
			untilDone(up...)
			for range storetest.Amount(1, 3) {
				untilDone(down...)
				untilDone(up...)
			}
			w.connect(w.URL, "us-east-1")
			made := w.state(w.name)
			if out := w.mustRun(up...); strings.Contains(out, "created") || strings.Contains(out, "updated") {
				t.Errorf("the last up changed something:\n%s", out)
			}
			if got := w.state(w.name); got != made {
				t.Errorf("after the last up\n%s\nwant\n%s", got, made)
			}
			w.checkNotes("after all", 200, `{"notes":[]}`)
			if l.stale == 0 {
				t.Error("no read was out of date")
			}
			w.mustRun(down...)
		})
	}
}
