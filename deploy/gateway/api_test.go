package gateway_test

import (
	"slices"
	"testing"

	"example.com/portable-notes/deploy/gateway"
)

var api = gateway.API{Partition: "aws", Region: "eu-west-3", Account: "123456789012", ID: "a1b2c3d4e5"}

const prefix = "arn:aws:execute-api:eu-west-3:123456789012:a1b2c3d4e5/"

// allows reports whether a pattern allows a source ARN.
func allows(pattern, presented string) bool {
	return len(gateway.Cover(pattern, []string{presented}).In) == 1
}

// TestCommonPatterns checks the patterns that tools and articles write.
func TestCommonPatterns(t *testing.T) {
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
			allowed := slices.ContainsFunc(row.patterns, func(p string) bool { return allows(prefix+p, request) })
			if allowed != (row.matches[i] == 'y') {
				t.Errorf("%v allows %s: %v", row.patterns, request, allowed)
			}
		}
	}
}

// TestPattern checks that the pattern for a route allows every ARN that may be presented for it, but no other stage,
// and no route whose path does not end alike.
func TestPattern(t *testing.T) {
	type request struct{ stage, route, method, path string }
	requests := []request{
		{stage: "dev", route: "ANY /notes", method: "GET", path: "/notes"},
		{stage: "dev", route: "ANY /notes", method: "POST", path: "/notes"},
		{stage: "dev", route: "ANY /notes/{id}", method: "DELETE", path: "/notes/1"},
		{stage: "dev", route: "GET /", method: "GET", path: "/"},
		{stage: "dev", route: "$default", method: "GET", path: "/x"},
		{stage: "dev", route: "POST /files/{proxy+}", method: "POST", path: "/files/a/b"},
		{stage: "prod", route: "ANY /notes", method: "GET", path: "/notes"},
		{stage: "$default", route: "ANY /notes", method: "GET", path: "/notes"},
		{stage: "$default", route: "$default", method: "GET", path: "/x"},
		{stage: "dev", route: "GET /other", method: "GET", path: "/other"},
	}
	for _, granted := range requests {
		pattern := api.Pattern(granted.stage, granted.route)
		for _, r := range requests {
			own := r.stage == granted.stage && r.route == granted.route
			for _, presented := range api.Presented(r.stage, r.route, r.method, r.path) {
				if got := allows(pattern, presented); got != own {
					t.Errorf("the grant %s for %v allows %s: %v", pattern, granted, presented, got)
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

func TestPartition(t *testing.T) {
	for _, c := range []struct{ region, want string }{
		{"eu-central-1", "aws"}, {"cn-north-1", "aws-cn"}, {"us-gov-west-1", "aws-us-gov"},
	} {
		t.Run(c.region, func(t *testing.T) {
			if got := gateway.Partition(c.region); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
