package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"example.com/portable-notes/deploy/policy"
)

// role is an IAM role or user, with all policies that determine its rights.
type role struct {
	policy.Role
	arn      string
	id       string // differs from the ID of a deleted role of the same name
	boundary string // ARN; "" for none
}

// baseName returns the name at the end of an ARN, after any path.
func baseName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// maxItems is the largest page size of IAM's lists.
var maxItems = aws.Int32(1000)

// rightsOf reads a user or a role. The error is errNotFound if it does not exist.
func (s *Sandbox) rightsOf(ctx context.Context, arn string) (*role, error) {
	if strings.Contains(arn, ":user/") {
		return s.readUser(ctx, arn)
	}
	return s.readRole(ctx, arn)
}

// readRole reads a role. The error is errNotFound if it does not exist.
func (s *Sandbox) readRole(ctx context.Context, arn string) (*role, error) {
	return cached(s, "role "+baseName(arn), func() (*role, error) {
		name, client := aws.String(baseName(arn)), s.iam()
		got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
		if err != nil {
			return nil, mapNotFound(err)
		}
		r := &role{arn: *got.Role.Arn, id: *got.Role.RoleId}
		if r.Trust, err = policy.ParseEscaped(*got.Role.AssumeRolePolicyDocument); err != nil {
			return nil, err
		}
		inline, err := client.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name, MaxItems: maxItems})
		if err != nil {
			return nil, err
		}
		for _, one := range inline.PolicyNames {
			got, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &one})
			if err != nil {
				return nil, err
			}
			if err := r.inline(*got.PolicyDocument); err != nil {
				return nil, err
			}
		}
		attached, err := client.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name,
			MaxItems: maxItems})
		if err == nil {
			err = s.attach(ctx, r, attached.AttachedPolicies)
		}
		if err == nil {
			err = s.bound(ctx, r, got.Role.PermissionsBoundary)
		}
		return r, err
	})
}

// readUser reads a user, with the policies of its groups. The error is errNotFound if the user does not exist.
func (s *Sandbox) readUser(ctx context.Context, arn string) (*role, error) {
	return cached(s, "user "+baseName(arn), func() (*role, error) {
		name, client := aws.String(baseName(arn)), s.iam()
		got, err := client.GetUser(ctx, &iam.GetUserInput{UserName: name})
		if err != nil {
			return nil, mapNotFound(err)
		}
		r := &role{arn: *got.User.Arn, id: *got.User.UserId}
		inline, err := client.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: name, MaxItems: maxItems})
		if err != nil {
			return nil, err
		}
		for _, one := range inline.PolicyNames {
			got, err := client.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: name, PolicyName: &one})
			if err != nil {
				return nil, err
			}
			if err := r.inline(*got.PolicyDocument); err != nil {
				return nil, err
			}
		}
		attached, err := client.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: name,
			MaxItems: maxItems})
		if err == nil {
			err = s.attach(ctx, r, attached.AttachedPolicies)
		}
		if err == nil {
			err = s.bound(ctx, r, got.User.PermissionsBoundary)
		}
		if err != nil {
			return nil, err
		}
		groups, err := client.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: name, MaxItems: maxItems})
		if err != nil {
			return nil, err
		}
		for _, group := range groups.Groups {
			if err := s.addGroup(ctx, r, group.GroupName); err != nil {
				return nil, err
			}
		}
		return r, nil
	})
}

// addGroup adds the policies of a group.
func (s *Sandbox) addGroup(ctx context.Context, r *role, name *string) error {
	client := s.iam()
	inline, err := client.ListGroupPolicies(ctx, &iam.ListGroupPoliciesInput{GroupName: name, MaxItems: maxItems})
	if err != nil {
		return err
	}
	for _, one := range inline.PolicyNames {
		got, err := client.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: name, PolicyName: &one})
		if err != nil {
			return err
		}
		if err := r.inline(*got.PolicyDocument); err != nil {
			return err
		}
	}
	attached, err := client.ListAttachedGroupPolicies(ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: name,
		MaxItems: maxItems})
	if err != nil {
		return err
	}
	return s.attach(ctx, r, attached.AttachedPolicies)
}

// mapNotFound returns errNotFound for IAM's NoSuchEntity, and any other error unchanged.
func mapNotFound(err error) error {
	if missing := (*types.NoSuchEntityException)(nil); errors.As(err, &missing) {
		return errNotFound
	}
	return err
}

// inline adds an inline policy, in IAM's URL-encoded form.
func (r *role) inline(text string) error {
	document, err := policy.ParseEscaped(text)
	r.Identity = append(r.Identity, document)
	return err
}

// attach adds managed policies.
func (s *Sandbox) attach(ctx context.Context, r *role, attached []types.AttachedPolicy) error {
	for _, one := range attached {
		document, err := s.managed(ctx, *one.PolicyArn)
		if err != nil {
			return err
		}
		r.Identity = append(r.Identity, document)
	}
	return nil
}

// bound adds the permissions boundary, if there is one.
func (s *Sandbox) bound(ctx context.Context, r *role, b *types.AttachedPermissionsBoundary) error {
	if b == nil {
		return nil
	}
	document, err := s.managed(ctx, *b.PermissionsBoundaryArn)
	r.Boundary, r.boundary = &document, *b.PermissionsBoundaryArn
	return err
}

// managed reads a managed policy.
func (s *Sandbox) managed(ctx context.Context, arn string) (policy.Document, error) {
	p, err := s.iam().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if err != nil {
		return policy.Document{}, err
	}
	v, err := s.iam().GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn,
		VersionId: p.Policy.DefaultVersionId})
	if err != nil {
		return policy.Document{}, err
	}
	return policy.ParseEscaped(*v.PolicyVersion.Document)
}

// assumeRefusal returns why a service may not assume a role; "" if it may.
func (s *Sandbox) assumeRefusal(ctx context.Context, arn, service string) string {
	r, err := s.readRole(ctx, arn)
	if err != nil {
		return fmt.Sprintf("the role %s cannot be read: %v", arn, err)
	}
	if d := r.Assume(service, Account); !d.Allowed {
		return fmt.Sprintf("the trust policy of %s does not allow %s to assume it", arn, service)
	}
	return ""
}
