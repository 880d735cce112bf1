package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
	"example.com/portable-notes/notes/storetest"
)

// aSandbox is one that the tests share, and a zip of the function.
var aSandbox struct {
	sync.Once
	s   *sandbox.Sandbox
	zip string
	err error
}

// world is the shared sandbox as one test uses it: its stacks have names of their own.
type world struct {
	*sandbox.Sandbox
	t    *testing.T
	name string
	zip  string
	cfg  aws.Config
}

func enter(t *testing.T) *world {
	t.Helper()
	aSandbox.Do(func() {
		folder := filepath.Dir(built(t))
		aSandbox.zip = filepath.Join(folder, "notes.zip")
		var said []byte
		if said, aSandbox.err = exec.Command(built(t), "zip", "--arch", runtime.GOARCH, "--out", aSandbox.zip).CombinedOutput(); aSandbox.err == nil {
			aSandbox.s, aSandbox.err = sandbox.Start(context.Background(), sandbox.Options{Settling: 20 * time.Millisecond, PageSize: 2})
		} else {
			aSandbox.err = fmt.Errorf("%w: %s", aSandbox.err, said)
		}
	})
	if errors.Is(aSandbox.err, sandbox.ErrNoMoto) {
		storetest.Lacks(t, "moto", aSandbox.err)
	}
	if aSandbox.err != nil {
		t.Fatal(aSandbox.err)
	}
	w := &world{Sandbox: aSandbox.s, t: t, name: "t" + uuid.NewString()[:8], zip: aSandbox.zip}
	w.at(w.URL, "us-east-1")
	return w
}

// at points the settings of the SDK to an endpoint and a region.
func (w *world) at(endpoint, region string) {
	w.cfg = aws.Config{Region: region, BaseEndpoint: &w.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} {
		w.t.Setenv(name, value)
	}
}

// runs runs the program, and ends the test if it fails.
func (w *world) runs(args ...string) string {
	w.t.Helper()
	out, err := deploy(w.t, args...)
	if err != nil {
		w.t.Fatalf("deploy %v: %v\n%s", args, err, out)
	}
	return out
}

// up makes the test's stack.
func (w *world) up(more ...string) string {
	w.t.Helper()
	return w.runs(append([]string{"up", "--stack", w.name, "--zip", w.zip, "--auth", "none"}, more...)...)
}

func (w *world) gateway() *apigatewayv2.Client { return apigatewayv2.NewFromConfig(w.cfg) }
func (w *world) functions() *lambda.Client     { return lambda.NewFromConfig(w.cfg) }
func (w *world) roles() *iam.Client            { return iam.NewFromConfig(w.cfg) }

