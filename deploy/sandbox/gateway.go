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
	maxHeaders         = 10_240   // bytes of a request line and its headers
	integrationTimeout = 30 * time.Second
	authorizerTimeout  = 10 * time.Second
)

// apiHost returns the API and the region in a host of the form API-ID.execute-api.REGION.amazonaws.com. For a shorter
// host, such as API-ID.execute-api.localhost, it returns the given region.
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

// exchange is a request to an HTTP API, with the state of answering it.
type exchange struct {
	s                 *Sandbox
	r                 *http.Request
	region            string
	api               *apigatewayv2.GetApiOutput // as deployed
	mappedPath        string                     // path that a parameter mapping sets; "" for none
	customDomain      string                     // custom domain of the request; "" for the API's own host
	mappingKey        string                     // key of that domain's API mapping
	stage             *stage
	routes            *snapshot
	route             *types.Route
	path              string // decoded, without the stage
	body              []byte
	pathValues        map[string]string // by the names of the route's path variables
	id                string
	began             time.Time
	authorizerContext map[string]any    // by the kind of authorizer: iam, jwt or lambda
	log               map[string]string // values of $context variables
}

// problem is an error answer of API Gateway's own. The client does not see the reason.
type problem struct {
	status  int
	message string // for the client
	key     string // $context variable that holds the reason; "" for none
	why     string // the reason, for the logs
}

func (p *problem) Error() string { return p.why }

// notFound is API Gateway's answer 404.
func notFound(format string, values ...any) *problem {
	return &problem{status: 404, message: "Not Found", why: fmt.Sprintf(format, values...)}
}

// internalError is API Gateway's answer 500 if an integration fails ("Troubleshooting issues with HTTP API Lambda
// integrations").
func internalError(format string, values ...any) *problem {
	return &problem{status: 500, message: "Internal Server Error", key: "integrationErrorMessage",
		why: fmt.Sprintf(format, values...)}
}

// serviceUnavailable is API Gateway's answer 503 if an integration does not answer.
func serviceUnavailable(why string) *problem {
	return &problem{status: 503, message: "Service Unavailable", key: "integrationErrorMessage", why: why}
}

// noPermission is API Gateway's reason, in the access log only, if it may not invoke a function.
const noPermission = "The IAM role configured on the %s or API Gateway doesn't have permissions to call the %s. " +
	"Check the permissions and try again."

// serveAPI answers a request to an HTTP API. If own is set, the request came to the sandbox's own address, where the
// path may also name the stage $default.
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
	// Under the sandbox's address a redirect needs the prefix of the API.
	if location := header.Get("Location"); own && x.customDomain == "" && strings.HasPrefix(location, "/") {
		header.Set("Location", apiPath+id+location)
	}
	x.cors(header)
	for name, values := range header {
		w.Header()[name] = values
	}
	content, _ := io.ReadAll(a.Body) // a buffer cannot fail
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	w.WriteHeader(a.StatusCode)
	_, _ = w.Write(content) // fails if the client is gone
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

// find finds the API, the stage and the path below it.
func (x *exchange) find(id, escaped string, own bool) (err error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	name, err := url.PathUnescape(first)
	if err != nil {
		return &problem{status: 400, message: "Bad Request"}
	}
	x.stage = x.s.stage(id, name)
	if x.stage == nil || name == "$default" && !own { // the path begins with no stage
		x.stage, rest = x.s.stage(id, "$default"), strings.TrimPrefix(escaped, "/")
	}
	if x.stage == nil {
		return x.missingStage(id, name)
	}
	if x.path, err = url.PathUnescape("/" + rest); err != nil {
		return &problem{status: 400, message: "Bad Request"}
	}
	if x.routes = x.stage.deployed; x.routes == nil {
		return notFound("nothing is deployed to the stage %s", *x.stage.StageName)
	}
	if x.api = x.routes.api; aws.ToBool(x.api.DisableExecuteApiEndpoint) && x.customDomain == "" {
		return notFound("the API's own endpoint is disabled")
	}
	return nil
}

// missingStage is the error for a stage that does not exist, or for an API of a kind that the sandbox does not serve.
func (x *exchange) missingStage(id, name string) error {
	if x.s.hasAPI(id) {
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

// notServed is the answer to a request that API Gateway would serve, but the sandbox does not. API Gateway itself never
// answers 501.
func notServed(what string) error {
	return &problem{status: http.StatusNotImplemented, message: "the sandbox serves only HTTP APIs, and this is " +
		what,
		key: "error.message", why: "the sandbox does not serve " + what}
}

// hasAPI reports whether an HTTP or WebSocket API exists.
func (s *Sandbox) hasAPI(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apiStates[id] != nil
}

// serve answers a request to a stage.
func (x *exchange) serve() (*http.Response, error) {
	size := len(x.r.Method) + len(x.r.RequestURI) + len(x.r.Proto) + 4
	for name, values := range x.r.Header {
		size += len(values) * (len(name) + 4)
		size += len(strings.Join(values, ""))
	}
	if size > maxHeaders {
		return nil, &problem{status: 431, message: "Request Header Fields Too Large"}
	}
	x.route, x.pathValues = gateway.SelectRoute(x.routes.routes, x.r.Method, x.path)
	if a := x.preflight(); a != nil {
		return a, nil
	}
	if x.route == nil {
		return nil, notFound("no route of the stage %s matches %s %s", *x.stage.StageName, x.r.Method, x.path)
	}
	if !x.stage.allows(*x.route.RouteKey) {
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

// policyAPI returns the API in the form that ARNs in policies are built from.
func (x *exchange) policyAPI() gateway.API {
	return gateway.API{Partition: gateway.Partition(x.region), Region: x.region, Account: Account, ID: *x.api.ApiId}
}

// domain returns the host that a function sees.
func (x *exchange) domain() string {
	if x.customDomain != "" {
		return x.customDomain
	}
	suffix := ".amazonaws.com"
	if gateway.Partition(x.region) == "aws-cn" {
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
