package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/about"
	"example.com/portable-notes/notes"
)

const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

// failingStore is a store whose calls all fail in the same way.
type failingStore struct{ fail func(context.Context) error }

func (f failingStore) Create(ctx context.Context, _ string, _ notes.Note, _ *notes.IdempotencyKey) (notes.Note, error) {
	return notes.Note{}, f.fail(ctx)
}
func (f failingStore) Get(ctx context.Context, _ string, _ notes.ID) (notes.Note, error) {
	return notes.Note{}, f.fail(ctx)
}
func (f failingStore) Update(ctx context.Context, _ string, _ notes.ID, _ notes.Patch, _ time.Time,
	_ notes.Condition) (notes.Note, error) {
	return notes.Note{}, f.fail(ctx)
}
func (f failingStore) Delete(ctx context.Context, _ string, _ notes.ID, _ time.Time, _ notes.Condition) error {
	return f.fail(ctx)
}
func (f failingStore) Newest(ctx context.Context, _ string, _ notes.ID, _ int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) { yield(notes.Note{}, f.fail(ctx)) }
}

// storeRequests are requests that reach the store, at least one for each of its methods.
var storeRequests = []struct{ method, path, body string }{
	{"POST", "/notes", `{"title":"x"}`},
	{"GET", "/notes", ""},
	{"GET", "/notes?q=x", ""},
	{"HEAD", "/notes", ""},
	{"GET", "/notes/" + id, ""},
	{"HEAD", "/notes/" + id, ""},
	{"PUT", "/notes/" + id, `{"title":"x"}`},
	{"PATCH", "/notes/" + id, `{"title":"x"}`},
	{"DELETE", "/notes/" + id, ""},
	{"GET", "/readyz", ""},
}

// newApp returns the app on a store, and its log.
func newApp(store notes.Store, options app.Options) (http.Handler, *bytes.Buffer) {
	log := new(bytes.Buffer)
	options.Log = slog.New(slog.NewJSONHandler(log, nil))
	service := notes.NewService(store, time.Now, rand.Reader)
	e := app.New(service, options)
	about.Mount(e, "", false, about.Version{}, func() error { return nil }, service.Ready)
	return e, log
}

func send(h http.Handler, method, target, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// TestNothingLeaks: the text of a store's error is logged once and is in no response.
func TestNothingLeaks(t *testing.T) {
	const secret = "table-arn:aws:dynamodb:secret"
	for name, c := range map[string]struct {
		fail   func(context.Context) error
		status int
	}{
		"fault":       {func(context.Context) error { return errors.New(secret) }, 500},
		"unavailable": {func(context.Context) error { return fmt.Errorf("%w: %s", notes.ErrUnavailable, secret) }, 503},
		"panic":       {func(context.Context) error { panic(secret) }, 500},
	} {
		t.Run(name, func(t *testing.T) {
			h, log := newApp(failingStore{c.fail}, app.Options{})
			for _, call := range storeRequests {
				log.Reset()
				answer := send(h, call.method, call.path, call.body)
				body, err := io.ReadAll(answer.Body)
				if err != nil {
					t.Fatal(err)
				}
				status := c.status
				if call.path == "/readyz" && name != "panic" {
					status = 503 // for every error of the store
				}
				if answer.StatusCode != status {
					t.Errorf("%s %s: status %d, want %d", call.method, call.path, answer.StatusCode, status)
				}
				if all := fmt.Sprint(answer.Header, string(body)); strings.Contains(all, "secret") {
					t.Errorf("%s %s: the response leaks %s", call.method, call.path, all)
				}
				if n := strings.Count(log.String(), secret); n != 1 ||
					!strings.Contains(log.String(), answer.Header.Get("X-Request-Id")) {
					t.Errorf("%s %s: the log has the error %d times: %s", call.method, call.path, n, log)
				}
				if (status == 503) != (answer.Header.Get("Retry-After") != "") {
					t.Errorf("%s %s: %d has Retry-After %q", call.method, call.path, status,
						answer.Header.Get("Retry-After"))
				}
			}
		})
	}
}

// TestLogHasNoClientInput: the log has one line per request, without client input.
func TestLogHasNoClientInput(t *testing.T) {
	var log bytes.Buffer
	h := app.New(newService(t), app.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	const canary = "canary"
	body := `{"title":"canary","content":"canary","tags":["canary"]}`
	requests := 0
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/notes", body}, {"POST", "/notes", `{"canary":1}`}, {"POST", "/notes", `canary`}, {
			"POST", "/notes?canary=1", body},
		{"GET", "/notes?q=canary&tag=canary", ""}, {"GET", "/notes?canary=canary", ""}, {
			"GET", "/notes/canary", ""}, {"GET", "/canary", ""},
		{"GET", "/notes/canary/canary", ""}, {"CANARY", "/notes", ""}, {"canary", "/canary", ""}, {
			"PUT", "/notes/canary", body},
		{"OPTIONS", "/canary", ""}, {"GET", "/notes?cursor=canary", ""}, {"GET", "/notes/a%0Acanary", ""},
	} {
		send(h, c.method, c.target, c.body, "X-Canary", canary, "User-Agent", canary, "Idempotency-Key", canary,
			"If-Match", canary, "X-Request-Id", "canary canary")
		requests++
	}
	if lines := strings.Count(log.String(), "\n"); lines != requests {
		t.Errorf("%d requests, but %d lines", requests, lines)
	}
	if strings.Contains(strings.ToLower(log.String()), canary) {
		t.Errorf("the log has client input:\n%s", &log)
	}
}

