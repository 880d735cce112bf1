package main

import (
	"net/http"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"example.com/portable-notes/app/jwt/jwttest"
)

// TestPage: up --page puts the notes page at the root of the API, open to everybody, where the notes need a token; up
// keeps it, and --page=false removes its routes and grants.
func TestPage(t *testing.T) {
	w := newWorld(t)
	issuer := jwttest.New(t)
	zip := filepath.Join(t.TempDir(), "notes-page.zip")
	w.mustRun("zip", "--jwt", "--page", "--arch", runtime.GOARCH, "--out", zip)
	args := []string{"up", "--stack", w.name, "--zip", zip, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		jwttest.Audience}
	if out := w.mustRun(append(args, "--page")...); !strings.Contains(out, "route GET /page/{file+}") {
		t.Errorf("up prints %s", out)
	}
	status, page := w.browse("/dev/")
	script := regexp.MustCompile(`page/[0-9a-f]{16}/main\.js`).FindString(page)
	if status != 200 || !strings.Contains(page, `<base href="/dev/">`) || script == "" ||
		!strings.Contains(page, `data-issuer="`+issuer.URL+`"`) {
		t.Fatalf("the page: %d %.600s", status, page)
	}
	if status, body := w.browse("/dev/" + script); status != 200 || !strings.Contains(body, "import ") {
		t.Errorf("its script: %d %.200s", status, body)
	}
	w.checkAnswer("no token", "GET", "", 401, `{"message":"Unauthorized"}`)

	_, before := w.calls(0)
	w.mustRun("up", "--stack", w.name, "--zip", zip)
	if made := w.writes(before); made != nil {
		t.Errorf("a second up calls %v", made)
	}
	if out := w.mustRun(append(args, "--page=false")...); !strings.Contains(out, "from on to off") {
		t.Errorf("up prints %s", out)
	}
	if status, body := w.browse("/dev/"); status != 404 {
		t.Errorf("the page that was removed: %d %s", status, body)
	}
	if state := w.state(w.name); strings.Contains(state, "page") {
		t.Errorf("the page's remains:\n%s", state)
	}
	w.mustRun("down", "--stack", w.name)
}

// browse requests a path of the stack's API as a browser does.
func (w *world) browse(path string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet,
		w.URL+"/_aws/execute-api/"+w.api()+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	return w.send(r)
}
