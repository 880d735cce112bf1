package function

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/sandbox/process"
)

// runtime is a process of the function's bootstrap.
type runtime struct {
	cmd    *exec.Cmd
	idle   chan struct{} // gives once it asks for an event
	events chan *event   // that one
	ended  chan struct{} // closed when the process has ended
	failed []byte        // what it said of its failed start
}

// fault is why a function failed, by Lambda's words: kind and message, or what the runtime itself said.
type fault struct {
	kind, message string
	body          []byte
}

func (f *fault) payload(id string) []byte {
	if f.body != nil {
		return f.body
	}
	body, err := json.Marshal(map[string]string{"errorType": f.kind,
		"errorMessage": "RequestId: " + id + " Error: " + f.message})
	if err != nil {
		panic(err) // of texts
	}
	return body
}

// kill ends a process and waits for its end.
func (r *runtime) kill() {
	if r.alive() {
		process.KillGroup(r.cmd.Process.Pid)
		<-r.ended
	}
}

func (r *runtime) alive() bool {
	if r == nil {
		return false
	}
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// asks waits until the runtime asks for an event, and ends one that does not.
func (r *runtime) asks(limit time.Duration) bool {
	if r == nil {
		return false
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-r.idle:
		return true
	case <-r.ended:
	case <-late.C:
		r.kill()
	}
	return false
}

// start starts a process of the bootstrap.
func (e *environment) start() (*runtime, *fault) {
	folder, problem := e.pool.unpacked(e.pool.config.CodeSha256)
	if problem != nil {
		return nil, problem
	}
	bad := func(format string, values ...any) (*runtime, *fault) {
		return nil, &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	if kind := string(e.pool.config.Runtime); !strings.HasPrefix(kind, "provided.") {
		return bad("the sandbox runs functions of the runtimes provided.al2023 and provided.al2, this one is of %q",
			kind)
	}
	path := filepath.Join(folder, "bootstrap")
	if _, err := os.Stat(path); err != nil { // #nosec G703 -- of a folder and a process of ours
		return bad("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
	}
	if e.foreign(path) {
		return bad("fork/exec /var/task/bootstrap: exec format error")
	}
	r := &runtime{cmd: exec.Command(path), idle: make(chan struct{}), events: make(chan *event),
		ended: make(chan struct{})} // #nosec G204 G702 -- the function, which is what a sandbox runs
	r.cmd.Dir, r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr, r.cmd.SysProcAttr = folder, e.variables(folder), e.say, e.say,
		process.Mortal()
	if err := r.cmd.Start(); err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return bad("fork/exec /var/task/bootstrap: %v", err)
	}
	go func() {
		_ = r.cmd.Wait()                     // its state is kept
		process.KillGroup(r.cmd.Process.Pid) // what it started, and left
		close(r.ended)
	}()
	return r, nil
}

// foreign reports whether a program is for another architecture than the function is configured for. Lambda goes by the
// configuration, whatever this machine can run.
func (e *environment) foreign(path string) bool {
	program, err := elf.Open(path)
	if err != nil {
		return false // a script, or nothing that any machine runs
	}
	defer func() { _ = program.Close() }()
	want := elf.EM_X86_64
	if a := e.pool.config.Architectures; len(a) > 0 && a[0] == "arm64" {
		want = elf.EM_AARCH64
	}
	return program.Machine != want
}

// variables are what Lambda sets ("Defined runtime environment variables"), and the function's own.
func (e *environment) variables(folder string) []string {
	c := e.pool.config
	all := []string{
		"AWS_LAMBDA_FUNCTION_NAME=" + *c.FunctionName, "AWS_LAMBDA_FUNCTION_VERSION=" + *c.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + fmt.Sprint(*c.MemorySize), "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=" + e.session.Group, "AWS_LAMBDA_LOG_STREAM_NAME=" + e.session.Stream,
		"AWS_REGION=" + e.pool.region, "AWS_DEFAULT_REGION=" + e.pool.region,
		"AWS_ACCESS_KEY_ID=" + e.session.Key, "AWS_SECRET_ACCESS_KEY=" + rand.Text(), "AWS_SESSION_TOKEN=" +
			rand.Text(),
		"AWS_ENDPOINT_URL=" + e.pool.host.Endpoint, "AWS_LAMBDA_RUNTIME_API=" + e.server.Addr, "_HANDLER=" +
			*cmp.Or(c.Handler, new(string)),
		"LAMBDA_TASK_ROOT=" + folder, "LAMBDA_RUNTIME_DIR=/var/runtime", "TZ=:UTC", "LANG=en_US.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin",
	}
	if c.Environment != nil {
		for name, value := range c.Environment.Variables {
			if strings.HasPrefix(name, "AWS_ENDPOINT_URL") && cloud.IsLocal(&value) {
				value = "http://127.0.0.1:9" // a function's own loopback, where nothing listens on Lambda
			}
			all = append(all, name+"="+value)
		}
	}
	return all
}

// handle hands an event to the process and waits for what comes of it.
func (r *runtime) handle(v *event, deadline time.Time, timeout time.Duration) (Outcome, *fault) {
	v.deadline = deadline
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	events := r.events
	for {
		select {
		case events <- v:
			events = nil
		case o := <-v.done:
			return o, nil
		case <-r.ended:
			return Outcome{}, r.ending()
		case <-late.C:
			r.kill()
			return Outcome{}, &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds",
				timeout.Seconds())}
		}
	}
}

// ending is how the process ended.
func (r *runtime) ending() *fault {
	if r.cmd.ProcessState.ExitCode() == 0 {
		return &fault{kind: "Runtime.ExitError", message: "Runtime exited without providing a reason"}
	}
	return &fault{kind: "Runtime.ExitError", message: "Runtime exited with error: " + r.cmd.ProcessState.String()}
}

// memory is the most memory that the process had so far, in MB, where the system tells it.
func (r *runtime) memory() int {
	var kB int
	if r != nil {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status",
			r.cmd.Process.Pid)) // #nosec G703 -- of a folder and a process of ours
		_, peak, _ := bytes.Cut(status, []byte("VmHWM:"))
		_, _ = fmt.Sscan(string(peak), &kB) // 0 where it has ended
	}
	return kB >> 10
}

// runtimeAPI is the Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
func (e *environment) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, q *http.Request) {
		e.mu.Lock()
		r := e.runtime
		e.mu.Unlock()
		if r == nil {
			return
		}
		select {
		case r.idle <- struct{}{}:
		case <-q.Context().Done():
			return
		}
		select {
		case v := <-r.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", v.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(v.deadline.UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", v.ARN)
			w.Header().Set("Lambda-Runtime-Trace-Id", v.Trace)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(v.Payload) // a runtime that is gone is seen to end
		case <-q.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{what}", func(w http.ResponseWriter, q *http.Request) {
		o := Outcome{Failed: q.PathValue("what") == "error"}
		var err error
		if o.Payload, err = io.ReadAll(http.MaxBytesReader(w, q.Body, MaxAnswer)); err != nil {
			o.Failed, o.Payload = true, []byte(
				`{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum `+
					`allowed payload size (6291556 bytes)."}`)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		} else {
			w.WriteHeader(http.StatusAccepted)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if v := e.current; v != nil && v.id == q.PathValue("id") {
			select {
			case v.done <- o:
			default: // a second answer
			}
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(q.Body, MaxAnswer)) // what there is of it
		e.mu.Lock()
		if e.runtime != nil && json.Valid(body) {
			e.runtime.failed = body
		}
		e.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}
