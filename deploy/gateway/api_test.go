package gateway_test

import (
	"slices"
	"testing"

	"example.com/portable-notes/deploy/gateway"
)

var api = gateway.API{Partition: "aws", Region: "eu-west-3", Account: "123456789012", ID: "a1b2c3d4e5"}

const prefix = "arn:aws:execute-api:eu-west-3:123456789012:a1b2c3d4e5/"

// lets reports whether a pattern lets a source ARN in.
func lets(pattern, presented string) bool {
	return len(gateway.Cover(pattern, []string{presented}).In) == 1
}

// TestWhatCommonPatternsMatch is the table of what the patterns that tools and articles write let in.
func TestWhatCommonPatternsMatch(t *testing.T) {
	requests := []string{
		api.Presented("dev", "GET /notes", "GET", "/notes")[0], api.Presented("dev", "GET /notes/{id}", "GET",
			"/notes/1")[0], api.Presented("$default", "GET /notes/{id}", "GET", "/notes/1")[0],
		api.Presented("$default", "$default", "GET", "/x")[0], api.Presented("dev", "GET /", "GET", "/")[0],
		api.Authorizer("x"),
	}
	for i, want := range []string{"dev/GET/notes", "dev/GET/notes/{id}", "$default/GET/notes/{id}", "$default/$default",
		"dev/GET/", "authorizers/x"} {
		if requests[i] != prefix+want {
			t.Errorf("the source ARN is %s, want %s%s", requests[i], prefix, want)
		}
	}
	for _, row := range []struct {
		patterns []string
		matches  string // y or n for each request
	}{
		{[]string{"*"}, "yyyyyy"},
		{[]string{"*/*"}, "yyyyyy"},
		{[]string{"*/*/*"}, "yyynyn"},
		{[]string{"*/*/{proxy+}"}, "nnnnnn"},
		{[]string{"*/*/$default"}, "nnnnnn"},
		{[]string{"*/$default"}, "nnnynn"},
		{[]string{"dev/*/notes", "dev/*/notes/*"}, "yynnnn"},
		{[]string{"dev/ANY/notes"}, "nnnnnn"},
	} {
		for i, request := range requests {
			allowed := slices.ContainsFunc(row.patterns, func(p string) bool { return lets(prefix+p, request) })
			if allowed != (row.matches[i] == 'y') {
				t.Errorf("%v lets %s in: %v", row.patterns, request, allowed)
			}
		}
	}
}

// TestOurPatterns: what we write for a route lets it in under every reading, and no other stage, nor a route whose path
// does not end like its own.
func TestOurPatterns(t *testing.T) {
	type request struct{ stage, route, method, path string }
	requests := []request{
		{"dev", "ANY /notes", "GET", "/notes"}, {"dev", "ANY /notes", "POST", "/notes"}, {"dev", "ANY /notes/{id}",
			"DELETE", "/notes/1"}, {"dev", "GET /", "GET", "/"}, {"dev", "$default", "GET", "/x"},
		{"dev", "POST /files/{proxy+}", "POST", "/files/a/b"}, {"prod", "ANY /notes", "GET", "/notes"},
		{"$default", "ANY /notes", "GET", "/notes"}, {"$default", "$default", "GET", "/x"}, {"dev", "GET /other", "GET",
			"/other"},
	}
	for _, granting := range requests {
		pattern := api.Pattern(granting.stage, granting.route)
		for _, r := range requests {
			own := r.stage == granting.stage && r.route == granting.route
			for _, presented := range api.Presented(r.stage, r.route, r.method, r.path) {
				if got := lets(pattern, presented); got != own {
					t.Errorf("the grant %s for %v lets %s in: %v", pattern, granting, presented, got)
				}
			}
		}
	}
	for route, want := range map[string]string{"ANY /notes": "dev/*/notes", "ANY /notes/{id}": "dev/*/notes/*",
		"GET /a/{b}/c/{d+}": "dev/GET/a/*/c/*", "GET /": "dev/GET/", "$default": "dev/$default"} {
		if got := api.Pattern("dev", route); got != prefix+want {
			t.Errorf("the pattern for %s is %s, want %s%s", route, got, prefix, want)
		}
	}
}
