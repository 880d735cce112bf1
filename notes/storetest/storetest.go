// Package storetest tests a [notes.Store] against its contract. Every store runs it:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) notes.Store { return open(t) })
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes"
)

const owner = "someone"

// epoch is the time of the first note. The suite passes its own times, because a store must not read a clock.
var epoch = time.Date(2026, 11, 22, 9, 0, 0, 123456000, time.UTC)

// Run runs the suite. Open returns an empty store and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) notes.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"RoundTrip", roundTrip},
		{"Limits", limits},
		{"CreateTwice", createTwice},
		{"Missing", missing},
		{"Update", update},
		{"Conditions", conditions},
		{"Delete", remove},
		{"Owners", owners},
		{"Ownership", ownership},
		{"Cancelled", cancelled},
		{"Newest", newest},
		{"NewestTombstones", newestTombstones},
		{"NewestWhileOthersWrite", newestWhileOthersWrite},
		{"TenThousand", tenThousand},
		{"LargeNotes", largeNotes},
		{"OneWinner", oneWinner},
		{"EveryUpdateCounts", everyUpdateCounts},
		{"PatchesOfDifferentFieldsCombine", patchesCombine},
		{"KeyReplays", keyReplays},
		{"KeyReused", keyReused},
		{"KeyOfDeletedNote", keyOfDeletedNote},
		{"KeyExpires", keyExpires},
		{"KeysOfOwners", keysOfOwners},
		{"KeyRace", keyRace},
		{"KeyRetried", keyRetried},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, &suite{T: t, store: open(t), ctx: t.Context()})
		})
	}
}

type suite struct {
	*testing.T
	store   notes.Store
	ctx     context.Context
	created atomic.Int64 // number of newNote calls
}

// newNote returns a new note. Its id is larger than those of earlier calls.
func (s *suite) newNote(title string) notes.Note {
	n := s.created.Add(1)
	at := epoch.Add(time.Duration(n) * time.Millisecond)
	id := uuid.Must(uuid.Parse(fmt.Sprintf("%012x", at.UnixMilli()) + "70008000000000000000"))
	return notes.Note{ID: id, Title: title, CreatedAt: at, UpdatedAt: at, Version: 1}
}

func (s *suite) create(n notes.Note) notes.Note {
	s.Helper()
	got, err := s.store.Create(s.ctx, owner, n, nil)
	s.noErr(err)
	return got
}

func (s *suite) noErr(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) wantErr(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error is %v, want %v", err, want)
	}
}

// wantEqual compares two notes. Nil and empty tags are equal, and so are times of the same instant.
func (s *suite) wantEqual(got, want notes.Note) {
	s.Helper()
	if len(got.Tags) == 0 && len(want.Tags) == 0 {
		got.Tags, want.Tags = nil, nil
	}
	if !got.CreatedAt.Equal(want.CreatedAt) || !got.UpdatedAt.Equal(want.UpdatedAt) {
		s.Fatalf("note %s has times %v and %v, want %v and %v", got.ID, got.CreatedAt, got.UpdatedAt, want.CreatedAt,
			want.UpdatedAt)
	}
	got.CreatedAt, got.UpdatedAt = want.CreatedAt, want.UpdatedAt
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("note is %.200q, want %.200q", fmt.Sprint(got), fmt.Sprint(want))
	}
}

// wantStored asserts that the store returns this note.
func (s *suite) wantStored(want notes.Note) {
	s.Helper()
	got, err := s.store.Get(s.ctx, owner, want.ID)
	s.noErr(err)
	s.wantEqual(got, want)
}

// wantRefused asserts that err is a PreconditionError with this note.
func (s *suite) wantRefused(err error, current notes.Note) {
	s.Helper()
	var refusal *notes.PreconditionError
	if !errors.As(err, &refusal) {
		s.Fatalf("error is %v, want a PreconditionError", err)
	}
	s.wantEqual(refusal.Current, current)
}

