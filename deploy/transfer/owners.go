package transfer

import (
	"context"
	"errors"
	"iter"

	"example.com/portable-notes/notes"
)

// RenameOwners returns a source that gives the notes of some owners to others. Owners maps the old name to the new one.
// The idempotency keys of a renamed owner are left out, because the new owner may have used the same ones.
func RenameOwners(from Source, owners map[string]string) Source { return &renamed{from, owners} }

type renamed struct {
	Source
	owners map[string]string
}

// Get looks for the note with its owner, and then with each owner that was renamed to it.
func (r *renamed) Get(ctx context.Context, owner string, id notes.ID) (notes.Note, error) {
	n, err := notes.Note{}, error(notes.ErrNotFound)
	if r.owners[owner] == "" {
		n, err = r.Source.Get(ctx, owner, id)
	}
	for old, renamed := range r.owners {
		if errors.Is(err, notes.ErrNotFound) && renamed == owner {
			n, err = r.Source.Get(ctx, old, id)
		}
	}
	return n, err
}

func (r *renamed) Export(ctx context.Context) iter.Seq2[notes.Record, error] {
	return func(yield func(notes.Record, error) bool) {
		for record, err := range r.Source.Export(ctx) {
			if owner, ok := r.owners[record.Owner]; ok && err == nil {
				if record.Key != nil {
					continue
				}
				record.Owner = owner
			}
			if !yield(record, err) {
				return
			}
		}
	}
}
