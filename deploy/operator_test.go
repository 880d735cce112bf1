package main

import (
	"encoding/json"
	"os"
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

// maxManaged is the maximum size of a managed policy in characters, without white space (IAM quotas).
const maxManaged = 6144

// useKeyOf makes the program use the key of a new user that has only the given policy.
func (w *world) useKeyOf(document string) {
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
	w.programCfg.Credentials = credentials.NewStaticCredentialsProvider(
		*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
}

// checkCannotTouch checks that the program's key can neither change, remove nor create APIs without the stack's tag.
func (w *world) checkCannotTouch(api string) {
	w.t.Helper()
	cfg := w.cfg.Copy()
	cfg.Credentials = w.programCfg.Credentials
	client := apigatewayv2.NewFromConfig(cfg)
	_, changeErr := client.UpdateApi(w.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &api, Name: aws.String("ours")})
	_, removeErr := client.DeleteApi(w.t.Context(), &apigatewayv2.DeleteApiInput{ApiId: &api})
	_, createErr := client.CreateApi(w.t.Context(), &apigatewayv2.CreateApiInput{
		Name: aws.String("ours"), ProtocolType: apitypes.ProtocolTypeHttp})
	for _, err := range []error{changeErr, removeErr, createErr} {
		if cloud.Code(err) != "AccessDeniedException" {
			w.t.Errorf("a call on an API without the stack's tag: %v, want AccessDeniedException", err)
		}
	}
}

// everything is a policy that allows all actions.
const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// drift changes the stack's role and function by hand.
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

// TestUnderThePrintedPolicy checks that up, permit and down work with the rights that up prints, and that none of their
// calls is refused.
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
			w := newWorld(t)
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
			beside := stack.AccessLogPrefix + w.name + "-dev-dev" // may belong to a stack NAME-dev
			logs := cloudwatchlogs.NewFromConfig(w.cfg)
			if _, err := logs.CreateLogGroup(ctx,
				&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &beside}); err != nil {
				t.Fatal(err)
			}
			out := w.mustRun(append(settings, "--print-policy")...)
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
			w.useKeyOf(string(document))
			w.checkCannotTouch(*foreign.ApiId)
			begin := len(w.Calls())

			w.mustRun(settings...)
			made := w.state(w.name)
			again := w.mustRun(append([]string{"up"}, append(identity, "--print-policy")...)...)
			if !strings.HasSuffix(again, string(document)) {
				t.Errorf("for the existing stack, up prints the policy %s", again)
			}
			if out := w.mustRun(append([]string{"up", "--zip", w.jwtZip()}, identity...)...); strings.Contains(out,
				"updated") {
				t.Errorf("the second up prints %s", out)
			}
			w.drift()
			w.mustRun(append([]string{"up", "--zip", w.jwtZip()}, identity...)...)
			w.mustRun("permit", "--api", w.api())
			if got := w.state(w.name); got != made {
				t.Errorf("after up\n%s\nwant\n%s", got, made)
			}
			out = w.mustRun(append([]string{"down", "--delete-data", w.name}, identity...)...)
			if !strings.Contains(out, beside+" left: these credentials may not read its tags") {
				t.Errorf("down prints %s", out)
			}
			evaluated := 0
			for _, call := range w.Calls()[begin:] {
				if !strings.HasSuffix(call.Caller, w.name+"-operator") {
					continue
				}
				evaluated++
				if call.Refusal != "" && call.Operation != "ListTagsForResource" {
					t.Errorf("%s", call.Refusal)
				}
			}
			if evaluated < 60 {
				t.Errorf("only %d calls were evaluated", evaluated)
			}
		})
	}
}

// TestPrintPolicyWithoutCredentials checks that the policy can be printed before there are credentials to run up with.
func TestPrintPolicyWithoutCredentials(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, c := range []struct{ name, region, want string }{
		{"no region", "", `"arn:aws:lambda:REGION:ACCOUNT:function:notes-dev"`},
		{"a region", "eu-west-1", `"arn:aws:lambda:eu-west-1:ACCOUNT:function:notes-dev"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AWS_REGION", c.region)
			out, err := deploy(t, "up", "--print-policy")
			if err != nil || !strings.Contains(out, c.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if _, err := deploy(t, "up", "--print-policy", "--stack", "a name"); err == nil {
		t.Error("a wrong name is accepted")
	}
}
