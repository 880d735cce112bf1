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

// runtime is a process of the function's bootstrap.
type runtime struct {
	cmd    *exec.Cmd
	idle   chan struct{} // gives once it asks for an event
	events chan *event   // that one
	ended  chan struct{} // closed when the process has ended

	end     func()       // ends what the process leaves behind
	peak    atomic.Int64 // kB of memory
	failed  []byte       // what it said of its failed start
	failure string       // the type of that
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

// status is how the fault is said in lines of the log; "" for none.
func (f *fault) status() string {
	switch {
	case f == nil:
		return ""
	case f.kind == "Sandbox.Timedout":
		return "Status: timeout"
	}
	return "Status: error\tError Type: " + f.kind
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

// start starts a process of the function: its bootstrap, or an interpreter with a runtime client.
func (e *environment) start() (*runtime, *fault) {
	folder, problem := e.pool.unpacked(e.pool.config.CodeSha256)
	if problem != nil {
		return nil, problem
	}
	opt, problem := e.pool.opt(e.pool.config)
	if problem != nil {
		return nil, problem
	}
	cmd, problem := e.command(folder, opt)
	if problem != nil {
		return nil, problem
	}
	end, begin := func() {}, func() error { return e.startProcess(cmd, folder, opt) }
	if e.contained() {
		cmd, end = e.inDocker(folder, opt)
		begin = cmd.Start
	} else if problem := e.launch(folder, opt); problem != nil {
		return nil, problem
	}
	r := &runtime{
		cmd:    cmd,
		end:    end,
		idle:   make(chan struct{}),
		events: make(chan *event),
		ended:  make(chan struct{}),
	}
	if err := begin(); err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return nil, &fault{kind: "Runtime.InvalidEntrypoint",
			message: fmt.Sprintf("fork/exec /var/task/bootstrap: %v", err)}
	}
	go r.watch(int(*e.pool.config.MemorySize))
	go func() {
		_ = r.cmd.Wait()                     // its state is kept
		process.KillGroup(r.cmd.Process.Pid) // what it started, and left
		r.end()
		close(r.ended)
	}()
	return r, nil
}

// command is what runs the function: under a wrapper, if it is told one ("Modifying the runtime environment").
func (e *environment) command(folder, opt string) (*exec.Cmd, *fault) {
	cmd, problem := e.bare(folder, opt)
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
		cmd = exec.Command(wrapper, cmd.Args...) // #nosec G204 -- the function's, which is what a sandbox runs
	}
	return cmd, nil
}

// bare is what runs the function without a wrapper.
func (e *environment) bare(folder, opt string) (*exec.Cmd, *fault) {
	bad := func(format string, values ...any) (*exec.Cmd, *fault) {
		return nil, &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	kind := string(e.pool.config.Runtime)
	if l := languageOf(kind); l != nil {
		i := e.pool.interpreter(l)
		if i.err != nil {
			return bad("%v", i.err)
		}
		flags := slices.Concat(l.flags, disabled(e.pool.config, i.version), []string{i.client})
		return exec.Command(i.path, flags...), nil // #nosec G204 -- which runs the function
	}
	if !strings.HasPrefix(kind, "provided.") {
		return bad("the sandbox runs functions of the runtimes provided.al2023, provided.al2, python3.9 to "+
			"python3.14 and "+
			"nodejs18.x to nodejs24.x; this one is of %q", kind)
	}
	path := filepath.Join(folder, "bootstrap")
	if _, err := os.Stat(path); err != nil && opt != "" { // #nosec G703 -- of a folder and a process of ours
		path = filepath.Join(opt, "bootstrap")
	}
	if _, err := os.Stat(path); err != nil { // #nosec G703 -- of a folder and a process of ours
		return bad("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
	}
	if e.foreign(path) {
		return bad("fork/exec /var/task/bootstrap: exec format error")
	}
	return exec.Command(path), nil // #nosec G204 G702 -- the function, which is what a sandbox runs
}

// contained reports whether the function runs in a container.
func (e *environment) contained() bool {
	return e.pool.host.Docker != "" && strings.HasPrefix(string(e.pool.config.Runtime), "provided.")
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
	if opt != "" { // whose path a process sees is another one than /opt
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
				value = "http://127.0.0.1:9" // a function's own loopback, where nothing listens on Lambda
			}
			all = append(all, name+"="+value)
		}
	}
	return all
}

// handle hands an event to the process and waits for what comes of it.
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
			case o := <-v.done: // it has answered, and ended
				return o, nil
			default:
			}
			return Outcome{}, r.ending()
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

// ending is how the process ended.
func (r *runtime) ending() *fault {
	if r.cmd.ProcessState.ExitCode() == 0 {
		return &fault{kind: "Runtime.ExitError", message: "Runtime exited without providing a reason"}
	}
	return &fault{kind: "Runtime.ExitError", message: "Runtime exited with error: " + r.cmd.ProcessState.String()}
}

// memory is the most memory that the process and what it started had so far, in MB, where the system tells it.
func (r *runtime) memory() int {
	if r == nil {
		return 0
	}
	return int(r.peak.Load() >> 10)
}

// watch measures a process until it ends, and ends one that has more memory than its function: MB.
func (r *runtime) watch(limit int) {
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for {
		used := resident(r.cmd.Process.Pid)
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

// resident is the memory that a process and its children hold of their own, in kB: not the files that they map, such as
// their programs. 0 where the system does not tell.
func resident(pid int) (kB int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // #nosec G304 -- of a process of ours
	for _, kind := range []string{"RssAnon:", "RssShmem:"} {
		_, rest, _ := bytes.Cut(status, []byte(kind))
		var some int64
		_, _ = fmt.Sscan(string(rest), &some) // 0 where it has ended
		kB += some
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid,
		pid)) // #nosec G304 -- of a process of ours
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			kB += resident(n)
		}
	}
	return kB
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
			default: // a second answer
			}
		}
	})
	e.serveExtensions(mux)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(q.Body, MaxAnswer)) // what there is of it
		e.mu.Lock()
		if e.runtime != nil && json.Valid(body) {
			e.runtime.failed, e.runtime.failure = body, q.Header.Get("Lambda-Runtime-Function-Error-Type")
		}
		e.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}
