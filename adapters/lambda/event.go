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

// This file works around aws-lambda-go-api-proxy (v0.16.2), whose requests differ from those of a server:
//
//   - a path with a percent sign, a line break, ? or # fails or is truncated, since it is already decoded;
//   - headers are split at commas, which breaks dates, entity tags and idempotency keys;
//   - the stage stays in the path, and StripBasePath does not stop at a slash;
//   - the method is upper-cased, the client's address has no port, and the scheme is lost;
//   - invalid base64, and a handler that writes nothing, make the function fail.
//
// So the library gets an event that has only the body. This file sets everything else in the request, following
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html. The library
// still handles the body, the context and the response.

// request holds the fields of an event in payload format 2.0 that are used here. Other fields, such as the claims of an
// authorizer, may have any type.
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

// answerMargin is the part of the function's timeout that is reserved for sending the answer.
const answerMargin = 500 * time.Millisecond

// Invoke implements lambda.Handler. It never returns an error, since API Gateway would turn that into a 500 without
// details.
func (a *adapter) Invoke(ctx context.Context, payload []byte) (answer []byte, _ error) {
	var e request
	defer func() {
		if r := recover(); r != nil {
			id := requestID(ctx, e)
			a.log.ErrorContext(ctx, "panic", "request_id", id, "error", fmt.Sprint(r), "stack", string(debug.Stack()))
			answer = encode(problem(id, http.StatusInternalServerError, "internal", "The service failed",
				"this is a fault of the service; it is logged under the request id"))
		}
	}()
	if err := json.Unmarshal(payload, &e); err != nil || e.Version != "2.0" || e.RequestContext.HTTP.Method == "" {
		return encode(a.rejectEvent(ctx, payload)), nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	in := &incoming{request: e, badBody: !utf8.Valid(payload)} // encoding/json has replaced invalid bytes
	if e.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(e.Body)
		in.Body, in.badBody = string(body), in.badBody || err != nil
	}
	var base string
	in.path, base = a.resolve(e)
	res, err := a.proxy(context.WithValue(app.WithBase(ctx, base), eventKey{}, in), in)
	if err != nil {
		panic(err)
	}
	return encode(res), nil
}

// resolve returns the path of a request within the app, and the base path under which its client sees the service. API
// Gateway puts a named stage before the path, on its own domain and on custom domains. On a custom domain, the client
// sees the base path of the domain instead of the stage.
func (a *adapter) resolve(e request) (path, base string) {
	path, stage := e.RawPath, ""
	if s := e.RequestContext.Stage; s != "" && s != "$default" {
		stage = "/" + s
		path = trimPathPrefix(path, stage)
	}
	if strings.Contains(e.RequestContext.DomainName, ".execute-api.") {
		return path, stage
	}
	return trimPathPrefix(path, a.basePath), a.basePath
}

// trimPathPrefix removes a prefix that consists of whole segments of the path.
func trimPathPrefix(path, prefix string) string {
	if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
		return rest
	}
	return path
}

type eventKey struct{}

// incoming is an event with what was derived from it.
type incoming struct {
	request
	path    string // without stage and base path
	badBody bool   // the body is neither valid base64, if so declared, nor valid UTF-8
}

// gatewayContext returns the request context that API Gateway put into the event.
func gatewayContext(ctx context.Context) events.APIGatewayV2HTTPRequestContext {
	requestContext, _ := core.GetAPIGatewayV2ContextFromContext(ctx)
	return requestContext
}

// newProxy returns a function that passes events to h through the library.
func newProxy(h http.Handler) func(context.Context, *incoming) (response, error) {
	library := httpadapter.NewV2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fillRequest(r, r.Context().Value(eventKey{}).(*incoming))
		tracked := &trackingWriter{ResponseWriter: w}
		h.ServeHTTP(tracked, r)
		if !tracked.started {
			w.WriteHeader(http.StatusOK) // like net/http
		}
	}))
	return func(ctx context.Context, e *incoming) (response, error) {
		return library.ProxyWithContext(ctx, events.APIGatewayV2HTTPRequest{
			Body: e.Body,
			RequestContext: events.APIGatewayV2HTTPRequestContext{
				RequestID: e.RequestContext.RequestID, Stage: e.RequestContext.Stage, DomainName: "lambda",
				HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: http.MethodGet, Path: "/"},
			},
		})
	}
}

