package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// retryable is an error that [Retry] retries.
type retryable struct{ error }

func (r retryable) Unwrap() error { return r.error }

// RetryLater marks an error as transient for [Retry].
func RetryLater(err error) error { return retryable{err} }

// Retry calls try until it succeeds or fails with an error that is not marked by [RetryLater]. The pauses between the
// calls grow, and Retry gives up after limit or when ctx ends. It returns the unmarked error of the last call; if ctx
// ended, its cause comes first.
func Retry(ctx context.Context, limit time.Duration, try func() error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 100*time.Millisecond, 5*time.Second
	var last error
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		var transient retryable
		if last = try(); last != nil && !errors.As(last, &transient) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(limit)) // its error says no more than last
	if transient, ok := last.(retryable); ok {
		if ctx.Err() != nil {
			return fmt.Errorf("%w while this was tried again: %w", context.Cause(ctx), transient.error)
		}
		return transient.error // callers must not retry it again
	}
	return last
}
