package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// stagedFault is a fault to inject into a working API. The doctor must find the cause and no other fault.
type stagedFault struct {
	cause  string
	usual  bool   // run even without NOTES_TEST_LONG
	path   string // of the request, METHOD PATH or PATH; "" for GET /dev/items
	inject func(p *patient)
	repair func(p *patient) // fixes the fault; nil to run the command that the doctor prints
}

// basicFaults are faults of the API and of the function.
var basicFaults = []stagedFault{
	{cause: "permission.none", usual: true, inject: func(p *patient) { p.revoke() }},
	{cause: "permission.deleted-api", usual: true, inject: func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:gone000000/*/*")
	}},
	{cause: "permission.stage", usual: true, inject: func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/prod/*")
	}},
	{cause: "permission.path", inject: func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/GET/things")
	}},
	{cause: "permission.method", inject: func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/POST/items")
	}},
	{cause: "permission.account", inject: func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:999999999999:" + p.id + "/*/*")
	}},
	{cause: "permission.region", inject: func(p *patient) {
		p.regrant("arn:aws:execute-api:eu-west-1:123456789012:" + p.id + "/*/*")
	}},
	{cause: "permission.no-apigateway", inject: func(p *patient) {
		p.revoke()
		_, err := p.functions().AddPermission(p.t.Context(), &lambda.AddPermissionInput{FunctionName: &p.name,
			StatementId: aws.String("s3"), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("s3.amazonaws.com")})
		p.must(err)
	}},
	{cause: "permission.qualifier", usual: true, inject: func(p *patient) {
		v, err := p.functions().PublishVersion(p.t.Context(), &lambda.PublishVersionInput{FunctionName: &p.name})
		p.must(err)
		_, err = p.functions().CreateAlias(p.t.Context(), &lambda.CreateAliasInput{FunctionName: &p.name,
			Name: aws.String("live"), FunctionVersion: v.Version})
		p.must(err)
		p.setIntegrationSuffix(":live")
	}},
	{cause: "integration.qualifier-missing", inject: func(p *patient) { p.setIntegrationSuffix(":live") },
		repair: func(p *patient) {
			p.setIntegrationSuffix("")
		}},
	{cause: "integration.function-missing", usual: true,
		inject: func(p *patient) { p.setIntegrationSuffix("-gone") }, repair: func(p *patient) {
			p.setIntegrationSuffix("")
		}},
	{cause: "route.method", usual: true, path: "POST /dev/items", inject: func(*patient) {}},
	{cause: "route.missing", path: "/dev/things", inject: func(*patient) {}, repair: func(p *patient) {
		_, err := p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
			RouteKey: aws.String("GET /things"), Target: aws.String("integrations/" + p.integration)})
		p.must(err)
	}},
	{cause: "route.no-target", path: "/dev/things", inject: func(p *patient) {
		_, err := p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
			RouteKey: aws.String("GET /things")})
		p.must(err)
	}},
	{cause: "stage.missing", usual: true, path: "/prod/items", inject: func(*patient) {}},
	{cause: "stage.left-out", path: "/items", inject: func(*patient) {}, repair: func(p *patient) {
		_, err := p.gateway().CreateStage(p.t.Context(), &apigatewayv2.CreateStageInput{ApiId: &p.id,
			StageName: aws.String("$default"), AutoDeploy: aws.Bool(true)})
		p.must(err)
	}},
	{cause: "stage.stale", usual: true, path: "/dev/things", inject: func(p *patient) {
		_, err := p.gateway().UpdateStage(p.t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &p.id,
			StageName: aws.String("dev"), AutoDeploy: aws.Bool(false)})
		p.must(err)
		_, err = p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
			RouteKey: aws.String("GET /things"), Target: aws.String("integrations/" + p.integration)})
		p.must(err)
	}},
	{cause: "stage.throttled", usual: true, inject: func(p *patient) {
		_, err := p.gateway().UpdateStage(p.t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &p.id,
			StageName:            &p.stage,
			DefaultRouteSettings: &apitypes.RouteSettings{ThrottlingBurstLimit: aws.Int32(5)}})
		p.must(err)
	}},
	{cause: "endpoint.disabled", usual: true, inject: func(p *patient) {
		_, err := p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
			DisableExecuteApiEndpoint: aws.Bool(true)})
		p.must(err)
	}},
	{cause: "function.concurrency-zero", usual: true, inject: func(p *patient) {
		_, err := p.functions().PutFunctionConcurrency(p.t.Context(), &lambda.PutFunctionConcurrencyInput{
			FunctionName: &p.name, ReservedConcurrentExecutions: aws.Int32(0)})
		p.must(err)
	}},
	{cause: "function.failed", inject: func(p *patient) { p.must(p.Stage(p.name, "failed:EniLimitExceeded")) },
		repair: func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{cause: "function.inactive", inject: func(p *patient) { p.must(p.Stage(p.name, "inactive")) },
		repair: func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{cause: "function.kms", inject: func(p *patient) { p.must(p.Stage(p.name, "kms-denied")) },
		repair: func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{cause: "function.throttled", inject: func(p *patient) { p.must(p.Stage(p.name, "throttled")) },
		repair: func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{cause: "code.import", usual: true, inject: func(p *patient) { p.setPython("import nosuch\n") },
		repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "code.handler", inject: func(p *patient) {
		p.configure(lambda.UpdateFunctionConfigurationInput{Handler: aws.String("app.wrong")})
	}, repair: func(p *patient) {
		p.configure(lambda.UpdateFunctionConfigurationInput{Handler: aws.String("app.handler")})
	}},
	{cause: "code.settings", inject: func(p *patient) {
		p.setPython("import os\nTABLE = os.environ['TABLE_NAME']\n" + workingCode)
	}, repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "code.init", inject: func(p *patient) { p.setPython("raise RuntimeError('no')\n") },
		repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "code.error",
		inject: func(p *patient) { p.setPython("def handler(event, context):\n    return 1 / 0\n") },
		repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "code.timeout", inject: func(p *patient) {
		p.setPython(
			"import time\n\n\ndef handler(event, context):\n    time.sleep(2)\n    return {\"statusCode\": 200}\n",
		)
		p.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
	}},
	{cause: "integration.timeout", inject: func(p *patient) {
		p.setPython(
			"import time\n\n\ndef handler(event, context):\n    time.sleep(1)\n    return {\"statusCode\": 200}\n",
		)
		_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
			IntegrationId: &p.integration, TimeoutInMillis: aws.Int32(200)})
		p.must(err)
	}},
	{cause: "code.memory", inject: func(p *patient) {
		p.setPython("import time\n\n\ndef handler(event, context):\n    x = b'x' * (150 << 20)\n" +
			"    time.sleep(1)  # while the memory is in use\n    return {\"statusCode\": 200}\n")
	}},
	{cause: "response.status", inject: func(p *patient) {
		p.setPython("def handler(event, context):\n    return {\"statusCode\": \"fine\"}\n")
	}, repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "response.body", inject: func(p *patient) {
		p.setPython("def handler(event, context):\n    return {\"statusCode\": 200, \"body\": {\"a\": 1}}\n")
	}, repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "response.headers", inject: func(p *patient) {
		p.setPython("def handler(event, context):\n    return {\"statusCode\": 200, \"headers\": {\"a\": 1}}\n")
	}, repair: func(p *patient) { p.setPython(workingCode) }},
	{cause: "app.answered", inject: func(p *patient) {
		p.setPython("def handler(event, context):\n    return {\"statusCode\": 502, \"body\": \"mine\"}\n")
	}, repair: func(p *patient) { p.setPython(workingCode) }},
}

// TestDoctorBothFixes checks that each of the two commands for a missing grant fixes it by itself.
func TestDoctorBothFixes(t *testing.T) {
	t.Parallel()
	for i := range 2 {
		t.Run(fmt.Sprint("fix ", i+1), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			p.revoke()
			d, _ := p.diagnose(p.url("/dev/items"))
			if len(d.Findings) != 1 || len(d.Findings[0].Fix) != 2 || len(d.Findings[0].Routes) != 2 {
				t.Fatalf("%+v", d.Findings)
			}
			p.runCommand(d.Findings[0].Fix[i].Command)
			if got := p.status("GET", "/dev/items"); got != 200 {
				t.Errorf("the API answers %d", got)
			}
		})
	}
}

