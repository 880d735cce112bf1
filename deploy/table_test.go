package main

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
)

func TestTable(t *testing.T) {
	client := dynamodb.NewFromConfig(useDynamoDBLocal(t))
	name := "notes-" + uuid.NewString()
	out, err := deploy(t, "table", name)
	if err != nil || !regexp.MustCompile(`^table `+name+` +created(  [0-9.]+ s)?\n$`).MatchString(out) {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err = deploy(t, "table", name)
	if err != nil || !strings.Contains(out, "unchanged") {
		t.Errorf("second run: %v\n%s", err, out)
	}
	if _, err := dynamo.Open(t.Context(), dynamotest.Config(t), name, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("the service does not open it: %v", err)
	}
	// A table whose settings are missing is completed.
	half := "notes-" + uuid.NewString()
	if _, err := client.CreateTable(t.Context(), dynamo.Table(half)); err != nil {
		t.Fatal(err)
	}
	if out, err := deploy(t, "table", half); err != nil || !strings.Contains(out, "updated: time to live switched on") {
		t.Errorf("an incomplete table: %v\n%s", err, out)
	}
	// For a table with other keys, every difference is listed and nothing is changed.
	foreign := "notes-" + uuid.NewString()
	input := &dynamodb.CreateTableInput{
		TableName: &foreign, BillingMode: types.BillingModeProvisioned,
		ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(1),
			WriteCapacityUnits: aws.Int64(1)},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"),
			AttributeType: types.ScalarAttributeTypeN}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	}
	if _, err := client.CreateTable(t.Context(), input); err != nil {
		t.Fatal(err)
	}
	_, err = deploy(t, "table", foreign)
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a foreign table: %v", err)
	}
	for _, want := range []string{`KeySchema [{"AttributeName":"id","KeyType":"HASH"}] -> [{"AttributeName":"pk",` +
		`"KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]`, `AttributeDefinitions [] -> [`,
		"BillingMode PROVISIONED -> PAY_PER_REQUEST"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if ttl, err := client.DescribeTimeToLive(t.Context(),
		&dynamodb.DescribeTimeToLiveInput{TableName: &foreign}); err != nil ||
		ttl.TimeToLiveDescription.TimeToLiveStatus == types.TimeToLiveStatusEnabled {
		t.Errorf("the foreign table was changed: %+v, %v", ttl, err)
	}
}
