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

// tracing makes spans of requests and of the store's calls.
type tracing struct {
	wrap    func(http.Handler) http.Handler
	seen    observer // nil for none, and so is begin
	begin   meter.Begin
	traceID func(*http.Request) string
	close   func(context.Context) error // sends what there is
}

// openTracing reads the standard settings of OpenTelemetry; nil where they ask for nothing. The build tag otel brings
// it: what it links is a third of the program.
var openTracing func(ctx context.Context, version string, log *slog.Logger) (*tracing, error)

// startTracing begins to make spans, if the settings of OpenTelemetry ask for them. Else there is the id alone of the
// trace that a request's sender names.
func startTracing(ctx context.Context, log *slog.Logger) (*tracing, error) {
	switch {
	case asksForTraces() && openTracing != nil:
		t, err := openTracing(ctx, buildVersion().Version, log)
		if err != nil {
			return nil, fmt.Errorf("%w, the settings are wrong:\n%w", errUsage, err)
		}
		return t, nil
	case asksForTraces():
		log.Warn("the settings OTEL_… ask for traces, but this build makes none: build it with -tags otel")
	}
	return &tracing{wrap: func(h http.Handler) http.Handler { return h }, traceID: traceID,
		close: func(context.Context) error { return nil }}, nil
}

// end sends the last spans.
func (t *tracing) end(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := t.close(ctx); err != nil {
		log.Warn("the last traces could not be sent", "error", err)
	}
}

// asksForTraces reports whether the settings of OpenTelemetry name somebody to send traces to.
func asksForTraces() bool {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	return !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") && exporter != "none" &&
		(exporter != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
			os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
}

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}`)

// traceID is the trace that a request's sender names (W3C Trace Context, traceparent); "" for none.
func traceID(r *http.Request) string {
	header := r.Header.Get("traceparent")
	if header == "" {
		return ""
	}
	if match := traceparent.FindStringSubmatch(header); match != nil {
		return match[1]
	}
	return ""
}
