package sandbox

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	lambdarun "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/sandbox/function"
	"example.com/portable-notes/notes/storetest"
)

// TestMain runs the tests. If a function's bootstrap starts this program, it is the function instead.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		handleEvents()
		return
	}
	code := m.Run()
	if shared.s != nil {
		shared.s.Close()
	}
	os.Exit(code)
}

// handleEvents is the function. The last segment of an event's path selects what it does.
func handleEvents() {
	switch os.Getenv("START") {
	case "exit":
		fmt.Println("about to exit")
		os.Exit(3)
	case "slow":
		time.Sleep(2500 * time.Millisecond)
	}
	lambdarun.Start(func(ctx context.Context, event json.RawMessage) (any, error) {
		var e struct {
			RawPath, Path, Body, Type string
			Headers                   map[string]string
		}
		_ = json.Unmarshal(event, &e)
		// An authorizer answers with the content of the header Answer.
		if answer := e.Headers["answer"]; e.Type == "REQUEST" && answer != "" {
			return json.RawMessage(answer), nil
		}
		path := e.RawPath + e.Path
		switch path[strings.LastIndex(path, "/")+1:] {
		case "echo":
			return map[string]any{"statusCode": 200, "body": string(event)}, nil
		case "raw":
			return json.RawMessage(e.Body), nil
		case "big":
			return map[string]any{"statusCode": 200, "body": strings.Repeat("x", function.MaxAnswer)}, nil
		case "authorized":
			return map[string]any{"isAuthorized": false}, nil
		case "fail":
			return nil, errors.New("on purpose")
		case "panic":
			panic("on purpose")
		case "exit":
			fmt.Print("no line break")
			os.Exit(3)
		case "exit0":
			os.Exit(0)
		case "hang":
			select {}
		case "sleep":
			time.Sleep(300 * time.Millisecond)
		case "environment":
			return map[string]any{"statusCode": 200, "body": strings.Join(os.Environ(), "\n")}, nil
		case "dynamodb", "local":
			cfg, err := config.LoadDefaultConfig(ctx)
			if err != nil {
				return nil, err
			}
			if strings.HasSuffix(path, "local") {
				_, err = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 }).ListTables(
					ctx, nil)
			} else {
				_, err = dynamodb.NewFromConfig(cfg).DescribeTable(ctx,
					&dynamodb.DescribeTableInput{TableName: &e.Body})
			}
			return map[string]any{"statusCode": 200, "body": fmt.Sprint(err)}, nil
		}
		fmt.Println("the function was here")
		return map[string]any{"statusCode": 200, "body": path}, nil
	})
}

// bootstrap returns a zip whose bootstrap starts this program.
func bootstrap(t testing.TB) []byte {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return zipOf(t, "bootstrap", "#!/bin/sh\nGORACE=atexit_sleep_ms=0 exec '"+self+"'\n", 0o755)
}