// api is the id of the stack's API.
func (w *world) api() string {
	w.t.Helper()
	c := newCloud(w.cfg)
	answer, err := c.do(w.t.Context(), &apigatewayv2.GetApisInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	ids := texts("Items[?Name=='"+w.name+"'].ApiId", answer)
	if len(ids) != 1 {
		w.t.Fatalf("the APIs are %v", ids)
	}
	return ids[0]
}

// get asks the stack's API for its notes.
func (w *world) get() (int, string) {
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

func (w *world) answers(what string, status int, body string) {
	w.t.Helper()
	if s, b := w.get(); s != status || b != body {
		w.t.Errorf("%s: %d %s, want %d %s", what, s, b, status, body)
	}
}

// calls are the operator's calls that were made since a number of calls, and how many there are now.
func (w *world) calls(since int) (some []sandbox.Call, now int) {
	all := w.Calls()
	for _, c := range all[since:] {
		if c.Caller == "" {
			some = append(some, c)
		}
	}
	return some, len(all)
}

// state is what is there of a stack, without what differs from one making to the next.
func (w *world) state(name string) string {
	w.t.Helper()
	c := newCloud(w.cfg)
	ctx := w.t.Context()
	s := stack.Stack{Name: name, Partition: "aws", Region: w.cfg.Region, Account: sandbox.Account, Stage: "dev", Architecture: "x86_64", Memory: 256, Retention: 14}
	var all []string
	show := func(input any, expression string) any {
		answer, err := c.do(ctx, input)
		if missing(err) {
			all = append(all, "not there: "+stack.Command(input))
			return nil
		} else if err != nil {
			w.t.Fatal(err)
		}
		found := search(expression, answer)
		text, err := json.Marshal(found)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(text))
		return found
	}
	role := aws.String(s.RoleName())
	show(&dynamodb.DescribeTableInput{TableName: &name}, "Table.[TableName, TableStatus, DeletionProtectionEnabled, KeySchema]")
	show(&dynamodb.DescribeTimeToLiveInput{TableName: &name}, "TimeToLiveDescription")
	show(&dynamodb.DescribeContinuousBackupsInput{TableName: &name}, "ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus")
	show(&iam.GetRoleInput{RoleName: role}, "Role.[RoleName, AssumeRolePolicyDocument, Tags]")
	ids := map[string]string{}
	if id, ok := show(&iam.GetRoleInput{RoleName: role}, "Role.RoleId").(string); ok {
		ids[id] = "ROLE" // which the function's tag must say too
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
	show(&lambda.GetFunctionInput{FunctionName: &name}, "[Configuration.[FunctionName, Role, MemorySize, Timeout, Environment, CodeSha256, Runtime, Handler, Architectures], Tags]")
	apis, _ := show(&apigatewayv2.GetApisInput{}, "Items[?Name=='"+name+"'].ApiId").([]any)
	for i, id := range apis {
		api := aws.String(id.(string))
		ids[*api] = fmt.Sprint("API", i)
		for _, list := range []any{&apigatewayv2.GetIntegrationsInput{ApiId: api}, &apigatewayv2.GetRoutesInput{ApiId: api}} {
			for n, one := range show(list, "sort_by(Items[].{id: RouteId || IntegrationId, key: RouteKey || IntegrationUri, target: Target, version: PayloadFormatVersion}, &key)").([]any) {
				ids[one.(map[string]any)["id"].(string)] = fmt.Sprint("id", n)
			}
		}
		show(&apigatewayv2.GetStagesInput{ApiId: api}, "Items[].[StageName, AutoDeploy, AccessLogSettings, DefaultRouteSettings, Tags, DeploymentId != null]")
	}
	if answer, err := c.do(ctx, &lambda.GetPolicyInput{FunctionName: &name}); err == nil {
		document, err := policy.Parse([]byte(search("Policy", answer).(string)))
		if err != nil {
			w.t.Fatal(err)
		}
		var statements []string
		for _, one := range document.Statement {
			statements = append(statements, one.Condition["ArnLike"]["AWS:SourceArn"][0])
		}
		slices.Sort(statements)
		all = append(all, fmt.Sprint(statements))
	} else if !missing(err) {
		w.t.Fatal(err)
	}
	text := strings.Join(all, "\n")
	for id, stable := range ids {
		text = strings.ReplaceAll(text, id, stable)
	}
	return strings.ReplaceAll(text, name, "STACK")
}

const blank = `{"message":"Internal Server Error"}`

// TestUpBreakHeal: the stack answers; without its grants it gives the blank 500 while the function works; permit heals it;
// an API that was made again is healed by up, which also removes what no route needs any more.
func TestUpBreakHeal(t *testing.T) {
	w := enter(t)
	out := w.up()
	for _, want := range []string{"table " + w.name, "created", "live check", "curl -s " + w.URL, "Anyone who knows this URL can read and write the notes."} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	w.answers("after up", 200, `{"notes":[]}`)
	made := w.state(w.name)

	api, ctx := w.api(), t.Context()
	for _, g := range (stack.Stack{Name: w.name, Partition: "aws", Region: "us-east-1", Account: sandbox.Account, Stage: "dev", Auth: stack.Auth{Kind: "none"}}).Grants(api) {
		if _, err := w.functions().RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	w.answers("without its grants", 500, blank)
	if direct, err := w.functions().Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name, Payload: []byte(`{"version":"2.0","rawPath":"/notes","requestContext":{"http":{"method":"GET"}}}`)}); err != nil || direct.FunctionError != nil || !strings.Contains(string(direct.Payload), `"statusCode":200`) {
		t.Errorf("invoked directly: %v, %v", direct, err)
	}
	if out := w.runs("permit", "--api", api); strings.Count(out, "created") != 2 {
		t.Errorf("permit says %s", out)
	}
	w.answers("after permit", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("permit makes\n%s\nup makes\n%s", got, made)
	}
	if out := w.runs("permit", "--api", api); strings.Contains(out, "created") || strings.Count(out, "unchanged") != 2 {
		t.Errorf("permit again says %s", out)
	}
	if _, err := w.gateway().DeleteApi(ctx, &apigatewayv2.DeleteApiInput{ApiId: &api}); err != nil {
		t.Fatal(err)
	}
	if out := w.up(); strings.Count(out, "removed: no route needs it") != 2 {
		t.Errorf("up after the API was made again says %s", out)
	}
	w.answers("after the API was made again", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("up heals to\n%s\nit was\n%s", got, made)
	}
}

// TestUpAgain: with nothing to do, up writes nothing; from nothing it takes at most 60 calls.
func TestUpAgain(t *testing.T) {
	w := enter(t)
	w.at(w.URL, "eu-north-1") // where no other test has APIs, of which lists would have more pages
	defer w.runs("down", "--stack", w.name, "--delete-data", w.name)
	_, before := w.calls(0)
	w.up()
	made, now := w.calls(before)
	if len(made) > 64 {
		t.Errorf("up makes %d calls", len(made))
	}
	begin := time.Now()
	out := w.up()
	t.Logf("%d calls from nothing; %v with nothing to do", len(made), time.Since(begin))
	again, _ := w.calls(now)
	for _, c := range again {
		if changing(c.Operation) {
			t.Errorf("with nothing to do up calls %s:%s", c.Service, c.Operation)
		}
	}
	if strings.Contains(out, "created") || strings.Contains(out, "updated") {
		t.Errorf("with nothing to do up says %s", out)
	}
}

// TestDrift: what a person changed by hand is shown and put right; what is not ours on the function's policy is only said.
func TestDrift(t *testing.T) {
	w := enter(t)
	w.up()
	made, ctx := w.state(w.name), t.Context()
	role, api := w.name+"-us-east-1", w.api()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	routes, err := w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api})
	must(nil, err)
	settle := func() {
		for {
			if c, err := w.functions().GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &w.name}); err != nil {
				t.Fatal(err)
			} else if c.LastUpdateStatus == "Successful" {
				return
			}
		}
	}
	for what, c := range map[string]struct {
		change func()
		says   string
	}{
		"a memory size": {func() {
			must(w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &w.name, MemorySize: aws.Int32(1024)}))
			settle()
		}, "updated: MemorySize 1024 -> 256"},
		"a variable": {func() {
			must(w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &w.name, Environment: nil, Timeout: aws.Int32(3)}))
			settle()
		}, "updated: Timeout 3 -> 10"},
		"a route removed": {func() {
			must(w.gateway().DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: &api, RouteId: routes.Items[0].RouteId}))
		}, *routes.Items[0].RouteKey + "  "},
		"a route added": {func() {
			must(w.gateway().CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api, RouteKey: aws.String("GET /else")}))
		}, "removed: it is not the service's"},
		"a wider role": {func() {
			must(w.roles().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("notes"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}))
		}, "updated: PolicyDocument"},
		"a second policy": {func() {
			must(w.roles().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
		}, "updated: arn:aws:iam::aws:policy/AdministratorAccess removed"},
		"throttling": {func() {
			must(w.gateway().UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: aws.String("dev"), AutoDeploy: aws.Bool(false)}))
		}, "updated: AutoDeploy false -> true"},
	} {
		c.change()
		if w.state(w.name) == made && what != "a second policy" && what != "a variable" {
			t.Errorf("%s: nothing has changed", what)
		}
		if out := w.up(); !strings.Contains(out, c.says) {
			t.Errorf("%s: up does not say %q: %s", what, c.says, out)
		}
		if got := w.state(w.name); got != made {
			t.Errorf("%s is put right to\n%s\nit was\n%s", what, got, made)
		}
	}
	must(w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String("somebody"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("s3.amazonaws.com")}))
	if out := w.up(); !strings.Contains(out, "not ours, and were left alone: [somebody]") {
		t.Errorf("up says %s", out)
	}
	if out, err := deploy(t, "up", "--stack", w.name, "--zip", w.zip, "--auth", "none", "--strict"); err == nil || !strings.Contains(err.Error(), "somebody") {
		t.Errorf("up --strict: %v, %s", err, out)
	}
}

