package bolt

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
)

// TestShare checks when reads share a snapshot, and that a shared one neither hides a commit nor blocks one.
func TestShare(t *testing.T) {
	share := func(t *testing.T, s *Store) *snapshot {
		t.Helper()
		snap, err := s.share()
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	t.Run("reads between commits share one", func(t *testing.T) {
		s := openIdle(t)
		first, second := share(t, s), share(t, s)
		if first != second || first.users != 3 { // two readers and the store
			t.Errorf("the snapshots are %p and %p, with %d users", first, second, first.users)
		}
		s.leave(first)
		s.leave(second)
		if third := share(t, s); third != first {
			t.Error("a later read does not share it")
		} else {
			s.leave(third)
		}
	})
	t.Run("a read after a commit sees it", func(t *testing.T) {
		s := openIdle(t)
		before := share(t, s)
		s.commit([]*write{putNote(t.Context(), 1)})
		after := share(t, s)
		key := noteKey("o", uuid.UUID{15: 1})
		if before.notes.get(key) != nil || after.notes.get(key) == nil {
			t.Errorf("before: %x, after: %x", before.notes.get(key), after.notes.get(key))
		}
		s.leave(before)
		s.leave(after)
		if before.users != 0 || after.users != 1 {
			t.Errorf("they have %d and %d users", before.users, after.users)
		}
	})
	t.Run("a read during a commit does not share", func(t *testing.T) {
		s := openIdle(t)
		s.commit([]*write{newWrite(t.Context(), func(*txn) (notes.Note, error) {
			snap := share(t, s)
			if s.shared != nil || snap.users != 1 {
				t.Errorf("%p is shared, its own has %d users", s.shared, snap.users)
			}
			s.leave(snap)
			return notes.Note{}, nil
		})})
	})
	t.Run("reads see every write that was answered", func(t *testing.T) {
		s, err := Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var writers, readers sync.WaitGroup
		done := make(chan struct{})
		for range 4 { // their snapshots begin at any time, also while a commit begins or ends
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						_, _ = s.Get(t.Context(), "o", uuid.UUID{})
					}
				}
			})
		}
		for w := range 4 {
			writers.Go(func() {
				for i := range 200 {
					id := uuid.UUID{14: byte(w), 15: byte(i)}
					note := notes.Note{ID: id, Title: "t", Version: 1}
					if _, err := s.Create(t.Context(), "o", note, nil); err != nil {
						t.Error(err)
					}
					if _, err := s.Get(t.Context(), "o", id); err != nil && !t.Failed() {
						t.Errorf("note %d of writer %d: %v", i, w, err)
					}
				}
			})
		}
		writers.Wait()
		close(done)
		readers.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a shared snapshot lets the file grow and close", func(t *testing.T) {
		s, err := Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var readers sync.WaitGroup
		for i := range 40 { // the file doubles several times
			id := uuid.UUID{15: byte(i)}
			note := notes.Note{ID: id, Title: "t", Content: strings.Repeat("c", notes.MaxContent), Version: 1}
			if _, err := s.Create(ctx, "o", note, nil); err != nil {
				t.Fatal(i, err)
			}
			for range 4 {
				readers.Go(func() {
					if _, err := s.Get(ctx, "o", id); err != nil {
						t.Errorf("note %d: %v", i, err)
					}
				})
			}
		}
		readers.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		name   string
		damage func(*os.File) error
	}{
		{"a truncated file", func(f *os.File) error { return f.Truncate(0) }},
		{"lost meta pages", func(f *os.File) error { _, err := f.WriteAt(make([]byte, 2*pageSize), 0); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "notes.db")
			s, err := Open(path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			note := notes.Note{ID: uuid.UUID{15: 1}, Title: "t", Version: 1}
			if _, err := s.Create(t.Context(), "o", note, nil); err != nil {
				t.Fatal(err)
			}
			s.leave(share(t, s))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := c.damage(f); err != nil {
				t.Fatal(err)
			}
			// Until the next transaction begins, reads find what is still there.
			if _, err := s.Get(t.Context(), "o", note.ID); err != nil && !errors.Is(err, notes.ErrUnavailable) {
				t.Errorf("the first read: %v", err)
			}
			if _, err := s.Backup(t.Context()); err == nil { // begins a transaction
				t.Error("a backup succeeds")
			}
			if _, err := s.Get(t.Context(), "o", note.ID); !errors.Is(err, notes.ErrUnavailable) {
				t.Errorf("a later read: %v", err)
			}
			_ = s.Close()
		})
	}
}
