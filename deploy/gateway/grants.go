package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/policy"
)

// Scope is how much of an API one grant allows. Wider scopes need fewer statements in a function's policy, which Lambda
// limits to 20,480 bytes, about fifty statements (Lambda quotas).
type Scope string

// The scopes, from the narrowest.
const (
	RouteScope Scope = "route"
	StageScope Scope = "stage"
	APIScope   Scope = "api"
)

// Grant is a statement in a function's policy that lets an API invoke the function.
type Grant struct {
	Function    string // name
	Qualifier   string // version or alias in the integration; "" for none
	For         string // what it allows, for people, such as dev ANY /notes
	SourceARN   string
	Account     string
	StatementID string
}

// Input returns the call that makes the grant. It has no RevisionId, which does not exist before the first statement.
func (g Grant) Input() *lambda.AddPermissionInput {
	in := &lambda.AddPermissionInput{
		FunctionName: &g.Function, StatementId: &g.StatementID, Action: aws.String(Invoke),
		Principal: aws.String(Principal),
		SourceArn: &g.SourceARN, SourceAccount: &g.Account,
	}
	if g.Qualifier != "" {
		in.Qualifier = &g.Qualifier
	}
	return in
}

// Principal is the service principal of API Gateway in every partition (IAM user guide, "AWS service principals").
const Principal = "apigateway.amazonaws.com"

// Invoke is the action that a grant allows.
const Invoke = "lambda:InvokeFunction"

// StatementPrefix is the prefix of the ids of this program's statements.
const StatementPrefix = "notes-"

var ownStatement = regexp.MustCompile(`^` + StatementPrefix + `[0-9a-f]{16}$`)

// IsOurs reports whether this program made the statement with an id.
func IsOurs(sid string) bool { return ownStatement.MatchString(sid) }

// NewGrant returns the grant for one source ARN. Its statement id is a hash of its contents, so equal grants have equal
// ids.
func NewGrant(a API, function, qualifier, what, source string) Grant {
	sum := sha256.Sum256([]byte(strings.Join([]string{function, qualifier, source, a.Account}, "\n")))
	return Grant{Function: function, Qualifier: qualifier, For: what, SourceARN: source, Account: a.Account,
		StatementID: StatementPrefix + hex.EncodeToString(sum[:8])}
}

// Facts is the configuration of an API, as API Gateway returns it.
type Facts struct {
	API          API
	Routes       []types.Route
	Integrations []types.Integration
	Stages       []types.Stage
	Authorizers  []types.Authorizer
}

// Unhelped is a route that no grant can make work, and the reason.
type Unhelped struct{ Route, Why string }

// Grants returns the grants that an API needs, and the routes that no grant can make work. An empty function means
// every function that the API invokes; nil stages mean all.
func Grants(f Facts, function string, stages []string, scope Scope) (grants []Grant, unhelped []Unhelped) {
	add := func(g Grant) {
		if !slices.ContainsFunc(grants, func(h Grant) bool { return h.StatementID == g.StatementID }) {
			grants = append(grants, g)
		}
	}
	for _, stage := range f.Stages {
		name := *stage.StageName
		if stages != nil && !slices.Contains(stages, name) {
			continue
		}
		target := func(uri, credentials *string) (Target, error) {
			if aws.ToString(credentials) != "" {
				return Target{}, fmt.Errorf("it is invoked with the role %s, whose policy decides", *credentials)
			}
			t, err := ParseURI(aws.ToString(uri), stage.StageVariables)
			switch {
			case err != nil:
				return t, err
			case t.Account != f.API.Account:
				return t, fmt.Errorf("its function is of account %q: run this with that account's credentials",
					t.Account)
			case t.Region != f.API.Region:
				return t, fmt.Errorf("its function is in %s: run this with AWS_REGION=%s", t.Region, t.Region)
			case t.Qualifier == "$LATEST":
				return t, errors.New("it names $LATEST, which cannot have a policy: " +
					"name the function without it, or an alias")
			case function != "" && t.Function != function:
				return t, fmt.Errorf("it invokes another function, %s", t.Function)
			}
			return t, nil
		}
		for _, route := range f.Routes {
			what := name + " " + *route.RouteKey
			id, _ := strings.CutPrefix(aws.ToString(route.Target), "integrations/")
			i := slices.IndexFunc(f.Integrations, func(i types.Integration) bool { return *i.IntegrationId == id })
			if i < 0 {
				unhelped = append(unhelped, Unhelped{what, "it has no integration"})
				continue
			}
			integration := f.Integrations[i]
			t, err := target(integration.IntegrationUri, integration.CredentialsArn)
			if err != nil {
				unhelped = append(unhelped, Unhelped{what, err.Error()})
				continue
			}
			source := f.API.Pattern(name, *route.RouteKey)
			switch scope {
			case StageScope:
				what, source = name+" (all routes)", f.API.Pattern(name, "*")
			case APIScope:
				what, source = "all stages and routes", f.API.Pattern("*", "*")
			}
			add(NewGrant(f.API, t.Function, t.Qualifier, what, source))
		}
		for _, a := range f.Authorizers {
			if a.AuthorizerType != types.AuthorizerTypeRequest {
				continue
			}
			what := "authorizer " + aws.ToString(a.Name)
			if t, err := target(a.AuthorizerUri, a.AuthorizerCredentialsArn); err == nil {
				add(NewGrant(f.API, t.Function, t.Qualifier, what, f.API.Authorizer(*a.AuthorizerId)))
			} else if function == "" || t.Function == function {
				unhelped = append(unhelped, Unhelped{what, err.Error()})
			}
		}
	}
	return grants, unhelped
}

