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

// fakeStore records the arguments of the service's calls. It ignores owners and conditions.
type fakeStore struct {
	notes.Store
	mu   sync.Mutex
	kept []notes.Note // newest last
	keys []*notes.IdempotencyKey
	ats  []time.Time
	read int // notes and tombstones that Newest has yielded
}

func (m *fakeStore) Create(_ context.Context, _ string, n notes.Note, key *notes.IdempotencyKey) (notes.Note, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept, m.keys = append(m.kept, n), append(m.keys, key)
	return n, nil
}

func (m *fakeStore) Update(_ context.Context, _ string, _ notes.ID, p notes.Patch, at time.Time,
	_ notes.Condition) (notes.Note, error) {
	m.ats = append(m.ats, at)
	return p.Apply(notes.Note{}), nil
}

func (m *fakeStore) Delete(_ context.Context, _ string, _ notes.ID, at time.Time, _ notes.Condition) error {
	m.ats = append(m.ats, at)
	return nil
}

func (m *fakeStore) Newest(_ context.Context, _ string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
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

func newService(m *fakeStore, now func() time.Time) *notes.Service {
	return notes.NewService(m, now, rand.Reader)
}

// clocks are a wall clock, which a test may set, and a steady clock, which it may only advance.
type clocks struct{ wall, steady time.Time }

func (c *clocks) advance(d time.Duration) { c.wall, c.steady = c.wall.Add(d), c.steady.Add(d) }

// newClockedService returns a service over m and its clocks, which both start at epoch.
func newClockedService(m *fakeStore) (*notes.Service, *clocks) {
	c := &clocks{epoch, epoch}
	s := newService(m, func() time.Time { return epoch })
	notes.SetClock(s, func() (wall, steady time.Time) { return c.wall, c.steady })
	return s, c
}

// idTime returns the Unix time of an id in milliseconds.
func idTime(id notes.ID) int64 {
	return int64(binary.BigEndian.Uint64(id[:8]) >> 16)
}

func TestIDsRiseWhateverTheClockDoes(t *testing.T) {
	m := &fakeStore{}
	s, c := newClockedService(m)
	for step := range 1000 {
		switch {
		case step%7 == 0:
			c.wall = c.wall.Add(-time.Hour)
		case step%5 == 0:
			c.wall = c.wall.Add(time.Hour)
		case step%3 == 0:
			c.advance(time.Microsecond)
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
			t.Fatalf("created at %v, but the wall clock is at %v", n.CreatedAt, c.wall)
		}
		if step > 0 && n.ID.String() <= m.kept[step-1].ID.String() {
			t.Fatalf("id %s follows %s", n.ID, m.kept[step-1].ID)
		}
	}
}

// TestClockJumps checks that a wall clock that is wrong for a while has no effect afterwards.
func TestClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, jump := range []struct {
		name string
		by   time.Duration
	}{{"a year forward", year}, {"an hour forward", time.Hour}, {"an hour back", -time.Hour}, {"a year back", -year}} {
		t.Run(jump.name, func(t *testing.T) {
			m := &fakeStore{}
			s, c := newClockedService(m)
			create := func(key string) (notes.Note, *notes.IdempotencyKey) {
				t.Helper()
				c.advance(time.Second)
				if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, key); err != nil {
					t.Fatal(err)
				}
				return m.kept[len(m.kept)-1], m.keys[len(m.keys)-1]
			}
			_, before := create("before")
			c.wall = c.wall.Add(jump.by)
			_, during := create("during")
			if during.Now.After(before.Expires) {
				t.Errorf("during the jump a key of a second ago, valid until %v, is compared with %v", before.Expires,
					during.Now)
			}
			c.wall = c.wall.Add(-jump.by)
			after, key := create("after")
			if lead := after.CreatedAt.Sub(c.wall); lead < -time.Microsecond || lead > time.Second {
				t.Errorf("after the jump a note is created at %v, but the wall clock is at %v", after.CreatedAt, c.wall)
			}
			if key.Now.After(before.Expires) || key.Now.After(during.Expires) {
				t.Errorf("after the jump keys valid until %v and %v are compared with %v", before.Expires,
					during.Expires, key.Now)
			}
			if ids := m.kept; ids[2].ID.String() <= ids[1].ID.String() || ids[1].ID.String() <= ids[0].ID.String() {
				t.Errorf("the ids do not increase: %s, %s, %s", ids[0].ID, ids[1].ID, ids[2].ID)
			}
			c.advance(26 * time.Hour)
			if _, key := create("a day later"); !key.Now.After(before.Expires) {
				t.Errorf("a key valid until %v has not expired at %v", before.Expires, key.Now)
			}
		})
	}
	t.Run("a clock that was behind at the start", func(t *testing.T) {
		m := &fakeStore{}
		s, c := newClockedService(m)
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
			c.advance(time.Hour)
			if key := create(); key.Now.After(first.Expires) {
				t.Errorf("a key valid until %v is compared with %v", first.Expires, key.Now)
			}
		}
		c.advance(2 * time.Hour)
		if key := create(); !key.Now.After(first.Expires) || !key.Now.Equal(c.wall.Truncate(time.Microsecond)) {
			t.Errorf("at %v a key valid until %v is compared with %v", c.wall, first.Expires, key.Now)
		}
	})
	t.Run("a clock that was ahead at the start", func(t *testing.T) {
		const day = 24 * time.Hour
		m := &fakeStore{}
		s, c := newClockedService(m)
		create := func() *notes.IdempotencyKey {
			c.advance(time.Minute)
			if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, "k"); err != nil {
				t.Fatal(err)
			}
			return m.keys[len(m.keys)-1]
		}
		create()
		c.wall = c.wall.Add(-3 * day) // somebody corrects the wall clock
		create()
		c.advance(30 * time.Hour) // now the service trusts it
		create()
		key := create()
		if late := key.Expires.Sub(c.wall); late > day+time.Hour+time.Second {
			t.Errorf("a key is valid for %v", late)
		}
		c.wall = c.wall.Add(2 * day) // the wall clock jumps
		if during := create(); during.Now.After(key.Expires) {
			t.Errorf("a key of a minute ago, valid until %v, is compared with %v", key.Expires, during.Now)
		}
		c.wall = c.wall.Add(-2 * day)
		if after := create(); after.Now.After(key.Expires) {
			t.Errorf("a key of two minutes ago, valid until %v, is compared with %v", key.Expires, after.Now)
		}
	})
	t.Run("deletes use the earlier clock", func(t *testing.T) {
		m := &fakeStore{}
		s, c := newClockedService(m)
		c.wall = c.wall.Add(year)
		if err := s.Delete(t.Context(), "o", uuid.Max, notes.Condition{}); err != nil {
			t.Fatal(err)
		}
		if at := m.ats[0]; at.After(epoch) {
			t.Errorf("a delete has the time %v, after %v", at, epoch)
		}
	})
}

