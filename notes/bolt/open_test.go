package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

const owner = "someone"

var epoch = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

var quiet = slog.New(slog.DiscardHandler)

// numbered returns the nth note of a file made by fill.
func numbered(n int) notes.Note {
	at := epoch.Add(time.Duration(n) * time.Second)
	return notes.Note{
		ID: uuid.MustParse(fmt.Sprintf("0199a1b2-c3d4-7e5f-8a6b-%012d", n)), Title: fmt.Sprint("note ", n),
		Content: strings.Repeat(fmt.Sprintf("<content %06d>", n), 40), Tags: []string{"a", "b"}, CreatedAt: at,
		UpdatedAt: at, Version: 1,
	}
}

// fill creates a file with notes 0 to count-1, every fifth with an idempotency key, and returns its path.
func fill(t *testing.T, count int) (path string) {
	t.Helper()
	return fillFor(t, owner, count)
}

func fillFor(t *testing.T, name string, count int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notes.db")
	store, err := bolt.Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for n := w; n < count; n += 32 {
				var key *notes.IdempotencyKey
				if n%5 == 0 {
					key = &notes.IdempotencyKey{Value: fmt.Sprint("key ", n), Now: epoch,
						Expires: epoch.Add(24 * time.Hour)}
				}
				if _, err := store.Create(t.Context(), name, numbered(n), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantRefused asserts that Open refuses a file with an error that contains each text, and does not change the file.
func wantRefused(t *testing.T, path string, says ...string) {
	t.Helper()
	before, _ := os.ReadFile(path)
	store, err := bolt.Open(path, quiet)
	if err == nil {
		t.Fatal(errors.Join(errors.New("the file opens"), store.Close()))
	}
	for _, text := range append(says, path) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not contain %q: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %q", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

// editFile changes a file in place.
func editFile(t *testing.T, path string, change func(file []byte) []byte) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNotesOutliveTheStore(t *testing.T) {
	path := fill(t, 300)
	store := open(t, path)
	want := 299
	for n, err := range store.Newest(t.Context(), owner, uuid.Max, 1000) {
		if err != nil || n.Content != numbered(want).Content {
			t.Fatalf("note %d is %+v, %v", want, n, err)
		}
		want--
	}
	if want != -1 {
		t.Fatalf("%d notes are missing", want+1)
	}
	_, err := store.Create(t.Context(), owner, numbered(301), &notes.IdempotencyKey{
		Value: "key 5", Request: [32]byte{1}, Now: epoch, Expires: epoch.Add(24 * time.Hour)})
	if !errors.Is(err, notes.ErrKeyReused) {
		t.Errorf("reusing a key of the closed store: %v", err)
	}
}

func TestOpenInUse(t *testing.T) {
	path := fill(t, 10)
	store := open(t, path)
	if _, err := bolt.Open(path, quiet); err == nil ||
		!strings.Contains(err.Error(), "another process has the file open") ||
		!strings.Contains(err.Error(), "NOTES_STORE") {
		t.Errorf("opening a file in use: %v", err)
	}
	if _, err := bolt.Check(path); err == nil || !strings.Contains(err.Error(), "another process has the file open") {
		t.Errorf("checking a file in use: %v", err)
	}
	if _, err := store.Get(t.Context(), owner, numbered(3).ID); err != nil {
		t.Errorf("a refused Open disturbed the open store: %v", err)
	}
}

func TestOpenForeign(t *testing.T) {
	for name, content := range map[string]string{
		"text": "these are my notes", "sqlite": "SQLite format 3\x00" + strings.Repeat("\x00", 9000),
		"zeros": strings.Repeat("\x00", 100_000), "short": "x",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "notes.db")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, path, "not a notes file", "name another file")
			if _, err := bolt.Check(path); err == nil {
				t.Error("Check succeeds")
			}
		})
	}
	t.Run("bbolt", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "notes.db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("accounts")); return err })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, path, "another program")
	})
	t.Run("folder", func(t *testing.T) { wantRefused(t, t.TempDir(), "not a regular file", "name another file") })
	t.Run("device", func(t *testing.T) { wantRefused(t, "/dev/null", "not a regular file", "name another file") })
	t.Run("empty", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "notes.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, path, "the file is empty", "remove it")
	})
}

func TestOpenNewerFormat(t *testing.T) {
	path := fill(t, 3)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("portable-notes")).Put([]byte("format"), bolt.Seal("format", "2"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, path, "format 2", "reads format 1", "newer")
}

func TestOpenWithoutFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "notes.db")
	wantRefused(t, path, "the folder "+filepath.Dir(path)+" does not exist", "create it")
}

