package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"go.yaml.in/yaml/v3"
)

// openAPI is an HTTP API as OpenAPI 3.0 with API Gateway's extensions ("Working with OpenAPI definitions for HTTP
// APIs").
type openAPI struct {
	OpenAPI string                             `json:"openapi"`
	Info    map[string]any                     `json:"info"`
	Servers []map[string]any                   `json:"servers,omitempty"`
	Tags    []map[string]any                   `json:"tags,omitempty"`
	Paths   map[string]map[string]openAPIRoute `json:"paths"`
	Schemes struct {
		Security map[string]openAPIScheme `json:"securitySchemes,omitempty"`
		Named    map[string]openAPITarget `json:"x-amazon-apigateway-integrations,omitempty"`
	} `json:"components,omitzero"`
	Cors    *openAPICors `json:"x-amazon-apigateway-cors,omitempty"`
	Version string       `json:"x-amazon-apigateway-importexport-version,omitempty"`
}

type openAPIRoute struct {
	Auth *struct {
		Type string `json:"type"`
	} `json:"x-amazon-apigateway-auth,omitempty"`
	Default     bool                  `json:"isDefaultRoute,omitempty"`
	Responses   map[string]any        `json:"responses,omitempty"`
	Security    []map[string][]string `json:"security,omitempty"`
	Integration *openAPITarget        `json:"x-amazon-apigateway-integration,omitempty"`
}

type openAPITarget struct {
	Ref         string                       `json:"$ref,omitempty"`
	Format      string                       `json:"payloadFormatVersion,omitempty"`
	Type        string                       `json:"type,omitempty"`
	Method      string                       `json:"httpMethod,omitempty"`
	URI         string                       `json:"uri,omitempty"`
	Credentials string                       `json:"credentials,omitempty"`
	Connection  string                       `json:"connectionType,omitempty"`
	Timeout     int32                        `json:"timeoutInMillis,omitempty"`
	Request     map[string]string            `json:"requestParameters,omitempty"`
	Response    map[string]map[string]string `json:"responseParameters,omitempty"`
}

type openAPIScheme struct {
	Type       string             `json:"type"`
	Name       string             `json:"name,omitempty"`
	In         string             `json:"in,omitempty"`
	Flows      map[string]any     `json:"flows,omitempty"`
	Authorizer *openAPIAuthorizer `json:"x-amazon-apigateway-authorizer,omitempty"`
}

type openAPIAuthorizer struct {
	Type        string `json:"type"`
	Source      string `json:"identitySource,omitempty"`
	URI         string `json:"authorizerUri,omitempty"`
	Credentials string `json:"authorizerCredentials,omitempty"`
	Format      string `json:"authorizerPayloadFormatVersion,omitempty"`
	TTL         *int32 `json:"authorizerResultTtlInSeconds,omitempty"`
	Simple      bool   `json:"enableSimpleResponses,omitempty"`
	JWT         *struct {
		Issuer   string   `json:"issuer"`
		Audience []string `json:"audience"`
	} `json:"jwtConfiguration,omitempty"`
}

type openAPICors struct {
	Origins     []string `json:"allowOrigins,omitempty"`
	Methods     []string `json:"allowMethods,omitempty"`
	Headers     []string `json:"allowHeaders,omitempty"`
	Expose      []string `json:"exposeHeaders,omitempty"`
	Credentials *bool    `json:"allowCredentials,omitempty"`
	MaxAge      *int32   `json:"maxAge,omitempty"`
}

// anyMethod is the method ANY in OpenAPI.
const anyMethod = "x-amazon-apigateway-any-method"

// exportAPI answers with what a stage serves, or without a stage with what would be deployed now.
func exportAPI(s *Sandbox, c *call, _ *apiState) answer {
	stageName := c.URL.Query().Get("stageName")
	var shot *snapshot
	var err error
	if stageName == "" {
		shot, err = s.take(c.Context(), c.Region, c.PathValue("api"))
	} else if g := s.stage(c.PathValue("api"), stageName); g != nil {
		shot = g.deployed
	}
	if err != nil || shot == nil {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid stage identifier specified")
	}
	if len(shot.routes) == 0 {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Unable to export API because no routes exist in this API")
	}
	return jsonAnswer(http.StatusOK, shot.openAPI(stageName))
}

