package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/logging"

	"example.com/portable-notes/notes/storetest"
)

// TestLogOfRequest: a request's line has ids and hashes, but no owner and no token.
func TestLogOfRequest(t *testing.T) {
	markConcurrent(t)
	anna, annas := newToken(t, "anna", "write")
	ben, bens := newToken(t, "ben", "read")
	env := []string{"NOTES_AUTH=token", "NOTES_TOKENS=" + annas + "," + bens, "NOTES_LOG_KEY=0123456789abcdef"}
	callerOf := func(p *process, id, bearer string) string {
		t.Helper()
		sendRequest(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+bearer, "X-Request-Id", id, "Traceparent",
			"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		line := regexp.MustCompile(`request_id=` + id + ` .*`)
		await(t, "the line of "+id, 5*time.Second, func() bool { return line.MatchString(p.output()) })
		said := line.FindString(p.output())
		if !strings.Contains(said, "trace_id=4bf92f3577b34da6a3ce929d0e0e4736") {
			t.Errorf("the line is %s", said)
		}
		if match := regexp.MustCompile(`caller=([0-9a-f]{16})\b`).FindStringSubmatch(said); match != nil {
			return match[1]
		}
		return said
	}
	p := startServer(t, newFile(t), env...)
	first, second, other := callerOf(p, "r1", anna), callerOf(p, "r2", anna), callerOf(p, "r3", ben)
	if first != second || first == other || len(first) != 16 || len(other) != 16 {
		t.Errorf("the hashes are %s and %s for anna, %s for ben", first, second, other)
	}
	if said := callerOf(p, "r4", "stranger"); !strings.Contains(said, "refused=unknown") ||
		strings.Contains(said, "caller=") {
		t.Errorf("the line of an unknown token is %s", said)
	}
	again := startServer(t, newFile(t), env...)
	rekeyed := startServer(t, newFile(t), append(env, "NOTES_LOG_KEY=")...)
	if callerOf(again, "r1", anna) != first || callerOf(rekeyed, "r1", anna) == first {
		t.Error("the hash must depend on nothing but the owner and NOTES_LOG_KEY")
	}
	for _, said := range []string{p.output(), again.output(), rekeyed.output()} {
		if strings.Contains(said, "anna") || strings.Contains(said, "notes_") || strings.Contains(said, "stranger") {
			t.Errorf("the log has an owner or a token: %s", said)
		}
	}
	for _, bad := range []string{"00-" + strings.Repeat("x", 32) + "-00f067aa0ba902b7-01", "nonsense",
		"00-4bf92f3577b34da6a3ce929d0e0e4736"} {
		if got := traceID(&http.Request{Header: http.Header{"Traceparent": {bad}}}); got != "" {
			t.Errorf("the trace id of %s is %s, want none", bad, got)
		}
	}
}

// TestHashOwner: -hash-owner prints the hash that stands for an owner in the log.
func TestHashOwner(t *testing.T) {
	const key = "NOTES_LOG_KEY=0123456789abcdef"
	hashes := func(t *testing.T, owners string, env ...string) string {
		t.Helper()
		var stdout bytes.Buffer
		err := run(t.Context(), []string{"-hash-owner"}, env, strings.NewReader(owners), &stdout, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return stdout.String()
	}
	t.Run("as in the log", func(t *testing.T) {
		anna, annas := newToken(t, "anna", "write")
		p := startServer(t, newFile(t), "NOTES_AUTH=token", "NOTES_TOKENS="+annas, key)
		sendRequest(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+anna)
		logged := func(hash string) bool { return strings.Contains(p.output(), "caller="+hash) }
		await(t, "the log has anna's hash", 5*time.Second, func() bool { return logged(hashes(t, "anna", key)) })
		for _, other := range []string{hashes(t, "anna", "NOTES_LOG_KEY=0123456789abcdeF"), hashes(t, "Anna", key)} {
			if logged(other) {
				t.Errorf("the log has %s, the hash of another key or owner", other)
			}
		}
	})
	anna, ben := hashes(t, "anna", key), hashes(t, "https://issuer.example ben", key)
	for _, c := range []struct{ name, owners, want string }{
		{"a line break at the end", "anna\n", anna},
		{"CRLF", "anna\r\n", anna},
		{"byte order mark", "\ufeffanna\r\n", anna},
		{"two owners", "anna\nhttps://issuer.example ben\n", anna + ben},
		{"no line break at the end", "anna\nhttps://issuer.example ben", anna + ben},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hashes(t, c.owners, "NOTES_ADDR=wrong", key)
			if got != c.want || !regexp.MustCompile(`^([0-9a-f]{16}\n)+$`).MatchString(got) {
				t.Errorf("it prints %q, want %q", got, c.want)
			}
		})
	}
	for _, c := range []struct {
		name, owners string
		env, args    []string
		says         string
	}{
		{"no key", "anna\n", nil, nil, "NOTES_LOG_KEY is not set"},
		{"an empty key", "anna\n", []string{"NOTES_LOG_KEY="}, nil, "NOTES_LOG_KEY is not set"},
		{"a short key", "anna\n", []string{"NOTES_LOG_KEY=0123456789abcde"}, nil, "must have at least 16 bytes"},
		{"no input", "", []string{key}, nil, "standard input is empty"},
		{"only a line break", "\n", []string{key}, nil, "line 1 of standard input is empty"},
		{"an empty line", "anna\n\nben\n", []string{key}, nil, "line 2 of standard input is empty"},
		{"an owner as an argument", "", []string{key}, []string{"anna"}, `unexpected argument "anna"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout bytes.Buffer
			args := append([]string{"-hash-owner"}, c.args...)
			err := run(t.Context(), args, c.env, strings.NewReader(c.owners), &stdout, io.Discard)
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.says) || stdout.Len() > 0 {
				t.Errorf("error %v, want %q; it prints %q", err, c.says, &stdout)
			}
			if err != nil && strings.Contains(err.Error(), "0123456789abcde") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// findLogFaults returns what a JSON log must not have: forged lines, secrets, raw control bytes.
func findLogFaults(log string, secrets ...string) (faults []string) {
	fault := func(what string, at int) {
		faults = append(faults, fmt.Sprintf("%s: %q", what, log[max(0, at-300):min(len(log), at+100)]))
	}
	at := 0
	for line := range strings.Lines(log) {
		var is struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &is); err != nil || is.Time == "" ||
			!slices.Contains([]string{"INFO", "WARN", "ERROR", "DEBUG"}, is.Level) || is.Msg == "" {
			fault("a forged line", at)
		}
		at += len(line)
	}
	for _, secret := range secrets {
		if i := strings.Index(log, secret[:min(len(secret), 20)]); i >= 0 {
			fault("a secret", i)
		}
	}
	if i := strings.IndexFunc(log, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); i >= 0 {
		fault("a control byte", i)
	}
	return faults
}

// TestProofHostileLog: whatever clients send, the log has no token, no text of a note, no raw control byte and no
// forged line, and the number of metrics stays bounded.
func TestProofHostileLog(t *testing.T) {
	anna, annas := newToken(t, "anna", "write")
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS="+annas,
		"NOTES_LOG_FORMAT=json", "NOTES_LOG_LEVEL=debug", "NOTES_TRUSTED_PROXIES=127.0.0.1")
	requests := storetest.Amount(10_000, 10_000)
	statuses, faults := attack(t, p.url, anna, requests)
	if len(faults) > 0 || statuses[401] == 0 || statuses[200] == 0 || statuses[422] == 0 {
		t.Errorf("%v, faults %v", statuses, faults)
	}
	// Answers with the other statuses may come from net/http, which does not log them.
	answered := requests - statuses[0] - statuses[400] - statuses[431] - statuses[501] - statuses[505]
	await(t, "a line for each request", 10*time.Second, func() bool {
		return strings.Count(p.output(), "\n") >= answered
	})
	for _, fault := range findLogFaults(p.output(), anna, canary) {
		t.Error(fault)
	}
	caught := 0
	for _, bad := range []string{anna, anna[:20], canary, "\x1b[31m", "\x7f", "\n" + `{"msg":"forged"}`} {
		if len(findLogFaults(strings.Replace(p.output(), "request_id", bad, 1), anna, canary)) > 0 {
			caught++
		}
	}
	if caught != 6 {
		t.Errorf("%d of 6 bad logs are detected", caught)
	}
	total := 0
	for name, family := range readMetrics(t, p) {
		if total += len(family); strings.HasPrefix(name, "notes_") && len(family) > 150 {
			t.Errorf("%s has %d series, want at most 150", name, len(family))
		}
		for labels := range family {
			if strings.Contains(labels, canary) || strings.Contains(labels, anna) {
				t.Errorf("%s has a secret among its labels: %s", name, labels)
			}
		}
	}
	if total > 600 {
		t.Errorf("there are %d series, want at most 600", total)
	}
	if strings.Contains(p.output(), "panic") {
		t.Error("the server panicked")
	}
	storetest.Proved(t, fmt.Sprintf("%d requests, %v", requests, statuses),
		fmt.Sprintf("0 secrets, control bytes or forged lines, %d series", total), "6 of 6 bad logs are detected")
}

// TestSDKLog checks that warnings of the AWS SDK are lines of our log.
func TestSDKLog(t *testing.T) {
	var out bytes.Buffer
	sdk := sdkLogger(slog.New(slog.NewJSONHandler(&out, nil)))
	sdk.Logf(logging.Warn, "checksum of %s", "x")
	sdk.Logf(logging.Debug, "hidden")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "checksum of x" ||
		line["level"] != "WARN" {
		t.Errorf("%v: %s", err, &out)
	}
}
