package apptest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"
)

var uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

const missingID = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

// quote returns s as a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// testFirstVersion makes the requests of clients of the first version of the API.
func testFirstVersion(s *suite) {
	a := s.create(`{"title":"First","content":"note"}`)
	n := a.note()
	if n.Title != "First" || n.Content != "note" || n.ID == "" || n.CreatedAt == "" {
		s.Fatalf("the note is %+v", n)
	}
	if got := s.do("GET", "/notes/"+n.ID, "").is(200).note(); !reflect.DeepEqual(got, n) {
		s.Fatalf("GET returns %+v, POST returned %+v", got, n)
	}
	if p := s.list(map[string][]string{"limit": {"1"}}); len(p.Notes) != 1 || !reflect.DeepEqual(p.Notes[0], n) {
		s.Fatalf("the list is %+v", p)
	}
	s.do("DELETE", "/notes/"+n.ID, "").is(204)
}

func testCreate(s *suite) {
	a := s.create(`{"title":" \t A title\n","tags":["b","a"," b ","B"]}`)
	n := a.note()
	if !uuidV7.MatchString(n.ID) {
		s.Errorf("id is %q, want a UUIDv7", n.ID)
	}
	if n.Title != "A title" || n.Content != "" || !reflect.DeepEqual(n.Tags, []string{"b", "a", "B"}) ||
		n.Version != 1 {
		s.Errorf("the note is %+v", n)
	}
	if n.CreatedAt != n.UpdatedAt || time.Since(s.instant(n.CreatedAt)).Abs() > time.Hour {
		s.Errorf("the times are %s and %s", n.CreatedAt, n.UpdatedAt)
	}
	location, err := s.resolve("/notes", a.header.Get("Location"))
	if err != nil || location.String() != s.base+"/notes/"+n.ID {
		s.Errorf("Location is %q, which resolves to %v, %v", a.header.Get("Location"), location, err)
	}
	if a.etag() != `"1"` || a.header.Get("Idempotency-Replayed") != "" {
		s.Errorf("headers are %v", a.header)
	}
	// Null is like absent, and duplicates are dropped before tags are counted.
	n = s.create(`{"title":"x","content":null,"tags":null}`).note()
	if n.Content != "" || n.Tags == nil || len(n.Tags) != 0 {
		s.Errorf("the note is %+v", n)
	}
	n = s.create(`{"title":"x","tags":[` + strings.Repeat(`"same", `, 500) + `"other"]}`).note()
	if !reflect.DeepEqual(n.Tags, []string{"same", "other"}) {
		s.Errorf("tags are %q", n.Tags)
	}
	// Ids sort by creation time.
	if next := s.create(`{"title":"y"}`).note(); next.ID <= n.ID {
		s.Errorf("id %s comes after %s", next.ID, n.ID)
	}
	s.do("POST", "/notes", ` {"title":"x"} `, asJSON).is(201)
}

func testLimits(s *suite) {
	face := "\U0001F600" // one character, four bytes
	many := func(n int) string {
		tags := make([]string, n)
		for i := range tags {
			tags[i] = fmt.Sprintf(`"t%d"`, i)
		}
		return strings.Join(tags, ",")
	}
	content := strings.Repeat("é", 262144/2)
	for _, body := range []string{
		`{"title":"x"}`,
		`{"title":"` + strings.Repeat(face, 200) + `"}`,
		`{"title":"` + strings.Repeat(" ", 1000) + strings.Repeat("x", 200) + `"}`,
		`{"title":"x","content":"` + content + `"}`,
		`{"title":"x","content":"` + strings.Repeat(`\u0001`, 100000) + `"}`,
		`{"title":"x","tags":[` + many(20) + `]}`,
		`{"title":"x","tags":["` + strings.Repeat(face, 50) + `"]}`,
		`{"title":"x","tags":[` + many(20) + `,` + many(20) + `]}`,
	} {
		s.create(body)
	}
	for _, c := range []struct{ body, where, says string }{
		{`{"title":"` + strings.Repeat(face, 201) + `"}`, "/title", "has 201"},
		{`{"title":""}`, "/title", "must have 1 to 200 characters, has 0"},
		{`{"title":" \u3000\n "}`, "/title", "has 0"},
		{`{"title":"x","content":"` + content + `x"}`, "/content", "262145"},
		{`{"title":"x","tags":[` + many(21) + `]}`, "/tags", "21"},
		{`{"title":"x","tags":["` + strings.Repeat(face, 51) + `"]}`, "/tags/0", "51"},
		{`{"title":"x","tags":["a",""]}`, "/tags/1", "has 0"},
		{`{"title":"x","tags":["a","b"," "]}`, "/tags/2", "has 0"},
		{`{"title":"a\u0000b"}`, "/title", "U+0000"},
		{`{"title":"a\u0085b"}`, "/title", "U+0085"},
		{`{"title":"x","tags":["a\u007fb"]}`, "/tags/0", "U+007F"},
	} {
		s.do("POST", "/notes", c.body, asJSON).fails(422, "invalid_note", c.where).says(c.says)
	}
}

