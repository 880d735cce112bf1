package formation

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
	kinds["AWS::S3::BucketPolicy"] = bucketPolicy
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
		names := append([]string{"Tags", "KeySchema", "TableName"}, later...)
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

// setLater sets what a table has only when it is active.
func (x *work) setLater(before map[string]any) error {
	ttl, recovery := x.properties["TimeToLiveSpecification"], x.properties["PointInTimeRecoverySpecification"]
	if ttl != nil && asJSON(ttl) != asJSON(before["TimeToLiveSpecification"]) {
		if _, err := x.doWith(&dynamodb.UpdateTimeToLiveInput{TableName: &x.id},
			map[string]any{"TimeToLiveSpecification": ttl}); err != nil {
			return err
		}
	}
	if recovery == nil || asJSON(recovery) == asJSON(before["PointInTimeRecoverySpecification"]) {
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

// bucketPolicy is a policy of a bucket of S3.
var bucketPolicy = &kind{
	immutable: []string{"Bucket"},
	create: func(x *work) error {
		err := x.putBucketPolicy(http.MethodPut, []byte(asJSON(x.properties["PolicyDocument"])))
		if err == nil {
			x.id = x.text("Bucket")
		}
		return err
	},
	update: func(x *work, _ map[string]any) error {
		return x.putBucketPolicy(http.MethodPut, []byte(asJSON(x.properties["PolicyDocument"])))
	},
	remove: func(x *work) error { return x.putBucketPolicy(http.MethodDelete, nil) },
}

func (x *work) putBucketPolicy(method string, policy []byte) error {
	_, err := x.host.askS3(x.ctx, x.key, x.region, method, "/"+x.text("Bucket")+"?policy", policy)
	return err
}

// moto calls moto's own CloudFormation.
func (x *work) moto(form map[string]string) ([]byte, error) {
	values := url.Values{"Version": {"2010-05-15"}}
	for name, value := range form {
		values.Set(name, value)
	}
	return x.host.Moto(x.ctx, x.region, "cloudformation", http.MethodPost, "/",
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(values.Encode()))
}

// one is the name of the one resource in a stack of moto's.
const one = "One"

// motoStack creates or updates a stack of moto's that has the resource, and outputs the attributes that are asked for.
func (x *work) motoStack(action, name string) error {
	outputs := map[string]any{"Ref": map[string]any{"Value": map[string]any{"Ref": one}}}
	for i, attribute := range x.asked {
		outputs[fmt.Sprint("Attribute", i)] = map[string]any{"Description": attribute,
			"Value": map[string]any{"Fn::GetAtt": []any{one, attribute}}}
	}
	properties := with(x.properties, nil)
	if named := motoNames[x.kind]; named != "" && properties[named] == nil {
		properties[named] = x.motoName(name)
	}
	text, err := json.Marshal(map[string]any{"Resources": map[string]any{one: map[string]any{"Type": x.kind,
		"Properties": properties}}, "Outputs": outputs})
	if err == nil {
		_, err = x.moto(map[string]string{"Action": action, "StackName": name, "TemplateBody": string(text)})
	}
	return err
}

// motoName returns a name for a resource of moto's from the name of its stack, which is stable. Those of buckets and
// repositories are lower-case.
func (x *work) motoName(stack string) string {
	if x.kind == "AWS::S3::Bucket" || x.kind == "AWS::ECR::Repository" {
		return strings.ToLower(stack)
	}
	return stack
}

// motoNames are the name properties of the delegated types, which moto would derive from the names of its own stack.
var motoNames = map[string]string{"AWS::S3::Bucket": "BucketName", "AWS::SQS::Queue": "QueueName",
	"AWS::SNS::Topic": "TopicName", "AWS::IAM::User": "UserName", "AWS::IAM::Group": "GroupName",
	"AWS::SSM::Parameter": "Name", "AWS::SecretsManager::Secret": "Name", "AWS::ECR::Repository": "RepositoryName"}

// readMoto reads the ID and the attributes from a stack of moto's.
func (x *work) readMoto(name string) error {
	text, err := x.moto(map[string]string{"Action": "DescribeStacks", "StackName": name})
	if err != nil {
		return err
	}
	var answer struct {
		Outputs []struct {
			OutputKey, OutputValue, Description string
		} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	if err := xml.Unmarshal(text, &answer); err != nil {
		return err
	}
	for _, o := range answer.Outputs {
		if o.OutputKey == "Ref" {
			x.id = o.OutputValue
		} else {
			x.attributes[o.Description] = o.OutputValue
		}
	}
	x.id = cmp.Or(x.id, name)
	return nil
}
