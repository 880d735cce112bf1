package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/stack"
)

// maxManaged is the most characters of a managed policy, white space not counted (IAM quotas).
const maxManaged = 6144

// as lets a new user of a policy run the program.
func (w *world) as(document string) {
	w.t.Helper()
	ctx, user := w.t.Context(), w.name+"-operator"
	policy, err := w.roles().CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &user, PolicyDocument: &document})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.roles().CreateUser(ctx, &iam.CreateUserInput{UserName: &user}); err != nil {
		w.t.Fatal(err)
	}
	in := &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: policy.Policy.Arn}
	if _, err := w.roles().AttachUserPolicy(ctx, in); err != nil {
		w.t.Fatal(err)
	}
	key, err := w.roles().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	if err != nil {
		w.t.Fatal(err)
	}
	w.told.Credentials = credentials.NewStaticCredentialsProvider(
		*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
}

// cannotTouch holds that the credentials of w can neither change nor remove an API that has not the stack's tag.
func (w *world) cannotTouch(api string) {
	w.t.Helper()
	cfg := w.cfg.Copy()
	cfg.Credentials = w.told.Credentials
	client := apigatewayv2.NewFromConfig(cfg)
	_, changes := client.UpdateApi(w.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &api, Name: aws.String("ours")})
	_, removes := client.DeleteApi(w.t.Context(), &apigatewayv2.DeleteApiInput{ApiId: &api})
	_, untagged := client.CreateApi(w.t.Context(), &apigatewayv2.CreateApiInput{
		Name: aws.String("ours"), ProtocolType: apitypes.ProtocolTypeHttp})
	for _, err := range []error{changes, removes, untagged} {
		if cloud.Code(err) != "AccessDeniedException" {
			w.t.Errorf("an API without the stack's tag is changed, removed or made: %v", err)
		}
	}
}

// everything is a policy that allows all.
const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// drift changes a role and the function by hand.
func (w *world) drift() {
	w.t.Helper()
	ctx, role := w.t.Context(), w.name+"-us-east-1"
	for _, err := range []error{
		func() error {
			_, err := w.roles().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
				RoleName: &role, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
			return err
		}(),
		func() error {
			_, err := w.roles().PutRolePolicy(ctx, &iam.PutRolePolicyInput{
				RoleName: &role, PolicyName: aws.String("more"), PolicyDocument: aws.String(everything)})
			return err
		}(),
		func() error {
			_, err := w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Timeout: aws.Int32(3)})
			return err
		}(),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestUnderThePrintedPolicy: up, up again, drift, permit and down work under the rights that up prints, with each
// resource judged, and nothing is asked for that they do not allow.
func TestUnderThePrintedPolicy(t *testing.T) {
	t.Parallel()
	issuer := jwttest.New(t)
	for _, c := range []struct {
		name string
		up   []string
	}{
		{"open", []string{"--auth", "none"}},
		{"by token", []string{"--auth", "token", "--base-path", "/api", "--concurrency", "0", "--stage", "prod"}},
		{"by issuer", []string{"--auth", "jwt", "--issuer", issuer.URL, "--audience", jwttest.Audience}},
		{"under a boundary", []string{"--auth", "none", "--boundary", "BOUNDARY"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := enter(t)
			ctx := t.Context()
			bound, err := w.roles().CreatePolicy(ctx, &iam.CreatePolicyInput{
				PolicyName: aws.String(w.name + "-bound"), PolicyDocument: aws.String(everything)})
			if err != nil {
				t.Fatal(err)
			}
			var identity, settings []string
			for i, word := range c.up {
				if word == "BOUNDARY" {
					c.up[i] = *bound.Policy.Arn
				}
				if word == "--stage" {
					identity = c.up[i : i+2]
				}
			}
			identity = append([]string{"--stack", w.name}, identity...)
			settings = append([]string{"up", "--stack", w.name, "--zip", w.jwtZip()}, c.up...)
			beside := stack.AccessLogPrefix + w.name + "-dev-dev" // of a stack whose name begins as this one's
			logs := cloudwatchlogs.NewFromConfig(w.cfg)
			if _, err := logs.CreateLogGroup(ctx,
				&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &beside}); err != nil {
				t.Fatal(err)
			}
			out := w.runs(append(settings, "--print-policy")...)
			document := json.RawMessage(out[strings.Index(out, "{"):])
			short, err := json.Marshal(document)
			if err != nil || len(short) > maxManaged {
				t.Fatalf("%d characters, %v", len(short), err)
			}
			foreign, err := w.gateway().CreateApi(ctx, &apigatewayv2.CreateApiInput{
				Name: aws.String("foreign"), ProtocolType: apitypes.ProtocolTypeHttp,
				Tags: map[string]string{stack.StackTag: "another"}})
			if err != nil {
				t.Fatal(err)
			}
			w.as(string(document))
			w.cannotTouch(*foreign.ApiId)
			begin := len(w.Calls())

			w.runs(settings...)
			made := w.state(w.name)
			again := w.runs(append([]string{"up"}, append(identity, "--print-policy")...)...)
			if !strings.HasSuffix(again, string(document)) {
				t.Errorf("without its settings up prints %s", again)
			}
			if out := w.runs(append([]string{"up", "--zip", w.jwtZip()}, identity...)...); strings.Contains(out,
				"updated") {
				t.Errorf("up again says %s", out)
			}
			w.drift()
			w.runs(append([]string{"up", "--zip", w.jwtZip()}, identity...)...)
			w.runs("permit", "--api", w.api())
			if got := w.state(w.name); got != made {
				t.Errorf("up makes\n%s\nof\n%s", got, made)
			}
			out = w.runs(append([]string{"down", "--delete-data", w.name}, identity...)...)
			if !strings.Contains(out, beside+" left: these credentials may not read its tags") {
				t.Errorf("down says %s", out)
			}
			judged := 0
			for _, call := range w.Calls()[begin:] {
				if !strings.HasSuffix(call.Caller, w.name+"-operator") {
					continue
				}
				judged++
				if call.Refusal != "" && call.Operation != "ListTagsForResource" {
					t.Errorf("%s", call.Refusal)
				}
			}
			if judged < 60 {
				t.Errorf("%d calls are judged", judged)
			}
		})
	}
}
