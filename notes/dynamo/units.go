package dynamo

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
)

// Units returns an option for [Open] that calls report with the read or write units that each successful call consumed
// (DynamoDB developer guide, "DynamoDB read and write operations"). A write whose condition failed consumes units too,
// but DynamoDB does not return how many.
func Units(report func(read, write float64)) func(*dynamodb.Options) {
	ask := middleware.InitializeMiddlewareFunc("Units",
		func(ctx context.Context, in middleware.InitializeInput,
			next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			switch call := in.Parameters.(type) {
			case *dynamodb.GetItemInput:
				call.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.QueryInput:
				call.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.PutItemInput:
				call.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.UpdateItemInput:
				call.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.DeleteItemInput:
				call.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			}
			out, metadata, err := next.HandleInitialize(ctx, in)
			var used *types.ConsumedCapacity
			reads := false
			switch answer := out.Result.(type) {
			case *dynamodb.GetItemOutput:
				used, reads = answer.ConsumedCapacity, true
			case *dynamodb.QueryOutput:
				used, reads = answer.ConsumedCapacity, true
			case *dynamodb.PutItemOutput:
				used = answer.ConsumedCapacity
			case *dynamodb.UpdateItemOutput:
				used = answer.ConsumedCapacity
			case *dynamodb.DeleteItemOutput:
				used = answer.ConsumedCapacity
			}
			if err != nil || used == nil || used.CapacityUnits == nil {
				return out, metadata, err
			}
			if reads {
				report(*used.CapacityUnits, 0)
			} else {
				report(0, *used.CapacityUnits)
			}
			return out, metadata, nil
		})
	return func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(ask, middleware.After)
		})
	}
}
