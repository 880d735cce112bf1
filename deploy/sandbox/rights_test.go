package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// withKey returns the world with the clients of another key.
func (w *world) withKey(key string) *world {
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &w.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, "b", "")}
	other := *w
	other.roles, other.functions = iam.NewFromConfig(cfg), lambda.NewFromConfig(cfg)
	other.gateway, other.groups = apigatewayv2.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg)
	other.tables = dynamodb.NewFromConfig(cfg)
	return &other
}

// user creates a user with the statements of a policy, and returns its key.
func (w *world) user(name, statements string) string {
	w.t.Helper()
	ctx, document := w.t.Context(), `{"Version":"2012-10-17","Statement":[`+statements+`]}`
	did[*iam.CreateUserOutput](w.t)(w.roles.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))
	if statements != "" {
		did[*iam.PutUserPolicyOutput](w.t)(w.roles.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
			UserName: &name, PolicyName: aws.String("policy"), PolicyDocument: &document}))
	}
	made := did[*iam.CreateAccessKeyOutput](w.t)(w.roles.CreateAccessKey(ctx,
		&iam.CreateAccessKeyInput{UserName: &name}))
	return *made.AccessKey.AccessKeyId
}

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource)
}

// judged is a call and the statements that allow it.
type judged struct {
	name, allows string
	do           func(w *world) error
}

// judgedCalls returns calls about the resources of the world, most of them of different services.
func judgedCalls(ctx context.Context, name string) []judged {
	arn := func(service, rest string) string { return "arn:aws:" + service + ":us-east-1:" + Account + ":" + rest }
	role := "arn:aws:iam::" + Account + ":role/" + name
	return []judged{
		{name: "describe a table", allows: allow("dynamodb:DescribeTable", arn("dynamodb", "table/"+name)),
			do: func(w *world) error {
				_, err := w.tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
				return err
			}},
		{name: "read a role", allows: allow("iam:GetRole", role), do: func(w *world) error {
			_, err := w.roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
			return err
		}},
		{name: "read a function", allows: allow("lambda:Get*", arn("lambda", "function:"+name)),
			do: func(w *world) error {
				_, err := w.functions.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &name})
				return err
			}},
		{name: "pass a role", allows: allow("lambda:UpdateFunctionConfiguration", "*") + "," + allow("iam:PassRole",
			role),
			do: func(w *world) error {
				_, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
					FunctionName: &name, Role: &role})
				return err
			}},
		{name: "list APIs", allows: allow("apigateway:GET", "arn:aws:apigateway:us-east-1::/apis"),
			do: func(w *world) error {
				_, err := w.gateway.GetApis(ctx, &apigatewayv2.GetApisInput{})
				return err
			}},
		{name: "read tags of a log group", allows: allow("logs:ListTagsForResource", arn("logs",
			"log-group:/own/"+name)),
			do: func(w *world) error {
				_, err := w.groups.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{
					ResourceArn: aws.String(arn("logs", "log-group:/own/"+name))})
				return err
			}},
	}
}

