package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

// usedFile returns a file with a history: some notes were deleted, and the last commit changed the title of note 1. Has
// reports whether note n still exists.
func usedFile(t *testing.T, count int) (path string, has func(n int) bool) {
	t.Helper()
	path = fill(t, count)
	store, err := bolt.Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	has = func(n int) bool { return n%7 != 3 }
	for n := range count {
		if !has(n) {
			if err := store.Delete(t.Context(), owner, numbered(n).ID, epoch, notes.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	title := "changed last"
	if _, err := store.Update(t.Context(), owner, numbered(1).ID, notes.Patch{Title: &title}, numbered(1).UpdatedAt,
		notes.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return path, has
}

// damageFile returns a damaged copy of a file: truncated, with one or several flipped bits, or with a zeroed sector.
func damageFile(file []byte, random *rand.Rand) (what string, damaged []byte) {
	damaged = bytes.Clone(file)
	switch random.IntN(8) {
	case 0, 1:
		n := random.IntN(len(file))
		return fmt.Sprintf("truncated to %d bytes", n), damaged[:n]
	case 2:
		at := random.IntN(len(file)/512) * 512
		clear(damaged[at : at+512])
		return fmt.Sprintf("a zeroed sector at byte %d", at), damaged
	case 3, 4: // in the header of a page, where damage matters most
		at := random.IntN(len(file)/4096)*4096 + random.IntN(64)
		damaged[at] ^= 1 << random.IntN(8)
		return fmt.Sprintf("a flipped bit in byte %d, in the header of page %d", at, at/4096), damaged
	case 5:
		for range 20 {
			damaged[random.IntN(len(file))] ^= 1 << random.IntN(8)
		}
		return "20 flipped bits", damaged
	default:
		at := random.IntN(len(file))
		damaged[at] ^= 1 << random.IntN(8)
		return fmt.Sprintf("a flipped bit in byte %d", at), damaged
	}
}

// TestProofDamage damages a file before the start. Open must refuse the file, or reads of the damaged notes must fail,
// or Check must report the damage, or it must be harmless. The store must never serve a wrong note, nor crash.
func TestProofDamage(t *testing.T) {
	storetest.NotWithRace(t)
	const count = 400
	path, has := usedFile(t, count)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	total := storetest.Amount(300, 1000)
	var refused, erred, named, harmless, uncheckedTotal int
	for seed := range total {
		what, damaged := damageFile(sound, rand.New(rand.NewPCG(7, uint64(seed))))
		path := filepath.Join(t.TempDir(), "notes.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		hangs := time.AfterFunc(30*time.Second, func() { panic("damage hangs: " + what) })
		report, checkErr := bolt.Check(path)
		found := checkErr != nil || len(report.Findings) > 0
		store, err := bolt.Open(path, quiet)
		if err != nil {
			refused++
			if !found || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "runtime error") {
				t.Errorf("%s: Open returns %v, Check %q, %v", what, err, report.Findings, checkErr)
			}
			hangs.Stop()
			continue
		}
		errs, missing, wrong := exercise(t, store, count, has)
		switch {
		case errs > 0:
			erred++
		case found:
			named++
		default:
			harmless++
		}
		// If something is missing without an error, Check must report it. For example, with one meta page damaged the
		// file opens without the last commit.
		if wrong != nil || missing > 0 && !found {
			t.Errorf("%s: %d results lack something, wrong are %v; Check finds %q", what, missing, wrong,
				report.Findings)
		}
		if err := store.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		uncheckedTotal += wrongUnchecked(t, path, damaged)
		hangs.Stop()
	}
	if uncheckedTotal == 0 {
		t.Error("the control, a reader that verifies no checksums, returned no wrong note")
	}
	storetest.Proved(t, fmt.Sprintf("%d damages", total),
		fmt.Sprintf("%d refused, %d an error of one note, %d named by -check alone, %d harmless, 0 wrong answers",
			refused, erred, named, harmless),
		fmt.Sprintf("without checksums %d wrong notes", uncheckedTotal))
}

// exercise reads and writes a store on a damaged file made by usedFile. It counts results that are errors, and results
// that lack something without an error. Wrong describes results with wrong data.
func exercise(t *testing.T, store *bolt.Store, count int, has func(int) bool) (errs, missing int, wrong error) {
	t.Helper()
	ctx := t.Context()
	same := func(got notes.Note, n int) error {
		want := numbered(n)
		if n == 1 && got.Version == 2 {
			want.Title, want.Version = "changed last", 2
		} else if n == 1 {
			missing++ // the last commit is lost
		}
		if got.ID != want.ID || got.Title != want.Title || got.Content != want.Content ||
			fmt.Sprint(got.Tags) != fmt.Sprint(want.Tags) ||
			!got.CreatedAt.Equal(want.CreatedAt) || !got.UpdatedAt.Equal(want.UpdatedAt) ||
			got.Version != want.Version {
			return fmt.Errorf("note %d is returned as %.300v", n, got)
		}
		return nil
	}
	listed := map[notes.ID]bool{}
	for n, err := range store.Newest(ctx, owner, uuid.Max, 2*count) {
		if err != nil {
			errs++
			break
		}
		var number int
		if _, err := fmt.Sscanf(n.ID.String()[24:], "%d", &number); err != nil || number >= count || !has(number) ||
			listed[n.ID] {
			wrong = errors.Join(wrong, fmt.Errorf("the list has note %s", n.ID))
			continue
		}
		listed[n.ID] = true
		wrong = errors.Join(wrong, same(n, number))
	}
	for i := range count {
		got, err := store.Get(ctx, owner, numbered(i).ID)
		switch {
		case err == nil && !has(i):
			wrong = errors.Join(wrong, fmt.Errorf("the deleted note %d is returned", i))
		case err == nil:
			wrong = errors.Join(wrong, same(got, i))
		case !errors.Is(err, notes.ErrNotFound):
			errs++
		case has(i):
			missing++
		}
	}
	// Writes succeed or fail, but never make other notes wrong.
	fresh := numbered(count)
	for _, write := range []func() error{
		func() error { _, err := store.Create(ctx, owner, fresh, nil); return err },
		func() error {
			_, err := store.Update(ctx, owner, fresh.ID, notes.Patch{Content: &fresh.Title}, fresh.UpdatedAt,
				notes.Condition{})
			return err
		},
		func() error {
			n := numbered(5)
			n.ID = uuid.Max
			first, err := store.Create(ctx, owner, n, &notes.IdempotencyKey{
				Value: "key 5", Now: epoch, Expires: epoch.Add(24 * time.Hour)})
			if err == nil && first.ID != numbered(5).ID {
				missing++ // the key is lost
				err = store.Delete(ctx, owner, first.ID, epoch, notes.Condition{})
			}
			return err
		},
		func() error { return store.Delete(ctx, owner, fresh.ID, epoch, notes.Condition{}) },
	} {
		if err := write(); err != nil {
			errs++
		}
	}
	for i := range count {
		if got, err := store.Get(ctx, owner, numbered(i).ID); err == nil {
			wrong = errors.Join(wrong, same(got, i))
		}
	}
	return errs, missing, wrong
}

// wrongUnchecked returns the number of wrong notes in the file that only their checksums reveal.
func wrongUnchecked(t *testing.T, path string, damaged []byte) (wrong int) {
	t.Helper()
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("notes")).ForEach(func(key, value []byte) error {
			if len(value) > 4 && !bytes.Equal(value, bolt.Seal(string(key), string(value[4:]))) {
				wrong++
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}
