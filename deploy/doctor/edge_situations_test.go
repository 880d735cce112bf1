package doctor

import "example.com/portable-notes/deploy/policy"

// behindDomain puts the API behind a custom domain, with an error that did not come from the API; a status of 0 means
// no response.
func (c *Case) behindDomain(d Domain, status int) {
	d.Name, d.Target = "api.example", "d-1.execute-api.us-east-1.amazonaws.com"
	if d.Mappings == nil {
		d.Mappings = []Mapping{{API: "a1", Stage: "dev"}}
	}
	c.Asked.Domain, c.Asked.Host, c.Asked.Stage = d.Name, d.Name, "dev"
	c.setRequest("GET", "/notes")
	c.Domain = knownFact("apigateway:GetDomainName", d.Name, d)
	if status == 0 {
		c.Answer = knownFact("request", "GET", Answer{Failure: "no", Phase: "connect"})
		return
	}
	c.gatewayAnswers(status, map[int]string{403: "Forbidden", 404: "Not Found"}[status])
	c.Answer.Value.RequestID = ""
}

// setPhase sets the phase in which a request without a response failed.
func (c *Case) setPhase(phase string) { c.Answer.Value.Phase = phase }

// lambdaRefuses sets the error with which Lambda refuses to invoke the function.
func (c *Case) lambdaRefuses(code, message string) {
	blank500(c)
	c.Invocation = failedFact[Invocation]("lambda:Invoke", "notes", Other, code, message)
}

