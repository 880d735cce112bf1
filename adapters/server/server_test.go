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
	muchAtOnce(t)
	for _, base := range []string{"", "/api/v1"} {
		t.Run("Under"+base, func(t *testing.T) {
			p := startServer(t, newFile(t), "NOTES_BASE_PATH="+base)
			apptest.Run(t, p.url, client.Do)
			p.stop(t, os.Interrupt)
		})
	}
}

func TestContractOnDynamoDB(t *testing.T) {
	p := startServer(t, newFile(t), onDynamoDB(t)...)
	apptest.Run(t, p.url, client.Do)
	if code, body := get(t, p.url+"/version"); code != 200 || !strings.Contains(body, `"store":"dynamodb"`) ||
		!strings.Contains(p.said(), "notes are kept in the DynamoDB table notes-") {
		t.Errorf("/version: %d %s; the server says %s", code, body, p.said())
	}
	p.stop(t, os.Interrupt)
}

// TestParity: through the server, on either store, the answers are those in process, to the byte.
func TestParity(t *testing.T) {
	storetest.NotWithRace(t)
	for name, env := range map[string][]string{"File": nil, "UnderBasePath": {"NOTES_BASE_PATH=/api/v1"},
		"DynamoDB": onDynamoDB(t)} {
		t.Run(name, func(t *testing.T) { apptest.Parity(t, startServer(t, newFile(t), env...).url, client.Do) })
	}
}

// TestNoTable: a table that is not there is found at the start.
func TestNoTable(t *testing.T) {
	settings := append(onDynamoDB(t), "NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=dynamodb:nowhere")
	if code, _, stderr := runs(t, settings); code != 1 ||
		!strings.Contains(stderr, "table nowhere does not exist in region eu-central-1: create it with: deploy "+
			"table nowhere") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	without := append(settings, "AWS_REGION=", "AWS_CONFIG_FILE=/dev/null")
	if code, _, stderr := runs(t, without); code != 1 ||
		!strings.Contains(stderr, "no AWS region is set: set AWS_REGION") {
		t.Errorf("without a region: exit code %d: %s", code, stderr)
	}
}

func TestStartSaysWhereItIs(t *testing.T) {
	file := newFile(t)
	p := startServer(t, file, "NOTES_AUTH=")
	if code, body := get(t, p.url+"/readyz"); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	want := fmt.Sprintf("listening on %s (reference: %[1]s/docs)\nnotes are kept in %s\nonly this machine reaches "+
		"them, and every program on it may read and write them (NOTES_AUTH is not set)\ntry: curl -s %[1]s/notes "+
		"-H 'Content-Type: application/json' -d '{\"title\":\"Hello\"}'\n", p.url, file)
	await(t, "the server says\n"+want, 5*time.Second, func() bool { return strings.HasPrefix(p.said(), want) })
	if code, body := get(t, p.url+"/version"); code != 200 ||
		!strings.Contains(body, `"store":"bolt","adapter":"server"`) {
		t.Errorf("/version: %d %s", code, body)
	}
	p.stop(t, syscall.SIGTERM)
	if said := p.said(); !strings.Contains(said, "msg=stopping") || !strings.Contains(said, "msg=stopped") {
		t.Errorf("the server says %s", said)
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
			" is in use: stop who has it, or set NOTES_ADDR"},
		{[]string{"NOTES_ADDR=:0", elsewhere}, nil, 2,
			"NOTES_ADDR=:0 can be reached from outside: set NOTES_AUTH=token or NOTES_AUTH=jwt, or NOTES_AUTH=none " +
				"if anyone may read and write the notes"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_AUTH=token", elsewhere}, nil, 2,
			"NOTES_AUTH=token needs either NOTES_TOKENS or NOTES_TOKENS_FILE"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_TRUSTED_PROXIES=127.0.0.1", elsewhere}, nil, 2,
			"NOTES_TRUSTED_PROXIES is set, so there are clients outside: set NOTES_AUTH"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", "NOTES_CORS_ORIGINS=*", elsewhere}, nil, 2,
			"NOTES_CORS_ORIGINS=* lets the pages of every website use the notes: set NOTES_AUTH"},
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
		{[]string{"NOTES_ADDR=127.0.0.1:1"}, []string{"-healthcheck"}, 1, "the server does not answer"},
		{nil, []string{"-check", file}, 1, "another process has the file open: stop that one first"},
		{[]string{"NOTES_ADDR=127.0.0.1:0", elsewhere}, []string{"-check", ""}, 1, "no such file"},
		{nil, []string{"-check", "/dev/null"}, 1, "not a regular file"},
		{nil, []string{"-check", "/nowhere/notes.db"}, 1, "no such file"},
	} {
		begin := time.Now()
		code, stdout, stderr := runs(t, c.settings, c.args...)
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
	if code, stdout, _ := runs(t, nil, "-check", file); code != 0 ||
		stdout != "readable: notes 0, idempotency keys 0\nno damage was found\n" {
		t.Errorf("-check of a sound file: exit code %d, %q", code, stdout)
	}
}

