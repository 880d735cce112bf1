package apptest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"example.com/portable-notes/app/about"
)

// A contract validates requests and responses against the OpenAPI document.
type contract struct {
	exchanges validator.Validator
	schemas   schema_validation.SchemaValidator
	problem   *base.Schema
	paths     map[string]map[string]bool // path template to methods
}

func loadContract(t *testing.T) *contract {
	t.Helper()
	document, err := libopenapi.NewDocument(about.Contract)
	if err != nil {
		t.Fatal(err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	exchanges, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := exchanges.ValidateDocument(); !ok {
		t.Fatal(describe(errs))
	}
	c := &contract{
		exchanges: exchanges,
		schemas:   schema_validation.NewSchemaValidator(),
		problem:   model.Model.Components.Schemas.GetOrZero("Problem").Schema(),
		paths:     map[string]map[string]bool{},
	}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		c.paths[path] = methodsOf(item)
	}
	return c
}

func methodsOf(item *v3.PathItem) map[string]bool {
	methods := map[string]bool{}
	for method := range item.GetOperations().FromOldest() {
		methods[strings.ToUpper(method)] = true
	}
	return methods
}

// documented reports whether the document has an operation for a request.
func (c *contract) documented(method, path string) bool {
	switch rest, below := strings.CutPrefix(path, "/notes/"); {
	case below && rest != "" && !strings.Contains(rest, "/"):
		return c.paths["/notes/{id}"][method]
	default:
		return c.paths[path][method]
	}
}

// check validates a response against the document, and the request too if it was accepted. If the document does not
// have the operation, an error response must still be a Problem.
func (c *contract) check(t *testing.T, baseURL string, r *http.Request, sent []byte, a *answer) {
	t.Helper()
	prefix, err := url.Parse(baseURL)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(r.URL.Path, prefix.Path)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // which the document describes for both
	}
	if !c.documented(method, path) {
		if a.status >= 400 && r.Method != http.MethodHead {
			if ok, errs := c.schemas.ValidateSchemaBytes(c.problem, []byte(a.body)); !ok {
				t.Errorf("%s: the response is not a Problem of the OpenAPI document: %s", a.request, describe(errs))
			}
		}
		return
	}
	request, err := http.NewRequest(method, "http://host"+(&url.URL{Path: path, RawQuery: r.URL.RawQuery}).String(),
		bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = r.Header.Clone()
	if a.status < 400 && len(sent) < 100_000 {
		if ok, errs := c.exchanges.ValidateHttpRequest(request); !ok && !isLenient(errs) {
			t.Errorf("%s: accepted, but not valid in the OpenAPI document: %s", a.request, describe(errs))
		}
	}
	if r.Method == http.MethodHead {
		return // without a body, a response does not match
	}
	response := &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)),
		Request: request}
	if ok, errs := c.exchanges.ValidateHttpResponse(request, response); !ok {
		t.Errorf("%s: %d does not match the OpenAPI document: %s", a.request, a.status, describe(errs))
	}
}

// isLenient reports whether a request only exceeds limits of the document: the service trims white space and drops
// duplicates before it counts, and accepts odd lists of entity tags (RFC 9110, section 5.6.1.2). The document has what
// is accepted in any case.
func isLenient(errs []*errors.ValidationError) bool {
	for _, e := range errs {
		if len(e.SchemaValidationErrors) == 0 {
			return false
		}
		for _, s := range e.SchemaValidationErrors {
			keyword := s.KeywordLocation[strings.LastIndex(s.KeywordLocation, "/")+1:]
			if !slices.Contains([]string{"pattern", "maxLength", "maxItems"}, keyword) {
				return false
			}
		}
	}
	return true
}

func describe(errs []*errors.ValidationError) string {
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintf(&b, "%s: %s", e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			fmt.Fprintf(&b, " (%s at %s)", s.Reason, s.KeywordLocation)
		}
		b.WriteString("; ")
	}
	return b.String()
}
