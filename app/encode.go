package app

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/portable-notes/notes"
)

// While a buffer grows, it exists twice. Each append function here therefore has a function that returns the most bytes
// that it appends.

// appendNote appends a note as JSON. It escapes only what JSON requires.
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

// encodedSize returns the most bytes that appendNote appends, plus a line break.
func encodedSize(n notes.Note) int {
	const fixed = 300 // field names, id, times and version
	size := fixed + quotedSize(n.Title) + quotedSize(n.Content)
	for _, tag := range n.Tags {
		size += quotedSize(tag) + 1
	}
	return size
}

// appendPage appends a page as JSON.
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
		b = append(b, `,"next_cursor":"`+page.Next+`"`...) // base64url needs no escapes
	}
	return append(b, "}\n"...)
}

// encodedPageSize returns the most bytes that appendPage appends.
func encodedPageSize(page notes.Page) int {
	size := len(`{"notes":[],"next_cursor":""}`) + len(page.Next) + 1
	for _, note := range page.Notes {
		size += encodedSize(note) + 1
	}
	return size
}

func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // fails only for invalid UTF-8, which becomes U+FFFD
	return b
}

// quotedSize returns the size in bytes of s as a JSON string. S must be valid UTF-8.
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
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z") // RFC 3339 with microseconds
}
