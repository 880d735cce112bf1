package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"

	"example.com/portable-notes/notes/meter"
)

// tracing makes a span for each request and for each call of the store.
type tracing struct {
	wrap    func(http.Handler) http.Handler
	seen    observer    // nil if no spans are made
	begin   meter.Begin // nil if no spans are made
	traceID func(*http.Request) string
	close   func(context.Context) error // sends the spans that are still buffered
}

// openTracing starts tracing by the standard variables of OpenTelemetry. It is nil in builds without the tag otel,
// since the packages that it needs make up a third of the program.
var openTracing func(ctx context.Context, version string, log *slog.Logger) (*tracing, error)

// startTracing starts tracing if the variables of OpenTelemetry request it. Otherwise no spans are made, and the log
// still has the trace id that a client sends.
func startTracing(ctx context.Context, log *slog.Logger) (*tracing, error) {
	switch {
	case tracesRequested() && openTracing != nil:
		t, err := openTracing(ctx, buildVersion().Version, log)
		if err != nil {
			return nil, fmt.Errorf("%w:\n%w", errUsage, err)
		}
		return t, nil
	case tracesRequested():
		log.Warn("OTEL_… variables request traces, but this build does not support them: build it with -tags otel")
	}
	return &tracing{wrap: func(h http.Handler) http.Handler { return h }, traceID: traceID,
		close: func(context.Context) error { return nil }}, nil
}

// shutdown sends the remaining spans.
func (t *tracing) shutdown(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := t.close(ctx); err != nil {
		log.Warn("cannot send the last traces", "error", err)
	}
}

// tracesRequested reports whether the variables of OpenTelemetry name an exporter or an endpoint for traces.
func tracesRequested() bool {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	return !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") && exporter != "none" &&
		(exporter != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
			os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
}

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}`)

// traceID returns the trace id in a request's traceparent header (https://www.w3.org/TR/trace-context/); "" if there is
// no valid one.
func traceID(r *http.Request) string {
	header := r.Header.Get("Traceparent")
	if header == "" {
		return ""
	}
	if match := traceparent.FindStringSubmatch(header); match != nil {
		return match[1]
	}
	return ""
}
