package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/deploy/transfer"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
)

// newNotesFile makes a file with notes of two owners. Some are changed, some deleted, some made with idempotency keys.
func newNotesFile(t *testing.T, count int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notes.db")
	store, err := bolt.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := notes.NewService(store, time.Now, rand.Reader)
	for i := range count {
		owner, key := fmt.Sprint("owner ", i%2), ""
		if i%3 == 0 {
			key = fmt.Sprint("key ", i)
		}
		n, _, err := s.Create(t.Context(), owner, notes.Draft{Title: fmt.Sprint("note ", i),
			Content: "日本\x00\u0085", Tags: []string{"b", "a"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			if _, err := s.Change(t.Context(), owner, n.ID, notes.Patch{Tags: &[]string{}},
				notes.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		if i%6 == 0 {
			if err := s.Delete(t.Context(), owner, n.ID, notes.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

var sides = regexp.MustCompile(`from  (notes \d+, idempotency keys \d+, checksum [0-9a-f]{64})\nto    (.*)\n`)

// TestCopy copies notes to a table and back, and checks that all three stores are equal.
func TestCopy(t *testing.T) {
	cfg := useDynamoDBLocal(t)
	table := dynamotest.NewTable(t, cfg)
	first := newNotesFile(t, 60)
	last := filepath.Join(t.TempDir(), "back.db")
	out, err := deploy(t, "copy", "bolt:"+first, "dynamodb:"+table)
	match := sides.FindStringSubmatch(out)
	if err != nil || match == nil || match[1] != match[2] || !strings.HasPrefix(match[1],
		"notes 50, idempotency keys 20,") || !strings.Contains(out, "50 notes copied\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	if again, err := deploy(t, "copy", "bolt:"+first, "dynamodb:"+table); err != nil ||
		sides.FindString(again) != sides.FindString(out) {
		t.Errorf("second copy: %v\n%s", err, again)
	}
	back, err := deploy(t, "copy", "dynamodb:"+table, "bolt:"+last)
	if err != nil || sides.FindString(back) != sides.FindString(out) {
		t.Fatalf("copy back: %v\n%s", err, back)
	}
	if report, err := bolt.Check(last); err != nil || len(report.Findings) > 0 || report.Notes != 50 ||
		report.Keys != 20 {
		t.Errorf("the file is %+v, %v", report, err)
	}
	// Used keys are copied too, even those of deleted notes.
	store, err := dynamo.Open(t.Context(), cfg, table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := notes.NewService(store, time.Now, rand.Reader)
	for _, i := range []int{3, 6} {
		n, replayed, err := s.Create(t.Context(), fmt.Sprint("owner ", i%2), notes.Draft{Title: fmt.Sprint("note ", i),
			Content: "日本\x00\u0085", Tags: []string{"b", "a"}}, fmt.Sprint("key ", i))
		if err != nil || !replayed {
			t.Errorf("key %d: %v, %v", i, replayed, err)
		}
		if _, err := s.Get(t.Context(), fmt.Sprint("owner ", i%2), n.ID); (i == 6) != errors.Is(err,
			notes.ErrNotFound) {
			t.Errorf("note %d: %v", i, err)
		}
	}
	// Deleting a note that was copied with its key leaves a tombstone.
	n, _, err := s.Create(t.Context(), "owner 1", notes.Draft{Title: "note 3", Content: "日本\x00\u0085",
		Tags: []string{"b", "a"}}, "key 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "owner 1", n.ID, notes.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Create(t.Context(), "owner 1", notes.Draft{Title: "note 3", Content: "日本\x00\u0085",
		Tags: []string{"b", "a"}}, "key 3"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "owner 1", n.ID); !errors.Is(err, notes.ErrNotFound) {
		t.Errorf("a retry created a deleted note again: %v", err)
	}
}

// TestCopyInterrupted checks that a copy completes the interrupted copies before it.
func TestCopyInterrupted(t *testing.T) {
	cfg := useDynamoDBLocal(t)
	table := dynamotest.NewTable(t, cfg)
	source := newNotesFile(t, 300)
	from, err := bolt.Open(source, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	to, err := dynamo.Open(t.Context(), cfg, table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []int64{1, 30, 120, 200} {
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		target := &interruptedStore{Store: to, interrupt: cancel}
		target.left.Store(after)
		if err := transfer.Run(ctx, from, target, false, &out); err == nil || !strings.Contains(err.Error(),
			"run it again") {
			t.Errorf("interrupted after %d records: %v\n%s", after, err, &out)
		}
	}
	var out bytes.Buffer
	if err := transfer.Run(t.Context(), from, to, false, &out); err != nil || !strings.Contains(out.String(),
		"from  notes 250, idempotency keys 100,") {
		t.Errorf("%v\n%s", err, &out)
	}
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
}

// interruptedStore interrupts the copy after a number of records.
type interruptedStore struct {
	transfer.Store
	left      atomic.Int64
	interrupt func()
}

func (c *interruptedStore) Import(ctx context.Context, r notes.Record) error {
	if c.left.Add(-1) < 0 {
		c.interrupt()
	}
	return c.Store.Import(ctx, r)
}

// TestCopyIntoNotes checks copying into a store that has other notes or later versions, with --merge and without.
func TestCopyIntoNotes(t *testing.T) {
	a, b := newNotesFile(t, 12), newNotesFile(t, 30)
	out, err := deploy(t, "copy", "bolt:"+a, "bolt:"+b)
	if err == nil || !strings.Contains(err.Error(), "the target has notes that the source lacks") ||
		!strings.Contains(err.Error(),
			"--merge") {
		t.Errorf("%v\n%s", err, out)
	}
	if report, err := bolt.Check(b); err != nil || report.Notes != 25 {
		t.Errorf("the target was changed: %+v, %v", report, err)
	}
	if out, err = deploy(t, "copy", "--merge", "bolt:"+a, "bolt:"+b); err != nil || !strings.Contains(out,
		"from  notes 10,") {
		t.Errorf("%v\n%s", err, out)
	}
	if report, err := bolt.Check(b); err != nil || report.Notes != 35 || len(report.Findings) > 0 {
		t.Errorf("after a merge: %+v, %v", report, err)
	}
	later := filepath.Join(t.TempDir(), "later.db")
	if out, err := deploy(t, "copy", "bolt:"+a, "bolt:"+later); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	store, err := bolt.Open(later, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var id notes.ID
	for n := range store.Newest(t.Context(), "owner 1", uuid.Max, 1) {
		id = n.ID
	}
	if _, err := store.Update(t.Context(), "owner 1", id, notes.Patch{}, time.Now(), notes.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := deploy(t, "copy", "bolt:"+a, "bolt:"+later); err == nil || !strings.Contains(err.Error(),
		"later versions") {
		t.Errorf("a target with later versions: %v", err)
	}
	if out, err := deploy(t, "copy", "--merge", "bolt:"+a, "bolt:"+later); err != nil || !strings.Contains(out,
		"kept later versions of 1 notes in the target\nfrom  notes 9,") {
		t.Errorf("a merge with later versions: %v\n%s", err, out)
	}
	if store, err = bolt.Open(later, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Get(t.Context(), "owner 1", id); err != nil || n.Version < 2 {
		t.Errorf("a merge undid a change: %+v, %v", n, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	// If a note was changed in both stores, neither version may be lost.
	if store, err = bolt.Open(a, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	other := "changed here"
	if _, err := store.Update(t.Context(), "owner 1", id, notes.Patch{Title: &other}, time.Now(),
		notes.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--merge=false", "--merge"} {
		if _, err := deploy(t, "copy", flag, "bolt:"+a, "bolt:"+later); err == nil || !strings.Contains(err.Error(),
			"changed in both stores") {
			t.Errorf("changes in both stores, %s: %v", flag, err)
		}
	}
	if _, err := deploy(t, "copy", "bolt:"+filepath.Join(t.TempDir(), "typo.db"), "bolt:"+later); err == nil ||
		!strings.Contains(err.Error(), "nothing to copy") {
		t.Errorf("a source that does not exist: %v", err)
	}
}

// TestCopySalvage checks that a damaged file is copied as far as it can be read, and that the loss is listed.
func TestCopySalvage(t *testing.T) {
	source := newNotesFile(t, 60)
	file, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(file, []byte("note 59"))
	for i := at; i >= 0; i = bytes.LastIndex(file[:i], []byte("note 59")) {
		file[i] ^= 1
	}
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, file, 0o400); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "target.db")
	if out, err := deploy(t, "copy", "bolt:"+damaged, "bolt:"+target); err == nil ||
		!strings.Contains(err.Error(), "deploy copy --salvage") || strings.Contains(err.Error(), "run it again") {
		t.Errorf("without --salvage: %v\n%s", err, out)
	}
	out, err := deploy(t, "copy", "--salvage", "bolt:"+damaged, "bolt:"+target)
	if err == nil || !strings.Contains(err.Error(), "not everything can be read") ||
		!strings.Contains(out, "49 notes copied\n") || !strings.Contains(out, `of owner "owner 1"`) ||
		!strings.Contains(out, "lost: 1 of 50 notes in all") {
		t.Errorf("with --salvage: %v\n%s", err, out)
	}
	if report, err := bolt.Check(target); err != nil || len(report.Findings) > 0 || report.Notes != 49 {
		t.Errorf("the target is %+v, %v", report, err)
	}
	if after, err := os.ReadFile(damaged); err != nil || !bytes.Equal(after, file) {
		t.Errorf("the source was changed, or %v", err)
	}
	for _, c := range []struct {
		name, flag, from, want string
	}{
		{"an unknown extent", "--salvage=most", "bolt:" + damaged, "--salvage is used or all"},
		{"a table", "--salvage", "dynamodb:notes", "--salvage reads a file"},
		{"a file that does not exist", "--salvage", "bolt:" + damaged + ".none", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := deploy(t, "copy", c.flag, c.from, "bolt:"+target); err == nil ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// TestCopyOwner checks that the notes of one owner can be given to another.
func TestCopyOwner(t *testing.T) {
	source := newNotesFile(t, 60)
	target := filepath.Join(t.TempDir(), "target.db")
	if out, err := deploy(t, "copy", "--owner", "owner 0=anna", "bolt:"+source, "bolt:"+target); err == nil ||
		!strings.Contains(err.Error(), "--owner is OLD=NEW") {
		t.Errorf("an owner with a space: %v\n%s", err, out)
	}
	local := filepath.Join(t.TempDir(), "local.db")
	store, err := bolt.Open(local, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := notes.NewService(store, time.Now, rand.Reader)
	for _, owner := range []string{"local", "anna", "ben"} {
		if _, _, err := s.Create(t.Context(), owner, notes.Draft{Title: "of " + owner}, "key"); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second copy finds everything in place
		out, err := deploy(t, "copy", "--owner", "local=anna", "bolt:"+local, "bolt:"+target)
		if err != nil || !strings.Contains(out, "from  notes 3, idempotency keys 2,") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if store, err = bolt.Open(target, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var titles []string
	for n, err := range store.Newest(t.Context(), "anna", uuid.Max, 10) {
		if err != nil {
			t.Fatal(err)
		}
		titles = append(titles, n.Title)
	}
	if !slices.Equal(titles, []string{"of anna", "of local"}) {
		t.Errorf("anna has %q", titles)
	}
}