// TestRoleMadeAgain: a function whose role was deleted and made again cannot start, and up heals it.
func TestRoleMadeAgain(t *testing.T) {
	w := enter(t)
	w.up()
	made, ctx, role := w.state(w.name), t.Context(), w.name+"-us-east-1"
	for _, err := range []error{
		func() error {
			_, err := w.roles().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: aws.String("notes")})
			return err
		}(),
		func() error {
			_, err := w.roles().DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &role})
			return err
		}(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out := w.up(); !strings.Contains(out, "its role was deleted and made again") {
		t.Errorf("up says %s", out)
	}
	w.answers("after up", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("up heals to\n%s\nit was\n%s", got, made)
	}
}

// TestDown: it removes what up made, and the notes only if that is asked for.
func TestDown(t *testing.T) {
	w := enter(t)
	w.up()
	if out := w.runs("down", "--stack", w.name); !strings.Contains(out, "stays, with its notes") {
		t.Errorf("down says %s", out)
	}
	if out := w.runs("down", "--stack", w.name); strings.Count(out, "is not there") != 5 {
		t.Errorf("down again says %s", out)
	}
	w.up()
	w.answers("up after down", 200, `{"notes":[]}`)
	if out, err := deploy(t, "down", "--stack", w.name, "--delete-data", "yes"); !errors.Is(err, errUsage) {
		t.Errorf("--delete-data yes: %v, %s", err, out)
	}
	w.runs("down", "--stack", w.name, "--delete-data", w.name)
	if got := w.state(w.name); strings.Contains(got, `"STACK`) {
		t.Errorf("down leaves %s", got)
	}
}

// TestTwoRegions: two stacks of one name in two regions do not touch each other.
func TestTwoRegions(t *testing.T) {
	w := enter(t)
	w.up()
	made := w.state(w.name)
	w.at(w.URL, "eu-west-1")
	w.up()
	w.answers("the other region", 200, `{"notes":[]}`)
	w.runs("down", "--stack", w.name, "--delete-data", w.name)
	w.at(w.URL, "us-east-1")
	if got := w.state(w.name); got != made {
		t.Errorf("the first one is now\n%s\nit was\n%s", got, made)
	}
	w.answers("the first region", 200, `{"notes":[]}`)
}

// TestTwoAtOnce: two programs at once make one right stack.
func TestTwoAtOnce(t *testing.T) {
	w := enter(t)
	w.up()
	made := w.state(w.name)
	for round := range 3 {
		name := fmt.Sprint(w.name, "x", round)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for attempt := range 3 { // one may meet what the other is just changing, and is run again
					out, err := deploy(t, "up", "--stack", name, "--zip", w.zip, "--auth", "none")
					if err == nil {
						break
					}
					if attempt == 2 {
						t.Errorf("%v: %s", err, out)
					}
				}
			})
		}
		both.Wait()
		w.runs("up", "--stack", name, "--zip", w.zip, "--auth", "none")
		if got := w.state(name); got != made {
			t.Errorf("two at once make\n%s\none makes\n%s", got, made)
		}
	}
}

// fault is what happens to the calls of a program.
type fault struct {
	proxy *httptest.Server
	mode  atomic.Value // string
	at    atomic.Int64 // number of the call that it happens to
	n     atomic.Int64

	victim atomic.Pointer[os.Process] // the program, where it is one of its own
}

// runs runs the program, as one of its own where it is to be killed.
func (f *fault) runs(t *testing.T, mode string, args ...string) error {
	t.Helper()
	if mode != "killed" {
		_, err := deploy(t, args...)
		return err
	}
	cmd := exec.Command(built(t), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.victim.Store(cmd.Process)
	return cmd.Wait()
}

// The ways in which a call goes wrong.
var modes = []string{"error", "throttle", "lost", "killed"}

func newFault(t *testing.T, endpoint string) *fault {
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := &fault{}
	f.mode.Store("")
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorLog = log.New(io.Discard, "", 0) // what is cut off is cut off on purpose
	f.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, at := f.n.Add(1), f.at.Load()
		mode := f.mode.Load().(string)
		switch {
		case mode == "error" && n == at:
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			w.WriteHeader(403)
			if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
				_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>on purpose</Message></Error></ErrorResponse>`)
				break
			}
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"on purpose"}`)
		case mode == "throttle" && n == at:
			w.Header().Set("X-Amzn-Errortype", "ThrottlingException")
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
		case mode == "lost" && n == at:
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case mode == "killed" && n == at: // it takes place, and then there is no program any more
			forward.ServeHTTP(httptest.NewRecorder(), r)
			_ = f.victim.Load().Kill() // fails only where it has ended
			panic(http.ErrAbortHandler)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.proxy.Close)
	return f
}

func (f *fault) arm(mode string, at int) {
	f.mode.Store(mode)
	f.at.Store(int64(at))
	f.n.Store(0)
}

