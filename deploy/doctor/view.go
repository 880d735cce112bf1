package doctor

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/gateway"
)

// pair is a route of a stage, with what it leads to.
type pair struct {
	stage       *Stage
	route       *Route
	integration *Integration // nil where the route has none, or it is gone
	target      gateway.Target
	wrong       error     // why the integration's URI names no function; nil where it does
	function    *Function // nil where there is none to look at
	stale       bool      // the stage serves something else for the route than the API has now
}

func (p *pair) name() StageRoute { return StageRoute{p.stage.Name, p.route.Key} }

// invokes reports whether the route is integrated with a Lambda function.
func (p *pair) invokes() bool {
	return p.integration != nil && strings.EqualFold(p.integration.Type, "AWS_PROXY") && p.integration.Subtype == ""
}

// view is a case as the checks look at it.
type view struct {
	*Case
	api      gateway.API
	pairs    []*pair // in the order of stages and routes
	stage    *Stage  // that the request went to; nil for none
	path     string  // of the request, without the stage
	selected *pair   // that the request selected; nil for none
}

// look reads a case.
func look(c Case) *view {
	v := &view{Case: &c}
	id := c.Caller.Or()
	v.api = gateway.API{Partition: id.Partition, Region: c.Asked.Region, Account: id.Account, ID: c.Asked.API}
	if v.api.Partition == "" {
		v.api.Partition = "aws"
	}
	if v.api.Account == "" && len(c.Functions) > 0 { // a function is mostly of the API's account
		v.api.Account = c.Functions[0].Target.Account
	}
	stages, routes := c.Stages.Or(), c.Routes.Or()
	for i := range stages {
		stage := &stages[i]
		if c.Asked.Stage != "" && stage.Name != c.Asked.Stage {
			continue
		}
		deployed := named(c.Deployed, stage.Name)
		for _, route := range served(routes, deployed.Value) {
			if c.Asked.Route == "" || c.Asked.Route == route.Key {
				v.pairs = append(v.pairs, v.pair(stage, route, deployed.Value))
			}
		}
	}
	v.find(stages)
	return v
}

// served are the routes that a stage serves: those of what was deployed to it, where this is known.
func served(routes []Route, deployed *Definition) (all []*Route) {
	for i := range routes {
		if deployed == nil {
			all = append(all, &routes[i])
		} else if _, there := deployed.Routes[routes[i].Key]; there {
			all = append(all, &routes[i])
		}
	}
	if deployed == nil {
		return all
	}
	for _, key := range sortedKeys(deployed.Routes) {
		if !slices.ContainsFunc(routes, func(r Route) bool { return r.Key == key }) {
			all = append(all, &Route{Key: key, Target: "integrations/?"}) // which was deleted since then
		}
	}
	return all
}

// pair follows a route to what it leads to.
func (v *view) pair(stage *Stage, route *Route, deployed *Definition) *pair {
	p := &pair{stage: stage, route: route}
	id, _ := strings.CutPrefix(route.Target, "integrations/")
	integrations := v.Integrations.Or()
	if i := slices.IndexFunc(integrations, func(i Integration) bool { return i.ID == id }); i >= 0 {
		p.integration = &integrations[i]
	}
	if deployed != nil && v.Latest.Seen() && deployed.Routes[route.Key] != v.Latest.Value.Routes[route.Key] {
		p.asDeployed(deployed.Leads[route.Key], v.Latest.Value.Leads[route.Key])
	}
	if p.invokes() {
		p.target, p.wrong = gateway.ParseURI(p.integration.URI, stage.Variables)
		p.function = v.function(p.target)
	}
	return p
}

// asDeployed sets what the stage serves for a route, where the API has something else for it now.
func (p *pair) asDeployed(was, now Lead) {
	p.stale = true
	if was.Integration != nil {
		integration := *was.Integration
		if integration.ID = "?"; p.integration != nil {
			integration.ID = p.integration.ID
		}
		p.integration = &integration
	}
	if was.Access != now.Access {
		route := *p.route
		route.Authorization, route.Authorizer, route.Scopes = "", "", nil
		if was.Access != "" {
			route.Authorization = "?"
		}
		p.route = &route
	}
}

// function is what is known of a function; nil where it was not looked at.
func (v *view) function(t gateway.Target) *Function {
	if i := slices.IndexFunc(v.Functions, func(f Function) bool { return f.Target == t }); i >= 0 {
		return &v.Functions[i]
	}
	return nil
}

// find finds the stage and the route that the request selects.
func (v *view) find(stages []Stage) {
	if v.Asked.Method == "" || !v.Stages.Seen() {
		return
	}
	name, rest := SplitStage(stages, v.Asked)
	if decoded, err := url.PathUnescape(rest); err == nil { // routes are compared with the decoded path
		rest = decoded
	}
	i := slices.IndexFunc(stages, func(s Stage) bool { return s.Name == name })
	if v.path = rest; i < 0 {
		return
	}
	v.stage = &stages[i]
	var some []*pair
	var keys []string
	for _, p := range v.pairs {
		if p.stage.Name == name {
			some, keys = append(some, p), append(keys, p.route.Key)
		}
	}
	if i, _ := gateway.Select(keys, v.Asked.Method, rest); i >= 0 {
		v.selected = some[i]
	}
}

// SplitStage tells which stage a request goes to, and the path under it. The first part of the path is the stage's name
// if there is one of it; else the stage is the one named $default ("Publish HTTP APIs for customers to invoke").
func SplitStage(stages []Stage, asked Asked) (name, path string) {
	has := func(name string) bool {
		return slices.ContainsFunc(stages, func(s Stage) bool { return s.Name == name })
	}
	if asked.Domain != "" {
		return asked.Stage, asked.Path
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(asked.Path, "/"), "/")
	if decoded, err := url.PathUnescape(first); err == nil {
		first = decoded
	}
	if has(first) {
		return first, "/" + rest
	}
	if has("$default") {
		return "$default", asked.Path
	}
	return "", asked.Path
}

