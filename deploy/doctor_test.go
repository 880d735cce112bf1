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

// stagedFault is a fault of an API that worked. The doctor must find the cause and no other fault; where fixed is not
// nil the fault is of the user's own code, and is mended by it, else by what the doctor prints.
type stagedFault struct {
	cause  string
	often  bool   // also without NOTES_TEST_LONG
	path   string // METHOD PATH of the request, or PATH; "" for GET /dev/items
	breaks func(p *patient)
	fixed  func(p *patient)
}

// staged are faults of the API and of the function.
var staged = []stagedFault{
	{"permission.none", true, "", func(p *patient) { p.revoke() }, nil},
	{"permission.deleted-api", true, "", func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:gone000000/*/*")
	}, nil},
	{"permission.stage", true, "", func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/prod/*")
	}, nil},
	{"permission.path", false, "", func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/GET/things")
	}, nil},
	{"permission.method", false, "", func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:123456789012:" + p.id + "/*/POST/items")
	}, nil},
	{"permission.account", false, "", func(p *patient) {
		p.regrant("arn:aws:execute-api:us-east-1:999999999999:" + p.id + "/*/*")
	}, nil},
	{"permission.region", false, "", func(p *patient) {
		p.regrant("arn:aws:execute-api:eu-west-1:123456789012:" + p.id + "/*/*")
	}, nil},
	{"permission.no-apigateway", false, "", func(p *patient) {
		p.revoke()
		_, err := p.functions().AddPermission(p.t.Context(), &lambda.AddPermissionInput{FunctionName: &p.name,
			StatementId: aws.String("s3"), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("s3.amazonaws.com")})
		p.must(err)
	}, nil},
	{"permission.qualifier", true, "", func(p *patient) {
		v, err := p.functions().PublishVersion(p.t.Context(), &lambda.PublishVersionInput{FunctionName: &p.name})
		p.must(err)
		_, err = p.functions().CreateAlias(p.t.Context(), &lambda.CreateAliasInput{FunctionName: &p.name,
			Name: aws.String("live"), FunctionVersion: v.Version})
		p.must(err)
		p.integrate(":live")
	}, nil},
	{"integration.qualifier-missing", false, "", func(p *patient) { p.integrate(":live") }, func(p *patient) {
		p.integrate("")
	}},
	{"integration.function-missing", true, "", func(p *patient) { p.integrate("-gone") }, func(p *patient) {
		p.integrate("")
	}},
	{"route.method", true, "POST /dev/items", func(*patient) {}, nil},
	{"route.missing", false, "/dev/things", func(*patient) {}, func(p *patient) {
		_, err := p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
			RouteKey: aws.String("GET /things"), Target: aws.String("integrations/" + p.integration)})
		p.must(err)
	}},
	{"route.no-target", false, "/dev/things", func(p *patient) {
		_, err := p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
			RouteKey: aws.String("GET /things")})
		p.must(err)
	}, nil},
	{"stage.missing", true, "/prod/items", func(*patient) {}, nil},
	{"stage.left-out", false, "/items", func(*patient) {}, func(p *patient) {
		_, err := p.gateway().CreateStage(p.t.Context(), &apigatewayv2.CreateStageInput{ApiId: &p.id,
			StageName: aws.String("$default"), AutoDeploy: aws.Bool(true)})
		p.must(err)
	}},
	{"stage.stale", true, "/dev/things", func(p *patient) {
		_, err := p.gateway().UpdateStage(p.t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &p.id,
			StageName: aws.String("dev"), AutoDeploy: aws.Bool(false)})
		p.must(err)
		_, err = p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
			RouteKey: aws.String("GET /things"), Target: aws.String("integrations/" + p.integration)})
		p.must(err)
	}, nil},
	{"stage.throttled", true, "", func(p *patient) {
		_, err := p.gateway().UpdateStage(p.t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &p.id,
			StageName:            aws.String("dev"),
			DefaultRouteSettings: &apitypes.RouteSettings{ThrottlingBurstLimit: aws.Int32(5)}})
		p.must(err)
	}, nil},
	{"endpoint.disabled", true, "", func(p *patient) {
		_, err := p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
			DisableExecuteApiEndpoint: aws.Bool(true)})
		p.must(err)
	}, nil},
	{"function.concurrency-zero", true, "", func(p *patient) {
		_, err := p.functions().PutFunctionConcurrency(p.t.Context(), &lambda.PutFunctionConcurrencyInput{
			FunctionName: &p.name, ReservedConcurrentExecutions: aws.Int32(0)})
		p.must(err)
	}, nil},
	{"function.failed", false, "", func(p *patient) { p.must(p.Stage(p.name, "failed:EniLimitExceeded")) },
		func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{"function.inactive", false, "", func(p *patient) { p.must(p.Stage(p.name, "inactive")) },
		func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{"function.kms", false, "", func(p *patient) { p.must(p.Stage(p.name, "kms-denied")) },
		func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{"function.throttled", false, "", func(p *patient) { p.must(p.Stage(p.name, "throttled")) },
		func(p *patient) { p.must(p.Stage(p.name, "")) }},
	{
		"code.import",
		true,
		"",
		func(p *patient) { p.python("import nosuch\n") },
		func(p *patient) { p.python(working) },
	},
	{"code.handler", false, "", func(p *patient) {
		p.configure(lambda.UpdateFunctionConfigurationInput{Handler: aws.String("app.wrong")})
	}, func(p *patient) {
		p.configure(lambda.UpdateFunctionConfigurationInput{Handler: aws.String("app.handler")})
	}},
	{"code.settings", false, "", func(p *patient) {
		p.python("import os\nTABLE = os.environ['TABLE_NAME']\n" + working)
	}, func(p *patient) { p.python(working) }},
	{"code.init", false, "", func(p *patient) { p.python("raise RuntimeError('no')\n") },
		func(p *patient) { p.python(working) }},
	{"code.error", false, "", func(p *patient) { p.python("def handler(event, context):\n    return 1 / 0\n") },
		func(p *patient) { p.python(working) }},
	{"code.timeout", false, "", func(p *patient) {
		p.python(
			"import time\n\n\ndef handler(event, context):\n    time.sleep(2)\n    return {\"statusCode\": 200}\n",
		)
		p.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(1)})
	}, nil},
	{"integration.timeout", false, "", func(p *patient) {
		p.python(
			"import time\n\n\ndef handler(event, context):\n    time.sleep(1)\n    return {\"statusCode\": 200}\n",
		)
		_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
			IntegrationId: &p.integration, TimeoutInMillis: aws.Int32(200)})
		p.must(err)
	}, nil},
	{"code.memory", false, "", func(p *patient) {
		p.python("import time\n\n\ndef handler(event, context):\n    x = b'x' * (150 << 20)\n" +
			"    time.sleep(1)  # while the memory is in use\n    return {\"statusCode\": 200}\n")
	}, nil},
	{"response.status", false, "", func(p *patient) {
		p.python("def handler(event, context):\n    return {\"statusCode\": \"fine\"}\n")
	}, func(p *patient) { p.python(working) }},
	{"response.body", false, "", func(p *patient) {
		p.python("def handler(event, context):\n    return {\"statusCode\": 200, \"body\": {\"a\": 1}}\n")
	}, func(p *patient) { p.python(working) }},
	{"response.headers", false, "", func(p *patient) {
		p.python("def handler(event, context):\n    return {\"statusCode\": 200, \"headers\": {\"a\": 1}}\n")
	}, func(p *patient) { p.python(working) }},
	{"app.answered", false, "", func(p *patient) {
		p.python("def handler(event, context):\n    return {\"statusCode\": 502, \"body\": \"mine\"}\n")
	}, func(p *patient) { p.python(working) }},
}

