package sandbox

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"example.com/portable-notes/deploy/sandbox/function"
)

// invoked invokes the function with an event for a path, and returns the answer and the log tail.
func (w *world) invoked(path string) (*lambda.InvokeOutput, string) {
	w.t.Helper()
	out := did[*lambda.InvokeOutput](w.t)(w.functions.Invoke(w.t.Context(), &lambda.InvokeInput{FunctionName: &w.name,
		LogType: lambdatypes.LogTypeTail, Payload: []byte(`{"rawPath":"` + path + `"}`)}))
	tail, err := base64.StdEncoding.DecodeString(*out.LogResult)
	if err != nil {
		w.t.Fatal(err)
	}
	return out, string(tail)
}

// configure changes the function's configuration and waits until it is updated.
func (w *world) configure(in lambda.UpdateFunctionConfigurationInput) {
	w.t.Helper()
	in.FunctionName = &w.name
	did[*lambda.UpdateFunctionConfigurationOutput](w.t)(w.functions.UpdateFunctionConfiguration(w.t.Context(), &in))
	w.settle()
}

// errorCode returns the code of an AWS error.
func errorCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// TestFunctionFaults: failures of a function are reported in Lambda's words, and its next event succeeds.
func TestFunctionFaults(t *testing.T) {
	w := open(t)
	w.function(bootstrap(t))
	w.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(3)})
	for _, c := range []struct{ path, payload, log string }{
		{"/fail", `{"errorMessage":"on purpose","errorType":"errorString"}`, ""},
		{"/panic", `"errorMessage":"on purpose"`, ""},
		{"/exit", `"errorType":"Runtime.ExitError"`, "no line break"},
		{"/exit", `Error: Runtime exited with error: exit status 3"`, "\nRuntime.ExitError\n"},
		{"/exit0", `Error: Runtime exited without providing a reason"`, ""},
		{"/hang", `Error: Task timed out after 3.00 seconds"`, " Task timed out after 3.00 seconds\n"},
		{"/big", `Response payload size exceeded maximum allowed payload size (6291556 bytes).`, ""},
	} {
		out, tail := w.invoked(c.path)
		if out.FunctionError == nil || !strings.Contains(string(out.Payload), c.payload) || !strings.Contains(tail,
			c.log) || !strings.HasPrefix(tail, "START RequestId: ") || !strings.Contains(tail, "\nREPORT RequestId: ") {
			t.Errorf("%s: %.300s; log %s", c.path, out.Payload, tail)
		}
		if out, _ := w.invoked("/x"); string(out.Payload) != `{"body":"/x","statusCode":200}` {
			t.Errorf("after %s: %s", c.path, out.Payload)
		}
	}
	_, tail := w.invoked("/x")
	if !regexp.MustCompile(`^START RequestId: (\S+) Version: \$LATEST\nthe function was here\nEND RequestId: ` +
		`\S+\nREPORT RequestId: \S+\tDuration: [0-9.]+ ms\tBilled Duration: [0-9]+ ms\tMemory Size: 512 MB\tMax ` +
		`Memory Used: [0-9]+ MB\t\n$`).MatchString(tail) {
		t.Errorf("the log is %q", tail)
	}
	all := w.logged("/aws/lambda/"+w.name, "Task timed out")
	if !strings.Contains(all, "Init Duration: ") {
		t.Errorf("the log has no cold start: %s", all)
	}
}

