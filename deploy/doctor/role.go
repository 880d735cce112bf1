package doctor

import (
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
var refusal = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z*]+)(?: on resource: (\S+))?` +
	`(?: because no ([a-z -]+?) allows| with an explicit deny in an? ([a-z -]+))?`)

// said are the texts in which the function tells of its errors, and the facts that they are of.
func (v *view) said() (all []Evidence) {
	if i := v.Invocation; i.Seen() && i.Value.Failed {
		all = append(all, Evidence{i.Call, i.Of, i.Value.Type, i.Value.Message, ""})
		for _, line := range i.Value.Log {
			all = append(all, Evidence{i.Call, i.Of, "LogResult", line, ""})
		}
	}
	for _, line := range v.Lines.Or() {
		all = append(all, Evidence{v.Lines.Call, v.Lines.Of, "message", line, ""})
	}
	if a := v.answer(); a != nil && a.From == FromApp && a.Status >= 500 {
		all = append(all, Evidence{v.Answer.Call, "answer", fmt.Sprint(a.Status), a.Body, ""})
	}
	return all
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
	for _, e := range v.said() {
		m := refusal.FindStringSubmatch(e.Value)
		if m == nil {
			continue
		}
		action, resource, kind, denier := m[1], strings.TrimRight(m[2], ".,"), m[3], m[4]
		f := found{cause: "role.action", pairs: r.alike(p), explains: v.fails(), evidence: []Evidence{e},
			values: values{"function": p.named(), "action": action, "resource": resource, "by": denier, "role": "–"}}
		switch {
		case denier != "":
			f.cause = "role.denied"
		case kind == "permissions boundary" || kind == "service control policy" || kind == "session policy" ||
			kind == "resource-based policy" || kind == "VPC endpoint policy":
			f.cause, f.values["by"] = "role.denied", kind
		default:
			r.lacks(&f, action, resource)
		}
		f.certainty = v.ofLines()
		r.find(f)
		return
	}
	if v.Role.Error != nil {
		hideFact(r, v.Role, "would.role")
	}
}

// lacks tells whether the role lacks an action, or has it on other resources, and gives it.
func (r *result) lacks(f *found, action, resource string) {
	role := r.Role.Value
	if role == nil {
		return
	}
	f.values["role"] = role.Name
	for _, d := range role.Identity {
		for _, s := range d.Statement {
			grants := slices.ContainsFunc(s.Action, func(a string) bool {
				return policy.Like(strings.ToLower(a), strings.ToLower(action))
			})
			if s.Effect == "Allow" && grants {
				f.cause = "role.resource"
				f.evidence = append(f.evidence, Evidence{r.Role.Call, role.Name, s.Sid + " Resource",
					strings.Join(s.Resource, ", "), resource})
			}
		}
	}
	if own := r.inOwnRegion(resource); own != resource {
		if allowed, _ := role.Judge(policy.Request{Action: action, Resource: own, Undecided: undecided}); allowed.Allowed {
			f.cause, f.values["table"], f.values["region"] = "table.elsewhere", resource, r.selected.target.Region
			return
		}
	}
	if !strings.HasPrefix(resource, "arn:") || strings.ContainsAny(resource, "*[…\"") { // it is not known whole
		return
	}
	document := policy.Document{Version: "2012-10-17", Statement: policy.Statements{{Effect: "Allow",
		Action: policy.Strings{action}, Resource: policy.Strings{resource}}}}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // of texts
	}
	name := strings.NewReplacer(":", "-", "*", "all").Replace(action)
	f.fix = []Fix{r.aws(false, "fix.role", values{"action": action}, &iam.PutRolePolicyInput{RoleName: &role.Name,
		PolicyName: aws.String("allow-" + name), PolicyDocument: aws.String(string(text))})}
}

// inOwnRegion is the ARN of a table with the region of the request's function in it.
func (r *result) inOwnRegion(resource string) string {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) == 6 && parts[2] == "dynamodb" && r.selected.target.Region != "" {
		parts[3] = r.selected.target.Region
	}
	return strings.Join(parts, ":")
}

// tableErrors are what DynamoDB says, and the cause ("Error handling with DynamoDB").
var tableErrors = []struct{ says, cause string }{
	{"KMS key access denied", "table.kms"},
	{"InaccessibleEncryption", "table.kms"},
	{"table that is being created", "table.not-active"},
	{"table is being created", "table.not-active"},
	{"table is being deleted", "table.not-active"},
	{"Requested resource not found", "table.missing"},
	{"Cannot do operations on a non-existent table", "table.missing"},
	{"does not match the schema", "table.keys"},
	{"Missing the key", "table.keys"},
	{"does not have the specified index", "table.index"},
	{"ProvisionedThroughputExceeded", "table.throttled"},
	{"ThrottlingException", "table.throttled"},
	{"RequestLimitExceeded", "table.throttled"},
	{"Could not connect to the endpoint URL: \"http://127.", "table.local-endpoint"},
	{"Could not connect to the endpoint URL: \"http://localhost", "table.local-endpoint"},
	{"ECONNREFUSED 127.0.0.1", "table.local-endpoint"},
	{"127.0.0.1:8000: connect: connection refused", "table.local-endpoint"},
}

// checkTable judges what the function's own errors tell of its table.
func checkTable(v *view, r *result) {
	p := v.selected
	if p == nil {
		return
	}
	for _, e := range v.said() {
		for _, kind := range tableErrors {
			if !strings.Contains(e.Value, kind.says) {
				continue
			}
			f := found{cause: kind.cause, pairs: r.alike(p), explains: v.fails(), evidence: []Evidence{e},
				values: values{"function": p.named(), "message": e.Value, "variables": "–"}}
			if c := p.configuration(); c != nil && kind.cause == "table.local-endpoint" {
				var local []Variable
				for _, one := range c.Variables {
					if one.Loopback {
						local = append(local, one)
					}
				}
				f.values["variables"] = names(local, func(v Variable) string { return v.Name })
			}
			f.certainty = v.ofLines()
			r.described(&f)
			r.find(f)
			return
		}
	}
}

// described tells of a table that is said to be missing, where its name is known and it exists.
func (r *result) described(f *found) {
	t := r.Table
	if f.cause != "table.missing" || hideFact(r, t, "would.table") || !t.Seen() {
		return
	}
	f.values["table"], f.values["status"], f.values["region"] = t.Value.Name, t.Value.Status, r.Asked.Region
	f.cause = "table.elsewhere"
	if t.Value.Status != "ACTIVE" {
		f.cause = "table.not-active"
	}
	f.evidence = append(f.evidence, Evidence{t.Call, t.Of, "TableStatus", t.Value.Status, "ACTIVE"})
}
