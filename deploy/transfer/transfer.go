// Package transfer copies all notes and idempotency keys from one store to another.
package transfer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/portable-notes/notes"
)

// Store is a store that notes can move out of and into.
type Store interface {
	notes.Store
	Export(context.Context) iter.Seq2[notes.Record, error]
	Import(context.Context, notes.Record) error
}

// mover copies from one store to another.
type mover struct {
	from, to Store
	merge    bool
	out      io.Writer
	stays    map[place]bool // notes of the target that are left as they are
	cutoff   time.Time      // keys that expire before are not compared: a store may forget them meanwhile
}

// writersAtOnce is how many records are on their way at a time.
const writersAtOnce = 32

// Run copies all that from holds to to, and compares the two. It writes its progress to out. It refuses a target that
// holds notes, or versions of notes, that from does not have; with merge they stay as they are.
func Run(ctx context.Context, from, to Store, merge bool, out io.Writer) error {
	m := &mover{from: from, to: to, merge: merge, out: out, cutoff: time.Now().Add(time.Hour)}
	if err := m.refuse(ctx); err != nil {
		return err
	}
	// Keys first: a store may have to know a note's key before the note.
	for _, ofNotes := range []bool{false, true} {
		if err := m.copy(ctx, ofNotes); err != nil {
			return fmt.Errorf("the copy was cut short: run it again: %w", err)
		}
	}
	copied := map[place]bool{}
	source, err := m.tally(ctx, m.from, func(at place) bool { copied[at] = !m.stays[at]; return copied[at] })
	if err != nil {
		return err
	}
	target, err := m.tally(ctx, m.to, func(at place) bool { return copied[at] })
	if err != nil {
		return err
	}
	if len(m.stays) > 0 {
		fmt.Fprintf(m.out, "%d notes of the target are of later versions and stay\n", len(m.stays))
	}
	fmt.Fprintf(m.out, "from  %s\nto    %s\n", source, target)
	if source != target {
		return errors.New("the two sides differ: something was written meanwhile. Stop the service and run this again")
	}
	return nil
}

// place is where a record lies: under its owner, a note's id or a key's value.
type place struct{ owner, under string }

func placeOf(r notes.Record) place {
	if r.Note != nil {
		return place{r.Owner, "note " + string(r.Note.ID[:])}
	}
	return place{r.Owner, "key " + r.Key.Value}
}

// refuse tells why the target cannot be written to: it holds what the source does not. With merge that stays.
func (m *mover) refuse(ctx context.Context) error {
	m.stays = map[place]bool{}
	for r, err := range m.to.Export(ctx) {
		if err != nil {
			return err
		}
		if r.Note == nil {
			continue
		}
		n, err := m.from.Get(ctx, r.Owner, r.Note.ID)
		switch {
		case errors.Is(err, notes.ErrNotFound) && m.merge:
		case errors.Is(err, notes.ErrNotFound):
			return fmt.Errorf("the target holds other notes, such as %s, which the source does not have: name an "+
				"empty target, or keep them with --merge", r.Note.ID)
		case err != nil:
			return err
		case n.Version < r.Note.Version && m.merge:
			m.stays[placeOf(r)] = true
		case n.Version < r.Note.Version:
			return fmt.Errorf("the target holds later versions, such as of note %s: name an empty target, or keep "+
				"them with --merge", r.Note.ID)
		case n.Version == r.Note.Version && r.Sum() != (notes.Record{Owner: r.Owner, Note: &n}).Sum():
			return fmt.Errorf("note %s was changed on both sides since they were one: name an empty target", r.Note.ID)
		}
	}
	return nil
}

// copy copies all notes, or all keys.
func (m *mover) copy(ctx context.Context, ofNotes bool) error {
	what := "idempotency keys"
	if ofNotes {
		what = "notes"
	}
	var done atomic.Int64
	defer m.progress(what, &done)()
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(writersAtOnce)
	for r, err := range m.from.Export(ctx) {
		if err != nil {
			return errors.Join(err, writers.Wait())
		}
		if (r.Note != nil) != ofNotes || m.stays[placeOf(r)] {
			continue
		}
		writers.Go(func() error {
			err := m.to.Import(ctx, r)
			if err == nil {
				done.Add(1)
			}
			return err
		})
	}
	return writers.Wait()
}

// progress says every second how far a copy is, until the function that it returns is called.
func (m *mover) progress(what string, done *atomic.Int64) (stop func()) {
	end := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(m.out, "%d %s copied so far\n", done.Load(), what)
			case <-end:
				fmt.Fprintf(m.out, "%d %s copied\n", done.Load(), what)
				return
			}
		}
	})
	return func() { close(end); wait.Wait() }
}

// tally is what a store holds: counts, and a checksum that does not depend on the order.
type tally struct {
	notes, keys int
	sum         [32]byte
}

func (t tally) String() string {
	return fmt.Sprintf("notes %d, idempotency keys %d, checksum %s", t.notes, t.keys, hex.EncodeToString(t.sum[:]))
}

// tally counts what a store holds at the places that count.
func (m *mover) tally(ctx context.Context, of Store, counts func(place) bool) (t tally, err error) {
	for r, err := range of.Export(ctx) {
		if err != nil {
			return t, err
		}
		if r.Key != nil && r.Key.Expires.Before(m.cutoff) || !counts(placeOf(r)) {
			continue
		}
		if r.Note != nil {
			t.notes++
		} else {
			t.keys++
		}
		sum := r.Sum()
		for i := range t.sum {
			t.sum[i] ^= sum[i]
		}
	}
	return t, nil
}