func zipOf(t testing.TB, name, content string, mode os.FileMode) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: name}
	header.SetMode(mode)
	f, err := w.CreateHeader(header)
	if err == nil {
		_, err = io.WriteString(f, content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// lockedBuffer is a buffer that is safe for concurrent use.
type lockedBuffer struct {
	sync.Mutex
	text bytes.Buffer
}

func (s *lockedBuffer) Write(b []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	return s.text.Write(b)
}

func (s *lockedBuffer) String() string {
	s.Lock()
	defer s.Unlock()
	return s.text.String()
}

var shared struct {
	sync.Once
	s   *Sandbox
	log lockedBuffer
	err error
}

// start starts a sandbox for the duration of the test.
func start(t testing.TB, o Options) *Sandbox {
	t.Helper()
	s, err := Start(t.Context(), o)
	if errors.Is(err, ErrNoMoto) {
		storetest.Lacks(t, "moto", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// world is one test's view of a sandbox that the tests share: clients, and a name that no other test uses.
type world struct {
	*Sandbox
	t         testing.TB
	name      string
	roles     *iam.Client
	functions *lambda.Client
	gateway   *apigatewayv2.Client
	groups    *cloudwatchlogs.Client
	tables    *dynamodb.Client
}

func open(t testing.TB) *world {
	t.Helper()
	shared.Do(func() {
		shared.s, shared.err = Start(context.Background(), Options{Log: &shared.log, Settling: -1})
	})
	if errors.Is(shared.err, ErrNoMoto) {
		storetest.Lacks(t, "moto", shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return enter(t, shared.s)
}

func enter(t testing.TB, s *Sandbox) *world {
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider(
		"a", "b", ""), RetryMaxAttempts: 1}
	return &world{Sandbox: s, t: t, name: "t" + uuid.NewString()[:8], roles: iam.NewFromConfig(cfg),
		functions: lambda.NewFromConfig(cfg),
		gateway:   apigatewayv2.NewFromConfig(cfg), groups: cloudwatchlogs.NewFromConfig(cfg),
		tables: dynamodb.NewFromConfig(cfg)}
}

// did returns a function that returns the output of a call, or ends the test if the call has failed.
func did[T any](t testing.TB) func(out T, err error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// trust returns a trust policy that allows a service to assume a role.
func trust(service string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service +
		`"},"Action":"sts:AssumeRole"}]}`)
}

// role creates a role with the statements of a policy, and returns its ARN.
func (w *world) role(name, service, statements string) string {
	w.t.Helper()
	r := did[*iam.CreateRoleOutput](w.t)(w.roles.CreateRole(w.t.Context(), &iam.CreateRoleInput{RoleName: &name,
		AssumeRolePolicyDocument: trust(service)}))
	if statements != "" {
		w.allow(name, statements)
	}
	return *r.Role.Arn
}

func (w *world) allow(name, statements string) {
	w.t.Helper()
	document := `{"Version":"2012-10-17","Statement":[` + statements + `]}`
	did[*iam.PutRolePolicyOutput](w.t)(w.roles.PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: &name,
		PolicyName: aws.String("policy"), PolicyDocument: &document}))
}

const allowLogs = `{"Effect":"Allow","Action":"logs:*","Resource":"*"}`

// function creates the function with its own role, waits until it is active and returns its ARN.
func (w *world) function(packed []byte, environment ...string) string {
	w.t.Helper()
	role := w.role(w.name, "lambda.amazonaws.com", allowLogs)
	arch := lambdatypes.ArchitectureX8664
	if goruntime.GOARCH == "arm64" {
		arch = lambdatypes.ArchitectureArm64
	}
	in := &lambda.CreateFunctionInput{FunctionName: &w.name, Role: &role, Runtime: "provided.al2023",
		Handler: aws.String("bootstrap"), Timeout: aws.Int32(5),
		MemorySize:    aws.Int32(512), // enough for this program under the race detector
		Architectures: []lambdatypes.Architecture{arch}, Code: &lambdatypes.FunctionCode{ZipFile: packed},
		Environment: &lambdatypes.Environment{Variables: map[string]string{"NAME": "value"}}}
	for _, one := range environment {
		name, value, _ := strings.Cut(one, "=")
		in.Environment.Variables[name] = value
	}
	arn := *did[*lambda.CreateFunctionOutput](w.t)(w.functions.CreateFunction(w.t.Context(), in)).FunctionArn
	w.settle()
	return arn
}

// settle waits until the function is active and its last update is complete.
func (w *world) settle() {
	w.t.Helper()
	for {
		c := did[*lambda.GetFunctionConfigurationOutput](w.t)(w.functions.GetFunctionConfiguration(w.t.Context(),
			&lambda.GetFunctionConfigurationInput{FunctionName: &w.name}))
		if c.State == "Active" && c.LastUpdateStatus == "Successful" {
			return
		}
	}
}

// api creates an HTTP API with routes to a function and a stage dev with AutoDeploy, and returns the API's id.
func (w *world) api(uri string, routes ...string) string {
	w.t.Helper()
	ctx := w.t.Context()
	api := did[*apigatewayv2.CreateApiOutput](w.t)(w.gateway.CreateApi(ctx, &apigatewayv2.CreateApiInput{Name: &w.name,
		ProtocolType: types.ProtocolTypeHttp})).ApiId
	i := did[*apigatewayv2.CreateIntegrationOutput](w.t)(w.gateway.CreateIntegration(ctx,
		&apigatewayv2.CreateIntegrationInput{ApiId: api, IntegrationType: types.IntegrationTypeAwsProxy,
			IntegrationUri: &uri, PayloadFormatVersion: aws.String("2.0")}))
	for _, route := range routes {
		did[*apigatewayv2.CreateRouteOutput](w.t)(w.gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: api,
			RouteKey: &route, Target: aws.String("integrations/" + *i.IntegrationId)}))
	}
	w.stage(*api, "dev")
	return *api
}

func (w *world) stage(api, name string) {
	w.t.Helper()
	did[*apigatewayv2.CreateStageOutput](w.t)(w.gateway.CreateStage(w.t.Context(),
		&apigatewayv2.CreateStageInput{ApiId: &api, StageName: &name, AutoDeploy: aws.Bool(true)}))
}

// update changes a stage.
func (w *world) update(api, stage string, change apigatewayv2.UpdateStageInput) *apigatewayv2.UpdateStageOutput {
	w.t.Helper()
	change.ApiId, change.StageName = &api, &stage
	return did[*apigatewayv2.UpdateStageOutput](w.t)(w.gateway.UpdateStage(w.t.Context(), &change))
}

// grant allows API Gateway to invoke the function for requests whose source ARN matches API-ID/pattern.
func (w *world) grant(api, pattern string) {
	w.t.Helper()
	did[*lambda.AddPermissionOutput](w.t)(w.functions.AddPermission(w.t.Context(),
		&lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String("test"),
			Action:    aws.String("lambda:InvokeFunction"),
			Principal: aws.String("apigateway.amazonaws.com"), SourceArn: aws.String("arn:aws:execute-api:us-east-1:" +
				Account + ":" + api + "/" + pattern)}))
}

// replied is an answer with its complete body.
type replied struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to an API at the sandbox's address. The path begins with the stage.
func (w *world) ask(api, method, path, body string, headers ...string) replied {
	w.t.Helper()
	r, err := http.NewRequest(method, w.URL+apiPath+api+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.send(r, headers...)
}

func (w *world) send(r *http.Request, headers ...string) replied {
	w.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	content, err := io.ReadAll(a.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return replied{status: a.StatusCode, header: a.Header, body: string(content)}
}

// is checks an answer's status and, unless body is "", its body.
func (r replied) is(t testing.TB, what string, status int, body string) {
	t.Helper()
	if r.status != status || body != "" && r.body != body {
		t.Errorf("%s: %d %.300s, want %d %s", what, r.status, r.body, status, body)
	}
}

// Bodies of API Gateway's own answers.
const (
	internalBody    = `{"message":"Internal Server Error"}`
	unavailableBody = `{"message":"Service Unavailable"}`
	notFoundBody    = `{"message":"Not Found"}`
	forbiddenBody   = `{"message":"Forbidden"}`
)

// logged waits until a log group contains a text, and returns the whole log.
func (w *world) logged(group, text string) string {
	w.t.Helper()
	var all []string
	// CloudWatch Logs must be polled.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all = nil
		events, err := w.groups.FilterLogEvents(w.t.Context(),
			&cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
		if err != nil {
			continue
		}
		for _, e := range events.Events {
			all = append(all, *e.Message)
		}
		if joined := strings.Join(all, "\n"); strings.Contains(joined, text) {
			return joined
		}
	}
	w.t.Errorf("the log group %s does not contain %q: %q", group, text, all)
	return ""
}

func lambdaCode(t testing.TB) *lambdatypes.FunctionCode {
	return &lambdatypes.FunctionCode{ZipFile: bootstrap(t)}
}
