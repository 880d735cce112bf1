package doctor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/unknown"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxIntegration is the longest that API Gateway waits for an integration of an HTTP API, in milliseconds ("Quotas for
// HTTP APIs").
const maxIntegration = 30_000

func checkIntegrations(v *view, r *result) {
	r.eachPair(v.requestFirst(), func(p *pair) *draft { return r.judgeIntegration(p) })
}

// judgeIntegration judges the integration of a pair. It returns nil if nothing is wrong, or not enough is known.
func (r *result) judgeIntegration(p *pair) *draft {
	v := r.view
	if p.integration == nil {
		return nil
	}
	i := p.integration
	if p.invokesLambda() && p.function != nil && p.function.Configuration.Seen() && p.uriErr == nil &&
		(i.Method == "" || i.Method == "POST") && unknown.MayEqual(p.target.Region, v.Asked.Region) &&
		(v.api.Account == "" || unknown.MayEqual(p.target.Account, v.api.Account)) && !r.timedOut(p) {
		return nil // the usual case
	}
	uri := Evidence{Call: v.Integrations.Call, Of: i.ID, Field: "IntegrationUri", Value: i.URI}
	f := &draft{explains: v.explainsAnswer(p, 500), values: values{
		"integration": i.ID, "uri": i.URI, "stage": p.stage.Name,
		"function": p.target.Function, "qualifier": p.target.Qualifier, "account": p.target.Account,
		"region": p.target.Region, "method": i.Method}, evidence: []Evidence{uri}}
	if !p.invokesLambda() && v.selected != nil && p != v.selected {
		return nil // the request selects another route
	}
	if !p.invokesLambda() {
		f.cause, f.values["kind"] = "integration.other", strings.TrimSpace(i.Type+" "+i.Subtype)
		f.explains = false // the doctor does not check the server behind it
		f.evidence = []Evidence{{Call: v.Integrations.Call, Of: i.ID, Field: "IntegrationType", Value: i.Type,
			Expected: "AWS_PROXY"}}
		return f
	}
	switch {
	case p.uriErr != nil && p.unsetVariable() != "":
		name := p.unsetVariable()
		f.cause, f.values["variable"] = "integration.stage-variable", name
		f.evidence = append(f.evidence, Evidence{Call: v.Stages.Call, Of: p.stage.Name, Field: "StageVariables " +
			name, Expected: "…"})
		f.fix = r.setVariableFix(p.stage, name)
	case p.uriErr != nil && unknown.OpenForm(i.URI) &&
		r.reportOpen(v.Integrations.Call, i.ID, unknown.Names(i.URI), "would.permission"):
		return nil
	case p.uriErr != nil:
		f.cause = "integration.uri"
	case i.Method != "" && i.Method != "POST" && v.routeAnswered(p):
		return nil // it answers
	case i.Method != "" && i.Method != "POST":
		f.cause = "integration.method"
		f.evidence = []Evidence{{Call: v.Integrations.Call, Of: i.ID, Field: "IntegrationMethod", Value: i.Method,
			Expected: "POST"}}
		f.fix = []Fix{r.awsFix(true, "fix.method", nil, &apigatewayv2.UpdateIntegrationInput{ApiId: &v.Asked.API,
			IntegrationId: &i.ID, IntegrationMethod: aws.String("POST")})}
	case !unknown.MayEqual(p.target.Region, v.Asked.Region) && p.target.Region != "" && v.routeAnswered(p):
		return nil // it answers
	case !unknown.MayEqual(p.target.Region, v.Asked.Region) && p.target.Region != "":
		f.cause, f.certainty = "integration.elsewhere", Likely
	case v.api.Account != "" && !unknown.MayEqual(p.target.Account, v.api.Account):
		r.addOtherAccount(p)
		return nil
	case p.function != nil && p.function.Configuration.Missing() && p.stale && r.isExplained(LinkStage):
		return nil // a deployment would replace it
	case p.function != nil && p.function.Configuration.Missing():
		r.describeMissing(p, f)
	case p.stage == v.stage && r.timedOut(p):
		limit := i.TimeoutMillis
		if limit == 0 {
			limit = maxIntegration
		}
		f.cause, f.explains = "integration.timeout", true
		f.values["millis"], f.values["took"] = limit, v.Answer.Value.Millis
		f.evidence = []Evidence{{Call: v.Integrations.Call, Of: i.ID, Field: "TimeoutInMillis",
			Value: fmt.Sprint(limit)}}
		if limit < maxIntegration {
			f.fix = []Fix{r.awsFix(false, "fix.timeout", nil, &apigatewayv2.UpdateIntegrationInput{ApiId: &v.Asked.API,
				IntegrationId: &i.ID, TimeoutInMillis: aws.Int32(maxIntegration)})}
		}
	default:
		return nil
	}
	return f
}

