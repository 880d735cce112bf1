package function

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Limits of Lambda ("Lambda quotas", "Lambda execution environment lifecycle").
const (
	initLimit = 10 * time.Second
	maxTail   = 4 << 10 // bytes of the log that Invoke returns
)

// environment is an execution environment of a function. It runs one runtime and handles one event at a time.
type environment struct {
	pool    *pool
	session Session
	output  *os.File // write end of the log pipe, for the runtime and for Lambda's own lines
	server  *http.Server
	isNew   bool // has handled no event yet

	extensions extensions

	outputDone chan struct{} // closed when all output has been read

	mu      sync.Mutex
	marks   map[string]chan struct{} // closed when read reaches the mark, by its id
	closed  bool
	runtime *runtime
	current *event
	tail    []byte // end of the log since the event began
}

// event is an event in progress.
type event struct {
	Event
	id       string
	deadline time.Time
	done     chan Outcome
}

func newEnvironment(p *pool) (*environment, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_, _ = reader.Close(), writer.Close()
		return nil, err
	}
	e := &environment{
		pool: p, output: writer, isNew: true, marks: map[string]chan struct{}{}, outputDone: make(chan struct{}),
		session: p.host.Begin(p.region, p.config),
	}
	e.server = &http.Server{Addr: listener.Addr().String(), Handler: e.runtimeAPI(), ErrorLog: p.host.Log,
		ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(listener) }() // returns when the server is closed
	go e.read(reader)
	return e, nil
}

// end ends the environment, even in the middle of an event.
func (e *environment) end() {
	e.mu.Lock()
	e.closed = true
	r := e.runtime
	e.mu.Unlock()
	r.kill()
	e.extensions.kill()
	_ = e.server.Close()
	_ = e.output.Close() // read returns once it has read the rest
	e.session.End()
}

// mark begins a line that drainOutput writes to learn when the output before it has been read. A line break precedes
// it, because the function may have printed half a line.
const mark = "\x1e"

// read passes the output on to the session, line by line.
func (e *environment) read(out *os.File) {
	defer close(e.outputDone)
	defer func() { _ = out.Close() }()
	pass := func(text string) {
		e.session.Write(text)
		e.mu.Lock()
		e.tail = append(append(e.tail, text...), '\n')
		e.tail = e.tail[max(0, len(e.tail)-maxTail):]
		e.mu.Unlock()
	}
	empty := false // the previous line was empty; before a mark it is drainOutput's
	for lines := bufio.NewReaderSize(out, 256<<10); ; {
		text, _, err := lines.ReadLine() // splits longer lines, as CloudWatch Logs does
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

// drainOutput waits until all output so far has been read.
func (e *environment) drainOutput() {
	id, reached := uuid.NewString(), make(chan struct{})
	e.mu.Lock()
	e.marks[id] = reached
	e.mu.Unlock()
	if _, err := io.WriteString(e.output, "\n"+mark+id+"\n"); err != nil {
		return // the environment has ended
	}
	select {
	case <-reached:
	case <-e.outputDone:
	}
}

// logf writes one of Lambda's own log lines.
func (e *environment) logf(format string, values ...any) {
	_, _ = fmt.Fprintf(e.output, format+"\n", values...) // fails only when the environment ends
}

// handle passes an event to the runtime, which it starts if none runs, and waits for the outcome. It logs the lines of
// "Lambda execution environment lifecycle" and "Logging for Lambda functions".
func (e *environment) handle(v *event) Outcome {
	timeout := time.Duration(*e.pool.config.Timeout) * time.Second
	begin := time.Now()
	var problem *fault
	initTook := ""
	e.mu.Lock()
	e.tail = nil
	e.mu.Unlock()
	if !e.runtime.awaitIdle(timeout) { // it may have ended since its last answer
		limit, phase := timeout, "invoke"
		if e.isNew {
			limit, phase = initLimit, "init"
		}
		// After a failed init Lambda tries again, within the event's timeout.
		if problem = e.startRuntime(limit, phase); problem != nil && e.isNew {
			begin = time.Now()
			problem = e.startRuntime(timeout, "invoke")
		} else if problem == nil && e.isNew {
			initTook = fmt.Sprintf("Init Duration: %.2f ms\t", ms(time.Since(begin)))
			begin = time.Now()
		}
	}
	e.isNew = false
	e.drainOutput()
	e.mu.Lock()
	if e.current = v; problem == nil { // otherwise the tail shows why the start failed
		e.tail = nil
	}
	e.mu.Unlock()
	e.logf("START RequestId: %s Version: %s", v.id, *e.pool.config.Version)
	o := Outcome{Failed: true, Version: *e.pool.config.Version, ID: v.id}
	if problem == nil {
		o, problem = e.runtime.handle(v, begin.Add(timeout), timeout, e.extensions.notify)
		o.Version, o.ID = *e.pool.config.Version, v.id
	}
	if problem != nil {
		o.Failed, o.Payload = true, problem.payload(v.id)
		if problem.kind == "Sandbox.Timedout" {
			e.logf("%s %s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), v.id, problem.message)
		} else if problem.body == nil { // otherwise the runtime has logged it
			e.logf("RequestId: %s Error: %s\n%s", v.id, problem.message, problem.kind)
		}
	}
	took := time.Since(begin)
	e.logf("END RequestId: %s", v.id)
	e.logf(
		"REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d "+
			"MB\t%s%s",
		v.id,
		ms(took),
		took.Milliseconds()+1,
		*e.pool.config.MemorySize,
		e.runtime.memory(),
		initTook,
		problem.status(),
	)
	e.drainOutput()
	e.mu.Lock()
	defer e.mu.Unlock()
	o.Tail, e.current = e.tail, nil
	return o
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// startRuntime starts a runtime and waits until it asks for an event.
func (e *environment) startRuntime(limit time.Duration, phase string) *fault {
	begin := time.Now()
	if l := languageOf(string(e.pool.config.Runtime)); l != nil {
		if i := e.pool.interpreter(l); i.err == nil {
			e.logf("INIT_START Runtime Version: %s (%s %s of this machine)", e.pool.config.Runtime, l.name, i.version)
		}
	}
	e.mu.Lock() // until e.runtime is set: the runtime API looks it up
	r, problem := (*runtime)(nil), &fault{kind: "Sandbox.Failure", message: "the sandbox is shutting down"}
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
			problem = r.exitFault()
			problem.body, problem.kind = r.initError, cmp.Or(r.initErrorType, problem.kind)
			e.mu.Unlock()
		case <-late.C:
			r.kill()
			problem = &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds",
				limit.Seconds())}
		}
	}
	e.logf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\t%s", ms(time.Since(begin)), phase, problem.status())
	return problem
}
