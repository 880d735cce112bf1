//go:build linux

package bolt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/storetest"
)

// A power cut is played with two processes: this one is the disk, the other one, a child, is the store with its
// writers. The child says when a step of a writer was answered. When the power goes the child is killed, and a store
// is opened here on what the disk has left. A writer's steps follow a script, so that the number of steps that were
// answered tells what must be there: the state after them, or after one more, whose answer was lost.

// childRole is the variable that makes this test binary the child: its value is a role.
const childRole = "NOTES_TEST_POWERCUT_CHILD"

const (
	roleStore  = "store"   // the store as it is
	roleNoSync = "no-sync" // a store that answers before the data is on the disk
	roleStock  = "stock"   // creates the file as bbolt alone does, in place
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(Alone) != "" {
		os.Exit(m.Run()) // bbolt's locks hold goroutines for ever where its file is gone
	}
	goleak.VerifyTestMain(m)
}

const scriptWriters = 8

// child writes until it is killed.
func child(role, path string) error {
	if role == roleStock {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
		if err == nil {
			err = errors.Join(db.Update(initialize), db.Close())
		}
		if err != nil {
			return err
		}
	}
	s, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	s.db.NoSync = role == roleNoSync
	fmt.Println("open")
	var writers sync.WaitGroup
	for w := range scriptWriters {
		writers.Go(func() {
			for i := 0; ; i++ {
				if err := step(s, w, i); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Printf("%d %d\n", w, i) // one system call: whole, or not at all
			}
		})
	}
	writers.Wait()
	return nil
}

func scriptOwner(w int) string { return fmt.Sprint("writer ", w) }

// scriptNote is the note that writer w makes at step i.
func scriptNote(w, i int) notes.Note {
	at := epochOf(i)
	n := notes.Note{Title: fmt.Sprintf("%d %d", w, i), CreatedAt: at, UpdatedAt: at, Version: 1}
	id := fmt.Sprintf("%012x7000800000000000%04x", at.UnixMilli(), w)
	n.ID = uuid.MustParse(id)
	n.Content = strings.Repeat("x", i*i*37%3000)
	if i%25 == 0 {
		n.Content = strings.Repeat("long", 10_000)
	}
	return n
}

func epochOf(i int) time.Time {
	return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
}

// Every writer does these five over and over; of two notes one is deleted.
func scriptKey(i int) *notes.IdempotencyKey {
	if i/5%2 == 0 {
		return nil
	}
	return &notes.IdempotencyKey{Value: fmt.Sprint("key ", i), Request: [32]byte{byte(i)}, Now: epochOf(i),
		Expires: epochOf(i).Add(25 * time.Hour)}
}

func step(s notes.Store, w, i int) error {
	ctx, owner, first := context.Background(), scriptOwner(w), i-i%5
	n := scriptNote(w, first)
	var err error
	switch i % 5 {
	case 0:
		_, err = s.Create(ctx, owner, n, scriptKey(i))
	case 4:
		if first/5%3 == 0 {
			return s.Delete(ctx, owner, n.ID, epochOf(i), notes.Condition{})
		}
		fallthrough
	default:
		title := fmt.Sprintf("%d %d", w, i)
		_, err = s.Update(ctx, owner, n.ID, notes.Patch{Title: &title}, epochOf(i), notes.Condition{
			OneOf: []int64{int64(i % 5)}})
	}
	return err
}

// state is what writer w's owner has after so many steps, newest first.
func state(w, steps int) iter.Seq[notes.Note] {
	return func(yield func(notes.Note) bool) {
		for first := (steps - 1) / 5 * 5; first >= 0 && steps > 0; first -= 5 {
			n := scriptNote(w, first)
			done := min(steps-first, 5) // of this note's steps
			if done == 5 && first/5%3 == 0 {
				continue // deleted
			}
			if done > 1 {
				n.Title, n.UpdatedAt, n.Version = fmt.Sprintf("%d %d", w, first+done-1), epochOf(first+
					done-1), int64(done)
			}
			if !yield(n) {
				return
			}
		}
	}
}

// holds reports whether the store has what writer w left after so many steps.
func holds(s notes.Store, w, steps int) error {
	next, stop := iter.Pull(state(w, steps))
	defer stop()
	for got, err := range s.Newest(context.Background(), scriptOwner(w), uuid.Max, 1_000_000) {
		if err != nil {
			return err
		}
		want, ok := next()
		if !ok {
			return fmt.Errorf("writer %d: there is a note more: %.20q at version %d", w, got.Title, got.Version)
		}
		if got.ID != want.ID || got.Title != want.Title || got.Content != want.Content ||
			got.Version != want.Version || !got.UpdatedAt.Equal(want.UpdatedAt) {
			return fmt.Errorf("writer %d: there is %.20q at version %d, want %.20q at version %d", w, got.Title,
				got.Version, want.Title, want.Version)
		}
	}
	if want, ok := next(); ok {
		return fmt.Errorf("writer %d: %.20q at version %d is not there", w, want.Title, want.Version)
	}
	return nil
}

