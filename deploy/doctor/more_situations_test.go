package doctor

import (
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// jwtRoute adds a JWT authorizer to the first route.
func (c *Case) jwtRoute(status int, t Token) {
	c.gatewayAnswers(status, map[int]string{401: "Unauthorized", 403: "Forbidden"}[status])
	(*c.Routes.Value)[0].Authorization, (*c.Routes.Value)[0].Authorizer = "JWT", "j1"
	(*c.Routes.Value)[0].Scopes = []string{"notes.read"}
	a := Authorizer{ID: "j1", Name: "issuer", Type: "JWT", IdentitySources: []string{"$request.header.Authorization"}}
	a.JWT = &struct {
		Issuer   string
		Audience []string
	}{"https://issuer.example", []string{"notes"}}
	*c.Authorizers.Value = append(*c.Authorizers.Value, a)
	c.Token = &t
	c.Keys = knownFact("issuer", "https://issuer.example", []Key{{"k1", "RSA"}})
}

// good returns a token that the authorizer accepts.
func good() Token {
	return Token{Present: true, Algorithm: "RS256", KeyID: "k1", Issuer: "https://issuer.example",
		Audience: []string{"notes"}, Expires: 4e9, Scopes: []string{"notes.read"}}
}

// lambdaRoute adds a Lambda authorizer to the first route.
func (c *Case) lambdaRoute(status int, asks *Invocation) {
	c.gatewayAnswers(status, map[int]string{401: "Unauthorized", 403: "Forbidden",
		500: "Internal Server Error"}[status])
	(*c.Routes.Value)[0].Authorization, (*c.Routes.Value)[0].Authorizer = "CUSTOM", "l1"
	target := gateway.Target{Region: "us-east-1", Account: testAccount, Function: "auth"}
	*c.Authorizers.Value = []Authorizer{{ID: "l1", Name: "judge", Type: "REQUEST", TTL: 300,
		URI:             "arn:aws:lambda:us-east-1:" + testAccount + ":function:auth",
		IdentitySources: []string{"$request.header.Authorization"}}}
	s := apiStatement("authorizer", sourceARN("a1/authorizers/l1"))
	s.Resource = policy.Strings{"arn:aws:lambda:us-east-1:" + testAccount + ":function:auth"}
	c.Functions = append(c.Functions, Function{Target: target, Configuration: knownFact("lambda:GetFunction", "auth",
		Configuration{Name: "auth", State: "Active", Modified: "2026-11-27T09:10"}), Policy: granting(s)})
	if asks != nil {
		c.AuthorizerInvocation = knownFact("lambda:Invoke", "auth", *asks)
	}
}

// page makes the request that of a page, and sets the origin that the response allows.
func (c *Case) page(allowed string) {
	c.Asked.Origin, c.Asked.Headers = "https://app.example", []string{"origin"}
	if allowed != "" {
		c.Answer.Value.Headers["access-control-allow-origin"] = allowed
	}
}

// preflight makes the request a preflight for a method, and sets the methods that the response allows.
func (c *Case) preflight(method, methods string, wanted ...string) {
	c.page("https://app.example")
	c.setRequest("OPTIONS", "/dev/notes/{id}")
	c.Asked.Preflight, c.Asked.Wanted = method, wanted
	c.Answer.Value.Headers["access-control-allow-methods"] = methods
	c.API.Value.CORS = &CORS{Origins: []string{"https://app.example"}, Methods: []string{methods}}
}

// functionLogs sets the lines of the function's log.
func (c *Case) functionLogs(lines ...string) {
	c.Lines = knownFact("logs:FilterLogEvents", "/aws/lambda/notes", lines)
}

const dynamoDBRefusal = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/notes/notes is not " +
	"authorized to perform: dynamodb:Scan on resource: arn:aws:dynamodb:us-east-1:123456789012:table/items"

// withRole sets the role of the function.
func (c *Case) withRole(action, resource string) {
	c.Role = knownFact("iam:GetRole", "notes", Role{Name: "notes", Role: policy.Role{Identity: []policy.Document{{
		Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{action},
			Resource: policy.Strings{resource}}}}}}})
}

