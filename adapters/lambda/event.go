package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
	"github.com/google/uuid"

	"example.com/portable-notes/app"
)

// This file goes around what aws-lambda-go-api-proxy (v0.16.2) makes of an event that is not what a server gets:
//
//   - a decoded path with a percent sign, a line break, ? or # fails or is cut;
//   - headers are split at commas, which tears dates, entity tags and keys apart;
//   - the stage stays in the path, and its own StripBasePath heeds no boundary;
//   - the method is made upper case, the client's address has no port, the scheme is lost;
//   - a body that is not base64, and a handler that writes nothing, become failures of the function.
//
// So it is given an event with the body alone, and everything else of the request is set here, from the event, as AWS
// documents it: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html.
// What the library does is the body, the context and the answer.

// request is an event in payload format 2.0, as far as it is read here. What nobody reads (claims of an authorizer, for
// one) may be of any type.
type request struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies"`
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		RequestID  string `json:"requestId"`
		Stage      string `json:"stage"`
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

type response = events.APIGatewayV2HTTPResponse

// margin is the part of the function's time that is kept for the answer.
const margin = 500 * time.Millisecond

// Invoke implements lambda.Handler. It never fails: an error would be a blank 500 for the client.
func (d *adapter) Invoke(ctx context.Context, payload []byte) (answer []byte, _ error) {
	var e request
	defer func() {
		if r := recover(); r != nil {
			id := requestID(ctx, e)
			d.log.ErrorContext(ctx, "panic", "request_id", id, "error", fmt.Sprint(r), "stack", string(debug.Stack()))
			answer = encode(problem(id, http.StatusInternalServerError, "internal", "The service failed",
				"this is a fault of the service; it is logged under the request id"))
		}
	}()
	if err := json.Unmarshal(payload, &e); err != nil || e.Version != "2.0" || e.RequestContext.HTTP.Method == "" {
		return encode(d.stranger(ctx, payload)), nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	in := &incoming{request: e, damaged: !utf8.Valid(payload)} // whose bytes encoding/json has replaced
	if e.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(e.Body)
		in.Body, in.damaged = string(body), in.damaged || err != nil
	}
	var base string
	in.path, base = d.place(e)
	a, err := d.proxy(context.WithValue(app.WithBase(ctx, base), eventKey{}, in), in)
	if err != nil {
		panic(err)
	}
	return encode(a), nil
}

// place is where a request goes, and under which path its client sees the service. API Gateway puts a named stage
// before the path, on its own domain and on custom ones; on a custom domain the client sees the domain's base path
// instead.
func (d *adapter) place(e request) (path, base string) {
	path, stage := e.RawPath, ""
	if s := e.RequestContext.Stage; s != "" && s != "$default" {
		stage = "/" + s
		path = without(path, stage)
	}
	if strings.Contains(e.RequestContext.DomainName, ".execute-api.") {
		return path, stage
	}
	return without(path, d.basePath), d.basePath
}

// without takes a prefix off a path where it stands whole.
func without(path, prefix string) string {
	if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
		return rest
	}
	return path
}

type eventKey struct{}

// incoming is a request as its event tells it.
type incoming struct {
	request
	path    string // without stage and base path
	damaged bool   // the body is not what it is said to be: base64, or text
}

// gatewayOf is what API Gateway says of a request.
func gatewayOf(ctx context.Context) events.APIGatewayV2HTTPRequestContext {
	gateway, _ := core.GetAPIGatewayV2ContextFromContext(ctx)
	return gateway
}

// proxyTo hands events to a handler, through the library.
func proxyTo(h http.Handler) func(context.Context, *incoming) (response, error) {
	adapter := httpadapter.NewV2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		restore(r, r.Context().Value(eventKey{}).(*incoming))
		tracked := &writer{ResponseWriter: w}
		h.ServeHTTP(tracked, r)
		if !tracked.begun {
			w.WriteHeader(http.StatusOK) // as net/http does
		}
	}))
	return func(ctx context.Context, e *incoming) (response, error) {
		return adapter.ProxyWithContext(ctx, events.APIGatewayV2HTTPRequest{
			Body: e.Body,
			RequestContext: events.APIGatewayV2HTTPRequestContext{
				RequestID: e.RequestContext.RequestID, Stage: e.RequestContext.Stage, DomainName: "lambda",
				HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: http.MethodGet, Path: "/"},
			},
		})
	}
}

