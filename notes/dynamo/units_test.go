package dynamo_test

import (
	"crypto/rand"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
)

// TestUnits checks that the units of each operation are reported, and requested only with the Units option.
func TestUnits(t *testing.T) {
	cfg := dynamotest.Config(t)
	var read, write float64
	table := dynamotest.NewTable(t, cfg)
	store, err := dynamo.Open(t.Context(), cfg, table, slog.New(slog.DiscardHandler),
		dynamo.Units(func(r, w float64) { read, write = read+r, write+w }))
	if err != nil {
		t.Fatal(err)
	}
	service := notes.NewService(store, time.Now, rand.Reader)
	ctx := t.Context()
	used := func(what string, wantRead, wantWrite float64, do func() error) {
		t.Helper()
		read, write = 0, 0
		if err := do(); err != nil || math.Abs(read-wantRead) > 0.01 || math.Abs(write-wantWrite) > 0.01 {
			t.Errorf("%s uses %v and %v units, %v; want %v and %v", what, read, write, err, wantRead, wantWrite)
		}
	}
	var note notes.Note
	used("create", 0, 1, func() (err error) {
		note, _, err = service.Create(ctx, "anna", notes.Draft{Title: "x"}, "")
		return err
	})
	used("create with a key", 0, 2, func() error {
		_, _, err := service.Create(ctx, "anna", notes.Draft{Title: "x"}, "k")
		return err
	})
	used("get", 1, 0, func() error { _, err := service.Get(ctx, "anna", note.ID); return err })
	used("list", 1, 0, func() error { _, err := service.List(ctx, "anna", notes.Query{}); return err })
	used("change", 0, 1, func() error {
		_, err := service.Change(ctx, "anna", note.ID, notes.Patch{}, notes.Condition{})
		return err
	})
	used("delete", 0, 1, func() error { return service.Delete(ctx, "anna", note.ID, notes.Condition{}) })
	used("get of a missing note", 1, 0, func() error {
		if _, err := service.Get(ctx, "anna", uuid.New()); err == nil {
			t.Error("a note that nobody created")
		}
		return nil
	})

	target, err := url.Parse(*cfg.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	var sent string
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent = string(body)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	if _, err := dynamo.Open(ctx, dynamotest.ConfigOf(server.URL), table,
		slog.New(slog.DiscardHandler)); err != nil && sent == "" {
		t.Fatal(err)
	}
	if sent == "" || strings.Contains(sent, "ReturnConsumedCapacity") {
		t.Errorf("a client without the Units option sends %s", sent)
	}
}
