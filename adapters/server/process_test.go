package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

// Most tests of this package run the program as a process, with its settings in the environment.

func TestMain(m *testing.M) {
	if fault := os.Getenv(controlFault); fault != "" {
		if err := runControl(fault); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(withDynamoDB{m}, goleak.Cleanup(func(code int) {
		if program.dir != "" {
			_ = os.RemoveAll(program.dir)
		}
		os.Exit(code)
	}))
}

// withDynamoDB runs the tests and then stops the DynamoDB Local that they may have started.
type withDynamoDB struct{ *testing.M }

func (m withDynamoDB) Run() int { return dynamotest.Main(m.M) }

var program struct {
	once sync.Once
	dir  string
	err  error
}

// concurrentTests has the names of the tests that also run with -race.
var concurrentTests sync.Map

// markConcurrent marks a test as one that also runs with -race, against a program built with -race. With -race, all
// other tests that run the program are skipped.
func markConcurrent(t testing.TB) { concurrentTests.Store(t.Name(), true) }

// buildServer builds the program once and returns its path.
func buildServer(t testing.TB) string {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	if _, ok := concurrentTests.Load(test); !ok {
		storetest.NotWithRace(t)
	}
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "notes-server-"); program.err != nil {
			return
		}
		build := []string{"build", "-o", program.dir, "."}
		if storetest.Race() { // on a data race such a program exits with 66 (https://go.dev/doc/articles/race_detector)
			build = slices.Insert(build, 1, "-race")
		}
		if out, err := exec.Command("go", build...).CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "server")
}

// process is a running server.
type process struct {
	*exec.Cmd
	url    string
	ended  chan struct{} // closed when the process has ended
	endErr error         // the result of Wait, once ended is closed

	mu     sync.Mutex
	stderr bytes.Buffer
}

// environment returns env after the variables of the test's own environment that are not settings of ours.
func environment(env ...string) []string {
	var own []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, settings.Prefix) {
			own = append(own, entry)
		}
	}
	return append(own, env...)
}

// startServer starts a server on a free port and waits until it listens.
func startServer(t testing.TB, file string, env ...string) *process {
	t.Helper()
	return startProgram(t, buildServer(t), file, env...)
}

// dynamoDBEnv returns the environment of a server that keeps its notes in a new table.
func dynamoDBEnv(t testing.TB) []string {
	t.Helper()
	cfg := dynamotest.Config(t)
	return append(dynamotest.Environment(cfg), "NOTES_STORE=dynamodb:"+dynamotest.NewTable(t, cfg))
}

// startControl starts this test binary as a server with a fault (see control_test.go).
func startControl(t testing.TB, fault, file string) *process {
	t.Helper()
	return startProgram(t, os.Args[0], file, controlFault+"="+fault)
}

func startProgram(t testing.TB, path, file string, env ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(path), ended: make(chan struct{})}
	p.Env = environment(append([]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_AUTH=none", "NOTES_LOG_FORMAT=text",
		"NOTES_STORE=bolt:" + file}, env...)...)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	listens := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			fmt.Fprintln(&p.stderr, lines.Text())
			p.mu.Unlock()
			if _, rest, ok := strings.Cut(lines.Text(), "listening on "); ok {
				url, _, _ := strings.Cut(rest, " ")
				listens <- url
			}
		}
		p.endErr = p.Wait()
		close(p.ended)
	}()
	select {
	case p.url = <-listens:
	case <-p.ended:
		t.Fatalf("the server did not start: %v: %s", p.endErr, p.output())
	case <-time.After(20 * time.Second):
		t.Fatalf("the server does not listen: %s", p.output())
	}
	return p
}

// output returns what the process has written to standard error so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// kill kills the process with SIGKILL and waits for its end.
func (p *process) kill() {
	_ = p.Process.Kill() // fails only if the process has ended
	<-p.ended
}

// signal sends a signal.
func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if runtime.GOOS == "windows" {
		p.kill()
		storetest.Lacks(t, "signals", errors.New("a process on Windows can only be killed"))
	}
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop sends a signal and waits until the process exits with 0.
func (p *process) stop(t testing.TB, signal os.Signal) {
	t.Helper()
	client.CloseIdleConnections() // else the server waits for them
	p.signal(t, signal)
	p.wait(t)
	if p.endErr != nil {
		t.Errorf("after the signal the server ended with %v: %s", p.endErr, p.output())
	}
}

func (p *process) wait(t testing.TB) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("the server does not end: %s", p.output())
	}
}

// runServer runs the program to its end and returns its exit code and output.
func runServer(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), buildServer(t), args...)
	cmd.Env = environment(env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	var exit *exec.ExitError
	if e := cmd.Run(); e != nil && !errors.As(e, &exit) {
		t.Fatal(e)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// client does not follow redirects.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body.String()
}

func post(t testing.TB, url, body string) (int, string) {
	t.Helper()
	answer, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text.String()
}