// TestUsersAreJudged: a user may do exactly what its policies allow.
func TestUsersAreJudged(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	did[*cloudwatchlogs.CreateLogGroupOutput](t)(w.groups.CreateLogGroup(ctx,
		&cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/own/" + w.name)}))
	calls := judgedCalls(ctx, w.name)
	for i, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			user := fmt.Sprint(w.name, "-", i)
			key := w.user(user, c.allows)
			if err := c.do(w.withKey(key)); err != nil && strings.Contains(err.Error(), "not authorized") {
				t.Errorf("with the right: %v", err)
			}
			for j, other := range calls {
				if j != i {
					if err := other.do(w.withKey(key)); err == nil || !strings.Contains(err.Error(),
						"User: arn:aws:iam::"+Account+
							":user/"+user+" is not authorized to perform: ") {
						t.Errorf("%s: %v", other.name, err)
					}
				}
			}
		})
	}
	t.Run("without the right to list tags", func(t *testing.T) {
		key := w.user(w.name+"-tags", allow("lambda:GetFunction", "*"))
		got := did[*lambda.GetFunctionOutput](t)(w.withKey(key).functions.GetFunction(ctx,
			&lambda.GetFunctionInput{FunctionName: &w.name}))
		if got.TagsError == nil || *got.TagsError.ErrorCode != "AccessDeniedException" || got.Tags != nil {
			t.Errorf("%+v, %v", got.TagsError, got.Tags)
		}
	})
	t.Run("through a group", func(t *testing.T) {
		user, group := w.name+"-member", w.name+"-group"
		key := w.user(user, "")
		did[*iam.CreateGroupOutput](t)(w.roles.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &group}))
		did[*iam.AttachGroupPolicyOutput](t)(w.roles.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{
			GroupName: &group, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}))
		did[*iam.AddUserToGroupOutput](t)(w.roles.AddUserToGroup(ctx, &iam.AddUserToGroupInput{
			GroupName: &group, UserName: &user}))
		if err := calls[1].do(w.withKey(key)); err != nil {
			t.Errorf("with the group's policy: %v", err)
		}
	})
	t.Run("a deleted key", func(t *testing.T) {
		user := w.name + "-former"
		key := w.user(user, allow("*", "*"))
		if err := calls[1].do(w.withKey(key)); err != nil {
			t.Errorf("before: %v", err)
		}
		did[*iam.DeleteAccessKeyOutput](t)(w.roles.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{
			UserName: &user, AccessKeyId: &key}))
		if err := calls[1].do(w.withKey(key)); err == nil || !strings.Contains(err.Error(), "security token") {
			t.Errorf("after: %v", err)
		}
	})
}

// checkRefused checks whether a call was refused for lack of a right.
func checkRefused(t *testing.T, want bool, err error) {
	t.Helper()
	if got := err != nil && strings.Contains(err.Error(), "not authorized"); got != want {
		t.Errorf("%v, want a refusal: %v", err, want)
	}
}

