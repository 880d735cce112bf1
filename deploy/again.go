package main

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// later is a failure that may end by itself.
type later struct{ error }

func (l later) Unwrap() error { return l.error }

// again tries something that fails with a [later] once more, after growing pauses, for at most a time. The error of the
// last try is returned, also where ctx has ended.
func again(ctx context.Context, limit time.Duration, try func() error) error {
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
