package doctor

import (
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// jwtRoute lets the first route take the tokens of an issuer.
func (c *Case) jwtRoute(status int, t Token) {
	c.answers(status, map[int]string{401: "Unauthorized", 403: "Forbidden"}[status])
	(*c.Routes.Value)[0].Authorization, (*c.Routes.Value)[0].Authorizer = "JWT", "j1"
	(*c.Routes.Value)[0].Scopes = []string{"notes.read"}
	a := Authorizer{ID: "j1", Name: "issuer", Type: "JWT", IdentitySources: []string{"$request.header.Authorization"}}
	a.JWT = &struct {
		Issuer   string
		Audience []string
	}{"https://issuer.example", []string{"notes"}}
	*c.Authorizers.Value = append(*c.Authorizers.Value, a)
	c.Token = &t
	c.Keys = seen("issuer", "https://issuer.example", []Key{{"k1", "RSA"}})
}

// good is a token that the authorizer takes.
func good() Token {
	return Token{Present: true, Algorithm: "RS256", KeyID: "k1", Issuer: "https://issuer.example",
		Audience: []string{"notes"}, Expires: 4e9, Scopes: []string{"notes.read"}}
}

// lambdaRoute lets a Lambda authorizer judge who may use the first route.
func (c *Case) lambdaRoute(status int, asks *Invocation) {
	c.answers(status, map[int]string{401: "Unauthorized", 403: "Forbidden", 500: "Internal Server Error"}[status])
	(*c.Routes.Value)[0].Authorization, (*c.Routes.Value)[0].Authorizer = "CUSTOM", "l1"
	target := gateway.Target{Region: "us-east-1", Account: account, Function: "auth"}
	*c.Authorizers.Value = []Authorizer{{ID: "l1", Name: "judge", Type: "REQUEST", TTL: 300,
		URI:             "arn:aws:lambda:us-east-1:" + account + ":function:auth",
		IdentitySources: []string{"$request.header.Authorization"}}}
	s := statement("authorizer", arn("a1/authorizers/l1"))
	s.Resource = policy.Strings{"arn:aws:lambda:us-east-1:" + account + ":function:auth"}
	c.Functions = append(c.Functions, Function{Target: target, Configuration: seen("lambda:GetFunction", "auth",
		Configuration{Name: "auth", State: "Active", Modified: "2026-11-27T09:10"}), Policy: granting(s)})
	if asks != nil {
		c.AuthorizerInvocation = seen("lambda:Invoke", "auth", *asks)
	}
}

// page sets the request to one of a page, and what the answer allows.
func (c *Case) page(allowed string) {
	c.Asked.Origin, c.Asked.Headers = "https://app.example", []string{"origin"}
	if allowed != "" {
		c.Answer.Value.Headers["access-control-allow-origin"] = allowed
	}
}

// preflight sets the request to a preflight for a method, and what the answer allows.
func (c *Case) preflight(method, methods string, wanted ...string) {
	c.page("https://app.example")
	c.asks("OPTIONS", "/dev/notes/{id}")
	c.Asked.Preflight, c.Asked.Wanted = method, wanted
	c.Answer.Value.Headers["access-control-allow-methods"] = methods
	c.API.Value.CORS = &CORS{Origins: []string{"https://app.example"}, Methods: []string{methods}}
}

// logs sets the lines of the function's log.
func (c *Case) logs(lines ...string) {
	c.Lines = seen("logs:FilterLogEvents", "/aws/lambda/notes", lines)
}

const refused = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/notes/notes is not " +
	"authorized to perform: dynamodb:Scan on resource: arn:aws:dynamodb:us-east-1:123456789012:table/items"

// withRole sets the role of the function.
func (c *Case) withRole(action, resource string) {
	c.Role = seen("iam:GetRole", "notes", Role{Name: "notes", Role: policy.Role{Identity: []policy.Document{{
		Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{action},
			Resource: policy.Strings{resource}}}}}}})
}

