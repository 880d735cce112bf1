package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/portable-notes/deploy/pack"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/notes/storetest"
)

// program is the program under test, built once by buildProgram.
var program struct {
	sync.Once
	folder string
	err    error
}

// buildProgram builds the program once, and returns its path.
func buildProgram(t testing.TB) string {
	t.Helper()
	storetest.NotWithRace(t)
	program.Do(func() {
		if program.folder, program.err = os.MkdirTemp("", "notes-deploy-"); program.err == nil {
			path := filepath.Join(program.folder, "deploy")
			output, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
			if err != nil {
				program.err = fmt.Errorf("%w: %s", err, output)
			}
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.folder, "deploy")
}

// zipFunction makes a zip of the function for this machine, and returns its path.
func zipFunction(t testing.TB) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "notes.zip")
	zip := exec.Command(buildProgram(t), "zip", "--arch", runtime.GOARCH, "--out", out)
	if output, err := zip.CombinedOutput(); err != nil {
		t.Fatal(err, string(output))
	}
	return out
}

// runInSandbox runs a shell script in a new sandbox, and returns the script's output and the sandbox's log.
func runInSandbox(t *testing.T, script string, environ ...string) (stdout, stderr string, err error) {
	t.Helper()
	for _, tool := range []string{"moto_server", "aws", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			storetest.Lacks(t, tool, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, buildProgram(t), "sandbox", "--", "sh", "-eu")
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = strings.NewReader(script), &out, &log, ".."
	cmd.Env = append(os.Environ(), environ...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	return out.String(), log.String(), err
}

// TestProofReadmeStory runs the commands of docs/blank-500.md, which show the blank 500 and its fix.
func TestProofReadmeStory(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../docs/blank-500.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "\n## A blank 500 and its fix, without an AWS account\n")
	_, rest, _ = strings.Cut(rest, "```sh\n")
	block, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the story is not in docs/blank-500.md")
	}
	if n := len(regexp.MustCompile(`(?m)^\S`).FindAllString(block, -1)); n > 10 {
		t.Errorf("the story has %d commands", n)
	}
	first, story, _ := strings.Cut(block, "go run ./deploy sandbox -- sh")
	_, story, _ = strings.Cut(story, "\n")
	here := strings.NewReplacer("go run ./deploy", buildProgram(t), "notes.zip",
		filepath.Join(t.TempDir(), "notes.zip"))
	out, log, err := runInSandbox(t, here.Replace(first+story))
	if err != nil || !strings.Contains(out, `{"message":"Internal Server Error"}`) || !strings.HasSuffix(out,
		"{\"notes\":[]}\n") {
		t.Errorf("%v; %s; %s", err, out, log)
	}
	if !strings.Contains(log, "the policy of arn:aws:lambda:us-east-1:"+sandbox.Account+":function:notes is empty") {
		t.Errorf("the sandbox does not log the reason: %s", log)
	}
}

