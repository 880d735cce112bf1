package doctor

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/gateway"
)

// checkRoute judges whether the request selects a route.
func checkRoute(v *view, r *result) {
	if reportUnseen(r, v.Routes, "would.routes") || !v.Routes.Seen() {
		return
	}
	if v.Asked.Method == "" && len(v.pairs) == 0 && len(v.Stages.Or()) > 0 && v.Planned == nil &&
		!r.hasFinding("stage.missing") { // no route to judge
		name := v.Asked.Route
		if name == "" {
			name = "*"
		}
		r.addFinding(draft{cause: "route.missing", values: values{"request": name, "stage": v.Asked.Stage},
			evidence: []Evidence{{Call: v.Routes.Call, Of: v.Asked.API, Field: "RouteKey",
				Value: joinNames(*v.Routes.Value,
					func(one Route) string { return one.Key }), Expected: name}}})
	}
	if v.Asked.Method == "" || v.stage == nil {
		return
	}
	if v.selected != nil {
		r.pass("pass.route", values{"request": v.Asked.Method + " " + v.path, "route": v.selected.route.Key})
		return
	}
	a := v.clientAnswer()
	if v.Asked.Preflight != "" && v.Asked.Origin != "" || a != nil && a.Status > 0 && a.Status < 400 {
		return // a preflight needs no route, and a success had one
	}
	if r.isExplained(LinkStage, LinkEndpoint) {
		return // the route may match once that is fixed
	}
	keys := v.routeKeys(v.stage.Name)
	f := draft{
		explains: v.gatewayFailed(404),
		values:   values{"request": v.Asked.Method + " " + v.path, "stage": v.stage.Name},
		evidence: []Evidence{{Call: v.Routes.Call, Of: v.Asked.API, Field: "RouteKey",
			Value:    joinNames(keys, func(k string) string { return k }),
			Expected: v.Asked.Method + " " + v.path}},
	}
	var near string
	if f.cause, near = nearest(keys, v.stage.Name, v.Asked.Method, v.path); near != "" {
		f.values["near"] = near
	}
	if f.cause == "endpoint.url" && v.Asked.Domain != "" {
		f.variant = "endpoint.url.domain"
	}
	if f.cause == "route.missing" || f.cause == "route.method" || f.cause == "route.greedy-parent" {
		f.fix = r.createRouteFix(near)
	}
	r.addFinding(f)
}

// nearest returns why no route matches a request, and the key of the closest route.
func nearest(keys []string, stage, method, path string) (cause, near string) {
	selects := func(method, path string) string {
		for _, key := range keys {
			if i, _ := gateway.Select([]string{key}, method, path); i >= 0 {
				return key
			}
		}
		return ""
	}
	if key := selects(method, strings.TrimSuffix(path, "/")); strings.HasSuffix(path, "/") && key != "" {
		return "route.trailing-slash", key
	}
	if rest, ok := strings.CutPrefix(path, "/"+stage); ok && stage != "" && strings.HasPrefix(rest, "/") &&
		selects(method, rest) != "" {
		return "endpoint.url", selects(method, rest)
	}
	for _, key := range keys {
		verb, template, _ := strings.Cut(key, " ")
		if i, _ := gateway.Select([]string{"ANY " + template}, method, path); i >= 0 && verb != method {
			return "route.method", key
		}
	}
	for _, key := range keys {
		verb, template, _ := strings.Cut(key, " ")
		parent, greedy := template, false
		if at := strings.LastIndex(template, "/{"); at >= 0 && strings.HasSuffix(template, "+}") {
			parent, greedy = template[:at], true
		}
		if greedy && (verb == "ANY" || verb == method) && strings.TrimSuffix(path, "/") == parent {
			return "route.greedy-parent", key
		}
	}
	for _, key := range keys {
		if verb, template, ok := strings.Cut(key, " "); ok && (verb == "ANY" || verb == method) {
			i, _ := gateway.Select([]string{verb + " " + strings.ToLower(template)}, method, strings.ToLower(path))
			if i >= 0 {
				return "route.case", key
			}
		}
	}
	return "route.missing", closest(keys, method+" "+path)
}

// closest returns the key that shares the most path segments with a request.
func closest(keys []string, request string) (best string) {
	most := 0
	given := strings.FieldsFunc(request, func(c rune) bool { return c == '/' || c == ' ' })
	for _, key := range keys {
		same := 0
		for i, part := range strings.FieldsFunc(key, func(c rune) bool { return c == '/' || c == ' ' }) {
			if i < len(given) && part == given[i] && i > 0 {
				same++
			}
		}
		if same > most {
			best, most = key, same
		}
	}
	return best
}

// createRouteFix creates the route of the request, with the integration of the nearest route, or the only integration.
func (r *result) createRouteFix(near string) []Fix {
	targets := map[string]bool{}
	target := ""
	for _, route := range r.Routes.Or() {
		if targets[route.Target] = true; target == "" || route.Key == near {
			target = route.Target
		}
	}
	if target == "" || near == "" && len(targets) > 1 || strings.Contains(r.path, "{…}") {
		return nil
	}
	key := r.Asked.Method + " " + r.path
	if _, template, ok := strings.Cut(near, " "); ok {
		if i, _ := gateway.Select([]string{"ANY " + template}, r.Asked.Method, r.path); i >= 0 {
			key = r.Asked.Method + " " + template
		}
	}
	return []Fix{r.awsFix(false, "fix.create-route", nil, &apigatewayv2.CreateRouteInput{ApiId: &r.Asked.API,
		RouteKey: &key, Target: &target})}
}
