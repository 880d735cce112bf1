// Package openapi reads OpenAPI 3.0 definitions of HTTP APIs, with API Gateway's extensions ("Working with OpenAPI
// definitions for HTTP APIs", API Gateway developer guide). It makes no calls.
package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"go.yaml.in/yaml/v3"
)

// Definition is the definition of an HTTP API.
type Definition struct {
	OpenAPI    string                          `json:"openapi"`
	Info       map[string]any                  `json:"info"`
	Servers    []map[string]any                `json:"servers,omitempty"`
	Tags       []map[string]any                `json:"tags,omitempty"`
	Paths      map[string]map[string]Operation `json:"paths"`
	Components struct {
		Schemes      map[string]Scheme      `json:"securitySchemes,omitempty"`
		Integrations map[string]Integration `json:"x-amazon-apigateway-integrations,omitempty"`
	} `json:"components,omitzero"`
	CORS    *CORS  `json:"x-amazon-apigateway-cors,omitempty"`
	Version string `json:"x-amazon-apigateway-importexport-version,omitempty"`
}

// Operation is a method of a path.
type Operation struct {
	Auth        *Auth                 `json:"x-amazon-apigateway-auth,omitempty"`
	Default     bool                  `json:"isDefaultRoute,omitempty"`
	Responses   map[string]any        `json:"responses,omitempty"`
	Security    []map[string][]string `json:"security,omitempty"` // scopes, by the name of a scheme
	Integration *Integration          `json:"x-amazon-apigateway-integration,omitempty"`
}

// Auth is the kind of authorization of an operation, such as AWS_IAM.
type Auth struct {
	Type string `json:"type"`
}

// Integration is what an operation is integrated with, or a reference to one of the definition's components.
type Integration struct {
	Ref         string                       `json:"$ref,omitempty"`
	Format      string                       `json:"payloadFormatVersion,omitempty"`
	Type        string                       `json:"type,omitempty"`
	Subtype     string                       `json:"integrationSubtype,omitempty"`
	Method      string                       `json:"httpMethod,omitempty"`
	URI         string                       `json:"uri,omitempty"`
	Credentials string                       `json:"credentials,omitempty"`
	Connection  string                       `json:"connectionType,omitempty"`
	Timeout     int32                        `json:"timeoutInMillis,omitempty"`
	Request     map[string]string            `json:"requestParameters,omitempty"`
	Response    map[string]map[string]string `json:"responseParameters,omitempty"`
}

// Scheme is a security scheme. It is an authorizer of API Gateway if Authorizer is set.
type Scheme struct {
	Type       string         `json:"type"`
	Name       string         `json:"name,omitempty"`
	In         string         `json:"in,omitempty"`
	Flows      map[string]any `json:"flows,omitempty"`
	Authorizer *Authorizer    `json:"x-amazon-apigateway-authorizer,omitempty"`
}

// Authorizer is an authorizer.
type Authorizer struct {
	Type        string `json:"type"`
	Sources     List   `json:"identitySource,omitempty"`
	URI         string `json:"authorizerUri,omitempty"`
	Credentials string `json:"authorizerCredentials,omitempty"`
	Format      string `json:"authorizerPayloadFormatVersion,omitempty"`
	TTL         *int32 `json:"authorizerResultTtlInSeconds,omitempty"` // seconds
	Simple      bool   `json:"enableSimpleResponses,omitempty"`
	JWT         *JWT   `json:"jwtConfiguration,omitempty"` // nil for a Lambda authorizer
}

// JWT is whose tokens an authorizer accepts.
type JWT struct {
	Issuer   string   `json:"issuer"`
	Audience []string `json:"audience"`
}

// CORS is the CORS configuration of an API.
type CORS struct {
	Origins     []string `json:"allowOrigins,omitempty"`
	Methods     []string `json:"allowMethods,omitempty"`
	Headers     []string `json:"allowHeaders,omitempty"`
	Expose      []string `json:"exposeHeaders,omitempty"`
	Credentials *bool    `json:"allowCredentials,omitempty"`
	MaxAge      *int32   `json:"maxAge,omitempty"` // seconds
}

