// Package sandbox emulates enough of AWS on one machine to deploy, break and heal an HTTP API, without an account.
//
// Calls of AWS's services pass through to moto (https://docs.getmoto.org), which stores the configuration. The table of
// corrections lists what moto lacks or does differently from AWS, and what the sandbox answers instead.
//
// The sandbox answers requests to an HTTP API as API Gateway would. It selects a route, checks by the function's policy
// that API Gateway may invoke the function, and runs the function under the Lambda Runtime API with the rights of its
// role in the emulated AWS.
//
// On the machine, functions run with the rights of the user who starts the sandbox. It listens on loopback only and
// does not check signatures. [Differences] lists the other ways in which it differs from AWS.
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

	"example.com/portable-notes/deploy/sandbox/formation"
	"example.com/portable-notes/deploy/sandbox/function"
)

// Account is the ID of the account that owns everything in the sandbox.
const Account = "123456789012"

// maxCalls is the number of newest calls that are always kept.
const maxCalls = 100_000

// apiPath is the path under which HTTP APIs answer. They also answer on hosts of the form API-ID.execute-api.….
const apiPath = "/_aws/execute-api/"

// Options configures a sandbox. The zero value is ready to use.
type Options struct {
	Port      int           // of 127.0.0.1 to listen on; 0 for a free one
	Region    string        // default us-east-1; calls that are signed for another region work in that region
	Log       io.Writer     // receives a line for each refusal, with its reason; nil discards them
	PageSize  int           // maximum items in a page of an API Gateway list; 0 for no limit of the sandbox's own
	RoleDelay time.Duration // time for which Lambda cannot assume a new role, as on AWS
	Docker    string        // image for functions that have a bootstrap; "" runs them on this machine
	// Settling is how long a new function stays Pending, and a changed one InProgress. 0 means 200 ms; a negative value
	// means no time.
	Settling time.Duration
}

// Sandbox is a running sandbox. It is safe for concurrent use.
type Sandbox struct {
	URL string // AWS endpoint, http://127.0.0.1:PORT

	region    string
	log       *log.Logger
	folder    string
	deploying sync.Mutex
	routing   sync.Mutex // held while routes are checked and then changed
	moto      *moto
	server    *http.Server
	closed    chan struct{}
	close     sync.Once

	aws       aws.Config // for clients of moto
	sink      *sink
	metrics   *metrics
	runner    *function.Runner
	formation *formation.Formation

	mu             sync.Mutex
	options        Options
	calls          []Call
	cache          map[string]any        // what was read from moto since the last write; see cached
	writes         int                   // number of writes to roles, functions and APIs
	principals     map[string]*principal // by access key ID
	policies       map[resource]*functionPolicy
	code           map[string][]byte      // zips by CodeSha256
	urls           map[string]functionURL // by the ID in the URL
	bucketPolicies map[string][]byte      // by the name of the bucket
	layers         map[string]string      // CodeSha256 by the ARN of a layer version
	functions      map[resource]*functionState
	apiStates      map[string]*apiState // by API ID
	roleChanged    map[string]time.Time
}

// resource identifies something by region and name.
type resource struct{ region, name string }

// Start starts a sandbox and tests it, by calling each operation that the programs of this project use. The caller must
// close the sandbox.
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
	s.reset()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.Port))
	if err != nil {
		return nil, fmt.Errorf("the sandbox cannot listen (is another one running? --port 0 takes a free port): %w",
			err)
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
		Begin: s.beginSession})
	s.formation = formation.New(s.formationHost())
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: s.log, MaxHeaderBytes: 64 << 10}
	go func() { _ = s.server.Serve(listener) }() // returns when the server is closed
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
	s.reset()
	s.mu.Lock()
	s.options = o // not before: the self-test must not wait for roles or functions
	s.mu.Unlock()
	return s, nil
}

// reset clears the sandbox's own state, but not moto's.
func (s *Sandbox) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.cache, s.writes = nil, map[string]any{}, 0
	s.principals, s.policies, s.code = map[string]*principal{}, map[resource]*functionPolicy{}, map[string][]byte{}
	s.functions, s.apiStates = map[resource]*functionState{}, map[string]*apiState{}
	s.bucketPolicies = map[string][]byte{}
	s.layers, s.urls = map[string]string{}, map[string]functionURL{}
	s.roleChanged = map[string]time.Time{}
}

