package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/portable-notes/notes/storetest"
)

// fuzzer makes the raw bytes of requests that no honest client sends.
type fuzzer struct {
	random *rand.Rand
	ids    []string // of existing notes
	bearer string   // a valid token; "" if the server does not authenticate callers
}

// canary is in texts of notes and in headers. It must not appear in logs, metrics or traces.
const canary = "k4n4ry"

func (h *fuzzer) pick(of ...string) string { return of[h.random.IntN(len(of))] }

// randomBytes returns fewer than limit random bytes.
func (h *fuzzer) randomBytes(limit int) string {
	b := make([]byte, h.random.IntN(limit))
	for i := range b {
		b[i] = byte(h.random.Uint32())
	}
	return string(b)
}

// mutate returns s with some bytes changed, inserted, repeated or cut off.
func (h *fuzzer) mutate(s string) string {
	b := []byte(s)
	for range h.random.IntN(4) {
		if len(b) == 0 {
			break
		}
		switch i := h.random.IntN(len(b)); h.random.IntN(4) {
		case 0:
			b[i] ^= 1 << h.random.IntN(8)
		case 1:
			b = slices.Insert(b, i, b[:i]...)
		case 2:
			b = b[:i]
		default:
			b = slices.Insert(b, i, []byte(h.randomBytes(6))...)
		}
	}
	return string(b)
}

func (h *fuzzer) path() string {
	id := h.pick(append(slices.Clone(h.ids), "019ab1c2-d3e4-7f56-8a7b-9c0d1e2f3a4b")...)
	if h.random.IntN(2) == 0 {
		return h.pick("/notes", "/notes/"+id)
	}
	path := h.pick("/notes/"+id+"%00", "/notes/%2e%2e/notes", "/notes/"+id+"/", "//", "/%", "/notes/%C0%80",
		"/docs/../notes",
		"/"+strings.Repeat("a/", 2000), "/notes/"+strings.Repeat("%25", 1000), "/notes?limit=5",
		"/notes?limit=-1&limit=2", "/notes?q=%F0%28%8C%28", "/notes?cursor="+strings.Repeat("A", 36),
		"/notes?tag="+strings.Repeat("a&tag=", 50), "/notes?q=%00&tag=%0d%0a", "/notes?;;&&==", "/healthz", "/readyz",
		"/openapi.json", "/docs", "http://evil.example/notes", "*")
	if h.random.IntN(4) == 0 {
		path = strings.NewReplacer(" ", "%20", "\r", "%0D", "\n", "%0A").Replace(h.mutate(path))
	}
	return path
}

func (h *fuzzer) body() string {
	body := h.pick(`{"title":"`+canary+`"}`, `{"title":"x","content":"`+canary+`","tags":["a","b"]}`, `{"`+canary+
		`":1}`, `{"content":null}`, `{}`, `null`, `[]`, `""`, "\x00", "",
		`{"title":"\u0000"}`, `{"title":"x","content":"\u0000"}`, `{"title":"\ud800"}`, `{"title":"`+"\xc0\xaf"+`"}`,
		`{"title":"x","title":"y"}`, `{"Title":"x"}`, `{"title":"x","id":"1","version":-1}`,
		`{"title":1e400}`, `{"title":"x","tags":[[[[]]]]}`, `{"title":"x"}{"title":"x"}`, "\ufeff{}",
		`{"title":"x","content":"`+strings.Repeat(`\u0001`, 3000)+`"}`)
	switch h.random.IntN(40) {
	case 0:
		return strings.Repeat("[", 1<<20)
	case 1:
		return strings.Repeat(`{"a":`, 1<<17)
	case 2:
		return "[" + strings.Repeat(`{"a":1},`, 1<<16) + `{}]`
	case 3:
		return `{"title":"x","tags":[` + strings.Repeat(`"t",`, 1<<17) + `"t"]}`
	case 4:
		return `{"title":"x","content":"` + strings.Repeat("c", 1<<20) + `"}`
	case 5:
		return h.randomBytes(4000)
	}
	if h.random.IntN(2) == 0 {
		return body
	}
	return h.mutate(body)
}