func testText(s *suite) {
	for _, t := range []string{
		"", "a\x00b", "line\r\nbreak\ttab", `"\/` + "`", "<b>&amp;</b>", "日本語", "👩‍👩‍👧", "e\u0301 \u00e9",
		"\u2028\u2029\ufeff\ufffd",
		"\u0001\u001f\u007f\u0080", " kept ", strings.Repeat("\\", 1000),
	} {
		n := s.create(`{"title":"x","content":` + quote(t) + `}`).note()
		if got := s.do("GET", "/notes/"+n.ID, "").is(200).note().Content; n.Content != t || got != t {
			s.Errorf("content %q is returned as %q and %q", t, n.Content, got)
		}
	}
	// Escapes are decoded; a surrogate pair is one character.
	if n := s.create(`{"title":"\ud83d\ude00\u0041","\u0063ontent":"c"}`).note(); n.Title != "\U0001F600A" ||
		n.Content != "c" {
		s.Errorf("the note is %+v", n)
	}
	// Only what JSON requires is escaped.
	s.create(`{"title":"<&>"}`).says(`"<&>"`)
}

func testMalformed(s *suite) {
	for _, body := range []string{
		"", " ", "{", `{"title":"x"`, `{"title":"x"}}`, `{"title":"x"} {}`, `{"title":"x"}x`, `{"title":"x",}`,
		`{title:"x"}`,
		`{'title':'x'}`, `{"title":"x"} // no`, "\ufeff" + `{"title":"x"}`, `{"title":"x","title":"x"}`,
		`{"title":"x","title":"y"}`,
		`{"a":1,"a":1}`, `{"x":{"a":1,"a":2},"title":"x"}`, `{"title":"x","content":"\ud800"}`,
		`{"title":"x","content":"\udc00\ud800"}`,
		"{\"title\":\"x\xff\"}", "{\"title\":\"\xc0\x80\"}", "{\"title\":\"\xed\xa0\x80\"}", "{\"\xff\":1}",
		"{\"title\":\"a\nb\"}", `{"title":"\x41"}`,
		`{"title":"x","n":01}`, `{"title":"x","n":NaN}`, `nul`, `"`, `[1,]`, `title=x`, strings.Repeat("[", 200_000),
		strings.Repeat(`{"a":`, 50_000),
		`{"title":"x","ti\u0074le":"y"}`, "\x00",
	} {
		s.do("POST", "/notes", body, asJSON).fails(400, "malformed_request")
		s.do("PUT", "/notes/"+missingID, body, asJSON).fails(400, "malformed_request")
		s.do("PATCH", "/notes/"+missingID, body, asJSON).fails(400, "malformed_request")
	}
}

