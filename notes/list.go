package notes

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/cases"
)

// The limits of a listing.
const (
	DefaultLimit  = 20  // notes on a page, where nothing else is asked for
	MaxLimit      = 100 // notes on a page
	MaxFilterTags = 10  // tags to ask for at once
	MaxSearch     = 100 // characters to search for

	// One page examines at most so many notes, and stops before the text that it examined passes so many bytes (but
	// never before one note): an answer stays below what a Lambda may return, 6 MB, whatever is in it and however it is
	// escaped, and the work for a filter that matches nothing is bounded.
	maxExamined     = 1000
	maxExaminedText = 768 << 10

	// MaxPassed is the number of places of deleted notes that one page passes beside the notes that it examines.
	MaxPassed = 256
)

// Query asks for a page of notes.
type Query struct {
	Limit  int      // 1 to MaxLimit; 0 is DefaultLimit
	Tags   []string // a note must carry each of these exactly; order and duplicates do not matter
	Search string   // a note must hold this in its title or its content, in whatever case; "" asks for nothing
	Cursor string   // Page.Next of the page before, made with the same Tags and Search; "" begins at the newest note
}

// Validate returns what is wrong with the query, under the names that parameters have on the wire: limit, tag, q. Of a
// cursor only [Service.List] can tell.
func (q Query) Validate() Mistakes {
	var mistakes Mistakes
	if q.Limit < 0 || q.Limit > MaxLimit {
		mistakes.Add("limit", "must be 1 to %d, is %d", MaxLimit, q.Limit)
	}
	if len(q.Tags) > MaxFilterTags {
		mistakes.Add("tag", "must be given at most %d times, is given %d times", MaxFilterTags, len(q.Tags))
	}
	for _, tag := range q.Tags {
		if n := utf8.RuneCountInString(tag); n < 1 || n > MaxTag {
			mistakes.Add("tag", "must have 1 to %d characters, has %d", MaxTag, n)
		} else if !utf8.ValidString(tag) || strings.ContainsFunc(tag, unicode.IsControl) {
			mistakes.Add("tag", "must be UTF-8 without control characters")
		}
	}
	if n := utf8.RuneCountInString(q.Search); n > MaxSearch {
		mistakes.Add("q", "must have 1 to %d characters, has %d", MaxSearch, n)
	} else if !utf8.ValidString(q.Search) {
		mistakes.Add("q", "must be UTF-8")
	}
	return mistakes
}

// Page is a part of a listing. It may hold fewer notes than were asked for, even none, and still not be the last.
type Page struct {
	Notes []Note // newest first
	Next  string // the cursor of the next page; "" on the last
}

// List returns a page of the owner's notes, newest first. A walk from the first page to the last shows every note that
// existed throughout exactly once. Errors: *InvalidError, ErrInvalidCursor, ErrUnavailable.
func (s *Service) List(ctx context.Context, owner string, q Query) (Page, error) {
	if err := q.Validate().About(ErrInvalidQuery); err != nil {
		return Page{}, err
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	before := uuid.Max
	if q.Cursor != "" {
		var ok bool
		if before, ok = q.position(owner); !ok {
			return Page{}, ErrInvalidCursor
		}
	}
	reach := maxExamined
	if q.Search == "" && len(q.Tags) == 0 {
		reach = q.Limit
	}
	matches := q.matcher()
	var page Page
	var last ID
	examined, text, passed := 0, 0, 0
	// One note beyond what the page examines tells whether there is a next page.
	for note, err := range s.store.Newest(ctx, owner, before, reach+1) {
		if err != nil {
			return Page{}, err
		}
		if note.Deleted() {
			last = note.ID
			if passed++; passed == MaxPassed {
				page.Next = q.cursor(owner, last)
				break
			}
			continue
		}
		size := note.TextSize()
		if len(page.Notes) == q.Limit || examined == reach || examined > 0 && text+size > maxExaminedText {
			page.Next = q.cursor(owner, last)
			break
		}
		examined, text, last = examined+1, text+size, note.ID
		if matches(note) {
			page.Notes = append(page.Notes, note)
		}
	}
	return page, nil
}

// matcher returns the filter of the query. Case is folded as Unicode says, in full: "STRASSE" finds "Straße".
func (q Query) matcher() func(Note) bool {
	folding := cases.Fold() // keeps state, so it is one for each query
	fold := func(s string) string { return folding.String(strings.Map(cherokee, s)) }
	search := fold(q.Search)
	return func(n Note) bool {
		for _, tag := range q.Tags {
			if !slices.Contains(n.Tags, tag) {
				return false
			}
		}
		return search == "" || strings.Contains(fold(n.Title), search) || strings.Contains(fold(n.Content), search)
	}
}

// cherokee gives the two cases of a Cherokee letter one form: cases.Fold (golang.org/x/text v0.44) swaps them.
func cherokee(r rune) rune {
	switch {
	case r >= 0xAB70 && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case r >= 0x13F8 && r <= 0x13FD:
		return r - 8
	}
	return r
}

// A cursor is 27 bytes in base64url: a format, the id of the last note examined, and a checksum over these, the owner
// and the filter. It is no secret and carries no right: whose notes are listed comes from the caller alone. The
// checksum finds a cursor that was changed or that belongs to another listing. 27 bytes fill their 36 characters to
// the last bit.
const (
	cursorFormat = 1
	cursorSize   = 27
)

func (q Query) cursor(owner string, position ID) string {
	head := append([]byte{cursorFormat}, position[:]...)
	h := sha256.New()
	h.Write(head)
	tags := slices.Compact(slices.Sorted(slices.Values(q.Tags)))
	for _, field := range append([]string{owner, q.Search}, tags...) {
		h.Write(binary.AppendUvarint(nil, uint64(len(field))))
		_, _ = io.WriteString(h, field)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(head)[:cursorSize])
}

// position is the id that the query's cursor holds, if the cursor is one of this query and owner.
func (q Query) position(owner string) (ID, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(raw) != cursorSize {
		return ID{}, false
	}
	id := ID(raw[1:17])
	// Made again, it must be the same to the letter: Go's decoder passes over line breaks.
	return id, q.cursor(owner, id) == q.Cursor
}
