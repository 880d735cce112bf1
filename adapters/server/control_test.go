package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
)

// A proof that no fault can trip proves nothing. So each has a control: this test binary, run as a server with one
// fault, which the proof must catch.

// controlFault is the variable that makes this binary such a server; its value is the fault.
const controlFault = "NOTES_TEST_FAULT"

const (
	faultForgetful     = "forgetful"     // answers a create before it is on the disk
	faultUnconditional = "unconditional" // heeds no condition
	faultRewriting     = "rewriting"     // changes a note by reading it and writing it whole
	faultKeyless       = "keyless"       // forgets idempotency keys
	faultFragile       = "fragile"       // fails on a NUL in a content
	faultBareShutdown  = "bare-shutdown" // stops by http.Server.Shutdown alone
	faultBareGet       = "bare-get"      // has no notes: answers everything alike, to measure against
)

func control(fault string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := settings.Read(os.Environ(), all)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	store, err := bolt.Open(c.file, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	log, say := logger(c, os.Stderr)
	server := &http.Server{Handler: app.New(notes.NewService(store, time.Now, rand.Reader), app.Options{})}
	switch fault {
	case faultBareShutdown:
	case faultBareGet:
		server.Handler = bareGet()
	default:
		return serve(ctx, c, listener, faulty{store, fault}, newFigures(), nil, log, say)
	}
	say("listening on http://%s (stops carelessly)", listener.Addr())
	go server.Serve(listener)
	<-ctx.Done()
	return server.Shutdown(context.Background())
}

// faulty is a store with a fault.
type faulty struct {
	notes.Store
	fault string
}

func (f faulty) Create(ctx context.Context, owner string, note notes.Note, key *notes.IdempotencyKey) (notes.Note,
	error) {
	switch f.fault {
	case faultForgetful:
		time.AfterFunc(20*time.Millisecond, func() { _, _ = f.Store.Create(context.Background(), owner, note, key) })
		return note, nil
	case faultKeyless:
		key = nil
	case faultFragile:
		if strings.Contains(note.Content, "\x00") {
			return note, errors.New("cannot keep a NUL")
		}
	}
	return f.Store.Create(ctx, owner, note, key)
}

func (f faulty) Update(ctx context.Context, owner string, id notes.ID, patch notes.Patch, at time.Time,
	cond notes.Condition) (notes.Note, error) {
	switch f.fault {
	case faultUnconditional:
		cond = notes.Condition{}
	case faultRewriting:
		before, err := f.Get(ctx, owner, id)
		if err != nil {
			return notes.Note{}, err
		}
		after := patch.Apply(before)
		patch = notes.Patch{Title: &after.Title, Content: &after.Content, Tags: &after.Tags}
	}
	return f.Store.Update(ctx, owner, id, patch, at, cond)
}