// TestTokens: a server with tokens serves those who have one, under whatever address it listens.
func TestTokens(t *testing.T) {
	_, stdout, _ := runs(t, nil, "-new-token", "anna")
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
		t.Errorf("/readyz asks for a token: %d", code)
	}
	if said := p.said(); !strings.Contains(said, "NOTES_AUTH=token") || strings.Contains(said, made[1]) {
		t.Errorf("the server says %s", said)
	}
}

func TestCheckOfADamagedFile(t *testing.T) {
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
	code, stdout, stderr := runs(t, nil, "-check", file)
	if code != 1 || !strings.Contains(stdout, "checksum does not match") ||
		!strings.Contains(stderr, "is damaged: restore a copy") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestNotesOutliveAKill(t *testing.T) {
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

// raw opens a connection on which the test itself writes what goes over the wire.
func raw(t *testing.T, p *process) (net.Conn, *bufio.Reader) {
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

// answerTo writes a request as it stands and reads the answer to it.
func answerTo(t *testing.T, conn net.Conn, r *bufio.Reader, request string) *http.Response {
	t.Helper()
	go io.WriteString(conn, request) // whose answer may come before its end
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%.100q: %v", request, err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil && !answer.Close { // a closed connection may be reset
		t.Fatal(err)
	}
	return answer
}

// TestABodyTooLargeIsRefusedUnread: the answer comes though the body never does.
func TestABodyTooLargeIsRefusedUnread(t *testing.T) {
	p := startServer(t, newFile(t))
	conn, r := raw(t, p)
	answer := answerTo(t, conn, r, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nContent-Length: 2097152\r\n\r\n")
	if answer.StatusCode != 413 {
		t.Errorf("a declared body of 2 MiB is answered with %s", answer.Status)
	}
	conn, r = raw(t, p)
	if answer := answerTo(t, conn, r, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nExpect: 100-continue\r\nContent-Length: 2097152\r\n\r\n"); answer.StatusCode != 413 {
		t.Errorf("a client that asks first is answered with %s", answer.Status)
	}
	// Without a declared length, little more than the limit is read.
	conn, r = raw(t, p)
	chunk := "1000\r\n" + strings.Repeat(" ", 4096) + "\r\n"
	if answer := answerTo(t, conn, r, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, 257)); answer.StatusCode != 413 {
		t.Errorf("1 MiB and 4 KiB in chunks are answered with %s", answer.Status)
	}
}

// TestHeaderLimit: request line and headers may have 10,240 bytes, as behind API Gateway.
func TestHeaderLimit(t *testing.T) {
	p := startServer(t, newFile(t))
	request := func(size int) string {
		const head, tail = "GET /notes HTTP/1.1\r\nHost: x\r\nX-Filler: ", "\r\n\r\n"
		return head + strings.Repeat("x", size-len(head+tail)) + tail
	}
	for size, want := range map[int]int{1000: 200, 10_240: 200, 10_300: 431, 100_000: 431} {
		conn, r := raw(t, p)
		if answer := answerTo(t, conn, r, request(size)); answer.StatusCode != want {
			t.Errorf("%d bytes of headers are answered with %s, want %d", size, answer.Status, want)
		}
	}
}

// TestHeaderLimitOfALaterRequest: on a connection that is kept the limit is the same.
func TestHeaderLimitOfALaterRequest(t *testing.T) {
	p := startServer(t, newFile(t))
	for size, want := range map[int]int{10_000: 200, 10_300: 431, 12_000: 431, 20_000: 431} {
		conn, r := raw(t, p)
		answerTo(t, conn, r, "GET /notes HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer := answerTo(t, conn, r, "GET /notes HTTP/1.1\r\nHost: x\r\nX-Filler: "+strings.Repeat("x", size-48)+
			"\r\n\r\n"); answer.StatusCode != want || size < 12_000 && answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d bytes of headers are answered with %s and %v, want %d", size, answer.Status, answer.Header,
				want)
		}
	}
}

