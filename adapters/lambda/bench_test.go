package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

const noteID = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

// oneNoteStore is a store with one note, which has every id.
type oneNoteStore struct{ broken }

func (oneNoteStore) Get(_ context.Context, _ string, id notes.ID) (notes.Note, error) {
	return notes.Note{ID: id, Title: "title", Content: strings.Repeat("c", 300), Version: 1}, nil
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// BenchmarkEvent compares our conversion from event to answer with that of the library alone, for the same app.
func BenchmarkEvent(b *testing.B) {
	payload := sampleEvent(b, func(e map[string]any) {
		e["rawPath"] = "/notes/" + noteID
		e["headers"] = map[string]any{
			"host": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "accept": "application/json, text/plain",
			"accept-encoding": "gzip, deflate, br", "user-agent": "curl/8.5.0",
			"x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678",
			"x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443", "x-forwarded-proto": "https",
			"if-none-match": `"7"`,
		}
	})
	service := notes.NewService(oneNoteStore{}, time.Now, rand.Reader)
	log := slog.New(slog.DiscardHandler)
	fn := newAdapter(service, config{}, nil, &recorder{}, log)
	library := httpadapter.NewV2(app.New(service, app.Options{Log: log}))
	ours := func() ([]byte, error) { return fn.Invoke(b.Context(), payload) }
	stock := func() ([]byte, error) {
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		a, err := library.ProxyWithContext(b.Context(), e)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	}
	round := func(call func() ([]byte, error)) float64 {
		const calls = 20_000
		begin := time.Now()
		for range calls {
			if out, err := call(); err != nil || !strings.Contains(string(out), `"statusCode":200`) {
				b.Fatalf("%s, %v", out, err)
			}
		}
		return float64(time.Since(begin).Nanoseconds()) / calls / 1000
	}
	round(ours)
	round(stock)
	var ratios []float64
	for b.Loop() {
		o, s := round(ours), round(stock)
		ratios = append(ratios, o/s)
		b.ReportMetric(o, "µs/event")
		b.ReportMetric(s, "stock-µs/event")
	}
	b.ReportMetric(median(ratios), "ours/stock")
}

// newTLSTable starts a fake DynamoDB with TLS and one note. It returns its URL, and the file of its root certificate.
func newTLSTable(b *testing.B) (url, rootFile string) {
	b.Helper()
	body := fmt.Sprintf(`{"Item":{"pk":{"S":"O#local"},"sk":{"S":"N#%s"},"v":{"N":"1"},"c":{"N":"1763800000000000"},`+
		`"u":{"N":"1763800000000000"},"t":{"S":"title"},"b":{"S":"%s"},"w":{"B":"AAAAAAAAAAA="}}}`,
		strings.ReplaceAll(noteID, "-", ""), strings.Repeat("c", 300))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(body))))
		_, _ = io.WriteString(w, body)
	}))
	b.Cleanup(server.Close)
	rootFile = filepath.Join(b.TempDir(), "root.pem")
	if err := os.WriteFile(rootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}), 0o600); err != nil {
		b.Fatal(err)
	}
	return server.URL, rootFile
}

// limitCPU limits a process to a share of a CPU, as Lambda does after the init phase. Each process has its own cgroup:
// one that has exceeded its quota is throttled until the excess is paid back, and would delay the next process.
func limitCPU(b *testing.B, pid int, share float64) {
	b.Helper()
	const period = 20_000 // µs
	quota := fmt.Sprint(int(share * period))
	group := "/sys/fs/cgroup/cpu/notes-" + fmt.Sprint(pid)
	settings := [][2]string{{"cpu.cfs_period_us", fmt.Sprint(period)}, {"cpu.cfs_quota_us", quota}}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		group = "/sys/fs/cgroup/notes-" + fmt.Sprint(pid)
		settings = [][2]string{{"cpu.max", quota + " " + fmt.Sprint(period)}}
	}
	if err := os.MkdirAll(group, 0o755); err != nil {
		storetest.Lacks(b, "the right to make a CPU cgroup", err)
	}
	b.Cleanup(func() { _ = os.Remove(group) })
	for _, s := range append(settings, [2]string{"cgroup.procs", fmt.Sprint(pid)}) {
		if err := os.WriteFile(filepath.Join(group, s[0]), []byte(s[1]), 0o644); err != nil {
			storetest.Lacks(b, "the right to set a CPU quota", err)
		}
	}
}

