package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
)

// house is a store that notes can move out of and into.
type house interface {
	notes.Store
	Export(context.Context) iter.Seq2[notes.Record, error]
	Import(context.Context, notes.Record) error
}

func copyCommand() *cobra.Command {
	var merge bool
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "copy all notes and idempotency keys from one store to another",
		Long: `Copies notes with their owner, id, version and times, and what is remembered of idempotency keys. FROM and TO are
bolt:FILE or dynamodb:TABLE, as in NOTES_STORE. Stop the service first, so that nothing is written meanwhile. A copy that
was cut short is run again. The end is a count and a checksum of both sides.

A target that holds notes which FROM does not have, or later versions of them, is refused, unless --merge is given: then
they stay. Once a target is in service do not copy into it again: what was deleted there would come back.`,
		Example: "  deploy copy bolt:notes.db dynamodb:notes\n  deploy copy dynamodb:notes bolt:backup.db",
		Args:    exactly("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if args[0] == args[1] {
				return fmt.Errorf("%w: FROM and TO are both %s", errUsage, args[0])
			}
			from, closeFrom, err := openHouse(cmd.Context(), args[0], true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeFrom()) }()
			to, closeTo, err := openHouse(cmd.Context(), args[1], false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTo()) }()
			m := mover{from: from, to: to, merge: merge, out: cmd.OutOrStdout()}
			return m.move(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "keep notes that only the target has")
	return cmd
}

// openHouse opens a store by its name. A file that must exist is not made.
func openHouse(ctx context.Context, name string, mustExist bool) (house, func() error, error) {
	kind, place, _ := strings.Cut(name, ":")
	log := slog.New(slog.DiscardHandler)
	switch {
	case kind == "bolt" && place != "":
		if _, err := os.Stat(place); mustExist && err != nil {
			return nil, nil, fmt.Errorf("there is nothing to copy: %w", err)
		}
		store, err := bolt.Open(place, log)
		if err != nil {
			return nil, nil, err
		}
		return store, store.Close, nil
	case kind == "dynamodb" && place != "":
		cfg, err := cloud.LoadConfig(ctx)
		if err != nil {
			return nil, nil, err
		}
		store, err := dynamo.Open(ctx, cfg, place, log)
		if err != nil {
			return nil, nil, err
		}
		return store.Patient(), func() error { return nil }, nil
	}
	return nil, nil, fmt.Errorf("%w: a store is bolt:FILE or dynamodb:TABLE, %q is none", errUsage, name)
}

// mover copies from one store to another.
type mover struct {
	from, to house
	merge    bool
	out      io.Writer
	stays    map[place]bool // notes of the target that are left as they are
	cutoff   time.Time      // keys that expire before are not compared: a store may forget them meanwhile
}

// writersAtOnce is how many records are on their way at a time.
const writersAtOnce = 32

func (m *mover) move(ctx context.Context) error {
	m.cutoff = time.Now().Add(time.Hour)
	if err := m.refuse(ctx); err != nil {
		return err
	}
	// Keys first: a store may have to know a note's key before the note.
	for _, notes := range []bool{false, true} {
		if err := m.copy(ctx, notes); err != nil {
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
			return fmt.Errorf("the target holds other notes, such as %s, which the source does not have: name an empty target, or keep them with --merge", r.Note.ID)
		case err != nil:
			return err
		case n.Version < r.Note.Version && m.merge:
			m.stays[placeOf(r)] = true
		case n.Version < r.Note.Version:
			return fmt.Errorf("the target holds later versions, such as of note %s: name an empty target, or keep them with --merge", r.Note.ID)
		case n.Version == r.Note.Version && r.Sum() != (notes.Record{Owner: r.Owner, Note: &n}).Sum():
			return fmt.Errorf("note %s was changed on both sides since they were one: name an empty target", r.Note.ID)
		}
	}
	return nil
}

// copy copies all notes, or all keys.
func (m *mover) copy(ctx context.Context, notes bool) error {
	what := "idempotency keys"
	if notes {
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
		if (r.Note != nil) != notes || m.stays[placeOf(r)] {
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
func (m *mover) tally(ctx context.Context, of house, counts func(place) bool) (t tally, err error) {
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
