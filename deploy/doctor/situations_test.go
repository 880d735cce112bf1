package doctor

import (
	"example.com/portable-notes/deploy/policy"
)

// situation changes the healthy case, and lists the causes that must be found.
type situation struct {
	name  string
	set   func(c *Case)
	found string // causes in order; notes and warnings in brackets; + if it explains the response; ? if likely
}

// situations are about stages, routes, integrations, permissions, functions, code and responses.
var situations = []situation{
	{"healthy", func(*Case) {}, ""},
	{
		"healthy, without a request",
		func(c *Case) { c.Asked = Asked{API: "a1", Region: "us-east-1"}; c.Answer = Fact[Answer]{} },
		"",
	},

	{"expired credentials", func(c *Case) {
		c.Caller = failedFact[Identity]("sts:GetCallerIdentity", "", Other, "ExpiredToken", "expired")
	}, "caller.credentials"},
	{"no credentials, and an answer", func(c *Case) {
		*c = Case{Asked: c.Asked, Answer: c.Answer, Caller: failedFact[Identity]("sts:GetCallerIdentity", "", Other,
			NoCredentials, "")}
		blank500(c)
	}, "caller.credentials"},
	{"an API of another account", func(c *Case) {
		c.API = failedFact[API]("apigateway:GetApi", "a1", Missing, "NotFoundException", "")
		blank500(c)
	}, "+caller.other-account"},
	{"no such API", func(c *Case) {
		c.API = failedFact[API]("apigateway:GetApi", "a1", Missing, "NotFoundException", "")
		c.Answer = knownFact("request", "GET", Answer{Failure: "no such host", Phase: "name"})
		c.Stages, c.Routes, c.Integrations, c.Functions = Fact[[]Stage]{}, Fact[[]Route]{}, Fact[[]Integration]{}, nil
	}, "+endpoint.unknown-api"},
	{"a REST API", func(c *Case) {
		c.API = failedFact[API]("apigateway:GetApi", "a1", Missing, "NotFoundException", "")
		c.REST = knownFact("apigateway:GetRestApi", "a1", RESTAPI{"a1", "old"})
		c.Stages, c.Routes, c.Integrations, c.Functions = Fact[[]Stage]{}, Fact[[]Route]{}, Fact[[]Integration]{}, nil
	}, "(endpoint.rest-api)"},
	{"a WebSocket API", func(c *Case) { c.API.Value.Protocol = "WEBSOCKET" }, "(endpoint.websocket-api)"},
	{"another host", func(c *Case) { *c = Case{Asked: Asked{Method: "GET", Host: "example.com"}, Answer: c.Answer} },
		"(endpoint.not-ours)"},
	{"http", func(c *Case) {
		c.Asked.URL = "http://a1.execute-api.us-east-1.amazonaws.com/dev/notes"
		c.Answer = knownFact("request", "GET", Answer{Failure: "timeout", Phase: "timeout"})
	}, "+endpoint.url"},
	{"the default endpoint is disabled", func(c *Case) {
		c.API.Value.Disabled = true
		c.gatewayAnswers(404, "Not Found")
	},
		"+endpoint.disabled"},
	{"the default endpoint is disabled, and not deployed yet", func(c *Case) { c.API.Value.Disabled = true },
		"(endpoint.disabled)"},

	{"no such stage", func(c *Case) { c.setRequest("GET", "/prod/notes"); c.gatewayAnswers(404, "Not Found") },
		"+stage.missing"},
	{
		"no stage in the URL",
		func(c *Case) { c.setRequest("GET", "/notes"); c.gatewayAnswers(404, "Not Found") },
		"+stage.left-out",
	},
	{"a stage with the name of a path segment", func(c *Case) {
		c.stage().Name = "notes"
		*c.Stages.Value = append(*c.Stages.Value, Stage{Name: "$default", AutoDeploy: true, Deployment: "d2"})
		c.setRequest("GET", "/notes")
		c.gatewayAnswers(404, "Not Found")
	}, "+stage.shadows-path"},
	{"never deployed", func(c *Case) {
		c.stage().AutoDeploy, c.stage().Deployment = false, ""
		c.gatewayAnswers(404, "Not Found")
	}, "+stage.not-deployed"},
	{"a route that is not deployed", func(c *Case) {
		c.stage().AutoDeploy = false
		c.Deployed = []Named[Definition]{
			{"dev", knownFact("apigateway:ExportApi", "dev", Definition{Routes: map[string]string{
				"ANY /notes/{id}": "1"}})},
		}
		c.Latest = knownFact("apigateway:ExportApi", "", Definition{Routes: map[string]string{"GET /notes": "1",
			"ANY /notes/{id}": "1"}})
		c.gatewayAnswers(404, "Not Found")
	}, "+stage.stale"},
	{"a stage that lags on purpose", func(c *Case) {
		c.stage().AutoDeploy = false
		c.Deployed = []Named[Definition]{
			{"dev", knownFact("apigateway:ExportApi", "dev", Definition{Routes: map[string]string{
				"GET /notes": "1"}})},
		}
		c.Latest = knownFact("apigateway:ExportApi", "", Definition{Routes: map[string]string{"GET /notes": "1",
			"ANY /notes/{id}": "1"}})
	}, "(stage.stale)"},
	{"a deployment that failed", func(c *Case) { c.stage().Failed = "Deployment attempt failed: no routes" },
		"(stage.deploy-failed)"},
	{
		"a deployment that succeeded",
		func(c *Case) { c.stage().Failed = "Successfully deployed stage with deployment ID 'd1'" },
		"",
	},
	{
		"a throttle of 0",
		func(c *Case) {
			c.stage().Default = &Throttle{Burst: new(5)}
			c.gatewayAnswers(429, "Too Many Requests")
		},
		"+stage.throttled",
	},
	{"a throttle of a route", func(c *Case) {
		c.stage().Routes = map[string]Throttle{"GET /notes": {Rate: new(0.0), Burst: new(0)}}
		c.gatewayAnswers(429, "Too Many Requests")
	}, "+stage.throttled"},
	{"a throttle that is not exceeded", func(c *Case) {
		c.stage().Default = &Throttle{Rate: new(10.0), Burst: new(5)}
	}, ""},

	{"no route", func(c *Case) { c.setRequest("GET", "/dev/other"); c.gatewayAnswers(404, "Not Found") },
		"+route.missing"},
	{"another method", func(c *Case) { c.setRequest("POST", "/dev/notes"); c.gatewayAnswers(404, "Not Found") },
		"+route.method"},
	{"the parent of a greedy route", func(c *Case) {
		(*c.Routes.Value)[0].Key = "GET /notes/{proxy+}"
		(*c.Routes.Value)[1].Key = "GET /x"
		c.gatewayAnswers(404, "Not Found")
	}, "+route.greedy-parent"},
	{"a slash at the end", func(c *Case) { c.setRequest("GET", "/dev/notes/"); c.gatewayAnswers(404, "Not Found") },
		"+route.trailing-slash"},
	{"capital letters", func(c *Case) { c.setRequest("GET", "/dev/Notes"); c.gatewayAnswers(404, "Not Found") },
		"+route.case"},
	{
		"the stage twice",
		func(c *Case) { c.setRequest("GET", "/dev/dev/notes"); c.gatewayAnswers(404, "Not Found") },
		"+endpoint.url",
	},
	{"a route without a target", func(c *Case) { (*c.Routes.Value)[0].Target = ""; c.gatewayAnswers(404, "Not Found") },
		"+route.no-target"},
	{"a deleted integration", func(c *Case) { (*c.Routes.Value)[0].Target = "integrations/gone"; blank500(c) },
		"+route.integration-gone"},

	{"a deleted function", func(c *Case) {
		blank500(c)
		c.function().Configuration = failedFact[Configuration](
			"lambda:GetFunction",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
		c.function().Policy = failedFact[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
	}, "+integration.function-missing"},
	{"a deleted alias", func(c *Case) {
		blank500(c)
		c.function().Bare = c.function().Configuration
		c.setQualifier("live")
		c.function().Configuration = failedFact[Configuration]("lambda:GetFunction", "notes:live", Missing,
			"ResourceNotFoundException", "")
	}, "+integration.qualifier-missing"},
	{"a stage variable that is not set", func(c *Case) {
		blank500(c)
		c.integration().URI += ":${stageVariables.alias}"
		c.Functions = nil
	}, "+integration.stage-variable"},
	{"a URI that names no function", func(c *Case) {
		blank500(c)
		c.integration().URI = "https://example.com"
		c.Functions = nil
	}, "+integration.uri"},
	{"an integration by GET", func(c *Case) { blank500(c); c.integration().Method = "GET" }, "+integration.method"},
	{"a function of another region", func(c *Case) {
		blank500(c)
		c.integration().URI = "arn:aws:lambda:eu-west-1:" + testAccount + ":function:notes"
		c.Functions = nil
	}, "+integration.elsewhere"},
	{"a function of another account", func(c *Case) {
		c.integration().URI = "arn:aws:lambda:us-east-1:999999999999:function:notes"
		c.Functions = nil
	}, ""},
	{"an HTTP_PROXY integration", func(c *Case) { c.integration().Type = "HTTP_PROXY"; c.Functions = nil },
		"(integration.other)"},
	{"an integration that times out", func(c *Case) {
		c.gatewayAnswers(503, "Service Unavailable")
		c.integration().TimeoutMillis, c.Answer.Value.Millis = 1000, 1040
	}, "+integration.timeout"},

	{"no policy", func(c *Case) {
		blank500(c)
		c.function().Policy = failedFact[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
	}, "+permission.none"},
	{"a policy for others", func(c *Case) {
		s := apiStatement("bucket", "arn:aws:s3:::x")
		s.Principal.Names["Service"] = policy.Strings{"s3.amazonaws.com"}
		c.policy(s)
	}, "+permission.no-apigateway"},
	{"a policy for the wrong principal", func(c *Case) {
		s := apiStatement("api", sourceARN("a1/*/*"))
		s.Principal.Names["Service"] = policy.Strings{"apigateway.amazonaws.com.cn"}
		c.policy(s)
	}, "+permission.principal"},
	{"another action", func(c *Case) {
		s := apiStatement("api", sourceARN("a1/*/*"))
		s.Action = policy.Strings{"lambda:GetFunction"}
		c.policy(s)
	}, "+permission.action"},
	{"an empty account", func(c *Case) { c.policy(apiStatement("api", "arn:aws:execute-api:us-east-1::a1/*/*")) },
		"+permission.account"},
	{"another account's source", func(c *Case) {
		s := apiStatement("api", sourceARN("a1/*/*"))
		s.Condition["StringEquals"] = map[string]policy.Strings{"AWS:SourceAccount": {"999999999999"}}
		c.policy(s)
	}, "+permission.account"},
	{
		"another region",
		func(c *Case) { c.policy(apiStatement("api", "arn:aws:execute-api:eu-west-1:"+testAccount+":a1/*/*")) },
		"+permission.region",
	},
	{
		"another partition",
		func(c *Case) { c.policy(apiStatement("api", "arn:aws-cn:execute-api:us-east-1:"+testAccount+":a1/*")) },
		"+permission.region",
	},
	{"another API", func(c *Case) {
		c.policy(apiStatement("api", sourceARN("b2/*/*")))
		c.OtherAPIs = []Named[API]{{"us-east-1 b2", knownFact("apigateway:GetApi", "b2", API{ID: "b2"})}}
	}, "+permission.other-api"},
	{"a deleted API", func(c *Case) {
		c.policy(apiStatement("api", sourceARN("b2/*/*")))
		c.OtherAPIs = []Named[API]{
			{"us-east-1 b2", failedFact[API]("apigateway:GetApi", "b2", Missing, "NotFoundException", "")},
		}
	}, "+permission.deleted-api"},
	{"another stage", func(c *Case) { c.policy(apiStatement("api", sourceARN("a1/prod/*"))) }, "+permission.stage"},
	{"another method", func(c *Case) {
		c.policy(apiStatement("api", sourceARN("a1/*/POST/notes")), apiStatement("b", sourceARN("a1/*/*/notes/*")))
	},
		"+permission.method"},
	{"the word ANY", func(c *Case) {
		c.setRequest("GET", "/dev/notes/{id}")
		c.policy(apiStatement("a", sourceARN("a1/*/GET/notes")), apiStatement("b", sourceARN("a1/dev/ANY/notes/*")))
	}, "+permission.method?"},
	{
		"another path",
		func(c *Case) {
			c.policy(apiStatement("api", sourceARN("a1/*/*/items")), apiStatement("b", sourceARN("a1/*/*/notes/*")))
		},
		"+permission.path",
	},
	{"a literal template in braces", func(c *Case) {
		c.policy(apiStatement("a", sourceARN("a1/*/GET/notes")), apiStatement("b", sourceARN("a1/*/*/notes/{id}")))
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"three parts for $default", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(apiStatement("api", sourceARN("a1/*/*/*")))
	}, "+permission.default-route"},
	{"the old form for $default", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(apiStatement("api", sourceARN("a1/*/*/$default")))
	}, "+permission.default-route"},
	{"the right form for $default", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(apiStatement("api", sourceARN("a1/*/$default")))
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"a source ARN that a shell has mangled", func(c *Case) { c.policy(apiStatement("api", sourceARN("a1//"))) },
		"+permission.mangled-arn"},
	{"a grant on the function for an alias", func(c *Case) {
		blank500(c)
		granted := c.function().Policy
		c.setQualifier("live")
		c.function().Elsewhere = []Named[policy.Document]{{"notes", granted}}
	}, "+permission.qualifier"},
	{"$LATEST", func(c *Case) {
		blank500(c)
		c.setQualifier("$LATEST")
		c.function().Policy = Fact[policy.Document]{}
	}, "+permission.qualifier"},
	{"a grant for a function URL", func(c *Case) {
		s := apiStatement("url", "")
		s.Principal = &policy.Principal{Everybody: true}
		s.Condition = policy.Conditions{"Bool": {"lambda:InvokedViaFunctionUrl": {"true"}}}
		c.policy(s)
	}, "+permission.condition"},
	{"a grant for an organization", func(c *Case) {
		s := apiStatement("org", sourceARN("a1/*/*"))
		s.Condition["StringEquals"] = map[string]policy.Strings{"aws:PrincipalOrgID": {"o-1"}}
		c.policy(s)
	}, "+permission.condition"},
	{"a condition that cannot be judged", func(c *Case) {
		s := apiStatement("odd", sourceARN("a1/*/*"))
		s.Condition["StringEquals"] = map[string]policy.Strings{"aws:SourceOrgID": {"o-1"}}
		c.policy(s)
	}, "+permission.condition?"},
	{"a grant without a source", func(c *Case) {
		s := apiStatement("wide", "")
		s.Condition = nil
		c.function().Policy = granting(s)
	}, "(permission.too-wide)"},
	{"a grant for a deleted API, beside the right one", func(c *Case) {
		c.function().Policy = granting(apiStatement("api", sourceARN("a1/*/*")),
			apiStatement("old", sourceARN("b2/*/*")))
		c.OtherAPIs = []Named[API]{
			{"us-east-1 b2", failedFact[API]("apigateway:GetApi", "b2", Missing, "NotFoundException", "")},
		}
	}, "(permission.left-over)"},
	{"a policy that may not be read", func(c *Case) {
		c.function().Policy = failedFact[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Denied,
			"AccessDeniedException",
			"no",
		)
	}, "(caller.rights)"},

	{"a function that is Pending", func(c *Case) { blank500(c); c.function().Configuration.Value.State = "Pending" },
		"+function.pending"},
	{"a function that is Inactive", func(c *Case) { blank500(c); c.function().Configuration.Value.State = "Inactive" },
		"+function.inactive"},
	{"a function that Failed", func(c *Case) { blank500(c); c.function().Configuration.Value.State = "Failed" },
		"+function.failed"},
	{
		"an update under way",
		func(c *Case) { c.function().Configuration.Value.Update = "InProgress" },
		"(function.updating)",
	},
	{"an update that failed", func(c *Case) { c.function().Configuration.Value.Update = "Failed" },
		"(function.update-failed)"},
	{"a concurrency of 0", func(c *Case) { blank500(c); c.function().Configuration.Value.Concurrency = new(0) },
		"+function.concurrency-zero"},
	{"throttled", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Other, "TooManyRequestsException",
			"Rate Exceeded.")
	}, "+function.throttled"},
	{"KMS", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Other, "KMSAccessDeniedException", "denied")
	}, "+function.kms"},
	{"EFS", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Other, "EFSMountTimeoutException", "late")
	}, "+function.efs"},
	{"SnapStart", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Other, "SnapStartException", "no")
	}, "+function.snapstart"},
	{"a role that Lambda may not assume", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Denied, "AccessDeniedException",
			"The role defined for the function cannot be assumed by Lambda.")
	}, "+function.role"},
	{"another refusal", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Other, "InvalidZipFileException", "no zip")
	}, "+function.refused"},
	{"no permission to invoke", func(c *Case) {
		blank500(c)
		c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Denied, "AccessDeniedException",
			"not authorized")
	}, "(caller.rights)"},

	{"another architecture", func(c *Case) {
		c.functionFails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: exec format error")
	},
		"+code.architecture"},
	{"no bootstrap", func(c *Case) { c.functionFails("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s)") },
		"+code.bootstrap"},
	{"not executable", func(c *Case) {
		c.functionFails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: permission denied")
	},
		"+code.not-executable"},
	{"a missing loader", func(c *Case) {
		c.functionFails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: no such file or directory")
	}, "+code.dynamic-link"},
	{"no handler", func(c *Case) { c.functionFails("Runtime.HandlerNotFound", "Handler 'x' missing on module 'app'") },
		"+code.handler"},
	{"a missing module", func(c *Case) { c.functionFails("Runtime.ImportModuleError", "No module named 'requests'") },
		"+code.import"},
	{"a callback", func(c *Case) { c.functionFails("Runtime.CallbackHandlerDeprecated", "no callbacks") },
		"+code.callback"},
	{"an extension", func(c *Case) { c.functionFails("Extension.LaunchError", "exec format error") }, "+code.layer"},
	{"a crash at the start", func(c *Case) {
		c.functionFails("Runtime.ExitError", "Runtime exited with error: exit status 1",
			"INIT_REPORT Init Duration: 9 ms")
	}, "+code.init"},
	{
		"a start that times out",
		func(c *Case) {
			c.functionFails("Sandbox.Timedout", "Task timed out", "INIT_REPORT Init Duration: 9 ms")
		},
		"+code.init-timeout",
	},
	{
		"a crash",
		func(c *Case) { c.functionFails("Runtime.ExitError", "Runtime exited with error: exit status 1") },
		"+code.crash",
	},
	{"too little memory", func(c *Case) {
		c.functionFails("Runtime.ExitError",
			"Runtime exited with error: signal: killed")
	},
		"+code.memory"},
	{
		"a timeout",
		func(c *Case) { c.functionFails("Sandbox.Timedout", "Task timed out after 3.00 seconds") },
		"+code.timeout",
	},
	{"an exception", func(c *Case) { c.functionFails("ZeroDivisionError", "division by zero") }, "+code.error"},
	{"an exception that a direct invocation may cause", func(c *Case) {
		c.setRequest("GET", "/dev/notes/{id}")
		(*c.Routes.Value)[1].Authorization = "JWT"
		c.functionFails("KeyError", "'sub'")
	}, "(code.error)"},
	{"a missing variable", func(c *Case) { c.functionFails("KeyError", "'TABLE_NAME'") }, "+code.settings"},
	{"a key with the name of an existing variable", func(c *Case) { c.functionFails("KeyError", "'TABLE'") },
		"+code.error"},

	{"no statusCode in format 1.0", func(c *Case) {
		c.integration().PayloadFormat = "1.0"
		c.functionReturns(Shape{JSON: true, Kind: "object"})
	}, "+response.no-status"},
	{"a statusCode that is text", func(c *Case) {
		c.functionReturns(Shape{
			JSON: true, Kind: "object", StatusCode: `"ok"`})
	},
		"+response.status"},
	{"a body that is an object", func(c *Case) {
		c.functionReturns(Shape{JSON: true, StatusCode: "200", Status: 200, Wrong: "body is an object, not text"})
	}, "+response.body"},
	{"a body that is not base64", func(c *Case) {
		c.functionReturns(Shape{JSON: true, StatusCode: "200", Status: 200, Wrong: "body is not base64"})
	}, "+response.base64"},
	{"a header that is a number", func(c *Case) {
		c.functionReturns(Shape{JSON: true, StatusCode: "200", Status: 200, Wrong: "header x is a number, not text"})
	}, "+response.headers"},
	{"too large", func(c *Case) { c.functionFails("Function.ResponseSizeTooLarge", "Response payload size exceeded") },
		"+response.too-large"},
	{"a valid response", func(c *Case) {
		c.functionReturns(Shape{JSON: true, StatusCode: "200", Status: 200})
	}, ""},

	{"the app answers 500", func(c *Case) { c.Answer.Value.Status, c.Answer.Value.Body = 500, `{"error":"x"}` },
		"+app.answered"},
	{"the app answers 404", func(c *Case) { c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"error":"x"}` },
		"+(app.answered)"},
	{
		"the app sees the stage",
		func(c *Case) { c.Answer.Value.Status, c.Answer.Value.Body = 404, "no /dev/notes here" },
		"+app.stage-in-path",
	},

	{
		"a blank 500 that nothing explains, without an access log",
		func(c *Case) { blank500(c); c.stage().AccessLog = nil },
		"(logs.access-off)",
	},
	{"a blank 500 that nothing explains, with a short access log", func(c *Case) {
		blank500(c)
		c.stage().AccessLog.Format = "$context.requestId"
	}, "(logs.access-blind)"},
}
