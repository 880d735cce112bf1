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
	"syscall"
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

// scripted is a DynamoDB that answers as a test says. It counts requests.
type scripted struct {
	*httptest.Server
	cfg      aws.Config
	requests atomic.Int64
}

func script(t testing.TB, answer func(operation string) (status int, body string)) *scripted {
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

// noteAnswer is a note as DynamoDB answers with it.
const noteAnswer = `{"pk":{"S":"O#o"},"sk":{"S":"N#0199a1b2c3d47e5f8a6b7c8d9e0f1a2b"},"v":{"N":"1"},` +
	`"c":{"N":"1763800000000000"},` +
	`"u":{"N":"1763800000000000"},"t":{"S":"title"},"b":{"S":"` +
	"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" +
	"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" + `"},"w":{"B":"AAAAAAAAAAA="}}`

func pageAnswer(notes int) string {
	return `{"Count":` + fmt.Sprint(notes) + `,"Items":[` +
		strings.TrimSuffix(strings.Repeat(noteAnswer+",", notes), ",") + `]}`
}

func failure(code, message, more string) string {
	return `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"` + message + `"` + more + `}`
}

// TestCauses: what DynamoDB refuses is unavailable, never missing, and the log is told why in words.
func TestCauses(t *testing.T) {
	const reasons = `,"ThrottlingReasons":[{"reason":"TableWriteKeyRangeThroughputExceeded",` +
		`"resource":"arn:aws:dynamodb:eu-central-1:123456789012:table/notes"}]`
	for _, c := range []struct {
		status         int
		body           string
		says           []string
		reads, updates int64 // attempts at a get, and at an update of any version (with the read that settles it)
	}{
		{400, failure("ProvisionedThroughputExceededException", "too much", reasons), []string{
			"throttled", "TableWriteKeyRangeThroughputExceeded on arn:aws:dynamodb"}, 3, 3},
		{400, failure("ThrottlingException", "slow down", strings.Replace(reasons, "T", "t", 1)), []string{
			"throttled", "TableWriteKeyRangeThroughputExceeded"}, 3, 3},
		{400, failure("RequestLimitExceeded", "account", ""), []string{"throttled"}, 3, 3},
		{500, failure("InternalServerError", "oops", ""), []string{"InternalServerError"}, 3, 4},
		{503, "", []string{"no such"}, 3, 4},
		{400, failure("AccessDeniedException", "User: x is not authorized to perform: dynamodb:GetItem", ""),
			[]string{"access denied", "lacks an action", "dynamodb:GetItem"}, 1, 1},
		{400, failure("ResourceNotFoundException", "Requested resource not found", ""), []string{
			"no such table", "AWS_REGION"}, 1, 1},
		{400, failure("UnrecognizedClientException", "The security token is invalid", ""), []string{
			"credentials are refused", "clock"}, 1, 1},
		{400, failure("ExpiredTokenException", "expired", ""), []string{"credentials are refused"}, 1, 1},
		{400, failure("InvalidSignatureException", "Signature expired", ""), []string{"clock"}, 1, 1},
		{400, failure("ValidationException", "The provided key element does not match the schema", ""), []string{
			"keys are others"}, 1, 1},
	} {
		broken := false
		server := script(t, func(string) (int, string) {
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
				if c.body != "" && !strings.Contains(err.Error(), says) {
					t.Errorf("%s does not say %q: %v", operation, says, err)
				}
			}
			want := c.reads
			switch {
			case operation == "UpdateItem" || operation == "DeleteItem":
				want = c.updates
			case operation == "PutItem" && c.status >= 500: // and the read that settles it
				want = 6
			}
			if got := server.requests.Load(); got != want {
				t.Errorf("%s makes %d attempts on %s, want %d", operation, got, c.body, want)
			}
		}
	}
}

// TestAMoverIsPatient: who moves notes waits for a table that throttles; the service does not.
func TestAMoverIsPatient(t *testing.T) {
	throttles := 0
	server := script(t, func(operation string) (int, string) {
		if operation == "PutItem" && throttles > 0 {
			throttles--
			return 400, failure("ThrottlingException", "slow down", "")
		}
		return 200, "{}"
	})
	s := open(t, server.cfg, "notes")
	n := newNote("moved")
	throttles = 6
	if _, err := s.Create(t.Context(), owner, n, nil); !errors.Is(err, notes.ErrUnavailable) || throttles != 3 {
		t.Errorf("the service: %v after %d attempts", err, 6-throttles)
	}
	throttles = 6
	if err := s.Patient().Import(t.Context(), notes.Record{Owner: owner, Note: &n}); err != nil || throttles != 0 {
		t.Errorf("a mover: %v, %d throttles left", err, throttles)
	}
}

// TestOpenSaysWhatToDo about a table that is not there, or is another's; and starts where DynamoDB is only away.
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
		!strings.Contains(err.Error(), "is no notes table") {
		t.Errorf("a foreign table: %v", err)
	}
	if _, err := dynamo.Open(t.Context(), dynamotest.ConfigOf("http://127.0.0.1:1"), "notes",
		logTo(&log)); err != nil || !strings.Contains(log.String(), "no connection") {
		t.Errorf("without DynamoDB: %v, log %s", err, &log)
	}
}

