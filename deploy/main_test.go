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
	settle = 0 // the sandbox's reads do not lag
	code := dynamotest.Main(m)
	if aSandbox.s != nil {
		aSandbox.s.Close()
	}
	if program.folder != "" {
		_ = os.RemoveAll(program.folder)
	}
	os.Exit(code)
}

// deploy runs the program against DynamoDB Local.
func deploy(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out, &out)
	return out.String(), err
}

// local points the SDK's settings to DynamoDB Local.
func local(t *testing.T) aws.Config {
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
		{"zip", "--arch", "mips"}} {
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
		says []string
	}{
		{[]string{"--version"}, []string{"deploy version "}},
		{[]string{"-h"}, []string{"Diagnose and heal any HTTP API:", "The service on AWS:", "Its notes:",
			"Rehearse without an account:", "completion"}},
		{[]string{"__complete", "up", "--auth", ""}, []string{"token\njwt\nnone\n"}},
		{[]string{"__complete", "zip", "--arch", "a"}, []string{"arm64\namd64\n"}},
		{[]string{"__complete", "permit", "--scope", ""}, []string{"route\nstage\napi\n"}},
		{[]string{"completion", "bash"}, []string{"bash completion"}},
		{[]string{"plan", "--api", "a1"}, []string{"--api goes with --permit-only"}},
		{[]string{"plan", "--permit-only", "--function", "f"}, []string{"--function goes with --api"}},
		{[]string{"down", "--memory", "512"}, []string{"unknown flag: --memory"}},
		{[]string{"explain", "foo", "--api", "a1"}, []string{"is not the pattern of an ARN"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			out, err := deploy(t, c.args...)
			for _, text := range c.says {
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

// TestBadInput: each mistake is one clear sentence that says what to do, and nothing half-made that a second run does
// not heal.
func TestBadInput(t *testing.T) {
	w := enter(t)
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
	w.runs("zip", "--arch", other, "--out", foreign)
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
		says string
	}{
		"a bad name":        {[]string{"--stack", "a b"}, "", "the stack's name must be 3 to 40 letters"},
		"a bad stage":       {[]string{"--stage", "a b"}, "", "the stage must be"},
		"a bad processor":   {[]string{"--arch", "mips"}, "", "arm64 or x86_64"},
		"a bad memory size": {[]string{"--memory", "100"}, "", "128 to 10240 MB"},
		"a bad retention":   {[]string{"--retention", "8"}, "", "not 8"},
		"a bad base path":   {[]string{"--base-path", "api"}, "", "each after a slash"},
		"no such zip":       {[]string{"--zip", "/no/such/file"}, "", "--zip"},
		"no zip":            {[]string{"--zip", write("x.zip", []byte("x"))}, "", "not a zip file"},
		"no bootstrap":      {[]string{"--zip", write("y.zip", packed(t, "main"))}, "", "no file bootstrap"},
		"another processor": {[]string{"--zip", foreign}, "", "its bootstrap is for"},
		"a foreign role":    {nil, "", "does not belong to this stack"},
		"a misspelt region": {nil, "AWS_REGION=eu-centrl-1 AWS_ENDPOINT_URL=http://dynamodb.eu-centrl-1.invalid",
			"is the region (AWS_REGION) spelt right"},
		"half here": {nil, "AWS_ENDPOINT_URL_IAM=https://iam.example.com", "which would split the stack"},
		"one service here": {nil, "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:1 AWS_ENDPOINT_URL=",
			"the endpoints of [dynamodb] are on this machine"},
		"no region":    {nil, "AWS_REGION= AWS_DEFAULT_REGION=", "no AWS region is set"},
		"nobody there": {nil, "AWS_ENDPOINT_URL=http://127.0.0.1:1", "connection refused"},
		"no credentials": {nil, "AWS_ACCESS_KEY_ID= AWS_SECRET_ACCESS_KEY= AWS_EC2_METADATA_DISABLED=true " +
			"HOME=/nowhere", "no AWS credentials"},
		"expired":            {nil, "FAULT=ExpiredTokenException", "the credentials have expired"},
		"unknown":            {nil, "FAULT=UnrecognizedClientException", "does not know these credentials"},
		"may not":            {nil, "FAULT=AccessDeniedException", "--print-policy"},
		"no Go tool":         {[]string{"--zip", ""}, "PATH=/nowhere", "the Go tool was not found"},
		"an unknown command": {[]string{"--nothing"}, "", "unknown flag"},
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
			if err == nil || !strings.Contains(last, c.says) || strings.Contains(last, "panic") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