func (s *suite) ids(name string, before notes.ID, limit int) []notes.ID {
	s.Helper()
	var ids []notes.ID
	for n, err := range s.store.Newest(s.ctx, name, before, limit) {
		s.noErr(err)
		if !n.Deleted() {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func (s *suite) wantIDs(got, want []notes.ID) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Fatalf("walk yields %v, want %v", got, want)
	}
}

// concurrently runs n calls at the same time and waits for them.
func concurrently(n int, call func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { call(i) })
	}
	wg.Wait()
}

func ptr[T any](v T) *T { return &v }

func roundTrip(t *testing.T, s *suite) {
	for _, text := range []string{
		"plain", "ünïcödé", "日本語", "👩‍👩‍👧‍👦 family", "e\u0301 is not \u00e9", "\u202eright to left",
		"\ufeffmark", "\ufffd",
		"a\x00b", "line\nbreak\r\n\ttab", `"quotes" \ & <tags>`, "\u2028\u2029", "\x7f\u0085\u0001", " kept ",
	} {
		n := s.newNote("title")
		n.Content = text
		n.Tags = []string{"b", "a", "日本", "A"}
		s.wantEqual(s.create(n), n)
		s.wantStored(n)
		for listed, err := range s.store.Newest(s.ctx, owner, uuid.Max, 1) {
			s.noErr(err)
			s.wantEqual(listed, n)
		}
	}
	bare := s.newNote("no content, no tags")
	s.create(bare)
	s.wantStored(bare)
}

func limits(t *testing.T, s *suite) {
	n := s.newNote(strings.Repeat("\U0001F600", notes.MaxTitle))
	n.Content = strings.Repeat("é\x00\"x", notes.MaxContent/5) + strings.Repeat("x", notes.MaxContent%5)
	for i := range notes.MaxTags {
		n.Tags = append(n.Tags, strings.Repeat("\U0001F600", notes.MaxTag-1)+string(rune('a'+i)))
	}
	n.Version = 1
	s.create(n)
	s.wantStored(n)
	at := n.UpdatedAt.Add(time.Hour)
	want := n
	want.Version, want.UpdatedAt = 2, at
	want.Content = strings.Repeat("\u0001", notes.MaxContent)
	got, err := s.store.Update(s.ctx, owner, n.ID, notes.Patch{Content: &want.Content}, at, notes.Condition{})
	s.noErr(err)
	s.wantEqual(got, want)
	s.wantStored(want)
	s.noErr(s.store.Delete(s.ctx, owner, n.ID, at, notes.Condition{}))
}

func createTwice(t *testing.T, s *suite) {
	n := s.newNote("first")
	s.create(n)
	other := n
	other.Title = "second"
	_, err := s.store.Create(s.ctx, owner, other, nil)
	s.wantErr(err, notes.ErrExists)
	s.wantStored(n)
}

func missing(t *testing.T, s *suite) {
	id := s.newNote("").ID
	for _, cond := range []notes.Condition{{}, {OneOf: []int64{}}, {OneOf: []int64{1}}, {NoneOf: []int64{1}}} {
		_, err := s.store.Update(s.ctx, owner, id, notes.Patch{Title: ptr("ghost")}, epoch, cond)
		s.wantErr(err, notes.ErrNotFound)
		s.wantErr(s.store.Delete(s.ctx, owner, id, epoch, cond), notes.ErrNotFound)
	}
	_, err := s.store.Get(s.ctx, owner, id)
	s.wantErr(err, notes.ErrNotFound)
	s.wantIDs(s.ids(owner, uuid.Max, 10), nil)
	_, err = s.store.Get(s.ctx, owner, uuid.Nil)
	s.wantErr(err, notes.ErrNotFound)
}

