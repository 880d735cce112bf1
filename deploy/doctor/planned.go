package doctor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// Planned is the file that the facts about an API are from. They describe what a tool is going to deploy: nothing was
// read from AWS. Values that are known only after the deployment are placeholders as in package unknown.
type Planned struct {
	File   string
	Format Format
	Name   string           // of the API in the file
	API    gateway.API      // partition, region and account that the API is going to have
	Places map[string]Place // by the ID of a route, integration, authorizer or statement, or by [PlaceOf]
}

// Format is the language of a file.
type Format string

// The formats.
const (
	CloudFormation Format = "CloudFormation"
	CDK            Format = "CDK" // CloudFormation that CDK has written
	Terraform      Format = "Terraform"
	OpenAPI        Format = "OpenAPI"
)

// Place is where a file describes something.
type Place struct {
	File  string         `json:"file"`
	Line  int            `json:"line,omitempty"`  // from 1; 0 if the file has no lines that a person writes
	Name  string         `json:"name"`            // such as a logical ID, or the address of a Terraform resource
	Lines map[string]int `json:"lines,omitempty"` // of properties
}

// String returns FILE:LINE NAME, or FILE NAME.
func (p Place) String() string {
	at := p.File
	if p.Line > 0 {
		at += ":" + strconv.Itoa(p.Line)
	}
	return strings.TrimSpace(at + " " + p.Name)
}

// PlaceOf returns the key of a place in [Planned] for what has no ID: a function, a stage or an api.
func PlaceOf(kind, name string) string { return kind + " " + name }

// places returns where a file says what a finding is about, in the order of the routes.
func (r *result) places(link Link, f draft) (all []Place) {
	if r.Planned == nil {
		return nil
	}
	add := func(key string) bool {
		p, known := r.Planned.Places[key]
		if !known {
			return false
		}
		if len(f.evidence) > 0 { // the line of the property
			words := strings.Fields(f.evidence[0].Field)
			if len(words) > 0 && p.Lines[strings.TrimPrefix(words[len(words)-1], "AWS:")] > 0 {
				p.Line = p.Lines[strings.TrimPrefix(words[len(words)-1], "AWS:")]
			}
		}
		p.Lines = nil
		if !slices.ContainsFunc(all, func(o Place) bool { return o.Line == p.Line && o.Name == p.Name }) {
			all = append(all, p)
		}
		return true
	}
	of := ""
	if len(f.evidence) > 0 {
		of = f.evidence[0].Of
	}
	if add(r.statementOf(f)) || add(PlaceOf("role", of)) {
		return all
	}
	for _, p := range f.pairs {
		key := PlaceOf("function", p.target.Function)
		switch {
		case link == LinkStage:
			key = PlaceOf("stage", p.stage.Name)
		case link == LinkAuthorizer:
			key = p.route.Authorizer
		case link == LinkIntegration && p.integration != nil:
			key = p.integration.ID
		case link == LinkRoute:
			key = p.route.ID
		}
		if !add(key) {
			add(p.route.ID)
		}
	}
	if all == nil && !add(PlaceOf("function", of)) {
		add(PlaceOf("api", r.Asked.API))
	}
	return all
}

// statementOf returns the ID of the statement that a draft is about, "" for none.
func (r *result) statementOf(f draft) string {
	for sid := range r.Planned.Places {
		if len(f.evidence) > 0 && strings.HasPrefix(f.evidence[0].Field+" ", sid+" ") {
			return sid
		}
	}
	return ""
}