// request returns a request. Its body has the declared length, so it must be answered.
func (h *fuzzer) request() string {
	var b strings.Builder
	path := h.path()
	method := h.pick("GET", "POST")
	if strings.HasPrefix(path, "/notes/") {
		method = h.pick("GET", "PUT", "PATCH", "PATCH")
	}
	if h.random.IntN(8) == 0 {
		method = h.pick("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "G\x7fT")
	}
	version := "HTTP/1.1"
	if h.random.IntN(200) == 0 {
		version = h.pick("HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "", "HTTP/1.1 x")
	}
	fmt.Fprintf(&b, "%s %s %s\r\nHost: x\r\n", method, path, version)
	for range max(0, h.random.IntN(8)-4) {
		name := h.pick("If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id", "Content-Type", "Accept",
			"Origin", "Cookie", "Range", "X-HTTP-Method-Override", "X-Forwarded-For", "Content-Encoding", "If-Match")
		value := h.pick(`"1"`, `*`, `W/"1", "2"`, `"`, `"a,b"`, "application/json", "application/merge-patch+json",
			"text/plain", "application/json; charset=utf-16", "key", strings.Repeat("k", 300),
			strings.Repeat(`"1",`, 500), "bytes=0-", "a\tb", "\xff\xfe", "é", "127.0.0.1, 10.0.0.1",
			h.mutate(`"1", W/"2"`))
		if h.random.IntN(100) == 0 {
			value = strings.Repeat("x", 20_000)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.NewReplacer("\r", "", "\n", "").Replace(value))
	}
	if h.bearer != "" {
		b.WriteString(h.secretHeaders())
	}
	if h.random.IntN(8) > 0 {
		b.WriteString("Content-Type: application/json\r\n")
	}
	body := ""
	if method != "GET" || h.random.IntN(10) == 0 {
		body = h.body()
	}
	if h.random.IntN(5) == 0 {
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(len(body), 1+h.random.IntN(200_000))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\n\r\n")
	} else {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	return b.String()
}

// secretHeaders returns headers with secrets, some of which try to forge a line of the log.
func (h *fuzzer) secretHeaders() string {
	b := "Authorization: " + h.pick("Bearer "+h.bearer, "Bearer "+h.bearer, "Bearer "+h.bearer, "bearer "+h.bearer,
		"Bearer "+strings.ReplaceAll(h.mutate(h.bearer), "\r", ""), "Basic "+h.bearer, h.bearer,
		"Bearer "+h.bearer+", Bearer "+h.bearer, "Bearer eyJhbGciOiJub25lIn0."+canary+".", "Bearer "+
			strings.Repeat(canary, 500))
	if h.random.IntN(2) == 0 {
		b += "\r\n" + h.pick("Traceparent", "X-Forwarded-For", "User-Agent", "Idempotency-Key", "Cookie",
			"X-Amzn-Trace-Id", "Referer", "Tracestate") + ": " +
			h.pick(canary, canary+"\x1b[31m", canary+`","level":"ERROR","msg":"forged"`, "\u2028"+canary, canary+
				" level=ERROR msg=forged", "%0a"+canary, canary+"\x7f", "\xff"+canary, "00-"+canary+
				"-00f067aa0ba902b7-01")
	}
	if h.random.IntN(3) == 0 { // the log has it if it is visible ASCII
		b += "\r\nX-Request-Id: " + h.pick("chosen", `","level":"ERROR","msg":"forged"`, "a\x1b[31m",
			"a level=ERROR msg=forged", "\xff", strings.Repeat("i", 200))
	}
	return strings.NewReplacer("\r\n", "\r\n", "\n", "", "\r", "").Replace(b) + "\r\n"
}

// attack sends hostile requests over 8 connections and counts the answers by status. Each answer of 500 or more, except
// 505, is a fault, reported with its request.
func attack(t *testing.T, base, bearer string, requests int) (statuses map[int]int, faults []string) {
	t.Helper()
	const workers = 8
	addr := strings.TrimPrefix(base, "http://")
	var ids []string
	for range 50 {
		ids = append(ids, parseNote(t, sendOnce(client, "POST", base+"/notes", `{"title":"`+canary+`"}`,
			"Authorization",
			"Bearer "+bearer).body).ID)
	}
	statuses = map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range workers {
		h := &fuzzer{random: rand.New(rand.NewPCG(9, uint64(w))), ids: ids, bearer: bearer}
		all.Go(func() {
			var conn net.Conn
			var r *bufio.Reader
			for range requests / workers {
				if conn == nil {
					var err error
					if conn, err = net.Dial("tcp", addr); err != nil {
						t.Error(err)
						return
					}
					_ = conn.SetDeadline(time.Now().Add(time.Minute))
					r = bufio.NewReader(conn)
				}
				request := h.request()
				sent := make(chan struct{})
				// the server may close the connection before it has read all of a request that it refuses
				go func() { defer close(sent); _, _ = io.WriteString(conn, request) }()
				answer, err := http.ReadResponse(r, &http.Request{Method: request[:strings.IndexByte(request, ' ')]})
				if err == nil && !answer.Close { // else the connection may be reset
					_, err = io.Copy(io.Discard, answer.Body)
				}
				mu.Lock()
				switch {
				case answer == nil:
					statuses[0]++
				case answer.StatusCode >= 500 && answer.StatusCode != http.StatusHTTPVersionNotSupported:
					faults = append(faults, fmt.Sprintf("%s to %.300q", answer.Status, request))
					fallthrough
				default:
					statuses[answer.StatusCode]++
				}
				mu.Unlock()
				if err != nil || answer.Close {
					_ = conn.Close()
					conn = nil
				}
				<-sent
			}
			if conn != nil {
				_ = conn.Close()
			}
		})
	}
	all.Wait()
	return statuses, faults
}

// procStatus returns a field of /proc/PID/status in KiB, such as VmHWM or RssAnon.
func procStatus(t testing.TB, pid int, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		storetest.Lacks(t, "/proc", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("/proc/%d/status has no %s", pid, field)
	return 0
}

func countOpenFiles(t testing.TB, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		storetest.Lacks(t, "/proc", err)
	}
	return len(all)
}

// await waits until holds returns true, and fails the test if it does not within the given time. What describes the
// condition.
func await(t testing.TB, what string, within time.Duration, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Errorf("%s: not within %v", what, within)
			return
		}
	}
}

// TestProofHostileRequests: no request makes the server fail, exit or use memory out of proportion.
func TestProofHostileRequests(t *testing.T) {
	requests := storetest.Amount(4000, 100_000)
	p := startServer(t, newFile(t), "NOTES_LOG_LEVEL=error")
	get(t, p.url+"/readyz")
	client.CloseIdleConnections()
	var files, memory int
	await(t, "the first connection is closed", 5*time.Second, func() bool {
		files = countOpenFiles(t, p.Process.Pid)
		return files <= 12
	})
	memory = procStatus(t, p.Process.Pid, "VmHWM")
	statuses, faults := attack(t, p.url, "", requests)
	if len(faults) > 0 {
		t.Errorf("%d faults: %.3000s", len(faults), strings.Join(faults, "\n"))
	}
	grown := (procStatus(t, p.Process.Pid, "VmHWM") - memory) >> 10
	const inFlight, times = 8, 10
	if grown > inFlight*times {
		t.Errorf("with %d requests in flight, memory grew by %d MiB: more than %d times the body limit for each",
			inFlight, grown, times)
	}
	client.CloseIdleConnections()
	await(t, "files are closed", 10*time.Second, func() bool { return countOpenFiles(t, p.Process.Pid) <= files+2 })
	if code, body := get(t, p.url+"/readyz"); code != 200 {
		t.Errorf("after the attack: %d %s", code, body)
	}
	p.stop(t, os.Interrupt)
	for _, status := range []int{200, 201, 400, 404, 405, 412, 413, 415, 422} {
		if statuses[status] == 0 {
			t.Errorf("no request was answered with %d: %v", status, statuses)
		}
	}
	_, caught := attack(t, startControl(t, faultFragile, newFile(t)).url, "", 4000)
	if len(caught) == 0 {
		t.Error("the control, a store that fails on a NUL, was not caught")
	}
	storetest.Proved(t, fmt.Sprintf("%d requests, %v", requests, statuses),
		fmt.Sprintf("%d faults, %d MiB more memory with %d in flight", len(faults), grown, inFlight),
		fmt.Sprintf("failing on NUL: %d faults", len(caught)))
}

// openBadConnections opens bad connections of every kind. It returns those that the server must close by itself.
func openBadConnections(t *testing.T, p *process, idle int) (mustClose []net.Conn) {
	t.Helper()
	open := func(text string) net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for i := range idle {
		mustClose = append(mustClose, open([]string{
			"", "GET /notes HTTP/1.1\r\nHost: x\r\nX-Slow: ", "GET", "POST /notes HTTP/1.1\r\n"}[i%4]))
	}
	for range 50 { // a body that never ends
		open("POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		open("POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n5\r\n{")
	}
	for _, head := range []string{strings.Repeat("X-Many: x\r\n", 10_000), "X-Long: " + strings.Repeat("x", 100_000) +
		"\r\n"} {
		for range 5 {
			conn, r := dialRaw(t, p)
			go func() { _, _ = io.WriteString(conn, "GET /notes HTTP/1.1\r\nHost: x\r\n"+head+"\r\n") }()
			if answer, err := http.ReadResponse(r, nil); err != nil ||
				answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				if head[:6] == "X-Long" || err == nil {
					t.Errorf("too many headers are answered with %v, %v", answer, err)
				}
			}
		}
	}
	return mustClose
}

// countClosed returns the number of connections that the server closes before end.
func countClosed(conns []net.Conn, end time.Time) (closed int) {
	for _, conn := range conns {
		_ = conn.SetReadDeadline(end)
		if _, err := io.Copy(io.Discard, conn); err == nil || !os.IsTimeout(err) {
			closed++
		}
	}
	return closed
}

// TestProofHostileConnections: the server closes connections that send nothing or send slowly, and serves other clients
// meanwhile.
func TestProofHostileConnections(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_LOG_LEVEL=error")
	const idle = 2000
	begin := time.Now()
	conns := openBadConnections(t, p, idle)
	for i := range 200 {
		if code, body := post(t, p.url+"/notes", `{"title":"a good client"}`); code != 201 {
			t.Fatalf("good request %d: %d %s", i, code, body)
		}
	}
	closed := countClosed(conns, time.Now().Add(headerTimeout+time.Second))
	took := time.Since(begin)
	if closed != idle {
		t.Errorf("%d of %d connections without a request were closed", closed, idle)
	}
	await(t, "files are closed", readTimeout+5*time.Second, func() bool {
		return countOpenFiles(t, p.Process.Pid) < 200
	})
	p.kill()
	control := startControl(t, faultBareShutdown, newFile(t))
	caught := countClosed(openSlowConnections(t, control), time.Now().Add(headerTimeout+time.Second))
	if caught == 20 {
		t.Error("the control, a server without timeouts, closed its slow connections too")
	}
	storetest.Proved(t, fmt.Sprintf("%d idle and slow connections", idle),
		fmt.Sprintf("%d closed after %.1f s, 200 of 200 good requests served", closed, took.Seconds()),
		fmt.Sprintf("without limits %d of 20 closed", caught))
}

// openSlowConnections opens 20 connections with unfinished headers.
func openSlowConnections(t *testing.T, p *process) (conns []net.Conn) {
	for range 20 {
		conn, _ := dialRaw(t, p)
		if _, err := io.WriteString(conn, "GET /notes HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// TestProofLeaks: a server that was stopped after many requests leaks no goroutine, file or memory.
func TestProofLeaks(t *testing.T) {
	client.CloseIdleConnections()
	ignore := goleak.IgnoreCurrent()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var files int
	await(t, "connections of earlier tests are closed", 5*time.Second, func() bool {
		before := files
		files = countOpenFiles(t, os.Getpid())
		return before == files
	})
	before := heap()
	ctx, stop := context.WithCancel(t.Context())
	says, stderr := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		env := []string{"NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:" + newFile(t), "NOTES_LOG_FORMAT=text"}
		err := run(ctx, nil, env, nil, io.Discard, stderr)
		ended <- err
		stderr.Close()
	}()
	lines := bufio.NewReader(says)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, lines)
	statuses, _ := attack(t, strings.Fields(first)[2], "", storetest.Amount(1000, 20_000))
	client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := goleak.Find(ignore); err != nil {
		t.Error(err)
	}
	await(t, "files are closed", 5*time.Second, func() bool { return countOpenFiles(t, os.Getpid()) <= files })
	grown := (int64(heap()) - int64(before)) >> 20
	if grown > 8 {
		t.Errorf("the heap grew by %d MiB", grown)
	}
	leak := make(chan struct{})
	go func() { <-leak }()
	caught := goleak.Find(ignore)
	close(leak)
	if caught == nil {
		t.Error("the control, a leaked goroutine, was not found")
	}
	total := 0
	for _, n := range statuses {
		total += n
	}
	storetest.Proved(t, fmt.Sprintf("%d requests and a stop", total),
		fmt.Sprintf("0 goroutines, 0 files, %d MiB of heap", grown), "a goroutine left behind: found")
}
