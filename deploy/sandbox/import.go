package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"go.yaml.in/yaml/v3"
)

// importAPI creates an API from an OpenAPI definition, or replaces the contents of an existing API.
func importAPI(s *Sandbox, c *call) answer {
	var in struct{ Body string }
	c.decode(&in)
	d, err := parseOpenAPI(in.Body)
	if err == nil && (d.OpenAPI == "" || len(d.Paths) == 0 || d.Info["title"] == nil) {
		err = errors.New("openapi, info.title or paths are missing")
	}
	if err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Unable to parse the OpenAPI definition: it "+
			"must be OpenAPI 3.0 as JSON or YAML: %v", err)
	}
	i := &importer{ctx: c.Context(), client: s.operatorClient(c.Region), authorizers: map[string]string{},
		jwt: map[string]bool{}}
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

// parseOpenAPI reads a definition in JSON or YAML.
func parseOpenAPI(text string) (d openAPI, err error) {
	var fields map[string]any
	if err = yaml.Unmarshal([]byte(text), &fields); err != nil {
		return d, err
	}
	paths, _ := fields["paths"].(map[string]any)
	for _, path := range paths {
		if item, ok := path.(map[string]any); ok { // keeps only the methods
			maps.DeleteFunc(item, func(name string, _ any) bool { return !slices.Contains(methods, name) })
		}
	}
	asJSON, err := json.Marshal(stringKeys(fields))
	if err == nil {
		err = json.Unmarshal(asJSON, &d)
	}
	return d, err
}

// stringKeys converts the keys of a YAML value to strings, as JSON has them: YAML reads an unquoted 200 as a number.
func stringKeys(value any) any {
	switch v := value.(type) {
	case map[any]any:
		fields := map[string]any{}
		for name, one := range v {
			fields[fmt.Sprint(name)] = stringKeys(one)
		}
		return fields
	case map[string]any:
		for name, one := range v {
			v[name] = stringKeys(one)
		}
	case []any:
		for i := range v {
			v[i] = stringKeys(v[i])
		}
	}
	return value
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
	jwt         map[string]bool   // names of the JWT authorizers
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

func (i *importer) create(d openAPI) {
	i.do(func() error {
		in := &apigatewayv2.CreateApiInput{Name: d.info("title"), Version: d.info("version"),
			ProtocolType: types.ProtocolTypeHttp}
		if d.Cors != nil {
			in.CorsConfiguration = d.Cors.configuration()
		}
		made, err := i.client.CreateApi(i.ctx, in)
		if err == nil {
			i.api = made.ApiId
		}
		return err
	})
}

// info returns a text of the definition's info; nil for none.
func (d *openAPI) info(name string) *string {
	if d.Info[name] == nil {
		return nil
	}
	return aws.String(fmt.Sprint(d.Info[name]))
}

// update gives an existing API the name, the version and the CORS configuration of a definition.
func (i *importer) update(d openAPI) {
	i.do(func() error {
		in := &apigatewayv2.UpdateApiInput{ApiId: i.api, Name: d.info("title"), Version: d.info("version")}
		if d.Cors != nil {
			in.CorsConfiguration = d.Cors.configuration()
		}
		_, err := i.client.UpdateApi(i.ctx, in)
		return err
	})
	if d.Cors == nil {
		i.do(func() error {
			_, err := i.client.DeleteCorsConfiguration(i.ctx, &apigatewayv2.DeleteCorsConfigurationInput{ApiId: i.api})
			return err
		})
	}
}

func (c *openAPICors) configuration() *types.Cors {
	return &types.Cors{AllowOrigins: c.Origins, AllowMethods: c.Methods, AllowHeaders: c.Headers,
		ExposeHeaders:    c.Expose,
		AllowCredentials: c.Credentials, MaxAge: c.MaxAge}
}

// fill creates the authorizers, integrations and routes.
func (i *importer) fill(d openAPI) {
	for _, name := range sortedKeys(d.Schemes.Security) {
		i.authorizer(name, d.Schemes.Security[name].Authorizer)
	}
	for _, path := range sortedKeys(d.Paths) {
		for _, method := range sortedKeys(d.Paths[path]) {
			route := d.Paths[path][method]
			key := strings.ToUpper(method) + " " + path
			if method == anyMethod {
				key = "ANY " + path
			}
			if route.Default || path == "/$default" {
				key = "$default"
			}
			i.route(key, route, d.Schemes.Named)
		}
	}
}

var methods = []string{anyMethod, "get", "head", "options", "post", "put", "patch", "delete"}

func (i *importer) authorizer(name string, a *openAPIAuthorizer) {
	if a == nil {
		return
	}
	in := &apigatewayv2.CreateAuthorizerInput{ApiId: i.api, Name: &name, AuthorizerType: types.AuthorizerTypeRequest,
		AuthorizerResultTtlInSeconds: a.TTL, EnableSimpleResponses: &a.Simple,
		IdentitySource: append([]string{}, a.Sources...)} // required, even if empty
	for from, to := range map[*string]**string{&a.URI: &in.AuthorizerUri, &a.Credentials: &in.AuthorizerCredentialsArn,
		&a.Format: &in.AuthorizerPayloadFormatVersion} {
		if *from != "" {
			*to = from
		}
	}
	if a.JWT != nil {
		in.AuthorizerType, in.EnableSimpleResponses = types.AuthorizerTypeJwt, nil
		in.JwtConfiguration = &types.JWTConfiguration{Issuer: &a.JWT.Issuer, Audience: a.JWT.Audience}
	}
	i.do(func() error {
		made, err := i.client.CreateAuthorizer(i.ctx, in)
		if err == nil {
			i.authorizers[name], i.jwt[name] = *made.AuthorizerId, a.JWT != nil
		}
		return err
	})
}

func (i *importer) route(key string, r openAPIRoute, named map[string]openAPITarget) {
	in := &apigatewayv2.CreateRouteInput{ApiId: i.api, RouteKey: &key}
	if r.Auth != nil && strings.EqualFold(r.Auth.Type, "AWS_IAM") {
		in.AuthorizationType = types.AuthorizationTypeAwsIam
	}
	for _, needs := range r.Security {
		for _, name := range sortedKeys(needs) {
			id, ok := i.authorizers[name]
			if !ok {
				i.do(func() error { return fmt.Errorf("route %s: the definition has no authorizer %q", key, name) })
			}
			in.AuthorizerId, in.AuthorizationType = &id, types.AuthorizationTypeCustom
			if i.jwt[name] {
				in.AuthorizationType, in.AuthorizationScopes = types.AuthorizationTypeJwt, needs[name]
			}
		}
	}
	if t := r.Integration; t != nil {
		if t.Ref != "" {
			one, ok := named[t.Ref[strings.LastIndex(t.Ref, "/")+1:]]
			if !ok {
				i.do(func() error { return fmt.Errorf("route %s: the definition has no integration %q", key, t.Ref) })
			}
			t = &one
		}
		i.do(func() error {
			target := &apigatewayv2.CreateIntegrationInput{ApiId: i.api, RequestParameters: t.Request,
				IntegrationType: types.IntegrationType(strings.ToUpper(t.Type)), ResponseParameters: t.Response}
			for from, to := range map[*string]**string{&t.URI: &target.IntegrationUri,
				&t.Method:      &target.IntegrationMethod,
				&t.Credentials: &target.CredentialsArn, &t.Format: &target.PayloadFormatVersion} {
				if *from != "" {
					*to = from
				}
			}
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
