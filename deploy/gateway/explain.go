package gateway

import (
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// Coverage is which of some source ARNs a pattern lets in.
type Coverage struct{ In, Out []string }

// Cover judges a pattern of a source ARN as the policy of a function does.
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

// Possible returns the source ARNs that API Gateway may present for a route, see [API.Presented]: of ANY for each
// method, and with an example for each path variable.
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

// exampleOf is a path that a template matches, with values that no pattern names.
func exampleOf(template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "0f1e2d3c"
		}
	}
	return strings.Join(parts, "/")
}