// judge opens what a power cut left and looks for all that was answered.
func judge(path string, answered [scriptWriters]int) error {
	s, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var lost error
	for w, steps := range answered {
		if err := holds(s, w, steps); err != nil && holds(s, w, steps+1) != nil {
			lost = errors.Join(lost, err)
		}
		// The key of the last create that was answered is remembered, also of a deleted note.
		for i := (steps - 1) / 5 * 5; steps > 0 && i >= 0; i -= 5 {
			if key := scriptKey(i); key != nil {
				again := scriptNote(w, i)
				again.ID = uuid.Max
				if first, err := s.Create(context.Background(), scriptOwner(w), again, key); err != nil ||
					first.ID != scriptNote(w, i).ID {
					lost = errors.Join(lost, fmt.Errorf("writer %d: the key of step %d is forgotten: %v", w, i, err))
				}
				break
			}
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	report, err := Check(path)
	if err != nil {
		return err
	}
	for _, finding := range report.Findings {
		if !strings.Contains(finding, errOneMeta.Error()) { // the commit that was cut
			lost = errors.Join(lost, errors.New(finding))
		}
	}
	return lost
}

// play runs the child on a disk until the power goes, and returns the path of what is left and what was answered. The
// power goes at the nth operation from the start, or, with afterOpen, from the moment at which the store is open.
// Where it did not go before that moment, whole is true.
func play(t testing.TB, role string, n int, afterOpen bool, s survival, random *rand.Rand) (path string,
	answered [scriptWriters]int, whole bool) {
	t.Helper()
	folder := t.TempDir()
	d, unmount := mountDisk(t, folder)
	if !afterOpen {
		d.cutAfter(n)
	}
	cmd := exec.Command(os.Args[0], filepath.Join(folder, "notes.db"))
	cmd.Env = append(os.Environ(), childRole+"="+role)
	cmd.Stderr = nil // it complains of the power cut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		select {
		case <-d.cut:
		case <-time.After(30 * time.Second):
		}
		_ = cmd.Process.Kill() // fails only where it has ended
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w, i int
		if lines.Text() == "open" {
			if whole = !afterOpen; whole {
				_ = cmd.Process.Kill()
				break
			}
			d.cutAfter(n)
		} else if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &i); err == nil {
			answered[w] = i + 1
		}
	}
	_ = cmd.Wait() // it was killed, or failed because of the cut
	left := d.survivors(s, random)
	d.mu.Lock()
	if d.cutAt == 0 || d.ops < d.cutAt {
		close(d.cut) // for the one that waits for it
	}
	d.mu.Unlock()
	unmount()
	path = filepath.Join(t.TempDir(), "notes.db")
	if content, there := left["notes.db"]; there {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, answered, whole
}

var survivals = []survival{drop, torn, keep}

// TestProofPowerCut: what was answered survives a power cut, whatever the disk made of what was not synced.
func TestProofPowerCut(t *testing.T) {
	storetest.NotWithRace(t)
	run := func(role string, cuts int) (steps, lost int, first error) {
		for round := range cuts {
			random := rand.New(rand.NewPCG(1, uint64(round)))
			path, answered, _ := play(t, role, 1+random.IntN(400), true, survivals[round%len(survivals)], random)
			for _, n := range answered {
				steps += n
			}
			if err := judge(path, answered); err != nil {
				lost++
				first = errors.Join(first, fmt.Errorf("cut %d: %w", round, err))
			}
		}
		return steps, lost, first
	}
	cuts := storetest.Amount(100, 1000)
	steps, lost, err := run(roleStore, cuts)
	if err != nil {
		t.Errorf("%d of %d cuts lost something: %v", lost, cuts, err)
	}
	const controls = 12
	_, caught, _ := run(roleNoSync, controls)
	if caught == 0 {
		t.Error("the control, a store that does not sync, lost nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d cuts, %d answered writes", cuts, steps),
		fmt.Sprintf("%d cuts lost a write or the file", lost),
		fmt.Sprintf("without syncs %d of %d", caught, controls))
}

// TestProofCreationCut: a first start that is cut short anywhere leaves nothing that the next one cannot open.
func TestProofCreationCut(t *testing.T) {
	storetest.NotWithRace(t)
	run := func(role string, seeds int) (cuts, unopenable int, first error) {
		for n, whole := 1, false; !whole; n++ {
			for i := range seeds * len(survivals) {
				random := rand.New(rand.NewPCG(uint64(n), uint64(i)))
				var path string
				if path, _, whole = play(t, role, n, false, survivals[i%len(survivals)], random); whole {
					break
				}
				cuts++
				s, err := Open(path, slog.New(slog.DiscardHandler))
				if err == nil {
					err = s.Close()
				}
				if err != nil {
					unopenable++
					first = errors.Join(first, fmt.Errorf("cut at operation %d: %w", n, err))
				}
			}
		}
		return cuts, unopenable, first
	}
	cuts, unopenable, err := run(roleStore, storetest.Amount(1, 14))
	if err != nil {
		t.Errorf("%d of %d cuts left a file that does not open: %v", unopenable, cuts, err)
	}
	controls, caught, _ := run(roleStock, 2)
	if caught == 0 {
		t.Error("the control, a file that is made in place, always opened")
	}
	storetest.Proved(t, fmt.Sprintf("%d cuts", cuts), fmt.Sprintf("%d files that do not open", unopenable),
		fmt.Sprintf("made in place %d of %d", caught, controls))
}