// TestProofReadmeOnAWS runs the commands of docs/aws.md and of the README's chapter about 500, on a stack and on a
// broken API made by others.
func TestProofReadmeOnAWS(t *testing.T) {
	t.Parallel()
	chapterOf := func(path, title string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\n## "+title+"\n")
		chapter, _, _ := strings.Cut(rest, "\n## ")
		return chapter
	}
	chapter, healing := chapterOf("../docs/aws.md", "Deploy"), chapterOf("../README.md", "It answers 500")
	if n := strings.Count(chapter, "\n"); n > 30 {
		t.Errorf("the chapter has %d lines", n)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(chapter+healing, -1)
	if len(blocks) != 3 {
		t.Fatalf("the chapter has %d blocks", len(blocks))
	}
	up, down, _ := strings.Cut(blocks[0][1], "go run ./deploy down")
	doctored := regexp.MustCompile(`https://\S+`).ReplaceAllString(blocks[1][1], "$$broken")
	script := up + `
grep -c apigatewayv2 up.sh
url=$(aws apigatewayv2 get-apis --query 'Items[0].ApiEndpoint' --output text)/dev/notes
curl -s -w ' a stranger %{http_code}\n' $url
bearer="Authorization: Bearer $(sed -n s/^NOTES_TOKEN=//p up.out)"
curl -s -w ' after up %{http_code}\n' -H "$bearer" $url
api=$(aws apigatewayv2 create-api --name broken --protocol-type HTTP \
  --target arn:aws:lambda:us-east-1:123456789012:function:notes-dev --query ApiId --output text)
broken=$AWS_ENDPOINT_URL/_aws/execute-api/$api/notes
curl -s -w ' broken %{http_code}\n' $broken
` + strings.TrimSpace(doctored) + ` || echo "doctor: $?"
` + strings.ReplaceAll(blocks[2][1], "a1b2c3d4e5", "$api") + `
curl -s -w ' healed %{http_code}\n' -H "$bearer" $broken
go run ./deploy down` + down + `
curl -s -w ' gone %{http_code}\n' $url
`
	folder := t.TempDir()
	// up builds the function, so it must run in the module's directory.
	here := strings.NewReplacer("go run ./deploy up", "(cd $PROJECT; "+buildProgram(t)+" up", "go run ./deploy",
		buildProgram(t))
	script = regexp.MustCompile(`(?m)^go run \./deploy up.*$`).ReplaceAllStringFunc(script, func(line string) string {
		command, _, _ := strings.Cut(line, "#")
		return here.Replace(command) + ") | tee -a up.out"
	})
	project, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	out, log, err := runInSandbox(t, "cd "+folder+"\n"+here.Replace(script), "PROJECT="+project)
	if err != nil {
		t.Fatalf("%v; %s; %s", err, out, log)
	}
	for _, want := range []string{
		"live check ", " a stranger 401", `{"notes":[]}` + "\n after up 200",
		`{"message":"Internal Server Error"} broken 500`, "[permission.other-api]", "doctor: 1\n",
		"grant for $default $default", `{"notes":[]}` + "\n healed 200",
		`"iam:PassRole"`, "function notes-dev                               removed",
		`{"message":"Not Found"} gone 404`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q: %s; log %s", want, out, log)
		}
	}
}

// articleStory has the commands of the article for which this program was written, and of each line of its table of
// errors.
const articleStory = `
aws() { command aws --output text "$@"; }
deny=$(mktemp)
trust='{"Version":"2012-10-17","Statement":[{
  "Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
table='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["dynamodb:PutItem",
  "dynamodb:GetItem","dynamodb:UpdateItem","dynamodb:DeleteItem","dynamodb:Query"]}]}'
$DEPLOY table notes >/dev/null
role=$(aws iam create-role --role-name notes --assume-role-policy-document "$trust" --query Role.Arn)
aws iam attach-role-policy --role-name notes \
  --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
aws iam put-role-policy --role-name notes --policy-name table --policy-document "$table"
function=$(aws lambda create-function --function-name notes --runtime provided.al2023 --handler bootstrap \
  --architectures $ARCH --timeout 10 \
  --zip-file fileb://$ZIP --role $role --environment 'Variables={NOTES_STORE=dynamodb:notes,NOTES_AUTH=none}' \
  --query FunctionArn)
echo state $(aws lambda get-function --function-name notes --query Configuration.State)
api=$(aws apigatewayv2 create-api --name notes --protocol-type HTTP --query ApiId)
integration=$(aws apigatewayv2 create-integration --api-id $api --integration-type AWS_PROXY \
  --integration-uri $function --payload-format-version 2.0 --query IntegrationId)
route=$(aws apigatewayv2 create-route --api-id $api --route-key 'ANY /notes' --target integrations/$integration \
  --query RouteId)
group=arn:aws:logs:us-east-1:123456789012:log-group:/aws/vendedlogs/notes
aws logs create-log-group --log-group-name /aws/vendedlogs/notes
aws apigatewayv2 create-stage --api-id $api --stage-name dev --auto-deploy \
  --access-log-settings DestinationArn=$group,Format='$context.requestId $context.status '\
'$context.integrationErrorMessage' \
  --query StageName
url=$(aws apigatewayv2 get-api --api-id $api --query ApiEndpoint)/dev/notes
ask() { echo "$1: $(curl -s -w ' %{http_code}' $url)"; }

ask blank
aws lambda get-policy --function-name notes 2>&1 | tail -1
echo logs $(aws logs describe-log-groups --log-group-name-prefix /aws/lambda/notes --query 'length(logGroups)')
aws lambda invoke --function-name notes \
  --payload '{"version":"2.0","rawPath":"/notes","requestContext":{"http":{"method":"GET"}}}' $deny --query StatusCode
cat $deny; echo
aws lambda add-permission --function-name notes --statement-id apigateway --action lambda:InvokeFunction \
  --principal apigateway.amazonaws.com \
  --source-arn "arn:aws:execute-api:us-east-1:123456789012:$api/*/*" >$deny
ask healed

aws iam delete-role-policy --role-name notes --policy-name table
ask denied
aws iam put-role-policy --role-name notes --policy-name table --policy-document "$table"
ask allowed

wait_updated() { while [ "$(aws lambda get-function --function-name notes \
  --query Configuration.LastUpdateStatus)" != Successful ]; do :; done; }
aws lambda update-function-configuration --function-name notes \
  --environment 'Variables={NOTES_STORE=bolt:/tmp/notes.db}' >$deny; wait_updated
ask crashing
aws lambda update-function-configuration --function-name notes --timeout 1 \
  --environment 'Variables={NOTES_STORE=dynamodb:notes,NOTES_AUTH=none}' >$deny; wait_updated
aws lambda update-function-code --function-name notes --zip-file fileb://$SLOW >$deny; wait_updated
ask slow
aws apigatewayv2 update-integration --api-id $api --integration-id $integration --timeout-in-millis 100 >$deny
ask late
aws apigatewayv2 update-route --api-id $api --route-id $route --authorization-type AWS_IAM >$deny
ask unsigned
url=$(aws apigatewayv2 get-api --api-id $api --query ApiEndpoint)/prod/notes
ask nostage
messages() { aws logs filter-log-events --log-group-name $1 --query 'events[].[message]'; }
until messages /aws/vendedlogs/notes | grep -q ' 403 '; do :; done
messages /aws/vendedlogs/notes
until messages /aws/lambda/notes | grep -q 'Task timed out'; do :; done
messages /aws/lambda/notes
rm $deny
`

