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

// A proof that cannot fail proves nothing. So each proof has a control: this test binary, run as a server with one
// fault, which the proof must catch.

// controlFault is the environment variable that makes this binary such a server. Its value is the fault.
const controlFault = "NOTES_TEST_FAULT"

const (
	faultForgetful     = "forgetful"     // answers a create before it is on disk
	faultUnconditional = "unconditional" // ignores conditions
	faultRewriting     = "rewriting"     // updates a note by reading it and writing all of it
	faultKeyless       = "keyless"       // ignores idempotency keys
	faultFragile       = "fragile"       // fails on a NUL in the content
	faultBareShutdown  = "bare-shutdown" // stops by http.Server.Shutdown alone
	// not a fault: gives every request the same answer, as a baseline for benchmarks
	faultBareGet = "bare-get"
)

// runControl serves with a fault until it gets a signal.
func runControl(fault string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := settings.Read(os.Environ(), allSettings)
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
	log, announce := newLogger(c, os.Stderr)
	server := &http.Server{Handler: app.New(notes.NewService(store, time.Now, rand.Reader), app.Options{})}
	switch fault {
	case faultBareShutdown:
	case faultBareGet:
		server.Handler = newBareHandler()
	default:
		return serve(ctx, c, listener, faulty{store, fault}, newRecorder(), nil, log, announce)
	}
	announce("listening on http://%s (without a drain)", listener.Addr())
	go server.Serve(listener)
	<-ctx.Done()
	return server.Shutdown(context.Background())
}

// faulty is a store with one of the faults.
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
			return note, errors.New("cannot store a NUL")
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
