package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLazyTimeout(t *testing.T) {
	errGone := errors.New("the client has gone")
	uses := map[string]func(ctx context.Context){
		"unused":        func(context.Context) {},
		"timer started": func(ctx context.Context) { ctx.Done() },
		"parent of another": func(ctx context.Context) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			child.Done()
		},
	}
	ends := map[string]struct {
		end        func(leave context.CancelCauseFunc, stop func())
		err, cause error
		after      time.Duration
	}{
		"timeout": {func(context.CancelCauseFunc, func()) { time.Sleep(time.Second) },
			context.DeadlineExceeded, context.DeadlineExceeded, time.Second},
		"end of the parent": {func(leave context.CancelCauseFunc, _ func()) { leave(errGone) },
			context.Canceled, errGone, 0},
		"stop": {func(_ context.CancelCauseFunc, stop func()) { stop() }, context.Canceled, context.Canceled, 0},
	}
	type key struct{}
	for used, use := range uses {
		for end, c := range ends {
			t.Run(used+", "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					begin := time.Now()
					parent, leave := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
					defer leave(nil)
					ctx, stop := withLazyTimeout(parent, time.Second)
					defer stop()
					use(ctx)
					if ctx.Err() != nil || ctx.Value(key{}) != "value" {
						t.Errorf("at first, the error is %v and the value %v", ctx.Err(), ctx.Value(key{}))
					}
					c.end(leave, stop)
					synctest.Wait()
					if !errors.Is(ctx.Err(), c.err) || !errors.Is(context.Cause(ctx), c.cause) {
						t.Errorf("the error is %v and the cause %v", ctx.Err(), context.Cause(ctx))
					}
					<-ctx.Done()
					if time.Since(begin) != c.after {
						t.Errorf("it ended after %v", time.Since(begin))
					}
				})
			})
		}
	}
	t.Run("deadlines", func(t *testing.T) {
		parent, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Hour))
		defer cancel()
		later, _ := parent.Deadline()
		for timeout, want := range map[time.Duration]time.Time{
			time.Minute: later.Add(-59 * time.Minute), 2 * time.Hour: later,
		} {
			ctx, stop := withLazyTimeout(parent, timeout)
			defer stop()
			if at, ok := ctx.Deadline(); !ok || at.Sub(want).Abs() > time.Second {
				t.Errorf("%v: the deadline is %v, want %v", timeout, at, want)
			}
		}
	})
}
