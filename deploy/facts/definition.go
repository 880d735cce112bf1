package facts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// apiExport is an HTTP API as ExportApi returns it ("Working with OpenAPI definitions for HTTP APIs").
type apiExport struct {
	Paths      map[string]map[string]json.RawMessage
	CORS       json.RawMessage `json:"x-amazon-apigateway-cors"`
	Components struct {
		Schemes map[string]json.RawMessage            `json:"securitySchemes"`
		Targets map[string]map[string]json.RawMessage `json:"x-amazon-apigateway-integrations"`
	}
}

// routeExport is a route in an [apiExport].
type routeExport struct {
	Target   map[string]json.RawMessage `json:"x-amazon-apigateway-integration"`
	Auth     json.RawMessage            `json:"x-amazon-apigateway-auth"`
	Security []map[string][]string      `json:"security"`
}

// parseDefinition reads the answer of ExportApi.
func parseDefinition(answer any) (d doctor.Definition, err error) {
	var encoded []byte
	var all apiExport
	if err = cloud.Decode(cloud.Search("Body", answer), &encoded); err != nil {
		return d, err
	}
	if err = json.Unmarshal(encoded, &all); err != nil {
		return d, err
	}
	d.Routes, d.Leads = map[string]string{}, map[string]doctor.Lead{}
	for path, methods := range all.Paths {
		for method, text := range methods {
			key := strings.ToUpper(method) + " " + path
			if method == "x-amazon-apigateway-any-method" {
				key = "ANY " + path
			}
			if path == "/$default" {
				key = "$default"
			}
			var route routeExport
			if err := json.Unmarshal(text, &route); err != nil {
				return d, err
			}
			lead := all.leadOf(route)
			d.Leads[key], d.Routes[key] = lead, digest(lead)
		}
	}
	if len(all.CORS) > 0 {
		d.CORS = digest(all.CORS)
	}
	return d, nil
}

// leadOf returns the integration of a route and a digest of who may use it. Several routes may refer to one
// integration.
func (all apiExport) leadOf(route routeExport) (l doctor.Lead) {
	target := route.Target
	var reference string
	if json.Unmarshal(target["$ref"], &reference) == nil {
		target = all.Components.Targets[reference[strings.LastIndex(reference, "/")+1:]]
	}
	if len(target) > 0 {
		decode := func(name string, into any) { _ = json.Unmarshal(target[name], into) } // a missing field stays empty
		i := &doctor.Integration{}
		decode("type", &i.Type)
		decode("uri", &i.URI)
		decode("httpMethod", &i.Method)
		decode("credentials", &i.Credentials)
		decode("payloadFormatVersion", &i.PayloadFormat)
		decode("timeoutInMillis", &i.TimeoutMillis)
		decode("connectionType", &i.Connection)
		decode("requestParameters", &i.Parameters)
		var subtype string
		if decode("subtype", &subtype); subtype == "" {
			decode("integrationSubtype", &subtype)
		}
		i.Type, i.Subtype = strings.ToUpper(i.Type), subtype
		l.Integration = i
	}
	if len(route.Security) > 0 || len(route.Auth) > 0 {
		schemes := map[string]json.RawMessage{}
		for _, one := range route.Security {
			for name := range one {
				schemes[name] = all.Components.Schemes[name]
			}
		}
		l.Access = digest([]any{route.Auth, route.Security, schemes})
	}
	return l
}

// digest returns a short hash of a value. It is the same for equal values.
func digest(value any) string {
	text, _ := json.Marshal(value) // the value was decoded from JSON, so it encodes
	var same any
	_ = json.Unmarshal(text, &same)
	canonical, _ := json.Marshal(same)
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:6])
}
