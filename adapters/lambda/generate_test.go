package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

// generateEvents returns random events, some valid, some with parts changed, missing or of another type.
func generateEvents(count int) [][]byte {
	random := rand.New(rand.NewPCG(6, 6))
	one := func(of ...any) any { return of[random.IntN(len(of))] }
	const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
	all := make([][]byte, count)
	for i := range all {
		headers := map[string]any{"host": "h.example"}
		for range random.IntN(5) {
			headers[one("content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id", "cookie",
				"accept-encoding", "x-forwarded-for", "\x00", "").(string)] = one("application/json", `"1"`, "*", "k",
				"\x00", "a,b", strings.Repeat("x", 9000), "é", "", 5, nil)
		}
		e := map[string]any{
			"version": "2.0", "rawPath": one("/notes", "/notes/"+id, "/dev/notes", "/notes/100%", "/notes/\n", "",
				"//", "/notes/"+strings.Repeat("x", 5000), "\xff"),
			"rawQueryString": one("", "limit=5", "limit=x", "q=%", "tag=a&tag=b", "cursor=x", "&&&", "\x00"),
			"headers":        headers, "isBase64Encoded": one(true, false, false, false),
			"body": one("", `{"title":"x"}`, `{"title":"x","content":"c"}`, "{", "null", "eyJ0aXRsZSI6IngifQ==",
				strings.Repeat(" ", 1<<20)+"1", `{"title":"`+strings.Repeat("x", 500)+`"}`),
			"cookies": one([]string{"a=b"}, nil, []string{}),
			"requestContext": map[string]any{
				"domainName": one("a.execute-api.eu-central-1.amazonaws.com", "h.example", ""),
				"requestId":  one("id", "", "a b", "\n"), "stage": one("$default", "dev", ""),
				"http": map[string]any{"method": one("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "x",
					"G T", "get"), "sourceIp": one("192.0.2.1", "", "x", "::1"), "path": "/notes",
					"protocol": "HTTP/1.1"},
			},
		}
		if random.IntN(4) == 0 {
			delete(e, one("version", "rawPath", "headers", "requestContext", "body").(string))
		}
		if random.IntN(6) == 0 {
			e[one("version", "rawPath", "headers", "requestContext", "body", "isBase64Encoded",
				"cookies").(string)] = one(nil, 1, "x", []any{1}, map[string]any{"a": 1}, true)
		}
		payload, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		if random.IntN(5) == 0 { // and bytes that Lambda would never pass to a function
			at := random.IntN(len(payload))
			switch random.IntN(3) {
			case 0:
				payload[at] ^= 1 << random.IntN(8)
			case 1:
				payload = payload[:at]
			default:
				payload = slices.Insert(payload, at, payload[:at/2]...)
			}
		}
		all[i] = payload
	}
	return all
}

// checkAnswer checks that API Gateway would accept a function's result, and that it is not a failure.
func checkAnswer(t *testing.T, payload, out []byte, err error) {
	t.Helper()
	var a struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	d := json.NewDecoder(bytes.NewReader(out))
	if decodeErr := d.Decode(&a); err != nil || decodeErr != nil {
		t.Fatalf("%.500q: function error %v, %v, %.200s", payload, err, decodeErr, out)
	}
	if a.StatusCode < 200 || a.StatusCode > 599 || a.StatusCode == 500 &&
		!strings.Contains(a.Body, "payload format 2.0") || a.StatusCode > 500 {
		t.Errorf("%.500q is answered with %d %.300s", payload, a.StatusCode, a.Body)
	}
	if id, ours := a.Headers["X-Request-Id"]; ours && id == "" {
		t.Errorf("%.500q is answered without a request id: %v", payload, a.Headers)
	}
	if a.StatusCode >= 400 && a.Headers["Content-Type"] != "application/problem+json" {
		t.Errorf("%.500q is answered with %d and %v", payload, a.StatusCode, a.Headers)
	}
}

// freezeAndThaw stops a process and continues it, as Lambda does between events.
func freezeAndThaw(t *testing.T, p *os.Process) {
	t.Helper()
	storetest.Freeze(t, p)()
}
