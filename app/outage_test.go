package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

// TestProofOutages: while the network between the service and its table fails, every response arrives in time and, if
// it is an error, allows a retry. After the fault, the service recovers within a second.
func TestProofOutages(t *testing.T) {
	storetest.NotWithRace(t)
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	upstream, err := url.Parse(*cfg.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	line := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "line",
		"127.0.0.1:0", upstream.Host)
	if err := line.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Stop)
	toxic := func(kind, stream, attributes string) (begin, end func() error) {
		return func() error {
			_, err := line.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
				`{"name":"fault","type":%q,"stream":%q,"attributes":{%s}}`,
				kind, stream, attributes)))
			return err
		}, func() error { return line.Toxics.RemoveToxic(t.Context(), "fault") }
	}
	enable := func(on bool) func() error {
		return func() error {
			input := *toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
				"line", line.Listen, line.Upstream)
			input.Enabled = on
			return line.Update(&input)
		}
	}
	store, err := dynamo.Open(t.Context(), dynamotest.ConfigOf("http://"+line.Listen), table,
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := newApp(store, app.Options{})
	made := send(h, "POST", "/notes", `{"title":"there"}`)
	note := made.Header.Get("Location")
	var worst, recovery time.Duration
	keys := 0
	for _, fault := range []struct {
		name       string
		begin, end func() error
		mild       bool // requests succeed, slowly
	}{
		{"down", enable(false), enable(true), false},
		pair("reset", false)(toxic("reset_peer", "downstream", `"timeout":0`)),
		pair("500 ms", true)(toxic("latency", "downstream", `"latency":500`)),
		pair("5 s", false)(toxic("latency", "downstream", `"latency":5000`)),
		pair("black hole", false)(toxic("timeout", "upstream", `"timeout":0`)),
		pair("answers cut", false)(toxic("limit_data", "downstream", `"bytes":20`)),
		pair("half an answer", false)(toxic("limit_data", "downstream", `"bytes":300`)),
	} {
		if err := fault.begin(); err != nil {
			t.Fatal(fault.name, err)
		}
		keys++
		key := fmt.Sprint("key ", keys)[4:]
		var all sync.WaitGroup
		var mu sync.Mutex
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/notes", ""}, {"GET", note, ""}, {"POST", "/notes", `{"title":"x"}`}, {
				"PUT", note, `{"title":"there"}`}, {"PATCH", note, `{"content":"c"}`},
			{"DELETE", "/notes/" + id, ""}, {"POST", "/notes", `{"title":"keyed"}`}, {"GET", "/readyz", ""},
		} {
			all.Go(func() {
				begin := time.Now()
				var headers []string
				if strings.Contains(c.body, "keyed") {
					headers = []string{"Idempotency-Key", key}
				}
				answer := send(h, c.method, c.path, c.body, headers...)
				took := time.Since(begin)
				// The response may still be the last result, which is cached for a second.
				old := c.path == "/readyz" && !fault.mild && fault.name != "half an answer"
				for asked := begin; old && answer.StatusCode == 200 && time.Since(asked) < 10*time.Second; {
					begin = time.Now()
					answer = send(h, c.method, c.path, c.body)
					took = time.Since(begin)
				}
				limit := 3500 * time.Millisecond
				if c.path == "/readyz" {
					limit = 2 * time.Second
				}
				if took > limit {
					t.Errorf("%s: %s %s takes %v", fault.name, c.method, c.path, took)
				}
				switch {
				case answer.StatusCode == 503 && answer.Header.Get("Retry-After") != "" && !fault.mild:
				case answer.StatusCode < 300 && (fault.mild ||
					fault.name == "half an answer"), answer.StatusCode == 404 && c.method == "DELETE":
				default:
					t.Errorf("%s: %s %s returns %d, Retry-After %q", fault.name, c.method, c.path,
						answer.StatusCode, answer.Header.Get("Retry-After"))
				}
				mu.Lock()
				defer mu.Unlock()
				worst = max(worst, took)
			})
		}
		all.Wait()
		if err := fault.end(); err != nil {
			t.Fatal(fault.name, err)
		}
		healed := time.Now()
		recovers := func(method, path, body string) {
			t.Helper()
			for send(h, method, path, body).StatusCode != 200 {
				if time.Since(healed) > 10*time.Second {
					t.Fatalf("%s: %s %s does not recover", fault.name, method, path)
				}
			}
		}
		recovers("PATCH", note, `{"content":"c"}`)
		if took := time.Since(healed); took > time.Second {
			t.Errorf("%s: recovers after %v", fault.name, took)
		} else {
			recovery = max(recovery, took)
		}
		recovers("GET", "/readyz", "")
		for range 2 { // the create may have failed; with its retries it makes one note
			if answer := send(h, "POST", "/notes", `{"title":"keyed"}`, "Idempotency-Key",
				key); answer.StatusCode != 201 {
				t.Errorf("%s: the retry of a create returns %d", fault.name, answer.StatusCode)
			}
		}
	}
	if n := countTitled(t, h, "keyed"); n != keys {
		t.Errorf("%d creates with a key, each sent three times, made %d notes", keys, n)
	}
	storetest.Proved(t, fmt.Sprintf("%d faults, 8 requests each", keys),
		fmt.Sprintf("every answer within %.1f s, recovery within %.2f s", worst.Seconds(), recovery.Seconds()), "none")
}

type outage = struct {
	name       string
	begin, end func() error
	mild       bool
}

func pair(name string, mild bool) func(begin, end func() error) outage {
	return func(begin, end func() error) outage { return outage{name, begin, end, mild} }
}

// countTitled returns the number of notes with a title.
func countTitled(t *testing.T, h http.Handler, title string) int {
	t.Helper()
	answer := send(h, "GET", "/notes?limit=100&q="+title, "")
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(body), `"title":"`+title+`"`)
}
