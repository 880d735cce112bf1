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

// recorder records operations with their outcomes.
type recorder struct {
	mu    sync.Mutex
	calls []string
}

type contextKey struct{}

func (a *recorder) begin(ctx context.Context, operation string) (context.Context, func(Outcome)) {
	return context.WithValue(ctx, contextKey{}, operation), func(o Outcome) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls = append(a.calls, operation+" "+string(o))
	}
}

func openFile(t *testing.T) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestStore checks that a metered store still satisfies the contract.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) notes.Store {
		store := openFile(t)
		t.Cleanup(func() { _ = store.Close() })
		return New(store, (&recorder{}).begin)
	})
}

// TestOutcomes checks that each call is reported once with its outcome.
func TestOutcomes(t *testing.T) {
	file, a := openFile(t), &recorder{}
	store := New(file, a.begin)
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
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, _ = service.Create(ctx, "anna", notes.Draft{Title: "x"}, "")
	for range store.Newest(ctx, "anna", uuid.Max, 1) {
		break
	}
	want := "create ok, create ok, get ok, get ok, update ok, list ok, delete ok, get ok, create unavailable, list " +
		"unavailable"
	if got := strings.Join(a.calls, ", "); got != want {
		t.Errorf("the reported calls are\n%s, want\n%s", got, want)
	}
	if got := outcome(fmt.Errorf("another error")); got != Failed {
		t.Errorf("any other error has the outcome %s", got)
	}
	if (&Store{next: struct{ notes.Store }{}}).Ready(ctx) != nil {
		t.Error("a store without a Ready method is not ready")
	}
}
