package gateway

import (
	"fmt"
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// Covers tells whether a pattern lets a route in, whatever values its variables and its method have.
func Covers(pattern string, api API, stage, key string) string {
	verb, template, _ := strings.Cut(key, " ")
	methods := []string{verb}
	if verb == "ANY" {
		methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
	}
	let, all := 0, 0
	for _, method := range methods {
		for _, presented := range api.Presented(stage, key, method, exampleOf(template)) {
			all++
			if policy.ARNLike(pattern, presented) {
				let++
			}
		}
	}
	switch let {
	case 0:
		return "not let in"
	case all:
		return "let in"
	}
	return fmt.Sprintf("unsure: %d of %d methods and readings are let in", let, all)
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
