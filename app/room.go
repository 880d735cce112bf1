package app

import (
	"context"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"
)

const (
	// MinInFlight is the smallest bound of what is in flight, in bytes: a quarter of it has room for the largest list.
	MinInFlight = 24 << 20

	listRoom = 1 << 20  // for the notes of a page, before their answer is made
	freeRoom = 4 << 10  // fits the buffers that a connection has anyway, and is not counted
	bigBody  = 64 << 10 // from here on few bodies are read as JSON at once
	decoders = 4        // which takes up to 20 bytes for each byte of a body
)

// room bounds the bytes of request bodies and answers that are in memory at once, for all callers and for each one:
// a client that sends fast and reads slowly, or not at all, must not take the memory of the process.
type room struct {
	wait     time.Duration // the longest that a request waits for room, in all
	all      *semaphore.Weighted
	each     int64
	decoding *semaphore.Weighted

	mu      sync.Mutex
	callers map[string]*share
}

// share is what one caller has of the room.
type share struct {
	*semaphore.Weighted
	holds int // that use it
}

func newRoom(size int64, wait time.Duration) *room {
	return &room{
		wait: wait, all: semaphore.NewWeighted(size), each: size / 4, decoding: semaphore.NewWeighted(decoders),
		callers: map[string]*share{},
	}
}

// hold is the room that one request has. A nil hold has all that it asks for.
type hold struct {
	*room
	who   string
	share *share // nil until it is needed
	size  int64
	wait  time.Duration // how long it may still wait
}

func (r *room) hold(who string) *hold { return &hold{room: r, who: who, wait: r.wait} }

// resize gives the hold room for so many bytes in place of what it had. It waits for what it lacks. The error is
// noRoom; the hold then has what it had.
func (h *hold) resize(ctx context.Context, bytes int) error {
	if h.grow(bytes) {
		if h != nil && h.share != nil {
			h.shrink(h.counted(bytes))
		}
		return nil
	}
	more := h.counted(bytes) - h.size
	if err := h.acquire(ctx, h.share.Weighted, more); err != nil {
		return err
	}
	if err := h.acquire(ctx, h.all, more); err != nil {
		h.share.Release(more)
		return err
	}
	h.size += more
	return nil
}

// acquire waits for a part of a semaphore. All the waits of a hold share its time. The error is noRoom.
func (h *hold) acquire(ctx context.Context, s *semaphore.Weighted, part int64) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.wait)
	defer cancel()
	err := s.Acquire(ctx, part)
	h.wait -= time.Since(begin)
	if err != nil {
		return noRoom(context.Cause(ctx))
	}
	return nil
}

// counted returns what so many bytes take of the room: nothing where they are few, and at most what one caller may
// have.
func (h *hold) counted(bytes int) int64 {
	if bytes <= freeRoom {
		return 0
	}
	return min(int64(bytes), h.each)
}

// grow gives the hold room for so many bytes if that is free, and reports whether it has it.
func (h *hold) grow(bytes int) bool {
	if h == nil || h.counted(bytes) <= h.size {
		return true
	}
	if h.share == nil {
		h.enter()
	}
	more := h.counted(bytes) - h.size
	if !h.share.TryAcquire(more) {
		return false
	}
	if !h.all.TryAcquire(more) {
		h.share.Release(more)
		return false
	}
	h.size += more
	return true
}

// shrink gives back what is above size.
func (h *hold) shrink(size int64) {
	if size < h.size {
		h.share.Release(h.size - size)
		h.all.Release(h.size - size)
		h.size = size
	}
}

// enter finds the share of the hold's caller.
func (h *hold) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.share = h.callers[h.who]
	if h.share == nil {
		h.share = &share{Weighted: semaphore.NewWeighted(h.each)}
		h.callers[h.who] = h.share
	}
	h.share.holds++
}

// release gives all room back.
func (h *hold) release() {
	if h == nil || h.share == nil {
		return
	}
	h.shrink(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.share.holds--; h.share.holds == 0 {
		delete(h.callers, h.who)
	}
}

// decode calls read, which takes a body of so many bytes apart. Few large ones are taken apart at once: that takes many
// times their size for a moment, and is not faster with more processors than there are.
func (h *hold) decode(ctx context.Context, size int, read func() error) error {
	if h == nil || size < bigBody {
		return read()
	}
	if err := h.acquire(ctx, h.decoding, 1); err != nil {
		return err
	}
	defer h.decoding.Release(1)
	return read()
}

// holdRoom gives each request for the notes a hold of a room, which ends with the request. The holder is the caller, or
// the network of the request's address where callers are not known.
func holdRoom(size int64, wait time.Duration, known bool) echo.MiddlewareFunc {
	r := newRoom(size, wait)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who := ""
			if !known {
				who = network(c.RealIP())
			} else if caller, ok := c.Get(callerKey).(Caller); ok {
				who = caller.Owner
			}
			h := r.hold(who)
			defer h.release()
			c.Set(holdKey, h)
			return next(c)
		}
	}
}

// holdKey is the key under which a request's context has its hold.
const holdKey = "hold"

// holdOf returns the hold of a request.
func holdOf(c echo.Context) *hold {
	h, _ := c.Get(holdKey).(*hold)
	return h
}
