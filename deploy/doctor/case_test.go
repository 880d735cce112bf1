package doctor

import (
	"time"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

const testAccount = "123456789012"

// knownFact returns a fact with a value.
func knownFact[T any](call, of string, value T) Fact[T] {
	return Fact[T]{Call: call, Of: of, Value: &value}
}

// failedFact returns a fact that could not be read.
func failedFact[T any](call, of, kind, code, message string) Fact[T] {
	return Fact[T]{Call: call, Of: of, Error: &Failure{Kind: kind, Code: code, Message: message}}
}

// apiStatement returns a statement of a function's policy, as AddPermission writes it.
func apiStatement(sid, source string) policy.Statement {
	return policy.Statement{
		Sid: sid, Effect: "Allow", Action: policy.Strings{gateway.Invoke},
		Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {gateway.Principal}}},
		Resource:  policy.Strings{"arn:aws:lambda:us-east-1:" + testAccount + ":function:notes"},
		Condition: policy.Conditions{"ArnLike": {"AWS:SourceArn": {source}}},
	}
}

// granting returns the policy of the function.
func granting(statements ...policy.Statement) Fact[policy.Document] {
	return knownFact("lambda:GetPolicy", "notes", policy.Document{Version: "2012-10-17", Statement: statements})
}

// healthy returns the case of a working API: two routes of one stage, on one function.
func healthy() *Case {
	return &Case{
		Version: CaseVersion, At: time.Date(2026, 11, 27, 9, 41, 7, 0, time.UTC), Program: "deploy", Sent: "1 GET",
		Asked: Asked{
			Method:     "GET",
			URL:        "https://a1.execute-api.us-east-1.amazonaws.com/dev/notes",
			Path:       "/dev/notes",
			Host:       "a1.execute-api.us-east-1.amazonaws.com",
			API:        "a1",
			Region:     "us-east-1",
			Configured: "us-east-1",
		},
		Answer: knownFact("request", "GET", Answer{Status: 200, RequestID: "Abc=", Millis: 34,
			Headers: map[string]string{"apigw-requestid": "Abc="}}),
		Caller: knownFact("sts:GetCallerIdentity", "", Identity{
			ARN: "arn:aws:iam::" + testAccount + ":user/anna", Account: testAccount, Partition: "aws"}),
		API: knownFact("apigateway:GetApi", "a1", API{ID: "a1", Name: "notes", Protocol: "HTTP"}),
		Stages: knownFact("apigateway:GetStages", "a1", []Stage{{Name: "dev", AutoDeploy: true, Deployment: "d1",
			AccessLog: &AccessLog{
				Destination: "arn:log",
				Format: "$context.integrationErrorMessage $context.routeKey " +
					"$context.authorizer.error $context.integration.requestId $context.integration.integrationStatus",
			}}}),
		Routes: knownFact("apigateway:GetRoutes", "a1", []Route{
			{ID: "r1", Key: "GET /notes", Target: "integrations/i1"},
			{ID: "r2", Key: "ANY /notes/{id}", Target: "integrations/i1"}}),
		Integrations: knownFact(
			"apigateway:GetIntegrations",
			"a1",
			[]Integration{{ID: "i1", Type: "AWS_PROXY", Method: "POST",
				URI: "arn:aws:lambda:us-east-1:" + testAccount + ":function:notes", PayloadFormat: "2.0"}},
		),
		Authorizers: knownFact("apigateway:GetAuthorizers", "a1", []Authorizer{}),
		Functions: []Function{{
			Target: gateway.Target{Region: "us-east-1", Account: testAccount, Function: "notes"},
			Configuration: knownFact("lambda:GetFunction", "notes", Configuration{Name: "notes", Runtime: "python3.12",
				Handler: "app.handler", State: "Active", Update: "Successful", Modified: "2026-11-27T09:10:00.000+0000",
				Timeout: 3, Memory: 128, LogGroup: "/aws/lambda/notes", Architectures: []string{"x86_64"},
				Variables: []Variable{{Name: "TABLE"}}}),
			Policy:  granting(apiStatement("api", "arn:aws:execute-api:us-east-1:"+testAccount+":a1/*/*")),
			Aliases: knownFact("lambda:ListAliases", "notes", []Alias{}),
		}},
		Calls: 9, Seconds: 0.5,
	}
}

// gatewayAnswers sets the response to one of API Gateway's own.
func (c *Case) gatewayAnswers(status int, message string) {
	c.Answer.Value.Status, c.Answer.Value.Body = status, `{"message":"`+message+`"}`
}

// blank500 sets the response to API Gateway's 500.
func blank500(c *Case) { c.gatewayAnswers(500, "Internal Server Error") }

// setRequest sets the request.
func (c *Case) setRequest(method, path string) {
	c.Asked.Method, c.Asked.Path = method, path
	c.Asked.URL = "https://" + c.Asked.Host + path
}

func (c *Case) function() *Function       { return &c.Functions[0] }
func (c *Case) integration() *Integration { return &(*c.Integrations.Value)[0] }
func (c *Case) stage() *Stage             { return &(*c.Stages.Value)[0] }

// policy sets the policy of the function, after a blank 500.
func (c *Case) policy(statements ...policy.Statement) {
	blank500(c)
	c.function().Policy = granting(statements...)
}

// setQualifier sets the qualifier of the integration and the function.
func (c *Case) setQualifier(qualifier string) {
	c.integration().URI += ":" + qualifier
	c.function().Target.Qualifier = qualifier
	c.function().Policy = failedFact[policy.Document]("lambda:GetPolicy", "notes:"+qualifier, Missing,
		"ResourceNotFoundException", "")
}

// functionFails sets the result of the invocation to an error.
func (c *Case) functionFails(kind, message string, log ...string) {
	blank500(c)
	c.Invocation = knownFact(
		"lambda:Invoke",
		"notes",
		Invocation{Function: "notes", RequestID: "x", Failed: true, Type: kind,
			Message: message, Log: log},
	)
}

// functionReturns sets the shape of what the function returned.
func (c *Case) functionReturns(s Shape) {
	blank500(c)
	c.Invocation = knownFact("lambda:Invoke", "notes", Invocation{Function: "notes", RequestID: "x", Shape: s})
}

// sourceARN returns a source ARN for the API.
func sourceARN(rest string) string {
	return "arn:aws:execute-api:us-east-1:" + testAccount + ":" + rest
}
