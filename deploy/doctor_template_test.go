package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
	"example.com/portable-notes/notes/storetest"
)

// typicalWith returns the typical API of docs/building as a template, with one text replaced.
func typicalWith(t *testing.T, from, to string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/building/cloudformation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), from) != 1 {
		t.Fatalf("the template has %q %d times", from, strings.Count(string(text), from))
	}
	return strings.Replace(string(text), from, to, 1)
}

// TestDoctorTemplate checks the output and the exit code for files, in each format.
func TestDoctorTemplate(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const healthy = "../docs/building/cloudformation.yaml"
	broken := write("broken.yaml", typicalWith(t, "${Api}/*/*", "${Api}/*/*/*"))
	staged := write("staged.yaml", "Parameters: {Stage: {Type: String}}\n"+strings.TrimPrefix(typicalWith(t,
		"${Api}/*/*", "${Api}/${Stage}/*"), `AWSTemplateFormatVersion: "2010-09-09"`))
	region := write("region.yaml", typicalWith(t, "${AWS::Region}:${AWS::AccountId}:${Api}/*/*",
		"eu-west-1:${AWS::AccountId}:${Api}/*/*"))
	other, none := write("other.yaml", "a: b\n"), write("none.yaml", "Resources:\n  A: {Type: AWS::S3::Bucket}\n")
	unread := write("unread.yaml", "Resources: {A: {Type: AWS::ApiGatewayV2::Api, Properties: {BodyS3Location: {}}}}\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"healthy", []string{healthy}, 0, []string{"API Api: nothing is wrong", "0 faults · 2 checks\n"}},
		{"a fault", []string{broken}, 1, []string{"API Api: 1 fault (routes: 5)\n",
			"    at " + broken + ":62 AppGrant\n", "affected: $default $default\n",
			"    write:\n      AppApiPermission:\n"}},
		{"several files", []string{healthy, broken, none}, 1, []string{"nothing is wrong", "1 fault (routes: 5)",
			none + " has no HTTP API\n"}},
		{"no API", []string{none}, 0, []string{none + " has no HTTP API\n"}},
		{"a definition that is not there", []string{unread}, 3, []string{"Not explained", "which routes the API has"}},
		{"an open parameter", []string{staged}, 0, []string{"not known before the deployment: whether API Gateway"}},
		{"a given parameter", []string{staged, "--parameter", "Stage=$default"}, 0, []string{"nothing is wrong"}},
		{"another value", []string{staged, "--parameter", "Stage=prod"}, 1, []string{"[permission.stage]"}},
		{"the region of a grant", []string{region, "--region", "eu-west-1"}, 0, []string{"nothing is wrong"}},
		{"another region", []string{region, "--region", "eu-west-2"}, 1, []string{"[permission.region]"}},
		{"a stage", []string{healthy, "--stage", "prod"}, 1, []string{"[stage.missing]"}},
		{"a route", []string{broken, "--route", "GET /items"}, 0, []string{"(routes: 1)"}},
		{"Japanese", []string{broken, "--lang", "ja"}, 1, []string{"API Api: 1 件の問題があります", "場所: "}},
		{"JSON", []string{broken, "--format", "json"}, 1, []string{`"line": 62`,
			`"cause": "permission.default-route"`}},
		{"JSON of nothing", []string{none, "--json"}, 0, []string{"[]\n"}},
		{"SARIF", []string{broken, "--format", "sarif"}, 1, []string{`"startLine": 62`,
			`"ruleId": "permission.default-route"`, `"level": "error"`}},
		{"SARIF of nothing", []string{healthy, "--format", "sarif"}, 0, []string{`"results": []`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := deploy(t, append([]string{"doctor", "--template"}, c.args...)...)
			var exit errExit
			if errors.As(err, &exit); exit.code != c.code || err != nil && exit.code == 0 {
				t.Errorf("%v, want exit %d; %s", err, c.code, out)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("%s\nlacks %q", out, want)
				}
			}
		})
	}
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"not a template", []string{other}, "this is not a CloudFormation template"},
		{"a missing file", []string{folder + "/nosuch"}, "no such file"},
		{"a folder", []string{folder}, "directory"},
		{"a parameter without a value", []string{healthy, "--parameter", "Stage"}, "--parameter needs NAME=VALUE"},
		{"a parameter that no file has", []string{healthy, "--parameter", "Stage=x"},
			"no file has the parameter Stage"},
		{"an unknown format", []string{healthy, "--format", "xml"}, "--format must be text, json or sarif"},
		{"with an API", []string{healthy, "--api", "a1"}, "--api does not go with --template"},
		{"with --fix", []string{healthy, "--fix"}, "--fix does not go with --template"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := deploy(t, append([]string{"doctor", "--template"}, c.args...)...)
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	t.Run("a file instead of a URL", func(t *testing.T) {
		_, err := deploy(t, "doctor", healthy)
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "--template "+healthy) {
			t.Error(err)
		}
	})
	t.Run("the others are judged", func(t *testing.T) {
		out, err := deploy(t, "doctor", "--template", other, broken)
		if !errors.Is(err, errUsage) || !strings.Contains(out, "1 fault (routes: 5)") {
			t.Errorf("%v, %s", err, out)
		}
	})
	t.Run("--format without files", func(t *testing.T) {
		_, err := deploy(t, "doctor", "--facts", "../docs/blank-500.json", "--format", "sarif")
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "sarif needs --template") {
			t.Error(err)
		}
		out, err := deploy(t, "doctor", "--facts", "../docs/blank-500.json", "--format", "json")
		if errors.Is(err, errUsage) || !strings.Contains(out, `"cause": "permission.none"`) {
			t.Errorf("%v, %s", err, out)
		}
	})
}

