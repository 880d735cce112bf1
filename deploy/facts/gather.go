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
)

// gatherer reads the facts of one case, concurrently.
type gatherer struct {
	ctx     context.Context
	inquiry Inquiry
	cloud   *cloud.Cloud
	c       doctor.Case
	sent    time.Time // when the request was sent

	mu        sync.Mutex               // guards the fields below, and c.Traced
	secrets   []string                 // secret values of environment variables, which functions may print
	locations map[string]string        // presigned URLs of zips, by function; they must not be shared
	slots     map[string]chan struct{} // limit concurrent calls, by service
}

// inFlight is the most concurrent calls of one service. API Gateway allows ten control plane calls per second for the
// whole account ("Quotas for HTTP APIs").
const inFlight = 5

// Gather sends the request of an inquiry and reads the facts about it, or reads the facts about a whole API. It changes
// nothing in AWS. It invokes a function at most once, and only as the inquiry allows. What cannot be read is a fact
// without a value. When ctx ends, Gather returns what is known so far.
func Gather(ctx context.Context, c *cloud.Cloud, ask Inquiry) doctor.Case {
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
	g.readDomain()
	g.readAPIAndSend()
	g.readDefinitions()
	g.readFunctions()
	g.explainAnswer()
	if ask.Changes {
		g.readChanges()
	}
	g.redact()
	g.c.Calls = g.cloud.Calls()
	g.c.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	return g.c
}

func newGatherer(ctx context.Context, ask Inquiry) *gatherer {
	return &gatherer{ctx: ctx, inquiry: ask, slots: map[string]chan struct{}{}, locations: map[string]string{},
		c: doctor.Case{Version: doctor.CaseVersion, At: time.Now().UTC().Truncate(time.Second), Program: ask.Program,
			Asked: ask.shareable()}}
}

// GatherUnsigned is Gather without credentials: it sends the request and reads nothing from AWS.
func GatherUnsigned(ctx context.Context, ask Inquiry) doctor.Case {
	g := newGatherer(ctx, ask)
	g.c.Caller = doctor.Fact[doctor.Identity]{Call: "sts:GetCallerIdentity",
		Error: &doctor.Failure{Kind: doctor.Other, Code: doctor.NoCredentials}}
	if g.inquiry.URL != nil && !g.inquiry.NoSend {
		g.send()
	}
	g.redact()
	return g.c
}

// runAll runs functions concurrently, and returns when all have returned.
func runAll(all ...func()) {
	var wait sync.WaitGroup
	for _, do := range all {
		wait.Go(do)
	}
	wait.Wait()
}

