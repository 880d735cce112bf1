package doctor

import "strings"

// proofs are what proves causes, by how they begin. The first that fits counts.
var proofs = []struct{ begins, by string }{
	{"caller.credentials", "GetCallerIdentity"},
	{"caller.", "what AWS refuses to tell"},
	{"endpoint.domain-dns", "the domain's DNS record, and GetDomainName"},
	{"endpoint.domain-", "GetDomainName, GetApiMappings"},
	{"endpoint.rest-api", "GetRestApi"},
	{"endpoint.", "the answer, and GetApi"},
	{"stage.stale", "ExportApi of the stage beside that of the API"},
	{"stage.", "GetStages"},
	{"route.", "GetRoutes, and API Gateway's order of selection"},
	{"cors.", "the answer's headers, and GetApi"},
	{"jwt.", "the request's token, and the issuer's documents"},
	{"authorizer.not-callable", "GetPolicy of the authorizer's function"},
	{"authorizer.", "GetAuthorizers, and one invocation of the authorizer"},
	{"iam.", "GetRoutes, and the request's signature"},
	{"integration.role", "GetRole of the integration's role"},
	{"integration.payload-format", "the function's own error"},
	{"integration.timeout", "how long the answer took, and GetIntegrations"},
	{"integration.", "GetIntegrations, GetFunction"},
	{"permission.", "GetPolicy of just what the integration names"},
	{"function.", "GetFunction; where Lambda refuses, its answer to Invoke"},
	{"code.", "one invocation and its log, the zip and its layers, or the function's log"},
	{"response.", "what one invocation returns"},
	{"request.", "the request, and what the function says of it"},
	{"app.", "the answer"},
	{"role.logs", "the role's policies, and that there is no log group"},
	{"role.", "AWS's refusal in the function's words, and the role's policies"},
	{"table.", "DynamoDB's error in the function's words"},
	{"network.", "GetFunction, beside a timeout"},
	{"logs.", "GetStages"},
}

// Proof returns what proves a cause: calls of AWS by their names, or what else is looked at.
func (e Entry) Proof() string {
	for _, p := range proofs {
		if strings.HasPrefix(e.Cause, p.begins) {
			return p.by
		}
	}
	panic("nothing proves " + e.Cause) // a mistake of this package
}