// From is who gave an answer.
type From string

// Who gives answers.
const (
	FromGateway    From = "api-gateway"
	FromAuthorizer From = "authorizer"
	FromFunction   From = "function"
	FromApp        From = "app"
	FromCDN        From = "cdn"
	FromNobody     From = "none"
)

// gatewayBodies are the bodies of API Gateway's own answers of HTTP APIs.
var gatewayBodies = []string{"Internal Server Error", "Service Unavailable", "Not Found", "Forbidden", "Unauthorized",
	"Too Many Requests", "Request Entity Too Large", "Request Header Fields Too Large", "Bad Request",
	"Gateway Timeout"}

// OwnBody reports whether a body is one of API Gateway's own answers.
func OwnBody(body string) bool {
	return slices.ContainsFunc(
		gatewayBodies,
		func(message string) bool { return body == `{"message":"`+message+`"}` },
	)
}

// statusOf are the statuses of API Gateway's own answers, and their messages.
var statusOf = map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests",
	500: "Internal Server Error", 503: "Service Unavailable"}

// ownLength reports whether an answer to HEAD has the length of API Gateway's own body for its status.
func ownLength(a Answer) bool {
	message, ok := statusOf[a.Status]
	return ok && a.Headers["content-length"] == strconv.Itoa(len(`{"message":"`+message+`"}`))
}

// byApp reports whether an answer in API Gateway's words must be the app's: the function returns it when it is invoked
// directly, or the route that was selected leaves API Gateway no reason for it. What has no request id did not reach an
// API.
func (v *view) byApp(a Answer) bool {
	if i := v.Invocation.Value; i != nil && !i.Failed {
		return i.Shape.Status == a.Status && i.Shape.Body == a.Body
	}
	p := v.selected
	if a.RequestID == "" || p == nil || p.integration == nil || p.stage.Deployment == "" || v.Asked.Preflight != "" ||
		v.API.Or().Disabled {
		return false
	}
	open := p.route.Authorization == "" || p.route.Authorization == "NONE"
	return a.Status == 404 || open && p.integration.Credentials == "" && (a.Status == 401 || a.Status == 403)
}

// answer is what the client saw; nil where no request was sent.
func (v *view) answer() *Seen {
	if v.Answer.Value == nil {
		return nil
	}
	a := *v.Answer.Value
	return &Seen{Status: a.Status, Body: a.Body, From: v.from(a), RequestID: a.RequestID, Millis: a.Millis}
}

// from tells who gave an answer, by its headers and its body.
func (v *view) from(a Answer) From {
	switch {
	case a.Status == 0:
		return FromNobody
	case v.Asked.Preflight != "" && v.API.Or().CORS != nil && a.Status == 204 && v.selected == nil:
		return FromGateway // which answers preflights itself
	case OwnBody(a.Body) || v.Asked.Method == "HEAD" && ownLength(a):
		if v.byApp(a) {
			return FromApp
		}
		return FromGateway
	case a.Headers["apigw-requestid"] != "":
		return FromApp
	case a.Headers["x-amz-cf-id"] != "" || a.Headers["cf-ray"] != "":
		return FromCDN
	case a.Headers["x-amz-apigw-id"] != "" || a.Headers["x-amzn-requestid"] != "":
		return FromGateway // of a REST API
	}
	return FromNobody
}

// failed reports whether the client saw an answer of API Gateway's own with one of some statuses.
func (v *view) failed(statuses ...int) bool {
	a := v.answer()
	return a != nil && a.From == FromGateway && slices.Contains(statuses, a.Status)
}

func (v *view) target() Target {
	t := Target{
		URL:     v.Asked.URL,
		Method:  v.Asked.Method,
		Region:  v.Asked.Region,
		Account: v.api.Account,
		API:     v.Asked.API,
	}
	if v.stage != nil {
		t.Stage = v.stage.Name
	}
	if p := v.selected; p != nil {
		t.Route, t.Function, t.Qualifier = p.route.Key, p.target.Function, p.target.Qualifier
	}
	return t
}

// logs are where the request may have left lines.
func (v *view) logs() (l Logs) {
	if v.stage != nil && v.stage.AccessLog != nil {
		l.Access = v.stage.AccessLog.Destination
	}
	if p := v.selected; p != nil && p.function != nil && p.function.Configuration.Seen() {
		l.Function = p.function.Configuration.Value.LogGroup
	}
	return l
}

// linkName is what a link of the chain is called; "" for a link that the request does not have.
func (r *result) linkName(link Link) string {
	p := r.selected
	if p == nil && len(r.pairs) == 1 {
		p = r.pairs[0]
	}
	switch link {
	case "client":
		return "client"
	case "endpoint":
		return r.Asked.API
	case "stage":
		if r.stage != nil {
			return r.stage.Name
		}
		return r.Asked.Stage
	case "route":
		if p != nil {
			return p.route.Key
		}
		if r.stage == nil {
			return ""
		}
		return r.Asked.Method + " " + r.path
	case "authorizer":
		if p != nil && p.route.Authorization != "" && p.route.Authorization != "NONE" {
			return "authorizer " + p.route.Authorization
		}
	case "integration":
		if p != nil && p.integration != nil {
			return "integration " + p.integration.ID
		}
	case "permission":
		if p != nil && p.invokes() {
			return "permission"
		}
	case "function":
		if p != nil && p.target.Function != "" {
			return p.target.Function
		}
	}
	return ""
}
