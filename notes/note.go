// Package notes defines notes and the operations on them.
//
// Callers use [Service], which validates, generates ids, sets times, filters and paginates. It keeps the notes in a
// [Store], a small interface whose comment is the contract. Package storetest tests every store against it. This
// package does not depend on HTTP or on any particular store.
package notes

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The limits of a note. Together they keep every note below DynamoDB's limit of 400 KB for an item.
const (
	MaxTitle   = 200       // characters in a title
	MaxContent = 256 << 10 // bytes of UTF-8 in the content
	MaxTag     = 50        // characters in a tag
	MaxTags    = 20        // different tags on a note
)

// ID identifies a note. It is a UUIDv7 (RFC 9562), so ids sort by creation time.
type ID = uuid.UUID

// ParseID parses an id of 36 characters in lower case. It rejects every other spelling of a UUID, so that each note has
// exactly one URL.
func ParseID(s string) (ID, bool) {
	const length = 36 // of the form with hyphens and nothing around it
	id, err := uuid.Parse(s)
	return id, err == nil && len(s) == length && s == strings.ToLower(s)
}

// Note is a stored note.
type Note struct {
	ID        ID
	Title     string
	Content   string
	Tags      []string  // in the client's order, without duplicates
	CreatedAt time.Time // UTC, whole microseconds
	UpdatedAt time.Time // UTC, whole microseconds; equals CreatedAt until the first change
	Version   int64     // 1 at creation, incremented by each change
}

// Deleted reports whether n is a tombstone, which has only an ID. See [Store.Newest].
func (n Note) Deleted() bool { return n.Version == 0 }

// TextSize returns the number of UTF-8 bytes in the title, content and tags.
func (n Note) TextSize() int {
	size := len(n.Title) + len(n.Content)
	for _, tag := range n.Tags {
		size += len(tag)
	}
	return size
}

// Draft holds the fields of a note that a client sets. Zero values are the defaults, except that a title is required.
type Draft struct {
	Title   string
	Content string
	Tags    []string
}

// Patch changes the fields of a note that are not nil in it.
type Patch struct {
	Title   *string
	Content *string
	Tags    *[]string
}

// Patch returns the patch that sets every field to that of the draft.
func (d Draft) Patch() Patch { return Patch{Title: &d.Title, Content: &d.Content, Tags: &d.Tags} }

// Normalize trims white space around title and tags, drops duplicate tags, and returns the result with everything wrong
// with it.
func (d Draft) Normalize() (Draft, Mistakes) {
	p, mistakes := d.Patch().Normalize()
	return Draft{Title: *p.Title, Content: *p.Content, Tags: *p.Tags}, mistakes
}

// Normalize is like [Draft.Normalize] for the fields that the patch sets.
func (p Patch) Normalize() (Patch, Mistakes) {
	var mistakes Mistakes
	if p.Title != nil {
		title := trim(*p.Title, "/title", MaxTitle, &mistakes)
		p.Title = &title
	}
	if p.Content != nil {
		switch {
		case len(*p.Content) > MaxContent:
			mistakes.Add("/content", "must have at most %d bytes of UTF-8, has %d", MaxContent, len(*p.Content))
		case !utf8.ValidString(*p.Content):
			mistakes.Add("/content", "must be valid UTF-8")
		}
	}
	if p.Tags != nil {
		tags := make([]string, 0, min(len(*p.Tags), MaxTags))
		seen := map[string]bool{}
		for i, tag := range *p.Tags {
			tag = trim(tag, fmt.Sprintf("/tags/%d", i), MaxTag, &mistakes)
			if !seen[tag] {
				seen[tag] = true
				tags = append(tags, tag)
			}
		}
		if len(tags) > MaxTags {
			mistakes.Add("/tags", "must have at most %d different tags, has %d", MaxTags, len(tags))
		}
		p.Tags = &tags
	}
	return p, mistakes
}

// Apply returns n with the patch applied.
func (p Patch) Apply(n Note) Note {
	if p.Title != nil {
		n.Title = *p.Title
	}
	if p.Content != nil {
		n.Content = *p.Content
	}
	if p.Tags != nil {
		n.Tags = *p.Tags
	}
	return n
}

// trim returns s without surrounding white space, and adds a mistake if the result is not a valid title or tag.
func trim(s, field string, limit int, mistakes *Mistakes) string {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) {
		mistakes.Add(field, "must be valid UTF-8")
	} else if n := utf8.RuneCountInString(s); n < 1 || n > limit {
		mistakes.Add(field, "must have 1 to %d characters, has %d", limit, n)
	} else if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		mistakes.Add(field, "must not hold control characters, holds %U", r)
	}
	return s
}
