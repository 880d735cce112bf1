package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// functionPolicy is the resource-based policy of a function, version or alias. Each has its own.
type functionPolicy struct {
	document policy.Document
	revision string
}

// functionARN returns a function's ARN, with the qualifier if it is not "".
func functionARN(region, name, qualifier string) string {
	arn := "arn:" + gateway.Partition(region) + ":lambda:" + region + ":" + Account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// function returns the name and the qualifier of the function that a call is about. The path contains a name, an ARN or
// the part of an ARN from the account on, possibly with a qualifier, which may also be a parameter.
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

// policyOf returns the key of the policy that a call is about, or else a refusal.
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
		panic(err) // documents always encode
	}
	return string(text)
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	servicePattern = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com(\.cn)?$`)
)

// permission is the input of AddPermission. JSON decoding ignores the case of names.
type permission struct {
	StatementID, Action, Principal, SourceArn, SourceAccount, PrincipalOrgID, EventSourceToken,
	FunctionURLAuthType, RevisionID string
	InvokedViaFunctionURL *bool
}

// constraints are the patterns of AddPermissionRequest in Lambda's API model.
var constraints = []struct {
	member, pattern string
	value           func(permission) string
	required        bool
}{
	{"statementId", `([a-zA-Z0-9-_]+)`, func(p permission) string { return p.StatementID }, true},
	{"action", `(lambda:[*]|lambda:[a-zA-Z]+|[*])`, func(p permission) string { return p.Action }, true},
	{"principal", `[^\s]+`, func(p permission) string { return p.Principal }, true},
	{"sourceArn", `arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)`,
		func(p permission) string { return p.SourceArn }, false},
	{"sourceAccount", `\d{12}`, func(p permission) string { return p.SourceAccount }, false},
	{"eventSourceToken", `[a-zA-Z0-9._\-]+`, func(p permission) string { return p.EventSourceToken }, false},
	{"principalOrgID", `o-[a-z0-9]{10,32}`, func(p permission) string { return p.PrincipalOrgID }, false},
	{"functionUrlAuthType", `NONE|AWS_IAM`, func(p permission) string { return p.FunctionURLAuthType }, false},
}

// problems returns Lambda's message about the fields that violate their constraints; "" for none.
func (p permission) problems() string {
	var all []string
	for _, c := range constraints {
		value := c.value(p)
		if value == "" && !c.required {
			continue
		}
		if !regexp.MustCompile("^(?:" + c.pattern + ")$").MatchString(value) {
			all = append(all, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: Member must satisfy "+
				"regular expression pattern: %s", value, c.member, c.pattern))
		}
	}
	if n := len(p.StatementID); n > 100 {
		all = append(all, fmt.Sprintf("Value '%s' at 'statementId' failed to satisfy constraint: Member must have "+
			"length less than or equal to 100", p.StatementID))
	}
	switch len(all) {
	case 0:
		return ""
	case 1:
		return "1 validation error detected: " + all[0]
	}
	return fmt.Sprintf("%d validation errors detected: %s", len(all), strings.Join(all, "; "))
}

// statement returns the policy statement that Lambda writes. Its Principal is nil if the input's is not valid.
func (p permission) statement(region, on string) policy.Statement {
	s := policy.Statement{Sid: p.StatementID, Effect: "Allow", Action: policy.Strings{p.Action},
		Resource: policy.Strings{on}, Condition: policy.Conditions{}}
	switch {
	case p.Principal == "*":
		s.Principal = &policy.Principal{Everybody: true}
	case accountPattern.MatchString(p.Principal):
		s.Principal = &policy.Principal{Names: map[string]policy.Strings{
			"AWS": {"arn:" + gateway.Partition(region) + ":iam::" + p.Principal + ":root"}}}
	case strings.HasPrefix(p.Principal, "arn:"):
		s.Principal = &policy.Principal{Names: map[string]policy.Strings{"AWS": {p.Principal}}}
	case servicePattern.MatchString(p.Principal):
		s.Principal = &policy.Principal{Names: map[string]policy.Strings{"Service": {p.Principal}}}
	}
	viaURL := ""
	if p.InvokedViaFunctionURL != nil {
		viaURL = strconv.FormatBool(*p.InvokedViaFunctionURL)
	}
	for _, condition := range [][3]string{
		{"ArnLike", "AWS:SourceArn", p.SourceArn}, {"StringEquals", "AWS:SourceAccount", p.SourceAccount},
		{"StringEquals", "aws:PrincipalOrgID", p.PrincipalOrgID},
		{"StringEquals", "lambda:EventSourceToken", p.EventSourceToken},
		{"StringEquals", "lambda:FunctionUrlAuthType", p.FunctionURLAuthType},
		{"Bool", "lambda:InvokedViaFunctionUrl", viaURL},
	} {
		if operator, key, value := condition[0], condition[1], condition[2]; value != "" {
			if s.Condition[operator] == nil {
				s.Condition[operator] = map[string]policy.Strings{}
			}
			s.Condition[operator][key] = policy.Strings{value}
		}
	}
	return s
}

func (s *Sandbox) addPermission(c *call) answer {
	on, refusal := s.policyOf(c)
	if refusal.status != 0 {
		return refusal
	}
	var in permission
	c.decode(&in)
	if message := in.problems(); message != "" {
		return c.refuse(http.StatusBadRequest, "ValidationException", "%s", message)
	}
	statement := in.statement(c.Region, on.name)
	if statement.Principal == nil {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException",
			"The provided principal was invalid. Please check the principal and try again.")
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
		panic(err) // statements always encode
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

// dropPolicies removes the policy of a deleted alias, or all policies of a deleted function.
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

// invokeRefusal returns why a service may not invoke a function, version or alias, by the policy of exactly that; "" if
// it may. Each of the sources is a source ARN that AWS may present; one that the policy allows suffices.
func (s *Sandbox) invokeRefusal(arn, principal string, sources []string) string {
	s.mu.Lock()
	p := s.policies[resource{strings.Split(arn, ":")[3], arn}]
	s.mu.Unlock()
	if p == nil {
		return "the policy of " + arn + " is empty: no service may invoke it"
	}
	var refusals []string
	for _, source := range sources {
		decision := p.document.Judge(policy.Request{
			Principal: policy.Caller{Service: principal},
			Action:    gateway.Invoke,
			Resource:  arn,
			Context:   map[string]string{"AWS:SourceArn": source, "AWS:SourceAccount": Account},
		})
		if decision.Allowed {
			continue
		}
		var why []string
		for _, reason := range decision.Reasons {
			why = append(why, reason.String())
		}
		refusals = append(refusals, "the policy of "+arn+" does not allow the source ARN "+source+": "+
			strings.Join(why, "; "))
	}
	if len(refusals) == len(sources) {
		return refusals[0]
	}
	if refusals != nil {
		s.log.Printf("the policy allows only one form of the request's source ARN, and AWS does not document which it "+
			"presents: %s", refusals[0])
	}
	return ""
}
