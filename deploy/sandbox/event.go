package sandbox

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/google/uuid"
)

// requestID returns a request ID in API Gateway's form.
func requestID() string { return strings.ReplaceAll(uuid.NewString(), "-", "")[:15] + "=" }

// traceID returns a trace header of AWS X-Ray.
func traceID() string {
	return fmt.Sprintf("Root=1-%08x-%08x%016x", time.Now().Unix(), rand.Uint32(),
		rand.Uint64()) // #nosec G404 -- an ID, not a secret
}

// lambdaEvent returns the request as the function receives it, in payload format 2.0 if v2 is set and 1.0 otherwise
// ("Working with AWS Lambda proxy integrations for HTTP APIs").
func (x *exchange) lambdaEvent(v2 bool) []byte {
	path := x.path
	if *x.stage.StageName != "$default" {
		path = "/" + *x.stage.StageName + path
	}
	headers, cookies := x.headers()
	body, encoded := x.encodedBody(headers)
	query, _ := url.ParseQuery(x.r.URL.RawQuery) // skips what cannot be parsed
	requestContext := map[string]any{
		"accountId": Account, "apiId": *x.api.ApiId, "domainName": x.domain(),
		"domainPrefix": strings.SplitN(x.domain(), ".", 2)[0],
		"requestId":    x.id, "stage": *x.stage.StageName,
	}
	var e map[string]any
	if v2 {
		requestContext["http"] = map[string]any{"method": x.r.Method, "path": path, "protocol": x.r.Proto,
			"sourceIp": x.sourceIP(), "userAgent": x.r.UserAgent()}
		requestContext["routeKey"] = *x.route.RouteKey
		requestContext["time"], requestContext["timeEpoch"] = clfTime(x.began), x.began.UnixMilli()
		if x.authorizerContext != nil {
			requestContext["authorizer"] = x.authorizerContext
		}
		e = map[string]any{
			"version": "2.0", "routeKey": *x.route.RouteKey, "rawPath": path, "rawQueryString": x.r.URL.RawQuery,
			"headers": joinValues(headers), "requestContext": requestContext, "isBase64Encoded": encoded,
		}
		if len(cookies) > 0 {
			e["cookies"] = cookies
		}
		if len(query) > 0 {
			e["queryStringParameters"] = joinValues(query)
		}
		if body != nil {
			e["body"] = body
		}
		if len(x.pathValues) > 0 {
			e["pathParameters"] = x.pathValues
		}
		if len(x.stage.StageVariables) > 0 {
			e["stageVariables"] = x.stage.StageVariables
		}
	} else {
		// Only format 1.0 has the mapping's key ("Create AWS Lambda proxy integrations for HTTP APIs").
		if x.mappingKey != "" {
			path = "/" + x.mappingKey + x.path
		}
		if len(cookies) > 0 {
			headers["cookie"] = []string{strings.Join(cookies, "; ")}
		}
		_, resource, found := strings.Cut(*x.route.RouteKey, " ")
		if !found {
			resource = *x.route.RouteKey
		}
		maps.Copy(requestContext, map[string]any{
			"httpMethod": x.r.Method, "path": path, "protocol": x.r.Proto, "requestTime": clfTime(x.began),
			"requestTimeEpoch":  x.began.UnixMilli(),
			"extendedRequestId": x.id, "resourcePath": resource, "resourceId": nil, "authorizer": x.authorizerV1(),
			"identity": x.identityV1(),
		})
		e = map[string]any{
			"version": "1.0", "resource": resource, "path": path, "httpMethod": x.r.Method,
			"requestContext": requestContext, "isBase64Encoded": encoded, "body": body,
			"headers": lastValues(headers), "multiValueHeaders": headers, "queryStringParameters": lastValues(query),
			"multiValueQueryStringParameters": orNull(query),
			"pathParameters":                  orNull(x.pathValues), "stageVariables": orNull(x.stage.StageVariables),
		}
	}
	return jsonAnswer(0, e).body
}

// identityV1 returns requestContext.identity of format 1.0.
func (x *exchange) identityV1() map[string]any {
	all := map[string]any{"sourceIp": x.sourceIP(), "userAgent": x.r.UserAgent(), "clientCert": nil,
		"cognitoAuthenticationProvider": nil, "cognitoAuthenticationType": nil, "cognitoIdentityId": nil,
		"cognitoIdentityPoolId": nil}
	signed, _ := x.authorizerContext["iam"].(map[string]any) // nil unless the route has AWS_IAM authorization
	for name, signedName := range map[string]string{"accessKey": "accessKey", "accountId": "accountId",
		"caller":         "callerId",
		"principalOrgId": "principalOrgId", "user": "userId", "userArn": "userArn"} {
		all[name] = signed[signedName]
	}
	return all
}

// authorizerV1 returns requestContext.authorizer of format 1.0: the authorizer's context without the kind of
// authorizer. It is nil without an authorizer, and for AWS_IAM, whose caller is in the identity.
func (x *exchange) authorizerV1() any {
	for kind, values := range x.authorizerContext {
		if kind != "iam" {
			return values
		}
	}
	return nil
}

