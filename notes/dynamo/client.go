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

// retryPolicy limits the duration and the number of calls.
type retryPolicy struct {
	budget         time.Duration // for all calls of one operation
	attemptTimeout time.Duration
	maxAttempts    int // for one call
	backoff        awsretry.BackoffDelayer
	retryTokens    uint // limits retries while DynamoDB is down; 0 for no limit
}

const connectTimeout = 500 * time.Millisecond

// servicePolicy is for the service: three attempts of one second each, with short pauses, fit into the time of a
// request. While DynamoDB is down few calls are retried: a retry takes 5 of 500 tokens, or 10 after a timeout, and a
// call that succeeds at the first attempt returns 1.
var servicePolicy = retryPolicy{
	budget:         3300 * time.Millisecond,
	attemptTimeout: time.Second,
	maxAttempts:    3,
	backoff: awsretry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
		return 25*time.Millisecond + rand.N(75*time.Millisecond), nil // #nosec G404 -- spreads retries
	}),
	retryTokens: 500,
}

// moverPolicy is for copying many notes: it waits for a table that throttles.
var moverPolicy = retryPolicy{
	budget:         10 * time.Minute,
	attemptTimeout: 30 * time.Second,
	maxAttempts:    100,
	backoff: awsretry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
		// #nosec G404 -- spreads retries
		return rand.N(min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)), nil
	}),
}

// retryOption selects which failed attempts of a call are repeated.
type retryOption = func(*dynamodb.Options)

// retries are the options among which each call chooses.
type retries struct {
	policy    retryPolicy
	transient retryOption // see isTransient
	settled   retryOption // see isSettled
	noEffect  retryOption // see hadNoEffect
}

// newStore returns a store whose client sends through [transport].
func newStore(cfg aws.Config, table string, p retryPolicy, options ...func(*dynamodb.Options)) *Store {
	var tokens awsretry.RateLimiter = ratelimit.None
	if p.retryTokens > 0 {
		tokens = ratelimit.NewTokenRateLimit(p.retryTokens)
	}
	retryIf := func(retryable func(error) bool) retryOption {
		retryer := awsretry.NewStandard(func(o *awsretry.StandardOptions) {
			o.MaxAttempts, o.RateLimiter, o.Backoff = p.maxAttempts, tokens, p.backoff
			o.Retryables = []awsretry.IsErrorRetryable{awsretry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				return aws.BoolTernary(retryable(err))
			})}
		})
		return func(o *dynamodb.Options) { o.Retryer = retryer }
	}
	r := retries{
		policy: p, transient: retryIf(isTransient), settled: retryIf(isSettled), noEffect: retryIf(hadNoEffect),
	}
	client := dynamodb.NewFromConfig(cfg, append(options, r.transient, func(o *dynamodb.Options) {
		o.HTTPClient = newTransport(cfg, p.attemptTimeout)
		o.Logger = logging.Nop{} // explain describes errors, and the caller logs them
	})...)
	return &Store{cfg: cfg, client: client, table: table, retries: r}
}

// hadNoEffect reports whether a failed attempt certainly changed nothing and may succeed if repeated.
func hadNoEffect(err error) bool {
	var failure *attemptError
	if errors.As(err, &failure) {
		return !failure.sent && !failure.callerDone
	}
	return isThrottled(err)
}

// isSettled reports whether a failure is transient and the attempt can have no further effect. An attempt that timed
// out may still arrive.
func isSettled(err error) bool {
	var failure *attemptError
	return isTransient(err) && !(errors.As(err, &failure) && failure.timedOut)
}

// isTransient reports whether another attempt may succeed. The failed one may have taken effect.
func isTransient(err error) bool {
	var failure *attemptError
	if errors.As(err, &failure) {
		return !failure.callerDone
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return isThrottled(err) || api.ErrorFault() == smithy.FaultServer || isServerError(err)
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// isThrottled reports whether DynamoDB refused a call because there are too many.
func isThrottled(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	_, throttled := awsretry.DefaultThrottleErrorCodes[api.ErrorCode()]
	return throttled
}

// isServerError reports whether DynamoDB answered with a status of 500 or more.
func isServerError(err error) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() >= 500
}

// attemptState describes the attempts of one operation so far. The transport updates it through the context.
type attemptState struct {
	ambiguous bool // an attempt was sent and may have taken effect, but no answer says so
}

type attemptStateKey struct{}

// attemptError is the error of an attempt that got no answer.
type attemptError struct {
	err        error
	sent       bool // DynamoDB may have received the request
	timedOut   bool // the request may still arrive
	callerDone bool // the caller's context has ended, so another attempt is pointless
}

func (f *attemptError) Error() string { return f.err.Error() }
func (f *attemptError) Unwrap() error { return f.err }

// transport sends a request in one piece and reads the whole answer within the attempt's timeout.
//
// net/http does not know that the SDK's request body is in memory, so it sends header and body separately. The SDK also
// closes the body as soon as an answer begins. If a fast answer overtakes the body, net/http drops the connection and
// the answer with it, and about one query in a hundred is repeated without the caller's knowledge. This transport hands
// net/http a body in memory, which is sent together with the header, and sent again if an idle connection turns out to
// be closed.
type transport struct {
	http.RoundTripper
	timeout time.Duration
}

func newTransport(cfg aws.Config, timeout time.Duration) *transport {
	base, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // may have a CA bundle
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
		f := &attemptError{
			err: err, sent: sent.Load(), timedOut: ctx.Err() != nil, callerDone: r.Context().Err() != nil,
		}
		recordAttempt(r, f.sent)
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
		request.Header["X-Idempotency-Key"] = nil // not sent; tells net/http that it may repeat the request
	}
	answer, err := t.RoundTrip(request)
	if err != nil {
		return fail(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return fail(err)
	}
	recordAttempt(r, answer.StatusCode >= 500 || answer.StatusCode < 300) // decoding a success may fail
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// recordAttempt records in the request's context whether an attempt may have taken effect.
func recordAttempt(r *http.Request, ambiguous bool) {
	if a, ok := r.Context().Value(attemptStateKey{}).(*attemptState); ok && ambiguous {
		a.ambiguous = true
	}
}
