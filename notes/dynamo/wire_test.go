package dynamo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"example.com/portable-notes/notes/dynamo/dynamotest"
)

// wire is a proxy between a store and DynamoDB Local. It records messages and can lose some of them.
type wire struct {
	cfg aws.Config

	mu    sync.Mutex
	seen  []message
	fault func(n int, operation string) loss // called for each request; n counts from 0 since reset
}

// message is one request and its answer.
type message struct {
	operation string
	units     float64 // consumed capacity
	bytes     int     // in both bodies
}

// loss says what happens to a message.
type loss int

const (
	noLoss       loss = iota
	loseRequest       // the request does not arrive, and the connection breaks
	loseResponse      // the request is executed, and the connection breaks
	loseHalf          // the request is executed, and the connection breaks after half of the answer
)

// newWire starts a wire.
func newWire(t testing.TB, cfg aws.Config) *wire {
	t.Helper()
	target, err := url.Parse(*cfg.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		w.mu.Lock()
		n := len(w.seen)
		w.seen = append(w.seen, message{operation: operation})
		var lost loss
		if w.fault != nil {
			lost = w.fault(n, operation)
		}
		w.mu.Unlock()
		if lost == loseRequest {
			panic(http.ErrAbortHandler)
		}
		// Request the units of the call. DynamoDB Local does not check the signature.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		asking := bytes.Replace(body, []byte("{"), []byte(`{"ReturnConsumedCapacity":"TOTAL",`), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(asking)), int64(len(asking))
		recorder := httptest.NewRecorder()
		proxy.ServeHTTP(recorder, r)
		answer := recorder.Body.Bytes()
		var consumed struct {
			ConsumedCapacity struct{ CapacityUnits float64 }
		}
		_ = json.Unmarshal(answer, &consumed)
		w.mu.Lock()
		w.seen[n].units, w.seen[n].bytes = consumed.ConsumedCapacity.CapacityUnits, len(body)+len(answer)
		w.mu.Unlock()
		if lost == loseResponse {
			panic(http.ErrAbortHandler)
		}
		for name, values := range recorder.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(recorder.Code)
		if lost == loseHalf {
			_, _ = rw.Write(answer[:len(answer)/2])
			panic(http.ErrAbortHandler)
		}
		_, _ = rw.Write(answer)
	}))
	t.Cleanup(server.Close)
	w.cfg = dynamotest.ConfigOf(server.URL)
	return w
}

// reset discards the recorded messages and sets a new fault.
func (w *wire) reset(fault func(n int, operation string) loss) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.fault = nil, fault
}

// messages returns the messages since the last reset.
func (w *wire) messages() []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// lose returns a fault that loses the nth message.
func lose(nth int, what loss) func(int, string) loss {
	return func(n int, _ string) loss {
		if n == nth {
			return what
		}
		return noLoss
	}
}
