package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// grantPatterns are endings of source ARNs, after the API's id, as tools write them. Each character of opens says
// whether the pattern allows one of the requests of TestGrantPatterns.
var grantPatterns = []struct {
	pattern, opens string
}{
	{"*", "yyyyyy"},              // Serverless Framework, SST, Chalice, Zappa, up
	{"*/*", "yyyyyy"},            // the Terraform examples, CDK without scopes, and many blogs
	{"*/*/*", "yyy-y-"},          // usual for REST APIs; Claudia
	{"*/*/{proxy+}", "------"},   // CDK for a greedy route
	{"*/*/$default", "------"},   // SAM before its fix
	{"*/$default", "---y--"},     // the console and SAM for the default route
	{"dev/*/notes", "y-----"},    // ours for ANY /notes
	{"dev/*/notes/*", "-y----"},  // ours for ANY /notes/{id}
	{"dev/ANY/notes", "------"},  // looks right, but ANY is not a method
	{"*/GET/notes", "y-----"},    // SAM
	{"*/GET/notes/*", "-yy---"},  // SAM, for a variable
	{"*/*/notes", "y-----"},      // CDK
	{"dev/GET/notes", "y-----"},  // the narrowest
	{"dev/get/notes", "------"},  // lower case
	{"prod/GET/notes", "------"}, // a different stage
	{"$default/*/*", "--y---"},   // the default stage
	{"dev/GET/", "----y-"},       // the root
	{"authorizers/*", "-----y"},  // SAM, for authorizers
	{"$default/$default", "---y--"},
	{"/$default", "------"}, // a shell has expanded $default to nothing
}

// TestGrantPatterns: each pattern allows the same requests as on AWS.
func TestGrantPatterns(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	api := w.api(arn, "GET /notes", "GET /notes/{id}", "GET /", "$default", "GET /authorized")
	w.stage(api, "$default")
	authorizer := did[*apigatewayv2.CreateAuthorizerOutput](t)(w.gateway.CreateAuthorizer(ctx,
		&apigatewayv2.CreateAuthorizerInput{ApiId: &api, Name: aws.String("x"),
			AuthorizerType: types.AuthorizerTypeRequest,
			AuthorizerUri:  &arn, AuthorizerPayloadFormatVersion: aws.String("2.0"),
			EnableSimpleResponses: aws.Bool(true),
			IdentitySource:        []string{}}))
	for _, r := range did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
		&apigatewayv2.GetRoutesInput{ApiId: &api})).Items {
		if *r.RouteKey == "GET /authorized" {
			did[*apigatewayv2.UpdateRouteOutput](t)(w.gateway.UpdateRoute(ctx,
				&apigatewayv2.UpdateRouteInput{ApiId: &api, RouteId: r.RouteId,
					AuthorizationType: types.AuthorizationTypeCustom, AuthorizerId: authorizer.AuthorizerId}))
		}
	}
	requests := []string{"/dev/notes", "/dev/notes/1", "/$default/notes/1", "/$default/elsewhere", "/dev/",
		"/dev/authorized"}
	for _, p := range grantPatterns {
		w.grant(api, p.pattern)
		for i, path := range requests {
			want := 500
			if p.opens[i] == 'y' {
				want = 200
				if i == 5 {
					want = 403 // the authorizer denies
				}
			}
			body := ""
			if want == 500 {
				body = internalBody
			}
			w.ask(api, "GET", path, "").is(t, p.pattern+" for "+path, want, body)
		}
		did[*lambda.RemovePermissionOutput](t)(w.functions.RemovePermission(ctx,
			&lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: aws.String("test")}))
	}
	// AWS does not document whether it presents the route's template or the request's path. A pattern that matches only
	// one of them allows the request, and the log notes that. CDK writes the template for each route.
	for _, pattern := range []string{"*/GET/notes/{id}", "*/GET/notes/1"} {
		w.grant(api, pattern)
		w.ask(api, "GET", "/dev/notes/1", "").is(t, pattern, 200, "")
		did[*lambda.RemovePermissionOutput](t)(w.functions.RemovePermission(ctx,
			&lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: aws.String("test")}))
	}
	for _, source := range []string{"/dev/GET/notes/1", "/dev/GET/notes/{id}"} {
		if want := "AWS does not document which it presents: the policy of " + arn + " does not allow the source ARN " +
			"arn:aws:execute-api:us-east-1:" + Account + ":" + api + source; !strings.Contains(shared.log.String(),
			want) {
			t.Errorf("the log does not contain %q", want)
		}
	}
}