// TestDoctorBothFixes: each command of the article's fault heals it alone.
func TestDoctorBothFixes(t *testing.T) {
	t.Parallel()
	for i := range 2 {
		t.Run(fmt.Sprint("fix ", i+1), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			p.revoke()
			d, _ := p.seen(p.url("/dev/items"))
			if len(d.Findings) != 1 || len(d.Findings[0].Fix) != 2 || len(d.Findings[0].Routes) != 2 {
				t.Fatalf("%+v", d.Findings)
			}
			p.paste(d.Findings[0].Fix[i].Command)
			if got := p.status("GET", "/dev/items"); got != 200 {
				t.Errorf("it answers %d", got)
			}
		})
	}
}

// TestDoctorFacts: what was saved is judged as it was live.
func TestDoctorFacts(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.revoke()
	file := filepath.Join(t.TempDir(), "case.json")
	live, code := p.seen("--save", file, p.url("/dev/items/anna?token=s3cr3t"))
	saved, again := p.seen("--facts", file)
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
		t.Errorf("the facts have what must not be shared: %s", content)
	}
}

// TestDoctorHealthy: an API that works has no fault, with a request and without.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	for _, args := range [][]string{{p.url("/dev/items")}, {"--api", p.id}, {p.url("/dev/items/7")}} {
		t.Run(args[0], func(t *testing.T) {
			d, code := p.seen(args...)
			if code != 0 || len(d.Findings) != 0 || len(d.Unseen) != 0 || !d.Verdict.Healthy {
				t.Errorf("exit %d, %+v, unseen %+v", code, d.Findings, d.Unseen)
			}
			if d.Calls > 30 {
				t.Errorf("%d calls", d.Calls)
			}
		})
	}
}

