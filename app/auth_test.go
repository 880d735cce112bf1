package app_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
)

// client sends requests to an app.
type client struct{ http.Handler }

func (a client) do(method, path, authorization, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// TestAuthentication: a caller sees only its own notes. Without a valid token it gets 401, and with a read-only token
// 403 for writes.
func TestAuthentication(t *testing.T) {
	store, err := bolt.Open(t.TempDir()+"/notes.db", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var secrets [4]string
	var lines []string
	for i, owner := range []string{"anna", "ben", "reader", "former"} {
		secret, line, err := token.New(owner)
		if err != nil {
			t.Fatal(err)
		}
		secrets[i] = "Bearer " + secret
		switch owner {
		case "reader":
			line = strings.Replace(line, "reader write", "anna read", 1)
		case "former":
			line = strings.Replace(line, "former", "anna", 1) + " 2020-01-01T00:00:00Z"
		}
		lines = append(lines, line)
	}
	tokens, err := token.Parse("# the callers\n\n"+strings.Join(lines[:2], ",")+"\n"+strings.Join(lines[2:], "\n"),
		time.Now)
	if err != nil {
		t.Fatal(err)
	}
	a := client{app.New(notes.NewService(store, time.Now, rand.Reader), app.Options{Authenticate: tokens.Caller})}
	anna, ben, reader, former := secrets[0], secrets[1], secrets[2], secrets[3]

	made := a.do("POST", "/notes", anna, `{"title":"of anna"}`)
	if made.Code != 201 {
		t.Fatalf("%d %s", made.Code, made.Body)
	}
	path := made.Header().Get("Location")
	if got := a.do("GET", path, anna, ""); got.Code != 200 {
		t.Errorf("the owner gets %d", got.Code)
	}
	if got := a.do("GET", path, reader, ""); got.Code != 200 {
		t.Errorf("the owner's other token gets %d", got.Code)
	}
	missing := strings.TrimSuffix(path, path[len(path)-4:]) + "0000"
	for _, c := range [][2]string{{"GET", ""}, {"PUT", `{"title":"x"}`}, {"PATCH", `{"title":"x"}`}, {"DELETE", ""}} {
		foreign, absent := a.do(c[0], path, ben, c[1]), a.do(c[0], missing, ben, c[1])
		for _, header := range []http.Header{foreign.Header(), absent.Header()} {
			header.Del("X-Request-Id")
		}
		strip := func(r *httptest.ResponseRecorder) string {
			body, _, _ := strings.Cut(r.Body.String(), `"request_id"`)
			return fmt.Sprint(r.Code, r.Header(), body)
		}
		if foreign.Code != 404 || strip(foreign) != strip(absent) {
			t.Errorf("%s of another owner's note returns %s, of a missing one %s", c[0], strip(foreign),
				strip(absent))
		}
	}
	if got := a.do("GET", "/notes", ben, "").Body.String(); got != "{\"notes\":[]}\n" {
		t.Errorf("another owner sees %s", got)
	}
	for _, c := range [][3]string{{"POST", "/notes", `{"title":"x"}`}, {"PUT", path, `{"title":"x"}`},
		{"PATCH", path, `{"title":"x"}`}, {"DELETE", path, ""}} {
		got := a.do(c[0], c[1], reader, c[2])
		if got.Code != 403 || !strings.Contains(got.Body.String(), `"code":"forbidden"`) ||
			got.Header().Get("Www-Authenticate") != `Bearer realm="notes", error="insufficient_scope", `+
				`scope="notes:write"` {
			t.Errorf("%s with a read-only token: %d %s %v", c[0], got.Code, got.Body, got.Header())
		}
	}
	if got := a.do("GET", "/notes", "", ""); got.Code != 401 ||
		got.Header().Get("Www-Authenticate") != `Bearer realm="notes"` {
		t.Errorf("without a token: %d %v", got.Code, got.Header())
	}
	for _, bad := range []string{"", "x", "Basic YTpi", "Token " + anna[7:], "Bearer\t" + anna[7:]} {
		if got := a.do("GET", "/notes", bad, ""); got.Code != 401 ||
			got.Header().Get("Www-Authenticate") != `Bearer realm="notes"` {
			t.Errorf("with %q: %d %v", bad, got.Code, got.Header())
		}
	}
	for _, bad := range []string{"Bearer", "Bearer ", "Bearer x", "bearer", anna + "x", anna[:len(anna)-1], anna +
		" ", anna + "," + anna, former,
		"Bearer " + strings.Repeat("x", 9000), "Bearer \x7f", "Bearer " + strings.ToUpper(anna[7:]), "Bearer " +
			lines[0][strings.Index(lines[0], "sha256:"):]} {
		for _, c := range [][2]string{{"GET", "/notes"}, {"POST", "/notes"}, {"GET", path}, {"DELETE", path}} {
			got := a.do(c[0], c[1], bad, `{"title":"x"}`)
			if got.Code != 401 || !strings.Contains(got.Header().Get("Www-Authenticate"), `error="invalid_token"`) ||
				!strings.Contains(got.Body.String(), `"code":"unauthenticated"`) ||
				strings.Contains(got.Body.String(), "anna") {
				t.Errorf("%s %s with %.60q: %d %s %v", c[0], c[1], bad, got.Code, got.Body, got.Header())
			}
		}
	}
	twice := httptest.NewRequest("GET", "/notes", nil)
	twice.Header["Authorization"] = []string{anna, anna}
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, twice); w.Code != 401 {
		t.Errorf("with two headers: %d", w.Code)
	}
	for _, good := range []string{anna, "bearer " + anna[7:], "Bearer   " + anna[7:]} { // RFC 6750, section 2.1: 1*SP
		if got := a.do("GET", "/notes", good, ""); got.Code != 200 {
			t.Errorf("with %q: %d", good, got.Code)
		}
	}
}

// TestAuthenticationComesFirst: on every path under /notes, a request without a token gets 401, whatever else is wrong
// with it.
func TestAuthenticationComesFirst(t *testing.T) {
	write, line, err := token.New("anna")
	if err != nil {
		t.Fatal(err)
	}
	read, readLine, err := token.New("anna")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.Parse(line+","+strings.Replace(readLine, "write", "read", 1), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	e := app.New(newService(t), app.Options{Authenticate: tokens.Caller})
	const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
	for _, c := range []struct {
		method, path           string
		nobody, reader, writer int
	}{
		{"GET", "/notes", 401, 200, 200},
		{"GET", "/notes?limit=0", 401, 400, 400},
		{"GET", "/notes/" + id, 401, 404, 404},
		{"GET", "/notes/no-id", 401, 404, 404},
		{"GET", "/notes/", 401, 404, 404},
		{"GET", "/notes/a/b", 401, 404, 404},
		{"GET", "/notes/%2e%2e", 401, 404, 404},
		{"GET", "/%6Eotes", 401, 200, 200},
		{"GET", "/notes%2Fx", 401, 404, 404},
		{"HEAD", "/notes", 401, 200, 200},
		{"POST", "/notes", 401, 403, 415},
		{"POST", "/notes/" + id, 401, 403, 405},
		{"POST", "/notes/a/b", 401, 403, 404},
		{"PUT", "/notes", 401, 403, 405},
		{"DELETE", "/notes/a/b", 401, 403, 404},
		{"PATCH", "/notes/" + id, 401, 403, 415},
		{"TRACE", "/notes", 401, 405, 405},
		{"FOO", "/notes/" + id, 401, 405, 405},
		{"FOO", "/notes/a/b", 401, 404, 404},
		{"OPTIONS", "/notes", 204, 204, 204},
		{"OPTIONS", "/notes/" + id, 204, 204, 204},
		{"GET", "/notes2", 404, 404, 404},
		{"GET", "/Notes", 404, 404, 404},
		{"POST", "/nothing", 404, 404, 404},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			for i, caller := range []struct {
				token string
				want  int
			}{{"", c.nobody}, {read, c.reader}, {write, c.writer}} {
				r := httptest.NewRequest(c.method, c.path, nil)
				if caller.token != "" {
					r.Header.Set("Authorization", "Bearer "+caller.token)
				}
				w := httptest.NewRecorder()
				e.ServeHTTP(w, r)
				if w.Code != caller.want {
					t.Errorf("caller %d gets %d %s, want %d", i, w.Code, w.Body, caller.want)
				}
				if (w.Code == 401 || w.Code == 403) != (w.Header().Get("WWW-Authenticate") != "") {
					t.Errorf("caller %d gets %d with %v", i, w.Code, w.Header())
				}
			}
		})
	}
}
