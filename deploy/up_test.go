package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
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

// TestUpBreakHeal checks that a stack works, that without its grants it answers the blank 500 while the function works,
// that permit fixes it, and that up makes a deleted API again and removes the grants of the old one.
func TestUpBreakHeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out := w.up()
	for _, want := range []string{"table " + w.name, "created", "live check", "curl -s " + w.URL,
		"Anyone who knows this URL can read and write the notes."} {
		if !strings.Contains(out, want) {
			t.Errorf("up does not print %q: %s", want, out)
		}
	}
	w.checkNotes("after up", 200, `{"notes":[]}`)
	made := w.state(w.name)

	api, ctx := w.api(), t.Context()
	for _, g := range (stack.Stack{Name: w.name, Partition: "aws", Region: "us-east-1", Account: sandbox.Account,
		Stage: "dev", Auth: stack.Auth{Kind: "none"}}).Grants(api) {
		if _, err := w.functions().RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &w.name,
			StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	w.checkNotes("without its grants", 500, blank)
	if direct, err := w.functions().Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name,
		Payload: []byte(`{"version":"2.0","rawPath":"/notes",` +
			`"requestContext":{"http":{"method":"GET"}}}`)}); err != nil || direct.FunctionError != nil ||
		!strings.Contains(string(direct.Payload), `"statusCode":200`) {
		t.Errorf("invoked directly: %v, %v", direct, err)
	}
	if out := w.mustRun("permit", "--api", api); strings.Count(out, "created") != 2 {
		t.Errorf("permit prints %s", out)
	}
	w.checkNotes("after permit", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("after permit\n%s\nwant\n%s", got, made)
	}
	if out := w.mustRun("permit", "--api", api); strings.Contains(out, "created") ||
		strings.Count(out, "unchanged") != 2 {
		t.Errorf("the second permit prints %s", out)
	}
	if _, err := w.gateway().DeleteApi(ctx, &apigatewayv2.DeleteApiInput{ApiId: &api}); err != nil {
		t.Fatal(err)
	}
	if out := w.up(); strings.Count(out, "removed: no route needs it") != 2 {
		t.Errorf("up after the API was deleted prints %s", out)
	}
	w.checkNotes("after the API was made again", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("after up\n%s\nwant\n%s", got, made)
	}
}

// TestUpAgain checks that a first up makes at most 64 calls, and that a second one changes nothing.
func TestUpAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect(w.URL, "eu-north-1") // no other test has APIs there, which would add pages to lists
	defer w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
	_, before := w.calls(0)
	w.up()
	made, now := w.calls(before)
	if len(made) > 64 {
		t.Errorf("up makes %d calls", len(made))
	}
	begin := time.Now()
	out := w.up()
	t.Logf("the first up makes %d calls; the second takes %v", len(made), time.Since(begin))
	again, _ := w.calls(now)
	for _, c := range again {
		if cloud.IsWrite(c.Operation) {
			t.Errorf("the second up calls %s:%s", c.Service, c.Operation)
		}
	}
	if strings.Contains(out, "created") || strings.Contains(out, "updated") {
		t.Errorf("the second up prints %s", out)
	}
}

// TestUpArchitecture checks that up converges after a change of the architecture, in every spelling. A function for
// another architecture cannot run here, so the live check at the end fails.
func TestUpArchitecture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up("--arch", runtime.GOARCH)
	other := map[string]string{"amd64": "aarch64", "arm64": "amd64"}[runtime.GOARCH]
	foreign := filepath.Join(t.TempDir(), "foreign.zip")
	w.mustRun("zip", "--arch", other, "--out", foreign)
	args := []string{"up", "--stack", w.name, "--zip", foreign, "--auth", "none"}
	if out, err := w.deploy(append(args, "--arch", other)...); err == nil || !strings.Contains(out, "Architectures") {
		t.Errorf("a change of the architecture: %v\n%s", err, out)
	}
	if out, _ := w.deploy(args...); strings.Contains(out, "updated") || strings.Contains(out, "Architectures") ||
		!strings.Contains(out, "unchanged") {
		t.Errorf("after it: %s", out)
	}
	w.up("--arch", runtime.GOARCH)
}

