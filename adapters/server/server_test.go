package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/notes/storetest"
)

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "notes.db") }

func TestContract(t *testing.T) {
	markConcurrent(t)
	for _, base := range []string{"", "/api/v1"} {
		t.Run("Under"+base, func(t *testing.T) {
			p := startServer(t, newFile(t), "NOTES_BASE_PATH="+base)
			apptest.Run(t, p.url, client.Do)
			p.stop(t, os.Interrupt)
		})
	}
}

func TestContractOnDynamoDB(t *testing.T) {
	p := startServer(t, newFile(t), dynamoDBEnv(t)...)
	apptest.Run(t, p.url, client.Do)
	if code, body := get(t, p.url+"/version"); code != 200 || !strings.Contains(body, `"store":"dynamodb"`) ||
		!strings.Contains(p.output(), "notes are kept in the DynamoDB table notes-") {
		t.Errorf("/version: %d %s; the server prints %s", code, body, p.output())
	}
	p.stop(t, os.Interrupt)
}

// TestParity: the server, on either store, gives byte for byte the same answers as the app in process, which has no
// page.
func TestParity(t *testing.T) {
	storetest.NotWithRace(t)
	for name, env := range map[string][]string{"File": nil, "UnderBasePath": {"NOTES_BASE_PATH=/api/v1"},
		"DynamoDB": dynamoDBEnv(t)} {
		t.Run(name, func(t *testing.T) {
			apptest.Parity(t, startServer(t, newFile(t), append(env, "NOTES_PAGE=off")...).url, client.Do)
		})
	}
}

// TestNoTable: the server does not start if the table does not exist.
func TestNoTable(t *testing.T) {
	settings := append(dynamoDBEnv(t), "NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=dynamodb:nowhere")
	if code, _, stderr := runServer(t, settings); code != 1 ||
		!strings.Contains(stderr, "table nowhere does not exist in region eu-central-1: create it with: deploy "+
			"table nowhere") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	without := append(settings, "AWS_REGION=", "AWS_CONFIG_FILE=/dev/null")
	if code, _, stderr := runServer(t, without); code != 1 ||
		!strings.Contains(stderr, "no AWS region is set: set AWS_REGION") {
		t.Errorf("without a region: exit code %d: %s", code, stderr)
	}
}

// TestGreeting: at its start the server announces where it listens, where the notes are, and who can use them.
func TestGreeting(t *testing.T) {
	file := newFile(t)
	p := startServer(t, file, "NOTES_AUTH=")
	if code, body := get(t, p.url+"/readyz"); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	want := fmt.Sprintf("listening on %s (open it in a browser; reference: %[1]s/docs)\nnotes are kept in %s\n"+
		"every program on this machine, and nobody else, can read and write the notes (NOTES_AUTH is not set)\n"+
		"try: curl -s %[1]s/notes "+
		"-H 'Content-Type: application/json' -d '{\"title\":\"Hello\"}'\n", p.url, file)
	await(t, "the server prints\n"+want, 5*time.Second, func() bool { return strings.HasPrefix(p.output(), want) })
	if code, body := get(t, p.url+"/version"); code != 200 ||
		!strings.Contains(body, `"store":"bolt","adapter":"server"`) {
		t.Errorf("/version: %d %s", code, body)
	}
	p.stop(t, syscall.SIGTERM)
	if said := p.output(); !strings.Contains(said, "msg=stopping") || !strings.Contains(said, "msg=stopped") {
		t.Errorf("the server prints %s", said)
	}
}

