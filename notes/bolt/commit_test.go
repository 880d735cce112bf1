package bolt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
)

// openIdle returns a store without a commit loop, so that a test can commit its own batches.
func openIdle(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	close(s.closing)
	<-s.closed
	t.Cleanup(func() {
		s.unshare()
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newWrite(ctx context.Context, do func(*txn) (notes.Note, error)) *write {
	return &write{ctx: ctx, do: do, done: make(chan result, 1)}
}

func putNote(ctx context.Context, n byte) *write {
	return newWrite(ctx, func(tx *txn) (notes.Note, error) {
		note := notes.Note{ID: uuid.UUID{15: n}, Title: fmt.Sprint(n), CreatedAt: time.Unix(0, 0),
			UpdatedAt: time.Unix(0, 0), Version: 1}
		key := noteKey("o", note.ID)
		tx.counts.notes++
		return note, tx.put(tx.notes, key, encodeNote(key, note))
	})
}

// resultOf returns the result of a writer. It fails the test if there is none yet.
func resultOf(t *testing.T, w *write) result {
	t.Helper()
	select {
	case v := <-w.done:
		return v
	default:
		t.Fatal("a writer has no result")
		return result{}
	}
}

func storedIDs(t *testing.T, s *Store) (ids []byte) {
	t.Helper()
	for n, err := range s.Newest(t.Context(), "o", uuid.Max, 100) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, n.ID[15])
	}
	return ids
}

func TestOneCommitServesAll(t *testing.T) {
	s := openIdle(t)
	before := s.latest()
	batch := []*write{putNote(t.Context(), 1), putNote(t.Context(), 2), putNote(t.Context(), 3)}
	s.commit(batch)
	for _, w := range batch {
		if v := resultOf(t, w); v.err != nil {
			t.Error(v.err)
		}
	}
	if got := string(storedIDs(t, s)); got != "\x03\x02\x01" || s.latest() != before+1 {
		t.Errorf("%d commits stored the notes %q", s.latest()-before, got)
	}
}

// TestAWriterThatFailsHalfWay checks that only the failed writer's changes are rolled back.
func TestAWriterThatFailsHalfWay(t *testing.T) {
	broken := errors.New("broken")
	for name, fail := range map[string]func() error{
		"error": func() error { return broken },
		"panic": func() error { panic(broken) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openIdle(t)
			half := newWrite(t.Context(), func(tx *txn) (notes.Note, error) {
				if err := tx.put(tx.notes, noteKey("o", uuid.UUID{15: 99}), []byte("half")); err != nil {
					return notes.Note{}, err
				}
				tx.counts.notes++
				return notes.Note{}, fail()
			})
			first, last := putNote(t.Context(), 1), putNote(t.Context(), 2)
			s.commit([]*write{first, half, last})
			if v := resultOf(t, half); !errors.Is(v.err, notes.ErrUnavailable) {
				t.Errorf("the failed writer gets %v", v.err)
			}
			for _, w := range []*write{first, last} {
				if v := resultOf(t, w); v.err != nil {
					t.Errorf("another writer gets %v", v.err)
				}
			}
			if got := string(storedIDs(t, s)); got != "\x02\x01" {
				t.Errorf("notes %q are stored", got)
			}
			report, err := s.checkOpen(t)
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("Check finds %q, %v", report.Findings, err)
			}
		})
	}
}

// checkOpen closes the store's file, checks it and reopens it.
func (s *Store) checkOpen(t *testing.T) (Report, error) {
	t.Helper()
	path := s.db.Path()
	s.unshare()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Check(path)
	again, openErr := Open(path, slog.New(slog.DiscardHandler))
	if openErr != nil {
		t.Fatal(openErr)
	}
	close(again.closing)
	<-again.closed
	s.db = again.db
	return report, err
}

func TestARefusalTouchesNobody(t *testing.T) {
	s := openIdle(t)
	refused := newWrite(t.Context(), func(*txn) (notes.Note, error) { return notes.Note{}, notes.ErrNotFound })
	first := putNote(t.Context(), 1)
	s.commit([]*write{refused, first})
	if v := resultOf(t, refused); !errors.Is(v.err, notes.ErrNotFound) {
		t.Errorf("the refused writer gets %v", v.err)
	}
	if v := resultOf(t, first); v.err != nil {
		t.Error(v.err)
	}
	before := s.latest()
	s.commit([]*write{refused})
	if resultOf(t, refused); s.latest() != before {
		t.Error("a refusal alone made a commit")
	}
}

