package doctor

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/gateway"
)

// pair is a route of a stage, with its integration and function.
type pair struct {
	stage       *Stage
	route       *Route
	integration *Integration // nil if the route has none, or it was deleted
	target      gateway.Target
	uriErr      error     // why the integration's URI does not name a function; nil if it does
	function    *Function // nil if it was not read
	undecided   bool      // the file does not show whether API Gateway may invoke the function
	stale       bool      // the stage serves another version of the route than the API has now
}

func (p *pair) stageRoute() StageRoute { return StageRoute{p.stage.Name, p.route.Key} }

// invokesLambda reports whether the route is integrated with a Lambda function.
func (p *pair) invokesLambda() bool {
	return p.integration != nil && strings.EqualFold(p.integration.Type, "AWS_PROXY") && p.integration.Subtype == ""
}

// view is a case, prepared for the checks.
type view struct {
	*Case
	api      gateway.API
	pairs    []*pair // in the order of stages and routes
	stage    *Stage  // stage of the request; nil for none
	path     string  // path of the request, without the stage
	selected *pair   // pair that the request selects; nil for none
}

// newView prepares a case.
func newView(c Case) *view {
	v := &view{Case: &c}
	id := c.Caller.Or()
	v.api = gateway.API{Partition: id.Partition, Region: c.Asked.Region, Account: id.Account, ID: c.Asked.API}
	if v.api.Partition == "" {
		v.api.Partition = "aws"
	}
	if v.api.Account == "" && len(c.Functions) > 0 { // functions usually belong to the API's account
		v.api.Account = c.Functions[0].Target.Account
	}
	if c.Planned != nil {
		v.api = c.Planned.API
	}
	stages, routes := c.Stages.Or(), c.Routes.Or()
	for i := range stages {
		stage := &stages[i]
		if c.Asked.Stage != "" && stage.Name != c.Asked.Stage {
			continue
		}
		deployed := factNamed(c.Deployed, stage.Name)
		for _, route := range servedRoutes(routes, deployed.Value) {
			if c.Asked.Route == "" || c.Asked.Route == route.Key {
				v.pairs = append(v.pairs, v.newPair(stage, route, deployed.Value))
			}
		}
	}
	v.selectRoute(stages)
	return v
}

// servedRoutes returns the routes that a stage serves: those of its deployed definition, if that is known.
func servedRoutes(routes []Route, deployed *Definition) (all []*Route) {
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
			all = append(all, &Route{Key: key, Target: "integrations/?"}) // it was deleted since the deployment
		}
	}
	return all
}

// newPair finds the integration and the function of a route.
func (v *view) newPair(stage *Stage, route *Route, deployed *Definition) *pair {
	p := &pair{stage: stage, route: route}
	id, found := strings.CutPrefix(route.Target, "integrations/")
	integrations := v.Integrations.Or()
	if i := slices.IndexFunc(integrations, func(i Integration) bool { return found && i.ID == id }); i >= 0 {
		p.integration = &integrations[i]
	}
	if deployed != nil && v.Latest.Seen() && deployed.Routes[route.Key] != v.Latest.Value.Routes[route.Key] {
		p.useDeployed(deployed.Leads[route.Key], v.Latest.Value.Leads[route.Key])
	}
	if p.invokesLambda() {
		p.target, p.uriErr = gateway.ParseURI(p.integration.URI, stage.Variables)
		p.function = v.findFunction(p.target)
	}
	return p
}

