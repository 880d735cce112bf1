package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"example.com/portable-notes/notes/dynamo"
)

// tableWait is how long a new table may take to become active; AWS names no limit, seconds are usual.
const tableWait = 5 * time.Minute

func tableCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "table NAME",
		Short: "create the DynamoDB table of the notes, or compare the one that is there",
		Long: `Creates the table if it is missing: on-demand, with time to live, point-in-time recovery and deletion protection.
Of a table that is there it switches on what is off of these two: time to live and recovery. Whatever else differs it
names, and changes nothing; no data is ever touched.`,
		Example: "  deploy table notes\n  AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 deploy table notes",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := awsConfig(cmd.Context())
			if err != nil {
				return err
			}
			t := tableMaker{client: dynamodb.NewFromConfig(cfg), name: args[0], out: cmd.OutOrStdout()}
			return t.converge(cmd.Context())
		},
	}
}

// tableMaker brings one table to its definition.
type tableMaker struct {
	client *dynamodb.Client
	name   string
	out    io.Writer
}

func (t *tableMaker) converge(ctx context.Context) error {
	if err := t.create(ctx); err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	if err := errors.Join(t.expiry(ctx), t.recovery(ctx)); err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	return nil
}

func (t *tableMaker) say(what, state string) { fmt.Fprintf(t.out, "%-24s %s\n", what, state) }

// create creates the table, or says in what the one that is there differs.
func (t *tableMaker) create(ctx context.Context) error {
	want := dynamo.Table(t.name)
	there, err := t.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.name})
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		_, err := t.client.CreateTable(ctx, want)
		var exists *types.ResourceInUseException // another one was faster
		if err != nil && !errors.As(err, &exists) {
			return err
		}
	case err != nil:
		return err
	default:
		if differences := compareTable(want, there.Table); len(differences) > 0 {
			for _, d := range differences {
				t.say("table "+t.name, "differs: "+d)
			}
			return errors.New("it is not as the service needs it; nothing was changed. Change what is named, or make another table")
		}
	}
	if err := dynamodb.NewTableExistsWaiter(t.client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 500*time.Millisecond, 5*time.Second
	}).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &t.name}, tableWait); err != nil {
		return fmt.Errorf("it does not become active: %w", err)
	}
	state := "unchanged"
	if missing != nil {
		state = "created"
	}
	t.say("table "+t.name, state)
	return nil
}

// compareTable names in what a table differs from its definition.
func compareTable(want *dynamodb.CreateTableInput, got *types.TableDescription) (differences []string) {
	differ := func(what string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			differences = append(differences, fmt.Sprintf("%s is %v, must be %v", what, got, want))
		}
	}
	keys := func(schema []types.KeySchemaElement) (all []string) {
		for _, k := range schema {
			all = append(all, fmt.Sprintf("%s %s", aws.ToString(k.AttributeName), k.KeyType))
		}
		return all
	}
	attributes := func(definitions []types.AttributeDefinition) (all []string) {
		for _, a := range definitions {
			all = append(all, fmt.Sprintf("%s %s", aws.ToString(a.AttributeName), a.AttributeType))
		}
		slices.Sort(all)
		return all
	}
	differ("the key schema", keys(want.KeySchema), keys(got.KeySchema))
	differ("the attributes of keys", attributes(want.AttributeDefinitions), attributes(got.AttributeDefinitions))
	mode := types.BillingModeProvisioned // DynamoDB leaves it out of a table that never was on-demand
	if got.BillingModeSummary != nil {
		mode = got.BillingModeSummary.BillingMode
	}
	differ("the billing mode", want.BillingMode, mode)
	differ("deletion protection", aws.ToBool(want.DeletionProtectionEnabled), aws.ToBool(got.DeletionProtectionEnabled))
	return differences
}

// expiry switches time to live on.
func (t *tableMaker) expiry(ctx context.Context) error {
	const what = "time to live"
	there, err := t.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &t.name})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if ttl := there.TimeToLiveDescription; ttl != nil && (ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabled || ttl.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		if name := aws.ToString(ttl.AttributeName); name != dynamo.TTLAttribute {
			return fmt.Errorf("%s is on attribute %s, must be on %s: switch it off, then run this again", what, name, dynamo.TTLAttribute)
		}
		t.say(what, "unchanged")
		return nil
	}
	if _, err := t.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &t.name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(dynamo.TTLAttribute), Enabled: aws.Bool(true)},
	}); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	t.say(what, "switched on")
	return nil
}

// recovery switches point-in-time recovery on, where there is such a thing.
func (t *tableMaker) recovery(ctx context.Context) error {
	const what = "point-in-time recovery"
	there, err := t.client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &t.name})
	var api smithy.APIError
	if errors.As(err, &api) && (api.ErrorCode() == "UnknownOperationException" || api.ErrorCode() == "UnknownOperation") {
		t.say(what, "skipped: this DynamoDB has none, as DynamoDB Local")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if b := there.ContinuousBackupsDescription; b != nil && b.PointInTimeRecoveryDescription != nil && b.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled {
		t.say(what, "unchanged")
		return nil
	}
	// For some minutes after its creation a table may have no backups to switch on yet.
	ctx, cancel := context.WithTimeout(ctx, tableWait)
	defer cancel()
	for {
		_, err := t.client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
			TableName:                        &t.name,
			PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
		})
		var early *types.ContinuousBackupsUnavailableException
		if err == nil {
			break
		} else if !errors.As(err, &early) {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: run this again later: %w", what, err)
		case <-time.After(3 * time.Second):
		}
	}
	t.say(what, "switched on")
	return nil
}