// TestSlowStore: a request whose store calls exceed the timeout gets 503.
func TestSlowStore(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err() // not wrapped in notes.ErrUnavailable
	}
	h, _ := newApp(failingStore{hang}, app.Options{Timeout: 10 * time.Millisecond})
	for _, call := range storeRequests {
		if answer := send(h, call.method, call.path, call.body); answer.StatusCode != 503 ||
			answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d, Retry-After %q", call.method, call.path, answer.StatusCode,
				answer.Header.Get("Retry-After"))
		}
	}
}

func TestCORS(t *testing.T) {
	preflight := func(h http.Handler, origin, method string) http.Header {
		answer := send(h, "OPTIONS", "/notes", "", "Origin", origin, "Access-Control-Request-Method", method,
			"Access-Control-Request-Headers", "authorization,content-type,idempotency-key,"+
				"if-match,if-none-match,x-request-id")
		if answer.StatusCode != 204 || answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("a preflight returns %d with %v", answer.StatusCode, answer.Header)
		}
		return answer.Header
	}
	exact := app.New(newService(t), app.Options{CORSOrigins: []string{"https://a.example", "http://b.example:8000"}})
	for origin, want := range map[string]string{
		"https://a.example": "https://a.example", "http://b.example:8000": "http://b.example:8000",
		"https://b.example:8000": "", "http://b.example": "", "https://a.example.evil": "", "null": "",
		"https://xa.example": "",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
			if got := preflight(exact, origin, method).Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("a preflight from %s allows %q, want %q", origin, got, want)
			}
		}
		answer := send(exact, "GET", "/notes", "", "Origin", origin)
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != want || answer.StatusCode != 200 {
			t.Errorf("a response to %s allows %q, want %q", origin, got, want)
		}
		if want != "" && !strings.EqualFold(answer.Header.Get("Access-Control-Expose-Headers"),
			"ETag, Location, Link, Retry-After, X-Request-Id, Idempotency-Replayed") {
			t.Errorf("the exposed headers are %q", answer.Header.Get("Access-Control-Expose-Headers"))
		}
	}
	if got := preflight(exact, "https://a.example", "TRACE").Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("TRACE is allowed for %q", got)
	}
	// Pages can read errors too. An OPTIONS request that is not a preflight reaches the app.
	if answer := send(exact, "GET", "/nothing", "", "Origin", "https://a.example"); answer.StatusCode != 404 ||
		answer.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a missing path returns %d with %v", answer.StatusCode, answer.Header)
	}
	if answer := send(exact, "OPTIONS", "/notes", "", "Origin", "https://a.example"); answer.StatusCode != 204 ||
		answer.Header.Get("Allow") == "" {
		t.Errorf("OPTIONS returns %d with %v", answer.StatusCode, answer.Header)
	}
	all := app.New(newService(t), app.Options{CORSOrigins: []string{"*"}})
	if got := preflight(all, "https://anyone.example", "POST").Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("a preflight from anyone allows %q", got)
	}
}

func TestLimitedPreflights(t *testing.T) {
	counted := 0
	e := app.New(newService(t), app.Options{CORSOrigins: []string{"*"}, Limit: func(policy, _ string) app.Quota {
		counted++
		return app.Quota{Refused: policy == app.PolicyAddress && counted > 1, Most: 1}
	}})
	for i, want := range []int{204, 429} {
		answer := send(e, "OPTIONS", "/notes", "", "Origin", "https://a.example", "Access-Control-Request-Method",
			"POST")
		if answer.StatusCode != want || counted != i+1 {
			t.Errorf("preflight %d returns %d, and the limit has counted %d", i+1, answer.StatusCode, counted)
		}
	}
}

// TestUnder: the base path is removed once, and only if it is a whole prefix.
func TestUnder(t *testing.T) {
	var path, base string
	h := app.Under("/dev", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		path, base = r.URL.Path, app.Base(r.Context())
	}))
	for target, want := range map[string]string{
		"/dev/notes": "/notes", "/notes": "/notes", "/dev": "", "/dev/": "/", "/developers": "/developers",
		"/dev/dev/notes": "/dev/notes", "/x/dev/notes": "/x/dev/notes",
		"/dev%2Fnotes": "/notes", "/dev/notes%2F1": "/notes/1",
	} {
		if send(h, "GET", target, ""); path != want || base != "/dev" {
			t.Errorf("%s reaches the app as %q with the base %q, want %q", target, path, base, want)
		}
	}
}
