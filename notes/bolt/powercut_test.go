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

// A power cut is simulated with two processes. This one is the disk; a child process is the store with its writers. The
// child prints each step of a writer when it is acknowledged. When the power fails, this process kills the child and
// opens a store on what the disk has left. The writers' steps follow a script, so the number of acknowledged steps
// determines the expected state: the one after these steps, or after one more whose acknowledgement was lost.

// childRoleVar is the environment variable that makes this test binary the child. Its value is a role.
const childRoleVar = "NOTES_TEST_POWERCUT_CHILD"

const (
	roleStore  = "store"   // the real store
	roleNoSync = "no-sync" // a store that acknowledges before the data is on the disk
	roleStock  = "stock"   // a store whose file bbolt creates in place
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRoleVar); role != "" {
		if err := runChild(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(IsolatedVar) != "" {
		os.Exit(m.Run()) // skip goleak: goroutines may wait forever for locks that bbolt never released
	}
	goleak.VerifyTestMain(m)
}

const scriptWriters = 8

// runChild writes until it is killed.
func runChild(role, path string) error {
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
				fmt.Printf("%d %d\n", w, i) // one system call, so never a partial line
			}
		})
	}
	writers.Wait()
	return nil
}

func scriptOwner(w int) string { return fmt.Sprint("writer ", w) }

// scriptNote returns the note that writer w creates at step i.
func scriptNote(w, i int) notes.Note {
	at := stepTime(i)
	n := notes.Note{Title: fmt.Sprintf("%d %d", w, i), CreatedAt: at, UpdatedAt: at, Version: 1}
	id := fmt.Sprintf("%012x7000800000000000%04x", at.UnixMilli(), w)
	n.ID = uuid.MustParse(id)
	n.Content = strings.Repeat("x", i*i*37%3000)
	if i%25 == 0 {
		n.Content = strings.Repeat("long", 10_000)
	}
	return n
}

func stepTime(i int) time.Time {
	return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
}

// scriptKey returns the idempotency key for the create at step i. Every second note has one.
func scriptKey(i int) *notes.IdempotencyKey {
	if i/5%2 == 0 {
		return nil
	}
	return &notes.IdempotencyKey{Value: fmt.Sprint("key ", i), Request: [32]byte{byte(i)}, Now: stepTime(i),
		Expires: stepTime(i).Add(25 * time.Hour)}
}

// step executes step i of writer w. A writer repeats five steps: a create and four changes of that note. For every
// third note the last of these is a delete.
func step(s notes.Store, w, i int) error {
	ctx, owner, first := context.Background(), scriptOwner(w), i-i%5
	n := scriptNote(w, first)
	var err error
	switch i % 5 {
	case 0:
		_, err = s.Create(ctx, owner, n, scriptKey(i))
	case 4:
		if first/5%3 == 0 {
			return s.Delete(ctx, owner, n.ID, stepTime(i), notes.Condition{})
		}
		fallthrough
	default:
		title := fmt.Sprintf("%d %d", w, i)
		_, err = s.Update(ctx, owner, n.ID, notes.Patch{Title: &title}, stepTime(i), notes.Condition{
			OneOf: []int64{int64(i % 5)}})
	}
	return err
}

// wantState returns the notes of writer w after the given number of steps, newest first.
func wantState(w, steps int) iter.Seq[notes.Note] {
	return func(yield func(notes.Note) bool) {
		for first := (steps - 1) / 5 * 5; first >= 0 && steps > 0; first -= 5 {
			n := scriptNote(w, first)
			done := min(steps-first, 5) // steps done on this note
			if done == 5 && first/5%3 == 0 {
				continue // deleted
			}
			if done > 1 {
				n.Title, n.UpdatedAt, n.Version = fmt.Sprintf("%d %d", w, first+done-1), stepTime(first+
					done-1), int64(done)
			}
			if !yield(n) {
				return
			}
		}
	}
}

// checkState returns an error unless the store has the notes of writer w after the given number of steps.
func checkState(s notes.Store, w, steps int) error {
	next, stop := iter.Pull(wantState(w, steps))
	defer stop()
	for got, err := range s.Newest(context.Background(), scriptOwner(w), uuid.Max, 1_000_000) {
		if err != nil {
			return err
		}
		want, ok := next()
		if !ok {
			return fmt.Errorf("writer %d: unexpected note %.20q at version %d", w, got.Title, got.Version)
		}
		if got.ID != want.ID || got.Title != want.Title || got.Content != want.Content ||
			got.Version != want.Version || !got.UpdatedAt.Equal(want.UpdatedAt) {
			return fmt.Errorf("writer %d: got %.20q at version %d, want %.20q at version %d", w, got.Title,
				got.Version, want.Title, want.Version)
		}
	}
	if want, ok := next(); ok {
		return fmt.Errorf("writer %d: %.20q at version %d is missing", w, want.Title, want.Version)
	}
	return nil
}

