package app

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/portable-notes/notes"
)

// A buffer that had to grow would exist twice, so each function here that appends has one that returns the most bytes
// that it appends.

// appendNote appends a note as JSON, whose texts are escaped no more than JSON demands.
func appendNote(b []byte, n notes.Note) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, n.ID.String()...)
	b = append(b, `","title":`...)
	b = appendText(b, n.Title)
	b = append(b, `,"content":`...)
	b = appendText(b, n.Content)
	b = append(b, `,"tags":[`...)
	for i, tag := range n.Tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, tag)
	}
	b = append(b, `],"created_at":"`...)
	b = appendTime(b, n.CreatedAt)
	b = append(b, `","updated_at":"`...)
	b = appendTime(b, n.UpdatedAt)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, n.Version, 10)
	return append(b, '}')
}

// encodedSize returns the most bytes that a note may take as JSON, with a line break.
func encodedSize(n notes.Note) int {
	const fixed = 300 // names, id, times and version
	size := fixed + quotedSize(n.Title) + quotedSize(n.Content)
	for _, tag := range n.Tags {
		size += quotedSize(tag) + 1
	}
	return size
}

// appendPage appends the answer of a listing.
func appendPage(b []byte, page notes.Page) []byte {
	b = append(b, `{"notes":[`...)
	for i, note := range page.Notes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNote(b, note)
	}
	b = append(b, ']')
	if page.Next != "" {
		b = append(b, `,"next_cursor":"`+page.Next+`"`...) // base64url
	}
	return append(b, "}\n"...)
}

// encodedPageSize returns the most bytes that the answer of a listing may have.
func encodedPageSize(page notes.Page) int {
	size := len(`{"notes":[],"next_cursor":""}`) + len(page.Next) + 1
	for _, note := range page.Notes {
		size += encodedSize(note) + 1
	}
	return size
}

func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // an error is of bytes that are no UTF-8: they become U+FFFD
	return b
}

// quotedSize returns the bytes that a text in UTF-8 takes as a JSON string.
func quotedSize(s string) int {
	const control = len(`\u0000`)
	size := len(s) + len(`""`)
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"', b == '\\', b == '\b', b == '\t', b == '\n', b == '\f', b == '\r':
			size++
		case b < ' ':
			size += control - 1
		}
	}
	return size
}

func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z") // RFC 3339, in microseconds
}
