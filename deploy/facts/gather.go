package facts

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/gateway"
)

// gatherer reads the facts of one case. What it reads it reads concurrently.
type gatherer struct {
	ctx   context.Context
	ask   Ask
	cloud *cloud.Cloud
	c     doctor.Case
	sent  time.Time // when the request was

	mu        sync.Mutex
	secrets   []string                 // values of variables that look secret, which functions may say
	locations map[string]string        // of zips, by function; presigned URLs, which must not be told
	slots     map[string]chan struct{} // by service
}

// inFlight is the most calls of one service at a time. API Gateway allows ten a second of its control plane for the
// whole account ("Quotas for HTTP APIs").
const inFlight = 5

// Gather reads the facts about a request, which it sends, or about an API. It changes nothing. A function is invoked at
// most once, and only as ask allows. What cannot be read is a fact without a value. When ctx ends, Gather returns what
// is known so far.
func Gather(ctx context.Context, c *cloud.Cloud, ask Ask) doctor.Case {
	g := newGatherer(ctx, ask)
	asked := &g.c.Asked
	asked.Configured, asked.Local = c.Region(), c.IsLocal()
	if asked.Region == "" {
		asked.Region = c.Region()
	} else if asked.Region != c.Region() {
		c = c.In(asked.Region)
	}
	g.cloud = c
	began := time.Now()
	g.domain()
	g.first()
	g.deployed()
	g.second()
	g.third()
	if ask.Changes {
		g.changes()
	}
	g.reduce()
	g.c.Calls = g.cloud.Calls()
	g.c.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	return g.c
}

func newGatherer(ctx context.Context, ask Ask) *gatherer {
	return &gatherer{ctx: ctx, ask: ask, slots: map[string]chan struct{}{}, locations: map[string]string{},
		c: doctor.Case{Version: doctor.CaseVersion, At: time.Now().UTC().Truncate(time.Second), Program: ask.Program,
			Asked: ask.asked()}}
}

// GatherUnsigned is as Gather where there are no credentials: it sends the request, and reads nothing.
func GatherUnsigned(ctx context.Context, ask Ask) doctor.Case {
	g := newGatherer(ctx, ask)
	g.c.Caller = doctor.Fact[doctor.Identity]{Call: "sts:GetCallerIdentity",
		Error: &doctor.Failure{Kind: doctor.Other, Code: doctor.NoCredentials}}
	if g.ask.URL != nil && !g.ask.NoSend {
		g.send()
	}
	g.reduce()
	return g.c
}

// together does some things at the same time, and returns when all are done.
func together(all ...func()) {
	var wait sync.WaitGroup
	for _, do := range all {
		wait.Go(do)
	}
	wait.Wait()
}

