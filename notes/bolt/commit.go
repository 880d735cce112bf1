package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
)

// maxBatch is how many writers share one transaction.
const maxBatch = 256

// write is one writer in the queue.
type write struct {
	ctx  context.Context
	do   func(*txn) (notes.Note, error) // may run more than once; only the last run counts
	done chan verdict                   // holds one verdict, so that answering never waits for the asker
}

type verdict struct {
	note notes.Note
	err  error
}

// txn is the shared transaction as one writer sees it.
type txn struct {
	notes, keys, expiry, meta *bucket
	counts                    counts
	dirty                     bool // something was put
}

func (tx *txn) put(b *bucket, key, value []byte) error {
	tx.dirty = true
	return b.Put(key, value)
}

func (tx *txn) remove(b *bucket, key []byte) error {
	tx.dirty = true
	return b.Delete(key)
}

// submit queues a writer and waits for its verdict. A caller whose context ends stops to wait: a writer whose turn has
// not come is then dropped, of another the outcome is open.
func (s *Store) submit(ctx context.Context, do func(*txn) (notes.Note, error)) (notes.Note, error) {
	w := &write{ctx: ctx, do: do, done: make(chan verdict, 1)}
	if ctx.Err() != nil {
		return notes.Note{}, unavailable(context.Cause(ctx))
	}
	select {
	case s.queue <- w:
	case <-s.died:
		return notes.Note{}, s.dead()
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
	case <-s.died:
	}
	select { // a verdict that is there counts, whatever else happened
	case v := <-w.done:
		return v.note, v.err
	default:
	}
	if ctx.Err() != nil {
		return notes.Note{}, unavailable(context.Cause(ctx))
	}
	if err := s.dead(); err != nil {
		return notes.Note{}, err
	}
	return notes.Note{}, unavailable(errClosed)
}

// commitLoop serves the queue until the store closes: whoever waits when a commit ends shares the next one, so that one
// fsync serves all and a lone writer never waits for company.
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

// commit runs the writers one after the other in one transaction and answers them when it is durable. Refusals wait
// too: they may rest on what an earlier writer of the same transaction did.
func (s *Store) commit(batch []*write) {
	for len(batch) > 0 {
		verdicts, failed, err := s.try(batch)
		if failed >= 0 {
			// One writer broke down half-way. It goes with all that the transaction did; the others run again.
			batch[failed].done <- verdict{err: err}
			batch = append(batch[:failed:failed], batch[failed+1:]...)
			continue
		}
		for i, w := range batch {
			if err != nil {
				verdicts[i] = verdict{err: err}
			}
			w.done <- verdicts[i]
		}
		return
	}
}

// try runs the batch once. Where a writer failed after its first put, failed is its place and nothing is committed;
// else failed is -1, and err, if any, holds for all.
func (s *Store) try(batch []*write) (verdicts []verdict, failed int, err error) {
	if err := s.Ready(context.Background()); err != nil {
		return make([]verdict, len(batch)), -1, err
	}
	verdicts, failed = make([]verdict, len(batch)), -1
	var tx *bbolt.Tx
	var id int
	committed := false
	err = guard(func() (err error) {
		if tx, err = s.db.Begin(true); err != nil {
			return err
		}
		id = tx.ID()
		shared, err := begin(s.db, tx)
		if err != nil {
			return err
		}
		before := shared.counts
		changed := false
		for i, w := range batch {
			if w.ctx.Err() != nil {
				verdicts[i].err = unavailable(context.Cause(w.ctx))
				continue
			}
			shared.dirty = false
			err := guard(func() (err error) { verdicts[i].note, err = w.do(shared); return err })
			if err != nil && (shared.dirty || errors.Is(err, errFault)) {
				failed = i
				return fmt.Errorf("write: %w", err)
			}
			verdicts[i].err = err
			changed = changed || shared.dirty
		}
		if !changed {
			return tx.Rollback() // all that was judged is durable already
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
		s.commits(len(batch))
		return verdicts, failed, unavailable(s.named())
	}
	if err == nil || tx == nil {
		if errors.Is(err, errFault) && tx == nil { // it has the lock for writers still
			s.die(err)
		}
		return verdicts, failed, unavailable(err)
	}
	if rollback := guard(func() error { _ = tx.Rollback(); return nil }); rollback != nil {
		s.die(fmt.Errorf("a failed write could not be undone: %w", rollback))
	} else if s.latest() >= id {
		// The commit reached the file, but perhaps not the disk. To build on it could lose what is acknowledged later.
		s.giveUp(fmt.Errorf("a commit failed at its last step; restart the server: %w", err))
	}
	return verdicts, failed, unavailable(err)
}

// giveUp ends all writing.
func (s *Store) giveUp(why error) {
	if !s.doubt.CompareAndSwap(nil, &why) {
		return
	}
	s.log.Error("the notes file takes no more writes", "error", why)
}

// latest is the id of the newest transaction that readers see.
func (s *Store) latest() int {
	tx, err := s.snapshot()
	if err != nil {
		return 0
	}
	defer s.done(tx)
	return tx.ID()
}

func begin(db *bbolt.DB, tx *bbolt.Tx) (*txn, error) {
	if pagesOf(db, tx).free == nil { // bbolt will follow the free list when it commits
		return nil, errFreelist
	}
	shared := &txn{
		notes: bucketOf(db, tx, notesBucket), keys: bucketOf(db, tx, keysBucket),
		expiry: bucketOf(db, tx, expiryBucket), meta: bucketOf(db, tx, metaBucket),
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

// unavailable marks an error as one of the store's, not of the caller's. nil stays nil.
func unavailable(err error) error {
	if err == nil || errors.Is(err, notes.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", notes.ErrUnavailable, err)
}

// guard turns a panic below it into an error. bbolt reads its file as memory: where the file was damaged or cut while
// it is open, bbolt panics, or the processor faults.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w, or not as it was written: %v", errFault, r)
		}
	}()
	return do()
}
