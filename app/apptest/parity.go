package apptest

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// transcript has the responses to the requests of Parity, of the app in process on a file. Every adapter and store
// must return the same.
//
//go:embed parity.golden
var transcript string

var updateParity = flag.Bool("update-parity", false, "rewrite the transcript of Parity: app/apptest/parity.golden")

// adapterHeaders are the headers that adapters add themselves.
var adapterHeaders = []string{"Connection", "Date", "Transfer-Encoding"}

// Parity sends more than 200 requests, most of them unusual, to the service at base, whose store must be empty. It
// compares status, headers and body of every response with those of the app in process, except for what differs in
// every run: ids, times, cursors and generated request ids. It returns the number of requests.
func Parity(t *testing.T, base string, send Send) int {
	t.Helper()
	root, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	p := &parity{T: t, base: base, prefix: root.Path, send: send, names: map[string]string{}}
	var got strings.Builder
	requests := parityRequests()
	for i, r := range requests {
		fmt.Fprintf(&got, "%d %s\n%s\n", i+1, r, p.do(r))
	}
	if *updateParity {
		if err := os.WriteFile("apptest/parity.golden", []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		transcript = got.String()
	}
	if got.String() == transcript {
		return len(requests)
	}
	gotten, wanted := strings.Split(got.String(), "\n\n"), strings.Split(transcript, "\n\n")
	if len(gotten) != len(wanted) {
		t.Errorf("%d responses, but the transcript has %d", len(gotten), len(wanted))
	}
	differ := 0
	for i := range min(len(gotten), len(wanted)) {
		if gotten[i] != wanted[i] {
			if differ++; differ <= 10 {
				t.Errorf("this adapter returns\n%.2000s\nin process the app returns\n%.2000s", gotten[i], wanted[i])
			}
		}
	}
	t.Errorf("%d of %d responses differ", differ, len(requests))
	return len(requests)
}

// parityRequest is one request of Parity. In path, headers and body, {0} is the id of the first note that earlier
// requests created, and {cursor} is the cursor of the last list.
type parityRequest struct {
	method, path, body string
	headers            []with
}

func (p parityRequest) String() string {
	return fmt.Sprintf("%s %.120q %.160q %.120q", p.method, p.path, fmt.Sprint(p.headers), p.body)
}

type parity struct {
	*testing.T
	base, prefix string
	send         Send
	ids          []string          // of the notes created so far
	names        map[string]string // placeholders in the transcript, by the values in this run
	cursor       string            // of the last list
}

var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|` +
	`\bAQ[A-Za-z0-9_-]{34}(?:[^A-Za-z0-9_-]|$)|\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// replaceChanging replaces what differs in every run with placeholders.
func (p *parity) replaceChanging(s string) string {
	return changing.ReplaceAllStringFunc(s, func(found string) string {
		kind, rest := "id", ""
		switch {
		case strings.HasPrefix(found, "AQ"):
			kind, found, rest = "cursor", found[:36], found[36:]
		case strings.HasSuffix(found, "Z"):
			kind = "time"
		}
		name, known := p.names[found]
		if !known {
			name = fmt.Sprintf("<%s %d>", kind, len(p.names)+1)
			p.names[found] = name
		}
		return name + rest
	})
}

// fill replaces {0} and {cursor} in a request.
func (p *parity) fill(s string) string {
	for i, id := range p.ids {
		s = strings.ReplaceAll(s, fmt.Sprintf("{%d}", i), id)
	}
	return strings.ReplaceAll(s, "{cursor}", p.cursor)
}

// do sends a request and returns the response as text.
func (p *parity) do(pr parityRequest) string {
	p.Helper()
	var body io.Reader
	if pr.body != "" {
		body = strings.NewReader(p.fill(pr.body))
	}
	r, err := http.NewRequestWithContext(p.Context(), pr.method, p.base+p.fill(pr.path), body)
	if err != nil {
		p.Fatalf("%s: %v", pr, err)
	}
	ownID := false
	for _, h := range pr.headers {
		r.Header.Add(h.name, p.fill(h.value))
		ownID = ownID || h.name == "X-Request-Id"
	}
	a, err := p.send(r)
	if err != nil {
		p.Fatalf("%s: %v", pr, err)
	}
	defer a.Body.Close()
	content, err := io.ReadAll(a.Body)
	if err != nil {
		p.Fatalf("%s: %v", pr, err)
	}
	var parsed struct {
		ID     string
		Cursor string `json:"next_cursor"`
	}
	if json.Unmarshal(content, &parsed) == nil {
		if a.StatusCode == http.StatusCreated && parsed.ID != "" && !slices.Contains(p.ids, parsed.ID) {
			p.ids = append(p.ids, parsed.ID)
		}
		if parsed.Cursor != "" {
			p.cursor = parsed.Cursor
		}
	}
	var lines []string
	for name, values := range a.Header {
		if !slices.Contains(adapterHeaders, name) {
			lines = append(lines, name+": "+strings.Join(values, " | "))
		}
	}
	slices.Sort(lines)
	text := strings.Join(lines, "\n") + "\n" + string(content)
	if id := a.Header.Get("X-Request-Id"); id != "" &&
		(!ownID || !slices.ContainsFunc(pr.headers, func(h with) bool { return h.value == id })) {
		text = strings.ReplaceAll(text, id, "<request id>")
		text = regexp.MustCompile(`(?m)^Content-Length: .*$`).ReplaceAllString(text,
			"Content-Length: <depends on the request id>")
	}
	if p.prefix != "" {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "Location: "+p.prefix, "Location: "), "Link: <"+p.prefix,
			"Link: <")
	}
	text = strings.TrimRight(p.replaceChanging(text), "\n")
	if len(text) > 4000 {
		text = fmt.Sprintf("%s … %d bytes", text[:4000], len(text))
	}
	return fmt.Sprintf("%d\n%s\n", a.StatusCode, strings.ReplaceAll(text, "\n\n", "\n"))
}

