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

// The tests below run the program as a person does: as a process, with its settings in the environment.

func TestMain(m *testing.M) {
	if fault := os.Getenv(controlFault); fault != "" {
		if err := control(fault); err != nil {
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

// withDynamoDB are the tests with a DynamoDB Local for those that ask for it.
type withDynamoDB struct{ *testing.M }

func (m withDynamoDB) Run() int { return dynamotest.Main(m.M) }

var program struct {
	once sync.Once
	dir  string
	err  error
}

// atOnce are the tests that do much at once, and are run with -race too.
var atOnce sync.Map

// muchAtOnce says that a test does much at once: with -race the program is built so too, and other tests are left out.
func muchAtOnce(t testing.TB) { atOnce.Store(t.Name(), true) }

// built is the path of the program, which is built once.
func built(t testing.TB) string {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	if _, ok := atOnce.Load(test); !ok {
		storetest.NotWithRace(t)
	}
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "notes-server-"); program.err != nil {
			return
		}
		build := []string{"build", "-o", program.dir, "."}
		if storetest.Race() { // then a race ends the program with 66 (GORACE, exitcode)
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

// process is a server that runs.
type process struct {
	*exec.Cmd
	url    string        // that it listens on
	ended  chan struct{} // closed when the process has ended
	endErr error         // how

	mu     sync.Mutex
	stderr bytes.Buffer
}

// environment is one in which no setting of the person who runs the tests counts.
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
	return startProgram(t, built(t), file, env...)
}

// onDynamoDB is what a server needs to keep its notes in a new table.
func onDynamoDB(t testing.TB) []string {
	t.Helper()
	cfg := dynamotest.Config(t)
	return append(dynamotest.Environment(cfg), "NOTES_STORE=dynamodb:"+dynamotest.NewTable(t, cfg))
}

// startControl starts a server that has a fault on purpose.
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
		t.Fatalf("the server ended at its start: %v: %s", p.endErr, p.said())
	case <-time.After(20 * time.Second):
		t.Fatalf("the server does not listen: %s", p.said())
	}
	return p
}

// said is what the process has written to standard error so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.Process.Kill() // fails only where it has ended
	<-p.ended
}

// stop sends a signal and waits for the end.
func (p *process) stop(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	if p.endErr != nil {
		t.Errorf("a server that was stopped ended with %v: %s", p.endErr, p.said())
	}
}

func (p *process) wait(t testing.TB) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("the server does not end: %s", p.said())
	}
}

// runs runs the program to its end and returns its exit code and output.
func runs(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), built(t), args...)
	cmd.Env = environment(env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	var exit *exec.ExitError
	if e := cmd.Run(); e != nil && !errors.As(e, &exit) {
		t.Fatal(e)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// client follows no redirect.
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
