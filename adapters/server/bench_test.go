package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/notes/storetest"
)

// load is the result of a run of wrk.
type load struct {
	Rate   float64 // answers per second
	P99    float64 // 99th percentile of the latency in microseconds
	Errors int     // answers other than 2xx and 3xx, and failed connections
}

// runWrk loads a URL from one thread: with GET, or with POST if there is a body.
func runWrk(b *testing.B, url string, connections int, during time.Duration, body string, token ...string) load {
	b.Helper()
	path, err := exec.LookPath("wrk")
	if err != nil {
		storetest.Lacks(b, "wrk", err)
	}
	script := filepath.Join(b.TempDir(), "load.lua")
	lua := `done = function(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format('{"Rate":%f,"P99":%f,"Errors":%d}', 
    summary.requests / summary.duration * 1e6, latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end
`
	if body != "" {
		lua += fmt.Sprintf("wrk.method, wrk.body = 'POST', %q\nwrk.headers['Content-Type'] = 'application/json'\n",
			body)
	}
	for _, t := range token {
		lua += fmt.Sprintf("wrk.headers['Authorization'] = %q\n", "Bearer "+t)
	}
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, "-t1", fmt.Sprint("-c", connections), fmt.Sprintf("-d%ds", int(during.Seconds())), "-s",
		script, url)
	var figures strings.Builder
	cmd.Stderr = &figures
	if err := cmd.Run(); err != nil {
		b.Fatal(err, figures.String())
	}
	var l load
	if err := json.Unmarshal([]byte(figures.String()), &l); err != nil {
		b.Fatal(err, figures.String())
	}
	if l.Errors > 0 {
		b.Errorf("%d errors under load", l.Errors)
	}
	return l
}

