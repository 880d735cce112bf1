package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/portable-notes/notes/storetest"
)

// hog is a caller that tries to use up a server's memory: it sends large requests concurrently and does not read the
// answers.
type hog struct {
	host, bearer string
	clients      int // that do not read answers or do not end bodies
	busy         sync.WaitGroup
	stop         context.CancelFunc
}

// startHog starts a hog, whose requests have bodies or answers of the maximum size. It runs until finish is called.
// Each is the number of clients per kind of request.
func startHog(t *testing.T, base, bearer string, each int) *hog {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	h := &hog{host: u.Host, bearer: bearer, stop: stop}
	authorized := []string{"Authorization", "Bearer " + bearer}
	var largest string
	for range 4 { // a page of 4.2 MB, since JSON escapes each of these characters as six
		note := `{"title":"x","content":"` + strings.Repeat(`\u0001`, 174_000) + `"}`
		answer, body := sendRequest(t, "POST", base+"/notes", note, authorized...)
		if answer.StatusCode != 201 {
			t.Fatalf("a large note: %d %.200s", answer.StatusCode, body)
		}
		largest = answer.Header.Get("Location")
	}
	almost := strings.Repeat(" ", 1_000_000) // less than the declared 1 MiB, so the body never ends
	const patch = `{"title":"y"}`
	for _, r := range []struct {
		clients int
		head    string
		body    string
	}{
		{each, "GET /notes HTTP/1.1", ""},
		{each, "GET /notes?limit=100 HTTP/1.1", ""},
		{8 * each, "GET " + largest + " HTTP/1.1", ""},
		{each, "GET /docs/swagger-ui-bundle.js HTTP/1.1", ""},
		{4 * each, "POST /notes HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1048576", almost},
		{each, "POST /notes HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked",
			"100000\r\n" + almost},
		{each, "PATCH " + largest + " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
			strconv.Itoa(len(patch)), patch},
	} {
		h.clients += r.clients
		for range r.clients {
			h.busy.Go(func() { h.send(ctx, r.head+"\r\nHost: x\r\nAuthorization: Bearer "+bearer+"\r\n\r\n"+r.body) })
		}
	}
	bomb := []byte(`{"title":"x","tags":["` + strings.Repeat(`a","`, 200_000) + `"]}`)
	for range 16 { // bodies whose decoding takes many times their size
		h.busy.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, "POST", base+"/notes", bytes.NewReader(bomb))
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+bearer)
				if answer, err := client.Do(r); err == nil {
					_ = answer.Body.Close()
				}
			}
		})
	}
	return h
}

// send sends a request every 20 s, each time on a new connection, and does not read the answer.
func (h *hog) send(ctx context.Context, request string) {
	for ctx.Err() == nil {
		turn, end := context.WithTimeout(ctx, 20*time.Second)
		conn, err := new(net.Dialer).DialContext(turn, "tcp", h.host)
		if err == nil {
			_ = conn.(*net.TCPConn).SetReadBuffer(4096)
			context.AfterFunc(turn, func() { _ = conn.Close() })
			_, _ = io.WriteString(conn, request)
		}
		<-turn.Done()
		end()
	}
}

func (h *hog) finish() {
	h.stop()
	h.busy.Wait()
}

// TestProofSmallMemory: a container with 256 MB survives a hog and serves another caller meanwhile. Without
// NOTES_MAX_IN_FLIGHT it is killed.
func TestProofSmallMemory(t *testing.T) {
	storetest.NotWithRace(t)
	s := newStack(t)
	image := s.docker("build", "-q", "--target", "server", "../..")
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", image).Run() }) // another test may still use it
	// All kinds together are fewer than NOTES_MAX_CONNECTIONS.
	const each = 60
	within := time.Duration(storetest.Amount(15, 120)) * time.Second
	anna, annas := newToken(t, "anna", "write")
	mallory, mallorys := newToken(t, "mallory", "write")
	runContainer := func(t *testing.T, settings ...string) (id, base string) {
		args := []string{
			"run", "-d", "--read-only", "--cap-drop", "ALL", "--memory", "256m", "--memory-swap", "256m",
			"-e", "NOTES_AUTH=token", "-e", "NOTES_TOKENS=" + annas + "," + mallorys, "-p", "127.0.0.1:0:8080",
		}
		for _, setting := range settings {
			args = append(args, "-e", setting)
		}
		id = s.docker(append(args, image)...)
		t.Cleanup(func() { s.docker("rm", "-f", "-v", id) })
		file := &stack{t: t, url: "http://" + s.docker("port", id, "8080/tcp")}
		file.awaitReady()
		return id, file.url
	}
	state := func(id string) string {
		return s.docker("inspect", "--format", "{{.State.Running}} {{.State.OOMKilled}}", id)
	}

	var requests, clients int
	var used string
	var slowest time.Duration
	t.Run("Bounded", func(t *testing.T) {
		id, base := runContainer(t)
		h := startHog(t, base, mallory, each)
		defer h.finish()
		clients = h.clients
		begin := time.Now()
		for time.Since(begin) < within {
			for _, c := range []struct {
				method, path, body string
				want               int
			}{{"POST", "/notes", `{"title":"x","content":"` + strings.Repeat("c", 20_000) + `"}`, 201},
				{"GET", "/notes?limit=5", "", 200}} {
				start := time.Now()
				answer, text := sendRequest(t, c.method, base+c.path, c.body, "Authorization", "Bearer "+anna)
				slowest = max(slowest, time.Since(start))
				requests++
				if answer.StatusCode != c.want || answer.Header.Get("Content-Length") != strconv.Itoa(len(text)) {
					t.Fatalf("another caller's %s: %d with %d bytes, %v; the container is %s",
						c.method, answer.StatusCode, len(text), answer.Header, state(id))
				}
			}
		}
		used = s.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", id)
		if got := state(id); got != "true false" {
			t.Errorf("the container is %s (running, killed for its memory)", got)
		}
	})
	died := ""
	t.Run("Control", func(t *testing.T) {
		id, base := runContainer(t, "NOTES_MAX_IN_FLIGHT=1048576")
		h := startHog(t, base, mallory, each)
		defer h.finish()
		await(t, "the container without a limit is killed", time.Minute,
			func() bool { return strings.HasPrefix(state(id), "false") })
		died = state(id)
	})
	storetest.Proved(t,
		fmt.Sprintf("256 MB, %d clients that do not read answers or end bodies, 16 that send the worst bodies",
			clients),
		fmt.Sprintf("%s used; within %v %d requests of another caller served, the slowest in %v",
			used, within, requests, slowest.Round(time.Millisecond)),
		"without a limit it is "+died+" (running, killed for its memory)")
}
