// Package meter reports the calls made to a store.
package meter

import (
	"context"
	"errors"
	"iter"
	"time"

	"example.com/portable-notes/notes"
)

// Begin is called when an operation begins: create, get, update, delete or list. The operation uses the returned
// context. The returned function is called when it ends.
type Begin func(ctx context.Context, operation string) (context.Context, func(Outcome))

// Outcome is the result of a call.
type Outcome string

// The outcomes.
const (
	Fine        Outcome = "ok"          // success, or a refusal such as notes.ErrNotFound
	Unavailable Outcome = "unavailable" // notes.ErrUnavailable
	Failed      Outcome = "failed"      // any other error
)

// outcome returns the outcome of a call that returned err.
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

// Store is a [notes.Store] that reports its calls.
type Store struct {
	next  notes.Store
	begin Begin
}

var _ notes.Store = (*Store)(nil)

// New returns a store that passes calls on to next and reports them to begin.
func New(next notes.Store, begin Begin) *Store { return &Store{next, begin} }

// Ready calls the Ready method of the underlying store, if it has one.
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
