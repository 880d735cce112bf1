package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
)

// TestTwoRegions checks that stacks of the same name in two regions do not affect each other.
func TestTwoRegions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	made := w.state(w.name)
	w.connect(w.URL, "eu-west-1")
	w.up()
	w.checkNotes("the other region", 200, `{"notes":[]}`)
	w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
	w.connect(w.URL, "us-east-1")
	if got := w.state(w.name); got != made {
		t.Errorf("the first stack is now\n%s\nit was\n%s", got, made)
	}
	w.checkNotes("the first region", 200, `{"notes":[]}`)
}

// TestTwoAtOnce checks that two concurrent programs make one correct stack.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	made := w.state(w.name)
	for round := range 3 {
		name := fmt.Sprint(w.name, "x", round)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for attempt := range 3 { // one may fail on what the other is changing
					out, err := w.deploy("up", "--stack", name, "--zip", w.zip, "--auth", "none")
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
		w.mustRun("up", "--stack", name, "--zip", w.zip, "--auth", "none")
		if got := w.state(name); got != made {
			t.Errorf("two programs make\n%s\none makes\n%s", got, made)
		}
	}
}

// TestForeign checks that neither the program nor the script changes a function that has the stack's name but not its
// tags.
func TestForeign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	zip, err := os.ReadFile(w.zip)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := w.roles().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(w.name + "-theirs"),
		AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},` +
				`"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.functions().CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &w.name,
		Role: theirs.Role.Arn, Runtime: "provided.al2023", Handler: aws.String("theirs"),
		Code: &lambdatypes.FunctionCode{ZipFile: zip}}); err != nil {
		t.Fatal(err)
	}
	if out, err := w.deploy("up", "--stack", w.name, "--zip", w.zip, "--auth", "none"); err == nil ||
		!strings.Contains(err.Error(), "does not belong to this stack") {
		t.Errorf("up: %v, %s", err, out)
	}
	script := w.mustRun("plan", "--stack", w.name, "--auth", "none")
	for _, c := range []struct{ name, script, want string }{
		{name: "the script", script: script, want: "does not belong to the stack"},
		{name: "the script for another account",
			script: strings.ReplaceAll(script, sandbox.Account, "999999999999"), want: "not of account"},
	} {
		cmd := exec.Command("sh")
		cmd.Stdin, cmd.Dir, cmd.Env = strings.NewReader(c.script), filepath.Dir(w.zip), w.environ()
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, %s", c.name, err, out)
		}
	}
	if out, err := w.deploy("down", "--stack", w.name); err == nil || !strings.Contains(err.Error(),
		"does not belong to this stack") {
		t.Errorf("down: %v, %s", err, out)
	}
	got, err := w.functions().GetFunctionConfiguration(ctx,
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if err != nil || *got.Handler != "theirs" || *got.Role != *theirs.Role.Arn {
		t.Errorf("the foreign function was changed: %+v, %v", got, err)
	}
}

// TestForeignAPI checks that an API with the stack's name but without its tags is not used, changed or removed.
func TestForeignAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	foreign, err := w.gateway().CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name, ProtocolType: "HTTP"})
	if err != nil {
		t.Fatal(err)
	}
	w.up()
	w.mustRun("down", "--stack", w.name)
	if _, err := w.gateway().GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: foreign.ApiId}); err != nil {
		t.Errorf("down removed it: %v", err)
	}
	if routes, err := w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: foreign.ApiId}); err != nil ||
		len(routes.Items) > 0 {
		t.Errorf("up gave it routes: %v, %v", routes, err)
	}
}

// TestLeftBehind checks that up repairs a renamed API, a duplicate integration in use, and missing routes, and that
// down removes the log groups of former stages.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	ctx, api, made := t.Context(), w.api(), w.state(w.name)
	oldest, err := w.gateway().GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	for time.Now().Unix() <= oldest.CreatedDate.Unix() { // up keeps the older API, and times have seconds
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := w.gateway().UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
		Name: aws.String("renamed")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.gateway().CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name, ProtocolType: "HTTP",
		Tags: (stack.Stack{Name: w.name, Region: "us-east-1"}).Tags()}); err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:lambda:us-east-1:" + sandbox.Account + ":function:" + w.name
	duplicate, err := w.gateway().CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{ApiId: &api,
		IntegrationType: "AWS_PROXY", IntegrationUri: &arn, PayloadFormatVersion: aws.String("2.0")})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.gateway().UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api,
		RouteId: routes.Items[0].RouteId, Target: aws.String("integrations/" + *duplicate.IntegrationId)}); err != nil {
		t.Fatal(err)
	}
	w.up()
	if got := w.state(w.name); got != made {
		t.Errorf("after up\n%s\nwant\n%s", got, made)
	}
	if routes, err = w.gateway().GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api}); err != nil {
		t.Fatal(err)
	}
	for _, r := range routes.Items {
		if _, err := w.gateway().DeleteRoute(ctx, &apigatewayv2.DeleteRouteInput{ApiId: &api,
			RouteId: r.RouteId}); err != nil {
			t.Fatal(err)
		}
	}
	w.up()
	if got := w.state(w.name); got != made {
		t.Errorf("after up without routes\n%s\nwant\n%s", got, made)
	}
	w.up("--stage", "prod")
	w.mustRun("down", "--stack", w.name)
	c := cloud.New(w.cfg)
	groups, err := c.Do(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(
		stack.AccessLogPrefix + w.name)})
	if left := cloud.Texts("logGroups[].logGroupName", groups); err != nil || len(left) > 0 {
		t.Errorf("log groups after down: %v, %v", left, err)
	}
}
