package cloud

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// later is a failure that may end by itself.
type later struct{ error }

func (l later) Unwrap() error { return l.error }

// Later marks an error as one that may end by itself, for [Retry].
func Later(err error) error { return later{err} }

// Retry tries something that fails with [Later] once more, after growing pauses, for at most a time. The error of the
// last try is returned, also where ctx has ended.
func Retry(ctx context.Context, limit time.Duration, try func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 100*time.Millisecond, 5*time.Second
	var last error
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		var passes later
		if last = try(); last != nil && !errors.As(last, &passes) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(limit)) // whose error is the last one, or less
	if passes, ok := last.(later); ok {
		return passes.error // it is no longer for whoever called to try
	}
	return last
}
