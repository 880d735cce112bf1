// Package policy judges who may do what, as AWS's policies say it: purely, with the reason as a value.
//
// It knows what the policies of a Lambda behind an API Gateway use: resource policies of functions, trust and identity
// policies and permissions boundaries of roles, their wildcards and their condition operators. How a request is judged
// is in "Policy evaluation logic" and "IAM JSON policy elements" of the IAM user guide. A statement that holds what it
// does not know (another operator, a policy variable) never allows; where it would deny, the decision is unclear, and
// not to allow.
package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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

// Conditions are operator, key and values, as "ArnLike": {"AWS:SourceArn": ["…"]}.
type Conditions map[string]map[string]Strings

// Strings is one text or a list of them.
type Strings []string

// UnmarshalJSON implements json.Unmarshaler. A policy may also hold booleans and numbers as values of conditions.
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
				return fmt.Errorf("%s is no text, number or boolean", one)
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

// Statements is one statement or a list of them.
type Statements []Statement

// UnmarshalJSON implements json.Unmarshaler.
func (s *Statements) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		*s = make(Statements, 1)
		return json.Unmarshal(b, &(*s)[0])
	}
	return json.Unmarshal(b, (*[]Statement)(s))
}

// Principal is who a statement is about: a kind (AWS, Service, Federated) and names, or everybody.
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
		return d, fmt.Errorf("this is no policy: %w", err)
	}
	for i, s := range d.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" {
			return d, fmt.Errorf("this is no policy: statement %d has the effect %q", i+1, s.Effect)
		}
		if (len(s.Action) > 0) == (len(s.NotAction) > 0) {
			return d, fmt.Errorf("this is no policy: statement %d must have either Action or NotAction", i+1)
		}
	}
	return d, nil
}

// Request is what somebody wants to do.
type Request struct {
	Principal Caller
	Action    string // such as lambda:InvokeFunction
	Resource  string // the ARN that it is done to
	// condition keys and their values, such as AWS:SourceArn; keys are compared without case
	Context map[string]string
	// Undecided reports whether a key that Context lacks may have a value nevertheless. nil: none may.
	Undecided func(key string) bool
}

// Caller is who wants it.
type Caller struct {
	Service string // such as apigateway.amazonaws.com
	ARN     string // of a user, a role or a session
	Account string
}

// Reason is why a statement matches a request, or what of it does not.
type Reason struct {
	Sid    string
	Effect string
	Holds  bool
	Field  string // the element that does not match: Principal, Action, Resource or Condition; "" where it holds
	Known  bool   // false where the element holds what this package does not know
	Want   string // what the policy says there
	Got    string // what the request has
}

func (r Reason) String() string {
	if r.Holds {
		return fmt.Sprintf("statement %q (%s) matches", r.Sid, r.Effect)
	}
	return fmt.Sprintf("statement %q (%s) does not match: %s is %s, the request has %s",
		r.Sid, r.Effect, r.Field, r.Want, r.Got)
}

// Decision is what a policy says of a request.
type Decision struct {
	Allowed bool
	Denied  bool     // by a statement; else a request that is not allowed is denied because nothing allows it
	Unclear bool     // a statement that may deny it cannot be judged here
	Reasons []Reason // one for each statement, in their order
}

// Judge judges a request by one policy: a statement that denies it decides, else one that allows it.
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

// matches judges one statement.
func (s Statement) matches(r Request) Reason {
	no := func(field string, want any, got string) Reason {
		return Reason{Sid: s.Sid, Effect: s.Effect, Field: field, Want: fmt.Sprint(want), Got: got, Known: true}
	}
	unknown := func(field string, want any) Reason {
		const got = "no value for it that is known here"
		return Reason{Sid: s.Sid, Effect: s.Effect, Field: field, Want: fmt.Sprint(want), Got: got}
	}
	like := func(patterns Strings, value string, fold bool) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			if fold {
				p, value = strings.ToLower(p), strings.ToLower(value)
			}
			return Like(p, value)
		})
	}
	switch {
	case s.Principal != nil && !s.Principal.includes(r.Principal):
		return no("Principal", s.Principal.Names, r.Principal.String())
	case s.NotPrincipal != nil && s.NotPrincipal.includes(r.Principal):
		return no("NotPrincipal", s.NotPrincipal.Names, r.Principal.String())
	case variables(s.Resource):
		return unknown("Resource", s.Resource)
	case variables(s.NotResource):
		return unknown("NotResource", s.NotResource)
	case len(s.Action) > 0 && !like(s.Action, r.Action, true):
		return no("Action", s.Action, r.Action)
	case len(s.NotAction) > 0 && like(s.NotAction, r.Action, true):
		return no("NotAction", s.NotAction, r.Action)
	case len(s.Resource) > 0 && !like(s.Resource, r.Resource, false):
		return no("Resource", s.Resource, r.Resource)
	case len(s.NotResource) > 0 && like(s.NotResource, r.Resource, false):
		return no("NotResource", s.NotResource, r.Resource)
	}
	var doubt *Reason // a condition that is known not to hold settles it, whatever the others say
	for _, operator := range sorted(s.Condition) {
		keys := s.Condition[operator]
		for _, key := range sorted(keys) {
			_, told := r.value(key)
			if !known(operator) || variables(keys[key]) || !told && r.Undecided != nil && r.Undecided(key) {
				r := unknown("Condition", fmt.Sprintf("%s %s %v", operator, key, keys[key]))
				doubt = &r
			} else if value, there := r.value(key); !holds(operator, keys[key], value, there) {
				if !there {
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

// variables reports whether a value holds a policy variable, such as ${aws:PrincipalAccount}.
func variables(values Strings) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "${") })
}

func (c Caller) String() string {
	if c.Service != "" {
		return c.Service
	}
	return c.ARN
}

// includes reports whether a caller is among those that are named. An account stands for its users and roles, not for
// services; a role stands for its sessions.
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

// roleOf is the ARN of the role of a session (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION), without the role's path,
// which a session does not tell.
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

func (r Request) value(key string) (string, bool) {
	for name, value := range r.Context {
		if strings.EqualFold(name, key) {
			return value, true
		}
	}
	return "", false
}

// MaxPolicy is the most bytes of a function's policy (Lambda quotas).
const MaxPolicy = 20_480
