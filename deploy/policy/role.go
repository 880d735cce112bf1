package policy

import (
	"fmt"
	"net/url"
)

// Lambda is the service principal of Lambda in every partition (IAM user guide, "AWS service principals").
const Lambda = "lambda.amazonaws.com"

// Role is an IAM role: who may assume it and what it may do.
type Role struct {
	Trust    Document
	Identity []Document // inline and managed
	Boundary *Document  // permissions boundary, or nil
}

// Assume decides whether a service may assume the role on behalf of an account.
func (r Role) Assume(service, account string) Decision {
	return r.Trust.Judge(Request{
		Principal: Caller{Service: service}, Action: "sts:AssumeRole",
		Context: map[string]string{"AWS:SourceAccount": account},
	})
}

// Judge decides whether the role may make a request: one of its policies and the boundary must allow it, and none may
// deny it. It reports in beyond whether only the boundary does not allow it.
func (r Role) Judge(request Request) (decision Decision, beyond bool) {
	var all Document
	for _, d := range r.Identity {
		all.Statement = append(all.Statement, d.Statement...)
	}
	decision = all.Judge(request)
	if r.Boundary == nil || !decision.Allowed {
		return decision, false
	}
	limit := r.Boundary.Judge(request)
	limit.Reasons = append(decision.Reasons, limit.Reasons...)
	return limit, !limit.Allowed
}

// ParseEscaped parses a percent-encoded policy (RFC 3986), as IAM returns it.
func ParseEscaped(text string) (Document, error) {
	decoded, err := url.PathUnescape(text)
	if err != nil {
		return Document{}, fmt.Errorf("the policy is not percent-encoded: %w", err)
	}
	return Parse([]byte(decoded))
}
