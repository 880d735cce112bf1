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
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// The bounds of one attempt, and of the attempts of one call.
const (
	connectTimeout = 500 * time.Millisecond
	attemptTimeout = time.Second
	maxAttempts    = 3
	minPause       = 25 * time.Millisecond
	maxPause       = 100 * time.Millisecond

	// retryTokens bounds repetition while DynamoDB is down: each retry costs 5, after a timeout 10, and a call that
	// succeeds without one gives 1 back.
	retryTokens = 500
)

// newClient makes a client that sends through [transport]. Its calls repeat an attempt that failed in passing; those
// given safely do so only where the attempt surely did nothing.
func newClient(cfg aws.Config) (client *dynamodb.Client, safely func(*dynamodb.Options)) {
	tokens := ratelimit.NewTokenRateLimit(retryTokens)
	retryer := func(repeatable func(error) bool) aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = maxAttempts
			o.RateLimiter = tokens
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
				return minPause + rand.N(maxPause-minPause), nil
			})
			o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				return aws.BoolTernary(repeatable(err))
			})}
		})
	}
	always, sometimes := retryer(passing), retryer(undone)
	client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.HTTPClient = newTransport(cfg)
		o.Retryer = always
		o.Logger = logging.Nop{} // what is worth telling is told once, by explain
	})
	return client, func(o *dynamodb.Options) { o.Retryer = sometimes }
}

// undone tells that a failed attempt surely changed nothing and may be made again.
func undone(err error) bool {
	var failure *failure
	if errors.As(err, &failure) {
		return !failure.sent && !failure.ended
	}
	return throttled(err)
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
	_, is := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
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
	ended bool // the caller's time is over, so another attempt makes no sense
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// transport sends a request whole and reads its answer whole, within [attemptTimeout].
//
// The SDK hands over a body of a kind that net/http does not know to be in memory, and closes it as soon as an answer
// begins. Then net/http sends head and body apart, a fast answer overtakes the body, the connection is torn down and the
// answer with it: about one query in a hundred is repeated behind the caller's back. A body that is known to be in memory
// goes out in one piece, and can be sent again where a connection that was idle turns out to be closed.
type transport struct {
	http.RoundTripper
}

func newTransport(cfg aws.Config) *transport {
	base, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // it may have a CA bundle
	if !ok {
		base = awshttp.NewBuildableClient()
	}
	return &transport{base.WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = connectTimeout
	}).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 256
	}).GetTransport()}
}

// Do implements aws.HTTPClient.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), attemptTimeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	fail := func(err error) (*http.Response, error) {
		f := &failure{err: err, sent: sent.Load(), ended: r.Context().Err() != nil}
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
	if _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation == "GetItem" || operation == "Query" {
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
	note(r, answer.StatusCode >= 500)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// note remembers an attempt at a write that may have done what it asked for.
func note(r *http.Request, unclear bool) {
	if a, ok := r.Context().Value(attemptsKey{}).(*attempts); ok && unclear {
		a.unclear = true
	}
}
