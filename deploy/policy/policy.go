// Package policy evaluates AWS policies and returns decisions with their reasons. It is pure: it reads no network,
// clock or environment.
//
// It covers what a Lambda function behind API Gateway uses: resource policies of functions; trust policies, identity
// policies and permissions boundaries of roles; wildcards; and common condition operators. The rules are in "Policy
// evaluation logic" and "IAM JSON policy elements" of the IAM user guide. A statement with an element that this package
// does not know (another operator, a policy variable, a value that is open as in package unknown) never allows a
// request. If it might deny one, the decision is unclear, and the request is not allowed.
package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/unknown"
)

// Document is a policy.
type Document struct {
	Version   string
	ID        string `json:"Id,omitempty"`
	Statement Statements
}

// Statement is one statement of a policy.
type Statement struct {
	Sid          string     `json:",omitempty"`
	Effect       string     // Allow or Deny
	Principal    *Principal `json:",omitempty"` // nil in identity policies
	NotPrincipal *Principal `json:",omitempty"`
	Action       Strings    `json:",omitempty"`
	NotAction    Strings    `json:",omitempty"`
	Resource     Strings    `json:",omitempty"`
	NotResource  Strings    `json:",omitempty"`
	Condition    Conditions `json:",omitempty"`
}

// Conditions maps operators to keys and their values, as in "ArnLike": {"AWS:SourceArn": ["…"]}.
type Conditions map[string]map[string]Strings

// Strings is a list of strings, whose JSON may also be a single string.
type Strings []string

// UnmarshalJSON implements json.Unmarshaler. It also accepts the booleans and numbers that conditions may have.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var many []json.RawMessage
	if json.Unmarshal(b, &many) != nil {
		many = []json.RawMessage{b}
	}
	*s = nil
	for _, one := range many {
		var text string
		if json.Unmarshal(one, &text) != nil {
			if text = string(one); text != "true" && text != "false" && strings.Trim(text, "0123456789.-") != "" {
				return fmt.Errorf("%s is not a string, number or boolean", one)
			}
		}
		*s = append(*s, text)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (s Strings) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return json.Marshal(s[0])
	}
	return json.Marshal([]string(s))
}

// Statements is a list of statements, whose JSON may also be a single statement.
type Statements []Statement

// UnmarshalJSON implements json.Unmarshaler.
func (s *Statements) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		*s = make(Statements, 1)
		return json.Unmarshal(b, &(*s)[0])
	}
	return json.Unmarshal(b, (*[]Statement)(s))
}

// Principal names those to whom a statement applies, by kind (AWS, Service, Federated), or is everybody.
type Principal struct {
	Everybody bool
	Names     map[string]Strings
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Principal) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		p.Everybody = true
		return nil
	}
	return json.Unmarshal(b, &p.Names)
}

// MarshalJSON implements json.Marshaler.
func (p Principal) MarshalJSON() ([]byte, error) {
	if p.Everybody {
		return []byte(`"*"`), nil
	}
	return json.Marshal(p.Names)
}

// Parse reads a policy.
func Parse(text []byte) (Document, error) {
	var d Document
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("this is not a policy: %w", err)
	}
	for i, s := range d.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" {
			return d, fmt.Errorf("this is not a policy: statement %d has the effect %q", i+1, s.Effect)
		}
		if (len(s.Action) > 0) == (len(s.NotAction) > 0) {
			return d, fmt.Errorf("this is not a policy: statement %d must have either Action or NotAction", i+1)
		}
	}
	return d, nil
}

// Request is a request to evaluate.
type Request struct {
	Principal Caller
	Action    string // such as lambda:InvokeFunction
	Resource  string // its ARN
	// Context has the values of condition keys, such as AWS:SourceArn. Keys are compared without case.
	Context map[string]string
	// Undecided reports whether a key that Context lacks may still have a value on AWS. If nil, no key may.
	Undecided func(key string) bool
}

// Caller is who makes a request.
type Caller struct {
	Service string // such as apigateway.amazonaws.com
	ARN     string // of a user, a role or a session
	Account string
}

// Reason says that a statement matches a request, or which element does not.
type Reason struct {
	Sid    string
	Effect string
	Holds  bool
	Field  string // the element that does not match, such as Principal or Condition; "" if Holds
	Known  bool   // false if this package cannot evaluate the element
	// Open are the names of the open values, as in package unknown, for which the element is not Known.
	Open []string
	Want string // the policy's value of Field
	Got  string // the request's value
}

func (r Reason) String() string {
	if r.Holds {
		return fmt.Sprintf("statement %q (%s) matches", r.Sid, r.Effect)
	}
	return fmt.Sprintf("statement %q (%s) does not match: %s is %s, the request has %s",
		r.Sid, r.Effect, r.Field, r.Want, r.Got)
}

// Decision is the result of evaluating a request.
type Decision struct {
	Allowed bool
	Denied  bool     // explicitly, by a statement
	Unclear bool     // a statement that may deny the request cannot be evaluated
	Reasons []Reason // one for each statement, in order
}

// Judge evaluates a request against one policy. A statement that denies it takes precedence over one that allows it.
func (d Document) Judge(r Request) Decision {
	var decision Decision
	for _, s := range d.Statement {
		reason := s.matches(r)
		decision.Reasons = append(decision.Reasons, reason)
		switch {
		case reason.Holds:
			decision.Allowed = decision.Allowed || s.Effect == "Allow"
			decision.Denied = decision.Denied || s.Effect == "Deny"
		case !reason.Known && s.Effect == "Deny":
			decision.Unclear = true
		}
	}
	decision.Allowed = decision.Allowed && !decision.Denied && !decision.Unclear
	return decision
}

