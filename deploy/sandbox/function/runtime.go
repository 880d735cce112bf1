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
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/sandbox/process"
)

// runtime is a running bootstrap process of the function.
type runtime struct {
	cmd    *exec.Cmd
	idle   chan struct{} // receives when the process asks for an event
	events chan *event   // the event to hand to it
	ended  chan struct{} // closed when the process has ended

	cleanUp       func()       // removes what the process leaves behind
	peak          atomic.Int64 // memory in KiB
	initError     []byte       // body of its POST to /runtime/init/error
	initErrorType string       // error type in the header of that POST
}

// fault is a failure of a function, in Lambda's words. If body is set, the runtime itself posted it.
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
		panic(err) // strings always encode
	}
	return body
}

// status is the fault's part of a REPORT line; "" for a nil fault.
func (f *fault) status() string {
	switch {
	case f == nil:
		return ""
	case f.kind == "Sandbox.Timedout":
		return "Status: timeout"
	}
	return "Status: error\tError Type: " + f.kind
}

// kill kills the process group and waits until the process has ended.
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

// awaitIdle waits until the runtime asks for an event, and reports whether it does. It kills a runtime that does not
// within the limit.
func (r *runtime) awaitIdle(limit time.Duration) bool {
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

// start starts a process of the function: its bootstrap, or an interpreter with our runtime client.
func (e *environment) start() (*runtime, *fault) {
	folder, problem := e.pool.codeFolder(e.pool.config.CodeSha256)
	if problem != nil {
		return nil, problem
	}
	opt, problem := e.pool.layersFolder(e.pool.config)
	if problem != nil {
		return nil, problem
	}
	cmd, problem := e.command(folder, opt)
	if problem != nil {
		return nil, problem
	}
	end, begin := func() {}, func() error { return e.startProcess(cmd, folder, opt) }
	if e.usesDocker() {
		cmd, end = e.dockerCommand(folder, opt)
		begin = cmd.Start
	} else if problem := e.startExtensions(folder, opt); problem != nil {
		return nil, problem
	}
	r := &runtime{
		cmd:     cmd,
		cleanUp: end,
		idle:    make(chan struct{}),
		events:  make(chan *event),
		ended:   make(chan struct{}),
	}
	if err := begin(); err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return nil, &fault{kind: "Runtime.InvalidEntrypoint",
			message: fmt.Sprintf("fork/exec /var/task/bootstrap: %v", err)}
	}
	go r.watchMemory(int(*e.pool.config.MemorySize))
	go func() {
		_ = r.cmd.Wait()                     // r.cmd.ProcessState has the result
		process.KillGroup(r.cmd.Process.Pid) // descendants that are still running
		r.cleanUp()
		close(r.ended)
	}()
	return r, nil
}

// command returns the command that runs the function, under its wrapper script if it has one ("Modifying the runtime
// environment").
func (e *environment) command(folder, opt string) (*exec.Cmd, *fault) {
	cmd, problem := e.baseCommand(folder, opt)
	if e.pool.config.Environment == nil || problem != nil {
		return cmd, problem
	}
	wrapper := e.pool.config.Environment.Variables["AWS_LAMBDA_EXEC_WRAPPER"]
	if rest, ok := strings.CutPrefix(wrapper, "/opt/"); ok && opt != "" {
		wrapper = filepath.Join(opt, filepath.FromSlash(rest))
	} else if rest, ok := strings.CutPrefix(wrapper, "/var/task/"); ok {
		wrapper = filepath.Join(folder, filepath.FromSlash(rest))
	}
	if wrapper != "" {
		cmd = exec.Command(wrapper, cmd.Args...) // #nosec G204 -- the function's own script
	}
	return cmd, nil
}

