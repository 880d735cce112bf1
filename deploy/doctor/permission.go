package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// functionARN returns the ARN of the function of a pair, with its qualifier.
func (r *result) functionARN(p *pair) string { return r.arnOf(p, p.qualifiedName()) }

// arnOf returns the ARN of the function of a pair under another name: NAME or NAME:QUALIFIER.
func (r *result) arnOf(p *pair, named string) string {
	return "arn:" + r.api.Partition + ":lambda:" + p.target.Region + ":" + p.target.Account + ":function:" + named
}

// qualifiedName returns NAME or NAME:QUALIFIER of the function of a pair.
func (p *pair) qualifiedName() string {
	if p.target.Qualifier != "" {
		return p.target.Function + ":" + p.target.Qualifier
	}
	return p.target.Function
}

// undecided reports whether the value of a condition key is unknown here. API Gateway presents the source ARN and the
// account; it is not a principal of an organization, and does not use a function URL.
func undecided(key string) bool {
	return !slices.Contains([]string{"aws:sourcearn", "aws:sourceaccount", "lambda:invokedviafunctionurl",
		"lambda:functionurlauthtype", "aws:principalorgid", "aws:principalaccount", "aws:principalarn"},
		strings.ToLower(key))
}

// policyVerdict is what a policy says about a pair.
type policyVerdict struct {
	allowed bool     // with one of the source ARNs that API Gateway may present
	unclear bool     // a statement that may decide could not be judged
	open    []string // names of the open values on which it depends
	refused []string // methods that are not allowed; "" stands for the route's own
}

// anyMethods are the methods that ANY stands for.
var anyMethods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}

// distinctMethods returns the methods of a pair that a policy may treat differently. For ANY these are the method of
// the request, or those that source ARNs name and one that stands for all others.
func (r *result) distinctMethods(d policy.Document, p *pair) (all []string) {
	method, _, found := strings.Cut(p.route.Key, " ")
	switch {
	case !found || method != "ANY":
		return []string{""}
	case p == r.selected:
		return []string{r.Asked.Method}
	}
	var sources []string
	for _, s := range d.Statement {
		_, source := sourceOf(s)
		sources = append(sources, source)
	}
	other := false
	for _, m := range anyMethods {
		named := slices.ContainsFunc(sources, func(source string) bool {
			return strings.Contains(source, "/"+m+"/") || strings.Contains(source, "?")
		})
		if named || !other {
			all = append(all, m)
		}
		other = other || !named
	}
	return all
}

// judgePolicy judges whether a policy lets API Gateway invoke a function for a pair: for each possible source ARN (see
// gateway.API.Presented) and each method that makes a difference.
func (r *result) judgePolicy(d policy.Document, p *pair, resource string) (v policyVerdict) {
	request := policy.Request{Principal: policy.Caller{Service: gateway.Principal}, Action: gateway.Invoke,
		Resource: resource, Undecided: undecided}
	for _, method := range r.distinctMethods(d, p) {
		key := p.route.Key
		if method != "" {
			key = method + strings.TrimPrefix(p.route.Key, "ANY")
		}
		allowed := false
		request.Context = map[string]string{"AWS:SourceAccount": r.api.Account}
		for _, source := range r.api.Possible(p.stage.Name, key) {
			request.Context["AWS:SourceArn"] = source
			decision := d.Judge(request)
			allowed = allowed || decision.Allowed
			v.unclear, v.open = v.unclear || isUnclear(decision), append(v.open, openNames(decision)...)
			if allowed {
				break
			}
		}
		if !allowed {
			v.refused = append(v.refused, method)
		}
	}
	v.allowed = len(v.refused) == 0
	return v
}

func checkPermissions(v *view, r *result) {
	passed := 0
	r.eachPair(v.requestFirst(), func(p *pair) *draft {
		switch {
		case p.function == nil || p.uriErr != nil,
			!p.function.Configuration.Seen() && !p.function.Configuration.Unseen(),
			!unknown.MayEqual(p.target.Account, v.api.Account) && v.api.Account != "":
			return nil
		case p.integration.Credentials != "":
			return r.judgeRole(p)
		case reportUnseen(r, p.function.Policy, "would.permission"):
			return nil
		}
		f := r.judgePermission(p)
		if f == nil && !p.undecided {
			passed++
		}
		return f
	})
	if passed > 0 {
		r.pass("pass.permission", values{"count": passed})
	}
	r.addWarnings()
}

// callerIdentity stands for the identity of the API's caller ("CreateIntegration", API Gateway V2 API reference).
const callerIdentity = "arn:aws:iam::*:user/*"