// TestProofKilledAnywhere: whatever goes wrong at whichever call of up and down, running it again ends as if nothing had.
func TestProofKilledAnywhere(t *testing.T) {
	w := enter(t)
	w.up()
	made := w.state(w.name)
	w.runs("down", "--stack", w.name, "--delete-data", w.name)
	gone := w.state(w.name)
	f := newFault(t, w.URL)
	w.at(f.proxy.URL, "us-east-1")
	cases, finished, half := 0, 0, 0
	for i, mode := range modes {
		for _, verb := range []string{"up", "down"} {
			begin, stride := 1, storetest.Amount(2*len(modes), 1)
			if stride > 1 {
				begin = 1 + 2*i // every second call meets one of the modes; in a long run each call meets each
			}
			for at := begin; ; at += stride {
				name := fmt.Sprintf("%s-%s%s%d", w.name, mode[:1], verb[:1], at)
				args := []string{verb, "--stack", name}
				want := gone
				if verb == "up" {
					args, want = append(args, "--zip", w.zip, "--auth", "none"), made
				} else {
					f.arm("", 0)
					w.runs("up", "--stack", name, "--zip", w.zip, "--auth", "none")
					args = append(args, "--delete-data", name)
				}
				f.arm(mode, at)
				err := f.runs(t, mode, args...)
				reached := f.n.Load() >= int64(at)
				f.arm("", 0)
				if !reached {
					w.runs("down", "--stack", name, "--delete-data", name)
					break
				}
				cases++
				if mode == "error" && (err == nil || !strings.Contains(err.Error(), "--print-policy")) {
					t.Errorf("%s without the rights for call %d says %v", verb, at, err)
				}
				if err == nil {
					finished++
				} else if w.state(name) != want {
					half++
				}
				w.runs(args...)
				if got := w.state(name); got != want {
					t.Errorf("%s with call %d %s (%v), run again, ends as\n%s\nwant\n%s", verb, at, mode, err, got, want)
				}
				if verb == "up" {
					w.runs("down", "--stack", name, "--delete-data", name)
				}
			}
		}
	}
	if half == 0 {
		t.Error("the control, not running it again, leaves nothing half-made")
	}
	storetest.Proved(t, fmt.Sprintf("%d faults", cases), fmt.Sprintf("0 wrong ends, %d went on by themselves", finished), fmt.Sprintf("not run again: %d half-made", half))
}

// TestLeastPrivilege: the service makes the calls that its role allows and no others, and misses each of them.
func TestLeastPrivilege(t *testing.T) {
	w := enter(t)
	w.up()
	ctx, role, session := t.Context(), w.name+"-us-east-1", ":assumed-role/"+w.name+"-us-east-1/"
	use := func() (statuses string) {
		base := w.URL + "/_aws/execute-api/" + w.api() + "/dev/notes"
		id := ""
		for _, c := range [][3]string{{"POST", "", `{"title":"x"}`}, {"GET", "ID", ""}, {"PATCH", "ID", `{"title":"y"}`}, {"GET", "", ""}, {"DELETE", "ID", ""}} {
			r, err := http.NewRequest(c[0], base+strings.Replace(c[1], "ID", "/"+id, 1), strings.NewReader(c[2]))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(a.Body)
			_ = a.Body.Close()
			if m := regexp.MustCompile(`"id":"([^"]+)"`).FindSubmatch(body); m != nil {
				id = string(m[1])
			}
			statuses += fmt.Sprint(a.StatusCode, " ")
		}
		return statuses
	}
	const good = "201 200 200 200 204 "
	if got := use(); got != good {
		t.Fatalf("the service answers %s", got)
	}
	recorded := func() (actions []string) {
		for _, c := range w.Calls() {
			if strings.Contains(c.Caller, session) && !slices.Contains(actions, c.Action()) {
				actions = append(actions, c.Action())
			}
		}
		slices.Sort(actions)
		return actions
	}
	got, err := w.roles().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: aws.String("notes")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := url.PathUnescape(*got.PolicyDocument)
	if err != nil {
		t.Fatal(err)
	}
	document, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, s := range document.Statement {
		allowed = append(allowed, s.Action...)
	}
	slices.Sort(allowed)
	for end := time.Now().Add(10 * time.Second); fmt.Sprint(recorded()) != fmt.Sprint(allowed); time.Sleep(20 * time.Millisecond) { // log lines come a little later
		if time.Now().After(end) {
			t.Fatalf("the service calls %v, its role allows %v", recorded(), allowed)
		}
	}
	for _, action := range allowed {
		less := strings.Replace(strings.Replace(text, `"`+action+`",`, "", 1), `,"`+action+`"`, "", 1)
		if less == text {
			t.Fatalf("%s is not in %s", action, text)
		}
		if _, err := w.roles().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("notes"), PolicyDocument: &less}); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(action, "logs:") { // a new process has a new stream
			if _, err := w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &w.name, Description: &action}); err != nil {
				t.Fatal(err)
			}
			use()
			for end := time.Now().Add(10 * time.Second); !slices.ContainsFunc(w.Calls(), func(c sandbox.Call) bool {
				return strings.Contains(c.Caller, session) && c.Action() == action && c.Refusal != ""
			}); time.Sleep(20 * time.Millisecond) { // log lines come a little later
				if time.Now().After(end) {
					t.Fatalf("nobody misses %s", action)
				}
			}
		} else if got := use(); got == good {
			t.Errorf("the service does not miss %s", action)
		}
	}
}

