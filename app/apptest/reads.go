package apptest

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

func testRead(s *suite) {
	n := s.create(`{"title":"read me","content":"c","tags":["t"]}`).note()
	a := s.do("GET", "/notes/"+n.ID, "").is(200)
	if got := a.note(); !reflect.DeepEqual(got, n) {
		s.Errorf("GET returns %+v, POST returned %+v", got, n)
	}
	head := s.do("HEAD", "/notes/"+n.ID, "").is(200)
	for _, name := range []string{"ETag", "Content-Type", "Content-Length"} {
		head.has(name, a.header.Get(name))
	}
	a.has("Content-Length", fmt.Sprint(len(a.body)))
	s.do("HEAD", "/notes", "").is(200).has("Content-Type", "application/json")
	s.do("HEAD", "/notes/"+missingID, "").is(404)
	s.do("HEAD", "/notes?limit=0", "").is(400)
}

func testPaths(s *suite) {
	id := s.create(`{"title":"here"}`).note().ID
	for _, path := range []string{
		"/notes/" + missingID, "/notes/1", "/notes/" + strings.ToUpper(id), "/notes/" +
			strings.ReplaceAll(id, "-", ""), "/notes/{" + id + "}",
		"/notes/urn:uuid:" + id, "/notes/%20" + id, "/notes/" + id + "%00", "/notes/100%25", "/notes/a%3Fb",
		"/notes/a%23b", "/notes/%E6%97%A5", "/notes/%FF",
		"/notes/" + id + "%0A", "/notes/" + strings.Repeat("x", 5000), "/notes/..", "/notes/%2e%2e", "/notes/+",
		"/notes/;",
	} {
		s.do("GET", path, "").fails(404, "not_found")
		s.do("DELETE", path, "").fails(404, "not_found")
	}
	// A path without a route is 404 for every method, and a trailing slash makes another path.
	for _, path := range []string{
		"/notes/", "/notes/" + id + "/", "/notes/" + id + "/x", "/notes/a/b", "/notes/" + id + "%2F",
		"/notes%2F", "/Notes", "/note", "/notesx",
		"//notes", "/notes//" + id, "/./notes", "/notes/../notes", "/x%2F..%2Fnotes",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "PATCH", "OPTIONS", "FOO"} {
			s.do(method, path, "").fails(404, "not_found")
		}
	}
	// The decoded path is routed.
	for _, path := range []string{"/notes%2F" + id, "/%6Eotes/" + id, "/notes/" + strings.ReplaceAll(id, "-", "%2D")} {
		s.do("GET", path, "").is(200)
	}
	// Only lists have parameters; other operations ignore them.
	s.do("GET", "/notes/"+id+"?x=1", "").is(200)
}

