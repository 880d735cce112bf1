package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
)

// TestUpBreakHeal: the stack answers; without its grants it gives the blank 500 while the function works; permit heals
// it; an API that was made again is healed by up, which also removes what no route needs any more.
func TestUpBreakHeal(t *testing.T) {
	t.Parallel()
	w := enter(t)
	out := w.up()
	for _, want := range []string{"table " + w.name, "created", "live check", "curl -s " + w.URL,
		"Anyone who knows this URL can read and write the notes."} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	w.answers("after up", 200, `{"notes":[]}`)
	made := w.state(w.name)

	api, ctx := w.api(), t.Context()
	for _, g := range (stack.Stack{Name: w.name, Partition: "aws", Region: "us-east-1", Account: sandbox.Account,
		Stage: "dev", Auth: stack.Auth{Kind: "none"}}).Grants(api) {
		if _, err := w.functions().RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &w.name,
			StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	w.answers("without its grants", 500, blank)
	if direct, err := w.functions().Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name,
		Payload: []byte(`{"version":"2.0","rawPath":"/notes",` +
			`"requestContext":{"http":{"method":"GET"}}}`)}); err != nil || direct.FunctionError != nil ||
		!strings.Contains(string(direct.Payload), `"statusCode":200`) {
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
	t.Parallel()
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
		if cloud.IsWrite(c.Operation) {
			t.Errorf("with nothing to do up calls %s:%s", c.Service, c.Operation)
		}
	}
	if strings.Contains(out, "created") || strings.Contains(out, "updated") {
		t.Errorf("with nothing to do up says %s", out)
	}
}

// TestSettingsStay: what a later up is not told stays as it is, and what it changes is said before.
func TestSettingsStay(t *testing.T) {
	t.Parallel()
	w := enter(t)
	w.up("--memory", "512", "--retention", "30", "--base-path", "/api", "--concurrency", "7")
	stays := func(t *testing.T) {
		t.Helper()
		made, settings := w.state(w.name), w.settings()
		if out := w.up(); strings.Contains(out, "updated") || strings.Contains(out, "changing") {
			t.Errorf("up says %s", out)
		}
		if got := w.state(w.name); got != made || w.settings() != settings {
			t.Errorf("up changes\n%s%s\nto\n%s%s", made, settings, got, w.settings())
		}
	}
	t.Run("told once", stays)
	group, access := "/aws/lambda/"+w.name, stack.AccessLogPrefix+w.name+"-dev"
	logs, ctx := cloudwatchlogs.NewFromConfig(w.cfg), t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(logs.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &group}))
	must(logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
		LogGroupName: &access, RetentionInDays: aws.Int32(90)}))
	w.answers("before", 200, `{"notes":[]}`) // which the function logs
	t.Run("logs for ever", stays)
	must(w.functions().PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
		FunctionName: &w.name, ReservedConcurrentExecutions: aws.Int32(3)}))
	t.Run("another concurrency", stays)
	must(w.functions().DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: &w.name}))
	t.Run("no concurrency", stays)
	t.Run("what is told is said first", func(t *testing.T) {
		out := w.up("--memory", "256", "--concurrency", "0")
		said, done := strings.Index(out, "changing: from 512 to 256"), strings.Index(out,
			"updated: MemorySize 512 -> 256")
		if said < 0 || done < said || strings.Contains(out, "setting concurrency") || strings.Contains(out,
			"retention") {
			t.Errorf("up says %s", out)
		}
	})
	t.Run("a stopped function", func(t *testing.T) {
		must(w.functions().PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
			FunctionName: &w.name, ReservedConcurrentExecutions: aws.Int32(0)}))
		api := w.api() // closed, so that up does not wait for its answer
		must(w.gateway().UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
			DisableExecuteApiEndpoint: aws.Bool(true)}))
		stays(t)
	})
}