// BenchmarkColdStart measures cold starts: the time from exec to the first request for an event, plus that of the
// first event with a read from DynamoDB over TLS. It compares them with an empty function in Go, and with a function
// in Python with boto3 that does the same; once with a full CPU, once with the share of a function with 128 MB.
func BenchmarkColdStart(b *testing.B) {
	interpreter, err := exec.Command("python3", "-c", "import boto3, sys; print(sys.executable)").Output()
	if err != nil {
		storetest.Lacks(b, "Python 3 with boto3", err)
	}
	url, rootFile := newTLSTable(b)
	b.Setenv("SSL_CERT_FILE", rootFile) // one root, since for AWS the function parses only its own five
	b.Setenv("SSL_CERT_DIR", b.TempDir())
	environ := append(dynamotest.Environment(dynamotest.ConfigOf(url)), "NOTES_STORE=dynamodb:notes",
		"NOTES_AUTH=none", "AWS_DEFAULT_REGION=eu-central-1", "AWS_CA_BUNDLE=")
	empty := filepath.Join(b.TempDir(), "empty")
	if err := buildFunction(empty, "./testdata/empty", "lambda.norpc"); err != nil {
		b.Fatal(err)
	}
	script, err := os.ReadFile("testdata/python/bootstrap")
	if err != nil {
		b.Fatal(err)
	}
	python := filepath.Join(b.TempDir(), "bootstrap") // run by the interpreter itself, not by a wrapper of it
	script = []byte("#!" + string(interpreter) + strings.SplitN(string(script), "\n", 2)[1])
	if err := os.WriteFile(python, script, 0o755); err != nil {
		b.Fatal(err)
	}
	ours := buildBootstrap(b)
	payload := sampleEvent(b, func(e map[string]any) { e["rawPath"] = "/notes/" + noteID })
	start := func(b *testing.B, path string, share float64) float64 {
		own := environ
		if path == python {
			// boto3 reads this variable, our function refuses it
			own = append(slices.Clone(environ), "AWS_CA_BUNDLE="+rootFile)
		}
		l := startBootstrap(b, path, own...)
		defer l.kill()
		var ready time.Time
		select {
		case ready = <-l.ready:
		case <-l.ended:
			b.Fatalf("%s ended: %s", path, l.output())
		}
		if share > 0 {
			limitCPU(b, l.Process.Pid, share)
		}
		begin := time.Now()
		out, err := l.invoke(payload, 20*time.Second)
		if err != nil || !strings.Contains(string(out), `"statusCode":200`) &&
			!strings.Contains(string(out), `"statusCode": 200`) {
			b.Fatalf("%s: %s, %v; %s", path, out, err, l.output())
		}
		return float64((ready.Sub(l.began) + time.Since(begin)).Microseconds()) / 1000
	}
	for name, share := range map[string]float64{"WholeProcessor": 0, "ShareOf128MB": 0.072} {
		b.Run(name, func(b *testing.B) {
			var toPython, toEmpty, took []float64
			for b.Loop() {
				o, e, p := start(b, ours, share), start(b, empty, share), start(b, python, share)
				took, toPython, toEmpty = append(took, o), append(toPython, p/o), append(toEmpty, o/e)
			}
			b.ReportMetric(median(took), "ms/start")
			b.ReportMetric(median(toPython), "python/ours")
			b.ReportMetric(median(toEmpty), "ours/empty")
		})
	}
}
