// Package bolt keeps notes in one local file, with go.etcd.io/bbolt.
//
// A write is answered after its fsync; writers that wait together share one (commit.go). Reads go on beside them and
// see the last commit. Every record carries a checksum over its key and value that each read compares (record.go).
// The file belongs to one process at a time; [Open] looks its structure through before bbolt maps it (open.go,
// inspect.go).
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
	keysBucket   = []byte("keys")           // owner, idempotency key -> once
	expiryBucket = []byte("expiry")         // expiry, key of keysBucket -> nothing
)

var (
	formatKey = []byte("format")
	countsKey = []byte("counts")
)

// Store is a [notes.Store] over one file. It is made by [Open].
type Store struct {
	db      *bbolt.DB
	file    *os.File // that db has open
	path    string   // absolute
	log     *slog.Logger
	queue   chan *write
	closing chan struct{} // closed by Close: no new writers
	closed  chan struct{} // closed when the queue has been served
	commits func(writers int)

	doubt    atomic.Pointer[error] // why no write is taken any more; nil while they are
	nameless atomic.Bool           // the file was not found under its path the last time

	begin sync.Mutex // held while a reader begins, see snapshot
	dying sync.Once
	died  chan struct{} // closed when bbolt cannot be used any more: doubt says why
}

var _ notes.Store = (*Store)(nil)

// Close serves the writers that wait, then closes the file and lets go of its lock. It is called once.
func (s *Store) Close() error {
	close(s.closing)
	select {
	case <-s.closed:
	case <-s.died:
	}
	select {
	case <-s.died:
		return s.file.Close() // bbolt would wait for a lock of its own that nobody releases
	default:
		return guard(s.db.Close)
	}
}

// Ready returns why the store takes no write, if it does not: after a doubt about the file only a restart helps, and a
// file that was moved away must come back. Reads go on, unless the file cannot be read at all.
func (s *Store) Ready(context.Context) error {
	if doubt := s.doubt.Load(); doubt != nil {
		return unavailable(*doubt)
	}
	return unavailable(s.named())
}

var errNameless = errors.New("the notes file was removed, renamed or replaced: put it back, or restart the server")

