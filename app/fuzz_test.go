package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"example.com/portable-notes/notes"
)

// bodies is the seed corpus for fuzzing request bodies. A plain go test runs it too.
var bodies = []string{
	`{"title":"x"}`, ` {"title":" x ","content":"c","tags":["a"," a","b"]} `, `{"title":"\ud83d\ude00"}`,
	`{"title":"x","content":null,"tags":null}`, `{}`, `null`, `[]`, ``, `{"title":"x"`,
	`{"title":"x"}{}`, `{"title":"x","title":"y"}`, `{"title":"\ud800"}`, "{\"title\":\"\xff\"}", `{"Title":"x"}`,
	`{"title":1,"tags":[1,[]],"content":{}}`, `{"title":"a\u0000b"}`, `{"title":"x","version":1}`,
	`{"title":"x","":{"a":[{"b":1e999}]}}`, `{"title":null}`, `{"content":"\u2028\u0000"}`, `{"tags":[]}`, "\ufeff{}",
	`{"title":"x",}`, `{"ti\u0074le":"x"}`,
}

// checkRefusal checks that the refusal of a body says what is wrong.
func checkRefusal(t *testing.T, body []byte, err error) {
	t.Helper()
	p := problemOf(err)
	switch {
	case p.Status == 400 && p.Code == "malformed_request" && p.Detail != "":
		// Not JSON, or JSON that encoding/json accepts but this service refuses: duplicate keys and invalid Unicode.
		if json.Valid(body) && utf8.Valid(body) && !bytes.Contains(body, []byte(`\u`)) &&
			!strings.Contains(p.Detail, "duplicate key") {
			t.Errorf("%q is JSON, but is refused: %s", body, p.Detail)
		}
	case p.Status == 422 && p.Code == "invalid_note" && len(p.Errors) > 0:
		if !json.Valid(body) {
			t.Errorf("%q is not JSON, but is refused as a note: %v", body, p.Errors)
		}
		for _, e := range p.Errors {
			if e.Detail == "" || e.Pointer == nil || *e.Pointer != "" && (*e.Pointer)[0] != '/' {
				t.Errorf("%q: malformed mistake %+v", body, e)
			}
		}
	default:
		t.Errorf("%q is refused with %+v", body, p)
	}
}

// FuzzDraft: encoding/json decodes an accepted body to the same note, and the note survives encoding and decoding.
func FuzzDraft(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		draft, err := decodeDraft(body)
		if err != nil {
			checkRefusal(t, body, err)
			return
		}
		var generic map[string]any
		if err := json.Unmarshal(body, &generic); err != nil {
			t.Fatalf("%q is accepted, but encoding/json says %v", body, err)
		}
		content, _ := generic["content"].(string)
		if title, _ := generic["title"].(string); strings.TrimSpace(title) != draft.Title || content != draft.Content {
			t.Errorf("%q is parsed as %+v", body, draft)
		}
		kept, mistakes := draft.Normalize()
		if len(mistakes) > 0 {
			t.Fatalf("%q is accepted, but has the mistakes %v", body, mistakes)
		}
		again, err := json.Marshal(map[string]any{"title": kept.Title, "content": kept.Content, "tags": kept.Tags})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeDraft(again); err != nil || back.Title != kept.Title || back.Content != kept.Content ||
			fmt.Sprint(back.Tags) != fmt.Sprint(kept.Tags) {
			t.Errorf("%q becomes %+v, which is decoded as %+v, %v", body, kept, back, err)
		}
	})
}

// FuzzPatch: an accepted patch has the effect of another implementation of RFC 7396.
func FuzzPatch(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		patch, err := decodePatch(body, "the id")
		if err != nil {
			checkRefusal(t, body, err)
			return
		}
		target := map[string]any{"title": "before", "content": "before", "tags": []any{"before"}}
		var merge map[string]any
		if err := json.Unmarshal(body, &merge); err != nil {
			t.Fatalf("%q is accepted, but encoding/json says %v", body, err)
		}
		for name, value := range merge { // MergePatch of RFC 7396, for members that are not objects
			if slices.Contains(serviceFields, name) {
				continue
			}
			if target[name] = value; value == nil {
				delete(target, name)
			}
		}
		merged, err := json.Marshal(target)
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeDraft(merged)
		if err != nil {
			t.Fatalf("%q is accepted, but makes %s: %v", body, merged, err)
		}
		normalized, _ := patch.Normalize()
		got := normalized.Apply(notes.Note{Title: "before", Content: "before", Tags: []string{"before"}})
		want, _ = want.Normalize()
		if got.Title != want.Title || got.Content != want.Content || fmt.Sprint(got.Tags) != fmt.Sprint(want.Tags) {
			t.Errorf("%q makes %+v, want %+v", body, got, want)
		}
	})
}

