package openapi_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/openapi"
)

// items is a definition with each kind of route.
const items = `openapi: 3.0.1
info: {title: items, version: "1"}
paths:
  /items:
    summary: all items
    get:
      responses: {200: {description: an unquoted status}}
      security: [{token: [read]}]
      x-amazon-apigateway-integration: {$ref: '#/components/x-amazon-apigateway-integrations/app'}
    post:
      x-amazon-apigateway-auth: {type: AWS_IAM}
      x-amazon-apigateway-integration: {$ref: '#/components/x-amazon-apigateway-integrations/app'}
  /files/{proxy+}:
    x-amazon-apigateway-any-method: {}
  /$default:
    x-amazon-apigateway-any-method:
      isDefaultRoute: true
      x-amazon-apigateway-integration: {type: HTTP_PROXY, uri: https://example.com}
components:
  securitySchemes:
    token:
      type: oauth2
      x-amazon-apigateway-authorizer:
        type: jwt
        identitySource: $request.header.Authorization, $request.querystring.token
        jwtConfiguration: {issuer: https://issuer.example, audience: [notes]}
  x-amazon-apigateway-integrations:
    app: {type: AWS_PROXY, payloadFormatVersion: 2.0, uri: the function}
`

func TestRoutes(t *testing.T) {
	d, err := openapi.Parse(items)
	if err != nil {
		t.Fatal(err)
	}
	routes := d.Routes()
	var keys []string
	for _, r := range routes {
		keys = append(keys, r.Key)
	}
	if want := []string{"$default", "ANY /files/{proxy+}", "GET /items", "POST /items"}; !slices.Equal(keys, want) {
		t.Errorf("the routes are %q, want %q", keys, want)
	}
	if r := routes[2]; r.Authorizer != "token" || !slices.Equal(r.Scopes, []string{"read"}) || r.IAM ||
		r.Integration.URI != "the function" || r.Integration.Format != "2.0" {
		t.Errorf("GET /items is %+v", r)
	}
	if r := routes[3]; r.Authorizer != "" || !r.IAM {
		t.Errorf("POST /items is %+v", r)
	}
	if r := routes[1]; r.Integration != nil {
		t.Errorf("the route without an integration has %+v", r.Integration)
	}
	sources := d.Components.Schemes["token"].Authorizer.Sources
	if want := []string{"$request.header.Authorization", "$request.querystring.token"}; !slices.Equal(sources, want) {
		t.Errorf("the identity sources are %q", sources)
	}
	if text, err := json.Marshal(sources); err != nil || string(text) != `"`+strings.Join(sources, ",")+`"` {
		t.Errorf("they are written as %s, %v", text, err)
	}
}

func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ name, from, to, says string }{
		{"not YAML", "openapi", "{", "yaml: "},
		{"Swagger", "openapi: 3.0.1", "swagger: '2.0'", "openapi, info.title or paths are missing"},
		{"no title", "title", "name", "openapi, info.title or paths are missing"},
		{"no paths", "paths:", "others:", "openapi, info.title or paths are missing"},
		{"no authorizer", "token: [read]", "none: []", `route GET /items: the definition has no authorizer "none"`},
		{"no integration", "integrations/app'", "integrations/none'",
			"route GET /items: the definition has no integration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := openapi.Parse(strings.Replace(items, c.from, c.to, 1))
			for _, r := range d.Routes() {
				err = errors.Join(err, r.Err)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