// baseCommand returns the command that runs the function without a wrapper.
func (e *environment) baseCommand(folder, opt string) (*exec.Cmd, *fault) {
	bad := func(format string, values ...any) (*exec.Cmd, *fault) {
		return nil, &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	kind := string(e.pool.config.Runtime)
	if l := languageOf(kind); l != nil {
		i := e.pool.interpreter(l)
		if i.err != nil {
			return bad("%v", i.err)
		}
		flags := slices.Concat(l.flags, disablingFlags(e.pool.config, i.version), []string{i.client})
		return exec.Command(i.path, flags...), nil // #nosec G204 -- the function's interpreter
	}
	if !strings.HasPrefix(kind, "provided.") {
		return bad("the sandbox runs the runtimes provided.al2023, provided.al2, python3.9 to python3.14 and "+
			"nodejs18.x to nodejs24.x, but not %q", kind)
	}
	path := filepath.Join(folder, "bootstrap")
	if _, err := os.Stat(path); err != nil && opt != "" { // #nosec G703 -- a folder of ours
		path = filepath.Join(opt, "bootstrap")
	}
	if _, err := os.Stat(path); err != nil { // #nosec G703 -- a folder of ours
		return bad("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
	}
	if e.isForeign(path) {
		return bad("fork/exec /var/task/bootstrap: exec format error")
	}
	return exec.Command(path), nil // #nosec G204 G702 -- the sandbox exists to run the function
}

// usesDocker reports whether the function runs in a container.
func (e *environment) usesDocker() bool {
	return e.pool.host.Docker != "" && strings.HasPrefix(string(e.pool.config.Runtime), "provided.")
}

// isForeign reports whether a program is for another architecture than the function is configured for. Lambda goes by
// the configuration, whatever this machine can run.
func (e *environment) isForeign(path string) bool {
	program, err := elf.Open(path)
	if err != nil {
		return false // a script, or not a program at all
	}
	defer func() { _ = program.Close() }()
	want := elf.EM_X86_64
	if a := e.pool.config.Architectures; len(a) > 0 && a[0] == "arm64" {
		want = elf.EM_AARCH64
	}
	return program.Machine != want
}

// variables returns the variables that Lambda sets ("Defined runtime environment variables") and the function's own, as
// NAME=VALUE.
func (e *environment) variables(folder, opt string) []string {
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
	if opt != "" { // SANDBOX_OPT: the process may see the layers elsewhere than at /opt
		all = append(all, "SANDBOX_OPT="+opt, "LD_LIBRARY_PATH="+opt+"/lib",
			"PATH="+opt+"/bin:/usr/local/bin:/usr/bin:/bin")
	}
	if version, ok := strings.CutPrefix(string(c.Runtime), "nodejs"); ok {
		modules := []string{folder, filepath.Join(folder, "node_modules")}
		if opt != "" {
			modules = append(modules, filepath.Join(opt, "nodejs", "node"+strings.TrimSuffix(version, ".x"),
				"node_modules"),
				filepath.Join(opt, "nodejs", "node_modules"))
		}
		all = append(all, "NODE_PATH="+strings.Join(modules, string(os.PathListSeparator)))
	}
	if languageOf(string(c.Runtime)) != nil {
		all = append(all, "AWS_EXECUTION_ENV=AWS_Lambda_"+string(c.Runtime))
	}
	if l := c.LoggingConfig; l != nil && l.LogFormat != "" {
		all = append(all, "AWS_LAMBDA_LOG_FORMAT="+string(l.LogFormat),
			"AWS_LAMBDA_LOG_LEVEL="+string(l.ApplicationLogLevel))
	}
	if c.Environment != nil {
		for name, value := range c.Environment.Variables {
			if strings.HasPrefix(name, "AWS_ENDPOINT_URL") && cloud.IsLocal(&value) {
				value = "http://127.0.0.1:9" // on Lambda nothing listens on a function's loopback either
			}
			all = append(all, name+"="+value)
		}
	}
	return all
}

// handle passes an event to the process and waits for the outcome.
func (r *runtime) handle(v *event, deadline time.Time, timeout time.Duration, tell func(*event)) (Outcome, *fault) {
	v.deadline = deadline
	tell(v)
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
			select {
			case o := <-v.done: // it answered before it ended
				return o, nil
			default:
			}
			return Outcome{}, r.exitFault()
		case <-late.C:
			r.kill()
			return Outcome{}, &fault{
				kind: "Sandbox.Timedout",
				message: fmt.Sprintf("Task timed out after %.2f seconds",
					timeout.Seconds()),
			}
		}
	}
}

// exitFault is the fault of a process that ended instead of answering.
func (r *runtime) exitFault() *fault {
	if r.cmd.ProcessState.ExitCode() == 0 {
		return &fault{kind: "Runtime.ExitError", message: "Runtime exited without providing a reason"}
	}
	return &fault{kind: "Runtime.ExitError", message: "Runtime exited with error: " + r.cmd.ProcessState.String()}
}

// memory returns the peak memory of the process and its descendants in MiB; 0 if the system does not report it.
func (r *runtime) memory() int {
	if r == nil {
		return 0
	}
	return int(r.peak.Load() >> 10)
}

// watchMemory measures the process until it ends, and kills it if it exceeds the limit in MiB.
func (r *runtime) watchMemory(limit int) {
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for {
		used := residentKB(r.cmd.Process.Pid)
		r.peak.Store(max(r.peak.Load(), min(used, int64(limit)<<10)))
		if used > int64(limit)<<10 {
			process.KillGroup(r.cmd.Process.Pid)
		}
		select {
		case <-r.ended:
			return
		case <-every.C:
		}
	}
}

// residentKB returns the memory of a process and its descendants in KiB, without the files that they map, such as their
// programs. It returns 0 if the system does not report it.
func residentKB(pid int) (kB int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // #nosec G304 -- a process of ours
	for _, kind := range []string{"RssAnon:", "RssShmem:"} {
		_, rest, _ := bytes.Cut(status, []byte(kind))
		var some int64
		_, _ = fmt.Sscan(string(rest), &some) // stays 0 if the process has ended
		kB += some
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid,
		pid)) // #nosec G304 -- a process of ours
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			kB += residentKB(n)
		}
	}
	return kB
}

// runtimeAPI serves the Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
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
			_, _ = w.Write(v.Payload) // if this fails, the process has ended, and handle sees that
		case <-q.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{what}", func(w http.ResponseWriter, q *http.Request) {
		o := Outcome{Failed: q.PathValue("what") == "error"}
		var err error
		if o.Payload, err = io.ReadAll(http.MaxBytesReader(w, q.Body, MaxAnswer)); err != nil {
			o.Failed, o.Payload = true, []byte(
				`{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum `+
					`allowed payload size (6291556 bytes)."}`,
			)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		} else {
			w.WriteHeader(http.StatusAccepted)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if v := e.current; v != nil && v.id == q.PathValue("id") {
			select {
			case v.done <- o:
			default: // ignores a second answer
			}
		}
	})
	e.serveExtensions(mux)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(q.Body, MaxAnswer)) // ignores what cannot be read
		e.mu.Lock()
		if e.runtime != nil && json.Valid(body) {
			e.runtime.initError, e.runtime.initErrorType = body, q.Header.Get("Lambda-Runtime-Function-Error-Type")
		}
		e.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}