// judgeFile runs the doctor for a file of a tool, which must have one API, and returns its diagnosis.
func (o tool) judgeFile(file string, more ...string) (d doctor.Diagnosis) {
	o.t.Helper()
	out, err := deploy(o.t, append([]string{"doctor", "--format", "json", "--template", filepath.Join(o.folder, file)},
		more...)...)
	var exit errExit
	if err != nil && !errors.As(err, &exit) {
		o.t.Fatal(err)
	}
	var all []doctor.Diagnosis
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		o.t.Fatalf("%d APIs, %v: %s", len(all), err, out)
	}
	return all[0]
}

// TestDoctorSAM checks that a template of SAM is judged as AWS's translator translates it.
func TestDoctorSAM(t *testing.T) {
	o := tool{t: t, folder: t.TempDir(), environ: os.Environ()}
	if _, err := o.try("python3", "-c", "import samtranslator"); err != nil {
		storetest.Lacks(t, "aws-sam-translator", err)
	}
	o.copyTools()
	if d := o.judgeFile("sam.yaml"); len(d.Findings) > 0 || len(d.Unseen) > 0 {
		t.Errorf("%+v, unseen %+v", d.Findings, d.Unseen)
	}
	o.edit("sam.yaml", "EnableFunctionDefaultPermissions: true", "EnableFunctionDefaultPermissions: false")
	d := o.judgeFile("sam.yaml")
	if faults(d) != "authorizer.not-callable" || d.Findings[0].Places[0].Name != "Api Auth Authorizers Key" {
		t.Errorf("%+v", d.Findings)
	}
	o.write("wrong.yaml", "Transform: AWS::Serverless-2016-10-31\nResources:\n  A: {Type: AWS::Serverless::Function}\n")
	_, err := deploy(t, "doctor", "--template", filepath.Join(o.folder, "wrong.yaml"))
	if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "Invalid Serverless Application Specification") {
		t.Error(err)
	}
}

