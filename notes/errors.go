package notes

import (
	"errors"
	"fmt"
	"strings"
)

// The errors that other packages distinguish with errors.Is. Every other error is a bug or a damaged store.
var (
	// ErrNotFound: the owner has no such note.
	ErrNotFound = errors.New("no such note")
	// ErrExists: a note with that id already exists. Ids are generated, so only tests should see it.
	ErrExists = errors.New("a note with this id exists")
	// ErrKeyReused: the idempotency key was used for a different note.
	ErrKeyReused = errors.New("the idempotency key was used for another note")
	// ErrInvalidCursor: the cursor was not made by this service for this owner and filter.
	ErrInvalidCursor = errors.New("the cursor does not belong to this listing")
	// ErrInvalidNote and ErrInvalidQuery are the kinds of [InvalidError].
	ErrInvalidNote  = errors.New("the note is not valid")
	ErrInvalidQuery = errors.New("the query is not valid")
	// ErrUnavailable: the store did not or could not answer. A write may or may not have taken place.
	ErrUnavailable = errors.New("the store is unavailable")
)

// PreconditionError reports a change that was refused because its [Condition] does not hold.
type PreconditionError struct {
	Current Note // the unchanged note
}

func (e *PreconditionError) Error() string {
	return fmt.Sprintf("the precondition does not hold: the note is at version %d", e.Current.Version)
}

// Mistake is one error in the caller's input.
type Mistake struct {
	Field  string // a JSON pointer (RFC 6901) into a note, or the name of a query parameter
	Detail string // the rule and how the value breaks it
}

// MaxMistakes is the number of mistakes that are listed one by one. One more entry stands for all others, so that bad
// input cannot cause an answer larger than itself.
const MaxMistakes = 100

// Mistakes lists everything wrong with an input, in the order found.
type Mistakes []Mistake

// Add appends a mistake. After [MaxMistakes] it appends one last entry saying that there are more, then nothing.
func (m *Mistakes) Add(field, format string, args ...any) {
	switch {
	case len(*m) < MaxMistakes:
		*m = append(*m, Mistake{Field: field, Detail: fmt.Sprintf(format, args...)})
	case len(*m) == MaxMistakes:
		*m = append(*m, Mistake{Detail: fmt.Sprintf("there are more mistakes than these %d", MaxMistakes)})
	}
}

// Err returns an *[InvalidError] of the kind, or nil if there are no mistakes.
func (m Mistakes) Err(kind error) error {
	if len(m) == 0 {
		return nil
	}
	return &InvalidError{Kind: kind, Mistakes: m}
}

// InvalidError lists everything wrong with a note or a query.
type InvalidError struct {
	Kind     error // ErrInvalidNote or ErrInvalidQuery
	Mistakes Mistakes
}

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.Error())
	for i, m := range e.Mistakes {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(strings.TrimSpace(m.Field + " " + m.Detail))
	}
	return b.String()
}

func (e *InvalidError) Unwrap() error { return e.Kind }
