package app_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/meter"
	"example.com/portable-notes/notes/storetest"
)

// guarded returns the app on a store, in process and with two callers.
func guarded(t testing.TB, store notes.Store) apptest.Guarded {
	t.Helper()
	g := apptest.Guarded{Base: "http://notes.example"}
	var lines []string
	for owner, secret := range map[string]*string{"anna": &g.Anna, "ben": &g.Ben} {
		made, line, err := token.New(owner)
		if err != nil {
			t.Fatal(err)
		}
		*secret, lines = made, append(lines, line)
	}
	tokens, err := token.Parse(strings.Join(lines, "\n"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	counted := meter.New(store, func(ctx context.Context, _ string) (context.Context, func(meter.Outcome)) {
		calls.Add(1)
		return ctx, func(meter.Outcome) {}
	})
	g.Calls = func() int { return int(calls.Load()) }
	g.Send = apptest.InProcess(app.New(notes.NewService(counted, time.Now, rand.Reader), app.Options{
		Authenticate: tokens.Caller}))
	return g
}

func file(t testing.TB) notes.Store {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// TestProofIsolation: on every store, another owner's note looks like one that does not exist. The adapters run the
// same suite.
func TestProofIsolation(t *testing.T) {
	storetest.NotWithRace(t)
	stores := map[string]notes.Store{"file": file(t)}
	cfg := dynamotest.Config(t)
	table, err := dynamo.Open(t.Context(), cfg, dynamotest.NewTable(t, cfg), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stores["table"] = table.Patient()
	total := 0
	for name, store := range stores {
		cases, leaks := apptest.Isolation(t, guarded(t, store))
		if total += cases; len(leaks) > 0 {
			t.Errorf("%s: %d leaks: %s", name, len(leaks), strings.Join(leaks, "\n"))
		}
	}
	if total < 500 {
		t.Errorf("only %d cases", total)
	}
	found := 0
	for _, store := range []notes.Store{leakyStore{Store: file(t), get: true}, leakyStore{Store: file(t), list: true},
		leakyStore{Store: file(t), keys: true}} {
		_, leaks := apptest.Isolation(t, guarded(t, store))
		if len(leaks) == 0 {
			t.Errorf("the suite finds no leak in %+v", store)
		}
		found += len(leaks)
	}
	storetest.Proved(t, fmt.Sprintf("%d cases", total), "0 leaks",
		fmt.Sprintf("stores that forget the owner: %d", found))
}

// leakyStore is a store that ignores the owner in one of its methods.
type leakyStore struct {
	notes.Store
	get, list, keys bool
}

func (c leakyStore) Get(ctx context.Context, owner string, id notes.ID) (notes.Note, error) {
	note, err := c.Store.Get(ctx, owner, id)
	if err != nil && c.get && owner == "ben" {
		return c.Store.Get(ctx, "anna", id)
	}
	return note, err
}

func (c leakyStore) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	if c.list {
		owner = "anna"
	}
	return c.Store.Newest(ctx, owner, before, limit)
}

func (c leakyStore) Create(ctx context.Context, owner string, note notes.Note, key *notes.IdempotencyKey) (notes.Note,
	error) {
	if c.keys && key != nil {
		owner = "anna"
	}
	return c.Store.Create(ctx, owner, note, key)
}

// TestEveryBitOfACursor: a cursor is refused if one bit is changed, a character is missing, or anything is added.
func TestEveryBitOfACursor(t *testing.T) {
	service := notes.NewService(file(t), time.Now, rand.Reader)
	for range 3 {
		if _, _, err := service.Create(t.Context(), "local", notes.Draft{Title: "x"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	a := client{app.New(service, app.Options{})}
	page, err := service.List(t.Context(), "local", notes.Query{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatal(err)
	}
	list := func(cursor string) int {
		escaped := ""
		for _, b := range []byte(cursor) {
			escaped += fmt.Sprintf("%%%02X", b)
		}
		return a.do("GET", "/notes?limit=1&cursor="+escaped, "", "").Code
	}
	if code := list(page.Next); code != 200 {
		t.Fatalf("the unchanged cursor: %d", code)
	}
	changed := 0
	for i := range page.Next {
		for bit := range 8 {
			flipped := []byte(page.Next)
			flipped[i] ^= 1 << bit
			if changed++; list(string(flipped)) != 400 {
				t.Errorf("%q, with bit %d of character %d changed, is accepted", flipped, bit, i)
			}
		}
		if list(page.Next[:i]+page.Next[i+1:]) != 400 || i > 0 && list(page.Next[:i]) != 400 {
			t.Errorf("the cursor without character %d, or cut there, is accepted", i)
		}
	}
	for _, longer := range []string{page.Next + "A", page.Next + "=", page.Next + "\n", " " + page.Next, page.Next +
		page.Next} {
		if list(longer) != 400 {
			t.Errorf("%q is accepted", longer)
		}
	}
	if changed != 36*8 {
		t.Errorf("%d bits were changed, want %d", changed, 36*8)
	}
}
