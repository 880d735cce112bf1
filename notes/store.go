package notes

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Store keeps notes. It knows no rule about what a note may say; [Service] does. Package storetest holds a store to
// this contract.
//
// Owner. Every note belongs to an owner, a string of 1 to 512 bytes of UTF-8. No call ever returns or touches a note
// or an idempotency key of another owner, whatever the names: one may be the prefix of another.
//
// Consistency. A call that begins after another has returned sees what that one did. Each call takes place at one
// moment, all of it or nothing; [Store.Newest], a walk, is the exception and says what it promises. What was answered
// without an error is durable.
//
// Fields. A store keeps every note that [Service] lets through, byte for byte: any Unicode in Content, and times of
// whole microseconds. An empty Tags comes back empty or nil.
//
// Ownership. A store keeps nothing that it was given and returns nothing that it keeps: both sides may change what they
// hold.
//
// Errors. Each method names those that it returns on purpose. Besides these every method returns ErrUnavailable where
// the store cannot be reached, is full or overloaded, or the context ended (then the context's error is wrapped too),
// and for a write leaves open whether it took place; it is never half done. A store never takes a failure for "not
// found".
type Store interface {
	// Create adds a note under its id. ErrExists where the owner has a note of that id.
	//
	// With a key that is not nil, Create happens at most once for that owner and key until the first call's
	// key.Expires, which is judged against the key.Now of later calls: the first call keeps the note and remembers the
	// key; each later one with an equal Request adds nothing and returns the note as the first one made it, whatever
	// became of it; with another Request it returns ErrKeyReused. Two calls of one key at the same time count as one
	// after the other. A call that fails may be repeated with the same key and ends in exactly one note. A note that
	// was deleted is never brought back.
	Create(ctx context.Context, owner string, note Note, key *IdempotencyKey) (Note, error)

	// Get returns a note, or ErrNotFound.
	Get(ctx context.Context, owner string, id ID) (Note, error)

	// Update sets the fields of the patch and UpdatedAt, adds 1 to the version, and returns the note after it.
	// ErrNotFound; a *PreconditionError with the note as it stands where the condition does not hold.
	Update(ctx context.Context, owner string, id ID, patch Patch, at time.Time, cond Condition) (Note, error)

	// Delete removes a note. The time is the moment of the call, for stores that have to compare it with the expiry of
	// an idempotency key, as key.Now of Create. Errors as for Update.
	Delete(ctx context.Context, owner string, id ID, at time.Time, cond Condition) error

	// Newest walks the owner's notes whose id is smaller than before, the largest id first, and yields at most limit
	// of them (at least 1). A store in which deleted notes leave a place that a walk has to read yields the place
	// too, as a note that has only its ID ([Note.Deleted]). A place does not count towards the limit; after MaxPassed
	// of them the walk ends, and the caller may begin another below the last. The first error ends the walk. A note
	// that existed from the beginning of the walk to its end is yielded exactly once, as it was at some moment in
	// between; one that was created or deleted meanwhile may be missing. The loop's body must not call the store.
	Newest(ctx context.Context, owner string, before ID, limit int) iter.Seq2[Note, error]
}

// IdempotencyKey makes a Create happen once.
type IdempotencyKey struct {
	Value   string    // what the client chose: 1 to 255 bytes of UTF-8
	Request [32]byte  // tells one request from another; equal for equal notes
	Now     time.Time // of the call: keys that expired before it may be forgotten
	Expires time.Time // the key is remembered until then, and may be longer
}

// Condition limits a change to some versions of a note. Its zero value holds for every version.
type Condition struct {
	OneOf  []int64 // unless nil, the version must be one of these; empty holds for none
	NoneOf []int64 // the version must be none of these
}

// Holds reports whether the condition allows to change a note of that version.
func (c Condition) Holds(version int64) bool {
	return (c.OneOf == nil || slices.Contains(c.OneOf, version)) && !slices.Contains(c.NoneOf, version)
}
