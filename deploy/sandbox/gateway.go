package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/sandbox/function"

	"golang.org/x/net/http/httpguts"
)

// Limits of HTTP APIs ("Quotas for configuring and running an HTTP API").
const (
	maxBody            = 10 << 20 // bytes of a request's body
	maxHeaders         = 10_240   // bytes of a request's line and headers
	integrationTimeout = 30 * time.Second
	authorizerTimeout  = 10 * time.Second
)

// apiHost is the API and the region of a host of the form API-ID.execute-api.REGION.amazonaws.com; of a shorter one,
// such as API-ID.execute-api.localhost, the region is the sandbox's.
func apiHost(host, region string) (id, in string, ok bool) {
	parts := strings.Split(strings.Split(host, ":")[0], ".")
	if len(parts) < 3 || parts[1] != "execute-api" {
		return "", "", false
	}
	if len(parts) >= 5 {
		region = parts[2]
	}
	return parts[0], region, true
}

// exchange is a request to an HTTP API and what becomes of it.
type exchange struct {
	s          *Sandbox
	r          *http.Request
	region     string
	api        *apigatewayv2.GetApiOutput // as it is deployed
	mappedPath string                     // that a parameter mapping sets; "" for none
	custom     string                     // domain that it was asked by; "" for the API's own
	key        string                     // of the mapping of that domain
	stage      *stage
	routes     *snapshot
	route      *types.Route
	path       string // decoded, under the stage
	body       []byte
	values     map[string]string // of the route's path variables
	id         string
	began      time.Time
	context    map[string]any    // what an authorizer says
	log        map[string]string // $context variables
}

// problem is an answer of API Gateway's own, and what only the access log says of it.
type problem struct {
	status  int
	message string // to the client
	key     string // the $context variable that holds why
	why     string
}

func (p *problem) Error() string { return p.why }

// The answers of API Gateway's own ("Troubleshooting issues with HTTP API Lambda integrations", and what is seen).
func notFound() *problem { return &problem{status: 404, message: "Not Found"} }
func failed(format string, values ...any) *problem {
	return &problem{500, "Internal Server Error", "integrationErrorMessage", fmt.Sprintf(format, values...)}
}

// mayNotCall is what API Gateway says, in the access log alone, where it may not invoke a function.
const mayNotCall = "The IAM role configured on the %s or API Gateway doesn't have permissions to call the %s. Check " +
	"the permissions and try again."

// serveAPI answers a request to an HTTP API. A client under the sandbox's own address may also write $default for a
// stage.
func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request, region, id, escaped string, own bool) {
	x := &exchange{s: s, r: r, region: region, id: requestID(), began: time.Now(), log: map[string]string{}}
	x.answer(w, id, escaped, own)
}

func (x *exchange) answer(w http.ResponseWriter, id, escaped string, own bool) {
	s, r := x.s, x.r
	header := http.Header{"Apigw-Requestid": {x.id}}
	var a *http.Response
	err := x.find(id, escaped, own)
	if err == nil {
		a, err = x.serve()
	}
	var p *problem
	switch {
	case err == nil:
	case errors.As(err, &p):
		a = reply(p.status, jsonAnswer(p.status, map[string]string{"message": p.message}).body, "application/json")
		if x.log["error.message"] = p.message; p.key != "" {
			x.log[p.key] = p.why
		}
		if p.status == 401 && strings.HasPrefix(p.why, "Bearer") {
			a.Header.Set("Www-Authenticate", p.why)
		}
		if p.why != "" {
			s.log.Printf("%d %s %s: %s", p.status, r.Method, r.URL.Path, p.why)
		}
	default:
		s.log.Printf("500 %s %s: %v", r.Method, r.URL.Path, err)
		a = reply(500, []byte(`{"message":"Internal Server Error"}`), "application/json")
	}
	for name, values := range a.Header {
		header[name] = values
	}
	// under the host of the API it needs no more
	if location := header.Get("Location"); own && x.custom == "" && strings.HasPrefix(location, "/") {
		header.Set("Location", apiPath+id+location)
	}
	x.cors(header)
	for name, values := range header {
		w.Header()[name] = values
	}
	content, _ := io.ReadAll(a.Body) // of a buffer
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	w.WriteHeader(a.StatusCode)
	_, _ = w.Write(content) // a client that is gone misses nothing
	x.countRequest(a.StatusCode)
	x.writeAccessLog(a.StatusCode, len(content))
}