func update(t *testing.T, s *suite) {
	n := s.newNote("title")
	n.Content, n.Tags = "content", []string{"tag"}
	s.create(n)
	for i, step := range []notes.Patch{
		{Title: ptr("new")},
		{Content: ptr("")},
		{Tags: &[]string{}},
		{Tags: &[]string{"x", "y"}},
		{},
		{Title: ptr("all"), Content: ptr("three"), Tags: &[]string{"z"}},
		{Title: ptr("all")},
	} {
		n = step.Apply(n)
		n.Version++
		n.UpdatedAt = n.UpdatedAt.Add(time.Microsecond)
		got, err := s.store.Update(s.ctx, owner, n.ID, step, n.UpdatedAt, notes.Condition{})
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		s.wantEqual(got, n)
		s.wantStored(n)
	}
}

func conditions(t *testing.T, s *suite) {
	n := s.newNote("at version 2")
	s.create(n)
	n.Title, n.Version = "two", 2
	_, err := s.store.Update(s.ctx, owner, n.ID, notes.Patch{Title: &n.Title}, n.UpdatedAt, notes.Condition{})
	s.noErr(err)
	long := make([]int64, 500)
	for i := range long {
		long[i] = int64(i + 3)
	}
	descending := slices.Clone(long)
	descending = append(descending, 2, 1)
	slices.Reverse(descending)
	for _, cond := range []notes.Condition{
		{OneOf: []int64{}}, {OneOf: []int64{1}}, {OneOf: []int64{3, 1}}, {OneOf: long}, {NoneOf: []int64{2}},
		{NoneOf: []int64{1, 2, 3}}, {OneOf: []int64{2}, NoneOf: []int64{2}}, {OneOf: []int64{1}, NoneOf: []int64{1}},
		{NoneOf: append(slices.Clone(long), 2)}, {NoneOf: append([]int64{2}, long...)}, {
			OneOf: append(slices.Clone(long), 2), NoneOf: []int64{2}},
		{NoneOf: descending}, {OneOf: []int64{7}, NoneOf: append(slices.Clone(long), 1)}, {
			OneOf: append(slices.Clone(long), 2), NoneOf: descending},
	} {
		_, err := s.store.Update(s.ctx, owner, n.ID, notes.Patch{Title: ptr("no")}, epoch, cond)
		s.wantRefused(err, n)
		s.wantRefused(s.store.Delete(s.ctx, owner, n.ID, epoch, cond), n)
		s.wantStored(n)
	}
	for _, cond := range []func() notes.Condition{
		func() notes.Condition { return notes.Condition{OneOf: []int64{n.Version}} },
		func() notes.Condition { return notes.Condition{OneOf: append(slices.Clone(long), n.Version)} },
		func() notes.Condition { return notes.Condition{NoneOf: []int64{n.Version + 1, 0}} },
		func() notes.Condition { return notes.Condition{NoneOf: []int64{}} },
		func() notes.Condition { return notes.Condition{OneOf: []int64{n.Version, 9}, NoneOf: []int64{9}} },
	} {
		_, err := s.store.Update(s.ctx, owner, n.ID, notes.Patch{Title: ptr("yes")}, n.UpdatedAt, cond())
		s.noErr(err)
		n.Title = "yes"
		n.Version++
		s.wantStored(n)
	}
	s.noErr(s.store.Delete(s.ctx, owner, n.ID, epoch, notes.Condition{OneOf: []int64{n.Version}}))
}

func remove(t *testing.T, s *suite) {
	n, stays := s.newNote("goes"), s.newNote("stays")
	s.create(n)
	s.create(stays)
	s.noErr(s.store.Delete(s.ctx, owner, n.ID, epoch, notes.Condition{}))
	_, err := s.store.Get(s.ctx, owner, n.ID)
	s.wantErr(err, notes.ErrNotFound)
	s.wantErr(s.store.Delete(s.ctx, owner, n.ID, epoch, notes.Condition{}), notes.ErrNotFound)
	_, err = s.store.Update(s.ctx, owner, n.ID, notes.Patch{Title: ptr("back")}, epoch, notes.Condition{})
	s.wantErr(err, notes.ErrNotFound)
	s.wantIDs(s.ids(owner, uuid.Max, 10), []notes.ID{stays.ID})
}

