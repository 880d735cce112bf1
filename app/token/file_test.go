package token

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/portable-notes/notes/storetest"
)

// testFile is a File, its log, and the number of rejected changes.
type testFile struct {
	*File
	log      bytes.Buffer
	rejected int
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "tokens") }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func openFile(t *testing.T, path string) *testFile {
	t.Helper()
	f := &testFile{}
	file, err := Open(path, slog.New(slog.NewTextHandler(&f.log, nil)), Rejected(func() { f.rejected++ }))
	if err != nil {
		t.Fatal(err)
	}
	f.File = file
	return f
}

// is checks the owner of a token after the next check of the file; "" means that the token is refused.
func (f *testFile) is(t *testing.T, secret, owner string) {
	t.Helper()
	f.checked = time.Time{} // as if a second had passed
	caller, err := f.Caller(t.Context(), secret)
	if caller.Owner != owner || (err == nil) != (owner != "") {
		t.Errorf("the caller is %q, %v; want %q; the log has %s", caller.Owner, err, owner, &f.log)
	}
}

// rejects checks that the current file is rejected, that this is logged and counted once, and that a token stays valid.
func (f *testFile) rejects(t *testing.T, secret, owner, says string) {
	t.Helper()
	logged, counted := strings.Count(f.log.String(), "was rejected"), f.rejected
	for range 3 {
		f.is(t, secret, owner)
	}
	logged, counted = strings.Count(f.log.String(), "was rejected")-logged, f.rejected-counted
	if logged != 1 || counted != 1 || !strings.Contains(f.log.String(), says) {
		t.Errorf("logged %d times, counted %d times, want 1 and %s; the log has %s", logged, counted, says, &f.log)
	}
}

// TestFile: a changed file is reloaded; if it is rejected, the tokens stay as they were.
func TestFile(t *testing.T) {
	path := newPath(t)
	first, firstLine := newToken(t, "anna")
	second, secondLine := newToken(t, "ben")
	if _, err := Open(path, nil); err == nil {
		t.Error("a missing file is opened")
	}
	write(t, path, firstLine)
	if _, err := Open(path, nil); err == nil {
		t.Error("a last line without a line break is accepted")
	}
	write(t, path, firstLine+"\n")
	f := openFile(t, path)
	f.is(t, first, "anna")
	f.is(t, second, "")
	stays := func(says string) {
		t.Helper()
		f.rejects(t, first, "anna", says)
		f.is(t, second, "")
	}
	write(t, path, "nonsense\n")
	stays("token 1: must be OWNER")
	write(t, path, "nonsense\nand more\n")
	stays("token 2: must be OWNER")
	write(t, path, firstLine+"\n"+secondLine)
	stays("has no line break")
	write(t, path, "# gone")
	stays("has no line break")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	stays("no such file")
	storetest.Symlink(t, path+".target", path)
	f.is(t, first, "anna")
	write(t, path+".target", firstLine+"\n"+secondLine+"\n")
	f.is(t, second, "ben")
	f.is(t, first, "anna")
	if f.rejected != 5 {
		t.Errorf("rejected %d times", f.rejected)
	}
}

