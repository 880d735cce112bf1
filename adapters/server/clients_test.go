package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRateLimit: an address and a caller may send so many and no more, each on its own, and are told when they may again.
func TestRateLimit(t *testing.T) {
	anna, annas := newToken(t, "anna", "write")
	ben, bens := newToken(t, "ben", "write")
	p := startServer(t, newFile(t), "NOTES_RATE_LIMIT=1:5", "NOTES_AUTH=token", "NOTES_TOKENS="+annas+","+bens, "NOTES_TRUSTED_PROXIES=127.0.0.1")
	send := func(from, bearer string) *http.Response {
		t.Helper()
		answer, _ := request(t, "GET", p.url+"/notes", "", "X-Forwarded-For", from, "Authorization", "Bearer "+bearer)
		return answer
	}
	left := regexp.MustCompile(`^"caller";r=(\d+);t=\d+$`)
	var answer *http.Response
	var text string
	for i := range 50 { // a slow machine gets one back each second
		answer, text = request(t, "GET", p.url+"/notes", "", "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i), "Authorization", "Bearer "+anna)
		match := left.FindStringSubmatch(answer.Header.Get("RateLimit"))
		if match == nil || answer.Header.Get("RateLimit-Policy") != `"caller";q=5` || i == 0 && match[1] != "4" {
			t.Errorf("request %d: %d %v", i, answer.StatusCode, answer.Header)
		}
		if answer.StatusCode != 200 {
			break
		}
		if i < 4 && match[1] == "0" {
			t.Errorf("after %d requests none is left", i+1)
		}
	}
	if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.StatusCode != 429 || err != nil || wait < 1 || wait > 2 || !strings.Contains(text, `"code":"too_many_requests"`) || !strings.HasPrefix(answer.Header.Get("RateLimit"), `"caller";r=0`) {
		t.Errorf("one too many: %d %v %s", answer.StatusCode, answer.Header, text)
	}
	if answer := send("192.0.2.99", ben); answer.StatusCode != 200 {
		t.Errorf("another caller: %d", answer.StatusCode)
	}
	// Guessing is bounded by the address, and takes nothing from who has a token elsewhere.
	got := map[int]int{}
	for i := range 30 {
		got[send("203.0.113.1", fmt.Sprintf("guess-%d", i)).StatusCode]++
	}
	if got[401] < 5 || got[429] == 0 || got[401]+got[429] != 30 {
		t.Errorf("30 guesses at once: %v", got)
	}
	spent := false // at one of few tries
	for range 20 {
		answer := send("203.0.113.1", ben)
		spent = spent || answer.StatusCode == 429 && strings.HasPrefix(answer.Header.Get("RateLimit-Policy"), `"address"`)
	}
	if !spent {
		t.Error("the address that guessed is not held to its limit")
	}
	if code, _ := get(t, p.url+"/readyz"); code != 200 {
		t.Errorf("/readyz: %d", code)
	}
	for a, b := range map[string]string{"2001:db8::1": "2001:db8::/64", "2001:db8::ffff:1": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64", "192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "?": "?"} {
		if got := network(a); got != b {
			t.Errorf("%s is of %s, want %s", a, got, b)
		}
	}
}

// TestForgedAddress: no header makes somebody else of a client, unless it comes through a proxy that is trusted; then what the
// proxy saw counts, not what its client said.
func TestForgedAddress(t *testing.T) {
	forged := []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-Ip", "Cf-Connecting-Ip", "True-Client-Ip"}
	p := startServer(t, newFile(t), "NOTES_RATE_LIMIT=1:3")
	got := map[int]int{}
	for i := range 12 {
		answer, _ := request(t, "GET", p.url+"/notes", "", forged[i%len(forged)], fmt.Sprintf("192.0.2.%d", i))
		got[answer.StatusCode]++
	}
	if got[200] < 3 || got[429] == 0 || strings.Contains(p.said(), "192.0.2.") {
		t.Errorf("12 requests under forged addresses: %v; the log says %s", got, p.said())
	}
	proxied := startServer(t, newFile(t), "NOTES_TRUSTED_PROXIES=127.0.0.0/8, 10.0.0.0/8")
	for says, want := range map[string]string{
		"198.51.100.7": "198.51.100.7", "1.2.3.4, 198.51.100.8": "198.51.100.8", "1.2.3.4, 198.51.100.9, 10.1.1.1": "198.51.100.9", "nonsense, 198.51.100.10": "198.51.100.10", "nonsense": "127.0.0.1",
		"2001:db8::7": "2001:db8::7", "10.9.0.1, 10.0.0.5": "127.0.0.1", "10.0.0.66": "127.0.0.1",
	} {
		_, _ = request(t, "GET", proxied.url+"/notes", "", "X-Forwarded-For", says, "X-Request-Id", "of-"+strconv.Itoa(len(says)))
		line := regexp.MustCompile(`request_id=of-` + strconv.Itoa(len(says)) + ` .*remote=(\S+)`)
		await(t, "a line of "+says, 5*time.Second, func() bool { return line.MatchString(proxied.said()) })
		if got := line.FindStringSubmatch(proxied.said())[1]; got != want {
			t.Errorf("%q is from %s, want %s", says, got, want)
		}
	}
}

// TestByAnotherName: with no setting the server answers this machine by its own names, and nobody by another.
func TestByAnotherName(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_AUTH=")
	port := p.url[strings.LastIndex(p.url, ":"):]
	for _, host := range []string{"localhost" + port, "127.0.0.1", "[::1]" + port, "[::1]", "127.1.2.3"} {
		if answer, _ := request(t, "POST", p.url+"/notes", `{"title":"x"}`, "Host", host); answer.StatusCode != 201 {
			t.Errorf("as %s: %d", host, answer.StatusCode)
		}
	}
	for _, header := range [][]string{{"X-Forwarded-For", "203.0.113.9"}, {"Forwarded", "for=203.0.113.9"}, {"Via", "1.1 proxy"}, {"X-Real-Ip", "203.0.113.9"}, {"X-Forwarded-Proto", "https"}} {
		if answer, _ := request(t, "GET", p.url+"/notes", "", header...); answer.StatusCode != 421 {
			t.Errorf("through a proxy, %v: %d", header, answer.StatusCode)
		}
	}
	for _, host := range []string{"evil.example", "evil.example" + port, "localhost.evil.example", "192.0.2.1", "0.0.0.0" + port, "127.0.0.1.evil.example", "[::ffff:192.0.2.1]"} {
		if answer, text := request(t, "GET", p.url+"/notes", "", "Host", host); answer.StatusCode != 421 || strings.Contains(text, "notes\":") {
			t.Errorf("as %s: %d %s", host, answer.StatusCode, text)
		}
	}
	open := startServer(t, newFile(t), "NOTES_AUTH=none")
	if answer, _ := request(t, "GET", open.url+"/notes", "", "Host", "notes.example"); answer.StatusCode != 200 {
		t.Errorf("a server that is open on purpose: %d", answer.StatusCode)
	}
}
