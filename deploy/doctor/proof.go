package doctor

import "strings"

// proofs lists what proves causes, by prefix. The first match applies.
var proofs = []struct{ prefix, by string }{
	{"caller.credentials", "GetCallerIdentity"},
	{"caller.", "the calls that AWS denies"},
	{"endpoint.domain-dns", "the domain's DNS record, and GetDomainName"},
	{"endpoint.domain-", "GetDomainName, GetApiMappings"},
	{"endpoint.rest-api", "GetRestApi"},
	{"endpoint.", "the response, and GetApi"},
	{"stage.stale", "ExportApi of the stage, compared with that of the API"},
	{"stage.", "GetStages"},
	{"route.", "GetRoutes, and API Gateway's rules of route selection"},
	{"cors.", "the response headers, and GetApi"},
	{"jwt.", "the request's token, and the issuer's documents"},
	{"authorizer.not-callable", "GetPolicy of the authorizer's function"},
	{"authorizer.", "GetAuthorizers, and one invocation of the authorizer"},
	{"iam.", "GetRoutes, and the request's signature"},
	{"integration.role", "GetRole of the integration's role"},
	{"integration.payload-format", "the function's own error"},
	{"integration.timeout", "the response time, and GetIntegrations"},
	{"integration.", "GetIntegrations, GetFunction"},
	{"permission.", "GetPolicy of exactly what the integration names"},
	{"function.", "GetFunction, or Lambda's answer to Invoke"},
	{"code.", "one invocation and its log, the zip and its layers, or the function's log"},
	{"response.", "what one invocation returns"},
	{"request.", "the request, and the function's error"},
	{"app.", "the response"},
	{"role.logs", "the role's policies, and the missing log group"},
	{"role.", "AWS's access-denied message in the function's output, and the role's policies"},
	{"table.", "DynamoDB's error in the function's output"},
	{"network.", "GetFunction, and a timeout"},
	{"logs.", "GetStages"},
}

// Proof returns what proves a cause: AWS calls, or what else is examined.
func (e Entry) Proof() string {
	for _, p := range proofs {
		if strings.HasPrefix(e.Cause, p.prefix) {
			return p.by
		}
	}
	panic("nothing proves " + e.Cause)
}
