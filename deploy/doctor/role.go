package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"example.com/portable-notes/deploy/policy"
)

// refusalSentence matches AWS's access-denied sentence ("Troubleshoot access denied error messages", IAM user guide).
var refusalSentence = regexp.MustCompile(`(?:User: (\S+) )?(?:is )?not authorized to perform: ` +
	`([A-Za-z0-9-]+:[A-Za-z*]+)` +
	`(?: on resource: (\S+))?(?: because no ([a-z -]+?) allows| with an explicit deny in an? ([a-z -]+))?`)

// Refusal returns AWS's access-denied sentence in a text, "" if it has none.
func Refusal(text string) string { return refusalSentence.FindString(text) }

// deniedRight is a parsed access-denied sentence.
type deniedRight struct {
	who, action, resource string // "" if the sentence does not say
	kind                  string // type of the policy that does not allow
	denier                string // type of the policy that denies
	truncated             bool   // the text was cut within the sentence
}

// DeniedAction returns the action and resource that a text says are denied. It reports false unless both are complete.
func DeniedAction(text string) (action, resource string, ok bool) {
	d, ok := readRefusal(text)
	return d.action, d.resource, ok && d.isComplete()
}

// isComplete reports whether the resource is a complete ARN.
func (d deniedRight) isComplete() bool {
	return strings.HasPrefix(d.resource, "arn:") && !strings.ContainsAny(d.resource, "*[…\"") && !d.truncated
}

// readRefusal parses the access-denied sentence in a text.
func readRefusal(text string) (d deniedRight, ok bool) {
	at := refusalSentence.FindStringSubmatchIndex(text)
	if at == nil {
		return d, false
	}
	group := func(n int) string {
		if at[2*n] < 0 {
			return ""
		}
		return text[at[2*n]:at[2*n+1]]
	}
	d = deniedRight{who: group(1), action: group(2), resource: strings.Trim(group(3), `.,"'`), kind: group(4),
		denier: strings.TrimSpace(group(5))}
	d.truncated = strings.HasPrefix(text[at[1]:], "…") || strings.HasSuffix(d.resource, "…")
	return d, true
}

// unnamedRefusal matches an access-denied error that does not name the action, and the operation in it if it comes from
// boto3.
var unnamedRefusal = regexp.MustCompile(
	`\((AccessDenied|AccessDeniedException|UnauthorizedOperation)\) when calling the (\w+)` +
		` operation|^(?:\S+: )?(AccessDenied|AccessDeniedException|Access Denied)(?:: Access Denied)?()$`,
)

// errorTexts returns the texts in which the function reports errors, as evidence.
func (v *view) errorTexts() (all []Evidence) {
	if i := v.Invocation; i.Seen() && i.Value.Failed {
		all = append(all, Evidence{Call: i.Call, Of: i.Of, Field: i.Value.Type, Value: i.Value.Message})
		for _, line := range i.Value.Log {
			if !v.isUnrelatedError() { // the function handled what such a line reports
				all = append(all, Evidence{Call: i.Call, Of: i.Of, Field: "LogResult", Value: line})
			}
		}
	}
	for _, line := range v.Lines.Or() {
		all = append(all, Evidence{Call: v.Lines.Call, Of: v.Lines.Of, Field: "message", Value: line})
	}
	if a := v.clientAnswer(); a != nil && a.From == FromApp && a.Status >= 500 {
		text := a.Body
		if v.Answer.Value.Refusal != "" {
			text = v.Answer.Value.Refusal
		}
		all = append(all, Evidence{Call: v.Answer.Call, Of: "answer", Field: fmt.Sprint(a.Status), Value: text})
	}
	return all
}

// isUnrelatedError reports whether the error of the invocation is about neither a permission nor a table.
func (v *view) isUnrelatedError() bool {
	e := v.Invocation.Or()
	return e.Message != "" && !refusalSentence.MatchString(e.Message) && !unnamedRefusal.MatchString(e.Message) &&
		tableCause(e.Message) == "" && !strings.HasPrefix(e.Type, "Runtime.ExitError")
}

// textCertainty returns how certain it is that errorTexts are about the request. Without an id, log lines are related
// to it only by their time.
func (v *view) textCertainty() Certainty {
	if v.Invocation.Value == nil && !v.Joined {
		return Likely
	}
	return Proved
}

