package doctor

import (
	"example.com/portable-notes/deploy/policy"
)

// situation is a case with what must be found in it.
type situation struct {
	name  string
	set   func(c *Case)
	found string // causes in their order, notes and warnings in brackets; + of what explains the answer
}

// situations are cases with what must be found in them. A cause with a + is the one that explains the answer.
var situations = []situation{
	{"healthy", func(*Case) {}, ""},
	{
		"healthy, without a request",
		func(c *Case) { c.Asked = Asked{API: "a1", Region: "us-east-1"}; c.Answer = Fact[Answer]{} },
		"",
	},

	{"expired credentials", func(c *Case) {
		c.Caller = lost[Identity]("sts:GetCallerIdentity", "", Other, "ExpiredToken", "expired")
	}, "caller.credentials"},
	{"no credentials, and an answer", func(c *Case) {
		*c = Case{Asked: c.Asked, Answer: c.Answer, Caller: lost[Identity]("sts:GetCallerIdentity", "", Other,
			NoCredentials, "")}
		blank(c)
	}, "caller.credentials"},
	{"an API of another account", func(c *Case) {
		c.API = lost[API]("apigateway:GetApi", "a1", Missing, "NotFoundException", "")
		blank(c)
	}, "+caller.other-account"},
	{"no such API", func(c *Case) {
		c.API = lost[API]("apigateway:GetApi", "a1", Missing, "NotFoundException", "")
		c.Answer = seen("request", "GET", Answer{Failure: "no such host", Phase: "name"})
		c.Stages, c.Routes, c.Integrations, c.Functions = Fact[[]Stage]{}, Fact[[]Route]{}, Fact[[]Integration]{}, nil
	}, "+endpoint.unknown-api"},
	{"a REST API", func(c *Case) {
		c.API = lost[API]("apigateway:GetApi", "a1", Missing, "NotFoundException", "")
		c.REST = seen("apigateway:GetRestApi", "a1", RESTAPI{"a1", "old"})
		c.Stages, c.Routes, c.Integrations, c.Functions = Fact[[]Stage]{}, Fact[[]Route]{}, Fact[[]Integration]{}, nil
	}, "(endpoint.rest-api)"},
	{"a WebSocket API", func(c *Case) { c.API.Value.Protocol = "WEBSOCKET" }, "(endpoint.websocket-api)"},
	{"another host", func(c *Case) { *c = Case{Asked: Asked{Method: "GET", Host: "example.com"}, Answer: c.Answer} },
		"(endpoint.not-ours)"},
	{"http", func(c *Case) {
		c.Asked.URL = "http://a1.execute-api.us-east-1.amazonaws.com/dev/notes"
		c.Answer = seen("request", "GET", Answer{Failure: "timeout", Phase: "timeout"})
	}, "+endpoint.url"},
	{"the default endpoint is disabled", func(c *Case) { c.API.Value.Disabled = true; c.answers(404, "Not Found") },
		"+endpoint.disabled"},
	{"the default endpoint is disabled, and not deployed yet", func(c *Case) { c.API.Value.Disabled = true },
		"(endpoint.disabled)"},

	{"no such stage", func(c *Case) { c.asks("GET", "/prod/notes"); c.answers(404, "Not Found") }, "+stage.missing"},
	{
		"no stage in the URL",
		func(c *Case) { c.asks("GET", "/notes"); c.answers(404, "Not Found") },
		"+stage.left-out",
	},
	{"a stage named as a path", func(c *Case) {
		c.stage().Name = "notes"
		*c.Stages.Value = append(*c.Stages.Value, Stage{Name: "$default", AutoDeploy: true, Deployment: "d2"})
		c.asks("GET", "/notes")
		c.answers(404, "Not Found")
	}, "+stage.shadows-path"},
	{"never deployed", func(c *Case) {
		c.stage().AutoDeploy, c.stage().Deployment = false, ""
		c.answers(404, "Not Found")
	}, "+stage.not-deployed"},
	{"a route that is not deployed", func(c *Case) {
		c.stage().AutoDeploy = false
		c.Deployed = []Named[Definition]{
			{"dev", seen("apigateway:ExportApi", "dev", Definition{Routes: map[string]string{
				"ANY /notes/{id}": "1"}})},
		}
		c.Latest = seen("apigateway:ExportApi", "", Definition{Routes: map[string]string{"GET /notes": "1",
			"ANY /notes/{id}": "1"}})
		c.answers(404, "Not Found")
	}, "+stage.stale"},
	{"a stage that lags on purpose", func(c *Case) {
		c.stage().AutoDeploy = false
		c.Deployed = []Named[Definition]{
			{"dev", seen("apigateway:ExportApi", "dev", Definition{Routes: map[string]string{
				"GET /notes": "1"}})},
		}
		c.Latest = seen("apigateway:ExportApi", "", Definition{Routes: map[string]string{"GET /notes": "1",
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
		func(c *Case) { c.stage().Default = &Throttle{Burst: new(5)}; c.answers(429, "Too Many Requests") },
		"+stage.throttled",
	},
	{"a throttle of a route", func(c *Case) {
		c.stage().Routes = map[string]Throttle{"GET /notes": {Rate: new(0.0), Burst: new(0)}}
		c.answers(429, "Too Many Requests")
	}, "+stage.throttled"},
	{"a throttle that is met", func(c *Case) { c.stage().Default = &Throttle{Rate: new(10.0), Burst: new(5)} }, ""},

	{"no route", func(c *Case) { c.asks("GET", "/dev/other"); c.answers(404, "Not Found") }, "+route.missing"},
	{"another method", func(c *Case) { c.asks("POST", "/dev/notes"); c.answers(404, "Not Found") }, "+route.method"},
	{"the parent of a greedy route", func(c *Case) {
		(*c.Routes.Value)[0].Key = "GET /notes/{proxy+}"
		(*c.Routes.Value)[1].Key = "GET /x"
		c.answers(404, "Not Found")
	}, "+route.greedy-parent"},
	{"a slash at the end", func(c *Case) { c.asks("GET", "/dev/notes/"); c.answers(404, "Not Found") },
		"+route.trailing-slash"},
	{"capital letters", func(c *Case) { c.asks("GET", "/dev/Notes"); c.answers(404, "Not Found") }, "+route.case"},
	{
		"the stage twice",
		func(c *Case) { c.asks("GET", "/dev/dev/notes"); c.answers(404, "Not Found") },
		"+endpoint.url",
	},
	{"a route without a target", func(c *Case) { (*c.Routes.Value)[0].Target = ""; c.answers(404, "Not Found") },
		"+route.no-target"},
	{"an integration that is gone", func(c *Case) { (*c.Routes.Value)[0].Target = "integrations/gone"; blank(c) },
		"+route.integration-gone"},

	{"a function that is gone", func(c *Case) {
		blank(c)
		c.function().Configuration = lost[Configuration](
			"lambda:GetFunction",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
		c.function().Policy = lost[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
	}, "+integration.function-missing"},
	{"an alias that is gone", func(c *Case) {
		blank(c)
		c.function().Bare = c.function().Configuration
		c.to("live")
		c.function().Configuration = lost[Configuration]("lambda:GetFunction", "notes:live", Missing,
			"ResourceNotFoundException", "")
	}, "+integration.qualifier-missing"},
	{"a stage variable that is not set", func(c *Case) {
		blank(c)
		c.integration().URI += ":${stageVariables.alias}"
		c.Functions = nil
	}, "+integration.stage-variable"},
	{"a URI that names no function", func(c *Case) {
		blank(c)
		c.integration().URI = "https://example.com"
		c.Functions = nil
	}, "+integration.uri"},
	{"an integration by GET", func(c *Case) { blank(c); c.integration().Method = "GET" }, "+integration.method"},
	{"a function of another region", func(c *Case) {
		blank(c)
		c.integration().URI = "arn:aws:lambda:eu-west-1:" + account + ":function:notes"
		c.Functions = nil
	}, "+integration.elsewhere"},
	{"a function of another account", func(c *Case) {
		c.integration().URI = "arn:aws:lambda:us-east-1:999999999999:function:notes"
		c.Functions = nil
	}, ""},
	{"an HTTP_PROXY integration", func(c *Case) { c.integration().Type = "HTTP_PROXY"; c.Functions = nil },
		"(integration.other)"},
	{"an integration that is late", func(c *Case) {
		c.answers(503, "Service Unavailable")
		c.integration().TimeoutMillis, c.Answer.Value.Millis = 1000, 1040
	}, "+integration.timeout"},

	{"no policy", func(c *Case) {
		blank(c)
		c.function().Policy = lost[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
	}, "+permission.none"},
	{"a policy for others", func(c *Case) {
		s := statement("bucket", "arn:aws:s3:::x")
		s.Principal.Names["Service"] = policy.Strings{"s3.amazonaws.com"}
		c.policy(s)
	}, "+permission.no-apigateway"},
	{"a policy for the organization's principal", func(c *Case) {
		s := statement("api", arn("a1/*/*"))
		s.Principal.Names["Service"] = policy.Strings{"apigateway.amazonaws.com.cn"}
		c.policy(s)
	}, "+permission.principal"},
	{"another action", func(c *Case) {
		s := statement("api", arn("a1/*/*"))
		s.Action = policy.Strings{"lambda:GetFunction"}
		c.policy(s)
	}, "+permission.action"},
	{"an empty account", func(c *Case) { c.policy(statement("api", "arn:aws:execute-api:us-east-1::a1/*/*")) },
		"+permission.account"},
	{"another account's source", func(c *Case) {
		s := statement("api", arn("a1/*/*"))
		s.Condition["StringEquals"] = map[string]policy.Strings{"AWS:SourceAccount": {"999999999999"}}
		c.policy(s)
	}, "+permission.account"},
	{
		"another region",
		func(c *Case) { c.policy(statement("api", "arn:aws:execute-api:eu-west-1:"+account+":a1/*/*")) },
		"+permission.region",
	},
	{
		"another partition",
		func(c *Case) { c.policy(statement("api", "arn:aws-cn:execute-api:us-east-1:"+account+":a1/*")) },
		"+permission.region",
	},
	{"another API", func(c *Case) {
		c.policy(statement("api", arn("b2/*/*")))
		c.OtherAPIs = []Named[API]{{"us-east-1 b2", seen("apigateway:GetApi", "b2", API{ID: "b2"})}}
	}, "+permission.other-api"},
	{"an API that is gone", func(c *Case) {
		c.policy(statement("api", arn("b2/*/*")))
		c.OtherAPIs = []Named[API]{
			{"us-east-1 b2", lost[API]("apigateway:GetApi", "b2", Missing, "NotFoundException", "")},
		}
	}, "+permission.deleted-api"},
	{"another stage", func(c *Case) { c.policy(statement("api", arn("a1/prod/*"))) }, "+permission.stage"},
	{"another method", func(c *Case) {
		c.policy(statement("api", arn("a1/*/POST/notes")), statement("b", arn("a1/*/*/notes/*")))
	},
		"+permission.method"},
	{"the word ANY", func(c *Case) {
		c.asks("GET", "/dev/notes/{id}")
		c.policy(statement("a", arn("a1/*/GET/notes")), statement("b", arn("a1/dev/ANY/notes/*")))
	}, "+permission.method?"},
	{
		"another path",
		func(c *Case) { c.policy(statement("api", arn("a1/*/*/items")), statement("b", arn("a1/*/*/notes/*"))) },
		"+permission.path",
	},
	{"a literal template in braces", func(c *Case) {
		c.policy(statement("a", arn("a1/*/GET/notes")), statement("b", arn("a1/*/*/notes/{id}")))
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"three parts for $default", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(statement("api", arn("a1/*/*/*")))
	}, "+permission.default-route"},
	{"the old form for $default", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(statement("api", arn("a1/*/*/$default")))
	}, "+permission.default-route"},
	{"the right form for $default", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(statement("api", arn("a1/*/$default")))
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"a source ARN that a shell has mangled", func(c *Case) { c.policy(statement("api", arn("a1//"))) },
		"+permission.mangled-arn"},
	{"a grant on the function for an alias", func(c *Case) {
		blank(c)
		granted := c.function().Policy
		c.to("live")
		c.function().Elsewhere = []Named[policy.Document]{{"notes", granted}}
	}, "+permission.qualifier"},
	{"$LATEST", func(c *Case) {
		blank(c)
		c.to("$LATEST")
		c.function().Policy = Fact[policy.Document]{}
	}, "+permission.qualifier"},
	{"a grant for a function URL", func(c *Case) {
		s := statement("url", "")
		s.Principal = &policy.Principal{Everybody: true}
		s.Condition = policy.Conditions{"Bool": {"lambda:InvokedViaFunctionUrl": {"true"}}}
		c.policy(s)
	}, "+permission.condition"},
	{"a grant for an organization", func(c *Case) {
		s := statement("org", arn("a1/*/*"))
		s.Condition["StringEquals"] = map[string]policy.Strings{"aws:PrincipalOrgID": {"o-1"}}
		c.policy(s)
	}, "+permission.condition"},
	{"a condition that nobody can judge here", func(c *Case) {
		s := statement("odd", arn("a1/*/*"))
		s.Condition["StringEquals"] = map[string]policy.Strings{"aws:SourceOrgID": {"o-1"}}
		c.policy(s)
	}, "+permission.condition?"},
	{"a grant without a source", func(c *Case) {
		s := statement("wide", "")
		s.Condition = nil
		c.function().Policy = granting(s)
	}, "(permission.too-wide)"},
	{"a grant for an API that is gone, beside the right one", func(c *Case) {
		c.function().Policy = granting(statement("api", arn("a1/*/*")), statement("old", arn("b2/*/*")))
		c.OtherAPIs = []Named[API]{
			{"us-east-1 b2", lost[API]("apigateway:GetApi", "b2", Missing, "NotFoundException", "")},
		}
	}, "(permission.left-over)"},
	{"a policy that may not be read", func(c *Case) {
		c.function().Policy = lost[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Denied,
			"AccessDeniedException",
			"no",
		)
	}, "(caller.rights)"},

	{"a function that is Pending", func(c *Case) { blank(c); c.function().Configuration.Value.State = "Pending" },
		"+function.pending"},
	{"a function that is Inactive", func(c *Case) { blank(c); c.function().Configuration.Value.State = "Inactive" },
		"+function.inactive"},
	{"a function that Failed", func(c *Case) { blank(c); c.function().Configuration.Value.State = "Failed" },
		"+function.failed"},
	{
		"an update under way",
		func(c *Case) { c.function().Configuration.Value.Update = "InProgress" },
		"(function.updating)",
	},
	{"an update that failed", func(c *Case) { c.function().Configuration.Value.Update = "Failed" },
		"(function.update-failed)"},
	{"a concurrency of 0", func(c *Case) { blank(c); c.function().Configuration.Value.Concurrency = new(0) },
		"+function.concurrency-zero"},
	{"throttled", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Other, "TooManyRequestsException", "Rate Exceeded.")
	}, "+function.throttled"},
	{"KMS", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Other, "KMSAccessDeniedException", "denied")
	}, "+function.kms"},
	{"EFS", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Other, "EFSMountTimeoutException", "late")
	}, "+function.efs"},
	{"SnapStart", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Other, "SnapStartException", "no")
	}, "+function.snapstart"},
	{"a role that Lambda may not assume", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Denied, "AccessDeniedException",
			"The role defined for the function cannot be assumed by Lambda.")
	}, "+function.role"},
	{"another refusal", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Other, "InvalidZipFileException", "no zip")
	}, "+function.refused"},
	{"a doctor that may not invoke", func(c *Case) {
		blank(c)
		c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Denied, "AccessDeniedException", "not authorized")
	}, "(caller.rights)"},

	{"another processor", func(c *Case) {
		c.fails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: exec format error")
	},
		"+code.architecture"},
	{"no bootstrap", func(c *Case) { c.fails("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s)") },
		"+code.bootstrap"},
	{"not executable", func(c *Case) {
		c.fails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: permission denied")
	},
		"+code.not-executable"},
	{"a loader that lacks", func(c *Case) {
		c.fails("Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: no such file or directory")
	}, "+code.dynamic-link"},
	{"no handler", func(c *Case) { c.fails("Runtime.HandlerNotFound", "Handler 'x' missing on module 'app'") },
		"+code.handler"},
	{"a module that lacks", func(c *Case) { c.fails("Runtime.ImportModuleError", "No module named 'requests'") },
		"+code.import"},
	{"a callback", func(c *Case) { c.fails("Runtime.CallbackHandlerDeprecated", "no callbacks") }, "+code.callback"},
	{"an extension", func(c *Case) { c.fails("Extension.LaunchError", "exec format error") }, "+code.layer"},
	{"a crash at the start", func(c *Case) {
		c.fails("Runtime.ExitError", "Runtime exited with error: exit status 1", "INIT_REPORT Init Duration: 9 ms")
	}, "+code.init"},
	{
		"a late start",
		func(c *Case) { c.fails("Sandbox.Timedout", "Task timed out", "INIT_REPORT Init Duration: 9 ms") },
		"+code.init-timeout",
	},
	{
		"a crash",
		func(c *Case) { c.fails("Runtime.ExitError", "Runtime exited with error: exit status 1") },
		"+code.crash",
	},
	{"too little memory", func(c *Case) { c.fails("Runtime.ExitError", "Runtime exited with error: signal: killed") },
		"+code.memory"},
	{
		"too little time",
		func(c *Case) { c.fails("Sandbox.Timedout", "Task timed out after 3.00 seconds") },
		"+code.timeout",
	},
	{"an exception", func(c *Case) { c.fails("ZeroDivisionError", "division by zero") }, "+code.error"},
	{"an exception that a direct invocation may cause", func(c *Case) {
		c.asks("GET", "/dev/notes/{id}")
		(*c.Routes.Value)[1].Authorization = "JWT"
		c.fails("KeyError", "'sub'")
	}, "(code.error)"},
	{"a variable that lacks", func(c *Case) { c.fails("KeyError", "'TABLE_NAME'") }, "+code.settings"},
	{"a key that is a variable which is there", func(c *Case) { c.fails("KeyError", "'TABLE'") }, "+code.error"},

	{"no statusCode in format 1.0", func(c *Case) {
		c.integration().PayloadFormat = "1.0"
		c.returns(Shape{JSON: true, Kind: "object"})
	}, "+response.no-status"},
	{"a statusCode that is text", func(c *Case) { c.returns(Shape{JSON: true, Kind: "object", StatusCode: `"ok"`}) },
		"+response.status"},
	{"a body that is an object", func(c *Case) {
		c.returns(Shape{JSON: true, StatusCode: "200", Status: 200, Wrong: "body is an object, not text"})
	}, "+response.body"},
	{"a body that is not base64", func(c *Case) {
		c.returns(Shape{JSON: true, StatusCode: "200", Status: 200, Wrong: "body is not base64"})
	}, "+response.base64"},
	{"a header that is a number", func(c *Case) {
		c.returns(Shape{JSON: true, StatusCode: "200", Status: 200, Wrong: "header x is a number, not text"})
	}, "+response.headers"},
	{"too large", func(c *Case) { c.fails("Function.ResponseSizeTooLarge", "Response payload size exceeded") },
		"+response.too-large"},
	{"an answer that is right", func(c *Case) {
		c.returns(Shape{JSON: true, StatusCode: "200", Status: 200})
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
		func(c *Case) { blank(c); c.stage().AccessLog = nil },
		"(logs.access-off)",
	},
	{"a blank 500 that nothing explains, with a short access log", func(c *Case) {
		blank(c)
		c.stage().AccessLog.Format = "$context.requestId"
	}, "(logs.access-blind)"},
}
