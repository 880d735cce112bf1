package notes_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
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

func (m *memory) Update(_ context.Context, _ string, _ notes.ID, p notes.Patch, at time.Time,
	_ notes.Condition) (notes.Note, error) {
	m.ats = append(m.ats, at)
	return p.Apply(notes.Note{}), nil
}

func (m *memory) Delete(_ context.Context, _ string, _ notes.ID, at time.Time, _ notes.Condition) error {
	m.ats = append(m.ats, at)
	return nil
}

func (m *memory) Newest(_ context.Context, _ string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		for _, n := range slices.Backward(m.kept) {
			if bytes.Compare(n.ID[:], before[:]) >= 0 {
				continue
			}
			if !n.Deleted() {
				limit--
			}
			if limit < 0 {
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

// clocks are a wall clock, which may be set, and the time that has passed, which may not.
type clocks struct{ wall, steady time.Time }

func (c *clocks) pass(d time.Duration) { c.wall, c.steady = c.wall.Add(d), c.steady.Add(d) }

// clocked returns a service over m that reads its time from clocks, which both begin at epoch.
func clocked(m *memory) (*notes.Service, *clocks) {
	c := &clocks{epoch, epoch}
	s := service(m, func() time.Time { return epoch })
	notes.SetClock(s, func() (wall, steady time.Time) { return c.wall, c.steady })
	return s, c
}

// idTime returns the milliseconds that an id holds.
func idTime(id notes.ID) int64 {
	return int64(binary.BigEndian.Uint64(id[:8]) >> 16)
}

func TestIDsRiseWhateverTheClockDoes(t *testing.T) {
	m := &memory{}
	s, c := clocked(m)
	for step := range 1000 {
		switch {
		case step%7 == 0:
			c.wall = c.wall.Add(-time.Hour)
		case step%5 == 0:
			c.wall = c.wall.Add(time.Hour)
		case step%3 == 0:
			c.pass(time.Microsecond)
		}
		if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil {
			t.Fatal(err)
		}
		n := m.kept[len(m.kept)-1]
		if n.ID.Version() != 7 || n.ID.Variant() != uuid.RFC4122 {
			t.Fatalf("id %s is not a UUIDv7", n.ID)
		}
		if idTime(n.ID) < n.CreatedAt.UnixMilli() {
			t.Fatalf("id %s holds an earlier time than %v", n.ID, n.CreatedAt)
		}
		if n.CreatedAt != n.CreatedAt.Truncate(time.Microsecond) || n.CreatedAt.Location() != time.UTC {
			t.Fatalf("created at %v, want UTC in whole microseconds", n.CreatedAt)
		}
		if lead := n.CreatedAt.Sub(c.wall); lead < -time.Microsecond || lead > time.Second {
			t.Fatalf("created at %v by a clock that says %v", n.CreatedAt, c.wall)
		}
		if step > 0 && n.ID.String() <= m.kept[step-1].ID.String() {
			t.Fatalf("id %s comes after %s", n.ID, m.kept[step-1].ID)
		}
	}
}

// TestClockJumps: a clock that is wrong for a moment is wrong for that moment alone.
func TestClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, jump := range []struct {
		name string
		by   time.Duration
	}{{"a year forward", year}, {"an hour forward", time.Hour}, {"an hour back", -time.Hour}, {"a year back", -year}} {
		t.Run(jump.name, func(t *testing.T) {
			m := &memory{}
			s, c := clocked(m)
			create := func(key string) (notes.Note, *notes.IdempotencyKey) {
				t.Helper()
				c.pass(time.Second)
				if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, key); err != nil {
					t.Fatal(err)
				}
				return m.kept[len(m.kept)-1], m.keys[len(m.keys)-1]
			}
			_, before := create("before")
			c.wall = c.wall.Add(jump.by)
			_, during := create("during")
			if during.Now.After(before.Expires) {
				t.Errorf("at the jump the key of a second ago, kept until %v, is judged at %v", before.Expires,
					during.Now)
			}
			c.wall = c.wall.Add(-jump.by)
			after, key := create("after")
			if lead := after.CreatedAt.Sub(c.wall); lead < -time.Microsecond || lead > time.Second {
				t.Errorf("after the jump a note is created at %v, the clock says %v", after.CreatedAt, c.wall)
			}
			if key.Now.After(before.Expires) || key.Now.After(during.Expires) {
				t.Errorf("after the jump keys kept until %v and %v are judged at %v", before.Expires, during.Expires,
					key.Now)
			}
			if ids := m.kept; ids[2].ID.String() <= ids[1].ID.String() || ids[1].ID.String() <= ids[0].ID.String() {
				t.Errorf("the ids do not rise: %s, %s, %s", ids[0].ID, ids[1].ID, ids[2].ID)
			}
			c.pass(26 * time.Hour)
			if _, key := create("a day later"); !key.Now.After(before.Expires) {
				t.Errorf("a key kept until %v is not free at %v", before.Expires, key.Now)
			}
		})
	}
	t.Run("a clock that was behind at the start", func(t *testing.T) {
		m := &memory{}
		s, c := clocked(m)
		c.wall = c.wall.Add(-50 * year)
		create := func() *notes.IdempotencyKey {
			if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, "k"); err != nil {
				t.Fatal(err)
			}
			return m.keys[len(m.keys)-1]
		}
		create()
		c.wall = c.wall.Add(50*year + time.Minute)
		first := create()
		for range 24 {
			c.pass(time.Hour)
			if key := create(); key.Now.After(first.Expires) {
				t.Errorf("a key kept until %v is judged at %v", first.Expires, key.Now)
			}
		}
		c.pass(2 * time.Hour)
		if key := create(); !key.Now.After(first.Expires) || !key.Now.Equal(c.wall.Truncate(time.Microsecond)) {
			t.Errorf("at %v a key kept until %v is judged at %v", c.wall, first.Expires, key.Now)
		}
	})
	t.Run("a clock that was ahead at the start", func(t *testing.T) {
		const day = 24 * time.Hour
		m := &memory{}
		s, c := clocked(m)
		create := func() *notes.IdempotencyKey {
			c.pass(time.Minute)
			if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, "k"); err != nil {
				t.Fatal(err)
			}
			return m.keys[len(m.keys)-1]
		}
		create()
		c.wall = c.wall.Add(-3 * day) // it is put right
		create()
		c.pass(30 * time.Hour) // and believed
		create()
		key := create()
		if late := key.Expires.Sub(c.wall); late > day+time.Hour+time.Second {
			t.Errorf("a key is kept for %v", late)
		}
		c.wall = c.wall.Add(2 * day) // it jumps
		if during := create(); during.Now.After(key.Expires) {
			t.Errorf("a key of a minute ago, kept until %v, is judged at %v", key.Expires, during.Now)
		}
		c.wall = c.wall.Add(-2 * day)
		if after := create(); after.Now.After(key.Expires) {
			t.Errorf("a key of two minutes ago, kept until %v, is judged at %v", key.Expires, after.Now)
		}
	})
	t.Run("deletes are judged by the earlier clock", func(t *testing.T) {
		m := &memory{}
		s, c := clocked(m)
		c.wall = c.wall.Add(year)
		if err := s.Delete(t.Context(), "o", uuid.Max, notes.Condition{}); err != nil {
			t.Fatal(err)
		}
		if at := m.ats[0]; at.After(epoch) {
			t.Errorf("a delete is judged at %v", at)
		}
	})
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
	for _, test := range []struct {
		name  string
		step  time.Duration // of the wall clock, at each change
		rises bool
	}{
		{"the clock stands", 0, true},
		{"the clock goes", time.Millisecond, true},
		{"the clock is set back within a second", -50 * time.Millisecond, true},
		{"the clock is set back by more", -2 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &memory{}
			s, c := clocked(m)
			for i := range 10 {
				c.wall = c.wall.Add(test.step)
				if _, err := s.Change(t.Context(), "o", uuid.Max, notes.Patch{}, notes.Condition{}); err != nil {
					t.Fatal(err)
				}
				if i > 0 && m.ats[i].After(m.ats[i-1]) != test.rises {
					t.Errorf("changes are stamped %v", m.ats)
				}
				if lead := m.ats[i].Sub(c.wall); lead < -time.Microsecond || lead > time.Second {
					t.Errorf("a change is stamped %v by a clock that says %v", m.ats[i], c.wall)
				}
			}
		})
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
	for _, d := range []notes.Draft{{Title: "x"}, {Title: " x ", Tags: []string{}}, {Title: "y"},
		{Title: "x", Content: "\x00"}, {Title: "x", Tags: []string{"a", "a"}}, {Title: "x", Tags: []string{" a"}}} {
		if _, _, err := s.Create(t.Context(), "o", d, "key"); err != nil {
			t.Fatal(err)
		}
	}
	for i, k := range m.keys {
		if k.Value != "key" || k.Expires.Sub(k.Now) < 24*time.Hour ||
			k.Expires.Sub(m.kept[i].CreatedAt) < 24*time.Hour {
			t.Errorf("key %d is %+v", i, k)
		}
	}
	same := func(a, b int) bool { return m.keys[a].Request == m.keys[b].Request }
	if !same(0, 1) || !same(4, 5) || same(0, 2) || same(0, 3) || same(0, 4) {
		t.Errorf("equal notes must have equal requests, others not: %+v", m.keys)
	}
	if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil ||
		m.keys[len(m.keys)-1] != nil {
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
	if !errors.Is(err, notes.ErrInvalidNote) || !strings.Contains(err.Error(),
		"/tags must have at most 20 different tags, has 25") {
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
			if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x", Content: strings.Repeat("c", size)},
				""); err != nil {
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

// TestPagesPassTheDeleted: a page passes so many places of deleted notes, and the next one goes on behind them.
func TestPagesPassTheDeleted(t *testing.T) {
	m := &memory{}
	s := service(m, func() time.Time { return epoch })
	var want []notes.ID
	for i := range 1000 {
		if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil {
			t.Fatal(err)
		}
		if n := &m.kept[i]; i == 30 || i == 31 || i == 700 {
			want = append([]notes.ID{n.ID}, want...)
		} else {
			*n = notes.Note{ID: n.ID}
		}
	}
	var got []notes.ID
	pages := 0
	for cursor, more := "", true; more; more = cursor != "" {
		m.read = 0
		page, err := s.List(t.Context(), "o", notes.Query{Cursor: cursor, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Notes {
			got = append(got, n.ID)
		}
		if pages++; m.read > notes.MaxPassed+3 {
			t.Errorf("page %d reads %d places and notes", pages, m.read)
		}
		cursor = page.Next
	}
	if !slices.Equal(got, want) || pages < 4 || pages > 5 {
		t.Errorf("%d pages show %v, want %v", pages, got, want)
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
	for _, s := range []string{"", strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" +
		id, id + " ", id[:35], id + "0"} {
		if _, ok := notes.ParseID(s); ok {
			t.Errorf("%q is an id", s)
		}
	}
}