// TestOperatorRights: the policy that is printed for the operator covers what up, down and permit call, and no more.
func TestOperatorRights(t *testing.T) {
	w := enter(t)
	_, before := w.calls(0)
	w.up()
	w.runs("permit", "--api", w.api())
	if _, err := w.roles().AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String(w.name + "-us-east-1"), PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}); err != nil {
		t.Fatal(err)
	}
	w.runs("down", "--stack", w.name, "--delete-data", w.name)
	var document policy.Document
	out := w.runs("up", "--stack", w.name, "--print-policy")
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &document); err != nil {
		t.Fatal(err, out)
	}
	some, _ := w.calls(before)
	for _, c := range some {
		if name := c.Service + ":" + c.Operation; !slices.Contains(stack.Operations(), name) && c.Operation != "AttachRolePolicy" {
			t.Errorf("%s is not in the table of rights", name)
		}
	}
	for _, s := range document.Statement {
		if fmt.Sprint(s.Resource) == "[*]" && s.Sid != "Any" || slices.Contains(s.Action, "*") {
			t.Errorf("the policy is too wide: %+v", s)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestScripts: what is printed for each partition is what was looked at.
func TestScripts(t *testing.T) {
	for _, c := range []struct {
		golden, region, partition string
		auth                      stack.Auth
	}{
		{"aws", "eu-central-1", "aws", stack.Auth{Kind: "none"}},
		{"aws-cn", "cn-north-1", "aws-cn", stack.Auth{Kind: "token", Tokens: "anna read sha256:" + strings.Repeat("0", 64)}},
		{"aws-us-gov", "us-gov-west-1", "aws-us-gov", stack.Auth{Kind: "jwt", Issuer: "https://example.com/", Audience: "notes"}},
	} {
		s := stack.Stack{Name: "notes-dev", Partition: c.partition, Region: c.region, Account: "123456789012", Stage: "dev", Architecture: "arm64", Memory: 256, Retention: 14, Concurrency: 100, Zip: []byte("x"), Auth: c.auth}
		document, err := json.MarshalIndent(s.OperatorPolicy(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got := stack.Script(s, false) + "\n# The operator's policy\n" + string(document) + "\n"
		golden := filepath.Join("testdata", c.golden+".golden")
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(got), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what is in %s; if it is meant to be, run go test ./deploy -run TestScripts -update", c.golden, golden)
		}
	}
}

// TestProofPlanScript: the script that plan prints makes a stack that up finds complete, also when it is run again; and it finds
// one that up made complete.
func TestProofPlanScript(t *testing.T) {
	w := enter(t)
	if _, err := exec.LookPath("aws"); err != nil {
		storetest.Lacks(t, "the aws CLI", err)
	}
	folder := t.TempDir()
	if err := os.Symlink(w.jwtZip(), filepath.Join(folder, "notes.zip")); err != nil {
		t.Fatal(err)
	}
	issuer := jwttest.New(t) // the choice that takes most
	choice := []string{"--auth", "jwt", "--issuer", issuer.URL, "--audience", jwttest.Audience}
	plan := func(more ...string) string {
		t.Helper()
		script := w.runs(append([]string{"plan", "--stack", w.name}, more...)...)
		cmd := exec.Command("sh")
		cmd.Stdin, cmd.Dir = strings.NewReader(script), folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	_, before := w.calls(0)
	w.runs(append([]string{"plan", "--stack", w.name}, choice...)...)
	if made := w.changed(before); made != nil {
		t.Errorf("plan calls %v", made)
	}
	if out := plan(choice...); !strings.HasSuffix(out, "/dev/notes\n") {
		t.Errorf("the script prints %s", out)
	}
	token := issuer.Token(t, "anna", "notes:write")
	w.is("after the script", "GET", token, 200, `{"notes":[]}`)
	w.is("after the script a stranger", "GET", "", 401, "Unauthorized")
	made := w.state(w.name)
	if out := w.runs("up", "--stack", w.name, "--zip", w.jwtZip()); strings.Contains(out, "created") || strings.Contains(out, "updated") || strings.Contains(out, "removed") {
		t.Errorf("up after the script says %s", out)
	}
	plan()
	if got := w.state(w.name); got != made {
		t.Errorf("the script, run again, makes\n%s\nit made\n%s", got, made)
	}
	for _, g := range (stack.Stack{Name: w.name, Partition: "aws", Region: "us-east-1", Account: sandbox.Account, Stage: "dev", Auth: stack.Auth{Kind: "jwt"}}).Grants(w.api()) {
		if _, err := w.functions().RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	w.is("without its grants", "GET", token, 500, blank)
	plan("--permit-only")
	w.is("after plan --permit-only", "GET", token, 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("plan --permit-only makes\n%s\nit was\n%s", got, made)
	}
}

// TestPermit: it heals an API that others made, opens what its routes need and nothing else, and leaves what is not ours
// alone; what it cannot help it lists.
func TestPermit(t *testing.T) {
	w := enter(t)
	w.up()
	ctx, gateway := t.Context(), w.gateway()
	arn := "arn:aws:lambda:us-east-1:" + sandbox.Account + ":function:" + w.name
	made, err := gateway.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: aws.String("another"), ProtocolType: "HTTP"})
	if err != nil {
		t.Fatal(err)
	}
	api := made.ApiId
	if _, err := w.functions().PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &w.name}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.functions().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &w.name, Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	integrations := map[string]string{}
	for what, in := range map[string]*apigatewayv2.CreateIntegrationInput{
		"bare":    {IntegrationType: "AWS_PROXY", IntegrationUri: &arn},
		"alias":   {IntegrationType: "AWS_PROXY", IntegrationUri: aws.String("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + arn + ":live/invocations")},
		"stage":   {IntegrationType: "AWS_PROXY", IntegrationUri: aws.String("arn:aws:lambda:us-east-1:" + sandbox.Account + ":function:${stageVariables.fn}")},
		"role":    {IntegrationType: "AWS_PROXY", IntegrationUri: &arn, CredentialsArn: aws.String("arn:aws:iam::" + sandbox.Account + ":role/x")},
		"account": {IntegrationType: "AWS_PROXY", IntegrationUri: aws.String("arn:aws:lambda:us-east-1:999999999999:function:x")},
		"http":    {IntegrationType: "HTTP_PROXY", IntegrationUri: aws.String("https://example.com"), IntegrationMethod: aws.String("GET")},
	} {
		in.ApiId, in.PayloadFormatVersion = api, aws.String("2.0")
		i, err := gateway.CreateIntegration(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		integrations[what] = "integrations/" + *i.IntegrationId
	}
	routes := map[string]string{"GET /notes": "bare", "ANY /notes/{id}": "bare", "GET /alias": "alias", "GET /stage": "stage", "GET /role": "role", "GET /account": "account", "GET /http": "http", "$default": "bare"}
	for key, what := range routes {
		if _, err := gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: api, RouteKey: &key, Target: aws.String(integrations[what])}); err != nil {
			t.Fatal(err)
		}
	}
	for _, stage := range []string{"dev", "$default"} {
		variables := map[string]string{"fn": w.name}
		if stage == "dev" {
			variables = map[string]string{"fn": w.name + "-unset"}
		}
		if _, err := gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: api, StageName: &stage, AutoDeploy: aws.Bool(true), StageVariables: variables}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(path string) int {
		a, err := http.Get(w.URL + "/_aws/execute-api/" + *api + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		return a.StatusCode
	}
	authorizer, err := gateway.CreateAuthorizer(ctx, &apigatewayv2.CreateAuthorizerInput{ApiId: api, Name: aws.String("mine"), AuthorizerType: "REQUEST", AuthorizerUri: &arn, AuthorizerPayloadFormatVersion: aws.String("2.0"), IdentitySource: []string{"$request.header.Authorization"}})
	if err != nil {
		t.Fatal(err)
	}
	// Statements of SAM, CDK, Serverless, Terraform and the console, for another API.
	for i, pattern := range []string{"*/GET/notes", "*/*/notes/{id}", "*", "*/*", "*/$default"} {
		if _, err := w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String(fmt.Sprint("other", i)), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
			SourceArn: aws.String("arn:aws:execute-api:us-east-1:" + sandbox.Account + ":otherapi/" + pattern)}); err != nil {
			t.Fatal(err)
		}
	}
	statements := func() string {
		p, err := w.functions().GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		return *p.Policy
	}
	before := statements()
	if got := ask("/dev/notes"); got != 500 {
		t.Errorf("before permit: %d", got)
	}
	out := w.runs("permit", "--api", *api, "--function", w.name)
	for path, want := range map[string]int{"/dev/notes": 200, "/dev/notes/x": 404, "/dev/alias": 404, "/$default/notes": 200, "/$default/stage": 404, "/$default/elsewhere": 404, "/dev/elsewhere": 404} {
		if got := ask(path); got != want { // 404 is the service's own
			t.Errorf("after permit %s answers %d, want %d", path, got, want)
		}
	}
	for _, want := range []string{"GET /role", "whose policy decides", "GET /account", `its function is of account "999999999999"`, "GET /http", "which is no Lambda function", "it invokes another function, " + w.name + "-unset"} {
		if !strings.Contains(out, want) {
			t.Errorf("permit does not say %q: %s", want, out)
		}
	}
	// What it wrote opens nothing that the API does not have, and what was there is there.
	facts := map[string]bool{}
	document, err := policy.Parse([]byte(statements()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range document.Statement {
		if source := s.Condition["ArnLike"]["AWS:SourceArn"]; strings.HasPrefix(s.Sid, "notes-") && strings.Contains(source[0], *api) {
			facts[source[0][strings.Index(source[0], *api)+len(*api)+1:]] = true
		}
	}
	want := map[string]bool{"dev/GET/notes": true, "dev/*/notes/*": true, "dev/$default": true, "$default/GET/notes": true, "$default/*/notes/*": true, "$default/$default": true, "$default/GET/stage": true, "authorizers/" + *authorizer.AuthorizerId: true}
	if fmt.Sprint(facts) != fmt.Sprint(want) {
		t.Errorf("permit wrote %v, want %v", facts, want)
	}
	if !strings.HasPrefix(statements(), strings.TrimSuffix(before, "]}")) {
		t.Error("permit changed what was there")
	}
	// With a statement that opens everything nothing is missing.
	if _, err := w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String("wide"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
		SourceArn: aws.String("arn:aws:execute-api:us-east-1:" + sandbox.Account + ":" + *api + "/*")}); err != nil {
		t.Fatal(err)
	}
	if out := w.runs("permit", "--api", *api, "--stage", "dev", "--scope", "stage"); !strings.Contains(out, "statement wide, which is not ours, opens it") {
		t.Errorf("permit with a wide statement says %s", out)
	}
	// Without a route its grant goes.
	all, err := newCloud(w.cfg).do(ctx, &apigatewayv2.GetRoutesInput{ApiId: api})
	if err != nil {
		t.Fatal(err)
	}
	id := texts("Items[?RouteKey=='$default'].RouteId", all)[0]
	if _, err := gateway.DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: &id}); err != nil {
		t.Fatal(err)
	}
	if out := w.runs("permit", "--api", *api); !strings.Contains(out, "no route needs it") {
		t.Errorf("permit without a route says %s", out)
	}
	for _, args := range [][]string{{"permit"}, {"permit", "--api", "nosuch"}, {"permit", "--api", *api, "--stage", "nosuch"}, {"permit", "--api", *api, "--function", "nosuch"}, {"permit", "--api", *api, "--scope", "x"}, {"explain"}, {"explain", "arn:x"}} {
		if out, err := deploy(t, args...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out := w.runs("explain", "arn:aws:execute-api:us-east-1:"+sandbox.Account+":"+*api+"/dev/GET/notes", "--api", *api); strings.Count(out, " let in ")-strings.Count(out, "not let in") != 1 {
		t.Errorf("explain says %s", out)
	}
}

// TestScopes: narrowing a wide grant of ours leaves no moment without one.
func TestScopes(t *testing.T) {
	w := enter(t)
	w.up()
	api := w.api()
	w.runs("permit", "--api", api, "--scope", "stage")
	w.answers("with one statement for the stage", 200, `{"notes":[]}`)
	w.runs("permit", "--api", api)
	w.answers("narrowed by permit", 200, `{"notes":[]}`)
	w.runs("permit", "--api", api, "--scope", "api")
	w.up()
	w.answers("narrowed by up", 200, `{"notes":[]}`)
	if got := w.state(w.name); !strings.HasSuffix(got, "API0/dev/*/notes arn:aws:execute-api:us-east-1:"+sandbox.Account+":API0/dev/*/notes/*]") {
		t.Errorf("the grants are %s", got[strings.LastIndex(got, "\n"):])
	}
}

// TestForeign: what has a name of ours and is not ours is not touched, by no program and no script.
func TestForeign(t *testing.T) {
	w := enter(t)
	ctx := t.Context()
	zip, err := os.ReadFile(w.zip)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := w.roles().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(w.name + "-theirs"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.functions().CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &w.name, Role: theirs.Role.Arn, Runtime: "provided.al2023", Handler: aws.String("theirs"), Code: &lambdatypes.FunctionCode{ZipFile: zip}}); err != nil {
		t.Fatal(err)
	}
	if out, err := deploy(t, "up", "--stack", w.name, "--zip", w.zip, "--auth", "none"); err == nil || !strings.Contains(err.Error(), "not of this stack") {
		t.Errorf("up: %v, %s", err, out)
	}
	script := w.runs("plan", "--stack", w.name, "--auth", "none")
	for name, run := range map[string]string{"the script": script, "of another account": strings.ReplaceAll(script, sandbox.Account, "999999999999")} {
		cmd := exec.Command("sh")
		cmd.Stdin, cmd.Dir = strings.NewReader(run), filepath.Dir(w.zip)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "not of") {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
	if out, err := deploy(t, "down", "--stack", w.name); err == nil || !strings.Contains(err.Error(), "not of this stack") {
		t.Errorf("down: %v, %s", err, out)
	}
	got, err := w.functions().GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if err != nil || *got.Handler != "theirs" || *got.Role != *theirs.Role.Arn {
		t.Errorf("the foreign function was changed: %+v, %v", got, err)
	}
}

// TestForeignAPI: an API of the stack's name that is not the stack's is left alone, and the stack has its own.
func TestForeignAPI(t *testing.T) {
	w := enter(t)
	ctx := t.Context()
	foreign, err := w.gateway().CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name, ProtocolType: "HTTP"})
	if err != nil {
		t.Fatal(err)
	}
	w.up()
	w.runs("down", "--stack", w.name)
	if _, err := w.gateway().GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: foreign.ApiId}); err != nil {
		t.Errorf("down removes it: %v", err)
	}
	if routes, err := w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: foreign.ApiId}); err != nil || len(routes.Items) > 0 {
		t.Errorf("up gives it routes: %v, %v", routes, err)
	}
}

