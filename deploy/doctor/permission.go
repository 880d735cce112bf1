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
)

// functionARN is the ARN of what a route invokes, with its qualifier.
func (r *result) functionARN(p *pair) string { return r.arnOf(p, p.named()) }

// arnOf is the ARN of the function of a route under another qualifier: of NAME or NAME:QUALIFIER.
func (r *result) arnOf(p *pair, named string) string {
	return "arn:" + r.api.Partition + ":lambda:" + p.target.Region + ":" + p.target.Account + ":function:" + named
}

// named is a function with its qualifier, as people write it.
func (p *pair) named() string {
	if p.target.Qualifier != "" {
		return p.target.Function + ":" + p.target.Qualifier
	}
	return p.target.Function
}

// undecided reports whether a condition key may have a value that is not known here. API Gateway presents the source
// ARN and the account, and calls neither as a principal of an organization nor through a function URL.
func undecided(key string) bool {
	return !slices.Contains([]string{"aws:sourcearn", "aws:sourceaccount", "lambda:invokedviafunctionurl",
		"lambda:functionurlauthtype", "aws:principalorgid", "aws:principalaccount", "aws:principalarn"},
		strings.ToLower(key))
}

// verdictOn is what a policy says of a route.
type verdictOn struct {
	allowed bool     // under one of the readings of what API Gateway presents
	unclear bool     // a statement could not be judged, and it may decide
	refused []string // methods of ANY for which no reading is allowed; nil where all are alike
}

// anyMethods are the methods that ANY stands for.
var anyMethods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}

// methodsOf are the methods of a route that a policy may tell apart: that of the route; of ANY that of the request, or
// those that a source ARN names, and one more for all others.
func (r *result) methodsOf(d policy.Document, p *pair) (all []string) {
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

// judge judges whether a policy lets API Gateway invoke a function for a route: by each reading of what it presents
// (see gateway.API.Presented), for each method that makes a difference.
func (r *result) judge(d policy.Document, p *pair, resource string) (v verdictOn) {
	request := policy.Request{Principal: policy.Caller{Service: gateway.Principal}, Action: gateway.Invoke,
		Resource: resource, Undecided: undecided}
	for _, method := range r.methodsOf(d, p) {
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
			v.unclear = v.unclear ||
				slices.ContainsFunc(decision.Reasons, func(r policy.Reason) bool { return !r.Known })
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
	r.each(v.requestFirst(), func(p *pair) *found {
		switch {
		case p.function == nil || p.wrong != nil,
			!p.function.Configuration.Seen() && !p.function.Configuration.Unseen(),
			p.target.Account != v.api.Account && v.api.Account != "":
			return nil
		case p.integration.Credentials != "":
			return r.byRole(p)
		case hideFact(r, p.function.Policy, "would.permission"):
			return nil
		}
		f := r.permission(p)
		if f == nil {
			passed++
		}
		return f
	})
	if passed > 0 {
		r.pass("pass.permission", values{"count": passed})
	}
	r.warnings()
}

// callerRole stands for the identity of whoever calls the API ("CreateIntegration", API Gateway V2 API reference).
const callerRole = "arn:aws:iam::*:user/*"

// byRole judges whether API Gateway may invoke the function of a route with the role that the integration names; nil
// where it may, or that is not known. The function's policy does not decide then.
func (r *result) byRole(p *pair) *found {
	arn := p.integration.Credentials
	f := &found{cause: "integration.role", explains: r.explains(p, 500), values: values{"role": arn,
		"function": p.named(), "lacks": "sts:AssumeRole"}}
	role := named(r.Callers, arn)
	at := func(field, value, expected string) *found {
		f.evidence = []Evidence{{r.Integrations.Call, p.integration.ID, "CredentialsArn", arn, ""},
			{role.Call, role.Of, field, value, expected}}
		return f
	}
	switch {
	case arn == callerRole:
		if f.cause, f.certainty, f.explains = "integration.caller-role", Likely, r.explains(p, 500, 403); f.explains {
			return at("", "", gateway.Invoke)
		}
		r.skip("skip.credentials", f.values)
		return nil
	case role.Missing():
		f.variant = "integration.role.missing"
		return at("", role.Error.Code, "")
	case hideFact(r, role, "would.permission") || !role.Seen():
		return nil
	case !role.Value.Assume(gateway.Principal, r.api.Account).Allowed:
		return at("AssumeRolePolicyDocument", principals(role.Value.Trust), gateway.Principal)
	}
	decision, _ := role.Value.Judge(policy.Request{Action: gateway.Invoke, Resource: r.functionARN(p),
		Undecided: undecided})
	if decision.Allowed {
		return nil
	}
	f.values["lacks"] = gateway.Invoke
	text, err := json.Marshal(policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Effect: "Allow",
		Action: policy.Strings{gateway.Invoke}, Resource: policy.Strings{r.functionARN(p)}}}})
	if err != nil {
		panic(err) // of texts
	}
	f.fix = []Fix{r.aws(false, "fix.role", values{"action": gateway.Invoke}, &iam.PutRolePolicyInput{
		RoleName: &role.Value.Name, PolicyName: aws.String("invoke-" + p.target.Function),
		PolicyDocument: aws.String(string(text))})}
	return at("Action", "", gateway.Invoke+" "+r.functionARN(p))
}

