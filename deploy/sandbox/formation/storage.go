package formation

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"example.com/portable-notes/deploy/cloud"
)

// The kinds call kindOf, which reads kinds, so they cannot be its initial value.
func init() {
	kinds["AWS::DynamoDB::Table"] = table
	kinds["AWS::Logs::LogGroup"] = logGroup
}

// later are the properties of a table that are set when it is active.
var later = []string{"TimeToLiveSpecification", "PointInTimeRecoverySpecification"}

var table = &kind{
	named: "TableName", limit: 255, immutable: []string{"TableName", "KeySchema", "LocalSecondaryIndexes"},
	tags: "list",
	create: func(x *work) error {
		in := &dynamodb.CreateTableInput{}
		if err := decode(x.tableProperties(without(x.properties, later...)), in); err != nil {
			return err
		}
		in.TableName = aws.String(x.name())
		if _, err := x.do(in); err != nil {
			return err
		}
		x.id = *in.TableName
		if err := x.awaitTable(); err != nil {
			return err
		}
		return x.setLater(nil)
	},
	update: func(x *work, before map[string]any) error {
		if asJSON(x.properties["GlobalSecondaryIndexes"]) != asJSON(before["GlobalSecondaryIndexes"]) {
			return invalid("the sandbox does not change the GlobalSecondaryIndexes of a table")
		}
		names := append([]string{"Tags", "KeySchema", "TableName", "GlobalSecondaryIndexes"}, later...)
		if after := without(x.properties, names...); asJSON(after) != asJSON(without(before, names...)) {
			if _, err := x.doWith(&dynamodb.UpdateTableInput{TableName: &x.id}, x.tableProperties(after)); err != nil {
				return err
			}
			if err := x.awaitTable(); err != nil {
				return err
			}
		}
		if err := x.setLater(before); err != nil {
			return err
		}
		arn := aws.String(asText(x.attributes["Arn"]))
		return x.retag(before, func(tags map[string]string) any {
			in := &dynamodb.TagResourceInput{ResourceArn: arn}
			for key, value := range tags {
				in.Tags = append(in.Tags, types.Tag{Key: &key, Value: &value})
			}
			return in
		}, func(keys []string) any { return &dynamodb.UntagResourceInput{ResourceArn: arn, TagKeys: keys} })
	},
	remove: func(x *work) error {
		_, err := x.do(&dynamodb.DeleteTableInput{TableName: &x.id})
		return err
	},
}

// tableProperties returns properties as the API has them: CloudFormation's say only what is switched on.
func (x *work) tableProperties(properties map[string]any) map[string]any {
	all := with(properties, nil)
	if stream, ok := all["StreamSpecification"].(map[string]any); ok {
		all["StreamSpecification"] = with(without(stream, "ResourcePolicy"), map[string]any{"StreamEnabled": true})
	}
	if sse, ok := all["SSESpecification"].(map[string]any); ok {
		all["SSESpecification"] = with(without(sse, "SSEEnabled"), map[string]any{"Enabled": sse["SSEEnabled"]})
	}
	return all
}

// awaitTable waits until a table is active, and reads its attributes.
func (x *work) awaitTable() error {
	return cloud.Retry(x.ctx, time.Minute, func() error {
		answer, err := x.do(&dynamodb.DescribeTableInput{TableName: &x.id})
		if err != nil {
			return err
		}
		about, _ := answer["Table"].(map[string]any)
		if asText(about["TableStatus"]) != "ACTIVE" {
			x.cloud.Forget()
			return cloud.RetryLater(fmt.Errorf("the table is %v", about["TableStatus"]))
		}
		x.attributes["Arn"] = about["TableArn"]
		if about["LatestStreamArn"] != nil {
			x.attributes["StreamArn"] = about["LatestStreamArn"]
		}
		return nil
	})
}

// setLater sets what a table has only when it is active, or switches it off.
func (x *work) setLater(before map[string]any) error {
	ttl, had := x.properties["TimeToLiveSpecification"], before["TimeToLiveSpecification"]
	if was, ok := had.(map[string]any); ok && ttl == nil {
		ttl = with(was, map[string]any{"Enabled": false})
	}
	if asJSON(ttl) != asJSON(had) {
		if _, err := x.doWith(&dynamodb.UpdateTimeToLiveInput{TableName: &x.id},
			map[string]any{"TimeToLiveSpecification": ttl}); err != nil {
			return err
		}
	}
	recovery, had := x.properties["PointInTimeRecoverySpecification"], before["PointInTimeRecoverySpecification"]
	if recovery == nil && had != nil {
		recovery = map[string]any{"PointInTimeRecoveryEnabled": false}
	}
	if asJSON(recovery) == asJSON(had) {
		return nil
	}
	_, err := x.doWith(&dynamodb.UpdateContinuousBackupsInput{TableName: &x.id},
		map[string]any{"PointInTimeRecoverySpecification": recovery})
	return err
}

var logGroup = &kind{
	named: "LogGroupName", limit: 512, immutable: []string{"LogGroupName"}, tags: "list",
	create: func(x *work) error {
		in := &cloudwatchlogs.CreateLogGroupInput{}
		if err := decode(without(x.properties, "RetentionInDays", "Tags"), in); err != nil {
			return err
		}
		in.LogGroupName, in.Tags = aws.String(x.name()), tagsOfProperties(x.properties)
		if _, err := x.do(in); err != nil {
			return err
		}
		x.id = *in.LogGroupName
		x.attributes["Arn"] = x.arn("logs", "log-group:"+x.id+":*")
		return x.retain(nil)
	},
	update: func(x *work, before map[string]any) error {
		known := &cloudwatchlogs.CreateLogGroupInput{}
		if err := decode(without(x.properties, "RetentionInDays", "Tags"), known); err != nil {
			return err
		}
		if err := x.retain(before); err != nil {
			return err
		}
		arn := aws.String(x.arn("logs", "log-group:"+x.id))
		return x.retag(before,
			func(tags map[string]string) any {
				return &cloudwatchlogs.TagResourceInput{ResourceArn: arn, Tags: tags}
			},
			func(keys []string) any { return &cloudwatchlogs.UntagResourceInput{ResourceArn: arn, TagKeys: keys} })
	},
	remove: func(x *work) error {
		_, err := x.do(&cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &x.id})
		return err
	},
}

// retain sets the retention of a log group.
func (x *work) retain(before map[string]any) (err error) {
	switch days := x.properties["RetentionInDays"]; {
	case days == nil && before["RetentionInDays"] != nil:
		_, err = x.do(&cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &x.id})
	case days != nil:
		_, err = x.doWith(&cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &x.id},
			map[string]any{"RetentionInDays": days})
	}
	return err
}
