package dynamo_test

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

// scripted is a fake DynamoDB with scripted answers. It counts requests.
type scripted struct {
	*httptest.Server
	cfg      aws.Config
	requests atomic.Int64
}

func newScripted(t testing.TB, answer func(operation string) (status int, body string)) *scripted {
	t.Helper()
	s := &scripted{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		status, body := answer(operation)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(body))))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	s.cfg = dynamotest.ConfigOf(s.URL)
	return s
}

// noteJSON is a note as DynamoDB returns it.
const noteJSON = `{"pk":{"S":"O#o"},"sk":{"S":"N#0199a1b2c3d47e5f8a6b7c8d9e0f1a2b"},"v":{"N":"1"},` +
	`"c":{"N":"1763800000000000"},` +
	`"u":{"N":"1763800000000000"},"t":{"S":"title"},"b":{"S":"` +
	"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" +
	"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" + `"},"w":{"B":"AAAAAAAAAAA="}}`

func pageJSON(count int) string {
	return `{"Count":` + fmt.Sprint(count) + `,"Items":[` +
		strings.TrimSuffix(strings.Repeat(noteJSON+",", count), ",") + `]}`
}

func errorBody(code, text, more string) string {
	return `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"` + text + `"` + more + `}`
}

// TestCauses checks that errors of DynamoDB become ErrUnavailable, never ErrNotFound, with an explanation for the log.
func TestCauses(t *testing.T) {
	const reasons = `,"ThrottlingReasons":[{"reason":"TableWriteKeyRangeThroughputExceeded",` +
		`"resource":"arn:aws:dynamodb:eu-central-1:123456789012:table/notes"}]`
	for _, c := range []struct {
		status         int
		body           string
		says           []string
		reads, updates int64 // attempts at a get, and at an unconditional update including the read after it
	}{
		{
			status: 400, body: errorBody("ProvisionedThroughputExceededException", "too much", reasons),
			says:  []string{"throttled", "TableWriteKeyRangeThroughputExceeded on arn:aws:dynamodb"},
			reads: 3, updates: 3,
		},
		{
			status: 400, body: errorBody("ThrottlingException", "slow down", strings.Replace(reasons, "T", "t", 1)),
			says:  []string{"throttled", "TableWriteKeyRangeThroughputExceeded"},
			reads: 3, updates: 3,
		},
		{
			status: 400, body: errorBody("RequestLimitExceeded", "account", ""),
			says: []string{"throttled"}, reads: 3, updates: 3,
		},
		{
			status: 500, body: errorBody("InternalServerError", "oops", ""),
			says: []string{"InternalServerError"}, reads: 3, updates: 4,
		},
		{status: 503, reads: 3, updates: 4},
		{
			status: 400,
			body:   errorBody("AccessDeniedException", "User: x is not authorized to perform: dynamodb:GetItem", ""),
			says:   []string{"access denied", "lacks an action", "dynamodb:GetItem"}, reads: 1, updates: 1,
		},
		{
			status: 400, body: errorBody("ResourceNotFoundException", "Requested resource not found", ""),
			says: []string{"no such table", "AWS_REGION"}, reads: 1, updates: 1,
		},
		{
			status: 400, body: errorBody("UnrecognizedClientException", "The security token is invalid", ""),
			says: []string{"credentials are refused", "clock"}, reads: 1, updates: 1,
		},
		{
			status: 400, body: errorBody("ExpiredTokenException", "expired", ""),
			says: []string{"credentials are refused"}, reads: 1, updates: 1,
		},
		{
			status: 400, body: errorBody("InvalidSignatureException", "Signature expired", ""),
			says: []string{"clock"}, reads: 1, updates: 1,
		},
		{
			status: 400,
			body:   errorBody("ValidationException", "The provided key element does not match the schema", ""),
			says:   []string{"another key schema"}, reads: 1, updates: 1,
		},
	} {
		broken := false
		server := newScripted(t, func(string) (int, string) {
			if !broken {
				return 200, "{}"
			}
			return c.status, c.body
		})
		s := open(t, server.cfg, "notes")
		broken = true
		for operation, call := range map[string]func() error{
			"GetItem": func() error { _, err := s.Get(t.Context(), owner, uuid.Max); return err },
			"UpdateItem": func() error {
				_, err := s.Update(t.Context(), owner, uuid.Max, notes.Patch{}, epoch, notes.Condition{})
				return err
			},
			"DeleteItem": func() error { return s.Delete(t.Context(), owner, uuid.Max, epoch, notes.Condition{}) },
			"PutItem":    func() error { _, err := s.Create(t.Context(), owner, newNote("x"), nil); return err },
			"Query": func() error {
				for _, err := range s.Newest(t.Context(), owner, uuid.Max, 5) {
					return err
				}
				return nil
			},
		} {
			server.requests.Store(0)
			err := call()
			if !errors.Is(err, notes.ErrUnavailable) || errors.Is(err, notes.ErrNotFound) ||
				!strings.Contains(err.Error(), operation+" on table notes") {
				t.Errorf("%s: %v", operation, err)
				continue
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("the error of %s does not contain %q: %v", operation, says, err)
				}
			}
			want := c.reads
			switch {
			case operation == "UpdateItem" || operation == "DeleteItem":
				want = c.updates
			case operation == "PutItem" && c.status >= 500: // including the read after it
				want = 6
			}
			if got := server.requests.Load(); got != want {
				t.Errorf("%s makes %d attempts after %s, want %d", operation, got, c.body, want)
			}
		}
	}
}