// TestProofArticle runs the commands of the article with the aws CLI, and checks each error message.
func TestProofArticle(t *testing.T) {
	t.Parallel()
	zip := zipFunction(t)
	slow := filepath.Join(t.TempDir(), "slow.zip")
	if err := os.WriteFile(slow, zipBootstrap(t,
		"#!/bin/sh\ncurl -s -o /dev/null http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next\nexec "+
			"sleep 60\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	out, log, err := runInSandbox(t, articleStory, "DEPLOY="+buildProgram(t), "ZIP="+zip, "SLOW="+slow, "ARCH="+arch)
	if err != nil {
		t.Fatalf("%v; %s; %s", err, out, log)
	}
	const internal = `{"message":"Internal Server Error"} 500`
	for _, want := range []string{
		"blank: " + internal, "An error occurred (ResourceNotFoundException) when calling the GetPolicy operation: " +
			"The resource you requested does not exist.", "logs 0\n",
		`"body":"{\"notes\":[]}\n"`, "healed: {\"notes\":[]}\n 200",
		"allowed: {\"notes\":[]}\n 200", "crashing: " + internal, "slow: " + internal,
		`late: {"message":"Service Unavailable"} 503`,
		`unsigned: {"message":"Forbidden"} 403`, `nostage: {"message":"Not Found"} 404`,
		" 500 The IAM role configured on the integration or API Gateway doesn't have permissions to call the " +
			"integration. Check the permissions and try again.\n",
		"is not authorized to perform: dynamodb:Query on resource: " +
			"arn:aws:dynamodb:us-east-1:123456789012:table/notes because no identity-based policy allows the " +
			"dynamodb:Query action",
		"Error: Runtime exited with error: exit status 1", "Task timed out after 1.00 seconds",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if !regexp.MustCompile(`denied: \{.*"code":"unavailable".*\n 503`).MatchString(out) {
		t.Error("without its rights the service does not answer 503")
	}
	if t.Failed() {
		t.Logf("output: %s; log: %s", out, log)
	}
}

// zipBootstrap returns a zip with a program as its bootstrap.
func zipBootstrap(t testing.TB, content string) []byte {
	t.Helper()
	archive, err := pack.Zip([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// TestSandboxEnvironment checks that no AWS settings of the caller, and no proxy, keep a sandbox from working.
func TestSandboxEnvironment(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
	}{
		{"a profile that does not exist", []string{"AWS_PROFILE=nobodys"}},
		{"a proxy", []string{"HTTP_PROXY=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9",
			"HTTPS_PROXY=http://127.0.0.1:9"}},
		{"the endpoint of a service", []string{"AWS_ENDPOINT_URL_APIGATEWAYV2=https://127.0.0.1:9"}},
		{"endpoints that are ignored", []string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"}},
		{"FIPS endpoints", []string{"AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true"}},
		{"a file that is not there", []string{"AWS_CONFIG_FILE=/nowhere", "AWS_CA_BUNDLE=/nowhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, log, err := runInSandbox(t, "aws apigatewayv2 get-apis --query 'length(Items)'", c.environ...)
			if err != nil || out != "0\n" {
				t.Errorf("%v; %q; %q", err, out, log)
			}
		})
	}
}

// TestSandboxCommand checks the exit code, the printed environment and the error messages of deploy sandbox.
func TestSandboxCommand(t *testing.T) {
	if out, log, err := runInSandbox(t, "echo $AWS_ENDPOINT_URL $AWS_REGION; exit 7",
		"AWS_REGION=eu-west-1"); fmt.Sprint(
		err) != "exit status 7" || !regexp.MustCompile(`^http://127\.0\.0\.1:[0-9]+ eu-west-1\n$`).MatchString(out) ||
		log != "" {
		t.Errorf("%v; %q; %q", err, out, log)
	}
	cmd := exec.Command(buildProgram(t), "sandbox", "--port", "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasSuffix(name, "_PROXY")
	}), "AWS_PROFILE=nobodys")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := ""
	for reader := bufio.NewReader(out); strings.Count(lines, "\n") < 3; {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("printed %q, %v", lines, err)
		}
		lines += line
	}
	printed := regexp.MustCompile(`^unset AWS_PROFILE\nexport AWS_ENDPOINT_URL=(http://127\.0\.0\.1:[0-9]+)\nexport ` +
		`AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=sandbox ` +
		`AWS_SECRET_ACCESS_KEY=sandbox AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null ` +
		`AWS_EC2_METADATA_DISABLED=true\n$`).FindStringSubmatch(lines)
	if printed == nil {
		t.Fatalf("printed %q", lines)
	}
	port := string(printed[1][strings.LastIndex(printed[1], ":")+1:])
	if output, err := exec.Command(buildProgram(t), "sandbox", "--port", port).CombinedOutput(); err == nil ||
		!strings.Contains(string(output), "--port 0 takes a free port") {
		t.Errorf("a second sandbox on the port: %v, %s", err, output)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after ^C: %v", err)
	}
	if _, err := http.Get(printed[1]); err == nil {
		t.Error("the port is open after ^C")
	}
	for want, args := range map[string][]string{
		"this cannot be run":      {"sandbox", "true"},
		"pip install":             {"sandbox", "--", "true"},
		"command cannot be run":   {"sandbox", "--", "/no/such/command"},
		"this cannot be run: inv": {"sandbox", "--port", "x"},
	} {
		cmd := exec.Command(buildProgram(t), args...)
		if want == "pip install" {
			cmd.Env = []string{"PATH=/nowhere"}
		}
		output, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(output), want) {
			t.Errorf("%v: %v, %s", args, err, output)
		}
	}
}

// TestKilledSandbox checks that a killed sandbox leaves no process and no directory behind.
func TestKilledSandbox(t *testing.T) {
	zip := zipFunction(t)
	temp := t.TempDir()
	cmd := exec.Command(buildProgram(t), "sandbox", "--", "sh", "-c", `
aws iam create-role --role-name x \
  --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{
    "Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}' >&2
aws lambda create-function --function-name x --runtime provided.al2023 --handler x --architectures $ARCH \
  --zip-file fileb://$ZIP --role arn:aws:iam::123456789012:role/x \
  --environment 'Variables={NOTES_STORE=dynamodb:x,NOTES_AUTH=none}' >&2
aws lambda invoke --function-name x /dev/null >&2
kill -9 $PPID`)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "ZIP="+zip, "ARCH="+map[string]string{"amd64": "x86_64",
		"arm64": "arm64"}[runtime.GOARCH])
	for _, tool := range []string{"moto_server", "aws"} {
		if _, err := exec.LookPath(tool); err != nil {
			storetest.Lacks(t, tool, err)
		}
	}
	if output, err := cmd.CombinedOutput(); fmt.Sprint(err) != "signal: killed" {
		t.Fatalf("%v, %s", err, output)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left, _ := filepath.Glob(filepath.Join(temp, "portable-notes-sandbox-*"))
		running, _ := exec.Command("pgrep", "-f", temp).Output() // fails if there is none
		if len(left) == 0 && len(running) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %v, processes %s", left, running)
		}
	}
}
