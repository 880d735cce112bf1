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

// lagging is AWS whose reads of one service are answered as they would have been a while before.
type lagging struct {
	forward http.Handler
	by      time.Duration

	mu    sync.Mutex
	reads map[string]*lateRead
	stale int // reads that were answered otherwise than they would be now
}

// lateRead is a read, and what it was answered just before each write.
type lateRead struct {
	request *http.Request
	body    []byte
	before  []answered
}

type answered struct {
	at time.Time
	*httptest.ResponseRecorder
}

func (l *lagging) send(r *http.Request, body []byte) answered {
	again := r.Clone(context.Background())
	again.Body = io.NopCloser(bytes.NewReader(body))
	a := answered{time.Now(), httptest.NewRecorder()}
	l.forward.ServeHTTP(a, again)
	return a
}

func (l *lagging) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what there is of it
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
		operation = form.Get("Action")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Method != http.MethodGet && (operation == "" || cloud.IsWrite(operation)) {
		for _, read := range l.reads {
			read.before = append(read.before, l.send(read.request, read.body))
		}
		l.copy(w, l.send(r, body))
		return
	}
	key := r.Method + r.URL.String() + operation + string(body)
	if l.reads[key] == nil {
		l.reads[key] = &lateRead{request: r.Clone(context.Background()), body: body}
	}
	now := l.send(r, body)
	for _, before := range l.reads[key].before {
		// nothing was written between the moment that is asked for and this answer
		if before.at.After(now.at.Add(-l.by)) {
			if before.Code != now.Code || before.Body.String() != now.Body.String() {
				l.stale++
			}
			now = before
			break
		}
	}
	l.copy(w, now)
}

func (l *lagging) copy(w http.ResponseWriter, a answered) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes()) // fails only where the program is gone
}

// lag returns an endpoint in front of another one whose reads of a service lag.
func lag(t *testing.T, endpoint, service string, by time.Duration) (*lagging, string) {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l := &lagging{forward: httputil.NewSingleHostReverseProxy(target), by: by, reads: map[string]*lateRead{}}
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

// TestLaggingReads: what was just removed may seem to exist, and what was just made may not. down and up again go on,
// or say that they are to be run again.
func TestLaggingReads(t *testing.T) {
	by := time.Duration(storetest.Amount(500, 2000)) * time.Millisecond
	settle = by + by/4
	t.Cleanup(func() { settle = 0 })
	for _, service := range []string{"iam", "dynamodb", "logs", "lambda", "apigateway"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			w := enter(t)
			l, endpoint := lag(t, w.URL, service, by)
			w.at(endpoint, "us-east-1")
			goes := func(args ...string) {
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
			goes(up...)
			for range storetest.Amount(1, 3) {
				goes(down...)
				goes(up...)
			}
			w.at(w.URL, "us-east-1")
			made := w.state(w.name)
			if out := w.runs(up...); strings.Contains(out, "created") || strings.Contains(out, "updated") {
				t.Errorf("after down and up there was lacking\n%s", out)
			}
			if got := w.state(w.name); got != made {
				t.Errorf("up makes\n%s\nof\n%s", got, made)
			}
			w.answers("after all", 200, `{"notes":[]}`)
			if l.stale == 0 {
				t.Error("no read lags")
			}
			w.runs(down...)
		})
	}
}
