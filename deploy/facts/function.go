package facts

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/policy"
)

// readFunction reads a function's configuration and aliases, and the policies that may let API Gateway invoke it.
func (g *gatherer) readFunction(f *doctor.Function) {
	t := f.Target
	if caller := g.c.Caller.Or(); caller.Account != "" && t.Account != caller.Account ||
		t.Region != g.c.Asked.Region {
		return
	}
	runAll(
		func() {
			f.Configuration = g.readConfiguration(t.Function, t.Qualifier)
		},
		func() {
			if t.Qualifier != "$LATEST" { // $LATEST cannot have a policy
				f.Policy = g.readPolicy(t.Function, t.Qualifier)
			}
		},
		func() {
			f.Aliases = readFact(g, &lambda.ListAliasesInput{FunctionName: &t.Function}, t.Function, parseAliases)
		},
	)
	if f.Configuration.Missing() && t.Qualifier != "" {
		f.Bare = readFact(g, &lambda.GetFunctionInput{FunctionName: &t.Function}, t.Function, parseConfiguration)
	}
	if g.mayBeGranted(f.Policy.Or()) || !f.Configuration.Seen() {
		return
	}
	others := []string{""}
	for _, a := range f.Aliases.Or() {
		others = append(others, a.Name)
	}
	for _, other := range others[:min(len(others), 4)] {
		if other != t.Qualifier {
			f.Elsewhere = append(f.Elsewhere, doctor.Named[policy.Document]{Name: qualifiedName(t.Function, other),
				Fact: g.readPolicy(t.Function, other)})
		}
	}
}

// readConfiguration reads the configuration of a function, a version or an alias. Audit policies usually deny
// GetFunction, whose answer contains the location of the code; then it uses the calls that they allow.
func (g *gatherer) readConfiguration(function, qualifier string) doctor.Fact[doctor.Configuration] {
	of := qualifiedName(function, qualifier)
	denied := func(f doctor.Fact[doctor.Configuration]) bool { return f.Error != nil && f.Error.Kind == doctor.Denied }
	read := func(answer any) (doctor.Configuration, error) { return g.decodeConfiguration(of, answer) }
	bare := func(answer any) (doctor.Configuration, error) {
		return read(map[string]any{"Configuration": answer})
	}
	f := readFact(g, &lambda.GetFunctionInput{FunctionName: &function, Qualifier: optional(qualifier)}, of, read)
	if !denied(f) {
		return f
	}
	if less := readFact(g, &lambda.GetFunctionConfigurationInput{FunctionName: &function,
		Qualifier: optional(qualifier)}, of, bare); !denied(less) {
		return less
	}
	if qualifier != "" {
		return f
	}
	listed := readFact(g, &lambda.ListFunctionsInput{}, of, func(answer any) (c doctor.Configuration, err error) {
		all, _ := cloud.Search("Functions", answer).([]any)
		for _, one := range all {
			if cloud.Search("FunctionName", one) == function {
				return bare(one)
			}
		}
		return c, errNotInList
	})
	if listed.Error != nil && listed.Error.Message == errNotInList.Error() {
		listed.Error.Kind = doctor.Missing
	}
	if listed.Seen() || listed.Missing() {
		return listed
	}
	return f
}

// errNotInList reports that a list of all resources lacks the one in question.
var errNotInList = errors.New("it is not in the list")

// mayBeGranted reports whether a policy mentions this API.
func (g *gatherer) mayBeGranted(d policy.Document) bool {
	text, err := json.Marshal(d)
	return err == nil && strings.Contains(string(text), ":"+g.c.Asked.API+"/")
}

// readPolicy reads the policy of a function, a version or an alias.
func (g *gatherer) readPolicy(function, qualifier string) doctor.Fact[policy.Document] {
	return readFact(g, &lambda.GetPolicyInput{FunctionName: &function, Qualifier: optional(qualifier)},
		qualifiedName(function, qualifier), func(answer any) (policy.Document, error) {
			text, _ := cloud.Search("Policy", answer).(string)
			return policy.Parse([]byte(text))
		})
}

// readOtherAPIs looks up whether the other APIs that policies name still exist.
func (g *gatherer) readOtherAPIs() {
	c := &g.c
	for _, f := range c.Functions {
		for _, s := range f.Policy.Or().Statement {
			for _, operator := range sortedKeys(s.Condition) {
				for _, key := range sortedKeys(s.Condition[operator]) {
					if !strings.EqualFold(key, "AWS:SourceArn") {
						continue
					}
					for _, arn := range s.Condition[operator][key] {
						g.addOtherAPI(arn)
					}
				}
			}
		}
	}
	slices.SortFunc(c.OtherAPIs, func(a, b doctor.Named[doctor.API]) int { return strings.Compare(a.Name, b.Name) })
	var todo []func()
	for i := range c.OtherAPIs {
		one := &c.OtherAPIs[i]
		_, id, _ := strings.Cut(one.Name, " ")
		todo = append(todo, func() { one.Fact = g.readAnyAPI(id) })
	}
	if c.API.Missing() {
		todo = append(todo, func() { c.REST = g.readREST(c.Asked.API) })
	}
	runAll(todo...)
}

// maxOther is the most other APIs that are looked up.
const maxOther = 3

// addOtherAPI adds the API of a source ARN to those to look up, if it is in this account and region.
func (g *gatherer) addOtherAPI(arn string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "execute-api" || parts[3] != g.c.Asked.Region ||
		parts[4] != g.c.Caller.Or().Account {
		return
	}
	id, _, _ := strings.Cut(parts[5], "/")
	name := parts[3] + " " + id
	if id == g.c.Asked.API || id == "" || strings.ContainsAny(id, "*?$") || len(g.c.OtherAPIs) == maxOther ||
		slices.ContainsFunc(g.c.OtherAPIs, func(o doctor.Named[doctor.API]) bool { return o.Name == name }) {
		return
	}
	g.c.OtherAPIs = append(g.c.OtherAPIs, doctor.Named[doctor.API]{Name: name})
}

// readAnyAPI reads an HTTP, WebSocket or REST API.
func (g *gatherer) readAnyAPI(id string) doctor.Fact[doctor.API] {
	f := readPath[doctor.API](g, &apigatewayv2.GetApiInput{ApiId: &id}, id, "")
	if rest := (doctor.Fact[doctor.RESTAPI]{}); f.Missing() {
		if rest = g.readREST(id); !rest.Missing() { // it is a REST API, or that could not be read
			f.Error = rest.Error
			if rest.Seen() {
				f.Value, f.Error = &doctor.API{ID: id, Name: rest.Value.Name, Protocol: "REST"}, nil
			}
		}
	}
	return f
}
