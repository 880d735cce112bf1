package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// as is the world of somebody else's key.
func (w *world) as(key string) *world {
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &w.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, "b", "")}
	other := *w
	other.roles, other.functions = iam.NewFromConfig(cfg), lambda.NewFromConfig(cfg)
	other.gateway, other.groups = apigatewayv2.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg)
	other.tables = dynamodb.NewFromConfig(cfg)
	return &other
}

// user makes a user with the statements of a policy, and returns its key.
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

// TestUsersAreJudged: what a user's policies allow on a resource it may do, and nothing else.
func TestUsersAreJudged(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	arn := func(service, rest string) string { return "arn:aws:" + service + ":us-east-1:" + Account + ":" + rest }
	w.function(bootstrap(t))
	did[*cloudwatchlogs.CreateLogGroupOutput](t)(w.groups.CreateLogGroup(ctx,
		&cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/own/" + w.name)}))
	role := "arn:aws:iam::" + Account + ":role/" + w.name
	calls := []struct {
		name, allows string
		do           func(w *world) error
	}{
		{"describe a table", allow("dynamodb:DescribeTable", arn("dynamodb", "table/"+w.name)), func(w *world) error {
			_, err := w.tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &w.name})
			return err
		}},
		{"read a role", allow("iam:GetRole", role), func(w *world) error {
			_, err := w.roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &w.name})
			return err
		}},
		{"read a function", allow("lambda:Get*", arn("lambda", "function:"+w.name)), func(w *world) error {
			_, err := w.functions.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &w.name})
			return err
		}},
		{"pass a role", allow("lambda:UpdateFunctionConfiguration", "*") + "," + allow("iam:PassRole", role),
			func(w *world) error {
				_, err := w.functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
					FunctionName: &w.name, Role: &role})
				return err
			}},
		{"list APIs", allow("apigateway:GET", "arn:aws:apigateway:us-east-1::/apis"), func(w *world) error {
			_, err := w.gateway.GetApis(ctx, &apigatewayv2.GetApisInput{})
			return err
		}},
		{"read tags of a log group", allow("logs:ListTagsForResource", arn("logs", "log-group:/own/"+w.name)),
			func(w *world) error {
				_, err := w.groups.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{
					ResourceArn: aws.String(arn("logs", "log-group:/own/"+w.name))})
				return err
			}},
	}
	for i, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			user := fmt.Sprint(w.name, "-", i)
			key := w.user(user, c.allows)
			if err := c.do(w.as(key)); err != nil && strings.Contains(err.Error(), "not authorized") {
				t.Errorf("with the right: %v", err)
			}
			for j, other := range calls {
				if j != i {
					if err := other.do(w.as(key)); err == nil || !strings.Contains(err.Error(),
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
		got := did[*lambda.GetFunctionOutput](t)(w.as(key).functions.GetFunction(ctx,
			&lambda.GetFunctionInput{FunctionName: &w.name}))
		if got.TagsError == nil || *got.TagsError.ErrorCode != "AccessDeniedException" || got.Tags != nil {
			t.Errorf("%+v, %v", got.TagsError, got.Tags)
		}
	})
	t.Run("by a group", func(t *testing.T) {
		user, group := w.name+"-member", w.name+"-group"
		key := w.user(user, "")
		did[*iam.CreateGroupOutput](t)(w.roles.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &group}))
		did[*iam.AttachGroupPolicyOutput](t)(w.roles.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{
			GroupName: &group, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}))
		did[*iam.AddUserToGroupOutput](t)(w.roles.AddUserToGroup(ctx, &iam.AddUserToGroupInput{
			GroupName: &group, UserName: &user}))
		if err := calls[1].do(w.as(key)); err != nil {
			t.Errorf("with the group's policy: %v", err)
		}
	})
	t.Run("a key that is deleted", func(t *testing.T) {
		user := w.name + "-former"
		key := w.user(user, allow("*", "*"))
		if err := calls[1].do(w.as(key)); err != nil {
			t.Errorf("before: %v", err)
		}
		did[*iam.DeleteAccessKeyOutput](t)(w.roles.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{
			UserName: &user, AccessKeyId: &key}))
		if err := calls[1].do(w.as(key)); err == nil || !strings.Contains(err.Error(), "security token") {
			t.Errorf("after: %v", err)
		}
	})
}

// TestSessionsAreJudged: a role is assumed by whom it trusts, and its session may do what it may, less what the
// session's own policy leaves out.
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
	assume := func(key, role string, narrow *string) (*sts.AssumeRoleOutput, error) {
		client := sts.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &w.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(key, "b", "")})
		return client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("me"),
			Policy: narrow})
	}
	may := func(c *ststypes.Credentials) (get, list error) {
		as := w.as(*c.AccessKeyId)
		_, get = as.roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &mine})
		_, list = as.roles.ListRoles(ctx, &iam.ListRolesInput{})
		return get, list
	}
	t.Run("whom the role trusts", func(t *testing.T) {
		o := did[*sts.AssumeRoleOutput](t)(assume(user, *made.Role.Arn, nil))
		if get, list := may(o.Credentials); get != nil || list != nil {
			t.Errorf("%v, %v", get, list)
		}
		if _, err := w.as(*o.Credentials.AccessKeyId).tables.ListTables(ctx, nil); err == nil ||
			!strings.Contains(err.Error(), "assumed-role/"+mine+"/me is not authorized to perform: "+
				"dynamodb:ListTables") {
			t.Errorf("what it may not: %v", err)
		}
	})
	t.Run("with a policy of the session", func(t *testing.T) {
		narrow := `{"Version":"2012-10-17","Statement":[` + allow("iam:GetRole", "*") + `]}`
		o := did[*sts.AssumeRoleOutput](t)(assume(user, *made.Role.Arn, &narrow))
		if get, list := may(o.Credentials); get != nil || list == nil || !strings.Contains(list.Error(),
			"session policy") {
			t.Errorf("%v, %v", get, list)
		}
	})
	for _, c := range [][3]string{
		{"whom it does not trust", "somebody", *made.Role.Arn},
		{"a role that is not there", user, *made.Role.Arn + "-else"},
	} {
		t.Run(c[0], func(t *testing.T) {
			if _, err := assume(c[1], c[2], nil); err == nil || !strings.Contains(err.Error(), "sts:AssumeRole") {
				t.Errorf("%v", err)
			}
		})
	}
}
