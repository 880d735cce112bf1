// Package sandbox is enough of AWS on one machine to deploy, break and heal an HTTP API, with no account.
//
// What is configured is kept by moto (https://docs.getmoto.org), to which calls of AWS's services pass through; what
// moto lacks or does otherwise than AWS is one table, [Differences]. Requests to an HTTP API are answered here as API
// Gateway would answer them: a route is selected, API Gateway's right to invoke the function is judged by the
// function's own policy, and the function's bootstrap runs under the Lambda Runtime API with its role's rights and no
// others.
//
// It has no latency, no quotas but the few that it names in errors and no VPC, and its KMS encrypts nothing that
// functions see. Functions have the rights of whoever runs it on the machine; signatures are not checked. It listens
// on loopback only.
package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go/logging"

	"example.com/portable-notes/deploy/sandbox/function"
)

// Account is the number of the account that everything in the sandbox belongs to.
const Account = "123456789012"

// maxCalls is how many of the newest calls are kept at least.
const maxCalls = 100_000

// apiPath is where HTTP APIs answer, beside hosts of the form API-ID.execute-api.….
const apiPath = "/_aws/execute-api/"

// Options are what a sandbox may do otherwise. The zero value is good.
type Options struct {
	Port      int           // to listen on at 127.0.0.1; 0 for a free one
	Region    string        // default us-east-1; calls signed for another region see that region
	Log       io.Writer     // what the sandbox says, a line for each refusal and its reason; nil for nothing
	PageSize  int           // most items in an answer of an API Gateway list; 0 for all, as many as are asked for
	RoleDelay time.Duration // for which Lambda cannot assume a new role, as on AWS
	Docker    string        // image that functions with a bootstrap run in; "" runs them on this machine
	// Settling is how long a new function is Pending, and a changed one InProgress: 200 ms unless set, none if
	// negative.
	Settling time.Duration
}

// Sandbox is one that runs. It is safe for use by many goroutines.
type Sandbox struct {
	URL string // of the AWS endpoint, http://127.0.0.1:PORT

	region    string
	log       *log.Logger
	folder    string
	deploying sync.Mutex
	routing   sync.Mutex // held where routes are looked at and then changed
	moto      *moto
	server    *http.Server
	closed    chan struct{}
	close     sync.Once

	aws     aws.Config // of moto
	sink    *sink
	metrics *metrics
	runner  *function.Runner

	mu          sync.Mutex
	options     Options
	calls       []Call
	known       map[string]any        // what was read of moto, until something is written; see remembered
	writes      int                   // of roles, functions and APIs
	principals  map[string]*principal // by the id of their key
	policies    map[resource]*functionPolicy
	code        map[string][]byte      // zips, by their CodeSha256
	urls        map[string]functionURL // by the id in them
	layers      map[string]string      // the CodeSha256 of versions of layers, by their ARNs
	functions   map[resource]*functionState
	apiStates   map[string]*apiState // by id
	roleChanged map[string]time.Time
}

// resource is a name in a region.
type resource struct{ region, name string }

// Start starts a sandbox. It is ready when Start returns: every operation that the programs of this project use was
// called once. The caller must close it.
func Start(ctx context.Context, o Options) (_ *Sandbox, err error) {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Settling == 0 {
		o.Settling = 200 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	s := &Sandbox{region: o.Region, log: log.New(o.Log, "", 0), closed: make(chan struct{})}
	s.forget()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.Port))
	if err != nil {
		return nil, fmt.Errorf("the sandbox cannot listen (another one may run; --port 0 takes a free port): %w", err)
	}
	s.URL = "http://" + listener.Addr().String()
	if s.folder, err = os.MkdirTemp("", "portable-notes-sandbox-"); err == nil {
		s.moto, err = startMoto(ctx, s.folder)
	}
	if err != nil {
		_ = listener.Close()
		_ = os.RemoveAll(s.folder)
		return nil, err
	}
	s.aws = aws.Config{Region: o.Region, BaseEndpoint: &s.moto.url,
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", ""), Logger: logging.Nop{}}
	s.sink, s.metrics = newSink(s), newMetrics(s)
	s.runner = function.New(function.Host{Endpoint: s.URL, Folder: s.folder, Log: s.log, Docker: o.Docker, Code: s.zip,
		Layer: s.layer,
		Begin: s.begin})
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: s.log, MaxHeaderBytes: 64 << 10}
	go func() { _ = s.server.Serve(listener) }() // until it is closed
	go func() {
		select {
		case <-s.moto.ended:
			s.end()
		case <-s.closed:
		}
	}()
	if err := s.selfTest(ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.forget()
	s.mu.Lock()
	s.options = o // from now on: the self-test waits for nothing
	s.mu.Unlock()
	return s, nil
}

// forget makes the sandbox as new, beside moto.
func (s *Sandbox) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.known, s.writes = nil, map[string]any{}, 0
	s.principals, s.policies, s.code = map[string]*principal{}, map[resource]*functionPolicy{}, map[string][]byte{}
	s.functions, s.apiStates = map[resource]*functionState{}, map[string]*apiState{}
	s.layers, s.urls = map[string]string{}, map[string]functionURL{}
	s.roleChanged = map[string]time.Time{}
}

// Wait returns when the sandbox has ended: nil after Close, else the reason.
func (s *Sandbox) Wait() error {
	<-s.closed
	select {
	case <-s.moto.ended:
		if why := s.moto.says(); !s.moto.asked.Load() {
			return fmt.Errorf("moto, which keeps what is configured in the sandbox, has ended, and the sandbox with "+
				"it; its last words: %q", why)
		}
	default:
	}
	return nil
}

