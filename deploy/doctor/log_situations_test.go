package doctor

import "example.com/portable-notes/deploy/policy"

// accessLogs sets the line of the access log about the request, after an error.
func (c *Case) accessLogs(l AccessLine) {
	if c.Answer.Value.Status < 400 {
		blank500(c)
	}
	c.Access = knownFact("logs:FilterLogEvents", "/aws/apis/notes", l)
}

// requestLogs sets the lines of the function's log. An id shows that they belong to the request.
func (c *Case) requestLogs(lines ...string) {
	blank500(c)
	c.setRequest("POST", "/dev/notes/{id}")
	c.Joined, c.Lines = true, knownFact("logs:FilterLogEvents", "/aws/lambda/notes", lines)
}

// unlogged removes the function's log, and gives its role a policy.
func (c *Case) unlogged(d policy.Document) {
	c.requestLogs()
	c.Joined = false
	c.Lines = failedFact[[]string]("logs:FilterLogEvents", "/aws/lambda/notes", Missing, "ResourceNotFoundException",
		"")
	c.Role = knownFact("iam:GetRole", "notes", Role{Name: "notes", Role: policy.Role{Identity: []policy.Document{d}}})
}

// unreadPolicy denies access to the function's policy.
func (c *Case) unreadPolicy() {
	c.function().Policy = failedFact[policy.Document]("lambda:GetPolicy", "notes", Denied, "AccessDeniedException", "")
}

const noPermission = "The IAM role configured on the integration or API Gateway doesn't have permissions to call the " +
	"integration. Check the permissions and try again."

// logSituations are about the content of logs.
var logSituations = []situation{
	{"the access log reports a missing permission, and the policy cannot be read", func(c *Case) {
		c.unreadPolicy()
		c.accessLogs(AccessLine{Integration: noPermission})
	}, "+permission.none? (caller.rights)"},
	{"the access log repeats what the policy shows", func(c *Case) {
		c.policy()
		c.accessLogs(AccessLine{Integration: noPermission})
	}, "+permission.none"},
	{"the access log reports the role of the integration", func(c *Case) {
		c.accessLogs(AccessLine{Integration: "API Gateway doesn't have permissions to assume the IAM role"})
	}, "+integration.role"},
	{"the access log reports an authorizer", func(c *Case) {
		c.accessLogs(AccessLine{Authorizer: "API Gateway doesn't have permissions to call the authorizer"})
	}, "+authorizer.not-callable"},
	{"the access log reports an invalid response", func(c *Case) {
		c.accessLogs(AccessLine{Integration: "The response from the Lambda function doesn't match the format that " +
			"API " +
			"Gateway expects"})
	}, "+response.no-status"},
	{"the access log reports an error", func(c *Case) {
		c.accessLogs(AccessLine{Integration: "The Lambda function returned the following error: Unhandled."})
	}, "+code.error"},
	{"the access log reports a timeout", func(c *Case) {
		c.gatewayAnswers(503, "Service Unavailable")
		c.accessLogs(AccessLine{Integration: "Endpoint request timed out"})
	}, "+integration.timeout"},
	{"the access log reports something else", func(c *Case) { c.accessLogs(AccessLine{Integration: "?"}) }, ""},
	{"the log of the request", func(c *Case) { c.requestLogs("[ERROR] ValueError: no") }, "+code.error"},
	{"the log of a function that does not start", func(c *Case) {
		c.requestLogs("[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'requests'")
	}, "+code.import"},
	{"the log of a function that fails as it starts", func(c *Case) {
		c.requestLogs("[ERROR] RuntimeError: no", "INIT_REPORT Init Duration: 9 ms Phase: invoke Status: error "+
			"Error Type: "+
			"RuntimeError")
	}, "+code.init"},
	{"the log of a function that does not start in time", func(c *Case) {
		c.requestLogs("INIT_REPORT Init Duration: 9 ms Phase: invoke Status: timeout",
			"1 Task timed out after 1.00 seconds")
	}, "+code.init-timeout"},
	{"the log of an extension that does not start", func(c *Case) {
		c.requestLogs("RequestId: 1 Error: fork/exec /opt/extensions/x: permission denied",
			"INIT_REPORT Phase: init Status: error Error Type: Extension.LaunchError")
	}, "+code.layer"},
	{"the log of a process that ends", func(c *Case) {
		c.requestLogs("RequestId: 1 Error: Runtime exited with error: exit status 1")
	}, "+code.crash"},
	{"a log in JSON", func(c *Case) {
		c.requestLogs(`{"level": "ERROR", "errorMessage": "'x'", "errorType": "KeyError"}`)
	}, "+code.error"},
	{"no log, and a role without permissions", func(c *Case) { c.unlogged(policy.Document{}) }, "(role.logs)"},
	{"no log, and a role with all permissions", func(c *Case) {
		c.unlogged(policy.Document{Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"logs:*"},
			Resource: policy.Strings{"*"}}}})
	}, ""},
}