// TestProbe: the live check awaits what passes on AWS, names the last answer of what does not, and leaves no note behind.
func TestProbe(t *testing.T) {
	answers := []int{500, 503, 404, 403, 200, 201, 200, 200, 200, 503, 404}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[min(n, len(answers)-1)])
		n++
		_, _ = io.WriteString(w, `{"id":"1","message":"as told"}`)
	}))
	defer server.Close()
	if err := probe(t.Context(), newReport(io.Discard, io.Discard, false), server.URL, "none", "", true); err != nil || n != len(answers) { // the note was gone already at the last
		t.Errorf("%v after %d answers of %d", err, n, len(answers))
	}
	answers, n = []int{429}, 0
	if err := probe(t.Context(), newReport(io.Discard, io.Discard, false), server.URL, "none", "", false); err == nil || !strings.Contains(err.Error(), "429") || n != 1 {
		t.Errorf("%v after %d answers", err, n)
	}
	answers, n = []int{500}, 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := probe(ctx, newReport(io.Discard, io.Discard, false), server.URL, "none", "", false); err == nil || !strings.Contains(err.Error(), "deadline") && !strings.Contains(err.Error(), "must answer 200, its last answer is 500") {
		t.Errorf("%v after %d answers", err, n)
	}
}

// TestLeftBehind: what an accident left behind is found again: a renamed API, a second integration in use, a stage without
// routes, log groups of other stages.
func TestLeftBehind(t *testing.T) {
	w := enter(t)
	w.up()
	ctx, api, made := t.Context(), w.api(), w.state(w.name)
	is, err := w.gateway().GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	for time.Now().Unix() <= is.CreatedDate.Unix() { // of two APIs of one second nobody can tell which is older
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := w.gateway().UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api, Name: aws.String("renamed")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.gateway().CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name, ProtocolType: "HTTP", Tags: (stack.Stack{Name: w.name, Region: "us-east-1"}).Tags()}); err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:lambda:us-east-1:" + sandbox.Account + ":function:" + w.name
	twin, err := w.gateway().CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: &api, IntegrationType: "AWS_PROXY", IntegrationUri: &arn, PayloadFormatVersion: aws.String("2.0")})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.gateway().UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api, RouteId: routes.Items[0].RouteId, Target: aws.String("integrations/" + *twin.IntegrationId)}); err != nil {
		t.Fatal(err)
	}
	w.up()
	if got := w.state(w.name); got != made {
		t.Errorf("up makes of it\n%s\nit was\n%s", got, made)
	}
	if routes, err = w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api}); err != nil {
		t.Fatal(err)
	}
	for _, r := range routes.Items {
		if _, err := w.gateway().DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: &api, RouteId: r.RouteId}); err != nil {
			t.Fatal(err)
		}
	}
	w.up()
	if got := w.state(w.name); got != made {
		t.Errorf("up after the routes were removed makes\n%s\nit was\n%s", got, made)
	}
	w.up("--stage", "prod")
	w.runs("down", "--stack", w.name)
	c := newCloud(w.cfg)
	groups, err := c.do(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(stack.AccessLogPrefix + w.name)})
	if left := texts("logGroups[].logGroupName", groups); err != nil || len(left) > 0 {
		t.Errorf("down leaves %v, %v", left, err)
	}
}