// requestID returns API Gateway's id of the request, or else Lambda's, or else a new one.
func requestID(ctx context.Context, e request) string {
	l, ok := lambdacontext.FromContext(ctx)
	if !ok {
		l = &lambdacontext.LambdaContext{}
	}
	return cmp.Or(e.RequestContext.RequestID, l.AwsRequestID, uuid.NewString())
}

// fillRequest sets everything in r but the body from the event.
func fillRequest(r *http.Request, e *incoming) {
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
	r.TLS = &tls.ConnectionState{} // clients reach API Gateway only by HTTPS
	if e.badBody {
		r.Body = io.NopCloser(truncatedBody{}) // treat it as a truncated body
	}
}

type truncatedBody struct{}

func (truncatedBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// trackingWriter records whether the handler has written anything. Flush does nothing, since an answer is sent as a
// whole.
type trackingWriter struct {
	http.ResponseWriter
	started bool
}

func (w *trackingWriter) WriteHeader(status int) {
	w.started = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *trackingWriter) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

func (w *trackingWriter) Flush() {}

// rejectEvent answers an event that is not a request in payload format 2.0. Warm-up and scheduled events get an empty
// answer. For all others the answer says what was expected.
func (a *adapter) rejectEvent(ctx context.Context, payload []byte) response {
	var e struct {
		Version        string
		HTTPMethod     string
		Warmer         bool
		Source         string
		DetailType     string `json:"detail-type"`
		RequestContext struct{ ELB json.RawMessage }
	}
	_ = json.Unmarshal(payload, &e) // fields that cannot be decoded stay empty
	kind, status := "an event of an unknown kind", http.StatusBadRequest
	switch {
	case e.Warmer, e.DetailType != "", strings.HasPrefix(e.Source, "serverless-plugin-warmup"):
		a.log.DebugContext(ctx, "ignored a warm-up or scheduled event")
		return response{StatusCode: http.StatusNoContent}
	case e.RequestContext.ELB != nil:
		kind, status = "a request from a load balancer", http.StatusInternalServerError
	case e.HTTPMethod != "":
		kind, status = "a request in payload format 1.0", http.StatusInternalServerError
	}
	const expected = "this function expects a request from an API Gateway HTTP API in payload format 2.0"
	a.log.WarnContext(ctx, "unsupported event: "+kind, "expected", expected, "bytes", len(payload))
	return problem(requestID(ctx, request{}), status, "malformed_request", "The event is not supported",
		expected+"; this is "+kind)
}

// problem returns an answer in the format of RFC 9457, for an event that did not reach the app.
func problem(id string, status int, code, title, detail string) response {
	body, _ := json.Marshal(struct { // strings and integers cannot fail
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

func encode(res response) []byte {
	b, _ := json.Marshal(res) // strings and integers cannot fail
	return b
}

// idHandler adds API Gateway's and Lambda's request ids to each line, so that it can be matched with their logs.
type idHandler struct{ slog.Handler }

func (h idHandler) Handle(ctx context.Context, line slog.Record) error {
	if id := gatewayContext(ctx).RequestID; id != "" {
		line.AddAttrs(slog.String("gateway_request_id", id))
	}
	if l, ok := lambdacontext.FromContext(ctx); ok {
		line.AddAttrs(slog.String("lambda_request_id", l.AwsRequestID))
	}
	return h.Handler.Handle(ctx, line)
}

func (h idHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return idHandler{h.Handler.WithAttrs(attrs)}
}
func (h idHandler) WithGroup(name string) slog.Handler { return idHandler{h.Handler.WithGroup(name)} }
