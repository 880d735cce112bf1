package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup is a copy of the file as it is at one moment: a notes file of its own, which -check and [Open] take. It lies beside
// the file, without a name, and is gone when it is closed. It is whole before it is returned, because while it is made a write
// for which the file has to grow waits, and everybody behind it; a reader who takes the copy away slowly keeps nobody waiting.
func (s *Store) Backup(ctx context.Context) (_ *os.File, err error) {
	backup, err := os.CreateTemp(filepath.Dir(s.db.Path()), ".notes-backup-*")
	if err != nil {
		return nil, fmt.Errorf("no room for a backup: %w", err)
	}
	defer func() {
		if removed := os.Remove(backup.Name()); err == nil {
			err = removed
		}
		if err != nil {
			err = errors.Join(err, backup.Close())
		}
	}()
	tx, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	defer done(tx)
	err = guard(func() error { _, err := tx.WriteTo(until{ctx, backup}); return err })
	if err == nil {
		_, err = backup.Seek(0, 0)
	}
	return backup, err
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