func testMethods(s *suite) {
	id := s.create(`{"title":"here"}`).note().ID
	for path, want := range map[string][]string{
		"/notes":             {"GET", "HEAD", "OPTIONS", "POST"},
		"/notes/" + id:       {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"},
		"/notes/" + "nobody": {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"},
	} {
		allow := func(a *answer) {
			s.Helper()
			got := strings.Split(a.header.Get("Allow"), ", ")
			slices.Sort(got)
			if !slices.Equal(got, want) {
				s.Errorf("%s: Allow is %q, want %q", a.request, got, want)
			}
		}
		allow(s.do("OPTIONS", path, "").is(204))
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO", "get", "PROPFIND"} {
			if !slices.Contains(want, method) {
				allow(s.do(method, path, "").fails(405, "method_not_allowed"))
			}
		}
	}
}

func testConditionalReads(s *suite) {
	n := s.create(`{"title":"one"}`).note()
	path := "/notes/" + n.ID
	s.do("PATCH", path, `{}`, asJSON).is(200)
	for _, c := range []struct {
		match, noneMatch string
		status           int
	}{
		{"", `"2"`, 304}, {"", `W/"2"`, 304}, {"", `*`, 304}, {"", `"1","2"`, 304}, {"", `"1", W/"2"`, 304}, {
			"", ` , "2",, `, 304}, {"", `"x,y","2"`, 304},
		{"", `"1"`, 200}, {"", `"02"`, 200}, {"", `"x"`, 200}, {"", `W/"1"`, 200}, {"", `"1,2"`, 200}, {
			"", `""`, 200}, {"", "\"\xe9\"", 200},
		{`"2"`, "", 200}, {`*`, "", 200}, {`"1", "2"`, "", 200}, {`W/"1","2"`, "", 200},
		{`"1"`, "", 412}, {`W/"2"`, "", 412}, {`"+2"`, "", 412}, {`"99999999999999999999"`, "", 412},
		{`"2"`, `"2"`, 304}, {`"2"`, `"1"`, 200}, {`"1"`, `"2"`, 412}, {`*`, `*`, 304}, {`"1"`, `*`, 412},
	} {
		var headers []with
		if c.match != "" {
			headers = append(headers, with{"If-Match", c.match})
		}
		if c.noneMatch != "" {
			headers = append(headers, with{"If-None-Match", c.noneMatch})
		}
		for _, method := range []string{"GET", "HEAD"} {
			a := s.do(method, path, "", headers...).is(c.status).has("ETag", `"2"`)
			if c.status == 304 && a.header.Get("Content-Type") != "" {
				s.Errorf("%s: 304 has a Content-Type", a.request)
			}
		}
		s.do("GET", "/notes/"+missingID, "", headers...).fails(404, "not_found")
		s.do("GET", "/notes?limit=1", "", headers...).is(200)
	}
	s.do("GET", path, "", with{"If-Match", `"1"`}).fails(412, "precondition_failed")
	s.do("GET", path, "", with{"If-Match", "a"}, with{"If-None-Match", "b"}).fails(400, "invalid_parameter",
		"If-Match", "If-None-Match")
}

func testConditionalWrites(s *suite) {
	for _, c := range []struct {
		match, noneMatch string
		holds            bool
	}{
		{`"2"`, "", true}, {`*`, "", true}, {`"1", "2"`, "", true}, {`"x,y" ,"2"`, "", true}, {"", `"1"`, true}, {
			"", `W/"1","3"`, true}, {`"2"`, `"1"`, true},
		{`"1"`, "", false}, {`W/"2"`, "", false}, {`"3"`, "", false}, {`"02"`, "", false}, {`""`, "", false}, {
			"", `"2"`, false}, {"", `W/"2"`, false},
		{"", `*`, false}, {`*`, `*`, false}, {`"2"`, `"2"`, false}, {`"1"`, `"1"`, false}, {"", `"1", "2"`, false}, {
			`"2"`, `*`, false},
	} {
		var headers []with
		if c.match != "" {
			headers = append(headers, with{"If-Match", c.match})
		}
		if c.noneMatch != "" {
			headers = append(headers, with{"If-None-Match", c.noneMatch})
		}
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			n := s.create(`{"title":"one"}`).note()
			path := "/notes/" + n.ID
			before := s.do("PATCH", path, `{}`, asJSON).is(200).note()
			body := `{"title":"changed"}`
			if method == "DELETE" {
				body = ""
			}
			a := s.do(method, path, body, append(headers, asJSON)...)
			switch {
			case !c.holds:
				a.fails(412, "precondition_failed").has("ETag", `"2"`)
				if got := s.do("GET", path, "").is(200).note(); !reflect.DeepEqual(got, before) {
					s.Errorf("%s: refused, but changed %+v to %+v", a.request, before, got)
				}
			case method == "DELETE":
				a.is(204)
			default:
				a.is(200).has("ETag", `"3"`)
			}
			missing := s.do(method, "/notes/"+missingID, body, append(headers, asJSON)...)
			missing.fails(404, "not_found")
		}
		s.do("POST", "/notes", `{"title":"preconditions are for a note"}`, append(headers, asJSON)...).is(201)
	}
}

func testPreconditionMistakes(s *suite) {
	id := s.create(`{"title":"one"}`).note().ID
	for _, value := range []string{
		`1`, `"1`, `1"`, `"1""2"`, `"1" "2"`, `w/"1"`, `W/ "1"`, `W/1`, `*, "1"`, `"1", *`, `**`, `"a b"`, `abc`,
		`'1'`, `"1";`, `W/*`, `"1",x`,
	} {
		for _, name := range []string{"If-Match", "If-None-Match"} {
			for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE"} {
				a := s.do(method, "/notes/"+id, `{"title":"x"}`, with{name, value}, asJSON).is(400)
				if method != "HEAD" {
					a.fails(400, "invalid_parameter", name)
				}
			}
			s.do("GET", "/notes?limit=1", "", with{name, value}).is(200) // /notes ignores them
			s.do("POST", "/notes", `{"title":"x"}`, with{name, value}, asJSON).is(201)
		}
	}
	// A list without a tag is well-formed and matches no version.
	for _, value := range []string{"", ",", " , ,, ", "\t"} {
		s.do("GET", "/notes/"+id, "", with{"If-None-Match", value}).is(200)
		s.do("PATCH", "/notes/"+id, `{"title":"x"}`, with{"If-None-Match", value}, asJSON).is(200)
		s.do("GET", "/notes/"+id, "", with{"If-Match", value}).fails(412, "precondition_failed")
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			s.do(method, "/notes/"+id, `{"title":"x"}`, with{"If-Match", value}, asJSON).fails(412,
				"precondition_failed")
		}
		s.do("GET", "/notes/"+missingID, "", with{"If-Match", value}).fails(404, "not_found")
	}
}

