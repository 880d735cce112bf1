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

// wire stands between a store and DynamoDB Local. It records what passes, and lets a test lose a message.
type wire struct {
	cfg aws.Config

	mu    sync.Mutex
	seen  []message
	fault func(n int, operation string) loss // asked for each request; n counts from 0 since reset
}

// message is one request and its answer.
type message struct {
	operation string
	units     float64 // consumed capacity
	bytes     int     // of both bodies
}

// loss is what becomes of a message.
type loss int

const (
	nothing  loss = iota // it arrives, and so does its answer
	request              // it never arrives, and the connection breaks
	response             // it is carried out, and the answer is lost
	half                 // it is carried out, and half of the answer is lost
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
		if lost == request {
			panic(http.ErrAbortHandler)
		}
		// DynamoDB tells the units of a call that asks for them; nobody checks the signature here.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		asking := bytes.Replace(body, []byte("{"), []byte(`{"ReturnConsumedCapacity":"TOTAL",`), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(asking)), int64(len(asking))
		recorder := httptest.NewRecorder()
		proxy.ServeHTTP(recorder, r)
		answer := recorder.Body.Bytes()
		var told struct {
			ConsumedCapacity struct{ CapacityUnits float64 }
		}
		_ = json.Unmarshal(answer, &told)
		w.mu.Lock()
		w.seen[n].units, w.seen[n].bytes = told.ConsumedCapacity.CapacityUnits, len(body)+len(answer)
		w.mu.Unlock()
		if lost == response {
			panic(http.ErrAbortHandler)
		}
		for name, values := range recorder.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(recorder.Code)
		if lost == half {
			_, _ = rw.Write(answer[:len(answer)/2])
			panic(http.ErrAbortHandler)
		}
		_, _ = rw.Write(answer)
	}))
	t.Cleanup(server.Close)
	w.cfg = dynamotest.ConfigOf(server.URL)
	return w
}

// reset forgets what has passed and sets a new fault.
func (w *wire) reset(fault func(n int, operation string) loss) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.fault = nil, fault
}

// passed is what has passed since the reset.
func (w *wire) passed() []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// lose loses the nth message so.
func lose(nth int, what loss) func(int, string) loss {
	return func(n int, _ string) loss {
		if n == nth {
			return what
		}
		return nothing
	}
}