var body300 = `{"title":"x","content":"` + strings.Repeat("c", 300) + `"}`

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// startQuiet starts a program and discards its log, so that reading it costs nothing.
func startQuiet(b *testing.B, path, file string, settings ...string) *process {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // to find a free port
	if err != nil {
		b.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	p := &process{Cmd: exec.Command(path), url: "http://" + addr, ended: make(chan struct{})}
	p.Env = environment(append([]string{"NOTES_ADDR=" + addr, "NOTES_STORE=bolt:" + file}, settings...)...)
	if err := p.Start(); err != nil {
		b.Fatal(err)
	}
	go func() { p.endErr = p.Wait(); close(p.ended) }()
	b.Cleanup(p.kill)
	await(b, "the server answers", 10*time.Second, func() bool {
		answer, err := client.Get(p.url + "/notes")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	return p
}

// measureSyncs appends 300 bytes to a file and syncs it, repeatedly. It returns appends per second and the median time
// of one in microseconds.
func measureSyncs(b *testing.B, folder string, during time.Duration) (perSecond, medianMicros float64) {
	b.Helper()
	file, err := os.Create(filepath.Join(folder, "appends"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var took []float64
	begin := time.Now()
	for last := begin; last.Sub(begin) < during; {
		if _, err := file.Write(make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		took = append(took, now.Sub(last).Seconds()*1e6)
		last = now
	}
	return float64(len(took)) / time.Since(begin).Seconds(), median(took)
}

// BenchmarkDurableCreatesOverHTTP compares creates over 32 connections with appends and syncs by one writer on the same
// disk, in rate and in 99th percentile. The notes file grows meanwhile.
func BenchmarkDurableCreatesOverHTTP(b *testing.B) {
	folder := b.TempDir()
	p := startQuiet(b, buildServer(b), filepath.Join(folder, "notes.db"))
	var ratios, tails []float64
	for b.Loop() {
		appendRate, syncMicros := measureSyncs(b, folder, 2*time.Second)
		l := runWrk(b, p.url+"/notes", 32, 4*time.Second, body300)
		ratios, tails = append(ratios, l.Rate/appendRate), append(tails, l.P99/syncMicros)
		b.ReportMetric(l.Rate, "creates/s")
		b.ReportMetric(appendRate, "appends/s")
	}
	b.ReportMetric(median(ratios), "creates/append")
	b.ReportMetric(median(tails), "p99/append")
}

// BenchmarkGet compares GET /notes/{id} with a bare net/http server that answers with the same bytes and headers.
func BenchmarkGet(b *testing.B) {
	p := startQuiet(b, buildServer(b), newFile(b))
	_, note := post(b, p.url+"/notes", body300)
	var made noteJSON
	if err := json.Unmarshal([]byte(note), &made); err != nil {
		b.Fatal(err)
	}
	bare := startQuiet(b, os.Args[0], newFile(b), controlFault+"="+faultBareGet, "NOTES_TEST_BODY="+note)
	var ratios []float64
	for b.Loop() {
		whole := runWrk(b, p.url+"/notes/"+made.ID, 64, 10*time.Second, "")
		limit := runWrk(b, bare.url+"/notes/"+made.ID, 64, 10*time.Second, "")
		ratios = append(ratios, whole.Rate/limit.Rate)
		b.ReportMetric(whole.Rate, "req/s")
		b.ReportMetric(limit.Rate, "bare-req/s")
	}
	b.ReportMetric(median(ratios), "whole/bare")
}

// BenchmarkListOverHTTP compares lists of 20 notes of 250 bytes with GET of one of them.
func BenchmarkListOverHTTP(b *testing.B) {
	p := startQuiet(b, buildServer(b), newFile(b))
	var made string
	for range 40 {
		_, made = post(b, p.url+"/notes", `{"title":"x","content":"`+strings.Repeat("c", 250)+`"}`)
	}
	var ratios []float64
	for b.Loop() {
		list := runWrk(b, p.url+"/notes?limit=20", 32, 5*time.Second, "")
		one := runWrk(b, p.url+"/notes/"+parseNote(b, made).ID, 32, 5*time.Second, "")
		ratios = append(ratios, list.Rate/one.Rate)
		b.ReportMetric(list.Rate, "lists/s")
		b.ReportMetric(one.Rate, "notes/s")
	}
	b.ReportMetric(median(ratios), "list/note")
}

// BenchmarkAuthentication compares GET /notes/{id} with a token, and with a JSON Web Token, with the same requests to a
// server that does not authenticate callers.
func BenchmarkAuthentication(b *testing.B) {
	issuer := jwttest.New(b)
	secret, line := newToken(b, "anna", "write")
	unauthenticated := startQuiet(b, buildServer(b), newFile(b))
	ways := []struct {
		name, token string
		*process
	}{
		{"token", secret, startQuiet(b, buildServer(b), newFile(b), "NOTES_AUTH=token", "NOTES_TOKENS="+line)},
		{"jwt", issuer.Token(b, "anna", "notes:write"),
			startQuiet(b, buildServer(b), newFile(b), "NOTES_AUTH=jwt", "NOTES_JWT_ISSUER="+issuer.URL,
				"NOTES_JWT_AUDIENCE="+jwttest.Audience)},
	}
	made := func(p *process, token string) string {
		a := sendOnce(client, "POST", p.url+"/notes", body300, "Authorization", "Bearer "+token)
		return p.url + "/notes/" + parseNote(b, a.body).ID
	}
	free := made(unauthenticated, "")
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			guarded := made(way.process, way.token)
			var ratios []float64
			for b.Loop() {
				authenticated := runWrk(b, guarded, 64, 5*time.Second, "", way.token)
				open := runWrk(b, free, 64, 5*time.Second, "", way.token)
				ratios = append(ratios, authenticated.Rate/open.Rate)
			}
			b.ReportMetric(median(ratios), "authenticated/open")
		})
	}
}

// BenchmarkMemory measures the server's private memory after its start, after 10 s of lists, and after 100,000 creates
// and a minute of load.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		p := startQuiet(b, buildServer(b), newFile(b))
		anon := func() float64 { return float64(procStatus(b, p.Process.Pid, "RssAnon")) / 1024 }
		b.ReportMetric(anon(), "idle-MiB")
		runWrk(b, p.url+"/notes", 32, 2*time.Second, body300)
		runWrk(b, p.url+"/notes?limit=100", 32, 10*time.Second, "")
		b.ReportMetric(anon(), "lists-MiB")
		made := 0.0
		for made < 100_000 {
			made += runWrk(b, p.url+"/notes", 32, 5*time.Second, body300).Rate * 5
		}
		for range 3 {
			runWrk(b, p.url+"/notes", 32, 10*time.Second, "")
			runWrk(b, p.url+"/notes", 32, 10*time.Second, body300)
		}
		b.ReportMetric(anon(), "after-MiB")
		b.ReportMetric(float64(procStatus(b, p.Process.Pid, "RssFile"))/1024, "RssFile-MiB")
		p.kill()
	}
}

// BenchmarkGoodClientsUnderAttack compares the 99th percentile of a good client's latency under 50 attacks per second
// with that under 50 harmless requests per second.
func BenchmarkGoodClientsUnderAttack(b *testing.B) {
	p := startQuiet(b, buildServer(b), newFile(b))
	p99 := func(visit func(i int)) float64 {
		stop := make(chan struct{})
		var visitors sync.WaitGroup
		visitors.Go(func() {
			tick := time.NewTicker(time.Second / 50)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-tick.C:
					visitors.Go(func() { visit(i) })
				}
			}
		})
		var took []float64
		for begin := time.Now(); time.Since(begin) < 5*time.Second; {
			start := time.Now()
			get(b, p.url+"/notes?limit=5")
			took = append(took, time.Since(start).Seconds())
		}
		close(stop)
		visitors.Wait()
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	addr := strings.TrimPrefix(p.url, "http://")
	send := func(request string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = conn.Write([]byte(request))
		buffer := make([]byte, 4096)
		_, _ = conn.Read(buffer)
	}
	hostiles := make([]string, 256)
	h := &fuzzer{random: rand.New(rand.NewPCG(5, 5)), ids: []string{"x"}}
	for i := range hostiles {
		switch i % 4 {
		case 0:
			hostiles[i] = "GET /notes HTTP/1.1\r\nHost: x\r\nX-Slow: "
		case 1:
			hostiles[i] = "GET /notes HTTP/1.1\r\n" + strings.Repeat("X-Many: x\r\n", 10_000) + "\r\n"
		default:
			hostiles[i] = h.request()
		}
	}
	var ratios []float64
	for b.Loop() {
		harmless := p99(func(int) { send("GET /notes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") })
		attacked := p99(func(i int) { send(hostiles[i%len(hostiles)]) })
		ratios = append(ratios, attacked/harmless)
	}
	b.ReportMetric(median(ratios), "p99-attacked/harmless")
}

// newBareHandler returns a handler that only writes the headers and bytes of one answer.
func newBareHandler() http.Handler {
	note := os.Getenv("NOTES_TEST_BODY")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "private, no-cache")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Request-Id", "8d2eab5f-8d9f-4562-b1da-283b016247ca")
		header.Set("Etag", `"1"`)
		header.Set("Content-Length", fmt.Sprint(len(note)))
		_, _ = w.Write([]byte(note))
	})
}