func reply(status int, body []byte, contentType string) *http.Response {
	a := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
	if contentType != "" {
		a.Header.Set("Content-Type", contentType)
	}
	return a
}

// find finds the API, its stage and the path under it.
func (x *exchange) find(id, escaped string, own bool) (err error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	name, err := url.PathUnescape(first)
	if err != nil {
		return &problem{status: 400, message: "Bad Request"}
	}
	x.stage = x.s.stage(id, name)
	if x.stage == nil || name == "$default" && !own { // the first part of the path is no stage
		x.stage, rest = x.s.stage(id, "$default"), strings.TrimPrefix(escaped, "/")
	}
	if x.stage == nil {
		return x.notOurs(id)
	}
	if x.path, err = url.PathUnescape("/" + rest); err != nil {
		return &problem{status: 400, message: "Bad Request"}
	}
	if x.routes = x.stage.deployed; x.routes == nil {
		return notFound()
	}
	if x.api = x.routes.api; aws.ToBool(x.api.DisableExecuteApiEndpoint) && x.custom == "" {
		return notFound()
	}
	return nil
}

// notOurs is the answer where there is no stage: none, or an API of a kind that the sandbox does not serve.
func (x *exchange) notOurs(id string) error {
	if x.s.has(id) {
		api, err := x.s.apis(x.region).GetApi(x.r.Context(), &apigatewayv2.GetApiInput{ApiId: &id})
		if err == nil && api.ProtocolType == types.ProtocolTypeWebsocket {
			return notServed("a WebSocket API")
		}
		return notFound()
	}
	header := http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=sandbox/20260101/" + x.region +
		"/apigateway/aws4_request, SignedHeaders=host, Signature=0"}}
	a, err := x.s.moto.do(x.r.Context(), http.MethodGet, "/restapis/"+url.PathEscape(id), header, nil)
	if err == nil && a.ok() {
		return notServed("a REST API")
	}
	return notFound()
}

// notServed is an answer that no API Gateway gives, so that nobody takes the sandbox's limits for AWS's.
func notServed(what string) error {
	return &problem{http.StatusNotImplemented, "the sandbox serves HTTP APIs, and this is " + what, "error.message",
		"the sandbox does not serve " + what}
}

// has reports whether there is an API of version 2.
func (s *Sandbox) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apiStates[id] != nil
}

// serve answers a request that has reached a stage.
func (x *exchange) serve() (*http.Response, error) {
	size := len(x.r.Method) + len(x.r.RequestURI) + len(x.r.Proto) + 4
	for name, values := range x.r.Header {
		size += len(values) * (len(name) + 4)
		size += len(strings.Join(values, ""))
	}
	if size > maxHeaders {
		return nil, &problem{status: 431, message: "Request Header Fields Too Large"}
	}
	x.route, x.values = gateway.SelectRoute(x.routes.routes, x.r.Method, x.path)
	if answer := x.preflight(); answer != nil {
		return answer, nil
	}
	if x.route == nil {
		return nil, notFound()
	}
	if !x.stage.admits(*x.route.RouteKey) {
		return nil, &problem{status: 429, message: "Too Many Requests"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, x.r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &problem{status: 413, message: "Request Entity Too Large"}
	} else if err != nil {
		return nil, &problem{status: 400, message: "Bad Request"}
	}
	x.body = body
	if err := x.authorize(); err != nil {
		return nil, err
	}
	return x.integrate()
}

// lambdaOf is the function that a URI names, once the stage's variables are put in.
func (x *exchange) lambdaOf(uri *string) (gateway.Target, error) {
	t, err := gateway.ParseURI(*orEmpty(uri), x.stage.StageVariables)
	if err == nil && t.Account != Account {
		err = fmt.Errorf("its function is of account %q", t.Account)
	}
	return t, err
}

// integrate passes the request on to the route's integration.
func (x *exchange) integrate() (*http.Response, error) {
	id, _ := strings.CutPrefix(*orEmpty(x.route.Target), "integrations/")
	i, ok := x.routes.integrations[id]
	if !ok {
		return nil, notFound() // a route without a target, or whose integration is gone
	}
	limit := integrationTimeout
	if i.TimeoutInMillis != nil && *i.TimeoutInMillis > 0 {
		limit = time.Duration(*i.TimeoutInMillis) * time.Millisecond
	}
	var a *http.Response
	var err error
	switch strings.ToUpper(string(i.IntegrationType)) {
	case string(types.IntegrationTypeAwsProxy):
		a, err = x.toFunction(i, limit)
	case string(types.IntegrationTypeHttpProxy):
		a, err = x.toHTTP(i, limit)
	default:
		return nil, failed("the sandbox integrates Lambda functions and HTTP servers, not %s", i.IntegrationType)
	}
	if err == nil {
		var content []byte
		if content, err = io.ReadAll(a.Body); err == nil { // of a buffer
			a.Body = io.NopCloser(bytes.NewReader(content))
			x.transformAnswer(a, content, i.ResponseParameters)
		}
	}
	return a, err
}

// toFunction passes the request on to a function.
func (x *exchange) toFunction(i types.Integration, limit time.Duration) (*http.Response, error) {
	if i.IntegrationSubtype != nil {
		return nil, failed("the sandbox does not call %s for a route", *i.IntegrationSubtype)
	}
	f, err := x.lambdaOf(i.IntegrationUri)
	if err != nil {
		return nil, failed("The integration names no function that is there: %v", err)
	}
	if why := x.mayInvoke("integration", functionARN(f.Region, f.Function, f.Qualifier), i.CredentialsArn,
		x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)); why != nil {
		return nil, why
	}
	x.transform(i.RequestParameters)
	v2 := *orEmpty(i.PayloadFormatVersion) == "2.0"
	payload := x.event(v2)
	if len(payload) > function.MaxEvent {
		return nil, &problem{status: 413, message: "Request Entity Too Large"}
	}
	x.log["integration.requestId"] = uuid.NewString()
	o, err := x.within(limit, f, payload)
	if err != nil {
		return nil, err
	}
	x.log["integrationStatus"] = "200" // Lambda's, whatever the function says
	if o.Failed {
		return nil, failed("The Lambda function returned the following error: %s. Check your Lambda function code "+
			"and try again.", lambdaError(o.Payload))
	}
	a, err := answerOf(o.Payload, v2)
	if err == nil {
		x.log["integration.functionStatus"] = fmt.Sprint(a.StatusCode)
	}
	return a, err
}

