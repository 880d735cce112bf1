package token

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"example.com/portable-notes/app"
)

// File is tokens in a file that is read again when it has changed. It is safe for use by many goroutines.
type File struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	tokens *Tokens
	read   os.FileInfo // of the file that was looked at last; nil where there was none
	looked time.Time
}

// look is how often the file is looked at.
const look = time.Second

// Open reads a file of tokens. Its last line must end too: a file that is just being written has no more than a part of it.
func Open(path string, log *slog.Logger) (*File, error) {
	f := &File{path: path, log: log}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return f, f.take(info)
}

// take reads the file as it is now.
func (f *File) take(info os.FileInfo) error {
	f.read = info
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if len(text) > 0 && !strings.HasSuffix(string(text), "\n") {
		return errors.New("the file's last line does not end: it may be cut short; end it with a line break")
	}
	tokens, err := Parse(string(text), time.Now)
	if err != nil {
		return err
	}
	f.tokens = tokens
	return nil
}

// Caller implements app.Authenticate. A file that is gone, cannot be read, or holds a mistake leaves the tokens as they were,
// which is said once for each change.
func (f *File) Caller(ctx context.Context, token string) (app.Caller, error) {
	f.mu.Lock()
	if now := time.Now(); now.Sub(f.looked) >= look {
		f.looked = now
		f.reload(ctx)
	}
	tokens := f.tokens
	f.mu.Unlock()
	return tokens.Caller(ctx, token)
}

func (f *File) reload(ctx context.Context) {
	info, err := os.Stat(f.path)
	was := f.read
	switch {
	case err != nil && was == nil, err == nil && was != nil && os.SameFile(info, was) && info.ModTime().Equal(was.ModTime()) && info.Size() == was.Size():
		return
	case err != nil:
		f.read = nil
	default:
		err = f.take(info)
	}
	if err != nil {
		f.log.ErrorContext(ctx, "the file of tokens was rejected; those that were read before stay valid", "file", f.path, "error", err)
		return
	}
	f.log.InfoContext(ctx, "the file of tokens was read again", "file", f.path, "tokens", len(f.tokens.known))
}