// serverFailed reports whether the client received a 5xx response from API Gateway or the app.
func (v *view) serverFailed() bool {
	a := v.clientAnswer()
	return a != nil && a.Status >= 500 && (a.From == FromGateway || a.From == FromApp)
}

// checkRole judges what the function's errors show about a permission that its role lacks.
func checkRole(v *view, r *result) {
	p := v.selected
	if p == nil {
		return
	}
	reportUnseen(r, v.Simulation, "would.role")
	for _, e := range v.errorTexts() {
		f := draft{cause: "role.action", certainty: v.textCertainty(), pairs: r.sharingFunction(p),
			explains: v.serverFailed(),
			evidence: []Evidence{e}, values: values{
				"function": p.qualifiedName(), "resource": "–", "role": r.roleName(p)}}
		if d, ok := readRefusal(e.Value); ok && !r.judgeRefusal(&f, d) {
			continue
		} else if m := unnamedRefusal.FindStringSubmatch(e.Value); !ok && m == nil {
			continue
		} else if !ok {
			f.variant, f.certainty, f.values["action"] = "role.unnamed", Likely, cmp.Or(m[2], "AWS")
		}
		r.addFinding(f)
		return
	}
	if v.Role.Error != nil {
		reportUnseen(r, v.Role, "would.role")
	}
}

// itemActions are the actions on the items of a table ("Actions, resources, and condition keys for Amazon DynamoDB").
var itemActions = []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
	"dynamodb:Query", "dynamodb:Scan", "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem",
	"dynamodb:ConditionCheckItem", "dynamodb:PartiQLSelect", "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate",
	"dynamodb:PartiQLDelete"}

// checkNeeds judges whether the roles of functions allow what the functions need.
func checkNeeds(v *view, r *result) {
	for i := range v.Functions {
		f := &v.Functions[i]
		if len(f.Needs) == 0 || reportUnseen(r, f.Rights, "would.role") || !f.Rights.Seen() {
			continue
		}
		for _, n := range f.Needs {
			r.judgeNeed(f, n)
		}
	}
}

// judgeNeed judges whether the role of a function allows what the function needs.
func (r *result) judgeNeed(f *Function, n Need) {
	role := f.Rights.Value
	one := draft{cause: "role.action", pairs: r.functionPairs(f), values: values{"function": f.qualifiedName(),
		"role": role.Name, "resource": n.Resource, "variable": n.Variable}}
	actions, lacks, open, unclear := n.Actions, []string{}, []string{}, false
	if actions == nil {
		actions = itemActions
	}
	for _, action := range actions {
		allowed := false
		resources := []string{n.Resource}
		if action == "dynamodb:Query" || action == "dynamodb:Scan" {
			resources = append(resources, n.Resource+"/index/x")
		}
		for _, resource := range resources {
			decision, _ := role.Judge(policy.Request{Action: action, Resource: resource, Undecided: undecided})
			allowed, open = allowed || decision.Allowed, append(open, openNames(decision)...)
			unclear = unclear || isUnclear(decision)
		}
		if !allowed {
			lacks = append(lacks, action)
		}
	}
	switch {
	case len(lacks) == 0, n.Actions == nil && len(lacks) < len(actions):
		return
	case r.reportOpen(f.Rights.Call, role.Name, slices.Compact(slices.Sorted(slices.Values(open))), "would.role"):
		return
	case unclear: // it may allow them under a condition
		return
	case n.Actions == nil:
		one.variant, one.level, one.certainty = "role.table", Warning, Likely
		lacks = []string{"dynamodb:…"}
	}
	one.values["action"] = strings.Join(lacks, ", ")
	one.evidence = []Evidence{{Call: f.Rights.Call, Of: role.Name, Field: "Action",
		Expected: strings.Join(lacks, ", ") + " " + n.Resource}}
	r.addFinding(one)
}

// roleName returns the name of the role of a pair's function, "–" if it is not known.
func (r *result) roleName(p *pair) string {
	c := p.configuration()
	if c == nil || c.Role == "" {
		return "–"
	}
	return c.Role[strings.LastIndex(c.Role, "/")+1:]
}

