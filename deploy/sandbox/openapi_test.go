package sandbox

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// TestExportAndImport: an export describes what a stage serves, or without a stage what would be deployed. Importing it
// makes an equal API.
func TestExportAndImport(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	api := w.api(arn, "GET /notes", "ANY /notes/{id}", "$default")
	a := did[*apigatewayv2.CreateAuthorizerOutput](t)(w.gateway.CreateAuthorizer(ctx,
		&apigatewayv2.CreateAuthorizerInput{
			ApiId: &api, Name: aws.String("mine"), AuthorizerType: "REQUEST", AuthorizerUri: &arn,
			AuthorizerPayloadFormatVersion: aws.String("2.0"), EnableSimpleResponses: aws.Bool(true),
			IdentitySource: []string{"$request.header.Answer"}}))
	did[*apigatewayv2.UpdateApiOutput](t)(w.gateway.UpdateApi(ctx, &apigatewayv2.UpdateApiInput{ApiId: &api,
		CorsConfiguration: &types.Cors{AllowOrigins: []string{"https://a.example"}}}))
	export := func(id string, stage *string) string {
		t.Helper()
		out := did[*apigatewayv2.ExportApiOutput](t)(w.gateway.ExportApi(ctx, &apigatewayv2.ExportApiInput{ApiId: &id,
			Specification: aws.String("OAS30"), OutputType: aws.String("JSON"), StageName: stage}))
		return string(out.Body)
	}
	manual := aws.String("manual")
	did[*apigatewayv2.CreateStageOutput](t)(w.gateway.CreateStage(ctx, &apigatewayv2.CreateStageInput{ApiId: &api,
		StageName: manual}))
	did[*apigatewayv2.CreateDeploymentOutput](t)(w.gateway.CreateDeployment(ctx,
		&apigatewayv2.CreateDeploymentInput{ApiId: &api, StageName: manual}))
	for _, r := range did[*apigatewayv2.GetRoutesOutput](t)(w.gateway.GetRoutes(ctx,
		&apigatewayv2.GetRoutesInput{ApiId: &api})).Items {
		if *r.RouteKey == "GET /notes" {
			did[*apigatewayv2.UpdateRouteOutput](t)(w.gateway.UpdateRoute(ctx,
				&apigatewayv2.UpdateRouteInput{ApiId: &api,
					RouteId: r.RouteId, AuthorizationType: "CUSTOM", AuthorizerId: a.AuthorizerId}))
		}
	}
	before, latest := export(api, manual), export(api, nil)
	if strings.Contains(before, `"security":`) || !strings.Contains(latest, `"security":[{"mine":[]}]`) ||
		!strings.Contains(latest, `"isDefaultRoute":true`) || !strings.Contains(latest, arn) {
		t.Errorf("the stage's export is\n%s\nthe latest\n%s", before, latest)
	}
	made := did[*apigatewayv2.ImportApiOutput](t)(w.gateway.ImportApi(ctx, &apigatewayv2.ImportApiInput{Body: &latest}))
	withoutID := func(text, id string) string {
		return strings.NewReplacer(id, "ID", *made.ApiId, "ID").Replace(text)
	}
	if got := export(*made.ApiId, nil); withoutID(got, api) != withoutID(latest, api) {
		t.Errorf("after the import it is\n%s\nbefore\n%s", got, latest)
	}
	w.stage(*made.ApiId, "dev")
	w.grant(*made.ApiId, "*")
	w.ask(*made.ApiId, "GET", "/dev/elsewhere", "").is(t, "imported", 200, "")
	small := `openapi: 3.0.1
info: {title: small, version: "1"}
paths:
  /only:
    get:
      x-amazon-apigateway-integration:
        {type: AWS_PROXY, httpMethod: POST, payloadFormatVersion: "2.0", uri: "` + arn + `"}
`
	did[*apigatewayv2.ReimportApiOutput](t)(w.gateway.ReimportApi(ctx, &apigatewayv2.ReimportApiInput{ApiId: made.ApiId,
		Body: &small}))
	w.ask(*made.ApiId, "GET", "/dev/only", "").is(t, "a route of the definition", 200, "")
	w.ask(*made.ApiId, "GET", "/dev/notes", "").is(t, "a route of the former definition", 404, notFoundBody)
}

// smallDefinition returns the definition in YAML of an API with one route and an unquoted status.
func smallDefinition(more string) string {
	return `openapi: 3.0.1
info: {title: small, version: "1"}
paths:
  /only:
    get:
      responses: {200: {description: as it should be}}
` + more
}

// TestImports: valid definitions are accepted, and an invalid one changes nothing.
func TestImports(t *testing.T) {
	w := open(t)
	ctx, arn := t.Context(), w.function(bootstrap(t))
	to := `      x-amazon-apigateway-integration:
        {type: AWS_PROXY, httpMethod: POST, payloadFormatVersion: "2.0", uri: "` + arn + `"}
`
	made := did[*apigatewayv2.ImportApiOutput](t)(w.gateway.ImportApi(ctx,
		&apigatewayv2.ImportApiInput{Body: aws.String(smallDefinition(to))}))
	w.stage(*made.ApiId, "dev")
	w.grant(*made.ApiId, "*")
	w.ask(*made.ApiId, "GET", "/dev/only", "").is(t, "an unquoted status", 200, "")
	for _, c := range []struct{ name, api, body, says string }{
		{"not a definition", *made.ApiId, "swagger: '2.0'", "Unable to parse"},
		{"an unknown format", *made.ApiId, smallDefinition(strings.Replace(to, "2.0", "3.0", 1)), "1.0 or 2.0"},
		{"a missing authorizer", *made.ApiId, smallDefinition(to + "      security: [{none: []}]\n"),
			`the definition has no authorizer "none"`},
		{"a missing integration", *made.ApiId,
			smallDefinition("      x-amazon-apigateway-integration: {$ref: '#/components/x/none'}\n"),
			"the definition has no integration"},
		{"no title", *made.ApiId, strings.Replace(smallDefinition(to), "title", "name", 1), "info.title"},
		{"a missing API", "nosuch", smallDefinition(to), "Invalid API identifier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := w.gateway.ReimportApi(ctx, &apigatewayv2.ReimportApiInput{ApiId: &c.api, Body: &c.body})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			w.ask(*made.ApiId, "GET", "/dev/only", "").is(t, "the API afterwards", 200, "")
		})
	}
	t.Run("AWS_IAM", func(t *testing.T) {
		body := smallDefinition(to + "      x-amazon-apigateway-auth: {type: AWS_IAM}\n")
		did[*apigatewayv2.ReimportApiOutput](t)(w.gateway.ReimportApi(ctx,
			&apigatewayv2.ReimportApiInput{ApiId: made.ApiId, Body: &body}))
		w.ask(*made.ApiId, "GET", "/dev/only", "").is(t, "not signed", 403, forbiddenBody)
	})
}
