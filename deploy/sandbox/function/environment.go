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

// environment is an execution environment of a function: one runtime at a time, one event at a time.
type environment struct {
	pool    *pool
	session Session
	say     *os.File // the end of its output that is written to, by the runtime and by Lambda's own lines
	server  *http.Server
	fresh   bool // no event yet

	extensions extensions

	drained chan struct{} // closed when all of the output was read

	mu      sync.Mutex
	marks   map[string]chan struct{} // what caughtUp waits for
	closed  bool
	runtime *runtime
	current *event
	tail    []byte // of the log, since the event began
}

// event is an event under way.
type event struct {
	Event
	id       string
	deadline time.Time
	done     chan Outcome
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
	e := &environment{
		pool: p, say: say, fresh: true, marks: map[string]chan struct{}{}, drained: make(chan struct{}),
		session: p.host.Begin(p.region, p.config),
	}
	e.server = &http.Server{Addr: listener.Addr().String(), Handler: e.runtimeAPI(), ErrorLog: p.host.Log,
		ReadHeaderTimeout: 10 * time.Second}
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
	e.extensions.kill()
	_ = e.server.Close()
	_ = e.say.Close() // read ends when it has read all
	e.session.End()
}

// mark begins a line of the output that tells how far it was read, not what the function said. A line break goes before
// it, for what the function has not ended with one.
const mark = "\x1e"

// read passes the output on, line by line.
func (e *environment) read(out *os.File) {
	defer close(e.drained)
	defer func() { _ = out.Close() }()
	pass := func(text string) {
		e.session.Write(text)
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
func (e *environment) handle(v *event) Outcome {
	timeout := time.Duration(*e.pool.config.Timeout) * time.Second
	begin := time.Now()
	var problem *fault
	initTook := ""
	e.mu.Lock()
	e.tail = nil
	e.mu.Unlock()
	if !e.runtime.asks(timeout) { // a runtime may also have ended since it answered
		limit, phase := timeout, "invoke"
		if e.fresh {
			limit, phase = initLimit, "init"
		}
		// Lambda tries once more, in the event's own time
		if problem = e.boot(limit, phase); problem != nil && e.fresh {
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
	if e.current = v; problem == nil { // else its log is what tells why
		e.tail = nil
	}
	e.mu.Unlock()
	e.line("START RequestId: %s Version: %s", v.id, *e.pool.config.Version)
	o := Outcome{Failed: true, Version: *e.pool.config.Version, ID: v.id}
	if problem == nil {
		o, problem = e.runtime.handle(v, begin.Add(timeout), timeout, e.extensions.tell)
		o.Version, o.ID = *e.pool.config.Version, v.id
	}
	if problem != nil {
		o.Failed, o.Payload = true, problem.payload(v.id)
		if problem.kind == "Sandbox.Timedout" {
			e.line("%s %s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), v.id, problem.message)
		} else if problem.body == nil { // else the runtime has said it
			e.line("RequestId: %s Error: %s\n%s", v.id, problem.message, problem.kind)
		}
	}
	took := time.Since(begin)
	e.line("END RequestId: %s", v.id)
	e.line(
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
	e.caughtUp()
	e.mu.Lock()
	defer e.mu.Unlock()
	o.Tail, e.current = e.tail, nil
	return o
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// boot starts a runtime and waits until it asks for an event.
func (e *environment) boot(limit time.Duration, phase string) *fault {
	begin := time.Now()
	if l := languageOf(string(e.pool.config.Runtime)); l != nil {
		if i := e.pool.interpreter(l); i.err == nil {
			e.line("INIT_START Runtime Version: %s (%s %s of this machine)", e.pool.config.Runtime, l.name, i.version)
		}
	}
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
			problem.body, problem.kind = r.failed, cmp.Or(r.failure, problem.kind)
			e.mu.Unlock()
		case <-late.C:
			r.kill()
			problem = &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds",
				limit.Seconds())}
		}
	}
	e.line("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\t%s", ms(time.Since(begin)), phase, problem.status())
	return problem
}