func testInvalidNote(s *suite) {
	for _, c := range []struct {
		body  string
		where []string
	}{
		{`null`, []string{""}}, {`[]`, []string{""}}, {`[{"title":"x"}]`, []string{""}}, {`"x"`, []string{""}}, {
			`1`, []string{""}}, {`true`, []string{""}},
		{`{}`, []string{"/title"}},
		{`{"title":null}`, []string{"/title"}},
		{`{"title":1}`, []string{"/title"}},
		{`{"title":["x"]}`, []string{"/title"}},
		{`{"title":"x","content":{}}`, []string{"/content"}},
		{`{"title":"x","content":false}`, []string{"/content"}},
		{`{"title":"x","tags":"a"}`, []string{"/tags"}},
		{`{"title":"x","tags":{"0":"a"}}`, []string{"/tags"}},
		{`{"title":"x","tags":["a",1,null,"",["b"]]}`, []string{"/tags/1", "/tags/2", "/tags/3", "/tags/4"}},
		{`{"title":"x","Title":"x"}`, []string{"/Title"}},
		{`{"TITLE":"x"}`, []string{"/TITLE", "/title"}},
		{`{"title":"x","tag":["a"]}`, []string{"/tag"}},
		{`{"title":"x","":1}`, []string{"/"}},
		{`{"title":"x","a/b~c":{"deep":[1,{}]}}`, []string{"/a~1b~0c"}},
		{`{"title":"","content":1,"tags":[""],"owner":"me"}`, []string{"/title", "/content", "/tags/0", "/owner"}},
	} {
		a := s.do("POST", "/notes", c.body, asJSON).fails(422, "invalid_note", c.where...)
		b := s.do("PUT", "/notes/"+missingID, c.body, asJSON).fails(422, "invalid_note", c.where...)
		if fmt.Sprint(a.problem().Errors) == "" || a.problem().Detail != b.problem().Detail {
			s.Errorf("%s: POST says %s, PUT %s", c.body, a.body, b.body)
		}
	}
	s.do("POST", "/notes", `{"title":"x","Content":"y"}`, asJSON).fails(422, "invalid_note").says("Content", "content")
	for _, field := range []string{
		`"id":"` + missingID + `"`, `"version":1`, `"created_at":"2026-11-22T09:00:00Z"`, `"updated_at":null`,
		`"version":{}`,
	} {
		name, _, _ := strings.Cut(strings.TrimPrefix(field, `"`), `"`)
		s.do("POST", "/notes", `{"title":"x",`+field+`}`, asJSON).fails(422, "invalid_note", "/"+
			name).says("set by the service")
	}
}

// testSentBack: clients can edit a note that they have read and send all of it back. The fields of the service are not
// applied, except that version is a condition.
func testSentBack(s *suite) {
	for _, method := range []string{"PUT", "PATCH"} {
		read := s.create(`{"title":"one","content":"c","tags":["t"]}`).note()
		path := "/notes/" + read.ID
		edit := func(changes string) string { // returns the JSON of the note with changes merged into it
			body := map[string]any{}
			for _, object := range []string{s.do("GET", path, "").is(200).body, changes} {
				if err := json.Unmarshal([]byte(object), &body); err != nil {
					s.Fatal(err)
				}
			}
			out, err := json.Marshal(body)
			if err != nil {
				s.Fatal(err)
			}
			return string(out)
		}
		edited := edit(`{"title":"two"}`)
		got := s.do(method, path, edited, asJSON).is(200).note()
		if got.Title != "two" || got.Content != "c" || got.Version != 2 || got.CreatedAt != read.CreatedAt ||
			got.UpdatedAt <= read.UpdatedAt || got.ID != read.ID {
			s.Errorf("%s of %s made %+v of %+v", method, edited, got, read)
		}
		// The body has version 1, but the note has version 2.
		if a := s.do(method, path, edited, asJSON).fails(412, "precondition_failed"); a.etag() != `"2"` {
			s.Errorf("%s: the ETag is %s", method, a.etag())
		}
		version := got.Version
		for _, changes := range []string{
			`{"id":null,"version":null,"created_at":null,"updated_at":null}`,
			`{"created_at":"1999-12-31T23:59:59+14:00","updated_at":"2999-01-01t00:00:00.123456789z"}`,
			`{"version":null}`,
		} {
			got := s.do(method, path, edit(changes), asJSON).is(200).note()
			if version++; got.Version != version || got.CreatedAt != read.CreatedAt ||
				strings.HasPrefix(got.UpdatedAt, "2999") {
				s.Errorf("%s with %s made %+v", method, changes, got)
			}
		}
		for _, notation := range []string{"%d", "%d.0", "%d0e-1"} {
			body := fmt.Sprintf(`{"title":"x","version":`+notation+`}`, version)
			s.do(method, path, body, asJSON).is(200)
			s.do(method, path, body, asJSON).fails(412, "precondition_failed")
			version++
		}
		s.do(method, path, edit(`{"x":1}`), asJSON).fails(422, "invalid_note", "/x")
		now := fmt.Sprintf(`{"title":"x","version":%d.0}`, version)
		s.do(method, path, now, asJSON, with{"If-Match", `"1"`}).fails(412, "precondition_failed")
		s.do(method, path, now, asJSON, with{"If-None-Match", fmt.Sprintf("%q", fmt.Sprint(version))}).fails(412,
			"precondition_failed")
		s.do(method, path, `{"title":"x","version":1}`, asJSON, with{
			"If-Match", fmt.Sprintf("%q", fmt.Sprint(version))}).fails(412, "precondition_failed")
		s.do(method, path, now, asJSON, with{"If-Match", fmt.Sprintf("%q", fmt.Sprint(version))}).is(200)
		for _, c := range []struct{ body, where string }{
			{`{"title":"x","id":"` + missingID + `"}`, "/id"}, {
				`{"title":"x","id":"` + strings.ToUpper(read.ID) + `"}`, "/id"},
			{`{"title":"x","id":1}`, "/id"}, {`{"title":"x","id":""}`, "/id"}, {
				`{"title":"x","id":["` + read.ID + `"]}`, "/id"},
			{`{"title":"x","version":0}`, "/version"}, {`{"title":"x","version":-1}`, "/version"},
			{`{"title":"x","version":1.5}`, "/version"}, {`{"title":"x","version":"1"}`, "/version"},
			{`{"title":"x","version":true}`, "/version"}, {`{"title":"x","version":[1]}`, "/version"},
			{`{"title":"x","version":1e-7}`, "/version"}, {`{"title":"x","version":-0}`, "/version"},
			{`{"title":"x","created_at":"yesterday"}`, "/created_at"}, {`{"title":"x","created_at":1}`, "/created_at"},
			{`{"title":"x","created_at":"2026-02-30T00:00:00Z"}`, "/created_at"},
			{`{"title":"x","updated_at":"2026-11-22 09:00:00Z"}`, "/updated_at"},
			{`{"title":"x","updated_at":"2026-11-22T09:00:00"}`, "/updated_at"}, {
				`{"title":"x","updated_at":{}}`, "/updated_at"},
		} {
			s.do(method, path, c.body, asJSON).fails(422, "invalid_note", c.where)
		}
		for _, number := range []string{"9007199254740993", "9223372036854775807", "9223372036854775808", "1e300",
			"1e99999"} {
			s.do(method, path, `{"title":"x","version":`+number+`}`, asJSON).fails(412, "precondition_failed")
		}
		s.do(method, "/notes/"+missingID, `{"title":"x","id":"`+missingID+`","version":1}`, asJSON).fails(404,
			"not_found")
		if got := s.do("GET", path, "").is(200).note(); got.Version != version+1 {
			s.Errorf("%s: refused bodies changed the version from %d to %d", method, version+1, got.Version)
		}
	}
}

