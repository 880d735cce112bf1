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

// figures are what the server counts, in the format of Prometheus. No label is of a client's making: there are as
// many as there are methods, routes, statuses and so on, however many clients.
type figures struct{ set *metrics.Set }

func init() { metrics.ExposeMetadata(true) }

func newFigures() *figures {
	f := &figures{metrics.NewSet()}
	f.set.NewCounter(tokensFileRejected) // so that an alert sees the first one as a rise from 0
	return f
}

// tokensFileRejected counts changes of NOTES_TOKENS_FILE that were rejected.
const tokensFileRejected = "notes_tokens_file_rejected_total" // #nosec G101 -- the name of a figure

// latencies are the bounds of the buckets of durations, in seconds: from a read of the file to the most that a
// request may take.
var latencies = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
	25}

// writers are the bounds of the buckets of how many writers share a commit: at most 256.
var writers = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}

// seen counts a request that was answered.
func (f *figures) seen(s app.Seen) {
	labels := fmt.Sprintf(`{method=%q,route=%q`, s.Method, s.Route)
	f.set.GetOrCreateCounter(`notes_http_requests_total` + labels + `,status="` + strconv.Itoa(s.Status) + `"}`).Inc()
	f.set.GetOrCreatePrometheusHistogramExt(`notes_http_request_duration_seconds`+labels+`}`,
		latencies).Update(s.Took.Seconds())
	if s.Refused != "" {
		f.set.GetOrCreateCounter(fmt.Sprintf(`notes_tokens_refused_total{reason=%q}`, string(s.Refused))).Inc()
	}
}

// begin counts a call of the store.
func (f *figures) begin(ctx context.Context, operation string) (context.Context, func(meter.Outcome)) {
	start := time.Now()
	return ctx, func(o meter.Outcome) {
		f.set.GetOrCreateCounter(fmt.Sprintf(`notes_store_calls_total{operation=%q,outcome=%q}`, operation, o)).Inc()
		f.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf(`notes_store_call_duration_seconds{operation=%q}`,
			operation), latencies).UpdateDuration(start)
	}
}

// units counts what calls of DynamoDB used.
func (f *figures) units(read, write float64) {
	f.set.GetOrCreateFloatCounter(`notes_dynamodb_units_total{kind="read"}`).Add(read)
	f.set.GetOrCreateFloatCounter(`notes_dynamodb_units_total{kind="write"}`).Add(write)
}

// commit counts a commit to the file.
func (f *figures) commit(n int) {
	f.set.GetOrCreatePrometheusHistogramExt(`notes_bolt_commit_writers`, writers).Update(float64(n))
}

// tokensRejected counts a file of tokens that was rejected.
func (f *figures) tokensRejected() { f.set.GetOrCreateCounter(tokensFileRejected).Inc() }

// write shows all, with the process's own.
func (f *figures) write(w io.Writer) {
	f.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

// watching is who wants to know of requests and of the store's calls.
type watching struct {
	seen  []observer
	begin []meter.Begin
}

// observer is told of a request that was answered.
type observer func(context.Context, app.Seen)

func (w *watching) add(seen observer, begin meter.Begin) {
	if seen != nil {
		w.seen, w.begin = append(w.seen, seen), append(w.begin, begin)
	}
}

// store is a store of whose calls all are told.
func (w *watching) store(store notes.Store) notes.Store {
	for _, begin := range w.begin {
		store = meter.New(store, begin)
	}
	return store
}

// observe tells all of a request.
func (w *watching) observe() func(context.Context, app.Seen) []slog.Attr {
	if w.seen == nil {
		return nil
	}
	return func(ctx context.Context, s app.Seen) []slog.Attr {
		for _, seen := range w.seen {
			seen(ctx, s)
		}
		return nil
	}
}
