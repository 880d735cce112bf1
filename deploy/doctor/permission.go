package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// functionARN is the ARN of what a route invokes, with its qualifier.
func (r *result) functionARN(p *pair) string { return r.arnOf(p, p.named()) }

// arnOf is the ARN of the function of a route under another qualifier: of NAME or NAME:QUALIFIER.
func (r *result) arnOf(p *pair, named string) string {
	return fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", r.api.Partition, p.target.Region, p.target.Account, named)
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
		for _, source := range r.api.Possible(p.stage.Name, key) {
			request.Context = map[string]string{"AWS:SourceArn": source, "AWS:SourceAccount": r.api.Account}
			decision := d.Judge(request)
			allowed = allowed || decision.Allowed
			v.unclear = v.unclear || slices.ContainsFunc(decision.Reasons, func(r policy.Reason) bool { return !r.Known })
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
			r.skip("skip.credentials", values{"role": p.integration.Credentials})
			return nil
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

// sourceIn is the source ARN of the first statement of a policy that has one.
func sourceIn(d policy.Document) string {
	for _, s := range d.Statement {
		if _, value := sourceOf(s); value != "" {
			return value
		}
	}
	return "*"
}

// sourceOf is the operator and the first value of a statement's condition on the source ARN; "" for none.
func sourceOf(s policy.Statement) (operator, value string) {
	for one, keys := range s.Condition {
		for key, values := range keys {
			if strings.EqualFold(key, "AWS:SourceArn") && len(values) > 0 && (operator == "" || one < operator) {
				operator, value = one, values[0]
			}
		}
	}
	return operator, value
}

// miss is why a statement does not let API Gateway in.
type miss struct {
	cause, sid, field, value, expected string
	rank                               int // how much of the statement is right
	unclear                            bool
	literalANY                         bool
	region, api                        string // that the source ARN names
}

// closestStatement is the statement of which most is right, and what of it is not.
func closestStatement(d policy.Document, r *result, p *pair) miss {
	best := miss{
		cause:    "permission.no-apigateway",
		field:    "Principal",
		value:    principals(d),
		expected: gateway.Principal,
	}
	for _, s := range d.Statement {
		if s.Effect != "Allow" {
			continue
		}
		if m := missOf(s, r, p); m.rank > best.rank {
			best = m
		}
	}
	return best
}

func principals(d policy.Document) string {
	var all []string
	for _, s := range d.Statement {
		if name := principalOf(s); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

func principalOf(s policy.Statement) string {
	if s.Principal == nil || s.Principal.Everybody {
		return "*"
	}
	var all []string
	for _, kind := range sortedKeys(s.Principal.Names) {
		all = append(all, s.Principal.Names[kind]...)
	}
	return strings.Join(all, ", ")
}

// missOf tells what of a statement is wrong. What is wrong first, from principal to path, is told.
func missOf(s policy.Statement, r *result, p *pair) miss {
	_, arn := sourceOf(s)
	possible := r.api.Possible(p.stage.Name, exampleKey(p, r))
	m := miss{sid: s.Sid}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 {
		m.region = parts[3]
		m.api, _, _ = strings.Cut(parts[5], "/")
	}
	wrong := func(cause, field, value, expected string, rank int) miss {
		m.cause, m.field, m.value, m.expected, m.rank = cause, field, value, expected, rank
		return m
	}
	only := policy.Document{Statement: policy.Statements{s}}
	reason := only.Judge(policy.Request{
		Principal: policy.Caller{Service: gateway.Principal}, Action: gateway.Invoke, Resource: r.functionARN(p),
		Context: map[string]string{"AWS:SourceArn": possible[0],
			"AWS:SourceAccount": r.api.Account},
		Undecided: undecided,
	}).Reasons[0]
	switch {
	case strings.HasSuffix(reason.Field, "Principal"):
		if len(parts) == 6 && parts[2] == "execute-api" || strings.Contains(principalOf(s), "apigateway") {
			return wrong("permission.principal", "Principal", principalOf(s), gateway.Principal, 1)
		}
		return miss{}
	case strings.HasSuffix(reason.Field, "Action"):
		return wrong("permission.action", "Action", strings.Join(s.Action, ", "), gateway.Invoke, 2)
	case strings.HasSuffix(reason.Field, "Resource"):
		return wrong("permission.qualifier", "Resource", strings.Join(s.Resource, ", "), r.functionARN(p), 3)
	}
	if arn != "" {
		if m := wrongSource(m, arn, possible, r, p); m.cause != "" {
			return m
		}
	}
	for _, operator := range sortedKeys(s.Condition) {
		for _, key := range sortedKeys(s.Condition[operator]) {
			value := strings.Join(s.Condition[operator][key], ", ")
			switch strings.ToLower(key) {
			case "aws:sourcearn":
			case "aws:sourceaccount":
				if value != r.api.Account {
					return wrong("permission.account", operator+" "+key, value, r.api.Account, 20)
				}
			default:
				m.unclear = undecided(key)
				return wrong("permission.condition", operator+" "+key, value, "", 21)
			}
		}
	}
	m.unclear = true
	return wrong("permission.condition", reason.Field, reason.Want, reason.Got, 4)
}

// exampleKey is the key of a route with a method in place of ANY.
func exampleKey(p *pair, r *result) string {
	if rest, ok := strings.CutPrefix(p.route.Key, "ANY "); ok {
		if p == r.selected {
			return r.Asked.Method + " " + rest
		}
		return "GET " + rest
	}
	return p.route.Key
}

// wrongSource tells which part of the pattern of a source ARN does not let a route in; a cause of "" where all do.
func wrongSource(m miss, pattern string, possible []string, r *result, p *pair) miss {
	needed := possible[0]
	if slices.ContainsFunc(possible, func(arn string) bool { return policy.ARNLike(pattern, arn) }) {
		return m
	}
	m.field, m.value, m.expected = "AWS:SourceArn", pattern, r.api.Pattern(p.stage.Name, p.route.Key)
	wrong := func(cause string, rank int) miss {
		m.cause, m.rank = cause, rank
		return m
	}
	want, got := strings.SplitN(pattern, ":", 6), strings.SplitN(needed, ":", 6)
	if len(want) != 6 || want[2] != "execute-api" && !policy.Like(want[2], "execute-api") || want[0] != "arn" ||
		strings.Contains(want[5], "//") || strings.Contains(pattern, "${") || strings.Contains(pattern, "undefined") {
		return wrong("permission.mangled-arn", 4)
	}
	switch {
	case !policy.Like(want[4], got[4]):
		return wrong("permission.account", 5)
	case !policy.Like(want[1], got[1]), !policy.Like(want[3], got[3]):
		return wrong("permission.region", 6)
	}
	has, needs := strings.SplitN(want[5], "/", 4), strings.SplitN(got[5], "/", 4)
	if !policy.Like(has[0], needs[0]) {
		return wrong("permission.other-api", 7)
	}
	if p.route.Key == "$default" && len(has) > 2 || strings.HasSuffix(pattern, "/$default") && len(has) == 4 {
		return wrong("permission.default-route", 12)
	}
	causes := []string{"", "permission.stage", "permission.method", "permission.path"}
	first, right := 0, 8
	for i := 1; i < len(needs); i++ {
		last := i == len(has)-1
		switch {
		case i < len(has) && has[i] == needs[i]:
			right += 3
		case i < len(has) && (policy.Like(has[i], needs[i]) ||
			last && policy.Like(has[i], strings.Join(needs[i:], "/"))):
			if right++; has[i] != "*" { // it says more
				right++
			}
		case first == 0:
			first = i
		}
	}
	m.literalANY = first == 2 && first < len(has) && has[2] == "ANY"
	if p.route.Key == "$default" && first == 2 {
		return wrong("permission.default-route", right)
	}
	return wrong(causes[max(1, first)], right)
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