// change returns what to write into the file to make a missing grant, in the file's language. It returns "" for other
// findings.
func (r *result) change(link Link, f draft) string {
	if r.Planned == nil || len(f.pairs) == 0 || len(f.evidence) == 0 {
		return ""
	}
	p, e := f.pairs[0], f.evidence[0]
	function, source := p.target, r.grantSource(f.pairs)
	switch {
	case link == LinkAuthorizer && f.cause == "authorizer.not-callable" && f.variant == "":
		a := r.findAuthorizer(p)
		function, _ = gateway.ParseURI(a.URI, p.stage.Variables) // it was parsed before
		if source = r.api.Authorizer(a.ID); strings.Contains(a.ID, ".") && r.Planned.Format != Terraform {
			source = r.api.Authorizer("*") // nothing refers to an authorizer of a definition
		}
	case link != LinkPermission || e.Expected == "":
		return ""
	}
	isThere := r.statementOf(f) != ""
	if isThere && link == LinkPermission {
		if r.isUsed(r.statementOf(f), p) {
			isThere = false // it lets other routes in, so another one is needed
		} else {
			source = r.grantSource(r.sharingFunction(p))
		}
	}
	switch {
	case isThere && !strings.HasSuffix(e.Field, "AWS:SourceArn"):
		return "" // the evidence shows what the property must be
	case r.Planned.Format == CloudFormation && isThere:
		return "SourceArn: !Sub " + asSub(source)
	case r.Planned.Format == CloudFormation:
		return "ApiPermission:\n  Type: AWS::Lambda::Permission\n  Properties:\n" +
			"    Action: " + gateway.Invoke + "\n    FunctionName: " + r.asFunction(function) +
			"\n    Principal: " + gateway.Principal + "\n    SourceArn: !Sub " + asSub(source)
	case r.Planned.Format == Terraform && isThere:
		return "source_arn = " + r.asHCL(source)
	case r.Planned.Format == Terraform:
		name := r.asHCL(function.Function)
		if at, known := r.Planned.Places[PlaceOf("function", function.Function)]; known {
			name = at.Name + ".function_name"
		}
		text := "resource \"aws_lambda_permission\" \"api\" {\n" +
			"  action        = \"" + gateway.Invoke + "\"\n  function_name = " + name + "\n"
		if function.Qualifier != "" {
			text += "  qualifier     = " + r.asHCL(function.Qualifier) + "\n"
		}
		return text + "  principal     = \"" + gateway.Principal + "\"\n  source_arn    = " + r.asHCL(source) + "\n}"
	}
	return ""
}

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

// asFunction returns the name of a function, with its qualifier, as a value of a template.
func (r *result) asFunction(t gateway.Target) string {
	at, known := r.Planned.Places[PlaceOf("function", t.Function)]
	switch {
	case known && t.Qualifier == "":
		return "!Ref " + at.Name
	case known:
		return "!Sub ${" + at.Name + "}:" + asSub(t.Qualifier)
	}
	return "!Sub " + asSub(qualified(t))
}

func qualified(t gateway.Target) string { return strings.TrimSuffix(t.Function+":"+t.Qualifier, ":") }

// grantSource returns a source ARN pattern that lets the routes of pairs invoke a function: the narrowest for one
// route, or else that of their stages.
func (r *result) grantSource(pairs []*pair) string {
	stage, key := pairs[0].stage.Name, pairs[0].route.Key
	for _, p := range pairs[1:] {
		if key = "*"; p.stage.Name != stage {
			stage = "*"
		}
	}
	if unknown.In(stage) {
		stage = "*"
	}
	return r.api.Pattern(stage, key)
}

// reference matches a placeholder that a template can write as a reference. Those of functions begin with Fn.
var reference = regexp.MustCompile(`[‹«]([A-Za-z0-9.]+)[›»]`)

// asSub returns a text with placeholders as a string of Fn::Sub.
func asSub(text string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		name := reference.FindStringSubmatch(found)[1]
		if strings.HasPrefix(name, "Fn.") {
			return found
		}
		return "${" + strings.Replace(name, "AWS.", "AWS::", 1) + "}"
	})
}

// asHCL returns a text with placeholders as an expression of Terraform.
func (r *result) asHCL(text string) string {
	if rest, ok := strings.CutPrefix(text, strings.TrimSuffix(r.api.Authorizer(""), "authorizers/")); ok {
		return `"${` + r.Planned.Name + `.execution_arn}/` + hclReference.ReplaceAllString(rest, "$${$1.id}") + `"`
	}
	return `"` + hclReference.ReplaceAllString(text, "$${$1.id}") + `"`
}

var hclReference = regexp.MustCompile(`[‹«]([^›»]+)[›»]`)

// isUnknown reports whether a value is not known from the file. If so, it records that.
func (r *result) isUnknown(call, of, value, would string) bool {
	return unknown.In(value) && r.isPlanned(call, of, would)
}

// isPlanned reports whether the facts are from a file. If so, it records that the file does not show whether API
// Gateway may invoke a function, or what would says instead.
func (r *result) isPlanned(call, of string, would ...string) bool {
	if r.Planned == nil {
		return false
	}
	r.addUnseen(call, of, &Failure{Kind: Other, Message: r.say("why.open", values{"of": of})},
		append(would, "would.permission")[0])
	return true
}

// isOpen reports whether a decision depends on a value that is not in the file. A policy variable is not such a value.
func isOpen(d policy.Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(r policy.Reason) bool {
		return !r.Known && !strings.Contains(r.Want, "${")
	})
}

// isUnclear reports whether a statement of a policy could not be judged.
func isUnclear(d policy.Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(r policy.Reason) bool { return !r.Known })
}
