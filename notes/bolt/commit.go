package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
)

// maxBatch is the maximum number of writers that share a transaction.
const maxBatch = 256

// write is one writer in the queue.
type write struct {
	ctx  context.Context
	do   func(*txn) (notes.Note, error) // may run more than once; only the last run counts
	done chan result                    // has room for one result, so that sending never blocks
}

type result struct {
	note notes.Note
	err  error
}

// txn is the shared transaction as one writer sees it.
type txn struct {
	notes, keys, expiry, meta *writeBucket
	counts                    counts
	dirty                     bool // the writer has changed something
}

func (tx *txn) put(b *writeBucket, key, value []byte) error {
	tx.dirty = true
	return b.Put(key, value)
}

func (tx *txn) remove(b *writeBucket, key []byte) error {
	tx.dirty = true
	return b.Delete(key)
}

// submit queues a writer and waits for its result, or until the context ends. In that case the writer is dropped if its
// turn has not come; otherwise it may or may not take effect.
func (s *Store) submit(ctx context.Context, do func(*txn) (notes.Note, error)) (notes.Note, error) {
	w := &write{ctx: ctx, do: do, done: make(chan result, 1)}
	if ctx.Err() != nil {
		return notes.Note{}, unavailable(context.Cause(ctx))
	}
	select {
	case s.queue <- w:
	case <-s.failed:
		return notes.Note{}, s.failure()
	case <-ctx.Done():
		return notes.Note{}, unavailable(context.Cause(ctx))
	case <-s.closing:
		return notes.Note{}, unavailable(errClosed)
	}
	select {
	case v := <-w.done:
		return v.note, v.err
	case <-ctx.Done():
	case <-s.closed:
	case <-s.failed:
	}
	select { // a result takes precedence over everything else
	case v := <-w.done:
		return v.note, v.err
	default:
	}
	if ctx.Err() != nil {
		return notes.Note{}, unavailable(context.Cause(ctx))
	}
	if err := s.failure(); err != nil {
		return notes.Note{}, err
	}
	return notes.Note{}, unavailable(errClosed)
}

// commitLoop serves the queue until the store closes. All writers that are waiting when a commit ends share the next
// one and its fsync. A single writer never waits for others to join.
func (s *Store) commitLoop() {
	defer close(s.closed)
	debug.SetPanicOnFault(true) // see guard
	for {
		var batch []*write
		select {
		case w := <-s.queue:
			batch = append(batch, w)
		case <-s.closing:
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case w := <-s.queue:
				batch = append(batch, w)
			default:
				more = false
			}
		}
		if len(batch) == 0 {
			return
		}
		s.commit(batch)
	}
}

// commit runs the writers one after the other in one transaction and sends their results when it is durable. Refusals
// wait too, because they may depend on an earlier writer in the same transaction.
func (s *Store) commit(batch []*write) {
	for len(batch) > 0 {
		results, failed, err := s.runBatch(batch)
		if failed >= 0 {
			// One writer failed after changing something, so the transaction was rolled back. Run the others again.
			batch[failed].done <- result{err: err}
			batch = append(batch[:failed:failed], batch[failed+1:]...)
			continue
		}
		for i, w := range batch {
			if err != nil {
				results[i] = result{err: err}
			}
			w.done <- results[i]
		}
		return
	}
}

// runBatch runs the batch once. If a writer fails after its first change, failed is its index and nothing is committed.
// Otherwise failed is -1, and a non-nil err applies to all writers.
func (s *Store) runBatch(batch []*write) (results []result, failed int, err error) {
	if err := s.Ready(context.Background()); err != nil {
		return make([]result, len(batch)), -1, err
	}
	s.nextEpoch()
	defer s.nextEpoch()
	results, failed = make([]result, len(batch)), -1
	var tx *bbolt.Tx
	var id int
	committed := false
	err = guard(func() (err error) {
		if tx, err = s.db.Begin(true); err != nil {
			return err
		}
		id = tx.ID()
		shared, err := newTxn(s.db, tx)
		if err != nil {
			return err
		}
		before := shared.counts
		changed := false
		for i, w := range batch {
			if w.ctx.Err() != nil {
				results[i].err = unavailable(context.Cause(w.ctx))
				continue
			}
			shared.dirty = false
			err := guard(func() (err error) { results[i].note, err = w.do(shared); return err })
			if err != nil && (shared.dirty || errors.Is(err, errFault)) {
				failed = i
				return fmt.Errorf("write: %w", err)
			}
			results[i].err = err
			changed = changed || shared.dirty
		}
		if !changed {
			return tx.Rollback() // the results depend on durable data only
		}
		if shared.counts != before {
			if err := shared.meta.Put(countsKey, encodeCounts(countsKey, shared.counts)); err != nil {
				return err
			}
		}
		committed = true
		return tx.Commit()
	})
	if err == nil && committed {
		s.onCommit(len(batch))
		return results, failed, unavailable(s.checkPath())
	}
	if err == nil || tx == nil {
		if errors.Is(err, errFault) && tx == nil { // bbolt still holds its lock for writers
			s.fail(err)
		}
		return results, failed, unavailable(err)
	}
	if rollback := guard(func() error { _ = tx.Rollback(); return nil }); rollback != nil {
		s.fail(fmt.Errorf("a failed write could not be undone: %w", rollback))
	} else if s.latest() >= id {
		// The commit is in the file, but perhaps not on the disk. If it got lost, so would every commit based on it.
		s.stopWrites(fmt.Errorf("a commit failed at its last step; restart the server: %w", err))
	}
	return results, failed, unavailable(err)
}

// stopWrites makes every later write fail.
func (s *Store) stopWrites(why error) {
	if !s.writeErr.CompareAndSwap(nil, &why) {
		return
	}
	s.log.Error("the notes file accepts no more writes", "error", why)
}

// latest returns the id of the newest transaction that readers see, or 0 if the file cannot be read.
func (s *Store) latest() int {
	tx, err := s.begin()
	if err != nil {
		return 0
	}
	defer s.end(tx)
	return tx.ID()
}

// newTxn returns the shared transaction over a write transaction of bbolt.
func newTxn(db *bbolt.DB, tx *bbolt.Tx) (*txn, error) {
	if pagesOf(db, tx).free == nil { // bbolt relies on the free list when it commits
		return nil, errFreelist
	}
	shared := &txn{
		notes: writeBucketOf(db, tx, notesBucket), keys: writeBucketOf(db, tx, keysBucket),
		expiry: writeBucketOf(db, tx, expiryBucket), meta: writeBucketOf(db, tx, metaBucket),
	}
	var err error
	shared.counts, err = decodeCounts(countsKey, shared.meta.Get(countsKey))
	return shared, err
}

var (
	errClosed = errors.New("the store is closed")
	errFault  = errors.New("the file cannot be read")

	errFreelist = fmt.Errorf("%w: its free list is damaged", errFault)
	errDisorder = fmt.Errorf("%w: its pages are out of order", errFault)
)

// unavailable wraps err in notes.ErrUnavailable. It returns nil for nil.
func unavailable(err error) error {
	if err == nil || errors.Is(err, notes.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", notes.ErrUnavailable, err)
}

// guard calls do and converts a panic into an error. bbolt maps its file into memory: if the file is damaged or
// truncated while it is open, bbolt panics or a memory access faults.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w, or its content has changed: %v", errFault, r)
		}
	}()
	return do()
}
