package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/portable-notes/app"
)

// File holds the tokens in a file and reloads them when the file changes. It is safe for concurrent use.
//
// A valid file replaces all tokens: a token whose line is deleted is revoked. A file that is missing, unreadable or
// malformed is rejected, and the tokens stay as they were. Editors truncate a file before they write it, so a file
// without tokens revokes all of them only a second after it was written, or if the next check finds it unchanged.
type File struct {
	path     string
	log      *slog.Logger
	rejected func()
	tokens   atomic.Pointer[Tokens]

	mu      sync.Mutex  // held while a goroutine checks the file; the others do not wait for it
	checked time.Time   // when the last check ended
	last    content     // what the last check found
	empty   os.FileInfo // of a file without tokens that is to be checked again, or nil
}

// content is the result of reading the file. A change is detected by content, because a file can change without a new
// size or modification time.
type content struct {
	text string
	err  string // why the file could not be read, or ""
}

const (
	checkEvery = time.Second
	maxFile    = 1 << 20 // bytes
)

// Option is an option of [Open].
type Option func(*File)

// Rejected sets a function that is called once for each change of the file that is rejected after Open.
func Rejected(report func()) Option { return func(f *File) { f.rejected = report } }

// Open reads a file of tokens. It must be a regular file, or a symbolic link to one, of at most 1 MiB of UTF-8. Lines
// end with LF or CRLF, the last one too, because a file that is being written may end in the middle of a line. If the
// file has no token, Open logs a warning, and every token is refused.
func Open(path string, log *slog.Logger, options ...Option) (*File, error) {
	f := &File{path: path, log: log, rejected: func() {}}
	for _, option := range options {
		option(f)
	}
	text, _, err := read(path)
	if err != nil {
		return nil, err
	}
	tokens, err := parseFile(text)
	if err != nil {
		return nil, err
	}
	f.last.text = text
	f.set(context.Background(), tokens)
	return f, nil
}

// Caller implements app.Authenticate. It checks the file at most once a second and in one goroutine at a time; others
// use the current tokens meanwhile. Each rejected change is logged once.
func (f *File) Caller(ctx context.Context, token string) (app.Caller, error) {
	f.refresh(ctx)
	return f.tokens.Load().Caller(ctx, token)
}

// refresh checks the file if the last check was a second ago and no other goroutine is checking.
func (f *File) refresh(ctx context.Context) {
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	if time.Since(f.checked) >= checkEvery {
		f.check(ctx)
		f.checked = time.Now() // after the check, which may be slow, so that two checks are a second apart
	}
}

// check reads the file and sets its tokens if it has changed. The caller holds mu.
func (f *File) check(ctx context.Context) {
	text, info, err := read(f.path)
	found := content{text: text}
	if err != nil {
		found.err = err.Error()
	}
	if found == f.last && f.empty == nil {
		return
	}
	f.last = found
	var tokens *Tokens
	if err == nil {
		tokens, err = parseFile(text)
	}
	if err != nil {
		f.empty = nil
		f.rejected()
		f.log.ErrorContext(ctx, "the file of tokens was rejected; the tokens read before stay valid",
			"file", f.path, "error", err)
		return
	}
	if len(tokens.known) == 0 && time.Since(info.ModTime()) < checkEvery && !unchanged(f.empty, info) {
		f.empty = info
		return
	}
	f.empty = nil
	f.log.InfoContext(ctx, "the file of tokens was read again", "file", f.path, "tokens", len(tokens.known))
	f.set(ctx, tokens)
}

// set replaces the tokens.
func (f *File) set(ctx context.Context, tokens *Tokens) {
	f.tokens.Store(tokens)
	switch {
	case len(tokens.known) == 0:
		f.log.WarnContext(ctx, "the file of tokens names no token, so every request for notes is refused; "+
			"make a token with server token new OWNER", "file", f.path)
	case tokens.Expired():
		f.log.WarnContext(ctx, "every token of the file has expired, so every request for notes is refused; "+
			"make a token with server token new OWNER", "file", f.path)
	}
}

// unchanged reports whether before and now are the same file, not written to in between.
func unchanged(before, now os.FileInfo) bool {
	return before != nil && os.SameFile(before, now) && before.Size() == now.Size() &&
		before.ModTime().Equal(now.ModTime())
}

// parseFile parses the text of a file. It may be without a token.
func parseFile(text string) (*Tokens, error) {
	if strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark)) != "" && !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the last line has no line break, so the file may be incomplete: add a line break")
	}
	return parse(text, time.Now)
}

// ReadFile returns the text of a file of tokens. Its errors are those of [Open] for the file itself.
func ReadFile(path string) (string, error) {
	text, _, err := read(path)
	return text, err
}

// read returns the text of a file. It does not open anything but regular files: opening a FIFO may block, and opening a
// device may have side effects.
func read(path string) (string, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, irregular(path)
	}
	return readOpened(path)
}

// readOpened opens a file and reads it. It does not block if the file has been replaced by a FIFO since it was checked.
func readOpened(path string) (string, os.FileInfo, error) {
	// O_NONBLOCK has no effect on regular files and on systems without it.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // #nosec G304 -- the file that the operator names
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, irregular(path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return "", nil, err
	case len(text) > maxFile:
		return "", nil, fmt.Errorf("%s has more than 1 MiB: name a file that holds only tokens, one per line", path)
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "", nil, fmt.Errorf("%s is in UTF-16: save it as UTF-8", path)
	}
	return string(text), info, nil
}

func irregular(path string) error {
	return fmt.Errorf("%s is not a regular file: name a text file with one token per line, or a link to one", path)
}
