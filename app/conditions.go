package app

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/notes"
)

// etag is the strong entity tag (RFC 9110, section 8.8.3) of a note: its version, which never comes again.
func etag(n notes.Note) string { return `"` + strconv.FormatInt(n.Version, 10) + `"` }

// preconditions are the headers If-Match and If-None-Match of a request about one note.
type preconditions struct {
	match, noneMatch *entityTags // nil where the header is absent
}

func preconditionsOf(r *http.Request) (preconditions, error) {
	var p preconditions
	var mistakes []mistake
	read := func(name string) *entityTags {
		if _, present := r.Header[name]; !present {
			return nil
		}
		tags, ok := parseEntityTags(r.Header.Get(name))
		if !ok {
			mistakes = append(mistakes, mistake{Header: name, Detail: `must be * or a list of entity tags, such as "1" (with its quotes)`})
		}
		return &tags
	}
	p.match, p.noneMatch = read("If-Match"), read("If-None-Match")
	if len(mistakes) > 0 {
		return p, invalidParameter(mistakes...)
	}
	return p, nil
}

// condition is what the preconditions ask of a note that is to be changed.
func (p preconditions) condition() notes.Condition {
	var cond notes.Condition
	if p.match != nil && !p.match.any {
		cond.OneOf = p.match.strong
	}
	if p.noneMatch != nil {
		if p.noneMatch.any {
			cond.OneOf = []int64{} // there is a note, so "none" holds for no version
		}
		cond.NoneOf = append(slices.Clone(p.noneMatch.strong), p.noneMatch.weak...)
	}
	return cond
}

// read evaluates the preconditions of a GET or HEAD in the order of RFC 9110, section 13.2.2: an error for 412, and
// whether what the client has is current (304).
func (p preconditions) read(n notes.Note) (current bool, err error) {
	if p.match != nil && !p.match.any && !slices.Contains(p.match.strong, n.Version) {
		return false, &notes.PreconditionError{Current: n}
	}
	return p.noneMatch != nil &&
		(p.noneMatch.any || slices.Contains(p.noneMatch.strong, n.Version) || slices.Contains(p.noneMatch.weak, n.Version)), nil
}

// entityTags is the value of If-Match or If-None-Match. Tags that are not of this service match no version and are left
// out.
type entityTags struct {
	any          bool // *
	strong, weak []int64
}

// parseEntityTags reads "*" or a list of entity tags (RFC 9110, sections 5.6.1, 8.8.3, 13.1.1). Empty elements of a list
// are allowed, a list without any tag is not.
func parseEntityTags(s string) (tags entityTags, ok bool) {
	const space = " \t"
	if s = strings.Trim(s, space); s == "*" {
		return entityTags{any: true}, true
	}
	tags.strong = []int64{}
	for {
		s = strings.TrimLeft(s, ", \t")
		if s == "" {
			return tags, ok
		}
		rest, weak := strings.CutPrefix(s, "W/")
		if rest == "" || rest[0] != '"' {
			return tags, false
		}
		opaque, after, closed := strings.Cut(rest[1:], `"`)
		if !closed || strings.ContainsFunc(opaque, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return tags, false
		}
		if v, err := strconv.ParseInt(opaque, 10, 64); err == nil && strconv.FormatInt(v, 10) == opaque {
			if weak {
				tags.weak = append(tags.weak, v)
			} else {
				tags.strong = append(tags.strong, v)
			}
		}
		ok = true
		if s = strings.TrimLeft(after, space); s != "" && s[0] != ',' {
			return tags, false
		}
	}
}
