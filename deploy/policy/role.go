package policy

import (
	"fmt"
	"net/url"
)

// Lambda is Lambda as a principal, in every partition (IAM, AWS service principals).
const Lambda = "lambda.amazonaws.com"

// Role is a role of IAM with all that says who may assume it and what it may do.
type Role struct {
	Trust    Document
	Identity []Document // inline and managed
	Boundary *Document  // the most that it may do; nil where there is no boundary
}

// Assume judges whether a service may assume the role, on behalf of an account.
func (r Role) Assume(service, account string) Decision {
	return r.Trust.Judge(Request{
		Principal: Caller{Service: service}, Action: "sts:AssumeRole",
		Context: map[string]string{"AWS:SourceAccount": account},
	})
}

// Judge judges what the role may do: one of its policies must allow it, the boundary too, and none of them may deny it.
// It reports whether it is the boundary that does not allow what the policies allow.
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

// ParseEscaped parses a policy as IAM gives it: percent-encoded (RFC 3986).
func ParseEscaped(text string) (Document, error) {
	decoded, err := url.PathUnescape(text)
	if err != nil {
		return Document{}, fmt.Errorf("the policy is not percent-encoded: %w", err)
	}
	return Parse([]byte(decoded))
}
