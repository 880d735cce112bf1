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

// File is the tokens of a file that is read again when it has changed. It is safe for use by many goroutines.
//
// A file that reads well replaces the tokens, so a token whose line is gone is revoked, the last one too. Editors
// truncate a file before they write it, so a file that names no token (nothing in it but white space and comments)
// counts only when a second look, at least a second later, finds it unchanged. A file that is missing, unreadable or
// malformed leaves the tokens as they were.
type File struct {
	path     string
	log      *slog.Logger
	rejected func()
	tokens   atomic.Pointer[Tokens]

	mu     sync.Mutex  // held by the goroutine that looks at the file; the others do not wait for it
	looked time.Time   // when the last look ended
	seen   sight       // what the last look found
	empty  os.FileInfo // of a file without tokens that waits for its second look, or nil
}

// sight is what a look at the file found. Contents are compared, because a file can change and keep its size and time.
type sight struct {
	text string
	err  string // why it could not be read, or ""
}

const (
	lookEvery = time.Second
	maxFile   = 1 << 20 // bytes
)

// Option changes how a [File] is opened.
type Option func(*File)

// Rejected has report called once for each change of the file that is rejected after the start.
func Rejected(report func()) Option { return func(f *File) { f.rejected = report } }

// Open reads a file of tokens. It must be a regular file, or a symbolic link to one, of at most 1 MiB of UTF-8. Its
// lines end with LF or CRLF. The last line must end too, because a file that is being written may hold only a part of
// it. A file that names no token is opened with a warning, and then every token is refused.
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
	f.seen.text = text
	f.take(context.Background(), tokens)
	return f, nil
}

// Caller implements app.Authenticate. It looks at the file at most once a second. One goroutine does so at a time; the
// others go on with the tokens that were read last. A file that is rejected is logged once for each change.
func (f *File) Caller(ctx context.Context, token string) (app.Caller, error) {
	f.refresh(ctx)
	return f.tokens.Load().Caller(ctx, token)
}

// refresh looks at the file if a second has passed since the last look and no other goroutine is looking.
func (f *File) refresh(ctx context.Context) {
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	if time.Since(f.looked) >= lookEvery {
		f.look(ctx)
		f.looked = time.Now() // after the read, which may be slow, so that two looks are a second apart
	}
}

// look reads the file and takes its tokens if it has changed. The caller holds mu.
func (f *File) look(ctx context.Context) {
	text, info, err := read(f.path)
	seen := sight{text: text}
	if err != nil {
		seen.err = err.Error()
	}
	if seen == f.seen && f.empty == nil {
		return
	}
	f.seen = seen
	var tokens *Tokens
	if err == nil {
		tokens, err = parseFile(text)
	}
	if err != nil {
		f.empty = nil
		f.rejected()
		f.log.ErrorContext(ctx, "the file of tokens was rejected; those that were read before stay valid",
			"file", f.path, "error", err)
		return
	}
	if len(tokens.known) == 0 && !unchanged(f.empty, info) {
		f.empty = info
		return
	}
	f.empty = nil
	f.log.InfoContext(ctx, "the file of tokens was read again", "file", f.path, "tokens", len(tokens.known))
	f.take(ctx, tokens)
}

// take replaces the tokens.
func (f *File) take(ctx context.Context, tokens *Tokens) {
	f.tokens.Store(tokens)
	if len(tokens.known) == 0 {
		f.log.WarnContext(ctx, "the file of tokens names no token, so every request for notes is refused; "+
			"server -new-token OWNER makes one", "file", f.path)
	}
}

// unchanged reports whether two looks found the same file, and nobody wrote to it in between.
func unchanged(before, now os.FileInfo) bool {
	return before != nil && os.SameFile(before, now) && before.Size() == now.Size() &&
		before.ModTime().Equal(now.ModTime())
}

// parseFile parses the text of a file, which may name no token.
func parseFile(text string) (*Tokens, error) {
	if strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark)) != "" && !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the file's last line does not end: it may be cut short; end it with a line break")
	}
	return parse(text, time.Now)
}

// read returns the text of a file. It refuses other than regular files before it opens them: to open a FIFO may block,
// and to open a device may do anything.
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

// readOpened opens a file that was a regular one a moment ago, and reads it. It does not block where that has changed.
func readOpened(path string) (string, os.FileInfo, error) {
	// O_NONBLOCK has no effect on regular files, nor on systems that lack it.
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
		return "", nil, fmt.Errorf("%s has more than 1 MiB: name a file that holds only tokens, one a line", path)
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "", nil, fmt.Errorf("%s is in UTF-16: save it as UTF-8", path)
	}
	return string(text), info, nil
}

func irregular(path string) error {
	return fmt.Errorf("%s is not a regular file: name a text file with one token a line, or a link to one", path)
}