func owners(t *testing.T, s *suite) {
	names := []string{
		"a", "ab", "a\x00", "a\x00b", "b", "a/", "a#1", "A", "日", "日本", "\x01", strings.Repeat("x", 511),
		strings.Repeat("x", 512),
	}
	n := s.newNote("shared id")
	for i, name := range names {
		mine := n // all owners have a note with this id
		mine.Title = name
		_, err := s.store.Create(s.ctx, name, mine, nil)
		s.noErr(err)
		more := s.newNote(name)
		_, err = s.store.Create(s.ctx, name, more, nil)
		s.noErr(err)
		for _, other := range names[i+1:] {
			_, err := s.store.Get(s.ctx, other, more.ID)
			s.wantErr(err, notes.ErrNotFound)
			_, err = s.store.Update(s.ctx, other, more.ID, notes.Patch{Title: ptr("stolen")}, epoch, notes.Condition{})
			s.wantErr(err, notes.ErrNotFound)
			s.wantErr(s.store.Delete(s.ctx, other, more.ID, epoch, notes.Condition{}), notes.ErrNotFound)
		}
	}
	for _, name := range names {
		count := 0
		for got, err := range s.store.Newest(s.ctx, name, uuid.Max, 100) {
			s.noErr(err)
			if count++; got.Title != name {
				t.Fatalf("owner %.20q sees a note of %.20q", name, got.Title)
			}
		}
		if count != 2 {
			t.Fatalf("owner %.20q sees %d notes, has 2", name, count)
		}
		s.noErr(s.store.Delete(s.ctx, name, n.ID, epoch, notes.Condition{}))
	}
	s.wantIDs(s.ids("nobody", uuid.Max, 10), nil)
}

func ownership(t *testing.T, s *suite) {
	n := s.newNote("mine")
	n.Tags = []string{"one", "two"}
	given := n
	given.Tags = slices.Clone(n.Tags)
	made := s.create(given)
	given.Tags[0] = "changed by the caller"
	s.wantStored(n)
	made.Tags[0] = "changed by the caller"
	s.wantStored(n)
	got, err := s.store.Get(s.ctx, owner, n.ID)
	s.noErr(err)
	got.Tags[1] = "changed by the caller"
	s.wantStored(n)
	patch := []string{"three"}
	changed, err := s.store.Update(s.ctx, owner, n.ID, notes.Patch{Tags: &patch}, n.UpdatedAt, notes.Condition{})
	s.noErr(err)
	n.Version, n.Tags = 2, []string{"three"}
	patch[0] = "changed by the caller"
	s.wantStored(n)
	changed.Tags[0] = "changed by the caller"
	s.wantStored(n)
	for listed, err := range s.store.Newest(s.ctx, owner, uuid.Max, 1) {
		s.noErr(err)
		listed.Tags[0] = "changed by the caller"
	}
	s.wantStored(n)
}

func cancelled(t *testing.T, s *suite) {
	n := s.newNote("there")
	s.create(n)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	want := func(err error) {
		t.Helper()
		s.wantErr(err, notes.ErrUnavailable)
		s.wantErr(err, context.Canceled)
	}
	_, err := s.store.Get(ctx, owner, n.ID)
	want(err)
	_, err = s.store.Create(ctx, owner, s.newNote("never"), nil)
	want(err)
	_, err = s.store.Create(ctx, owner, s.newNote("never"), &notes.IdempotencyKey{
		Value: "k", Expires: epoch.Add(time.Hour)})
	want(err)
	_, err = s.store.Update(ctx, owner, n.ID, notes.Patch{Title: ptr("never")}, epoch, notes.Condition{})
	want(err)
	want(s.store.Delete(ctx, owner, n.ID, epoch, notes.Condition{}))
	err = nil
	for _, err = range s.store.Newest(ctx, owner, uuid.Max, 10) {
		break
	}
	want(err)
	// The context ended before the calls, so none of them took place.
	s.wantStored(n)
	s.wantIDs(s.ids(owner, uuid.Max, 10), []notes.ID{n.ID})
}