// edgeSituations are about what is in front of the API, about KMS keys and about tables.
var edgeSituations = []situation{
	{"a domain with mappings", func(c *Case) {
		c.behindDomain(Domain{Leads: ToTarget, Routing: "API_MAPPING_ONLY"}, 403)
		c.Answer.Value.Status, c.Answer.Value.Body, c.Answer.Value.RequestID = 200, "", "Abc="
	}, ""},
	{"a domain with only routing rules", func(c *Case) { c.behindDomain(Domain{Routing: "ROUTING_RULE_ONLY"}, 403) },
		"+endpoint.domain-routing"},
	{"a domain with routing rules before mappings", func(c *Case) {
		c.behindDomain(Domain{Routing: "ROUTING_RULE_THEN_API_MAPPING"}, 403)
	}, ""},
	{"a domain without a DNS record", func(c *Case) { c.behindDomain(Domain{Leads: Nowhere}, 0); c.setPhase("name") },
		"+endpoint.domain-dns"},
	{"a domain whose DNS record points elsewhere", func(c *Case) { c.behindDomain(Domain{Leads: Elsewhere}, 0) },
		"+endpoint.unreachable +endpoint.domain-dns"},
	{"a domain behind a CDN that works", func(c *Case) {
		c.behindDomain(Domain{Leads: Elsewhere}, 403)
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"a domain whose certificate has expired", func(c *Case) {
		c.behindDomain(Domain{Leads: ToTarget}, 0)
		c.setPhase("tls")
	},
		"+endpoint.domain-certificate"},
	{"a domain that requires a client certificate", func(c *Case) {
		c.behindDomain(Domain{TrustStore: "s3://trust/store.pem"}, 403)
	}, "+(endpoint.domain-mtls)"},
	{"a domain that does not trust the client certificate", func(c *Case) {
		c.behindDomain(Domain{TrustStore: "s3://trust/store.pem"}, 403)
		c.Asked.HasCertificate = true
	}, "+endpoint.domain-mtls"},
	{"a domain whose API refuses", func(c *Case) {
		c.behindDomain(Domain{TrustStore: "s3://trust/store.pem"}, 403)
		c.Answer.Value.RequestID = "Abc="
		(*c.Routes.Value)[0].Authorization = "AWS_IAM"
	}, "+iam.unsigned"},

	{"another Host header", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		c.Answer.Value.RequestID, c.Asked.OtherHost = "", "www.example"
		delete(c.Answer.Value.Headers, "apigw-requestid")
	}, "+endpoint.host-header"},
	{"a CDN that forwards the viewer's Host header", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		c.Answer.Value.RequestID, c.Asked.Host = "", "www.example"
		c.Answer.Value.Headers = map[string]string{"x-amz-cf-id": "x"}
	}, "+endpoint.host-header"},
	{"an authorizer behind a CDN", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		c.Answer.Value.Headers["x-amz-cf-id"] = "x"
		(*c.Routes.Value)[0].Authorization = "AWS_IAM"
	}, "+iam.unsigned"},
	{"a VPC endpoint", func(c *Case) {
		c.gatewayAnswers(403, "Forbidden")
		c.Answer.Value.RequestID, c.Answer.Value.Private = "", true
	}, "+endpoint.unreachable"},

	{"a throttle of the account", func(c *Case) { c.gatewayAnswers(429, "Too Many Requests") }, "+stage.throttled"},

	{"a recreated role", func(c *Case) {
		c.lambdaRefuses("KMSAccessDeniedException", "KMS Exception: UnrecognizedClientException")
	}, "+function.role-recreated"},
	{"a role that is newer than the function", func(c *Case) {
		c.lambdaRefuses("KMSAccessDeniedException", "KMS Exception: AccessDeniedException")
		c.Role = knownFact("iam:GetRole", "notes", Role{
			Name: "notes", Created: "2026-11-27T09:20:00+00:00", Role: policy.Role{}})
	}, "+function.role-recreated"},
	{"a KMS key that may not be used", func(c *Case) {
		c.lambdaRefuses("KMSAccessDeniedException", "KMS Exception: AccessDeniedException")
		c.Role = knownFact("iam:GetRole", "notes", Role{
			Name: "notes", Created: "2026-11-27T09:00:00+00:00", Role: policy.Role{}})
	}, "+function.kms"},

	{"a body that arrives as base64", func(c *Case) {
		c.Asked.Encoded = "application/x-www-form-urlencoded"
		c.functionFails("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
	}, "+request.base64-body"},
	{"a body that arrives as text", func(c *Case) {
		c.functionFails("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
	}, "+code.error"},
	{"an app that rejects a body that arrives as base64", func(c *Case) {
		c.Asked.Encoded = "-"
		c.Answer.Value.Status, c.Answer.Value.Body = 400, `{"error":"invalid JSON"}`
	}, "+request.base64-body"},
	{"an app that rejects something else", func(c *Case) {
		c.Asked.Encoded = "-"
		c.Answer.Value.Status, c.Answer.Value.Body = 400, `{"error":"no name"}`
	}, "+(app.answered)"},

	{"an action that the organization denies, by IAM's simulator", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal)
		no := false
		c.Simulation = knownFact("iam:SimulatePrincipalPolicy", "dynamodb:Scan", Simulation{Decision: "implicitDeny",
			Organizations: &no})
	}, "+role.denied"},
	{"a missing permission, by IAM's simulator", func(c *Case) {
		c.functionFails("ClientError", dynamoDBRefusal)
		c.Simulation = knownFact("iam:SimulatePrincipalPolicy", "dynamodb:Scan", Simulation{Decision: "implicitDeny"})
	}, "+role.action"},
	{"a table in another region, in a refusal", func(c *Case) {
		c.functionFails(
			"ClientError",
			"User: arn:aws:sts::"+testAccount+":assumed-role/notes/notes is not authorized to perform: "+
				"dynamodb:GetItem on resource: arn:aws:dynamodb:eu-west-1:"+testAccount+
				":table/notes because no identity-based "+
				"policy allows the dynamodb:GetItem action",
		)
		c.Role = knownFact("iam:GetRole", "notes", Role{Name: "notes", Role: policy.Role{Identity: []policy.Document{{
			Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"dynamodb:GetItem"},
				Resource: policy.Strings{"arn:aws:dynamodb:us-east-1:" + testAccount + ":table/notes"}}}}}}})
	}, "+table.elsewhere"},
	{"a table reported missing that exists", func(c *Case) {
		c.functionFails("ResourceNotFoundException", "Requested resource not found: Table: notes not found")
		c.Table = knownFact("dynamodb:DescribeTable", "notes", Table{"notes", "ACTIVE"})
	}, "+table.elsewhere"},
	{"a table reported missing that is being created", func(c *Case) {
		c.functionFails("ResourceNotFoundException", "Requested resource not found: Table: notes not found")
		c.Table = knownFact("dynamodb:DescribeTable", "notes", Table{"notes", "CREATING"})
	}, "+table.not-active"},
	{"a missing table", func(c *Case) {
		c.functionFails("ResourceNotFoundException", "Requested resource not found: Table: notes not found")
		c.Table = failedFact[Table]("dynamodb:DescribeTable", "notes", Missing, "ResourceNotFoundException", "")
	}, "+table.missing"},
	{"a table whose KMS key may not be used", func(c *Case) {
		c.functionFails("ClientError", "KMS key access denied error: com.amazon.coral.service.AccessDeniedException")
	}, "+table.kms"},
}