func TestExitCodes(t *testing.T) {
	file := newFile(t)
	p := startServer(t, file)
	addr := strings.TrimPrefix(p.url, "http://")
	elsewhere := "NOTES_STORE=bolt:" + newFile(t)
	for _, c := range []struct {
		settings []string
		args     []string
		code     int
		says     string
	}{
		{nil, []string{"-h"}, 0, "NOTES_STORE"},
		{nil, []string{"-version"}, 0, "portable-notes server "},
		{nil, []string{"-nothing"}, 2, "-h lists settings and flags"},
		{[]string{"NOTES_ADDR=x", "NOTES_DRAIN=x"}, nil, 2, "NOTES_DRAIN must be"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:" + file}, nil, 1, "another process has the file open"},
		{[]string{"NOTES_ADDR=" + addr, elsewhere}, nil, 1, "address " + addr +
			" is in use: stop the program that uses it, or set NOTES_ADDR"},
		{[]string{"NOTES_ADDR=:0", elsewhere}, nil, 2,
			"NOTES_ADDR=:0 can be reached from other machines: set NOTES_AUTH=token or NOTES_AUTH=jwt, or " +
				"NOTES_AUTH=none " +
				"if anyone may read and write the notes"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_AUTH=token", elsewhere}, nil, 2,
			"NOTES_AUTH=token needs either NOTES_TOKENS or NOTES_TOKENS_FILE"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_TRUSTED_PROXIES=127.0.0.1", elsewhere}, nil, 2,
			"NOTES_TRUSTED_PROXIES is set, so clients on other machines can reach the notes: set NOTES_AUTH"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_CORS_ORIGINS=*", elsewhere}, nil, 2,
			"NOTES_CORS_ORIGINS=* lets pages of every website use the notes: set NOTES_AUTH"},
		{[]string{"NOTES_ADDR=:0", "NOTES_CORS_ORIGINS=*", elsewhere}, nil, 2, "NOTES_CORS_ORIGINS=* lets"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_TOKENS=x", elsewhere}, nil, 2,
			"NOTES_TOKENS is set, but NOTES_AUTH is not token: set NOTES_AUTH=token, or remove it"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS=x", elsewhere}, nil, 2,
			"token 1: must be OWNER read|write sha256:HEX [EXPIRES]"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS_FILE=/nowhere/tokens", elsewhere}, nil,
			2, "NOTES_TOKENS_FILE: stat /nowhere/tokens: no such file"},
		{nil, []string{"-new-token", "a b"}, 2, "an owner must be 1 to 512 bytes"},
		{nil, []string{"-new-token", ""}, 2, "an owner must be 1 to 512 bytes"},
		{nil, []string{"-new-token", "anna"}, 0, "NOTES_TOKENS='anna write sha256:"},
		{[]string{"NOTES_ADDR=192.0.2.1:80", "NOTES_AUTH=none", elsewhere}, nil, 1,
			"set NOTES_ADDR to an address of this machine"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:/nowhere/notes.db"}, nil, 1,
			"the folder /nowhere does not exist: create it"},
		{[]string{"NOTES_ADDR=" + addr}, []string{"-healthcheck"}, 0, ""},
		{[]string{"NOTES_ADDR=127.0.0.1:1"}, []string{"-healthcheck"}, 1, "no answer from the server"},
		{nil, []string{"-check", file}, 1, "another process has the file open: stop that one first"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", elsewhere}, []string{"-check", ""}, 1, "no such file"},
		{nil, []string{"-check", "/dev/null"}, 1, "not a regular file"},
		{nil, []string{"-check", "/nowhere/notes.db"}, 1, "no such file"},
	} {
		begin := time.Now()
		code, stdout, stderr := runServer(t, c.settings, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%v %v: exit code %d, want %d: %s%s", c.settings, c.args, code, c.code, stdout, stderr)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%v %v: took %v", c.settings, c.args, took)
		}
		if code != 0 && (stdout != "" || !strings.HasPrefix(stderr, "server: ")) {
			t.Errorf("%v %v: standard output %q, standard error %q", c.settings, c.args, stdout, stderr)
		}
	}
	p.stop(t, os.Interrupt)
	if code, stdout, _ := runServer(t, nil, "-check", file); code != 0 ||
		stdout != "readable: notes 0, idempotency keys 0\nno damage found\n" {
		t.Errorf("-check of an undamaged file: exit code %d, %q", code, stdout)
	}
}

// TestTokens: a server with NOTES_AUTH=token accepts a token that -new-token made, and needs none for /readyz.
func TestTokens(t *testing.T) {
	_, stdout, _ := runServer(t, nil, "-new-token", "anna")
	made := regexp.MustCompile(`(?s)^(notes_\S+)\n.*NOTES_TOKENS='([^']+)'`).FindStringSubmatch(stdout)
	if made == nil {
		t.Fatalf("-new-token prints %s", stdout)
	}
	p := startServer(t, newFile(t), "NOTES_AUTH=token", "NOTES_TOKENS="+made[2])
	for authorization, want := range map[string]int{"": 401, "Bearer x": 401, "Bearer " + made[1]: 200} {
		r, err := http.NewRequest("GET", p.url+"/notes", nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("with %.20q: %d, want %d", authorization, answer.StatusCode, want)
		}
	}
	if code, _ := get(t, p.url+"/readyz"); code != 200 {
		t.Errorf("/readyz without a token: %d", code)
	}
	if said := p.output(); !strings.Contains(said, "NOTES_AUTH=token") || strings.Contains(said, made[1]) {
		t.Errorf("the server prints %s", said)
	}
}

func TestCheckDamagedFile(t *testing.T) {
	file := newFile(t)
	p := startServer(t, file)
	if code, body := post(t, p.url+"/notes", `{"title":"the text that will be damaged"}`); code != 201 {
		t.Fatal(body)
	}
	p.stop(t, os.Interrupt)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(content), "damaged", "DAMAGED")), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runServer(t, nil, "-check", file)
	if code != 1 || !strings.Contains(stdout, "checksum does not match") ||
		!strings.Contains(stderr, "is damaged: restore a backup") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestNotesSurviveKill(t *testing.T) {
	file := newFile(t)
	p := startServer(t, file)
	_, made := post(t, p.url+"/notes", `{"title":"kept"}`)
	p.kill()
	again := startServer(t, file)
	id := regexp.MustCompile(`[0-9a-f-]{36}`).FindString(made)
	if code, got := get(t, again.url+"/notes/"+id); code != 200 || got != made {
		t.Errorf("after a kill: %d %s, want %s", code, got, made)
	}
}

