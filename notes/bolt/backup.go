package bolt

import (
	"context"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// Backup writes a copy of the file as it is at one moment, while reads and writes go on: a notes file of its own, which -check
// and [Open] take. It tells how many bytes the copy has before it writes the first, so that who receives it sees whether it
// came whole. What is written during the backup makes the file grow, because no page that the copy needs is used again before
// its end.
func (s *Store) Backup(ctx context.Context, w func(size int64) io.Writer) error {
	var tx *bbolt.Tx
	tx, err := s.snapshot()
	if err != nil {
		return err
	}
	defer done(tx)
	err = guard(func() error {
		_, err := tx.WriteTo(until{ctx, w(tx.Size())})
		return err
	})
	if err != nil {
		return fmt.Errorf("the backup is not whole: %w", err)
	}
	return nil
}

// until is a writer that fails once a context has ended.
type until struct {
	context.Context
	io.Writer
}

func (u until) Write(b []byte) (int, error) {
	if err := u.Err(); err != nil {
		return 0, context.Cause(u)
	}
	return u.Writer.Write(b)
}