// permission judges whether API Gateway may invoke the function of a route; nil where it may.
func (r *result) permission(p *pair) *found {
	fact := p.function.Policy
	f := &found{
		explains: r.explains(p, 500),
		values: values{"function": p.named(), "stage": p.stage.Name, "route": p.route.Key,
			"qualifier": p.target.Qualifier},
	}
	if p.target.Qualifier == "$LATEST" {
		f.cause, f.same = "permission.qualifier", p.named()
		f.values["elsewhere"] = p.target.Function
		f.evidence = []Evidence{{r.Integrations.Call, p.integration.ID, "IntegrationUri", p.integration.URI, ""}}
		bare := strings.Replace(p.integration.URI, ":$LATEST", "", 1)
		f.fix = []Fix{r.aws(false, "fix.uri", nil, &apigatewayv2.UpdateIntegrationInput{ApiId: &r.Asked.API,
			IntegrationId: &p.integration.ID, IntegrationUri: aws.String(bare)}), r.permit(p)}
		return f
	}
	said := r.judge(fact.Or(), p, r.functionARN(p))
	if said.allowed {
		return nil
	}
	f.heals = func(first bool) []Fix {
		if !first {
			return []Fix{r.permit(p)}
		}
		return []Fix{r.permit(p), r.addPermission(p)}
	}
	needed := r.api.Pattern(p.stage.Name, p.route.Key)
	if said.unclear {
		f.certainty = Likely
	}
	document := fact.Or()
	f.same = p.named()
	for _, other := range p.function.Elsewhere {
		if other.Fact.Seen() && r.judge(*other.Fact.Value, p, r.arnOf(p, other.Name)).allowed {
			f.cause, f.values["elsewhere"] = "permission.qualifier", other.Name
			f.evidence = []Evidence{
				{other.Fact.Call, other.Fact.Of, "AWS:SourceArn", sourceIn(*other.Fact.Value), needed},
				{fact.Call, fact.Of, "", errorText(fact.Error), needed},
			}
			return f
		}
	}
	for _, other := range p.function.Elsewhere {
		if hideFact(r, other.Fact, "would.elsewhere") {
			f.certainty = Likely // the grant may be there
		}
	}
	if len(document.Statement) == 0 {
		f.cause = "permission.none"
		f.evidence = []Evidence{{fact.Call, fact.Of, "", errorText(fact.Error), needed}}
		return f
	}
	miss := closestStatement(document, r, p)
	f.cause = miss.cause
	f.same += " " + miss.sid
	f.values["sid"], f.values["value"], f.values["expected"] = miss.sid, miss.value, miss.expected
	f.evidence = []Evidence{
		{fact.Call, fact.Of, strings.TrimSpace(miss.sid + " " + miss.field), miss.value, miss.expected},
	}
	if miss.unclear {
		f.certainty = Likely
	}
	if miss.cause == "permission.method" && strings.HasPrefix(p.route.Key, "ANY ") {
		if f.values["methods"] = strings.Join(said.refused, ", "); miss.literalANY {
			f.certainty = Likely // AWS's guide shows such a pattern, and it was seen not to work
		}
	}
	if miss.cause == "permission.other-api" {
		if gone := named(r.OtherAPIs, miss.region+" "+miss.api); gone.Missing() {
			f.cause = "permission.deleted-api"
		}
	}
	return f
}

// permit is the fix for all routes at once, and addPermission the one for a route.
func (r *result) permit(p *pair) Fix {
	return r.ours(true, "fix.permit", "permit", "--api", r.Asked.API, "--stage", p.stage.Name)
}

func (r *result) addPermission(p *pair) Fix {
	grant := gateway.NewGrant(
		r.api,
		p.target.Function,
		p.target.Qualifier,
		"",
		r.api.Pattern(p.stage.Name, p.route.Key),
	)
	return r.aws(true, "fix.add-permission", values{"route": p.route.Key}, grant.Input())
}

// warnings tell of statements that let in more than they should, or nothing any more.
func (r *result) warnings() {
	done := map[string]bool{}
	for i := range r.Functions {
		f := &r.Functions[i]
		if !f.Policy.Seen() || done[f.Policy.Of] {
			continue
		}
		done[f.Policy.Of] = true
		if size := gateway.Size(*f.Policy.Value, nil, nil); size > policy.MaxPolicy-500 {
			r.find(found{cause: "permission.full", values: values{"function": f.Policy.Of, "size": size},
				evidence: []Evidence{
					{f.Policy.Call, f.Policy.Of, "bytes", fmt.Sprint(size), fmt.Sprint(policy.MaxPolicy)},
				}})
		}
		for _, s := range f.Policy.Value.Statement {
			_, arn := sourceOf(s)
			parts := strings.SplitN(arn, ":", 6)
			at := []Evidence{{f.Policy.Call, f.Policy.Of, s.Sid + " AWS:SourceArn", arn, ""}}
			forUs := strings.Contains(principalOf(s), gateway.Principal) || principalOf(s) == "*"
			if s.Effect == "Allow" && forUs && arn == "" && len(s.Condition) == 0 {
				r.find(
					found{
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
			if other := named(r.OtherAPIs, parts[3]+" "+id); other.Missing() && !r.tells(s.Sid) {
				r.find(
					found{
						cause:    "permission.left-over",
						values:   values{"sid": s.Sid, "function": f.Policy.Of, "api": id},
						evidence: at,
					},
				)
			}
		}
	}
}

// tells reports whether a finding is about a statement already.
func (r *result) tells(sid string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool {
		return slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return strings.HasPrefix(e.Field, sid+" ") })
	})
}
