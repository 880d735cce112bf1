package bolt

import (
	"errors"

	"go.etcd.io/bbolt"
)

// snapshot is the state of the notes after a commit. Reads share it while no commit is in progress, since to begin a
// transaction takes half of the time of a read, and a lock that all readers need.
//
// A commit begins without a shared snapshot, and until it ends each read begins a transaction of its own: bbolt may
// block a writer until all readers have ended, and readers that begin after it until it has ended.
type snapshot struct {
	tx    *bbolt.Tx
	notes tree
	users int // readers, and the store while it shares the snapshot; guarded by Store.shareMu
}

// share returns a snapshot of the last commit. The caller must pass it to leave.
func (s *Store) share() (*snapshot, error) {
	s.shareMu.Lock()
	epoch := s.epoch
	if snap := s.shared; snap != nil {
		snap.users++
		s.shareMu.Unlock()
		return snap, nil
	}
	s.shareMu.Unlock()

	tx, err := s.begin()
	if err != nil {
		return nil, err
	}
	snap := &snapshot{tx: tx, users: 1}
	if err := guard(func() error { snap.notes = treeOf(s.db, tx, notesBucket); return nil }); err != nil {
		s.end(tx)
		return nil, err
	}
	s.shareMu.Lock()
	defer s.shareMu.Unlock()
	if s.shared == nil && s.epoch == epoch && epoch%2 == 0 {
		s.shared = snap
		snap.users++
	}
	return snap, nil
}

// leave ends a reader's use of a snapshot.
func (s *Store) leave(snap *snapshot) {
	s.shareMu.Lock()
	snap.users--
	last := snap.users == 0
	s.shareMu.Unlock()
	if last {
		s.end(snap.tx)
	}
}

// unshare stops sharing the present snapshot.
func (s *Store) unshare() {
	s.shareMu.Lock()
	snap := s.shared
	s.shared = nil
	s.shareMu.Unlock()
	if snap != nil {
		s.leave(snap)
	}
}

// nextEpoch is called when a commit begins and when it ends.
func (s *Store) nextEpoch() {
	s.shareMu.Lock()
	s.epoch++
	s.shareMu.Unlock()
	s.unshare()
}

// read calls guard. After a fault, the next reader begins a new transaction, which finds out whether bbolt is usable.
func (s *Store) read(do func() error) error {
	err := guard(do)
	if errors.Is(err, errFault) {
		s.unshare()
	}
	return err
}

// begin begins a read transaction on the last commit. The caller must pass it to end.
//
// If bbolt faults while it begins one, because the meta pages are gone, it never releases its locks, and every later
// call that needs them blocks forever. So only one read transaction begins at a time, and none after a fault.
func (s *Store) begin() (tx *bbolt.Tx, err error) {
	s.beginMu.Lock()
	defer s.beginMu.Unlock()
	if err := s.failure(); err != nil {
		return nil, err
	}
	err = guard(func() (err error) { tx, err = s.db.Begin(false); return err })
	if errors.Is(err, errFault) {
		s.fail(err)
	}
	return tx, unavailable(err)
}

// end ends a read transaction. If another one is beginning, it does so in the background: bbolt may block the beginning
// one until a writer finishes, and that writer until this one ends.
func (s *Store) end(tx *bbolt.Tx) {
	if !s.beginMu.TryLock() {
		go tx.Rollback() // cannot fail in a read transaction
		return
	}
	defer s.beginMu.Unlock()
	if s.failure() == nil {
		_ = tx.Rollback()
	}
}
