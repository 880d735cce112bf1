package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/policy"
)

// patient is a working API with a function in Python, for tests to break.
type patient struct {
	*world
	id, stage, integration, role, authorizer string
}

// workingCode is a function that answers every request.
const workingCode = `import json


def handler(event, context):
    return {"statusCode": 200, "body": json.dumps("Hello from Lambda!")}
`

// newPatient makes a working API.
func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{world: newWorld(t), stage: "dev"}
	ctx := t.Context()
	role, err := p.roles().
		CreateRole(ctx, &iam.CreateRoleInput{RoleName: &p.name, AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},` +
				`"Action":"sts:AssumeRole"}]}`)})
	p.must(err)
	p.role = *role.Role.Arn
	_, err = p.roles().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &p.name,
		PolicyArn: aws.String("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")})
	p.must(err)
	f, err := p.functions().CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &p.name, Role: &p.role,
		Runtime: lambdatypes.RuntimePython312, Handler: aws.String("app.handler"), Timeout: aws.Int32(10),
		Code: &lambdatypes.FunctionCode{ZipFile: p.zipOf(map[string]string{"app.py": workingCode})}})
	p.must(err)
	api, err := p.gateway().CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &p.name,
		ProtocolType: apitypes.ProtocolTypeHttp})
	p.must(err)
	p.id = *api.ApiId
	i, err := p.gateway().CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: &p.id,
		IntegrationType: apitypes.IntegrationTypeAwsProxy, IntegrationUri: f.FunctionArn,
		PayloadFormatVersion: aws.String("2.0")})
	p.must(err)
	p.integration = *i.IntegrationId
	for _, key := range []string{"ANY /items/{id}", "GET /items"} {
		_, err := p.gateway().CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &p.id, RouteKey: &key,
			Target: aws.String("integrations/" + p.integration)})
		p.must(err)
	}
	_, err = p.gateway().CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &p.id, StageName: aws.String("dev"),
		AutoDeploy: aws.Bool(true)})
	p.must(err)
	p.grant("api", "arn:aws:execute-api:us-east-1:123456789012:"+p.id+"/*/*")
	return p
}

func (p *patient) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) zipOf(files map[string]string) []byte {
	p.t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for name, content := range files {
		file, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(file, content)
		}
		p.must(err)
	}
	p.must(w.Close())
	return packed.Bytes()
}

// grant adds a statement to the function's policy.
func (p *patient) grant(sid, source string) {
	p.t.Helper()
	_, err := p.functions().AddPermission(p.t.Context(), &lambda.AddPermissionInput{FunctionName: &p.name,
		StatementId: &sid, Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("apigateway.amazonaws.com"),
		SourceArn: &source})
	p.must(err)
}

// revoke removes all statements from the function's policy.
func (p *patient) revoke() {
	p.t.Helper()
	for _, s := range p.statements() {
		_, err := p.functions().RemovePermission(p.t.Context(), &lambda.RemovePermissionInput{FunctionName: &p.name,
			StatementId: &s.Sid})
		p.must(err)
	}
}

// statements returns the statements of the function's policy.
func (p *patient) statements() []policy.Statement {
	p.t.Helper()
	document, _, err := facts.Policy(p.t.Context(), cloud.New(p.cfg), p.name, "")
	p.must(err)
	return document.Statement
}

// logAccess gives the stage dev an access log.
func (p *patient) logAccess(format string) {
	p.t.Helper()
	group := "/aws/apigw/" + p.name
	_, err := cloudwatchlogs.NewFromConfig(p.cfg).CreateLogGroup(p.t.Context(),
		&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
	p.must(err)
	_, err = p.gateway().UpdateStage(p.t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &p.id,
		StageName: aws.String("dev"), AccessLogSettings: &apitypes.AccessLogSettings{
			DestinationArn: aws.String("arn:aws:logs:us-east-1:123456789012:log-group:" + group),
			Format:         &format}})
	p.must(err)
}

// regrant replaces the statement of newPatient by one with another source ARN.
func (p *patient) regrant(source string) { p.t.Helper(); p.revoke(); p.grant("api", source) }

// configure changes the function's configuration and waits for the update.
func (p *patient) configure(in lambda.UpdateFunctionConfigurationInput) {
	p.t.Helper()
	in.FunctionName = &p.name
	_, err := p.functions().UpdateFunctionConfiguration(p.t.Context(), &in)
	p.must(err)
	p.awaitUpdate()
}

func (p *patient) setCode(files map[string]string) {
	p.t.Helper()
	_, err := p.functions().UpdateFunctionCode(p.t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &p.name,
		ZipFile: p.zipOf(files)})
	p.must(err)
	p.awaitUpdate()
}

// setPython sets the code of the handler.
func (p *patient) setPython(code string) { p.t.Helper(); p.setCode(map[string]string{"app.py": code}) }

func (p *patient) awaitUpdate() {
	p.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		f, err := p.functions().GetFunctionConfiguration(p.t.Context(),
			&lambda.GetFunctionConfigurationInput{FunctionName: &p.name})
		p.must(err)
		if f.LastUpdateStatus != lambdatypes.LastUpdateStatusInProgress && f.State != lambdatypes.StatePending {
			return
		} else if time.Now().After(end) {
			p.t.Fatal("the update of the function does not end")
		}
	}
}

// url returns the URL of a path of the API.
func (p *patient) url(path string) string { return p.URL + "/_aws/execute-api/" + p.id + path }

// items returns the path of the items in the API's URL, with the stage.
func (p *patient) items() string {
	if p.stage == "$default" {
		return "/items"
	}
	return "/" + p.stage + "/items"
}

// diagnose runs the doctor with --json, and returns its diagnosis and exit code.
func (p *patient) diagnose(args ...string) (d doctor.Diagnosis, code int) {
	p.t.Helper()
	cmd := p.command(append([]string{"doctor", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		p.must(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		p.t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	return d, code
}

// status returns the status that the API answers.
func (p *patient) status(method, path string) int {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url(path), nil)
	p.must(err)
	a, err := http.DefaultClient.Do(r)
	p.must(err)
	_ = a.Body.Close()
	return a.StatusCode
}

// faults returns the causes of the findings that are faults, separated by spaces.
func faults(d doctor.Diagnosis) string {
	var all []string
	for _, f := range d.Findings {
		if f.Level == doctor.Fault {
			all = append(all, f.Cause)
		}
	}
	return strings.Join(all, " ")
}

// setIntegrationSuffix points the integration to the function's name followed by a suffix.
func (p *patient) setIntegrationSuffix(suffix string) {
	p.t.Helper()
	_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
		IntegrationId: &p.integration, IntegrationUri: aws.String("arn:aws:lambda:us-east-1:123456789012:function:" +
			p.name + suffix)})
	p.must(err)
}

// runCommand runs a command that the doctor printed, in a shell.
func (p *patient) runCommand(command string) {
	p.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env, cmd.Dir = p.environ(), p.t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// runFix runs the first command that the doctor printed for a cause.
func (p *patient) runFix(d doctor.Diagnosis, cause string) {
	p.t.Helper()
	for _, f := range d.Findings {
		if f.Cause == cause && len(f.Fix) > 0 {
			p.runCommand(f.Fix[0].Command)
			p.awaitUpdate()
			return
		}
	}
	p.t.Fatalf("the diagnosis has no fix for %s", cause)
}
