package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

// lambdaRuntime is Lambda on one machine: it starts a bootstrap and hands it events through the Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
type lambdaRuntime struct {
	*exec.Cmd
	began  time.Time
	ready  chan time.Time // the first request for an event
	events chan *invocation
	ended  chan struct{} // closed when the process has ended

	mu      sync.Mutex
	log     bytes.Buffer
	waiting map[string]*invocation
}

type invocation struct {
	id      string
	payload []byte
	end     time.Time
	done    chan outcome
}

type outcome struct {
	payload []byte
	err     error
}

func (l *lambdaRuntime) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

func (l *lambdaRuntime) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

// says waits until the log of the function holds a text.
func (l *lambdaRuntime) says(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); !strings.Contains(l.said(), text); <-tick.C {
		if time.Now().After(end) {
			t.Errorf("the log does not say %s: %s", text, l.said())
			return
		}
	}
}

const runtimePath = "/2018-06-01/runtime/"

func (l *lambdaRuntime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, runtimePath)
	if path == "invocation/next" {
		select {
		case l.ready <- time.Now():
		default:
		}
		select {
		case i := <-l.events:
			l.mu.Lock()
			l.waiting[i.id] = i
			l.mu.Unlock()
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(i.end.UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn",
				"arn:aws:lambda:eu-central-1:123456789012:function:notes")
			_, _ = w.Write(i.payload)
		case <-r.Context().Done():
		case <-l.ended:
		}
		return
	}
	body, _ := io.ReadAll(r.Body)
	parts := strings.Split(path, "/")
	l.mu.Lock()
	i := l.waiting[parts[min(1, len(parts)-1)]]
	l.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	switch {
	case i == nil: // init/error
		fmt.Fprintf(l, "%s: %s\n", path, body)
	case parts[2] == "response":
		i.done <- outcome{payload: body}
	default:
		i.done <- outcome{err: fmt.Errorf("function error: %s", body)}
	}
}

// startBootstrap starts a bootstrap with an environment.
func startBootstrap(t testing.TB, path string, environ ...string) *lambdaRuntime {
	t.Helper()
	l := &lambdaRuntime{ready: make(chan time.Time, 1), events: make(chan *invocation), ended: make(chan struct{}),
		waiting: map[string]*invocation{}}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.Cmd = exec.Command(path)
	l.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(server.URL, "http://"), "PATH=" +
		os.Getenv("PATH"), "AWS_LAMBDA_FUNCTION_NAME=notes", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "SSL_CERT_FILE=" +
		os.Getenv("SSL_CERT_FILE"), "SSL_CERT_DIR=" + os.Getenv("SSL_CERT_DIR")}, environ...)
	l.Stdout, l.Stderr = l, l
	l.began = time.Now()
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = l.Wait(); close(l.ended) }()
	t.Cleanup(l.kill)
	return l
}

func (l *lambdaRuntime) kill() {
	_ = l.Process.Kill() // fails only where it has ended
	<-l.ended
}

// invoke hands an event to the function, which has so long for it.
func (l *lambdaRuntime) invoke(payload []byte, within time.Duration) ([]byte, error) {
	i := &invocation{id: uuid.NewString(), payload: payload, end: time.Now().Add(within), done: make(chan outcome, 1)}
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case l.events <- i:
	case <-l.ended:
		return nil, fmt.Errorf("the function ended: %s", l.said())
	case <-late.C:
		return nil, errors.New("Task timed out") // as Lambda words it
	}
	select {
	case o := <-i.done:
		return o.payload, o.err
	case <-l.ended:
		return nil, fmt.Errorf("the function ended: %s", l.said())
	case <-late.C:
		return nil, errors.New("Task timed out")
	}
}

func (l *lambdaRuntime) tenSeconds(payload []byte) ([]byte, error) {
	return l.invoke(payload, 10*time.Second)
}

var program struct {
	sync.Once
	folder string
	err    error
}