// Wait waits until the sandbox has ended. It returns nil after Close, and otherwise the reason.
func (s *Sandbox) Wait() error {
	<-s.closed
	select {
	case <-s.moto.ended:
		if why := s.moto.lastLine(); !s.moto.closing.Load() {
			return fmt.Errorf("moto, which stores the sandbox's configuration, has ended, and the sandbox with it; "+
				"its last line: %q", why)
		}
	default:
	}
	return nil
}

// Close ends the sandbox and its processes and removes its folder. It waits until they are gone.
func (s *Sandbox) Close() {
	s.moto.closing.Store(true)
	s.end()
}

func (s *Sandbox) end() {
	s.close.Do(func() {
		_ = s.server.Close()
		s.formation.Close()
		s.sink.close()
		s.metrics.close()
		s.runner.Close()
		s.moto.close()
		close(s.closed)
	})
	<-s.closed
}

// Variables returns the variables that a program with the given environment needs to use the sandbox, as NAME=VALUE.
// The first is AWS_ENDPOINT_URL.
func (s *Sandbox) Variables(environ []string) []string {
	return append(s.settings(), outside(environ)...)
}

func (s *Sandbox) settings() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.URL,
		"AWS_REGION=" + s.region,
		"AWS_DEFAULT_REGION=" + s.region, // for version 1 of the aws CLI
		"AWS_ACCESS_KEY_ID=sandbox",
		"AWS_SECRET_ACCESS_KEY=sandbox",
	}
}

// Calls returns the calls of AWS operations so far, including refused ones, in the order of their answers.
func (s *Sandbox) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ServeHTTP answers calls of AWS operations and requests to HTTP APIs.
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
	_, _ = w.Write(a.body) // fails if the caller is gone
}

// call answers a call of an AWS operation, if its signer has the right to make it.
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

// record stores a call. It clears the cache if the call may have changed what is cached.
func (s *Sandbox) record(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls = append(s.calls, c); len(s.calls) > 2*maxCalls {
		s.calls = slices.Clone(s.calls[maxCalls:])
	}
	if !c.reads() && (c.Service == "iam" || c.Service == "lambda" || c.Service == "apigateway") {
		s.writes++
		clear(s.cache)
	}
}

// forward passes a call to moto.
func (s *Sandbox) forward(c *call) answer {
	if c.isCBOR() {
		return s.forwardCBOR(c)
	}
	a, err := s.moto.do(c.Context(), c.Method, c.URL.RequestURI(), c.Header, c.body)
	if err != nil {
		return c.refuse(http.StatusServiceUnavailable, "ServiceUnavailable",
			"moto, which stores the sandbox's configuration, does not answer")
	}
	page := bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<!doctype html>"))
	switch {
	case a.status == http.StatusNotImplemented || page && a.status == http.StatusNotFound,
		bytes.Contains(a.body, []byte("has not been implemented")):
		return c.refuse(http.StatusNotImplemented, "NotImplementedException",
			"moto, which stores the sandbox's configuration, does not know %s:%s", c.Service, c.Operation)
	case page:
		return c.refuse(http.StatusInternalServerError, "InternalFailure",
			"moto, which stores the sandbox's configuration, fails at %s:%s: %s", c.Service, c.Operation,
			s.moto.lastLine())
	}
	return a
}

// Clients of moto.
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

// cached returns the result of load, which it calls again only after roles, functions or APIs have changed.
func cached[T any](s *Sandbox, key string, load func() (T, error)) (T, error) {
	s.mu.Lock()
	known, ok := s.cache[key]
	writes := s.writes
	s.mu.Unlock()
	if ok {
		return known.(T), nil
	}
	value, err := load()
	if err == nil {
		s.mu.Lock()
		if writes == s.writes {
			s.cache[key] = value
		}
		s.mu.Unlock()
	}
	return value, err
}

// errNotFound means that something does not exist.
var errNotFound = errors.New("it does not exist")