// TestDoctorFacts checks that saved facts give the same diagnosis, and contain no values of the request.
func TestDoctorFacts(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.revoke()
	file := filepath.Join(t.TempDir(), "case.json")
	live, code := p.diagnose("--save", file, p.url("/dev/items/anna?token=s3cr3t"))
	saved, again := p.diagnose("--facts", file)
	want, err := json.Marshal(live)
	p.must(err)
	got, err := json.Marshal(saved)
	p.must(err)
	if string(got) != string(want) || code != again {
		t.Errorf("live\n%s\nsaved\n%s", want, got)
	}
	content, err := os.ReadFile(file)
	p.must(err)
	if strings.Contains(string(content), "s3cr3t") || strings.Contains(string(content), "anna") {
		t.Errorf("the facts contain values of the request: %s", content)
	}
}

// TestDoctorHealthy checks that a working API has no findings, with a request and without.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	for _, args := range [][]string{{p.url("/dev/items")}, {"--api", p.id}, {p.url("/dev/items/7")}} {
		t.Run(args[0], func(t *testing.T) {
			d, code := p.diagnose(args...)
			if code != 0 || len(d.Findings) != 0 || len(d.Unseen) != 0 || !d.Verdict.Healthy {
				t.Errorf("exit %d, %+v, unseen %+v", code, d.Findings, d.Unseen)
			}
			if d.Calls > 30 {
				t.Errorf("%d calls", d.Calls)
			}
		})
	}
}

