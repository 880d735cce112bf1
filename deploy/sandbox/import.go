package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/openapi"
)

// importAPI creates an API from an OpenAPI definition, or replaces the contents of an existing API.
func importAPI(s *Sandbox, c *call) answer {
	var in struct{ Body string }
	c.decode(&in)
	d, err := openapi.Parse(in.Body)
	if err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Unable to parse the OpenAPI definition: it "+
			"must be OpenAPI 3.0 as JSON or YAML: %v", err)
	}
	i := &importer{ctx: c.Context(), client: s.operatorClient(c.Region), authorizers: map[string]string{}}
	id := c.PathValue("api")
	if id != "" && !s.hasAPI(id) {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid API identifier specified %s:%s", Account, id)
	}
	trial := *i // tries the definition on a new API first: an invalid one must not change the existing API
	trial.create(d)
	if trial.fill(d); id == "" || trial.err != nil {
		i = &trial
	} else {
		i.api = &id
		i.wipe()
		i.update(d)
		i.fill(d)
	}
	if trial.api != nil && (id != "" || trial.err != nil) {
		_, err := trial.client.DeleteApi(context.WithoutCancel(c.Context()),
			&apigatewayv2.DeleteApiInput{ApiId: trial.api})
		if err != nil {
			s.log.Printf("the API %s, on which an import was tried, cannot be deleted: %v", *trial.api, err)
		}
	}
	if i.err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "%v", i.err)
	}
	current, err := s.moto.do(c.Context(), http.MethodGet, "/v2/apis/"+*i.api, c.Header, nil)
	if err != nil {
		return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
	}
	current.status = http.StatusCreated
	return localEndpoint(s, c, func() answer { return current })
}

