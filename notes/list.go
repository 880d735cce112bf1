package notes

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
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
	before := uuid.Max
	if q.Cursor != "" {
		var ok bool
		if before, ok = q.decodeCursor(owner); !ok {
			return Page{}, ErrInvalidCursor
		}
	}
	w := walk{query: q, limit: cmp.Or(q.Limit, DefaultLimit), maxNotes: maxExamined}
	w.search = appendFold(nil, q.Search)
	if q.Search == "" && len(q.Tags) == 0 {
		w.maxNotes = w.limit
	}
	// The one extra note shows whether there is a next page.
	for note, err := range s.store.Newest(ctx, owner, before, w.maxNotes+1) {
		if err != nil {
			return Page{}, err
		}
		if !w.visit(note) {
			w.page.Next = q.encodeCursor(owner, w.last)
			break
		}
	}
	return w.page, nil
}

// walk collects the notes of one page.
type walk struct {
	query           Query
	search          []byte // folded
	limit, maxNotes int    // maximum of notes on the page, and of notes examined

	page                       Page
	last                       ID     // of the note or tombstone visited last
	examined, text, tombstones int    // text: bytes of text examined
	folded                     []byte // a buffer
}

// visit adds a note to the page if it matches. It reports false if the note belongs to the next page or the page has
// reached its limit of tombstones.
func (w *walk) visit(n Note) bool {
	if n.Deleted() {
		w.last = n.ID
		w.tombstones++
		return w.tombstones < MaxTombstones
	}
	size := n.TextSize()
	if len(w.page.Notes) == w.limit || w.examined == w.maxNotes || w.examined > 0 && w.text+size > maxExaminedText {
		return false
	}
	w.examined, w.text, w.last = w.examined+1, w.text+size, n.ID
	if w.matches(n) {
		if w.page.Notes == nil {
			w.page.Notes = make([]Note, 0, w.limit)
		}
		w.page.Notes = append(w.page.Notes, n)
	}
	return true
}

// matches reports whether a note has the tags and the text of the query.
func (w *walk) matches(n Note) bool {
	for _, tag := range w.query.Tags {
		if !slices.Contains(n.Tags, tag) {
			return false
		}
	}
	return len(w.search) == 0 || w.foundIn(n.Title) || w.foundIn(n.Content)
}

// foundIn reports whether s contains the searched text, ignoring case.
func (w *walk) foundIn(s string) bool {
	w.folded = appendFold(w.folded[:0], s)
	return bytes.Contains(w.folded, w.search)
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
	hashed := append([]byte{cursorFormat}, position[:]...)
	add := func(s string) { hashed = append(binary.AppendUvarint(hashed, uint64(len(s))), s...) }
	add(owner)
	add(q.Search)
	tags := slices.Clone(q.Tags)
	slices.Sort(tags)
	for _, tag := range slices.Compact(tags) {
		add(tag)
	}
	sum := sha256.Sum256(hashed)
	const headSize = 1 + len(position)
	cursor := append(hashed[:headSize:headSize], sum[:]...) // a copy
	return base64.RawURLEncoding.EncodeToString(cursor[:cursorSize])
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
