//go:build otel

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes/meter"
)

func init() { openTracing = newOTLPTracing }

// newOTLPTracing sends traces by OTLP over HTTP. The SDK and its exporter read their own environment variables
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Like the log, spans hold no
// path, no query and no text of a note.
func newOTLPTracing(ctx context.Context, version string, log *slog.Logger) (*tracing, error) {
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("cannot send traces", "error", err) }))
	if exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter != "" && exporter != "otlp" {
		return nil, errors.New("OTEL_TRACES_EXPORTER must be otlp or none")
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, errors.New(name + " must be http/protobuf")
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if u, err := url.Parse(os.Getenv(name)); os.Getenv(name) != "" &&
			(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			return nil, errors.New(name + " must be a URL, such as http://127.0.0.1:4318")
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("portable-notes"), semconv.ServiceVersion(version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	tracer := provider.Tracer("example.com/portable-notes/adapters/server")
	propagator := propagation.TraceContext{}
	return &tracing{
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
				// drop the trace state: it is text that the client chose
				ctx = trace.ContextWithRemoteSpanContext(ctx,
					trace.SpanContextFromContext(ctx).WithTraceState(trace.TraceState{}))
				ctx, span := tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
				defer span.End()
				next.ServeHTTP(w, r.WithContext(ctx))
			})
		},
		seen: func(ctx context.Context, s app.Seen) {
			span := trace.SpanFromContext(ctx)
			span.SetName(strings.TrimSpace(s.Method + " " + s.Route))
			span.SetAttributes(semconv.HTTPRequestMethodKey.String(s.Method), semconv.HTTPRoute(s.Route),
				semconv.HTTPResponseStatusCode(s.Status))
			if s.Status >= 500 {
				span.SetStatus(codes.Error, "")
			}
		},
		begin: func(ctx context.Context, operation string) (context.Context, func(meter.Outcome)) {
			ctx, span := tracer.Start(ctx, "store "+operation, trace.WithSpanKind(trace.SpanKindClient))
			return ctx, func(o meter.Outcome) {
				span.SetAttributes(attribute.String("outcome", string(o)))
				if o != meter.Fine {
					span.SetStatus(codes.Error, string(o))
				}
				span.End()
			}
		},
		traceID: func(r *http.Request) string {
			if s := trace.SpanContextFromContext(r.Context()); s.HasTraceID() {
				return s.TraceID().String()
			}
			return ""
		},
		close: provider.Shutdown,
	}, nil
}
