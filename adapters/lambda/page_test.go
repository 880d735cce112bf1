package main

import (
	"crypto/rand"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/app/web"
	"example.com/portable-notes/app/web/webtest"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/storetest"
)

// TestPage runs the suite of the notes page in a browser: through a stage of API Gateway, on a table.
func TestPage(t *testing.T) {
	storetest.NotWithRace(t)
	linkPage(t)
	webtest.Run(t, func(t *testing.T, tokens bool) webtest.Site {
		site, c := webtest.Site{}, config{page: true}
		var authenticate app.Authenticate
		if tokens {
			var accepted string
			site.Read, site.Write, accepted = webtest.NewTokens(t)
			tokens, err := token.Parse(accepted, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			c.auth.Kind, authenticate = "token", tokens.Caller
		}
		service := notes.NewService(newTableStore(t), time.Now, rand.Reader)
		fn := newAdapter(service, c, authenticate, &recorder{}, slog.New(slog.DiscardHandler))
		site.URL = serveGateway(t, gateways["NamedStage"], fn) + "/dev" // without a slash
		return site
	})
}

// linkPage adds the page to this build for a test, as the tag page does.
func linkPage(t *testing.T) {
	t.Helper()
	before := mountPage
	mountPage = func(e *echo.Echo, auth settings.Auth) {
		web.Mount(e, web.Options{Auth: auth.Kind, Issuer: auth.Issuer})
	}
	t.Cleanup(func() { mountPage = before })
}

// serveGateway serves a function through a gateway at a local URL.
func serveGateway(t *testing.T, g gateway, fn *adapter) string {
	t.Helper()
	send := g.send(invokeFunc(fn))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := send(r)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestPageSetting: the page is served if NOTES_PAGE is on, which needs a build that has it.
func TestPageSetting(t *testing.T) {
	environ := []string{"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=none", "NOTES_PAGE=on"}
	region := func(name string) string { return map[string]string{"AWS_REGION": "us-east-1"}[name] }
	if mountPage == nil { // the tests are built without the tag page
		_, err := run(t.Context(), environ, region)
		if err == nil || !strings.Contains(err.Error(), "this build does not have the notes page") {
			t.Errorf("without the page: %v", err)
		}
	}
	linkPage(t)
	for _, c := range []struct {
		page   bool
		status int
	}{{true, 200}, {false, 404}} {
		service := notes.NewService(newFileStore(t), time.Now, rand.Reader)
		fn := newAdapter(service, config{page: c.page}, nil, &recorder{}, slog.New(slog.DiscardHandler))
		answer, err := http.Get(serveGateway(t, gateways["NamedStage"], fn) + "/dev/")
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("NOTES_PAGE is %v: %d", c.page, answer.StatusCode)
		}
	}
}
