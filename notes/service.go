package notes

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// KeyLifetime is how long an idempotency key is remembered. Clients are promised 24 hours; the hour above them is for
// servers whose clocks differ.
const KeyLifetime = 25 * time.Hour

// Service is what can be done with notes. It may be used by many goroutines at once.
type Service struct {
	store Store
	rand  io.Reader
	clock clock
}

// NewService returns a service over a store. It reads the clock through now, whose monotonic reading it uses if there
// is one, and the random bits of ids from rand (crypto/rand.Reader); both must be fit for use by many goroutines at
// once.
func NewService(store Store, now func() time.Time, rand io.Reader) *Service {
	return &Service{store: store, rand: rand, clock: newClock(now)}
}

// mint makes the UUIDv7 of a moment: 48 bits of milliseconds, 12 bits of the fraction below (RFC 9562, section 6.2,
// method 3; one microsecond is at least four of its steps), 62 random bits.
func (s *Service) mint(t time.Time) (ID, error) {
	var id ID
	if _, err := io.ReadFull(s.rand, id[8:]); err != nil {
		return id, fmt.Errorf("read random bits for an id: %w", err)
	}
	fraction := t.UnixMicro() % 1000 * 4096 / 1000
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|0x7000|uint64(fraction))
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// Create makes a note. With an idempotency key (1 to 255 bytes, or "" for none) the same owner, key and note within 24
// hours return the note as it was first made, and replayed is true. Errors: *InvalidError, ErrKeyReused,
// ErrUnavailable.
func (s *Service) Create(ctx context.Context, owner string, draft Draft, key string) (note Note, replayed bool,
	err error) {
	draft, mistakes := draft.Normalize()
	if err := mistakes.About(ErrInvalidNote); err != nil {
		return Note{}, false, err
	}
	now := s.clock.moment()
	id, err := s.mint(now.id)
	if err != nil {
		return Note{}, false, err
	}
	var once *IdempotencyKey
	if key != "" { // a clock that jumps must not forget a key early: it lives from the latest time to the earliest
		once = &IdempotencyKey{
			Value: key, Request: draft.digest(), Now: now.earliest, Expires: now.latest.Add(KeyLifetime),
		}
	}
	note = Note{
		ID: id, Title: draft.Title, Content: draft.Content, Tags: draft.Tags,
		CreatedAt: now.stamp, UpdatedAt: now.stamp, Version: 1,
	}
	made, err := s.store.Create(ctx, owner, note, once)
	return made, made.ID != id, err
}

// digest tells drafts apart.
func (d Draft) digest() [32]byte {
	h := sha256.New()
	for _, field := range append([]string{d.Title, d.Content}, d.Tags...) {
		h.Write(binary.AppendUvarint(nil, uint64(len(field))))
		_, _ = io.WriteString(h, field)
	}
	return [32]byte(h.Sum(nil))
}

// Get returns a note. Errors: ErrNotFound, ErrUnavailable.
func (s *Service) Get(ctx context.Context, owner string, id ID) (Note, error) {
	return s.store.Get(ctx, owner, id)
}

// Change sets the fields of a note that the patch names, and returns the note after it. Every change counts, also one
// that sets what was there. Errors: *InvalidError, ErrNotFound, *PreconditionError, ErrUnavailable.
func (s *Service) Change(ctx context.Context, owner string, id ID, patch Patch, cond Condition) (Note, error) {
	patch, mistakes := patch.Normalize()
	if err := mistakes.About(ErrInvalidNote); err != nil {
		return Note{}, err
	}
	return s.store.Update(ctx, owner, id, patch, s.clock.moment().stamp, cond)
}

// Delete removes a note. Errors: ErrNotFound, *PreconditionError, ErrUnavailable.
func (s *Service) Delete(ctx context.Context, owner string, id ID, cond Condition) error {
	return s.store.Delete(ctx, owner, id, s.clock.moment().earliest, cond)
}

// Ready returns nil where the store answers a read, else ErrUnavailable or what else went wrong. It reads a note that
// nobody can own. A store that knows more of its state than a read shows has a method Ready of its own, which is asked
// too.
func (s *Service) Ready(ctx context.Context) error {
	if store, ok := s.store.(interface{ Ready(context.Context) error }); ok {
		if err := store.Ready(ctx); err != nil {
			return err
		}
	}
	_, err := s.store.Get(ctx, "readiness", uuid.Nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
