package sandbox

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// functionPolicy is the resource-based policy of a function, or of one of its versions or aliases: each has its own.
type functionPolicy struct {
	document policy.Document
	revision string
}

// functionARN is a function's ARN, with a qualifier if there is one.
func functionARN(region, name, qualifier string) string {
	arn := "arn:" + partition(region) + ":lambda:" + region + ":" + Account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// partition is the part of AWS that a region is in.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// function is the name and the qualifier that a call of Lambda is about: a path may hold the name or the ARN, in full
// or from the account on, with a qualifier, which may be a parameter too.
func (c *call) function() (name, qualifier string) {
	name, qualifier = splitFunction(c.PathValue("function"))
	if q := c.URL.Query().Get("Qualifier"); q != "" {
		qualifier = q
	}
	return name, qualifier
}

func splitFunction(name string) (string, string) {
	if _, rest, ok := strings.Cut(name, ":function:"); ok {
		name = rest
	}
	name, qualifier, _ := strings.Cut(name, ":")
	return name, qualifier
}

// policyOf is what a call about a policy is about, or the refusal.
func (s *Sandbox) policyOf(c *call) (resource, answer) {
	name, qualifier := c.function()
	if _, err := s.configuration(c.Context(), c.Region, name, qualifier); err != nil {
		return resource{}, c.refuse(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s",
			functionARN(c.Region, name, qualifier))
	}
	if qualifier == "$LATEST" {
		return resource{}, c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"We currently do not support adding policies for $LATEST.")
	}
	return resource{c.Region, functionARN(c.Region, name, qualifier)}, answer{}
}

func (s *Sandbox) getPolicy(c *call) answer {
	on, refusal := s.policyOf(c)
	if refusal.status != 0 {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.policies[on]
	if p == nil {
		return c.refuse(http.StatusNotFound, "ResourceNotFoundException", "The resource you requested does not exist.")
	}
	return jsonAnswer(http.StatusOK, map[string]string{"Policy": p.text(), "RevisionId": p.revision})
}

func (p *functionPolicy) text() string {
	text, err := json.Marshal(p.document)
	if err != nil {
		panic(err) // of texts
	}
	return string(text)
}

var (
	statementID = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,100}$`)
	action      = regexp.MustCompile(`^(lambda:[*]|lambda:[a-zA-Z]+|[*])$`)
	account     = regexp.MustCompile(`^[0-9]{12}$`)
	service     = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com(\.cn)?$`)
)