// TestConditionsAreJudgedInQueueOrder checks that a condition sees the changes of earlier writers in the same
// transaction.
func TestConditionsAreJudgedInQueueOrder(t *testing.T) {
	s := openIdle(t)
	s.commit([]*write{putNote(t.Context(), 1)})
	change := func(title string) *write {
		return newWrite(t.Context(), func(tx *txn) (notes.Note, error) {
			key, note, err := tx.current("o", uuid.UUID{15: 1}, notes.Condition{OneOf: []int64{1}})
			if err != nil {
				return notes.Note{}, err
			}
			note.Title, note.Version = title, note.Version+1
			return note, tx.put(tx.notes, key, encodeNote(key, note))
		})
	}
	first, second := change("first"), change("second")
	s.commit([]*write{first, second})
	if v := resultOf(t, first); v.err != nil || v.note.Title != "first" {
		t.Errorf("the first writer gets %+v", v)
	}
	var refused *notes.PreconditionError
	if v := resultOf(t, second); !errors.As(v.err, &refused) || refused.Current.Title != "first" {
		t.Errorf("the second writer gets %+v", v)
	}
}

func TestACancelledWriterIsDroppedBeforeItsTurn(t *testing.T) {
	s := openIdle(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := putNote(ctx, 2)
	first := newWrite(t.Context(), func(tx *txn) (notes.Note, error) {
		cancel() // while the batch runs
		return putNote(t.Context(), 1).do(tx)
	})
	s.commit([]*write{first, gone, putNote(t.Context(), 3)})
	if v := resultOf(t, gone); !errors.Is(v.err, notes.ErrUnavailable) || !errors.Is(v.err, context.Canceled) {
		t.Errorf("the cancelled writer gets %v", v.err)
	}
	if got := string(storedIDs(t, s)); got != "\x03\x01" {
		t.Errorf("notes %q are stored", got)
	}
}

// TestAFailedCommitAnswersAll checks that all writers of a failed commit get its error, even a refused one.
func TestAFailedCommitAnswersAll(t *testing.T) {
	s := openIdle(t)
	path := s.db.Path()
	s.unshare()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	refused := newWrite(t.Context(), func(*txn) (notes.Note, error) { return notes.Note{}, notes.ErrNotFound })
	batch := []*write{putNote(t.Context(), 1), refused, putNote(t.Context(), 2)}
	s.commit(batch)
	for _, w := range batch {
		if v := resultOf(t, w); !errors.Is(v.err, notes.ErrUnavailable) {
			t.Errorf("a writer gets %v", v.err)
		}
	}
	again, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := storedIDs(t, again); len(got) > 0 {
		t.Errorf("notes %q are stored", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNoWritesAfterADoubtfulCommit checks that writes stop for good after a commit that may be lost.
func TestNoWritesAfterADoubtfulCommit(t *testing.T) {
	s := openIdle(t)
	doubt := errors.New("the last commit may not be on the disk")
	s.stopWrites(doubt)
	w := putNote(t.Context(), 1)
	s.commit([]*write{w})
	if v := resultOf(t, w); !errors.Is(v.err, notes.ErrUnavailable) || !errors.Is(v.err, doubt) {
		t.Errorf("the writer gets %v", v.err)
	}
	if err := notes.NewService(s, time.Now, rand.Reader).Ready(t.Context()); !errors.Is(err, notes.ErrUnavailable) ||
		!errors.Is(err, doubt) {
		t.Errorf("a store that accepts no writes is ready: %v", err)
	}
}

func TestExpiredKeysAreRemoved(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	create := func(i int, expires time.Time) {
		t.Helper()
		n := notes.Note{ID: uuid.UUID{14: byte(i >> 8), 15: byte(i)}, Title: "x", CreatedAt: at, UpdatedAt: at,
			Version: 1}
		if _, err := s.Create(t.Context(), "o", n,
			&notes.IdempotencyKey{Value: fmt.Sprint(i), Now: at, Expires: expires}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		create(i, at.Add(time.Hour))
	}
	at = at.Add(2 * time.Hour)
	for i := range 60 {
		create(1000+i, at.Add(time.Hour))
	}
	path := s.db.Path()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Check(path)
	if err != nil || report.Keys != 60 || len(report.Findings) > 0 {
		t.Errorf("the file has %d keys, want 60; findings %q, error %v", report.Keys, report.Findings, err)
	}
}