// openAPI is a snapshot as OpenAPI.
func (shot *snapshot) openAPI(stageName string) openAPI {
	d := openAPI{OpenAPI: "3.0.1", Version: "1.0", Paths: map[string]map[string]openAPIRoute{},
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
		if d.Schemes.Security == nil {
			d.Schemes.Security = map[string]openAPIScheme{}
		}
		d.Schemes.Security[*a.Name] = schemeOf(a)
	}
	for _, r := range shot.routes {
		method, path, found := strings.Cut(*r.RouteKey, " ")
		if method = strings.ToLower(method); !found || method == "any" {
			method = anyMethod
		}
		route := openAPIRoute{Default: !found, Responses: map[string]any{"default": map[string]string{
			"description": "Default response for " + *r.RouteKey}}}
		if !found {
			path = "/$default"
		}
		if r.AuthorizationType == types.AuthorizationTypeAwsIam {
			route.Auth = &struct {
				Type string `json:"type"`
			}{"AWS_IAM"}
		}
		if name := names[*orEmpty(r.AuthorizerId)]; name != "" {
			route.Security = []map[string][]string{{name: append([]string{}, r.AuthorizationScopes...)}}
		}
		if i, ok := shot.integrations[strings.TrimPrefix(*orEmpty(r.Target), "integrations/")]; ok {
			route.Integration = &openAPITarget{Format: *orEmpty(i.PayloadFormatVersion), Connection: "INTERNET",
				Type: strings.ToLower(string(i.IntegrationType)), Method: *orEmpty(i.IntegrationMethod),
				URI: *orEmpty(i.IntegrationUri), Credentials: *orEmpty(i.CredentialsArn),
				Timeout: aws.ToInt32(i.TimeoutInMillis), Request: i.RequestParameters, Response: i.ResponseParameters}
		}
		if d.Paths[path] == nil {
			d.Paths[path] = map[string]openAPIRoute{}
		}
		d.Paths[path][method] = route
	}
	if c := shot.api.CorsConfiguration; c != nil {
		d.Cors = &openAPICors{c.AllowOrigins, c.AllowMethods, c.AllowHeaders, c.ExposeHeaders, c.AllowCredentials,
			c.MaxAge}
	}
	return d
}

func schemeOf(a *apigatewayv2.GetAuthorizerOutput) openAPIScheme {
	is := &openAPIAuthorizer{Type: strings.ToLower(string(a.AuthorizerType)), Source: strings.Join(a.IdentitySource,
		","),
		URI: *orEmpty(a.AuthorizerUri), Credentials: *orEmpty(a.AuthorizerCredentialsArn),
		Format: *orEmpty(a.AuthorizerPayloadFormatVersion), TTL: a.AuthorizerResultTtlInSeconds,
		Simple: aws.ToBool(a.EnableSimpleResponses)}
	scheme := openAPIScheme{Type: "apiKey", Name: "Authorization", In: "header", Authorizer: is}
	if j := a.JwtConfiguration; j != nil {
		is.JWT = &struct {
			Issuer   string   `json:"issuer"`
			Audience []string `json:"audience"`
		}{*orEmpty(j.Issuer), j.Audience}
		scheme = openAPIScheme{Type: "oauth2", Flows: map[string]any{}, Authorizer: is}
	}
	return scheme
}

// importAPI makes an API of a definition, or makes one that is there be as the definition: what that lacks goes.
func importAPI(s *Sandbox, c *call) answer {
	var in struct{ Body string }
	c.decode(&in)
	d, err := parseOpenAPI(in.Body)
	if err != nil || d.OpenAPI == "" || len(d.Paths) == 0 {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Unable to parse the OpenAPI definition: it "+
			"must be "+
			"OpenAPI 3.0 as JSON or YAML, with paths: %v", err)
	}
	i := &importer{ctx: c.Context(), client: s.own(c.Region), authorizers: map[string]string{}, jwt: map[string]bool{}}
	id := c.PathValue("api")
	if id != "" && !s.has(id) {
		return c.refuse(http.StatusNotFound, "NotFoundException", "Invalid API identifier specified %s:%s", Account, id)
	}
	trial := *i // a definition that cannot be is found out on an API of its own, before anything of this one goes
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
		_, _ = trial.client.DeleteApi(c.Context(), &apigatewayv2.DeleteApiInput{ApiId: trial.api}) // of the trial alone
	}
	if i.err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "%v", i.err)
	}
	shown, err := s.moto.do(c.Context(), http.MethodGet, "/v2/apis/"+*i.api, c.Header, nil)
	if err != nil {
		return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
	}
	shown.status = http.StatusCreated
	return endpointHere(s, c, func() answer { return shown })
}