// first reads what needs nothing else, and sends the request.
func (g *gatherer) first() {
	c, id, page := &g.c, &g.c.Asked.API, aws.String("100") // the fewest calls; API Gateway allows few a second
	todo := []func(){
		func() { c.Caller = fact(g, &sts.GetCallerIdentityInput{}, "", identity) },
		func() {
			if g.ask.URL != nil && !g.ask.NoSend {
				g.send()
			}
		},
	}
	if *id != "" {
		todo = append(todo,
			func() { c.API = g.api(*id) },
			func() {
				c.Stages = ask[[]doctor.Stage](
					g,
					&apigatewayv2.GetStagesInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			},
			func() {
				c.Routes = ask[[]doctor.Route](
					g,
					&apigatewayv2.GetRoutesInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			},
			func() {
				c.Integrations = ask[[]doctor.Integration](
					g,
					&apigatewayv2.GetIntegrationsInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			},
			func() {
				c.Authorizers = ask[[]doctor.Authorizer](
					g,
					&apigatewayv2.GetAuthorizersInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			})
	}
	together(todo...)
}

// api reads an API. Auditors may mostly list all, and not read one.
func (g *gatherer) api(id string) doctor.Fact[doctor.API] {
	f := ask[doctor.API](g, &apigatewayv2.GetApiInput{ApiId: &id}, id, "")
	if f.Error == nil || f.Error.Kind != doctor.Denied {
		return f
	}
	all := ask[[]doctor.API](g, &apigatewayv2.GetApisInput{}, id, "Items")
	if !all.Seen() {
		return f
	}
	f = doctor.Fact[doctor.API]{Call: all.Call, Of: id}
	if one, ok := find(*all.Value, func(a doctor.API) bool { return a.ID == id }); ok {
		f.Value = &one
	} else {
		f.Error = &doctor.Failure{Kind: doctor.Missing, Message: errNotListed.Error()}
	}
	return f
}

// deployed reads what stages serve that may not serve the latest definition, and this.
func (g *gatherer) deployed() {
	c, id := &g.c, &g.c.Asked.API
	var todo []func()
	for _, s := range c.Stages.Or() {
		if !s.AutoDeploy && s.Deployment != "" || strings.Contains(strings.ToLower(s.Failed), "fail") {
			c.Deployed = append(c.Deployed, doctor.Named[doctor.Definition]{Name: s.Name})
		}
	}
	export := func(stage *string, of string) doctor.Fact[doctor.Definition] {
		f := fact(g, &apigatewayv2.ExportApiInput{ApiId: id, StageName: stage, Specification: aws.String("OAS30"),
			OutputType: aws.String("JSON")}, of, definition)
		if f.Error != nil && strings.Contains(f.Error.Message, "no routes exist") { // which it refuses to export
			f.Value, f.Error = &doctor.Definition{Routes: map[string]string{}}, nil
		}
		return f
	}
	for i := range c.Deployed {
		one := &c.Deployed[i]
		todo = append(todo, func() { one.Fact = export(&one.Name, *id+" "+one.Name) })
	}
	if c.Deployed != nil {
		todo = append(todo, func() { c.Latest = export(nil, *id) })
	}
	together(todo...)
}

// second reads what the API leads to: its functions, and the roles that its integrations name.
func (g *gatherer) second() {
	c := &g.c
	var todo []func()
	for _, t := range g.targets() {
		c.Functions = append(c.Functions, doctor.Function{Target: t})
	}
	for i := range c.Functions {
		f := &c.Functions[i]
		todo = append(todo, func() {
			if g.function(f); g.ask.URL == nil { // no invocation will tell
				together(func() { g.code(f) }, func() { g.trust(f) })
			}
		})
	}
	for _, i := range c.Integrations.Or() {
		if strings.Contains(i.Credentials, ":role/") && !strings.Contains(i.Credentials, "$") &&
			!slices.ContainsFunc(
				c.Callers,
				func(n doctor.Named[doctor.Role]) bool { return n.Name == i.Credentials },
			) {
			c.Callers = append(c.Callers, doctor.Named[doctor.Role]{Name: i.Credentials})
		}
	}
	for i := range c.Callers {
		one := &c.Callers[i]
		todo = append(todo, func() { one.Fact = g.role(one.Name) })
	}
	together(todo...)
	g.otherAPIs()
}

// third looks at what the request met: its authorizer, its function, and the function's log and role.
func (g *gatherer) third() {
	d := doctor.Judge(g.c, doctor.English)
	g.history(d)
	g.authorize(d)
	if g.hasOwnLog(d) { // which may tell without an invocation
		g.logs(doctor.Judge(g.c, doctor.English))
	}
	found := doctor.Judge(g.c, doctor.English).Findings
	stopped := slices.ContainsFunc(found, func(f doctor.Finding) bool {
		return f.Explains && f.Level == doctor.Fault && (f.Link == "authorizer" || g.c.Joined && f.Link == "code")
	})
	if a := d.Answer; a != nil && a.From == doctor.FromGateway && a.Status >= 400 && d.Target.Function != "" {
		together(
			func() {
				if a.Status >= 500 && g.mayInvoke() && !stopped {
					g.invoke(d.Target)
				}
			},
			func() {
				if f := g.target(d); f != nil {
					together(func() { g.code(f) }, func() { g.trust(f) })
				}
			},
		)
	}
	d = doctor.Judge(g.c, doctor.English)
	route, _ := find(g.c.Routes.Or(), func(r doctor.Route) bool { return r.Key == d.Target.Route })
	lacks := g.c.Invocation.Or().Failed && doctor.Authorized(route) // an error that the event may have made
	if g.c.Invocation.Call == "" || lacks || d.Answer != nil && d.Answer.From == doctor.FromApp {
		g.logs(d)
	}
	g.rights(doctor.Judge(g.c, doctor.English))
}

// hasOwnLog reports whether the access log tells which lines of the function's log are those of the request.
func (g *gatherer) hasOwnLog(d doctor.Diagnosis) bool {
	stage, ok := find(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == d.Target.Stage })
	return ok && stage.AccessLog != nil && strings.Contains(stage.AccessLog.Format, "$context.integration.requestId")
}

// target is the function that a diagnosis is about; nil for none.
func (g *gatherer) target(d doctor.Diagnosis) *doctor.Function {
	for i := range g.c.Functions {
		if t := g.c.Functions[i].Target; t.Function == d.Target.Function && t.Qualifier == d.Target.Qualifier {
			return &g.c.Functions[i]
		}
	}
	return nil
}

// targets are the functions that the API is integrated with or authorized by, each with its qualifier.
func (g *gatherer) targets() (all []gateway.Target) {
	for _, s := range g.c.Stages.Or() {
		for _, i := range g.integrations(s.Name) {
			if !strings.EqualFold(i.Type, "AWS_PROXY") || i.Subtype != "" {
				continue
			}
			if t, err := gateway.ParseURI(i.URI, s.Variables); err == nil && !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
		for _, a := range g.c.Authorizers.Or() {
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

// integrations are those that the API has, and those that a stage still serves.
func (g *gatherer) integrations(stage string) []doctor.Integration {
	all := slices.Clone(g.c.Integrations.Or())
	for _, d := range g.c.Deployed {
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

// ask reads what an expression finds in the answer of a call.
func ask[T any](g *gatherer, input any, of, expression string) doctor.Fact[T] {
	return fact(g, input, of, func(answer any) (value T, err error) {
		err = cloud.Decode(cloud.Search(expression, answer), &value)
		if v := reflect.ValueOf(&value).Elem(); v.Kind() == reflect.Slice && v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // a list of nothing is known, also once it was saved
		}
		return value, err
	})
}

// fact reads what decode makes of the answer of a call.
func fact[T any](g *gatherer, input any, of string, decode func(answer any) (T, error)) (f doctor.Fact[T]) {
	service, operation := call.Operation(input)
	f.Call, f.Of = actionService(service)+":"+operation, of
	answer, err := g.do(service, input)
	if err == nil {
		var value T
		if value, err = decode(answer); err == nil {
			f.Value = &value
			return f
		}
	}
	f.Error = failure(err)
	return f
}

// actionService is the service as IAM's actions name it.
func actionService(service string) string {
	return strings.TrimPrefix(strings.TrimSuffix(service, "v2"), "cloudwatch")
}

// do makes a call, when its service has room for one more.
func (g *gatherer) do(service string, input any) (any, error) {
	shown := input
	if in, ok := input.(*lambda.InvokeInput); ok { // without the event, which may hold anything
		shown = &lambda.InvokeInput{FunctionName: in.FunctionName, Qualifier: in.Qualifier, LogType: in.LogType}
	}
	if !g.cloud.Knows(input) {
		g.note(call.Command(shown))
	}
	g.mu.Lock()
	slot := g.slots[service]
	if slot == nil {
		slot = make(chan struct{}, inFlight)
		g.slots[service] = slot
	}
	g.mu.Unlock()
	slot <- struct{}{}
	defer func() { <-slot }()
	return g.cloud.Call(g.ctx, input)
}

// failure tells why a call failed, in a form that can be shared.
func failure(err error) *doctor.Failure {
	f := &doctor.Failure{Kind: doctor.Other, Code: cloud.Code(err), Message: mask(cloud.Message(err))}
	var network net.Error
	switch {
	case cloud.IsNotFound(err):
		f.Kind = doctor.Missing
	case slices.Contains([]string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation",
		"ForbiddenException"}, f.Code):
		f.Kind = doctor.Denied
	case errors.Is(err, context.Canceled):
		f.Kind, f.Message = doctor.Unreachable, "interrupted"
	case f.Code == "" && errors.As(err, &network):
		f.Kind = doctor.Unreachable
		for inner := error(network); inner != nil; inner = errors.Unwrap(inner) {
			f.Message = inner.Error() // the innermost tells without the URL what is wrong
		}
	}
	return f
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func nameOf(function, qualifier string) string {
	if qualifier != "" {
		return function + ":" + qualifier
	}
	return function
}
