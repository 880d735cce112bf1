package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/notes/storetest"
)

// TestLogOfARequest: a line has ids and hashes, and nobody's name.
func TestLogOfARequest(t *testing.T) {
	muchAtOnce(t)
	anna, annas := newToken(t, "anna", "write")
	ben, bens := newToken(t, "ben", "read")
	env := []string{"NOTES_AUTH=token", "NOTES_TOKENS=" + annas + "," + bens, "NOTES_LOG_KEY=0123456789abcdef"}
	callerOf := func(p *process, id, bearer string) string {
		t.Helper()
		request(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+bearer, "X-Request-Id", id, "Traceparent",
			"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		line := regexp.MustCompile(`request_id=` + id + ` .*`)
		await(t, "the line of "+id, 5*time.Second, func() bool { return line.MatchString(p.said()) })
		said := line.FindString(p.said())
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
		t.Errorf("callers are %s, %s and %s", first, second, other)
	}
	if said := callerOf(p, "r4", "stranger"); !strings.Contains(said, "refused=unknown") ||
		strings.Contains(said, "caller=") {
		t.Errorf("a stranger's line is %s", said)
	}
	again := startServer(t, newFile(t), env...)
	rekeyed := startServer(t, newFile(t), append(env, "NOTES_LOG_KEY=")...)
	if callerOf(again, "r1", anna) != first || callerOf(rekeyed, "r1", anna) == first {
		t.Error("the hash is not of the key")
	}
	for _, said := range []string{p.said(), again.said(), rekeyed.said()} {
		if strings.Contains(said, "anna") || strings.Contains(said, "notes_") || strings.Contains(said, "stranger") {
			t.Errorf("the log says %s", said)
		}
	}
	for _, bad := range []string{"00-" + strings.Repeat("x", 32) + "-00f067aa0ba902b7-01", "nonsense",
		"00-4bf92f3577b34da6a3ce929d0e0e4736"} {
		if got := traceID(&http.Request{Header: http.Header{"Traceparent": {bad}}}); got != "" {
			t.Errorf("%s is of the trace %s", bad, got)
		}
	}
}

// TestHashOwner: -hash-owner prints the hash by which the log has an owner.
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
		request(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+anna)
		logged := func(hash string) bool { return strings.Contains(p.said(), "caller="+hash) }
		await(t, "anna's hash in the log", 5*time.Second, func() bool { return logged(hashes(t, "anna", key)) })
		for _, other := range []string{hashes(t, "anna", "NOTES_LOG_KEY=0123456789abcdeF"), hashes(t, "Anna", key)} {
			if logged(other) {
				t.Errorf("the log has %s, which is of another key or owner", other)
			}
		}
	})
	anna, ben := hashes(t, "anna", key), hashes(t, "https://issuer.example ben", key)
	for _, c := range []struct{ name, owners, want string }{
		{"a line break at the end", "anna\n", anna},
		{"CRLF", "anna\r\n", anna},
		{"byte order mark", "\ufeffanna\r\n", anna},
		{"two owners", "anna\nhttps://issuer.example ben\n", anna + ben},
		{"the last line does not end", "anna\nhttps://issuer.example ben", anna + ben},
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
		{"a line break alone", "\n", []string{key}, nil, "line 1 of standard input is empty"},
		{"an empty line", "anna\n\nben\n", []string{key}, nil, "line 2 of standard input is empty"},
		{"an owner as an argument", "", []string{key}, []string{"anna"}, "is not expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout bytes.Buffer
			args := append([]string{"-hash-owner"}, c.args...)
			err := run(t.Context(), args, c.env, strings.NewReader(c.owners), &stdout, io.Discard)
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.says) || stdout.Len() > 0 {
				t.Errorf("%v, want %s; it prints %q", err, c.says, &stdout)
			}
			if err != nil && strings.Contains(err.Error(), "0123456789abcde") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// impure is what a log in JSON must not be: lines that the server did not write, secrets, raw control bytes.
func impure(log string, secrets ...string) (faults []string) {
	fault := func(what string, at int) {
		faults = append(faults, fmt.Sprintf("%s: %q", what, log[max(0, at-300):min(len(log), at+100)]))
	}
	at := 0
	for line := range strings.Lines(log) {
		var is struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &is); err != nil || is.Time == "" ||
			!slices.Contains([]string{"INFO", "WARN", "ERROR", "DEBUG"}, is.Level) || is.Msg == "" {
			fault("a line that the server did not write", at)
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

// TestProofHostileLog: whatever is sent, the log holds no token, no text of a note, no raw control byte and no line
// that the server did not write; and the metrics have no more labels than before.
func TestProofHostileLog(t *testing.T) {
	anna, annas := newToken(t, "anna", "write")
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS="+annas,
		"NOTES_LOG_FORMAT=json", "NOTES_LOG_LEVEL=debug", "NOTES_TRUSTED_PROXIES=127.0.0.1")
	requests := storetest.Amount(10_000, 10_000)
	statuses, faults := attack(t, p.url, anna, requests)
	if len(faults) > 0 || statuses[401] == 0 || statuses[200] == 0 || statuses[422] == 0 {
		t.Errorf("%v, faults %v", statuses, faults)
	}
	// the others may be net/http's own
	answered := requests - statuses[0] - statuses[400] - statuses[431] - statuses[501] - statuses[505]
	await(t, "a line for each request", 10*time.Second, func() bool {
		return strings.Count(p.said(), "\n") >= answered
	})
	for _, fault := range impure(p.said(), anna, canary) {
		t.Error(fault)
	}
	caught := 0
	for _, bad := range []string{anna, anna[:20], canary, "\x1b[31m", "\x7f", "\n" + `{"msg":"forged"}`} {
		if len(impure(strings.Replace(p.said(), "request_id", bad, 1), anna, canary)) > 0 {
			caught++
		}
	}
	if caught != 6 {
		t.Errorf("of 6 bad logs %d are found out", caught)
	}
	total := 0
	for name, family := range metricsOf(t, p) {
		if total += len(family); strings.HasPrefix(name, "notes_") && len(family) > 150 {
			t.Errorf("%s has %d figures", name, len(family))
		}
		for labels := range family {
			if strings.Contains(labels, canary) || strings.Contains(labels, anna) {
				t.Errorf("%s has the label %s", name, labels)
			}
		}
	}
	if total > 600 {
		t.Errorf("there are %d figures", total)
	}
	if strings.Contains(p.said(), "panic") {
		t.Error("the server panicked")
	}
	storetest.Proved(t, fmt.Sprintf("%d requests, %v", requests, statuses),
		fmt.Sprintf("0 secrets, control bytes or forged lines, %d figures", total), "of 6 bad logs 6 are found out")
}
