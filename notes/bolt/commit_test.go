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

// idle is a store whose queue nobody serves, so that a test commits its own batches.
func idle(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	close(s.closing)
	<-s.closed
	t.Cleanup(func() {
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func writer(ctx context.Context, do func(*txn) (notes.Note, error)) *write {
	return &write{ctx: ctx, do: do, done: make(chan verdict, 1)}
}

func putting(ctx context.Context, n byte) *write {
	return writer(ctx, func(tx *txn) (notes.Note, error) {
		note := notes.Note{ID: uuid.UUID{15: n}, Title: fmt.Sprint(n), CreatedAt: time.Unix(0, 0),
			UpdatedAt: time.Unix(0, 0), Version: 1}
		key := noteKey("o", note.ID)
		tx.counts.notes++
		return note, tx.put(tx.notes, key, encodeNote(key, note))
	})
}

// answered returns the verdict of a writer, which must be there by now.
func answered(t *testing.T, w *write) verdict {
	t.Helper()
	select {
	case v := <-w.done:
		return v
	default:
		t.Fatal("a writer has no answer")
		return verdict{}
	}
}

func stored(t *testing.T, s *Store) (ids []byte) {
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
	s := idle(t)
	before := s.latest()
	batch := []*write{putting(t.Context(), 1), putting(t.Context(), 2), putting(t.Context(), 3)}
	s.commit(batch)
	for _, w := range batch {
		if v := answered(t, w); v.err != nil {
			t.Error(v.err)
		}
	}
	if got := string(stored(t, s)); got != "\x03\x02\x01" || s.latest() != before+1 {
		t.Errorf("notes %q are stored by %d commits", got, s.latest()-before)
	}
}

// TestAWriterThatFailsHalfWay takes its own puts with it and nobody else's.
func TestAWriterThatFailsHalfWay(t *testing.T) {
	broken := errors.New("broken")
	for name, fail := range map[string]func() error{
		"error": func() error { return broken },
		"panic": func() error { panic(broken) },
	} {
		t.Run(name, func(t *testing.T) {
			s := idle(t)
			half := writer(t.Context(), func(tx *txn) (notes.Note, error) {
				if err := tx.put(tx.notes, noteKey("o", uuid.UUID{15: 99}), []byte("half")); err != nil {
					return notes.Note{}, err
				}
				tx.counts.notes++
				return notes.Note{}, fail()
			})
			first, last := putting(t.Context(), 1), putting(t.Context(), 2)
			s.commit([]*write{first, half, last})
			if v := answered(t, half); !errors.Is(v.err, notes.ErrUnavailable) {
				t.Errorf("the one that failed is told %v", v.err)
			}
			for _, w := range []*write{first, last} {
				if v := answered(t, w); v.err != nil {
					t.Errorf("another is told %v", v.err)
				}
			}
			if got := string(stored(t, s)); got != "\x02\x01" {
				t.Errorf("notes %q are stored", got)
			}
			report, err := s.checkOpen(t)
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("the check finds %q, %v", report.Findings, err)
			}
		})
	}
}

// checkOpen closes the store's file, checks it and opens it again.
func (s *Store) checkOpen(t *testing.T) (Report, error) {
	t.Helper()
	path := s.db.Path()
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
	s := idle(t)
	refused := writer(t.Context(), func(*txn) (notes.Note, error) { return notes.Note{}, notes.ErrNotFound })
	first := putting(t.Context(), 1)
	s.commit([]*write{refused, first})
	if v := answered(t, refused); !errors.Is(v.err, notes.ErrNotFound) {
		t.Errorf("the refused one is told %v", v.err)
	}
	if v := answered(t, first); v.err != nil {
		t.Error(v.err)
	}
	before := s.latest()
	s.commit([]*write{refused})
	if answered(t, refused); s.latest() != before {
		t.Error("a refusal alone made a commit")
	}
}

// TestConditionsAreJudgedInQueueOrder, inside the transaction that they share.
func TestConditionsAreJudgedInQueueOrder(t *testing.T) {
	s := idle(t)
	s.commit([]*write{putting(t.Context(), 1)})
	change := func(title string) *write {
		return writer(t.Context(), func(tx *txn) (notes.Note, error) {
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
	if v := answered(t, first); v.err != nil || v.note.Title != "first" {
		t.Errorf("the first is told %+v", v)
	}
	var refused *notes.PreconditionError
	if v := answered(t, second); !errors.As(v.err, &refused) || refused.Current.Title != "first" {
		t.Errorf("the second is told %+v", v)
	}
}

func TestACancelledWriterIsDroppedBeforeItsTurn(t *testing.T) {
	s := idle(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := putting(ctx, 2)
	first := writer(t.Context(), func(tx *txn) (notes.Note, error) {
		cancel() // while the batch runs
		return putting(t.Context(), 1).do(tx)
	})
	s.commit([]*write{first, gone, putting(t.Context(), 3)})
	if v := answered(t, gone); !errors.Is(v.err, notes.ErrUnavailable) || !errors.Is(v.err, context.Canceled) {
		t.Errorf("the cancelled one is told %v", v.err)
	}
	if got := string(stored(t, s)); got != "\x03\x01" {
		t.Errorf("notes %q are stored", got)
	}
}

// TestAFailedCommitAnswersAll: the file takes no write, and each writer is told so.
func TestAFailedCommitAnswersAll(t *testing.T) {
	s := idle(t)
	path := s.db.Path()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	refused := writer(t.Context(), func(*txn) (notes.Note, error) { return notes.Note{}, notes.ErrNotFound })
	batch := []*write{putting(t.Context(), 1), refused, putting(t.Context(), 2)}
	s.commit(batch)
	for _, w := range batch {
		if v := answered(t, w); !errors.Is(v.err, notes.ErrUnavailable) {
			t.Errorf("a writer is told %v", v.err)
		}
	}
	again, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := stored(t, again); len(got) > 0 {
		t.Errorf("notes %q are stored", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAWriterInDoubtIsNotBuiltUpon(t *testing.T) {
	s := idle(t)
	doubt := errors.New("the last commit may not be on the disk")
	s.giveUp(doubt)
	w := putting(t.Context(), 1)
	s.commit([]*write{w})
	if v := answered(t, w); !errors.Is(v.err, notes.ErrUnavailable) || !errors.Is(v.err, doubt) {
		t.Errorf("the writer is told %v", v.err)
	}
	if err := notes.NewService(s, time.Now, rand.Reader).Ready(t.Context()); !errors.Is(err, notes.ErrUnavailable) ||
		!errors.Is(err, doubt) {
		t.Errorf("a store that takes no writes is ready: %v", err)
	}
}

func TestKeysGoWhenTheyExpire(t *testing.T) {
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
		t.Errorf("the file holds %d keys, %q, %v", report.Keys, report.Findings, err)
	}
}
