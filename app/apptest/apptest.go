// Package apptest tests an adapter against the HTTP contract, so that clients see the same through every adapter.
//
// [Run] needs only a function that sends a request, so it works in process, against a server, through Lambda events and
// against a deployed URL. The store need not be empty, but nobody else may write to it meanwhile. Every request and
// response is also validated against the OpenAPI document.
package apptest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Send sends a request as http.Client.Do does, but follows no redirect.
type Send func(*http.Request) (*http.Response, error)

// InProcess sends requests to a handler as a server receives them: it writes and parses them first.
func InProcess(h http.Handler) Send {
	return func(r *http.Request) (*http.Response, error) {
		var wire bytes.Buffer
		if err := r.Write(&wire); err != nil {
			return nil, err
		}
		received, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			return nil, err
		}
		received.RemoteAddr = "192.0.2.1:1234"
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, received.WithContext(r.Context()))
		return recorder.Result(), nil
	}
}

// Run runs the suite against the service at base, such as http://127.0.0.1:8080 or https://host/dev.
func Run(t *testing.T, base string, send Send) {
	contract := loadContract(t)
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"FirstVersion", testFirstVersion},
		{"Create", testCreate},
		{"Limits", testLimits},
		{"Text", testText},
		{"Malformed", testMalformed},
		{"InvalidNote", testInvalidNote},
		{"ManyMistakes", testManyMistakes},
		{"MediaTypes", testMediaTypes},
		{"TooLarge", testTooLarge},
		{"Read", testRead},
		{"Paths", testPaths},
		{"Methods", testMethods},
		{"Replace", testReplace},
		{"Patch", testPatch},
		{"PatchMistakes", testPatchMistakes},
		{"SentBack", testSentBack},
		{"Delete", testDelete},
		{"ConditionalReads", testConditionalReads},
		{"ConditionalWrites", testConditionalWrites},
		{"PreconditionMistakes", testPreconditionMistakes},
		{"ErrorPrecedence", testErrorPrecedence},
		{"List", testList},
		{"ListFilters", testListFilters},
		{"ListMistakes", testListMistakes},
		{"Cursors", testCursors},
		{"Walk", testWalk},
		{"LongText", testLongText},
		{"SparseFilter", testSparseFilter},
		{"IdempotencyKey", testIdempotencyKey},
		{"IdempotencyKeyMistakes", testIdempotencyKeyMistakes},
		{"IdempotencyKeyRace", testIdempotencyKeyRace},
		{"ConcurrentWriters", testConcurrentWriters},
		{"RequestID", testRequestID},
		{"FoldedHeaders", testFoldedHeaders},
		{"NoCORS", testNoCORS},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&suite{T: t, base: base, transport: send, contract: contract, mark: uuid.NewString()})
		})
	}
}

// A suite is the state of one test.
type suite struct {
	*testing.T
	base      string
	transport Send
	contract  *contract
	mark      string // a tag that no other test uses
}

// note is the JSON of a note.
type note struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Content   string   `json:"content"`
	Tags      []string `json:"tags"`
	CreatedAt string   `json:"created_at"`
	UpdatedAt string   `json:"updated_at"`
	Version   int64    `json:"version"`
}

// An answer is a response with its body.
type answer struct {
	s       *suite
	request string // describes the request, for messages
	status  int
	header  http.Header
	body    string
}

// with is a header of a request. A name that is given twice is sent twice.
type with struct{ name, value string }

var asJSON = with{"Content-Type", "application/json"}

// chunkedBody hides the length of a body, so that it is sent in chunks.
type chunkedBody struct{ io.Reader }

// do sends a request and checks what holds for every response.
func (s *suite) do(method, path, body string, headers ...with) *answer {
	s.Helper()
	return s.doFrom(method, path, strings.NewReader(body), headers...)
}

