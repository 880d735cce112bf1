package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prometheus "github.com/prometheus/common/model"

	"example.com/portable-notes/notes/bolt"
)

// adminURL returns the URL of a server's NOTES_ADMIN_ADDR.
func adminURL(t testing.TB, p *process) string {
	t.Helper()
	announced := regexp.MustCompile(`metrics are at (\S+)/metrics`)
	await(t, "the server announces its metrics", 5*time.Second, func() bool {
		return announced.MatchString(p.output())
	})
	return announced.FindStringSubmatch(p.output())[1]
}

// readMetrics parses the metrics of a server as Prometheus does. It returns values by family and labels.
func readMetrics(t testing.TB, p *process) map[string]map[string]float64 {
	t.Helper()
	answer, text := sendRequest(t, "GET", adminURL(t, p)+"/metrics", "")
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("/metrics: %d %v", answer.StatusCode, answer.Header)
	}
	parser := expfmt.NewTextParser(prometheus.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("Prometheus cannot parse the metrics: %v\n%s", err, text)
	}
	all := map[string]map[string]float64{}
	for name, family := range families {
		all[name] = map[string]float64{}
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			if family.GetType() == dto.MetricType_HISTOGRAM {
				value = float64(m.GetHistogram().GetSampleCount())
			}
			all[name][strings.Join(labels, " ")] = value
		}
	}
	return all
}

// TestMetrics: the metrics count what was done, and clients cannot add labels.
func TestMetrics(t *testing.T) {
	markConcurrent(t)
	anna, line := newToken(t, "anna", "write")
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS="+line)
	bearer := []string{"Authorization", "Bearer " + anna}
	made, _ := sendRequest(t, "POST", p.url+"/notes", `{"title":"x"}`, bearer...)
	note := p.url + made.Header.Get("Location")
	sendRequest(t, "GET", note, "", bearer...)
	sendRequest(t, "GET", note, "", bearer...)
	sendRequest(t, "GET", p.url+"/notes", "", bearer...)
	sendRequest(t, "GET", p.url+"/notes", "")
	sendRequest(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+anna+"x")
	sendRequest(t, "PROPFIND", p.url+"/notes/"+strings.Repeat("x", 300), "")
	for i := range 50 {
		sendRequest(t, "GET", fmt.Sprintf("%s/nowhere/%d", p.url, i), "")
	}
	got := readMetrics(t, p)
	for _, c := range []struct {
		family, labels string
		want           float64
	}{
		{"notes_http_requests_total", "POST /notes 201", 1}, {"notes_http_requests_total", "GET /notes/:id 200", 2}, {
			"notes_http_requests_total", "GET /notes 401", 2},
		{"notes_http_requests_total", "GET  404", 50}, {"notes_http_request_duration_seconds", "GET /notes/:id", 2}, {
			"notes_http_request_duration_seconds", "GET ", 50},
		{"notes_tokens_refused_total", "none", 2}, {"notes_tokens_refused_total", "unknown", 1}, {
			"notes_store_calls_total", "create ok", 1}, {"notes_store_calls_total", "get ok", 2},
		{"notes_store_calls_total", "list ok", 1}, {"notes_store_call_duration_seconds", "get", 2}, {
			"notes_bolt_commit_writers", "", 1},
	} {
		if is, ok := got[c.family][c.labels]; !ok || is != c.want {
			t.Errorf("%s{%s} is %v, want %v; the family is %v", c.family, c.labels, is, c.want, got[c.family])
		}
	}
	for _, family := range []string{"go_goroutines", "process_resident_memory_bytes", "process_cpu_seconds_total"} {
		if len(got[family]) == 0 {
			t.Errorf("%s is missing", family)
		}
	}
	if code, _ := get(t, p.url+"/metrics"); code != 404 {
		t.Errorf("/metrics on NOTES_ADDR: %d, want 404", code)
	}
	p.stop(t, os.Interrupt)
}

