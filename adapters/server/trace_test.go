package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestTraces: a build with the tag otel sends spans of requests and store calls to a collector, within the traces of
// their clients. A build without the tag warns that it does not support traces.
func TestTraces(t *testing.T) {
	traced := filepath.Join(filepath.Dir(buildServer(t)), "traced")
	if out, err := exec.Command("go", "build", "-tags", "otel", "-o", traced, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var mu sync.Mutex
	var spans []*trace.Span
	var said strings.Builder
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s got a request that is not an export of traces: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		said.WriteString(request.String())
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(server.Close)
	settings := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL, "OTEL_BSP_SCHEDULE_DELAY=10",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test"}
	p := startProgram(t, traced, newFile(t), settings...)
	made := sendOnce(client, "POST", p.url+"/notes", `{"title":"k4n4ry"}`, "Traceparent",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate", "x=k4n4ry")
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	sendOnce(client, "GET", p.url+"/notes?q=k4n4ry", "", "X-Request-Id", "untraced")
	named := func() (names []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range spans {
			names = append(names, s.Name)
		}
		slices.Sort(names)
		return names
	}
	want := []string{"GET /notes", "POST /notes", "store create", "store list"}
	await(t, "the collector has four spans", 10*time.Second, func() bool { return len(named()) >= len(want) })
	if got := named(); !slices.Equal(got, want) {
		t.Errorf("spans are %v", got)
	}
	mu.Lock()
	for _, s := range spans {
		if (s.Name == "POST /notes" || s.Name == "store create") !=
			(string(s.TraceId) == "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36") {
			t.Errorf("%s is in the trace %x", s.Name, s.TraceId)
		}
	}
	if all := said.String(); strings.Contains(all, "k4n4ry") || !strings.Contains(all, "portable-notes") ||
		!strings.Contains(all, "deployment.environment") {
		t.Errorf("the collector got %s", all)
	}
	mu.Unlock()
	await(t, "the log has a trace id", 5*time.Second, func() bool {
		_, line, _ := strings.Cut(p.output(), "request_id=untraced")
		line, _, _ = strings.Cut(line, "\n")
		return strings.Contains(line, "trace_id=")
	})
	p.stop(t, os.Interrupt)

	server.Close() // the server works without its collector
	alone := startProgram(t, traced, newFile(t), settings...)
	if code, body := post(t, alone.url+"/notes", `{"title":"x"}`); code != 201 {
		t.Errorf("without the collector: %d %s", code, body)
	}
	alone.stop(t, os.Interrupt)
	off := startProgram(t, traced, newFile(t), append(settings, "OTEL_SDK_DISABLED=true")...)
	off.stop(t, os.Interrupt)
	if strings.Contains(off.output(), "traces") {
		t.Errorf("with OTEL_SDK_DISABLED=true the server prints %s", off.output())
	}
	plain := startServer(t, newFile(t), settings...)
	await(t, "the build without otel warns", 5*time.Second, func() bool {
		return strings.Contains(plain.output(), "build it with -tags otel")
	})
	for setting, says := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc":           "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf",
		"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318": "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL",
		"OTEL_TRACES_EXPORTER=zipkin":                "OTEL_TRACES_EXPORTER must be otlp or none",
	} {
		wrong := exec.Command(traced)
		wrong.Env = environment(append(settings, setting, "NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:"+newFile(t))...)
		if out, err := wrong.CombinedOutput(); wrong.ProcessState.ExitCode() != 2 ||
			!strings.Contains(string(out), says) {
			t.Errorf("with %s: %v %s", setting, err, out)
		}
	}
}