// judgeRefusal determines who lacks the permission, and why. It reports false for a sentence that cannot be about the
// request: the role has the permission now, and no id relates the sentence to the request.
func (r *result) judgeRefusal(f *draft, d deniedRight) bool {
	f.values["action"], f.values["resource"], f.values["by"], f.values["who"] = d.action, d.resource, d.denier, d.who
	own, account := r.roleName(r.selected), r.selected.target.Account
	switch {
	case d.who != "" && own != "–" && !strings.HasSuffix(d.who, "…") &&
		!strings.Contains(d.who, ":"+account+":assumed-role/"+own+"/"):
		f.variant = "role.other"
		f.evidence = append(f.evidence, Evidence{Call: "lambda:GetFunction", Of: r.selected.qualifiedName(),
			Field: "Role", Value: own})
	case strings.HasPrefix(d.denier, "identity-based"):
		f.cause, f.variant = "role.denied", "role.denied.own"
	case d.denier != "":
		f.cause = "role.denied"
	case slices.Contains([]string{"permissions boundary", "service control policy", "session policy",
		"resource-based policy", "resource control policy", "VPC endpoint policy"}, d.kind):
		f.cause, f.values["by"] = "role.denied", d.kind
	case r.judgeSimulation(f):
	case r.Role.Seen():
		return r.judgeRolePolicies(f, d)
	}
	return true
}

// judgeSimulation reports whether IAM's policy simulator says that a policy other than the role's own denies the
// action, and completes the finding.
func (r *result) judgeSimulation(f *draft) bool {
	s := r.Simulation.Or()
	refuses := func(allows *bool) bool { return allows != nil && !*allows }
	switch {
	case refuses(s.Organizations):
		f.values["by"] = "service control policy"
	case refuses(s.Boundary):
		f.values["by"] = "permissions boundary"
	case s.Decision == "explicitDeny":
		f.variant = "role.denied.own"
	default:
		return false
	}
	f.cause = "role.denied"
	f.evidence = append(
		f.evidence,
		Evidence{Call: r.Simulation.Call, Of: r.Simulation.Of, Field: "EvalDecision", Value: s.Decision,
			Expected: "allowed"},
	)
	return true
}

// judgeRolePolicies determines whether the role lacks an action or allows it on other resources, and adds the fix. It
// reports false if the role allows the action.
func (r *result) judgeRolePolicies(f *draft, d deniedRight) bool {
	role := r.Role.Value
	whole := d.isComplete()
	may := func(resource string) bool {
		decision, _ := role.Judge(policy.Request{Action: d.action, Resource: resource, Undecided: undecided})
		return decision.Allowed
	}
	switch own := r.inOwnRegion(d.resource); {
	case whole && may(d.resource) && f.certainty == Likely:
		return false // the error is from before it was allowed
	case whole && may(d.resource):
		f.cause, f.certainty, f.values["by"] = "role.denied", Likely, "–"
		f.variant = "role.denied.unseen"
		return true
	case whole && own != d.resource && may(own):
		f.cause, f.values["table"], f.values["region"] = "table.elsewhere", d.resource, r.selected.target.Region
		return true
	}
	for _, document := range role.Identity {
		for _, s := range document.Statement {
			grants := slices.ContainsFunc(s.Action, func(a string) bool {
				return policy.Like(strings.ToLower(a), strings.ToLower(d.action))
			})
			everything := slices.Contains(s.Resource, "*") // then another policy denies it
			if s.Effect == "Allow" && grants && !everything {
				f.cause = "role.resource"
				f.evidence = append(f.evidence, Evidence{Call: r.Role.Call, Of: role.Name, Field: s.Sid + " Resource",
					Value: strings.Join(s.Resource, ", "), Expected: d.resource})
			}
		}
	}
	if whole {
		f.fix = []Fix{r.allowFix(role.Name, d.action, d.resource)}
	}
	return true
}

// allowFix allows a role an action on a single resource.
func (r *result) allowFix(role, action, resource string) Fix {
	document := policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Effect: "Allow",
		Action: policy.Strings{action}, Resource: policy.Strings{resource}}}}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // a policy of strings always encodes
	}
	name := strings.NewReplacer(":", "-", "*", "all").Replace(action)
	return r.awsFix(false, "fix.role", values{"action": action}, &iam.PutRolePolicyInput{RoleName: &role,
		PolicyName: aws.String("allow-" + name), PolicyDocument: aws.String(string(text))})
}

// inOwnRegion returns the ARN of a table with the region of the request's function.
func (r *result) inOwnRegion(resource string) string {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) == 6 && parts[2] == "dynamodb" && r.selected.target.Region != "" {
		parts[3] = r.selected.target.Region
	}
	return strings.Join(parts, ":")
}