// TestClosedEndpoint: a default endpoint that somebody closed stays closed, unless it is to be opened.
func TestClosedEndpoint(t *testing.T) {
	t.Parallel()
	w := enter(t)
	w.up()
	api := w.api()
	if _, err := w.gateway().UpdateApi(t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &api,
		DisableExecuteApiEndpoint: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	w.answers("closed", 404, `{"message":"Not Found"}`)
	if out := w.up(); !strings.Contains(out, "default endpoint is closed") || strings.Contains(out, "live check") ||
		strings.Contains(out, "updated") {
		t.Errorf("up says %s", out)
	}
	w.answers("after up", 404, `{"message":"Not Found"}`)
	if out := w.up("--endpoint", "on"); !strings.Contains(out, "updated: DisableExecuteApiEndpoint true -> false") ||
		!strings.Contains(out, "live check") {
		t.Errorf("up --endpoint on says %s", out)
	}
	w.answers("opened", 200, `{"notes":[]}`)
}

// TestDrift: what a person changed by hand is shown and put right; what is not ours on the function's policy is only
// said.
func TestDrift(t *testing.T) {
	t.Parallel()
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
			if c, err := w.functions().GetFunctionConfiguration(ctx,
				&lambda.GetFunctionConfigurationInput{FunctionName: &w.name}); err != nil {
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
		"a variable": {func() {
			must(w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Environment: nil, Timeout: aws.Int32(3)}))
			settle()
		}, "updated: Timeout 3 -> 10"},
		"a route removed": {func() {
			must(w.gateway().DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: &api,
				RouteId: routes.Items[0].RouteId}))
		}, *routes.Items[0].RouteKey + "  "},
		"a route added": {func() {
			must(w.gateway().CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api,
				RouteKey: aws.String("GET /else")}))
		}, "removed: it is not the service's"},
		"a wider role": {func() {
			must(w.roles().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("notes"),
				PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",` +
					`"Resource":"*"}]}`)}))
		}, "updated: PolicyDocument"},
		"a second policy": {func() {
			must(w.roles().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role,
				PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
		}, "updated: arn:aws:iam::aws:policy/AdministratorAccess removed"},
		"throttling": {func() {
			must(w.gateway().UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: aws.String("dev"),
				AutoDeploy: aws.Bool(false)}))
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
	must(w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name,
		StatementId: aws.String("somebody"), Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("s3.amazonaws.com")}))
	if out := w.up(); !strings.Contains(out, "made by others, which were left alone: [somebody]") {
		t.Errorf("up says %s", out)
	}
	if out, err := w.deploy("up", "--stack", w.name, "--zip", w.zip, "--auth", "none", "--strict"); err == nil ||
		!strings.Contains(err.Error(), "somebody") {
		t.Errorf("up --strict: %v, %s", err, out)
	}
}

// TestRoleMadeAgain: a function whose role was deleted and made again cannot start, and up heals it.
func TestRoleMadeAgain(t *testing.T) {
	t.Parallel()
	w := enter(t)
	w.up()
	made, ctx, role := w.state(w.name), t.Context(), w.name+"-us-east-1"
	for _, err := range []error{
		func() error {
			_, err := w.roles().DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role,
				PolicyName: aws.String("notes")})
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
	if out := w.up(); !strings.Contains(out, "its role was deleted and created again") {
		t.Errorf("up says %s", out)
	}
	w.answers("after up", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("up heals to\n%s\nit was\n%s", got, made)
	}
}

// TestSlowAWS: roles that cannot be assumed yet, functions that are pending and updates in progress are awaited.
func TestSlowAWS(t *testing.T) {
	t.Parallel()
	w := enter(t).alone(sandbox.Options{RoleDelay: 2 * time.Second, Settling: 700 * time.Millisecond})
	w.up()
	w.answers("after up", 200, `{"notes":[]}`)
	if out := w.up("--memory", "512"); !strings.Contains(out, "updated: MemorySize 256 -> 512") {
		t.Errorf("up --memory says %s", out)
	}
	w.answers("after a change", 200, `{"notes":[]}`)
}

// TestInterrupted: ^C ends at once with one sentence, and a second run goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
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
	w.at(slow.URL, "us-east-1")
	cmd := w.command("up", "--stack", w.name, "--zip", w.zip, "--auth", "none")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	w.at(w.URL, "us-east-1")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("%v: %s", err, out.String())
	}
	w.up()
	w.answers("after a second run", 200, `{"notes":[]}`)
}
