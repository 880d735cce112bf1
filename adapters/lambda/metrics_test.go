package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/meter"
)

// logLine is a request's line in the log, as CloudWatch reads it.
type logLine struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	all map[string]any
}

// TestMetrics: each request's line has the metrics of that request alone, in CloudWatch's embedded metric format.
func TestMetrics(t *testing.T) {
	var log bytes.Buffer
	f := &recorder{function: "notes-dev"}
	secret, configured, err := token.New("anna")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.Parse(configured, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	service := notes.NewService(meter.New(newFileStore(t), f.recordCall), time.Now, rand.Reader)
	fn := newAdapter(service, config{logKey: []byte("key")}, tokens.Caller, f,
		slog.New(idHandler{slog.NewJSONHandler(&log, nil)}))
	send := func(method, authorization, trace string) (l logLine) {
		t.Helper()
		log.Reset()
		event := `{"version":"2.0","rawPath":"/notes","headers":{"host":"x","content-type":"application/json",` +
			`"authorization":"` + authorization + `"},"body":"{\"title\":\"k4n4ry\"}",` +
			`"requestContext":{"http":{"method":"` + method + `","sourceIp":"127.0.0.1"},"stage":"$default"}}`
		//lint:ignore SA1029 aws-lambda-go uses this string as the key
		ctx := context.WithValue(t.Context(), "x-amzn-trace-id", trace)
		if _, err := fn.Invoke(ctx, []byte(event)); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(log.Bytes(), &l); err != nil || json.Unmarshal(log.Bytes(), &l.all) != nil {
			t.Fatalf("the line is %s: %v", &log, err)
		}
		if strings.Contains(log.String(), "k4n4ry") || strings.Contains(log.String(), "anna") ||
			strings.Contains(log.String(), "notes_") {
			t.Errorf("the line has a secret: %s", &log)
		}
		age := time.Since(time.UnixMilli(l.AWS.Timestamp))
		if len(l.AWS.CloudWatchMetrics) != 1 || l.AWS.CloudWatchMetrics[0].Namespace == "" || age < -time.Second ||
			age > time.Minute {
			t.Fatalf("the line is %s", &log)
		}
		m := l.AWS.CloudWatchMetrics[0]
		for _, dimension := range m.Dimensions[0] {
			if l.all[dimension] != "notes-dev" {
				t.Errorf("the dimension %s is %v", dimension, l.all[dimension])
			}
		}
		for _, metric := range m.Metrics {
			if value, ok := l.all[metric.Name].(float64); !ok || value < 0 {
				t.Errorf("the metric %s is %v", metric.Name, l.all[metric.Name])
			}
		}
		if len(m.Metrics) != 8 {
			t.Errorf("the metrics are %v", m.Metrics)
		}
		return l
	}
	is := func(l logLine, name string, want any) {
		t.Helper()
		if l.all[name] != want {
			t.Errorf("%s is %v, want %v", name, l.all[name], want)
		}
	}
	made := send("POST", "Bearer "+secret, "Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=1")
	is(made, "store_calls", 1.0)
	is(made, "failures", 0.0)
	is(made, "refusals", 0.0)
	is(made, "trace_id", "1-67891233-abcdef012345678912345678")
	if caller, _ := made.all["caller"].(string); len(caller) != 16 {
		t.Errorf("the caller is %v", made.all["caller"])
	}
	f.recordUnits(2, 3)
	read := send("GET", "Bearer "+secret, "nonsense\n")
	is(read, "store_calls", 1.0)
	is(read, "read_units", 2.0)
	is(read, "write_units", 3.0)
	is(read, "trace_id", nil)
	refused := send("GET", "Bearer x", "")
	is(refused, "store_calls", 0.0)
	is(refused, "read_units", 0.0)
	is(refused, "refusals", 1.0)
	is(refused, "refused", string(app.UnknownToken))
	is(refused, "caller", nil)
}
