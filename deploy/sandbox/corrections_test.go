package sandbox

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/deploy/policy"
)

// TestCorrectionsAreComplete: each correction documents what moto does, what AWS does and a source.
func TestCorrectionsAreComplete(t *testing.T) {
	for _, d := range corrections {
		if d.operations == "" || d.moto == "" || d.aws == "" || d.source == "" || d.answer == nil {
			t.Errorf("%s: moto %q, AWS %q, source %q", d.operations, d.moto, d.aws, d.source)
		}
	}
}

// TestFunctionPolicies: the operations on a function's policy behave as on AWS.
func TestFunctionPolicies(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	add := func(sid string, change func(*lambda.AddPermissionInput)) string {
		in := &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: &sid,
			Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com")}
		if change != nil {
			change(in)
		}
		_, err := w.functions.AddPermission(ctx, in)
		return errorCode(err)
	}
	get := func() (*lambda.GetPolicyOutput, string) {
		out, err := w.functions.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &w.name})
		return out, errorCode(err)
	}
	remove := func(sid string, revision *string) string {
		_, err := w.functions.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &w.name,
			StatementId: &sid, RevisionId: revision})
		return errorCode(err)
	}
	ok := errorCode(nil)
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	_, none := get()
	check("an empty policy", none, "ResourceNotFoundException")
	check("the first statement", add("a", func(in *lambda.AddPermissionInput) {
		in.SourceArn, in.SourceAccount = aws.String("arn:aws:s3:::x"), aws.String(Account)
	}), ok)
	first, _ := get()
	check("the text", *first.Policy, `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"a",`+
		`"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction",`+
		`"Resource":"arn:aws:lambda:us-east-1:`+Account+`:function:`+w.name+`",`+
		`"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::x"},`+
		`"StringEquals":{"AWS:SourceAccount":"`+Account+`"}}}]}`)
	check("a duplicate id", add("a", nil), "ResourceConflictException")
	check("$LATEST", add("b", func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("$LATEST") }),
		"InvalidParameterValueException")
	check("no such alias", add("b", func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("nosuch") }),
		"ResourceNotFoundException")
	check("a bad id", add("a b", nil), "ValidationException")
	check("a bad action", add("b", func(in *lambda.AddPermissionInput) { in.Action = aws.String("invoke") }),
		"ValidationException")
	check("a bad principal", add("b", func(in *lambda.AddPermissionInput) { in.Principal = aws.String("somebody") }),
		"InvalidParameterValueException")
	check("a stale revision", add("b", func(in *lambda.AddPermissionInput) { in.RevisionId = aws.String("stale") }),
		"PreconditionFailedException")
	check("the latest revision", add("b", func(in *lambda.AddPermissionInput) { in.RevisionId = first.RevisionId }), ok)
	check("removing with a stale revision", remove("b", first.RevisionId), "PreconditionFailedException")
	check("removing", remove("b", nil), ok)
	check("removing again", remove("b", nil), "ResourceNotFoundException")
	for _, principal := range []string{"*", Account, "arn:aws:iam::" + Account + ":role/x", "s3.amazonaws.com"} {
		check(principal, add("p", func(in *lambda.AddPermissionInput) { in.Principal = &principal }), ok)
		check("removing", remove("p", nil), ok)
	}
	full := ""
	for i := 0; full == "" || full == ok; i++ {
		full = add(fmt.Sprintf("long-%s-%d", strings.Repeat("x", 60), i), nil)
	}
	check("a full policy", full, "PolicyLengthExceededException")
	if p, _ := get(); len(*p.Policy) > policy.MaxPolicy || len(*p.Policy) < policy.MaxPolicy-400 {
		t.Errorf("the policy has %d bytes", len(*p.Policy))
	}
	did[*lambda.DeleteFunctionOutput](t)(w.functions.DeleteFunction(ctx,
		&lambda.DeleteFunctionInput{FunctionName: &w.name}))
	_, none = get()
	check("no function", none, "ResourceNotFoundException")
}

