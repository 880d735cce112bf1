package doctor

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// change returns what to write into the file to make a missing grant, in the file's language. It returns "" for other
// findings, for files that no person writes, and if the file has no names for what the grant is about.
func (r *result) change(link Link, f draft) string {
	if r.Planned == nil || len(f.pairs) == 0 || len(f.evidence) == 0 {
		return ""
	}
	p, e := f.pairs[0], f.evidence[0]
	g := grant{function: p.target, source: r.grantSource(f.pairs)}
	switch {
	case link == LinkAuthorizer && f.cause == "authorizer.not-callable" && f.variant == "":
		a := r.findAuthorizer(p)
		g.function, _ = gateway.ParseURI(a.URI, p.stage.Variables) // it was parsed before
		if g.source = "authorizers/" + a.ID; strings.Contains(a.ID, "#") {
			g.source = "authorizers/*" // nothing refers to an authorizer of a definition
		}
	case link != LinkPermission || e.Expected == "":
		return ""
	}
	sid := r.statementOf(f)
	switch {
	case sid != "" && !strings.HasSuffix(e.Field, "AWS:SourceArn"):
		return "" // the evidence shows what the property must be
	case sid != "" && link == LinkPermission && r.isUsed(sid, p):
		sid = "" // it lets other routes in, so another one is needed
	case sid != "" && link == LinkPermission:
		g.source = r.grantSource(r.sharingFunction(p))
	}
	var text string
	switch r.Planned.Format {
	case CloudFormation:
		text = r.inTemplate(g, sid != "")
	case Terraform:
		text = r.inTerraform(g, sid != "")
	}
	if unknown.Inside(text) {
		return "" // no name stands for it
	}
	return text
}

// grant is what a function's policy must allow: an API's source ARN pattern, without the beginning that is the API.
type grant struct {
	function gateway.Target
	source   string
}

// grantSource returns a source ARN pattern, after the API, that lets the routes of pairs invoke a function: the
// narrowest for one route, or else that of their stages. A stage with a name of its own may have it from a parameter.
func (r *result) grantSource(pairs []*pair) string {
	stage, key := pairs[0].stage.Name, pairs[0].route.Key
	for _, p := range pairs[1:] {
		if key = "*"; p.stage.Name != stage {
			stage = "*"
		}
	}
	if stage != "$default" {
		stage = "*"
	}
	return strings.TrimPrefix(r.api.Pattern(stage, key), r.apiPrefix())
}

// apiPrefix returns the beginning of the API's source ARNs.
func (r *result) apiPrefix() string { return strings.TrimSuffix(r.api.Authorizer(""), "authorizers/") }

// isUsed reports whether a statement lets API Gateway invoke the function of a pair for any route.
func (r *result) isUsed(sid string, p *pair) bool {
	var only policy.Document
	for _, s := range p.function.Policy.Or().Statement {
		if s.Sid == sid {
			only.Statement = append(only.Statement, s)
		}
	}
	return slices.ContainsFunc(r.sharingFunction(p), func(other *pair) bool {
		return r.judgePolicy(only, other, r.functionARN(other)).allowed
	})
}

var notLetters = regexp.MustCompile(`[^A-Za-z0-9]+`)

// inTemplate returns a grant as a resource of CloudFormation, or only its source ARN.
func (r *result) inTemplate(g grant, onlySource bool) string {
	const api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:"
	sub := api + asSub(r.api.ID) + "/" + asSub(g.source)
	isJSON := strings.HasSuffix(r.Planned.File, ".json")
	switch {
	case onlySource && isJSON:
		return `"SourceArn": {"Fn::Sub": "` + sub + `"}`
	case onlySource:
		return "SourceArn: !Sub " + sub
	}
	function, named := map[string]string{"Fn::Sub": asSub(qualified(g.function))}, "Function"
	at, known := r.Planned.Places[PlaceOf("function", qualified(g.function))] // an alias has a place too
	if bare, isThere := r.Planned.Places[PlaceOf("function", g.function.Function)]; isThere {
		named = notLetters.ReplaceAllString(bare.Name, "")
	}
	if known {
		function = map[string]string{"Ref": at.Name}
	}
	if !isJSON {
		value := "!Ref " + at.Name
		if !known {
			value = "!Sub " + function["Fn::Sub"]
		}
		return named + "ApiPermission:\n  Type: AWS::Lambda::Permission\n  Properties:\n" +
			"    Action: " + gateway.Invoke + "\n    FunctionName: " + value +
			"\n    Principal: " + gateway.Principal + "\n    SourceArn: !Sub " + sub
	}
	text, err := json.MarshalIndent(map[string]any{"Type": "AWS::Lambda::Permission", "Properties": map[string]any{
		"Action": gateway.Invoke, "FunctionName": function, "Principal": gateway.Principal,
		"SourceArn": map[string]string{"Fn::Sub": sub}}}, "", "  ")
	if err != nil {
		panic(err) // a mapping of strings always encodes
	}
	return `"` + named + `ApiPermission": ` + string(text)
}

func qualified(t gateway.Target) string { return strings.TrimSuffix(t.Function+":"+t.Qualifier, ":") }

// asSub returns a text with placeholders as a string of Fn::Sub. Those of functions, which begin with Fn, and those of
// parts of a definition stay placeholders.
func asSub(text string) string {
	return unknown.Replace(text, func(name string) string {
		switch {
		case strings.HasPrefix(name, "Fn.") || strings.Contains(name, "#"):
			return unknown.Open(name)
		case strings.HasPrefix(name, "AWS."):
			return "${AWS::" + strings.TrimPrefix(name, "AWS.") + "}"
		}
		return "${" + name + "}"
	})
}

// inTerraform returns a grant as a resource of Terraform, or only its source ARN. References are within one module.
func (r *result) inTerraform(g grant, onlySource bool) string {
	function, known := r.Planned.Places[PlaceOf("function", g.function.Function)]
	_, isHere := r.Planned.Places[PlaceOf("api", r.Asked.API)]
	if !isHere || strings.Contains(r.Planned.Name+function.Name, "module.") {
		return ""
	}
	source := `"${` + r.Planned.Name + `.execution_arn}/` + asHCL(g.source, "id") + `"`
	if onlySource {
		return "source_arn = " + source
	}
	name := `"` + asHCL(g.function.Function, "function_name") + `"`
	label := "api"
	if known {
		name = function.Name + ".function_name"
		label = notLetters.ReplaceAllString(strings.TrimPrefix(function.Name, "aws_lambda_function."), "_") + "_api"
	}
	text := "resource \"aws_lambda_permission\" \"" + label + "\" {\n" +
		"  action        = \"" + gateway.Invoke + "\"\n  function_name = " + name + "\n"
	if g.function.Qualifier != "" {
		text += "  qualifier     = \"" + asHCL(g.function.Qualifier, "version") + "\"\n"
	}
	return text + "  principal     = \"" + gateway.Principal + "\"\n  source_arn    = " + source + "\n}"
}

// asHCL returns a text with placeholders as the inside of a string of Terraform. Placeholders are addresses; those that
// are open stay placeholders.
func asHCL(text, attribute string) string {
	if unknown.In(text) {
		return text
	}
	return unknown.Replace(text, func(address string) string { return "${" + address + "." + attribute + "}" })
}
