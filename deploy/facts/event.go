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

// sender is the address that an event of the doctor's own says the request came from (RFC 5737).
const sender = "192.0.2.1"

// event is what the route would send for the request ("Create AWS Lambda proxy integrations for HTTP APIs"). It lacks
// what a Lambda authorizer adds.
func (g *gatherer) event(t doctor.Target, v2 bool) map[string]any {
	u, asked := g.ask.URL, g.c.Asked
	path, values := g.pathOf(t)
	now := time.Now().UTC()
	const id = "doctor"
	encoded := len(g.ask.Body) > 0 && !isText(g.ask.Headers.Get("Content-Type"))
	var body any
	if len(g.ask.Body) > 0 {
		body = string(g.ask.Body)
	}
	if encoded {
		body = base64.StdEncoding.EncodeToString(g.ask.Body)
	}
	context := map[string]any{"accountId": g.c.Caller.Or().Account, "apiId": t.API, "domainName": u.Host,
		"domainPrefix": strings.Split(u.Host, ".")[0], "requestId": id, "stage": t.Stage}
	if claims := g.claims(t); claims != nil {
		context["authorizer"] = map[string]any{"jwt": map[string]any{"claims": claims, "scopes": nil}}
		if !v2 {
			context["authorizer"] = map[string]any{"claims": claims, "scopes": nil}
		}
	}
	if v2 {
		maps.Copy(context, map[string]any{"routeKey": t.Route, "time": now.Format("02/Jan/2006:15:04:05 -0700"),
			"timeEpoch": now.UnixMilli(), "http": map[string]string{"method": asked.Method, "path": path,
				"protocol": "HTTP/1.1", "sourceIp": sender, "userAgent": g.agent()}})
		event := map[string]any{"version": "2.0", "routeKey": t.Route, "rawPath": path, "rawQueryString": u.RawQuery,
			"headers": joined(g.headers(false)), "isBase64Encoded": encoded, "requestContext": context}
		if cookie := g.ask.Headers.Get("Cookie"); cookie != "" {
			event["cookies"] = strings.Split(cookie, "; ")
		}
		for name, value := range map[string]map[string]string{"queryStringParameters": joined(u.Query()),
			"pathParameters": values, "stageVariables": g.variables(t.Stage)} {
			if len(value) > 0 { // an empty one is left out, as API Gateway does
				event[name] = value
			}
		}
		if body != nil {
			event["body"] = body
		}
		return event
	}
	resource := t.Route[strings.Index(t.Route, " ")+1:]
	maps.Copy(context, map[string]any{"httpMethod": asked.Method, "path": path, "protocol": "HTTP/1.1",
		"requestTime": now.Format("02/Jan/2006:15:04:05 -0700"), "requestTimeEpoch": now.UnixMilli(),
		"extendedRequestId": id, "resourcePath": resource, "resourceId": nil,
		"identity": map[string]any{"sourceIp": sender, "userAgent": g.agent()}})
	headers := g.headers(true)
	return map[string]any{"version": "1.0", "resource": resource, "path": path, "httpMethod": asked.Method,
		"headers": last(headers), "multiValueHeaders": map[string][]string(headers),
		"queryStringParameters":           orNull(last(u.Query())),
		"multiValueQueryStringParameters": orNull(map[string][]string(u.Query())), "pathParameters": orNull(values),
		"stageVariables": orNull(g.variables(t.Stage)), "body": body, "isBase64Encoded": encoded,
		"requestContext": context}
}

// pathOf is the path of the request as an event has it, and the values of the variables of its route.
func (g *gatherer) pathOf(t doctor.Target) (path string, values map[string]string) {
	asked := g.c.Asked
	_, _, full := locate(g.ask.URL)
	if asked.Domain != "" {
		_, full = domainOf(g.ask.URL)
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

func (g *gatherer) agent() string {
	if agent := g.ask.Headers.Get("User-Agent"); agent != "" {
		return agent
	}
	return "deploy doctor"
}

// headers are those of the request with those that API Gateway adds. Format 1.0 has their names in their usual letters,
// format 2.0 in small ones and without cookies.
func (g *gatherer) headers(usual bool) http.Header {
	all := http.Header{"Host": {g.ask.URL.Host}, "User-Agent": {g.agent()}, "Accept": {"*/*"},
		"Content-Length": {fmt.Sprint(len(g.ask.Body))}, "X-Forwarded-For": {sender}, "X-Forwarded-Port": {"443"},
		"X-Forwarded-Proto": {"https"}, "X-Amzn-Trace-Id": {"Root=1-00000000-000000000000000000000000"}}
	maps.Copy(all, g.ask.Headers)
	if usual {
		return all
	}
	small := http.Header{}
	for name, values := range all {
		if name != "Cookie" {
			small[strings.ToLower(name)] = values
		}
	}
	return small
}

// variables are the variables of a stage.
func (g *gatherer) variables(stage string) map[string]string {
	s, _ := find(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == stage })
	return s.Variables
}

// claims are those of the request's token, as text, where the route has a JWT authorizer; nil for none.
func (g *gatherer) claims(t doctor.Target) map[string]string {
	route, _ := find(g.c.Routes.Or(), func(r doctor.Route) bool { return r.Key == t.Route })
	a, ok := find(g.c.Authorizers.Or(), func(a doctor.Authorizer) bool { return a.ID == route.Authorizer })
	if !ok || a.Type != "JWT" {
		return nil
	}
	for _, source := range a.IdentitySources {
		given := g.source(source)
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

// joined are values with commas between those of a name.
func joined(all map[string][]string) map[string]string {
	out := map[string]string{}
	for name, values := range all {
		out[name] = strings.Join(values, ",")
	}
	return out
}

// last are the last values of each name.
func last(all map[string][]string) map[string]string {
	out := map[string]string{}
	for name, values := range all {
		if len(values) > 0 {
			out[name] = values[len(values)-1]
		}
	}
	return out
}

// orNull is a map, or nothing for an empty one.
func orNull[V any](all map[string]V) any {
	if len(all) == 0 {
		return nil
	}
	return all
}

// isText reports whether API Gateway passes a body of some type on as it is, and not as base64.
func isText(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	return strings.HasPrefix(kind, "text/") || slices.Contains([]string{"application/json", "application/xml",
		"application/javascript"}, strings.TrimSpace(kind))
}