func (s *Sandbox) addPermission(c *call) answer {
	on, refusal := s.policyOf(c)
	if refusal.status != 0 {
		return refusal
	}
	var in struct {
		StatementID, Action, Principal, SourceArn, SourceAccount, PrincipalOrgID, EventSourceToken,
		FunctionURLAuthType, RevisionID string
	}
	c.decode(&in) // which compares names without case
	statement := policy.Statement{Sid: in.StatementID, Effect: "Allow", Action: policy.Strings{in.Action},
		Resource: policy.Strings{on.name}, Condition: policy.Conditions{}}
	switch {
	case !statementID.MatchString(in.StatementID):
		return c.refuse(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at "+
			"'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: "+
			"([a-zA-Z0-9-_]+)", in.StatementID)
	case !action.MatchString(in.Action):
		return c.refuse(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at "+
			"'action' failed to satisfy constraint: Member must satisfy regular expression pattern: "+
			"(lambda:[*]|lambda:[a-zA-Z]+|[*])", in.Action)
	case in.Principal == "*":
		statement.Principal = &policy.Principal{Everybody: true}
	case account.MatchString(in.Principal):
		statement.Principal = &policy.Principal{Names: map[string]policy.Strings{"AWS": {"arn:" + partition(c.Region) +
			":iam::" + in.Principal + ":root"}}}
	case strings.HasPrefix(in.Principal, "arn:"):
		statement.Principal = &policy.Principal{Names: map[string]policy.Strings{"AWS": {in.Principal}}}
	case service.MatchString(in.Principal):
		statement.Principal = &policy.Principal{Names: map[string]policy.Strings{"Service": {in.Principal}}}
	default:
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"The provided principal was invalid. Please check the principal and try again.")
	}
	for _, condition := range [][3]string{
		{"ArnLike", "AWS:SourceArn", in.SourceArn}, {"StringEquals", "AWS:SourceAccount", in.SourceAccount},
		{"StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID}, {"StringEquals", "lambda:EventSourceToken",
			in.EventSourceToken},
		{"StringEquals", "lambda:FunctionUrlAuthType", in.FunctionURLAuthType},
	} {
		if operator, key, value := condition[0], condition[1], condition[2]; value != "" {
			if statement.Condition[operator] == nil {
				statement.Condition[operator] = map[string]policy.Strings{}
			}
			statement.Condition[operator][key] = policy.Strings{value}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.policies[on]
	if p == nil {
		p = &functionPolicy{document: policy.Document{Version: "2012-10-17", ID: "default"}}
	}
	if in.RevisionID != "" && in.RevisionID != p.revision {
		return c.staleRevision()
	}
	if p.index(in.StatementID) >= 0 {
		return c.refuse(http.StatusConflict, "ResourceConflictException", "The statement id (%s) provided already "+
			"exists. Please provide a new statement id, or remove the existing statement.", in.StatementID)
	}
	after := &functionPolicy{document: p.document, revision: uuid.NewString()}
	after.document.Statement = append(slices.Clone(p.document.Statement), statement)
	if size := len(after.text()); size > policy.MaxPolicy {
		return c.refuse(http.StatusBadRequest, "PolicyLengthExceededException",
			"The final policy size (%d) is bigger than the limit (%d).", size, policy.MaxPolicy)
	}
	s.policies[on] = after
	text, err := json.Marshal(statement)
	if err != nil {
		panic(err) // of texts
	}
	return jsonAnswer(http.StatusCreated, map[string]string{"Statement": string(text)})
}

func (c *call) staleRevision() answer {
	return c.refuse(http.StatusPreconditionFailed, "PreconditionFailedException",
		"The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve the latest "+
			"RevisionId for your resource.")
}

func (p *functionPolicy) index(sid string) int {
	return slices.IndexFunc(p.document.Statement, func(s policy.Statement) bool { return s.Sid == sid })
}

func (s *Sandbox) removePermission(c *call) answer {
	on, refusal := s.policyOf(c)
	if refusal.status != 0 {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.policies[on]
	if p == nil {
		return c.refuse(http.StatusNotFound, "ResourceNotFoundException", "No policy is associated with the given "+
			"resource.")
	}
	i := p.index(c.PathValue("sid"))
	if i < 0 {
		return c.refuse(http.StatusNotFound, "ResourceNotFoundException", "Statement %s is not found in resource "+
			"policy.", c.PathValue("sid"))
	}
	if revision := c.URL.Query().Get("RevisionId"); revision != "" && revision != p.revision {
		return c.staleRevision()
	}
	after := &functionPolicy{document: p.document, revision: uuid.NewString()}
	after.document.Statement = slices.Delete(slices.Clone(p.document.Statement), i, i+1)
	if s.policies[on] = after; len(after.document.Statement) == 0 {
		delete(s.policies, on)
	}
	return answer{status: http.StatusNoContent}
}

// dropPolicies forgets the policies of what is deleted: a function's with those of its versions and aliases.
func (s *Sandbox) dropPolicies(region, name, qualifier string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := functionARN(region, name, qualifier)
	for on := range s.policies {
		if on.name == gone || qualifier == "" && strings.HasPrefix(on.name, gone+":") {
			delete(s.policies, on)
		}
	}
}

// mayInvoke judges whether a service may invoke a function, by the policy of just that function, version or alias,
// under each of the source ARNs that the service may present. It returns why it may not.
func (s *Sandbox) mayInvoke(arn, principal string, sources []string) string {
	s.mu.Lock()
	p := s.policies[resource{strings.Split(arn, ":")[3], arn}]
	s.mu.Unlock()
	if p == nil {
		return "the policy of " + arn + " is empty: nothing may invoke it"
	}
	for _, source := range sources {
		decision := p.document.Judge(policy.Request{
			Principal: policy.Caller{Service: principal},
			Action:    gateway.Invoke,
			Resource:  arn,
			Context:   map[string]string{"AWS:SourceArn": source, "AWS:SourceAccount": Account},
		})
		if !decision.Allowed {
			var why []string
			for _, reason := range decision.Reasons {
				why = append(why, reason.String())
			}
			return "the policy of " + arn + " does not allow the source ARN " + source + ": " + strings.Join(why, "; ")
		}
	}
	return ""
}
