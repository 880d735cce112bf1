package apptest

import (
	"net/url"
	"strings"
	"sync"
)

func (s *suite) postWithKey(key, body string) *answer {
	s.Helper()
	return s.do("POST", "/notes", body, with{"Idempotency-Key", key}, asJSON)
}

// replayed checks that the response repeats the first one.
func (a *answer) replayed(first *answer) {
	a.s.Helper()
	a.is(first.status).has("Idempotency-Replayed", "true").has("ETag", first.etag()).has("Location",
		first.header.Get("Location"))
	if a.body != first.body {
		a.s.Errorf("%s: the response is %s, the first was %s", a.request, a.body, first.body)
	}
}

func testIdempotencyKey(s *suite) {
	tag := quote(s.mark)
	body := `{"title":"once","content":"c","tags":["t",` + tag + `]}`
	first := s.postWithKey(s.mark, body).is(201).has("Idempotency-Replayed", "")
	path := "/notes/" + first.note().ID
	count := func(want int) {
		s.Helper()
		if got := len(s.all(url.Values{"tag": {s.mark}})); got != want {
			s.Errorf("%d notes, want %d", got, want)
		}
	}
	s.postWithKey(s.mark, body).replayed(first)
	// The same note in other JSON: it is compared after trimming and dropping duplicates.
	s.postWithKey(s.mark, ` { "tags":[" t",`+tag+`,"t"], "\u0063ontent":"\u0063", "title":" once " } `).replayed(first)
	count(1)
	for _, other := range []string{
		`{"title":"twice","content":"c","tags":["t",` + tag + `]}`,
		`{"title":"once","content":"C","tags":["t",` + tag + `]}`,
		`{"title":"once","content":"c","tags":[` + tag + `,"t"]}`,
		`{"title":"once","tags":["t",` + tag + `]}`,
		`{"title":"once","content":"c"}`,
		`{"title":"onc","content":"ec","tags":["t",` + tag + `]}`,
	} {
		s.postWithKey(s.mark, other).fails(422, "idempotency_key_reused")
	}
	s.postWithKey(s.mark, body).replayed(first) // a refusal is not remembered
	// A replay does not depend on later changes to the note.
	s.do("PATCH", path, `{"title":"changed"}`, asJSON).is(200)
	s.postWithKey(s.mark, body).replayed(first)
	if got := s.do("GET", path, "").is(200).note(); got.Title != "changed" || got.Version != 2 {
		s.Errorf("a replay changed the note to %+v", got)
	}
	count(1)
	s.do("DELETE", path, "").is(204)
	for range 2 {
		s.postWithKey(s.mark, body).replayed(first)
		s.do("GET", path, "").fails(404, "not_found")
		s.do("DELETE", path, "").fails(404, "not_found")
		count(0)
	}
	// Absent, null and empty are equal.
	first = s.postWithKey(s.mark+"d", `{"title":"bare"}`).is(201)
	s.postWithKey(s.mark+"d", `{"title":"bare","content":null,"tags":[]}`).replayed(first)
	s.do("DELETE", "/notes/"+first.note().ID, "").is(204)
	// Refusals are not remembered.
	s.postWithKey(s.mark+"r", `{"title":""}`).fails(422, "invalid_note")
	s.postWithKey(s.mark+"r", `{`).fails(400, "malformed_request")
	s.postWithKey(s.mark+"r", `{"title":"at last"}`).is(201).has("Idempotency-Replayed", "")
	// Keys are case-sensitive; other methods ignore them.
	s.postWithKey(s.mark+"R", `{"title":"another"}`).is(201).has("Idempotency-Replayed", "")
	n := s.create(`{"title":"x"}`).note()
	s.do("PUT", "/notes/"+n.ID, `{"title":"y"}`, asJSON, with{"Idempotency-Key", s.mark}).is(200)
}

