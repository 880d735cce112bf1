// Package gateway models an HTTP API of API Gateway: which route a request selects, the source ARNs that API Gateway
// presents when it invokes a function, the grants that the API needs, and which requests a source ARN pattern allows.
// It makes no AWS calls.
package gateway

import (
	"fmt"
	"regexp"
	"strings"
)

// API identifies an HTTP API by the parts of its ARN.
type API struct {
	Partition string // aws, aws-cn, aws-us-gov
	Region    string
	Account   string // 12 digits; an ARN without it matches no request
	ID        string
}

// arn returns an execute-api ARN of the API ("ARN format reference", API Gateway developer guide).
func (a API) arn(rest string) string {
	return "arn:" + a.Partition + ":execute-api:" + a.Region + ":" + a.Account + ":" + a.ID + "/" + rest
}

// Authorizer returns the source ARN that API Gateway presents when it invokes a Lambda authorizer. It has the
// authorizer's id, not its name.
func (a API) Authorizer(id string) string { return a.arn("authorizers/" + id) }

// pathVariable matches a path variable in a route key, greedy or not.
var pathVariable = regexp.MustCompile(`\{[^{}/]+\}`)

// Pattern returns the narrowest source ARN pattern that allows a route of a stage. It has * for the method ANY and for
// each path variable. For the route $default, which has no method, it is the stage followed by $default. It allows all
// the ARNs that [API.Presented] returns. Because * also matches slashes, it may allow other routes of the stage whose
// paths end alike.
func (a API) Pattern(stage, routeKey string) string {
	method, path, found := strings.Cut(routeKey, " ")
	if !found {
		return a.arn(stage + "/" + routeKey)
	}
	if method == "ANY" {
		method = "*"
	}
	return a.arn(stage + "/" + method + pathVariable.ReplaceAllString(path, "*"))
}

// Presented returns the source ARNs that API Gateway may present for a request. AWS documents them only for routes that
// have a method and no variables. For the others Presented returns every form that has been observed: a path variable
// appears either in braces, as in the route key, or with its value from the request. For ANY the ARN has the request's
// method; grants for ANY itself do not work (aws/serverless-application-model issues 296 and 326).
func (a API) Presented(stage, routeKey, method, path string) []string {
	_, template, found := strings.Cut(routeKey, " ")
	if !found {
		return []string{a.arn(stage + "/" + routeKey)}
	}
	paths := []string{template}
	if pathVariable.MatchString(template) {
		paths = append(paths, path)
	}
	var all []string
	for _, p := range paths {
		all = append(all, a.arn(stage+"/"+method+p))
	}
	return all
}

// Target is the Lambda function of an integration or an authorizer.
type Target struct{ Region, Account, Function, Qualifier string }

var functionURI = regexp.MustCompile(`^arn:[^:]+:lambda:([^:]+):([^:]*):function:([^:/]+)(?::([^:/]+))?$`)

// invocationURI matches API Gateway's ARN around that of a function.
var invocationURI = regexp.MustCompile(`^arn:[^:]+:apigateway:[^:]+:lambda:path/2015-03-31/functions/(.*)/invocations$`)

var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// ParseURI parses the URI of an integration or an authorizer: a function's ARN, with or without a qualifier, or API
// Gateway's ARN around it. It replaces ${stageVariables.NAME} with the stage's variables.
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
	m := functionURI.FindStringSubmatch(invocationURI.ReplaceAllString(full, "$1"))
	if m == nil {
		return Target{}, fmt.Errorf("its integration is with %s, which is not a Lambda function", full)
	}
	return Target{Region: m[1], Account: m[2], Function: m[3], Qualifier: m[4]}, nil
}

// Partition returns the partition of a region: aws, aws-cn or aws-us-gov ("Amazon Resource Names", IAM user guide).
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
