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

// lived is a file with a history: notes were changed and deleted, and the last commit changed the title of note 1.
func lived(t *testing.T, count int) (path string, has func(n int) bool) {
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

// harm damages a file: a cut, one flipped bit, several, or a sector of zeros.
func harm(file []byte, random *rand.Rand) (what string, damaged []byte) {
	damaged = bytes.Clone(file)
	switch random.IntN(8) {
	case 0, 1:
		n := random.IntN(len(file))
		return fmt.Sprintf("cut to %d bytes", n), damaged[:n]
	case 2:
		at := random.IntN(len(file)/512) * 512
		clear(damaged[at : at+512])
		return fmt.Sprintf("zeros from %d", at), damaged
	case 3, 4: // where the structure is: the begin of a page
		at := random.IntN(len(file)/4096)*4096 + random.IntN(64)
		damaged[at] ^= 1 << random.IntN(8)
		return fmt.Sprintf("a bit of byte %d, at the begin of page %d", at, at/4096), damaged
	case 5:
		for range 20 {
			damaged[random.IntN(len(file))] ^= 1 << random.IntN(8)
		}
		return "20 bits", damaged
	default:
		at := random.IntN(len(file))
		damaged[at] ^= 1 << random.IntN(8)
		return fmt.Sprintf("a bit of byte %d", at), damaged
	}
}

// TestProofDamage: damage is refused at the start, or it is an error of the note that it hit, or -check names it, or it
// hit nothing. It is never served as a note, and never ends the process.
func TestProofDamage(t *testing.T) {
	storetest.NotWithRace(t)
	const count = 400
	path, has := lived(t, count)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	total := storetest.Amount(300, 1000)
	var refused, erred, named, harmless, wrongUnchecked int
	for seed := range total {
		what, damaged := harm(sound, rand.New(rand.NewPCG(7, uint64(seed))))
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
				t.Errorf("%s: the start says %v, the check %q, %v", what, err, report.Findings, checkErr)
			}
			hangs.Stop()
			continue
		}
		errs, missing, wrong := answers(t, store, count, has)
		switch {
		case errs > 0:
			erred++
		case found:
			named++
		default:
			harmless++
		}
		// What is missing without an error must at least be named by the check: also that the file opens at the commit
		// before the last, because the page that names the last is damaged.
		if wrong != nil || missing > 0 && !found {
			t.Errorf("%s: %d answers lack something, %v; the check finds %q", what, missing, wrong, report.Findings)
		}
		if err := store.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wrongUnchecked += servedUnchecked(t, path, damaged)
		hangs.Stop()
	}
	if wrongUnchecked == 0 {
		t.Error("the control, a reader that compares no checksums, served nothing wrong")
	}
	storetest.Proved(t, fmt.Sprintf("%d damages", total),
		fmt.Sprintf("%d refused, %d an error of one note, %d named by -check alone, %d harmless, 0 wrong answers",
			refused, erred, named, harmless),
		fmt.Sprintf("without checksums %d wrong notes", wrongUnchecked))
}

// answers asks a store for all that lived put into it. It counts answers that are errors, and those that lack something
// without an error; wrong is an answer that says what is not so.
func answers(t *testing.T, store *bolt.Store, count int, has func(int) bool) (errs, missing int, wrong error) {
	t.Helper()
	ctx := t.Context()
	same := func(got notes.Note, n int) error {
		want := numbered(n)
		if n == 1 && got.Version == 2 {
			want.Title, want.Version = "changed last", 2
		} else if n == 1 {
			missing++ // the last commit
		}
		if got.ID != want.ID || got.Title != want.Title || got.Content != want.Content ||
			fmt.Sprint(got.Tags) != fmt.Sprint(want.Tags) ||
			!got.CreatedAt.Equal(want.CreatedAt) || !got.UpdatedAt.Equal(want.UpdatedAt) ||
			got.Version != want.Version {
			return fmt.Errorf("note %d is served as %.300v", n, got)
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
			wrong = errors.Join(wrong, fmt.Errorf("the list shows note %s", n.ID))
			continue
		}
		listed[n.ID] = true
		wrong = errors.Join(wrong, same(n, number))
	}
	for i := range count {
		got, err := store.Get(ctx, owner, numbered(i).ID)
		switch {
		case err == nil && !has(i):
			wrong = errors.Join(wrong, fmt.Errorf("note %d, which was deleted, is served", i))
		case err == nil:
			wrong = errors.Join(wrong, same(got, i))
		case !errors.Is(err, notes.ErrNotFound):
			errs++
		case has(i):
			missing++
		}
	}
	// Writers meet the same damage: each is served, or told an error, and what else is there stays right.
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
				missing++ // the key
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

// servedUnchecked is how many notes a reader would serve that does not compare checksums.
func servedUnchecked(t *testing.T, path string, damaged []byte) (wrong int) {
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
