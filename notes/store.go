package notes

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Store keeps notes. It does not validate them; [Service] does. Package storetest tests a store against this contract.
//
// Owner. Every note belongs to an owner, a string of 1 to 512 bytes of UTF-8. No call ever returns or changes a note or
// an idempotency key of another owner, even if one owner's name is a prefix of the other's.
//
// Consistency. A call that begins after another has returned sees its effect. Each call is atomic, except
// [Store.Newest], whose comment says what it guarantees. A write that returned without an error is durable.
//
// Fields. A store preserves every note that [Service] accepts: each byte of text, any Unicode in Content, and times in
// whole microseconds. Empty Tags come back empty or nil.
//
// Memory. A store retains none of its arguments and returns no memory that it retains: the caller may change both.
//
// Errors. Each method documents its own errors. In addition, every method returns ErrUnavailable if the store cannot be
// reached, is full or is overloaded, and if the context has ended; in that case it wraps the context's error too. A
// write that returns ErrUnavailable may have taken place, but never in part. A store never reports a failure as "not
// found".
type Store interface {
	// Create adds a note under its id. It returns ErrExists if the owner has a note with that id.
	//
	// With a non-nil key, at most one call creates a note for that owner and key until the first call's key.Expires,
	// which is compared with the key.Now of later calls. The first call stores the note and the key. A later call with
	// an equal Request stores nothing and returns the note as the first call created it, even if it has been changed or
	// deleted since; a call with another Request returns ErrKeyReused. Concurrent calls with one key behave as if made
	// one after the other. A failed call may be repeated with the same key until it succeeds; the result is exactly one
	// note. No call restores a deleted note.
	Create(ctx context.Context, owner string, note Note, key *IdempotencyKey) (Note, error)

	// Get returns a note, or ErrNotFound.
	Get(ctx context.Context, owner string, id ID) (Note, error)

	// Update applies the patch, sets UpdatedAt to at, adds 1 to the version and returns the result. It returns
	// ErrNotFound if there is no note, and a *PreconditionError with the unchanged note if the condition does not hold.
	Update(ctx context.Context, owner string, id ID, patch Patch, at time.Time, cond Condition) (Note, error)

	// Delete removes a note. At is the time of the call, for stores that compare it with the expiry of an idempotency
	// key, as Create does with key.Now. Errors are those of Update.
	Delete(ctx context.Context, owner string, id ID, at time.Time, cond Condition) error

	// Newest yields at most limit (1 or more) of the owner's notes whose ids are less than before, largest id first.
	// The loop's body must not call the store. The first error ends the walk.
	//
	// If deleted notes leave tombstones that a walk has to read, Newest yields these too, as notes that have only an ID
	// ([Note.Deleted]). Tombstones do not count towards the limit. After MaxTombstones of them the walk ends; the
	// caller may continue below the last one.
	//
	// A note that exists during the whole walk is yielded exactly once, in a state that it had during the walk. A note
	// that is created or deleted during the walk may be missing.
	Newest(ctx context.Context, owner string, before ID, limit int) iter.Seq2[Note, error]
}

// IdempotencyKey makes repeated calls of [Store.Create] create one note.
type IdempotencyKey struct {
	Value   string    // chosen by the client: 1 to 255 bytes of UTF-8
	Request [32]byte  // a hash of the note
	Now     time.Time // the time of the call; keys that expired before it may be forgotten
	Expires time.Time // the key is remembered at least until then
}

// Condition restricts a change to some versions of a note. The zero value allows every version.
type Condition struct {
	OneOf  []int64 // unless nil, the version must be one of these; an empty slice allows no version
	NoneOf []int64 // the version must be none of these
}

// Holds reports whether the condition allows a change to a note of that version.
func (c Condition) Holds(version int64) bool {
	return (c.OneOf == nil || slices.Contains(c.OneOf, version)) && !slices.Contains(c.NoneOf, version)
}
