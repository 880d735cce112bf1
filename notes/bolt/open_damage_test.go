package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

// controlFileVar is the environment variable that makes this binary the control: it opens the named file with bbolt
// alone, damages it and reads it.
const controlFileVar = "NOTES_TEST_UNGUARDED"

// controlLoopVar makes the control damage the file with loops instead of truncating it.
const controlLoopVar = "NOTES_TEST_UNGUARDED_LOOP"

func init() {
	path := os.Getenv(controlFileVar)
	if path == "" {
		return
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err == nil && os.Getenv(controlLoopVar) != "" {
		debug.SetMaxStack(64 << 20) // overflow sooner than at the default of 1 GB
		err = loopBranches(path)
	} else if err == nil {
		err = os.Truncate(path, 8192)
	}
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error { tx.Bucket([]byte("notes")).Get([]byte("x")); return nil })
	}
	fmt.Println("the control survived", err)
	os.Exit(0)
}

// runsIsolated reports whether the test already has a process of its own. If not, it runs the test in one, and fails
// the test if that run fails.
func runsIsolated(t *testing.T) bool {
	t.Helper()
	if os.Getenv(bolt.IsolatedVar) != "" {
		return true
	}
	if runtime.GOOS == "windows" {
		storetest.Lacks(t, "files that can be truncated while they are mapped", errors.New("this is Windows"))
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.timeout", "20m")
	child.Env = append(os.Environ(), bolt.IsolatedVar+"=1")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "| ") {
			fmt.Print(line)
		}
	}
	return false
}

// overwrite replaces the content of a file in place, while a store has it open.
func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(content, 0)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestProofDamageWhileOpen damages a file while a store has it open. Every call must return, no read may return wrong
// data, and the process must not crash.
func TestProofDamageWhileOpen(t *testing.T) {
	storetest.NotWithRace(t)
	if !runsIsolated(t) {
		return
	}
	const count = 200
	path, has := usedFile(t, count)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(fillFor(t, "someone else", 150)) // of another owner, whose notes must not appear
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(11, 12))
	noise := make([]byte, len(sound))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	type damage struct {
		what    string
		content []byte
	}
	half := len(sound) / 8192 * 4096
	damages := []damage{
		{"zeros", make([]byte, len(sound))},
		{"noise", noise},
		{"the second half of another file", append(bytes.Clone(sound[:half]), other[min(half, len(other)):]...)},
		{"zeros after the meta pages", append(bytes.Clone(sound[:8192]), make([]byte, len(sound)-8192)...)},
		{"noise after the meta pages", append(bytes.Clone(sound[:8192]), noise[8192:]...)},
		{"zeros in the meta pages", append(make([]byte, 8192), sound[8192:]...)},
		{"noise in the meta pages", append(bytes.Clone(noise[:8192]), sound[8192:]...)},
	}
	for _, size := range []int{0, 1, 100, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 20480, half, len(sound) - 4096,
		len(sound) - 1} {
		damages = append(damages, damage{fmt.Sprintf("truncated to %d bytes", size), sound[:size]})
	}
	le := binary.LittleEndian
	firstKey := func(page int) []byte {
		e := sound[page+16:]
		return e[le.Uint32(e[4:]):][:le.Uint32(e[8:])]
	}
	rewriteChildren(bytes.Clone(sound), func(page, i, _ int, child uint64) uint64 {
		for _, to := range pagesOfKind(sound, 2) {
			if to/4096 != int(child) && bytes.Equal(firstKey(to), firstKey(int(child)*4096)) {
				content := bytes.Clone(sound)
				le.PutUint64(content[page*4096+16+16*i+8:], uint64(to/4096))
				what := fmt.Sprintf("pointer %d of page %d leads to page %d, an earlier version of page %d", i, page,
					to/4096, child)
				damages = append(damages, damage{what, content})
			}
		}
		return child
	})
	for seed := range storetest.Amount(150, 1000) {
		what, content := damageFile(sound, rand.New(rand.NewPCG(8, uint64(seed))))
		damages = append(damages, damage{what, content})
	}
	var erred, unread, harmless int
	for _, d := range damages {
		path := filepath.Join(t.TempDir(), "notes.db")
		if err := os.WriteFile(path, sound, 0o600); err != nil {
			t.Fatal(err)
		}
		hangs := time.AfterFunc(time.Minute, func() { panic("damage hangs: " + d.what) })
		store, err := bolt.Open(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, path, d.content)
		errs, _, wrong := exercise(t, store, count, has)
		if wrong != nil {
			t.Errorf("%s: %v", d.what, wrong)
		}
		for _, err := range store.Export(t.Context()) {
			if err != nil {
				errs++
			}
		}
		if backup, err := store.Backup(t.Context()); err != nil {
			errs++
		} else if err := backup.Close(); err != nil {
			t.Errorf("%s: %v", d.what, err)
		}
		_, readErr := store.Get(t.Context(), owner, numbered(0).ID)
		ready := store.Ready(t.Context())
		switch {
		case errors.Is(readErr, notes.ErrUnavailable) && ready != nil:
			unread++
		case errs > 0:
			erred++
		default:
			harmless++
		}
		_ = store.Close() // must return; the error does not matter
		hangs.Stop()
	}
	if unread == 0 || erred == 0 || harmless == 0 {
		t.Errorf("%d files are unreadable, %d have errors, %d are harmlessly damaged: none should be 0", unread, erred,
			harmless)
	}
	control := exec.Command(os.Args[0])
	control.Env = append(os.Environ(), controlFileVar+"="+path)
	out, err := control.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("SIGBUS")) {
		t.Errorf("the control, bbolt alone, survives a truncated file: %v, %.300s", err, out)
	}
	storetest.Proved(t, fmt.Sprintf("%d damages to an open file", len(damages)),
		fmt.Sprintf("%d not readable at all, %d errors of some calls, %d harmless, 0 wrong answers, 0 crashes, 0 hangs",
			unread, erred, harmless),
		"bbolt alone crashes with SIGBUS")
}

