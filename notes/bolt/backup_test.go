package bolt

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/portable-notes/notes"
)

// TestBackup checks that a copy made while 8 writers are active is intact and has every note that was acknowledged
// before it began.
func TestBackup(t *testing.T) {
	folder := t.TempDir()
	var most atomic.Int64 // the largest number of writers in one commit
	store, err := Open(filepath.Join(folder, "notes.db"), slog.New(slog.DiscardHandler), Commits(func(n int) {
		most.Store(max(most.Load(), int64(n)))
	}))
	if err != nil {
		t.Fatal(err)
	}
	service := notes.NewService(store, time.Now, rand.Reader)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	acknowledged := map[notes.ID]bool{}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				note, _, err := service.Create(t.Context(), "anna", notes.Draft{Title: "x", Content: "y"}, "")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[note.ID] = true
				mu.Unlock()
			}
		})
	}
	// Ten copies may complete before the first write does. So continue until writers have shared a commit.
	seen := 0
	for copies := 0; copies < 10 || copies < 10_000 && (seen == 0 || most.Load() < 2); copies++ {
		mu.Lock()
		before := make([]notes.ID, 0, len(acknowledged))
		for id := range acknowledged {
			before = append(before, id)
		}
		mu.Unlock()
		seen = len(before)
		backup, err := store.Backup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(backup)
		if err := errors.Join(err, backup.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "copy.db")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := Check(path); err != nil || len(report.Findings) > 0 || report.Notes < uint64(len(before)) {
			t.Fatalf("copy %d: %v, %+v; %d notes were acknowledged before", copies, err, report, len(before))
		}
		restored, err := Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range before {
			if _, err := restored.Get(t.Context(), "anna", id); err != nil {
				t.Errorf("a note that was acknowledged before the backup: %v", err)
			}
		}
		if err := restored.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	writers.Wait()
	if seen == 0 || most.Load() < 2 || most.Load() > 8 {
		t.Errorf("at most %d of 8 writers shared a commit; the last copy should have %d notes", most.Load(), seen)
	}
	gone, cause := context.WithCancelCause(t.Context())
	cause(errors.New("the client is gone"))
	if _, err := store.Backup(gone); err == nil {
		t.Error("a backup with a cancelled context succeeds")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Backup(t.Context()); !errors.Is(err, notes.ErrUnavailable) {
		t.Errorf("backup of a closed store: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, ".*")); err != nil || len(left) > 0 {
		t.Errorf("the backups left %v, %v", left, err)
	}
}
