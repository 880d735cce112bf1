package token

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"example.com/portable-notes/app"
)

// File is tokens in a file that is read again when it has changed. It is safe for use by many goroutines.
type File struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	tokens  *Tokens
	changed time.Time // of the file that was read
	size    int64
	looked  time.Time
}

// look is how often the file is looked at.
const look = time.Second

// Open reads a file of tokens.
func Open(path string, log *slog.Logger) (*File, error) {
	f := &File{path: path, log: log}
	return f, f.read()
}

func (f *File) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	f.changed, f.size = info.ModTime(), info.Size()
	tokens, err := Parse(string(text), time.Now)
	if err != nil {
		return err
	}
	f.tokens = tokens
	return nil
}

// Caller implements app.Authenticate. A file that cannot be read, or holds a mistake, leaves the tokens as they were, and
// is said once for each change.
func (f *File) Caller(ctx context.Context, token string) (app.Caller, error) {
	f.mu.Lock()
	if now := time.Now(); now.Sub(f.looked) >= look {
		f.looked = now
		if info, err := os.Stat(f.path); err == nil && (!info.ModTime().Equal(f.changed) || info.Size() != f.size) {
			if err := f.read(); err != nil {
				f.log.ErrorContext(ctx, "the file of tokens has changed, and is not taken", "error", err)
			} else {
				f.log.InfoContext(ctx, "the file of tokens has changed", "tokens", len(f.tokens.known))
			}
		}
	}
	tokens := f.tokens
	f.mu.Unlock()
	return tokens.Caller(ctx, token)
}
