package doctor

import (
	"slices"
	"testing"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// chained are causes in the order of the chain, and what sets each, with the answer that the client sees.
var chained = []struct {
	cause string
	set   func(c *Case)
}{
	{"endpoint.disabled", func(c *Case) { c.API.Value.Disabled = true; c.answers(404, "Not Found") }},
	{"stage.throttled", func(c *Case) {
		zero := 0.0
		c.stage().Default = &Throttle{Rate: &zero}
		c.answers(429, "Too Many Requests")
	}},
	{"jwt.missing", func(c *Case) { c.jwtRoute(401, Token{}) }},
	{"authorizer.not-callable", func(c *Case) {
		route := &(*c.Routes.Value)[1]
		route.Authorization, route.Authorizer = "CUSTOM", "l1"
		*c.Authorizers.Value = append(*c.Authorizers.Value, Authorizer{ID: "l1", Name: "judge", Type: "REQUEST",
			URI: "arn:aws:lambda:us-east-1:" + account + ":function:auth"})
		c.Functions = append(c.Functions, Function{Target: gateway.Target{Region: "us-east-1", Account: account,
			Function: "auth"}, Configuration: seen("lambda:GetFunction", "auth", Configuration{Name: "auth",
			State: "Active"}), Policy: lost[policy.Document]("lambda:GetPolicy", "auth", Missing,
			"ResourceNotFoundException", "")})
		blank(c)
	}},
	{"integration.method", func(c *Case) { blank(c); c.integration().Method = "GET" }},
	{"permission.none", func(c *Case) { c.policy() }},
	{"function.failed", func(c *Case) { blank(c); c.function().Configuration.Value.State = "Failed" }},
	{"function.update-failed", func(c *Case) { c.function().Configuration.Value.Update = "Failed" }},
	{"function.concurrency-zero", func(c *Case) {
		blank(c)
		c.function().Configuration.Value.Concurrency = new(int)
	}},
	{"function.role", func(c *Case) {
		blank(c)
		c.function().Trust = lost[policy.Document]("iam:GetRole", "notes", Missing, "NoSuchEntity", "")
	}},
	{"code.handler", func(c *Case) {
		blank(c)
		c.function().Code = seen("lambda:GetFunction", "notes", Code{Files: []string{"x.py"}, Wanted: "app.py"})
	}},
	{"role.logs", func(c *Case) {
		blank(c)
		c.Lines = lost[[]string]("logs:FilterLogEvents", "/aws/lambda/notes", Missing, "ResourceNotFoundException", "")
		c.Role = seen("iam:GetRole", "notes", Role{Name: "notes"})
	}},
}

// TestPairs: of two faults one behind the other, both are found in one run, and the first explains the answer.
func TestPairs(t *testing.T) {
	for i, first := range chained {
		for _, second := range chained[i+1:] {
			t.Run(first.cause+" and "+second.cause, func(t *testing.T) {
				c := healthy()
				second.set(c)
				first.set(c) // whose answer the client sees
				d := Judge(*c, English)
				for _, cause := range []string{first.cause, second.cause} {
					if !slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Cause == cause }) {
						t.Errorf("%s is not among %s", cause, told(d))
					}
				}
			})
		}
	}
}