// matches evaluates one statement.
func (s Statement) matches(r Request) Reason {
	no := func(field string, want any, got string) Reason {
		return Reason{Sid: s.Sid, Effect: s.Effect, Field: field, Want: fmt.Sprint(want), Got: got, Known: true}
	}
	unclear := func(field string, want any) Reason {
		const got = "no known value for it"
		return Reason{Sid: s.Sid, Effect: s.Effect, Field: field, Want: fmt.Sprint(want), Got: got,
			Open: r.open(fmt.Sprint(want))}
	}
	like := func(patterns Strings, value string, fold bool) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			if fold {
				p, value = strings.ToLower(p), strings.ToLower(value)
			}
			return Like(p, value)
		})
	}
	may := func(patterns Strings, value string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return unknown.MayMatch(p, value) })
	}
	var doubt *Reason // used only if no element is known not to match
	doubtful := func(is bool, field string, want any) bool {
		if is && doubt == nil {
			one := unclear(field, want)
			doubt = &one
		}
		return is
	}
	switch {
	case s.Principal != nil && !s.Principal.includes(r.Principal) &&
		!doubtful(s.Principal.isOpen(r.Principal), "Principal", s.Principal.Names):
		return no("Principal", s.Principal.Names, r.Principal.String())
	case s.NotPrincipal != nil && s.NotPrincipal.includes(r.Principal):
		return no("NotPrincipal", s.NotPrincipal.Names, r.Principal.String())
	case variables(s.Resource):
		return unclear("Resource", s.Resource)
	case variables(s.NotResource):
		return unclear("NotResource", s.NotResource)
	case len(s.Action) > 0 && !like(s.Action, r.Action, true) &&
		!doubtful(may(s.Action, r.Action), "Action", s.Action):
		return no("Action", s.Action, r.Action)
	case len(s.NotAction) > 0 && like(s.NotAction, r.Action, true):
		return no("NotAction", s.NotAction, r.Action)
	case len(s.Resource) > 0 && !like(s.Resource, r.Resource, false) &&
		!doubtful(may(s.Resource, r.Resource), "Resource", s.Resource):
		return no("Resource", s.Resource, r.Resource)
	case len(s.NotResource) > 0 && like(s.NotResource, r.Resource, false):
		return no("NotResource", s.NotResource, r.Resource)
	}
	doubtful(may(s.NotAction, r.Action), "NotAction", s.NotAction)
	doubtful(may(s.NotResource, r.Resource), "NotResource", s.NotResource)
	for _, operator := range sorted(s.Condition) {
		keys := s.Condition[operator]
		for _, key := range sorted(keys) {
			value, exists := r.value(key)
			if !known(operator) || variables(keys[key]) || !exists && r.Undecided != nil && r.Undecided(key) ||
				exists && isOpen(operator, keys[key], value) {
				doubtful(true, "Condition", fmt.Sprintf("%s %s %v", operator, key, keys[key]))
			} else if !holds(operator, keys[key], value, exists) {
				if !exists {
					value = "nothing"
				}
				return no("Condition", fmt.Sprintf("%s %s %v", operator, key, keys[key]), value)
			}
		}
	}
	if doubt != nil {
		return *doubt
	}
	return Reason{Sid: s.Sid, Effect: s.Effect, Holds: true, Known: true}
}

// variables reports whether a value contains a policy variable, such as ${aws:PrincipalAccount}.
func variables(values Strings) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "${") })
}

func (c Caller) String() string {
	if c.Service != "" {
		return c.Service
	}
	return c.ARN
}

// includes reports whether p names a caller. An account includes its users and roles but no services. A role includes
// its sessions.
func (p *Principal) includes(c Caller) bool {
	if p.Everybody || c.Service != "" && slices.Contains(p.Names["Service"], c.Service) {
		return true
	}
	return slices.ContainsFunc(p.Names["AWS"], func(name string) bool {
		return name == "*" || c.ARN != "" && (name == c.ARN || name == roleOf(c.ARN)) ||
			c.Service == "" && c.Account != "" && (name == c.Account ||
				strings.HasPrefix(name, "arn:") && strings.HasSuffix(name, ":iam::"+c.Account+":root"))
	})
}

// isOpen reports whether p names somebody who is not known yet, and may be a caller: no account is a service.
func (p *Principal) isOpen(c Caller) bool {
	kind := "AWS"
	if c.Service != "" {
		kind = "Service"
	}
	return slices.ContainsFunc(p.Names[kind], unknown.In)
}

// roleOf returns the ARN of the role of a session, which is arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION. It lacks
// the role's path, which the session's ARN does not contain.
func roleOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[2] != "sts" {
		return ""
	}
	session := strings.Split(parts[5], "/")
	if len(session) != 3 || session[0] != "assumed-role" {
		return ""
	}
	return strings.Join([]string{parts[0], parts[1], "iam", "", parts[4], "role/" + session[1]}, ":")
}

// open returns the names of what is open in an element or in the request. An element with a policy variable is not
// known for another reason.
func (r Request) open(element string) (names []string) {
	if strings.Contains(element, "${") {
		return nil
	}
	if names = unknown.Names(element); names != nil {
		return names
	}
	for _, key := range sorted(r.Context) {
		names = append(names, unknown.Names(r.Context[key])...)
	}
	names = append(names, unknown.Names(r.Resource)...)
	slices.Sort(names)
	return slices.Compact(names)
}

func (r Request) value(key string) (string, bool) {
	for name, value := range r.Context {
		if strings.EqualFold(name, key) {
			return value, true
		}
	}
	return "", false
}

// MaxPolicy is the maximum size of a function's policy in bytes (Lambda quotas).
const MaxPolicy = 20_480