// CoveredBy returns the id of a statement that already allows what g would allow, or "" if there is none. A statement
// with further conditions does not count.
func CoveredBy(p policy.Document, g Grant, resource string) string {
	for _, s := range p.Statement {
		if IsOurs(s.Sid) && s.Sid != g.StatementID {
			continue // it is removed once no route needs it
		}
		one := policy.Document{Statement: policy.Statements{s}}
		decision := one.Judge(policy.Request{
			Principal: policy.Caller{Service: Principal}, Action: Invoke, Resource: resource,
			Context: map[string]string{"AWS:SourceArn": g.SourceARN, "AWS:SourceAccount": g.Account},
		})
		if decision.Allowed {
			return s.Sid
		}
	}
	return ""
}

// Stale returns the statements of this program in a policy that are not among the needed grants. Those of the API and
// of the given stages (nil for all) are stale. Those of other APIs of the account are in elsewhere, keyed by "REGION
// API-ID"; they are stale only if their API no longer exists. Statements of others are never returned.
func Stale(p policy.Document, a API, stages []string, needed []Grant) (
	stale []policy.Statement, elsewhere map[string][]policy.Statement) {
	elsewhere = map[string][]policy.Statement{}
	for _, s := range p.Statement {
		if !IsOurs(s.Sid) || slices.ContainsFunc(needed, func(g Grant) bool { return g.StatementID == s.Sid }) {
			continue
		}
		source := s.Condition["ArnLike"]["AWS:SourceArn"]
		if len(source) != 1 {
			continue
		}
		parts := strings.SplitN(source[0], ":", 6)
		if len(parts) != 6 || parts[2] != "execute-api" || parts[4] != a.Account {
			continue
		}
		id, rest, _ := strings.Cut(parts[5], "/")
		stage, _, _ := strings.Cut(rest, "/")
		switch {
		case id != a.ID || parts[3] != a.Region:
			key := parts[3] + " " + id
			elsewhere[key] = append(elsewhere[key], s)
		case stages == nil || slices.Contains(stages, stage):
			stale = append(stale, s)
		}
	}
	return stale, elsewhere
}

// Size returns the approximate size in bytes of a policy after grants are added to it.
func Size(p policy.Document, grants []Grant, arn func(Grant) string) int {
	for _, g := range grants {
		p.Statement = append(p.Statement, policy.Statement{
			Sid: g.StatementID, Effect: "Allow",
			Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {Principal}}},
			Action:    policy.Strings{Invoke}, Resource: policy.Strings{arn(g)},
			Condition: policy.Conditions{
				"StringEquals": {"AWS:SourceAccount": {g.Account}}, "ArnLike": {"AWS:SourceArn": {g.SourceARN}},
			},
		})
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings always marshal
	}
	return len(text)
}