// TestWrongStatements: API Gateway may not invoke the function if any other part of the statement is wrong.
func TestWrongStatements(t *testing.T) {
	w := open(t)
	api := w.api(w.function(bootstrap(t)), "GET /notes")
	good := lambda.AddPermissionInput{Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("apigateway.amazonaws.com"), SourceArn: aws.String("arn:aws:execute-api:us-east-1:" +
			Account + ":" + api + "/*/*"), SourceAccount: aws.String(Account)}
	for what, change := range map[string]func(*lambda.AddPermissionInput){
		"": func(*lambda.AddPermissionInput) {},
		"empty account": func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws:execute-api:us-east-1::" + api + "/*/*")
		},
		"another account": func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws:execute-api:us-east-1:999999999999:" + api + "/*/*")
		},
		"another region": func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws:execute-api:eu-west-1:" + Account + ":" + api + "/*/*")
		},
		"another partition": func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws-cn:execute-api:us-east-1:" + Account + ":" + api + "/*/*")
		},
		"a former API": func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws:execute-api:us-east-1:" + Account + ":abcdefgh/*/*")
		},
		"a logical id": func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws:execute-api:us-east-1:" + Account + ":NotesApi/*/*")
		},
		"wrong SourceAccount": func(in *lambda.AddPermissionInput) { in.SourceAccount = aws.String("999999999999") },
		"wrong principal": func(in *lambda.AddPermissionInput) {
			in.Principal = aws.String("events.amazonaws.com")
		},
		"wrong action":    func(in *lambda.AddPermissionInput) { in.Action = aws.String("lambda:GetFunction") },
		"an organisation": func(in *lambda.AddPermissionInput) { in.PrincipalOrgID = aws.String("o-a1b2c3d4e5") },
	} {
		in := good
		in.FunctionName, in.StatementId = &w.name, aws.String("test")
		change(&in)
		did[*lambda.AddPermissionOutput](t)(w.functions.AddPermission(t.Context(), &in))
		want := 500
		if what == "" {
			want = 200
		}
		w.ask(api, "GET", "/dev/notes", "").is(t, "with "+what, want, "")
		did[*lambda.RemovePermissionOutput](t)(w.functions.RemovePermission(t.Context(),
			&lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: aws.String("test")}))
	}
}

// TestQualifiers: a statement on a function, version or alias applies only to integrations with the same qualifier.
func TestQualifiers(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	did[*lambda.PublishVersionOutput](t)(w.functions.PublishVersion(ctx,
		&lambda.PublishVersionInput{FunctionName: &w.name}))
	did[*lambda.CreateAliasOutput](t)(w.functions.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &w.name,
		Name: aws.String("live"), FunctionVersion: aws.String("1")}))
	uris := map[string]string{"": arn, "1": arn + ":1",
		"live":    "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + arn + ":live/invocations",
		"missing": arn + ":missing"}
	apis := map[string]string{}
	for qualifier, uri := range uris {
		apis[qualifier] = w.api(uri, "GET /notes")
	}
	for _, on := range []string{"", "1", "live"} {
		in := &lambda.AddPermissionInput{FunctionName: &w.name, StatementId: aws.String("test"),
			Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com")}
		if on != "" {
			in.Qualifier = &on
		}
		did[*lambda.AddPermissionOutput](t)(w.functions.AddPermission(ctx, in))
		for qualifier, api := range apis {
			want := 500
			if qualifier == on {
				want = 200
			}
			w.ask(api, "GET", "/dev/notes", "").is(t, fmt.Sprintf("a statement on %q for an integration with %q", on,
				qualifier), want, "")
		}
		did[*lambda.RemovePermissionOutput](t)(w.functions.RemovePermission(ctx,
			&lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: aws.String("test"),
				Qualifier: in.Qualifier}))
	}
}

// TestCredentials: if the integration has a role, the role's policies decide.
func TestCredentials(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	api := w.api(arn, "GET /notes")
	i := did[*apigatewayv2.GetIntegrationsOutput](t)(w.gateway.GetIntegrations(ctx,
		&apigatewayv2.GetIntegrationsInput{ApiId: &api})).Items[0]
	for _, c := range []struct {
		service, statements string
		want                int
	}{
		{"apigateway.amazonaws.com", `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"` + arn + `"}`,
			200},
		{"apigateway.amazonaws.com", `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"` + arn +
			`:live"}`, 500},
		{"lambda.amazonaws.com", `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*"}`, 500},
	} {
		role := w.role(w.name+"x"+fmt.Sprint(len(c.statements), c.service[:3]), c.service, c.statements)
		did[*apigatewayv2.UpdateIntegrationOutput](t)(w.gateway.UpdateIntegration(ctx,
			&apigatewayv2.UpdateIntegrationInput{ApiId: &api, IntegrationId: i.IntegrationId, CredentialsArn: &role}))
		w.ask(api, "GET", "/dev/notes", "").is(t, c.service+" "+c.statements, c.want, "")
	}
}