func TestIDsRiseUnderConcurrency(t *testing.T) {
	m := &fakeStore{}
	s := newService(m, func() time.Time { return epoch })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := ""
			for range 1000 {
				n, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, "")
				if err != nil || n.ID.String() <= last {
					t.Errorf("id %s follows %s, error %v", n.ID, last, err)
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
		t.Fatalf("8000 creates made %d different ids", len(seen))
	}
}

func TestUpdatesAreStampedInOrder(t *testing.T) {
	for _, test := range []struct {
		name  string
		step  time.Duration // added to the wall clock before each change
		rises bool          // whether the stamps increase
	}{
		{name: "the clock stands still", step: 0, rises: true},
		{name: "the clock advances", step: time.Millisecond, rises: true},
		{name: "the clock is set back by less than a second", step: -50 * time.Millisecond, rises: true},
		{name: "the clock is set back by more than a second", step: -2 * time.Second, rises: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &fakeStore{}
			s, c := newClockedService(m)
			for i := range 10 {
				c.wall = c.wall.Add(test.step)
				if _, err := s.Change(t.Context(), "o", uuid.Max, notes.Patch{}, notes.Condition{}); err != nil {
					t.Fatal(err)
				}
				if i > 0 && m.ats[i].After(m.ats[i-1]) != test.rises {
					t.Errorf("changes are stamped %v", m.ats)
				}
				if lead := m.ats[i].Sub(c.wall); lead < -time.Microsecond || lead > time.Second {
					t.Errorf("a change is stamped %v, but the wall clock is at %v", m.ats[i], c.wall)
				}
			}
		})
	}
}

