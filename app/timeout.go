package app

import (
	"context"
	"sync"
	"time"
)

// withLazyTimeout is like [context.WithTimeout], but the timer starts only when something waits for the context to end.
// A read from the notes file waits for nothing, and the timer would take a seventh of the time of its request. The
// caller must call stop when it is done with the context. After stop, Value may return nil.
func withLazyTimeout(parent context.Context, timeout time.Duration) (ctx context.Context, stop func()) {
	t := &lazyTimeout{parent: parent, deadline: time.Now().Add(timeout)}
	return t, t.stop
}

type lazyTimeout struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex
	timed  context.Context // with the timer; nil until it starts
	cancel context.CancelFunc
}

// start returns the context with the timer.
func (t *lazyTimeout) start() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timed == nil {
		t.timed, t.cancel = context.WithDeadline(t.parent, t.deadline)
	}
	return t.timed
}

// stop cancels the context. If the timer has not started, it never does.
func (t *lazyTimeout) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timed == nil {
		t.timed, t.cancel = ended, func() {}
	}
	t.cancel()
}

// ended is a context that has been canceled.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// current returns the context with the timer, or the parent if the timer has not started.
func (t *lazyTimeout) current() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timed == nil {
		return t.parent
	}
	return t.timed
}

func (t *lazyTimeout) Deadline() (time.Time, bool) {
	if d, ok := t.parent.Deadline(); ok && d.Before(t.deadline) {
		return d, true
	}
	return t.deadline, true
}

func (t *lazyTimeout) Done() <-chan struct{} { return t.start().Done() }

// Err starts the timer after the deadline only to get context.DeadlineExceeded.
func (t *lazyTimeout) Err() error {
	if time.Until(t.deadline) <= 0 {
		return t.start().Err()
	}
	return t.current().Err()
}

// Value asks the context with the timer if there is one, because context.Cause finds the cause by Value.
func (t *lazyTimeout) Value(key any) any { return t.current().Value(key) }
