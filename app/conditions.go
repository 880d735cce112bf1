package app

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/notes"
)

// etag returns the strong entity tag (RFC 9110, section 8.8.3) of a note: its version, which is never reused.
func etag(n notes.Note) string { return `"` + strconv.FormatInt(n.Version, 10) + `"` }

// preconditions are the headers If-Match and If-None-Match of a request for one note.
type preconditions struct {
	match, noneMatch *entityTags // nil if the header is absent
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
			mistakes = append(mistakes, mistake{Header: name,
				Detail: `must be * or a list of entity tags, such as "1" (with its quotes)`})
		}
		return &tags
	}
	p.match, p.noneMatch = read("If-Match"), read("If-None-Match")
	if len(mistakes) > 0 {
		return p, invalidParameter(mistakes...)
	}
	return p, nil
}

// condition returns the condition for a change to a note: the preconditions, and the version in the body unless it is
// 0. An If-Match without a tag holds for no version.
func (p preconditions) condition(version int64) notes.Condition {
	var cond notes.Condition
	if p.match != nil && !p.match.any {
		cond.OneOf = p.match.strong
	}
	if p.noneMatch != nil {
		if p.noneMatch.any {
			cond.OneOf = []int64{} // If-None-Match: * holds only if there is no note
		}
		cond.NoneOf = append(slices.Clone(p.noneMatch.strong), p.noneMatch.weak...)
	}
	if version != 0 {
		if cond.OneOf == nil || slices.Contains(cond.OneOf, version) {
			cond.OneOf = []int64{version}
		} else {
			cond.OneOf = []int64{}
		}
	}
	return cond
}

// read evaluates the preconditions of a GET or HEAD in the order of RFC 9110, section 13.2.2. It reports whether the
// client's copy is current (304); an error means 412.
func (p preconditions) read(n notes.Note) (current bool, err error) {
	if p.match != nil && !p.match.any && !slices.Contains(p.match.strong, n.Version) {
		return false, &notes.PreconditionError{Current: n}
	}
	return p.noneMatch != nil &&
		(p.noneMatch.any || slices.Contains(p.noneMatch.strong, n.Version) ||
			slices.Contains(p.noneMatch.weak, n.Version)), nil
}

// entityTags are the versions in the value of If-Match or If-None-Match. Tags that are not a version are left out.
type entityTags struct {
	any          bool // *
	strong, weak []int64
}

func parseEntityTags(value string) (tags entityTags, ok bool) {
	tags.strong = []int64{}
	tags.any, ok = eachEntityTag(value, func(tag string) {
		opaque, weak := strings.CutPrefix(tag, "W/")
		opaque = strings.Trim(opaque, `"`)
		v, err := strconv.ParseInt(opaque, 10, 64)
		switch {
		case err != nil || strconv.FormatInt(v, 10) != opaque:
		case weak:
			tags.weak = append(tags.weak, v)
		default:
			tags.strong = append(tags.strong, v)
		}
	})
	return tags, ok
}

// eachEntityTag parses "*" or a list of entity tags (RFC 9110, sections 5.6.1, 8.8.3, 13.1.1) and calls visit for each
// tag of the list. Elements of the list may be empty.
func eachEntityTag(value string, visit func(tag string)) (every, ok bool) {
	const space = " \t"
	s := strings.Trim(value, space)
	if s == "*" {
		return true, true
	}
	for {
		s = strings.TrimLeft(s, ", \t")
		if s == "" {
			return false, true
		}
		prefix := len(s) - len(strings.TrimPrefix(s, "W/"))
		if s[prefix:] == "" || s[prefix] != '"' {
			return false, false
		}
		length := strings.IndexByte(s[prefix+1:], '"')
		if length < 0 {
			return false, false
		}
		tag := s[:prefix+1+length+1]
		if strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return false, false
		}
		visit(tag)
		if s = strings.TrimLeft(s[len(tag):], space); s != "" && s[0] != ',' {
			return false, false
		}
	}
}

// IsCurrent reports whether the If-None-Match of a GET or HEAD matches an entity tag, so that the response is 304 (RFC
// 9110, section 13.1.2). A malformed value matches none.
func IsCurrent(r *http.Request, current string) bool {
	found := false
	every, ok := eachEntityTag(headerValue(r.Header, "If-None-Match"), func(tag string) {
		found = found || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(current, "W/")
	})
	return ok && (found || every)
}
