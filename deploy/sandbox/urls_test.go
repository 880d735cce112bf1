package sandbox

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestFunctionURL: a function URL answers only requests that the function's policy allows.
func TestFunctionURL(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	url := *did[*lambda.CreateFunctionUrlConfigOutput](t)(w.functions.CreateFunctionUrlConfig(ctx,
		&lambda.CreateFunctionUrlConfigInput{FunctionName: &w.name, AuthType: "NONE"})).FunctionUrl
	ask := func(path string, key string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, "GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+
				"Credential="+key+"/20260101/us-east-1/lambda/aws4_request, x")
		}
		a := w.send(r)
		return a.status, a.body
	}
	allowURL := func(change func(*lambda.AddPermissionInput)) {
		in := &lambda.AddPermissionInput{FunctionName: &w.name, Principal: aws.String("*")}
		change(in)
		did[*lambda.AddPermissionOutput](t)(w.functions.AddPermission(ctx, in))
	}
	is := func(what, path, key string, status int, says string) {
		t.Helper()
		if got, body := ask(path, key); got != status || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s, want %d %s", what, got, body, status, says)
		}
	}
	is("without a policy", "notes", "", 403, "Forbidden")
	allowURL(func(in *lambda.AddPermissionInput) {
		in.StatementId, in.Action = aws.String("url"), aws.String("lambda:InvokeFunctionUrl")
		in.FunctionUrlAuthType = "NONE"
	})
	is("with one of two statements", "notes", "", 403, "Forbidden")
	allowURL(func(in *lambda.AddPermissionInput) {
		in.StatementId, in.Action = aws.String("invoke"), aws.String("lambda:InvokeFunction")
		in.InvokedViaFunctionUrl = aws.Bool(true)
	})
	is("with both statements", "a/notes", "", 200, "/a/notes")
	is("the event", "echo", "", 200, `"routeKey":"$default"`)
	is("a function that fails", "fail", "", 502, "Internal Server Error")
	did[*lambda.UpdateFunctionUrlConfigOutput](t)(w.functions.UpdateFunctionUrlConfig(ctx,
		&lambda.UpdateFunctionUrlConfigInput{FunctionName: &w.name, AuthType: "AWS_IAM"}))
	is("unsigned", "notes", "", 403, "Forbidden")
	is("by a user with the right", "notes", w.user(w.name+"-may", allow("lambda:Invoke*", "*")), 200, "/notes")
	is("by a user without the right", "notes", w.user(w.name+"-not", ""), 403, "Forbidden")
	did[*lambda.DeleteFunctionUrlConfigOutput](t)(w.functions.DeleteFunctionUrlConfig(ctx,
		&lambda.DeleteFunctionUrlConfigInput{FunctionName: &w.name}))
	is("a deleted URL", "notes", "", 403, "")
}
