package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/portable-notes/notes/storetest"
)

// stopUnderLoad stops a server under the load of 64 connections. It returns the number of answered requests, and of
// lost ones, which were sent but not answered.
func stopUnderLoad(t *testing.T, p *process) (answered, lost int64) {
	t.Helper()
	answered, lost, faults := loadUntilStopped(t, p.url, func() {
		p.signal(t, syscall.SIGTERM)
	})
	p.wait(t)
	if p.endErr != nil || faults > 0 {
		t.Errorf("the server ended with %v after %d faults: %s", p.endErr, faults, p.output())
	}
	return answered, lost
}

// loadUntilStopped sends requests over 64 connections, calls stop under load, and returns when all connections are
// closed. After an answer with Connection: close it sends no more on that connection, as RFC 9112, section 9.6,
// requires. Faults are answers of 500 or more; they count as answered too.
func loadUntilStopped(t *testing.T, url string, stop func()) (answered, lost, faults int64) {
	t.Helper()
	addr := strings.TrimPrefix(url, "http://")
	var ok, bad, failed atomic.Int64
	var clients sync.WaitGroup
	busy := make(chan struct{})
	var once sync.Once
	for i := range 64 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		request := "GET /notes?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n"
		if i%2 == 0 {
			const body = `{"title":"x"}`
			request = fmt.Sprintf("POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: "+
				"application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
		clients.Go(func() {
			defer conn.Close()
			for r := bufio.NewReader(conn); ; {
				if _, err := io.WriteString(conn, request); err != nil {
					bad.Add(1)
					return
				}
				answer, err := http.ReadResponse(r, nil)
				if err == nil {
					_, err = io.Copy(io.Discard, answer.Body)
				}
				if err != nil {
					bad.Add(1)
					return
				}
				if answer.StatusCode >= 500 {
					failed.Add(1)
				}
				if ok.Add(1) == 500 {
					once.Do(func() { close(busy) })
				}
				if answer.Close {
					return
				}
			}
		})
	}
	<-busy
	stop()
	clients.Wait()
	return ok.Load(), bad.Load(), failed.Load()
}

// TestProofStop: stopping the server loses no request.
func TestProofStop(t *testing.T) {
	stops := storetest.Amount(20, 100)
	var answered, lost int64
	for range stops {
		a, l := stopUnderLoad(t, startServer(t, newFile(t)))
		answered, lost = answered+a, lost+l
	}
	if lost > 0 {
		t.Errorf("%d stops lost %d of %d requests", stops, lost, answered+lost)
	}
	var caught int64
	controls := 0
	for ; controls < 20; controls++ {
		_, l := stopUnderLoad(t, startControl(t, faultBareShutdown, newFile(t)))
		caught += l
	}
	if caught == 0 {
		t.Error("the control, a bare Shutdown, lost no request")
	}
	storetest.Proved(t, fmt.Sprintf("%d stops, %d requests", stops, answered), fmt.Sprintf("%d lost", lost),
		fmt.Sprintf("bare Shutdown: %d lost in %d stops", caught, controls))
}