func (s *suite) doFrom(method, path string, body io.Reader, headers ...with) *answer {
	s.Helper()
	a, r, sent := s.exchange(method, path, body, headers...)
	s.checkResponse(a, r)
	s.contract.check(s.T, s.base, r, sent, a)
	return a
}

// exchange sends a request and reads the response without checking it.
func (s *suite) exchange(method, path string, body io.Reader, headers ...with) (*answer, *http.Request, []byte) {
	s.Helper()
	sent, err := io.ReadAll(body)
	if err != nil {
		s.Fatal(err)
	}
	var content io.Reader = bytes.NewReader(sent)
	if _, chunked := body.(chunkedBody); chunked {
		content = chunkedBody{content}
	} else if len(sent) == 0 {
		content = nil
	}
	r, err := http.NewRequestWithContext(s.Context(), method, s.base+path, content)
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range headers {
		r.Header.Add(h.name, h.value)
	}
	response, err := s.transport(r)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	a := &answer{s: s, request: fmt.Sprintf("%s %.200s %v %.200q", method, path, headers, sent),
		status: response.StatusCode, header: response.Header, body: string(received)}
	return a, r, sent
}

// problem is the JSON of an error.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Pointer   *string `json:"pointer"`
		Parameter *string `json:"parameter"`
		Header    string  `json:"header"`
		Detail    string  `json:"detail"`
	} `json:"errors"`
}

func (s *suite) checkResponse(a *answer, r *http.Request) {
	s.Helper()
	id := a.header.Get("X-Request-Id")
	if id == "" || a.header.Get("X-Content-Type-Options") != "nosniff" ||
		a.header.Get("Cache-Control") != "private, no-cache" {
		s.Errorf("%s: the headers are not those of every response: %v", a.request, a.header)
	}
	if (r.Method == http.MethodHead || a.status == 204 || a.status == 304) && a.body != "" {
		s.Errorf("%s: %d has a body: %.100q", a.request, a.status, a.body)
	}
	if a.status >= 400 {
		if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
			s.Errorf("%s: %d has Content-Type %q", a.request, a.status, ct)
		}
		if r.Method == http.MethodHead {
			return
		}
		p := a.problem()
		if p.Status != a.status || p.Type != "urn:notes:problem:"+p.Code || p.Title == "" || p.Detail == "" ||
			p.RequestID != id {
			s.Errorf("%s: %d with request id %s has the problem %+v", a.request, a.status, id, p)
		}
	} else if a.body != "" && r.Method != http.MethodOptions {
		if ct := a.header.Get("Content-Type"); ct != "application/json" {
			s.Errorf("%s: %d has Content-Type %q", a.request, a.status, ct)
		}
	}
	if a.status == 503 && a.header.Get("Retry-After") == "" {
		s.Errorf("%s: 503 has no Retry-After", a.request)
	}
}

func (a *answer) is(status int) *answer {
	a.s.Helper()
	if a.status != status {
		a.s.Fatalf("%s: status %d, want %d: %.500s", a.request, a.status, status, a.body)
	}
	return a
}

// fails checks that the response is an error with these mistakes, given as pointers, parameters and headers.
func (a *answer) fails(status int, code string, where ...string) *answer {
	a.s.Helper()
	a.is(status)
	p := a.problem()
	if p.Code != code {
		a.s.Fatalf("%s: code %s, want %s: %s", a.request, p.Code, code, a.body)
	}
	found := map[string]bool{}
	for _, e := range p.Errors {
		switch {
		case e.Pointer != nil:
			found[*e.Pointer] = true
		case e.Parameter != nil:
			found[*e.Parameter] = true
		default:
			found[e.Header] = true
		}
	}
	for _, w := range where {
		if !found[w] {
			a.s.Errorf("%s: no mistake at %q: %.1000s", a.request, w, a.body)
		}
		delete(found, w)
	}
	if len(where) > 0 && len(found) > 0 {
		a.s.Errorf("%s: mistakes at %v besides %v: %.1000s", a.request, found, where, a.body)
	}
	return a
}

