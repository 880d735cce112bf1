package sandbox

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/openapi"
)

// exportAPI answers with the definition of what a stage serves, or without a stage of what would be deployed now.
func exportAPI(s *Sandbox, c *call, _ *apiState) answer {
	stageName := c.URL.Query().Get("stageName")
	var shot *snapshot
	var err error
	if stageName == "" {
		shot, err = s.takeSnapshot(c.Context(), c.Region, c.PathValue("api"))
	} else if g := s.stage(c.PathValue("api"), stageName); g != nil {
		shot = g.deployed
	}
	if err != nil {
		return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
	}
	if shot == nil {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid stage identifier specified")
	}
	if len(shot.routes) == 0 {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Unable to export API because no "+
			"routes exist in this API")
	}
	return jsonAnswer(http.StatusOK, shot.openAPI(stageName))
}

// openAPI returns the definition of a snapshot.
func (shot *snapshot) openAPI(stageName string) openapi.Definition {
	d := openapi.Definition{OpenAPI: "3.0.1", Version: "1.0", Paths: map[string]map[string]openapi.Operation{},
		Info: map[string]any{"title": *shot.api.Name, "version": aws.ToString(shot.api.Version)}}
	server := map[string]any{"url": aws.ToString(shot.api.ApiEndpoint)}
	if stageName != "" && stageName != "$default" {
		server["url"] = aws.ToString(shot.api.ApiEndpoint) + "/{basePath}"
		server["variables"] = map[string]any{"basePath": map[string]string{"default": stageName}}
	}
	d.Servers = []map[string]any{server}
	names := map[string]string{}
	for id, a := range shot.authorizers {
		names[id] = *a.Name
		if d.Components.Schemes == nil {
			d.Components.Schemes = map[string]openapi.Scheme{}
		}
		d.Components.Schemes[*a.Name] = schemeOf(a)
	}
	for _, r := range shot.routes {
		method, path, found := strings.Cut(*r.RouteKey, " ")
		if method = strings.ToLower(method); !found || method == "any" {
			method = openapi.AnyMethod
		}
		route := openapi.Operation{Default: !found, Responses: map[string]any{"default": map[string]string{
			"description": "Default response for " + *r.RouteKey}}}
		if !found {
			path = "/$default"
		}
		if r.AuthorizationType == types.AuthorizationTypeAwsIam {
			route.Auth = &openapi.Auth{Type: "AWS_IAM"}
		}
		if name := names[*orEmpty(r.AuthorizerId)]; name != "" {
			route.Security = []map[string][]string{{name: append([]string{}, r.AuthorizationScopes...)}}
		}
		if i, ok := shot.integrations[strings.TrimPrefix(*orEmpty(r.Target), "integrations/")]; ok {
			route.Integration = &openapi.Integration{Format: *orEmpty(i.PayloadFormatVersion), Connection: "INTERNET",
				Type: strings.ToLower(string(i.IntegrationType)), Method: *orEmpty(i.IntegrationMethod),
				URI: *orEmpty(i.IntegrationUri), Credentials: *orEmpty(i.CredentialsArn),
				Timeout: aws.ToInt32(i.TimeoutInMillis), Request: i.RequestParameters, Response: i.ResponseParameters}
		}
		if d.Paths[path] == nil {
			d.Paths[path] = map[string]openapi.Operation{}
		}
		d.Paths[path][method] = route
	}
	if c := shot.api.CorsConfiguration; c != nil {
		d.CORS = &openapi.CORS{Origins: c.AllowOrigins, Methods: c.AllowMethods, Headers: c.AllowHeaders,
			Expose: c.ExposeHeaders, Credentials: c.AllowCredentials, MaxAge: c.MaxAge}
	}
	return d
}

func schemeOf(a *apigatewayv2.GetAuthorizerOutput) openapi.Scheme {
	authorizer := &openapi.Authorizer{Type: strings.ToLower(string(a.AuthorizerType)),
		Sources: a.IdentitySource,
		URI:     *orEmpty(a.AuthorizerUri), Credentials: *orEmpty(a.AuthorizerCredentialsArn),
		Format: *orEmpty(a.AuthorizerPayloadFormatVersion), TTL: a.AuthorizerResultTtlInSeconds,
		Simple: aws.ToBool(a.EnableSimpleResponses)}
	scheme := openapi.Scheme{Type: "apiKey", Name: "Authorization", In: "header", Authorizer: authorizer}
	if j := a.JwtConfiguration; j != nil {
		authorizer.JWT = &openapi.JWT{Issuer: *orEmpty(j.Issuer), Audience: j.Audience}
		scheme = openapi.Scheme{Type: "oauth2", Flows: map[string]any{}, Authorizer: authorizer}
	}
	return scheme
}
