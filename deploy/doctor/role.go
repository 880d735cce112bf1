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

// refusal is AWS's own sentence where somebody may not do something ("Troubleshoot access denied error messages", IAM
// user guide).
var refusal = regexp.MustCompile(`(?:User: (\S+) )?(?:is )?not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z*]+)` +
	`(?: on resource: (\S+))?(?: because no ([a-z -]+?) allows| with an explicit deny in an? ([a-z -]+))?`)

// Refusal returns AWS's sentence in a text that tells that somebody may not do something; "" for none.
func Refusal(text string) string { return refusal.FindString(text) }

// deniedRight is such a sentence, read.
type deniedRight struct {
	who, action, resource string // "" where the sentence does not tell
	kind                  string // of the policy that does not allow
	denier                string // of the policy that denies
	cut                   bool   // the text ends before the sentence does
}

// RightOf returns the action and the resource that a text tells to be refused, where it tells both whole.
func RightOf(text string) (action, resource string, ok bool) {
	d, ok := readRefusal(text)
	return d.action, d.resource, ok && d.whole()
}

// whole reports whether the resource is known whole.
func (d deniedRight) whole() bool {
	return strings.HasPrefix(d.resource, "arn:") && !strings.ContainsAny(d.resource, "*[…\"") && !d.cut
}

// readRefusal reads the sentence in a text.
func readRefusal(text string) (d deniedRight, ok bool) {
	at := refusal.FindStringSubmatchIndex(text)
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
	d.cut = strings.HasPrefix(text[at[1]:], "…") || strings.HasSuffix(d.resource, "…")
	return d, true
}

// unnamed is what AWS says where it does not tell what is refused, and of which operation, as boto3 has it.
var unnamed = regexp.MustCompile(
	`\((AccessDenied|AccessDeniedException|UnauthorizedOperation)\) when calling the (\w+)` +
		` operation|^(?:\S+: )?(AccessDenied|AccessDeniedException|Access Denied)(?:: Access Denied)?()$`,
)

// said are the texts in which the function tells of its errors, and the facts that they are of.
func (v *view) said() (all []Evidence) {
	if i := v.Invocation; i.Seen() && i.Value.Failed {
		all = append(all, Evidence{i.Call, i.Of, i.Value.Type, i.Value.Message, ""})
		for _, line := range i.Value.Log {
			if !v.otherError() { // else what it tells of was handled
				all = append(all, Evidence{i.Call, i.Of, "LogResult", line, ""})
			}
		}
	}
	for _, line := range v.Lines.Or() {
		all = append(all, Evidence{v.Lines.Call, v.Lines.Of, "message", line, ""})
	}
	if a := v.answer(); a != nil && a.From == FromApp && a.Status >= 500 {
		text := a.Body
		if v.Answer.Value.Refusal != "" {
			text = v.Answer.Value.Refusal
		}
		all = append(all, Evidence{v.Answer.Call, "answer", fmt.Sprint(a.Status), text, ""})
	}
	return all
}

// otherError reports whether the error of the invocation tells of neither a right nor a table.
func (v *view) otherError() bool {
	e := v.Invocation.Or()
	return e.Message != "" && !refusal.MatchString(e.Message) && !unnamed.MatchString(e.Message) &&
		tableCause(e.Message) == "" && !strings.HasPrefix(e.Type, "Runtime.ExitError")
}

// ofLines is how sure it is that what the function said is about the request: lines of a log that no id joins to the
// request are joined to it by their time alone.
func (v *view) ofLines() Certainty {
	if v.Invocation.Value == nil && !v.Joined {
		return Likely
	}
	return Proved
}

// fails reports whether the client saw an error of the server's, by API Gateway or by the app.
func (v *view) fails() bool {
	a := v.answer()
	return a != nil && a.Status >= 500 && (a.From == FromGateway || a.From == FromApp)
}