// TestSameSizeAndTime: a change is detected even if size and modification time stay the same.
func TestSameSizeAndTime(t *testing.T) {
	first, firstLine := newToken(t, "anna")
	second, secondLine := newToken(t, "ann")
	secondLine += " " // for the same length
	for _, c := range []struct {
		name        string
		before      string
		replacement func(path, text string) error
	}{
		{"another file", firstLine, func(path, text string) error {
			if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}},
		{"the same file", firstLine, func(path, text string) error {
			return os.WriteFile(path, []byte(text), 0o600)
		}},
		{"a repaired file", strings.Repeat("x", len(firstLine)), func(path, text string) error {
			return os.WriteFile(path, []byte(text), 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			at := time.Now().Add(-time.Minute)
			write(t, path, firstLine+"\n")
			f := openFile(t, path)
			write(t, path, c.before+"\n")
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			f.is(t, first, "anna")
			if err := c.replacement(path, secondLine+"\n"); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			f.is(t, first, "")
			f.is(t, second, "ann")
		})
	}
}

// withoutTokens are texts of files without a token.
var withoutTokens = []struct{ name, text string }{
	{"no bytes", ""},
	{"white space", " \t\n\r\n"},
	{"white space without a line break", "\n  "},
	{"comments", "# anna has left\n  # ben too\n"},
	{"comments with CRLF", "# anna has left\r\n"},
	{"commas", " , ,\n"},
	{"byte order mark", "\ufeff"},
}

// writeYoung writes a file that stays younger than a second, however slow the machine is.
func writeYoung(t *testing.T, path, text string) {
	t.Helper()
	write(t, path, text)
	at := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestRevokeLastToken: a file without tokens revokes all of them if it was written a second ago, or once the second
// check finds it unchanged.
func TestRevokeLastToken(t *testing.T) {
	secret, line := newToken(t, "anna")
	start := func(t *testing.T) (string, *testFile) {
		path := newPath(t)
		write(t, path, line+"\n")
		f := openFile(t, path)
		f.is(t, secret, "anna")
		return path, f
	}
	for _, c := range withoutTokens {
		t.Run(c.name, func(t *testing.T) {
			path, f := start(t)
			writeYoung(t, path, c.text)
			f.is(t, secret, "anna")
			for range 3 {
				f.is(t, secret, "")
			}
			if f.rejected != 0 || strings.Count(f.log.String(), "level=WARN") != 1 {
				t.Errorf("rejected %d times; the log has %s", f.rejected, &f.log)
			}
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
		})
	}
	t.Run("no second check within a second", func(t *testing.T) {
		path, f := start(t)
		writeYoung(t, path, "")
		f.is(t, secret, "anna")
		f.checked = time.Now().Add(time.Hour) // no check is due, however slow the machine
		if _, err := f.Caller(t.Context(), secret); err != nil {
			t.Error(err)
		}
		f.is(t, secret, "")
	})
	t.Run("written a second ago", func(t *testing.T) {
		path, f := start(t)
		write(t, path, "# all have left\n")
		at := time.Now().Add(-checkEvery)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		f.is(t, secret, "")
	})
	t.Run("written again in between", func(t *testing.T) {
		path, f := start(t)
		for i := range 3 {
			write(t, path, "")
			at := time.Now().Add(time.Hour + time.Duration(i)*time.Second)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			f.is(t, secret, "anna")
		}
		f.is(t, secret, "")
	})
	t.Run("replaced in between", func(t *testing.T) {
		path, f := start(t)
		writeYoung(t, path, "")
		f.is(t, secret, "anna")
		writeYoung(t, path+".new", "")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		f.is(t, secret, "anna")
		f.is(t, secret, "")
	})
	t.Run("an editor truncates first", func(t *testing.T) {
		path, f := start(t)
		for range 3 {
			writeYoung(t, path, "")
			f.is(t, secret, "anna")
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
		}
		if strings.Contains(f.log.String(), "level=WARN") || f.rejected != 0 {
			t.Errorf("the log has %s", &f.log)
		}
	})
	t.Run("an editor writes nonsense in between", func(t *testing.T) {
		path, f := start(t)
		writeYoung(t, path, "")
		f.is(t, secret, "anna")
		write(t, path, "nonsense\n")
		f.rejects(t, secret, "anna", "token 1: must be OWNER")
		writeYoung(t, path, "")
		f.is(t, secret, "anna")
		f.is(t, secret, "")
	})
	t.Run("control: a missing file revokes nothing", func(t *testing.T) {
		path, f := start(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		f.rejects(t, secret, "anna", "no such file")
	})
}

// TestStartWithoutTokens: Open accepts a file without tokens with a warning. All tokens are refused until the file has
// some.
func TestStartWithoutTokens(t *testing.T) {
	secret, line := newToken(t, "anna")
	for _, c := range withoutTokens {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			write(t, path, c.text)
			f := openFile(t, path)
			for range 3 {
				f.is(t, secret, "")
			}
			if n := strings.Count(f.log.String(), "level=WARN"); n != 1 || f.rejected != 0 {
				t.Errorf("the log has %s", &f.log)
			}
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
		})
	}
}

// unsuitable are files that cannot hold tokens.
var unsuitable = []struct {
	name, says string
	make       func(t *testing.T, path string) error
}{
	{"folder", "not a regular file: name a text file", func(_ *testing.T, path string) error {
		return os.Mkdir(path, 0o700)
	}},
	{"device", "not a regular file: name a text file", func(t *testing.T, path string) error {
		storetest.Symlink(t, os.DevNull, path)
		return nil
	}},
	{"socket", "not a regular file: name a text file", func(_ *testing.T, path string) error {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err == nil {
			listener.SetUnlinkOnClose(false)
			err = listener.Close()
		}
		return err
	}},
	{"FIFO", "not a regular file: name a text file", func(t *testing.T, path string) error {
		storetest.FIFO(t, path)
		return nil
	}},
	{"link to a FIFO", "not a regular file: name a text file", func(t *testing.T, path string) error {
		storetest.FIFO(t, path+".fifo")
		storetest.Symlink(t, path+".fifo", path)
		return nil
	}},
	{"a byte more than 1 MiB", "more than 1 MiB: name a file", func(_ *testing.T, path string) error {
		return os.WriteFile(path, bytes.Repeat([]byte("\n"), 1<<20+1), 0o600)
	}},
	{"1 GiB", "more than 1 MiB: name a file", func(_ *testing.T, path string) error {
		return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30))
	}},
	{"UTF-16", "is in UTF-16: save it as UTF-8", func(_ *testing.T, path string) error {
		return os.WriteFile(path, []byte("\xff\xfea\x00\n\x00"), 0o600)
	}},
	{"big-endian UTF-16", "is in UTF-16: save it as UTF-8", func(_ *testing.T, path string) error {
		return os.WriteFile(path, []byte("\xfe\xff\x00a\x00\n"), 0o600)
	}},
	{"UTF-16 without a token", "is in UTF-16: save it as UTF-8", func(_ *testing.T, path string) error {
		return os.WriteFile(path, []byte("\xff\xfe"), 0o600)
	}},
}

