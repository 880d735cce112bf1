package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

// salvaged opens a file that may be damaged and returns its notes by their id.
func salvaged(t *testing.T, path string, all bool) (*bolt.Salvage, map[notes.ID]notes.Note) {
	t.Helper()
	s, err := bolt.OpenSalvage(path, all)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[notes.ID]notes.Note{}
	for r, err := range s.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Note != nil {
			found[r.Note.ID] = *r.Note
		}
	}
	return s, found
}

// TestProofSalvage: from a damaged file, every note that -check can read is saved as it was, and no deleted note comes
// back.
func TestProofSalvage(t *testing.T) {
	storetest.NotWithRace(t)
	const count = 400
	path, has := usedFile(t, count)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	total := storetest.Amount(300, 3000)
	var readable, saved, empty, closed, fromClosed int
	for seed := range total {
		what, damaged := damageFile(sound, rand.New(rand.NewPCG(7, uint64(seed))))
		path := filepath.Join(t.TempDir(), "notes.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		report, _ := bolt.Check(path)
		if len(damaged) < 4*4096 {
			empty++
			continue // nothing is left of it
		}
		s, found := salvaged(t, path, false)
		readable += int(report.Notes)
		saved += len(found)
		if store, err := bolt.Open(path, quiet); err != nil {
			closed++
			fromClosed += len(found)
		} else if err := store.Close(); err != nil {
			t.Error(err)
		}
		if len(found) < int(report.Notes) {
			t.Errorf("%s: -check reads %d notes, %d are saved", what, report.Notes, len(found))
		}
		for n := range count {
			got, ok := found[numbered(n).ID]
			switch {
			case ok && !has(n) && what != "20 bits": // a free list that is damaged beside the tree misleads
				t.Errorf("%s: note %d comes back, which was deleted", what, n)
			case ok && n != 1 && (got.Title != numbered(n).Title || got.Content != numbered(n).Content):
				t.Errorf("%s: note %d is saved as %.300v", what, n, got)
			case !ok && has(n):
				if len(s.Lost) == 0 {
					t.Errorf("%s: note %d is missing, and nothing is said to be lost", what, n)
				}
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("%s: the file was changed (%v)", what, err)
		}
	}
	storetest.Proved(t, fmt.Sprintf("%d damages", total),
		fmt.Sprintf("%d notes that -check reads, %d saved; %d files have less than 4 pages", readable, saved, empty),
		fmt.Sprintf("%d files do not open, which lose %d notes without it", closed, fromClosed))
}

// branches returns the numbers of the branch pages of a file, in use or not.
func branches(file []byte) (found []int) {
	for p := 2; p < len(file)/4096; p++ {
		if page := file[p*4096:]; binary.LittleEndian.Uint16(page[8:]) == 1 &&
			binary.LittleEndian.Uint64(page) == uint64(p) && binary.LittleEndian.Uint16(page[10:]) > 3 {
			found = append(found, p)
		}
	}
	return found
}

func TestSalvage(t *testing.T) {
	const count = 400
	path, has := usedFile(t, count)
	alive := 0
	for n := range count {
		if has(n) {
			alive++
		}
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, file []byte) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "notes.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("a sound file loses nothing", func(t *testing.T) {
		s, err := bolt.OpenSalvage(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.Get(t.Context(), owner, numbered(2).ID); err != nil || n.Title != numbered(2).Title {
			t.Errorf("Get returns %v, %v", n, err)
		}
		if _, err := s.Get(t.Context(), "another", numbered(2).ID); !errors.Is(err, notes.ErrNotFound) {
			t.Errorf("Get of another owner's note returns %v", err)
		}
		keys := 0
		for r, err := range s.Export(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Key != nil {
				keys++
			}
		}
		if keys != 80 {
			t.Errorf("%d of 80 idempotency keys are saved", keys)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s, found := salvaged(t, path, false)
		if len(found) != alive || len(s.Lost) != 0 {
			t.Errorf("%d of %d notes are saved, lost: %q", len(found), alive, s.Lost)
		}
		if n := found[numbered(1).ID]; n.Version != 2 || n.Title != "changed last" {
			t.Errorf("note 1 is saved as version %d, %q", n.Version, n.Title)
		}
	})
	t.Run("a branch page of zeros loses nothing", func(t *testing.T) {
		broken := 0
		for _, page := range branches(sound) {
			file := bytes.Clone(sound)
			clear(file[page*4096:][:4096])
			path := write(t, file)
			if store, err := bolt.Open(path, quiet); err == nil {
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				continue // the page is not in use
			}
			broken++
			if s, found := salvaged(t, path, false); len(found) != alive {
				t.Errorf("%d of %d notes are saved, lost: %q", len(found), alive, s.Lost)
			}
		}
		if broken == 0 {
			t.Error("no branch page is in use")
		}
	})
	t.Run("one byte of a note loses that note, by its id", func(t *testing.T) {
		file := bytes.Clone(sound)
		for rest := file; ; { // every copy of note 5
			i := bytes.Index(rest, []byte("<content 000005>"))
			if i < 0 {
				break
			}
			rest[i] ^= 1
			rest = rest[i+1:]
		}
		s, found := salvaged(t, write(t, file), false)
		if _, ok := found[numbered(5).ID]; ok || len(found) != alive-1 {
			t.Errorf("%d of %d notes are saved, note 5 %v", len(found), alive-1, ok)
		}
		if !strings.Contains(strings.Join(s.Lost, "\n"), numbered(5).ID.String()) {
			t.Errorf("the id of note 5 is not said to be lost: %q", s.Lost)
		}
	})
	t.Run("without both first pages only all finds notes", func(t *testing.T) {
		file := bytes.Clone(sound)
		clear(file[:2*4096])
		path := write(t, file)
		s, found := salvaged(t, path, false)
		if len(found) != 0 || len(s.Unused) < alive {
			t.Errorf("%d notes are saved, %d are listed as unused", len(found), len(s.Unused))
		}
		_, found = salvaged(t, path, true)
		for n := range count {
			if _, ok := found[numbered(n).ID]; !ok && has(n) {
				t.Errorf("note %d is not saved", n)
			}
		}
		if n := found[numbered(1).ID]; n.Version != 2 {
			t.Errorf("note 1 is saved as version %d: the latest is 2", n.Version)
		}
	})
	t.Run("what is deleted is listed, and comes back with all alone", func(t *testing.T) {
		path := fill(t, 50)
		store, err := bolt.Open(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(t.Context(), owner, numbered(49).ID, epoch, notes.Condition{}); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		s, found := salvaged(t, path, false)
		if _, ok := found[numbered(49).ID]; ok {
			t.Error("the deleted note is saved")
		}
		if !strings.Contains(strings.Join(s.Unused, "\n"), numbered(49).ID.String()) {
			t.Errorf("the deleted note is not listed: %q", s.Unused)
		}
		if _, found = salvaged(t, path, true); found[numbered(49).ID].Title != "note 49" {
			t.Error("the deleted note is not saved with all")
		}
	})
	t.Run("a page in the content of a note is not a page", func(t *testing.T) {
		// A client writes a note whose content looks like a page with a note of somebody else, at every offset that a
		// page may have in the file.
		victim := string(binary.BigEndian.AppendUint16(nil, 6)) + "victim" + string(uuid.Max[:])
		forged := make([]byte, 4096)
		for i := 0; i < len(forged)-512; i += 512 { // wherever the content begins, one of these may fit
			binary.LittleEndian.PutUint16(forged[i+8:], 2)
			binary.LittleEndian.PutUint16(forged[i+10:], 1)
			value := bolt.Seal(victim, "\x01\x02\x02\x05title\x04evil")
			binary.LittleEndian.PutUint32(forged[i+20:], 16)
			binary.LittleEndian.PutUint32(forged[i+24:], uint32(len(victim)))
			binary.LittleEndian.PutUint32(forged[i+28:], uint32(len(value)))
			copy(forged[i+32:], victim)
			copy(forged[i+32+len(victim):], value)
		}
		path := filepath.Join(t.TempDir(), "notes.db")
		store, err := bolt.Open(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for shift := range 512 {
			n := numbered(shift)
			n.Content = strings.Repeat("x", shift) + strings.Repeat(string(forged), 3)
			if _, err := store.Create(t.Context(), owner, n, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		s, found := salvaged(t, path, false)
		if len(found) != 512 {
			t.Errorf("%d of 512 notes are saved, lost: %q", len(found), s.Lost)
		}
		if _, ok := found[uuid.Max]; ok {
			t.Error("the forged note is saved")
		}
	})
	t.Run("another program's file is refused", func(t *testing.T) {
		if _, err := bolt.OpenSalvage(write(t, make([]byte, 5*4096)), true); err == nil ||
			!strings.Contains(err.Error(), "no page holds a note") {
			t.Errorf("the error is %v", err)
		}
	})
}
