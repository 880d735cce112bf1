package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/notes/storetest"
)

// fault is a proxy that makes one call of the program fail.
type fault struct {
	proxy *httptest.Server
	mode  atomic.Value // string
	at    atomic.Int64 // number of the call that fails
	n     atomic.Int64

	victim atomic.Pointer[os.Process] // the program, if it runs in a process of its own
}

// run runs the program, in a process of its own if it is to be killed.
func (f *fault) run(w *world, mode string, args ...string) error {
	w.t.Helper()
	if mode != "killed" {
		_, err := w.deploy(args...)
		return err
	}
	cmd := w.command(args...)
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	f.victim.Store(cmd.Process)
	return cmd.Wait()
}

// modes are the ways in which a call fails: it is refused, throttled, its answer is lost, or the program is killed.
var modes = []string{"error", "throttle", "lost", "killed"}

func newFault(t *testing.T, endpoint string) *fault {
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := &fault{}
	f.mode.Store("")
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorLog = log.New(io.Discard, "", 0) // connections are aborted on purpose
	f.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, at := f.n.Add(1), f.at.Load()
		mode := f.mode.Load().(string)
		switch {
		case mode == "error" && n == at:
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			w.WriteHeader(403)
			if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
				_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>on `+
					`purpose</Message></Error></ErrorResponse>`)
				break
			}
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"on purpose"}`)
		case mode == "throttle" && n == at:
			w.Header().Set("X-Amzn-Errortype", "ThrottlingException")
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
		case mode == "lost" && n == at:
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case mode == "killed" && n == at: // the call takes effect before the program dies
			forward.ServeHTTP(httptest.NewRecorder(), r)
			_ = f.victim.Load().Kill() // fails only if it has ended
			panic(http.ErrAbortHandler)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.proxy.Close)
	return f
}

func (f *fault) arm(mode string, at int) {
	f.mode.Store(mode)
	f.at.Store(int64(at))
	f.n.Store(0)
}

// TestProofKilledAnywhere checks that after a failure at any call of up or down, running it again has the same result
// as without the failure.
func TestProofKilledAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withOwnSandbox(sandbox.Options{Settling: 20 * time.Millisecond, PageSize: 2})
	w.up()
	made := w.state(w.name)
	w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
	gone := w.state(w.name)
	f := newFault(t, w.URL)
	w.connect(f.proxy.URL, "us-east-1")
	cases, finished, incomplete := 0, 0, 0
	for i, mode := range modes {
		for _, verb := range []string{"up", "down"} {
			begin, stride := 1, storetest.Amount(4*len(modes), 1)
			if stride > 1 {
				begin = 1 + 4*i // each mode fails other calls; in a long run each mode fails every call
			}
			for at := begin; ; at += stride {
				name := fmt.Sprintf("%s-%s%s%d", w.name, mode[:1], verb[:1], at)
				args := []string{verb, "--stack", name}
				want := gone
				if verb == "up" {
					args, want = append(args, "--zip", w.zip, "--auth", "none"), made
				} else {
					f.arm("", 0)
					w.mustRun("up", "--stack", name, "--zip", w.zip, "--auth", "none")
					args = append(args, "--delete-data", name)
				}
				f.arm(mode, at)
				err := f.run(w, mode, args...)
				reached := f.n.Load() >= int64(at)
				f.arm("", 0)
				if !reached {
					w.mustRun("down", "--stack", name, "--delete-data", name)
					break
				}
				cases++
				if mode == "error" && (err == nil || !strings.Contains(err.Error(), "--print-policy")) {
					t.Errorf("%s without the rights for call %d: %v", verb, at, err)
				}
				if err == nil {
					finished++
				} else if w.state(name) != want {
					incomplete++
				}
				w.mustRun(args...)
				if got := w.state(name); got != want {
					t.Errorf("%s with call %d %s (%v), run again, ends as\n%s\nwant\n%s", verb, at, mode, err, got,
						want)
				}
				if verb == "up" {
					w.mustRun("down", "--stack", name, "--delete-data", name)
				}
			}
		}
	}
	if incomplete == 0 {
		t.Error("no failure left an incomplete stack, so the test proves nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d faults", cases), fmt.Sprintf("0 wrong ends, %d went on by themselves",
		finished), fmt.Sprintf("not run again: %d half-made", incomplete))
}
