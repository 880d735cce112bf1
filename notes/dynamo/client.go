package dynamo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// patience is how long calls are waited for and how often they are made again.
type patience struct {
	budget  time.Duration // all calls of one operation
	attempt time.Duration // one attempt
	tries   int           // attempts of one call
	pause   awsretry.BackoffDelayer
	tokens  uint // that bound repetition while DynamoDB is down; 0 for no bound
}

const connectTimeout = 500 * time.Millisecond

// service is the patience of the service: three attempts of a second each and short pauses, within the time of a
// request. While DynamoDB is down repetition is bounded: each retry takes 5 of 500 tokens, after a timeout 10, and a
// call that succeeds at once gives 1 back.
var service = patience{
	budget:  3300 * time.Millisecond,
	attempt: time.Second,
	tries:   3,
	pause: awsretry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
		return 25*time.Millisecond + rand.N(75*time.Millisecond), nil // #nosec G404 -- it spreads retries
	}),
	tokens: 500,
}

// mover is the patience of who moves many notes: a table that throttles is waited for.
var mover = patience{
	budget:  10 * time.Minute,
	attempt: 30 * time.Second,
	tries:   100,
	pause: awsretry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
		// #nosec G404 -- it spreads retries
		return rand.N(min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)), nil
	}),
}

// retry says which attempts of a call are made again.
type retry = func(*dynamodb.Options)

// retries are what a call may choose from.
type retries struct {
	patience patience
	passing  retry // attempts that failed in passing, whatever they did
	ended    retry // those of them that surely are over: not one that timed out, which may still arrive
	undone   retry // those that surely did nothing
}

// newStore makes a store whose client sends through [transport].
func newStore(cfg aws.Config, table string, p patience, options ...func(*dynamodb.Options)) *Store {
	var tokens awsretry.RateLimiter = ratelimit.None
	if p.tokens > 0 {
		tokens = ratelimit.NewTokenRateLimit(p.tokens)
	}
	repeat := func(repeatable func(error) bool) retry {
		retryer := awsretry.NewStandard(func(o *awsretry.StandardOptions) {
			o.MaxAttempts, o.RateLimiter, o.Backoff = p.tries, tokens, p.pause
			o.Retryables = []awsretry.IsErrorRetryable{awsretry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				return aws.BoolTernary(repeatable(err))
			})}
		})
		return func(o *dynamodb.Options) { o.Retryer = retryer }
	}
	r := retries{p, repeat(passing), repeat(ended), repeat(undone)}
	client := dynamodb.NewFromConfig(cfg, append(options, r.passing, func(o *dynamodb.Options) {
		o.HTTPClient = newTransport(cfg, p.attempt)
		o.Logger = logging.Nop{} // what is worth telling is told once, by explain
	})...)
	return &Store{cfg: cfg, client: client, table: table, retries: r}
}

// undone tells that a failed attempt surely changed nothing and may be made again.
func undone(err error) bool {
	var failure *failure
	if errors.As(err, &failure) {
		return !failure.sent && !failure.ended
	}
	return throttled(err)
}

// ended tells that an attempt may be made again because it cannot do anything any more.
func ended(err error) bool {
	var failure *failure
	return passing(err) && !(errors.As(err, &failure) && failure.late)
}

// passing tells that a failure may be gone at the next attempt.
func passing(err error) bool {
	var failure *failure
	if errors.As(err, &failure) {
		return !failure.ended
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return throttled(err) || api.ErrorFault() == smithy.FaultServer || serverError(err)
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// throttled tells that DynamoDB refused a call because of how many there are.
func throttled(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	_, is := awsretry.DefaultThrottleErrorCodes[api.ErrorCode()]
	return is
}

func serverError(err error) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() >= 500
}

// attempts is what is known of the attempts of one operation; its transport fills it in.
type attempts struct {
	unclear bool // one was sent and had no answer that tells what it did
}

type attemptsKey struct{}

// failure is an attempt that got no answer.
type failure struct {
	err   error
	sent  bool // DynamoDB may have got it
	late  bool // its time was over: it may still arrive
	ended bool // the caller's time is over, so another attempt makes no sense
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// transport sends a request whole and reads its answer whole, within the time for an attempt.
//
// The SDK hands over a body of a kind that net/http does not know to be in memory, and closes it as soon as an answer
// begins. Then net/http sends head and body apart, a fast answer overtakes the body, the connection is torn down and
// the answer with it: about one query in a hundred is repeated behind the caller's back. A body that is known to be
// in memory goes out in one piece, and can be sent again where a connection that was idle turns out to be closed.
type transport struct {
	http.RoundTripper
	timeout time.Duration
}

func newTransport(cfg aws.Config, timeout time.Duration) *transport {
	base, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // it may have a CA bundle
	if !ok {
		base = awshttp.NewBuildableClient()
	}
	return &transport{base.WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = connectTimeout
	}).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 256
	}).GetTransport(), timeout}
}

// Do implements aws.HTTPClient.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), t.timeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	fail := func(err error) (*http.Response, error) {
		f := &failure{err: err, sent: sent.Load(), late: ctx.Err() != nil, ended: r.Context().Err() != nil}
		note(r, f.sent)
		return nil, f
	}
	request := r.WithContext(ctx)
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			return fail(err)
		}
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = int64(len(body))
	}
	if _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation == "GetItem" ||
		operation == "Query" {
		request.Header["X-Idempotency-Key"] = nil // never sent; tells net/http that the request may be sent again
	}
	answer, err := t.RoundTrip(request)
	if err != nil {
		return fail(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return fail(err)
	}
	note(r, answer.StatusCode >= 500 || answer.StatusCode < 300) // a success that cannot be read may be asked for again
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// note remembers an attempt at a write that may have done what it asked for.
func note(r *http.Request, unclear bool) {
	if a, ok := r.Context().Value(attemptsKey{}).(*attempts); ok && unclear {
		a.unclear = true
	}
}
