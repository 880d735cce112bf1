package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/gateway"
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
func notFound(format string, values ...any) *problem {
	return &problem{status: 404, message: "Not Found", why: fmt.Sprintf(format, values...)}
}
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
		return x.notOurs(id, name)
	}
	if x.path, err = url.PathUnescape("/" + rest); err != nil {
		return &problem{status: 400, message: "Bad Request"}
	}
	if x.routes = x.stage.deployed; x.routes == nil {
		return notFound("nothing is deployed to the stage %s", *x.stage.StageName)
	}
	if x.api = x.routes.api; aws.ToBool(x.api.DisableExecuteApiEndpoint) && x.custom == "" {
		return notFound("the API's own endpoint is disabled")
	}
	return nil
}

// notOurs is the answer where there is no stage: none, or an API of a kind that the sandbox does not serve.
func (x *exchange) notOurs(id, name string) error {
	if x.s.has(id) {
		api, err := x.s.apis(x.region).GetApi(x.r.Context(), &apigatewayv2.GetApiInput{ApiId: &id})
		if err == nil && api.ProtocolType == types.ProtocolTypeWebsocket {
			return notServed("a WebSocket API")
		}
		return notFound("the API has no stage %q, and none named $default", name)
	}
	header := http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=sandbox/20260101/" + x.region +
		"/apigateway/aws4_request, SignedHeaders=host, Signature=0"}}
	a, err := x.s.moto.do(x.r.Context(), http.MethodGet, "/restapis/"+url.PathEscape(id), header, nil)
	if err == nil && a.ok() {
		return notServed("a REST API")
	}
	return notFound("there is no API %s", id)
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
		return nil, notFound("no route of the stage %s is for %s %s", *x.stage.StageName, x.r.Method, x.path)
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

func orEmpty[T any](value *T) *T {
	if value == nil {
		return new(T)
	}
	return value
}