// testErrorPrecedence: if several things are wrong, the response is about the first in the order of the contract.
func testErrorPrecedence(s *suite) {
	n := s.create(`{"title":"one"}`).note()
	path := "/notes/" + n.ID
	huge := strings.Repeat(" ", 1<<20+1)
	bad := with{"If-Match", "bad"}
	stale := with{"If-Match", `"9"`}
	plain := with{"Content-Type", "text/plain"}
	badKey := with{"Idempotency-Key", "a b"}
	key := with{"Idempotency-Key", s.mark}
	s.create(`{"title":"first"}`, key)
	for _, c := range []struct {
		method, path, body string
		headers            []with
		status             int
		code               string
	}{
		{"FOO", "/notes/a/b?limit=0", huge, []with{bad, plain}, 404, "not_found"},
		{"FOO", path, huge, []with{bad, plain}, 405, "method_not_allowed"},
		{"POST", path, huge, []with{bad, plain}, 405, "method_not_allowed"},
		{"PUT", path, huge, []with{bad, plain}, 400, "invalid_parameter"},
		{"GET", "/notes?limit=0", huge, nil, 400, "invalid_parameter"},
		{"POST", "/notes", huge, []with{badKey, plain}, 400, "invalid_parameter"},
		{"PUT", "/notes/" + missingID, huge, []with{stale, plain}, 413, "too_large"},
		{"POST", "/notes", huge, []with{key, plain}, 413, "too_large"},
		{"PUT", "/notes/" + missingID, "{", []with{stale, plain}, 415, "unsupported_media_type"},
		{"PATCH", "/notes/" + missingID, "", []with{stale}, 415, "unsupported_media_type"},
		{"PUT", "/notes/" + missingID, `{"title":"","title":""}`, []with{stale, asJSON}, 400, "malformed_request"},
		{"PUT", "/notes/" + missingID, `{"title":""}`, []with{stale, asJSON}, 422, "invalid_note"},
		{"PUT", "/notes/no-id", `{"title":""}`, []with{stale, asJSON}, 422, "invalid_note"},
		{"PATCH", "/notes/" + missingID, `{"title":""}`, []with{stale, asJSON}, 422, "invalid_note"},
		{"PUT", "/notes/" + missingID, `{"title":"x"}`, []with{stale, asJSON}, 404, "not_found"},
		{"PUT", "/notes/no-id", `{"title":"x"}`, []with{stale, asJSON}, 404, "not_found"},
		{"PUT", path, `{"title":"x"}`, []with{stale, asJSON}, 412, "precondition_failed"},
		{"POST", "/notes", `{"title":"first"}x`, []with{key, asJSON}, 400, "malformed_request"},
		{"POST", "/notes", `{"title":"first","x":1}`, []with{key, asJSON}, 422, "invalid_note"},
		{"POST", "/notes", `{"title":"second"}`, []with{key, asJSON}, 422, "idempotency_key_reused"},
		{"GET", "/notes?limit=0&cursor=x", "", nil, 400, "invalid_parameter"},
		{"GET", "/notes?cursor=x", huge, nil, 400, "invalid_cursor"},
	} {
		s.do(c.method, c.path, c.body, c.headers...).fails(c.status, c.code)
	}
}