// Close ends the sandbox, its processes and its folder. It returns when they are gone.
func (s *Sandbox) Close() {
	s.moto.asked.Store(true)
	s.end()
}

func (s *Sandbox) end() {
	s.close.Do(func() {
		_ = s.server.Close()
		s.sink.close()
		s.metrics.close()
		s.runner.Close()
		s.moto.close()
		close(s.closed)
	})
	<-s.closed
}

// Environment is what a program needs to work in the sandbox, as lines NAME=VALUE.
func (s *Sandbox) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.URL,
		"AWS_REGION=" + s.region,
		"AWS_DEFAULT_REGION=" + s.region, // of the aws CLI, version 1
		"AWS_ACCESS_KEY_ID=sandbox",
		"AWS_SECRET_ACCESS_KEY=sandbox",
	}
}

// Calls are the calls of AWS operations so far, also those that were refused, in the order of their answers.
func (s *Sandbox) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ServeHTTP implements http.Handler: calls of AWS operations and requests to HTTP APIs.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id, region, ok := apiHost(r.Host, s.region); ok {
		s.serveAPI(w, r, region, id, r.URL.EscapedPath(), false)
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), apiPath); ok {
		id, path, _ := strings.Cut(rest, "/")
		s.serveAPI(w, r, s.regionOf(id), id, "/"+path, true)
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), codePath); ok {
		s.serveCode(w, r, rest)
		return
	}
	if s.serveURL(w, r) || s.serveDomain(w, r) {
		return
	}
	c, err := readCall(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := s.call(r.Context(), c)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a caller that is gone misses nothing
}

// call answers a call of an AWS operation: a function's only if its role may make it.
func (s *Sandbox) call(ctx context.Context, c *call) (a answer) {
	defer func() {
		c.Status = a.status
		s.record(c.Call)
	}()
	who := s.signer(c.Key)
	if strings.HasPrefix(c.Key, keyPrefix) && who == nil || who != nil && who.owner == "" {
		return c.refuse(http.StatusForbidden, "UnrecognizedClientException",
			"The security token included in the request is invalid.")
	}
	if who == nil {
		return s.answer(c)
	}
	c.Caller = who.arn
	demands := s.demands(ctx, c)
	for _, d := range demands {
		c.Resources = append(c.Resources, d.resource)
	}
	if c.Refusal = s.judge(ctx, *who, c.Region, demands...); c.Refusal != "" {
		s.log.Printf("%s is refused: %s", c.Action(), c.Refusal)
		return c.denied(c.Refusal)
	}
	if a = s.answer(c); c.Service == "lambda" && c.Operation == "GetFunction" {
		a = s.withoutTags(ctx, *who, c, a)
	}
	return a
}

// record keeps a call, and forgets what is remembered of moto if the call may have changed it.
func (s *Sandbox) record(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls = append(s.calls, c); len(s.calls) > 2*maxCalls {
		s.calls = slices.Clone(s.calls[maxCalls:])
	}
	if !c.reads() && (c.Service == "iam" || c.Service == "lambda" || c.Service == "apigateway") {
		s.writes++
		clear(s.known)
	}
}

// forward passes a call on to moto.
func (s *Sandbox) forward(c *call) answer {
	if c.asCBOR() {
		return s.forwardCBOR(c)
	}
	a, err := s.moto.do(c.Context(), c.Method, c.URL.RequestURI(), c.Header, c.body)
	if err != nil {
		return c.refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "moto, which keeps what is configured "+
			"in the sandbox, does not answer")
	}
	page := bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<!doctype html>"))
	switch {
	case a.status == http.StatusNotImplemented || page && a.status == http.StatusNotFound,
		bytes.Contains(a.body, []byte("has not been implemented")):
		return c.refuse(http.StatusNotImplemented, "NotImplementedException",
			"moto, which keeps what is configured in the sandbox, does not know %s:%s", c.Service, c.Operation)
	case page:
		return c.refuse(http.StatusInternalServerError, "InternalFailure",
			"moto, which keeps what is configured in the sandbox, fails at %s:%s: %s", c.Service, c.Operation,
			s.moto.says())
	}
	return a
}

// The clients of moto.
func (s *Sandbox) iam() *iam.Client { return iam.NewFromConfig(s.aws) }
func (s *Sandbox) lambda(region string) *lambda.Client {
	return lambda.NewFromConfig(s.aws, func(o *lambda.Options) { o.Region = region })
}
func (s *Sandbox) apis(region string) *apigatewayv2.Client {
	return apigatewayv2.NewFromConfig(s.aws, func(o *apigatewayv2.Options) { o.Region = region })
}
func (s *Sandbox) logs(region string) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(s.aws, func(o *cloudwatchlogs.Options) { o.Region = region })
}

// remembered is what load answered before, unless roles, functions or APIs were changed since.
func remembered[T any](s *Sandbox, key string, load func() (T, error)) (T, error) {
	s.mu.Lock()
	known, ok := s.known[key]
	writes := s.writes
	s.mu.Unlock()
	if ok {
		return known.(T), nil
	}
	value, err := load()
	if err == nil {
		s.mu.Lock()
		if writes == s.writes {
			s.known[key] = value
		}
		s.mu.Unlock()
	}
	return value, err
}

// errGone tells that something is not there.
var errGone = errors.New("it is not there")
