package call

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestCommand checks that a shell parses a command into every argument of the input.
func TestCommand(t *testing.T) {
	awkward := "it's \"$x\" `y` \\ $default $context.requestId\n*"
	for want, input := range map[string]any{
		"aws|apigatewayv2|get-apis": &apigatewayv2.GetApisInput{},
		"aws|apigatewayv2|create-route|--api-id|ID of api|--route-key|$default|--target|integrations/ID of " +
			"integration": &apigatewayv2.CreateRouteInput{ApiId: aws.String("${api}"), RouteKey: aws.String("$default"),
			Target: aws.String("integrations/${integration}")},
		"aws|apigatewayv2|update-api|--api-id|" + awkward +
			"|--no-disable-execute-api-endpoint": &apigatewayv2.UpdateApiInput{ApiId: &awkward,
			DisableExecuteApiEndpoint: aws.Bool(false)},
		"aws|apigatewayv2|update-api|--api-id|ID of api and " +
			awkward: &apigatewayv2.UpdateApiInput{ApiId: aws.String("${api} and " + awkward)},
		"aws|apigatewayv2|update-api|--api-id|a'b": &apigatewayv2.UpdateApiInput{ApiId: aws.String("a'b")},
		"aws|apigatewayv2|update-stage|--stage-name|dev|--auto-deploy|" +
			"--default-route-settings|{\"ThrottlingRateLimit\":50}": &apigatewayv2.UpdateStageInput{
			StageName: aws.String("dev"), AutoDeploy: aws.Bool(true),
			DefaultRouteSettings: &types.RouteSettings{ThrottlingRateLimit: aws.Float64(50)}},
		"aws|lambda|create-function|--zip-file|fileb://notes.zip|--architectures|arm64|" +
			"--environment|{\"Variables\":{\"A\":\"it's\"}}|--timeout|10": &lambda.CreateFunctionInput{
			Code:          &lambdatypes.FunctionCode{ZipFile: []byte("x")},
			Architectures: []lambdatypes.Architecture{"arm64"}, Timeout: aws.Int32(10),
			Environment: &lambdatypes.Environment{Variables: map[string]string{"A": "it's"}}},
	} {
		script := "api='ID of api'; integration='ID of integration'; aws() { printf aws; for word; do printf '|%s' " +
			"\"$word\"; done; }\n" + Command(input)
		out, err := exec.Command("sh", "-eu", "-c", script).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s\nparsed as %s, %v\nwant      %s", Command(input), out, err, want)
		}
	}
}

// TestDifferences checks that every difference is listed, and nothing else.
func TestDifferences(t *testing.T) {
	function := &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("notes"), MemorySize: aws.Int32(256),
		Runtime: "provided.al2023", Environment: &lambdatypes.Environment{Variables: map[string]string{"A": "1"}}}
	route := func(scopes ...string) *apigatewayv2.UpdateRouteInput {
		return &apigatewayv2.UpdateRouteInput{RouteId: aws.String("r"), AuthorizationScopes: scopes}
	}
	for _, c := range []struct {
		name            string
		want, read      any
		answer, differs string
	}{
		{name: "equal", want: function, read: &lambda.GetFunctionInput{},
			answer: `{"FunctionName":"x","MemorySize":256,"Runtime":"provided.al2023",` +
				`"Environment":{"Variables":{"A":"1"},"Error":null},"Timeout":3}`, differs: "[]"},
		{name: "a number", want: function, read: &lambda.GetFunctionInput{},
			answer:  `{"MemorySize":512,"Runtime":"provided.al2023","Environment":{"Variables":{"A":"1"}}}`,
			differs: "[MemorySize 512 -> 256]"},
		{name: "a string and a variable", want: function, read: &lambda.GetFunctionInput{},
			answer:  `{"MemorySize":256,"Runtime":"go1.x","Environment":{"Variables":{"A":"1","B":"2"}}}`,
			differs: "[Environment.Variables.B removed Runtime go1.x -> provided.al2023]"},
		{name: "no variables", want: function, read: &lambda.GetFunctionInput{},
			answer: `{"MemorySize":256,"Runtime":"provided.al2023"}`, differs: "[Environment.Variables.A added]"},
		{name: "a set in another order", want: route("a", "b"), read: &apigatewayv2.GetRouteInput{},
			answer: `{"AuthorizationScopes":["b","a"]}`, differs: "[]"},
		{name: "a different set", want: route("a", "b"), read: &apigatewayv2.GetRouteInput{},
			answer: `{"AuthorizationScopes":["a"]}`, differs: `[AuthorizationScopes ["a"] -> ["a","b"]]`},
		{name: "an empty set that is absent", want: route([]string{}...), read: &apigatewayv2.GetRouteInput{},
			answer: `{"AuthorizationScopes":null}`, differs: "[]"},
		{name: "a set that must be empty", want: &apigatewayv2.UpdateRouteInput{AuthorizationScopes: []string{}},
			read: &apigatewayv2.GetRouteInput{}, answer: `{"AuthorizationScopes":["a"]}`,
			differs: `[AuthorizationScopes ["a"] -> []]`},
		{name: "a policy in another order", want: &lambda.UpdateFunctionConfigurationInput{Description: aws.String(
			`{"a":1,"b":2}`)}, read: &lambda.GetFunctionInput{},
			answer: `{"Description":"%7B%22b%22%3A2%2C%22a%22%3A1%7D"}`, differs: "[]"},
		{name: "code", want: &lambda.UpdateFunctionCodeInput{ZipFile: []byte("x")},
			read: &lambda.GetFunctionInput{}, answer: `{"CodeSha256":"y"}`,
			differs: "[CodeSha256 y -> LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got any
			if err := json.Unmarshal([]byte(c.answer), &got); err != nil {
				t.Fatal(err)
			}
			if differences := Differences(c.want, c.read, got); fmt.Sprint(differences) != c.differs {
				t.Errorf("%v, want %s", differences, c.differs)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	in := &apigatewayv2.UpdateStageInput{
		ApiId: aws.String("${api}"), StageName: aws.String("${other} ${api}"), AutoDeploy: aws.Bool(true),
		StageVariables: map[string]string{"a": "${api}"}, RouteSettings: map[string]types.RouteSettings{"${api}": {}},
		AccessLogSettings: &types.AccessLogSettings{DestinationArn: aws.String("arn:${api}")},
	}
	got, ok := Resolve(in, map[string]string{"api": "a1"}).(*apigatewayv2.UpdateStageInput)
	if !ok || *got.ApiId != "a1" || *got.StageName != "${other} a1" || got.StageVariables["a"] != "a1" ||
		*got.AccessLogSettings.DestinationArn != "arn:a1" || !*got.AutoDeploy || *in.ApiId != "${api}" {
		t.Errorf("%+v", got)
	}
	tags := Resolve(&apigatewayv2.UntagResourceInput{TagKeys: []string{"${api}", "b"}}, map[string]string{"api": "a1"})
	if keys := tags.(*apigatewayv2.UntagResourceInput).TagKeys; fmt.Sprint(keys) != "[a1 b]" {
		t.Errorf("%v", keys)
	}
}
