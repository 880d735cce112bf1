// Package bolt keeps notes in one local file, with go.etcd.io/bbolt.
//
// A write returns after its fsync; waiting writers share one (commit.go). Reads run concurrently with writes and see
// the last commit. Every record has a checksum over its key and value, which each read verifies (record.go). Only one
// process can open the file at a time. [Open] checks the file's structure before bbolt maps it (open.go, inspect.go).
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
)

// The file's buckets.
var (
	metaBucket   = []byte("portable-notes") // formatKey, countsKey
	notesBucket  = []byte("notes")          // owner, id -> note
	keysBucket   = []byte("keys")           // owner, idempotency key -> notes.UsedKey
	expiryBucket = []byte("expiry")         // expiry, key in keysBucket -> nothing
)

var (
	formatKey = []byte("format")
	countsKey = []byte("counts")
)

// Store is a [notes.Store] in one file. [Open] returns one.
type Store struct {
	db       *bbolt.DB
	file     *os.File // the file that db has open
	path     string   // absolute
	log      *slog.Logger
	queue    chan *write
	closing  chan struct{} // closed by Close: no new writers
	closed   chan struct{} // closed when the queue is empty
	onCommit func(writers int)

	writeErr  atomic.Pointer[error] // why writes have stopped for good; nil while they go on
	misplaced atomic.Bool           // the last checkPath failed

	beginMu  sync.Mutex // held while a read transaction begins, see begin
	failOnce sync.Once
	failed   chan struct{} // closed when bbolt has become unusable; writeErr says why

	shareMu sync.Mutex // guards shared, epoch and the users of snapshots
	shared  *snapshot  // of the last commit; nil if there is none, and while a commit is in progress
	epoch   int        // incremented when a commit begins, when it ends, and by Close; odd while none may be shared
}

var _ notes.Store = (*Store)(nil)

// Close completes the waiting writes, closes the file and releases its lock. Call it once.
func (s *Store) Close() error {
	close(s.closing)
	select {
	case <-s.closed:
	case <-s.failed:
	}
	s.nextEpoch() // db.Close waits until every snapshot has ended
	select {
	case <-s.failed:
		return s.file.Close() // db.Close would wait for a lock that bbolt never released
	default:
		return guard(s.db.Close)
	}
}

// Ready returns an error if the store accepts no writes. If a commit may be lost, only a restart helps; if the file was
// moved away, putting it back helps. Reads may still work.
func (s *Store) Ready(context.Context) error {
	if err := s.writeErr.Load(); err != nil {
		return unavailable(*err)
	}
	return unavailable(s.checkPath())
}

var errMisplaced = errors.New("the notes file was removed, renamed or replaced: put it back, or restart the server")

// checkPath returns an error if the path no longer leads to the open file: the next start would not find what is
// written to it. It logs each change of the result.
func (s *Store) checkPath() error {
	open, err := s.file.Stat()
	if err == nil {
		var under os.FileInfo
		if under, err = os.Stat(s.path); err == nil && os.SameFile(open, under) {
			if s.misplaced.CompareAndSwap(true, false) {
				s.log.Info("the notes file is back in place: writes resume", "file", s.path)
			}
			return nil
		}
	}
	err = errors.Join(errMisplaced, err)
	if s.misplaced.CompareAndSwap(false, true) {
		s.log.Error("the notes file accepts no writes", "file", s.path, "error", err)
	}
	return err
}

// Create implements [notes.Store].
func (s *Store) Create(ctx context.Context, owner string, note notes.Note, key *notes.IdempotencyKey) (notes.Note,
	error) {
	return s.submit(ctx, func(tx *txn) (notes.Note, error) {
		if key != nil {
			if first, found, err := tx.recall(owner, note, key); found || err != nil {
				return first, err
			}
		}
		nk := noteKey(owner, note.ID)
		if tx.notes.Get(nk) != nil {
			return notes.Note{}, notes.ErrExists
		}
		if key != nil {
			if err := tx.remember(owner, note, key); err != nil {
				return notes.Note{}, err
			}
		}
		tx.counts.notes++
		return note, tx.put(tx.notes, nk, encodeNote(nk, note))
	})
}

// recall returns the note that an earlier call with the idempotency key created, if there was one.
func (tx *txn) recall(owner string, note notes.Note, key *notes.IdempotencyKey) (first notes.Note, found bool,
	err error) {
	k := idempotencyKey(owner, key.Value)
	value := tx.keys.Get(k)
	if value == nil {
		return notes.Note{}, false, nil
	}
	o, err := decodeUsedKey(k, value)
	switch {
	case err != nil || key.Now.After(o.Expires):
		return notes.Note{}, false, err
	case o.Request != key.Request:
		return notes.Note{}, false, notes.ErrKeyReused
	}
	// Equal requests have equal notes, so only the id and the times differ.
	note.ID, note.CreatedAt, note.UpdatedAt = o.ID, o.Created, o.Created
	return note, true, nil
}