// moreSituations are of authorizers, CORS, domains, roles and tables.
var moreSituations = []situation{
	{"no token", func(c *Case) { c.jwtRoute(401, Token{}) }, "+jwt.missing"},
	{"a token elsewhere", func(c *Case) { c.jwtRoute(401, Token{Elsewhere: "$request.header.X-Token"}) },
		"+jwt.identity-source"},
	{
		"a broken token",
		func(c *Case) { c.jwtRoute(401, Token{Present: true, Malformed: "no dots"}) },
		"+jwt.malformed",
	},
	{"an issuer that is down", func(c *Case) {
		c.jwtRoute(401, good())
		c.Keys = lost[[]Key]("issuer", "https://issuer.example", Unreachable, "", "no answer")
	}, "+jwt.issuer-unreachable"},
	{"an elliptic curve", func(c *Case) { t := good(); t.Algorithm = "ES256"; c.jwtRoute(401, t) }, "+jwt.algorithm"},
	{"a slash at the end of the issuer", func(c *Case) { t := good(); t.Issuer += "/"; c.jwtRoute(401, t) },
		"+jwt.issuer"},
	{"an expired token", func(c *Case) { t := good(); t.Expires = 1; c.jwtRoute(401, t) }, "+jwt.expired"},
	{"a token of tomorrow", func(c *Case) { t := good(); t.Issued = 4e9; c.jwtRoute(401, t) }, "+jwt.expired"},
	{
		"another audience",
		func(c *Case) { t := good(); t.Audience = []string{"x"}; c.jwtRoute(401, t) },
		"+jwt.audience",
	},
	{"a client in place of an audience", func(c *Case) {
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
		c.Functions[1].Policy = granting(statement("x", arn("b2/*")))
	}, "+authorizer.not-callable"},
	{"an identity source that lacks", func(c *Case) { c.lambdaRoute(401, nil) }, "+authorizer.identity-missing"},
	{"an authorizer that fails", func(c *Case) {
		c.lambdaRoute(500, &Invocation{Failed: true, Type: "KeyError", Message: "'x'", Log: []string{"[ERROR]"}})
	}, "+authorizer.fails"},
	{"an authorizer of the other form", func(c *Case) {
		c.lambdaRoute(500, &Invocation{Shape: Shape{Decision: Decision{Wrong: "it has no policyDocument"}}})
	}, "+authorizer.shape"},
	{
		"an authorizer that denies",
		func(c *Case) { c.lambdaRoute(403, &Invocation{Shape: Shape{Decision: Decision{Says: Denies}}}) },
		"+authorizer.denies",
	},
	{"an authorizer that was not asked", func(c *Case) { c.lambdaRoute(403, nil) }, "+authorizer.denies"},
	{"a decision that is remembered", func(c *Case) {
		c.lambdaRoute(403, &Invocation{Shape: Shape{Decision: Decision{Says: Allows}}})
	}, "+authorizer.cached"},
	{"a Lambda authorizer that allows", func(c *Case) {
		c.lambdaRoute(403, nil)
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"an unsigned request", func(c *Case) {
		c.answers(403, "Forbidden")
		(*c.Routes.Value)[0].Authorization = "AWS_IAM"
	}, "+iam.unsigned"},
	{"a signed request", func(c *Case) {
		c.answers(403, "Forbidden")
		(*c.Routes.Value)[0].Authorization, c.Asked.Signed = "AWS_IAM", "us-east-1/execute-api"
	}, "+iam.denied"},
	{"a request that is signed for another service", func(c *Case) {
		c.answers(403, "Forbidden")
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
		"cookies to all",
		func(c *Case) { c.page("*"); c.Asked.Headers = []string{"cookie", "origin"} },
		"+cors.credentials",
	},
	{"a preflight that is authorized", func(c *Case) {
		c.preflight("PUT", "PUT")
		c.answers(401, "Unauthorized")
		(*c.Routes.Value)[1].Authorization = "JWT"
	}, "+cors.preflight-authorized"},
	{"a preflight of another method", func(c *Case) { c.preflight("PUT", "GET") }, "+cors.method"},
	{"a preflight of another header", func(c *Case) { c.preflight("PUT", "PUT", "x-a") }, "+cors.header"},
	{"a preflight that is allowed", func(c *Case) { c.preflight("PUT", "PUT") }, ""},
	{"a 404 for a page", func(c *Case) { c.page(""); c.asks("GET", "/dev/other"); c.answers(404, "Not Found") },
		"+route.missing"},

	{"a domain without a mapping", func(c *Case) {
		*c = Case{Asked: Asked{Method: "GET", Host: "api.example.com", Domain: "api.example.com"}, Answer: c.Answer,
			Domain: seen("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com"})}
		c.answers(403, "Forbidden")
	}, "+endpoint.domain-unmapped"},
	{"a domain with another key", func(c *Case) {
		*c = Case{Asked: Asked{Method: "GET", Host: "api.example.com", Domain: "api.example.com"}, Answer: c.Answer,
			Domain: seen("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com",
				Mappings: []Mapping{{"a1", "dev", "v1"}}})}
		c.answers(403, "Forbidden")
	}, "+endpoint.domain-key"},
	{"a domain to a stage that is gone", func(c *Case) {
		c.Asked.Domain, c.Asked.Stage, c.Asked.Path = "api.example.com", "prod", "/notes"
		c.Domain = seen("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com",
			Mappings: []Mapping{{"a1", "prod", ""}}})
		c.answers(403, "Forbidden")
	}, "+endpoint.domain-stage"},
	{"a domain that works", func(c *Case) {
		c.Asked.Domain, c.Asked.Stage, c.Asked.Path = "api.example.com", "dev", "/notes"
		c.Domain = seen("apigateway:GetDomainName", "api.example.com", Domain{Name: "api.example.com",
			Mappings: []Mapping{{"a1", "dev", ""}}})
		c.API.Value.Disabled = true
	}, "(endpoint.disabled)"},

	{"format 1.0 to a handler of 2.0", func(c *Case) {
		c.integration().PayloadFormat = "1.0"
		c.fails("KeyError", "'rawPath'")
	}, "+integration.payload-format"},
	{"format 2.0 to a handler of 1.0", func(c *Case) {
		c.fails("TypeError", "Cannot read properties of undefined (reading 'httpMethod')")
	}, "+integration.payload-format"},

	{"a right that lacks", func(c *Case) {
		c.fails("ClientError", refused+" because no identity-based policy allows the dynamodb:Scan action")
		c.withRole("logs:*", "*")
	}, "+role.action"},
	{"a right on another resource", func(c *Case) {
		c.fails("ClientError", refused+" because no identity-based policy allows the dynamodb:Scan action")
		c.withRole("dynamodb:*", "arn:aws:dynamodb:us-east-1:123456789012:table/other")
	}, "+role.resource"},
	{"an explicit deny", func(c *Case) {
		c.fails("ClientError", refused+" with an explicit deny in a service control policy")
	}, "+role.denied"},
	{"a boundary", func(c *Case) {
		c.fails("ClientError", refused+" because no permissions boundary allows the dynamodb:Scan action")
	}, "+role.denied"},
	{"a right that lacks, by the log of the app", func(c *Case) {
		c.Answer.Value.Status, c.Answer.Value.Body = 503, `{"error":"x"}`
		c.logs(refused + " because no identity-based policy allows the dynamodb:Scan action")
	}, "+role.action +(app.answered)"},
	{
		"no such table",
		func(c *Case) { c.fails("ClientError", "ResourceNotFoundException: Requested resource not found") },
		"+table.missing",
	},
	{"other keys", func(c *Case) {
		c.fails("ClientError", "ValidationException: The provided key element does not match the schema")
	}, "+table.keys"},
	{"no index", func(c *Case) { c.fails("ClientError", "The table does not have the specified index: i") },
		"+table.index"},
	{"a table that is throttled", func(c *Case) { c.fails("ClientError", "ProvisionedThroughputExceededException") },
		"+table.throttled"},
	{"a local endpoint", func(c *Case) {
		c.fails("EndpointConnectionError", `Could not connect to the endpoint URL: "http://localhost:8000/"`)
		c.function().Configuration.Value.Variables = []Variable{{Name: "AWS_ENDPOINT_URL", Loopback: true}}
	}, "+table.local-endpoint"},

	{"an exception of a POST, by the log", func(c *Case) {
		c.asks("POST", "/dev/notes/{id}")
		blank(c)
		c.logs("[ERROR] ZeroDivisionError: division by zero Traceback (most recent call last):")
	}, "+code.error"},
	{"a timeout of a POST, by the log", func(c *Case) {
		c.asks("POST", "/dev/notes/{id}")
		blank(c)
		c.logs("2026-11-27T09:41:07Z 0a Task timed out after 3.00 seconds")
	}, "+code.timeout"},
	{"a crash of a POST, by the log", func(c *Case) {
		c.asks("POST", "/dev/notes/{id}")
		blank(c)
		c.logs("RequestId: 0a Error: Runtime exited with error: exit status 1")
	}, "+code.crash"},

	{"a role that API Gateway may not assume", func(c *Case) { c.byRole("lambda.amazonaws.com", gateway.Invoke) },
		"+integration.role"},
	{
		"a role that may not invoke",
		func(c *Case) { c.byRole(gateway.Principal, "s3:GetObject") },
		"+integration.role",
	},
	{"a role that is gone", func(c *Case) {
		c.byRole(gateway.Principal, gateway.Invoke)
		c.Callers[0].Fact = lost[Role]("iam:GetRole", "caller", Missing, "NoSuchEntity", "")
	}, "+integration.role"},
	{"a role that may invoke", func(c *Case) {
		c.byRole(gateway.Principal, gateway.Invoke)
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"the caller's own role", func(c *Case) { blank(c); c.integration().Credentials = callerRole },
		"+integration.caller-role"},
	{"the caller's own role, which works", func(c *Case) { c.integration().Credentials = callerRole }, ""},
	{"a path that the integration overwrites", func(c *Case) {
		c.integration().Parameters = map[string]string{"overwrite:path": "/x"}
		c.Answer.Value.Status, c.Answer.Value.Body = 404, `{"error":"x"}`
	}, "+integration.path"},
	{"a policy that is full", func(c *Case) {
		for i := range 60 {
			c.function().Policy.Value.Statement = append(c.function().Policy.Value.Statement, statement(
				strings.Repeat("x", 60)+strconv.Itoa(i), arn("a1/dev/GET/"+strings.Repeat("y", 80))))
		}
	}, "(permission.full)"},
	{"an image that is gone", func(c *Case) {
		blank(c)
		c.function().Configuration.Value.State = "Failed"
		c.function().Configuration.Value.StateReasonCode = "ImageDeleted"
	}, "+function.image"},
	{"a runtime that is retired", func(c *Case) { c.function().Configuration.Value.Runtime = "go1.x" },
		"(function.runtime-retired)"},
	{"a wrapper that lacks", func(c *Case) {
		c.function().Configuration.Value.Variables = []Variable{{Name: "AWS_LAMBDA_EXEC_WRAPPER"}}
		c.fails("Runtime.InvalidEntrypoint", "fork/exec /opt/wrapper: no such file or directory")
	}, "+code.wrapper"},
	{
		"a request that is too large",
		func(c *Case) { c.Asked.Length = 9 << 20; c.answers(413, "Request Entity Too Large") },
		"+request.too-large",
	},
	{"a VPC", func(c *Case) {
		c.function().Configuration.Value.VPC = true
		c.fails("Sandbox.Timedout", "Task timed out after 3.00 seconds")
	}, "(network.no-way-out) +code.timeout"},
	{"a preflight without a route", func(c *Case) {
		c.preflight("PUT", "PUT")
		c.asks("OPTIONS", "/dev/notes")
		c.Answer.Value.Status = 204
	}, ""},
	{"HEAD of a function that may not be invoked", func(c *Case) {
		c.asks("HEAD", "/dev/notes/{id}")
		c.Answer.Value.Status, c.Answer.Value.Headers["content-length"] = 500, "35"
		c.function().Policy = lost[policy.Document]("lambda:GetPolicy", "notes", Missing,
			"ResourceNotFoundException", "")
	}, "+permission.none"},
	{"an app in API Gateway's words", func(c *Case) {
		c.returns(Shape{JSON: true, StatusCode: "500", Status: 500, Body: `{"message":"Internal Server Error"}`})
	}, "+app.answered"},
	{"a 404 of the app in API Gateway's words", func(c *Case) { c.answers(404, "Not Found") }, "+(app.answered)"},
	{"a path that is percent-encoded", func(c *Case) { c.asks("GET", "/dev/n%6Ftes") }, ""},
	{"a refusal in the app's own words", func(c *Case) {
		c.Answer.Value.Status, c.Answer.Value.Body = 500, refused+" because no identity-based policy allows it"
	}, "+role.action +(app.answered)"},
	{"a key of another thing than the event", func(c *Case) {
		c.fails("KeyError", "'path'")
		c.Invocation.Value.Trace = "cfg['path']"
	}, "+code.error"},
	{"a key of the event", func(c *Case) {
		c.fails("KeyError", "'path'")
		c.Invocation.Value.Trace = "event['path']"
	}, "+integration.payload-format"},
	{
		"a token that does not expire",
		func(c *Case) { t := good(); t.Expires = 0; c.jwtRoute(401, t) },
		"+jwt.expired",
	},
	{"an API without stages", func(c *Case) {
		*c.Stages.Value = []Stage{}
		c.asks("GET", "/notes")
		c.answers(404, "Not Found")
	}, "+stage.missing"},
	{"no path at all", func(c *Case) { c.asks("GET", "/"); c.answers(404, "Not Found") }, "+stage.left-out"},
	{"$default taken away by a shell", func(c *Case) {
		*c.Routes.Value = []Route{{ID: "r1", Key: "$default", Target: "integrations/i1"}}
		c.policy(statement("api", arn("a1/*/")))
	}, "+permission.mangled-arn"},
	{"no policy, and others that may not be read", func(c *Case) {
		blank(c)
		c.function().Policy = lost[policy.Document](
			"lambda:GetPolicy",
			"notes",
			Missing,
			"ResourceNotFoundException",
			"",
		)
		c.function().Elsewhere = []Named[policy.Document]{{"notes:live", lost[policy.Document]("lambda:GetPolicy",
			"notes:live", Denied, "AccessDeniedException", "")}}
	}, "+permission.none? (caller.rights)"},
	{"a VPC that works", func(c *Case) { c.function().Configuration.Value.VPC = true }, ""},
}

// byRole lets the integration invoke the function with a role, after a blank 500.
func (c *Case) byRole(trusted, action string) {
	blank(c)
	c.integration().Credentials = "arn:aws:iam::123456789012:role/caller"
	c.Callers = []Named[Role]{{c.integration().Credentials, seen("iam:GetRole", "caller", Role{Name: "caller",
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