func TestNoRandomnessNoNote(t *testing.T) {
	m := &fakeStore{}
	s := notes.NewService(m, time.Now, iotest.ErrReader(errors.New("no random bits")))
	if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err == nil || len(m.kept) > 0 {
		t.Fatalf("error is %v, notes are %v", err, m.kept)
	}
}

func TestKeysLiveLongEnough(t *testing.T) {
	m := &fakeStore{}
	s := newService(m, func() time.Time { return epoch })
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
		t.Errorf("requests must be equal for equal notes only: %+v", m.keys)
	}
	if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x"}, ""); err != nil ||
		m.keys[len(m.keys)-1] != nil {
		t.Errorf("the store received a key that the caller did not give, error %v", err)
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
	err := mistakes.Err(notes.ErrInvalidNote)
	if !errors.Is(err, notes.ErrInvalidNote) || !strings.Contains(err.Error(),
		"/tags must have at most 20 different tags, has 25") {
		t.Errorf("error is %v", err)
	}
	_, mistakes = notes.Draft{Title: "x", Content: "\xff"}.Normalize()
	if len(mistakes) != 1 || mistakes[0].Field != "/content" {
		t.Errorf("mistakes are %v", mistakes)
	}
	if notes.Mistakes(nil).Err(notes.ErrInvalidNote) != nil {
		t.Error("an empty list of mistakes is an error")
	}
}

// TestPagesEndAtTheirBounds checks that one page reads a bounded number of notes, whatever the filter.
func TestPagesEndAtTheirBounds(t *testing.T) {
	m := &fakeStore{}
	s := newService(m, func() time.Time { return epoch })
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
		t.Errorf("a page has %d notes after reading %d", len(p.Notes), m.read)
	}
	cursor := ""
	for i, want := range []int{1001, 1001, 500} {
		p := list(notes.Query{Tags: []string{"rare"}, Cursor: cursor})
		if cursor = p.Next; m.read != want || (i == 2) != (cursor == "") || len(p.Notes) != i/2 {
			t.Errorf("page %d has %d notes after reading %d, and the cursor %q", i, len(p.Notes), m.read, cursor)
		}
	}
	// With a title of one byte, three notes fit into 768 KiB if their content is 1 byte below 256 KiB; at 256 KiB only
	// two do.
	for size, want := range map[int]int{notes.MaxContent - 1: 3, notes.MaxContent: 2} {
		m.kept = nil
		for range 5 {
			if _, _, err := s.Create(t.Context(), "o", notes.Draft{Title: "x", Content: strings.Repeat("c", size)},
				""); err != nil {
				t.Fatal(err)
			}
		}
		if p := list(notes.Query{Search: "nothing"}); len(p.Notes) != 0 || p.Next == "" || m.read != want+1 {
			t.Errorf("a page read %d notes with %d bytes of content", m.read, size)
		}
		if p := list(notes.Query{Limit: 100}); len(p.Notes) != want || p.Next == "" {
			t.Errorf("a page has %d notes with %d bytes of content, want %d", len(p.Notes), size, want)
		}
	}
}

// TestPagesSkipTombstones checks that a page skips at most MaxTombstones and that the next page continues after them.
func TestPagesSkipTombstones(t *testing.T) {
	m := &fakeStore{}
	s := newService(m, func() time.Time { return epoch })
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
		if pages++; m.read > notes.MaxTombstones+3 {
			t.Errorf("page %d reads %d notes and tombstones", pages, m.read)
		}
		cursor = page.Next
	}
	if !slices.Equal(got, want) || pages < 4 || pages > 5 {
		t.Errorf("%d pages show %v, want %v", pages, got, want)
	}
}

func TestCursorsBelongToTheirOwner(t *testing.T) {
	m := &fakeStore{}
	s := newService(m, func() time.Time { return epoch })
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
		// Owner and filter must not run together in the checksum.
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
		t.Errorf("%s is parsed as %s, %v", id, got, ok)
	}
	for _, s := range []string{"", strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" +
		id, id + " ", id[:35], id + "0"} {
		if _, ok := notes.ParseID(s); ok {
			t.Errorf("%q is accepted as an id", s)
		}
	}
}