// toHTTP passes the request on to an HTTP server.
func (x *exchange) toHTTP(i types.Integration, limit time.Duration) (*http.Response, error) {
	x.transform(i.RequestParameters)
	to, err := x.proxyURL(*orEmpty(i.IntegrationUri))
	if err != nil {
		return nil, failed("%v", err)
	}
	method := *orEmpty(i.IntegrationMethod)
	if method == "" || method == "ANY" {
		method = x.r.Method
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(x.body))
	if err != nil {
		return nil, failed("%v", err)
	}
	r.Header = x.r.Header.Clone()
	for _, hop := range []string{"Connection", "Transfer-Encoding", "Keep-Alive", "Te", "Trailer", "Upgrade", "Host"} {
		r.Header.Del(hop)
	}
	r.Header.Set("Via", "HTTP/1.1 AmazonAPIGateway")
	begin := time.Now()
	a, err := http.DefaultTransport.RoundTrip(r) // #nosec G704 -- to where the API's owner says
	x.log["integrationLatency"] = fmt.Sprint(time.Since(begin).Milliseconds())
	if err != nil {
		if ctx.Err() != nil {
			return nil, &problem{503, "Service Unavailable", "integrationErrorMessage", "Endpoint request timed out"}
		}
		return nil, &problem{503, "Service Unavailable", "integrationErrorMessage", err.Error()}
	}
	defer func() { _ = a.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(a.Body, maxBody+1))
	if err == nil && len(content) > maxBody {
		err = fmt.Errorf("the answer has more than %d bytes", maxBody)
	}
	if err != nil {
		return nil, &problem{503, "Service Unavailable", "integrationErrorMessage", err.Error()}
	}
	x.log["integrationStatus"] = fmt.Sprint(a.StatusCode)
	answer := reply(a.StatusCode, content, "")
	answer.Header = a.Header.Clone()
	for _, hop := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade"} {
		answer.Header.Del(hop)
	}
	return answer, nil
}

// mayInvoke judges whether API Gateway may invoke a function: by the role that the integration or authorizer names, or
// by the function's policy.
func (x *exchange) mayInvoke(what, arn string, credentials *string, sources []string) error {
	why := ""
	if credentials != nil && *credentials != "" {
		if why = x.s.assumable(x.r.Context(), *credentials, gateway.Principal); why == "" {
			why = x.s.judge(x.r.Context(), principal{arn: *credentials, owner: *credentials}, x.region,
				demand{action: gateway.Invoke, resource: arn})
		}
	} else {
		why = x.s.mayInvoke(arn, gateway.Principal, sources)
	}
	if why == "" {
		return nil
	}
	x.s.log.Printf("API Gateway may not invoke the function: %s", why)
	return &problem{500, "Internal Server Error", map[string]string{"integration": "integrationErrorMessage",
		"authorizer": "authorizer.error"}[what], fmt.Sprintf(mayNotCall, what, what)}
}

