// Package meter tells of the calls that a store is asked for.
package meter

import (
	"context"
	"errors"
	"iter"
	"time"

	"example.com/portable-notes/notes"
)

// Begin is told of a call as it begins: create, get, update, delete or list. The call goes on with the context that it
// returns, and ends with the function.
type Begin func(ctx context.Context, operation string) (context.Context, func(Outcome))

// Outcome is how a call ended.
type Outcome string

// The outcomes. A refusal, such as notes.ErrNotFound, is what the store is for: it is fine.
const (
	Fine        Outcome = "ok"
	Unavailable Outcome = "unavailable" // notes.ErrUnavailable
	Failed      Outcome = "failed"      // all else: a fault of ours
)

// outcome judges an error.
func outcome(err error) Outcome {
	var refused *notes.PreconditionError
	switch {
	case err == nil, errors.Is(err, notes.ErrNotFound), errors.Is(err, notes.ErrExists), errors.Is(err,
		notes.ErrKeyReused), errors.As(err, &refused):
		return Fine
	case errors.Is(err, notes.ErrUnavailable):
		return Unavailable
	}
	return Failed
}

// Store is a [notes.Store] that tells of its calls.
type Store struct {
	next  notes.Store
	begin Begin
}

var _ notes.Store = (*Store)(nil)

// New returns a store that does what another does, and tells of it.
func New(next notes.Store, begin Begin) *Store { return &Store{next, begin} }

// Ready asks the store below, if that has more to say than a read tells.
func (s *Store) Ready(ctx context.Context) error {
	if store, ok := s.next.(interface{ Ready(context.Context) error }); ok {
		return store.Ready(ctx)
	}
	return nil
}

// Create implements [notes.Store].
func (s *Store) Create(ctx context.Context, owner string, note notes.Note,
	key *notes.IdempotencyKey) (made notes.Note, err error) {
	ctx, end := s.begin(ctx, "create")
	defer func() { end(outcome(err)) }()
	return s.next.Create(ctx, owner, note, key)
}

// Get implements [notes.Store].
func (s *Store) Get(ctx context.Context, owner string, id notes.ID) (note notes.Note, err error) {
	ctx, end := s.begin(ctx, "get")
	defer func() { end(outcome(err)) }()
	return s.next.Get(ctx, owner, id)
}

// Update implements [notes.Store].
func (s *Store) Update(ctx context.Context, owner string, id notes.ID, patch notes.Patch, at time.Time,
	cond notes.Condition) (note notes.Note, err error) {
	ctx, end := s.begin(ctx, "update")
	defer func() { end(outcome(err)) }()
	return s.next.Update(ctx, owner, id, patch, at, cond)
}

// Delete implements [notes.Store].
func (s *Store) Delete(ctx context.Context, owner string, id notes.ID, at time.Time, cond notes.Condition) (err error) {
	ctx, end := s.begin(ctx, "delete")
	defer func() { end(outcome(err)) }()
	return s.next.Delete(ctx, owner, id, at, cond)
}

// Newest implements [notes.Store].
func (s *Store) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		ctx, end := s.begin(ctx, "list")
		var failure error
		defer func() { end(outcome(failure)) }()
		for note, err := range s.next.Newest(ctx, owner, before, limit) {
			if err != nil {
				failure = err
			}
			if !yield(note, err) {
				return
			}
		}
	}
}