// dialRaw opens a connection on which a test writes raw bytes.
func dialRaw(t *testing.T, p *process) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// roundTrip writes a raw request and reads the answer.
func roundTrip(t *testing.T, conn net.Conn, r *bufio.Reader, request string) *http.Response {
	t.Helper()
	go io.WriteString(conn, request) // concurrently, since the answer may come before the end of the request
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%.100q: %v", request, err)
	}
	// a connection that is closed may be reset
	if _, err := io.Copy(io.Discard, answer.Body); err != nil && !answer.Close {
		t.Fatal(err)
	}
	return answer
}

// TestLargeBodyIsNotRead: the server refuses a body that is declared too large before the body arrives.
func TestLargeBodyIsNotRead(t *testing.T) {
	p := startServer(t, newFile(t))
	conn, r := dialRaw(t, p)
	answer := roundTrip(t, conn, r, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nContent-Length: 2097152\r\n\r\n")
	if answer.StatusCode != 413 {
		t.Errorf("a declared body of 2 MiB is answered with %s", answer.Status)
	}
	conn, r = dialRaw(t, p)
	if answer := roundTrip(t, conn, r, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nExpect: 100-continue\r\nContent-Length: 2097152\r\n\r\n"); answer.StatusCode != 413 {
		t.Errorf("with Expect: 100-continue it is answered with %s", answer.Status)
	}
	// Without a declared length, the server reads little more than the limit.
	conn, r = dialRaw(t, p)
	chunk := "1000\r\n" + strings.Repeat(" ", 4096) + "\r\n"
	if answer := roundTrip(t, conn, r, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, 257)); answer.StatusCode != 413 {
		t.Errorf("1 MiB and 4 KiB in chunks are answered with %s", answer.Status)
	}
}

// TestHeaderLimit: the request line and headers may have 10,240 bytes, as behind API Gateway.
func TestHeaderLimit(t *testing.T) {
	p := startServer(t, newFile(t))
	request := func(size int) string {
		const head, tail = "GET /notes HTTP/1.1\r\nHost: x\r\nX-Filler: ", "\r\n\r\n"
		return head + strings.Repeat("x", size-len(head+tail)) + tail
	}
	for size, want := range map[int]int{1000: 200, 10_240: 200, 10_300: 431, 100_000: 431} {
		conn, r := dialRaw(t, p)
		if answer := roundTrip(t, conn, r, request(size)); answer.StatusCode != want {
			t.Errorf("%d bytes of headers are answered with %s, want %d", size, answer.Status, want)
		}
	}
}

// TestHeaderLimitOfLaterRequest: the limit is the same for later requests on a connection.
func TestHeaderLimitOfLaterRequest(t *testing.T) {
	p := startServer(t, newFile(t))
	for size, want := range map[int]int{10_000: 200, 10_300: 431, 12_000: 431, 20_000: 431} {
		conn, r := dialRaw(t, p)
		roundTrip(t, conn, r, "GET /notes HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer := roundTrip(t, conn, r, "GET /notes HTTP/1.1\r\nHost: x\r\nX-Filler: "+strings.Repeat("x", size-48)+
			"\r\n\r\n"); answer.StatusCode != want || size < 12_000 && answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d bytes of headers are answered with %s and %v, want %d", size, answer.Status, answer.Header,
				want)
		}
	}
	conn, r := dialRaw(t, p)
	roundTrip(t, conn, r, "GET /notes HTTP/1.1\r\nHost: x\r\n\r\n")
	answer := roundTrip(t, conn, r, "GET /notes HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X: y\r\n", 2000)+"\r\n")
	if answer.StatusCode != 431 {
		t.Errorf("2,000 lines of one header are answered with %s", answer.Status)
	}
}

