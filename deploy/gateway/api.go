// Package gateway has an HTTP API of API Gateway as a value: its routes and which of them a request selects, the source
// ARNs that it presents when it invokes a function, the grants that it needs, and what a pattern of a source ARN lets
// in. Nothing here calls AWS.
package gateway

import (
	"fmt"
	"regexp"
	"strings"
)

// API is an API Gateway HTTP API, as far as its ARNs name it.
type API struct {
	Partition string // aws, aws-cn, aws-us-gov
	Region    string
	Account   string // 12 digits; an ARN without it fits no request
	ID        string
}

// arn is the ARN of what is invoked of the API ("ARN format reference", API Gateway developer guide).
func (a API) arn(rest string) string {
	return "arn:" + a.Partition + ":execute-api:" + a.Region + ":" + a.Account + ":" + a.ID + "/" + rest
}

// Authorizer is the ARN that API Gateway presents when it invokes a Lambda authorizer: by its id, not by its name.
func (a API) Authorizer(id string) string { return a.arn("authorizers/" + id) }

// variable is a path variable in a route, greedy or not.
var variable = regexp.MustCompile(`\{[^{}/]+\}`)

// Pattern is the narrowest pattern of a source ARN that lets one route of one stage in: the method of the route, * for
// ANY; its path, * for each variable; and for the route $default, which has no method, the stage and that word. It is
// right under every reading of what API Gateway presents, see [API.Presented]. A * also spans slashes, so a pattern
// with one lets in other routes of the same API and stage whose path ends alike.
func (a API) Pattern(stage, routeKey string) string {
	method, path, found := strings.Cut(routeKey, " ")
	if !found {
		return a.arn(stage + "/" + routeKey)
	}
	if method == "ANY" {
		method = "*"
	}
	return a.arn(stage + "/" + method + variable.ReplaceAllString(path, "*"))
}

// Presented are the source ARNs that API Gateway may present for a request. AWS documents those of routes without
// variables and with a method. Where it does not, every reading that has been seen is given: a variable as the route
// writes it, with its braces, or as the request's path has it. For ANY it is the method of the request: grants that say
// ANY do not work (aws/serverless-application-model issues 296 and 326).
func (a API) Presented(stage, routeKey, method, path string) []string {
	_, template, found := strings.Cut(routeKey, " ")
	if !found {
		return []string{a.arn(stage + "/" + routeKey)}
	}
	paths := []string{template}
	if variable.MatchString(template) {
		paths = append(paths, path)
	}
	var all []string
	for _, p := range paths {
		all = append(all, a.arn(stage+"/"+method+p))
	}
	return all
}

// Target is a Lambda function as an integration or an authorizer names it.
type Target struct{ Region, Account, Function, Qualifier string }

var functionURI = regexp.MustCompile(`^(?:arn:[^:]+:apigateway:[^:]+:lambda:path/2015-03-31/functions/)?` +
	`arn:[^:]+:lambda:([^:]+):([^:]*):function:([^:/]+)(?::([^:/]+))?(?:/invocations)?$`)

var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// ParseURI reads the URI of an integration or an authorizer: the ARN of a function, with a qualifier or not, or that in
// the form of API Gateway's ARNs, in which a stage's variables may stand for parts. It says what is wrong else.
func ParseURI(uri string, variables map[string]string) (Target, error) {
	unset := ""
	full := stageVariable.ReplaceAllStringFunc(uri, func(v string) string {
		name := stageVariable.FindStringSubmatch(v)[1]
		if variables[name] == "" {
			unset = name
		}
		return variables[name]
	})
	if unset != "" {
		return Target{}, fmt.Errorf("the stage variable %s of its integration is not set", unset)
	}
	m := functionURI.FindStringSubmatch(full)
	if m == nil {
		return Target{}, fmt.Errorf("its integration is with %s, which is no Lambda function", full)
	}
	return Target{m[1], m[2], m[3], m[4]}, nil
}