// useDeployed sets the integration and authorization that the stage serves, if the API has changed since it was
// deployed.
func (p *pair) useDeployed(was, now Lead) {
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

// findFunction returns the facts about a function, nil if it was not read.
func (v *view) findFunction(t gateway.Target) *Function {
	if i := slices.IndexFunc(v.Functions, func(f Function) bool { return f.Target == t }); i >= 0 {
		return &v.Functions[i]
	}
	return nil
}

// Targets returns the functions of the API's integrations and authorizers, each with its qualifier, sorted by name.
func (c Case) Targets() (all []gateway.Target) {
	for _, s := range c.Stages.Or() {
		for _, i := range c.stageIntegrations(s.Name) {
			if !strings.EqualFold(i.Type, "AWS_PROXY") || i.Subtype != "" {
				continue
			}
			if t, err := gateway.ParseURI(i.URI, s.Variables); err == nil && !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
		for _, a := range c.Authorizers.Or() {
			if t, err := gateway.ParseURI(a.URI, s.Variables); a.URI != "" && err == nil && !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, func(a, b gateway.Target) int {
		return strings.Compare(a.Function+":"+a.Qualifier, b.Function+":"+b.Qualifier)
	})
	return all
}

// stageIntegrations returns the integrations of the API, and those that a stage still serves.
func (c Case) stageIntegrations(stage string) []Integration {
	all := slices.Clone(c.Integrations.Or())
	for _, d := range c.Deployed {
		if d.Name != stage {
			continue
		}
		for _, key := range sortedKeys(d.Fact.Or().Leads) {
			if i := d.Fact.Or().Leads[key].Integration; i != nil {
				all = append(all, *i)
			}
		}
	}
	return all
}

// selectRoute finds the stage and the route that the request selects.
func (v *view) selectRoute(stages []Stage) {
	if v.Asked.Method == "" || !v.Stages.Seen() {
		return
	}
	name, rest := SplitStage(stages, v.Asked)
	if decoded, err := url.PathUnescape(rest); err == nil { // API Gateway matches routes against the decoded path
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

// SplitStage returns the stage of a request, and the path without the stage. If the first segment of the path is not
// the name of a stage, the request goes to the stage $default, if there is one ("Publish HTTP APIs for customers to
// invoke").
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

// From is the sender of a response.
type From string

// The senders of responses.
const (
	FromGateway    From = "api-gateway"
	FromAuthorizer From = "authorizer"
	FromFunction   From = "function"
	FromApp        From = "app"
	FromCDN        From = "cdn"
	FromNobody     From = "none"
)

// gatewayBodies are the messages in HTTP APIs' own error responses.
var gatewayBodies = []string{"Internal Server Error", "Service Unavailable", "Not Found", "Forbidden", "Unauthorized",
	"Too Many Requests", "Request Entity Too Large", "Request Header Fields Too Large", "Bad Request",
	"Gateway Timeout"}

// IsGatewayBody reports whether a body is that of one of API Gateway's own responses.
func IsGatewayBody(body string) bool {
	return slices.ContainsFunc(
		gatewayBodies,
		func(message string) bool { return body == `{"message":"`+message+`"}` },
	)
}

// gatewayMessages are the messages of API Gateway's own responses, by status.
var gatewayMessages = map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests",
	500: "Internal Server Error", 503: "Service Unavailable"}

// hasGatewayLength reports whether a response to HEAD has the length of API Gateway's own body for its status.
func hasGatewayLength(a Answer) bool {
	message, ok := gatewayMessages[a.Status]
	return ok && a.Headers["content-length"] == strconv.Itoa(len(`{"message":"`+message+`"}`))
}

// isFromApp reports whether a response with API Gateway's wording must come from the app: the function returns it when
// invoked directly, or API Gateway has no reason for it on the selected route. A response without a request id did not
// reach an API.
func (v *view) isFromApp(a Answer) bool {
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

// clientAnswer returns the response that the client received, nil if no request was sent.
func (v *view) clientAnswer() *ClientAnswer {
	if v.Answer.Value == nil {
		return nil
	}
	a := *v.Answer.Value
	return &ClientAnswer{Status: a.Status, Body: a.Body, From: v.answeredBy(a), RequestID: a.RequestID,
		Millis: a.Millis}
}

// answeredBy determines who sent a response, by its headers and body.
func (v *view) answeredBy(a Answer) From {
	switch {
	case a.Status == 0:
		return FromNobody
	case v.Asked.Preflight != "" && v.API.Or().CORS != nil && a.Status == 204 && v.selected == nil:
		return FromGateway // API Gateway answers preflights itself
	case IsGatewayBody(a.Body) || v.Asked.Method == "HEAD" && hasGatewayLength(a):
		if v.isFromApp(a) {
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

// gatewayFailed reports whether the client received one of some statuses from API Gateway itself.
func (v *view) gatewayFailed(statuses ...int) bool {
	a := v.clientAnswer()
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

// logLocations returns where the request may have been logged.
func (v *view) logLocations() (l Logs) {
	if v.stage != nil && v.stage.AccessLog != nil {
		l.Access = v.stage.AccessLog.Destination
	}
	if p := v.selected; p != nil && p.function != nil && p.function.Configuration.Seen() {
		l.Function = p.function.Configuration.Value.LogGroup
	}
	return l
}

// linkName returns the name of a link of the chain, "" if the request does not pass through it.
func (r *result) linkName(link Link) string {
	p := r.selected
	if p == nil && len(r.pairs) == 1 {
		p = r.pairs[0]
	}
	switch link {
	case LinkClient:
		return "client"
	case LinkEndpoint:
		return r.Asked.API
	case LinkStage:
		if r.stage != nil {
			return r.stage.Name
		}
		return r.Asked.Stage
	case LinkRoute:
		if p != nil {
			return p.route.Key
		}
		if r.stage == nil {
			return ""
		}
		return r.Asked.Method + " " + r.path
	case LinkAuthorizer:
		if p != nil && p.route.Authorization != "" && p.route.Authorization != "NONE" {
			return "authorizer " + p.route.Authorization
		}
	case LinkIntegration:
		if p != nil && p.integration != nil {
			return "integration " + p.integration.ID
		}
	case LinkPermission:
		if p != nil && p.invokesLambda() {
			return "permission"
		}
	case LinkFunction:
		if p != nil && p.target.Function != "" {
			return p.target.Function
		}
	}
	return ""
}
