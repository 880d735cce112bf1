package facts

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"testing"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// TestDenied: what may not be read directly is read from a list. What the list lacks is missing.
func TestDenied(t *testing.T) {
	const list = `{"Functions":[{"FunctionName":"notes","MemorySize":256}]}`
	for _, c := range []struct {
		name    string
		answers map[string]string
		kind    string // of the failure; "" if it is read
		call    string
	}{
		{"by GetFunctionConfiguration", map[string]string{"/functions/notes": refuses,
			"/configuration": `{"FunctionName":"notes","MemorySize":256}`}, "", "lambda:GetFunctionConfiguration"},
		{"by ListFunctions", map[string]string{"/functions/notes": refuses, "/configuration": refuses,
			"/functions": list}, "", "lambda:ListFunctions"},
		{"not in the list", map[string]string{"/functions/notes": refuses, "/configuration": refuses,
			"/functions": `{"Functions":[]}`}, doctor.Missing, "lambda:ListFunctions"},
		{"not at all", map[string]string{"/functions/notes": refuses, "/configuration": refuses,
			"/functions": refuses}, doctor.Denied, "lambda:GetFunction"},
	} {
		t.Run("a function "+c.name, func(t *testing.T) {
			g := &gatherer{ctx: t.Context(), cloud: served(t, c.answers), slots: map[string]chan struct{}{},
				locations: map[string]string{}}
			f := g.readConfiguration("notes", "")
			if f.Call != c.call || (c.kind == "") != f.Seen() || f.Error != nil && f.Error.Kind != c.kind ||
				f.Seen() && f.Value.Memory != 256 {
				t.Errorf("%+v", f)
			}
		})
	}
	for _, c := range []struct{ name, list, kind string }{
		{"in the list", `{"items":[{"apiId":"a1","name":"notes"}]}`, ""}, {
			"not in the list", `{"items":[]}`, doctor.Missing},
		{"whose list is denied", refuses, doctor.Denied},
	} {
		t.Run("an API "+c.name, func(t *testing.T) {
			g := &gatherer{ctx: t.Context(), slots: map[string]chan struct{}{},
				cloud: served(t, map[string]string{"/apis/a1": refuses, "/apis": c.list})}
			f := g.readAPI("a1")
			if (c.kind == "") != f.Seen() || f.Error != nil && f.Error.Kind != c.kind {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestReadDomain: a custom domain is read, if need be from the list, with the stage that it maps the path to.
func TestReadDomain(t *testing.T) {
	const one = `{"domainName":"api.example","domainNameConfigurations":[{"apiGatewayDomainName":"d-1.example",` +
		`"domainNameStatus":"AVAILABLE"}],"mutualTlsAuthentication":{"truststoreUri":"s3://a/b"}}`
	for _, c := range []struct {
		name    string
		answers map[string]string
		api     string // in the inquiry
		want    doctor.Asked
	}{
		{"by its name", map[string]string{"/domainnames/api.example": one}, "",
			doctor.Asked{API: "a1", Stage: "dev", Path: "/notes"}},
		{"by the list", map[string]string{"/domainnames/api.example": refuses,
			"/domainnames": `{"items":[` + one + `]}`}, "a1", doctor.Asked{API: "a1", Stage: "dev", Path: "/notes"}},
		{"beside another API", map[string]string{"/domainnames/api.example": one}, "b2",
			doctor.Asked{API: "a1", Stage: "dev", Path: "/notes", Instead: "b2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.answers["/apimappings"] = `{"items":[{"apiId":"a1","stage":"dev","apiMappingKey":"v1"}]}`
			u, err := url.Parse("http://127.0.0.1:1/_aws/domains/api.example/v1/notes")
			if err != nil {
				t.Fatal(err)
			}
			g := &gatherer{ctx: t.Context(), cloud: served(t, c.answers), slots: map[string]chan struct{}{},
				inquiry: Inquiry{URL: u}, c: doctor.Case{Asked: doctor.Asked{API: c.api, Local: true}}}
			g.readDomain()
			d := g.c.Domain.Or()
			if a := g.c.Asked; a.API != c.want.API || a.Stage != c.want.Stage || a.Path != c.want.Path ||
				a.Instead != c.want.Instead || d.Target != "d-1.example" || d.TrustStore != "s3://a/b" {
				t.Errorf("%+v, %+v", a, d)
			}
		})
	}
	for _, c := range []struct{ name, target, want string }{
		{"127.0.0.1", "127.0.0.1", doctor.ToTarget}, {"127.0.0.1", "127.0.0.2", doctor.Elsewhere},
		{"127.0.0.1", "", ""},
	} {
		t.Run("a record "+c.want, func(t *testing.T) {
			if got := resolveDomain(t.Context(), c.name, c.target); got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestLayers: a program that the zip lacks is searched for in the layers, the last one first.
func TestLayers(t *testing.T) {
	zips := map[string][]byte{"/zip": zipOf(t, []zipped{{"main", "", 1}}),
		"/layer": zipOf(t, []zipped{{"bootstrap", "#!/bin/sh\n", 1}})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(zips[r.URL.Path]))
	}))
	t.Cleanup(server.Close)
	const arn = "arn:aws:lambda:us-east-1:123456789012:layer:runtime"
	for _, c := range []struct {
		name, answer string
		layers       []string
		layer        string // that contains the program
		fails        bool
	}{
		{"none", "", nil, "", false},
		{"one", `{"Content":{"Location":"` + server.URL + `/layer"}}`, []string{arn + ":3"}, arn + ":3", false},
		{"one that may not be read", refuses, []string{arn + ":3"}, "", true},
		{"one without a version", "", []string{"x"}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &doctor.Function{}
			f.Configuration.Of, f.Configuration.Value = "notes", &doctor.Configuration{Runtime: "provided.al2023",
				Layers: c.layers}
			g := &gatherer{ctx: t.Context(), slots: map[string]chan struct{}{},
				cloud:     served(t, map[string]string{"/versions/3": c.answer}),
				locations: map[string]string{"notes": server.URL + "/zip"}}
			g.readCode(f)
			if p := f.Code.Or().Program; (f.Code.Error != nil) != c.fails || (p != nil) != (c.layer != "") ||
				p != nil && p.Layer != c.layer {
				t.Errorf("%+v %+v", f.Code, p)
			}
		})
	}
}

// TestDefinition: an export yields for each route its integration, even one that several routes share, and who may use
// it.
func TestDefinition(t *testing.T) {
	read := func(text string) doctor.Definition {
		body := base64.StdEncoding.EncodeToString([]byte(text))
		d, err := parseDefinition(map[string]any{"Body": body})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const shared = `{"paths":{"/a":{"get":{"x-amazon-apigateway-integration":{"$ref":"#/components/x/one"}}},` +
		`"/b":{"post":{"security":[{"judge":["s"]}],"x-amazon-apigateway-integration":{"type":"aws_proxy","uri":"u",` +
		`"payloadFormatVersion":"2.0","integrationSubtype":"S","timeoutInMillis":5}}},"/c":{"get":{}}},"components":` +
		`{"x-amazon-apigateway-integrations":{"one":{"type":"aws_proxy","uri":"v"}},` +
		`"securitySchemes":{"judge":{"a":1}}}}`
	d := read(shared)
	a, b, none := d.Leads["GET /a"], d.Leads["POST /b"], d.Leads["GET /c"]
	if a.Integration == nil || a.Integration.URI != "v" || a.Access != "" || b.Access == "" ||
		none.Integration != nil ||
		b.Integration.PayloadFormat != "2.0" || b.Integration.Type != "AWS_PROXY" ||
		b.Integration.Subtype != "S" ||
		b.Integration.TimeoutMillis != 5 {
		text, _ := json.Marshal(d)
		t.Errorf("%s", text)
	}
	if again := read(shared); !reflect.DeepEqual(again, d) {
		t.Error("the same export differs from itself")
	}
	if _, err := parseDefinition(map[string]any{"Body": "bm9uZQ=="}); err == nil {
		t.Error("invalid JSON is accepted")
	}
}

// TestCheck: an inquiry that contradicts itself is an error.
func TestCheck(t *testing.T) {
	u, err := url.Parse("https://a1.execute-api.eu-west-1.amazonaws.com/dev")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		ask   Inquiry
		fails bool
	}{
		{"nothing", Inquiry{}, false}, {"a URL", Inquiry{URL: u, API: "a1", Region: "eu-west-1"}, false},
		{"another API", Inquiry{URL: u, API: "b2"}, true},
		{"another region", Inquiry{URL: u, Region: "us-east-1"}, true},
		{"a negative timeout", Inquiry{Timeout: -1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.ask.Check(); (err != nil) != c.fails {
				t.Error(err)
			}
		})
	}
	if RegionOf(u) != "eu-west-1" || RegionOf(nil) != "" {
		t.Error("the region of the URL")
	}
	if d := PolicyOf(Rights); len(d.Statement) != 1 || len(d.Statement[0].Action) != len(Rights) {
		t.Errorf("%+v", d)
	}
}
