package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRateLimit: each address and each caller has a limit of its own, and learns when it may send again.
func TestRateLimit(t *testing.T) {
	markConcurrent(t)
	anna, annas := newToken(t, "anna", "write")
	ben, bens := newToken(t, "ben", "write")
	p := startServer(t, newFile(t), "NOTES_RATE_LIMIT=1:5", "NOTES_AUTH=token", "NOTES_TOKENS="+annas+","+bens,
		"NOTES_TRUSTED_PROXIES=127.0.0.1")
	send := func(from, bearer string) *http.Response {
		t.Helper()
		answer, _ := sendRequest(t, "GET", p.url+"/notes", "", "X-Forwarded-For", from, "Authorization", "Bearer "+
			bearer)
		return answer
	}
	left := regexp.MustCompile(`^"caller";r=(\d+);t=\d+$`)
	var answer *http.Response
	var text string
	for i := range 50 { // on a slow machine, the limit grants one more each second
		answer, text = sendRequest(t, "GET", p.url+"/notes", "", "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i),
			"Authorization", "Bearer "+anna)
		match := left.FindStringSubmatch(answer.Header.Get("RateLimit"))
		if match == nil || answer.Header.Get("RateLimit-Policy") != `"caller";q=5` || i == 0 && match[1] != "4" {
			t.Errorf("request %d: %d %v", i, answer.StatusCode, answer.Header)
		}
		if answer.StatusCode != 200 {
			break
		}
		if i < 4 && match[1] == "0" {
			t.Errorf("no request is left after %d", i+1)
		}
	}
	if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.StatusCode != 429 || err != nil ||
		wait < 1 || wait > 2 || !strings.Contains(text, `"code":"too_many_requests"`) ||
		!strings.HasPrefix(answer.Header.Get("RateLimit"), `"caller";r=0`) {
		t.Errorf("beyond the limit: %d %v %s", answer.StatusCode, answer.Header, text)
	}
	if answer := send("192.0.2.99", ben); answer.StatusCode != 200 {
		t.Errorf("another caller: %d", answer.StatusCode)
	}
	// Guessing tokens counts against the address, not against callers elsewhere.
	got := map[int]int{}
	for i := range 30 {
		got[send("203.0.113.1", fmt.Sprintf("guess-%d", i)).StatusCode]++
	}
	if got[401] < 5 || got[429] == 0 || got[401]+got[429] != 30 {
		t.Errorf("30 guesses are answered with %v", got)
	}
	spent := false
	for range 20 {
		answer := send("203.0.113.1", ben)
		spent = spent || answer.StatusCode == 429 &&
			strings.HasPrefix(answer.Header.Get("RateLimit-Policy"), `"address"`)
	}
	if !spent {
		t.Error("the address that guessed is not limited")
	}
	if code, _ := get(t, p.url+"/readyz"); code != 200 {
		t.Errorf("/readyz: %d", code)
	}
}

// TestLimitIgnoresWallClock: setting the wall clock back does not make the limit refuse requests.
func TestLimitIgnoresWallClock(t *testing.T) {
	start := time.Now()
	wall := start
	for _, c := range []struct {
		name    string
		now     func() time.Time
		refused bool
	}{
		{"monotonic clock", monotonicClock(start), false},
		{"wall clock", func() time.Time { return wall }, true}, // the control
	} {
		t.Run(c.name, func(t *testing.T) {
			limit, err := newLimit(rate{20, 40}, c.now)
			if err != nil {
				t.Fatal(err)
			}
			wall = start
			if first := limit("address", "192.0.2.1"); first.Refused {
				t.Errorf("the first request: %+v", first)
			}
			wall = start.Add(-time.Hour)
			if later := limit("address", "192.0.2.1"); later.Refused != c.refused {
				t.Errorf("after the wall clock was set back: %+v", later)
			}
		})
	}
	t.Run("a wait is never longer than a full reset", func(t *testing.T) {
		limit, err := newLimit(rate{1, 3}, func() time.Time { return start })
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if quota := limit("address", "192.0.2.1"); quota.Retry > 3*time.Second || quota.Reset > 3*time.Second {
				t.Errorf("%+v", quota)
			}
		}
	})
}

// TestEveryRouteIsLimited: the limit holds for every route but the probes.
func TestEveryRouteIsLimited(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_RATE_LIMIT=1:2")
	for _, c := range []struct {
		method, path string
		limited      bool
	}{
		{"GET", "/notes", true}, {"OPTIONS", "/notes", true}, {"FOO", "/notes/x", true}, {"GET", "/version", true},
		{"GET", "/openapi.json", true}, {"GET", "/docs", true}, {"HEAD", "/docs/swagger-ui-bundle.js", true},
		{"GET", "/nothing", true}, {"GET", "/healthz/", true}, {"GET", "/healthz", false}, {"HEAD", "/readyz", false},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			refused := false
			for range 20 { // on a slow machine, the limit grants one more each second
				answer, _ := sendRequest(t, c.method, p.url+c.path, "")
				refused = refused || answer.StatusCode == 429 && answer.Header.Get("Retry-After") != ""
			}
			if refused != c.limited {
				t.Errorf("limited: %v, want %v", refused, c.limited)
			}
		})
	}
}