// TestSettingsStay checks that up keeps settings that are not given, and reports changes before it makes them.
func TestSettingsStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up("--memory", "512", "--retention", "30", "--base-path", "/api", "--concurrency", "7")
	checkUnchanged := func(t *testing.T) {
		t.Helper()
		made, settings := w.state(w.name), w.settings()
		if out := w.up(); strings.Contains(out, "updated") || strings.Contains(out, "changing") {
			t.Errorf("up prints %s", out)
		}
		if got := w.state(w.name); got != made || w.settings() != settings {
			t.Errorf("up changes\n%s%s\nto\n%s%s", made, settings, got, w.settings())
		}
	}
	t.Run("given once", checkUnchanged)
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
	w.checkNotes("before", 200, `{"notes":[]}`) // makes the function write to its log
	t.Run("logs kept for ever", checkUnchanged)
	must(w.functions().PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
		FunctionName: &w.name, ReservedConcurrentExecutions: aws.Int32(3)}))
	t.Run("another concurrency", checkUnchanged)
	must(w.functions().DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: &w.name}))
	t.Run("no concurrency", checkUnchanged)
	t.Run("changes are reported first", func(t *testing.T) {
		out := w.up("--memory", "256", "--concurrency", "0")
		announced := strings.Index(out, "changing: from 512 to 256")
		done := strings.Index(out, "updated: MemorySize 512 -> 256")
		if announced < 0 || done < announced || strings.Contains(out, "setting concurrency") ||
			strings.Contains(out, "retention") {
			t.Errorf("up prints %s", out)
		}
	})
	t.Run("a function with concurrency 0", func(t *testing.T) {
		must(w.functions().PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{
			FunctionName: &w.name, ReservedConcurrentExecutions: aws.Int32(0)}))
		api := w.api() // close it, so that up does not wait for its answer
		must(w.gateway().UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
			DisableExecuteApiEndpoint: aws.Bool(true)}))
		checkUnchanged(t)
	})
}

// TestClosedEndpoint checks that a closed default endpoint stays closed without --endpoint on.
func TestClosedEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	api := w.api()
	if _, err := w.gateway().UpdateApi(t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &api,
		DisableExecuteApiEndpoint: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	w.checkNotes("closed", 404, `{"message":"Not Found"}`)
	if out := w.up(); !strings.Contains(out, "default endpoint is closed") || strings.Contains(out, "live check") ||
		strings.Contains(out, "updated") {
		t.Errorf("up prints %s", out)
	}
	w.checkNotes("after up", 404, `{"message":"Not Found"}`)
	if out := w.up("--endpoint", "on"); !strings.Contains(out, "updated: DisableExecuteApiEndpoint true -> false") ||
		!strings.Contains(out, "live check") {
		t.Errorf("up --endpoint on prints %s", out)
	}
	w.checkNotes("opened", 200, `{"notes":[]}`)
}

// TestDrift checks that up reports and reverts changes made by hand, and only notes statements of others in the
// function's policy.
func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	awaitUpdate := func() {
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
		want   string
	}{
		"a setting": {func() {
			must(w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Environment: nil, Timeout: aws.Int32(3)}))
			awaitUpdate()
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
		"an attached policy": {func() {
			must(w.roles().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role,
				PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
		}, "updated: arn:aws:iam::aws:policy/AdministratorAccess removed"},
		"throttling": {func() {
			must(w.gateway().UpdateStage(ctx, &apigatewayv2.UpdateStageInput{ApiId: &api, StageName: aws.String("dev"),
				AutoDeploy: aws.Bool(false)}))
		}, "updated: AutoDeploy false -> true"},
	} {
		c.change()
		if w.state(w.name) == made && what != "an attached policy" && what != "a setting" {
			t.Errorf("%s: the state has not changed", what)
		}
		if out := w.up(); !strings.Contains(out, c.want) {
			t.Errorf("%s: up does not print %q: %s", what, c.want, out)
		}
		if got := w.state(w.name); got != made {
			t.Errorf("%s: after up\n%s\nwant\n%s", what, got, made)
		}
	}
	must(w.functions().AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &w.name,
		StatementId: aws.String("somebody"), Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("s3.amazonaws.com")}))
	if out := w.up(); !strings.Contains(out, "made by others, which were left alone: [somebody]") {
		t.Errorf("up prints %s", out)
	}
	if out, err := w.deploy("up", "--stack", w.name, "--zip", w.zip, "--auth", "none", "--strict"); err == nil ||
		!strings.Contains(err.Error(), "somebody") {
		t.Errorf("up --strict: %v, %s", err, out)
	}
}

// TestRoleMadeAgain checks that up repairs a function whose role was deleted and created again.
func TestRoleMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
		t.Errorf("up prints %s", out)
	}
	w.checkNotes("after up", 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("after up\n%s\nwant\n%s", got, made)
	}
}

// TestSlowAWS checks that up waits for new roles, pending functions and updates in progress.
func TestSlowAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withOwnSandbox(sandbox.Options{RoleDelay: 2 * time.Second, Settling: 700 * time.Millisecond})
	w.up()
	w.checkNotes("after up", 200, `{"notes":[]}`)
	if out := w.up("--memory", "512"); !strings.Contains(out, "updated: MemorySize 256 -> 512") {
		t.Errorf("up --memory prints %s", out)
	}
	w.checkNotes("after a change", 200, `{"notes":[]}`)
}

// TestInterrupted checks that ^C ends up at once with a message, and that a second run completes the stack.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	w.connect(slow.URL, "us-east-1")
	cmd := w.command("up", "--stack", w.name, "--zip", w.zip, "--auth", "none")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	w.connect(w.URL, "us-east-1")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("%v: %s", err, out.String())
	}
	w.up()
	w.checkNotes("after a second run", 200, `{"notes":[]}`)
}
