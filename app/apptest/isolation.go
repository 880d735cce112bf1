package apptest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// Guarded is an adapter that authenticates callers by tokens.
type Guarded struct {
	Base      string
	Send      Send
	Anna, Ben string     // tokens of two owners, both with write access
	Calls     func() int // returns the number of store calls so far; nil if they cannot be counted
}

// secret is in every note of Anna.
const secret = "annas-secret"

// Isolation sends requests of Ben with note ids, cursors and idempotency keys of Anna, of nobody, and of Ben, on every
// route and with every precondition, filter and body that may change the response. To Ben, Anna's data must look like
// data that does not exist, in status, headers, body and the number of store calls, and it must not change. Isolation
// returns the number of cases and the leaks.
func Isolation(t *testing.T, g Guarded) (cases int, leaks []string) {
	t.Helper()
	s := &suite{T: t, base: g.Base, transport: g.Send, mark: uuid.NewString()}
	i := &isolation{suite: s, g: g}
	anna, ben := with{"Authorization", "Bearer " + g.Anna}, with{"Authorization", "Bearer " + g.Ben}

	annas := i.create(anna, `{"title":"`+secret+`","content":"`+secret+`","tags":["shared"]}`)
	for n := range 4 { // so that both have several pages
		i.create(anna, fmt.Sprintf(`{"title":"%s %d","tags":["shared"]}`, secret, n))
		i.create(ben, fmt.Sprintf(`{"title":"of ben %d","tags":["shared"]}`, n))
	}
	before := i.send("GET", "/notes/"+annas, "", anna)
	missing := func() string { return uuid.Must(uuid.NewV7()).String() }

	// Note ids.
	preconditions := [][]with{nil}
	for _, name := range []string{"If-Match", "If-None-Match"} {
		for _, value := range []string{`"1"`, `"2"`, "*", `"1", "2"`, `W/"1"`, `1`} {
			preconditions = append(preconditions, []with{{name, value}})
		}
	}
	bodies := map[string][]string{
		"GET": {""}, "HEAD": {""}, "DELETE": {""}, "POST": {`{"title":"x"}`}, "OPTIONS": {""},
		"PUT":   {`{"title":"of ben"}`, `{"title":""}`, `{`},
		"PATCH": {`{"title":"of ben"}`, `{}`, `{"id":"x"}`},
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "POST", "OPTIONS"} {
		for _, condition := range preconditions {
			for _, body := range bodies[method] {
				headers := append([]with{ben, asJSON}, condition...)
				i.compare(fmt.Sprintf("%s a note %v %s", method, condition, body),
					i.send(method, "/notes/"+annas, body, headers...),
					i.send(method, "/notes/"+missing(), body, headers...))
				own := i.send(method, "/notes/"+i.create(ben, `{"title":"own"}`), body, headers...)
				i.checkOwn(method, condition, body, own)
			}
		}
	}

	// Cursors: another owner's is like a broken one.
	filters := []string{"", "&tag=shared", "&q=secret", "&tag=shared&q=secret"}
	for _, filter := range filters {
		for limit := 1; limit <= 3; limit++ {
			path := fmt.Sprintf("/notes?limit=%d%s", limit, filter)
			foreign := i.cursor(anna, path)
			if foreign == "" {
				t.Fatalf("Anna has only one page of %s", path)
			}
			broken := foreign[:len(foreign)-1] + map[bool]string{true: "B", false: "A"}[foreign[len(foreign)-1] == 'A']
			i.compare("a cursor for "+path, i.send("GET", path+"&cursor="+foreign, "", ben),
				i.send("GET", path+"&cursor="+broken, "", ben))
			if a := i.send("GET", path+"&cursor="+foreign, "", anna); a.status != 200 {
				t.Errorf("Anna's own cursor: %d %s", a.status, a.body)
			}
			if a := i.send("GET", path, "", ben); a.status != 200 || strings.Contains(a.body, secret) {
				i.leak("a list for Ben", a.body)
			}
			if own := i.cursor(ben, path); own != "" {
				if a := i.send("GET", path+"&cursor="+own, "", ben); a.status != 200 ||
					strings.Contains(a.body, secret) {
					i.leak("a page for Ben", a.body)
				}
			}
			i.cases += 2
		}
	}

	// Idempotency keys: Ben's key is independent of Anna's, even with the same value and the same note.
	for n := range 20 {
		key := with{"Idempotency-Key", fmt.Sprintf("key-%s-%d", s.mark, n)}
		draft := fmt.Sprintf(`{"title":"%s with a key %d"}`, secret, n)
		first := i.send("POST", "/notes", draft, anna, asJSON, key)
		for _, body := range []string{draft, `{"title":"of ben"}`} {
			name := "a key with " + body
			foreign := i.send("POST", "/notes", body, ben, asJSON, key)
			unused := i.send("POST", "/notes", body, ben, asJSON, with{"Idempotency-Key", uuid.NewString()})
			i.compare(name, foreign, unused)
			if again := i.send("POST", "/notes", draft, anna, asJSON, key); again.body != first.body ||
				again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("Anna's own key: %d %s", again.status, again.body)
			}
			key.value += "-2" // Ben has used the first one
			first = i.send("POST", "/notes", draft, anna, asJSON, key)
			i.cases++
		}
	}

	if after := i.send("GET", "/notes/"+annas, "", anna); after.body != before.body ||
		after.header.Get("Etag") != before.header.Get("Etag") {
		i.leak("Anna's note has changed", after.body)
	}
	for _, owner := range []with{anna, ben} {
		all := ""
		for path := "/notes?limit=100"; path != ""; {
			a := i.send("GET", path, "", owner)
			all += a.body
			var p page
			if err := json.Unmarshal([]byte(a.body), &p); err != nil {
				t.Fatal(err)
			}
			if path = ""; p.Next != "" {
				path = "/notes?limit=100&cursor=" + url.QueryEscape(p.Next)
			}
		}
		if strings.Contains(all, annas) != (owner == anna) {
			i.leak("Anna's note is in Ben's list, or not in Anna's", "")
		}
	}
	return i.cases, i.leaks
}