// judgeRole judges whether API Gateway may invoke the function of a pair with the integration's role. It returns nil if
// so, or if that is not known. The function's policy does not matter then.
func (r *result) judgeRole(p *pair) *draft {
	arn := p.integration.Credentials
	f := &draft{cause: "integration.role", explains: r.explainsAnswer(p, 500), values: values{"role": arn,
		"function": p.qualifiedName(), "lacks": "sts:AssumeRole"}}
	role := factNamed(r.Callers, arn)
	at := func(field, value, expected string) *draft {
		f.evidence = []Evidence{{Call: r.Integrations.Call, Of: p.integration.ID, Field: "CredentialsArn", Value: arn},
			{Call: role.Call, Of: role.Of, Field: field, Value: value, Expected: expected}}
		return f
	}
	switch {
	case arn == callerIdentity:
		if f.cause, f.certainty, f.explains = "integration.caller-role", Likely, r.explainsAnswer(p, 500,
			403); f.explains {
			return at("", "", gateway.Invoke)
		}
		r.skip("skip.credentials", f.values)
		return nil
	case role.Missing():
		f.variant = "integration.role.missing"
		return at("", role.Error.Code, "")
	case reportUnseen(r, role, "would.permission") || !role.Seen():
		return nil
	}
	assumed := role.Value.Assume(gateway.Principal, r.api.Account)
	decision, _ := role.Value.Judge(policy.Request{Action: gateway.Invoke, Resource: r.functionARN(p),
		Undecided: undecided})
	switch {
	case !assumed.Allowed && r.reportOpen(role.Call, role.Of, openNames(assumed), "would.permission"):
		return nil
	case !assumed.Allowed:
		return at("AssumeRolePolicyDocument", principals(role.Value.Trust), gateway.Principal)
	case decision.Allowed || r.reportOpen(role.Call, role.Of, openNames(decision), "would.permission"):
		return nil
	}
	f.values["lacks"] = gateway.Invoke
	text, err := json.Marshal(policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Effect: "Allow",
		Action: policy.Strings{gateway.Invoke}, Resource: policy.Strings{r.functionARN(p)}}}})
	if err != nil {
		panic(err) // a policy of strings always encodes
	}
	f.fix = []Fix{r.awsFix(false, "fix.role", values{"action": gateway.Invoke}, &iam.PutRolePolicyInput{
		RoleName: &role.Value.Name, PolicyName: aws.String("invoke-" + p.target.Function),
		PolicyDocument: aws.String(string(text))})}
	return at("Action", "", gateway.Invoke+" "+r.functionARN(p))
}

// judgePermission judges whether API Gateway may invoke the function of a pair. It returns nil if so.
func (r *result) judgePermission(p *pair) *draft {
	fact := p.function.Policy
	f := &draft{
		explains: r.explainsAnswer(p, 500),
		values: values{"function": p.qualifiedName(), "stage": p.stage.Name, "route": p.route.Key,
			"qualifier": p.target.Qualifier},
	}
	if p.target.Qualifier == "$LATEST" {
		f.cause, f.mergeKey = "permission.qualifier", p.qualifiedName()
		f.values["elsewhere"] = p.target.Function
		f.evidence = []Evidence{{Call: r.Integrations.Call, Of: p.integration.ID, Field: "IntegrationUri",
			Value: p.integration.URI}}
		bare := strings.Replace(p.integration.URI, ":$LATEST", "", 1)
		f.fix = []Fix{r.awsFix(false, "fix.uri", nil, &apigatewayv2.UpdateIntegrationInput{ApiId: &r.Asked.API,
			IntegrationId: &p.integration.ID, IntegrationUri: aws.String(bare)})} // no grant helps before
		return f
	}
	said := r.judgePolicy(fact.Or(), p, r.functionARN(p))
	slices.Sort(said.open)
	p.undecided = !said.allowed && r.reportOpen(fact.Call, fact.Of, slices.Compact(said.open), "would.permission")
	if said.allowed || p.undecided {
		return nil
	}
	f.makeFixes = func(first bool) []Fix {
		if !first {
			return []Fix{r.permitFix(p)}
		}
		return []Fix{r.permitFix(p), r.addPermissionFix(p)}
	}
	needed := r.api.Pattern(p.stage.Name, p.route.Key)
	if said.unclear {
		f.certainty = Likely
	}
	document := fact.Or()
	f.mergeKey = p.qualifiedName()
	for _, other := range p.function.Elsewhere {
		if other.Fact.Seen() && r.judgePolicy(*other.Fact.Value, p, r.arnOf(p, other.Name)).allowed {
			f.cause, f.values["elsewhere"] = "permission.qualifier", other.Name
			field := "AWS:SourceArn"
			if r.Planned != nil { // the statement that is to be changed
				field = other.Fact.Value.Statement[0].Sid + " FunctionName"
			}
			f.evidence = []Evidence{
				{Call: other.Fact.Call, Of: other.Fact.Of, Field: field, Value: firstSource(*other.Fact.Value)},
				{Call: fact.Call, Of: fact.Of, Value: errorText(fact.Error), Expected: needed},
			}
			return f
		}
	}
	for _, other := range p.function.Elsewhere {
		if reportUnseen(r, other.Fact, "would.elsewhere") {
			f.certainty = Likely // the permission may be there
		}
	}
	if len(document.Statement) == 0 {
		f.cause = "permission.none"
		f.evidence = []Evidence{{Call: fact.Call, Of: fact.Of, Value: errorText(fact.Error), Expected: needed}}
		return f
	}
	miss := closestStatement(document, r, p, said.refused[0])
	f.cause = miss.cause
	f.mergeKey += " " + miss.sid
	f.values["sid"], f.values["value"], f.values["expected"] = miss.sid, miss.value, miss.expected
	f.evidence = []Evidence{
		{Call: fact.Call, Of: fact.Of, Field: strings.TrimSpace(miss.sid + " " + miss.field), Value: miss.value,
			Expected: miss.expected},
	}
	if miss.unclear {
		f.certainty = Likely
	}
	if miss.cause == "permission.method" && strings.HasPrefix(p.route.Key, "ANY ") {
		if f.values["methods"] = strings.Join(said.refused, ", "); miss.literalANY {
			f.certainty = Likely // the AWS guide shows such a pattern, but it does not work
		}
	}
	if miss.cause == "permission.other-api" {
		if gone := factNamed(r.OtherAPIs, miss.region+" "+miss.api); gone.Missing() {
			f.cause = "permission.deleted-api"
		}
	}
	return f
}