// setVariableFix sets a stage variable to the value that another stage has, if one has.
func (r *result) setVariableFix(stage *Stage, name string) []Fix {
	for _, other := range r.Stages.Or() {
		if value := other.Variables[name]; value != "" {
			return []Fix{r.awsFix(false, "fix.stage-variable", values{"variable": name, "stage": other.Name},
				&apigatewayv2.UpdateStageInput{ApiId: &r.Asked.API, StageName: &stage.Name,
					StageVariables: map[string]string{name: value}})}
		}
	}
	return nil
}

// routeAnswered reports whether the integration of a pair answered the request.
func (v *view) routeAnswered(p *pair) bool {
	a, s := v.clientAnswer(), v.selected
	return a != nil && a.From == FromApp && s != nil && s.integration != nil && p.integration.ID == s.integration.ID
}

// stageVariable matches a stage variable in a URI.
var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// unsetVariable returns the first variable in the integration's URI that the stage does not set, "" for none.
func (p *pair) unsetVariable() string {
	for _, m := range stageVariable.FindAllStringSubmatch(p.integration.URI, -1) {
		if p.stage.Variables[m[1]] == "" {
			return m[1]
		}
	}
	return ""
}

// describeMissing completes the finding of an integration whose function, version or alias does not exist.
func (r *result) describeMissing(p *pair, f *draft) {
	c := p.function.Configuration
	f.cause = "integration.function-missing"
	f.evidence = append(f.evidence, Evidence{Call: c.Call, Of: c.Of, Value: c.Error.Code})
	if p.target.Qualifier == "" || !p.function.Bare.Seen() {
		return
	}
	f.cause = "integration.qualifier-missing"
	if r.Planned != nil {
		f.certainty = Likely // another tool may make it
	}
	reportUnseen(r, p.function.Aliases, "would.aliases")
	aliases := joinNames(p.function.Aliases.Or(), func(a Alias) string { return a.Name })
	f.values["aliases"] = aliases
	f.evidence = append(f.evidence, Evidence{Call: p.function.Aliases.Call, Of: p.target.Function, Field: "Name",
		Value:    aliases,
		Expected: p.target.Qualifier})
	if strings.Trim(p.target.Qualifier, "0123456789") != "" {
		f.fix = []Fix{r.awsFix(false, "fix.create-alias", nil, &lambda.CreateAliasInput{
			FunctionName: &p.target.Function,
			Name:         &p.target.Qualifier, FunctionVersion: aws.String("$LATEST")})}
	}
}

// addOtherAccount records that the policy of a function of another account cannot be read. Only its owner can read it.
func (r *result) addOtherAccount(p *pair) {
	r.addUnseen("lambda:GetPolicy", r.functionARN(p), &Failure{Kind: Other, Message: r.say("why.other-account",
		values{"account": p.target.Account})}, "would.permission")
}

// timedOut reports whether API Gateway answered that the integration of the request took too long.
func (r *result) timedOut(p *pair) bool {
	limit := p.integration.TimeoutMillis
	if limit == 0 {
		limit = maxIntegration
	}
	return p == r.selected && r.gatewayFailed(503) && r.Answer.Value.Millis >= limit && r.Answer.Value.Millis < limit+
		5000
}