// checkRole judges what the function's own errors tell of a right that its role lacks.
func checkRole(v *view, r *result) {
	p := v.selected
	if p == nil {
		return
	}
	hideFact(r, v.Simulation, "would.role")
	for _, e := range v.said() {
		f := found{cause: "role.action", certainty: v.ofLines(), pairs: r.alike(p), explains: v.fails(),
			evidence: []Evidence{e}, values: values{"function": p.named(), "resource": "–", "role": r.roleName(p)}}
		if d, ok := readRefusal(e.Value); ok && !r.judgeRefusal(&f, d) {
			continue
		} else if m := unnamed.FindStringSubmatch(e.Value); !ok && m == nil {
			continue
		} else if !ok {
			f.variant, f.certainty, f.values["action"] = "role.unnamed", Likely, cmp.Or(m[2], "AWS")
		}
		r.find(f)
		return
	}
	if v.Role.Error != nil {
		hideFact(r, v.Role, "would.role")
	}
}

// roleName is the name of the role of the function of a route; "–" where it is not known.
func (r *result) roleName(p *pair) string {
	c := p.configuration()
	if c == nil || c.Role == "" {
		return "–"
	}
	return c.Role[strings.LastIndex(c.Role, "/")+1:]
}

// judgeRefusal tells whose right is missing, and why. It reports false for a sentence that cannot be about the request:
// the role has the right now, and nothing joins the sentence to the request.
func (r *result) judgeRefusal(f *found, d deniedRight) bool {
	f.values["action"], f.values["resource"], f.values["by"], f.values["who"] = d.action, d.resource, d.denier, d.who
	own, account := r.roleName(r.selected), r.selected.target.Account
	switch {
	case d.who != "" && own != "–" && !strings.HasSuffix(d.who, "…") &&
		!strings.Contains(d.who, ":"+account+":assumed-role/"+own+"/"):
		f.variant = "role.other"
		f.evidence = append(f.evidence, Evidence{"lambda:GetFunction", r.selected.named(), "Role", own, ""})
	case strings.HasPrefix(d.denier, "identity-based"):
		f.cause, f.variant = "role.denied", "role.denied.own"
	case d.denier != "":
		f.cause = "role.denied"
	case slices.Contains([]string{"permissions boundary", "service control policy", "session policy",
		"resource-based policy", "resource control policy", "VPC endpoint policy"}, d.kind):
		f.cause, f.values["by"] = "role.denied", d.kind
	case r.simulated(f):
	case r.Role.Seen():
		return r.lacks(f, d)
	}
	return true
}

// simulated reports whether IAM's simulator tells that another policy than the role's own refuses, and says which.
func (r *result) simulated(f *found) bool {
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
		Evidence{r.Simulation.Call, r.Simulation.Of, "EvalDecision", s.Decision, "allowed"},
	)
	return true
}

// lacks judges whether the role lacks an action, or has it on other resources, and adds the fix. It reports false for
// what the role has.
func (r *result) lacks(f *found, d deniedRight) bool {
	role := r.Role.Value
	whole := d.whole()
	may := func(resource string) bool {
		decision, _ := role.Judge(policy.Request{Action: d.action, Resource: resource, Undecided: undecided})
		return decision.Allowed
	}
	switch own := r.inOwnRegion(d.resource); {
	case whole && may(d.resource) && f.certainty == Likely:
		return false // what was said before it was allowed
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
			everything := slices.Contains(s.Resource, "*") // so something else denies it
			if s.Effect == "Allow" && grants && !everything {
				f.cause = "role.resource"
				f.evidence = append(f.evidence, Evidence{r.Role.Call, role.Name, s.Sid + " Resource",
					strings.Join(s.Resource, ", "), d.resource})
			}
		}
	}
	if whole {
		f.fix = []Fix{r.allow(role.Name, d.action, d.resource)}
	}
	return true
}

// allow gives a role an action on just one resource.
func (r *result) allow(role, action, resource string) Fix {
	document := policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Effect: "Allow",
		Action: policy.Strings{action}, Resource: policy.Strings{resource}}}}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // of texts
	}
	name := strings.NewReplacer(":", "-", "*", "all").Replace(action)
	return r.aws(false, "fix.role", values{"action": action}, &iam.PutRolePolicyInput{RoleName: &role,
		PolicyName: aws.String("allow-" + name), PolicyDocument: aws.String(string(text))})
}

// inOwnRegion is the ARN of a table with the region of the request's function in it.
func (r *result) inOwnRegion(resource string) string {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) == 6 && parts[2] == "dynamodb" && r.selected.target.Region != "" {
		parts[3] = r.selected.target.Region
	}
	return strings.Join(parts, ":")
}
