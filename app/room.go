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
	wait     time.Duration // for room
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
}

// resize gives the hold room for so many bytes in place of what it had. It waits for what it lacks; the error is
// noRoom.
func (h *hold) resize(ctx context.Context, size int64) error {
	if h == nil || size <= freeRoom && h.size == 0 {
		return nil
	}
	if size = min(size, h.each); size <= h.size {
		h.share.Release(h.size - size)
		h.all.Release(h.size - size)
		h.size = size
		return nil
	}
	if h.grow(size) {
		return nil
	}
	more := size - h.size
	ctx, cancel := context.WithTimeout(ctx, h.wait)
	defer cancel()
	if h.share.Acquire(ctx, more) != nil {
		return noRoom()
	}
	if h.all.Acquire(ctx, more) != nil {
		h.share.Release(more)
		return noRoom()
	}
	h.size = size
	return nil
}

// grow gives the hold room for so many bytes if that is free, and reports whether it has it.
func (h *hold) grow(size int64) bool {
	if h == nil || size <= h.size || size <= freeRoom && h.size == 0 {
		return true
	}
	if h.share == nil {
		h.enter()
	}
	more := min(size, h.each) - h.size
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
	h.share.Release(h.size)
	h.all.Release(h.size)
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
	ctx, cancel := context.WithTimeout(ctx, h.wait)
	defer cancel()
	if h.decoding.Acquire(ctx, 1) != nil {
		return noRoom()
	}
	defer h.decoding.Release(1)
	return read()
}

// holdRoom gives each request for the notes a hold, which ends with the request.
func holdRoom(options Options) echo.MiddlewareFunc {
	if options.MaxInFlight == 0 {
		return func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	}
	r := newRoom(options.MaxInFlight, options.Timeout)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who := ""
			if options.Authenticate == nil {
				who = network(c.RealIP())
			} else if caller, known := c.Get(callerKey).(Caller); known {
				who = caller.Owner
			}
			h := &hold{room: r, who: who}
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