// named returns an error unless the open file is the one under its path: what is written to another is lost at the next
// start. Each change is logged.
func (s *Store) named() error {
	open, err := s.file.Stat()
	if err == nil {
		var under os.FileInfo
		if under, err = os.Stat(s.path); err == nil && os.SameFile(open, under) {
			if s.nameless.CompareAndSwap(true, false) {
				s.log.Info("the notes file is in its place again; writes go on", "file", s.path)
			}
			return nil
		}
	}
	err = errors.Join(errNameless, err)
	if s.nameless.CompareAndSwap(false, true) {
		s.log.Error("the notes file takes no writes", "file", s.path, "error", err)
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

// recall returns the note of the first call with an idempotency key, if this is not the first.
func (tx *txn) recall(owner string, note notes.Note, key *notes.IdempotencyKey) (first notes.Note, found bool,
	err error) {
	k := onceKey(owner, key.Value)
	value := tx.keys.Get(k)
	if value == nil {
		return notes.Note{}, false, nil
	}
	o, err := decodeOnce(k, value)
	switch {
	case err != nil || key.Now.After(o.Expires):
		return notes.Note{}, false, err
	case o.Request != key.Request:
		return notes.Note{}, false, notes.ErrKeyReused
	}
	// An equal request made an equal note.
	note.ID, note.CreatedAt, note.UpdatedAt = o.ID, o.Created, o.Created
	return note, true, nil
}

// remember keeps an idempotency key, and lets two others go that have expired, so that what is remembered stays
// bounded.
func (tx *txn) remember(owner string, note notes.Note, key *notes.IdempotencyKey) error {
	k := onceKey(owner, key.Value)
	if value := tx.keys.Get(k); value != nil { // expired, says recall
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
		if errors.Is(err, errDamaged) { // -check names the record; it must not stop who comes after it
			err = tx.remove(tx.expiry, index)
		}
		if err != nil {
			return err
		}
	}
	tx.counts.keys++
	o := notes.UsedKey{ID: note.ID, Created: note.CreatedAt, Request: key.Request, Expires: key.Expires}
	if err := tx.put(tx.keys, k, encodeOnce(k, o)); err != nil {
		return err
	}
	return tx.put(tx.expiry, expiryKey(key.Expires, k), nil)
}

// forget removes an idempotency key and its entry in the index.
func (tx *txn) forget(key, value []byte) error {
	o, err := decodeOnce(key, value)
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
	tx, err := s.snapshot()
	if err != nil {
		return notes.Note{}, err
	}
	defer s.done(tx)
	err = guard(func() (err error) {
		key := noteKey(owner, id)
		value := treeOf(s.db, tx, notesBucket).get(key)
		if value == nil {
			return notes.ErrNotFound
		}
		note, err = decodeNote(key, value)
		return err
	})
	return note, err
}

// snapshot begins to read the last commit. Who has one calls done with it.
//
// Where bbolt faults while it begins, because the pages that name the last commit are gone, it never releases the locks
// that it holds, and whoever needs them waits for ever. So one reader begins at a time, and after a fault nobody does.
func (s *Store) snapshot() (tx *bbolt.Tx, err error) {
	s.begin.Lock()
	defer s.begin.Unlock()
	if err := s.dead(); err != nil {
		return nil, err
	}
	err = guard(func() (err error) { tx, err = s.db.Begin(false); return err })
	if errors.Is(err, errFault) {
		s.die(err)
	}
	return tx, unavailable(err)
}

// done ends a snapshot. Where another reader begins at the same moment, that takes place beside: bbolt may have that
// reader wait for a writer, and the writer for the end of this one.
func (s *Store) done(tx *bbolt.Tx) {
	rollback := func() { _ = tx.Rollback() } // of a reader, it cannot fail
	if !s.begin.TryLock() {
		go rollback()
		return
	}
	defer s.begin.Unlock()
	if s.dead() == nil {
		rollback()
	}
}

// die ends all use of bbolt, which faulted while it held a lock.
func (s *Store) die(fault error) {
	s.dying.Do(func() {
		s.giveUp(fmt.Errorf("the notes file cannot be read; restore a copy and restart the server: %w", fault))
		close(s.died)
	})
}

// dead returns why bbolt cannot be used any more, if it cannot.
func (s *Store) dead() error {
	select {
	case <-s.died:
		return unavailable(*s.doubt.Load())
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

// current is the note that a change is about, if the condition allows the change.
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

// Newest implements [notes.Store]. The walk sees one moment. A damaged record is logged and left out: it must not hide
// the others.
func (s *Store) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		tx, err := s.snapshot()
		if err != nil {
			yield(notes.Note{}, err)
			return
		}
		defer s.done(tx)
		prefix := ownerPrefix(owner)
		above := noteKey(owner, before) // what comes must be below
		var at *cursor
		for range limit {
			var note notes.Note
			var end bool
			err := guard(func() error {
				for {
					if ctx.Err() != nil {
						return unavailable(context.Cause(ctx))
					}
					if at == nil {
						at = treeOf(s.db, tx, notesBucket).seek(above)
					}
					key, value := at.prev()
					if end = !bytes.HasPrefix(key, prefix); end {
						return nil
					}
					if bytes.Compare(key, above) >= 0 { // the walk could go over a part again, or without end
						return errDisorder
					}
					above = append(above[:0], key...)
					var err error
					if note, err = decodeNote(key, value); err == nil {
						return nil
					}
					s.log.Error("a note is left out of a list", "id", notes.ID(key[len(key)-16:]), "error", err)
				}
			})
			if end || !yield(note, err) || err != nil {
				return
			}
		}
	}
}
