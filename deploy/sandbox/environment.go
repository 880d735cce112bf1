package sandbox

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Limits of Lambda ("Lambda quotas", "Lambda execution environment lifecycle").
const (
	initLimit = 10 * time.Second
	maxEvent  = 6 << 20   // bytes of an event
	maxAnswer = 6_291_556 // bytes of what a function returns
	maxTail   = 4 << 10   // bytes of the log that Invoke returns
)

// environment is an execution environment of a function: one runtime at a time, one event at a time.
type environment struct {
	pool    *pool
	key     string // of its session
	who     *session
	log     stream
	say     *os.File // the end of its output that is written to, by the runtime and by Lambda's own lines
	server  *http.Server
	fresh   bool          // no event yet
	drained chan struct{} // closed when all of the output was read

	mu      sync.Mutex
	marks   map[string]chan struct{} // what caughtUp waits for
	closed  bool
	runtime *runtime
	current *event
	tail    []byte // of the log, since the event began
}

// runtime is a process of the function's bootstrap.
type runtime struct {
	cmd    *exec.Cmd
	idle   chan struct{} // gives once it asks for an event
	events chan *event   // that one
	ended  chan struct{} // closed when the process has ended
	failed []byte        // what it said of its failed start
}

// event is an event for a function.
type event struct {
	id       string
	arn      string
	payload  []byte
	deadline time.Time
	done     chan outcome
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
	return jsonAnswer(0, map[string]string{"errorType": f.kind, "errorMessage": "RequestId: " + id + " Error: " + f.message}).body
}

func newEnvironment(p *pool) (*environment, error) {
	out, say, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_, _ = out.Close(), say.Close()
		return nil, err
	}
	name := *p.config.FunctionName
	e := &environment{
		pool: p, say: say, fresh: true, marks: map[string]chan struct{}{}, drained: make(chan struct{}),
		key: keyPrefix + rand.Text()[:12],
		who: &session{role: *p.config.Role, arn: "arn:" + partition(p.region) + ":sts::" + Account + ":assumed-role/" + roleName(*p.config.Role) + "/" + name},
	}
	group := "/aws/lambda/" + name
	if l := p.config.LoggingConfig; l != nil && l.LogGroup != nil {
		group = *l.LogGroup
	}
	e.log = stream{p.region, group, time.Now().UTC().Format("2006/01/02") + "/[" + *p.config.Version + "]" + strings.ReplaceAll(uuid.NewString(), "-", ""), e.who}
	p.s.mu.Lock()
	p.s.sessions[e.key] = e.who
	p.s.mu.Unlock()
	e.server = &http.Server{Addr: listener.Addr().String(), Handler: e.runtimeAPI(), ErrorLog: p.s.log, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(listener) }() // until it is closed
	go e.read(out)
	return e, nil
}

// end ends the environment, if need be in the middle of an event.
func (e *environment) end() {
	e.mu.Lock()
	e.closed = true
	r := e.runtime
	e.mu.Unlock()
	r.kill()
	_ = e.server.Close()
	_ = e.say.Close() // read ends when it has read all
	e.pool.s.mu.Lock()
	delete(e.pool.s.sessions, e.key)
	e.pool.s.mu.Unlock()
}

