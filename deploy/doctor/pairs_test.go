package doctor

import (
	"slices"
	"testing"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// chained lists causes in the order of the chain, with a function that sets up each of them.
var chained = []struct {
	cause string
	set   func(c *Case)
}{
	{"endpoint.disabled", func(c *Case) { c.API.Value.Disabled = true; c.gatewayAnswers(404, "Not Found") }},
	{"stage.throttled", func(c *Case) {
		zero := 0.0
		c.stage().Default = &Throttle{Rate: &zero}
		c.gatewayAnswers(429, "Too Many Requests")
	}},
	{"jwt.missing", func(c *Case) { c.jwtRoute(401, Token{}) }},
	{"authorizer.not-callable", func(c *Case) {
		route := &(*c.Routes.Value)[1]
		route.Authorization, route.Authorizer = "CUSTOM", "l1"
		*c.Authorizers.Value = append(*c.Authorizers.Value, Authorizer{ID: "l1", Name: "judge", Type: "REQUEST",
			URI: "arn:aws:lambda:us-east-1:" + testAccount + ":function:auth"})
		c.Functions = append(c.Functions, Function{Target: gateway.Target{Region: "us-east-1", Account: testAccount,
			Function: "auth"}, Configuration: knownFact("lambda:GetFunction", "auth", Configuration{Name: "auth",
			State: "Active"}), Policy: failedFact[policy.Document]("lambda:GetPolicy", "auth", Missing,
			"ResourceNotFoundException", "")})
		blank500(c)
	}},
	{"integration.method", func(c *Case) { blank500(c); c.integration().Method = "GET" }},
	{"permission.none", func(c *Case) { c.policy() }},
	{"function.failed", func(c *Case) { blank500(c); c.function().Configuration.Value.State = "Failed" }},
	{"function.update-failed", func(c *Case) { c.function().Configuration.Value.Update = "Failed" }},
	{"function.concurrency-zero", func(c *Case) {
		blank500(c)
		c.function().Configuration.Value.Concurrency = new(int)
	}},
	{"function.role", func(c *Case) {
		blank500(c)
		c.function().Trust = failedFact[policy.Document]("iam:GetRole", "notes", Missing, "NoSuchEntity", "")
	}},
	{"code.handler", func(c *Case) {
		blank500(c)
		c.function().Code = knownFact("lambda:GetFunction", "notes", Code{Files: []string{"x.py"}, Wanted: "app.py"})
	}},
	{"role.logs", func(c *Case) {
		blank500(c)
		c.Lines = failedFact[[]string]("logs:FilterLogEvents", "/aws/lambda/notes", Missing,
			"ResourceNotFoundException", "")
		c.Role = knownFact("iam:GetRole", "notes", Role{Name: "notes"})
	}},
}

// TestPairs: if there are two faults, one run finds both.
func TestPairs(t *testing.T) {
	for i, first := range chained {
		for _, second := range chained[i+1:] {
			t.Run(first.cause+" and "+second.cause, func(t *testing.T) {
				c := healthy()
				second.set(c)
				first.set(c) // sets the response that the client receives
				d := Judge(*c, English)
				for _, cause := range []string{first.cause, second.cause} {
					if !slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Cause == cause }) {
						t.Errorf("%s is not found, only %s", cause, causesOf(d))
					}
				}
			})
		}
	}
}