// FuzzEntityTags: the parsed tags occur in the list and survive formatting and parsing.
func FuzzEntityTags(f *testing.F) {
	for _, s := range []string{`*`, `"1"`, `W/"1"`, `"1", "2"`, ` , "a,b" ,, W/"3" `, `""`, `"`, `1`, `W/`, `"1""2"`,
		"\"\xff\"", `"01"`, `"9223372036854775808"`, `"-1"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, ok := parseEntityTags(s)
		if !ok {
			if trimmed := strings.Trim(s, " \t"); trimmed == "*" || trimmed == `"1"` {
				t.Errorf("%q is refused", s)
			}
			return
		}
		if tags.any {
			if strings.Trim(s, " \t") != "*" || len(tags.strong)+len(tags.weak) > 0 {
				t.Errorf("%q is parsed as %+v", s, tags)
			}
			return
		}
		var list []string
		for _, v := range tags.strong {
			list = append(list, fmt.Sprintf(`"%d"`, v))
		}
		for _, v := range tags.weak {
			list = append(list, fmt.Sprintf(`W/"%d"`, v))
		}
		for _, tag := range list {
			if !strings.Contains(s, tag) {
				t.Errorf("%q is parsed as %+v", s, tags)
			}
		}
		if again, ok := parseEntityTags(strings.Join(list, ",")); len(list) > 0 &&
			(!ok || !reflect.DeepEqual(again, tags)) {
			t.Errorf("%q is parsed as %+v, which is parsed as %+v", s, tags, again)
		}
	})
}

// onlyNote is a read-only store with one note.
type onlyNote struct{ notes.Store }

var onlyID, _ = notes.ParseID("0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")

func (onlyNote) Get(_ context.Context, _ string, id notes.ID) (notes.Note, error) {
	if id != onlyID {
		return notes.Note{}, notes.ErrNotFound
	}
	return notes.Note{ID: id, Title: "x", Version: 1}, nil
}

func (onlyNote) Newest(context.Context, string, notes.ID, int) iter.Seq2[notes.Note, error] {
	return func(func(notes.Note, error) bool) {}
}

// FuzzTarget: a request reaches a route only if its decoded path matches, and accepted queries are valid for net/url
// too.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"/notes", "/notes/", "/notes/" + onlyID.String(), "/notes%2F" + onlyID.String(), "/%6eotes", "/notes/%",
		"/notes/%00", "//notes", "/notes?limit=5&q=x", "/notes?limit=05", "/notes?tag=a&tag=b",
		"/notes?tag=%zz", "/notes?q=%ff", "/notes/../notes", "/notes?", "/notes/x?limit=0", "/notes;x",
		"/notes?limit=1;q=x", "/notes?cursor=", "*", "",
	} {
		f.Add(s)
	}
	e := New(notes.NewService(onlyNote{}, time.Now, rand.Reader), Options{})
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Opaque != "" {
			return // net/http refuses it, or it names another host
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = u
		path, query := u.Path, u.RawQuery
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		want := 404
		switch {
		case path == "/notes/"+onlyID.String():
			want = 200
		case path == "/notes":
			want = 200
			values, err := url.ParseQuery(query)
			for name, v := range values {
				if name != "limit" && name != "q" && name != "tag" && name != "cursor" || len(v) > 1 && name != "tag" {
					want = 400
				}
			}
			if err != nil || values.Has("cursor") {
				want = 400
			}
			if w.Code == 400 { // other tests cover the values; here, errors must name the parameter
				var p problem
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || len(p.Errors) == 0 ||
					p.Code != "invalid_parameter" && p.Code != "invalid_cursor" {
					t.Errorf("GET %q: %s", target, w.Body)
				}
				want = 400
			}
		}
		if w.Code != want {
			t.Errorf("GET %q (path %q): %d, want %d: %s", target, path, w.Code, want, w.Body)
		}
	})
}