func testList(s *suite) {
	var want []note
	for i := range 25 {
		want = append(want, s.createTagged(fmt.Sprint("note ", i)))
	}
	slices.Reverse(want)
	first := s.list(url.Values{"tag": {s.mark}})
	if len(first.Notes) != 20 || !reflect.DeepEqual(first.Notes, want[:20]) || first.Next == "" {
		s.Errorf("without a limit, the page is %+v", first)
	}
	second := s.list(url.Values{"tag": {s.mark}, "cursor": {first.Next}, "limit": {"7"}}) // the limit may change
	if !reflect.DeepEqual(second.Notes, want[20:]) || second.Next != "" {
		s.Errorf("the second page is %+v", second)
	}
	for _, limit := range []int{1, 4, 5, 24, 25, 26, 100} {
		if got := s.all(url.Values{"tag": {s.mark}, "limit": {fmt.Sprint(limit)}}); !reflect.DeepEqual(got, want) {
			s.Errorf("with the limit %d, the list is %+v", limit, got)
		}
	}
	// Without a filter, a page is full.
	p := s.list(url.Values{"limit": {"25"}})
	if !reflect.DeepEqual(p.Notes, want) {
		s.Errorf("without a filter, the list is %+v", p.Notes)
	}
	// A change does not move a note.
	s.do("PATCH", "/notes/"+want[10].ID, `{"title":"changed"}`, asJSON).is(200)
	if got := s.all(url.Values{"tag": {s.mark}}); got[10].Title != "changed" || got[10].ID != want[10].ID {
		s.Errorf("a change moved a note: %+v", got)
	}
}

func testListFilters(s *suite) {
	both := s.createTagged("Straße in MÜNCHEN", "a", "b")
	onlyA := s.createTagged("ΟΔΥΣΣΕΥΣ", "a", "ab")
	content := s.create(`{"title":"x","content":"\uab70\u13a1 Needle in a HAYSTACK, 100%_*[a]","tags":["A",` +
		quote(s.mark) + `]}`).note()
	ids := func(query url.Values) string {
		s.Helper()
		query["tag"] = append(query["tag"], s.mark)
		var got []string
		for _, n := range s.all(query) {
			got = append(got, n.ID)
		}
		return strings.Join(got, " ")
	}
	join := func(all ...note) string {
		var got []string
		for _, n := range all {
			got = append(got, n.ID)
		}
		return strings.Join(got, " ")
	}
	for _, c := range []struct {
		query url.Values
		want  string
	}{
		{url.Values{}, join(content, onlyA, both)},
		{url.Values{"tag": {"a"}}, join(onlyA, both)},
		{url.Values{"tag": {"a", "b"}}, join(both)},
		{url.Values{"tag": {"b", "a", "b"}}, join(both)},
		{url.Values{"tag": {"A"}}, join(content)},
		{url.Values{"tag": {" a"}}, ""},
		{url.Values{"tag": {"a", "A"}}, ""},
		{url.Values{"q": {"münchen"}}, join(both)},
		{url.Values{"q": {"MÜNCHEN"}}, join(both)},
		{url.Values{"q": {"STRASSE"}}, join(both)},
		{url.Values{"q": {"straße"}}, join(both)},
		{url.Values{"q": {"οδυσσευς"}}, join(onlyA)},
		{url.Values{"q": {"needle"}}, join(content)},
		{url.Values{"q": {"\u13a0\uab71"}}, join(content)}, // Cherokee, in both cases
		{url.Values{"q": {"haystack, 100%_*[A]"}}, join(content)},
		{url.Values{"q": {"x needle"}}, ""},
		{url.Values{"q": {"%"}}, join(content)},
		{url.Values{"q": {" "}}, join(content, both)},
		{url.Values{"q": {s.mark}}, ""}, // q does not search tags
		{url.Values{"q": {"in"}, "tag": {"b"}}, join(both)},
		{url.Values{"q": {strings.Repeat("é", 100)}}, ""},
	} {
		if got := ids(c.query); got != c.want {
			s.Errorf("%v lists %q, want %q", c.query, got, c.want)
		}
	}
}