func TestOpenWithoutRights(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	file := fill(t, 3)
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	defer storetest.AsNobody(t)()
	wantRefused(t, filepath.Join(dir, "notes.db"), "permission denied", "create files in "+dir)
	wantRefused(t, file, "permission denied", "read and write the file")
}

func TestOpenTruncated(t *testing.T) {
	for _, keep := range []int{1, 100, 4096, 4200, 8192, 12288, 20000, 40960} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			path := fill(t, 500)
			editFile(t, path, func(file []byte) []byte { return file[:keep] })
			wantRefused(t, path)
			if _, err := bolt.Check(path); err == nil {
				t.Error("Check succeeds")
			}
		})
	}
}

// pagesOfKind returns the offsets of all pages of a kind: 1 branch, 2 leaf, 16 free list.
func pagesOfKind(file []byte, kind uint16) (at []int) {
	for p := 2 * 4096; p+4096 <= len(file); p += 4096 {
		if binary.LittleEndian.Uint64(file[p:]) == uint64(p/4096) && binary.LittleEndian.Uint16(file[p+8:]) == kind {
			at = append(at, p)
		}
	}
	return at
}

// TestOpenDamagedStructure checks that Open finds damage that bbolt would crash on.
func TestOpenDamagedStructure(t *testing.T) {
	path := fill(t, 2000)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for name, damage := range map[string]func(file []byte){
		"branch points to itself": func(f []byte) {
			for _, p := range pagesOfKind(f, 1) {
				le.PutUint64(f[p+16+8:], uint64(p/4096))
			}
		},
		"branch points outside": func(f []byte) {
			for _, p := range pagesOfKind(f, 1) {
				le.PutUint64(f[p+16+8:], 1<<40)
			}
		},
		"branch points to a meta page": func(f []byte) {
			for _, p := range pagesOfKind(f, 1) {
				le.PutUint64(f[p+16+8:], 1)
			}
		},
		"leaf claims too many entries": func(f []byte) {
			for _, p := range pagesOfKind(f, 2) {
				le.PutUint16(f[p+10:], 60000)
			}
		},
		"leaf entry is outside the page": func(f []byte) {
			for _, p := range pagesOfKind(f, 2) {
				le.PutUint32(f[p+16+4:], 1<<31)
			}
		},
		"leaf value is too long": func(f []byte) {
			for _, p := range pagesOfKind(f, 2) {
				le.PutUint32(f[p+16+12:], 1<<30)
			}
		},
		"leaf has another kind": func(f []byte) {
			for _, p := range pagesOfKind(f, 2) {
				f[p+8] = 4
			}
		},
		"page claims too many overflow pages": func(f []byte) {
			for _, p := range pagesOfKind(f, 2) {
				le.PutUint32(f[p+12:], 1<<20)
			}
		},
		"free list claims too many entries": func(f []byte) {
			for _, p := range pagesOfKind(f, 16) {
				le.PutUint16(f[p+10:], 0xFFFF)
				le.PutUint64(f[p+16:], 1<<33)
			}
		},
		"free list has used pages": func(f []byte) {
			for _, p := range pagesOfKind(f, 16) {
				le.PutUint16(f[p+10:], 300)
				for i := range 300 {
					le.PutUint64(f[p+16+8*i:], uint64(i+3))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := slices.Clone(sound)
			damage(file)
			path := filepath.Join(t.TempDir(), "notes.db")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, path, "the file is damaged", "page", "-check", "restore a copy")
			if report, err := bolt.Check(path); err != nil || len(report.Findings) == 0 {
				t.Errorf("Check returns %+v, %v", report, err)
			}
		})
	}
	if _, err := bolt.Check(path); err != nil {
		t.Fatal(err)
	}
}

