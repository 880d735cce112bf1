//go:build unix

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
	"syscall"
	"testing"
	"time"
)

// watched is a File, what it has logged, and how often it was rejected.
type watched struct {
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

// watch opens a file.
func watch(t *testing.T, path string) *watched {
	t.Helper()
	w := &watched{}
	f, err := Open(path, slog.New(slog.NewTextHandler(&w.log, nil)), Rejected(func() { w.rejected++ }))
	if err != nil {
		t.Fatal(err)
	}
	w.File = f
	return w
}

// is checks whose a token is at the next look, or with "" that it is refused.
func (w *watched) is(t *testing.T, secret, owner string) {
	t.Helper()
	w.looked = time.Time{} // as if a second had passed
	caller, err := w.Caller(t.Context(), secret)
	if caller.Owner != owner || (err == nil) != (owner != "") {
		t.Errorf("the caller is %q, %v; want %q; the log says %s", caller.Owner, err, owner, &w.log)
	}
}

// rejects checks that the file as it is now is rejected, that this is said once, and that a token stays valid.
func (w *watched) rejects(t *testing.T, secret, owner, says string) {
	t.Helper()
	logged, counted := strings.Count(w.log.String(), "was rejected"), w.rejected
	for range 3 {
		w.is(t, secret, owner)
	}
	logged, counted = strings.Count(w.log.String(), "was rejected")-logged, w.rejected-counted
	if logged != 1 || counted != 1 || !strings.Contains(w.log.String(), says) {
		t.Errorf("logged %d times, counted %d times, want 1 and %s; the log says %s", logged, counted, says, &w.log)
	}
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

// TestFile: a file that changes is read again; one that is wrong then leaves the tokens as they were.
func TestFile(t *testing.T) {
	path := newPath(t)
	first, firstLine := newToken(t, "anna")
	second, secondLine := newToken(t, "ben")
	if _, err := Open(path, nil); err == nil {
		t.Error("a file that is not there is opened")
	}
	write(t, path, firstLine)
	if _, err := Open(path, nil); err == nil {
		t.Error("a line that does not end is taken")
	}
	write(t, path, firstLine+"\n")
	f := watch(t, path)
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
	stays("does not end")
	write(t, path, "# gone")
	stays("does not end")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	stays("no such file")
	if err := os.Symlink(path+".target", path); err != nil {
		t.Fatal(err)
	}
	f.is(t, first, "anna")
	write(t, path+".target", firstLine+"\n"+secondLine+"\n")
	f.is(t, second, "ben")
	f.is(t, first, "anna")
	if f.rejected != 5 {
		t.Errorf("rejected %d times", f.rejected)
	}
}

// TestFileOfTheSameSizeAndTime: what a file says counts, not when it was written.
func TestFileOfTheSameSizeAndTime(t *testing.T) {
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
		{"a mended file", strings.Repeat("x", len(firstLine)), func(path, text string) error {
			return os.WriteFile(path, []byte(text), 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			at := time.Now().Add(-time.Minute)
			write(t, path, firstLine+"\n")
			f := watch(t, path)
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

// none are texts of files that name no token.
var none = []struct{ name, text string }{
	{"no bytes", ""},
	{"white space", " \t\n\r\n"},
	{"white space that does not end", "\n  "},
	{"comments", "# anna has left\n  # ben too\n"},
	{"comments with CRLF", "# anna has left\r\n"},
	{"commas", " , ,\n"},
	{"byte order mark", "\ufeff"},
}

// TestRevokeLastToken: a file that names no token revokes all of them, once it stays so.
func TestRevokeLastToken(t *testing.T) {
	secret, line := newToken(t, "anna")
	start := func(t *testing.T) (string, *watched) {
		path := newPath(t)
		write(t, path, line+"\n")
		f := watch(t, path)
		f.is(t, secret, "anna")
		return path, f
	}
	for _, c := range none {
		t.Run(c.name, func(t *testing.T) {
			path, f := start(t)
			write(t, path, c.text)
			f.is(t, secret, "anna")
			for range 3 {
				f.is(t, secret, "")
			}
			if f.rejected != 0 || strings.Count(f.log.String(), "level=WARN") != 1 {
				t.Errorf("rejected %d times; the log says %s", f.rejected, &f.log)
			}
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
		})
	}
	t.Run("a second look too early", func(t *testing.T) {
		path, f := start(t)
		write(t, path, "")
		f.is(t, secret, "anna")
		f.looked = time.Now().Add(time.Hour) // so that no second passes, however slow the machine
		if _, err := f.Caller(t.Context(), secret); err != nil {
			t.Error(err)
		}
		f.is(t, secret, "")
	})
	t.Run("written again in between", func(t *testing.T) {
		path, f := start(t)
		for i := range 3 {
			write(t, path, "")
			at := time.Now().Add(time.Duration(i-10) * time.Second)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			f.is(t, secret, "anna")
		}
		f.is(t, secret, "")
	})
	t.Run("replaced in between", func(t *testing.T) {
		path, f := start(t)
		write(t, path, "")
		f.is(t, secret, "anna")
		write(t, path+".new", "")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		f.is(t, secret, "anna")
		f.is(t, secret, "")
	})
	t.Run("an editor truncates first", func(t *testing.T) {
		path, f := start(t)
		for range 3 {
			write(t, path, "")
			f.is(t, secret, "anna")
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
		}
		if strings.Contains(f.log.String(), "level=WARN") || f.rejected != 0 {
			t.Errorf("the log says %s", &f.log)
		}
	})
	t.Run("an editor writes nonsense in between", func(t *testing.T) {
		path, f := start(t)
		write(t, path, "")
		f.is(t, secret, "anna")
		write(t, path, "nonsense\n")
		f.rejects(t, secret, "anna", "token 1: must be OWNER")
		write(t, path, "")
		f.is(t, secret, "anna")
		f.is(t, secret, "")
	})
	t.Run("control: a file that is gone revokes nothing", func(t *testing.T) {
		path, f := start(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		f.rejects(t, secret, "anna", "no such file")
	})
}

// TestStartWithoutTokens: a start with no tokens warns and refuses everybody, until there are some.
func TestStartWithoutTokens(t *testing.T) {
	secret, line := newToken(t, "anna")
	for _, c := range none {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t)
			write(t, path, c.text)
			f := watch(t, path)
			for range 3 {
				f.is(t, secret, "")
			}
			if n := strings.Count(f.log.String(), "level=WARN"); n != 1 || f.rejected != 0 {
				t.Errorf("the log says %s", &f.log)
			}
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
		})
	}
}

// unfit are files that hold no text of tokens. Each is made at a path.
var unfit = []struct {
	name, says string
	make       func(path string) error
}{
	{"folder", "not a regular file: name a text file", func(path string) error { return os.Mkdir(path, 0o700) }},
	{"device", "not a regular file: name a text file", func(path string) error { return os.Symlink(os.DevNull, path) }},
	{"socket", "not a regular file: name a text file", func(path string) error {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err == nil {
			listener.SetUnlinkOnClose(false)
			err = listener.Close()
		}
		return err
	}},
	{"FIFO", "not a regular file: name a text file", mkfifo},
	{"link to a FIFO", "not a regular file: name a text file", func(path string) error {
		return errors.Join(mkfifo(path+".fifo"), os.Symlink(path+".fifo", path))
	}},
	{"a byte more than 1 MiB", "more than 1 MiB: name a file", func(path string) error {
		return os.WriteFile(path, bytes.Repeat([]byte("\n"), 1<<20+1), 0o600)
	}},
	{"1 GiB", "more than 1 MiB: name a file", func(path string) error {
		return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30))
	}},
	{"UTF-16", "is in UTF-16: save it as UTF-8", func(path string) error {
		return os.WriteFile(path, []byte("\xff\xfea\x00\n\x00"), 0o600)
	}},
	{"big-endian UTF-16", "is in UTF-16: save it as UTF-8", func(path string) error {
		return os.WriteFile(path, []byte("\xfe\xff\x00a\x00\n"), 0o600)
	}},
	{"UTF-16 without a token", "is in UTF-16: save it as UTF-8", func(path string) error {
		return os.WriteFile(path, []byte("\xff\xfe"), 0o600)
	}},
}

// TestUnfitFile: a file that holds no text of tokens is refused at the start, and later leaves the tokens as they were.
// Nobody waits for it, and it is not read whole.
func TestUnfitFile(t *testing.T) {
	secret, line := newToken(t, "anna")
	for _, c := range unfit {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(tempDir(t), "tokens")
			write(t, path, line+"\n")
			f := watch(t, path)
			f.is(t, secret, "anna")
			if err := errors.Join(os.Remove(path), c.make(path)); err != nil {
				t.Fatal(err)
			}
			before := allocated()
			if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("at the start: %v, want %s", err, c.says)
			}
			f.rejects(t, secret, "anna", c.says)
			if grown := (allocated() - before) >> 20; grown > 64 {
				t.Errorf("to refuse it took %d MiB", grown)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, line+"\n")
			f.is(t, secret, "anna")
			if !strings.Contains(f.log.String(), "was read again") {
				t.Errorf("after it was mended the log says %s", &f.log)
			}
		})
	}
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// tempDir returns a temporary folder with a name that is short enough for a socket in it.
func tempDir(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// TestSwappedFile: a file that becomes a FIFO between the look at it and its opening is not waited for.
func TestSwappedFile(t *testing.T) {
	path := newPath(t)
	if err := mkfifo(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readOpened(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
}

// TestFitFile: links, CRLF, a byte order mark and a whole MiB are taken.
func TestFitFile(t *testing.T) {
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
			watch(t, path).is(t, secret, "anna")
			if err := os.Symlink(path, path+".link"); err != nil {
				t.Fatal(err)
			}
			watch(t, path+".link").is(t, secret, "anna")
		})
	}
}

// TestNobodyWaitsForTheFile: while one goroutine looks at the file, the others go on.
func TestNobodyWaitsForTheFile(t *testing.T) {
	secret, line := newToken(t, "anna")
	path := newPath(t)
	write(t, path, line+"\n")
	f := watch(t, path)
	write(t, path, "# anna has left\n")
	f.mu.Lock() // as who reads from a slow disk
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

// TestManyCallers: callers are known throughout, however often the file changes (for -race).
func TestManyCallers(t *testing.T) {
	anna, annas := newToken(t, "anna")
	_, bens := newToken(t, "ben")
	path := newPath(t)
	write(t, path, annas+"\n")
	f := watch(t, path)
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
		f.looked = time.Time{}
		f.mu.Unlock()
		f.refresh(t.Context())
	}
	close(stop)
	callers.Wait()
	if f.rejected != 0 {
		t.Errorf("rejected %d times: %s", f.rejected, &f.log)
	}
}
