package planned

import (
	"maps"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

var tracing = []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules",
	"xray:GetSamplingTargets", "xray:GetSamplingStatisticSummaries"}

// managed are the actions of AWS's managed policies that functions have most often ("AWS managed policy reference").
var managed = map[string][]string{
	"AWSLambdaBasicExecutionRole": {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"},
	"AWSLambdaVPCAccessExecutionRole": {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents",
		"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
		"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"},
	"AWSXRayDaemonWriteAccess": tracing,
	"AWSXrayWriteOnlyAccess":   tracing,
	"AWSLambdaRole":            {"lambda:InvokeFunction"},
}

// role returns a role of the file, by its ARN.
func (f *file) role(arn string) doctor.Fact[doctor.Role] {
	fact := doctor.Fact[doctor.Role]{Call: f.name, Of: arn, Error: notHere}
	_, name, _ := strings.Cut(arn, ":role/")
	name = name[strings.LastIndex(name, "/")+1:]
	i := slices.IndexFunc(f.resources, func(r resource) bool { return r.kind == "AWS::IAM::Role" && r.id == name })
	if i < 0 || name == "" {
		return fact
	}
	one := &f.resources[i]
	r := doctor.Role{Name: name}
	trust, err := parsePolicy(one.properties["AssumeRolePolicyDocument"])
	if err != nil {
		return fact
	}
	r.Trust = trust
	for _, arn := range list(one.properties["ManagedPolicyArns"]) {
		r.Identity = append(r.Identity, f.managed(text(arn)))
	}
	for _, inline := range list(one.properties["Policies"]) {
		fields, _ := inline.(map[string]any)
		r.Identity = append(r.Identity, orOpen(fields["PolicyDocument"]))
	}
	for _, p := range f.resources {
		switch {
		case p.kind == "AWS::IAM::RolePolicy" && p.text("RoleName") == name,
			(p.kind == "AWS::IAM::Policy" || p.kind == "AWS::IAM::ManagedPolicy") && slices.ContainsFunc(
				list(p.properties["Roles"]), func(of any) bool { return text(of) == name }):
			r.Identity = append(r.Identity, orOpen(p.properties["PolicyDocument"]))
		}
	}
	for _, p := range f.of(attachment) {
		if p.text("RoleName") == name || slices.ContainsFunc(list(p.properties["Roles"]), func(of any) bool {
			return text(of) == name
		}) {
			r.Identity = append(r.Identity, f.managed(p.text("PolicyArn")))
		}
	}
	if boundary := one.text("PermissionsBoundary"); boundary != "" {
		d := f.managed(boundary)
		r.Boundary = &d
	}
	fact.Value, fact.Error = &r, nil
	return fact
}

// rolePlace returns where the file describes a role.
func (f *file) rolePlace(name string) (p doctor.Place) {
	for _, one := range f.of("AWS::IAM::Role") {
		if one.id == name {
			p = one.place
		}
	}
	return p
}

// managed returns a managed policy: one of the file, or one of AWS's.
func (f *file) managed(arn string) policy.Document {
	for _, p := range f.of("AWS::IAM::ManagedPolicy") {
		if p.id == arn {
			return orOpen(p.properties["PolicyDocument"])
		}
	}
	if actions := managed[arn[strings.LastIndex(arn, "/")+1:]]; actions != nil {
		return policy.Document{Statement: policy.Statements{{Effect: "Allow", Action: actions,
			Resource: policy.Strings{"*"}}}}
	}
	return open(arn)
}

// orOpen returns a policy, or one that may allow anything if it is not known.
func orOpen(value any) policy.Document {
	d, err := parsePolicy(value)
	if err != nil || value == nil {
		return open("policy")
	}
	return d
}

// open returns a policy that may allow anything.
func open(name string) policy.Document {
	return policy.Document{Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{unknown.Open(name)},
		Resource: policy.Strings{"*"}}}}
}

// list returns the members of a list, or a single value as a list.
func list(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{value}
}
