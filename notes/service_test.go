package notes_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
)

var epoch = time.Date(2026, 11, 22, 9, 0, 0, 123456789, time.UTC)

// memory is a store that keeps what it is given, for tests of what the service does with it.
type memory struct {
	notes.Store
	mu   sync.Mutex
	kept []notes.Note // newest last
	keys []*notes.IdempotencyKey
	ats  []time.Time
	read int // notes that walks have yielded
}

func (m *memory) Create(_ context.Context, _ string, n notes.Note, key *notes.IdempotencyKey) (notes.Note, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept, m.keys = append(m.kept, n), append(m.keys, key)
	return n, nil
}

func (m *memory) Update(_ context.Context, _ string, _ notes.ID, p notes.Patch, at time.Time, _ notes.Condition) (notes.Note, error) {
	m.ats = append(m.ats, at)
	return p.Apply(notes.Note{}), nil
}

func (m *memory) Newest(_ context.Context, _ string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		for _, n := range slices.Backward(m.kept) {
			if bytes.Compare(n.ID[:], before[:]) >= 0 {
				continue
			}
			if limit--; limit < 0 {
				return
			}
			m.read++
			if !yield(n, nil) {
				return
			}
		}
	}
}

func service(m *memory, now func() time.Time) *notes.Service {
	return notes.NewService(m, now, rand.Reader)
}

func TestIDsRiseWhateverTheClockDoes(t *testing.T) {
	clock := epoch
	step := 0
	m := &memory{}
	s := service(m, func() time.Time {
		switch step++; {
		case step%7 == 0:
			clock = clock.Add(-time.Hour)
		case step%5 == 0:
			clock = clock.Add(time.Hour)
		case step%3 == 0:
			clock = clock.Add(time.Microsecond)
		}
		return clock
	})
	for range 1000 {
		if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range m.kept {
		if n.ID.Version() != 7 || n.ID.Variant() != uuid.RFC4122 {
			t.Fatalf("id %s is no UUIDv7", n.ID)
		}
		if ms := n.CreatedAt.UnixMilli(); int64(n.ID[0])<<40|int64(n.ID[1])<<32|int64(n.ID[2])<<24|int64(n.ID[3])<<16|int64(n.ID[4])<<8|int64(n.ID[5]) != ms {
			t.Fatalf("id %s does not hold the milliseconds of %v", n.ID, n.CreatedAt)
		}
		if n.CreatedAt != n.CreatedAt.Truncate(time.Microsecond) || n.CreatedAt.Location() != time.UTC {
			t.Fatalf("created at %v, want UTC in whole microseconds", n.CreatedAt)
		}
		if i > 0 && n.ID.String() <= m.kept[i-1].ID.String() {
			t.Fatalf("id %s comes after %s", n.ID, m.kept[i-1].ID)
		}
	}
}

func TestIDsRiseUnderConcurrency(t *testing.T) {
	m := &memory{}
	s := service(m, func() time.Time { return epoch })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := ""
			for range 1000 {
				n, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, "")
				if err != nil || n.ID.String() <= last {
					t.Errorf("id %s comes after %s, error %v", n.ID, last, err)
					return
				}
				last = n.ID.String()
			}
		})
	}
	wg.Wait()
	seen := map[notes.ID]bool{}
	for _, n := range m.kept {
		seen[n.ID] = true
	}
	if len(seen) != 8000 {
		t.Fatalf("8000 creates made %d ids", len(seen))
	}
}