// TestForgedAddress: a client cannot choose its address by a header. Behind a trusted proxy its address is the one that
// the proxy saw, not one that the client sent.
func TestForgedAddress(t *testing.T) {
	markConcurrent(t)
	forged := []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-Ip", "Cf-Connecting-Ip", "True-Client-Ip"}
	p := startServer(t, newFile(t), "NOTES_RATE_LIMIT=1:3")
	got := map[int]int{}
	for i := range 12 {
		answer, _ := sendRequest(t, "GET", p.url+"/notes", "", forged[i%len(forged)], fmt.Sprintf("192.0.2.%d", i))
		got[answer.StatusCode]++
	}
	if got[200] < 3 || got[429] == 0 || strings.Contains(p.output(), "192.0.2.") {
		t.Errorf("12 requests with forged addresses: %v; the log is %s", got, p.output())
	}
	proxies, err := parseProxies("127.0.0.0/8, 10.0.0.0/8, fd00::/8")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, remote, says, want string }{
		{"what the proxy saw", "127.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"an entry by the client before it", "127.0.0.1:1", "1.2.3.4, 198.51.100.8", "198.51.100.8"},
		{"two proxies", "127.0.0.1:1", "1.2.3.4, 198.51.100.9, 10.1.1.1", "198.51.100.9"},
		{"nonsense before it", "127.0.0.1:1", "nonsense, 198.51.100.10", "198.51.100.10"},
		{"only nonsense", "127.0.0.1:1", "nonsense", "127.0.0.1"},
		{"nonsense after it", "127.0.0.1:1", "198.51.100.7, nonsense", "127.0.0.1"},
		{"no header", "127.0.0.1:1", "", "127.0.0.1"},
		{"an empty entry", "127.0.0.1:1", "198.51.100.7,", "127.0.0.1"},
		{"IPv6", "127.0.0.1:1", "2001:db8::7", "2001:db8::7"},
		{"only proxies", "127.0.0.1:1", "10.9.0.1, 10.0.0.5", "127.0.0.1"},
		{"with a port", "127.0.0.1:1", "198.51.100.7:5678", "198.51.100.7"},
		{"proxies with ports", "127.0.0.1:1", "198.51.100.7:5678, 10.0.0.1:80", "198.51.100.7"},
		{"IPv6 with a port", "127.0.0.1:1", "[2001:db8::7]:443", "2001:db8::7"},
		{"IPv6 in brackets", "127.0.0.1:1", "[2001:db8::7], [fd00::1]:80", "2001:db8::7"},
		{"IPv4 as IPv6", "127.0.0.1:1", "::ffff:198.51.100.7, ::ffff:10.0.0.1", "198.51.100.7"},
		{"a port that is not a number", "127.0.0.1:1", "198.51.100.7:http", "127.0.0.1"},
		{"not from a proxy", "192.0.2.9:1", "198.51.100.7", "192.0.2.9"},
		{"through a proxy with IPv6", "[fd00::5]:1", "198.51.100.7:1", "198.51.100.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/notes", nil)
			r.RemoteAddr = c.remote
			r.Header.Set("X-Forwarded-For", c.says)
			if got := clientAddrFunc(proxies)(r); got != c.want {
				t.Errorf("%q from %s is from %s, want %s", c.says, c.remote, got, c.want)
			}
		})
	}
	proxied := startServer(t, newFile(t), "NOTES_TRUSTED_PROXIES=127.0.0.0/8")
	sendRequest(t, "GET", proxied.url+"/notes", "", "X-Forwarded-For", "198.51.100.7:5678")
	await(t, "a log line with the client's address", 10*time.Second, func() bool {
		return strings.Contains(proxied.output(), "remote=198.51.100.7")
	})
}

// TestOnlyLocalHosts: without NOTES_AUTH the server answers only requests for localhost and loopback addresses.
func TestOnlyLocalHosts(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_AUTH=")
	port := p.url[strings.LastIndex(p.url, ":"):]
	for _, host := range []string{"localhost" + port, "127.0.0.1", "[::1]" + port, "[::1]", "127.1.2.3", "LOCALHOST",
		"LocalHost" + port} {
		if answer, _ := sendRequest(t, "POST", p.url+"/notes", `{"title":"x"}`, "Host",
			host); answer.StatusCode != 201 {
			t.Errorf("with Host %s: %d", host, answer.StatusCode)
		}
	}
	for _, header := range [][]string{{"X-Forwarded-For", "203.0.113.9"}, {"Forwarded", "for=203.0.113.9"},
		{"Via", "1.1 proxy"}, {"X-Real-Ip", "203.0.113.9"}, {"X-Forwarded-Proto", "https"}} {
		if answer, _ := sendRequest(t, "GET", p.url+"/notes", "", header...); answer.StatusCode != 421 {
			t.Errorf("through a proxy, %v: %d", header, answer.StatusCode)
		}
	}
	for _, host := range []string{"evil.example", "evil.example" + port, "localhost.evil.example", "192.0.2.1",
		"0.0.0.0" + port, "127.0.0.1.evil.example", "[::ffff:192.0.2.1]"} {
		if answer, text := sendRequest(t, "GET", p.url+"/notes", "", "Host", host); answer.StatusCode != 421 ||
			!isProblem(answer, text, "misdirected_request") {
			t.Errorf("with Host %s: %d %s", host, answer.StatusCode, text)
		}
	}
	open := startServer(t, newFile(t), "NOTES_AUTH=none")
	if answer, _ := sendRequest(t, "GET", open.url+"/notes", "", "Host", "notes.example"); answer.StatusCode != 200 {
		t.Errorf("with NOTES_AUTH=none: %d", answer.StatusCode)
	}
}

// isProblem reports whether an answer is a problem (RFC 9457) with the given code and the request id of its header.
func isProblem(answer *http.Response, body, code string) bool {
	var p struct {
		Status             int
		Code, Type, Detail string
		RequestID          string `json:"request_id"`
	}
	err := json.Unmarshal([]byte(body), &p)
	id := answer.Header.Get("X-Request-Id")
	return err == nil && answer.Header.Get("Content-Type") == "application/problem+json" &&
		p.Status == answer.StatusCode &&
		p.Code == code && p.Type == "urn:notes:problem:"+code && p.Detail != "" && id != "" && p.RequestID == id
}