// requestID is the id under which API Gateway knows a request, or else Lambda the event; where neither tells one, a
// new.
func requestID(ctx context.Context, e request) string {
	l, ok := lambdacontext.FromContext(ctx)
	if !ok {
		l = &lambdacontext.LambdaContext{}
	}
	return cmp.Or(e.RequestContext.RequestID, l.AwsRequestID, uuid.NewString())
}

// restore makes the request what the event says.
func restore(r *http.Request, e *incoming) {
	r.Method = e.RequestContext.HTTP.Method
	r.URL = &url.URL{Path: e.path, RawQuery: e.RawQueryString}
	r.RequestURI = r.URL.RequestURI()
	r.Header = make(http.Header, len(e.Headers)+1)
	for name, value := range e.Headers {
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
	}
	if len(e.Cookies) > 0 {
		r.Header["Cookie"] = []string{strings.Join(e.Cookies, "; ")}
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	r.RemoteAddr = net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0")
	r.TLS = &tls.ConnectionState{} // API Gateway speaks HTTPS alone
	if e.damaged {
		r.Body = io.NopCloser(cutShort{}) // what is left of it is a body that did not come whole
	}
}

type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// writer knows whether an answer was begun, and can be flushed, which does nothing: an answer leaves whole.
type writer struct {
	http.ResponseWriter
	begun bool
}

func (w *writer) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

func (w *writer) Flush() {}

// stranger answers an event that is no request of an HTTP API in payload format 2.0. What keeps functions warm, or
// comes on a schedule, gets an empty answer; whoever waits for an HTTP answer is told what was expected.
func (d *adapter) stranger(ctx context.Context, payload []byte) response {
	var e struct {
		Version        string
		HTTPMethod     string
		Warmer         bool
		Source         string
		DetailType     string `json:"detail-type"`
		RequestContext struct{ ELB json.RawMessage }
	}
	_ = json.Unmarshal(payload, &e) // what it cannot read stays empty
	kind, status := "no event that this function knows", http.StatusBadRequest
	switch {
	case e.Warmer, e.DetailType != "", strings.HasPrefix(e.Source, "serverless-plugin-warmup"):
		d.log.DebugContext(ctx, "an event that asks for nothing")
		return response{StatusCode: http.StatusNoContent}
	case e.RequestContext.ELB != nil:
		kind, status = "a request of a load balancer", http.StatusInternalServerError
	case e.HTTPMethod != "":
		kind, status = "a request in payload format 1.0", http.StatusInternalServerError
	}
	const expected = "this function expects a request of an API Gateway HTTP API in payload format 2.0"
	d.log.WarnContext(ctx, "the event is "+kind, "expected", expected, "bytes", len(payload))
	return problem(requestID(ctx, request{}), status, "malformed_request", "The event is not one that is served here",
		expected+", this is "+kind)
}

// problem is an answer (RFC 9457) to what never reached the app.
func problem(id string, status int, code, title, detail string) response {
	body, _ := json.Marshal(struct { // it is made of texts alone, which cannot fail
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Code      string `json:"code"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}{"urn:notes:problem:" + code, title, status, code, detail, id})
	return response{StatusCode: status, Headers: map[string]string{
		"Content-Type": "application/problem+json", "Content-Length": strconv.Itoa(len(body)),
		"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", "X-Request-Id": id,
	}, Body: string(body)}
}

func encode(a response) []byte {
	b, _ := json.Marshal(a) // texts and numbers cannot fail
	return b
}

// withIDs adds to every line the ids under which API Gateway and Lambda know the request, so that the three logs can be
// joined.
type withIDs struct{ slog.Handler }

func (h withIDs) Handle(ctx context.Context, line slog.Record) error {
	if id := gatewayOf(ctx).RequestID; id != "" {
		line.AddAttrs(slog.String("gateway_request_id", id))
	}
	if l, ok := lambdacontext.FromContext(ctx); ok {
		line.AddAttrs(slog.String("lambda_request_id", l.AwsRequestID))
	}
	return h.Handler.Handle(ctx, line)
}

func (h withIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withIDs{h.Handler.WithAttrs(attrs)}
}
func (h withIDs) WithGroup(name string) slog.Handler { return withIDs{h.Handler.WithGroup(name)} }