func TestUpdatesAreStampedInOrder(t *testing.T) {
	clock := epoch
	m := &memory{}
	s := service(m, func() time.Time { clock = clock.Add(-time.Second); return clock })
	for range 10 {
		if _, err := s.Change(t.Context(), "o", uuid.Max, notes.Patch{}, notes.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSortedFunc(m.ats, func(a, b time.Time) int { return a.Compare(b) }) || m.ats[0].Equal(m.ats[1]) {
		t.Fatalf("changes are stamped %v", m.ats)
	}
}

func TestNoRandomnessNoNote(t *testing.T) {
	m := &memory{}
	s := notes.NewService(m, time.Now, iotest.ErrReader(errors.New("the well is dry")))
	if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err == nil || len(m.kept) > 0 {
		t.Fatalf("error is %v, notes are %v", err, m.kept)
	}
}

func TestKeysLiveLongEnough(t *testing.T) {
	m := &memory{}
	s := service(m, func() time.Time { return epoch })
	for _, d := range []notes.Draft{{Title: "x"}, {Title: " x ", Tags: []string{}}, {Title: "y"}, {Title: "x", Content: "\x00"}, {Title: "x", Tags: []string{"a", "a"}}, {Title: "x", Tags: []string{" a"}}} {
		if _, _, err := s.Create(t.Context(), "o", d, "key"); err != nil {
			t.Fatal(err)
		}
	}
	for i, k := range m.keys {
		if k.Value != "key" || k.Expires.Sub(m.kept[i].CreatedAt) < 24*time.Hour {
			t.Errorf("key %d is %+v", i, k)
		}
	}
	same := func(a, b int) bool { return m.keys[a].Request == m.keys[b].Request }
	if !same(0, 1) || !same(4, 5) || same(0, 2) || same(0, 3) || same(0, 4) {
		t.Errorf("equal notes must have equal requests, others not: %+v", m.keys)
	}
	if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil || m.keys[len(m.keys)-1] != nil {
		t.Errorf("without a key the store is given one, error %v", err)
	}
}

func TestEveryMistakeIsNamed(t *testing.T) {
	tags := make([]string, 25)
	for i := range tags {
		tags[i] = fmt.Sprint(i)
	}
	tags[3], tags[7] = "", "a\nb"
	_, mistakes := notes.Draft{Title: "\xff", Content: strings.Repeat("x", notes.MaxContent+1), Tags: tags}.Normalize()
	var fields []string
	for _, m := range mistakes {
		fields = append(fields, m.Field)
	}
	if !slices.Equal(fields, []string{"/title", "/content", "/tags/3", "/tags/7", "/tags"}) {
		t.Errorf("mistakes are %v", mistakes)
	}
	err := mistakes.About(notes.ErrInvalidNote)
	if !errors.Is(err, notes.ErrInvalidNote) || !strings.Contains(err.Error(), "/tags must have at most 20 different tags, has 25") {
		t.Errorf("error is %v", err)
	}
	_, mistakes = notes.Draft{Title: "x", Content: "\xff"}.Normalize()
	if len(mistakes) != 1 || mistakes[0].Field != "/content" {
		t.Errorf("mistakes are %v", mistakes)
	}
	if notes.Mistakes(nil).About(notes.ErrInvalidNote) != nil {
		t.Error("no mistakes make an error")
	}
}

// TestPagesEndAtTheirBounds: what one request reads is bounded, whatever the filter.
func TestPagesEndAtTheirBounds(t *testing.T) {
	m := &memory{}
	s := service(m, func() time.Time { return epoch })
	for i := range 2500 {
		d := notes.Draft{Title: "x"}
		if i == 0 {
			d.Tags = []string{"rare"}
		}
		if _, _, err := s.Create(t.Context(), "o", d, ""); err != nil {
			t.Fatal(err)
		}
	}
	list := func(q notes.Query) notes.Page {
		t.Helper()
		m.read = 0
		page, err := s.List(t.Context(), "o", q)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	if p := list(notes.Query{}); len(p.Notes) != 20 || m.read != 21 {
		t.Errorf("a page has %d notes and read %d", len(p.Notes), m.read)
	}
	cursor := ""
	for i, want := range []int{1001, 1001, 500} {
		p := list(notes.Query{Tags: []string{"rare"}, Cursor: cursor})
		if cursor = p.Next; m.read != want || (i == 2) != (cursor == "") || len(p.Notes) != i/2 {
			t.Errorf("page %d has %d notes, read %d and ends with %q", i, len(p.Notes), m.read, cursor)
		}
	}
	// By text: three notes of 256 KiB less one byte fit 768 KiB, with a byte more in each only two do.
	for size, want := range map[int]int{notes.MaxContent - 1: 3, notes.MaxContent: 2} {
		m.kept = nil
		for range 5 {
			if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x", Content: strings.Repeat("c", size)}, ""); err != nil {
				t.Fatal(err)
			}
		}
		if p := list(notes.Query{Search: "nothing"}); len(p.Notes) != 0 || p.Next == "" || m.read != want+1 {
			t.Errorf("of %d bytes each a page read %d notes", size, m.read)
		}
		if p := list(notes.Query{Limit: 100}); len(p.Notes) != want || p.Next == "" {
			t.Errorf("of %d bytes each a page has %d notes, want %d", size, len(p.Notes), want)
		}
	}
}

func TestCursorsBelongToTheirOwner(t *testing.T) {
	m := &memory{}
	s := service(m, func() time.Time { return epoch })
	for range 3 {
		if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.List(t.Context(), "alice", notes.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(t.Context(), "alice", notes.Query{Cursor: page.Next}); err != nil {
		t.Error(err)
	}
	for _, q := range []struct {
		owner string
		query notes.Query
	}{
		{"alic", notes.Query{Cursor: page.Next}},
		{"bob", notes.Query{Cursor: page.Next}},
		{"", notes.Query{Cursor: page.Next}},
		{"alice", notes.Query{Cursor: page.Next, Search: "x"}},
		{"alice", notes.Query{Cursor: page.Next + "\n"}},
		{"alice", notes.Query{Cursor: page.Next[:35]}},
		// What lies between owner and filter is not up to the caller.
		{"alicex", notes.Query{Cursor: page.Next}},
	} {
		if _, err := s.List(t.Context(), q.owner, q.query); !errors.Is(err, notes.ErrInvalidCursor) {
			t.Errorf("%+v: error is %v", q, err)
		}
	}
}

func TestParseID(t *testing.T) {
	const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
	if got, ok := notes.ParseID(id); !ok || got.String() != id {
		t.Errorf("%s is read as %s, %v", id, got, ok)
	}
	for _, s := range []string{"", strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" + id, id + " ", id[:35], id + "0"} {
		if _, ok := notes.ParseID(s); ok {
			t.Errorf("%q is an id", s)
		}
	}
}