// says checks that the body contains each text.
func (a *answer) says(texts ...string) *answer {
	a.s.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.s.Errorf("%s: the body does not contain %q: %.500s", a.request, text, a.body)
		}
	}
	return a
}

func (a *answer) has(name, value string) *answer {
	a.s.Helper()
	if got := a.header.Get(name); got != value {
		a.s.Errorf("%s: %s is %q, want %q", a.request, name, got, value)
	}
	return a
}

func (a *answer) problem() problem {
	a.s.Helper()
	var p problem
	a.decode(&p)
	return p
}

func (a *answer) note() note {
	a.s.Helper()
	var n note
	a.decode(&n)
	if etag := fmt.Sprintf("%q", fmt.Sprint(n.Version)); a.header.Get("ETag") == "" ||
		strings.HasPrefix(a.header.Get("ETag"), "W/") {
		a.s.Errorf("%s: ETag is %q, want a strong one such as %s", a.request, a.header.Get("ETag"), etag)
	}
	return n
}

func (a *answer) etag() string { return a.header.Get("ETag") }

func (a *answer) decode(into any) {
	a.s.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		a.s.Fatalf("%s: %d: %v in %.500q", a.request, a.status, err, a.body)
	}
}

// create creates a note from JSON.
func (s *suite) create(body string, headers ...with) *answer {
	s.Helper()
	return s.do("POST", "/notes", body, append(headers, asJSON)...).is(201)
}

// createTagged creates a note with the test's own tag, so that the test can list only its own notes.
func (s *suite) createTagged(title string, tags ...string) note {
	s.Helper()
	body, err := json.Marshal(map[string]any{"title": title, "tags": append(tags, s.mark)})
	if err != nil {
		s.Fatal(err)
	}
	return s.create(string(body)).note()
}

// page is the JSON of a page.
type page struct {
	Notes []note `json:"notes"`
	Next  string `json:"next_cursor"`
}

func (s *suite) list(query url.Values) page {
	s.Helper()
	a := s.do("GET", "/notes?"+query.Encode(), "").is(200)
	var p page
	a.decode(&p)
	if strings.Contains(a.body, "next_cursor") != (p.Next != "") || p.Notes == nil {
		s.Errorf("%s: the page is %.200s", a.request, a.body)
	}
	link := a.header.Get("Link")
	if (link != "") != (p.Next != "") {
		s.Errorf("%s: next_cursor is %q, Link %q", a.request, p.Next, link)
	}
	if link != "" {
		target, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		next, err := s.resolve("/notes", target)
		if !ok || err != nil {
			s.Fatalf("%s: Link is %q", a.request, link)
		}
		want := url.Values{}
		for k, v := range query {
			want[k] = v
		}
		want.Set("cursor", p.Next)
		if next.Query().Encode() != want.Encode() || !strings.HasPrefix(next.String(), s.base+"/notes?") {
			s.Errorf("%s: Link is %s, want the same query with the cursor %s", a.request, next, p.Next)
		}
	}
	return p
}

// all returns all notes of a list.
func (s *suite) all(query url.Values) []note {
	s.Helper()
	var all []note
	for {
		p := s.list(query)
		all = append(all, p.Notes...)
		if p.Next == "" {
			return all
		}
		query.Set("cursor", p.Next)
	}
}

// resolve resolves a reference (RFC 3986) relative to path.
func (s *suite) resolve(path, reference string) (*url.URL, error) {
	at, err := url.Parse(s.base + path)
	if err != nil {
		return nil, err
	}
	return at.Parse(reference)
}

// concurrently runs n concurrent calls and waits for them.
func concurrently(n int, call func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { call(i) })
	}
	wg.Wait()
}

// instant parses a time of a note.
func (s *suite) instant(text string) time.Time {
	s.Helper()
	t, err := time.Parse("2006-01-02T15:04:05.000000Z", text)
	if err != nil {
		s.Fatal(err)
	}
	return t
}
