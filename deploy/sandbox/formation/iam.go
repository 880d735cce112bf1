package formation

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"example.com/portable-notes/deploy/cloud"
)

// The kinds call kindOf, which reads kinds, so they cannot be its initial value.
func init() {
	kinds["AWS::IAM::Role"] = role
	kinds["AWS::IAM::Policy"] = inlinePolicy
	kinds["AWS::IAM::RolePolicy"] = rolePolicy
	kinds["AWS::IAM::ManagedPolicy"] = managedPolicy
}

var role = &kind{
	named: "RoleName", limit: 64, immutable: []string{"RoleName", "Path"}, tags: "list",
	create: func(x *work) error {
		in := &iam.CreateRoleInput{}
		if err := decode(without(x.properties, "AssumeRolePolicyDocument", "ManagedPolicyArns", "Policies"),
			in); err != nil {
			return err
		}
		in.RoleName, in.AssumeRolePolicyDocument = aws.String(x.name()), x.document("AssumeRolePolicyDocument")
		answer, err := x.do(in)
		if err != nil {
			return err
		}
		x.id = *in.RoleName
		made, _ := answer["Role"].(map[string]any)
		x.attributes["Arn"], x.attributes["RoleId"] = made["Arn"], made["RoleId"]
		return x.setPolicies(nil)
	},
	update: func(x *work, before map[string]any) error {
		if _, err := x.do(&iam.UpdateAssumeRolePolicyInput{RoleName: &x.id,
			PolicyDocument: x.document("AssumeRolePolicyDocument")}); err != nil {
			return err
		}
		settings := map[string]any{}
		for _, name := range []string{"Description", "MaxSessionDuration"} {
			if x.properties[name] != nil {
				settings[name] = x.properties[name]
			}
		}
		if _, err := x.doWith(&iam.UpdateRoleInput{RoleName: &x.id}, settings); err != nil {
			return err
		}
		if err := x.setBoundary(before); err != nil {
			return err
		}
		if err := x.retag(before, func(tags map[string]string) any {
			in := &iam.TagRoleInput{RoleName: &x.id}
			for key, value := range tags {
				in.Tags = append(in.Tags, types.Tag{Key: &key, Value: &value})
			}
			return in
		}, func(keys []string) any { return &iam.UntagRoleInput{RoleName: &x.id, TagKeys: keys} }); err != nil {
			return err
		}
		return x.setPolicies(before)
	},
	remove: func(x *work) error {
		before := x.properties
		x.properties = map[string]any{}
		if err := x.setPolicies(before); err != nil {
			return err
		}
		_, err := x.do(&iam.DeleteRoleInput{RoleName: &x.id})
		return err
	},
}

// document returns a policy document in a property as the API has it, as text.
func (x *work) document(name string) *string {
	if text, ok := x.properties[name].(string); ok {
		return &text
	}
	return aws.String(asJSON(x.properties[name]))
}

func (x *work) setBoundary(before map[string]any) (err error) {
	switch boundary := x.text("PermissionsBoundary"); {
	case boundary != "":
		_, err = x.do(&iam.PutRolePermissionsBoundaryInput{RoleName: &x.id, PermissionsBoundary: &boundary})
	case before["PermissionsBoundary"] != nil:
		_, err = x.do(&iam.DeleteRolePermissionsBoundaryInput{RoleName: &x.id})
	}
	return err
}

