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

// function reads a function: its configuration, and the policies that may let API Gateway in.
func (g *gatherer) function(f *doctor.Function) {
	t := f.Target
	if caller := g.c.Caller.Or(); caller.Account != "" && t.Account != caller.Account ||
		t.Region != g.c.Asked.Region {
		return
	}
	together(
		func() {
			f.Configuration = g.configurationOf(t.Function, t.Qualifier)
		},
		func() {
			if t.Qualifier != "$LATEST" { // which can have no policy
				f.Policy = g.policy(t.Function, t.Qualifier)
			}
		},
		func() {
			f.Aliases = fact(g, &lambda.ListAliasesInput{FunctionName: &t.Function}, t.Function, aliases)
		},
	)
	if f.Configuration.Missing() && t.Qualifier != "" {
		f.Bare = fact(g, &lambda.GetFunctionInput{FunctionName: &t.Function}, t.Function, configuration)
	}
	if g.granted(f.Policy.Or()) || !f.Configuration.Seen() {
		return
	}
	others := []string{""}
	for _, a := range f.Aliases.Or() {
		others = append(others, a.Name)
	}
	for _, other := range others[:min(len(others), 4)] {
		if other != t.Qualifier {
			f.Elsewhere = append(f.Elsewhere, doctor.Named[policy.Document]{Name: nameOf(t.Function, other),
				Fact: g.policy(t.Function, other)})
		}
	}
}

// configurationOf reads the configuration of a function, a version or an alias. Auditors may mostly not GetFunction,
// which tells where the code is: what they may is asked then.
func (g *gatherer) configurationOf(function, qualifier string) doctor.Fact[doctor.Configuration] {
	of := nameOf(function, qualifier)
	denied := func(f doctor.Fact[doctor.Configuration]) bool { return f.Error != nil && f.Error.Kind == doctor.Denied }
	read := func(answer any) (doctor.Configuration, error) { return g.configuration(of, answer) }
	bare := func(answer any) (doctor.Configuration, error) {
		return read(map[string]any{"Configuration": answer})
	}
	f := fact(g, &lambda.GetFunctionInput{FunctionName: &function, Qualifier: optional(qualifier)}, of, read)
	if !denied(f) {
		return f
	}
	if less := fact(g, &lambda.GetFunctionConfigurationInput{FunctionName: &function,
		Qualifier: optional(qualifier)}, of, bare); !denied(less) {
		return less
	}
	if qualifier != "" {
		return f
	}
	listed := fact(g, &lambda.ListFunctionsInput{}, of, func(answer any) (c doctor.Configuration, err error) {
		all, _ := cloud.Search("Functions", answer).([]any)
		for _, one := range all {
			if cloud.Search("FunctionName", one) == function {
				return bare(one)
			}
		}
		return c, errNotListed
	})
	if listed.Error != nil && listed.Error.Message == errNotListed.Error() {
		listed.Error.Kind = doctor.Missing
	}
	if listed.Seen() || listed.Missing() {
		return listed
	}
	return f
}

// errNotListed is what a list of all says of what is missing in it.
var errNotListed = errors.New("it is not in the list")

// granted reports whether a policy has a statement that may be for this API.
func (g *gatherer) granted(d policy.Document) bool {
	text, err := json.Marshal(d)
	return err == nil && strings.Contains(string(text), ":"+g.c.Asked.API+"/")
}

func (g *gatherer) policy(function, qualifier string) doctor.Fact[policy.Document] {
	return fact(g, &lambda.GetPolicyInput{FunctionName: &function, Qualifier: optional(qualifier)},
		nameOf(function, qualifier), func(answer any) (policy.Document, error) {
			text, _ := cloud.Search("Policy", answer).(string)
			return policy.Parse([]byte(text))
		})
}

// otherAPIs asks whether the APIs that statements name still exist.
func (g *gatherer) otherAPIs() {
	c := &g.c
	for _, f := range c.Functions {
		for _, s := range f.Policy.Or().Statement {
			for _, operator := range sortedKeys(s.Condition) {
				for _, key := range sortedKeys(s.Condition[operator]) {
					if !strings.EqualFold(key, "AWS:SourceArn") {
						continue
					}
					for _, arn := range s.Condition[operator][key] {
						g.otherAPI(arn)
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
		todo = append(todo, func() { one.Fact = g.lookUp(id) })
	}
	if c.API.Missing() {
		todo = append(todo, func() { c.REST = g.rest(c.Asked.API) })
	}
	together(todo...)
}

// maxOther is the most other APIs that are looked up.
const maxOther = 3

func (g *gatherer) otherAPI(arn string) {
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

// lookUp asks for an API of any kind.
func (g *gatherer) lookUp(id string) doctor.Fact[doctor.API] {
	f := ask[doctor.API](g, &apigatewayv2.GetApiInput{ApiId: &id}, id, "")
	if rest := (doctor.Fact[doctor.RESTAPI]{}); f.Missing() {
		if rest = g.rest(id); !rest.Missing() { // it is one, or that is not known
			f.Error = rest.Error
			if rest.Seen() {
				f.Value, f.Error = &doctor.API{ID: id, Name: rest.Value.Name, Protocol: "REST"}, nil
			}
		}
	}
	return f
}
