package doctor

import "example.com/portable-notes/deploy/policy"

// custom domain of the API, with an answer of API Gateway's own that did not reach it.
func (c *Case) behind(d Domain, status int) {
	d.Name, d.Target = "api.example", "d-1.execute-api.us-east-1.amazonaws.com"
	if d.Mappings == nil {
		d.Mappings = []Mapping{{API: "a1", Stage: "dev"}}
	}
	c.Asked.Domain, c.Asked.Host, c.Asked.Stage = d.Name, d.Name, "dev"
	c.asks("GET", "/notes")
	c.Domain = seen("apigateway:GetDomainName", d.Name, d)
	if status == 0 {
		c.Answer = seen("request", "GET", Answer{Failure: "no", Phase: "connect"})
		return
	}
	c.answers(status, map[int]string{403: "Forbidden", 404: "Not Found"}[status])
	c.Answer.Value.RequestID = ""
}

// phase sets how far a request came that had no answer.
func (c *Case) phase(phase string) { c.Answer.Value.Phase = phase }

// refused sets how Lambda refused to invoke the function.
func (c *Case) refused(code, message string) {
	blank(c)
	c.Invocation = lost[Invocation]("lambda:Invoke", "notes", Other, code, message)
}

// edgeSituations are of what lies before the API, of keys, and of tables.
var edgeSituations = []situation{
	{"a domain with mappings", func(c *Case) {
		c.behind(Domain{Leads: ToTarget, Routing: "API_MAPPING_ONLY"}, 403)
		c.Answer.Value.Status, c.Answer.Value.Body, c.Answer.Value.RequestID = 200, "", "Abc="
	}, ""},
	{"a domain that goes by rules alone", func(c *Case) { c.behind(Domain{Routing: "ROUTING_RULE_ONLY"}, 403) },
		"+endpoint.domain-routing"},
	{"a domain that goes by rules first", func(c *Case) {
		c.behind(Domain{Routing: "ROUTING_RULE_THEN_API_MAPPING"}, 403)
	}, ""},
	{"a domain without a record", func(c *Case) { c.behind(Domain{Leads: Nowhere}, 0); c.phase("name") },
		"+endpoint.domain-dns"},
	{"a domain whose record leads elsewhere", func(c *Case) { c.behind(Domain{Leads: Elsewhere}, 0) },
		"+endpoint.unreachable +endpoint.domain-dns"},
	{"a domain behind a CDN that works", func(c *Case) {
		c.behind(Domain{Leads: Elsewhere}, 403)
		c.Answer.Value.Status, c.Answer.Value.Body = 200, ""
	}, ""},
	{"a domain whose certificate has expired", func(c *Case) { c.behind(Domain{Leads: ToTarget}, 0); c.phase("tls") },
		"+endpoint.domain-certificate"},
	{"a domain that asks for a client's certificate", func(c *Case) {
		c.behind(Domain{TrustStore: "s3://trust/store.pem"}, 403)
	}, "+(endpoint.domain-mtls)"},
	{"a domain that does not trust a client's certificate", func(c *Case) {
		c.behind(Domain{TrustStore: "s3://trust/store.pem"}, 403)
		c.Asked.HasCertificate = true
	}, "+endpoint.domain-mtls"},
	{"a domain whose API refuses", func(c *Case) {
		c.behind(Domain{TrustStore: "s3://trust/store.pem"}, 403)
		c.Answer.Value.RequestID = "Abc="
		(*c.Routes.Value)[0].Authorization = "AWS_IAM"
	}, "+iam.unsigned"},

	{"a Host of another name", func(c *Case) {
		c.answers(403, "Forbidden")
		c.Answer.Value.RequestID, c.Asked.OtherHost = "", "www.example"
		delete(c.Answer.Value.Headers, "apigw-requestid")
	}, "+endpoint.host-header"},
	{"a CDN that passes the viewer's Host on", func(c *Case) {
		c.answers(403, "Forbidden")
		c.Answer.Value.RequestID, c.Asked.Host = "", "www.example"
		c.Answer.Value.Headers = map[string]string{"x-amz-cf-id": "x"}
	}, "+endpoint.host-header"},
	{"an authorizer behind a CDN", func(c *Case) {
		c.answers(403, "Forbidden")
		c.Answer.Value.Headers["x-amz-cf-id"] = "x"
		(*c.Routes.Value)[0].Authorization = "AWS_IAM"
	}, "+iam.unsigned"},
	{"an endpoint in a VPC", func(c *Case) {
		c.answers(403, "Forbidden")
		c.Answer.Value.RequestID, c.Answer.Value.Private = "", true
	}, "+endpoint.unreachable"},

	{"an account's throttle", func(c *Case) { c.answers(429, "Too Many Requests") }, "+stage.throttled"},

	{"a role that was made again", func(c *Case) {
		c.refused("KMSAccessDeniedException", "KMS Exception: UnrecognizedClientException")
	}, "+function.role-recreated"},
	{"a role that is younger than the function", func(c *Case) {
		c.refused("KMSAccessDeniedException", "KMS Exception: AccessDeniedException")
		c.Role = seen("iam:GetRole", "notes", Role{"notes", "2026-11-27T09:20:00+00:00", policy.Role{}})
	}, "+function.role-recreated"},
	{"a key that may not be used", func(c *Case) {
		c.refused("KMSAccessDeniedException", "KMS Exception: AccessDeniedException")
		c.Role = seen("iam:GetRole", "notes", Role{"notes", "2026-11-27T09:00:00+00:00", policy.Role{}})
	}, "+function.kms"},

	{"a body that arrives as base64", func(c *Case) {
		c.Asked.Encoded = "application/x-www-form-urlencoded"
		c.fails("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
	}, "+request.base64-body"},
	{"a body that arrives as it is", func(c *Case) {
		c.fails("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")
	}, "+code.error"},
	{"an app that refuses a body that arrives as base64", func(c *Case) {
		c.Asked.Encoded = "-"
		c.Answer.Value.Status, c.Answer.Value.Body = 400, `{"error":"invalid JSON"}`
	}, "+request.base64-body"},
	{"an app that refuses something else", func(c *Case) {
		c.Asked.Encoded = "-"
		c.Answer.Value.Status, c.Answer.Value.Body = 400, `{"error":"no name"}`
	}, "+(app.answered)"},

	{"a right that the organization denies, as IAM's simulator tells", func(c *Case) {
		c.fails("ClientError", refused)
		no := false
		c.Simulation = seen("iam:SimulatePrincipalPolicy", "dynamodb:Scan", Simulation{Decision: "implicitDeny",
			Organizations: &no})
	}, "+role.denied"},
	{"a right that is missing, as IAM's simulator tells", func(c *Case) {
		c.fails("ClientError", refused)
		c.Simulation = seen("iam:SimulatePrincipalPolicy", "dynamodb:Scan", Simulation{Decision: "implicitDeny"})
	}, "+role.action"},
	{"a table in another region, as a refusal tells", func(c *Case) {
		c.fails(
			"ClientError",
			"User: arn:aws:sts::"+account+":assumed-role/notes/notes is not authorized to perform: "+
				"dynamodb:GetItem on resource: arn:aws:dynamodb:eu-west-1:"+account+
				":table/notes because no identity-based "+
				"policy allows the dynamodb:GetItem action",
		)
		c.Role = seen("iam:GetRole", "notes", Role{"notes", "", policy.Role{Identity: []policy.Document{{
			Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"dynamodb:GetItem"},
				Resource: policy.Strings{"arn:aws:dynamodb:us-east-1:" + account + ":table/notes"}}}}}}})
	}, "+table.elsewhere"},
	{"a table that is said to be missing, and is here", func(c *Case) {
		c.fails("ResourceNotFoundException", "Requested resource not found: Table: notes not found")
		c.Table = seen("dynamodb:DescribeTable", "notes", Table{"notes", "ACTIVE"})
	}, "+table.elsewhere"},
	{"a table that is said to be missing, and is being made", func(c *Case) {
		c.fails("ResourceNotFoundException", "Requested resource not found: Table: notes not found")
		c.Table = seen("dynamodb:DescribeTable", "notes", Table{"notes", "CREATING"})
	}, "+table.not-active"},
	{"a table that is missing here too", func(c *Case) {
		c.fails("ResourceNotFoundException", "Requested resource not found: Table: notes not found")
		c.Table = lost[Table]("dynamodb:DescribeTable", "notes", Missing, "ResourceNotFoundException", "")
	}, "+table.missing"},
	{"a table whose key may not be used", func(c *Case) {
		c.fails("ClientError", "KMS key access denied error: com.amazon.coral.service.AccessDeniedException")
	}, "+table.kms"},
}
