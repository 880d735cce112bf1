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

// KeyLifetime is how long an idempotency key is remembered. Clients are promised 24 hours; the extra hour allows for
// servers with different clocks.
const KeyLifetime = 25 * time.Hour

// Service implements the operations on notes. It is safe for concurrent use.
type Service struct {
	store Store
	rand  io.Reader
	clock clock
}

// NewService returns a service over a store. It reads the time from now, usually [time.Now], and uses its monotonic
// reading if there is one. The random bits of ids come from rand, usually crypto/rand.Reader. Both must be safe for
// concurrent use.
func NewService(store Store, now func() time.Time, rand io.Reader) *Service {
	return &Service{store: store, rand: rand, clock: newClock(now)}
}

// mint returns a UUIDv7 for t: 48 bits of milliseconds, 12 bits of the fraction of a millisecond (RFC 9562, section
// 6.2, method 3) and 62 random bits. A microsecond is at least four units of the fraction, so ids of different
// microseconds differ and sort by time.
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

// Create creates a note. The idempotency key has 1 to 255 bytes, or is "" for none. If the owner already created the
// same note with the same key within 24 hours, Create returns that note as it was created, and replayed is true.
// Errors: *InvalidError, ErrKeyReused, ErrUnavailable.
func (s *Service) Create(ctx context.Context, owner string, draft Draft, key string) (note Note, replayed bool,
	err error) {
	draft, mistakes := draft.Normalize()
	if err := mistakes.Err(ErrInvalidNote); err != nil {
		return Note{}, false, err
	}
	now := s.clock.now()
	id, err := s.mint(now.id)
	if err != nil {
		return Note{}, false, err
	}
	var once *IdempotencyKey
	if key != "" { // compare the earliest now with the latest expiry, so that a clock jump forgets no key early
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

// digest returns a hash of the draft.
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

// Change applies the patch to a note and returns the result. It increments the version even if no field differs.
// Errors: *InvalidError, ErrNotFound, *PreconditionError, ErrUnavailable.
func (s *Service) Change(ctx context.Context, owner string, id ID, patch Patch, cond Condition) (Note, error) {
	patch, mistakes := patch.Normalize()
	if err := mistakes.Err(ErrInvalidNote); err != nil {
		return Note{}, err
	}
	return s.store.Update(ctx, owner, id, patch, s.clock.now().stamp, cond)
}

// Delete removes a note. Errors: ErrNotFound, *PreconditionError, ErrUnavailable.
func (s *Service) Delete(ctx context.Context, owner string, id ID, cond Condition) error {
	return s.store.Delete(ctx, owner, id, s.clock.now().earliest, cond)
}

// Ready returns nil if the store can be used. It reads a note that nobody can own and, if the store has a Ready method,
// calls that first. Errors: ErrUnavailable and others.
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