// operatorClient returns a client of the sandbox itself, with the operator's key.
func (s *Sandbox) operatorClient(region string) *apigatewayv2.Client {
	return apigatewayv2.NewFromConfig(aws.Config{Region: region, BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", "")})
}

// importer creates what a definition describes, until a call fails.
type importer struct {
	ctx         context.Context
	client      *apigatewayv2.Client
	api         *string
	authorizers map[string]string // IDs by name
	err         error
}

func (i *importer) do(call func() error) {
	if i.err == nil {
		i.err = call()
	}
}

// wipe deletes the routes, integrations and authorizers of the API.
func (i *importer) wipe() {
	wipeAll(i, func() ([]types.Route, error) {
		got, err := i.client.GetRoutes(i.ctx, &apigatewayv2.GetRoutesInput{ApiId: i.api})
		return orEmpty(got).Items, err
	}, func(r types.Route) error {
		_, err := i.client.DeleteRoute(i.ctx, &apigatewayv2.DeleteRouteInput{ApiId: i.api, RouteId: r.RouteId})
		return err
	})
	wipeAll(i, func() ([]types.Integration, error) {
		got, err := i.client.GetIntegrations(i.ctx, &apigatewayv2.GetIntegrationsInput{ApiId: i.api})
		return orEmpty(got).Items, err
	}, func(one types.Integration) error {
		_, err := i.client.DeleteIntegration(i.ctx, &apigatewayv2.DeleteIntegrationInput{ApiId: i.api,
			IntegrationId: one.IntegrationId})
		return err
	})
	wipeAll(i, func() ([]types.Authorizer, error) {
		got, err := i.client.GetAuthorizers(i.ctx, &apigatewayv2.GetAuthorizersInput{ApiId: i.api})
		return orEmpty(got).Items, err
	}, func(one types.Authorizer) error {
		_, err := i.client.DeleteAuthorizer(i.ctx, &apigatewayv2.DeleteAuthorizerInput{ApiId: i.api,
			AuthorizerId: one.AuthorizerId})
		return err
	})
}

// wipeAll deletes all that list returns, page by page.
func wipeAll[T any](i *importer, list func() ([]T, error), remove func(T) error) {
	for i.err == nil {
		all, err := list()
		i.do(func() error { return err })
		for _, one := range all {
			i.do(func() error { return remove(one) })
		}
		if len(all) == 0 {
			return
		}
	}
}

func (i *importer) create(d openapi.Definition) {
	i.do(func() error {
		in := &apigatewayv2.CreateApiInput{Name: infoOf(d, "title"), Version: infoOf(d, "version"),
			ProtocolType: types.ProtocolTypeHttp}
		if d.CORS != nil {
			in.CorsConfiguration = corsOf(d.CORS)
		}
		made, err := i.client.CreateApi(i.ctx, in)
		if err == nil {
			i.api = made.ApiId
		}
		return err
	})
}

// infoOf returns a text of a definition's info; nil for none.
func infoOf(d openapi.Definition, name string) *string {
	if d.Info[name] == nil {
		return nil
	}
	return aws.String(fmt.Sprint(d.Info[name]))
}

// update gives an existing API the name, the version and the CORS configuration of a definition.
func (i *importer) update(d openapi.Definition) {
	i.do(func() error {
		in := &apigatewayv2.UpdateApiInput{ApiId: i.api, Name: infoOf(d, "title"), Version: infoOf(d, "version")}
		if d.CORS != nil {
			in.CorsConfiguration = corsOf(d.CORS)
		}
		_, err := i.client.UpdateApi(i.ctx, in)
		return err
	})
	if d.CORS == nil {
		i.do(func() error {
			_, err := i.client.DeleteCorsConfiguration(i.ctx, &apigatewayv2.DeleteCorsConfigurationInput{ApiId: i.api})
			return err
		})
	}
}

func corsOf(c *openapi.CORS) *types.Cors {
	return &types.Cors{AllowOrigins: c.Origins, AllowMethods: c.Methods, AllowHeaders: c.Headers,
		ExposeHeaders:    c.Expose,
		AllowCredentials: c.Credentials, MaxAge: c.MaxAge}
}

// fill creates the authorizers, integrations and routes.
func (i *importer) fill(d openapi.Definition) {
	for _, name := range sortedKeys(d.Components.Schemes) {
		i.authorizer(name, d.Components.Schemes[name].Authorizer)
	}
	for _, r := range d.Routes() {
		i.do(func() error { return r.Err })
		i.route(r, d)
	}
}

func (i *importer) authorizer(name string, a *openapi.Authorizer) {
	if a == nil {
		return
	}
	in := &apigatewayv2.CreateAuthorizerInput{ApiId: i.api, Name: &name, AuthorizerType: types.AuthorizerTypeRequest,
		AuthorizerResultTtlInSeconds: a.TTL, EnableSimpleResponses: &a.Simple,
		AuthorizerUri: optional(a.URI), AuthorizerCredentialsArn: optional(a.Credentials),
		AuthorizerPayloadFormatVersion: optional(a.Format),
		IdentitySource:                 append([]string{}, a.Sources...)} // required, even if empty
	if a.JWT != nil {
		in.AuthorizerType, in.EnableSimpleResponses = types.AuthorizerTypeJwt, nil
		in.JwtConfiguration = &types.JWTConfiguration{Issuer: &a.JWT.Issuer, Audience: a.JWT.Audience}
	}
	i.do(func() error {
		made, err := i.client.CreateAuthorizer(i.ctx, in)
		if err == nil {
			i.authorizers[name] = *made.AuthorizerId
		}
		return err
	})
}

func (i *importer) route(r openapi.Route, d openapi.Definition) {
	in := &apigatewayv2.CreateRouteInput{ApiId: i.api, RouteKey: &r.Key}
	if r.IAM {
		in.AuthorizationType = types.AuthorizationTypeAwsIam
	}
	if r.Authorizer != "" {
		in.AuthorizerId, in.AuthorizationType = optional(i.authorizers[r.Authorizer]), types.AuthorizationTypeCustom
		if d.Components.Schemes[r.Authorizer].Authorizer.JWT != nil {
			in.AuthorizationType, in.AuthorizationScopes = types.AuthorizationTypeJwt, r.Scopes
		}
	}
	if t := r.Integration; t != nil {
		i.do(func() error {
			target := &apigatewayv2.CreateIntegrationInput{ApiId: i.api, RequestParameters: t.Request,
				IntegrationType: types.IntegrationType(strings.ToUpper(t.Type)), ResponseParameters: t.Response,
				IntegrationUri: optional(t.URI), IntegrationMethod: optional(t.Method),
				IntegrationSubtype: optional(t.Subtype), CredentialsArn: optional(t.Credentials),
				PayloadFormatVersion: optional(t.Format)}
			if t.Timeout != 0 {
				target.TimeoutInMillis = &t.Timeout
			}
			made, err := i.client.CreateIntegration(i.ctx, target)
			if err == nil {
				in.Target = aws.String("integrations/" + *made.IntegrationId)
			}
			return err
		})
	}
	i.do(func() error { _, err := i.client.CreateRoute(i.ctx, in); return err })
}

// optional returns a pointer to text, nil for "".
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
