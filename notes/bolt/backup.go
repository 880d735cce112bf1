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

// Backup returns a copy of the file as of one commit. The copy is itself a notes file for -check and [Open]. It is in
// the same folder, without a name if the system allows that, and is removed when closed.
//
// Backup returns only when the copy is complete. Until then a write that has to grow the file waits, and all writes
// after it; so a slow reader of the copy blocks no writes.
func (s *Store) Backup(ctx context.Context) (_ *Copy, err error) {
	dir, base := filepath.Split(s.path)
	backup, err := os.CreateTemp(dir, backupPrefix(base)+"*")
	if err != nil {
		return nil, fmt.Errorf("create a file for the backup: %w", err)
	}
	made := &Copy{File: backup, hasName: os.Remove(backup.Name()) != nil}
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Close())
		}
	}()
	tx, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer s.end(tx)
	err = guard(func() error { _, err := tx.WriteTo(contextFile{ctx, backup}); return err })
	if err == nil {
		_, err = backup.Seek(0, 0)
	}
	return made, err
}

// Copy is an open backup.
type Copy struct {
	*os.File
	hasName bool // the system does not allow removing an open file
}

// Close closes and removes the copy.
func (c *Copy) Close() error {
	err := c.File.Close()
	if c.hasName {
		err = errors.Join(err, os.Remove(c.Name()))
	}
	return err
}

// The prefixes of temporary files in the folder of a notes file. A process that is killed may leave such files behind.
func backupPrefix(base string) string { return "." + base + ".backup-" }
func newPrefix(base string) string    { return "." + base + ".new-" }

const oldBackupPrefix = ".notes-backup-" // used by earlier releases

// removeLeftovers removes temporary files of killed processes. The caller holds the notes file's lock.
func removeLeftovers(path string, log *slog.Logger) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return // the process may lack the right to list the folder
	}
	for _, entry := range entries {
		// The notes file may itself have the name of a leftover.
		if entry.Name() == base || !entry.Type().IsRegular() {
			continue
		}
		for _, prefix := range []string{backupPrefix(base), newPrefix(base), oldBackupPrefix} {
			if digits, ok := strings.CutPrefix(entry.Name(), prefix); !ok || strings.Trim(digits, "0123456789") != "" {
				continue
			}
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				log.Warn("cannot remove a file left by an earlier process", "file", entry.Name(), "error", err)
			}
		}
	}
}

// contextFile is a file whose writes fail once the context has ended.
type contextFile struct {
	context.Context
	*os.File
}

func (u contextFile) Write(b []byte) (int, error) {
	if u.Err() != nil {
		return 0, context.Cause(u)
	}
	return u.File.Write(b)
}