// kill ends a process and waits for its end.
func (r *runtime) kill() {
	if r.alive() {
		killGroup(r.cmd.Process.Pid)
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

// mark begins a line of the output that tells how far it was read, not what the function said. A line break goes before it,
// for what the function has not ended with one.
const mark = "\x1e"

// keyPrefix begins the access keys of functions' sessions.
const keyPrefix = "ASIASANDBOX"

// read passes the output on, line by line.
func (e *environment) read(out *os.File) {
	defer close(e.drained)
	defer func() { _ = out.Close() }()
	pass := func(text string) {
		e.pool.s.sink.write(e.log, text)
		e.mu.Lock()
		e.tail = append(append(e.tail, text...), '\n')
		e.tail = e.tail[max(0, len(e.tail)-maxTail):]
		e.mu.Unlock()
	}
	empty := false // the line before was; it is not the function's if a mark follows
	for lines := bufio.NewReaderSize(out, 256<<10); ; {
		text, _, err := lines.ReadLine() // a longer line is more than one, as CloudWatch Logs has it
		if err != nil {
			return
		}
		id, _ := strings.CutPrefix(string(text), mark)
		e.mu.Lock()
		reached := e.marks[id]
		delete(e.marks, id)
		e.mu.Unlock()
		if empty && reached == nil {
			pass("")
		}
		if empty = len(text) == 0; reached != nil {
			close(reached)
		} else if !empty {
			pass(string(text))
		}
	}
}

// caughtUp waits until all that was put out so far is read.
func (e *environment) caughtUp() {
	id, reached := uuid.NewString(), make(chan struct{})
	e.mu.Lock()
	e.marks[id] = reached
	e.mu.Unlock()
	if _, err := io.WriteString(e.say, "\n"+mark+id+"\n"); err != nil {
		return // the environment has ended
	}
	select {
	case <-reached:
	case <-e.drained:
	}
}

// line writes a line of Lambda's own between those of the function.
func (e *environment) line(format string, values ...any) {
	_, _ = fmt.Fprintf(e.say, format+"\n", values...) // lost only where the environment ends
}

// handle hands an event to the runtime, which is started first if there is none, and waits for what comes of it. The
// lines are those of "Lambda execution environment lifecycle" and "Logging for Lambda functions".
func (e *environment) handle(v *event) outcome {
	timeout := time.Duration(*e.pool.config.Timeout) * time.Second
	begin := time.Now()
	var problem *fault
	initTook := ""
	if !e.runtime.asks(timeout) { // a runtime may also have ended since it answered
		limit, phase := timeout, "invoke"
		if e.fresh {
			limit, phase = initLimit, "init"
		}
		if problem = e.boot(limit, phase); problem != nil && e.fresh { // Lambda tries once more, in the event's own time
			begin = time.Now()
			problem = e.boot(timeout, "invoke")
		} else if problem == nil && e.fresh {
			initTook = fmt.Sprintf("Init Duration: %.2f ms\t", ms(time.Since(begin)))
			begin = time.Now()
		}
	}
	e.fresh = false
	e.caughtUp()
	e.mu.Lock()
	e.tail, e.current = nil, v
	e.mu.Unlock()
	e.line("START RequestId: %s Version: %s", v.id, *e.pool.config.Version)
	o := outcome{failed: true, version: *e.pool.config.Version}
	if problem == nil {
		o, problem = e.runtime.handle(v, begin.Add(timeout), timeout)
		o.version = *e.pool.config.Version
	}
	if problem != nil {
		o.failed, o.payload = true, problem.payload(v.id)
		if problem.kind == "Sandbox.Timedout" {
			e.line("%s %s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), v.id, problem.message)
		} else {
			e.line("RequestId: %s Error: %s\n%s", v.id, problem.message, problem.kind)
		}
	}
	took := time.Since(begin)
	e.line("END RequestId: %s", v.id)
	e.line("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t%s", v.id, ms(took), took.Milliseconds()+1, *e.pool.config.MemorySize, e.runtime.memory(), initTook)
	e.caughtUp()
	e.mu.Lock()
	defer e.mu.Unlock()
	o.tail, e.current = e.tail, nil
	return o
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// boot starts a runtime and waits until it asks for an event.
func (e *environment) boot(limit time.Duration, phase string) *fault {
	begin := time.Now()
	e.mu.Lock() // so that it is known before it asks
	r, problem := (*runtime)(nil), &fault{kind: "Sandbox.Failure", message: "the sandbox ends"}
	if !e.closed {
		r, problem = e.start()
	}
	e.runtime = r
	e.mu.Unlock()
	if problem == nil {
		late := time.NewTimer(limit)
		defer late.Stop()
		select {
		case <-r.idle:
			return nil
		case <-r.ended:
			e.mu.Lock()
			problem = r.ending()
			problem.body = r.failed
			e.mu.Unlock()
		case <-late.C:
			r.kill()
			problem = &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())}
		}
	}
	status := "error\tError Type: " + problem.kind
	if problem.kind == "Sandbox.Timedout" {
		status = "timeout"
	}
	e.line("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s", ms(time.Since(begin)), phase, status)
	return problem
}

// start starts a process of the bootstrap.
func (e *environment) start() (*runtime, *fault) {
	folder, problem := e.pool.s.unpacked(e.pool.config.CodeSha256)
	if problem != nil {
		return nil, problem
	}
	bad := func(format string, values ...any) (*runtime, *fault) {
		return nil, &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	if kind := string(e.pool.config.Runtime); !strings.HasPrefix(kind, "provided.") {
		return bad("the sandbox runs functions of the runtimes provided.al2023 and provided.al2, this one is of %q", kind)
	}
	path := filepath.Join(folder, "bootstrap")
	if _, err := os.Stat(path); err != nil {
		return bad("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
	}
	if e.foreign(path) {
		return bad("fork/exec /var/task/bootstrap: exec format error")
	}
	r := &runtime{cmd: exec.Command(path), idle: make(chan struct{}), events: make(chan *event), ended: make(chan struct{})}
	r.cmd.Dir, r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr, r.cmd.SysProcAttr = folder, e.variables(folder), e.say, e.say, mortal()
	if err := r.cmd.Start(); err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return bad("fork/exec /var/task/bootstrap: %v", err)
	}
	go func() {
		_ = r.cmd.Wait()             // its state is kept
		killGroup(r.cmd.Process.Pid) // what it started, and left
		close(r.ended)
	}()
	return r, nil
}

// foreign tells whether a program is for another architecture than the function's, which decides on Lambda, whatever this
// machine can run.
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
		"AWS_LAMBDA_LOG_GROUP_NAME=" + e.log.group, "AWS_LAMBDA_LOG_STREAM_NAME=" + e.log.name,
		"AWS_REGION=" + e.pool.region, "AWS_DEFAULT_REGION=" + e.pool.region,
		"AWS_ACCESS_KEY_ID=" + e.key, "AWS_SECRET_ACCESS_KEY=" + rand.Text(), "AWS_SESSION_TOKEN=" + rand.Text(),
		"AWS_ENDPOINT_URL=" + e.pool.s.URL, "AWS_LAMBDA_RUNTIME_API=" + e.server.Addr, "_HANDLER=" + *cmp.Or(c.Handler, new(string)),
		"LAMBDA_TASK_ROOT=" + folder, "LAMBDA_RUNTIME_DIR=/var/runtime", "TZ=:UTC", "LANG=en_US.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin",
	}
	if c.Environment != nil {
		for name, value := range c.Environment.Variables {
			if strings.HasPrefix(name, "AWS_ENDPOINT_URL") && loopback(value) {
				value = "http://127.0.0.1:9" // a function's own loopback, where nothing listens on Lambda
			}
			all = append(all, name+"="+value)
		}
	}
	return all
}

// loopback tells whether a URL is of this machine.
func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// handle hands an event to the process and waits for what comes of it.
func (r *runtime) handle(v *event, deadline time.Time, timeout time.Duration) (outcome, *fault) {
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
			return outcome{}, r.ending()
		case <-late.C:
			r.kill()
			return outcome{}, &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds())}
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
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
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
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", v.arn)
			w.Header().Set("Lambda-Runtime-Trace-Id", traceID())
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(v.payload) // a runtime that is gone is seen to end
		case <-q.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{what}", func(w http.ResponseWriter, q *http.Request) {
		o := outcome{failed: q.PathValue("what") == "error"}
		var err error
		if o.payload, err = io.ReadAll(http.MaxBytesReader(w, q.Body, maxAnswer)); err != nil {
			o.failed, o.payload = true, []byte(`{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}`)
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
		body, _ := io.ReadAll(io.LimitReader(q.Body, maxAnswer)) // what there is of it
		e.mu.Lock()
		if e.runtime != nil && json.Valid(body) {
			e.runtime.failed = body
		}
		e.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// unpacked is the folder that a function's zip is unpacked to, once for all that have it.
func (s *Sandbox) unpacked(sha *string) (string, *fault) {
	bad := func(format string, values ...any) (string, *fault) {
		return "", &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	s.mu.Lock()
	packed := s.code[*cmp.Or(sha, new(string))]
	s.mu.Unlock()
	if packed == nil {
		return bad("the sandbox runs functions from a zip that was uploaded to it; this one has none")
	}
	s.unpacking.Lock()
	defer s.unpacking.Unlock()
	if s.ended.Load() {
		return bad("the sandbox ends")
	}
	folder := filepath.Join(s.folder, url.PathEscape(*sha))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return bad("the zip cannot be read: %v", err)
	}
	// A program that is being written cannot be run, and a process that is just being started holds it open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, file := range archive.File {
		if err := unpack(folder, file); err != nil {
			_ = os.RemoveAll(folder)
			return bad("the zip cannot be unpacked: %v", err)
		}
	}
	return folder, nil
}

func unpack(folder string, file *zip.File) error {
	if !filepath.IsLocal(file.Name) {
		return fmt.Errorf("%q is outside the folder", file.Name)
	}
	path := filepath.Join(folder, file.Name)
	if file.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, file.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// session is who signs with a key, if that is a function.
func (s *Sandbox) session(key string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[key]
}
