package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestMetrics: CloudWatch has metrics of requests, invocations, errors and throttles.
func TestMetrics(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	api := w.api(w.function(bootstrap(t)), "GET /fail", "GET /fine")
	w.ask(api, "GET", "/dev/fine", "") // 500
	w.grant(api, "*")
	w.ask(api, "GET", "/dev/fine", "")
	w.ask(api, "GET", "/dev/fail", "") // 500
	w.ask(api, "GET", "/dev/none", "") // 404
	did[*lambda.PutFunctionConcurrencyOutput](t)(w.functions.PutFunctionConcurrency(ctx,
		&lambda.PutFunctionConcurrencyInput{FunctionName: &w.name, ReservedConcurrentExecutions: aws.Int32(0)}))
	w.ask(api, "GET", "/dev/fine", "") // 503
	client := cloudwatch.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &w.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	var queries []types.MetricDataQuery
	want := map[string]float64{}
	for _, of := range []struct {
		name, dimensions string
		value            float64
	}{
		{"Count", "ApiId", 5}, {"4xx", "ApiId", 1}, {"5xx", "ApiId", 3},
		{"Count", "ApiId Stage", 5}, {"4xx", "ApiId Stage", 1}, {"5xx", "ApiId Stage", 3},
		{"Invocations", "FunctionName", 2}, {"Errors", "FunctionName", 1}, {"Throttles", "FunctionName", 1},
	} {
		label := of.name + " " + of.dimensions
		want[label] = of.value
		metric := &types.Metric{Namespace: aws.String("AWS/Lambda"), MetricName: &of.name}
		if strings.Contains(label, "ApiId") {
			metric.Namespace = aws.String("AWS/ApiGateway")
		}
		for _, name := range strings.Fields(of.dimensions) {
			metric.Dimensions = append(metric.Dimensions, types.Dimension{Name: &name, Value: aws.String(
				map[string]string{"ApiId": api, "Stage": "dev", "FunctionName": w.name}[name])})
		}
		queries = append(queries, types.MetricDataQuery{Id: aws.String(fmt.Sprint("m", len(queries))), Label: &label,
			MetricStat: &types.MetricStat{Metric: metric, Period: aws.Int32(3600), Stat: aws.String("Sum")}})
	}
	got := map[string]float64{}
	end := time.Now().Add(10 * time.Second)
	for ; fmt.Sprint(got) != fmt.Sprint(want); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) { // metrics are written with a delay
			t.Fatalf("%v, want %v", got, want)
		}
		out := did[*cloudwatch.GetMetricDataOutput](t)(client.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
			MetricDataQueries: queries, StartTime: aws.Time(time.Now().Add(-time.Hour)),
			EndTime: aws.Time(time.Now().Add(time.Minute))}))
		got = map[string]float64{}
		for _, r := range out.MetricDataResults {
			for _, value := range r.Values {
				got[*r.Label] += value
			}
		}
	}
}