// plantedFaults are changes of the typical API's template: what is replaced by what.
var plantedFaults = []struct {
	name, from, to string
	usual          bool // also in the usual run
	fresh          bool // in a new stack: an update would keep what was deployed
	unseen         bool // the template does not show it
}{
	{name: "no grant", from: "  AppGrant:\n    Type: AWS::Lambda::Permission",
		to: "  AppGrant:\n    Condition: Never\n    Type: AWS::Lambda::Permission", usual: true},
	{name: "another stage", from: "${Api}/*/*", to: "${Api}/prod/*"},
	{name: "another path", from: "${Api}/*/*", to: "${Api}/*/GET/things"},
	{name: "another method", from: "${Api}/*/*", to: "${Api}/*/PATCH/*"},
	{name: "$default left out", from: "${Api}/*/*", to: "${Api}/*/*/*", usual: true},
	{name: "$default swallowed", from: "${Api}/*/*", to: "${Api}//"},
	{name: "no account", from: "${AWS::AccountId}:${Api}/*/*", to: ":${Api}/*/*"},
	{name: "another region", from: "${AWS::Region}:${AWS::AccountId}:${Api}/*/*",
		to: "eu-west-1:${AWS::AccountId}:${Api}/*/*", unseen: true}, // nor does it show where it will be deployed
	{name: "another API", from: "${Api}/*/*", to: "gone000000/*/*"},
	{name: "another principal", from: "FunctionName: !Ref App\n      Principal: apigateway.amazonaws.com",
		to: "FunctionName: !Ref App\n      Principal: s3.amazonaws.com"},
	{name: "no such function", from: "IntegrationUri: !GetAtt App.Arn", to: "IntegrationUri: !Sub ${App.Arn}-gone"},
	{name: "no such alias", from: "IntegrationUri: !GetAtt App.Arn", to: "IntegrationUri: !Sub ${App.Arn}:live"},
	{name: "$LATEST", from: "IntegrationUri: !GetAtt App.Arn", to: "IntegrationUri: !Sub ${App.Arn}:$LATEST"},
	{name: "half a limit", from: "AutoDeploy: true}", to: "AutoDeploy: true, DefaultRouteSettings: " +
		"{ThrottlingBurstLimit: 5}}"},
	{name: "no deployment", from: "AutoDeploy: true}", to: "AutoDeploy: false}", fresh: true},
	{name: "no endpoint", from: "ProtocolType: HTTP", to: "ProtocolType: HTTP\n      DisableExecuteApiEndpoint: true"},
	{name: "no concurrency", from: "ReservedConcurrentExecutions: 10", to: "ReservedConcurrentExecutions: 0"},
	{name: "no grant for the authorizer", from: "  AuthGrant:\n    Type: AWS::Lambda::Permission",
		to: "  AuthGrant:\n    Condition: Never\n    Type: AWS::Lambda::Permission", usual: true},
	{name: "another handler", from: "Handler: app.handler", to: "Handler: app.wrong"},
	{name: "a file that is not there", from: "Handler: app.handler", to: "Handler: other.handler"},
}

// TestProofPlanted checks that the doctor names the same faults in a template and in the API that it makes.
func TestProofPlanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := tool{t: t, name: w.name, folder: t.TempDir(), environ: w.environ("NAME=" + w.name)}
	o.copyTools()
	b := builders()[0]
	b.setUp(o)
	staged := 0
	for _, c := range plantedFaults {
		if !c.usual && os.Getenv("NOTES_TEST_LONG") == "" {
			continue
		}
		staged++
		text := strings.Replace(typicalWith(t, c.from, c.to), "Resources:\n", "Conditions: {Never: !Equals [a, b]}\n"+
			"Resources:\n", 1)
		o.write("cloudformation.yaml", text)
		before := o.judgeFile("cloudformation.yaml")
		if c.fresh {
			o.deleteStack(o.name)
		}
		if out, err := b.deploy(o); err != nil {
			t.Fatal(c.name, err, out)
		}
		p := &patient{world: w}
		after, _ := p.diagnose("--api", w.api())
		got, want := sameCauses(before), sameCauses(after)
		if c.unseen && got == "" && len(before.Unseen) > 0 {
			got = want
		}
		if got != want || want == "" {
			t.Errorf("%s: the doctor names %q in the template, and %q in the API", c.name, got, want)
		}
		for _, f := range before.Findings {
			if f.Places[0].Line == 0 {
				t.Errorf("%s: no line: %+v", c.name, f)
			}
		}
	}
	o.deleteStack(o.name)
	storetest.Proved(t, fmt.Sprintf("%d faults", staged), "named alike", "")
}

