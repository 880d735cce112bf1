package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prometheus "github.com/prometheus/common/model"

	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/storetest"
)

// newToken is a token of an owner, and the line that makes it known.
func newToken(t testing.TB, owner, scope string) (secret, line string) {
	t.Helper()
	secret, line, err := token.New(owner)
	if err != nil {
		t.Fatal(err)
	}
	return secret, strings.Replace(line, " write ", " "+scope+" ", 1)
}

// request sends a request with headers, which are pairs, and returns the answer with its body.
func request(t testing.TB, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// adminOf is the operator's address of a server.
func adminOf(t testing.TB, p *process) string {
	t.Helper()
	said := regexp.MustCompile(`metrics are at (\S+)/metrics`)
	await(t, "the server says where its metrics are", 5*time.Second, func() bool { return said.MatchString(p.said()) })
	return said.FindStringSubmatch(p.said())[1]
}

// metricsOf reads the metrics of a server as Prometheus does: by family, and each figure by its labels.
func metricsOf(t testing.TB, p *process) map[string]map[string]float64 {
	t.Helper()
	answer, text := request(t, "GET", adminOf(t, p)+"/metrics", "")
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("/metrics: %d %v", answer.StatusCode, answer.Header)
	}
	parser := expfmt.NewTextParser(prometheus.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("Prometheus does not take the metrics: %v\n%s", err, text)
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

// TestMetrics: what is counted is what was done, whatever clients send.
func TestMetrics(t *testing.T) {
	anna, line := newToken(t, "anna", "write")
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS="+line)
	bearer := []string{"Authorization", "Bearer " + anna}
	made, _ := request(t, "POST", p.url+"/notes", `{"title":"x"}`, bearer...)
	note := p.url + made.Header.Get("Location")
	request(t, "GET", note, "", bearer...)
	request(t, "GET", note, "", bearer...)
	request(t, "GET", p.url+"/notes", "", bearer...)
	request(t, "GET", p.url+"/notes", "")
	request(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+anna+"x")
	request(t, "PROPFIND", p.url+"/notes/"+strings.Repeat("x", 300), "")
	for i := range 50 {
		request(t, "GET", fmt.Sprintf("%s/nowhere/%d", p.url, i), "")
	}
	got := metricsOf(t, p)
	for _, c := range []struct {
		family, labels string
		want           float64
	}{
		{"notes_http_requests_total", "POST /notes 201", 1}, {"notes_http_requests_total", "GET /notes/:id 200", 2}, {"notes_http_requests_total", "GET /notes 401", 2},
		{"notes_http_requests_total", "GET  404", 50}, {"notes_http_request_duration_seconds", "GET /notes/:id", 2}, {"notes_http_request_duration_seconds", "GET ", 50},
		{"notes_tokens_refused_total", "none", 1}, {"notes_tokens_refused_total", "unknown", 1}, {"notes_store_calls_total", "create ok", 1}, {"notes_store_calls_total", "get ok", 2},
		{"notes_store_calls_total", "list ok", 1}, {"notes_store_call_duration_seconds", "get", 2}, {"notes_bolt_commit_writers", "", 1},
	} {
		if is, ok := got[c.family][c.labels]; !ok || is != c.want {
			t.Errorf("%s{%s} is %v, want %v; all are %v", c.family, c.labels, is, c.want, got[c.family])
		}
	}
	for _, family := range []string{"go_goroutines", "process_resident_memory_bytes", "process_cpu_seconds_total"} {
		if len(got[family]) == 0 {
			t.Errorf("there is no %s", family)
		}
	}
	if code, _ := get(t, p.url+"/metrics"); code != 404 {
		t.Errorf("the clients' address serves metrics: %d", code)
	}
	p.stop(t, os.Interrupt)
}

func TestMetricsOnDynamoDB(t *testing.T) {
	p := startServer(t, newFile(t), append(onDynamoDB(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")...)
	post(t, p.url+"/notes", `{"title":"x"}`)
	get(t, p.url+"/notes")
	got := metricsOf(t, p)["notes_dynamodb_units_total"]
	if got["write"] != 1 || got["read"] < 1 {
		t.Errorf("the units are %v", got)
	}
	if answer, text := request(t, "GET", adminOf(t, p)+"/backup", ""); answer.StatusCode != 404 || !strings.Contains(text, "DynamoDB") {
		t.Errorf("/backup: %d %s", answer.StatusCode, text)
	}
}

// TestBackupOfAServer: a backup is a notes file, and leaves this machine only by who is on it.
func TestBackupOfAServer(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	for range 20 {
		post(t, p.url+"/notes", `{"title":"x"}`)
	}
	answer, text := request(t, "GET", adminOf(t, p)+"/backup", "")
	if answer.StatusCode != 200 || answer.ContentLength != int64(len(text)) {
		t.Fatalf("%d, %d bytes of %d", answer.StatusCode, len(text), answer.ContentLength)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := bolt.Check(copied); err != nil || report.Notes != 20 || len(report.Findings) > 0 {
		t.Errorf("the copy is %+v, %v", report, err)
	}
	for _, host := range []string{"evil.example", "evil.example:9090", "127.0.0.1.evil.example", "192.0.2.1", ""} {
		if answer, text := request(t, "GET", adminOf(t, p)+"/backup", "", "Host", host); host != "" && (answer.StatusCode != 403 || len(text) > 200) {
			t.Errorf("for %s: %d %.100s", host, answer.StatusCode, text)
		}
	}
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		if answer, _ := request(t, "GET", adminOf(t, p)+"/backup", "", header...); answer.StatusCode != 403 {
			t.Errorf("for a page, %v: %d", header, answer.StatusCode)
		}
	}
	secret, line := newToken(t, "operator", "read")
	_, hash, _ := strings.Cut(line, " read ")
	anna, annas := newToken(t, "anna", "write")
	guarded := []string{"NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS=" + annas}
	closed := startServer(t, newFile(t), guarded...)
	if answer, text := request(t, "GET", adminOf(t, closed)+"/backup", ""); answer.StatusCode != 403 || !strings.Contains(text, "set NOTES_BACKUP_TOKEN") {
		t.Errorf("where notes have owners: %d %.100s", answer.StatusCode, text)
	}
	given := startServer(t, newFile(t), append(guarded, "NOTES_BACKUP_TOKEN="+hash)...)
	for bearer, want := range map[string]int{"Bearer " + secret: 200, "Bearer " + anna: 401, "Bearer " + secret + "x": 401, "": 401} {
		if answer, text := request(t, "GET", adminOf(t, given)+"/backup", "", "Authorization", bearer); answer.StatusCode != want || want == 401 && answer.Header.Get("Www-Authenticate") == "" {
			t.Errorf("with %q: %d %.100s", bearer, answer.StatusCode, text)
		}
	}
	open := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=0.0.0.0:0")
	if answer, text := request(t, "GET", adminOf(t, open)+"/backup", ""); answer.StatusCode != 403 || !strings.Contains(text, "such as NOTES_ADMIN_ADDR=127.0.0.1:9090") {
		t.Errorf("from an address that others reach: %d %.100s", answer.StatusCode, text)
	}
	for _, c := range [][2]string{{"POST", "/backup"}, {"GET", "/"}, {"GET", "/notes"}, {"POST", "/metrics"}} {
		if answer, _ := request(t, c[0], adminOf(t, p)+c[1], ""); answer.StatusCode != 404 && answer.StatusCode != 405 {
			t.Errorf("%v: %d", c, answer.StatusCode)
		}
	}
	if code, _, stderr := runs(t, []string{"NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:" + newFile(t), "NOTES_ADMIN_ADDR=" + strings.TrimPrefix(adminOf(t, p), "http://")}); code != 1 || !strings.Contains(stderr, "set NOTES_ADMIN_ADDR to another") {
		t.Errorf("an address that is in use: %d %s", code, stderr)
	}
}

// TestSlowBackup: who takes a backup away slowly keeps nobody waiting, and nobody takes two.
func TestSlowBackup(t *testing.T) {
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0")
	big := `{"title":"x","content":"` + strings.Repeat("c", 250_000) + `"}`
	for range 60 {
		post(t, p.url+"/notes", big)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(adminOf(t, p), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET /backup HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 300)); err != nil { // and no more
		t.Fatal(err)
	}
	if answer, text := request(t, "GET", adminOf(t, p)+"/backup", ""); answer.StatusCode != 409 {
		t.Errorf("a second backup: %d %.100s", answer.StatusCode, text)
	}
	for range 60 { // the file grows
		if code, body := post(t, p.url+"/notes", big); code != 201 {
			t.Fatalf("while a backup is taken away: %d %s", code, body)
		}
	}
	if code, _ := get(t, p.url+"/notes?limit=1"); code != 200 {
		t.Errorf("a read meanwhile: %d", code)
	}
	p.stop(t, os.Interrupt)
}

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

// TestJWT: a server that takes an issuer's tokens.
func TestJWT(t *testing.T) {
	issuer := jwttest.New(t)
	with := []string{"NOTES_AUTH=jwt", "NOTES_JWT_ISSUER=" + issuer.URL, "NOTES_JWT_AUDIENCE=" + jwttest.Audience}
	p := startServer(t, newFile(t), with...)
	await(t, "the server says who may come", 5*time.Second, func() bool {
		return strings.Contains(p.said(), "callers are known by the tokens of "+issuer.URL+" (NOTES_AUTH=jwt)")
	})
	for scope, want := range map[string][2]int{"notes:read": {200, 403}, "notes:write": {200, 201}, "openid": {403, 403}} {
		bearer := "Bearer " + issuer.Token(t, "anna", scope)
		read, _ := request(t, "GET", p.url+"/notes", "", "Authorization", bearer)
		write, _ := request(t, "POST", p.url+"/notes", `{"title":"x"}`, "Authorization", bearer)
		if read.StatusCode != want[0] || write.StatusCode != want[1] {
			t.Errorf("%s: %d and %d, want %v", scope, read.StatusCode, write.StatusCode, want)
		}
	}
	if answer, _ := request(t, "GET", p.url+"/notes", ""); answer.StatusCode != 401 {
		t.Errorf("a stranger: %d", answer.StatusCode)
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	// An issuer that is out of reach is no reason not to start, one that is none is.
	away := startServer(t, newFile(t), "NOTES_AUTH=jwt", "NOTES_JWT_ISSUER="+dead.URL, "NOTES_JWT_AUDIENCE=x")
	if answer, text := request(t, "GET", away.url+"/notes", "", "Authorization", "Bearer "+issuer.Token(t, "anna", "notes:read")); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || strings.Contains(text, "127.0.0.1") {
		t.Errorf("without the issuer: %d %v %s", answer.StatusCode, answer.Header, text)
	}
	for says, env := range map[string][]string{
		"NOTES_JWT_ISSUER: must be the issuer's https URL": {"NOTES_JWT_ISSUER=http://example.com", "NOTES_JWT_AUDIENCE=x"},
		"NOTES_JWT_ISSUER: " + away.url:                    {"NOTES_JWT_ISSUER=" + away.url, "NOTES_JWT_AUDIENCE=x"},
		"NOTES_AUTH=jwt needs NOTES_JWT_AUDIENCE":          {"NOTES_JWT_ISSUER=https://example.com"},
	} {
		if code, _, stderr := runs(t, append(env, "NOTES_AUTH=jwt", "NOTES_ADDR=127.0.0.1:0", "NOTES_STORE=bolt:"+newFile(t))); code != 2 || !strings.Contains(stderr, says) {
			t.Errorf("%v: %d %s, want %s", env, code, stderr, says)
		}
	}
}

// TestLogOfARequest: a line has ids and hashes, and nobody's name.
func TestLogOfARequest(t *testing.T) {
	anna, annas := newToken(t, "anna", "write")
	ben, bens := newToken(t, "ben", "read")
	env := []string{"NOTES_AUTH=token", "NOTES_TOKENS=" + annas + "," + bens, "NOTES_LOG_KEY=0123456789abcdef"}
	callerOf := func(p *process, id, bearer string) string {
		t.Helper()
		request(t, "GET", p.url+"/notes", "", "Authorization", "Bearer "+bearer, "X-Request-Id", id, "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
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
	if said := callerOf(p, "r4", "stranger"); !strings.Contains(said, "refused=unknown") || strings.Contains(said, "caller=") {
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
	for _, bad := range []string{"00-" + strings.Repeat("x", 32) + "-00f067aa0ba902b7-01", "nonsense", "00-4bf92f3577b34da6a3ce929d0e0e4736"} {
		if got := traceID(&http.Request{Header: http.Header{"Traceparent": {bad}}}); got != "" {
			t.Errorf("%s is of the trace %s", bad, got)
		}
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
		if err := json.Unmarshal([]byte(line), &is); err != nil || is.Time == "" || !slices.Contains([]string{"INFO", "WARN", "ERROR", "DEBUG"}, is.Level) || is.Msg == "" {
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

// TestProofHostileLog: whatever is sent, the log holds no token, no text of a note, no raw control byte and no line that the server
// did not write; and the metrics have no more labels than before.
func TestProofHostileLog(t *testing.T) {
	anna, annas := newToken(t, "anna", "write")
	p := startServer(t, newFile(t), "NOTES_ADMIN_ADDR=127.0.0.1:0", "NOTES_AUTH=token", "NOTES_TOKENS="+annas, "NOTES_LOG_FORMAT=json", "NOTES_LOG_LEVEL=debug", "NOTES_TRUSTED_PROXIES=127.0.0.1")
	requests := storetest.Amount(10_000, 10_000)
	statuses, faults := attack(t, p.url, anna, requests)
	if len(faults) > 0 || statuses[401] == 0 || statuses[200] == 0 || statuses[422] == 0 {
		t.Errorf("%v, faults %v", statuses, faults)
	}
	answered := requests - statuses[0] - statuses[400] - statuses[431] - statuses[501] - statuses[505] // the others may be net/http's own
	await(t, "a line for each request", 10*time.Second, func() bool { return strings.Count(p.said(), "\n") >= answered })
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
	storetest.Proved(t, fmt.Sprintf("%d requests, %v", requests, statuses), fmt.Sprintf("0 secrets, control bytes or forged lines, %d figures", total), "of 6 bad logs 6 are found out")
}

// TestIsolation: through the server, on either store, what is another's is as what is nobody's.
func TestIsolation(t *testing.T) {
	for name, env := range map[string][]string{"File": nil, "DynamoDB": onDynamoDB(t)} {
		t.Run(name, func(t *testing.T) {
			anna, annas := newToken(t, "anna", "write")
			ben, bens := newToken(t, "ben", "write")
			p := startServer(t, newFile(t), append(env, "NOTES_AUTH=token", "NOTES_TOKENS="+annas+","+bens)...)
			cases, leaks := apptest.Isolation(t, apptest.Guarded{Base: p.url, Send: client.Do, Anna: anna, Ben: ben})
			if len(leaks) > 0 || cases < 200 {
				t.Errorf("of %d cases %d leak: %s", cases, len(leaks), strings.Join(leaks, "\n"))
			}
		})
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

// TestReadmeSecurity: the chapter fits on a screen, and its commands make a server that a token opens, and a backup.
func TestReadmeSecurity(t *testing.T) {
	_, chapter, _ := strings.Cut(readme(t), "\n## Security\n")
	chapter, file, _ := strings.Cut(chapter, "\n## The file\n")
	if n := strings.Count(chapter, "\n"); n > 40 || len(chapter) > 4000 {
		t.Errorf("the chapter has %d lines, %d bytes", n, len(chapter))
	}
	_, command, _ := strings.Cut(chapter, "```sh\n")
	command, _, _ = strings.Cut(command, "\n```")
	var env []string
	for _, word := range strings.Fields(command) {
		if name, value, ok := strings.Cut(word, "="); ok {
			switch name {
			case "NOTES_TOKENS_FILE":
				value = filepath.Join(t.TempDir(), value)
			case "NOTES_ADMIN_ADDR":
				value = "127.0.0.1:0"
			}
			env = append(env, name+"="+value)
		}
	}
	tokens := env[slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "NOTES_TOKENS_FILE=") })]
	_, made, _ := runs(t, nil, "-new-token", "anna")
	secret, rest, _ := strings.Cut(made, "\n")
	_, line, _ := strings.Cut(rest, "NOTES_TOKENS='")
	line, _, _ = strings.Cut(line, "'")
	backup, known, err := token.New("operator")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(tokens, "NOTES_TOKENS_FILE="), []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startServer(t, newFile(t), append(env, "NOTES_LOG_KEY=0123456789abcdef", "NOTES_BACKUP_TOKEN="+strings.Fields(known)[2])...)
	if a := ask(client, "POST", p.url+"/notes", `{"title":"x"}`, "Authorization", "Bearer "+secret, "X-Request-Id", "mine"); a.status != 201 {
		t.Errorf("with the token: %d %s", a.status, a.body)
	}
	if a := ask(client, "GET", p.url+"/notes", ""); a.status != 401 {
		t.Errorf("without: %d", a.status)
	}
	_, formula, _ := strings.Cut(chapter, "`printf")
	formula, _, _ = strings.Cut(formula, "`")
	if _, err := exec.LookPath("openssl"); err != nil {
		storetest.Lacks(t, "openssl", err)
	}
	cmd := exec.Command("sh", "-c", "printf"+strings.Replace(formula, "OWNER", "anna", 1))
	cmd.Env = append(os.Environ(), "NOTES_LOG_KEY=0123456789abcdef")
	out, err := cmd.Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	await(t, "the hash that the README's command tells", 5*time.Second, func() bool { return strings.Contains(p.said(), "caller="+fields[len(fields)-1][:16]) })

	_, copies, _ := strings.Cut(file, "```sh\n")
	copies, _, _ = strings.Cut(copies, "\n```")
	copies = strings.Replace(copies, "127.0.0.1:9090", adminOf(t, p), 1)
	shell := exec.Command("sh", "-ec", copies)
	shell.Dir, shell.Env = t.TempDir(), append(os.Environ(), "BACKUP="+backup)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	copied := filepath.Join(shell.Dir, "copy.db")
	if report, err := bolt.Check(copied); err != nil || report.Notes != 1 {
		t.Errorf("the backup is %+v, %v", report, err)
	}
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is of mode %v, %v", info.Mode(), err)
	}
}