// TestDoctorMistakes checks that mistakes in the arguments give a one-line usage error.
func TestDoctorMistakes(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{name: "nothing", want: "give a URL, or --api ID"},
		{name: "no URL", args: []string{"notes"}, want: "must begin with https://"},
		{name: "two URLs", args: []string{"https://a.example", "https://b.example"}, want: "give one URL"},
		{name: "an unknown language", args: []string{"--lang", "fr", "--api", "a1"},
			want: "--lang must be en or ja"},
		{name: "curl with an unknown flag", args: []string{"--", "curl", "--frob", "https://a.example"},
			want: "--frob"},
		{name: "curl with a missing file", args: []string{"--", "curl", "-d", "@/nosuch", "https://a.example"},
			want: "cannot be read"},
		{name: "several commands", args: []string{"--", "curl", "https://a.example", "|", "jq"},
			want: "more than one command"},
		{name: "a missing directory", args: []string{"--save", "/nosuch/case.json", "https://a.example"},
			want: "the directory /nosuch does not exist"},
		{name: "facts and a URL", args: []string{"--facts", "x", "https://a.example"}, want: "leave out the URL"},
		{name: "missing facts", args: []string{"--facts", folder + "/nosuch"}, want: "cannot be read"},
		{name: "truncated facts", args: []string{"--facts", write("cut", `{"Version":1,`)}, want: "cut short"},
		{name: "facts of something else", args: []string{"--facts", write("else", `{"a":1}`)}, want: "no version"},
		{name: "facts of a later version", args: []string{"--facts", write("later", `{"Version":99}`)},
			want: "newer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), append([]string{"doctor"}, c.args...), &out, &out)
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// TestDoctorFix checks that --fix makes the missing grants and nothing else, and checks the API again.
func TestDoctorFix(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.revoke()
	if out, err := p.deploy("doctor", "--fix", p.url("/dev/items")); !errors.Is(err, errUsage) ||
		!strings.Contains(err.Error(), "--yes") || p.status("GET", "/dev/items") != 500 {
		t.Errorf("without a terminal: %v %s", err, out)
	}
	out, err := p.deploy("doctor", "--fix", "--yes", p.url("/dev/items"))
	if err != nil || !strings.Contains(out, "[permission.none]") || !strings.Contains(out, ": nothing is wrong.") ||
		!strings.Contains(out, "grant for dev GET /items") {
		t.Errorf("%v %s", err, out)
	}
	p.setCode(map[string]string{"app.py": "import nosuch\n"})
	out, err = p.deploy("doctor", "--fix", "--yes", p.url("/dev/items"))
	if exit := (errExit{}); !errors.As(err, &exit) || exit.code != 1 ||
		!strings.Contains(out, "nothing that can be fixed") {
		t.Errorf("a fault of the code: %v %s", err, out)
	}
}

// TestDoctorPage checks that --html writes the page.
func TestDoctorPage(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.revoke()
	page := filepath.Join(t.TempDir(), "report.html")
	p.diagnose("--html", page, p.url("/dev/items"))
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "permission.none") {
		t.Errorf("%v %s", err, text)
	}
}

// TestDoctorFixCause checks that --fix=CAUSE fixes only that cause, and refuses fixes that are not safe.
func TestDoctorFixCause(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	_, err := p.functions().PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{
		FunctionName: &p.name, ReservedConcurrentExecutions: aws.Int32(0)})
	p.must(err)
	p.revoke()
	at := p.url("/dev/items")
	if _, err := p.deploy("doctor", "--fix=stage.stale", "--yes", at); !errors.Is(err, errUsage) ||
		!strings.Contains(err.Error(), "this cause was not found") {
		t.Errorf("a cause that was not found: %v", err)
	}
	out, err := p.deploy("doctor", "--fix=function.concurrency-zero", "--yes", at)
	if exit := (errExit{}); !errors.As(err, &exit) || exit.code != 1 || !strings.Contains(out,
		"--fix does the same as:\n  aws lambda delete-function-concurrency") {
		t.Errorf("%v %s", err, out)
	}
	if d, _ := p.diagnose(at); faults(d) != "permission.none" {
		t.Errorf("found %q", faults(d))
	}
	if out, err := p.deploy("doctor", "--fix=permission.none", "--yes", at); err != nil {
		t.Errorf("%v %s", err, out)
	}
	p.setIntegrationSuffix(":$LATEST")
	if d, _ := p.diagnose(at); faults(d) != "permission.qualifier" {
		t.Errorf("found %q", faults(d))
	}
	if out, err := p.deploy("doctor", "--fix=permission.qualifier", "--yes", at); err != nil ||
		!strings.Contains(out, "aws apigatewayv2 update-integration") {
		t.Errorf("$LATEST: %v %s", err, out)
	}
	p.setPython("raise RuntimeError('no')\n")
	if _, err := p.deploy("doctor", "--fix=code.init", "--yes", at); !errors.Is(err, errUsage) ||
		!strings.Contains(err.Error(), "does not apply this fix") {
		t.Errorf("a fault of the code: %v", err)
	}
}
