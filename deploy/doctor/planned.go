package doctor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// Planned is the file that the facts about an API are from. They describe what a tool is going to deploy: nothing was
// read from AWS. Values that are known only after the deployment are placeholders as in package unknown.
type Planned struct {
	File    string
	Format  Format
	Name    string           // of the API in the file
	API     gateway.API      // partition, region and account that the API is going to have
	NoStage bool             // the file has the API, but none of its stages
	Places  map[string]Place // by the ID of a route, integration, authorizer or statement, or by [PlaceOf]
}

// Format is the language of a file.
type Format string

// The formats.
const (
	CloudFormation Format = "CloudFormation" // a template that a person writes, for SAM too
	CDK            Format = "CDK"            // a template that CDK writes
	Terraform      Format = "Terraform"      // a plan or a state
	OpenAPI        Format = "OpenAPI"        // a definition by itself
)

// Place is where a file describes something.
type Place struct {
	File  string         `json:"file"`
	Line  int            `json:"line,omitempty"`  // from 1; 0 if the file has no lines that a person writes
	Name  string         `json:"name"`            // such as a logical ID, or the address of a Terraform resource
	Lines map[string]int `json:"lines,omitempty"` // of properties, by CloudFormation's name; not in reports
}

// String returns FILE:LINE NAME, or FILE NAME.
func (p Place) String() string {
	at := p.File
	if p.Line > 0 {
		at += ":" + strconv.Itoa(p.Line)
	}
	return strings.TrimSpace(at + " " + p.Name)
}

// PlaceOf returns the key of a place in [Planned] for what has no ID: a function, a role, a stage or an api.
func PlaceOf(kind, name string) string { return kind + " " + name }

// places returns where a file says what a finding is about, in the order of the routes.
func (r *result) places(link Link, f draft) (all []Place) {
	if r.Planned == nil {
		return nil
	}
	var of, field string
	if len(f.evidence) > 0 {
		of = f.evidence[0].Of
		words := strings.Split(f.evidence[0].Field, " ")
		field = strings.TrimPrefix(words[len(words)-1], "AWS:")
	}
	add := func(key string) bool {
		p, known := r.Planned.Places[key]
		if !known {
			return false
		}
		if p.Lines[field] > 0 {
			p.Line = p.Lines[field]
		}
		p.Lines = nil
		if !slices.ContainsFunc(all, func(o Place) bool { return o.Line == p.Line && o.Name == p.Name }) {
			all = append(all, p)
		}
		return true
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

// command matches the command at the end of a remedy, which changes what is deployed.
var command = regexp.MustCompile(`(: (aws|deploy) [^.。]*| \(deploy [^)]*\))([.。])$`)

// plannedRemedy returns a remedy without its command, for what is not deployed.
func (r *result) plannedRemedy(remedy string) string {
	if r.Planned == nil {
		return remedy
	}
	return command.ReplaceAllString(remedy, "$3")
}

// reportOpen reports whether there are values that the file does not contain. If so, it records what they would tell.
func (r *result) reportOpen(call, of string, names []string, would string) bool {
	if r.Planned == nil || len(names) == 0 {
		return false
	}
	for i, name := range names {
		names[i] = strings.Replace(name, "AWS.", "AWS::", 1)
	}
	r.addUnseen(call, of, &Failure{Kind: Other, Message: r.say("why.open", values{
		"names": strings.Join(names, ", ")})}, would)
	return true
}

// openNames returns the names of the open values on which a decision depends, nil if it depends on none.
func openNames(d policy.Decision) (names []string) {
	for _, reason := range d.Reasons {
		for _, name := range reason.Open {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// isUnclear reports whether a statement of a policy could not be judged.
func isUnclear(d policy.Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(r policy.Reason) bool { return !r.Known })
}
