package sandbox

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// openAPI is the OpenAPI 3.0 definition of an HTTP API, with API Gateway's extensions ("Working with OpenAPI
// definitions for HTTP APIs").
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
	Sources     commas `json:"identitySource,omitempty"`
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

// commas is a list that is written as a string with commas, or as a list, which is what SAM writes.
type commas []string

var comma = regexp.MustCompile(`\s*,\s*`)

func (c *commas) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) != nil {
		return json.Unmarshal(text, (*[]string)(c))
	}
	if *c = nil; one != "" {
		*c = comma.Split(one, -1)
	}
	return nil
}

func (c commas) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Join(c, ",")) }

type openAPICors struct {
	Origins     []string `json:"allowOrigins,omitempty"`
	Methods     []string `json:"allowMethods,omitempty"`
	Headers     []string `json:"allowHeaders,omitempty"`
	Expose      []string `json:"exposeHeaders,omitempty"`
	Credentials *bool    `json:"allowCredentials,omitempty"`
	MaxAge      *int32   `json:"maxAge,omitempty"`
}

// anyMethod stands for the method ANY.
const anyMethod = "x-amazon-apigateway-any-method"

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
		d.Cors = &openAPICors{Origins: c.AllowOrigins, Methods: c.AllowMethods, Headers: c.AllowHeaders,
			Expose: c.ExposeHeaders, Credentials: c.AllowCredentials, MaxAge: c.MaxAge}
	}
	return d
}

func schemeOf(a *apigatewayv2.GetAuthorizerOutput) openAPIScheme {
	authorizer := &openAPIAuthorizer{Type: strings.ToLower(string(a.AuthorizerType)),
		Sources: a.IdentitySource,
		URI:     *orEmpty(a.AuthorizerUri), Credentials: *orEmpty(a.AuthorizerCredentialsArn),
		Format: *orEmpty(a.AuthorizerPayloadFormatVersion), TTL: a.AuthorizerResultTtlInSeconds,
		Simple: aws.ToBool(a.EnableSimpleResponses)}
	scheme := openAPIScheme{Type: "apiKey", Name: "Authorization", In: "header", Authorizer: authorizer}
	if j := a.JwtConfiguration; j != nil {
		authorizer.JWT = &struct {
			Issuer   string   `json:"issuer"`
			Audience []string `json:"audience"`
		}{*orEmpty(j.Issuer), j.Audience}
		scheme = openAPIScheme{Type: "oauth2", Flows: map[string]any{}, Authorizer: authorizer}
	}
	return scheme
}
