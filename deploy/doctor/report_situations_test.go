package doctor

import (
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// reportSituations are from reports of users: errors that resemble others.
var reportSituations = []situation{
	{"a long refusal by a permissions boundary", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal+
			" because no permissions boundary allows the dynamodb:Scan action")
		c.withRole("dynamodb:*", "*")
	}, "+role.denied"},
	{"a truncated refusal", func(c *Case) {
		c.functionFails("ClientError", strings.Replace(dynamoDBRefusal, "table/items", "tab…", 1))
		c.withRole("dynamodb:*", "*")
	}, "+role.action"},
	{"a refusal of what the role allows", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal)
		c.withRole("dynamodb:Scan", "*")
	}, "+role.denied"},
	{"a refusal of what the role allows, in an unrelated log line", func(c *Case) {
		blank500(c)
		c.setRequest("POST", "/dev/notes/{id}")
		c.functionLogs(dynamoDBRefusal)
		c.withRole("dynamodb:Scan", "*")
	}, ""},
	{"a refusal of another principal", func(c *Case) {
		c.functionFails("ClientError", strings.Replace(dynamoDBRefusal, "assumed-role/notes/notes",
			"assumed-role/other/x", 1))
		c.function().Configuration.Value.Role = "arn:aws:iam::" + testAccount + ":role/notes"
		c.withRole("s3:GetObject", "*")
	}, "+role.action"},
	{"a statement of the role that denies", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal+" with an explicit deny in an identity-based policy")
	}, "+role.denied"},
	{"a refusal that names no resource", func(c *Case) {
		c.functionFails("ClientError", "An error occurred (AccessDenied) when calling the GetObject operation: "+
			"Access Denied")
	}, "+role.action"},

	{"another database on this machine", func(c *Case) {
		c.functionFails("Error", "connect ECONNREFUSED 127.0.0.1:5432")
	}, "+code.error"},
	{"DynamoDB on this machine", func(c *Case) {
		c.functionFails("Error", "connect ECONNREFUSED 127.0.0.1:8000")
		c.function().Configuration.Value.Variables = []Variable{{Name: "DYNAMODB_ENDPOINT", Loopback: true}}
	}, "+table.local-endpoint"},
	{"another server on this machine", func(c *Case) {
		c.functionFails("Error", "connect ECONNREFUSED 127.0.0.1:8000")
	}, "+code.error"},
	{"a timeout, and an agent beside the function", func(c *Case) {
		c.functionFails("Sandbox.Timedout", "Task timed out after 3.00 seconds")
		c.function().Configuration.Value.Variables = []Variable{{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Loopback: true}}
	}, "+code.timeout"},
	{"a refusal that was handled", func(c *Case) {
		c.functionFails("KeyError", "'nope'", "WARN "+dynamoDBRefusal)
	}, "+code.error"},
	{"a refusal of SNS", func(c *Case) {
		c.functionFails(
			"AuthorizationErrorException",
			"User: arn:aws:sts::"+testAccount+":assumed-role/notes/notes is not authorized to "+
				"perform: SNS:Publish on resource: arn:aws:sns:us-east-1:"+testAccount+
				":x because no identity-based policy allows",
		)
	}, "+role.action"},
	{"a refusal without words", func(c *Case) { c.functionFails("AccessDenied", "Access Denied") }, "+role.action"},
	{"the path of something other than the event in Node.js", func(c *Case) {
		c.functionFails("TypeError", "Cannot read properties of undefined (reading 'path')")
	}, "+code.error"},
	{"the method of the event in Node.js", func(c *Case) {
		c.integration().PayloadFormat = "1.0"
		c.functionFails("TypeError", "Cannot read properties of undefined (reading 'method')")
		c.function().Code = knownFact("lambda:GetFunction", "notes", Code{
			Program: &Program{Mentions: []string{"http"}}})
	}, "+integration.payload-format"},
	{"an app that decodes the body", func(c *Case) {
		c.Asked.Encoded = "-"
		c.functionFails("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
		c.function().Code = knownFact("lambda:GetFunction", "notes",
			Code{Program: &Program{Mentions: []string{"isBase64Encoded"}}})
	}, "+code.error"},
	{"a dictionary in a file named environments.py", func(c *Case) {
		c.functionFails("KeyError", "'PROD'")
		c.Invocation.Value.Trace = `File "/var/task/environments.py", line 3, in get return M[n]`
	}, "+code.error"},
	{"a script with Windows line endings, found by invocation", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Interpreter: "/bin/sh\r"})
		c.functionFails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: no such file or directory")
	}, "+code.bootstrap"},
	{"an app that rejects a request as too large", func(c *Case) {
		c.gatewayAnswers(413, "Request Entity Too Large")
	}, ""},
	{"an error behind an authorizer, in the log", func(c *Case) {
		c.lambdaRoute(500, &Invocation{Shape: Shape{Decision: Decision{Says: Allows}}})
		c.Invocation = knownFact(
			"lambda:Invoke",
			"notes",
			Invocation{Failed: true, Type: "KeyError", Message: "'authorizer'"},
		)
		c.Joined, c.Lines = true, knownFact(
			"logs:FilterLogEvents",
			"/aws/lambda/notes",
			[]string{"[ERROR] ValueError: no"},
		)
	}, "(code.error) +code.error"},
	{"an error that was handled, before one that was not", func(c *Case) {
		c.requestLogs("[ERROR] PermissionError: handled", "[ERROR] ValueError: no")
	}, "+code.error"},
	{"an error that was handled, in JSON", func(c *Case) {
		c.requestLogs(`{"level":"WARN","errorType":"TimeoutError","errorMessage":"redis slow"}`)
	}, ""},
	{"a 404 of Flask behind a stage", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.setRequest("GET", "/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, "<!doctype html> <html lang=en> <title>404 Not Found</title>"
	}, "+app.stage-in-path"},
	{"DynamoDB on this machine, until the timeout", func(c *Case) {
		c.functionFails("Sandbox.Timedout", "Task timed out after 3.00 seconds")
		c.function().Configuration.Value.Variables = []Variable{{Name: "DYNAMODB_ENDPOINT", Loopback: true}}
	}, "+table.local-endpoint"},
	{"another service's throttle", func(c *Case) {
		c.functionFails(
			"ClientError",
			"An error occurred (ThrottlingException) when calling the InvokeModel operation: slow down",
		)
	}, "+code.error"},
	{"another service's missing resource", func(c *Case) {
		c.functionFails(
			"ClientError",
			"An error occurred (ResourceNotFoundException) when calling the DescribeThing operation: "+
				"Requested resource not found",
		)
	}, "+code.error"},
	{"a schema unrelated to DynamoDB", func(c *Case) {
		c.functionFails("ValidationError", "request body does not match the schema")
	}, "+code.error"},
	{"a key of another type", func(c *Case) {
		c.functionFails(
			"ClientError",
			"An error occurred (ValidationException) when calling the PutItem operation: One or more "+
				"parameter values were invalid: Type mismatch for key id expected: S actual: N",
		)
	}, "+table.keys"},

	{"a key of a plain dictionary", func(c *Case) {
		c.functionFails("KeyError", "'USER_ID'")
		c.Invocation.Value.Trace = `File "/var/task/app.py", line 3, in handler return users["USER_ID"]`
	}, "+code.error"},
	{"a variable of the environment", func(c *Case) {
		c.functionFails("KeyError", "'USER_ID'")
		c.Invocation.Value.Trace = `File "/var/task/app.py", line 3, in handler os.environ["USER_ID"]`
	}, "+code.settings"},
	{"an async handler in Python", func(c *Case) {
		c.functionFails(
			"Runtime.MarshalError",
			"Unable to marshal response: Object of type coroutine is not JSON serializable",
		)
	}, "+response.body"},
	{"a DynamoDB number in a response", func(c *Case) {
		c.functionFails("Runtime.MarshalError", "Unable to marshal response: Object of type Decimal is not JSON "+
			"serializable")
	}, "+response.body"},
	{"the adapter's wrapper without its layer", func(c *Case) {
		c.functionFails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: no such file or directory")
		c.function().Configuration.Value.Variables = []Variable{{Name: "AWS_LAMBDA_EXEC_WRAPPER"}}
	}, "+code.wrapper"},
	{"an example of Lambda's, for format 1.0", func(c *Case) {
		c.functionFails("Error", `Unsupported method "undefined"`)
	}, "+integration.payload-format"},

	{"an authorizer whose policy names another route", func(c *Case) {
		c.lambdaRoute(403, &Invocation{Shape: Shape{Decision: Decision{Says: Others, Allows: []string{"x"}}}})
	}, "+authorizer.denies"},
	{"an authorizer whose function was deleted", func(c *Case) {
		c.lambdaRoute(500, nil)
		c.Functions[1].Configuration = failedFact[Configuration]("lambda:GetFunction", "auth", Missing,
			"ResourceNotFoundException", "")
		c.Functions[1].Policy = Fact[policy.Document]{}
	}, "+authorizer.not-callable"},
	{"an issuer with a slash only in the token", func(c *Case) {
		t := good()
		t.Issuer += "/"
		c.jwtRoute(401, t)
		c.Keys = failedFact[[]Key]("issuer", "https://issuer.example", Unreachable, "", "it names itself otherwise")
	}, "+jwt.issuer"},
	{"an expired token for another audience", func(c *Case) {
		t := good()
		t.Expires, t.Audience = 1, []string{"others"}
		c.jwtRoute(401, t)
	}, "+jwt.expired +jwt.audience"},
	{"a token without scopes", func(c *Case) {
		t := good()
		t.Scopes = nil
		c.jwtRoute(403, t)
	}, "+jwt.scope"},

	{"a domain, and the stage in the path", func(c *Case) {
		c.behindDomain(Domain{}, 404)
		c.setRequest("GET", "/dev/notes")
		c.Answer.Value.RequestID = "Abc="
	}, "+endpoint.url"},
	{"a stage that differs in case", func(c *Case) {
		c.setRequest("GET", "/Dev/notes")
		c.gatewayAnswers(404, "Not Found")
	},
		"+stage.missing"},
	{"a stage twice, for an app that takes all paths", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.setRequest("GET", "/dev/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, "no such page"
	}, "+endpoint.url"},
	{"an app that takes all paths, but lacks this one", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.setRequest("GET", "/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"detail":"Not Found"}`
	}, "+app.stage-in-path"},
	{"an app that lacks the item", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.setRequest("GET", "/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"detail":"no such item"}`
	}, "+(app.answered)"},
	{"an ARN with a space at its end", func(c *Case) { c.policy(apiStatement("x", sourceARN("a1/*/* "))) },
		"+permission.mangled-arn"},
	{"an ARN that ends with the API", func(c *Case) { c.policy(apiStatement("x", sourceARN("a1"))) },
		"+permission.mangled-arn"},
	{"an ARN with a name for the API", func(c *Case) { c.policy(apiStatement("x", sourceARN("HttpApi/*/*"))) },
		"+permission.mangled-arn"},
	{"a method that works", func(c *Case) { c.integration().Method = "GET" }, ""},
}