// TestStartFaults: if a function cannot start, the error says why in Lambda's words.
func TestStartFaults(t *testing.T) {
	w := open(t)
	w.function(bootstrap(t))
	script := "#!/bin/sh\nexit 1\n"
	// an ELF header for MIPS
	foreign := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x08\x00" + strings.Repeat("\x00", 44)
	for what, c := range map[string]struct {
		zip           []byte
		kind, message string
	}{
		"no bootstrap": {zipOf(t, "main", script, 0o755), "Runtime.InvalidEntrypoint",
			"Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"},
		"in a folder": {zipOf(t, "dist/bootstrap", script, 0o755), "Runtime.InvalidEntrypoint",
			"Couldn't find valid bootstrap(s)"},
		"no exec bit": {zipOf(t, "bootstrap", script, 0o644), "Runtime.InvalidEntrypoint",
			"fork/exec /var/task/bootstrap: permission denied"},
		"no program": {zipOf(t, "bootstrap", "nothing\n", 0o755), "Runtime.InvalidEntrypoint",
			"fork/exec /var/task/bootstrap: exec format error"},
		"another architecture": {zipOf(t, "bootstrap", foreign, 0o755), "Runtime.InvalidEntrypoint",
			"fork/exec /var/task/bootstrap: exec format error"},
		"no interpreter": {zipOf(t, "bootstrap", "#!/no/such/program\n", 0o755), "Runtime.InvalidEntrypoint",
			"fork/exec /var/task/bootstrap: no such file or directory"},
		"ends at once": {zipOf(t, "bootstrap", script, 0o755), "Runtime.ExitError",
			"Runtime exited with error: exit status 1"},
		"outside": {zipOf(t, "../bootstrap", script, 0o755), "Runtime.InvalidEntrypoint",
			"outside the folder"},
		"no zip": {[]byte("no zip"), "Runtime.InvalidEntrypoint", "cannot be read"},
	} {
		did[*lambda.UpdateFunctionCodeOutput](t)(w.functions.UpdateFunctionCode(t.Context(),
			&lambda.UpdateFunctionCodeInput{FunctionName: &w.name, ZipFile: c.zip}))
		w.settle()
		out, tail := w.invoked("/x")
		if out.FunctionError == nil || !strings.Contains(string(out.Payload), c.kind) ||
			!strings.Contains(string(out.Payload), c.message) || !strings.Contains(tail, c.message) {
			t.Errorf("%s: %s; log %s", what, out.Payload, tail)
		}
	}
	did[*lambda.UpdateFunctionCodeOutput](t)(w.functions.UpdateFunctionCode(t.Context(),
		&lambda.UpdateFunctionCodeInput{FunctionName: &w.name, ZipFile: bootstrap(t)}))
	w.settle()
	w.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(2),
		Environment: &lambdatypes.Environment{Variables: map[string]string{"START": "slow"}}})
	if out, _ := w.invoked("/x"); out.FunctionError != nil {
		t.Errorf("a start of 2.5 s with a timeout of 2 s: %s", out.Payload) // init has its own limit of 10 s
	}
	w.configure(lambda.UpdateFunctionConfigurationInput{
		Environment: &lambdatypes.Environment{Variables: map[string]string{"START": "exit"}}})
	w.invoked("/x")
	w.logged("/aws/lambda/"+w.name, "about to exit")
	all := w.logged("/aws/lambda/"+w.name, "\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\nSTART")
	for end := time.Now().Add(5 * time.Second); strings.Count(all, "about to exit\n") < 2 &&
		time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // the last lines arrive later
		all = w.logged("/aws/lambda/"+w.name, "about to exit")
	}
	if strings.Count(all, "about to exit\n") != 2 || !strings.Contains(all, "Phase: init\tStatus: error") {
		t.Errorf("a failing start is not tried exactly twice: %s", all[max(0, len(all)-2000):])
	}
	w.configure(lambda.UpdateFunctionConfigurationInput{Runtime: "java21"})
	if out, _ := w.invoked("/x"); !strings.Contains(string(out.Payload), "java21") {
		t.Errorf("an unsupported runtime: %s", out.Payload)
	}
}

