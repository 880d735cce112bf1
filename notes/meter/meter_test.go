package meter

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

// told are calls, and how they ended.
type told struct {
	mu    sync.Mutex
	calls []string
}

type begun struct{}

func (a *told) begin(ctx context.Context, operation string) (context.Context, func(Outcome)) {
	return context.WithValue(ctx, begun{}, operation), func(o Outcome) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls = append(a.calls, operation+" "+string(o))
	}
}

func file(t *testing.T) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestStore: a store below the meter is the same store.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) notes.Store {
		store := file(t)
		t.Cleanup(func() { _ = store.Close() })
		return New(store, (&told{}).begin)
	})
}

// TestOutcomes: each call is told once, and only what is no answer is no success.
func TestOutcomes(t *testing.T) {
	below, a := file(t), &told{}
	store := New(below, a.begin)
	service := notes.NewService(store, time.Now, rand.Reader)
	ctx := t.Context()
	note, _, err := service.Create(ctx, "anna", notes.Draft{Title: "x"}, "key")
	if err != nil {
		t.Fatal(err)
	}
	_, _, _ = service.Create(ctx, "anna", notes.Draft{Title: "y"}, "key")
	_, _ = service.Get(ctx, "anna", note.ID)
	_, _ = service.Get(ctx, "ben", note.ID)
	_, _ = service.Change(ctx, "anna", note.ID, notes.Patch{}, notes.Condition{OneOf: []int64{7}})
	_, _ = service.List(ctx, "anna", notes.Query{})
	_ = service.Delete(ctx, "anna", note.ID, notes.Condition{})
	if err := service.Ready(ctx); err != nil {
		t.Error(err)
	}
	if err := below.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, _ = service.Create(ctx, "anna", notes.Draft{Title: "x"}, "")
	for range store.Newest(ctx, "anna", uuid.Max, 1) {
		break
	}
	want := "create ok, create ok, get ok, get ok, update ok, list ok, delete ok, get ok, create unavailable, list " +
		"unavailable"
	if got := strings.Join(a.calls, ", "); got != want {
		t.Errorf("told are\n%s, want\n%s", got, want)
	}
	if got := outcome(fmt.Errorf("a fault")); got != Failed {
		t.Errorf("a fault is %s", got)
	}
	if (&Store{next: struct{ notes.Store }{}}).Ready(ctx) != nil {
		t.Error("a store that has nothing to say is not ready")
	}
}