// rewriteChildren replaces each pointer of each branch page in a file with the result of change.
func rewriteChildren(file []byte, change func(page, i, count int, child uint64) uint64) {
	le := binary.LittleEndian
	for _, p := range pagesOfKind(file, 1) {
		count := int(le.Uint16(file[p+10:]))
		for i := range count {
			at := file[p+16+16*i+8:]
			le.PutUint64(at, change(p/4096, i, count, le.Uint64(at)))
		}
	}
}

// loopBranches makes every pointer of each branch page in the file lead to that page itself.
func loopBranches(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rewriteChildren(content, func(page, _, _ int, _ uint64) uint64 { return uint64(page) })
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	return errors.Join(err, file.Close())
}

// TestLoopsWhileOpen checks that reads and writes fail on pages on which bbolt would recurse without end.
func TestLoopsWhileOpen(t *testing.T) {
	if !runsIsolated(t) {
		return
	}
	debug.SetMaxStack(64 << 20) // overflow sooner than at the default of 1 GB
	const count = 2000          // a tree of three levels
	path, has := usedFile(t, count)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	header := func(kind uint16, change func(page []byte)) func([]byte) {
		return func(file []byte) {
			for _, p := range pagesOfKind(file, kind) {
				change(file[p:])
			}
		}
	}
	branches := func(change func(page, i, count int, child uint64) uint64) func([]byte) {
		return func(file []byte) { rewriteChildren(file, change) }
	}
	root := uint64(0) // the branch that no branch points to
	below := map[uint64]bool{}
	rewriteChildren(bytes.Clone(sound), func(_, _, _ int, child uint64) uint64 { below[child] = true; return child })
	for _, p := range pagesOfKind(sound, 1) {
		if !below[uint64(p/4096)] {
			root = uint64(p / 4096)
		}
	}
	for _, c := range []struct {
		name string
		harm func(file []byte)
	}{
		{"all to themselves", branches(func(page, _, _ int, _ uint64) uint64 { return uint64(page) })},
		{"first to itself", branches(func(page, i, _ int, child uint64) uint64 {
			if i == 0 {
				return uint64(page)
			}
			return child
		})},
		{"last to itself", branches(func(page, i, count int, child uint64) uint64 {
			if i == count-1 {
				return uint64(page)
			}
			return child
		})},
		{"every second to itself", branches(func(page, i, _ int, child uint64) uint64 {
			if i%2 == 1 {
				return uint64(page)
			}
			return child
		})},
		{"back to the root", branches(func(_, _, _ int, _ uint64) uint64 { return root })},
		{"all to a meta page", branches(func(_, _, _ int, _ uint64) uint64 { return 1 })},
		{"all outside", branches(func(_, _, _ int, _ uint64) uint64 { return 1 << 40 })},
		{"branches without entries", header(1, func(p []byte) { le.PutUint16(p[10:], 0) })},
		{"leaves without entries", header(2, func(p []byte) { le.PutUint16(p[10:], 0) })},
		{"leaves of many pages", header(2, func(p []byte) { le.PutUint32(p[12:], 1<<31) })},
		{"leaves marked as branches", header(2, func(p []byte) { p[8] = 1 })},
		{"a free list that claims 1<<45 entries", header(16, func(p []byte) {
			le.PutUint16(p[10:], 0xFFFF)
			le.PutUint64(p[16:], 1<<45)
		})},
		{"a free list of many pages", header(16, func(p []byte) { le.PutUint32(p[12:], 1<<31) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "notes.db")
			if err := os.WriteFile(path, sound, 0o600); err != nil {
				t.Fatal(err)
			}
			hangs := time.AfterFunc(2*time.Minute, func() { panic("damage hangs: " + c.name) })
			defer hangs.Stop()
			store, err := bolt.Open(path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			content := bytes.Clone(sound)
			c.harm(content)
			overwrite(t, path, content)
			errs, missing, wrong := exercise(t, store, count, has)
			for _, err := range store.Export(t.Context()) {
				if err != nil {
					errs++
				}
			}
			if errs == 0 && missing == 0 || wrong != nil {
				t.Errorf("%d errors, %d results lack something, wrong are %v", errs, missing, wrong)
			}
			if backup, err := store.Backup(t.Context()); err == nil {
				err = backup.Close()
				if err != nil {
					t.Error(err)
				}
			}
			_ = store.Ready(t.Context())
			_ = store.Close() // must return; the error does not matter
		})
	}
	control := exec.Command(os.Args[0])
	control.Env = append(os.Environ(), controlFileVar+"="+path, controlLoopVar+"=1")
	out, err := control.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("stack overflow")) {
		t.Errorf("the control, bbolt alone, survives a loop: %v, %.300s", err, out)
	}
}