// TestDoctorMistakes: each mistake is told in a sentence, with the right exit code.
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
		{"nothing", nil, "say a URL, or --api ID"},
		{"no URL", []string{"notes"}, "must begin with https://"},
		{"two URLs", []string{"https://a.example", "https://b.example"}, "one URL"},
		{"an unknown language", []string{"--lang", "fr", "--api", "a1"}, "--lang must be en or ja"},
		{"curl with an unknown flag", []string{"--", "curl", "--frob", "https://a.example"}, "--frob"},
		{"curl with a file that lacks", []string{"--", "curl", "-d", "@/nosuch", "https://a.example"},
			"cannot be read"},
		{"several commands", []string{"--", "curl", "https://a.example", "|", "jq"}, "more than one command"},
		{"a folder that lacks", []string{"--save", "/nosuch/case.json", "https://a.example"}, "no folder /nosuch"},
		{"facts and a URL", []string{"--facts", "x", "https://a.example"}, "leave the URL"},
		{"facts that lack", []string{"--facts", folder + "/nosuch"}, "cannot be read"},
		{"facts that were cut short", []string{"--facts", write("cut", `{"Version":1,`)}, "cut short"},
		{"facts of something else", []string{"--facts", write("else", `{"a":1}`)}, "no version"},
		{"facts of a later version", []string{"--facts", write("later", `{"Version":99}`)}, "newer"},
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

// TestDoctorFix: --fix gives the grants that lack, and nothing else, and looks again.
func TestDoctorFix(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.revoke()
	if out, err := p.deploy("doctor", "--fix", p.url("/dev/items")); !errors.Is(err, errUsage) ||
		!strings.Contains(err.Error(), "--yes") || p.status("GET", "/dev/items") != 500 {
		t.Errorf("without a terminal: %v %s", err, out)
	}
	out, err := p.deploy("doctor", "--fix", "--yes", p.url("/dev/items"))
	if err != nil || !strings.Contains(out, "[permission.none]") || !strings.Contains(out, ": nothing wrong.") ||
		!strings.Contains(out, "grant for dev GET /items") {
		t.Errorf("%v %s", err, out)
	}
	p.code(map[string]string{"app.py": "import nosuch\n"})
	out, err = p.deploy("doctor", "--fix", "--yes", p.url("/dev/items"))
	if exit := (errExit{}); !errors.As(err, &exit) || exit.code != 1 ||
		!strings.Contains(out, "nothing that can be healed") {
		t.Errorf("of the code: %v %s", err, out)
	}
}

// TestDoctorPage: --html writes the page beside the report.
func TestDoctorPage(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.revoke()
	page := filepath.Join(t.TempDir(), "report.html")
	p.seen("--html", page, p.url("/dev/items"))
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "permission.none") {
		t.Errorf("%v %s", err, text)
	}
}

// TestDoctorFixCause: --fix=CAUSE does what heals just that cause, where this neither opens access nor costs money.
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
		t.Errorf("of another cause: %v", err)
	}
	out, err := p.deploy("doctor", "--fix=function.concurrency-zero", "--yes", at)
	if exit := (errExit{}); !errors.As(err, &exit) || exit.code != 1 || !strings.Contains(out,
		"--fix does what this does:\n  aws lambda delete-function-concurrency") {
		t.Errorf("%v %s", err, out)
	}
	if d, _ := p.seen(at); faults(d) != "permission.none" {
		t.Errorf("found %q", faults(d))
	}
	if out, err := p.deploy("doctor", "--fix=permission.none", "--yes", at); err != nil {
		t.Errorf("%v %s", err, out)
	}
	p.python("raise RuntimeError('no')\n")
	if _, err := p.deploy("doctor", "--fix=code.init", "--yes", at); !errors.Is(err, errUsage) ||
		!strings.Contains(err.Error(), "is not applied here") {
		t.Errorf("of the code: %v", err)
	}
}
