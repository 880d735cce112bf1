// Package webtest tests the notes page in a headless Chromium, on any store and through any adapter.
package webtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"example.com/portable-notes/app/token"
)

// Site is a running service. Its URL is that of the page, with or without a slash at the end. The tokens are of one
// owner; they are empty if the service asks for none.
type Site struct {
	URL         string
	Read, Write string
}

// Run runs the suite. Start starts a service with an empty store, which ends with the test and asks for tokens or not.
func Run(t *testing.T, start func(t *testing.T, tokens bool) Site) {
	browser := newBrowser(t)
	for _, test := range []struct {
		name   string
		tokens bool
		run    func(*suite)
	}{
		{"Write", false, testWrite},
		{"Merge", false, testConflict("#merge", "one A\ntwo\nthree B")},
		{"KeepMine", false, testConflict("#keep-mine", "one\ntwo\nthree B")},
		{"TakeTheirs", false, testConflict("#take-theirs", "one A\ntwo\nthree")},
		{"Gone", false, testGone},
		{"Delete", false, testDelete},
		{"Search", false, testSearch},
		{"Offline", false, testOffline},
		{"Busy", false, testBusy},
		{"LostAnswer", false, testLostAnswer},
		{"Unsure", false, testUnsure},
		{"Drafts", false, testDrafts},
		{"Typing", false, testTyping},
		{"Keyboard", false, testKeyboard},
		{"Hostile", false, testHostile},
		{"Looks", false, testLooks},
		{"Token", true, testToken},
		{"AnotherOwner", true, testAnotherOwner},
		{"ReadOnly", true, testReadOnly},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(newSuite(t, browser, start(t, test.tokens)))
		})
	}
}

// NewTokens returns two tokens of one owner, one that may only read and one that may write, and the value of
// NOTES_TOKENS with which a service accepts them.
func NewTokens(t testing.TB) (read, write, accepted string) {
	t.Helper()
	lines := make([]string, 2)
	for i, secret := range []*string{&read, &write} {
		var err error
		if *secret, lines[i], err = token.New("anna"); err != nil {
			t.Fatal(err)
		}
	}
	return read, write, strings.Replace(lines[0], " write ", " read ", 1) + "," + lines[1]
}

// suite is a service with a proxy in front, in which a test can plant faults.
type suite struct {
	testing.TB
	browser context.Context
	site    Site
	url     string // of the page, through the proxy

	mu    sync.Mutex
	fault func(w http.ResponseWriter, r *http.Request, pass http.Handler)
	seen  []string // method and URL of each request for notes
}

func newSuite(t testing.TB, browser context.Context, site Site) *suite {
	t.Helper()
	s := &suite{TB: t, browser: browser, site: site}
	at, err := url.Parse(site.URL)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = at.Scheme, at.Host
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		fault := s.fault
		if strings.Contains(r.URL.Path, "/notes") {
			s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
		} else {
			fault = nil
		}
		s.mu.Unlock()
		if fault != nil {
			fault(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	s.url = proxy.URL + at.Path
	return s
}

// plant makes a fault answer the requests for notes; nil ends it.
func (s *suite) plant(fault func(w http.ResponseWriter, r *http.Request, pass http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// requests returns the requests for notes since the last call.
func (s *suite) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// visit opens the page in a new tab and waits until the list is shown.
func (s *suite) visit() *tab {
	s.Helper()
	p := newTab(s, s.browser, nil)
	p.open(s.url)
	p.await("document.querySelector('#progress')?.innerText || !document.querySelector('#entrance').hidden")
	return p
}

// visitBeside opens the page in a tab of the same browser.
func (s *suite) visitBeside(other *tab) *tab {
	s.Helper()
	p := newTab(s, s.browser, other)
	p.open(s.url)
	p.await("document.querySelector('#progress')?.innerText")
	return p
}

// note is a note as the API returns it.
type note struct {
	ID, Title, Content string
	Tags               []string
	Version            int
}

// call sends a request to the API, past the proxy.
func (s *suite) call(method, path string, body, into any) int {
	s.Helper()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.Fatal(err)
		}
		content = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(s.Context(), method, strings.TrimSuffix(s.site.URL, "/")+path, content)
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if s.site.Write != "" {
		r.Header.Set("Authorization", "Bearer "+s.site.Write)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			s.Fatal(err)
		}
	}
	return answer.StatusCode
}

// create creates a note.
func (s *suite) create(title, content string, tags ...string) (n note) {
	s.Helper()
	if status := s.call("POST", "/notes", map[string]any{"title": title, "content": content, "tags": tags},
		&n); status != http.StatusCreated {
		s.Fatalf("%q: %d", title, status)
	}
	return n
}

// get returns a note.
func (s *suite) get(id string) (n note) {
	s.Helper()
	if status := s.call("GET", "/notes/"+id, nil, &n); status != http.StatusOK {
		s.Fatalf("%s: %d", id, status)
	}
	return n
}

// all returns the newest 100 notes.
func (s *suite) all() []note {
	s.Helper()
	var page struct{ Notes []note }
	if status := s.call("GET", "/notes?limit=100", nil, &page); status != http.StatusOK {
		s.Fatalf("list: %d", status)
	}
	return page.Notes
}

// link returns a selector for the row of a note.
func link(id string) string { return fmt.Sprintf(`#list a[href$="note=%s"]`, id) }

// openNote opens a note from the list.
func (p *tab) openNote(id string) {
	p.Helper()
	p.await("document.querySelector(" + quote(link(id)) + ")")
	p.click(link(id))
	p.await("location.hash.includes('" + id + "') && !document.querySelector('#note').hidden")
}

// writeNew begins a new note with a title.
func (p *tab) writeNew(title string) {
	p.Helper()
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert(title)
}

// signIn enters a token.
func (p *tab) signIn(token string) {
	p.Helper()
	p.enter("#token", token)
	p.press(kb.Enter)
}

// equal fails the test unless two values are equal.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