// TestFullPolicy: where a policy has no room permit says so before it writes anything, and a wider scope fits.
func TestFullPolicy(t *testing.T) {
	w := enter(t)
	w.up()
	ctx, api := t.Context(), w.api()
	integrations, err := w.gateway().GetIntegrations(ctx, &apigatewayv2.GetIntegrationsInput{ApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := w.gateway().CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api, RouteKey: aws.String(fmt.Sprint("GET /more/", i)), Target: aws.String("integrations/" + *integrations.Items[0].IntegrationId)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; ; i++ {
		if _, err := w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String(fmt.Sprint("other", i)), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("s3.amazonaws.com"), SourceArn: aws.String("arn:aws:s3:::" + strings.Repeat("x", 200)), SourceAccount: aws.String(sandbox.Account)}); err != nil {
			break // it is full
		}
	}
	text := func() string {
		p, err := w.functions().GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &w.name})
		if err != nil {
			t.Fatal(err)
		}
		return *p.Policy
	}
	before := text()
	if out, err := deploy(t, "permit", "--api", api); err == nil || !strings.Contains(err.Error(), "use --scope stage or --scope api") || text() != before {
		t.Errorf("permit with a full policy: %v, %s", err, out)
	}
	for i := range 2 {
		if _, err := w.functions().RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: aws.String(fmt.Sprint("other", i))}); err != nil {
			t.Fatal(err)
		}
	}
	if out := w.runs("permit", "--api", api, "--scope", "api"); strings.Count(out, "created") != 1 {
		t.Errorf("permit --scope api says %s", out)
	}
}