// TestReadersAndDamage checks that calls that run while the file is truncated all return.
func TestReadersAndDamage(t *testing.T) {
	if !runsIsolated(t) {
		return
	}
	path, _ := usedFile(t, 100)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 4096, 8192, 16384} {
		t.Run(fmt.Sprint("truncated to ", size), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "notes.db")
			if err := os.WriteFile(path, sound, 0o600); err != nil {
				t.Fatal(err)
			}
			store, err := bolt.Open(path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			const callers = 16
			begun, ended := make(chan struct{}, callers), make(chan struct{}, callers)
			var cut atomic.Bool
			for caller := range callers {
				go func() {
					for i, after := 0, 0; after < 100; i++ { // 100 calls after the damage
						if cut.Load() {
							after++
						}
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						switch caller % 4 { // the results do not matter here
						case 0:
							_, _ = store.Create(ctx, owner, numbered(1000+caller*100_000+i), nil)
						case 1:
							for range store.Newest(ctx, owner, notes.ID{255}, 10) {
							}
						default:
							_, _ = store.Get(ctx, owner, numbered(i%100).ID)
						}
						cancel()
						if i == 20 {
							begun <- struct{}{}
						}
					}
					ended <- struct{}{}
				}()
			}
			for range callers {
				<-begun
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			cut.Store(true)
			late := time.After(time.Minute)
			for range callers {
				select {
				case <-ended:
				case <-late:
					t.Fatal("some calls do not return")
				}
			}
			closed := make(chan error, 1)
			go func() { closed <- store.Close() }()
			select {
			case <-closed:
			case <-late:
				t.Fatal("Close does not return")
			}
		})
	}
}