// TestUnsuitableFile: a file that cannot hold tokens is refused by Open and rejected later, without blocking and
// without reading all of a large file.
func TestUnsuitableFile(t *testing.T) {
	secret, line := newToken(t, "anna")
	for _, c := range unsuitable {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(tempDir(t), "tokens")
			write(t, path, line+"\n")
			f := openFile(t, path)
			f.is(t, secret, "anna")
			if err := errors.Join(os.Remove(path), c.make(t, path)); err != nil {
				t.Fatal(err)
			}
			before := allocated()
			if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Open: %v, want %s", err, c.says)
			}
			f.rejects(t, secret, "anna", c.says)
			if grown := (allocated() - before) >> 20; grown > 64 {
				t.Errorf("refusing it allocated %d MiB", grown)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
			if !strings.Contains(f.log.String(), "was read again") {
				t.Errorf("after the repair the log has %s", &f.log)
			}
		})
	}
}

// allocated returns the number of bytes allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// tempDir returns a temporary folder with a path short enough for a socket in it.
func tempDir(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// TestSwappedFile: a file that is replaced by a FIFO after it was checked does not block readOpened.
func TestSwappedFile(t *testing.T) {
	path := newPath(t)
	storetest.FIFO(t, path)
	if _, _, err := readOpened(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
}

// TestSuitableFile: symbolic links, CRLF, a byte order mark and a size of 1 MiB are accepted.
func TestSuitableFile(t *testing.T) {
	secret, line := newToken(t, "anna")
	line += "\n"
	for _, c := range []struct{ name, text string }{
		{"control", line},
		{"CRLF", "# tokens\r\n\r\n" + strings.TrimSpace(line) + "\r\n"},
		{"byte order mark", "\ufeff" + line},
		{"1 MiB", line + strings.Repeat("\n", 1<<20-len(line))},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			write(t, path, c.text)
			openFile(t, path).is(t, secret, "anna")
			storetest.Symlink(t, path, path+".link")
			openFile(t, path+".link").is(t, secret, "anna")
		})
	}
}

// TestCallersDoNotWait: while one goroutine checks the file, the others do not wait.
func TestCallersDoNotWait(t *testing.T) {
	secret, line := newToken(t, "anna")
	path := newPath(t)
	write(t, path, line+"\n")
	f := openFile(t, path)
	write(t, path, "# anna has left\n")
	f.mu.Lock() // like a check that reads from a slow disk
	done := make(chan error)
	go func() {
		_, err := f.Caller(context.Background(), secret)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a caller waits for the file")
	}
	f.mu.Unlock()
	f.is(t, secret, "anna")
	f.is(t, secret, "")
}

// TestManyCallers: tokens stay valid while the file changes (for -race).
func TestManyCallers(t *testing.T) {
	anna, annas := newToken(t, "anna")
	_, bens := newToken(t, "ben")
	path := newPath(t)
	write(t, path, annas+"\n")
	f := openFile(t, path)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if caller, err := f.Caller(context.Background(), anna); err != nil || caller.Owner != "anna" {
					t.Errorf("the caller is %q, %v", caller.Owner, err)
					return
				}
			}
		})
	}
	for i := range 100 {
		text := annas + "\n"
		if i%2 == 0 {
			text = bens + "\n" + text
		}
		write(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		f.checked = time.Time{}
		f.mu.Unlock()
		f.refresh(t.Context())
	}
	close(stop)
	callers.Wait()
	if f.rejected != 0 {
		t.Errorf("rejected %d times: %s", f.rejected, &f.log)
	}
}
