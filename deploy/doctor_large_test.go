package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestDoctorLarge checks that an API with 300 routes, 3 stages and 20 functions takes at most 150 calls. API Gateway
// may not invoke one of the functions.
func TestDoctorLarge(t *testing.T) {
	if os.Getenv("NOTES_TEST_LONG") == "" {
		t.Skip("only with NOTES_TEST_LONG=1")
	}
	t.Parallel()
	p := newPatient(t)
	for i := range 20 {
		name := p.addFunction(fmt.Sprint("-", i), workingCode)
		made, err := p.gateway().CreateIntegration(t.Context(), &apigatewayv2.CreateIntegrationInput{ApiId: &p.id,
			IntegrationType: "AWS_PROXY", IntegrationUri: aws.String(lambdaARN + name),
			PayloadFormatVersion: aws.String("2.0")})
		p.must(err)
		for j := range 15 {
			_, err := p.gateway().CreateRoute(t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
				RouteKey: aws.String(fmt.Sprintf("GET /f%d/r%d", i, j)),
				Target:   aws.String("integrations/" + *made.IntegrationId)})
			p.must(err)
		}
		if i != 7 {
			_, err := p.functions().AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: &name,
				StatementId: aws.String("api"), Action: aws.String("lambda:InvokeFunction"),
				Principal: aws.String("apigateway.amazonaws.com"),
				SourceArn: aws.String("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/*")})
			p.must(err)
		}
	}
	for _, stage := range []string{"test", "prod"} {
		_, err := p.gateway().CreateStage(t.Context(), &apigatewayv2.CreateStageInput{ApiId: &p.id, StageName: &stage,
			AutoDeploy: aws.Bool(true)})
		p.must(err)
	}
	for _, args := range [][]string{{"--api", p.id}, {p.url("/prod/f7/r3")}} {
		t.Run(args[0], func(t *testing.T) {
			d, _ := p.diagnose(args...)
			// Subtract the extra pages for 302 routes, 21 integrations and 3 stages: the sandbox has pages of 2, not
			// 100.
			calls := d.Calls - (151 - 4) - (11 - 1) - (2 - 1)
			if faults(d) != "permission.none" || len(d.Findings[0].Routes) != 45 || calls > 150 {
				t.Errorf("found %q for %d routes with %d calls", faults(d), len(d.Findings[0].Routes), calls)
			}
			t.Logf("%d calls, %.1f s", calls, d.Seconds)
		})
	}
}