// TestBadInput: each mistake is one clear sentence that says what to do, and nothing half-made that a second run does not
// heal.
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
	if _, err := w.roles().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(w.name + "-us-east-1"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		args []string
		env  string
		says string
	}{
		"a bad name":         {[]string{"--stack", "a b"}, "", "the stack's name must be 3 to 40 letters"},
		"a bad stage":        {[]string{"--stage", "a b"}, "", "the stage must be"},
		"a bad processor":    {[]string{"--arch", "mips"}, "", "arm64 or x86_64"},
		"a bad memory size":  {[]string{"--memory", "100"}, "", "128 to 10240 MB"},
		"a bad retention":    {[]string{"--retention", "8"}, "", "not 8"},
		"a bad base path":    {[]string{"--base-path", "api"}, "", "must begin with /"},
		"no such zip":        {[]string{"--zip", "/no/such/file"}, "", "--zip"},
		"no zip":             {[]string{"--zip", write("x.zip", []byte("x"))}, "", "it is no zip"},
		"no bootstrap":       {[]string{"--zip", write("y.zip", packed(t, "main"))}, "", "no file bootstrap"},
		"another processor":  {[]string{"--zip", foreign}, "", "its bootstrap is for"},
		"a foreign role":     {nil, "", "not of this stack"},
		"a misspelt region":  {nil, "AWS_REGION=eu-centrl-1 AWS_ENDPOINT_URL=http://dynamodb.eu-centrl-1.invalid", "is the region (AWS_REGION) spelt right"},
		"half here":          {nil, "AWS_ENDPOINT_URL_IAM=https://iam.example.com", "half here and half there"},
		"one service here":   {nil, "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:1 AWS_ENDPOINT_URL=", "the endpoints of [dynamodb] are of this machine"},
		"no region":          {nil, "AWS_REGION= AWS_DEFAULT_REGION=", "no AWS region is set"},
		"nobody there":       {nil, "AWS_ENDPOINT_URL=http://127.0.0.1:1", "connection refused"},
		"no credentials":     {nil, "AWS_ACCESS_KEY_ID= AWS_SECRET_ACCESS_KEY= AWS_EC2_METADATA_DISABLED=true HOME=/nowhere", "no AWS credentials"},
		"expired":            {nil, "FAULT=ExpiredTokenException", "the credentials have expired"},
		"unknown":            {nil, "FAULT=UnrecognizedClientException", "does not know these credentials"},
		"may not":            {nil, "FAULT=AccessDeniedException", "--print-policy"},
		"no Go tool":         {[]string{"--zip", ""}, "PATH=/nowhere", "the Go tool is not there"},
		"an unknown command": {[]string{"--nothing"}, "", "unknown flag"},
	} {
		t.Run(what, func(t *testing.T) {
			cmd := exec.Command(built(t), append([]string{"up", "--stack", w.name, "--zip", w.zip, "--auth", "none"}, c.args...)...)
			cmd.Env = os.Environ()
			for _, entry := range strings.Fields(c.env) {
				if code, ok := strings.CutPrefix(entry, "FAULT="); ok {
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.WriteHeader(403)
						fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>on purpose</Message></Error></ErrorResponse>", code)
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

func packed(t *testing.T, name string) []byte {
	t.Helper()
	return bytes.ReplaceAll(pack(t, "x"), []byte("bootstrap"), []byte(name+strings.Repeat("x", len("bootstrap")-len(name))))
}

// TestSlowAWS: roles that cannot be assumed yet, functions that are pending and updates in progress are awaited.
func TestSlowAWS(t *testing.T) {
	w := enter(t)
	s, err := sandbox.Start(t.Context(), sandbox.Options{RoleDelay: 2 * time.Second, Settling: 700 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.Sandbox = s
	w.at(s.URL, "us-east-1")
	w.up()
	w.answers("after up", 200, `{"notes":[]}`)
	if out := w.up("--memory", "512"); !strings.Contains(out, "updated: MemorySize 256 -> 512") {
		t.Errorf("up --memory says %s", out)
	}
	w.answers("after a change", 200, `{"notes":[]}`)
}

// TestOnAWS makes a stack on a real account, breaks and heals it, and takes it down. It is asked for by NOTES_TEST_AWS=1
// alone, with credentials and a region set; it costs some cents at most, for a table, a function and an API of a minute.
func TestOnAWS(t *testing.T) {
	if os.Getenv("NOTES_TEST_AWS") != "1" {
		t.Skip("NOTES_TEST_AWS=1 is not set: this test spends a little money on a real AWS account")
	}
	name := "notes-test-" + uuid.NewString()[:8]
	run := func(args ...string) string {
		t.Helper()
		out, err := deploy(t, args...)
		t.Logf("deploy %v:\n%s", args, out)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	defer run("down", "--stack", name, "--delete-data", name)
	out := run("up", "--stack", name, "--auth", "none")
	address := regexp.MustCompile(`https://([a-z0-9]+)\.execute-api\.[^/]+/dev/notes`).FindStringSubmatch(out)
	if address == nil {
		t.Fatal("up prints no URL")
	}
	if again := run("up", "--stack", name, "--auth", "none"); strings.Contains(again, "created") || strings.Contains(again, "updated") {
		t.Error("up again changes something")
	}
	cfg, err := awsConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	account, partition, err := newCloud(cfg).identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range (stack.Stack{Name: name, Partition: partition, Region: cfg.Region, Account: account, Stage: "dev", Auth: stack.Auth{Kind: "none"}}).Grants(address[1]) {
		if _, err := lambda.NewFromConfig(cfg).RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: &name, StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(want int) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
			a, err := http.Get(address[0])
			if err == nil {
				_ = a.Body.Close()
				if a.StatusCode == want {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("the API does not answer %d", want)
			}
		}
	}
	wait(500)
	run("permit", "--api", address[1])
	wait(200)
}

// TestInterrupted: ^C ends at once with one sentence, and a second run goes on.
func TestInterrupted(t *testing.T) {
	w := enter(t)
	f := newFault(t, w.URL)
	hang := make(chan struct{})
	reached := make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/functions") {
			select {
			case reached <- struct{}{}:
			default:
			}
			<-hang
		}
		f.proxy.Config.Handler.ServeHTTP(rw, r)
	}))
	defer slow.Close()
	defer close(hang)
	cmd := exec.Command(built(t), "up", "--stack", w.name, "--zip", w.zip, "--auth", "none")
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+slow.URL)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("%v: %s", err, out.String())
	}
	w.up()
	w.answers("after a second run", 200, `{"notes":[]}`)
}
