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

// recorder records what the current request used. A function has one request at a time.
type recorder struct {
	function string // name of the function; the only dimension of the metrics

	mu    sync.Mutex
	usage usage
}

// usage is what the store calls of a request used.
type usage struct {
	calls       int
	took        time.Duration
	read, write float64 // DynamoDB capacity units
}

// metricsDirective declares the metrics in a line of the log, in CloudWatch's embedded metric format:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
// AWS charges for each combination of name and dimensions, so there is only one dimension.
const metricsDirective = `{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"portable-notes",` +
	`"Dimensions":[["function"]],"Metrics":[` +
	`{"Name":"requests","Unit":"Count"},{"Name":"failures","Unit":"Count"},{"Name":"refusals","Unit":"Count"},` +
	`{"Name":"duration","Unit":"Milliseconds"},` +
	`{"Name":"store_calls","Unit":"Count"},{"Name":"store_duration","Unit":"Milliseconds"},` +
	`{"Name":"read_units","Unit":"Count"},{"Name":"write_units","Unit":"Count"}]}]}`

// recordCall is a [meter.Begin] that records a call of the store.
func (r *recorder) recordCall(ctx context.Context, _ string) (context.Context, func(meter.Outcome)) {
	start := time.Now()
	return ctx, func(meter.Outcome) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.usage.calls++
		r.usage.took += time.Since(start)
	}
}

// recordUnits records the capacity units that a DynamoDB call consumed.
func (r *recorder) recordUnits(read, write float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage.read += read
	r.usage.write += write
}

// take returns what was recorded since the last call of take.
func (r *recorder) take() usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.usage
	r.usage = usage{}
	return u
}

// metricAttrs returns the attributes that make CloudWatch extract metrics from a request's line in the log.
func (r *recorder) metricAttrs(_ context.Context, s app.Seen) []slog.Attr {
	u := r.take()
	one := func(is bool) int { return map[bool]int{true: 1}[is] }
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return []slog.Attr{
		slog.Any("_aws", json.RawMessage(fmt.Sprintf(metricsDirective, time.Now().UnixMilli()))),
		slog.String("function", r.function), slog.Int("requests", 1),
		slog.Int("failures", one(s.Status >= http.StatusInternalServerError)),
		slog.Int("refusals", one(s.Refused != "")), slog.Float64("duration", ms(s.Took)),
		slog.Int("store_calls", u.calls), slog.Float64("store_duration", ms(u.took)),
		slog.Float64("read_units", u.read), slog.Float64("write_units", u.write),
	}
}

var traceRoot = regexp.MustCompile(`^Root=(1-[0-9a-f]{8}-[0-9a-f]{24})`)

// traceID returns the X-Ray trace id of a request; "" if there is none. The client may have chosen it.
func traceID(r *http.Request) string {
	header, _ := r.Context().Value("x-amzn-trace-id").(string) // set by aws-lambda-go
	if match := traceRoot.FindStringSubmatch(header); match != nil {
		return match[1]
	}
	return ""
}