// TestSmuggling: what follows a request that may hide another is not carried out (RFC 9112, section 6.1).
func TestSmuggling(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	admin := &process{url: adminOf(t, p)}
	const body = `{"title":"first"}`
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for _, c := range []struct {
		name    string
		to      *process
		request string
		stays   bool // the connection
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
		{"all of the server", p, "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\n\r\n", false},
		{"HTTP/1.0", p, "GET /healthz HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"a path that nobody serves", p, "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"the operator's address", admin, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, r := raw(t, c.to)
			answer := answerTo(t, conn, r, c.request+
				"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n")
			if answer.Close == c.stays {
				t.Errorf("%s says close: %v", answer.Status, answer.Close)
			}
			next, err := http.ReadResponse(r, nil)
			if (err == nil) != c.stays {
				t.Errorf("the next request is answered with %v, %v", next, err)
			}
		})
	}
}

func TestCutShort(t *testing.T) {
	p := startServer(t, newFile(t))
	conn, r := raw(t, p)
	if _, err := io.WriteString(conn, "POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
		"application/json\r\nContent-Length: 100\r\n\r\n{\"title\":\"x\"}"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != 400 {
		t.Errorf("a body that is cut short is answered with %v, %v", answer, err)
	}
	if _, list := get(t, p.url+"/notes"); !strings.Contains(list, `"notes":[]`) {
		t.Errorf("it made a note: %s", list)
	}
}

// TestDrain: after the signal the server is not ready, still answers on open connections and tells them to close, and
// ends with 0.
func TestDrain(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_DRAIN=20s")
	const request = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
	conn, r := raw(t, p)
	if answer := answerTo(t, conn, r, request); answer.StatusCode != 200 || answer.Close {
		t.Errorf("before the signal: %s, close %v", answer.Status, answer.Close)
	}
	idle, idleReader := raw(t, p)
	answerTo(t, idle, idleReader, request)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(p.said(), "msg=stopping") { // awaits the log line; the deadline of conn bounds it
		if answerTo(t, idle, idleReader, request).Close {
			break
		}
	}
	if answer := answerTo(t, conn, r, request); answer.StatusCode != 503 || !answer.Close {
		t.Errorf("after the signal: %s, close %v", answer.Status, answer.Close)
	}
	idle.Close()
	p.wait(t) // long before the 20 s: no connection is open
	if p.endErr != nil {
		t.Errorf("the server ended with %v", p.endErr)
	}
}

// TestASecondSignalEndsItAtOnce.
func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_DRAIN=1m")
	stays, staysReader := raw(t, p)
	answerTo(t, stays, staysReader, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	conn, r := raw(t, p)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := p.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		for signal == syscall.SIGTERM && !strings.Contains(p.said(), "msg=stopping") {
			if !answerTo(t, conn, r, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").Close {
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
