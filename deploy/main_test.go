package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"example.com/portable-notes/notes/dynamo/dynamotest"
)

func TestMain(m *testing.M) {
	settle = 0 // reads of the sandbox do not lag
	code := dynamotest.Main(m)
	if shared.s != nil {
		shared.s.Close()
	}
	if program.folder != "" {
		_ = os.RemoveAll(program.folder)
	}
	os.Exit(code)
}

// deploy runs the program and returns its output.
func deploy(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out, &out)
	return out.String(), err
}

// useDynamoDBLocal points the environment's AWS settings to DynamoDB Local.
func useDynamoDBLocal(t *testing.T) aws.Config {
	t.Helper()
	cfg := dynamotest.Config(t)
	for _, entry := range dynamotest.Environment(cfg) {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	return cfg
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"nothing"}, {"table"}, {"table", "a", "b"}, {"copy", "bolt:a"}, {"copy", "a", "b"},
		{"copy", "bolt:", "bolt:x"}, {"copy", "bolt:a", "bolt:a"}, {"--nothing"}, {"copy", "--nothing"}, {"zip", "x"},
		{"zip", "--arch", "mips"}, {"table", "a b"}, {"copy", "dynamodb:a b", "bolt:x"}} {
		if out, err := deploy(t, args...); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	for _, args := range [][]string{{"-h"}, {"table", "-h"}, {"copy", "-h"}, {"zip", "-h"}, {"up", "-h"},
		{"down", "-h"}, {"permit", "-h"}, {"plan", "-h"}, {"explain", "-h"}, {"sandbox", "-h"}} {
		out, err := deploy(t, args...)
		if err != nil || !strings.Contains(out, "deploy") || len(args) == 2 && !strings.Contains(out, "Examples:") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--version"}, []string{"deploy version "}},
		{[]string{"-h"}, []string{"Diagnose and fix any HTTP API:", "The service on AWS:", "Its notes:",
			"Rehearse without an account:", "completion"}},
		{[]string{"__complete", "up", "--auth", ""}, []string{"token\njwt\nnone\n"}},
		{[]string{"__complete", "zip", "--arch", "a"}, []string{"arm64\nx86_64\n"}},
		{[]string{"__complete", "permit", "--scope", ""}, []string{"route\nstage\napi\n"}},
		{[]string{"completion", "bash"}, []string{"bash completion"}},
		{[]string{"plan", "--api", "a1"}, []string{"--api goes with --permit-only"}},
		{[]string{"plan", "--format", "pulumi"}, []string{"--format must be script, cloudformation, sam or terraform",
			`not "pulumi"`}},
		{[]string{"plan", "--format", "sam", "--permit-only"}, []string{"does not go with --format"}},
		{[]string{"plan", "--format", "sam"}, []string{"say who may use the service"}},
		{[]string{"plan", "--format", "sam", "--auth", "none", "--memory", "1"}, []string{"128 to 10240 MB"}},
		{[]string{"plan", "--permit-only", "--function", "f"}, []string{"--function goes with --api"}},
		{[]string{"down", "--memory", "512"}, []string{"unknown flag: --memory"}},
		{[]string{"explain", "foo", "--api", "a1"}, []string{"is not an ARN pattern"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			out, err := deploy(t, c.args...)
			for _, text := range c.want {
				if !strings.Contains(out+fmt.Sprint(err), text) {
					t.Errorf("%q is not in %s, %v", text, out, err)
				}
			}
		})
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	if _, err := deploy(t, "table", "notes"); err == nil || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
}

// TestBadInput checks the message for each mistake and failure of up.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	foreign := filepath.Join(folder, "foreign.zip")
	w.mustRun("zip", "--arch", other, "--out", foreign)
	ctx := t.Context()
	if _, err := w.roles().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(w.name + "-us-east-1"),
		AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},` +
				`"Action":"sts:AssumeRole"}]}`)}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		args []string
		env  string
		want string
	}{
		"a bad name":        {args: []string{"--stack", "a b"}, want: "the stack's name must be 3 to 40 letters"},
		"a bad stage":       {args: []string{"--stage", "a b"}, want: "the stage must be"},
		"a bad processor":   {args: []string{"--arch", "mips"}, want: "arm64 or x86_64"},
		"a bad memory size": {args: []string{"--memory", "100"}, want: "128 to 10240 MB"},
		"a bad retention":   {args: []string{"--retention", "8"}, want: "not 8"},
		"a bad base path":   {args: []string{"--base-path", "api"}, want: "each after a slash"},
		"no such zip":       {args: []string{"--zip", "/no/such/file"}, want: "--zip"},
		"no zip":            {args: []string{"--zip", write("x.zip", []byte("x"))}, want: "not a zip file"},
		"no bootstrap":      {args: []string{"--zip", write("y.zip", zipNamed(t, "main"))}, want: "no file bootstrap"},
		"another processor": {args: []string{"--zip", foreign}, want: "its bootstrap is for"},
		"a foreign role":    {want: "does not belong to this stack"},
		"a misspelt region": {env: "AWS_REGION=eu-centrl-1 AWS_ENDPOINT_URL=http://dynamodb.eu-centrl-1.invalid",
			want: "is the region (AWS_REGION) spelt right"},
		"half here": {env: "AWS_ENDPOINT_URL_IAM=https://iam.example.com", want: "which would split the stack"},
		"one service here": {env: "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:1 AWS_ENDPOINT_URL=",
			want: "the endpoints of [dynamodb] are on this machine"},
		"no region":    {env: "AWS_REGION= AWS_DEFAULT_REGION=", want: "no AWS region is set"},
		"nobody there": {env: "AWS_ENDPOINT_URL=http://127.0.0.1:1", want: "connection refused"},
		"no credentials": {env: "AWS_ACCESS_KEY_ID= AWS_SECRET_ACCESS_KEY= AWS_EC2_METADATA_DISABLED=true " +
			"HOME=/nowhere", want: "no AWS credentials"},
		"expired":            {env: "FAULT=ExpiredTokenException", want: "the credentials have expired"},
		"unknown":            {env: "FAULT=UnrecognizedClientException", want: "does not know these credentials"},
		"may not":            {env: "FAULT=AccessDeniedException", want: "--print-policy"},
		"no Go tool":         {args: []string{"--zip", ""}, env: "PATH=/nowhere", want: "the Go tool was not found"},
		"an unknown command": {args: []string{"--nothing"}, want: "unknown flag"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			args := []string{"up", "--stack", w.name, "--zip", w.zip, "--auth", "none"}
			cmd := w.command(append(args, c.args...)...)
			for _, entry := range strings.Fields(c.env) {
				if code, ok := strings.CutPrefix(entry, "FAULT="); ok {
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.WriteHeader(403)
						fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>on "+
							"purpose</Message></Error></ErrorResponse>", code)
					}))
					defer server.Close()
					entry = "AWS_ENDPOINT_URL=" + server.URL
				}
				cmd.Env = append(cmd.Env, entry)
			}
			out, err := cmd.CombinedOutput()
			last := strings.TrimSpace(string(out))
			if err == nil || !strings.Contains(last, c.want) || strings.Contains(last, "panic") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
