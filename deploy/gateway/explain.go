package gateway

import (
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// Coverage divides source ARNs into those that a pattern allows and those that it does not.
type Coverage struct{ In, Out []string }

// Cover matches source ARNs against a pattern as a function's policy does.
func Cover(pattern string, presented []string) (c Coverage) {
	for _, arn := range presented {
		if policy.ARNLike(pattern, arn) {
			c.In = append(c.In, arn)
		} else {
			c.Out = append(c.Out, arn)
		}
	}
	return c
}

// Possible returns the source ARNs that API Gateway may present for a route, as [API.Presented] does. For ANY it
// returns those of every method. Path variables have example values.
func (a API) Possible(stage, routeKey string) (all []string) {
	method, template, _ := strings.Cut(routeKey, " ")
	methods := []string{method}
	if method == "ANY" {
		methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
	}
	for _, m := range methods {
		all = append(all, a.Presented(stage, routeKey, m, exampleOf(template))...)
	}
	return all
}

// exampleOf returns a path that matches a template. Its values occur in no pattern.
func exampleOf(template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "0f1e2d3c"
		}
	}
	return strings.Join(parts, "/")
}
