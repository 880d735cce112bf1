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

// role is a role or a user of IAM, with all that says what it may do.
type role struct {
	policy.Role
	arn      string
	id       string // which differs from that of a former one of the name
	boundary string // ARN; "" for none
}

// baseName is the name at the end of an ARN, which may hold a path.
func baseName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// most is the number of items that one page of IAM's lists may have.
var most = aws.Int32(1000)

// rightsOf reads a user or a role; errGone if there is none.
func (s *Sandbox) rightsOf(ctx context.Context, arn string) (*role, error) {
	if strings.Contains(arn, ":user/") {
		return s.readUser(ctx, arn)
	}
	return s.readRole(ctx, arn)
}

// readRole reads a role; errGone if there is none of that name.
func (s *Sandbox) readRole(ctx context.Context, arn string) (*role, error) {
	return remembered(s, "role "+baseName(arn), func() (*role, error) {
		name, client := aws.String(baseName(arn)), s.iam()
		got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
		if err != nil {
			return nil, gone(err)
		}
		r := &role{arn: *got.Role.Arn, id: *got.Role.RoleId}
		if r.Trust, err = policy.ParseEscaped(*got.Role.AssumeRolePolicyDocument); err != nil {
			return nil, err
		}
		inline, err := client.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name, MaxItems: most})
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
			MaxItems: most})
		if err == nil {
			err = s.attach(ctx, r, attached.AttachedPolicies)
		}
		if err == nil {
			err = s.bound(ctx, r, got.Role.PermissionsBoundary)
		}
		return r, err
	})
}

// readUser reads a user, with the policies of its groups; errGone if there is none of that name.
func (s *Sandbox) readUser(ctx context.Context, arn string) (*role, error) {
	return remembered(s, "user "+baseName(arn), func() (*role, error) {
		name, client := aws.String(baseName(arn)), s.iam()
		got, err := client.GetUser(ctx, &iam.GetUserInput{UserName: name})
		if err != nil {
			return nil, gone(err)
		}
		r := &role{arn: *got.User.Arn, id: *got.User.UserId}
		inline, err := client.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: name, MaxItems: most})
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
			MaxItems: most})
		if err == nil {
			err = s.attach(ctx, r, attached.AttachedPolicies)
		}
		if err == nil {
			err = s.bound(ctx, r, got.User.PermissionsBoundary)
		}
		if err != nil {
			return nil, err
		}
		groups, err := client.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: name, MaxItems: most})
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

// addGroup adds a group's policies.
func (s *Sandbox) addGroup(ctx context.Context, r *role, name *string) error {
	client := s.iam()
	inline, err := client.ListGroupPolicies(ctx, &iam.ListGroupPoliciesInput{GroupName: name, MaxItems: most})
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
		MaxItems: most})
	if err != nil {
		return err
	}
	return s.attach(ctx, r, attached.AttachedPolicies)
}

// gone is errGone where IAM says that there is nothing of the name.
func gone(err error) error {
	if missing := (*types.NoSuchEntityException)(nil); errors.As(err, &missing) {
		return errGone
	}
	return err
}

// inline adds a policy as IAM gives it.
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

// bound reads the boundary, if there is one.
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

// assumable judges whether a service may assume a role. It returns why it may not.
func (s *Sandbox) assumable(ctx context.Context, arn, service string) string {
	r, err := s.readRole(ctx, arn)
	if err != nil {
		return fmt.Sprintf("the role %s cannot be read: %v", arn, err)
	}
	if d := r.Assume(service, Account); !d.Allowed {
		return fmt.Sprintf("the trust policy of %s does not let %s assume it", arn, service)
	}
	return ""
}