// TestFileWithoutItsName checks that the store acknowledges no write to a file that the next start would not find.
func TestFileWithoutItsName(t *testing.T) {
	if runtime.GOOS == "windows" {
		storetest.Lacks(t, "open files that can be renamed", errors.New("this is Windows"))
	}
	for _, c := range []struct {
		name       string
		away, back func(path string) error // back is nil if the file is gone for good
	}{
		{
			name: "renamed",
			away: func(path string) error { return os.Rename(path, path+".away") },
			back: func(path string) error { return os.Rename(path+".away", path) },
		},
		{name: "removed", away: os.Remove},
		{
			name: "replaced",
			away: func(path string) error {
				return errors.Join(os.Rename(path, path+".away"), os.WriteFile(path, []byte("other"), 0o600))
			},
			back: func(path string) error { return os.Rename(path+".away", path) },
		},
		{
			name: "folder renamed",
			away: func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".away") },
			back: func(path string) error { return os.Rename(filepath.Dir(path)+".away", filepath.Dir(path)) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "notes.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			store, err := bolt.Open(path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			create := func(n int) error { _, err := store.Create(t.Context(), owner, numbered(n), nil); return err }
			if err := create(1); err != nil {
				t.Fatal(err)
			}
			if err := c.away(path); err != nil {
				t.Fatal(err)
			}
			if err := create(2); !errors.Is(err, notes.ErrUnavailable) {
				t.Errorf("a create returns %v", err)
			}
			if err := store.Ready(t.Context()); !errors.Is(err, notes.ErrUnavailable) {
				t.Errorf("Ready returns %v", err)
			}
			if _, err := store.Get(t.Context(), owner, numbered(1).ID); err != nil {
				t.Errorf("a read returns %v", err)
			}
			if c.back == nil {
				if err := store.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if err := c.back(path); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(store.Ready(t.Context()), create(3)); err != nil {
				t.Errorf("after the file is back: %v", err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := bolt.Open(path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			for _, n := range []int{1, 3} {
				if _, err := again.Get(t.Context(), owner, numbered(n).ID); err != nil {
					t.Errorf("the acknowledged note %d: %v", n, err)
				}
			}
		})
	}
}

// probedContext is a context that calls probe in Err. A backup calls Err before each write.
type probedContext struct {
	context.Context
	probe func()
}

func (w probedContext) Err() error {
	w.probe()
	return w.Context.Err()
}

// TestBackupHasNoName checks that the copy has no name while it is made.
func TestBackupHasNoName(t *testing.T) {
	path, _ := usedFile(t, 100)
	store, err := bolt.Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	probes := 0
	backup, err := store.Backup(probedContext{t.Context(), func() {
		probes++
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || runtime.GOOS != "windows" && len(entries) != 1 {
			t.Errorf("during the backup the folder has %v, %v", entries, err)
		}
	}})
	if err != nil || probes < 2 {
		t.Fatalf("the backup made %d writes, %v", probes, err)
	}
	if err := backup.Close(); err != nil {
		t.Error(err)
	}
}

// killedBackupVar is the environment variable that makes this binary kill itself during a backup of the named file.
const killedBackupVar = "NOTES_TEST_KILLED_BACKUP"

// TestKilledBackup checks that a process killed during a backup leaves no file behind.
func TestKilledBackup(t *testing.T) {
	if path := os.Getenv(killedBackupVar); path != "" {
		store, err := bolt.Open(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		probes := 0
		_, err = store.Backup(probedContext{t.Context(), func() {
			if probes++; probes == 2 { // after the first write
				self, err := os.FindProcess(os.Getpid())
				if err == nil {
					err = self.Kill()
				}
				t.Error(err)
				select {}
			}
		}})
		t.Fatal("the backup returned", err)
	}
	if runtime.GOOS == "windows" {
		storetest.Lacks(t, "open files without a name", errors.New("this is Windows"))
	}
	path, _ := usedFile(t, 100)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledBackup$", "-test.timeout", "5m")
	child.Env = append(os.Environ(), killedBackupVar+"="+path)
	out, err := child.CombinedOutput()
	if killed := (*exec.ExitError)(nil); !errors.As(err, &killed) || killed.Exited() {
		t.Fatalf("the process was not killed: %v, %s", err, out)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// TestOpenUnderALeftoversName checks that Open does not remove the notes file itself if it is named like a leftover.
func TestOpenUnderALeftoversName(t *testing.T) {
	for _, name := range []string{".notes-backup-77", ".notes.db.backup-123456"} {
		t.Run(name, func(t *testing.T) {
			made := fill(t, 3)
			path := filepath.Join(filepath.Dir(made), name)
			if err := os.Rename(made, path); err != nil {
				t.Fatal(err)
			}
			store, err := bolt.Open(path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
			if err := store.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLeftovers checks that Open removes the files that a killed process left, and no others.
func TestLeftovers(t *testing.T) {
	path := fill(t, 3)
	names := map[string]bool{ // whether the file stays
		".notes.db.backup-123456": false, ".notes.db.new-1": false, ".notes-backup-77": false,
		".other.db.backup-123456": true, ".notes.db.backup-1x": true, ".notes.db.backup": true,
		"notes.db.backup-1": true,
		".notes.db.old-1":   true, ".notes-backup-77.db": true,
	}
	for name := range names {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder := ".notes.db.backup-9"
	if err := os.Mkdir(filepath.Join(filepath.Dir(path), folder), 0o700); err != nil {
		t.Fatal(err)
	}
	names[folder] = true
	store, err := bolt.Open(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for name, stays := range names {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); (err == nil) != stays {
			t.Errorf("%s: %v; should it stay: %v", name, err, stays)
		}
	}
}
