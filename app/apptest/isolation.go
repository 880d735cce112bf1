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

// Guarded is an adapter behind which callers are known by their tokens.
type Guarded struct {
	Base      string
	Send      Send
	Anna, Ben string     // tokens of two owners, who may both write
	Calls     func() int // how many calls of the store there were; nil where they cannot be counted
}

// secret is in every note of Anna's.
const secret = "annas-secret"

// Isolation sends, for every route, what Ben could send about what is Anna's (a note's id, a cursor, an idempotency
// key), about what is nobody's, and about his own; with every precondition, filter and body that may lead to another
// answer. What is Anna's must look to Ben as what is nobody's, in status, headers, bytes and the number of calls that
// it costs, and must stay as it is. It returns how many cases there were, and how many leaks.
func Isolation(t *testing.T, g Guarded) (cases int, leaks []string) {
	t.Helper()
	s := &suite{T: t, base: g.Base, transport: g.Send, mark: uuid.NewString()}
	i := &isolation{suite: s, g: g}
	anna, ben := with{"Authorization", "Bearer " + g.Anna}, with{"Authorization", "Bearer " + g.Ben}

	mine := i.made(anna, `{"title":"`+secret+`","content":"`+secret+`","tags":["shared"]}`)
	for n := range 4 { // so that both have pages
		i.made(anna, fmt.Sprintf(`{"title":"%s %d","tags":["shared"]}`, secret, n))
		i.made(ben, fmt.Sprintf(`{"title":"of ben %d","tags":["shared"]}`, n))
	}
	before := i.ask("GET", "/notes/"+mine, "", anna)
	missing := func() string { return uuid.Must(uuid.NewV7()).String() }

	// A note's id.
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
				i.same(fmt.Sprintf("%s a note %v %s", method, condition, body),
					i.ask(method, "/notes/"+mine, body, headers...),
					i.ask(method, "/notes/"+missing(), body, headers...))
				own := i.ask(method, "/notes/"+i.made(ben, `{"title":"own"}`), body, headers...)
				i.own(method, condition, body, own)
			}
		}
	}

	// A cursor: another's is as good as a broken one.
	filters := []string{"", "&tag=shared", "&q=secret", "&tag=shared&q=secret"}
	for _, filter := range filters {
		for limit := 1; limit <= 3; limit++ {
			path := fmt.Sprintf("/notes?limit=%d%s", limit, filter)
			foreign := i.cursor(anna, path)
			if foreign == "" {
				t.Fatalf("Anna has only one page of %s", path)
			}
			broken := foreign[:len(foreign)-1] + map[bool]string{true: "B", false: "A"}[foreign[len(foreign)-1] == 'A']
			i.same("a cursor for "+path, i.ask("GET", path+"&cursor="+foreign, "", ben),
				i.ask("GET", path+"&cursor="+broken, "", ben))
			if a := i.ask("GET", path+"&cursor="+foreign, "", anna); a.status != 200 {
				t.Errorf("Anna's own cursor: %d %s", a.status, a.body)
			}
			if a := i.ask("GET", path, "", ben); a.status != 200 || strings.Contains(a.body, secret) {
				i.leak("a list for Ben", a.body)
			}
			if own := i.cursor(ben, path); own != "" {
				if a := i.ask("GET", path+"&cursor="+own, "", ben); a.status != 200 ||
					strings.Contains(a.body, secret) {
					i.leak("a page for Ben", a.body)
				}
			}
			i.cases += 2
		}
	}

	// An idempotency key: Ben's is another one, whatever its name, and whatever note he sends with it.
	for n := range 20 {
		key := with{"Idempotency-Key", fmt.Sprintf("key-%s-%d", s.mark, n)}
		annas := fmt.Sprintf(`{"title":"%s with a key %d"}`, secret, n)
		first := i.ask("POST", "/notes", annas, anna, asJSON, key)
		for _, body := range []string{annas, `{"title":"of ben"}`} {
			name := "a key with " + body
			foreign := i.ask("POST", "/notes", body, ben, asJSON, key)
			unused := i.ask("POST", "/notes", body, ben, asJSON, with{"Idempotency-Key", uuid.NewString()})
			i.same(name, foreign, unused)
			if again := i.ask("POST", "/notes", annas, anna, asJSON, key); again.body != first.body ||
				again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("Anna's own key: %d %s", again.status, again.body)
			}
			key.value += "-2" // Ben's first use made it his
			first = i.ask("POST", "/notes", annas, anna, asJSON, key)
			i.cases++
		}
	}

	if after := i.ask("GET", "/notes/"+mine, "", anna); after.body != before.body ||
		after.header.Get("Etag") != before.header.Get("Etag") {
		i.leak("Anna's note is another", after.body)
	}
	for _, owner := range []with{anna, ben} {
		all := ""
		for path := "/notes?limit=100"; path != ""; {
			a := i.ask("GET", path, "", owner)
			all += a.body
			var page struct {
				NextCursor string `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(a.body), &page); err != nil {
				t.Fatal(err)
			}
			if path = ""; page.NextCursor != "" {
				path = "/notes?limit=100&cursor=" + url.QueryEscape(page.NextCursor)
			}
		}
		if strings.Contains(all, mine) != (owner == anna) {
			i.leak("a walk over all notes shows another's, or not one's own", "")
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

// asked is an answer without what no two answers share, and what it cost.
type asked struct {
	*answer
	calls int
}

func (i *isolation) ask(method, path, body string, headers ...with) asked {
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
	return asked{a, calls}
}

// made makes a note and returns its id.
func (i *isolation) made(owner with, body string) string {
	i.Helper()
	a := i.ask("POST", "/notes", body, owner, asJSON)
	var n note
	if err := json.Unmarshal([]byte(a.body), &n); err != nil || a.status != 201 {
		i.Fatalf("%d %s", a.status, a.body)
	}
	return n.ID
}

func (i *isolation) cursor(owner with, path string) string {
	i.Helper()
	var page struct {
		NextCursor string `json:"next_cursor"`
	}
	if a := i.ask("GET", path, "", owner); json.Unmarshal([]byte(a.body), &page) != nil {
		i.Fatalf("%d %s", a.status, a.body)
	}
	return page.NextCursor
}

// plain is an answer as it can be compared with another.
func (a asked) plain() string {
	header := a.header.Clone()
	id := header.Get("X-Request-Id")
	for _, name := range append(slices.Clone(adaptersOwn), "X-Request-Id") {
		header.Del(name)
	}
	body := a.body
	if id != "" {
		body = strings.ReplaceAll(body, id, "ID")
	}
	var n note
	if json.Unmarshal([]byte(a.body), &n) == nil && n.ID != "" { // a note that was made just now
		body = strings.NewReplacer(n.ID, "NOTE", n.CreatedAt, "TIME").Replace(body)
		header.Set("Location", strings.ReplaceAll(header.Get("Location"), n.ID, "NOTE"))
	}
	return fmt.Sprintf("%d %v %s calls %d", a.status, header, body, a.calls)
}

// same counts a case: what is Anna's must look as what is nobody's.
func (i *isolation) same(what string, foreign, missing asked) {
	i.cases += 2
	if f, m := foreign.plain(), missing.plain(); f != m {
		i.leak(what, f+"\nof what is nobody's: "+m)
	} else if strings.Contains(foreign.body, secret) && !strings.Contains(foreign.request, secret) {
		i.leak(what, foreign.body)
	}
}

func (i *isolation) leak(what, told string) {
	i.leaks = append(i.leaks, fmt.Sprintf("%s: %.1000s", what, told))
}

// own counts a case of Ben's own note: it is found, so that what the other cases compare is not the same for all.
func (i *isolation) own(method string, condition []with, body string, a asked) {
	i.Helper()
	i.cases++
	if a.status == 404 || a.status >= 500 {
		i.Errorf("%s of one's own note %v %s: %d %s", method, condition, body, a.status, a.body)
	}
}