// TestEnvironment: a function sees the variables that Lambda sets and its own, but none of this machine's.
func TestEnvironment(t *testing.T) {
	t.Setenv("OF_THIS_MACHINE", "x")
	w := open(t)
	w.function(bootstrap(t), "AWS_ENDPOINT_URL_DYNAMODB=http://localhost:8000", "LISTENS=http://localhost:8000")
	out, _ := w.invoked("/environment")
	for _, want := range []string{`\nNAME=value\n`, "AWS_LAMBDA_FUNCTION_NAME=" + w.name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=ASIA", "AWS_SESSION_TOKEN=",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + w.name, "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=/",
		"AWS_ENDPOINT_URL=" + w.URL, "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:9", "LISTENS=http://localhost:8000"} {
		if !strings.Contains(string(out.Payload), want) {
			t.Errorf("%s is missing in %s", want, out.Payload)
		}
	}
	if strings.Contains(string(out.Payload), "OF_THIS_MACHINE") {
		t.Error("this machine's variables reach the function")
	}
	if out, _ := w.invoked("/local"); !strings.Contains(string(out.Payload), "connection refused") {
		t.Errorf("a function reaches this machine's loopback: %s", out.Payload)
	}
	c := did[*lambda.GetFunctionConfigurationOutput](t)(w.functions.GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name}))
	if c.Environment.Variables["AWS_ENDPOINT_URL"] != "" {
		t.Errorf("the sandbox's address is stored: %v", c.Environment.Variables)
	}
}

// TestInvoke: function names, invocation types and errors of Invoke.
func TestInvoke(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	did[*lambda.PublishVersionOutput](t)(w.functions.PublishVersion(ctx,
		&lambda.PublishVersionInput{FunctionName: &w.name}))
	for _, name := range []string{arn, Account + ":function:" + w.name, w.name + ":1", w.name + ":$LATEST"} {
		out := did[*lambda.InvokeOutput](t)(w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name}))
		if want := map[bool]string{true: "1", false: "$LATEST"}[strings.HasSuffix(name,
			":1")]; *out.ExecutedVersion != want || string(out.Payload) != `{"body":"","statusCode":200}` {
			t.Errorf("%s: version %s, %s", name, *out.ExecutedVersion, out.Payload)
		}
	}
	if out := did[*lambda.InvokeOutput](t)(w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name,
		InvocationType: lambdatypes.InvocationTypeDryRun})); out.StatusCode != 204 {
		t.Errorf("a dry run is %d", out.StatusCode)
	}
	if out := did[*lambda.InvokeOutput](t)(w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name,
		InvocationType: lambdatypes.InvocationTypeEvent,
		Payload:        []byte(`{"rawPath":"/fail"}`)})); out.StatusCode != 202 {
		t.Errorf("an event is %d", out.StatusCode)
	}
	for want, in := range map[string]lambda.InvokeInput{
		"ResourceNotFoundException":      {FunctionName: aws.String("nosuch")},
		"InvalidRequestContentException": {FunctionName: &w.name, Payload: []byte("no JSON")},
		"RequestTooLargeException": {FunctionName: &w.name, Payload: []byte(`"` + strings.Repeat("x",
			function.MaxEvent) + `"`)},
	} {
		if _, err := w.functions.Invoke(ctx, &in); errorCode(err) != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	did[*lambda.PutFunctionConcurrencyOutput](t)(w.functions.PutFunctionConcurrency(ctx,
		&lambda.PutFunctionConcurrencyInput{FunctionName: &w.name, ReservedConcurrentExecutions: aws.Int32(0)}))
	var throttled *lambdatypes.TooManyRequestsException
	if _, err := w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name}); !errors.As(err, &throttled) ||
		throttled.Reason != lambdatypes.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded {
		t.Errorf("with a concurrency of 0: %v", err)
	}
	api := w.api(arn, "GET /x")
	w.grant(api, "*")
	w.ask(api, "GET", "/dev/x", "").is(t, "with a concurrency of 0", 503, unavailableBody)
}

