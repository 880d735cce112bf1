package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/notes/dynamo"
)

func (s Stack) table() Step {
	step := Table(s.Name)
	create := step.Create.(*dynamodb.CreateTableInput)
	for key, value := range s.Tags() {
		create.Tags = append(create.Tags, dynamodbtypes.Tag{Key: &key, Value: &value})
	}
	slices.SortFunc(create.Tags, func(a, b dynamodbtypes.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	step.Tags, step.TagsAt = &dynamodb.ListTagsOfResourceInput{ResourceArn: aws.String(s.TableARN())}, "Tags"
	return step
}

// Table returns the step of a table for notes that does not belong to a stack.
func Table(table string) Step {
	name := &table
	return Step{
		What:   "table " + table,
		Find:   &dynamodb.DescribeTableInput{TableName: name},
		Create: dynamo.Table(table),
		Immutable: "Table.{KeySchema: KeySchema, AttributeDefinitions: " +
			"sort_by(AttributeDefinitions[?AttributeName=='pk' || AttributeName=='sk'], &AttributeName), " +
			"BillingMode: BillingModeSummary.BillingMode || 'PROVISIONED'}",
		Deleting: "Table.TableStatus=='DELETING'",
		Ready:    "Table.TableStatus=='ACTIVE'",
		Wait:     "aws dynamodb wait table-exists --table-name " + call.Quote(table),
		Settings: []Setting{
			{Name: "deletion protection switched on", Read: &dynamodb.DescribeTableInput{TableName: name},
				Holds: "Table.DeletionProtectionEnabled",
				Put:   &dynamodb.UpdateTableInput{TableName: name, DeletionProtectionEnabled: aws.Bool(true)}},
			timeToLive(name),
			{
				Name: "point-in-time recovery switched on", Optional: true,
				Read: &dynamodb.DescribeContinuousBackupsInput{TableName: name},
				Holds: "ContinuousBackupsDescription.PointInTimeRecoveryDescription." +
					"PointInTimeRecoveryStatus=='ENABLED'",
				Put: &dynamodb.UpdateContinuousBackupsInput{
					TableName: name, PointInTimeRecoverySpecification: &dynamodbtypes.PointInTimeRecoverySpecification{
						PointInTimeRecoveryEnabled: aws.Bool(true)}},
			},
		},
		Remove: []any{&dynamodb.UpdateTableInput{TableName: name, DeletionProtectionEnabled: aws.Bool(false)},
			&dynamodb.DeleteTableInput{TableName: name}},
		Data: true,
	}
}

// timeToLive makes DynamoDB remove expired items.
func timeToLive(table *string) Setting {
	return Setting{
		Name: "time to live switched on",
		Read: &dynamodb.DescribeTimeToLiveInput{TableName: table},
		Holds: "contains(['ENABLED', 'ENABLING'], TimeToLiveDescription.TimeToLiveStatus) && " +
			"TimeToLiveDescription.AttributeName=='" + dynamo.TTLAttribute + "'",
		Put: &dynamodb.UpdateTimeToLiveInput{
			TableName: table, TimeToLiveSpecification: &dynamodbtypes.TimeToLiveSpecification{
				AttributeName: aws.String(dynamo.TTLAttribute), Enabled: aws.Bool(true)}},
		Refused: "within a fixed interval", // one hour (DynamoDB developer guide, "Enable Time to Live")
		RefusedNote: "time to live is off, and AWS allows switching it only once an hour: run this again in an hour, " +
			"or tombstones and idempotency keys are never removed",
	}
}

// rolePolicy is the name of the execution role's one policy.
const rolePolicy = "notes"

func (s Stack) role() Step {
	name, own := aws.String(s.RoleName()), aws.String(rolePolicy)
	step := Step{
		What:   "execution role " + s.RoleName(),
		Find:   &iam.GetRoleInput{RoleName: name},
		Pick:   "Role.RoleId",
		Ref:    "role_id",
		ID:     "Role.RoleId",
		TagsAt: "Role.Tags",
		Create: &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust(), Tags: s.roleTags()},
		Settings: []Setting{
			{Read: &iam.GetRoleInput{RoleName: name}, At: "{PolicyDocument: Role.AssumeRolePolicyDocument}",
				Put: &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: trust()}},
			{Read: &iam.GetRolePolicyInput{RoleName: name, PolicyName: own},
				Put: &iam.PutRolePolicyInput{RoleName: name, PolicyName: own, PolicyDocument: s.permissions()}},
		},
		Extras: []Extra{ // rights added by hand
			{List: &iam.ListRolePoliciesInput{RoleName: name}, At: "PolicyNames[?@!='" + rolePolicy + "']",
				Remove: &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("${extra}")}},
			{List: &iam.ListAttachedRolePoliciesInput{RoleName: name}, At: "AttachedPolicies[].PolicyArn",
				Remove: &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: aws.String("${extra}")}},
		},
		Remove: []any{&iam.DeleteRolePolicyInput{RoleName: name, PolicyName: own},
			&iam.DeleteRoleInput{RoleName: name}},
	}
	if s.Boundary != "" { // set first, because the operator may be allowed to write the role's policy only under it
		step.Create.(*iam.CreateRoleInput).PermissionsBoundary = &s.Boundary
		step.Settings = append([]Setting{{
			Read: &iam.GetRoleInput{RoleName: name},
			At:   "{PermissionsBoundary: Role.PermissionsBoundary.PermissionsBoundaryArn}",
			Put:  &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: &s.Boundary},
		}}, step.Settings...)
	}
	return step
}

func (s Stack) roleTags() []iamtypes.Tag {
	return []iamtypes.Tag{{Key: aws.String(RegionTag), Value: &s.Region}, {Key: aws.String(StackTag), Value: &s.Name}}
}

// OtherRole returns the step and the ARN of a temporary role, with which Lambda can be made to forget a deleted one.
func (s Stack) OtherRole() (step Step, arn string) {
	name := aws.String(s.RoleName() + otherRole)
	create := &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust(), Tags: s.roleTags()}
	if s.Boundary != "" {
		create.PermissionsBoundary = &s.Boundary
	}
	return Step{
		What:   "role " + *name,
		Find:   &iam.GetRoleInput{RoleName: name},
		TagsAt: "Role.Tags",
		Create: create,
		Remove: []any{&iam.DeleteRoleInput{RoleName: name}},
	}, s.RoleARN() + otherRole
}

// defaultRetention is the retention of a new log group, in days.
const defaultRetention = 14

func (s Stack) logGroup(name string) Step {
	find := &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &name}
	selected := "logGroups[?logGroupName=='" + name + "'] | [0]"
	return Step{
		What:     "log group " + name,
		Find:     find,
		Pick:     selected + ".logGroupName",
		Tags:     &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(s.groupARN(name))},
		TagsAt:   "tags",
		Create:   &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, Tags: s.Tags()},
		Settings: []Setting{s.retention(name, find, selected)},
		Remove:   []any{&cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &name}},
	}
}

// retention sets the retention of a log group. Setting it on a group that keeps logs for ever deletes the older ones,
// so the default is set only on an empty group.
func (s Stack) retention(group string, find any, selected string) Setting {
	if s.Retention != nil {
		return Setting{Read: find, At: selected,
			Put: &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: s.Retention}}
	}
	return Setting{
		Name: fmt.Sprintf("logs kept for %d days", defaultRetention), Read: find,
		Holds: selected + " | retentionInDays!=`null` || storedBytes > `0`",
		Put: &cloudwatchlogs.PutRetentionPolicyInput{
			LogGroupName: &group, RetentionInDays: aws.Int32(defaultRetention)},
	}
}
