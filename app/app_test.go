package app_test

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
)

// service is one over a new file.
func service(t testing.TB) *notes.Service {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return notes.NewService(store, time.Now, rand.Reader)
}

func TestContract(t *testing.T) {
	t.Run("InProcess", func(t *testing.T) {
		apptest.Run(t, "http://notes.example", apptest.InProcess(app.New(service(t), app.Options{})))
	})
	t.Run("UnderBasePath", func(t *testing.T) {
		server := httptest.NewServer(app.Under("/api/v1", app.New(service(t), app.Options{})))
		t.Cleanup(server.Close)
		apptest.Run(t, server.URL+"/api/v1", func(r *http.Request) (*http.Response, error) { return server.Client().Do(r) })
	})
}