// TestCheckNeedsLittleMemory checks that Check reports a page that claims most of a large file without reading it.
func TestCheckNeedsLittleMemory(t *testing.T) {
	const pages, most = 1 << 19, 64 << 20 // a sparse file of 2 GiB, and the limit for Check in bytes
	path := fill(t, 50)
	editFile(t, path, func(file []byte) []byte {
		le := binary.LittleEndian
		for _, meta := range [][]byte{file[16:], file[4096+16:]} {
			le.PutUint64(meta[40:], pages)
			sum := fnv.New64a()
			_, _ = sum.Write(meta[:56])
			le.PutUint64(meta[56:], sum.Sum64())
			root := le.Uint64(meta[16:])
			le.PutUint32(file[root*4096+12:], uint32(pages-root-1))
		}
		return file
	})
	if err := os.Truncate(path, pages*4096); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	report, err := bolt.Check(path)
	runtime.ReadMemStats(&after)
	if err != nil || len(report.Findings) == 0 {
		t.Errorf("Check returns %+v, %v", report, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > most {
		t.Errorf("Check allocates %d bytes", used)
	}
}

// TestLossIsFound checks that the counts reveal a note that vanished without any other trace.
func TestLossIsFound(t *testing.T) {
	path := fill(t, 500)
	editFile(t, path, func(file []byte) []byte {
		for _, p := range pagesOfKind(file, 2) {
			if bytes.Contains(file[p:p+4096], []byte("<content 000250>")) {
				n := binary.LittleEndian.Uint16(file[p+10:])
				binary.LittleEndian.PutUint16(file[p+10:], n-1)
			}
		}
		return file
	})
	report, err := bolt.Check(path)
	if err != nil || !strings.Contains(strings.Join(report.Findings, "\n"),
		"the file should hold 500 notes, 499 can be read") {
		t.Fatalf("Check returns %+v, %v", report, err)
	}
}

// TestOneMetaPage checks that a file opens with a warning if one of its two meta pages is damaged, as after a power
// cut.
func TestOneMetaPage(t *testing.T) {
	for page := range 2 {
		path := fill(t, 10)
		editFile(t, path, func(file []byte) []byte { clear(file[page*4096 : page*4096+512]); return file })
		var log bytes.Buffer
		store, err := bolt.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Count(log.String(), "the last write may be missing") != 1 ||
			!strings.Contains(log.String(), "level=WARN") {
			t.Errorf("with page %d damaged the log is %s", page, &log)
		}
	}
}

func TestDamagedRecord(t *testing.T) {
	path := fill(t, 100)
	editFile(t, path, func(file []byte) []byte {
		return bytes.ReplaceAll(file, []byte("<content 000042><content 000042>"),
			[]byte("<content 000042><c0ntent 000042>"))
	})
	report, err := bolt.Check(path)
	if err != nil || len(report.Findings) != 2 || !strings.Contains(report.Findings[0], numbered(42).ID.String()) {
		t.Fatalf("Check returns %+v, %v", report, err)
	}
	var log bytes.Buffer
	store, err := bolt.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	damaged := func(err error) {
		t.Helper()
		if err == nil || errors.Is(err, notes.ErrNotFound) || errors.Is(err, notes.ErrUnavailable) ||
			!strings.Contains(err.Error(), "damaged") {
			t.Errorf("error is %v", err)
		}
	}
	id := numbered(42).ID
	_, err = store.Get(t.Context(), owner, id)
	damaged(err)
	_, err = store.Update(t.Context(), owner, id, notes.Patch{}, epoch, notes.Condition{})
	damaged(err)
	damaged(store.Delete(t.Context(), owner, id, epoch, notes.Condition{}))
	seen := 0
	for n, err := range store.Newest(t.Context(), owner, uuid.Max, 100) {
		if seen++; err != nil || n.ID == id {
			t.Errorf("the list yields %+v, %v", n, err)
		}
	}
	if seen != 99 || strings.Count(log.String(), id.String()) != 1 {
		t.Errorf("the list has %d notes, the log is %s", seen, &log)
	}
	if _, err := store.Update(t.Context(), owner, numbered(41).ID, notes.Patch{}, epoch,
		notes.Condition{}); err != nil {
		t.Errorf("another note cannot be changed: %v", err)
	}
}

// TestConcurrentFirstStarts checks that if many stores open a file that does not exist, one of them creates and holds
// it, and nothing else is left in the folder.
func TestConcurrentFirstStarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	var opened atomic.Pointer[bolt.Store]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			store, err := bolt.Open(path, quiet)
			switch {
			case err == nil && !opened.CompareAndSwap(nil, store):
				t.Error("two stores have the file open")
			case err != nil && !strings.Contains(err.Error(), "another process has the file open"):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := opened.Load().Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	open(t, path)
}

// TestFullDisk checks that on a full disk reads work and writes fail, until there is space again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	storetest.MountSmall(t, dir, 2<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	store := open(t, filepath.Join(dir, "notes.db"))
	made := 0
	var err error
	for ; made < 1000; made++ {
		n := numbered(made)
		n.Content = strings.Repeat("x", 10_000)
		if _, err = store.Create(t.Context(), owner, n, nil); err != nil {
			break
		}
	}
	if !errors.Is(err, notes.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d notes the error is %v", made, err)
	}
	read := func() {
		t.Helper()
		seen := 0
		for _, err := range store.Newest(t.Context(), owner, uuid.Max, 1000) {
			if seen++; err != nil {
				t.Fatal(err)
			}
		}
		if seen != made {
			t.Fatalf("%d notes were acknowledged, %d are listed", made, seen)
		}
	}
	read()
	if _, err := store.Create(t.Context(), owner, numbered(made), nil); err == nil {
		made++ // a small note may still fit
	}
	read()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), owner, numbered(made), nil); err != nil {
		t.Fatalf("create after freeing space: %v", err)
	}
	made++
	read()
}