func testListMistakes(s *suite) {
	tags := strings.Repeat("&tag=x", 11)
	for _, c := range []struct {
		query string
		where []string
		says  string
	}{
		{"limit=0", []string{"limit"}, "1 to 100"}, {"limit=101", []string{"limit"}, "1 to 100"}, {
			"limit=-1", []string{"limit"}, ""}, {"limit=", []string{"limit"}, ""},
		{"limit", []string{"limit"}, ""}, {"limit=x", []string{"limit"}, ""}, {"limit=1.5", []string{"limit"}, ""}, {
			"limit=1e1", []string{"limit"}, ""},
		{"limit=%2B5", []string{"limit"}, ""}, {"limit=+5", []string{"limit"}, ""}, {
			"limit=5%20", []string{"limit"}, ""}, {"limit=99999999999999999999", []string{"limit"}, ""},
		{"limit=%D9%A5", []string{"limit"}, ""},
		{"limit=1&limit=1", []string{"limit"}, "once"}, {"q=a&q=a", []string{"q"}, "once"}, {
			"cursor=a&cursor=a", []string{"cursor"}, "once"},
		{"q=", []string{"q"}, "has 0"}, {"q=" + strings.Repeat("x", 101), []string{"q"}, "101"}, {
			"q=%FF", []string{"q"}, "UTF-8"},
		{"tag=", []string{"tag"}, "has 0"}, {"tag=" + strings.Repeat("x", 51), []string{"tag"}, "51"}, {
			"tag=&tag=" + strings.Repeat("x", 51), []string{"tag"}, "has 51"}, {"tag=%00", []string{"tag"}, ""}, {
			"tag=%FF", []string{"tag"}, ""},
		{tags[1:], []string{"tag"}, "10"},
		{"Limit=1", []string{"Limit"}, `\"limit\"`}, {"tags=a", []string{"tags"}, `\"tag\"`}, {
			"search=a", []string{"search"}, "nearest"}, {"offset=1", []string{"offset"}, "nearest"},
		{"page=2&q=&limit=1000", []string{"page", "q", "limit"}, ""}, {"=x", []string{""}, ""}, {
			"curser=x", []string{"curser"}, `\"cursor\"`},
		{"q=%zz", nil, ""}, {"q=%", nil, ""}, {"limit=1;q=x", nil, ""},
	} {
		s.do("GET", "/notes?"+c.query, "").fails(400, "invalid_parameter", c.where...).says(c.says)
	}
	for _, query := range []string{"", "&", "limit=1&", "tag=a&tag=a", "q=%F0%9F%98%80", "q=a+b", "limit=100",
		"tag=a%26b"} {
		s.do("GET", "/notes?"+query, "").is(200)
	}
}

func testCursors(s *suite) {
	for range 4 {
		s.createTagged("x y", "other")
	}
	query := func(cursor string, more ...string) string {
		q := url.Values{"tag": {s.mark}, "limit": {"1"}, "cursor": {cursor}}
		for i := 0; i < len(more); i += 2 {
			q.Set(more[i], more[i+1])
		}
		return "/notes?" + q.Encode()
	}
	invalid := func(path string) {
		s.Helper()
		s.do("GET", path, "").fails(400, "invalid_cursor", "cursor")
	}
	// Beside other mistakes the cursor is one of them, unless the filter is wrong, which no cursor fits.
	s.do("GET", "/notes?limit=0&cursor=x", "").fails(400, "invalid_parameter", "limit", "cursor")
	s.do("GET", "/notes?q=&cursor=x", "").fails(400, "invalid_parameter", "q")
	cursor := s.list(url.Values{"tag": {s.mark}, "limit": {"1"}}).Next
	s.do("GET", query(cursor), "").is(200)
	// A cursor with one bit changed, or encoded in another way.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range cursor {
		for bit := range 6 {
			flipped := alphabet[strings.IndexByte(alphabet, cursor[i])^1<<bit]
			invalid(query(cursor[:i] + string(flipped) + cursor[i+1:]))
		}
	}
	for i := range len(cursor) {
		invalid(query(cursor[:i]))
	}
	for _, bad := range []string{cursor + "A", cursor + "=", cursor + "AAAA", cursor + cursor, cursor + "\n",
		cursor[:8] + "\n" + cursor[8:], " " + cursor, "x", missingID, "null",
		strings.NewReplacer("-", "+", "_", "/").Replace(cursor) + "=="} {
		invalid(query(bad))
	}
	// A cursor of another filter.
	invalid(query(cursor, "q", "x"))
	invalid(query(cursor, "tag", "other"))
	invalid("/notes?cursor=" + cursor)
	invalid("/notes?" + url.Values{"tag": {s.mark, "other"}, "cursor": {cursor}}.Encode())
	searched := s.list(url.Values{"tag": {s.mark}, "limit": {"1"}, "q": {"x y"}}).Next
	invalid(query(searched))
	invalid(query(searched, "q", "x"))
	s.do("GET", query(searched, "q", "x y"), "").is(200)
	// The order and repetition of tags do not matter, nor does the limit.
	s.do("GET", "/notes?"+url.Values{"tag": {s.mark, s.mark}, "cursor": {cursor}}.Encode(), "").is(200)
	two := s.list(url.Values{"tag": {s.mark, "other"}, "limit": {"1"}}).Next
	s.do("GET", "/notes?"+url.Values{"tag": {"other", s.mark}, "cursor": {two}, "limit": {"100"}}.Encode(), "").is(200)
	// The note at the position of the cursor may be deleted.
	p := s.list(url.Values{"tag": {s.mark}, "limit": {"2"}})
	s.do("DELETE", "/notes/"+p.Notes[1].ID, "").is(204)
	if rest := s.list(url.Values{"tag": {s.mark}, "cursor": {p.Next}}); len(rest.Notes) != 2 {
		s.Errorf("after the deleted note, the page has %d notes, want 2", len(rest.Notes))
	}
}