// clfTime formats a time as the Common Log Format does.
func clfTime(t time.Time) string { return t.UTC().Format("02/Jan/2006:15:04:05 -0700") }

// headers returns the request's headers, with lower-case names and those that API Gateway sets, and its cookies.
func (x *exchange) headers() (map[string][]string, []string) {
	var cookies []string
	headers := map[string][]string{}
	for name, values := range x.r.Header {
		headers[strings.ToLower(name)] = values
	}
	if all := headers["cookie"]; all != nil {
		cookies = strings.Split(strings.Join(all, "; "), "; ")
		delete(headers, "cookie")
	}
	for _, hop := range []string{"connection", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade",
		"proxy-authorization"} {
		delete(headers, hop)
	}
	headers["host"] = []string{x.domain()}
	headers["content-length"] = []string{fmt.Sprint(len(x.body))}
	headers["x-forwarded-for"] = append(slices.Clone(headers["x-forwarded-for"]), x.sourceIP())
	headers["x-forwarded-port"], headers["x-forwarded-proto"] = []string{"443"}, []string{"https"}
	if headers["x-amzn-trace-id"] == nil {
		headers["x-amzn-trace-id"] = []string{traceID()}
	}
	return headers, cookies
}

// encodedBody returns the body as text, or in base64 and true if its media type is not a text type. It is nil if empty.
func (x *exchange) encodedBody(headers map[string][]string) (any, bool) {
	if len(x.body) == 0 {
		return nil, false
	}
	mediaType, _, _ := strings.Cut(strings.ToLower(strings.Join(headers["content-type"], ",")), ";")
	mediaType = strings.TrimSpace(mediaType)
	text := strings.HasPrefix(mediaType, "text/") || slices.Contains([]string{"application/json", "application/xml",
		"application/javascript"}, mediaType)
	if text && utf8.Valid(x.body) {
		return string(x.body), false
	}
	return base64.StdEncoding.EncodeToString(x.body), true
}

// joinValues joins the values of each name with commas.
func joinValues(all map[string][]string) map[string]string {
	joined := map[string]string{}
	for name, values := range all {
		joined[name] = strings.Join(values, ",")
	}
	return joined
}

// lastValues returns the last value of each name, as format 1.0 has it; nil for none.
func lastValues(all map[string][]string) any {
	one := map[string]string{}
	for name, values := range all {
		one[name] = values[len(values)-1]
	}
	return orNull(one)
}

func orNull[M ~map[string]V, V any](m M) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// cors replaces the function's CORS headers by the API's own, if the API has a CORS configuration ("Configuring CORS
// for an HTTP API").
func (x *exchange) cors(header http.Header) {
	c := x.corsHeaders()
	if c == nil {
		return
	}
	for name := range header {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(header, name)
		}
	}
	maps.Copy(header, c)
}

// corsHeaders returns the CORS headers of an answer to the request's origin; nil if the API has no CORS configuration.
func (x *exchange) corsHeaders() http.Header {
	if x.api == nil || x.api.CorsConfiguration == nil {
		return nil
	}
	c, origin, header := x.api.CorsConfiguration, x.r.Header.Get("Origin"), http.Header{}
	allowed := slices.ContainsFunc(c.AllowOrigins, func(o string) bool {
		return o == "*" || strings.EqualFold(o, origin) || strings.HasSuffix(o, "://*") && strings.HasPrefix(origin,
			strings.TrimSuffix(o, "*"))
	})
	if origin == "" || !allowed {
		return header
	}
	if slices.Contains(c.AllowOrigins, "*") {
		origin = "*"
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if c.AllowCredentials != nil && *c.AllowCredentials {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.ExposeHeaders) > 0 {
		header.Set("Access-Control-Expose-Headers", strings.Join(c.ExposeHeaders, ","))
	}
	if x.r.Method == http.MethodOptions && x.r.Header.Get("Access-Control-Request-Method") != "" {
		header.Set("Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ","))
		header.Set("Access-Control-Allow-Headers", strings.Join(c.AllowHeaders, ","))
		if c.MaxAge != nil {
			header.Set("Access-Control-Max-Age", fmt.Sprint(*c.MaxAge))
		}
	}
	return header
}

// preflight answers a preflight request if the API has a CORS configuration. It returns nil if the request is not a
// preflight, or if the route handles it.
func (x *exchange) preflight() *http.Response {
	if x.api.CorsConfiguration == nil || x.r.Method != http.MethodOptions || x.r.Header.Get("Origin") == "" ||
		x.r.Header.Get("Access-Control-Request-Method") == "" {
		return nil
	}
	if x.route != nil && (strings.HasPrefix(*x.route.RouteKey, "OPTIONS ") ||
		x.route.AuthorizationType != "" && x.route.AuthorizationType != types.AuthorizationTypeNone) {
		return nil // the route or its authorizer handles it
	}
	return reply(http.StatusNoContent, nil, "")
}
