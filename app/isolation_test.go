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

// guarded is the app in process over a store, with two callers.
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

// TestProofIsolation: what is another's is as what is nobody's, on every store; through every adapter it is the same
// suite that says so.
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
	for _, careless := range []notes.Store{careless{Store: file(t), get: true}, careless{Store: file(t), list: true},
		careless{Store: file(t), keys: true}} {
		_, leaks := apptest.Isolation(t, guarded(t, careless))
		if len(leaks) == 0 {
			t.Errorf("the control %+v has no leak", careless)
		}
		found += len(leaks)
	}
	storetest.Proved(t, fmt.Sprintf("%d cases", total), "0 leaks",
		fmt.Sprintf("stores that forget the owner: %d", found))
}

// careless is a store that forgets in one place whose note it is.
type careless struct {
	notes.Store
	get, list, keys bool
}

func (c careless) Get(ctx context.Context, owner string, id notes.ID) (notes.Note, error) {
	note, err := c.Store.Get(ctx, owner, id)
	if err != nil && c.get && owner == "ben" {
		return c.Store.Get(ctx, "anna", id)
	}
	return note, err
}

func (c careless) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	if c.list {
		owner = "anna"
	}
	return c.Store.Newest(ctx, owner, before, limit)
}

func (c careless) Create(ctx context.Context, owner string, note notes.Note, key *notes.IdempotencyKey) (notes.Note,
	error) {
	if c.keys && key != nil {
		owner = "anna"
	}
	return c.Store.Create(ctx, owner, note, key)
}

// TestEveryBitOfACursor: a cursor with any one bit changed, shortened or lengthened, is refused.
func TestEveryBitOfACursor(t *testing.T) {
	service := notes.NewService(file(t), time.Now, rand.Reader)
	for range 3 {
		if _, _, err := service.Create(t.Context(), "local", notes.Draft{Title: "x"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	a := asked{app.New(service, app.Options{})}
	page, err := service.List(t.Context(), "local", notes.Query{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatal(err)
	}
	ask := func(cursor string) int {
		escaped := ""
		for _, b := range []byte(cursor) {
			escaped += fmt.Sprintf("%%%02X", b)
		}
		return a.ask("GET", "/notes?limit=1&cursor="+escaped, "", "").Code
	}
	if code := ask(page.Next); code != 200 {
		t.Fatalf("as it was given: %d", code)
	}
	changed := 0
	for i := range page.Next {
		for bit := range 8 {
			flipped := []byte(page.Next)
			flipped[i] ^= 1 << bit
			if changed++; ask(string(flipped)) != 400 {
				t.Errorf("with bit %d of character %d changed: %q is taken", bit, i, flipped)
			}
		}
		if ask(page.Next[:i]+page.Next[i+1:]) != 400 || i > 0 && ask(page.Next[:i]) != 400 {
			t.Errorf("without character %d, or cut there, it is taken", i)
		}
	}
	for _, longer := range []string{page.Next + "A", page.Next + "=", page.Next + "\n", " " + page.Next, page.Next +
		page.Next} {
		if ask(longer) != 400 {
			t.Errorf("%q is taken", longer)
		}
	}
	if changed != 36*8 {
		t.Errorf("%d bits were changed", changed)
	}
}