// TestCorrections: the sandbox corrects moto where moto accepts what AWS refuses, or answers differently.
func TestCorrections(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	arn := w.function(bootstrap(t))
	api := w.api(arn, "GET /a", "GET /b")
	fails := func(what string, err error, want string) {
		t.Helper()
		if errorCode(err) != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	_, err := w.gateway.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{ApiId: &api, RouteKey: aws.String("GET /a")})
	fails("a duplicate route key", err, "ConflictException")
	routes := did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
		&apigatewayv2.GetRoutesInput{ApiId: &api})).Items
	_, err = w.gateway.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api, RouteId: routes[0].RouteId,
		RouteKey: routes[1].RouteKey})
	fails("a route changed to another's key", err, "ConflictException")
	_, err = w.gateway.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api, RouteId: routes[0].RouteId,
		RouteKey: routes[0].RouteKey})
	fails("a route changed to its own key", err, errorCode(nil))
	_, err = w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api, StageName: aws.String("dev")})
	fails("a duplicate stage", err, "ConflictException")
	_, err = w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api, StageName: aws.String("a stage")})
	fails("a bad stage name", err, "BadRequestException")
	_, err = w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: aws.String("nosuch"),
		StageName: aws.String("dev")})
	fails("no such API", err, "NotFoundException")
	did[*cloudwatchlogs.CreateLogGroupOutput](t)(w.groups.CreateLogGroup(ctx,
		&cloudwatchlogs.CreateLogGroupInput{LogGroupName: &w.name}))
	_, err = w.groups.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &w.name,
		RetentionInDays: aws.Int32(8)})
	fails("8 days", err, "InvalidParameterException")
	_, err = w.groups.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &w.name,
		RetentionInDays: aws.Int32(7)})
	fails("7 days", err, errorCode(nil))

	_, err = w.functions.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &w.name,
		S3Bucket: aws.String("nosuch"), S3Key: aws.String("a.zip")})
	fails("code that is not in S3", err, "InvalidParameterValueException")
	_, err = w.roles.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: &w.name,
		PermissionsBoundary: aws.String("arn:aws:iam::" + Account + ":policy/nosuch")})
	fails("a boundary that does not exist", err, "NoSuchEntity")

	before := did[*lambda.GetFunctionConfigurationOutput](t)(w.functions.GetFunctionConfiguration(ctx,
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name}))
	w.configure(lambda.UpdateFunctionConfigurationInput{MemorySize: aws.Int32(256)})
	after := did[*lambda.GetFunctionConfigurationOutput](t)(w.functions.GetFunctionConfiguration(ctx,
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name}))
	if *before.LastModified == *after.LastModified {
		t.Errorf("LastModified is still %s", *after.LastModified)
	}
	got := did[*apigatewayv2.GetApiOutput](t)(w.gateway.GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: &api}))
	if *got.ApiEndpoint != w.URL+apiPath+api {
		t.Errorf("the endpoint is %s", *got.ApiEndpoint)
	}
	stage := "arn:aws:apigateway:us-east-1::/apis/" + api + "/stages/dev"
	did[*apigatewayv2.TagResourceOutput](t)(w.gateway.TagResource(ctx,
		&apigatewayv2.TagResourceInput{ResourceArn: &stage, Tags: map[string]string{"a": "b", "c": "d"}}))
	did[*apigatewayv2.UntagResourceOutput](t)(w.gateway.UntagResource(ctx,
		&apigatewayv2.UntagResourceInput{ResourceArn: &stage, TagKeys: []string{"c"}}))
	if tags := did[*apigatewayv2.GetTagsOutput](t)(w.gateway.GetTags(ctx,
		&apigatewayv2.GetTagsInput{ResourceArn: &stage})).Tags; fmt.Sprint(tags) != "map[a:b]" {
		t.Errorf("the stage's tags are %v", tags)
	}
	w.allow(w.name, `{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"},{"Effect":"Deny",`+
		`"Action":"dynamodb:PutItem","Resource":"*"}`)
	simulated := did[*iam.SimulatePrincipalPolicyOutput](t)(w.roles.SimulatePrincipalPolicy(ctx,
		&iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::" + Account + ":role/" + w.name),
			ActionNames: []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Scan"}}))
	decisions := ""
	for _, r := range simulated.EvaluationResults {
		decisions += string(r.EvalDecision) + " "
	}
	if decisions != "allowed explicitDeny implicitDeny " {
		t.Errorf("the simulation answers %s", decisions)
	}
}

// TestQuickCreate: an API created with a target has a route and a default stage, but no permission to invoke the
// function, which users of the command line often miss.
func TestQuickCreate(t *testing.T) {
	w := open(t)
	arn := w.function(bootstrap(t))
	api := *did[*apigatewayv2.CreateApiOutput](t)(w.gateway.CreateApi(t.Context(),
		&apigatewayv2.CreateApiInput{Name: &w.name, ProtocolType: types.ProtocolTypeHttp, Target: &arn})).ApiId
	w.ask(api, "GET", "/x", "").is(t, "no grant", 500, internalBody)
	w.grant(api, "*/$default")
	w.ask(api, "GET", "/x", "").is(t, "granted", 200, "/x")
}

// TestSlowAWS: the options simulate pages, new roles that cannot be assumed yet, and pending functions.
func TestSlowAWS(t *testing.T) {
	w := enter(t, start(t, Options{PageSize: 2, RoleDelay: time.Second, Settling: 2 * time.Second}))
	ctx := t.Context()
	role := w.role(w.name, "lambda.amazonaws.com", allowLogs)
	in := &lambda.CreateFunctionInput{FunctionName: &w.name, Role: &role, Runtime: "provided.al2023",
		Handler: aws.String("bootstrap"), Code: lambdaCode(t)}
	var created *lambda.CreateFunctionOutput
	refusals := 0
	for created == nil {
		out, err := w.functions.CreateFunction(ctx, in)
		if err == nil {
			created = out
		} else if refusals++; errorCode(err) != "InvalidParameterValueException" {
			t.Fatal(err)
		}
	}
	if refusals == 0 || created.State != "Pending" {
		t.Errorf("a new role was refused %d times; a new function is %s", refusals, created.State)
	}
	_, err := w.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name})
	if errorCode(err) != "ResourceConflictException" {
		t.Errorf("a pending function: %v", err)
	}
	w.settle()
	out := did[*lambda.UpdateFunctionConfigurationOutput](t)(w.functions.UpdateFunctionConfiguration(ctx,
		&lambda.UpdateFunctionConfigurationInput{FunctionName: &w.name, Timeout: aws.Int32(7)}))
	if out.LastUpdateStatus != "InProgress" {
		t.Errorf("an update is %s", out.LastUpdateStatus)
	}
	if _, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: &w.name, Timeout: aws.Int32(8)}); errorCode(err) != "ResourceConflictException" {
		t.Errorf("an update during another: %v", err)
	}
	api := w.api(*created.FunctionArn, "GET /1", "GET /2", "GET /3", "GET /4", "GET /5")
	var token *string
	var pages []int
	for more := true; more; more = token != nil {
		page := did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api,
			NextToken: token}))
		pages, token = append(pages, len(page.Items)), page.NextToken
	}
	if fmt.Sprint(pages) != "[2 2 1]" {
		t.Errorf("the pages have %v routes", pages)
	}
}

