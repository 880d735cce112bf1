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

// role is a role of IAM, with all that says what it may do.
type role struct {
	policy.Role
	id string // which differs from that of a former role of the name
}

// session is a function's session with its role.
type session struct {
	role string // ARN
	arn  string // of the session
}

// roleName is the name in a role's ARN, which may hold a path.
func roleName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// readRole reads a role; errGone if there is none of that name.
func (s *Sandbox) readRole(ctx context.Context, arn string) (*role, error) {
	return remembered(s, "role "+arn, func() (*role, error) {
		name := aws.String(roleName(arn))
		got, err := s.iam().GetRole(ctx, &iam.GetRoleInput{RoleName: name})
		if missing := (*types.NoSuchEntityException)(nil); errors.As(err, &missing) {
			return nil, errGone
		} else if err != nil {
			return nil, err
		}
		r := &role{id: *got.Role.RoleId}
		if r.Trust, err = policy.ParseEscaped(*got.Role.AssumeRolePolicyDocument); err != nil {
			return nil, err
		}
		inline, err := s.iam().ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name, MaxItems: aws.Int32(1000)})
		if err != nil {
			return nil, err
		}
		for _, one := range inline.PolicyNames {
			got, err := s.iam().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &one})
			if err != nil {
				return nil, err
			}
			document, err := policy.ParseEscaped(*got.PolicyDocument)
			if err != nil {
				return nil, err
			}
			r.Identity = append(r.Identity, document)
		}
		attached, err := s.iam().ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name, MaxItems: aws.Int32(1000)})
		if err != nil {
			return nil, err
		}
		for _, one := range attached.AttachedPolicies {
			document, err := s.managed(ctx, *one.PolicyArn)
			if err != nil {
				return nil, err
			}
			r.Identity = append(r.Identity, document)
		}
		if b := got.Role.PermissionsBoundary; b != nil {
			document, err := s.managed(ctx, *b.PermissionsBoundaryArn)
			if err != nil {
				return nil, err
			}
			r.Boundary = &document
		}
		return r, nil
	})
}

// managed reads a managed policy.
func (s *Sandbox) managed(ctx context.Context, arn string) (policy.Document, error) {
	p, err := s.iam().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if err != nil {
		return policy.Document{}, err
	}
	v, err := s.iam().GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: p.Policy.DefaultVersionId})
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

// judge judges whether a role may do what is called, and returns AWS's sentence where it may not ("Troubleshoot access
// denied error messages", IAM user guide).
func (s *Sandbox) judge(ctx context.Context, arn string, c Call) string {
	if c.Action() == "sts:GetCallerIdentity" { // which nothing can forbid
		return ""
	}
	r, err := s.readRole(ctx, arn)
	if err != nil {
		return "The security token included in the request is invalid."
	}
	for _, on := range c.Resources {
		request := policy.Request{Principal: policy.Caller{ARN: c.Caller, Account: Account}, Action: c.Action(), Resource: on,
			Context: map[string]string{"aws:PrincipalArn": arn, "aws:PrincipalAccount": Account, "aws:RequestedRegion": c.Region, "aws:SecureTransport": "true"}}
		kind := "an identity-based policy"
		decision, beyond := r.Judge(request)
		if beyond {
			kind = "a permissions boundary"
		}
		if decision.Allowed {
			continue
		}
		why := fmt.Sprintf("because no %s allows the %s action", strings.SplitN(kind, " ", 2)[1], c.Action())
		if decision.Denied || decision.Unclear {
			why = "with an explicit deny in " + kind
		}
		return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", c.Caller, c.Action(), on, why)
	}
	return ""
}

// resources are the ARNs of what a function's call is done to; * where the sandbox does not know better.
func (c *call) resources() []string {
	base := func(rest string) string {
		return "arn:" + partition(c.Region) + ":" + c.Service + ":" + c.Region + ":" + Account + ":" + rest
	}
	switch c.Service {
	case "dynamodb":
		var in struct {
			TableName, IndexName string
			RequestItems         map[string]any
			TransactItems        []map[string]struct{ TableName string }
		}
		c.decode(&in)
		tables := sortedKeys(in.RequestItems)
		for _, item := range in.TransactItems {
			for _, one := range item {
				tables = append(tables, one.TableName)
			}
		}
		if in.TableName != "" {
			tables = append(tables, in.TableName)
		}
		var all []string
		for _, table := range tables {
			on := base("table/" + table[strings.LastIndex(table, "/")+1:])
			if in.IndexName != "" {
				on += "/index/" + in.IndexName
			}
			all = append(all, on)
		}
		if all != nil {
			return all
		}
	case "logs":
		var in struct{ LogGroupName, LogStreamName string }
		c.decode(&in)
		return []string{base("log-group:" + in.LogGroupName + ":log-stream:" + in.LogStreamName)}
	case "lambda":
		if name, qualifier := c.function(); name != "" {
			return []string{functionARN(c.Region, name, qualifier)}
		}
	}
	return []string{"*"}
}

// accessDenied is the code and the status of a refusal: services that speak Query have their own.
func accessDenied(service string) (status int, code string) {
	switch service {
	case "iam", "sts":
		return 403, "AccessDenied"
	case "dynamodb", "logs":
		return 400, "AccessDeniedException"
	}
	return 403, "AccessDeniedException"
}

// session is who signs with a key, if that is a function.
func (s *Sandbox) session(key string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[key]
}