// List is a list that is written as a string with commas, or as a list, which is what SAM writes.
type List []string

var comma = regexp.MustCompile(`\s*,\s*`)

// MarshalJSON implements json.Marshaler.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Join(l, ",")) }

// AnyMethod stands for the method ANY.
const AnyMethod = "x-amazon-apigateway-any-method"

// methods are the members of a path that are operations.
var methods = []string{AnyMethod, "get", "head", "options", "post", "put", "patch", "delete"}

// Parse reads a definition in JSON or YAML. It returns an error if the text is not OpenAPI 3 with a title and paths.
func Parse(text string) (d Definition, err error) {
	var fields map[string]any
	if err = yaml.Unmarshal([]byte(text), &fields); err != nil {
		return d, err
	}
	d, err = Decode(fields)
	if err == nil && (d.OpenAPI == "" || len(d.Paths) == 0 || d.Info["title"] == nil) {
		err = errors.New("openapi, info.title or paths are missing")
	}
	return d, err
}

// Decode reads a definition from the values that JSON or YAML decode to. It changes them. Besides an error for what has
// another type it returns the rest. A number may stand for a string, as tools write the version of a payload.
func Decode(fields map[string]any) (d Definition, err error) {
	paths, _ := fields["paths"].(map[string]any)
	for _, path := range paths {
		if item, ok := path.(map[string]any); ok {
			maps.DeleteFunc(item, func(name string, _ any) bool { return !slices.Contains(methods, name) })
		}
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &d, TagName: "json",
		WeaklyTypedInput: true, DecodeHook: func(from, to reflect.Type, value any) (any, error) {
			switch text, isText := value.(string); {
			case to == reflect.TypeFor[List]() && isText && text != "":
				return comma.Split(text, -1), nil
			case from.Kind() == reflect.Float64 && to.Kind() == reflect.String:
				return fmt.Sprintf("%.1f", value), nil // 2.0
			}
			return value, nil
		}})
	if err == nil {
		err = decoder.Decode(stringKeys(fields))
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

// Route is a route of an API.
type Route struct {
	Key          string // such as GET /notes, ANY /notes/{id} or $default
	Path, Method string // where the definition has it
	IAM          bool   // only signed requests may use it
	Authorizer   string // name of its scheme; "" for none
	Scopes       []string
	Integration  *Integration // nil for none
	Err          error        // it refers to an authorizer or an integration that the definition lacks; nil if not
}

// Routes returns the routes of a definition, sorted by path and method.
func (d *Definition) Routes() (all []Route) {
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			all = append(all, d.route(path, method))
		}
	}
	return all
}

func (d *Definition) route(path, method string) Route {
	o := d.Paths[path][method]
	r := Route{Key: strings.ToUpper(method) + " " + path, Path: path, Method: method, Integration: o.Integration,
		IAM: o.Auth != nil && strings.EqualFold(o.Auth.Type, "AWS_IAM")}
	switch {
	case o.Default || path == "/$default":
		r.Key = "$default"
	case method == AnyMethod:
		r.Key = "ANY " + path
	}
	for _, needs := range o.Security {
		for _, name := range slices.Sorted(maps.Keys(needs)) {
			if d.Components.Schemes[name].Authorizer == nil {
				r.Err = fmt.Errorf("route %s: the definition has no authorizer %q", r.Key, name)
				continue
			}
			r.Authorizer, r.Scopes = name, needs[name]
		}
	}
	if i := r.Integration; i != nil && i.Ref != "" {
		one, ok := d.Components.Integrations[i.Ref[strings.LastIndex(i.Ref, "/")+1:]]
		if r.Integration = &one; !ok {
			r.Integration, r.Err = nil, fmt.Errorf("route %s: the definition has no integration %q", r.Key, i.Ref)
		}
	}
	return r
}
