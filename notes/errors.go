package notes

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of error that other packages tell apart, with errors.Is. Every other error is a fault of ours.
var (
	// ErrNotFound: the owner has no such note.
	ErrNotFound = errors.New("no such note")
	// ErrExists: a note of that id is there already. Ids are minted, so nobody but a test should meet it.
	ErrExists = errors.New("a note with this id exists")
	// ErrKeyReused: the idempotency key was used for another note.
	ErrKeyReused = errors.New("the idempotency key was used for another note")
	// ErrInvalidCursor: the cursor was not made by this service for this owner and filter.
	ErrInvalidCursor = errors.New("the cursor is not one of this listing")
	// ErrInvalidNote and ErrInvalidQuery are what an [InvalidError] is about.
	ErrInvalidNote  = errors.New("the note is not valid")
	ErrInvalidQuery = errors.New("the query is not valid")
	// ErrUnavailable: the store did not answer, or could not. Whether a write took place is open.
	ErrUnavailable = errors.New("the store is unavailable")
)

// PreconditionError is a change that was refused because its [Condition] does not hold.
type PreconditionError struct {
	Current Note // the note as it stands
}

func (e *PreconditionError) Error() string {
	return fmt.Sprintf("the precondition does not hold: the note is at version %d", e.Current.Version)
}

// Mistake is one thing that is wrong with what a caller sent.
type Mistake struct {
	Field  string // a JSON pointer (RFC 6901) into a note, or the name of a query parameter
	Detail string // what it must be and what it is
}

// MaxMistakes is how many mistakes are told apart. The rest is summed up in one line, so that an answer to bad input
// cannot be made to outgrow the input.
const MaxMistakes = 100

// Mistakes is all that is wrong, in the order in which it was found.
type Mistakes []Mistake

// Add appends a mistake, until there are [MaxMistakes] and a last one that says that there are more.
func (m *Mistakes) Add(field, format string, args ...any) {
	switch {
	case len(*m) < MaxMistakes:
		*m = append(*m, Mistake{Field: field, Detail: fmt.Sprintf(format, args...)})
	case len(*m) == MaxMistakes:
		*m = append(*m, Mistake{Detail: fmt.Sprintf("there are more mistakes than these %d", MaxMistakes)})
	}
}

// About is an error about what, or nil where there is no mistake.
func (m Mistakes) About(what error) error {
	if len(m) == 0 {
		return nil
	}
	return &InvalidError{What: what, Mistakes: m}
}

// InvalidError says all that is wrong with a note or a query.
type InvalidError struct {
	What     error // ErrInvalidNote or ErrInvalidQuery
	Mistakes Mistakes
}

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString(e.What.Error())
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

func (e *InvalidError) Unwrap() error { return e.What }
