package stack

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

	"example.com/portable-notes/deploy/policy"
)

var api = policy.API{Partition: "aws", Region: "eu-central-1", Account: "123456789012", ID: "a1b2c3d4e5"}

// statement is one as Lambda keeps it.
func statement(sid, source string) policy.Statement {
	return policy.Statement{Sid: sid, Effect: "Allow", Condition: policy.Conditions{"ArnLike": {"AWS:SourceArn": {source}}}}
}

// TestStale: only statements of ours, of the API and of handled stages, that no route needs are stale; those of other APIs
// of the account are named for a closer look; all others are nobody's business here.
func TestStale(t *testing.T) {
	needed := grant(api, "notes", "", "", api.Pattern("dev", "GET /notes"))
	base := "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/"
	ours := func(n int) string { return fmt.Sprintf("notes-%016x", n) }
	document := policy.Document{Statement: policy.Statements{
		statement(needed.StatementID, needed.SourceARN),
		statement(ours(1), base+"dev/GET/gone"),
		statement(ours(2), base+"prod/GET/notes"),
		statement("theirs", base+"dev/GET/gone"),
		statement("notes-of-somebody", base+"dev/GET/gone"),
		statement(ours(3), strings.Replace(base, "a1b2c3d4e5", "former", 1)+"dev/GET/notes"),
		statement(ours(4), strings.Replace(base, "123456789012", "999999999999", 1)+"dev/GET/notes"),
		statement(ours(5), strings.Replace(base, "eu-central-1", "us-east-1", 1)+"dev/GET/notes"),
		statement(ours(6), "arn:aws:s3:::bucket"),
		{Sid: ours(7), Effect: "Allow"},
	}}
	says := func(stages []string) string {
		stale, elsewhere := Stale(document, api, stages, []Grant{needed})
		var all []string
		for _, s := range stale {
			all = append(all, s.Sid)
		}
		for _, key := range []string{"eu-central-1 former", "us-east-1 a1b2c3d4e5"} {
			if len(elsewhere[key]) != 1 {
				t.Errorf("%s is not among %v", key, elsewhere)
			}
		}
		if len(elsewhere) != 2 {
			t.Errorf("elsewhere are %v", elsewhere)
		}
		return strings.Join(all, " ")
	}
	if got := says([]string{"dev"}); got != ours(1) {
		t.Errorf("stale on dev are %s", got)
	}
	if got := says(nil); got != ours(1)+" "+ours(2) {
		t.Errorf("stale on all stages are %s", got)
	}
}

// TestGrantIDs: a grant has one id for ever, and another grant another one.
func TestGrantIDs(t *testing.T) {
	first := grant(api, "notes", "", "", api.Pattern("dev", "ANY /notes"))
	if first.StatementID != "notes-4561f1dddd1d3d49" {
		t.Errorf("the id is %s: statements that were made before are not known any more", first.StatementID)
	}
	seen := map[string]bool{first.StatementID: true}
	for _, g := range []Grant{grant(api, "notes", "live", "", first.SourceARN), grant(api, "other", "", "", first.SourceARN), grant(api, "notes", "", "", first.SourceARN+"x")} {
		if seen[g.StatementID] || !Ours(g.StatementID) {
			t.Errorf("the id %s is used twice, or not ours", g.StatementID)
		}
		seen[g.StatementID] = true
	}
}

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
