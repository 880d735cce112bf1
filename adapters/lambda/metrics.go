package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes/meter"
)

// figures are what the calls of one request used: a function has one request at a time.
type figures struct {
	function string // name, the one dimension

	mu   sync.Mutex
	used used
}

type used struct {
	calls       int
	took        time.Duration
	read, write float64 // units of DynamoDB
}

// metrics are what CloudWatch is told to make of a request's line in the log: its embedded metric format
// (CloudWatch user guide, "Specification: Embedded metric format").
// Each is paid for by name and dimension, so there is one dimension.
const metrics = `{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"portable-notes","Dimensions":[["function"]],` +
	`"Metrics":[` +
	`{"Name":"requests","Unit":"Count"},{"Name":"failures","Unit":"Count"},{"Name":"refusals","Unit":"Count"},` +
	`{"Name":"duration","Unit":"Milliseconds"},` +
	`{"Name":"store_calls","Unit":"Count"},{"Name":"store_duration","Unit":"Milliseconds"},` +
	`{"Name":"read_units","Unit":"Count"},{"Name":"write_units","Unit":"Count"}]}]}`

// begin counts a call of the store.
func (f *figures) begin(ctx context.Context, _ string) (context.Context, func(meter.Outcome)) {
	start := time.Now()
	return ctx, func(meter.Outcome) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.used.calls++
		f.used.took += time.Since(start)
	}
}

// units counts what calls of DynamoDB used.
func (f *figures) units(read, write float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used.read += read
	f.used.write += write
}

// take takes what was counted since.
func (f *figures) take() used {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.used
	f.used = used{}
	return u
}

// seen makes a request's line in the log one that CloudWatch counts.
func (f *figures) seen(_ context.Context, s app.Seen) []slog.Attr {
	u := f.take()
	one := func(is bool) int { return map[bool]int{true: 1}[is] }
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return []slog.Attr{
		slog.Any("_aws", json.RawMessage(fmt.Sprintf(metrics, time.Now().UnixMilli()))),
		slog.String("function", f.function), slog.Int("requests", 1),
		slog.Int("failures", one(s.Status >= http.StatusInternalServerError)),
		slog.Int("refusals", one(s.Refused != "")), slog.Float64("duration", ms(s.Took)),
		slog.Int("store_calls", u.calls), slog.Float64("store_duration", ms(u.took)),
		slog.Float64("read_units", u.read), slog.Float64("write_units", u.write),
	}
}

var traceRoot = regexp.MustCompile(`^Root=(1-[0-9a-f]{8}-[0-9a-f]{24})`)

// traceID is the id that X-Ray knows a request by; "" for none. Its sender may have chosen it.
func traceID(r *http.Request) string {
	header, _ := r.Context().Value("x-amzn-trace-id").(string) // as aws-lambda-go hands it on
	if match := traceRoot.FindStringSubmatch(header); match != nil {
		return match[1]
	}
	return ""
}