// moreSituations are about authorizers, CORS, domains, roles and tables.
var moreSituations = []situation{
	{"no token", func(c *Case) { c.jwtRoute(401, Token{}) }, "+jwt.missing"},
	{"a token in another header", func(c *Case) { c.jwtRoute(401, Token{Elsewhere: "$request.header.X-Token"}) },
		"+jwt.identity-source"},
	{
		"a broken token",
		func(c *Case) { c.jwtRoute(401, Token{Present: true, Malformed: "no dots"}) },
		"+jwt.malformed",
	},
	{"an issuer that is down", func(c *Case) {
		c.jwtRoute(401, good())
		c.Keys = failedFact[[]Key]("issuer", "https://issuer.example", Unreachable, "", "no answer")
	}, "+jwt.issuer-unreachable"},
	{"a token signed with an elliptic curve", func(c *Case) {
		t := good()
		t.Algorithm = "ES256"
		c.jwtRoute(401, t)
	}, "+jwt.algorithm"},
	{"a slash at the end of the issuer", func(c *Case) { t := good(); t.Issuer += "/"; c.jwtRoute(401, t) },
		"+jwt.issuer"},
	{"an expired token", func(c *Case) { t := good(); t.Expires = 1; c.jwtRoute(401, t) }, "+jwt.expired"},
	{"a token issued in the future", func(c *Case) { t := good(); t.Issued = 4e9; c.jwtRoute(401, t) }, "+jwt.expired"},
	{
		"another audience",
		func(c *Case) { t := good(); t.Audience = []string{"x"}; c.jwtRoute(401, t) },
		"+jwt.audience",
	},
	{"a client id instead of an audience", func(c *Case) {
		t := good()
		t.Audience, t.ClientID = nil, "notes"
		c.jwtRoute(401, t)
	}, "+jwt.signature"},
	{"another scope", func(c *Case) { t := good(); t.Scopes = []string{"x"}; c.jwtRoute(403, t) }, "+jwt.scope"},
	{"an unknown key", func(c *Case) { t := good(); t.KeyID = "k2"; c.jwtRoute(401, t) }, "+jwt.signature"},
	{"a JWT route that works", func(c *Case) {
		c.jwtRoute(401, good())
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},

	{"an authorizer that may not be invoked", func(c *Case) {
		c.lambdaRoute(500, nil)
		c.Functions[1].Policy = granting(apiStatement("x", sourceARN("b2/*")))
	}, "+authorizer.not-callable"},
	{"a missing identity source", func(c *Case) { c.lambdaRoute(401, nil) }, "+authorizer.identity-missing"},
	{"an authorizer that fails", func(c *Case) {
		c.lambdaRoute(500, &Invocation{Failed: true, Type: "KeyError", Message: "'x'", Log: []string{"[ERROR]"}})
	}, "+authorizer.fails"},
	{"an authorizer with the other response format", func(c *Case) {
		c.lambdaRoute(500, &Invocation{Shape: Shape{Decision: Decision{Wrong: "it has no policyDocument"}}})
	}, "+authorizer.shape"},
	{
		"an authorizer that denies",
		func(c *Case) { c.lambdaRoute(403, &Invocation{Shape: Shape{Decision: Decision{Says: Denies}}}) },
		"+authorizer.denies",
	},
	{"an authorizer that was not invoked", func(c *Case) { c.lambdaRoute(403, nil) }, "+authorizer.denies"},
	{"a cached decision", func(c *Case) {
		c.lambdaRoute(403, &Invocation{Shape: Shape{Decision: Decision{Says: Allows}}})
	}, "+authorizer.cached"},
	{"a Lambda authorizer that allows", func(c *Case) {
		c.lambdaRoute(403, nil)
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"an unsigned request", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		(*c.Routes.Value)[0].Authorization = "AWS_IAM"
	}, "+iam.unsigned"},
	{"a signed request", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		(*c.Routes.Value)[0].Authorization, c.Asked.Signed = "AWS_IAM", "us-east-1/execute-api"
	}, "+iam.denied"},
	{"a request that is signed for another service", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		(*c.Routes.Value)[0].Authorization, c.Asked.Signed = "AWS_IAM", "us-east-1/lambda"
	}, "+iam.denied"},

	{"no CORS at all", func(c *Case) { c.page("") }, "+cors.off"},
	{"CORS of the app", func(c *Case) { c.page("https://app.example") }, ""},
	{
		"another origin",
		func(c *Case) { c.page(""); c.API.Value.CORS = &CORS{Origins: []string{"http://app.example"}} },
		"+cors.origin",
	},
	{"two origins", func(c *Case) { c.page("*, https://app.example") }, "+cors.twice"},
	{
		"cookies with all origins",
		func(c *Case) { c.page("*"); c.Asked.Headers = []string{"cookie", "origin"} },
		"+cors.credentials",
	},
	{"a preflight that requires authorization", func(c *Case) {
		c.preflight("PUT", "PUT")
		c.gatewayAnswers(401, "Unauthorized")
		(*c.Routes.Value)[1].Authorization = "JWT"
	}, "+cors.preflight-authorized"},
	{"a preflight for another method", func(c *Case) { c.preflight("PUT", "GET") }, "+cors.method"},
	{"a preflight for another header", func(c *Case) { c.preflight("PUT", "PUT", "x-a") }, "+cors.header"},
	{"a preflight that is allowed", func(c *Case) { c.preflight("PUT", "PUT") }, ""},
	{"a 404 for a page", func(c *Case) {
		c.page("")
		c.setRequest("GET", "/dev/other")
		c.gatewayAnswers(404,
			"Not Found")
	},
		"+route.missing"},

	{"a domain without a mapping", func(c *Case) {
		*c = Case{Asked: Asked{Method: "GET", Host: "api.example.com", Domain: "api.example.com"}, Answer: c.Answer,
			Domain: knownFact("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com"})}
		c.gatewayAnswers(403, "Forbidden")
	}, "+endpoint.domain-unmapped"},
	{"a domain with another key", func(c *Case) {
		*c = Case{Asked: Asked{Method: "GET", Host: "api.example.com", Domain: "api.example.com"}, Answer: c.Answer,
			Domain: knownFact("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com",
				Mappings: []Mapping{{API: "a1", Stage: "dev", Key: "v1"}}})}
		c.gatewayAnswers(403, "Forbidden")
	}, "+endpoint.domain-key"},
	{"a domain mapped to a deleted stage", func(c *Case) {
		c.Asked.Domain, c.Asked.Stage, c.Asked.Path = "api.example.com", "prod", "/notes"
		c.Domain = knownFact("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com",
			Mappings: []Mapping{{API: "a1", Stage: "prod"}}})
		c.gatewayAnswers(403, "Forbidden")
	}, "+endpoint.domain-stage"},
	{"a domain that works", func(c *Case) {
		c.Asked.Domain, c.Asked.Stage, c.Asked.Path = "api.example.com", "dev", "/notes"
		c.Domain = knownFact("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com",
			Mappings: []Mapping{{API: "a1", Stage: "dev"}}})
		c.API.Value.Disabled = true
	}, "(endpoint.disabled)"},

	{"format 1.0 to a handler of 2.0", func(c *Case) {
		c.integration().PayloadFormat = "1.0"
		c.functionFails("KeyError", "'rawPath'")
	}, "+integration.payload-format"},
	{"format 2.0 to a handler of 1.0", func(c *Case) {
		c.functionFails("TypeError", "Cannot read properties of undefined (reading 'httpMethod')")
	}, "+integration.payload-format"},

	{"a missing permission", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal+
			" because no identity-based policy allows the dynamodb:Scan action")
		c.withRole("logs:*", "*")
	}, "+role.action"},
	{"a permission on another resource", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal+
			" because no identity-based policy allows the dynamodb:Scan action")
		c.withRole("dynamodb:*", "arn:aws:dynamodb:us-east-1:123456789012:table/other")
	}, "+role.resource"},
	{"an explicit deny", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal+" with an explicit deny in a service control policy")
	}, "+role.denied"},
	{"a permissions boundary", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal+
			" because no permissions boundary allows the dynamodb:Scan action")
	}, "+role.denied"},
	{"a missing permission, in the log of the app", func(c *Case) {
		c.Answer.Value.Status, c.Answer.Value.Body = 503, `{"error":"x"}`
		c.functionLogs(dynamoDBRefusal + " because no identity-based policy allows the dynamodb:Scan action")
	}, "+role.action +(app.answered)"},
	{
		"no such table",
		func(c *Case) {
			c.functionFails("ClientError", "ResourceNotFoundException: Requested resource not found")
		},
		"+table.missing",
	},
	{"wrong keys", func(c *Case) {
		c.functionFails("ClientError", "ValidationException: The provided key element does not match the schema")
	}, "+table.keys"},
	{"no index", func(c *Case) { c.functionFails("ClientError", "The table does not have the specified index: i") },
		"+table.index"},
	{"a table that is throttled", func(c *Case) {
		c.functionFails("ClientError",
			"ProvisionedThroughputExceededException")
	},
		"+table.throttled"},
	{"a local endpoint", func(c *Case) {
		c.functionFails("EndpointConnectionError", `Could not connect to the endpoint URL: "http://localhost:8000/"`)
		c.function().Configuration.Value.Variables = []Variable{{Name: "AWS_ENDPOINT_URL", Loopback: true}}
	}, "+table.local-endpoint"},

	{"an exception of a POST, in the log", func(c *Case) {
		c.setRequest("POST", "/dev/notes/{id}")
		blank500(c)
		c.functionLogs("[ERROR] ZeroDivisionError: division by zero Traceback (most recent call last):")
	}, "+code.error"},
	{"a timeout of a POST, in the log", func(c *Case) {
		c.setRequest("POST", "/dev/notes/{id}")
		blank500(c)
		c.functionLogs("2026-11-27T09:41:07Z 0a Task timed out after 3.00 seconds")
	}, "+code.timeout"},
	{"a crash of a POST, in the log", func(c *Case) {
		c.setRequest("POST", "/dev/notes/{id}")
		blank500(c)
		c.functionLogs("RequestId: 0a Error: Runtime exited with error: exit status 1")
	}, "+code.crash"},

	{"a role that API Gateway may not assume", func(c *Case) { c.byRole("lambda.amazonaws.com", gateway.Invoke) },
		"+integration.role"},
	{
		"a role that may not invoke",
		func(c *Case) { c.byRole(gateway.Principal, "s3:GetObject") },
		"+integration.role",
	},
	{"a deleted role", func(c *Case) {
		c.byRole(gateway.Principal, gateway.Invoke)
		c.Callers[0].Fact = failedFact[Role]("iam:GetRole", "caller", Missing, "NoSuchEntity", "")
	}, "+integration.role"},
	{"a role that may invoke", func(c *Case) {
		c.byRole(gateway.Principal, gateway.Invoke)
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"the caller's own role", func(c *Case) { blank500(c); c.integration().Credentials = callerIdentity },
		"+integration.caller-role"},
	{"the caller's own role, which works", func(c *Case) { c.integration().Credentials = callerIdentity }, ""},
	{"a path that the integration overwrites", func(c *Case) {
		c.integration().Parameters = map[string]string{"overwrite:path": "/x"}
		c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"error":"x"}`
	}, "+integration.path"},
	{"a policy that is full", func(c *Case) {
		for i := range 60 {
			c.function().Policy.Value.Statement = append(c.function().Policy.Value.Statement, apiStatement(
				strings.Repeat("x", 60)+strconv.Itoa(i), sourceARN("a1/dev/GET/"+strings.Repeat("y", 80))))
		}
	}, "(permission.full)"},
	{"a deleted image", func(c *Case) {
		blank500(c)
		c.function().Configuration.Value.State = "Failed"
		c.function().Configuration.Value.StateReasonCode = "ImageDeleted"
	}, "+function.image"},
	{"a runtime that is retired", func(c *Case) { c.function().Configuration.Value.Runtime = "go1.x" },
		"(function.runtime-retired)"},
	{"a missing wrapper", func(c *Case) {
		c.function().Configuration.Value.Variables = []Variable{{Name: "AWS_LAMBDA_EXEC_WRAPPER"}}
		c.functionFails("Runtime.InvalidEntrypoint", "fork/exec /opt/wrapper: no such file or directory")
	}, "+code.wrapper"},
	{
		"a request that is too large",
		func(c *Case) { c.Asked.Length = 9 << 20; c.gatewayAnswers(413, "Request Entity Too Large") },
		"+request.too-large",
	},
	{"a VPC", func(c *Case) {
		c.function().Configuration.Value.VPC = true
		c.functionFails("Sandbox.Timedout", "Task timed out after 3.00 seconds")
	}, "(network.no-way-out) +code.timeout"},
	{"a preflight without a route", func(c *Case) {
		c.preflight("PUT", "PUT")
		c.setRequest("OPTIONS", "/dev/notes")
		c.Answer.Value.Status = 204
	}, ""},
	{"HEAD of a function that may not be invoked", func(c *Case) {
		c.setRequest("HEAD", "/dev/notes/{id}")
		c.Answer.Value.Status, c.Answer.Value.Headers["content-length"] = 500, "35"
		c.function().Policy = failedFact[policy.Document]("lambda:GetPolicy", "notes", Missing,
			"ResourceNotFoundException", "")
	}, "+permission.none"},
	{"an app that uses API Gateway's wording", func(c *Case) {
		c.functionReturns(Shape{JSON: true, StatusCode: "500", Status: 500,
			Body: `{"message":"Internal Server Error"}`})
	}, "+app.answered"},
	{"a 404 of the app in API Gateway's wording", func(c *Case) { c.gatewayAnswers(404, "Not Found") },
		"+(app.answered)"},
	{"a path that is percent-encoded", func(c *Case) { c.setRequest("GET", "/dev/n%6Ftes") }, ""},
	{"a refusal in the app's response", func(c *Case) {
		c.Answer.Value.Status, c.Answer.Value.Body = 500, dynamoDBRefusal+" because no identity-based policy allows it"
	}, "+role.action +(app.answered)"},
	{"a key of something other than the event", func(c *Case) {
		c.functionFails("KeyError", "'path'")
		c.Invocation.Value.Trace = "cfg['path']"
	}, "+code.error"},
	{"a key of the event", func(c *Case) {
		c.functionFails("KeyError", "'path'")
		c.Invocation.Value.Trace = "event['path']"
	}, "+integration.payload-format"},
	{
		"a token that does not expire",
		func(c *Case) { t := good(); t.Expires = 0; c.jwtRoute(401, t) },
		"+jwt.expired",
	},
	{"an API without stages", func(c *Case) {
		*c.Stages.Value = []Stage{}
		c.setRequest("GET", "/notes")
		c.gatewayAnswers(404, "Not Found")
	}, "+stage.missing"},
	{"no path at all", func(c *Case) { c.setRequest("GET", "/"); c.gatewayAnswers(404, "Not Found") },
		"+stage.left-out"},
	{"$default removed by a shell", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(apiStatement("api", sourceARN("a1/*/")))
	}, "+permission.mangled-arn"},
	{"no policy, and aliases whose policies may not be read", func(c *Case) {
		blank500(c)
		c.function().Policy = failedFact[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
		c.function().Elsewhere = []Named[policy.Document]{{"notes:live", failedFact[policy.Document]("lambda:GetPolicy",
			"notes:live", Denied, "AccessDeniedException", "")}}
	}, "+permission.none? (caller.rights)"},
	{"a VPC that works", func(c *Case) { c.function().Configuration.Value.VPC = true }, ""},
}

// byRole makes the integration invoke the function with a role, after a blank 500.
func (c *Case) byRole(trusted, action string) {
	blank500(c)
	c.integration().Credentials = "arn:aws:iam::123456789012:role/caller"
	c.Callers = []Named[Role]{{c.integration().Credentials, knownFact("iam:GetRole", "caller", Role{Name: "caller",
		Role: policy.Role{
			Trust: policy.Document{
				Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"sts:AssumeRole"},
					Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {trusted}}}}},
			},
			Identity: []policy.Document{
				{Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{action},
					Resource: policy.Strings{"*"}}}},
			},
		}})}}
}