// bootstrap is the function, built as for Lambda.
func bootstrap(t testing.TB) string {
	t.Helper()
	program.Do(func() {
		if program.folder, program.err = os.MkdirTemp("", "notes-lambda-"); program.err == nil {
			program.err = build(filepath.Join(program.folder, "bootstrap"), ".")
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.folder, "bootstrap")
}

func build(out, folder string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", out, folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

func testMain(m *testing.M) int {
	code := dynamotest.Main(m)
	if program.folder != "" {
		_ = os.RemoveAll(program.folder)
	}
	return code
}

// environment is what a function has whose notes are in a new table.
func environment(t testing.TB) []string {
	t.Helper()
	cfg := dynamotest.Config(t)
	return append(dynamotest.Environment(cfg), "NOTES_AUTH=none", "NOTES_STORE=dynamodb:"+dynamotest.NewTable(t, cfg))
}

// TestBootstrap: the program as Lambda runs it.
func TestBootstrap(t *testing.T) {
	storetest.NotWithRace(t)
	// The adapter rewrites every URL where GO_API_HOST is set, and one that is no URL fails every request.
	l := startBootstrap(t, bootstrap(t), append(environment(t), "GO_API_HOST=https://evil.example:x/%")...)
	g := gateways["NamedStage"]
	send := g.through(l.tenSeconds)
	r, err := http.NewRequest("POST", g.base()+"/notes", strings.NewReader(`{"title":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := send(r)
	if err != nil || a.StatusCode != 201 || !strings.HasPrefix(a.Header.Get("Location"), "/dev/notes/") {
		t.Fatalf("%v, %v; log %s", a, err, l.said())
	}
	for _, says := range []string{`"gateway_request_id":"JKJaX`, `"lambda_request_id":"`, `"status":201`} {
		l.says(t, says)
	}
	for _, payload := range []string{`{}`, `{"warmer":true}`, `[]`} {
		if out, err := l.tenSeconds([]byte(payload)); err != nil || !bytes.Contains(out, []byte("statusCode")) {
			t.Errorf("%s: %s, %v", payload, out, err)
		}
	}
}

// TestBootstrapDoesNotStart where its settings are wrong, and says so in one line.
func TestBootstrapDoesNotStart(t *testing.T) {
	storetest.NotWithRace(t)
	for name, environ := range map[string][]string{
		"file store": {"AWS_REGION=eu-central-1", "NOTES_STORE=bolt:/tmp/notes.db", "NOTES_LOG_LEVEL=x"},
		"no table":   append(environment(t), "NOTES_STORE=dynamodb:nowhere"),
	} {
		l := startBootstrap(t, bootstrap(t), environ...)
		select {
		case <-l.ended:
		case <-l.ready:
			t.Errorf("%s: the function starts", name)
			continue
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the function does not end", name)
		}
		if l.ProcessState.ExitCode() != 1 || strings.Count(l.said(), "\n") != 1 ||
			!strings.Contains(l.said(), `"msg":"the function cannot start"`) {
			t.Errorf("%s: exit code %d, log %s", name, l.ProcessState.ExitCode(), l.said())
		}
	}
}

// TestDeadlines: with a table that hangs, an answer comes well before the function's end.
func TestDeadlines(t *testing.T) {
	storetest.NotWithRace(t)
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	l := startBootstrap(t, bootstrap(t), append(dynamotest.Environment(dynamotest.ConfigOf(server.URL)),
		"NOTES_AUTH=none", "NOTES_STORE=dynamodb:notes")...)
	select {
	case ready := <-l.ready:
		if took := ready.Sub(l.began); took > 4*time.Second {
			t.Errorf("the start waits %v for the table", took)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the function does not start: %s", l.said())
	}
	for _, within := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second} {
		for _, m := range []string{"GET", "POST"} {
			begin := time.Now()
			out, err := l.invoke(sample(t, func(e map[string]any) {
				method(e, m)
				e["headers"].(map[string]any)["content-type"] = "application/json"
				e["body"] = `{"title":"x"}`
			}), within)
			if left := within - time.Since(begin); err != nil || !bytes.Contains(out, []byte(`"statusCode":503`)) ||
				left < 250*time.Millisecond {
				t.Errorf("with %v %s is answered %v before the end: %.200s, %v", within, m, left, out, err)
			}
		}
	}
}

// TestFreezeAndThaw: a function that was frozen between two events serves the next one.
func TestFreezeAndThaw(t *testing.T) {
	l := startBootstrap(t, bootstrap(t), environment(t)...)
	for range 20 {
		if out, err := l.tenSeconds(sample(t, nil)); err != nil || !bytes.Contains(out, []byte(`"statusCode":200`)) {
			t.Fatalf("%s, %v", out, err)
		}
		freeze(t, l.Process)
	}
}

// TestKilledBetweenEvents: Lambda starts another process, and the notes are there.
func TestKilledBetweenEvents(t *testing.T) {
	environ := environment(t)
	for i := range 3 {
		l := startBootstrap(t, bootstrap(t), environ...)
		if out, err := l.tenSeconds(sample(t, func(e map[string]any) {
			method(e, "POST")
			e["headers"].(map[string]any)["content-type"] = "application/json"
			e["body"] = `{"title":"x"}`
		})); err != nil || !bytes.Contains(out, []byte(`"statusCode":201`)) {
			t.Fatalf("%s, %v", out, err)
		}
		out, err := l.tenSeconds(sample(t, nil))
		if err != nil || bytes.Count(out, []byte(`\"title\":\"x\"`)) != i+1 {
			t.Errorf("process %d: %s, %v", i, out, err)
		}
		l.kill()
	}
}

// TestGeneratedEvents: nothing that looks like an event ends the function or makes it fail.
func TestGeneratedEvents(t *testing.T) {
	storetest.NotWithRace(t)
	d, _ := adapterOf(file(t), "")
	l := startBootstrap(t, bootstrap(t), environment(t)...)
	events := generated(10_000)
	for i, payload := range events {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		out, err := d.Invoke(ctx, payload)
		cancel()
		judge(t, payload, out, err)
		if i%20 == 0 { // and the real program, through the Runtime API
			out, err := l.tenSeconds(payload)
			judge(t, payload, out, err)
		}
	}
}
