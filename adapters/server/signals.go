package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. A second signal ends the process at once. If
// both come at the same moment, [signal.NotifyContext] would lose the second.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // a signal from now on ends the process
		select {
		case second := <-signals: // it came before Stop
			self, err := os.FindProcess(os.Getpid())
			if err != nil || self.Signal(second) != nil { // Windows knows no signals
				os.Exit(1)
			}
		default:
		}
		cancel()
	}()
	return ctx, cancel
}