type isolation struct {
	*suite
	g     Guarded
	cases int
	leaks []string
}

// countedAnswer is an answer and the number of store calls for it.
type countedAnswer struct {
	*answer
	calls int
}

// send sends a request and counts its store calls.
func (i *isolation) send(method, path, body string, headers ...with) countedAnswer {
	i.Helper()
	begin := 0
	if i.g.Calls != nil {
		begin = i.g.Calls()
	}
	a, _, _ := i.exchange(method, path, strings.NewReader(body), headers...)
	calls := 0
	if i.g.Calls != nil {
		calls = i.g.Calls() - begin
	}
	return countedAnswer{a, calls}
}

// create creates a note and returns its id.
func (i *isolation) create(owner with, body string) string {
	i.Helper()
	a := i.send("POST", "/notes", body, owner, asJSON)
	var n note
	if err := json.Unmarshal([]byte(a.body), &n); err != nil || a.status != 201 {
		i.Fatalf("%d %s", a.status, a.body)
	}
	return n.ID
}

// cursor returns the cursor of a list, or "".
func (i *isolation) cursor(owner with, path string) string {
	i.Helper()
	var p page
	if a := i.send("GET", path, "", owner); json.Unmarshal([]byte(a.body), &p) != nil {
		i.Fatalf("%d %s", a.status, a.body)
	}
	return p.Next
}

// normalized returns the answer as text, without what differs in every response.
func (a countedAnswer) normalized() string {
	header := a.header.Clone()
	id := header.Get("X-Request-Id")
	for _, name := range append(slices.Clone(adapterHeaders), "X-Request-Id") {
		header.Del(name)
	}
	body := a.body
	if id != "" {
		body = strings.ReplaceAll(body, id, "ID")
	}
	var n note
	if json.Unmarshal([]byte(a.body), &n) == nil && n.ID != "" { // a new note
		body = strings.NewReplacer(n.ID, "NOTE", n.CreatedAt, "TIME").Replace(body)
		header.Set("Location", strings.ReplaceAll(header.Get("Location"), n.ID, "NOTE"))
	}
	return fmt.Sprintf("%d %v %s calls %d", a.status, header, body, a.calls)
}

// compare records a leak if the answer about Anna's data differs from the one about data that does not exist.
func (i *isolation) compare(what string, foreign, missing countedAnswer) {
	i.cases += 2
	if f, m := foreign.normalized(), missing.normalized(); f != m {
		i.leak(what, f+"\nfor what does not exist: "+m)
	} else if strings.Contains(foreign.body, secret) && !strings.Contains(foreign.request, secret) {
		i.leak(what, foreign.body)
	}
}

func (i *isolation) leak(what, response string) {
	i.leaks = append(i.leaks, fmt.Sprintf("%s: %.1000s", what, response))
}

// checkOwn checks that Ben can use his own note. Otherwise the comparisons would prove nothing.
func (i *isolation) checkOwn(method string, condition []with, body string, a countedAnswer) {
	i.Helper()
	i.cases++
	if a.status == 404 || a.status >= 500 {
		i.Errorf("%s of Ben's own note %v %s: %d %s", method, condition, body, a.status, a.body)
	}
}
