package app_test

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Main(m)) }

// newService returns a service on a new file.
func newService(t testing.TB) *notes.Service {
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

// TestParity compares the app on both stores with the transcript that all adapters must match. With -update-parity it
// writes the transcript.
func TestParity(t *testing.T) {
	storetest.NotWithRace(t)
	sent := apptest.Parity(t, "http://notes.example", apptest.InProcess(app.New(newService(t), app.Options{})))
	if sent < 200 {
		t.Errorf("only %d requests", sent)
	}
	t.Run("OnDynamoDB", func(t *testing.T) {
		cfg := dynamotest.Config(t)
		store, err := dynamo.Open(t.Context(), cfg, dynamotest.NewTable(t, cfg), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		apptest.Parity(t, "http://notes.example", apptest.InProcess(app.New(notes.NewService(store.Patient(),
			time.Now, rand.Reader), app.Options{})))
	})
}

func TestContract(t *testing.T) {
	t.Run("InProcess", func(t *testing.T) {
		apptest.Run(t, "http://notes.example", apptest.InProcess(app.New(newService(t), app.Options{})))
	})
	t.Run("OnDynamoDB", func(t *testing.T) {
		cfg := dynamotest.Config(t)
		store, err := dynamo.Open(t.Context(), cfg, dynamotest.NewTable(t, cfg), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		e := app.New(notes.NewService(store.Patient(), time.Now, rand.Reader), app.Options{})
		apptest.Run(t, "http://notes.example", apptest.InProcess(e))
	})
	t.Run("UnderBasePath", func(t *testing.T) {
		server := httptest.NewServer(app.Under("/api/v1", app.New(newService(t), app.Options{})))
		t.Cleanup(server.Close)
		apptest.Run(t, server.URL+"/api/v1", func(r *http.Request) (*http.Response, error) {
			return server.Client().Do(r)
		})
	})
}