// readAPIAndSend reads what depends on no other fact, and sends the request.
func (g *gatherer) readAPIAndSend() {
	c, id, page := &g.c, &g.c.Asked.API, aws.String("100") // the maximum, to need few calls
	todo := []func(){
		func() { c.Caller = readFact(g, &sts.GetCallerIdentityInput{}, "", parseIdentity) },
		func() {
			if g.inquiry.URL != nil && !g.inquiry.NoSend {
				g.send()
			}
		},
	}
	if *id != "" {
		todo = append(todo,
			func() { c.API = g.readAPI(*id) },
			func() {
				c.Stages = readPath[[]doctor.Stage](
					g,
					&apigatewayv2.GetStagesInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			},
			func() {
				c.Routes = readPath[[]doctor.Route](
					g,
					&apigatewayv2.GetRoutesInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			},
			func() {
				c.Integrations = readPath[[]doctor.Integration](
					g,
					&apigatewayv2.GetIntegrationsInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			},
			func() {
				c.Authorizers = readPath[[]doctor.Authorizer](
					g,
					&apigatewayv2.GetAuthorizersInput{ApiId: id, MaxResults: page},
					*id,
					"Items",
				)
			})
	}
	runAll(todo...)
}

// readAPI reads an API. If that is denied it looks in the list of all APIs, which audit policies usually allow.
func (g *gatherer) readAPI(id string) doctor.Fact[doctor.API] {
	f := readPath[doctor.API](g, &apigatewayv2.GetApiInput{ApiId: &id}, id, "")
	if f.Error == nil || f.Error.Kind != doctor.Denied {
		return f
	}
	all := readPath[[]doctor.API](g, &apigatewayv2.GetApisInput{}, id, "Items")
	if !all.Seen() {
		return f
	}
	f = doctor.Fact[doctor.API]{Call: all.Call, Of: id}
	if one, ok := findIn(*all.Value, func(a doctor.API) bool { return a.ID == id }); ok {
		f.Value = &one
	} else {
		f.Error = &doctor.Failure{Kind: doctor.Missing, Message: errNotInList.Error()}
	}
	return f
}

// readDefinitions reads the latest definition of the API, and the deployed one of each stage that may serve another.
func (g *gatherer) readDefinitions() {
	c, id := &g.c, &g.c.Asked.API
	var todo []func()
	for _, s := range c.Stages.Or() {
		if !s.AutoDeploy && s.Deployment != "" || strings.Contains(strings.ToLower(s.Failed), "fail") {
			c.Deployed = append(c.Deployed, doctor.Named[doctor.Definition]{Name: s.Name})
		}
	}
	export := func(stage *string, of string) doctor.Fact[doctor.Definition] {
		f := readFact(g, &apigatewayv2.ExportApiInput{ApiId: id, StageName: stage, Specification: aws.String("OAS30"),
			OutputType: aws.String("JSON")}, of, parseDefinition)
		// AWS refuses to export an API without routes
		if f.Error != nil && strings.Contains(f.Error.Message, "no routes exist") {
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
	runAll(todo...)
}

// readFunctions reads the functions of the API, and the roles that its integrations name.
func (g *gatherer) readFunctions() {
	c := &g.c
	var todo []func()
	for _, t := range c.Targets() {
		c.Functions = append(c.Functions, doctor.Function{Target: t})
	}
	for i := range c.Functions {
		f := &c.Functions[i]
		todo = append(todo, func() {
			if g.readFunction(f); g.inquiry.URL == nil { // no invocation will follow
				runAll(func() { g.readCode(f) }, func() { g.readTrust(f) })
			}
		})
	}
	for _, i := range c.Integrations.Or() {
		if strings.Contains(i.Credentials, ":role/") && !strings.Contains(i.Credentials, "$") &&
			!slices.ContainsFunc(c.Callers, func(n doctor.Named[doctor.Role]) bool { return n.Name == i.Credentials }) {
			c.Callers = append(c.Callers, doctor.Named[doctor.Role]{Name: i.Credentials})
		}
	}
	for i := range c.Callers {
		one := &c.Callers[i]
		todo = append(todo, func() { one.Fact = g.readRole(one.Name) })
	}
	runAll(todo...)
	g.readOtherAPIs()
}

// explainAnswer reads what may explain the response: the authorizer, the function, and the function's log and role.
func (g *gatherer) explainAnswer() {
	d := doctor.Judge(g.c, doctor.English)
	g.readHistory(d)
	g.readAuthorization(d)
	if g.hasOwnLog(d) { // the log may explain the error without an invocation
		g.readLogs(doctor.Judge(g.c, doctor.English))
	}
	found := doctor.Judge(g.c, doctor.English).Findings
	explained := slices.ContainsFunc(found, func(f doctor.Finding) bool {
		return f.Explains && f.Level == doctor.Fault &&
			(f.Link == doctor.LinkAuthorizer || g.c.Joined && f.Link == doctor.LinkCode)
	})
	if a := d.Answer; a != nil && a.From == doctor.FromGateway && a.Status >= 400 && d.Target.Function != "" {
		runAll(
			func() {
				if a.Status >= 500 && g.mayInvoke() && !explained {
					g.invoke(d.Target)
				}
			},
			func() {
				if f := g.targetFunction(d); f != nil {
					runAll(func() { g.readCode(f) }, func() { g.readTrust(f) })
				}
			},
		)
	}
	d = doctor.Judge(g.c, doctor.English)
	route, _ := findIn(g.c.Routes.Or(), func(r doctor.Route) bool { return r.Key == d.Target.Route })
	// Our event lacks what an authorizer adds, which may have caused the error.
	synthetic := g.c.Invocation.Or().Failed && doctor.HasAuthorizer(route)
	// Without the function's policy, only the access log can tell that the request was refused.
	f := g.targetFunction(d)
	hidden := f != nil && f.Policy.Unseen()
	if g.c.Invocation.Call == "" || synthetic || hidden || d.Answer != nil && d.Answer.From == doctor.FromApp {
		g.readLogs(d)
	}
	g.readRights(doctor.Judge(g.c, doctor.English))
}

// hasOwnLog reports whether the access log contains the id by which the request's lines in the function's log are
// found.
func (g *gatherer) hasOwnLog(d doctor.Diagnosis) bool {
	stage, ok := findIn(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == d.Target.Stage })
	return ok && stage.AccessLog != nil && strings.Contains(stage.AccessLog.Format, "$context.integration.requestId")
}

// targetFunction returns the function that a diagnosis is about, nil if there is none.
func (g *gatherer) targetFunction(d doctor.Diagnosis) *doctor.Function {
	for i := range g.c.Functions {
		if t := g.c.Functions[i].Target; t.Function == d.Target.Function && t.Qualifier == d.Target.Qualifier {
			return &g.c.Functions[i]
		}
	}
	return nil
}

// readPath calls AWS and returns what a JMESPath expression selects from the answer, as a fact.
func readPath[T any](g *gatherer, input any, of, expression string) doctor.Fact[T] {
	return readFact(g, input, of, func(answer any) (value T, err error) {
		err = cloud.Decode(cloud.Search(expression, answer), &value)
		if v := reflect.ValueOf(&value).Elem(); v.Kind() == reflect.Slice && v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // a saved case must keep an empty list apart from an unknown one
		}
		return value, err
	})
}

// readFact calls AWS and returns what decode makes of the answer, as a fact. The resource that the call is about is
// named by of.
func readFact[T any](g *gatherer, input any, of string, decode func(answer any) (T, error)) (f doctor.Fact[T]) {
	service, operation := call.Operation(input)
	f.Call, f.Of = actionService(service)+":"+operation, of
	answer, err := g.callAWS(service, input)
	if err == nil {
		var value T
		if value, err = decode(answer); err == nil {
			f.Value = &value
			return f
		}
	}
	f.Error = failureOf(err)
	return f
}

// actionService returns the name of a service in IAM actions.
func actionService(service string) string {
	return strings.TrimPrefix(strings.TrimSuffix(service, "v2"), "cloudwatch")
}

// callAWS makes a call. It waits while inFlight calls of the service are running.
func (g *gatherer) callAWS(service string, input any) (any, error) {
	logged := input
	if in, ok := input.(*lambda.InvokeInput); ok { // without the event, which may contain secrets
		logged = &lambda.InvokeInput{FunctionName: in.FunctionName, Qualifier: in.Qualifier, LogType: in.LogType}
	}
	if !g.cloud.Knows(input) {
		g.logCall(call.Command(logged))
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

// failureOf describes why a call failed, in a form that may be shared.
func failureOf(err error) *doctor.Failure {
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
			f.Message = inner.Error() // the innermost error does not contain the URL
		}
	}
	return f
}

// optional returns a pointer to text, nil for "".
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// qualifiedName returns NAME or NAME:QUALIFIER.
func qualifiedName(function, qualifier string) string {
	if qualifier != "" {
		return function + ":" + qualifier
	}
	return function
}