func newest(t *testing.T, s *suite) {
	var ids []notes.ID
	for range 30 {
		ids = append(ids, s.newNote("").ID)
	}
	for _, i := range rand.Perm(len(ids)) {
		n := s.newNote("x")
		n.ID = ids[i]
		s.create(n)
	}
	slices.Reverse(ids)
	s.wantIDs(s.ids(owner, uuid.Max, 100), ids)
	s.wantIDs(s.ids(owner, uuid.Max, 7), ids[:7])
	s.wantIDs(s.ids(owner, uuid.Max, 30), ids)
	s.wantIDs(s.ids(owner, uuid.Max, 1), ids[:1])
	s.wantIDs(s.ids(owner, ids[6], 7), ids[7:14])
	s.wantIDs(s.ids(owner, ids[29], 7), nil)
	s.wantIDs(s.ids(owner, uuid.Nil, 7), nil)
	// A walk may start below a deleted note, and the caller may leave it early.
	s.noErr(s.store.Delete(s.ctx, owner, ids[10], epoch, notes.Condition{}))
	s.wantIDs(s.ids(owner, ids[10], 3), ids[11:14])
	for range s.store.Newest(s.ctx, owner, uuid.Max, 30) {
		break
	}
	s.create(s.newNote("after a walk that the caller left early"))
}

func newestTombstones(t *testing.T, s *suite) {
	const deleted = 2*notes.MaxTombstones + 50
	oldest := s.create(s.newNote("oldest"))
	want := []notes.ID{oldest.ID}
	for i := range deleted {
		n := s.newNote("deleted")
		_, err := s.store.Create(s.ctx, owner, n, newKey(fmt.Sprint(i), 1, epoch.Add(time.Hour)))
		s.noErr(err)
		s.noErr(s.store.Delete(s.ctx, owner, n.ID, epoch, notes.Condition{}))
		if i%200 == 100 {
			want = append([]notes.ID{s.create(s.newNote("between")).ID}, want...)
		}
	}
	var got []notes.ID
	for before, more := uuid.Max, true; more; {
		more = false
		tombstones := 0
		for n, err := range s.store.Newest(s.ctx, owner, before, 100) {
			s.noErr(err)
			before = n.ID
			if !n.Deleted() {
				got = append(got, n.ID)
				continue
			}
			if n.Title != "" || n.Tags != nil || !n.CreatedAt.IsZero() {
				t.Fatalf("a tombstone has more than an id: %+v", n)
			}
			if tombstones++; tombstones > notes.MaxTombstones {
				t.Fatalf("one walk yields more than %d tombstones", notes.MaxTombstones)
			}
			more = tombstones == notes.MaxTombstones
		}
	}
	s.wantIDs(got, want)
}

