package facts

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/gateway"
)

// eventSourceIP is the client address in the doctor's own events (RFC 5737).
const eventSourceIP = "192.0.2.1"

// buildEvent returns the event that the route would send for the request ("Create AWS Lambda proxy integrations for
// HTTP APIs"). It lacks what a Lambda authorizer adds.
func (g *gatherer) buildEvent(t doctor.Target, v2 bool) map[string]any {
	u, asked := g.inquiry.URL, g.c.Asked
	path, values := g.eventPath(t)
	now := time.Now().UTC()
	const id = "doctor"
	encoded := len(g.inquiry.Body) > 0 && !isText(g.inquiry.Headers.Get("Content-Type"))
	var body any
	if len(g.inquiry.Body) > 0 {
		body = string(g.inquiry.Body)
	}
	if encoded {
		body = base64.StdEncoding.EncodeToString(g.inquiry.Body)
	}
	requestContext := map[string]any{"accountId": g.c.Caller.Or().Account, "apiId": t.API, "domainName": u.Host,
		"domainPrefix": strings.Split(u.Host, ".")[0], "requestId": id, "stage": t.Stage}
	if claims := g.tokenClaims(t); claims != nil {
		requestContext["authorizer"] = map[string]any{"jwt": map[string]any{"claims": claims, "scopes": nil}}
		if !v2 {
			requestContext["authorizer"] = map[string]any{"claims": claims, "scopes": nil}
		}
	}
	if v2 {
		maps.Copy(requestContext, map[string]any{"routeKey": t.Route, "time": now.Format("02/Jan/2006:15:04:05 -0700"),
			"timeEpoch": now.UnixMilli(), "http": map[string]string{"method": asked.Method, "path": path,
				"protocol": "HTTP/1.1", "sourceIp": eventSourceIP, "userAgent": g.userAgent()}})
		event := map[string]any{"version": "2.0", "routeKey": t.Route, "rawPath": path, "rawQueryString": u.RawQuery,
			"headers": joinValues(g.eventHeaders(false)), "isBase64Encoded": encoded,
			"requestContext": requestContext}
		if cookie := g.inquiry.Headers.Get("Cookie"); cookie != "" {
			event["cookies"] = strings.Split(cookie, "; ")
		}
		for name, value := range map[string]map[string]string{"queryStringParameters": joinValues(u.Query()),
			"pathParameters": values, "stageVariables": g.stageVariables(t.Stage)} {
			if len(value) > 0 { // API Gateway leaves out empty ones
				event[name] = value
			}
		}
		if body != nil {
			event["body"] = body
		}
		return event
	}
	resource := t.Route[strings.Index(t.Route, " ")+1:]
	maps.Copy(requestContext, map[string]any{"httpMethod": asked.Method, "path": path, "protocol": "HTTP/1.1",
		"requestTime": now.Format("02/Jan/2006:15:04:05 -0700"), "requestTimeEpoch": now.UnixMilli(),
		"extendedRequestId": id, "resourcePath": resource, "resourceId": nil,
		"identity": map[string]any{"sourceIp": eventSourceIP, "userAgent": g.userAgent()}})
	headers := g.eventHeaders(true)
	return map[string]any{"version": "1.0", "resource": resource, "path": path, "httpMethod": asked.Method,
		"headers": lastValues(headers), "multiValueHeaders": map[string][]string(headers),
		"queryStringParameters":           nullIfEmpty(lastValues(u.Query())),
		"multiValueQueryStringParameters": nullIfEmpty(map[string][]string(u.Query())),
		"pathParameters":                  nullIfEmpty(values),
		"stageVariables":                  nullIfEmpty(g.stageVariables(t.Stage)), "body": body,
		"isBase64Encoded": encoded,
		"requestContext":  requestContext}
}