// TestProofAmplification: while DynamoDB is down, callers do not multiply their calls.
func TestProofAmplification(t *testing.T) {
	storetest.NotWithRace(t)
	const calls = 2000
	down := false
	server := script(t, func(string) (int, string) {
		if down {
			return 500, failure("InternalServerError", "down", "")
		}
		return 200, "{}"
	})
	s := open(t, server.cfg, "notes")
	down = true
	stock := dynamodb.NewFromConfig(server.cfg, func(o *dynamodb.Options) { // the control: no budget
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

// eager is a DynamoDB that begins its answer as soon as it has a request's headers, which net/http's server never does,
// and ends it when it has the body.
func eager(t testing.TB, body string) *scripted {
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

// TestProofHiddenRetries: no call is repeated behind its caller's back.
func TestProofHiddenRetries(t *testing.T) {
	storetest.NotWithRace(t)
	server := eager(t, pageAnswer(20))
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
	// The race that the SDK's own client loses now and then, slowed down: the answer begins before the body was sent.
	const slow = 50
	dynamo.SlowBodies(s, server.cfg, false)
	hidden += query(slow)
	if hidden != 0 || failed > 0 {
		t.Errorf("%d calls failed %d times and made %d requests more", calls+slow, failed, hidden)
	}
	dynamo.SlowBodies(s, server.cfg, true)
	caught := query(slow)
	if caught == 0 {
		t.Error("the control, a body that is handed to net/http as the SDK does it, repeated nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d queries of 20 notes", calls+slow), fmt.Sprintf("%d hidden retries", hidden),
		fmt.Sprintf("as the SDK sends: %d in %d slowed calls", caught, slow))
}

// childReads is the variable that makes this binary a reader of the endpoint that it names.
const childReads = "NOTES_TEST_READS"

func TestMain(m *testing.M) {
	if endpoint := os.Getenv(childReads); endpoint != "" {
		if err := dynamo.Reads(dynamotest.ConfigOf(endpoint), os.Args[1] == "stock", os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(childServes) != "" {
		serveAnswers()
		return
	}
	os.Exit(dynamotest.Main(m))
}

// freeze stops a reading process, lets the server close its idle connection, and has it read at the thaw, again and
// again.
func freeze(t *testing.T, client string, thaws int) (retried int, micros []int) {
	t.Helper()
	server := script(t, func(string) (int, string) { return 200, `{"Item":` + noteAnswer + `}` })
	cmd := exec.Command(os.Args[0], client)
	cmd.Env = append(os.Environ(), childReads+"="+server.URL)
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
			t.Fatalf("the reader says %q: %v", lines.Text(), err)
		}
		return took, attempts
	}
	signal := func(s syscall.Signal) {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	for range thaws {
		fmt.Fprintln(in, "warm")
		read()
		signal(syscall.SIGSTOP)
		await(t, cmd.Process.Pid)
		fmt.Fprintln(in, "at the thaw") // it waits in the pipe
		server.CloseClientConnections()
		signal(syscall.SIGCONT)
		took, attempts := read()
		if attempts > 1 {
			retried++
		}
		micros = append(micros, took)
	}
	slices.Sort(micros)
	return retried, micros
}

// await waits until a process has stopped.
func await(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			storetest.Lacks(t, "/proc", err)
		}
		if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "T") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the process does not stop")
		}
	}
}

// TestProofFreeze: a process that was frozen, as Lambda freezes, while its connection was closed reads at once.
func TestProofFreeze(t *testing.T) {
	storetest.NotWithRace(t)
	thaws := storetest.Amount(50, 200)
	retried, micros := freeze(t, "ours", thaws)
	if retried > 0 {
		t.Errorf("%d of %d thaws were retried", retried, thaws)
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