func newestWhileOthersWrite(t *testing.T, s *suite) {
	const stay = 120
	want := make([]notes.ID, stay)
	var deleted []notes.Note
	for i := range stay {
		n := s.newNote("stays")
		want[i] = n.ID
		s.create(n)
		p := s.newNote("deleted during the walk")
		deleted = append(deleted, p)
		s.create(p)
	}
	slices.Reverse(want)
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for i := w; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				if i < len(deleted) {
					if err := s.store.Delete(s.ctx, owner, deleted[i].ID, epoch, notes.Condition{}); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.store.Create(s.ctx, owner, s.newNote("new"), nil); err != nil {
					t.Error(err)
				}
				if _, err := s.store.Update(s.ctx, owner, want[i%stay], notes.Patch{Content: ptr("changed")}, epoch,
					notes.Condition{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		var seen []notes.ID
		before := uuid.Max
		for {
			page := s.ids(owner, before, 7)
			if len(page) == 0 {
				break
			}
			before = page[len(page)-1]
			for _, id := range page {
				if slices.Contains(want, id) {
					seen = append(seen, id)
				}
			}
		}
		s.wantIDs(seen, want)
	}
	close(stop)
	writers.Wait()
}

func tenThousand(t *testing.T, s *suite) {
	const total, writers = 10_000, 50
	all := make([]notes.Note, total)
	for i := range all {
		all[i] = s.newNote(fmt.Sprint("note ", i))
	}
	concurrently(writers, func(w int) {
		for i := w; i < total; i += writers {
			if _, err := s.store.Create(s.ctx, owner, all[i], nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	i := total
	for n, err := range s.store.Newest(s.ctx, owner, uuid.Max, 2*total) {
		s.noErr(err)
		i--
		s.wantEqual(n, all[i])
	}
	if i != 0 {
		t.Fatalf("walk misses the last %d notes", i)
	}
}

// largeNotes walks over more data than one call to a store's database may return (DynamoDB: 1 MB).
func largeNotes(t *testing.T, s *suite) {
	var want []notes.ID
	for range 10 {
		n := s.newNote("large")
		n.Content = strings.Repeat("é", notes.MaxContent/2)
		s.create(n)
		want = append([]notes.ID{n.ID}, want...)
	}
	s.wantIDs(s.ids(owner, uuid.Max, 100), want)
	s.wantIDs(s.ids(owner, uuid.Max, 7), want[:7])
	s.wantIDs(s.ids(owner, want[6], 100), want[7:])
}

func oneWinner(t *testing.T, s *suite) {
	n := s.newNote("contested")
	s.create(n)
	const writers = 20
	for version := int64(1); version <= 5; version++ {
		var won atomic.Int64
		concurrently(writers, func(i int) {
			patch := notes.Patch{Title: ptr(fmt.Sprintf("version %d by %d", version, i))}
			got, err := s.store.Update(s.ctx, owner, n.ID, patch, epoch, notes.Condition{OneOf: []int64{version}})
			var refusal *notes.PreconditionError
			switch {
			case err == nil && got.Version == version+1 && got.Title == *patch.Title:
				won.Add(1)
			case !errors.As(err, &refusal) || refusal.Current.Version <= version:
				t.Errorf("update returns version %d, error %v", got.Version, err)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d writers changed version %d, want 1", won.Load(), version)
		}
	}
}

func everyUpdateCounts(t *testing.T, s *suite) {
	n := s.newNote("counted")
	s.create(n)
	const writers = 50
	var seen sync.Map
	concurrently(writers, func(i int) {
		got, err := s.store.Update(s.ctx, owner, n.ID, notes.Patch{Content: ptr(fmt.Sprint(i))}, epoch,
			notes.Condition{})
		if err != nil {
			t.Error(err)
		} else if other, twice := seen.LoadOrStore(got.Version, i); twice {
			t.Errorf("%d and %d both got version %d", i, other, got.Version)
		} else if got.Content != fmt.Sprint(i) {
			t.Errorf("writer %d received another writer's note: %q", i, got.Content)
		}
	})
	got, err := s.store.Get(s.ctx, owner, n.ID)
	s.noErr(err)
	if got.Version != 1+writers {
		t.Fatalf("%d updates raised the version from 1 to %d", writers, got.Version)
	}
}

func patchesCombine(t *testing.T, s *suite) {
	for round := range 50 {
		n := s.newNote("patched")
		s.create(n)
		want := notes.Patch{Title: ptr(fmt.Sprint("t", round)), Content: ptr(fmt.Sprint("c", round)), Tags: &[]string{
			fmt.Sprint("g", round)}}
		patches := []notes.Patch{{Title: want.Title}, {Content: want.Content}, {Tags: want.Tags}}
		concurrently(3, func(i int) {
			if _, err := s.store.Update(s.ctx, owner, n.ID, patches[i], n.UpdatedAt, notes.Condition{}); err != nil {
				t.Error(err)
			}
		})
		n = want.Apply(n)
		n.Version = 4
		s.wantStored(n)
	}
}

// newKey returns an idempotency key used at epoch. Equal numbers mean equal requests.
func newKey(value string, number byte, expires time.Time) *notes.IdempotencyKey {
	return &notes.IdempotencyKey{Value: value, Request: [32]byte{number}, Now: epoch, Expires: expires}
}

// wantReplay asserts that a create with the key returns the note as it was first created, and creates none.
func (s *suite) wantReplay(first notes.Note, key *notes.IdempotencyKey) {
	s.Helper()
	before := s.ids(owner, uuid.Max, 1000)
	retry := s.newNote(first.Title)
	retry.Content, retry.Tags = first.Content, first.Tags
	got, err := s.store.Create(s.ctx, owner, retry, key)
	s.noErr(err)
	s.wantEqual(got, first)
	s.wantIDs(s.ids(owner, uuid.Max, 1000), before)
}

func keyReplays(t *testing.T, s *suite) {
	n := s.newNote("once")
	n.Content, n.Tags = "content", []string{"a", "b"}
	for _, value := range []string{"k", "K", strings.Repeat("~", 255), `"quoted"`, "k,k"} {
		n := n
		n.ID = s.newNote("").ID
		key := newKey(value, 1, epoch.Add(time.Hour))
		got, err := s.store.Create(s.ctx, owner, n, key)
		s.noErr(err)
		s.wantEqual(got, n)
		s.wantStored(n)
		s.wantReplay(n, key)
		_, err = s.store.Update(s.ctx, owner, n.ID, notes.Patch{Title: ptr("changed since")}, epoch.Add(time.Minute),
			notes.Condition{})
		s.noErr(err)
		s.wantReplay(n, key)
		later := newKey(value, 1, epoch.Add(2*time.Hour))
		s.wantReplay(n, later)
	}
}

func keyReused(t *testing.T, s *suite) {
	n := s.newNote("first")
	_, err := s.store.Create(s.ctx, owner, n, newKey("k", 1, epoch.Add(time.Hour)))
	s.noErr(err)
	_, err = s.store.Create(s.ctx, owner, s.newNote("second"), newKey("k", 2, epoch.Add(time.Hour)))
	s.wantErr(err, notes.ErrKeyReused)
	s.wantIDs(s.ids(owner, uuid.Max, 10), []notes.ID{n.ID})
	s.wantReplay(n, newKey("k", 1, epoch.Add(time.Hour))) // the refused call did not overwrite the key
	_, err = s.store.Create(s.ctx, owner, s.newNote("second"), newKey("other", 2, epoch.Add(time.Hour)))
	s.noErr(err)
	_, err = s.store.Create(s.ctx, owner, s.newNote("without a key"), nil)
	s.noErr(err)
}

func keyOfDeletedNote(t *testing.T, s *suite) {
	n := s.newNote("once")
	key := newKey("k", 1, epoch.Add(time.Hour))
	_, err := s.store.Create(s.ctx, owner, n, key)
	s.noErr(err)
	s.noErr(s.store.Delete(s.ctx, owner, n.ID, epoch.Add(time.Minute), notes.Condition{}))
	for range 2 {
		s.wantReplay(n, key)
		_, err = s.store.Get(s.ctx, owner, n.ID)
		s.wantErr(err, notes.ErrNotFound)
		s.wantErr(s.store.Delete(s.ctx, owner, n.ID, epoch.Add(time.Minute), notes.Condition{}), notes.ErrNotFound)
		_, err = s.store.Update(s.ctx, owner, n.ID, notes.Patch{Title: ptr("back")}, epoch.Add(time.Minute),
			notes.Condition{})
		s.wantErr(err, notes.ErrNotFound)
		s.wantIDs(s.ids(owner, uuid.Max, 10), nil)
	}
}

func keyExpires(t *testing.T, s *suite) {
	const keys = 30
	for i := range keys {
		_, err := s.store.Create(s.ctx, owner, s.newNote("first"), newKey(fmt.Sprint("k", i), 1, epoch.Add(time.Hour)))
		s.noErr(err)
	}
	// The key is valid up to and including the microsecond of its expiry. After that any note may use it.
	at := func(now time.Time, number byte) error {
		key := newKey("k7", number, now.Add(time.Hour))
		key.Now = now
		_, err := s.store.Create(s.ctx, owner, s.newNote("later"), key)
		return err
	}
	s.wantErr(at(epoch.Add(time.Hour), 2), notes.ErrKeyReused)
	s.noErr(at(epoch.Add(time.Hour+time.Microsecond), 2))
	s.wantErr(at(epoch.Add(time.Hour+time.Second), 1), notes.ErrKeyReused)
	// Creating new keys may remove expired ones, but never keys that are still valid.
	for i := range 2 * keys {
		key := newKey(fmt.Sprint("new", i), 1, epoch.Add(4*time.Hour))
		key.Now = epoch.Add(3 * time.Hour)
		_, err := s.store.Create(s.ctx, owner, s.newNote("much later"), key)
		s.noErr(err)
	}
	for i := range 2 * keys {
		key := newKey(fmt.Sprint("new", i), 2, epoch.Add(4*time.Hour))
		key.Now = epoch.Add(3 * time.Hour)
		_, err := s.store.Create(s.ctx, owner, s.newNote("another"), key)
		s.wantErr(err, notes.ErrKeyReused)
	}
}

func keysOfOwners(t *testing.T, s *suite) {
	for _, name := range []string{"a", "ab", "a\x00"} {
		for _, value := range []string{"k", "bk", "\x7fk"} {
			n := s.newNote(name)
			got, err := s.store.Create(s.ctx, name, n, newKey(value, 1, epoch.Add(time.Hour)))
			s.noErr(err)
			s.wantEqual(got, n)
		}
	}
}

func keyRace(t *testing.T, s *suite) {
	const racers = 20
	for round := range 10 {
		key := newKey(fmt.Sprint("race ", round), 1, epoch.Add(time.Hour))
		var answers sync.Map
		concurrently(racers, func(int) {
			got, err := s.store.Create(s.ctx, owner, s.newNote("raced"), key)
			if err != nil {
				t.Error(err)
			}
			answers.Store(got.ID, got.CreatedAt)
		})
		count := 0
		answers.Range(func(id, created any) bool {
			count++
			got, err := s.store.Get(s.ctx, owner, id.(notes.ID))
			s.noErr(err)
			if !got.CreatedAt.Equal(created.(time.Time)) {
				t.Errorf("the racers received the creation time %v, the note has %v", created, got.CreatedAt)
			}
			return true
		})
		if count != 1 {
			t.Fatalf("%d racers received %d different notes", racers, count)
		}
		if all := s.ids(owner, uuid.Max, 100); len(all) != round+1 {
			t.Fatalf("after %d races there are %d notes", round+1, len(all))
		}
	}
}

func keyRetried(t *testing.T, s *suite) {
	// A caller that received no answer repeats the identical call.
	n := s.newNote("once")
	key := newKey("k", 1, epoch.Add(time.Hour))
	for range 3 {
		got, err := s.store.Create(s.ctx, owner, n, key)
		s.noErr(err)
		s.wantEqual(got, n)
	}
	s.wantIDs(s.ids(owner, uuid.Max, 10), []notes.ID{n.ID})
}