// remember stores an idempotency key. It also removes up to two expired ones, so that their number stays bounded.
func (tx *txn) remember(owner string, note notes.Note, key *notes.IdempotencyKey) error {
	k := idempotencyKey(owner, key.Value)
	if value := tx.keys.Get(k); value != nil { // recall found it expired
		if err := tx.forget(k, value); err != nil {
			return err
		}
	}
	cursor := tx.expiry.Cursor()
	for range 2 {
		index, _ := cursor.First()
		if index == nil || bytes.Compare(index, expiryKey(key.Now, nil)) >= 0 {
			break
		}
		index = bytes.Clone(index)
		err := tx.forget(index[8:], tx.keys.Get(index[8:]))
		if errors.Is(err, errDamaged) { // leave the record for -check to report, but do not try it again
			err = tx.remove(tx.expiry, index)
		}
		if err != nil {
			return err
		}
	}
	tx.counts.keys++
	o := notes.UsedKey{ID: note.ID, Created: note.CreatedAt, Request: key.Request, Expires: key.Expires}
	if err := tx.put(tx.keys, k, encodeUsedKey(k, o)); err != nil {
		return err
	}
	return tx.put(tx.expiry, expiryKey(key.Expires, k), nil)
}

// forget removes an idempotency key and its entry in the expiry index.
func (tx *txn) forget(key, value []byte) error {
	o, err := decodeUsedKey(key, value)
	if err != nil {
		return err
	}
	tx.counts.keys--
	if err := tx.remove(tx.keys, key); err != nil {
		return err
	}
	return tx.remove(tx.expiry, expiryKey(o.Expires, key))
}

// Get implements [notes.Store].
func (s *Store) Get(ctx context.Context, owner string, id notes.ID) (note notes.Note, err error) {
	if ctx.Err() != nil {
		return notes.Note{}, unavailable(context.Cause(ctx))
	}
	err = s.read(func(snap *snapshot) error {
		return guard(func() (err error) {
			key := noteKey(owner, id)
			value := snap.notes.get(key)
			if value == nil {
				return notes.ErrNotFound
			}
			note, err = decodeNote(key, value)
			return err
		})
	})
	return note, err
}

// fail ends all use of bbolt after it faulted while holding a lock.
func (s *Store) fail(fault error) {
	s.failOnce.Do(func() {
		s.stopWrites(fmt.Errorf("the notes file cannot be read; restore a copy and restart the server: %w", fault))
		close(s.failed)
	})
}

// failure returns why bbolt is unusable, or nil.
func (s *Store) failure() error {
	select {
	case <-s.failed:
		return unavailable(*s.writeErr.Load())
	default:
		return nil
	}
}

// Update implements [notes.Store].
func (s *Store) Update(ctx context.Context, owner string, id notes.ID, patch notes.Patch, at time.Time,
	cond notes.Condition) (notes.Note, error) {
	return s.submit(ctx, func(tx *txn) (notes.Note, error) {
		key, note, err := tx.current(owner, id, cond)
		if err != nil {
			return notes.Note{}, err
		}
		note = patch.Apply(note)
		note.Version++
		note.UpdatedAt = at
		return note, tx.put(tx.notes, key, encodeNote(key, note))
	})
}

// Delete implements [notes.Store].
func (s *Store) Delete(ctx context.Context, owner string, id notes.ID, _ time.Time, cond notes.Condition) error {
	_, err := s.submit(ctx, func(tx *txn) (notes.Note, error) {
		key, _, err := tx.current(owner, id, cond)
		if err != nil {
			return notes.Note{}, err
		}
		tx.counts.notes--
		return notes.Note{}, tx.remove(tx.notes, key)
	})
	return err
}

// current returns the note to change and its key, or an error if there is no note or the condition does not hold.
func (tx *txn) current(owner string, id notes.ID, cond notes.Condition) (key []byte, note notes.Note, err error) {
	key = noteKey(owner, id)
	value := tx.notes.Get(key)
	if value == nil {
		return nil, notes.Note{}, notes.ErrNotFound
	}
	note, err = decodeNote(key, value)
	if err == nil && !cond.Holds(note.Version) {
		err = &notes.PreconditionError{Current: note}
	}
	return key, note, err
}

// Newest implements [notes.Store]. The walk reads one snapshot. It logs and skips damaged records, so that they do not
// hide the others.
func (s *Store) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		err := s.read(func(snap *snapshot) error { return s.walk(ctx, snap, owner, before, limit, yield) })
		if err != nil {
			yield(notes.Note{}, err)
		}
	}
}

// walk yields the notes of Newest until yield returns false.
func (s *Store) walk(ctx context.Context, snap *snapshot, owner string, before notes.ID, limit int,
	yield func(notes.Note, error) bool) error {
	prefix := ownerPrefix(owner)
	above := noteKey(owner, before) // the next key must be less than this
	var cursor *treeCursor
	var copied copies
	for range limit {
		var note notes.Note
		var end bool
		err := guard(func() error {
			for {
				if ctx.Err() != nil {
					return unavailable(context.Cause(ctx))
				}
				if cursor == nil {
					cursor = snap.notes.seek(above)
				}
				key, value := cursor.prev()
				if end = !bytes.HasPrefix(key, prefix); end {
					return nil
				}
				if bytes.Compare(key, above) >= 0 { // else the walk could repeat notes, or never end
					return errDisorder
				}
				above = append(above[:0], key...)
				var err error
				if note, err = copied.decode(key, value); err == nil {
					return nil
				}
				s.log.Error("a damaged note is left out of a list", "id", notes.ID(key[len(key)-16:]), "error", err)
			}
		})
		if err != nil {
			return err
		}
		if end || !yield(note, nil) {
			return nil
		}
	}
	return nil
}