// setPolicies makes a role have its inline and managed policies, and not those it had before.
func (x *work) setPolicies(before map[string]any) error {
	old, now := inlineOf(before), inlineOf(x.properties)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, err := x.do(&iam.PutRolePolicyInput{RoleName: &x.id, PolicyName: &name,
			PolicyDocument: aws.String(now[name])}); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, ok := now[name]; !ok {
			_, err := x.do(&iam.DeleteRolePolicyInput{RoleName: &x.id, PolicyName: &name})
			if err != nil && !cloud.IsNotFound(err) {
				return err
			}
		}
	}
	attached := asList(x.properties["ManagedPolicyArns"])
	for _, arn := range attached {
		if _, err := x.do(&iam.AttachRolePolicyInput{RoleName: &x.id, PolicyArn: aws.String(asText(arn))}); err != nil {
			return err
		}
	}
	for _, arn := range asList(before["ManagedPolicyArns"]) {
		if !slices.Contains(attached, arn) {
			_, err := x.do(&iam.DetachRolePolicyInput{RoleName: &x.id, PolicyArn: aws.String(asText(arn))})
			if err != nil && !cloud.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// inlineOf returns the inline policies of a role by their names.
func inlineOf(properties map[string]any) map[string]string {
	all := map[string]string{}
	for _, one := range asList(properties["Policies"]) {
		policy, _ := one.(map[string]any)
		all[asText(policy["PolicyName"])] = asJSON(policy["PolicyDocument"])
	}
	return all
}

// inlinePolicy is one policy of roles, users and groups.
var inlinePolicy = &kind{
	immutable: []string{"PolicyName"},
	create: func(x *work) error {
		x.id = x.generated(64)
		return x.putPolicy(nil)
	},
	update: func(x *work, before map[string]any) error { return x.putPolicy(before) },
	remove: func(x *work) error {
		before := x.properties
		x.properties = without(before, "Roles", "Users", "Groups")
		return x.putPolicy(before)
	},
}

// putPolicy puts a policy on its identities, and removes it from those it had before.
func (x *work) putPolicy(before map[string]any) error {
	name, document := aws.String(x.text("PolicyName")), x.document("PolicyDocument")
	return x.eachIdentity(before, []identityCalls{
		{"Roles",
			func(id *string) any {
				return &iam.PutRolePolicyInput{RoleName: id, PolicyName: name, PolicyDocument: document}
			},
			func(id *string) any { return &iam.DeleteRolePolicyInput{RoleName: id, PolicyName: name} }},
		{"Users",
			func(id *string) any {
				return &iam.PutUserPolicyInput{UserName: id, PolicyName: name, PolicyDocument: document}
			},
			func(id *string) any { return &iam.DeleteUserPolicyInput{UserName: id, PolicyName: name} }},
		{"Groups",
			func(id *string) any {
				return &iam.PutGroupPolicyInput{GroupName: id, PolicyName: name, PolicyDocument: document}
			},
			func(id *string) any { return &iam.DeleteGroupPolicyInput{GroupName: id, PolicyName: name} }},
	})
}

// identityCalls are the calls that give a policy to the identities of a property, and take it from them.
type identityCalls struct {
	property   string
	give, take func(identity *string) any
}

// eachIdentity gives a policy to its identities, and takes it from those it had before.
func (x *work) eachIdentity(before map[string]any, all []identityCalls) error {
	for _, calls := range all {
		now := asList(x.properties[calls.property])
		for _, id := range now {
			if _, err := x.do(calls.give(aws.String(asText(id)))); err != nil {
				return err
			}
		}
		for _, id := range asList(before[calls.property]) {
			if slices.Contains(now, id) {
				continue
			}
			if _, err := x.do(calls.take(aws.String(asText(id)))); err != nil && !cloud.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

var rolePolicy = &kind{
	immutable: []string{"PolicyName", "RoleName"},
	create: func(x *work) error {
		x.id = x.text("PolicyName") + "|" + x.text("RoleName")
		return x.putRolePolicy()
	},
	update: func(x *work, _ map[string]any) error { return x.putRolePolicy() },
	remove: func(x *work) error {
		_, err := x.do(&iam.DeleteRolePolicyInput{RoleName: aws.String(x.text("RoleName")),
			PolicyName: aws.String(x.text("PolicyName"))})
		return err
	},
}

func (x *work) putRolePolicy() error {
	_, err := x.do(&iam.PutRolePolicyInput{RoleName: aws.String(x.text("RoleName")),
		PolicyName: aws.String(x.text("PolicyName")), PolicyDocument: x.document("PolicyDocument")})
	return err
}

var managedPolicy = &kind{
	named: "ManagedPolicyName", limit: 128, immutable: []string{"ManagedPolicyName", "Path", "Description"},
	create: func(x *work) error {
		answer, err := x.do(&iam.CreatePolicyInput{PolicyName: aws.String(x.name()), Path: optional(x.text("Path")),
			Description: optional(x.text("Description")), PolicyDocument: x.document("PolicyDocument")})
		if err != nil {
			return err
		}
		made, _ := answer["Policy"].(map[string]any)
		x.id = asText(made["Arn"])
		x.attributes["PolicyArn"], x.attributes["PolicyId"] = x.id, made["PolicyId"]
		return x.attach(nil)
	},
	update: func(x *work, before map[string]any) error {
		if asJSON(before["PolicyDocument"]) != asJSON(x.properties["PolicyDocument"]) {
			if err := x.dropVersions(); err != nil { // a policy has at most five
				return err
			}
			if _, err := x.do(&iam.CreatePolicyVersionInput{PolicyArn: &x.id, SetAsDefault: true,
				PolicyDocument: x.document("PolicyDocument")}); err != nil {
				return err
			}
		}
		return x.attach(before)
	},
	remove: func(x *work) error {
		before := x.properties
		x.properties = map[string]any{}
		if err := x.attach(before); err != nil {
			return err
		}
		if err := x.dropVersions(); err != nil {
			return err
		}
		_, err := x.do(&iam.DeletePolicyInput{PolicyArn: &x.id})
		return err
	},
}

// dropVersions deletes the versions of a managed policy that are not its default.
func (x *work) dropVersions() error {
	answer, err := x.do(&iam.ListPolicyVersionsInput{PolicyArn: &x.id})
	if err != nil {
		return err
	}
	for _, one := range asList(answer["Versions"]) {
		version, _ := one.(map[string]any)
		if version["IsDefaultVersion"] == true {
			continue
		}
		if _, err := x.do(&iam.DeletePolicyVersionInput{PolicyArn: &x.id,
			VersionId: aws.String(asText(version["VersionId"]))}); err != nil {
			return err
		}
	}
	return nil
}

// attach attaches a managed policy to its identities, and detaches it from those it had before.
func (x *work) attach(before map[string]any) error {
	return x.eachIdentity(before, []identityCalls{
		{"Roles", func(id *string) any { return &iam.AttachRolePolicyInput{RoleName: id, PolicyArn: &x.id} },
			func(id *string) any { return &iam.DetachRolePolicyInput{RoleName: id, PolicyArn: &x.id} }},
		{"Users", func(id *string) any { return &iam.AttachUserPolicyInput{UserName: id, PolicyArn: &x.id} },
			func(id *string) any { return &iam.DetachUserPolicyInput{UserName: id, PolicyArn: &x.id} }},
		{"Groups", func(id *string) any { return &iam.AttachGroupPolicyInput{GroupName: id, PolicyArn: &x.id} },
			func(id *string) any { return &iam.DetachGroupPolicyInput{GroupName: id, PolicyArn: &x.id} }},
	})
}