// TestPermissions: inputs that violate Lambda's model are refused, with all violations; others are stored.
func TestPermissions(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	in := func(change func(*lambda.AddPermissionInput)) *lambda.AddPermissionInput {
		p := &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String("a"),
			Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com")}
		change(p)
		return p
	}
	for _, c := range []struct {
		name   string
		change func(*lambda.AddPermissionInput)
		says   string
	}{
		{"a source ARN without an account", func(p *lambda.AddPermissionInput) {
			p.SourceArn = aws.String("arn:aws:execute-api")
		},
			"Value 'arn:aws:execute-api' at 'sourceArn' failed to satisfy constraint"},
		{"a short account", func(p *lambda.AddPermissionInput) { p.SourceAccount = aws.String("1234") },
			"'sourceAccount'"},
		{"a principal with a space", func(p *lambda.AddPermissionInput) { p.Principal = aws.String("api gateway") },
			"'principal'"},
		{"a bad organization", func(p *lambda.AddPermissionInput) { p.PrincipalOrgID = aws.String("o-1") },
			"'principalOrgID'"},
		{"two mistakes", func(p *lambda.AddPermissionInput) {
			p.StatementId, p.Action = aws.String("a b"), aws.String("invoke")
		}, "2 validation errors detected: Value 'a b' at 'statementId'"},
		{"a long id", func(p *lambda.AddPermissionInput) { p.StatementId = aws.String(strings.Repeat("a", 101)) },
			"less than or equal to 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := w.functions.AddPermission(ctx, in(c.change)); err == nil || !strings.Contains(err.Error(),
				c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	made := did[*lambda.AddPermissionOutput](t)(w.functions.AddPermission(ctx, in(func(p *lambda.AddPermissionInput) {
		p.Principal, p.PrincipalOrgID = aws.String("*"), aws.String("o-abcdefghij")
		p.FunctionUrlAuthType, p.InvokedViaFunctionUrl = "NONE", aws.Bool(true)
	})))
	for _, condition := range []string{`"aws:PrincipalOrgID":"o-abcdefghij"`, `"lambda:FunctionUrlAuthType":"NONE"`,
		`"Bool":{"lambda:InvokedViaFunctionUrl":"true"}`} {
		if !strings.Contains(*made.Statement, condition) {
			t.Errorf("%s is not in %s", condition, *made.Statement)
		}
	}
}

// TestErrors: the sandbox reports what it cannot do in the protocol of the service, with errors that AWS does not use.
func TestErrors(t *testing.T) {
	w := open(t)
	send := func(service, method, path, body string, headers ...string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if service != "" {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/"+service+
				"/aws4_request, SignedHeaders=host, Signature=0")
		}
		a := w.send(r)
		return a.status, a.body
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	rest := func() string {
		_, made := send("apigateway", "POST", "/restapis", `{"name":"rest"}`, "Content-Type", "application/json")
		return regexp.MustCompile(`"id": ?"([^"]+)"`).FindStringSubmatch(made)[1]
	}()
	for _, c := range []struct {
		name, service, method, path, body string
		headers                           []string
		status                            int
		says                              string
	}{
		{"an operation of CloudFormation that the sandbox lacks", "cloudformation", "POST", "/",
			"Action=CreateStackSet&Version=2010-05-15", form, 400,
			"<Code>NotImplementedException</Code><Message>the sandbox&#39;s CloudFormation does not have the " +
				"operation CreateStackSet"},
		{"an operation that moto lacks", "lambda", "GET", "/2015-03-31/nosuchthing", "", nil, 501,
			"does not know lambda:GET /2015-03-31/nosuchthing"},
		{"a REST API", "", "GET", apiPath + rest + "/dev/x", "", nil, 501,
			"the sandbox serves only HTTP APIs, and this is a REST API"},
		{"no API", "", "GET", apiPath + "nosuch/dev/x", "", nil, 404, `{"message":"Not Found"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := send(c.service, c.method, c.path, c.body, c.headers...)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%d %s, want %d %s", status, body, c.status, c.says)
			}
		})
	}
	socket := did[*apigatewayv2.CreateApiOutput](t)(w.gateway.CreateApi(t.Context(), &apigatewayv2.CreateApiInput{
		Name: &w.name, ProtocolType: "WEBSOCKET", RouteSelectionExpression: aws.String("$request.body.action")}))
	if status, body := send("", "GET", apiPath+*socket.ApiId+"/dev/x", ""); status != 501 {
		t.Errorf("a WebSocket API: %d %s", status, body)
	}
}

// TestArchitectures checks that a new code can have another architecture, and that a version keeps its own.
func TestArchitectures(t *testing.T) {
	w := open(t)
	w.function(bootstrap(t))
	shows := func(qualifier *string, want lambdatypes.Architecture) {
		t.Helper()
		got := did[*lambda.GetFunctionConfigurationOutput](t)(w.functions.GetFunctionConfiguration(t.Context(),
			&lambda.GetFunctionConfigurationInput{FunctionName: &w.name, Qualifier: qualifier}))
		if !slices.Equal(got.Architectures, []lambdatypes.Architecture{want}) {
			t.Errorf("the architectures are %v, want %s", got.Architectures, want)
		}
	}
	update := func(dryRun bool, architecture lambdatypes.Architecture) {
		t.Helper()
		did[*lambda.UpdateFunctionCodeOutput](t)(w.functions.UpdateFunctionCode(t.Context(),
			&lambda.UpdateFunctionCodeInput{FunctionName: &w.name, ZipFile: bootstrap(t), DryRun: dryRun,
				Architectures: []lambdatypes.Architecture{architecture}}))
	}
	update(false, lambdatypes.ArchitectureX8664)
	shows(nil, lambdatypes.ArchitectureX8664)
	version := did[*lambda.PublishVersionOutput](t)(w.functions.PublishVersion(t.Context(),
		&lambda.PublishVersionInput{FunctionName: &w.name})).Version
	update(false, lambdatypes.ArchitectureArm64)
	shows(nil, lambdatypes.ArchitectureArm64)
	shows(version, lambdatypes.ArchitectureX8664)
	update(true, lambdatypes.ArchitectureX8664)
	shows(nil, lambdatypes.ArchitectureArm64)
	did[*lambda.UpdateFunctionCodeOutput](t)(w.functions.UpdateFunctionCode(t.Context(),
		&lambda.UpdateFunctionCodeInput{FunctionName: &w.name, ZipFile: bootstrap(t)}))
	shows(nil, lambdatypes.ArchitectureArm64)
}
