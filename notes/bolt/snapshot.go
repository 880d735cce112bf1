package bolt

import (
	"errors"

	"go.etcd.io/bbolt"
)

// snapshot is the state of the notes after a commit. Reads share it while no commit is in progress: beginning a
// transaction takes half the time of a read, and all readers contend for its lock.
//
// During a commit no snapshot is shared, and each read begins a transaction of its own. To grow the file, bbolt waits
// until all read transactions have ended, and a snapshot that stayed shared would never end.
type snapshot struct {
	tx    *bbolt.Tx
	notes tree
	users int // readers, and the store while it shares the snapshot; guarded by Store.shareMu
}

// read calls do with a snapshot of the last commit. It fails once bbolt has become unusable. After a fault it begins a
// transaction to find out whether that is so; if it is, read returns that error, which is lasting.
func (s *Store) read(do func(*snapshot) error) error {
	snap, err := s.share()
	if err != nil {
		return err
	}
	err = func() error { defer s.leave(snap); return do(snap) }()
	if !errors.Is(err, errFault) {
		return err
	}
	s.unshare()
	tx, beginErr := s.begin()
	if beginErr != nil {
		return beginErr
	}
	s.end(tx)
	return err
}

// share returns a snapshot of the last commit. The caller must pass it to leave.
func (s *Store) share() (*snapshot, error) {
	if err := s.failure(); err != nil {
		return nil, err
	}
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

// nextEpoch increments the epoch and stops sharing the present snapshot. It is called when a commit begins, when it
// ends, and once by Close, which leaves the epoch odd.
func (s *Store) nextEpoch() {
	s.shareMu.Lock()
	s.epoch++
	s.shareMu.Unlock()
	s.unshare()
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