// testManyMistakes: the response to a large invalid body is small.
func testManyMistakes(s *suite) {
	for _, body := range []string{
		`{"title":"x","tags":[` + strings.Repeat("1,", 300_000) + `1]}`,
		`{"title":"x","` + strings.Repeat("k", 1_000_000) + `":1}`,
	} {
		if a := s.do("POST", "/notes", body, asJSON).fails(422, "invalid_note"); len(a.body) > 20_000 {
			s.Errorf("the response to %d bytes has %d", len(body), len(a.body))
		}
	}
	var b strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	if a := s.do("POST", "/notes", `{`+b.String()+`"title":"x"}`, asJSON).fails(422,
		"invalid_note"); len(a.problem().Errors) > 101 {
		s.Errorf("the response names %d mistakes", len(a.problem().Errors))
	}
}

func testMediaTypes(s *suite) {
	const body = `{"title":"x"}`
	id := s.create(body).note().ID
	for _, ct := range []string{"application/json", "application/json; charset=utf-8",
		`Application/JSON;charset="UTF-8"`, "application/json; x=y"} {
		s.do("POST", "/notes", body, with{"Content-Type", ct}).is(201)
		s.do("PUT", "/notes/"+id, body, with{"Content-Type", ct}).is(200)
		s.do("PATCH", "/notes/"+id, body, with{"Content-Type", ct}).is(200)
	}
	s.do("PATCH", "/notes/"+id, body, with{"Content-Type", "application/merge-patch+json"}).is(200)
	s.do("POST", "/notes", body, asJSON, with{"Content-Encoding", "identity"}).is(201)
	for _, ct := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
		"application/jsonp", "json", "application/",
		"application/json; charset=latin1", "application/json; charset=utf-16", "application/json, application/json",
		"application/json;charset", "*/*",
	} {
		headers := []with{{"Content-Type", ct}}
		if ct == "" {
			headers = nil
		}
		s.do("POST", "/notes", body, headers...).fails(415, "unsupported_media_type")
		s.do("PUT", "/notes/"+id, body, headers...).fails(415, "unsupported_media_type")
		s.do("PATCH", "/notes/"+id, body, headers...).fails(415, "unsupported_media_type")
	}
	s.do("POST", "/notes", body, with{"Content-Type", "application/merge-patch+json"}).fails(415,
		"unsupported_media_type")
	s.do("PUT", "/notes/"+id, body, with{"Content-Type", "application/merge-patch+json"}).fails(415,
		"unsupported_media_type")
	s.do("POST", "/notes", body, asJSON, with{"Content-Encoding", "gzip"}).fails(415, "unsupported_media_type")
}

