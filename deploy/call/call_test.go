package call

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestCommand: a command holds all that an input says, and a shell reads it as it was meant.
func TestCommand(t *testing.T) {
	awkward := "it's \"$x\" `y` \\ $default $context.requestId\n*"
	for want, input := range map[string]any{
		"aws|apigatewayv2|get-apis": &apigatewayv2.GetApisInput{},
		"aws|apigatewayv2|create-route|--api-id|ID of api|--route-key|$default|--target|integrations/ID of integration":                             &apigatewayv2.CreateRouteInput{ApiId: aws.String("${api}"), RouteKey: aws.String("$default"), Target: aws.String("integrations/${integration}")},
		"aws|apigatewayv2|update-api|--api-id|" + awkward + "|--no-disable-execute-api-endpoint":                                                    &apigatewayv2.UpdateApiInput{ApiId: &awkward, DisableExecuteApiEndpoint: aws.Bool(false)},
		"aws|apigatewayv2|update-api|--api-id|ID of api and " + awkward:                                                                             &apigatewayv2.UpdateApiInput{ApiId: aws.String("${api} and " + awkward)},
		"aws|apigatewayv2|update-api|--api-id|a'b":                                                                                                  &apigatewayv2.UpdateApiInput{ApiId: aws.String("a'b")},
		"aws|apigatewayv2|update-stage|--stage-name|dev|--auto-deploy|--default-route-settings|{\"ThrottlingRateLimit\":50}":                        &apigatewayv2.UpdateStageInput{StageName: aws.String("dev"), AutoDeploy: aws.Bool(true), DefaultRouteSettings: &types.RouteSettings{ThrottlingRateLimit: aws.Float64(50)}},
		"aws|lambda|create-function|--zip-file|fileb://notes.zip|--architectures|arm64|--environment|{\"Variables\":{\"A\":\"it's\"}}|--timeout|10": &lambda.CreateFunctionInput{Code: &lambdatypes.FunctionCode{ZipFile: []byte("x")}, Architectures: []lambdatypes.Architecture{"arm64"}, Timeout: aws.Int32(10), Environment: &lambdatypes.Environment{Variables: map[string]string{"A": "it's"}}},
	} {
		script := "api='ID of api'; integration='ID of integration'; aws() { printf aws; for word; do printf '|%s' \"$word\"; done; }\n" + Command(input)
		out, err := exec.Command("sh", "-eu", "-c", script).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s\nis read as %s, %v\nwant       %s", Command(input), out, err, want)
		}
	}
}

// TestDifferences: what is not as it must be is named, and nothing else.
func TestDifferences(t *testing.T) {
	want := &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("notes"), MemorySize: aws.Int32(256), Runtime: "provided.al2023", Environment: &lambdatypes.Environment{Variables: map[string]string{"A": "1"}}}
	for answer, says := range map[string]string{
		`{"FunctionName":"x","MemorySize":256,"Runtime":"provided.al2023","Environment":{"Variables":{"A":"1"},"Error":null},"Timeout":3}`: "[]",
		`{"MemorySize":512,"Runtime":"provided.al2023","Environment":{"Variables":{"A":"1"}}}`:                                             "[MemorySize 512 -> 256]",
		`{"MemorySize":256,"Runtime":"go1.x","Environment":{"Variables":{"A":"1","B":"2"}}}`:                                               `[Runtime go1.x -> provided.al2023 Environment.Variables.B removed]`,
		`{"MemorySize":256,"Runtime":"provided.al2023"}`:                                                                                   `[Environment.Variables.A added]`,
	} {
		var got any
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Fatal(err)
		}
		differences := Differences(want, &lambda.GetFunctionInput{}, got)
		if fmt.Sprint(differences) != says && !(len(differences) == 2 && strings.Contains(says, differences[0]) && strings.Contains(says, differences[1])) {
			t.Errorf("%s: %v, want %s", answer, differences, says)
		}
	}
}