// sameCauses returns the causes that a diagnosis names, but for what only one side can know: in a template another API
// may be one that is gone, and only what is deployed has logs.
func sameCauses(d doctor.Diagnosis) string {
	var all []string
	for _, f := range d.Findings {
		cause := strings.Replace(f.Cause, "permission.deleted-api", "permission.other-api", 1)
		if !slices.Contains(all, cause) && cause != "permission.left-over" {
			all = append(all, cause)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestDoctorNotes checks that the template of the notes service is judged for each right that the service needs.
func TestDoctorNotes(t *testing.T) {
	var out bytes.Buffer
	args := []string{"plan", "--format", "cloudformation", "--auth", "none"}
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"} {
		t.Run(action, func(t *testing.T) {
			o := tool{t: t, folder: t.TempDir()}
			o.write("notes.yaml", strings.Replace(out.String(), "- dynamodb:"+action+"\n", "- dynamodb:None\n", 1))
			d := o.judgeFile("notes.yaml")
			if faults(d) != "role.action" || !strings.Contains(d.Findings[0].Summary, "dynamodb:"+action) {
				t.Errorf("%+v", d.Findings)
			}
		})
	}
}

// TestTemplateFolder checks that links which lead out of the folder of a template are not followed.
func TestTemplateFolder(t *testing.T) {
	const text = `Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: x, ProtocolType: HTTP, Target: !GetAtt App.Arn}}
  App: {Type: AWS::Lambda::Function, Properties: {Runtime: python3.12, Handler: app.handler, Code: src}}
  Grant: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !Ref App, Action: lambda:InvokeFunction,
    Principal: apigateway.amazonaws.com, SourceAccount: !Ref AWS::AccountId}}
`
	for _, isLink := range []bool{false, true} {
		t.Run(fmt.Sprintf("link %t", isLink), func(t *testing.T) {
			folder, outside := t.TempDir(), t.TempDir()
			source := filepath.Join(outside, "app.py")
			if !isLink {
				source = filepath.Join(folder, "src", "app.py")
			}
			file := filepath.Join(folder, "template.yaml")
			if err := errors.Join(os.Mkdir(filepath.Join(folder, "src"), 0o700),
				os.WriteFile(file, []byte(text), 0o600),
				os.WriteFile(source, []byte("def another(event, context): pass\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if isLink {
				if err := os.Symlink(source, filepath.Join(folder, "src", "app.py")); err != nil {
					t.Fatal(err)
				}
			}
			r, err := readPlanned(file, planned.Options{})
			if err != nil {
				t.Fatal(err)
			}
			d := doctor.Judge(r.Cases[0], doctor.English)
			isFound := slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool { return f.Cause == "code.handler" })
			if isFound == isLink {
				t.Errorf("code.handler is found: %t; findings %+v", isFound, d.Findings)
			}
		})
	}
}

// TestPrintableErrors checks that a file's control characters do not reach the terminal.
func TestPrintableErrors(t *testing.T) {
	if got := printable(errors.New("there is no \x1b[2J\nand\a")); got != "there is no  [2J\nand " {
		t.Errorf("%q", got)
	}
}

// TestTemplateInterrupted checks that the command ends when it is interrupted while it waits for a file.
func TestTemplateInterrupted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if out, err := exec.Command("mkfifo", pipe).CombinedOutput(); err != nil {
		storetest.Lacks(t, "mkfifo", fmt.Errorf("%w: %s", err, out))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"doctor", "--template", pipe}, io.Discard, io.Discard) }()
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the command reads the pipe
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }() // ends the read
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, errUsage) {
		t.Error(err)
	}
}