// parseOpenAPI reads a definition, in JSON or YAML.
func parseOpenAPI(text string) (d openAPI, err error) {
	var fields map[string]any
	if err = yaml.Unmarshal([]byte(text), &fields); err != nil {
		return d, err
	}
	paths, _ := fields["paths"].(map[string]any)
	for _, path := range paths { // whose other fields than methods are left out
		if of, ok := path.(map[string]any); ok {
			maps.DeleteFunc(of, func(name string, _ any) bool { return !slices.Contains(methods, name) })
		}
	}
	asJSON, err := json.Marshal(texted(fields))
	if err == nil {
		err = json.Unmarshal(asJSON, &d)
	}
	return d, err
}

// texted is a value of YAML with texts as names, as JSON has them: YAML takes an unquoted 200 for a number.
func texted(value any) any {
	switch v := value.(type) {
	case map[any]any:
		fields := map[string]any{}
		for name, one := range v {
			fields[fmt.Sprint(name)] = texted(one)
		}
		return fields
	case map[string]any:
		for name, one := range v {
			v[name] = texted(one)
		}
	case []any:
		for i := range v {
			v[i] = texted(v[i])
		}
	}
	return value
}

// own is a client of the sandbox itself, as the operator.
func (s *Sandbox) own(region string) *apigatewayv2.Client {
	return apigatewayv2.NewFromConfig(aws.Config{Region: region, BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", "")})
}

// importer makes what a definition says until something fails.
type importer struct {
	ctx         context.Context
	client      *apigatewayv2.Client
	api         *string
	authorizers map[string]string // ids by name
	jwt         map[string]bool   // the names of those for tokens
	err         error
}

func (i *importer) do(call func() error) {
	if i.err == nil {
		i.err = call()
	}
}

// wipe removes what an API has.
func (i *importer) wipe() {
	i.do(func() error {
		for i.err == nil { // a page at a time
			routes, err := i.client.GetRoutes(i.ctx, &apigatewayv2.GetRoutesInput{ApiId: i.api})
			if err != nil {
				return err
			}
			if len(routes.Items) == 0 {
				break
			}
			for _, r := range routes.Items {
				in := &apigatewayv2.DeleteRouteInput{ApiId: i.api, RouteId: r.RouteId}
				i.do(func() error { _, err := i.client.DeleteRoute(i.ctx, in); return err })
			}
		}
		integrations, err := i.client.GetIntegrations(i.ctx, &apigatewayv2.GetIntegrationsInput{ApiId: i.api})
		if err != nil {
			return err
		}
		for _, one := range integrations.Items {
			in := &apigatewayv2.DeleteIntegrationInput{ApiId: i.api, IntegrationId: one.IntegrationId}
			i.do(func() error { _, err := i.client.DeleteIntegration(i.ctx, in); return err })
		}
		authorizers, err := i.client.GetAuthorizers(i.ctx, &apigatewayv2.GetAuthorizersInput{ApiId: i.api})
		if err != nil {
			return err
		}
		for _, one := range authorizers.Items {
			in := &apigatewayv2.DeleteAuthorizerInput{ApiId: i.api, AuthorizerId: one.AuthorizerId}
			i.do(func() error { _, err := i.client.DeleteAuthorizer(i.ctx, in); return err })
		}
		return i.err
	})
}

func (i *importer) create(d openAPI) {
	i.do(func() error {
		in := &apigatewayv2.CreateApiInput{Name: aws.String(fmt.Sprint(d.Info["title"])),
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

// update gives an API that is there the name, the version and the CORS configuration of a definition.
func (i *importer) update(d openAPI) {
	i.do(func() error {
		in := &apigatewayv2.UpdateApiInput{ApiId: i.api, Name: aws.String(fmt.Sprint(d.Info["title"])),
			Version: aws.String(fmt.Sprint(d.Info["version"]))}
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

// fill makes the authorizers, integrations and routes.
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
		AuthorizerResultTtlInSeconds: a.TTL, EnableSimpleResponses: &a.Simple, IdentitySource: []string{}}
	if a.Source != "" {
		in.IdentitySource = regexp.MustCompile(`\s*,\s*`).Split(a.Source, -1)
	}
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
		for name, scopes := range needs {
			if id := i.authorizers[name]; id != "" {
				in.AuthorizerId, in.AuthorizationType = &id, types.AuthorizationTypeCustom
				if i.jwt[name] {
					in.AuthorizationType, in.AuthorizationScopes = types.AuthorizationTypeJwt, scopes
				}
			}
		}
	}
	if t := r.Integration; t != nil {
		if t.Ref != "" {
			one := named[t.Ref[strings.LastIndex(t.Ref, "/")+1:]]
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