func testTooLarge(s *suite) {
	const limit = 1 << 20
	padded := func(n int) string { return `{"title":"x"` + strings.Repeat(" ", n-len(`{"title":"x"}`)) + `}` }
	id := s.create(padded(limit)).note().ID
	s.doFrom("POST", "/notes", chunkedBody{strings.NewReader(padded(limit))}, asJSON).is(201)
	for _, size := range []int{limit + 1, 2 * limit} {
		s.do("POST", "/notes", padded(size), asJSON).fails(413, "too_large")
		s.doFrom("POST", "/notes", chunkedBody{strings.NewReader(padded(size))}, asJSON).fails(413, "too_large")
		s.do("PUT", "/notes/"+id, padded(size), asJSON).fails(413, "too_large")
		s.do("PATCH", "/notes/"+id, padded(size), asJSON).fails(413, "too_large")
		s.do("DELETE", "/notes/"+id, padded(size)).fails(413, "too_large")
		s.do("GET", "/notes/"+id, padded(size)).fails(413, "too_large")
		s.do("GET", "/notes", padded(size)).fails(413, "too_large")
	}
	s.do("GET", "/notes/"+id, "a body that nobody asked for").is(200)
}

func testReplace(s *suite) {
	n := s.create(`{"title":"one","content":"c","tags":["t"]}`).note()
	path := "/notes/" + n.ID
	a := s.do("PUT", path, `{"title":" two "}`, asJSON).is(200)
	got := a.note()
	if got.Title != "two" || got.Content != "" || len(got.Tags) != 0 || got.Version != 2 || a.etag() != `"2"` {
		s.Errorf("the note is %+v", got)
	}
	if got.ID != n.ID || got.CreatedAt != n.CreatedAt || got.UpdatedAt <= n.UpdatedAt {
		s.Errorf("%+v became %+v", n, got)
	}
	if a.header.Get("Location") != "" {
		s.Errorf("PUT returns a Location: %v", a.header)
	}
	// A replacement with equal values is a change too.
	again := s.do("PUT", path, `{"title":"two"}`, asJSON).is(200).note()
	if again.Version != 3 || again.UpdatedAt <= got.UpdatedAt {
		s.Errorf("%+v became %+v", got, again)
	}
	if read := s.do("GET", path, "").is(200).note(); !reflect.DeepEqual(read, again) {
		s.Errorf("GET returns %+v, PUT returned %+v", read, again)
	}
	// PUT never creates a note.
	s.do("PUT", "/notes/"+missingID, `{"title":"x"}`, asJSON).fails(404, "not_found")
	s.do("GET", "/notes/"+missingID, "").fails(404, "not_found")
}

func testPatch(s *suite) {
	want := s.create(`{"title":"one","content":"c","tags":["t"]}`).note()
	path := "/notes/" + want.ID
	for _, c := range []struct {
		body  string
		apply func(*note)
	}{
		{`{"title":"two"}`, func(n *note) { n.Title = "two" }},
		{`{"content":"d"}`, func(n *note) { n.Content = "d" }},
		{`{"tags":["u"," u ","v"]}`, func(n *note) { n.Tags = []string{"u", "v"} }},
		{`{}`, func(*note) {}},
		{`{"title":"two"}`, func(*note) {}},
		{`{"content":null}`, func(n *note) { n.Content = "" }},
		{`{"tags":null,"title":" three "}`, func(n *note) { n.Tags, n.Title = []string{}, "three" }},
		{`{"tags":[]}`, func(*note) {}},
	} {
		a := s.do("PATCH", path, c.body, with{"Content-Type", "application/merge-patch+json"}).is(200)
		got := a.note()
		c.apply(&want)
		want.Version++
		if got.UpdatedAt <= want.UpdatedAt {
			s.Errorf("%s: updated_at %s is not after %s", c.body, got.UpdatedAt, want.UpdatedAt)
		}
		want.UpdatedAt = got.UpdatedAt
		if !reflect.DeepEqual(got, want) {
			s.Errorf("%s: the note is %+v, want %+v", c.body, got, want)
		}
		if a.etag() != fmt.Sprintf(`"%d"`, want.Version) {
			s.Errorf("%s: ETag is %s", c.body, a.etag())
		}
	}
	if read := s.do("GET", path, "").is(200).note(); !reflect.DeepEqual(read, want) {
		s.Errorf("GET returns %+v, want %+v", read, want)
	}
}

