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
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxIntegration is the longest that API Gateway waits for an integration of an HTTP API, in milliseconds ("Quotas for
// HTTP APIs").
const maxIntegration = 30_000

func checkIntegrations(v *view, r *result) {
	r.each(v.requestFirst(), func(p *pair) *found { return r.integration(p) })
}

// integration judges what a route is integrated with; nil where it is a function that exists, or is not known.
func (r *result) integration(p *pair) *found {
	v := r.view
	if p.integration == nil {
		return nil
	}
	i := p.integration
	if p.invokes() && p.function != nil && p.function.Configuration.Seen() && p.wrong == nil &&
		(i.Method == "" || i.Method == "POST") && p.target.Region == v.Asked.Region &&
		(v.api.Account == "" || p.target.Account == v.api.Account) && !r.timedOut(p) {
		return nil // as most are
	}
	uri := Evidence{v.Integrations.Call, i.ID, "IntegrationUri", i.URI, ""}
	f := &found{explains: v.explains(p, 500), values: values{"integration": i.ID, "uri": i.URI, "stage": p.stage.Name,
		"function": p.target.Function, "qualifier": p.target.Qualifier, "account": p.target.Account,
		"region": p.target.Region, "method": i.Method}, evidence: []Evidence{uri}}
	if !p.invokes() && v.selected != nil && p != v.selected {
		return nil // another route
	}
	if !p.invokes() {
		f.cause, f.values["kind"] = "integration.other", strings.TrimSpace(i.Type+" "+i.Subtype)
		f.explains = false // what is behind it is not seen
		f.evidence = []Evidence{{v.Integrations.Call, i.ID, "IntegrationType", i.Type, "AWS_PROXY"}}
		return f
	}
	switch {
	case p.wrong != nil && p.unset() != "":
		name := p.unset()
		f.cause, f.values["variable"] = "integration.stage-variable", name
		f.evidence = append(f.evidence, Evidence{v.Stages.Call, p.stage.Name, "StageVariables " + name, "", "…"})
		f.fix = r.setVariable(p.stage, name)
	case p.wrong != nil:
		f.cause = "integration.uri"
	case i.Method != "" && i.Method != "POST" && v.answered(p):
		return nil // it answers
	case i.Method != "" && i.Method != "POST":
		f.cause = "integration.method"
		f.evidence = []Evidence{{v.Integrations.Call, i.ID, "IntegrationMethod", i.Method, "POST"}}
		f.fix = []Fix{r.aws(true, "fix.method", nil, &apigatewayv2.UpdateIntegrationInput{ApiId: &v.Asked.API,
			IntegrationId: &i.ID, IntegrationMethod: aws.String("POST")})}
	case p.target.Region != v.Asked.Region && p.target.Region != "" && v.answered(p):
		return nil // it answers
	case p.target.Region != v.Asked.Region && p.target.Region != "":
		f.cause, f.certainty = "integration.elsewhere", Likely
	case v.api.Account != "" && p.target.Account != v.api.Account:
		r.otherAccount(p)
		return nil
	case p.function != nil && p.function.Configuration.Missing() && p.stale && r.explained("stage"):
		return nil // it would be gone with a deployment
	case p.function != nil && p.function.Configuration.Missing():
		r.missingFunction(p, f)
	case p.stage == v.stage && r.timedOut(p):
		limit := i.TimeoutMillis
		if limit == 0 {
			limit = maxIntegration
		}
		f.cause, f.explains = "integration.timeout", true
		f.values["millis"], f.values["took"] = limit, v.Answer.Value.Millis
		f.evidence = []Evidence{{v.Integrations.Call, i.ID, "TimeoutInMillis", fmt.Sprint(limit), ""}}
		if limit < maxIntegration {
			f.fix = []Fix{r.aws(false, "fix.timeout", nil, &apigatewayv2.UpdateIntegrationInput{ApiId: &v.Asked.API,
				IntegrationId: &i.ID, TimeoutInMillis: aws.Int32(maxIntegration)})}
		}
	default:
		return nil
	}
	return f
}

// setVariable sets a variable of a stage as another stage has it, if one has.
func (r *result) setVariable(stage *Stage, name string) []Fix {
	for _, other := range r.Stages.Or() {
		if value := other.Variables[name]; value != "" {
			return []Fix{r.aws(false, "fix.stage-variable", values{"variable": name, "stage": other.Name},
				&apigatewayv2.UpdateStageInput{ApiId: &r.Asked.API, StageName: &stage.Name,
					StageVariables: map[string]string{name: value}})}
		}
	}
	return nil
}

// answered reports whether what a route is integrated with answered the request.
func (v *view) answered(p *pair) bool {
	a, s := v.answer(), v.selected
	return a != nil && a.From == FromApp && s != nil && s.integration != nil && p.integration.ID == s.integration.ID
}

// stageVariable is a variable of the stage in a URI.
var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// unset is the first variable in the URI of the integration that the stage does not set; "" for none.
func (p *pair) unset() string {
	for _, m := range stageVariable.FindAllStringSubmatch(p.integration.URI, -1) {
		if p.stage.Variables[m[1]] == "" {
			return m[1]
		}
	}
	return ""
}

// missingFunction tells of an integration that names a function, a version or an alias that does not exist.
func (r *result) missingFunction(p *pair, f *found) {
	c := p.function.Configuration
	f.cause = "integration.function-missing"
	f.evidence = append(f.evidence, Evidence{c.Call, c.Of, "", c.Error.Code, ""})
	if p.target.Qualifier == "" || !p.function.Bare.Seen() {
		return
	}
	f.cause = "integration.qualifier-missing"
	hideFact(r, p.function.Aliases, "would.aliases")
	aliases := names(p.function.Aliases.Or(), func(a Alias) string { return a.Name })
	f.values["aliases"] = aliases
	f.evidence = append(f.evidence, Evidence{p.function.Aliases.Call, p.target.Function, "Name", aliases,
		p.target.Qualifier})
	if strings.Trim(p.target.Qualifier, "0123456789") != "" {
		f.fix = []Fix{r.aws(false, "fix.create-alias", nil, &lambda.CreateAliasInput{FunctionName: &p.target.Function,
			Name: &p.target.Qualifier, FunctionVersion: aws.String("$LATEST")})}
	}
}

// otherAccount tells of a function of another account, whose owner alone can see whether API Gateway may invoke it.
func (r *result) otherAccount(p *pair) {
	r.hide("lambda:GetPolicy", r.functionARN(p), &Failure{Kind: Other, Message: r.say("why.other-account",
		values{"account": p.target.Account})}, "would.permission")
}

// timedOut reports whether the answer is that of API Gateway where the integration of the request did not answer in
// time.
func (r *result) timedOut(p *pair) bool {
	limit := p.integration.TimeoutMillis
	if limit == 0 {
		limit = maxIntegration
	}
	return p == r.selected && r.failed(503) && r.Answer.Value.Millis >= limit && r.Answer.Value.Millis < limit+5000
}
