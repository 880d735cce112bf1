package doctor

import (
	"regexp"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// firstSource returns the source ARN of the first statement that has one, "*" if none has.
func firstSource(d policy.Document) string {
	for _, s := range d.Statement {
		if _, value := sourceOf(s); value != "" {
			return value
		}
	}
	return "*"
}

// sourceOf returns the operator and first value of a statement's condition on the source ARN, "" for none.
func sourceOf(s policy.Statement) (operator, value string) {
	for one, keys := range s.Condition {
		for key, arns := range keys {
			if strings.EqualFold(key, "AWS:SourceArn") && len(arns) > 0 && (operator == "" || one < operator) {
				operator, value = one, arns[0]
			}
		}
	}
	return operator, value
}

// mismatch is why a statement does not allow API Gateway to invoke the function.
type mismatch struct {
	cause, sid, field, value, expected string
	rank                               int // higher if more of the statement matches
	unclear                            bool
	literalANY                         bool
	region, api                        string // in the source ARN
}

// closestStatement returns the mismatch of the statement that comes closest to allowing the pair with a method, "" for
// the route's own.
func closestStatement(d policy.Document, r *result, p *pair, method string) mismatch {
	best := mismatch{
		cause:    "permission.no-apigateway",
		field:    "Principal",
		value:    principals(d),
		expected: gateway.Principal,
	}
	for _, s := range d.Statement {
		if s.Effect != "Allow" {
			continue
		}
		if m := mismatchOf(s, r, p, method); m.rank > best.rank {
			best = m
		}
	}
	return best
}

// principals lists the principals of a policy.
func principals(d policy.Document) string {
	var all []string
	for _, s := range d.Statement {
		if name := principalOf(s); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

// principalOf lists the principals of a statement.
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

// mismatchOf returns the first mismatch of a statement, in the order from principal to path.
func mismatchOf(s policy.Statement, r *result, p *pair, method string) mismatch {
	_, arn := sourceOf(s)
	key := exampleKey(p, r)
	if method != "" {
		key = method + strings.TrimPrefix(p.route.Key, "ANY")
	}
	possible := r.api.Possible(p.stage.Name, key)
	m := mismatch{sid: s.Sid}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 {
		m.region = parts[3]
		m.api, _, _ = strings.Cut(parts[5], "/")
	}
	wrong := func(cause, field, value, expected string, rank int) mismatch {
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
		return mismatch{}
	case strings.HasSuffix(reason.Field, "Action"):
		return wrong("permission.action", "Action", strings.Join(s.Action, ", "), gateway.Invoke, 2)
	case strings.HasSuffix(reason.Field, "Resource"):
		return wrong("permission.qualifier", "Resource", strings.Join(s.Resource, ", "), r.functionARN(p), 3)
	}
	if arn != "" {
		if m := compareSource(m, arn, possible, r, p); m.cause != "" {
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

// exampleKey returns the key of a pair's route, with a method in place of ANY.
func exampleKey(p *pair, r *result) string {
	if rest, ok := strings.CutPrefix(p.route.Key, "ANY "); ok {
		if p == r.selected {
			return r.Asked.Method + " " + rest
		}
		return "GET " + rest
	}
	return p.route.Key
}

// apiID matches the start of what follows the account in a source ARN: the id of an API, or a pattern. It does not
// match names, but placeholders of package unknown.
var apiID = regexp.MustCompile(`^([a-z0-9*?]|` + unknown.Pattern + `)+(/|$)`)

// compareSource returns the first mismatch of a source ARN pattern. Its cause is "" if the pattern matches.
func compareSource(m mismatch, pattern string, possible []string, r *result, p *pair) mismatch {
	needed := possible[0]
	if slices.ContainsFunc(possible, func(arn string) bool { return policy.ARNLike(pattern, arn) }) {
		return m
	}
	m.field, m.value, m.expected = "AWS:SourceArn", pattern, r.api.Pattern(p.stage.Name, p.route.Key)
	wrong := func(cause string, rank int) mismatch {
		m.cause, m.rank = cause, rank
		return m
	}
	want, got := strings.SplitN(pattern, ":", 6), strings.SplitN(needed, ":", 6)
	if len(want) != 6 || want[2] != "execute-api" && !mayBeLike(want[2], "execute-api") || want[0] != "arn" ||
		strings.TrimSpace(pattern) != pattern || !strings.ContainsAny(want[5], "/*") ||
		!apiID.MatchString(want[5]) || strings.Contains(want[5], "//") || strings.Contains(pattern, "${") ||
		strings.Contains(pattern, "undefined") {
		return wrong("permission.mangled-arn", 4)
	}
	switch {
	case !mayBeLike(want[4], got[4]):
		return wrong("permission.account", 5)
	case !mayBeLike(want[1], got[1]), !mayBeLike(want[3], got[3]):
		return wrong("permission.region", 6)
	}
	has, needs := strings.SplitN(want[5], "/", 4), strings.SplitN(got[5], "/", 4)
	if !mayBeLike(has[0], needs[0]) {
		return wrong("permission.other-api", 7)
	}
	if len(has) == 3 && has[2] == "" { // a shell removes $default in double quotes
		return wrong("permission.mangled-arn", 8)
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
		case i < len(has) && (mayBeLike(has[i], needs[i]) ||
			last && mayBeLike(has[i], strings.Join(needs[i:], "/"))):
			if right++; has[i] != "*" { // it is more specific
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

// mayBeLike reports whether a value matches a pattern, or may once what is open in them is known. An empty part of an
// ARN never does.
func mayBeLike(pattern, value string) bool {
	return policy.Like(pattern, value) || pattern != "" && unknown.MayMatch(pattern, value)
}