// TestIntegrationTimeout: at a timeout the client gets 503, and the function runs to its end.
func TestIntegrationTimeout(t *testing.T) {
	w := open(t)
	api := w.api(w.function(bootstrap(t)), "GET /sleep")
	w.grant(api, "*")
	w.ask(api, "GET", "/dev/sleep", "").is(t, "no timeout", 200, "")
	i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(t.Context(),
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0]
	did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(t.Context(),
		&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i.IntegrationId,
			TimeoutInMillis: aws.Int32(100)}))
	w.ask(api, "GET", "/dev/sleep", "").is(t, "timeout", 503, unavailableBody)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // logs must be polled
		if all := w.logged("/aws/lambda/"+w.name, "END"); strings.Count(all, "END RequestId") == 2 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the function does not end: %s", all)
		}
	}
}

// TestRole: a function may do exactly what its role allows; refusals have AWS's words.
func TestRole(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	did[*dynamodb.CreateTableOutput](t)(w.tables.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: &w.name,
		BillingMode:          dynamodbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: aws.String("k"), AttributeType: "S"}},
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: aws.String("k"), KeyType: "HASH"}}}))
	table := "arn:aws:dynamodb:us-east-1:" + Account + ":table/" + w.name
	refusal := "AccessDeniedException: User: arn:aws:sts::" + Account + ":assumed-role/" + w.name + "/" + w.name +
		" is not authorized to perform: dynamodb:DescribeTable on resource: " + table + " "
	calls := func() string {
		t.Helper()
		out := did[*lambda.InvokeOutput](t)(w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name,
			Payload: []byte(`{"rawPath":"/dynamodb","body":"` + w.name + `"}`)}))
		return string(out.Payload)
	}
	may := `{"Effect":"Allow","Action":"dynamodb:DescribeTable","Resource":"` + table + `"}`
	boundary := did[*iam.CreatePolicyOutput](t)(w.roles.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &w.name,
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + allowLogs + `]}`)})).Policy.Arn
	for _, c := range []struct{ what, statements, want string }{
		{"nothing", allowLogs, refusal + "because no identity-based policy allows the dynamodb:DescribeTable action"},
		{"another table", allowLogs + `,{"Effect":"Allow","Action":"dynamodb:*","Resource":"` + table + `x"}`, refusal +
			"because no identity-based policy"},
		{"another action", allowLogs + `,{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}`, refusal +
			"because no identity-based policy"},
		{"allowed", allowLogs + `,` + may, `"body":"<nil>"`},
		{"denied", allowLogs + `,` + may + `,{"Effect":"Deny","Action":"dynamodb:Describe*","Resource":"*"}`, refusal +
			"with an explicit deny in an identity-based policy"},
		{"allowed again", allowLogs + `,` + may, `"body":"<nil>"`},
		{"no logs", may, `"body":"<nil>"`},
	} {
		w.allow(w.name, c.statements)
		if got := calls(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	did[*iam.PutRolePermissionsBoundaryOutput](t)(w.roles.PutRolePermissionsBoundary(ctx,
		&iam.PutRolePermissionsBoundaryInput{RoleName: &w.name, PermissionsBoundary: boundary}))
	if got := calls(); !strings.Contains(got, refusal+"because no permissions boundary allows the "+
		"dynamodb:DescribeTable action") {
		t.Errorf("with a boundary: %s", got)
	}
	var seen []string
	for _, c := range w.Calls() {
		if strings.Contains(c.Caller, "/"+w.name+"/") && !strings.Contains(strings.Join(seen, " "), c.Action()) {
			seen = append(seen, c.Action())
		}
	}
	for _, want := range []string{"dynamodb:DescribeTable", "logs:CreateLogStream", "logs:PutLogEvents"} {
		if !strings.Contains(strings.Join(seen, " "), want) {
			t.Errorf("%s is not among the recorded calls %v", want, seen)
		}
	}
}

// TestNoLogs: a function whose role may not write logs works without them.
func TestNoLogs(t *testing.T) {
	w := open(t)
	w.function(bootstrap(t))
	w.allow(w.name, `{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}`)
	if out, tail := w.invoked("/x"); out.FunctionError != nil || !strings.Contains(tail, "the function was here") {
		t.Errorf("%s; %s", out.Payload, tail)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(shared.log.String(),
		"the function's log lines are not written to /aws/lambda/"+w.name); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sandbox does not report the lost lines")
		}
	}
	if _, err := w.groups.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(
		"/aws/lambda/" + w.name)}); errorCode(err) != "ResourceNotFoundException" {
		t.Errorf("the log group exists: %v", err)
	}
}