func TestMetricsOnDynamoDB(t *testing.T) {
	p := startServer(t, newFile(t), append(dynamoDBEnv(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")...)
	post(t, p.url+"/notes", `{"title":"x"}`)
	get(t, p.url+"/notes")
	got := readMetrics(t, p)["notes_dynamodb_units_total"]
	if got["write"] != 1 || got["read"] < 1 {
		t.Errorf("the units are %v", got)
	}
	if answer, text := sendRequest(t, "GET", adminURL(t, p)+"/backup", ""); answer.StatusCode != 404 ||
		!strings.Contains(text, "DynamoDB") {
		t.Errorf("/backup: %d %s", answer.StatusCode, text)
	}
}

// TestBackup: a backup is a valid notes file, and only programs on this machine can get it.
func TestBackup(t *testing.T) {
	markConcurrent(t)
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	for range 20 {
		post(t, p.url+"/notes", `{"title":"x"}`)
	}
	answer, text := sendRequest(t, "GET", adminURL(t, p)+"/backup", "")
	if answer.StatusCode != 200 || answer.ContentLength != int64(len(text)) {
		t.Fatalf("%d, %d of %d bytes", answer.StatusCode, len(text), answer.ContentLength)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := bolt.Check(copied); err != nil || report.Notes != 20 || len(report.Findings) > 0 {
		t.Errorf("the copy is %+v, %v", report, err)
	}
	for _, host := range []string{"evil.example", "evil.example:9090", "127.0.0.1.evil.example", "192.0.2.1", ""} {
		if answer, text := sendRequest(t, "GET", adminURL(t, p)+"/backup", "", "Host", host); host != "" &&
			(answer.StatusCode != 403 || !isProblem(answer, text, "forbidden")) {
			t.Errorf("with Host %s: %d %.100s", host, answer.StatusCode, text)
		}
	}
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}} {
		if answer, _ := sendRequest(t, "GET", adminURL(t, p)+"/backup", "", header...); answer.StatusCode != 403 {
			t.Errorf("for a web page, %v: %d", header, answer.StatusCode)
		}
	}
	secret, line := newToken(t, "operator", "read")
	_, hash, _ := strings.Cut(line, " read ")
	anna, annas := newToken(t, "anna", "write")
	guarded := []string{"NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS=" + annas}
	closed := startServer(t, newFile(t), guarded...)
	if answer, text := sendRequest(t, "GET", adminURL(t, closed)+"/backup", ""); answer.StatusCode != 403 ||
		!strings.Contains(text, "set NOTES_BACKUP_TOKEN") {
		t.Errorf("with NOTES_AUTH and without NOTES_BACKUP_TOKEN: %d %.100s", answer.StatusCode, text)
	}
	given := startServer(t, newFile(t), append(guarded, "NOTES_BACKUP_TOKEN="+hash)...)
	for bearer, want := range map[string]int{"Bearer " + secret: 200, "bearer   " + secret: 200, "Bearer " +
		anna: 401, "Basic " + secret: 401, "Bearer " + secret + "x": 401, "": 401} {
		if answer, text := sendRequest(t, "GET", adminURL(t, given)+"/backup", "", "Authorization",
			bearer); answer.StatusCode != want || want == 401 && answer.Header.Get("Www-Authenticate") == "" {
			t.Errorf("with %q: %d %.100s", bearer, answer.StatusCode, text)
		}
	}
	open := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=0.0.0.0:0")
	if answer, text := sendRequest(t, "GET", adminURL(t, open)+"/backup", ""); answer.StatusCode != 403 ||
		!strings.Contains(text, "such as NOTES_ADMIN_ADDR=127.0.0.1:9090") {
		t.Errorf("on an address that other machines can reach: %d %.100s", answer.StatusCode, text)
	}
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"POST", "/backup", 405, "method_not_allowed"}, {"POST", "/metrics", 405, "method_not_allowed"},
		{"GET", "/", 404, "not_found"}, {"GET", "/notes", 404, "not_found"},
	} {
		answer, text := sendRequest(t, c.method, adminURL(t, p)+c.path, "")
		if answer.StatusCode != c.status || !isProblem(answer, text, c.code) {
			t.Errorf("%+v: %d %s", c, answer.StatusCode, text)
		}
	}
	if answer, text := sendRequest(t, "HEAD", adminURL(t, p)+"/metrics", ""); answer.StatusCode != 200 || text != "" {
		t.Errorf("HEAD /metrics: %d %s", answer.StatusCode, text)
	}
	if code, _, stderr := runServer(t, []string{"NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:" + newFile(t),
		"NOTES_ADMIN_ADDR=" + strings.TrimPrefix(adminURL(t, p), "http://")}); code != 1 ||
		!strings.Contains(stderr, "set NOTES_ADMIN_ADDR to another") {
		t.Errorf("with NOTES_ADMIN_ADDR in use: %d %s", code, stderr)
	}
}

// TestBackupThroughProxy: without NOTES_AUTH, requests through a proxy get no backup.
func TestBackupThroughProxy(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=")
	if answer, _ := sendRequest(t, "GET", adminURL(t, p)+"/backup", ""); answer.StatusCode != 200 {
		t.Errorf("without a proxy: %d", answer.StatusCode)
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip", "X-Forwarded-Proto",
		"X-Forwarded-Host"} {
		answer, text := sendRequest(t, "GET", adminURL(t, p)+"/backup", "", name, "x")
		if answer.StatusCode != 421 || !isProblem(answer, text, "misdirected_request") {
			t.Errorf("with %s: %d %.200s", name, answer.StatusCode, text)
		}
	}
}