// parityRequests returns the requests of Parity in order.
func parityRequests() []parityRequest {
	var all []parityRequest
	add := func(method, path, body string, headers ...with) {
		all = append(all, parityRequest{method: method, path: path, body: body, headers: headers})
	}
	post := func(body string, headers ...with) { add("POST", "/notes", body, append(headers, asJSON)...) }
	header := func(name, value string) with { return with{name, value} }

	for _, body := range []string{
		`{"title":"first"}`, `{"title":"second","content":"c","tags":["a","b"]}`,
		` { "tags":[" a","a","ä"], "title":" \ud83d\ude00 " } `, `{"title":"x","content":"<&>\u2028\u0000\"\\/"}`,
		`{"title":"日本","content":"ÄÖÜ straße"}`, `{"title":"x","content":null,"tags":null}`, `{"title":"` +
			strings.Repeat("é", 200) + `"}`,
		`{"title":"large","content":"` + strings.Repeat("x", 262_144) + `"}`, `{"title":"x"` +
			strings.Repeat(" ", 1<<20-13) + `}`,
		// refused
		``, ` `, `{`, `null`, `[]`, `"x"`, `1`, `{}`, `{"title":""}`, `{"title":" "}`, `{"title":1}`,
		`{"title":"x","tags":"a"}`, `{"title":"x","tags":[1,"",null]}`, `{"title":"x","Title":"y"}`,
		`{"title":"x","id":"1","version":1}`, `{"title":"x","title":"x"}`, `{"title":"x"}x`, `{"title":"\ud800"}`,
		"{\"title\":\"\xff\"}", "\ufeff{}", `{"title":"a\u0000b"}`, `{"title":"` + strings.Repeat("é", 201) + `"}`,
		`{"title":"x","content":"` + strings.Repeat("x", 262_145) + `"}`, `{"title":"x"` +
			strings.Repeat(" ", 1<<20) + `}`, `{"unknown~/":{"deep":[1]}}`, strings.Repeat("[", 5000),
	} {
		post(body)
	}
	for _, mediaType := range []string{"", "text/plain", "application/JSON; charset=UTF-8",
		"application/json; charset=latin1", "application/merge-patch+json", "application/json, application/json",
		"*/*", "multipart/form-data; boundary=x"} {
		add("POST", "/notes", `{"title":"by type"}`, header("Content-Type", mediaType))
		add("PATCH", "/notes/{0}", `{}`, header("Content-Type", mediaType))
	}
	add("POST", "/notes", `{"title":"no type"}`)
	post(`{"title":"coded"}`, header("Content-Encoding", "gzip"))
	post(`{"title":"twice typed"}`, asJSON)
	for _, path := range []string{
		"/notes/{1}", "/notes/019ab1c2-d3e4-7f56-8a7b-9c0d1e2f3a4b", "/notes/x", "/notes/100%25", "/notes/%2525",
		"/notes/a%3Fb", "/notes/a%23b", "/notes/a%20b", "/notes/a+b", "/notes/%00", "/notes/%0A", "/notes/%FF",
		"/notes/%E6%97%A5", "/notes/a%2Fb", "/notes%2F{1}", "/%6Eotes/{1}", "/notes/{1}/", "/notes/{1}/x", "/notes/",
		"/", "//notes", "/notes//{1}", "/./notes", "/notes/..", "/notes/../notes", "/Notes", "/notes;a=b",
		"/notes/{1};v=1", "/notes/{1}?x=1", "/notes/" + strings.Repeat("x", 4000), "/notes/,", "/notes/:id",
		"/notes/*", "/notes/%7Bid%7D", "/nothing?x=%zz", "/notes/'", `/notes/%22`, "/notes/{1}%0D%0AX-Y:%20z",
	} {
		add("GET", path, "")
	}
	for _, method := range []string{"HEAD", "OPTIONS", "TRACE", "FOO", "get", "POST", "PUT", "DELETE", "PATCH",
		"CONNECTX"} {
		for _, path := range []string{"/notes/nobody", "/nothing", "/notes/a/b"} {
			add(method, path, "")
		}
	}
	for _, method := range []string{"OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "FOO", "HEAD"} {
		add(method, "/notes", "")
	}
	for _, query := range []string{
		"limit=1", "limit=1&cursor={cursor}", "limit=2&cursor={cursor}x", "limit=0", "limit=101", "limit=x",
		"limit=%2B1", "limit=1&limit=2", "limit", "tag=a", "tag=a&tag=b", "tag=%C3%A4", "tag=a,b", "tag=",
		"tag=a&tag=a",
		"q=stra%C3%9Fe", "q=STRASSE", "q=+", "q=%20", "q=", "q=%FF", "q=%zz", "q=a&q=b", "Limit=1", "tags=a",
		"page=2&size=5", "", "&&", "=x", "limit=1;q=x", "cursor=", "cursor=AAAA", "q=%F0%9F%98%80", "q=%26",
		"q=a%3Db", "limit=100&tag=b&q=SEC",
	} {
		add("GET", "/notes?"+query, "")
	}
	for _, value := range []string{`"1"`, `W/"1"`, `*`, `"1", "2"`, `"0","1"`, `"a,b", "1"`, `"2"`, `W/"2", "3"`,
		`""`, `"01"`, `1`, `"1`, `*, "1"`, `,`, ` , "1" ,`, `W/ "1"`, `"é"`, `"99999999999999999999"`} {
		for _, name := range []string{"If-Match", "If-None-Match"} {
			add("GET", "/notes/{1}", "", header(name, value))
			add("PATCH", "/notes/019ab1c2-d3e4-7f56-8a7b-9c0d1e2f3a4b", `{"title":"x"}`, header(name, value), asJSON)
		}
	}
	add("GET", "/notes/{1}", "", header("If-Match", `"1"`), header("If-None-Match", `"1"`))
	add("GET", "/notes/{1}", "", header("If-None-Match", `"7"`), header("If-None-Match", `"1"`))
	add("HEAD", "/notes/{1}", "", header("If-None-Match", `"1"`))
	add("PUT", "/notes/{1}", `{"title":"put"}`, asJSON, header("If-Match", `"1"`))
	add("PUT", "/notes/{1}", `{"title":"put"}`, asJSON, header("If-Match", `"1"`))
	add("PATCH", "/notes/{1}", `{"content":"patched","tags":null}`,
		header("Content-Type", "application/merge-patch+json"), header("If-Match", `"1", "2"`))
	add("PATCH", "/notes/{1}", `{"title":null}`, asJSON)
	add("PATCH", "/notes/{1}", `{}`, asJSON, header("If-None-Match", `*`))
	for _, method := range []string{"PUT", "PATCH"} {
		for _, members := range []string{
			`"id":"{1}"`, `"id":"{2}"`, `"version":1`, `"version":9e99`, `"version":0.5`,
			`"created_at":"2026-11-22T09:00:00z"`,
			`"updated_at":"now"`, `"id":null,"version":null,"created_at":null,"updated_at":null`,
		} {
			add(method, "/notes/{1}", `{"title":"sent back",`+members+`}`, asJSON)
		}
	}
	add("DELETE", "/notes/{2}", "", header("If-Match", `"9"`))
	add("DELETE", "/notes/{2}", "a body that nobody asked for")
	add("DELETE", "/notes/{2}", "")
	add("GET", "/notes/{1}", strings.Repeat("x", 1000))
	for _, key := range []string{"k1", "k1", "K1", `"quoted"`, "k1, k2", "k1,k2", "k1,k2", "", "a b", "é",
		strings.Repeat("k", 255), strings.Repeat("k", 256)} {
		post(`{"title":"once"}`, header("Idempotency-Key", key))
	}
	post(`{"title":"twice"}`, header("Idempotency-Key", "k1"))
	post(`{"title":"folded"}`, header("Idempotency-Key", "f"), header("Idempotency-Key", "g"))
	post(`{"title":"folded"}`, header("Idempotency-Key", "f,g"))
	for _, id := range []string{"mine", "a,b", `{"a":1}`, "a b", strings.Repeat("r", 128), strings.Repeat("r", 129),
		"é", ""} {
		add("GET", "/notes/{1}", "", header("X-Request-Id", id))
		add("GET", "/nothing", "", header("X-Request-Id", id))
	}
	add("GET", "/notes/{1}", "", header("Cookie", "a=1; b=2"), header("Cookie", "c=3"))
	for name, value := range map[string]string{
		"Date": "Tue, 24 Nov 2026 09:00:00 GMT", "Range": "bytes=0-5", "Accept": "text/html",
		"Accept-Encoding": "gzip", "Origin": "https://elsewhere.example", "X-Forwarded-For": "203.0.113.9, 10.0.0.1",
		"X-Forwarded-Proto": "http", "X-HTTP-Method-Override": "DELETE",
		"If-Modified-Since": "Tue, 24 Nov 2026 09:00:00 GMT", "Forwarded": "for=203.0.113.9;host=evil.example",
		"X-Original-Url": "/nothing", "Authorization": "Bearer x",
	} {
		add("GET", "/notes/{1}", "", header(name, value))
	}
	slices.SortStableFunc(all[len(all)-12:], func(a, b parityRequest) int {
		return strings.Compare(a.headers[0].name, b.headers[0].name)
	})
	add("OPTIONS", "/notes", "", header("Origin", "https://elsewhere.example"),
		header("Access-Control-Request-Method", "POST"))
	for range 3 {
		add("GET", "/notes?limit=3&cursor={cursor}", "")
	}
	add("GET", "/notes?limit=100&q=x", "")
	add("GET", "/notes?limit=100", "")
	return all
}
