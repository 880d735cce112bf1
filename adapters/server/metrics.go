package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/meter"
)

// recorder records the server's metrics for Prometheus. Clients cannot choose labels, so the number of series is
// bounded by that of methods, routes, statuses and so on.
type recorder struct{ set *metrics.Set }

func init() { metrics.ExposeMetadata(true) }

func newRecorder() *recorder {
	r := &recorder{metrics.NewSet()}
	r.set.NewCounter(tokensFileRejected) // so that an alert sees the first rejection as a rise from 0
	return r
}

// tokensFileRejected is the counter of rejected changes of NOTES_TOKENS_FILE.
const tokensFileRejected = "notes_tokens_file_rejected_total" // #nosec G101 -- the name of a metric

// latencyBuckets are the upper bounds of the duration buckets in seconds. They range from a read of the file to the
// highest NOTES_REQUEST_TIMEOUT.
var latencyBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5,
	5, 10,
	25}

// writerBuckets are the upper bounds of the buckets for the number of writers that share a commit, which is at most
// 256.
var writerBuckets = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}

// recordRequest records an answered request.
func (r *recorder) recordRequest(s app.Seen) {
	labels := fmt.Sprintf(`{method=%q,route=%q`, s.Method, s.Route)
	r.set.GetOrCreateCounter(`notes_http_requests_total` + labels + `,status="` + strconv.Itoa(s.Status) + `"}`).Inc()
	r.set.GetOrCreatePrometheusHistogramExt(`notes_http_request_duration_seconds`+labels+`}`,
		latencyBuckets).Update(s.Took.Seconds())
	if s.Refused != "" {
		r.set.GetOrCreateCounter(fmt.Sprintf(`notes_tokens_refused_total{reason=%q}`, string(s.Refused))).Inc()
	}
}

// recordCall is a [meter.Begin] that records a call of the store.
func (r *recorder) recordCall(ctx context.Context, operation string) (context.Context, func(meter.Outcome)) {
	start := time.Now()
	return ctx, func(o meter.Outcome) {
		r.set.GetOrCreateCounter(fmt.Sprintf(`notes_store_calls_total{operation=%q,outcome=%q}`, operation, o)).Inc()
		r.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf(`notes_store_call_duration_seconds{operation=%q}`,
			operation), latencyBuckets).UpdateDuration(start)
	}
}

// recordUnits records the capacity units that a DynamoDB call consumed.
func (r *recorder) recordUnits(read, write float64) {
	r.set.GetOrCreateFloatCounter(`notes_dynamodb_units_total{kind="read"}`).Add(read)
	r.set.GetOrCreateFloatCounter(`notes_dynamodb_units_total{kind="write"}`).Add(write)
}

// recordCommit records a commit to the file that n writers shared.
func (r *recorder) recordCommit(n int) {
	r.set.GetOrCreatePrometheusHistogramExt(`notes_bolt_commit_writers`, writerBuckets).Update(float64(n))
}

// recordRejection records that a new version of NOTES_TOKENS_FILE was rejected.
func (r *recorder) recordRejection() { r.set.GetOrCreateCounter(tokensFileRejected).Inc() }

// write writes all metrics, including those of the process.
func (r *recorder) write(w io.Writer) {
	r.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

// observers are called for each request and for each call of the store.
type observers struct {
	requests []observer
	calls    []meter.Begin
}

// observer is called after a request was answered.
type observer func(context.Context, app.Seen)

func (o *observers) add(seen observer, begin meter.Begin) {
	if seen != nil {
		o.requests, o.calls = append(o.requests, seen), append(o.calls, begin)
	}
}

// wrap returns a store that reports its calls to all observers.
func (o *observers) wrap(store notes.Store) notes.Store {
	for _, begin := range o.calls {
		store = meter.New(store, begin)
	}
	return store
}

// observe returns an app.Options.Observe that calls all observers; nil if there are none.
func (o *observers) observe() func(context.Context, app.Seen) []slog.Attr {
	if o.requests == nil {
		return nil
	}
	return func(ctx context.Context, s app.Seen) []slog.Attr {
		for _, seen := range o.requests {
			seen(ctx, s)
		}
		return nil
	}
}
