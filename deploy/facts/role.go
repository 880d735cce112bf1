package facts

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/policy"
)

// readRole reads a role by its ARN, with every policy that determines what it may do.
func (g *gatherer) readRole(arn string) (f doctor.Fact[doctor.Role]) {
	name := arn[strings.LastIndex(arn, "/")+1:]
	r := doctor.Role{Name: name}
	got := readFact(g, &iam.GetRoleInput{RoleName: &name}, name, func(answer any) (boundary string, err error) {
		r.Created, _ = cloud.Search("Role.CreateDate", answer).(string)
		text, _ := cloud.Search("Role.AssumeRolePolicyDocument", answer).(string)
		if r.Trust, err = policy.ParseEscaped(text); err == nil {
			err = cloud.Decode(cloud.Search("Role.PermissionsBoundary.PermissionsBoundaryArn", answer), &boundary)
		}
		return boundary, err
	})
	f.Call, f.Of, f.Error = got.Call, got.Of, got.Error
	if got.Error != nil {
		return f
	}
	inline := readFact(g, &iam.ListRolePoliciesInput{RoleName: &name}, name, func(answer any) ([]string, error) {
		return cloud.Texts("PolicyNames[]", answer), nil
	})
	attached := readFact(
		g,
		&iam.ListAttachedRolePoliciesInput{RoleName: &name},
		name,
		func(answer any) ([]string, error) {
			return cloud.Texts("AttachedPolicies[].PolicyArn", answer), nil
		},
	)
	documents := []doctor.Fact[policy.Document]{}
	for _, one := range inline.Or() {
		documents = append(documents, readFact(g, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &one},
			name+" "+one, parsePolicyAt("PolicyDocument")))
	}
	for _, one := range attached.Or() {
		documents = append(documents, g.readManagedPolicy(one))
	}
	for _, failed := range []*doctor.Failure{inline.Error, attached.Error} {
		if failed != nil {
			f.Error = failed
			return f
		}
	}
	for _, d := range documents {
		if d.Error != nil {
			f.Call, f.Of, f.Error = d.Call, d.Of, d.Error
			return f
		}
		r.Identity = append(r.Identity, *d.Value)
	}
	if boundary := got.Or(); boundary != "" {
		d := g.readManagedPolicy(boundary)
		if r.Boundary = d.Value; d.Error != nil {
			f.Call, f.Of, f.Error = d.Call, d.Of, d.Error
			return f
		}
	}
	f.Value = &r
	return f
}

// readTrust reads who may assume the role of a function.
func (g *gatherer) readTrust(f *doctor.Function) {
	c := f.Configuration.Value
	if c == nil || c.Role == "" {
		return
	}
	name := c.Role[strings.LastIndex(c.Role, "/")+1:]
	f.Trust = readFact(g, &iam.GetRoleInput{RoleName: &name}, name, parsePolicyAt("Role.AssumeRolePolicyDocument"))
}

// simulate asks IAM's policy simulator whether a role may do something. The simulator includes the organization's
// policies.
func (g *gatherer) simulate(role, action, resource string) doctor.Fact[doctor.Simulation] {
	return readFact(g, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: []string{action},
		ResourceArns: []string{resource}}, action, func(answer any) (s doctor.Simulation, err error) {
		err = cloud.Decode(cloud.Search(`EvaluationResults[0].{Decision: EvalDecision,
			Boundary: PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary,
			Organizations: OrganizationsDecisionDetail.AllowedByOrganizations}`, answer), &s)
		return s, err
	})
}

// readManagedPolicy reads the default version of a managed policy.
func (g *gatherer) readManagedPolicy(arn string) doctor.Fact[policy.Document] {
	version := readFact(g, &iam.GetPolicyInput{PolicyArn: &arn}, arn, func(answer any) (string, error) {
		id, _ := cloud.Search("Policy.DefaultVersionId", answer).(string)
		return id, nil
	})
	if version.Error != nil {
		return doctor.Fact[policy.Document]{Call: version.Call, Of: arn, Error: version.Error}
	}
	return readFact(g, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: version.Value}, arn,
		parsePolicyAt("PolicyVersion.Document"))
}

// parsePolicyAt returns a decoder for the policy at a JMESPath expression. IAM returns policies percent-encoded.
func parsePolicyAt(at string) func(answer any) (policy.Document, error) {
	return func(answer any) (policy.Document, error) {
		text, _ := cloud.Search(at, answer).(string)
		return policy.ParseEscaped(text)
	}
}
