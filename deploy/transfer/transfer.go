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

// Source is a store that notes can be copied from.
type Source interface {
	Get(ctx context.Context, owner string, id notes.ID) (notes.Note, error)
	Export(context.Context) iter.Seq2[notes.Record, error]
}

// Store is a store that notes can be copied from and to.
type Store interface {
	Source
	Import(context.Context, notes.Record) error
}

// mover copies from one store to another.
type mover struct {
	from   Source
	to     Store
	merge  bool
	out    io.Writer
	notes  int64          // in the source; known after its idempotency keys were copied
	newer  map[place]bool // notes with a later version in the target; they are not copied
	cutoff time.Time      // keys that expire earlier are not compared, because a store may delete them meanwhile
}

// maxWriters is the number of concurrent writes.
const maxWriters = 32

// Run copies all records from one store to another, compares the two, and writes its progress to out. It returns an
// error if the target has notes, or later versions of notes, that the source lacks; with merge it keeps them.
func Run(ctx context.Context, from Source, to Store, merge bool, out io.Writer) error {
	m := &mover{from: from, to: to, merge: merge, out: out, cutoff: time.Now().Add(time.Hour)}
	if err := m.checkTarget(ctx); err != nil {
		return err
	}
	// Keys come first: a store may need a note's key before the note.
	for _, isNote := range []bool{false, true} {
		if err := m.copy(ctx, isNote); err != nil {
			if errors.Is(err, notes.ErrUnavailable) {
				return fmt.Errorf("the copy was interrupted: run it again: %w", err)
			}
			return fmt.Errorf("the copy is incomplete: %w", err)
		}
	}
	copied := map[place]bool{}
	source, err := m.tally(ctx, m.from, func(at place) bool { copied[at] = !m.newer[at]; return copied[at] })
	if err != nil {
		return err
	}
	target, err := m.tally(ctx, m.to, func(at place) bool { return copied[at] })
	if err != nil {
		return err
	}
	if len(m.newer) > 0 {
		fmt.Fprintf(m.out, "kept later versions of %d notes in the target\n", len(m.newer))
	}
	fmt.Fprintf(m.out, "from  %s\nto    %s\n", source, target)
	if source != target {
		return errors.New("the two stores differ, because one was written to meanwhile: stop the service and run " +
			"this again")
	}
	return nil
}

// place identifies a record: by its owner, and by the note's id or the key's value.
type place struct{ owner, id string }

func placeOf(r notes.Record) place {
	if r.Note != nil {
		return place{r.Owner, "note " + string(r.Note.ID[:])}
	}
	return place{r.Owner, "key " + r.Key.Value}
}

// checkTarget returns an error if copying would lose a note or a version of the target. With merge it records later
// versions in m.newer instead.
func (m *mover) checkTarget(ctx context.Context) error {
	m.newer = map[place]bool{}
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
			return fmt.Errorf("the target has notes that the source lacks, such as %s: name an "+
				"empty target, or keep them with --merge", r.Note.ID)
		case err != nil:
			return err
		case n.Version < r.Note.Version && m.merge:
			m.newer[placeOf(r)] = true
		case n.Version < r.Note.Version:
			return fmt.Errorf("the target has later versions of notes, such as %s: name an empty target, or keep "+
				"them with --merge", r.Note.ID)
		case n.Version == r.Note.Version && r.Sum() != (notes.Record{Owner: r.Owner, Note: &n}).Sum():
			return fmt.Errorf("note %s was changed in both stores since they were equal: name an empty target",
				r.Note.ID)
		}
	}
	return nil
}

// copy copies all notes, or all idempotency keys.
func (m *mover) copy(ctx context.Context, isNote bool) error {
	what := "idempotency keys"
	if isNote {
		what = "notes"
	}
	var done atomic.Int64
	defer m.progress(what, m.notes, &done)()
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(maxWriters)
	for r, err := range m.from.Export(ctx) {
		if err != nil {
			return errors.Join(err, writers.Wait())
		}
		if !isNote && r.Note != nil {
			m.notes++
		}
		if (r.Note != nil) != isNote || m.newer[placeOf(r)] {
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

// progress prints every second how many records were copied and about how long the rest takes, until stop is called. A
// total of 0 is not known.
func (m *mover) progress(what string, total int64, done *atomic.Int64) (stop func()) {
	begin := time.Now()
	end := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				n := done.Load()
				if n == 0 || total == 0 {
					fmt.Fprintf(m.out, "%d %s copied so far\n", n, what)
					continue
				}
				left := time.Duration(float64(time.Since(begin)) / float64(n) * float64(max(0, total-n)))
				fmt.Fprintf(m.out, "%d of %d %s copied, about %s left\n", n, total, what, left.Round(time.Second))
			case <-end:
				fmt.Fprintf(m.out, "%d %s copied\n", done.Load(), what)
				return
			}
		}
	})
	return func() { close(end); wait.Wait() }
}

// tally is the content of a store: counts, and a checksum that does not depend on the order of records.
type tally struct {
	notes, keys int
	sum         [32]byte
}

func (t tally) String() string {
	return fmt.Sprintf("notes %d, idempotency keys %d, checksum %s", t.notes, t.keys, hex.EncodeToString(t.sum[:]))
}

// tally sums up the records of a store that include selects.
func (m *mover) tally(ctx context.Context, store Source, include func(place) bool) (t tally, err error) {
	for r, err := range store.Export(ctx) {
		if err != nil {
			return t, err
		}
		if r.Key != nil && r.Key.Expires.Before(m.cutoff) || !include(placeOf(r)) {
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
