package notes_test

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"example.com/portable-notes/notes"
)

// FuzzCursor checks that the service accepts exactly the cursors that it issues, byte for byte, and only for the owner
// and filter that they were issued for.
func FuzzCursor(f *testing.F) {
	m := &fakeStore{}
	s := newService(m, func() time.Time { return epoch })
	for range 3 {
		if _, _, err := s.Create(f.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil {
			f.Fatal(err)
		}
	}
	page, err := s.List(f.Context(), "o", notes.Query{Limit: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(page.Next, "o", "", 0)
	f.Add(page.Next, "p", "", 1)
	f.Add(page.Next+"\n", "o", "x", 35)
	f.Add("", "", "", 0)
	f.Add("AQ", "o", "ß", 7)
	f.Add("====================================", "o", "", 3)
	f.Fuzz(func(t *testing.T, cursor, owner, search string, flip int) {
		issued := func(q notes.Query) string { // the cursor after the first note
			q.Cursor, q.Limit = "", 1
			page, err := s.List(t.Context(), owner, q)
			if err != nil {
				t.Fatal(err)
			}
			return page.Next
		}
		q := notes.Query{Search: search}
		if len(q.Validate()) > 0 {
			return
		}
		q.Cursor = cursor
		switch _, err := s.List(t.Context(), owner, q); {
		case cursor == "":
		case err == nil:
			raw, err := base64.RawURLEncoding.DecodeString(cursor)
			if err != nil {
				t.Fatal(err)
			}
			before := m.kept // list notes whose first one is the position in the cursor
			m.kept = []notes.Note{{ID: notes.ID{}, Version: 1}, {ID: notes.ID(raw[1:17]), Title: search, Version: 1}}
			if want := issued(notes.Query{Search: search}); want != cursor {
				t.Errorf("%q is accepted for owner %q and search %q, but the service issues %q", cursor, owner, search,
					want)
			}
			m.kept = before
		case !errors.Is(err, notes.ErrInvalidCursor):
			t.Errorf("%q: %v", cursor, err)
		}
		own := []byte(issued(notes.Query{}))
		if len(own) == 0 {
			return
		}
		if _, err := s.List(t.Context(), owner, notes.Query{Cursor: string(own)}); err != nil {
			t.Errorf("the issued cursor %s: %v", own, err)
		}
		if _, err := s.List(t.Context(), owner+"x", notes.Query{Cursor: string(own)}); !errors.Is(err,
			notes.ErrInvalidCursor) {
			t.Errorf("another owner's cursor: %v", err)
		}
		own[uint(flip)%uint(len(own))] ^= 1
		if _, err := s.List(t.Context(), owner, notes.Query{Cursor: string(own)}); !errors.Is(err,
			notes.ErrInvalidCursor) {
			t.Errorf("a changed cursor %s: %v", own, err)
		}
	})
}