// eventPath returns the path of the request as in an event, and the values of the path variables of its route.
func (g *gatherer) eventPath(t doctor.Target) (path string, values map[string]string) {
	asked := g.c.Asked
	_, _, full := locate(g.inquiry.URL)
	if asked.Domain != "" {
		_, full = splitDomain(g.inquiry.URL)
		_, full, _ = g.c.Domain.Or().Map(full)
	}
	path = full
	whole := doctor.Asked{Path: full, Domain: asked.Domain, Stage: asked.Stage}
	if _, rest := doctor.SplitStage(g.c.Stages.Or(), whole); rest != "" {
		path = rest
	}
	_, values = gateway.Select([]string{t.Route}, asked.Method, path)
	if t.Stage != "$default" && asked.Domain == "" {
		path = "/" + t.Stage + path
	}
	return path, values
}

// userAgent returns the User-Agent of the request, or the doctor's own.
func (g *gatherer) userAgent() string {
	if agent := g.inquiry.Headers.Get("User-Agent"); agent != "" {
		return agent
	}
	return "deploy doctor"
}

// eventHeaders returns the headers of the request with those that API Gateway adds. Format 1.0 has canonical names;
// format 2.0 has lower-case names and no cookies.
func (g *gatherer) eventHeaders(canonical bool) http.Header {
	all := http.Header{"Host": {g.inquiry.URL.Host}, "User-Agent": {g.userAgent()}, "Accept": {"*/*"},
		"Content-Length": {fmt.Sprint(len(g.inquiry.Body))}, "X-Forwarded-For": {eventSourceIP},
		"X-Forwarded-Port":  {"443"},
		"X-Forwarded-Proto": {"https"}, "X-Amzn-Trace-Id": {"Root=1-00000000-000000000000000000000000"}}
	maps.Copy(all, g.inquiry.Headers)
	if canonical {
		return all
	}
	lower := http.Header{}
	for name, values := range all {
		if name != "Cookie" {
			lower[strings.ToLower(name)] = values
		}
	}
	return lower
}

// stageVariables returns the variables of a stage.
func (g *gatherer) stageVariables(stage string) map[string]string {
	s, _ := findIn(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == stage })
	return s.Variables
}

// tokenClaims returns the claims of the request's token as strings, nil if the route has no JWT authorizer.
func (g *gatherer) tokenClaims(t doctor.Target) map[string]string {
	route, _ := findIn(g.c.Routes.Or(), func(r doctor.Route) bool { return r.Key == t.Route })
	a, ok := findIn(g.c.Authorizers.Or(), func(a doctor.Authorizer) bool { return a.ID == route.Authorizer })
	if !ok || a.Type != "JWT" {
		return nil
	}
	for _, source := range a.IdentitySources {
		given := g.identitySource(source)
		parts := strings.Split(given[strings.LastIndex(given, " ")+1:], ".")
		var claims map[string]any
		if len(parts) != 3 {
			continue
		}
		if text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "=")); err == nil &&
			json.Unmarshal(text, &claims) == nil {
			all := map[string]string{}
			for name, value := range claims {
				if number, ok := value.(float64); ok {
					value = int64(number)
				}
				all[name] = fmt.Sprint(value)
			}
			return all
		}
	}
	return nil
}

// joinValues returns the values of each name, joined with commas.
func joinValues(all map[string][]string) map[string]string {
	out := map[string]string{}
	for name, values := range all {
		out[name] = strings.Join(values, ",")
	}
	return out
}

// lastValues returns the last value of each name.
func lastValues(all map[string][]string) map[string]string {
	out := map[string]string{}
	for name, values := range all {
		if len(values) > 0 {
			out[name] = values[len(values)-1]
		}
	}
	return out
}

// nullIfEmpty returns a map, or nil if it is empty.
func nullIfEmpty[V any](all map[string]V) any {
	if len(all) == 0 {
		return nil
	}
	return all
}

// isText reports whether API Gateway passes on a body of a content type as it is, rather than as base64.
func isText(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	return strings.HasPrefix(kind, "text/") || slices.Contains([]string{"application/json", "application/xml",
		"application/javascript"}, strings.TrimSpace(kind))
}