func testPatchMistakes(s *suite) {
	n := s.create(`{"title":"one"}`).note()
	for _, c := range []struct {
		body  string
		where []string
	}{
		{`{"title":null}`, []string{"/title"}}, {`{"title":""}`, []string{"/title"}}, {
			`{"title":2,"tags":[3],"content":[]}`, []string{"/title", "/tags/0", "/content"}},
		{`null`, []string{""}}, {`"x"`, []string{""}}, {`[]`, []string{""}}, {`{"id":"x"}`, []string{"/id"}}, {
			`{"Tags":[]}`, []string{"/Tags"}}, {`{"x":null}`, []string{"/x"}},
	} {
		s.do("PATCH", "/notes/"+n.ID, c.body, asJSON).fails(422, "invalid_note", c.where...)
	}
	if read := s.do("GET", "/notes/"+n.ID, "").is(200).note(); !reflect.DeepEqual(read, n) {
		s.Errorf("refused patches changed %+v to %+v", n, read)
	}
	s.do("PATCH", "/notes/"+missingID, `{"title":"x"}`, asJSON).fails(404, "not_found")
}

func testDelete(s *suite) {
	n := s.createTagged("goes")
	s.do("DELETE", "/notes/"+n.ID, "").is(204)
	s.do("DELETE", "/notes/"+n.ID, "").fails(404, "not_found")
	s.do("GET", "/notes/"+n.ID, "").fails(404, "not_found")
	s.do("PUT", "/notes/"+n.ID, `{"title":"x"}`, asJSON).fails(404, "not_found")
	s.do("PATCH", "/notes/"+n.ID, `{"title":"x"}`, asJSON).fails(404, "not_found")
	if all := s.all(map[string][]string{"tag": {s.mark}}); len(all) != 0 {
		s.Errorf("a deleted note is listed: %+v", all)
	}
	s.do("DELETE", "/notes/no-id", "").fails(404, "not_found")
}

func testConcurrentWriters(s *suite) {
	const writers = 20
	send := func(method, path, body string, headers ...with) *answer {
		a, _, _ := s.exchange(method, path, strings.NewReader(body), append(headers, asJSON)...)
		return a
	}
	for range 5 {
		n := s.create(`{"title":"contested"}`).note()
		path := "/notes/" + n.ID
		statuses := make([]int, writers)
		concurrently(writers, func(i int) {
			statuses[i] = send("PUT", path, fmt.Sprintf(`{"title":"by %d"}`, i), with{"If-Match", `"1"`}).status
		})
		won := 0
		for _, status := range statuses {
			if status == http.StatusOK {
				won++
			} else if status != http.StatusPreconditionFailed {
				s.Errorf("a writer got %d", status)
			}
		}
		if won != 1 {
			s.Errorf("%d writers with the same ETag succeeded", won)
		}
		bodies := []string{`{"title":"t"}`, `{"content":"c"}`, `{"tags":["g"]}`}
		concurrently(3, func(i int) { send("PATCH", path, bodies[i]) })
		got := s.do("GET", path, "").is(200).note()
		if got.Title != "t" || got.Content != "c" || !reflect.DeepEqual(got.Tags, []string{"g"}) || got.Version != 5 {
			s.Errorf("three patches made %+v", got)
		}
		concurrently(writers, func(i int) { send("PATCH", path, fmt.Sprintf(`{"content":"%d"}`, i)) })
		if got := s.do("GET", path, "").is(200).note(); got.Version != 5+writers {
			s.Errorf("%d patches raised the version from 5 to %d", writers, got.Version)
		}
	}
}