// TestBackupIgnoresRange: a client that resumes an interrupted download never mixes two backups.
func TestBackupIgnoresRange(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	post(t, p.url+"/notes", `{"title":"x"}`)
	whole, first := sendRequest(t, "GET", adminURL(t, p)+"/backup", "")
	if whole.Header.Get("Accept-Ranges") != "none" {
		t.Errorf("the headers are %v", whole.Header)
	}
	post(t, p.url+"/notes", `{"title":"y"}`)
	for _, header := range [][]string{
		{"Range", "bytes=4096-"}, {"Range", "bytes=0-1"}, {"Range", "bytes=-1"}, {"Range", "bytes=99999999-"},
		{"Range", "bytes=1-", "If-Range", whole.Header.Get("Etag")}, {
			"Range", "bytes=1-", "If-Range", whole.Header.Get("Last-Modified")},
	} {
		answer, text := sendRequest(t, "GET", adminURL(t, p)+"/backup", "", header...)
		if answer.StatusCode != 200 || len(text) < len(first) || text[:16] != first[:16] {
			t.Errorf("%v: %d with %d bytes, %v", header, answer.StatusCode, len(text), answer.Header)
		}
	}
	if answer, text := sendRequest(t, "HEAD", adminURL(t, p)+"/backup", ""); answer.StatusCode != 200 || text != "" {
		t.Errorf("HEAD: %d %v", answer.StatusCode, answer.Header)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, []byte(first[:len(first)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	curl := exec.Command("curl", "-sfC", "-", "-o", copied, adminURL(t, p)+"/backup")
	if err := curl.Run(); err == nil { // it may fail, but must not append to the other copy
		if report, err := bolt.Check(copied); err != nil || len(report.Findings) > 0 {
			t.Errorf("after curl -C - the copy is %+v, %v", report, err)
		}
	}
}

// TestSlowBackup: a slow download blocks no other request but a second backup.
func TestSlowBackup(t *testing.T) {
	markConcurrent(t)
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	big := `{"title":"x","content":"` + strings.Repeat("c", 250_000) + `"}`
	for range 60 {
		post(t, p.url+"/notes", big)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(adminURL(t, p), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET /backup HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 300)); err != nil { // and leave the rest
		t.Fatal(err)
	}
	if answer, text := sendRequest(t, "GET", adminURL(t, p)+"/backup", ""); answer.StatusCode != 409 {
		t.Errorf("a second backup: %d %.100s", answer.StatusCode, text)
	}
	for range 60 { // so that the file grows
		if code, body := post(t, p.url+"/notes", big); code != 201 {
			t.Fatalf("a write during a backup: %d %s", code, body)
		}
	}
	if code, _ := get(t, p.url+"/notes?limit=1"); code != 200 {
		t.Errorf("a read during a backup: %d", code)
	}
	p.stop(t, os.Interrupt)
}

// TestAbortedBackup: a backup whose client has gone is logged as interrupted, not as sent.
func TestAbortedBackup(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	big := `{"title":"x","content":"` + strings.Repeat("c", 250_000) + `"}`
	for range 60 { // more than the buffers of a connection
		post(t, p.url+"/notes", big)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(adminURL(t, p), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /backup HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 300)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "a line of the log", 10*time.Second, func() bool {
		return strings.Contains(p.output(), "backup interrupted")
	})
	if strings.Contains(p.output(), "backup sent") {
		t.Errorf("the log is %s", p.output())
	}
}

// TestBackupWithoutClient: a backup that fits into buffers is not logged as sent if its client has gone.
func TestBackupWithoutClient(t *testing.T) {
	store, err := bolt.Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, c := range []struct {
		name, want string
		gone       bool
	}{{"a client that has gone", "backup interrupted", true}, {"control: one that waits", "backup sent", false}} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := &leavingClient{ResponseRecorder: httptest.NewRecorder(), leave: func() {}}
			if c.gone {
				w.leave = cancel
			}
			var log bytes.Buffer
			srv := &adminServer{store: store, log: slog.New(slog.NewTextHandler(&log, nil))}
			r := httptest.NewRequest("GET", "/backup", nil).WithContext(ctx)
			if err := srv.sendBackup(echo.New().NewContext(r, w)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log.String(), c.want) {
				t.Errorf("the log is %s", &log)
			}
		})
	}
}

// leavingClient accepts every write, and leaves at the first.
type leavingClient struct {
	*httptest.ResponseRecorder
	leave func()
}

func (w *leavingClient) Write(b []byte) (int, error) {
	w.leave()
	return w.ResponseRecorder.Write(b)
}