func testIdempotencyKeyMistakes(s *suite) {
	for _, key := range []string{"a b", strings.Repeat("k", 256), "é", "a\tb", "\u00a0"} {
		s.postWithKey(key, `{"title":"x"}`).fails(400, "invalid_parameter", "Idempotency-Key")
	}
	for _, key := range []string{"!" + s.mark, `"` + s.mark + `"`, s.mark + strings.Repeat("~", 255-len(s.mark)),
		s.mark + ",%", s.mark + "<&>"} {
		first := s.postWithKey(key, `{"title":"x"}`).is(201)
		s.postWithKey(key, `{"title":"x"}`).replayed(first)
	}
}

func testIdempotencyKeyRace(s *suite) {
	const racers = 20
	for round := range 5 {
		key := s.mark + string(rune('a'+round))
		var mu sync.Mutex
		bodies := map[string]int{}
		fresh := 0
		concurrently(racers, func(int) {
			a, _, _ := s.exchange("POST", "/notes", strings.NewReader(`{"title":"raced","tags":[`+quote(s.mark)+`]}`),
				with{"Idempotency-Key", key}, asJSON)
			mu.Lock()
			defer mu.Unlock()
			bodies[a.body]++
			if a.header.Get("Idempotency-Replayed") == "" {
				fresh++
			}
			if a.status != 201 {
				s.Errorf("%s: %d %s", a.request, a.status, a.body)
			}
		})
		if len(bodies) != 1 || fresh != 1 {
			s.Errorf("%d racers got %d different responses, %d of them not replayed", racers, len(bodies), fresh)
		}
	}
	if all := s.all(url.Values{"tag": {s.mark}}); len(all) != 5 {
		s.Errorf("5 keys made %d notes", len(all))
	}
}

func testRequestID(s *suite) {
	for _, id := range []string{"abc", "!~", strings.Repeat("x", 128), `{"a":1}`, "a,b"} {
		s.do("GET", "/notes?limit=1", "", with{"X-Request-Id", id}).is(200).has("X-Request-Id", id)
		s.do("GET", "/notes/"+missingID, "", with{"X-Request-Id", id}).fails(404, "not_found").has("X-Request-Id", id)
		s.do("FOO", "/notes", "", with{"X-Request-Id", id}).fails(405, "method_not_allowed").has("X-Request-Id", id)
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", strings.Repeat("x", 129), "é", "a\tb"} {
		a := s.do("GET", "/nothing", "", with{"X-Request-Id", id}).is(404)
		if got := a.header.Get("X-Request-Id"); got == id || seen[got] {
			s.Errorf("request id %q became %q", id, got)
		} else {
			seen[got] = true
		}
	}
}

// testFoldedHeaders: the values of a repeated header are joined with commas.
func testFoldedHeaders(s *suite) {
	n := s.create(`{"title":"one"}`).note()
	path := "/notes/" + n.ID
	s.do("GET", path, "", with{"If-None-Match", `"7"`}, with{"If-None-Match", `"1"`}).is(304)
	s.do("GET", path, "", with{"If-None-Match", `"7`}, with{"If-None-Match", `1"`}).is(200) // "7,1"
	s.do("PATCH", path, `{}`, asJSON, with{"If-Match", `"7"`}, with{"If-Match", `"1"`}).is(200)
	s.do("PATCH", path, `{}`, asJSON, with{"If-Match", `*`}, with{"If-Match", `*`}).fails(400, "invalid_parameter",
		"If-Match")
	s.do("POST", "/notes", `{"title":"x"}`, asJSON, asJSON).fails(415, "unsupported_media_type")
	a := s.do("POST", "/notes", `{"title":"x"}`, asJSON, with{"Idempotency-Key", s.mark}, with{
		"Idempotency-Key", "2"}).is(201)
	s.postWithKey(s.mark+",2", `{"title":"x"}`).replayed(a)
	s.do("GET", path, "", with{"X-Request-Id", "a"}, with{"X-Request-Id", "b"}).is(200).has("X-Request-Id", "a,b")
}

func testNoCORS(s *suite) {
	origin := with{"Origin", "https://elsewhere.example"}
	for _, a := range []*answer{
		s.do("GET", "/notes?limit=1", "", origin).is(200),
		s.do("OPTIONS", "/notes", "", origin, with{"Access-Control-Request-Method", "POST"}).is(204),
	} {
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				s.Errorf("%s: the response has %s, but CORS is off", a.request, name)
			}
		}
	}
}
