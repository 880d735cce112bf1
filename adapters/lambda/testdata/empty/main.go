// Command empty is a minimal Lambda in Go, the baseline of BenchmarkColdStart.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

type handler struct{}

func (handler) Invoke(context.Context, []byte) ([]byte, error) {
	return []byte(`{"statusCode":200}`), nil
}

func main() { lambda.Start(handler{}) }