// TestPatientWaits checks that a patient store waits for a table that throttles, and an ordinary store does not.
func TestPatientWaits(t *testing.T) {
	throttles := 0
	server := newScripted(t, func(operation string) (int, string) {
		if operation == "PutItem" && throttles > 0 {
			throttles--
			return 400, errorBody("ThrottlingException", "slow down", "")
		}
		return 200, "{}"
	})
	s := open(t, server.cfg, "notes")
	n := newNote("moved")
	throttles = 6
	if _, err := s.Create(t.Context(), owner, n, nil); !errors.Is(err, notes.ErrUnavailable) || throttles != 3 {
		t.Errorf("the ordinary store: %v after %d attempts", err, 6-throttles)
	}
	throttles = 6
	if err := s.Patient().Import(t.Context(), notes.Record{Owner: owner, Note: &n}); err != nil || throttles != 0 {
		t.Errorf("the patient store: %v with %d throttled answers left", err, throttles)
	}
}

// TestOpenSaysWhatToDo checks the errors for a missing and a foreign table, and that Open succeeds if DynamoDB does not
// answer.
func TestOpenSaysWhatToDo(t *testing.T) {
	cfg := dynamotest.Config(t)
	var log strings.Builder
	if _, err := dynamo.Open(t.Context(), cfg, "nowhere", logTo(&log)); err == nil ||
		!strings.Contains(err.Error(), "table nowhere does not exist in region eu-central-1: create it with: "+
			"deploy table nowhere") {
		t.Errorf("a missing table: %v", err)
	}
	client := dynamodb.NewFromConfig(cfg)
	foreign := "foreign-" + uuid.NewString()
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &foreign, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dynamo.Open(t.Context(), cfg, foreign, logTo(&log)); err == nil ||
		!strings.Contains(err.Error(), "is not a notes table") {
		t.Errorf("a foreign table: %v", err)
	}
	if _, err := dynamo.Open(t.Context(), dynamotest.ConfigOf("http://127.0.0.1:1"), "notes",
		logTo(&log)); err != nil || !strings.Contains(log.String(), "no connection") {
		t.Errorf("without DynamoDB: %v, log %s", err, &log)
	}
}

// TestProofAmplification checks that retries add little load while DynamoDB is down.
func TestProofAmplification(t *testing.T) {
	storetest.NotWithRace(t)
	const calls = 2000
	down := false
	server := newScripted(t, func(string) (int, string) {
		if down {
			return 500, errorBody("InternalServerError", "down", "")
		}
		return 200, "{}"
	})
	s := open(t, server.cfg, "notes")
	down = true
	stock := dynamodb.NewFromConfig(server.cfg, func(o *dynamodb.Options) { // the control: no retry budget
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.RateLimiter = ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	})
	amplification := func(calls int, call func() error) float64 {
		server.requests.Store(0)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range calls / 20 {
					if call() == nil {
						t.Error("a call succeeds")
					}
				}
			})
		}
		all.Wait()
		return float64(server.requests.Load()) / float64(calls)
	}
	got := amplification(calls, func() error { _, err := s.Get(t.Context(), owner, uuid.Max); return err })
	if got > 1.1 {
		t.Errorf("%.3f attempts a call", got)
	}
	control := amplification(200, func() error {
		_, err := stock.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: aws.String("notes"), Key: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: "x"}}})
		return err
	})
	if control < 2 {
		t.Errorf("the control, a client without a budget, makes %.3f attempts a call", control)
	}
	storetest.Proved(t, fmt.Sprintf("%d calls in an outage", calls), fmt.Sprintf("%.3f attempts a call", got),
		fmt.Sprintf("without a budget %.3f", control))
}