// permitFix grants all routes of the stage at once.
func (r *result) permitFix(p *pair) Fix {
	return r.programFix(true, "fix.permit", "permit", "--api", r.Asked.API, "--stage", p.stage.Name)
}

// addPermissionFix grants a single route.
func (r *result) addPermissionFix(p *pair) Fix {
	grant := gateway.NewGrant(
		r.api,
		p.target.Function,
		p.target.Qualifier,
		"",
		r.api.Pattern(p.stage.Name, p.route.Key),
	)
	return r.awsFix(true, "fix.add-permission", values{"route": p.route.Key}, grant.Input())
}

// addWarnings adds findings for statements that allow too much, or whose API no longer exists.
func (r *result) addWarnings() {
	done := map[string]bool{}
	for i := range r.Functions {
		f := &r.Functions[i]
		if !f.Policy.Seen() || done[f.Policy.Of] {
			continue
		}
		done[f.Policy.Of] = true
		if size := gateway.Size(*f.Policy.Value, nil, nil); size > policy.MaxPolicy-500 {
			r.addFinding(draft{cause: "permission.full", values: values{"function": f.Policy.Of, "size": size},
				evidence: []Evidence{
					{Call: f.Policy.Call, Of: f.Policy.Of, Field: "bytes", Value: fmt.Sprint(size),
						Expected: fmt.Sprint(policy.MaxPolicy)},
				}})
		}
		for _, s := range f.Policy.Value.Statement {
			_, arn := sourceOf(s)
			parts := strings.SplitN(arn, ":", 6)
			at := []Evidence{{Call: f.Policy.Call, Of: f.Policy.Of, Field: s.Sid + " AWS:SourceArn", Value: arn}}
			forUs := strings.Contains(principalOf(s), gateway.Principal) || principalOf(s) == "*"
			if s.Effect == "Allow" && forUs && arn == "" && len(s.Condition) == 0 {
				r.addFinding(
					draft{
						cause:    "permission.too-wide",
						values:   values{"sid": s.Sid, "function": f.Policy.Of},
						evidence: at,
					},
				)
			}
			if len(parts) != 6 || parts[2] != "execute-api" {
				continue
			}
			id, _, _ := strings.Cut(parts[5], "/")
			if other := factNamed(r.OtherAPIs, parts[3]+" "+id); other.Missing() && !r.mentionsStatement(s.Sid) {
				r.addFinding(
					draft{
						cause:    "permission.left-over",
						values:   values{"sid": s.Sid, "function": f.Policy.Of, "api": id},
						evidence: at,
					},
				)
			}
		}
	}
}

// mentionsStatement reports whether a finding is already about a statement.
func (r *result) mentionsStatement(sid string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool {
		return slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return strings.HasPrefix(e.Field, sid+" ") })
	})
}
