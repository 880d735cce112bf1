package doctor

import (
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// reportSituations are of what people reported: errors that look like others, and others that look like them.
var reportSituations = []situation{
	{"a long refusal by a permissions boundary", func(c *Case) {
		c.fails("ClientError", refused+" because no permissions boundary allows the dynamodb:Scan action")
		c.withRole("dynamodb:*", "*")
	}, "+role.denied"},
	{"a refusal that was cut", func(c *Case) {
		c.fails("ClientError", strings.Replace(refused, "table/items", "tab…", 1))
		c.withRole("dynamodb:*", "*")
	}, "+role.action"},
	{"a refusal of what the role may", func(c *Case) {
		c.fails("ClientError", refused)
		c.withRole("dynamodb:Scan", "*")
	}, "+role.denied"},
	{"a refusal of what the role may, in a line of some request", func(c *Case) {
		blank(c)
		c.asks("POST", "/dev/notes/{id}")
		c.logs(refused)
		c.withRole("dynamodb:Scan", "*")
	}, ""},
	{"a refusal of another principal", func(c *Case) {
		c.fails("ClientError", strings.Replace(refused, "assumed-role/notes/notes", "assumed-role/other/x", 1))
		c.function().Configuration.Value.Role = "arn:aws:iam::" + account + ":role/notes"
		c.withRole("s3:GetObject", "*")
	}, "+role.action"},
	{"a statement of the role that denies", func(c *Case) {
		c.fails("ClientError", refused+" with an explicit deny in an identity-based policy")
	}, "+role.denied"},
	{"a refusal that names nothing", func(c *Case) {
		c.fails("ClientError", "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied")
	}, "+role.action"},

	{"another database on this machine", func(c *Case) {
		c.fails("Error", "connect ECONNREFUSED 127.0.0.1:5432")
	}, "+code.error"},
	{"DynamoDB on this machine", func(c *Case) {
		c.fails("Error", "connect ECONNREFUSED 127.0.0.1:8000")
		c.function().Configuration.Value.Variables = []Variable{{Name: "DYNAMODB_ENDPOINT", Loopback: true}}
	}, "+table.local-endpoint"},
	{"a server of its own", func(c *Case) { c.fails("Error", "connect ECONNREFUSED 127.0.0.1:8000") }, "+code.error"},
	{"a timeout, and an agent beside the function", func(c *Case) {
		c.fails("Sandbox.Timedout", "Task timed out after 3.00 seconds")
		c.function().Configuration.Value.Variables = []Variable{{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Loopback: true}}
	}, "+code.timeout"},
	{"a refusal that was handled", func(c *Case) {
		c.fails("KeyError", "'nope'", "WARN "+refused)
	}, "+code.error"},
	{"a refusal of SNS", func(c *Case) {
		c.fails(
			"AuthorizationErrorException",
			"User: arn:aws:sts::"+account+":assumed-role/notes/notes is not authorized to "+
				"perform: SNS:Publish on resource: arn:aws:sns:us-east-1:"+account+
				":x because no identity-based policy allows",
		)
	}, "+role.action"},
	{"a refusal without words", func(c *Case) { c.fails("AccessDenied", "Access Denied") }, "+role.action"},
	{"a path of something else in Node.js", func(c *Case) {
		c.fails("TypeError", "Cannot read properties of undefined (reading 'path')")
	}, "+code.error"},
	{"a method of the event in Node.js", func(c *Case) {
		c.integration().PayloadFormat = "1.0"
		c.fails("TypeError", "Cannot read properties of undefined (reading 'method')")
		c.function().Code = seen("lambda:GetFunction", "notes", Code{Program: &Program{Mentions: []string{"http"}}})
	}, "+integration.payload-format"},
	{"an app that decodes the body", func(c *Case) {
		c.Asked.Encoded = "-"
		c.fails("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
		c.function().Code = seen("lambda:GetFunction", "notes",
			Code{Program: &Program{Mentions: []string{"isBase64Encoded"}}})
	}, "+code.error"},
	{"a dictionary in a file that is named as the environment", func(c *Case) {
		c.fails("KeyError", "'PROD'")
		c.Invocation.Value.Trace = `File "/var/task/environments.py", line 3, in get return M[n]`
	}, "+code.error"},
	{"a script with the line ends of Windows, as its invocation tells", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Interpreter: "/bin/sh\r"})
		c.fails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: no such file or directory")
	}, "+code.bootstrap"},
	{"an app that says that a request is too large", func(c *Case) {
		c.answers(413, "Request Entity Too Large")
	}, ""},
	{"an error behind an authorizer, as the log tells", func(c *Case) {
		c.lambdaRoute(500, &Invocation{Shape: Shape{Decision: Decision{Says: Allows}}})
		c.Invocation = seen(
			"lambda:Invoke",
			"notes",
			Invocation{Failed: true, Type: "KeyError", Message: "'authorizer'"},
		)
		c.Joined, c.Lines = true, seen(
			"logs:FilterLogEvents",
			"/aws/lambda/notes",
			[]string{"[ERROR] ValueError: no"},
		)
	}, "(code.error) +code.error"},
	{"an error that was handled, before one that was not", func(c *Case) {
		c.says("[ERROR] PermissionError: handled", "[ERROR] ValueError: no")
	}, "+code.error"},
	{"an error that was handled, in JSON", func(c *Case) {
		c.says(`{"level":"WARN","errorType":"TimeoutError","errorMessage":"redis slow"}`)
	}, ""},
	{"a 404 of Flask behind a stage", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.asks("GET", "/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, "<!doctype html> <html lang=en> <title>404 Not Found</title>"
	}, "+app.stage-in-path"},
	{"DynamoDB on this machine, until the time is over", func(c *Case) {
		c.fails("Sandbox.Timedout", "Task timed out after 3.00 seconds")
		c.function().Configuration.Value.Variables = []Variable{{Name: "DYNAMODB_ENDPOINT", Loopback: true}}
	}, "+table.local-endpoint"},
	{"another service's throttle", func(c *Case) {
		c.fails(
			"ClientError",
			"An error occurred (ThrottlingException) when calling the InvokeModel operation: slow down",
		)
	}, "+code.error"},
	{"another service's missing resource", func(c *Case) {
		c.fails(
			"ClientError",
			"An error occurred (ResourceNotFoundException) when calling the DescribeThing operation: "+
				"Requested resource not found",
		)
	}, "+code.error"},
	{"a schema of something else", func(c *Case) {
		c.fails("ValidationError", "request body does not match the schema")
	}, "+code.error"},
	{"a key of another type", func(c *Case) {
		c.fails(
			"ClientError",
			"An error occurred (ValidationException) when calling the PutItem operation: One or more "+
				"parameter values were invalid: Type mismatch for key id expected: S actual: N",
		)
	}, "+table.keys"},

	{"a key of a plain dictionary", func(c *Case) {
		c.fails("KeyError", "'USER_ID'")
		c.Invocation.Value.Trace = `File "/var/task/app.py", line 3, in handler return users["USER_ID"]`
	}, "+code.error"},
	{"a variable of the environment", func(c *Case) {
		c.fails("KeyError", "'USER_ID'")
		c.Invocation.Value.Trace = `File "/var/task/app.py", line 3, in handler os.environ["USER_ID"]`
	}, "+code.settings"},
	{"a handler that is async in Python", func(c *Case) {
		c.fails(
			"Runtime.MarshalError",
			"Unable to marshal response: Object of type coroutine is not JSON serializable",
		)
	}, "+response.body"},
	{"a number of DynamoDB in an answer", func(c *Case) {
		c.fails("Runtime.MarshalError", "Unable to marshal response: Object of type Decimal is not JSON serializable")
	}, "+response.body"},
	{"the adapter's wrapper without its layer", func(c *Case) {
		c.fails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: no such file or directory")
		c.function().Configuration.Value.Variables = []Variable{{Name: "AWS_LAMBDA_EXEC_WRAPPER"}}
	}, "+code.wrapper"},
	{"an example of Lambda's, for format 1.0", func(c *Case) {
		c.fails("Error", `Unsupported method "undefined"`)
	}, "+integration.payload-format"},

	{"an authorizer whose policy names another route", func(c *Case) {
		c.lambdaRoute(403, &Invocation{Shape: Shape{Decision: Decision{Says: Others, Allows: []string{"x"}}}})
	}, "+authorizer.denies"},
	{"an authorizer whose function is gone", func(c *Case) {
		c.lambdaRoute(500, nil)
		c.Functions[1].Configuration = lost[Configuration]("lambda:GetFunction", "auth", Missing,
			"ResourceNotFoundException", "")
		c.Functions[1].Policy = Fact[policy.Document]{}
	}, "+authorizer.not-callable"},
	{"an issuer with a slash in the token alone", func(c *Case) {
		t := good()
		t.Issuer += "/"
		c.jwtRoute(401, t)
		c.Keys = lost[[]Key]("issuer", "https://issuer.example", Unreachable, "", "it names itself otherwise")
	}, "+jwt.issuer"},
	{"a token that is old, and for somebody else", func(c *Case) {
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
		c.behind(Domain{}, 404)
		c.asks("GET", "/dev/notes")
		c.Answer.Value.RequestID = "Abc="
	}, "+endpoint.url"},
	{"a stage in other letters", func(c *Case) { c.asks("GET", "/Dev/notes"); c.answers(404, "Not Found") },
		"+stage.missing"},
	{"a stage twice, for an app that takes all paths", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.asks("GET", "/dev/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, "no such page"
	}, "+endpoint.url"},
	{"an app that takes all paths, and has not this one", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.asks("GET", "/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"detail":"Not Found"}`
	}, "+app.stage-in-path"},
	{"an app that has no such item", func(c *Case) {
		(*c.Routes.Value)[0].Key = "ANY /{proxy+}"
		c.asks("GET", "/dev/{proxy+}")
		c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"detail":"no such item"}`
	}, "+(app.answered)"},
	{"an ARN with a space at its end", func(c *Case) { c.policy(statement("x", arn("a1/*/* "))) },
		"+permission.mangled-arn"},
	{"an ARN that ends with the API", func(c *Case) { c.policy(statement("x", arn("a1"))) },
		"+permission.mangled-arn"},
	{"an ARN with a name for the API", func(c *Case) { c.policy(statement("x", arn("HttpApi/*/*"))) },
		"+permission.mangled-arn"},
	{"a method that works", func(c *Case) { c.integration().Method = "GET" }, ""},
}
