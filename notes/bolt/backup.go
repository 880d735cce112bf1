package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Backup is a copy of the file as it is at one moment: a notes file of its own, which -check and [Open] take. It lies
// beside the file, without a name where the system allows that, and is gone when it is closed. It is whole before it is
// returned, because while it is made a write for which the file has to grow waits, and everybody behind it; a reader
// who takes the copy away slowly keeps nobody waiting.
func (s *Store) Backup(ctx context.Context) (_ *Copy, err error) {
	dir, base := filepath.Split(s.path)
	backup, err := os.CreateTemp(dir, backupPrefix(base)+"*")
	if err != nil {
		return nil, fmt.Errorf("no room for a backup: %w", err)
	}
	made := &Copy{File: backup, named: os.Remove(backup.Name()) != nil}
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Close())
		}
	}()
	tx, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	defer s.done(tx)
	err = guard(func() error { _, err := tx.WriteTo(until{ctx, backup}); return err })
	if err == nil {
		_, err = backup.Seek(0, 0)
	}
	return made, err
}

// Copy is an open backup.
type Copy struct {
	*os.File
	named bool // the system did not let its name go while it is open
}

// Close removes the copy.
func (c *Copy) Close() error {
	err := c.File.Close()
	if c.named {
		err = errors.Join(err, os.Remove(c.Name()))
	}
	return err
}

// The names of files that are made beside a notes file. A process that is killed may leave them.
func backupPrefix(base string) string { return "." + base + ".backup-" }
func newPrefix(base string) string    { return "." + base + ".new-" }

const formerBackupPrefix = ".notes-backup-" // of releases before these names

// removeLeftovers removes what a killed process left beside the notes file, whose lock the caller holds.
func removeLeftovers(path string, log *slog.Logger) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return // as for a folder that may be passed through, but not be listed
	}
	for _, entry := range entries {
		// a copy may be opened under the name that it was left with
		if entry.Name() == base || !entry.Type().IsRegular() {
			continue
		}
		for _, prefix := range []string{backupPrefix(base), newPrefix(base), formerBackupPrefix} {
			if digits, ok := strings.CutPrefix(entry.Name(), prefix); !ok || strings.Trim(digits, "0123456789") != "" {
				continue
			}
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				log.Warn("a file that a former process left cannot be removed", "file", entry.Name(), "error", err)
			}
		}
	}
}

// until is a file that takes no more once a context has ended.
type until struct {
	context.Context
	*os.File
}

func (u until) Write(b []byte) (int, error) {
	if u.Err() != nil {
		return 0, context.Cause(u)
	}
	return u.File.Write(b)
}
