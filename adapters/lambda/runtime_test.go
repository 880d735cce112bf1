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

// lambdaRuntime simulates Lambda: it starts a bootstrap and passes it events through the Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
type lambdaRuntime struct {
	*exec.Cmd
	began  time.Time
	ready  chan time.Time // gets the time of the first request for an event
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

func (l *lambdaRuntime) output() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

// awaitLog waits until the log of the function has a text.
func (l *lambdaRuntime) awaitLog(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); !strings.Contains(l.output(), text); <-tick.C {
		if time.Now().After(end) {
			t.Errorf("the log does not have %s: %s", text, l.output())
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
	case i == nil: // the path is init/error
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
	_ = l.Process.Kill() // fails only if the process has ended
	<-l.ended
}

// invoke passes an event to the function, with a timeout, and returns its result.
func (l *lambdaRuntime) invoke(payload []byte, within time.Duration) ([]byte, error) {
	i := &invocation{id: uuid.NewString(), payload: payload, end: time.Now().Add(within), done: make(chan outcome, 1)}
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case l.events <- i:
	case <-l.ended:
		return nil, fmt.Errorf("the function ended: %s", l.output())
	case <-late.C:
		return nil, errors.New("Task timed out") // Lambda's wording
	}
	select {
	case o := <-i.done:
		return o.payload, o.err
	case <-l.ended:
		return nil, fmt.Errorf("the function ended: %s", l.output())
	case <-late.C:
		return nil, errors.New("Task timed out")
	}
}

// invokeDefault invokes the function with a timeout of 10 s.
func (l *lambdaRuntime) invokeDefault(payload []byte) ([]byte, error) {
	return l.invoke(payload, 10*time.Second)
}

var function struct {
	sync.Once
	dir string
	err error
}

// buildBootstrap builds the function once, as for Lambda, and returns the path of the program.
func buildBootstrap(t testing.TB) string {
	t.Helper()
	function.Do(func() {
		if function.dir, function.err = os.MkdirTemp("", "notes-lambda-"); function.err == nil {
			function.err = buildFunction(filepath.Join(function.dir, "bootstrap"), ".",
				"lambda.norpc,nethttpomithttp2")
		}
	})
	if function.err != nil {
		t.Fatal(function.err)
	}
	return filepath.Join(function.dir, "bootstrap")
}

func buildFunction(out, folder, tags string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-tags", tags, "-ldflags", "-s -w", "-o", out, folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

func runTests(m *testing.M) int {
	code := dynamotest.Main(m)
	if function.dir != "" {
		_ = os.RemoveAll(function.dir)
	}
	return code
}

// functionEnv returns the environment of a function that keeps its notes in a new table.
func functionEnv(t testing.TB) []string {
	t.Helper()
	cfg := dynamotest.Config(t)
	return append(dynamotest.Environment(cfg), "NOTES_AUTH=none", "NOTES_STORE=dynamodb:"+dynamotest.NewTable(t, cfg))
}

// TestBootstrap runs the program as Lambda does.
func TestBootstrap(t *testing.T) {
	storetest.NotWithRace(t)
	// With GO_API_HOST set, aws-lambda-go-api-proxy would rewrite every URL, and fail every request if it is invalid.
	l := startBootstrap(t, buildBootstrap(t), append(functionEnv(t), "GO_API_HOST=https://evil.example:x/%")...)
	g := gateways["NamedStage"]
	send := g.send(l.invokeDefault)
	r, err := http.NewRequest("POST", g.baseURL()+"/notes", strings.NewReader(`{"title":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := send(r)
	if err != nil || a.StatusCode != 201 || !strings.HasPrefix(a.Header.Get("Location"), "/dev/notes/") {
		t.Fatalf("%v, %v; log %s", a, err, l.output())
	}
	for _, says := range []string{`"gateway_request_id":"JKJaX`, `"lambda_request_id":"`, `"status":201`} {
		l.awaitLog(t, says)
	}
	for _, payload := range []string{`{}`, `{"warmer":true}`, `[]`} {
		if out, err := l.invokeDefault([]byte(payload)); err != nil || !bytes.Contains(out, []byte("statusCode")) {
			t.Errorf("%s: %s, %v", payload, out, err)
		}
	}
}

// TestBadSettings: with invalid settings, the program logs one line and exits with 1.
func TestBadSettings(t *testing.T) {
	storetest.NotWithRace(t)
	for name, environ := range map[string][]string{
		"file store": {"AWS_REGION=eu-central-1", "NOTES_STORE=bolt:/tmp/notes.db", "NOTES_LOG_LEVEL=x"},
		"no table":   append(functionEnv(t), "NOTES_STORE=dynamodb:nowhere"),
	} {
		l := startBootstrap(t, buildBootstrap(t), environ...)
		select {
		case <-l.ended:
		case <-l.ready:
			t.Errorf("%s: the function started", name)
			continue
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the function does not end", name)
		}
		if l.ProcessState.ExitCode() != 1 || strings.Count(l.output(), "\n") != 1 ||
			!strings.Contains(l.output(), `"msg":"the function cannot start"`) {
			t.Errorf("%s: exit code %d, log %s", name, l.ProcessState.ExitCode(), l.output())
		}
	}
}

// TestDeadlines: if the table hangs, the answer comes well before the function's timeout.
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
	l := startBootstrap(t, buildBootstrap(t), append(dynamotest.Environment(dynamotest.ConfigOf(server.URL)),
		"NOTES_AUTH=none", "NOTES_STORE=dynamodb:notes")...)
	select {
	case ready := <-l.ready:
		if took := ready.Sub(l.began); took > 4*time.Second {
			t.Errorf("the start waited %v for the table, want at most 4 s", took)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the function does not start: %s", l.output())
	}
	for _, within := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second} {
		for _, m := range []string{"GET", "POST"} {
			begin := time.Now()
			out, err := l.invoke(sampleEvent(t, func(e map[string]any) {
				setMethod(e, m)
				e["headers"].(map[string]any)["content-type"] = "application/json"
				e["body"] = `{"title":"x"}`
			}), within)
			if left := within - time.Since(begin); err != nil || !bytes.Contains(out, []byte(`"statusCode":503`)) ||
				left < 250*time.Millisecond {
				t.Errorf("timeout %v: %s is answered %v before it: %.200s, %v", within, m, left, out, err)
			}
		}
	}
}

// TestFreezeAndThaw: a function that was frozen between two events serves the second.
func TestFreezeAndThaw(t *testing.T) {
	l := startBootstrap(t, buildBootstrap(t), functionEnv(t)...)
	for range 20 {
		if out, err := l.invokeDefault(sampleEvent(t, nil)); err != nil ||
			!bytes.Contains(out, []byte(`"statusCode":200`)) {
			t.Fatalf("%s, %v", out, err)
		}
		freezeAndThaw(t, l.Process)
	}
}

// TestKilledBetweenEvents: after a kill, the next process serves the notes that were written before.
func TestKilledBetweenEvents(t *testing.T) {
	environ := functionEnv(t)
	for i := range 3 {
		l := startBootstrap(t, buildBootstrap(t), environ...)
		if out, err := l.invokeDefault(sampleEvent(t, func(e map[string]any) {
			setMethod(e, "POST")
			e["headers"].(map[string]any)["content-type"] = "application/json"
			e["body"] = `{"title":"x"}`
		})); err != nil || !bytes.Contains(out, []byte(`"statusCode":201`)) {
			t.Fatalf("%s, %v", out, err)
		}
		out, err := l.invokeDefault(sampleEvent(t, nil))
		if err != nil || bytes.Count(out, []byte(`\"title\":\"x\"`)) != i+1 {
			t.Errorf("process %d: %s, %v", i, out, err)
		}
		l.kill()
	}
}

// TestGeneratedEvents: no event, valid or not, makes the function exit or fail.
func TestGeneratedEvents(t *testing.T) {
	storetest.NotWithRace(t)
	fn, _ := newTestAdapter(newFileStore(t), "")
	l := startBootstrap(t, buildBootstrap(t), functionEnv(t)...)
	payloads := generateEvents(10_000)
	for i, payload := range payloads {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		out, err := fn.Invoke(ctx, payload)
		cancel()
		checkAnswer(t, payload, out, err)
		if i%20 == 0 { // also to the real program, through the Runtime API
			out, err := l.invokeDefault(payload)
			checkAnswer(t, payload, out, err)
		}
	}
}