// checkSurvivor opens the file that survived a power cut and checks that it has everything acknowledged.
func checkSurvivor(path string, answered [scriptWriters]int) error {
	s, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var lost error
	for w, steps := range answered {
		if err := checkState(s, w, steps); err != nil && checkState(s, w, steps+1) != nil {
			lost = errors.Join(lost, err)
		}
		// The last acknowledged key must be remembered, even if its note was deleted.
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
		if !strings.Contains(finding, errOneMeta.Error()) { // the interrupted commit may leave a damaged meta page
			lost = errors.Join(lost, errors.New(finding))
		}
	}
	return lost
}

// runUntilCut runs the child on a disk until the power fails. The power fails at the nth operation after the start or,
// with afterOpen, after the store is open. It returns the path of the surviving file and the number of acknowledged
// steps of each writer. Without afterOpen, completed reports that the store opened before the power failed.
func runUntilCut(t testing.TB, role string, n int, afterOpen bool, s survival, random *rand.Rand) (path string,
	answered [scriptWriters]int, completed bool) {
	t.Helper()
	folder := t.TempDir()
	d, unmount := mountDisk(t, folder)
	if !afterOpen {
		d.cutAfter(n)
	}
	cmd := exec.Command(os.Args[0], filepath.Join(folder, "notes.db"))
	cmd.Env = append(os.Environ(), childRoleVar+"="+role)
	cmd.Stderr = nil // discard its errors about the power cut
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
		_ = cmd.Process.Kill() // fails only if it has ended
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w, i int
		if lines.Text() == "open" {
			if completed = !afterOpen; completed {
				_ = cmd.Process.Kill()
				break
			}
			d.cutAfter(n)
		} else if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &i); err == nil {
			answered[w] = i + 1
		}
	}
	_ = cmd.Wait() // killed, or failed because of the power cut
	left := d.survivors(s, random)
	d.mu.Lock()
	if d.cutAt == 0 || d.ops < d.cutAt {
		close(d.cut) // let the goroutine above end
	}
	d.mu.Unlock()
	unmount()
	path = filepath.Join(t.TempDir(), "notes.db")
	if content, there := left["notes.db"]; there {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, answered, completed
}

var survivals = []survival{drop, torn, keep}

// TestProofPowerCut checks that everything acknowledged survives a power cut, whichever unsynced changes survive too.
func TestProofPowerCut(t *testing.T) {
	storetest.NotWithRace(t)
	run := func(role string, cuts int) (steps, lost int, first error) {
		for round := range cuts {
			random := rand.New(rand.NewPCG(1, uint64(round)))
			path, answered, _ := runUntilCut(t, role, 1+random.IntN(400), true, survivals[round%len(survivals)], random)
			for _, n := range answered {
				steps += n
			}
			if err := checkSurvivor(path, answered); err != nil {
				lost++
				first = errors.Join(first, fmt.Errorf("cut %d: %w", round, err))
			}
		}
		return steps, lost, first
	}
	cuts := storetest.Amount(100, 1000)
	steps, lost, err := run(roleStore, cuts)
	if err != nil {
		t.Errorf("%d of %d power cuts lost something: %v", lost, cuts, err)
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

// TestProofCreationCut checks that a first start can be interrupted at any operation and the next start still works.
func TestProofCreationCut(t *testing.T) {
	storetest.NotWithRace(t)
	run := func(role string, seeds int) (cuts, unopenable int, first error) {
		for n, whole := 1, false; !whole; n++ {
			for i := range seeds * len(survivals) {
				random := rand.New(rand.NewPCG(uint64(n), uint64(i)))
				var path string
				if path, _, whole = runUntilCut(t, role, n, false, survivals[i%len(survivals)], random); whole {
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
		t.Error("the control, a file created in place, always opened")
	}
	storetest.Proved(t, fmt.Sprintf("%d cuts", cuts), fmt.Sprintf("%d files that do not open", unopenable),
		fmt.Sprintf("made in place %d of %d", caught, controls))
}
