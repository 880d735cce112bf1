package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// metric identifies a metric of CloudWatch. Its dimensions have the form NAME=VALUE and are separated by spaces.
type metric struct{ region, namespace, name, dimensions string }

// metrics counts events and regularly writes the counts to moto's CloudWatch.
type metrics struct {
	s    *Sandbox
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex
	counts map[metric]float64
}

// metricsInterval is the time between two writes.
const metricsInterval = 200 * time.Millisecond

func newMetrics(s *Sandbox) *metrics {
	m := &metrics{s: s, stop: make(chan struct{}), done: make(chan struct{}), counts: map[metric]float64{}}
	go m.run()
	return m
}

func (m *metrics) run() {
	defer close(m.done)
	every := time.NewTicker(metricsInterval)
	defer every.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-every.C:
			m.write()
		}
	}
}

func (m *metrics) close() {
	close(m.stop)
	<-m.done
}

// add adds n to a metric.
func (m *metrics) add(of metric, n float64) {
	m.mu.Lock()
	m.counts[of] += n
	m.mu.Unlock()
}

// write writes the counts to moto and clears them.
func (m *metrics) write() {
	m.mu.Lock()
	counts := m.counts
	m.counts = map[metric]float64{}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	now := time.Now()
	for of, n := range counts {
		dimensions := []map[string]string{}
		for _, dimension := range strings.Fields(of.dimensions) {
			name, value, _ := strings.Cut(dimension, "=")
			dimensions = append(dimensions, map[string]string{"Name": name, "Value": value})
		}
		header := http.Header{"Content-Type": {"application/x-amz-json-1.0"},
			"X-Amz-Target": {"GraniteServiceVersion20100801.PutMetricData"},
			"Authorization": {"AWS4-HMAC-SHA256 Credential=sandbox/20260101/" + of.region +
				"/monitoring/aws4_request, SignedHeaders=host, Signature=0"}}
		_, err := m.s.moto.do(ctx, http.MethodPost, "/", header, jsonAnswer(0, map[string]any{
			"Namespace": of.namespace, "MetricData": []any{map[string]any{"MetricName": of.name, "Value": n,
				"Unit":      "Count",
				"Timestamp": now.Unix(), "Dimensions": dimensions}}}).body)
		if err != nil {
			m.s.log.Printf("metrics are lost: %v", err)
			return
		}
	}
}

// countRequest counts a request for its API and its stage ("Working with metrics for HTTP APIs").
func (x *exchange) countRequest(status int) {
	if x.api == nil {
		return
	}
	api := "ApiId=" + *x.api.ApiId
	for _, dimensions := range []string{api, api + " Stage=" + *x.stage.StageName} {
		of := metric{region: x.region, namespace: "AWS/ApiGateway", name: "Count", dimensions: dimensions}
		x.s.metrics.add(of, 1)
		if class := status / 100; class == 4 || class == 5 {
			of.name = fmt.Sprintf("%dxx", class)
			x.s.metrics.add(of, 1)
		}
	}
}

// countEvent counts an event of a function ("Types of metrics for Lambda functions").
func (s *Sandbox) countEvent(region, name string, failed, throttled bool) {
	of := metric{region: region, namespace: "AWS/Lambda", name: "Invocations", dimensions: "FunctionName=" + name}
	if throttled {
		of.name = "Throttles"
	}
	s.metrics.add(of, 1)
	if failed && !throttled {
		of.name = "Errors"
		s.metrics.add(of, 1)
	}
}