// TestSmuggling: the server does not serve bytes that follow an ambiguous request (RFC 9112, section 6.1).
func TestSmuggling(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	admin := &process{url: adminURL(t, p)}
	const body = `{"title":"first"}`
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for _, c := range []struct {
		name    string
		to      *process
		request string
		stays   bool // the connection stays open
	}{
		{"a length", p, fmt.Sprintf("POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body), true},
		{"chunks", p, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n" + chunked, false},
		{"a length and chunks", p, fmt.Sprintf("POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
			"application/json\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%s", len(chunked), chunked),
			false},
		{"chunks and a length", p, "GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " +
			"chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", false},
		{"OPTIONS *", p, "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\n\r\n", false},
		{"HTTP/1.0", p, "GET /healthz HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"an unknown path", p, "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"NOTES_ADMIN_ADDR", admin, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, r := dialRaw(t, c.to)
			answer := roundTrip(t, conn, r, c.request+
				"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n")
			if answer.Close == c.stays {
				t.Errorf("%s has Connection: close: %v, want %v", answer.Status, answer.Close, !c.stays)
			}
			next, err := http.ReadResponse(r, nil)
			if (err == nil) != c.stays {
				t.Errorf("the next request is answered with %v, %v; want an answer: %v", next, err, c.stays)
			}
		})
	}
}

// TestTruncatedBody: a body that is shorter than its Content-Length makes no note.
func TestTruncatedBody(t *testing.T) {
	p := startServer(t, newFile(t))
	conn, r := dialRaw(t, p)
	if _, err := io.WriteString(conn, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nContent-Length: 100\r\n\r\n{\"title\":\"x\"}"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != 400 {
		t.Errorf("a truncated body is answered with %v, %v", answer, err)
	}
	if _, list := get(t, p.url+"/notes"); !strings.Contains(list, `"notes":[]`) {
		t.Errorf("a truncated body made a note: %s", list)
	}
}

// TestDrain: after the signal the server is not ready, answers on open connections with Connection: close, and exits
// with 0.
func TestDrain(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_DRAIN=20s")
	const request = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
	conn, r := dialRaw(t, p)
	if answer := roundTrip(t, conn, r, request); answer.StatusCode != 200 || answer.Close {
		t.Errorf("before the signal: %s, close %v", answer.Status, answer.Close)
	}
	idle, idleReader := dialRaw(t, p)
	roundTrip(t, idle, idleReader, request)
	p.signal(t, syscall.SIGTERM)
	for !strings.Contains(p.output(), "msg=stopping") { // the deadline of the connection bounds this loop
		if roundTrip(t, idle, idleReader, request).Close {
			break
		}
	}
	if answer := roundTrip(t, conn, r, request); answer.StatusCode != 503 || !answer.Close {
		t.Errorf("after the signal: %s, close %v", answer.Status, answer.Close)
	}
	idle.Close()
	p.wait(t) // long before the 20 s, since no connection is open
	if p.endErr != nil {
		t.Errorf("the server ended with %v", p.endErr)
	}
}

// TestTwoSignals: two signals at the same moment end the server at once, too.
func TestTwoSignals(t *testing.T) {
	for range 10 {
		p := startServer(t, newFile(t), "NOTES_DRAIN=1m")
		stays, reader := dialRaw(t, p) // an open connection, which the drain would wait for
		roundTrip(t, stays, reader, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		p.signal(t, syscall.SIGTERM)
		p.signal(t, syscall.SIGINT)
		p.wait(t)
		if p.endErr == nil || !strings.Contains(p.endErr.Error(), "signal: ") {
			t.Errorf("the server ended with %v", p.endErr)
		}
	}
}

// TestSecondSignal: a second signal ends the server at once.
func TestSecondSignal(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_DRAIN=1m")
	stays, staysReader := dialRaw(t, p)
	roundTrip(t, stays, staysReader, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	conn, r := dialRaw(t, p)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p.signal(t, signal)
		for signal == syscall.SIGTERM && !strings.Contains(p.output(), "msg=stopping") {
			if !roundTrip(t, conn, r, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").Close {
				continue
			}
			break
		}
	}
	p.wait(t)
	if p.endErr == nil || !strings.Contains(p.endErr.Error(), "interrupt") {
		t.Errorf("the server ended with %v", p.endErr)
	}
}
