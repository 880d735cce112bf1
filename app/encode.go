package app

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/portable-notes/notes"
)

// While a buffer grows, it exists twice. Each append function here therefore has a function that returns the most bytes
// that it appends.

// appendNote appends a note as JSON. It escapes only what JSON requires.
func appendNote(b []byte, n notes.Note) []byte {
	b = append(b, `{"id":"`...)
	b = appendID(b, n.ID)
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
	created := len(b)
	b = appendTime(b, n.CreatedAt)
	end := len(b)
	b = append(b, `","updated_at":"`...)
	if n.UpdatedAt.Equal(n.CreatedAt) { // most notes never change
		b = append(b, b[created:end]...)
	} else {
		b = appendTime(b, n.UpdatedAt)
	}
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, n.Version, 10)
	return append(b, '}')
}

// encodedSize returns the most bytes that appendNote appends, plus a line break.
func encodedSize(n notes.Note) int {
	const fixed = 200 // field names, id, times and version
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

// appendID appends id.String() without allocating the string.
func appendID(b []byte, id notes.ID) []byte {
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	return hex.AppendEncode(b, id[10:])
}

// appendText appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	if quotedSize(s) == len(s)+len(`""`) && utf8.ValidString(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	b, _ = jsontext.AppendQuote(b, s) // fails only for invalid UTF-8
	return b
}

// quotedSize returns the size in bytes of s as a JSON string. S must be valid UTF-8.
func quotedSize(s string) int {
	size := len(s) + len(`""`)
	var word [8]byte
	for ; len(s) >= len(word); s = s[len(word):] {
		copy(word[:], s)
		if needsEscape(binary.LittleEndian.Uint64(word[:])) {
			for _, b := range word {
				size += int(escapes[b])
			}
		}
	}
	for i := range len(s) {
		size += int(escapes[s[i]])
	}
	return size
}

// needsEscape reports whether JSON escapes any of 8 bytes. It examines all of them at once: see "Determine if a word
// has a zero byte" and "a byte less than n" in https://graphics.stanford.edu/~seander/bithacks.html.
func needsEscape(word uint64) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := word^each*'"', word^each*'\\'
	return ((word-each*' ')&^word|(quote-each)&^quote|(backslash-each)&^backslash)&high != 0
}

// escapes has for each byte the number of bytes that escaping it adds to a JSON string.
var escapes = func() (more [256]uint8) {
	for b := range byte(' ') {
		more[b] = uint8(len(`\u0000`) - 1)
	}
	for _, b := range []byte("\"\\\b\t\n\f\r") {
		more[b] = 1
	}
	return more
}()

// appendTime appends a time in the format of RFC 3339 with microseconds.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = t.AppendFormat(b, time.RFC3339) // package time formats this layout fast, but not one with six decimals
	point := len(b) - len("Z")
	b = strconv.AppendInt(b[:point], 1_000_000+int64(t.Nanosecond()/1000), 10)
	b[point] = '.' // in place of the 1, which keeps leading zeros
	return append(b, 'Z')
}
