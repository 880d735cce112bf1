package doctor

import "example.com/portable-notes/deploy/policy"

// logged sets what the access log says of the request, after an answer that failed.
func (c *Case) logged(l AccessLine) {
	if c.Answer.Value.Status < 400 {
		blank(c)
	}
	c.Access = seen("logs:FilterLogEvents", "/aws/apis/notes", l)
}

// says sets the lines of the function's log, which an id joins to the request.
func (c *Case) says(lines ...string) {
	blank(c)
	c.asks("POST", "/dev/notes/{id}")
	c.Joined, c.Lines = true, seen("logs:FilterLogEvents", "/aws/lambda/notes", lines)
}

// unlogged is a function without a log, whose role has a policy.
func (c *Case) unlogged(d policy.Document) {
	c.says()
	c.Joined = false
	c.Lines = lost[[]string]("logs:FilterLogEvents", "/aws/lambda/notes", Missing, "ResourceNotFoundException", "")
	c.Role = seen("iam:GetRole", "notes", Role{"notes", "", policy.Role{Identity: []policy.Document{d}}})
}

// unreadPolicy is a function whose policy may not be read.
func (c *Case) unreadPolicy() {
	c.function().Policy = lost[policy.Document]("lambda:GetPolicy", "notes", Denied, "AccessDeniedException", "")
}

const noPermission = "The IAM role configured on the integration or API Gateway doesn't have permissions to call the " +
	"integration. Check the permissions and try again."

// logSituations are of what logs say.
var logSituations = []situation{
	{"the access log tells of a grant that could not be read", func(c *Case) {
		c.unreadPolicy()
		c.logged(AccessLine{Integration: noPermission})
	}, "+permission.none? (caller.rights)"},
	{"the access log repeats what the policy tells", func(c *Case) {
		c.policy()
		c.logged(AccessLine{Integration: noPermission})
	}, "+permission.none"},
	{"the access log tells of the role of the integration", func(c *Case) {
		c.logged(AccessLine{Integration: "API Gateway doesn't have permissions to assume the IAM role"})
	}, "+integration.role"},
	{"the access log tells of an authorizer", func(c *Case) {
		c.logged(AccessLine{Authorizer: "API Gateway doesn't have permissions to call the authorizer"})
	}, "+authorizer.not-callable"},
	{"the access log tells of the shape of an answer", func(c *Case) {
		c.logged(AccessLine{Integration: "The response from the Lambda function doesn't match the format that API " +
			"Gateway expects"})
	}, "+response.no-status"},
	{"the access log tells of an error", func(c *Case) {
		c.logged(AccessLine{Integration: "The Lambda function returned the following error: Unhandled."})
	}, "+code.error"},
	{"the access log tells of a timeout", func(c *Case) {
		c.answers(503, "Service Unavailable")
		c.logged(AccessLine{Integration: "Endpoint request timed out"})
	}, "+integration.timeout"},
	{"the access log tells of something else", func(c *Case) { c.logged(AccessLine{Integration: "?"}) }, ""},
	{"the log of the request", func(c *Case) { c.says("[ERROR] ValueError: no") }, "+code.error"},
	{"the log of a function that does not start", func(c *Case) {
		c.says("[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'requests'")
	}, "+code.import"},
	{"the log of a function that fails as it starts", func(c *Case) {
		c.says("[ERROR] RuntimeError: no", "INIT_REPORT Init Duration: 9 ms Phase: invoke Status: error Error Type: "+
			"RuntimeError")
	}, "+code.init"},
	{"the log of a function that does not start in time", func(c *Case) {
		c.says("INIT_REPORT Init Duration: 9 ms Phase: invoke Status: timeout", "1 Task timed out after 1.00 seconds")
	}, "+code.init-timeout"},
	{"the log of an extension that does not start", func(c *Case) {
		c.says("RequestId: 1 Error: fork/exec /opt/extensions/x: permission denied",
			"INIT_REPORT Phase: init Status: error Error Type: Extension.LaunchError")
	}, "+code.layer"},
	{"the log of a process that ends", func(c *Case) {
		c.says("RequestId: 1 Error: Runtime exited with error: exit status 1")
	}, "+code.crash"},
	{"a log in JSON", func(c *Case) {
		c.says(`{"level": "ERROR", "errorMessage": "'x'", "errorType": "KeyError"}`)
	}, "+code.error"},
	{"no log, and a role without rights", func(c *Case) { c.unlogged(policy.Document{}) }, "(role.logs)"},
	{"no log, and a role with all rights", func(c *Case) {
		c.unlogged(policy.Document{Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"logs:*"},
			Resource: policy.Strings{"*"}}}})
	}, ""},
}
