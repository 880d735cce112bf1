package sandbox

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkWarmRequest measures the sandbox's overhead for a request to a warm function: it compares the sandbox with
// the same bootstrap under a bare Runtime API.
//
//	go test -run '^$' -bench WarmRequest -benchtime 2s ./deploy/sandbox
func BenchmarkWarmRequest(b *testing.B) {
	b.Run("BareRuntimeAPI", func(b *testing.B) {
		events, answers := make(chan string), make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/next") {
				select {
				case event := <-events:
					w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
					w.Header().Set("Lambda-Runtime-Deadline-Ms", "9999999999999")
					_, _ = io.WriteString(w, event)
				case <-r.Context().Done():
				}
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusAccepted)
			answers <- struct{}{}
		}))
		defer server.Close()
		path := filepath.Join(b.TempDir(), "bootstrap")
		self, err := os.Executable()
		if err == nil {
			err = os.WriteFile(path, []byte("#!/bin/sh\nexec '"+self+"'\n"), 0o755)
		}
		if err != nil {
			b.Fatal(err)
		}
		function := exec.Command(path)
		function.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(server.URL, "http://")}
		if err := function.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() {
			_ = function.Process.Kill()
			_ = function.Wait()
		}()
		// An event of the size that the sandbox sends in the other half.
		event := `{"rawPath":"/dev/x","padding":"` + string(bytes.Repeat([]byte("x"), 900)) + `"}`
		for b.Loop() {
			events <- event
			<-answers
		}
	})
	b.Run("Sandbox", func(b *testing.B) {
		w := open(b)
		api := w.api(w.function(bootstrap(b)), "GET /x")
		w.grant(api, "*")
		for b.Loop() {
			w.ask(api, "GET", "/dev/x", "").is(b, "a request", 200, "/dev/x")
		}
	})
}

// BenchmarkStart measures the start of a sandbox, including moto.
//
//	go test -run '^$' -bench Start -benchtime 5x ./deploy/sandbox
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s := start(b, Options{})
		b.StopTimer()
		s.Close()
		if err := s.Wait(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