// TestSpecialRights: rights that do not depend on a plain statement about a plain resource.
func TestSpecialRights(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.function(bootstrap(t))
	mine := func(what string) string { return w.name + "-" + what }
	t.Run("a function's policy naming the user", func(t *testing.T) {
		key := w.user(mine("invoker"), "")
		invoke := func() error {
			_, err := w.withKey(key).functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &w.name})
			return err
		}
		checkRefused(t, true, invoke())
		did[*lambda.AddPermissionOutput](t)(w.functions.AddPermission(ctx, &lambda.AddPermissionInput{
			FunctionName: &w.name, StatementId: aws.String("user"), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("arn:aws:iam::" + Account + ":user/" + mine("invoker"))}))
		checkRefused(t, false, invoke())
	})
	t.Run("a role with a path", func(t *testing.T) {
		name := mine("path")
		did[*iam.CreateRoleOutput](t)(w.roles.CreateRole(ctx, &iam.CreateRoleInput{
			RoleName: &name, Path: aws.String("/svc/"), AssumeRolePolicyDocument: trust("lambda.amazonaws.com")}))
		for resource, want := range map[string]bool{"role/svc/*": false, "role/" + name: true} {
			key := w.user(mine("reader"+resource[5:8]), allow("iam:GetRole", "arn:aws:iam::"+Account+":"+resource))
			_, err := w.withKey(key).roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
			checkRefused(t, want, err)
		}
	})
	t.Run("the user itself", func(t *testing.T) {
		arn := "arn:aws:iam::" + Account + ":user/" + mine("self")
		key := w.user(mine("self"), allow("iam:GetUser", arn)+","+allow("iam:UpdateAccessKey", arn))
		as := w.withKey(key)
		_, err := as.roles.GetUser(ctx, &iam.GetUserInput{})
		checkRefused(t, false, err)
		did[*iam.UpdateAccessKeyOutput](t)(as.roles.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{
			AccessKeyId: &key, Status: "Active"}))
		_, err = as.roles.GetUser(ctx, &iam.GetUserInput{})
		checkRefused(t, false, err)
	})
	t.Run("conditions", func(t *testing.T) {
		under := `"Condition":{"StringEquals":{"iam:PermissionsBoundary":"arn:aws:iam::aws:policy/ReadOnlyAccess"}}`
		tagged := `"Condition":{"StringNotEquals":{"aws:ResourceTag/a":"b"}}`
		user := `"Condition":{"StringLike":{"aws:username":"` + w.name + `-*"},"Bool":{"aws:ViaAWSService":"false"}}`
		for i, c := range []struct {
			condition string
			refused   bool
		}{{under, true}, {tagged, true}, {user, false}} {
			key := w.user(mine(fmt.Sprint("if", i)), `{"Effect":"Allow","Action":"*","Resource":"*",`+c.condition+`}`)
			_, err := w.withKey(key).roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &w.name})
			checkRefused(t, c.refused, err)
		}
	})
	t.Run("the items of a transaction", func(t *testing.T) {
		put := []dynamodbtypes.TransactWriteItem{{Put: &dynamodbtypes.Put{TableName: &w.name,
			Item: map[string]dynamodbtypes.AttributeValue{"id": &dynamodbtypes.AttributeValueMemberS{Value: "x"}}}}}
		for action, want := range map[string]bool{"dynamodb:PutItem": false, "dynamodb:TransactWriteItems": true} {
			key := w.user(mine(strings.ToLower(action[9:])), allow(action, "*"))
			_, err := w.withKey(key).tables.TransactWriteItems(ctx,
				&dynamodb.TransactWriteItemsInput{TransactItems: put})
			checkRefused(t, want, err)
		}
	})
}

// TestIAMRoute: a route with IAM authorization accepts only callers with a right to it.
func TestIAMRoute(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	function := w.function(bootstrap(t))
	mine := func(what string) string { return w.name + "-" + what }
	api := w.api(function, "GET /notes")
	w.grant(api, "*")
	route := did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
		&apigatewayv2.GetRoutesInput{ApiId: &api}))
	did[*apigatewayv2.UpdateRouteOutput](t)(w.gateway.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &api,
		RouteId: route.Items[0].RouteId, AuthorizationType: "AWS_IAM"}))
	for _, c := range []struct {
		user, statement string
		status          int
	}{
		{"caller", allow("execute-api:Invoke", "arn:aws:execute-api:us-east-1:"+Account+":"+api+"/dev/GET/notes"),
			200},
		{"stranger", allow("execute-api:Invoke", "arn:aws:execute-api:us-east-1:"+Account+":other/*"), 403},
	} {
		signed := "AWS4-HMAC-SHA256 Credential=" + w.user(mine(c.user), c.statement) +
			"/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=0"
		if a := w.ask(api, "GET", "/dev/notes", "", "Authorization", signed); a.status != c.status {
			t.Errorf("%s: %d %s", c.user, a.status, a.body)
		}
	}
}

func (w *world) tokens(key string) *sts.Client {
	return sts.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &w.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, "b", "")})
}

// assume assumes a role, with a session policy or nil.
func (w *world) assume(key, role string, narrow *string) (*sts.AssumeRoleOutput, error) {
	return w.tokens(key).AssumeRole(w.t.Context(), &sts.AssumeRoleInput{
		RoleArn: &role, RoleSessionName: aws.String("me"), Policy: narrow})
}