// TestRecreatedRole: a function whose role was deleted and recreated does not start until another role has been set.
func TestRecreatedRole(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	api := w.api(arn, "GET /x")
	w.grant(api, "*")
	w.ask(api, "GET", "/dev/x", "").is(t, "at first", 200, "")
	did[*iam.DeleteRolePolicyOutput](t)(w.roles.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &w.name,
		PolicyName: aws.String("policy")}))
	did[*iam.DeleteRoleOutput](t)(w.roles.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &w.name}))
	w.ask(api, "GET", "/dev/x", "").is(t, "no role", 500, internalBody)
	role := w.role(w.name, "lambda.amazonaws.com", allowLogs)
	w.ask(api, "GET", "/dev/x", "").is(t, "recreated", 500, internalBody)
	if _, err := w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name}); errorCode(
		err) != "KMSAccessDeniedException" {
		t.Errorf("recreated: %v", err)
	}
	w.configure(lambda.UpdateFunctionConfigurationInput{Role: &role})
	w.ask(api, "GET", "/dev/x", "").is(t, "the same role set again", 500, internalBody)
	other := w.role(w.name+"-other", "lambda.amazonaws.com", allowLogs)
	w.configure(lambda.UpdateFunctionConfigurationInput{Role: &other})
	w.ask(api, "GET", "/dev/x", "").is(t, "another role", 200, "")
	w.configure(lambda.UpdateFunctionConfigurationInput{Role: &role})
	w.ask(api, "GET", "/dev/x", "").is(t, "the role", 200, "")
	did[*iam.UpdateAssumeRolePolicyOutput](t)(w.roles.UpdateAssumeRolePolicy(ctx,
		&iam.UpdateAssumeRolePolicyInput{RoleName: &w.name, PolicyDocument: trust("ec2.amazonaws.com")}))
	w.ask(api, "GET", "/dev/x", "").is(t, "a role for another service", 500, internalBody)
	if _, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: &w.name, Role: &role}); errorCode(err) != "InvalidParameterValueException" {
		t.Errorf("a role for another service: %v", err)
	}
}

// TestUnsigned: the answer to an unsigned request explains what the sandbox accepts.
func TestUnsigned(t *testing.T) {
	w := open(t)
	r, err := http.NewRequest("GET", w.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := w.send(r); a.status != 400 || !strings.Contains(a.body, "sandbox of portable-notes") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestCodeLocation: the zip of a function can be downloaded whole and in ranges.
func TestCodeLocation(t *testing.T) {
	w := open(t)
	w.function(bootstrap(t))
	location := *did[*lambda.GetFunctionOutput](t)(w.functions.GetFunction(t.Context(),
		&lambda.GetFunctionInput{FunctionName: &w.name})).Code.Location
	for _, c := range []struct {
		ranges string
		status int
		begin  string
	}{{"", 200, "PK"}, {"bytes=1-1", 206, "K"}} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", location, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.ranges != "" {
			r.Header.Set("Range", c.ranges)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if err != nil || a.StatusCode != c.status || !strings.HasPrefix(string(body), c.begin) {
			t.Errorf("%q: %d %.10q %v", c.ranges, a.StatusCode, body, err)
		}
	}
}
