// Package notes says what a note is and what may be done with one.
//
// [Service] is the only way in: it validates, mints ids, stamps times, filters and pages. It keeps the notes in a
// [Store], a small interface whose comment is the contract that every store passes (package storetest). Nothing here
// knows of HTTP or of where the notes lie.
package notes

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The limits of a note. Together they keep every note below the 400 KB that DynamoDB allows an item.
const (
	MaxTitle   = 200       // characters of a title
	MaxContent = 256 << 10 // bytes of a content, in UTF-8
	MaxTag     = 50        // characters of a tag
	MaxTags    = 20        // different tags of a note
)

// ID names a note: a UUIDv7 (RFC 9562), so that ids sort by the time of their making.
type ID = uuid.UUID

// ParseID reads an id in its one written form: 36 characters, lower case. Every other spelling of a UUID is no id,
// because a note has one URL.
func ParseID(s string) (ID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && id.String() == s
}

// Note is a note as it is kept.
type Note struct {
	ID        ID
	Title     string
	Content   string
	Tags      []string  // in the order that the client gave them, none twice
	CreatedAt time.Time // UTC, whole microseconds
	UpdatedAt time.Time // UTC, whole microseconds; CreatedAt until the first change
	Version   int64     // 1 at creation, one more at each change
}

// Deleted reports whether n is not a note but the place of one that was deleted: only its ID is set ([Store.Newest]).
func (n Note) Deleted() bool { return n.Version == 0 }

// TextSize is the size of the note's text: the UTF-8 bytes of its title, content and tags.
func (n Note) TextSize() int {
	size := len(n.Title) + len(n.Content)
	for _, tag := range n.Tags {
		size += len(tag)
	}
	return size
}

// Draft is what a client may say of a whole note. Its zero value is the default of every field; a title has no valid
// default.
type Draft struct {
	Title   string
	Content string
	Tags    []string
}

// Patch is a change of some fields of a note: those that are not nil.
type Patch struct {
	Title   *string
	Content *string
	Tags    *[]string
}

// Patch is the change that makes a note read as the draft does.
func (d Draft) Patch() Patch { return Patch{Title: &d.Title, Content: &d.Content, Tags: &d.Tags} }

// Normalize returns the draft as it would be kept, titles and tags trimmed and doubled tags dropped, and all that is
// wrong with it.
func (d Draft) Normalize() (Draft, Mistakes) {
	p, mistakes := d.Patch().Normalize()
	return Draft{Title: *p.Title, Content: *p.Content, Tags: *p.Tags}, mistakes
}

// Normalize does for the fields of a patch what [Draft.Normalize] does for a draft.
func (p Patch) Normalize() (Patch, Mistakes) {
	var mistakes Mistakes
	if p.Title != nil {
		title := trimmed(*p.Title, "/title", MaxTitle, &mistakes)
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
			tag = trimmed(tag, fmt.Sprintf("/tags/%d", i), MaxTag, &mistakes)
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

// Apply returns the note with the fields of the patch set.
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

// trimmed returns s without white space around it, and notes where it breaks the rule of titles and tags.
func trimmed(s, field string, limit int, mistakes *Mistakes) string {
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