// within invokes a function and waits for a time. What the function does goes on after it.
func (x *exchange) within(limit time.Duration, f gateway.Target, payload []byte) (function.Outcome, error) {
	type ended struct {
		o   function.Outcome
		err error
	}
	done := make(chan ended, 1)
	go func() {
		o, err := x.s.invoke(context.WithoutCancel(x.r.Context()), f.Region, f.Function, f.Qualifier, payload)
		done <- ended{o, err}
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	begin := time.Now()
	select {
	case e := <-done:
		x.log["integrationLatency"] = fmt.Sprint(time.Since(begin).Milliseconds())
		var r *refused
		if errors.As(e.err, &r) {
			if r.status == http.StatusTooManyRequests {
				return function.Outcome{}, &problem{503, "Service Unavailable", "integrationErrorMessage", r.message}
			}
			return function.Outcome{}, failed("%s", r.message)
		}
		return e.o, e.err
	case <-late.C:
		return function.Outcome{}, &problem{503, "Service Unavailable", "integrationErrorMessage",
			"Endpoint request timed out"}
	}
}

// lambdaError is what a function's error says of itself.
func lambdaError(payload []byte) string {
	var e struct{ ErrorMessage string }
	_ = json.Unmarshal(payload, &e) // a function may fail with anything
	return e.ErrorMessage
}

// policyAPI is the API as policies name it.
func (x *exchange) policyAPI() gateway.API {
	return gateway.API{Partition: partition(x.region), Region: x.region, Account: Account, ID: *x.api.ApiId}
}

// domain is the host that a function sees.
func (x *exchange) domain() string {
	if x.custom != "" {
		return x.custom
	}
	suffix := ".amazonaws.com"
	if partition(x.region) == "aws-cn" {
		suffix += ".cn"
	}
	return *x.api.ApiId + ".execute-api." + x.region + suffix
}

func (x *exchange) sourceIP() string {
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		return x.r.RemoteAddr
	}
	return host
}

// answerOf makes an answer of what a function returned ("Lambda function response for format 1.0" and "2.0").
func answerOf(payload []byte, v2 bool) (*http.Response, error) {
	malformed := func(why any) (*http.Response, error) {
		return nil, failed("The Lambda function returned a response that is no valid one: %v", why)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields["statusCode"] == nil {
		if !v2 {
			return malformed("it has no statusCode")
		}
		if !json.Valid(payload) {
			return malformed("it is no JSON")
		}
		var text string // a text is the body itself
		if json.Unmarshal(payload, &text) == nil && len(payload) > 0 {
			return reply(200, []byte(text), "application/json"), nil
		}
		return reply(200, payload, "application/json"), nil
	}
	var status int
	var headers map[string]string
	var multi map[string][]string
	var cookies []string
	var text string
	var encoded bool
	for name, into := range map[string]any{"statusCode": &status, "headers": &headers, "multiValueHeaders": &multi,
		"cookies": &cookies, "body": &text, "isBase64Encoded": &encoded} {
		if value := fields[name]; value != nil { // each by its exact name
			if err := json.Unmarshal(value, into); err != nil {
				return malformed(fmt.Errorf("its %s: %w", name, err))
			}
		}
	}
	if status < 200 || status > 599 {
		return malformed(fmt.Sprint("its statusCode is ", status))
	}
	body := []byte(text)
	if encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(text); err != nil {
			return malformed(err)
		}
	}
	a := reply(status, body, "")
	for name, value := range headers {
		a.Header.Set(name, value)
	}
	if !v2 {
		for name, values := range multi {
			a.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	} else if len(cookies) > 0 {
		a.Header["Set-Cookie"] = cookies
	}
	for name, values := range a.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return malformed(fmt.Sprintf("its header %q is none", name))
			}
		}
	}
	if a.Header.Get("Content-Type") == "" && len(body) > 0 {
		a.Header.Set("Content-Type", "text/plain;charset=utf-8")
	}
	for _, hop := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade"} {
		a.Header.Del(hop)
	}
	return a, nil
}

func orEmpty(text *string) *string {
	if text == nil {
		return new(string)
	}
	return text
}
