package app

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// MinInFlight is the smallest allowed Options.MaxInFlight, in bytes: a quarter of it holds the largest page.
	MinInFlight = 24 << 20

	pageReserve = 1 << 20  // bytes reserved for the notes of a page before its size is known
	uncounted   = 4 << 10  // sizes up to this fit the connection's own buffers and are not counted
	largeBody   = 64 << 10 // bodies of this size or more are decoded by at most maxDecoders goroutines
	maxDecoders = 4        // decoding takes up to 20 bytes of memory for each byte of a body
)

// A budget bounds the bytes of request bodies and responses in memory, in total and for each caller, so that a client
// that sends fast and reads slowly cannot exhaust the memory of the process.
type budget struct {
	wait     time.Duration // the longest that one request waits for memory, in total
	total    *semaphore.Weighted
	each     int64 // bytes that one caller may reserve
	decoding *semaphore.Weighted

	mu      sync.Mutex
	callers map[string]*share
}

// A share is the part of a budget that one caller may reserve.
type share struct {
	*semaphore.Weighted
	users int // reservations that use the share
}

func newBudget(size int64, wait time.Duration) *budget {
	return &budget{
		wait: wait, total: semaphore.NewWeighted(size), each: size / 4, decoding: semaphore.NewWeighted(maxDecoders),
		callers: map[string]*share{},
	}
}

// A reservation is the memory that one request has reserved. A nil reservation grants everything.
type reservation struct {
	*budget
	caller string
	share  *share // nil until the first bytes are counted
	size   int64
	wait   time.Duration // how long the request may still wait
}

// reservation returns an empty reservation for a caller.
func (b *budget) reservation(caller string) *reservation {
	return &reservation{budget: b, caller: caller, wait: b.wait}
}

// resize changes the reservation to size bytes, and waits while the budget has too few. If it fails, it returns the
// error of overBudget and leaves the reservation unchanged.
func (r *reservation) resize(ctx context.Context, size int) error {
	if r.tryGrow(size) {
		if r != nil && r.share != nil {
			r.shrink(r.counted(size))
		}
		return nil
	}
	more := r.counted(size) - r.size
	if err := r.acquire(ctx, r.share.Weighted, more); err != nil {
		return err
	}
	if err := r.acquire(ctx, r.total, more); err != nil {
		r.share.Release(more)
		return err
	}
	r.size += more
	return nil
}

// acquire takes n from a semaphore and waits while it has less. All waits of a reservation share one timeout, after
// which acquire returns the error of overBudget.
func (r *reservation) acquire(ctx context.Context, s *semaphore.Weighted, n int64) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	err := s.Acquire(ctx, n)
	r.wait -= time.Since(begin)
	if err != nil {
		return overBudget(context.Cause(ctx))
	}
	return nil
}

// counted returns how much of the budget size bytes take: none up to uncounted, and never more than one caller's share.
func (r *reservation) counted(size int) int64 {
	if size <= uncounted {
		return 0
	}
	return min(int64(size), r.each)
}

// tryGrow grows the reservation to size bytes without waiting, and reports whether it now has as many.
func (r *reservation) tryGrow(size int) bool {
	if r == nil || r.counted(size) <= r.size {
		return true
	}
	if r.share == nil {
		r.findShare()
	}
	more := r.counted(size) - r.size
	if !r.share.TryAcquire(more) {
		return false
	}
	if !r.total.TryAcquire(more) {
		r.share.Release(more)
		return false
	}
	r.size += more
	return true
}

// shrink releases the bytes above size.
func (r *reservation) shrink(size int64) {
	if size < r.size {
		r.share.Release(r.size - size)
		r.total.Release(r.size - size)
		r.size = size
	}
}

// findShare sets the share of the reservation's caller, and creates it for the caller's first reservation.
func (r *reservation) findShare() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share = r.callers[r.caller]
	if r.share == nil {
		r.share = &share{Weighted: semaphore.NewWeighted(r.each)}
		r.callers[r.caller] = r.share
	}
	r.share.users++
}

// release releases the whole reservation, which must not be used again.
func (r *reservation) release() {
	if r == nil || r.share == nil {
		return
	}
	r.shrink(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.share.users--; r.share.users == 0 {
		delete(r.callers, r.caller)
	}
}

// decode calls read, which decodes a body of size bytes. At most maxDecoders large bodies are decoded at a time:
// decoding briefly takes many times their size, and more goroutines than processors do not make it faster.
func (r *reservation) decode(ctx context.Context, size int, read func() error) error {
	if r == nil || size < largeBody {
		return read()
	}
	if err := r.acquire(ctx, r.decoding, 1); err != nil {
		return err
	}
	defer r.decoding.Release(1)
	return read()
}