// TestSessionsAreJudged: only trusted principals can assume a role. Its session may do what both the role and the
// session policy allow.
func TestSessionsAreJudged(t *testing.T) {
	w := open(t)
	ctx, mine := t.Context(), w.name+"-role"
	user := w.user(w.name+"-user", "")
	trusts := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + Account +
		`:user/` +
		w.name + `-user"},"Action":"sts:AssumeRole"}]}`
	made := did[*iam.CreateRoleOutput](t)(w.roles.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: &mine, AssumeRolePolicyDocument: &trusts}))
	w.allow(mine, allow("iam:GetRole", "*")+","+allow("iam:ListRoles", "*"))
	may := func(c *ststypes.Credentials) (get, list error) {
		as := w.withKey(*c.AccessKeyId)
		_, get = as.roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &mine})
		_, list = as.roles.ListRoles(ctx, &iam.ListRolesInput{})
		return get, list
	}
	t.Run("a trusted user", func(t *testing.T) {
		o := did[*sts.AssumeRoleOutput](t)(w.assume(user, *made.Role.Arn, nil))
		if get, list := may(o.Credentials); get != nil || list != nil {
			t.Errorf("%v, %v", get, list)
		}
		if _, err := w.withKey(*o.Credentials.AccessKeyId).tables.ListTables(ctx, nil); err == nil ||
			!strings.Contains(err.Error(), "assumed-role/"+mine+"/me is not authorized to perform: "+
				"dynamodb:ListTables") {
			t.Errorf("without the right: %v", err)
		}
	})
	t.Run("with a session policy", func(t *testing.T) {
		narrow := `{"Version":"2012-10-17","Statement":[` + allow("iam:GetRole", "*") + `]}`
		o := did[*sts.AssumeRoleOutput](t)(w.assume(user, *made.Role.Arn, &narrow))
		if get, list := may(o.Credentials); get != nil || list == nil || !strings.Contains(list.Error(),
			"session policy") {
			t.Errorf("%v, %v", get, list)
		}
	})
	t.Run("with a managed session policy", func(t *testing.T) {
		o := did[*sts.AssumeRoleOutput](t)(w.tokens(user).AssumeRole(ctx, &sts.AssumeRoleInput{
			RoleArn: made.Role.Arn, RoleSessionName: aws.String("me"), PolicyArns: []ststypes.PolicyDescriptorType{
				{Arn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}}}))
		if get, _ := may(o.Credentials); get == nil || !strings.Contains(get.Error(), "session policy") {
			t.Errorf("%v", get)
		}
	})
	t.Run("GetSessionToken", func(t *testing.T) {
		o := did[*sts.GetSessionTokenOutput](t)(w.tokens(user).GetSessionToken(ctx, &sts.GetSessionTokenInput{}))
		if get, _ := may(o.Credentials); get == nil || !strings.Contains(get.Error(),
			"user/"+w.name+"-user is not authorized") {
			t.Errorf("%v", get)
		}
	})
	for _, c := range [][3]string{
		{"an untrusted user", "somebody", *made.Role.Arn},
		{"a missing role", user, *made.Role.Arn + "-else"},
	} {
		t.Run(c[0], func(t *testing.T) {
			if _, err := w.assume(c[1], c[2], nil); err == nil || !strings.Contains(err.Error(), "sts:AssumeRole") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAccountAsPrincipal: if the trust policy names only the account, its users also need their own right to assume the
// role.
func TestAccountAsPrincipal(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	name := w.name + "-of-all"
	all := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + Account +
		`"},"Action":"sts:AssumeRole"}]}`
	role := did[*iam.CreateRoleOutput](t)(w.roles.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: &name, AssumeRolePolicyDocument: &all})).Role.Arn
	for i, c := range []struct {
		statements string
		refused    bool
	}{
		{"", true}, {allow("sts:AssumeRole", *role), false},
		{allow("sts:AssumeRole", "*") + `,{"Effect":"Deny","Action":"sts:*","Resource":"*"}`, true},
	} {
		if _, err := w.assume(w.user(fmt.Sprint(name, i), c.statements), *role, nil); (err != nil) != c.refused {
			t.Errorf("with %q: %v", c.statements, err)
		}
	}
	if _, err := w.assume("operator", *role, nil); err != nil {
		t.Errorf("the operator: %v", err)
	}
}

// TestServicesAreJudged: calls of other services that functions use are checked on their own resources.
func TestServicesAreJudged(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	arn := func(service, rest string) string { return "arn:aws:" + service + ":us-east-1:" + Account + ":" + rest }
	send := func(key, service, target, method, path, body string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, method, w.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if target != "" {
			r.Header.Set("X-Amz-Target", target)
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20260101/us-east-1/"+service+
			"/aws4_request, SignedHeaders=host, Signature=0")
		a := w.send(r)
		return a.status, a.body
	}
	queue := "https://sqs.us-east-1.amazonaws.com/" + Account + "/jobs"
	for i, c := range []struct {
		service, target, method, path, body string
		action, resource                    string
	}{
		{"s3", "", "GET", "/photos/a/b.jpg", "", "s3:GetObject", "arn:aws:s3:::photos/a/*"},
		{"s3", "", "PUT", "/photos/a/b.jpg", "x", "s3:PutObject", "arn:aws:s3:::photos/*"},
		{"s3", "", "DELETE", "/photos/a/b.jpg", "", "s3:DeleteObject", "arn:aws:s3:::photos/a/b.jpg"},
		{"s3", "", "GET", "/photos?list-type=2", "", "s3:ListBucket", "arn:aws:s3:::photos"},
		{"ssm", "AmazonSSM.GetParameter", "POST", "/", `{"Name":"/app/key"}`, "ssm:GetParameter",
			arn("ssm", "parameter/app/*")},
		{"ssm", "AmazonSSM.GetParametersByPath", "POST", "/", `{"Path":"/app"}`, "ssm:GetParametersByPath",
			arn("ssm", "parameter/app")},
		{"sqs", "AmazonSQS.SendMessage", "POST", "/", `{"QueueUrl":"` + queue + `","MessageBody":"x"}`,
			"sqs:SendMessage",
			arn("sqs", "jobs")},
		{"sqs", "AmazonSQS.SendMessageBatch", "POST", "/", `{"QueueUrl":"` + queue + `","Entries":[]}`,
			"sqs:SendMessage",
			arn("sqs", "jobs")},
		{"sns", "", "POST", "/", "Action=Publish&Message=x&TopicArn=" + arn("sns", "news"), "sns:Publish",
			arn("sns", "news")},
		{"secretsmanager", "secretsmanager.GetSecretValue", "POST", "/", `{"SecretId":"db"}`,
			"secretsmanager:GetSecretValue",
			arn("secretsmanager", "secret:db-??????")},
		{"kms", "TrentService.Decrypt", "POST", "/", `{"KeyId":"KEY","CiphertextBlob":""}`, "kms:Decrypt", "KEYARN"},
	} {
		t.Run(c.action+" on "+c.path+c.body, func(t *testing.T) {
			switch c.service {
			case "secretsmanager":
				send("operator", c.service, "secretsmanager.CreateSecret", "POST", "/",
					`{"Name":"db","SecretString":"x"}`)
			case "kms":
				_, made := send("operator", c.service, "TrentService.CreateKey", "POST", "/", `{}`)
				key := regexp.MustCompile(`"Arn": ?"([^"]*key/([^"]*))"`).FindStringSubmatch(made)
				c.resource, c.body = key[1], strings.Replace(c.body, "KEY", key[2], 1)
			}
			for j, may := range []bool{true, false} {
				resource := c.resource
				if !may {
					resource += "else"
				}
				key := w.user(fmt.Sprint(w.name, "-", i, "-", j), allow(c.action, resource))
				status, body := send(key, c.service, c.target, c.method, c.path, c.body)
				if denied := strings.Contains(body,
					"is not authorized to perform: "+c.action+" on resource: "); denied == may {
					t.Errorf("may %v: %d %.300s", may, status, body)
				}
			}
		})
	}
}