// newEager returns a fake DynamoDB that starts its answer when it has a request's header, and completes it when it has
// the body. net/http's server never does this.
func newEager(t testing.TB, body string) *scripted {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &scripted{cfg: dynamotest.ConfigOf("http://" + listener.Addr().String())}
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Crc32: "+
		"%d\r\nContent-Length: %d\r\n\r\n%s", crc32.ChecksumIEEE([]byte(body)), len(body), body)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					s.requests.Add(1)
					if _, err := io.WriteString(conn, answer[:len(answer)/2]); err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, request.Body); err != nil {
						return
					}
					if _, err := io.WriteString(conn, answer[len(answer)/2:]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return s
}

// TestProofHiddenRetries checks that net/http repeats no call without the caller's knowledge.
func TestProofHiddenRetries(t *testing.T) {
	storetest.NotWithRace(t)
	server := newEager(t, pageJSON(20))
	s := open(t, server.cfg, "notes")
	failed := 0
	query := func(calls int) (hidden int64) {
		server.requests.Store(0)
		failed = 0
		for range calls {
			for _, err := range s.Newest(t.Context(), "o", uuid.Max, 20) {
				if err != nil {
					failed++
				}
			}
		}
		return server.requests.Load() - int64(calls)
	}
	calls := storetest.Amount(10_000, 100_000)
	hidden := query(calls)
	// Slow bodies make the answer begin before the body is sent. The SDK's own client loses this race now and then.
	const slow = 50
	dynamo.SlowBodies(s, server.cfg, false)
	hidden += query(slow)
	if hidden != 0 || failed > 0 {
		t.Errorf("%d calls failed %d times and made %d extra requests", calls+slow, failed, hidden)
	}
	dynamo.SlowBodies(s, server.cfg, true)
	caught := query(slow)
	if caught == 0 {
		t.Error("the control, bodies passed to net/http as the SDK does, repeated nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d queries of 20 notes", calls+slow), fmt.Sprintf("%d hidden retries", hidden),
		fmt.Sprintf("as the SDK sends: %d in %d slowed calls", caught, slow))
}

// childReaderVar is the environment variable that makes this binary a reader. Its value is the endpoint.
const childReaderVar = "NOTES_TEST_READS"

func TestMain(m *testing.M) {
	if endpoint := os.Getenv(childReaderVar); endpoint != "" {
		stock := os.Args[1] == "stock"
		if err := dynamo.RunReader(dynamotest.ConfigOf(endpoint), stock, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(childServerVar) != "" {
		runServer()
		return
	}
	os.Exit(dynamotest.Main(m))
}

// freeze repeatedly stops a reading process, closes its idle connection, and lets it continue with a read. It returns
// how many of these reads needed retries, and the sorted durations in microseconds.
func freeze(t *testing.T, client string, thaws int) (retried int, micros []int) {
	t.Helper()
	server := newScripted(t, func(string) (int, string) { return 200, `{"Item":` + noteJSON + `}` })
	cmd := exec.Command(os.Args[0], client)
	cmd.Env = append(os.Environ(), childReaderVar+"="+server.URL)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	read := func() (took, attempts int) {
		var failed bool
		if !lines.Scan() {
			t.Fatal("the reader ended")
		}
		if _, err := fmt.Sscan(lines.Text(), &took, &attempts, &failed); err != nil || failed {
			t.Fatalf("the reader prints %q: %v", lines.Text(), err)
		}
		return took, attempts
	}
	for range thaws {
		fmt.Fprintln(in, "warm")
		read()
		thaw := storetest.Freeze(t, cmd.Process)
		fmt.Fprintln(in, "at the thaw") // waits in the pipe
		server.CloseClientConnections()
		thaw()
		took, attempts := read()
		if attempts > 1 {
			retried++
		}
		micros = append(micros, took)
	}
	slices.Sort(micros)
	return retried, micros
}

// TestProofFreeze checks that a process reads at the first attempt after it was frozen, as Lambda does, while its
// connection was closed.
func TestProofFreeze(t *testing.T) {
	storetest.NotWithRace(t)
	thaws := storetest.Amount(50, 200)
	retried, micros := freeze(t, "ours", thaws)
	if retried > 0 {
		t.Errorf("%d of %d reads after a thaw were retried", retried, thaws)
	}
	caught, stock := freeze(t, "stock", 50)
	if caught == 0 {
		t.Error("the control, the SDK's own client, retried nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d thaws", thaws),
		fmt.Sprintf("%d retried, slowest 1 %% %.1f ms", retried, float64(micros[len(micros)*99/100])/1000),
		fmt.Sprintf("the SDK's own client: %d of 50 retried, slowest %.0f ms", caught,
			float64(stock[len(stock)-1])/1000))
}