// testWalk: a walk lists every note that exists throughout exactly once, whatever else changes meanwhile.
func testWalk(s *suite) {
	var stay, pass []note
	for i := range 30 {
		stay = append(stay, s.createTagged(fmt.Sprint("stays ", i)))
		pass = append(pass, s.createTagged(fmt.Sprint("goes ", i)))
	}
	seen := map[string]int{}
	query := url.Values{"tag": {s.mark}, "limit": {"7"}}
	for i := 0; ; i++ {
		p := s.list(query)
		for _, n := range p.Notes {
			seen[n.ID]++
		}
		if p.Next == "" {
			break
		}
		query.Set("cursor", p.Next)
		s.do("DELETE", "/notes/"+pass[i].ID, "").is(204)
		s.do("DELETE", "/notes/"+pass[len(pass)-1-i].ID, "").is(204)
		s.createTagged("new")
		s.do("PATCH", "/notes/"+stay[i].ID, `{"content":"changed"}`, asJSON).is(200)
	}
	for _, n := range stay {
		if seen[n.ID] != 1 {
			s.Errorf("%s is listed %d times", n.Title, seen[n.ID])
		}
	}
	for id, times := range seen {
		if times > 1 {
			s.Errorf("%s is listed %d times", id, times)
		}
	}
}

// testLongText: a page examines at most 768 KiB of text, so that its JSON fits the response of a Lambda.
func testLongText(s *suite) {
	for _, text := range []string{`\u0001`, `<`, `\"`} {
		var want []string
		mark := fmt.Sprintf("%s %q", s.mark[:8], text)
		for range 5 {
			n := s.create(`{"title":"x","content":"` + strings.Repeat(text, 170_000) + `","tags":[` + quote(mark) +
				`]}`).note()
			want = append(want, n.ID)
		}
		slices.Reverse(want)
		var got []string
		var sizes []int
		query := url.Values{"tag": {mark}}
		for {
			a := s.do("GET", "/notes?"+query.Encode(), "").is(200)
			if len(a.body) > 5_000_000 {
				s.Errorf("a page has %d bytes", len(a.body))
			}
			var p page
			a.decode(&p)
			for _, n := range p.Notes {
				got = append(got, n.ID)
			}
			sizes = append(sizes, len(p.Notes))
			if p.Next == "" {
				break
			}
			query.Set("cursor", p.Next)
		}
		// A page has room for 4 x 170,000 bytes, but not for 5. Other tests' notes may end a page earlier.
		if !slices.Equal(got, want) || slices.Max(sizes) > 4 {
			s.Errorf("pages have %v notes, want 5 in total and at most 4 on a page", sizes)
		}
		for _, id := range got {
			s.do("DELETE", "/notes/"+id, "").is(204)
		}
	}
}

// testSparseFilter: one request examines at most 1,000 notes and returns a cursor if there are more.
func testSparseFilter(s *suite) {
	target := s.createTagged("the one to find")
	const others = 1005
	concurrently(16, func(w int) {
		for i := w; i < others; i += 16 {
			status := 503 // retried: the store may be slow for a moment
			for try := 0; try < 5 && status == 503; try++ {
				a, _, _ := s.exchange("POST", "/notes", strings.NewReader(`{"title":"hay"}`), asJSON)
				status = a.status
			}
			if status != 201 {
				s.Errorf("a create returns %d", status)
			}
		}
	})
	query := url.Values{"tag": {s.mark}}
	p := s.list(query)
	if len(p.Notes) != 0 || p.Next == "" {
		s.Fatalf("the first page has %d notes and the cursor %q, want none and a cursor", len(p.Notes), p.Next)
	}
	query.Set("cursor", p.Next)
	if p = s.list(query); len(p.Notes) != 1 || p.Notes[0].ID != target.ID {
		s.Fatalf("the second page is %+v", p.Notes)
	}
}
