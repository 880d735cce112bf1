package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
	"example.com/portable-notes/notes/storetest"
)

// shared has the sandbox that tests share, and a zip of the function.
var shared struct {
	sync.Once
	s   *sandbox.Sandbox
	zip string
	err error
}

// world is the sandbox as seen by one test, which has its own stack name.
type world struct {
	*sandbox.Sandbox
	t          *testing.T
	name       string
	zip        string
	cfg        aws.Config // of the test itself
	programCfg aws.Config // of the program; its access key identifies its calls
}

// newWorld returns a world in the shared sandbox, in us-east-1.
func newWorld(t *testing.T) *world {
	t.Helper()
	storetest.NotWithRace(t)
	shared.Do(func() {
		folder := filepath.Dir(buildProgram(t))
		shared.zip = filepath.Join(folder, "notes.zip")
		output, err := exec.Command(buildProgram(t), "zip", "--arch", runtime.GOARCH, "--out",
			shared.zip).CombinedOutput()
		if err != nil {
			shared.err = fmt.Errorf("%w: %s", err, output)
			return
		}
		options := sandbox.Options{Settling: 20 * time.Millisecond, PageSize: 2}
		shared.s, shared.err = sandbox.Start(context.Background(), options)
	})
	if errors.Is(shared.err, sandbox.ErrNoMoto) {
		storetest.Lacks(t, "moto", shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	w := &world{Sandbox: shared.s, t: t, name: "t" + uuid.NewString()[:8], zip: shared.zip}
	w.connect(w.URL, "us-east-1")
	return w
}

// withOwnSandbox moves w to a new sandbox.
func (w *world) withOwnSandbox(o sandbox.Options) *world {
	w.t.Helper()
	s, err := sandbox.Start(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	w.Sandbox = s
	w.connect(s.URL, "us-east-1")
	return w
}

// connect points the program to an endpoint and a region, and the test's own calls to the region.
func (w *world) connect(endpoint, region string) {
	w.cfg = aws.Config{Region: region, BaseEndpoint: &w.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	w.programCfg = aws.Config{Region: region, BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(w.name, "b", "")}
}

// environ returns the environment for running the program in a process of its own, with more entries.
func (w *world) environ(more ...string) []string {
	keys, err := w.programCfg.Credentials.Retrieve(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.Concat(os.Environ(), []string{
		"AWS_ENDPOINT_URL=" + *w.programCfg.BaseEndpoint, "AWS_REGION=" + w.programCfg.Region, "AWS_DEFAULT_REGION=" +
			w.programCfg.Region,
		"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=b"}, more)
}

// command returns a command that runs the program in a process of its own.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(buildProgram(w.t), args...)
	cmd.Env = w.environ()
	return cmd
}

// deploy runs the program in this process, and returns its output.
func (w *world) deploy(args ...string) (string, error) {
	w.t.Helper()
	var out bytes.Buffer
	err := run(cloud.WithConfig(w.t.Context(), w.programCfg), args, &out, &out)
	return out.String(), err
}

// mustRun is like deploy, but ends the test if the program fails.
func (w *world) mustRun(args ...string) string {
	w.t.Helper()
	out, err := w.deploy(args...)
	if err != nil {
		w.t.Fatalf("deploy %v: %v\n%s", args, err, out)
	}
	return out
}

// up runs deploy up for the test's stack.
func (w *world) up(more ...string) string {
	w.t.Helper()
	return w.mustRun(append([]string{"up", "--stack", w.name, "--zip", w.zip, "--auth", "none"}, more...)...)
}

func (w *world) gateway() *apigatewayv2.Client { return apigatewayv2.NewFromConfig(w.cfg) }
func (w *world) functions() *lambda.Client     { return lambda.NewFromConfig(w.cfg) }
func (w *world) roles() *iam.Client            { return iam.NewFromConfig(w.cfg) }

// api returns the id of the stack's API.
func (w *world) api() string {
	w.t.Helper()
	c := cloud.New(w.cfg)
	answer, err := c.Do(w.t.Context(), &apigatewayv2.GetApisInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	ids := cloud.Texts("Items[?Name=='"+w.name+"'].ApiId", answer)
	if len(ids) != 1 {
		w.t.Fatalf("the APIs are %v", ids)
	}
	return ids[0]
}

// getNotes requests the notes from the stack's API, and returns the status and the body.
func (w *world) getNotes() (int, string) {
	w.t.Helper()
	a, err := http.Get(w.URL + "/_aws/execute-api/" + w.api() + "/dev/notes")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.StatusCode, strings.TrimSpace(string(body))
}

// checkNotes checks the answer of getNotes.
func (w *world) checkNotes(what string, status int, body string) {
	w.t.Helper()
	if s, b := w.getNotes(); s != status || b != body {
		w.t.Errorf("%s: %d %s, want %d %s", what, s, b, status, body)
	}
}

// calls returns the program's calls from an index of [sandbox.Sandbox.Calls] on, and the next index.
func (w *world) calls(since int) (some []sandbox.Call, now int) {
	all := w.Calls()
	for _, c := range all[since:] {
		if c.Key == w.name {
			some = append(some, c)
		}
	}
	return some, len(all)
}

// settings describes the settings of the function and the log groups that state leaves out.
func (w *world) settings() string {
	w.t.Helper()
	c, ctx := cloud.New(w.cfg), w.t.Context()
	reserved, err := facts.Concurrency(ctx, c, w.name)
	own, err2 := facts.Retention(ctx, c, "/aws/lambda/"+w.name)
	access, err3 := facts.Retention(ctx, c, stack.AccessLogPrefix+w.name+"-dev")
	if err := errors.Join(err, err2, err3); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("concurrency %s, retention %s and %s",
		orDefault(reserved, "none"), orDefault(own, "for ever"), orDefault(access, "for ever"))
}

// state describes the resources of a stack, with stable names in place of ids that differ each time.
func (w *world) state(name string) string {
	w.t.Helper()
	c := cloud.New(w.cfg)
	ctx := w.t.Context()
	s := stack.Stack{Name: name, Partition: "aws", Region: w.cfg.Region, Account: sandbox.Account, Stage: "dev",
		Architecture: "x86_64"}
	var all []string
	show := func(input any, expression string) any {
		answer, err := c.Do(ctx, input)
		if cloud.IsNotFound(err) {
			all = append(all, "not found: "+call.Command(input))
			return nil
		} else if err != nil {
			w.t.Fatal(err)
		}
		found := cloud.Search(expression, answer)
		text, err := json.Marshal(found)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(text))
		return found
	}
	role := aws.String(s.RoleName())
	show(&dynamodb.DescribeTableInput{TableName: &name}, "Table.[TableName, TableStatus, DeletionProtectionEnabled, "+
		"KeySchema]")
	show(&dynamodb.DescribeTimeToLiveInput{TableName: &name}, "TimeToLiveDescription")
	show(&dynamodb.DescribeContinuousBackupsInput{TableName: &name},
		"ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus")
	show(&iam.GetRoleInput{RoleName: role}, "Role.[RoleName, AssumeRolePolicyDocument, Tags]")
	ids := map[string]string{}
	if id, ok := show(&iam.GetRoleInput{RoleName: role}, "Role.RoleId").(string); ok {
		ids[id] = "ROLE" // the function's tag must have the same id
	}
	show(&iam.GetRoleInput{RoleName: aws.String(s.RoleName() + "-other")}, "Role.RoleName")
	show(&iam.ListRolePoliciesInput{RoleName: role}, "PolicyNames")
	show(&iam.GetRolePolicyInput{RoleName: role, PolicyName: aws.String("notes")}, "PolicyDocument")
	for _, group := range []string{s.LogGroup(), s.AccessLogGroup()} {
		for _, step := range s.Steps() {
			if step.What == "log group "+group {
				show(step.Find, "logGroups[].[logGroupName, retentionInDays]")
			}
		}
	}
	show(&lambda.GetFunctionInput{FunctionName: &name}, "[Configuration.[FunctionName, Role, MemorySize, Timeout, "+
		"Environment, CodeSha256, Runtime, Handler, Architectures], Tags]")
	apis, _ := show(&apigatewayv2.GetApisInput{}, "Items[?Name=='"+name+"'].ApiId").([]any)
	for i, id := range apis {
		api := aws.String(id.(string))
		ids[*api] = fmt.Sprint("API", i)
		for _, list := range []any{&apigatewayv2.GetIntegrationsInput{ApiId: api},
			&apigatewayv2.GetRoutesInput{ApiId: api}} {
			for n, one := range show(list, "sort_by(Items[].{id: RouteId || IntegrationId, key: RouteKey || "+
				"IntegrationUri, target: Target, version: PayloadFormatVersion}, &key)").([]any) {
				ids[one.(map[string]any)["id"].(string)] = fmt.Sprint("id", n)
			}
		}
		show(&apigatewayv2.GetStagesInput{ApiId: api}, "Items[].[StageName, AutoDeploy, AccessLogSettings, "+
			"DefaultRouteSettings, Tags, DeploymentId != null]")
	}
	if answer, err := c.Do(ctx, &lambda.GetPolicyInput{FunctionName: &name}); err == nil {
		document, err := policy.Parse([]byte(cloud.Search("Policy", answer).(string)))
		if err != nil {
			w.t.Fatal(err)
		}
		var statements []string
		for _, one := range document.Statement {
			statements = append(statements, one.Condition["ArnLike"]["AWS:SourceArn"][0])
		}
		slices.Sort(statements)
		all = append(all, fmt.Sprint(statements))
	} else if !cloud.IsNotFound(err) {
		w.t.Fatal(err)
	}
	text := strings.Join(all, "\n")
	for id, stable := range ids {
		text = strings.ReplaceAll(text, id, stable)
	}
	return strings.ReplaceAll(text, name, "STACK")
}

// blank is the body of the blank 500.
const blank = `{"message":"Internal Server Error"}`

// zipNamed returns a zip whose one file is named name followed by x's.
func zipNamed(t *testing.T, name string) []byte {
	t.Helper()
	return bytes.ReplaceAll(zipBootstrap(t, "x"), []byte("bootstrap"), []byte(name+strings.Repeat("x",
		len("bootstrap")-len(name))))
}
