package bolt_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) notes.Store {
		return open(t, filepath.Join(t.TempDir(), "notes.db"))
	})
}

// open opens a store. When the test ends it is closed and its file checked.
func open(t *testing.T, path string) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		report, err := bolt.Check(path)
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("check after the test: %q, %v", report.Findings, err)
		}
	})
	return store
}
