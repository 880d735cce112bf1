package facts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// exported is an HTTP API as ExportApi gives it ("Working with OpenAPI definitions for HTTP APIs").
type exported struct {
	Paths      map[string]map[string]json.RawMessage
	CORS       json.RawMessage `json:"x-amazon-apigateway-cors"`
	Components struct {
		Schemes map[string]json.RawMessage            `json:"securitySchemes"`
		Targets map[string]map[string]json.RawMessage `json:"x-amazon-apigateway-integrations"`
	}
}

// exportedRoute is a route in it.
type exportedRoute struct {
	Target   map[string]json.RawMessage `json:"x-amazon-apigateway-integration"`
	Auth     json.RawMessage            `json:"x-amazon-apigateway-auth"`
	Security []map[string][]string      `json:"security"`
}

// definition reads an export: of each route what it leads to and who may use it.
func definition(answer any) (d doctor.Definition, err error) {
	var encoded []byte
	var all exported
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
			var route exportedRoute
			if err := json.Unmarshal(text, &route); err != nil {
				return d, err
			}
			lead := all.lead(route)
			d.Leads[key], d.Routes[key] = lead, digest(lead)
		}
	}
	if len(all.CORS) > 0 {
		d.CORS = digest(all.CORS)
	}
	return d, nil
}

// lead is what a route leads to. Its integration may be one that several routes refer to.
func (all exported) lead(route exportedRoute) (l doctor.Lead) {
	target := route.Target
	var reference string
	if json.Unmarshal(target["$ref"], &reference) == nil {
		target = all.Components.Targets[reference[strings.LastIndex(reference, "/")+1:]]
	}
	if len(target) > 0 {
		read := func(name string, into any) { _ = json.Unmarshal(target[name], into) } // else it stays empty
		i := &doctor.Integration{}
		read("type", &i.Type)
		read("uri", &i.URI)
		read("httpMethod", &i.Method)
		read("credentials", &i.Credentials)
		read("payloadFormatVersion", &i.PayloadFormat)
		read("timeoutInMillis", &i.TimeoutMillis)
		read("connectionType", &i.Connection)
		read("requestParameters", &i.Parameters)
		var subtype string
		if read("subtype", &subtype); subtype == "" {
			read("integrationSubtype", &subtype)
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

// digest is a short name for a value: the same for the same.
func digest(value any) string {
	text, _ := json.Marshal(value) // of values that JSON was read into
	var same any
	_ = json.Unmarshal(text, &same)
	canonical, _ := json.Marshal(same)
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:6])
}
