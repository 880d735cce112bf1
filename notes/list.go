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
	DefaultLimit  = 20  // notes on a page if the query sets no limit
	MaxLimit      = 100 // notes on a page
	MaxFilterTags = 10  // tags in one query
	MaxSearch     = 100 // characters in one search

	// A page examines at most maxExamined notes with at most maxExaminedText bytes of text, but always at least one
	// note. This bounds the work for a filter that matches nothing, and keeps every answer below the 6 MB that a Lambda
	// function may return, even if JSON escapes every byte.
	maxExamined     = 1000
	maxExaminedText = 768 << 10

	// MaxTombstones is the number of tombstones (see [Store.Newest]) that a page skips besides the notes it examines.
	MaxTombstones = 256
)

// Query asks for a page of notes.
type Query struct {
	Limit  int      // 1 to MaxLimit; 0 means DefaultLimit
	Tags   []string // a note must have all of these; order and duplicates do not matter
	Search string   // a note's title or content must contain this, ignoring case; "" matches every note
	Cursor string   // Page.Next of the page before, from a query with the same Tags and Search; "" starts at the newest
}

// Validate returns what is wrong with the query. Fields have the names of the URL parameters: limit, tag, q. It does
// not judge the cursor; [Service.List] does.
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

// Page is a part of a listing. It may have fewer notes than the limit, even none, without being the last.
type Page struct {
	Notes []Note // newest first
	Next  string // the cursor for the next page; "" on the last page
}

// List returns a page of the owner's notes, newest first. The pages from first to last show every note that existed the
// whole time exactly once. Errors: *InvalidError, ErrInvalidCursor, ErrUnavailable.
func (s *Service) List(ctx context.Context, owner string, q Query) (Page, error) {
	if err := q.Validate().Err(ErrInvalidQuery); err != nil {
		return Page{}, err
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	before := uuid.Max
	if q.Cursor != "" {
		var ok bool
		if before, ok = q.decodeCursor(owner); !ok {
			return Page{}, ErrInvalidCursor
		}
	}
	maxNotes := maxExamined
	if q.Search == "" && len(q.Tags) == 0 {
		maxNotes = q.Limit
	}
	matches := q.matcher()
	var page Page
	var last ID
	examined, text, tombstones := 0, 0, 0
	// The one extra note shows whether there is a next page.
	for note, err := range s.store.Newest(ctx, owner, before, maxNotes+1) {
		if err != nil {
			return Page{}, err
		}
		if note.Deleted() {
			last = note.ID
			if tombstones++; tombstones == MaxTombstones {
				page.Next = q.encodeCursor(owner, last)
				break
			}
			continue
		}
		size := note.TextSize()
		if len(page.Notes) == q.Limit || examined == maxNotes || examined > 0 && text+size > maxExaminedText {
			page.Next = q.encodeCursor(owner, last)
			break
		}
		examined, text, last = examined+1, text+size, note.ID
		if matches(note) {
			page.Notes = append(page.Notes, note)
		}
	}
	return page, nil
}

// matcher returns the query's filter. It uses full Unicode case folding: "STRASSE" finds "Straße".
func (q Query) matcher() func(Note) bool {
	folding := cases.Fold() // has state, so each query needs its own
	fold := func(s string) string { return folding.String(strings.Map(foldCherokee, s)) }
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

// foldCherokee maps Cherokee letters to upper case. cases.Fold (golang.org/x/text v0.44) swaps their cases instead of
// folding them.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xAB70 && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case r >= 0x13F8 && r <= 0x13FD:
		return r - 8
	}
	return r
}

// A cursor is 27 bytes in base64url: a format byte, the id of the last note examined, and a checksum over both, the
// owner and the filter. It is not a secret and grants nothing: the owner always comes from the caller. The checksum
// detects a cursor that was altered or belongs to another listing. 27 bytes are exactly 36 characters, without spare
// bits.
const (
	cursorFormat = 1
	cursorSize   = 27
)

func (q Query) encodeCursor(owner string, position ID) string {
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

// HasCursorOf reports whether the query's cursor was issued for this owner and filter.
func (q Query) HasCursorOf(owner string) bool {
	_, ok := q.decodeCursor(owner)
	return ok
}

// decodeCursor returns the id in the query's cursor. It reports false unless the cursor was issued for this owner and
// filter.
func (q Query) decodeCursor(owner string) (ID, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(raw) != cursorSize {
		return ID{}, false
	}
	id := ID(raw[1:17])
	// Compare the encoded text, because Go's decoder ignores line breaks.
	return id, q.encodeCursor(owner, id) == q.Cursor
}
