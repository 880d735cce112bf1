package about_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/about"
)

// newApp returns an app with the routes of Mount.
func newApp(basePath string, ready func(context.Context) error) *echo.Echo {
	e := app.New(nil, app.Options{})
	about.Mount(e, basePath, false, about.Version{Version: "v1", Commit: "abc", Store: "bolt", Adapter: "server"},
		func() error { return nil }, ready)
	return e
}

func fine(context.Context) error { return nil }

func send(t *testing.T, h http.Handler, method, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func document(t *testing.T) *v3.Document {
	t.Helper()
	doc, err := libopenapi.NewDocument(about.Contract)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return &model.Model
}

// TestRoutes: the app has exactly the routes in the document, and HEAD wherever it has GET. The document leaves HEAD
// out, because generated clients would get a method for it.
func TestRoutes(t *testing.T) {
	routed, documented := map[string]bool{}, map[string]bool{}
	parameter := regexp.MustCompile(`:(\w+)`)
	paths := map[string]bool{}
	for _, r := range newApp("", fine).Routes() {
		if r.Method != echo.RouteNotFound && r.Method != http.MethodHead {
			path := parameter.ReplaceAllString(r.Path, "{$1}")
			routed[r.Method+" "+path] = true
			if strings.HasPrefix(path, "/notes") {
				paths[path] = true
			}
		}
	}
	for path, item := range document(t).Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, r := range newApp("", fine).Routes() {
		if r.Method == http.MethodHead && !routed["GET "+parameter.ReplaceAllString(r.Path, "{$1}")] {
			t.Errorf("HEAD %s has no GET", r.Path)
		}
	}
	if !maps.Equal(routed, documented) {
		t.Errorf("routes\n%v\ndocumented\n%v", slices.Sorted(maps.Keys(routed)),
			slices.Sorted(maps.Keys(documented)))
	}
	if got := slices.Sorted(maps.Keys(paths)); !slices.Equal(got, app.Paths) {
		t.Errorf("app.Paths is %v, the routes are %v", app.Paths, got)
	}
}

// TestExamples: every documented body has examples, and they match its schema.
func TestExamples(t *testing.T) {
	schemas := schema_validation.NewSchemaValidator()
	seen := 0
	check := func(where string, schema *base.SchemaProxy, examples *orderedmap.Map[string, *base.Example]) {
		t.Helper()
		if examples == nil || examples.Len() == 0 {
			t.Errorf("%s has no example", where)
			return
		}
		for name, example := range examples.FromOldest() {
			seen++
			var value any
			if err := example.Value.Decode(&value); err != nil {
				t.Fatal(err)
			}
			asJSON, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if ok, errs := schemas.ValidateSchemaBytes(schema.Schema(), asJSON); !ok {
				t.Errorf("%s: example %s is not valid: %v", where, name, errs[0].SchemaValidationErrors)
			}
		}
	}
	for path, item := range document(t).Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			where := method + " " + path
			if operation.OperationId == "" || operation.Summary == "" {
				t.Errorf("%s has no operationId or no summary", where)
			}
			if operation.RequestBody != nil {
				for media, content := range operation.RequestBody.Content.FromOldest() {
					check(where+" "+media, content.Schema, content.Examples)
				}
			}
			for status, response := range operation.Responses.Codes.FromOldest() {
				if response.Content == nil {
					continue
				}
				for media, content := range response.Content.FromOldest() {
					if strings.HasSuffix(media, "json") && path != "/openapi.json" {
						check(where+" "+status+" "+media, content.Schema, content.Examples)
					}
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d examples", seen)
	}
}

// TestEveryCodeIsDocumented: the document has an example of every code of a problem.
func TestEveryCodeIsDocumented(t *testing.T) {
	for _, code := range []string{
		"malformed_request", "invalid_parameter", "invalid_cursor", "not_found", "precondition_failed", "too_large",
		"unsupported_media_type", "invalid_note", "idempotency_key_reused", "internal", "unavailable",
		"unauthenticated", "forbidden", "too_many_requests", "misdirected_request",
	} {
		if !bytes.Contains(about.Contract, []byte(`"code": "`+code+`"`)) {
			t.Errorf("no example has the code %s", code)
		}
	}
}

func TestProbes(t *testing.T) {
	e := newApp("", fine)
	if answer, body := send(t, e, "GET", "/healthz"); answer.StatusCode != 200 || body != "{\"status\":\"ok\"}\n" {
		t.Errorf("/healthz: %d %s", answer.StatusCode, body)
	}
	if answer, body := send(t, e, "GET", "/readyz"); answer.StatusCode != 200 || body != "{\"status\":\"ready\"}\n" {
		t.Errorf("/readyz: %d %s", answer.StatusCode, body)
	}
	if _, body := send(t, e, "GET", "/version"); body != `{"version":"v1","commit":"abc","store":"bolt",`+
		`"adapter":"server"}`+"\n" {
		t.Errorf("/version: %s", body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/version", "/openapi.json", "/docs"} {
		if answer, _ := send(t, e, "HEAD", path); answer.StatusCode != 200 {
			t.Errorf("HEAD %s: %d", path, answer.StatusCode)
		}
		if answer, _ := send(t, e, "POST", path); answer.StatusCode != 405 || answer.Header.Get("Allow") == "" {
			t.Errorf("POST %s: %d, Allow %q", path, answer.StatusCode, answer.Header.Get("Allow"))
		}
		if answer, _ := send(t, e, "GET", path+"/"); answer.StatusCode != 404 {
			t.Errorf("GET %s/: %d", path, answer.StatusCode)
		}
	}
}

// TestReadiness: /readyz checks the store at most once a second, and fails as soon as the server is stopping.
func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads int
		var broken, stopping error
		e := app.New(nil, app.Options{})
		about.Mount(e, "", false, about.Version{}, func() error { return stopping }, func(context.Context) error {
			reads++
			time.Sleep(10 * time.Millisecond)
			return broken
		})
		ready := func(want, wantReads int) {
			t.Helper()
			reads = 0
			var requests sync.WaitGroup
			for range 50 {
				requests.Go(func() {
					answer, body := send(t, e, "GET", "/readyz")
					if answer.StatusCode != want || want == 503 &&
						(strings.Contains(body, "table") || answer.Header.Get("Retry-After") == "") {
						t.Errorf("/readyz: %d %s", answer.StatusCode, body)
					}
				})
			}
			requests.Wait()
			if reads != wantReads {
				t.Errorf("%d checks of the store, want %d", reads, wantReads)
			}
		}
		ready(200, 1)
		broken = errors.New("the table is gone")
		ready(200, 0)
		time.Sleep(time.Second)
		ready(503, 1)
		broken = nil
		time.Sleep(time.Second)
		ready(200, 1)
		stopping = errors.New("the server is stopping")
		ready(503, 0)
	})
}

// TestReadinessIsBounded: if the store hangs, /readyz fails after a second.
func TestReadinessIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newApp("", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		start := time.Now()
		if answer, _ := send(t, e, "GET", "/readyz"); answer.StatusCode != 503 || time.Since(start) != time.Second {
			t.Errorf("/readyz: %d after %v", answer.StatusCode, time.Since(start))
		}
	})
}

// TestReferencePage: the page needs no other host, at a base path either.
func TestReferencePage(t *testing.T) {
	for _, basePath := range []string{"", "/api/v1"} {
		e := app.Under(basePath, newApp(basePath, fine))
		answer, page := send(t, e, "GET", basePath+"/docs")
		if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
			t.Fatalf("%s/docs: %d %s", basePath, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
		if !strings.Contains(page, `url: "`+basePath+`/openapi.json"`) ||
			!strings.Contains(page, "validatorUrl: null") {
			t.Errorf("the page does not load %s/openapi.json, or uses an external validator", basePath)
		}
		assets := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
		if len(assets) < 3 {
			t.Errorf("the page loads only the assets %v", assets)
		}
		for _, match := range assets {
			if !strings.HasPrefix(match[1], basePath+"/docs/") {
				t.Errorf("the page needs %s", match[1])
			}
			answer, asset := send(t, e, "GET", match[1])
			if answer.StatusCode != 200 || asset == "" {
				t.Errorf("%s: %d", match[1], answer.StatusCode)
			}
			if strings.HasSuffix(match[1], ".css") && regexp.MustCompile(`url\(["']?(https?:)?//`).MatchString(asset) {
				t.Errorf("%s needs another host", match[1])
			}
		}
		for _, path := range []string{"/docs/nothing.js", "/docs/index.html", "/docs/x/y"} {
			answer, body := send(t, e, "GET", basePath+path)
			if answer.StatusCode != 404 || answer.Header.Get("Content-Type") != "application/problem+json" ||
				!strings.Contains(body, `"not_found"`) {
				t.Errorf("%s: %d %s %s", path, answer.StatusCode, answer.Header.Get("Content-Type"), body)
			}
		}
		answer, contract := send(t, e, "GET", basePath+"/openapi.json")
		var parsed struct {
			OpenAPI string
			Servers []struct{ URL string }
		}
		if err := json.Unmarshal([]byte(contract), &parsed); err != nil || answer.StatusCode != 200 ||
			answer.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("openapi.json: %d %s, %v", answer.StatusCode, answer.Header.Get("Content-Type"), err)
		}
		if parsed.OpenAPI != "3.1.0" || len(parsed.Servers) != 1 || parsed.Servers[0].URL != cmp.Or(basePath, "/") {
			t.Errorf("the contract is %+v", parsed)
		}
	}
}

// TestFiles: a file is compressed if the client accepts it, has an ETag for each coding, and may be cached for ever
// under its versioned name.
func TestFiles(t *testing.T) {
	e := newApp("", fine)
	_, page := send(t, e, "GET", "/docs")
	versioned := regexp.MustCompile(`/docs/swagger-ui-bundle\.[0-9a-f]+\.js`).FindString(page)
	if versioned == "" {
		t.Fatalf("the page loads no versioned script: %s", page)
	}
	_, plain := send(t, e, "GET", "/docs/swagger-ui-bundle.js")
	const forever = "public, max-age=31536000, immutable"
	for _, c := range []struct{ path, cacheControl string }{
		{"/docs", "private, no-cache"}, {"/openapi.json", "private, no-cache"}, {
			"/docs/favicon-32x32.png", "private, no-cache"},
		{"/docs/swagger-ui-bundle.js", "private, no-cache"}, {versioned, forever},
	} {
		t.Run(c.path, func(t *testing.T) {
			etags := map[string]string{}
			for _, encoding := range []string{"", "gzip", "br, gzip;q=0.5", "*", "gzip;q=0", "identity;q=1, *;q=0",
				"deflate", "gzip;q=x"} {
				answer, body := send(t, e, "GET", c.path, "Accept-Encoding", encoding)
				etag, coding := answer.Header.Get("ETag"), answer.Header.Get("Content-Encoding")
				if answer.StatusCode != 200 || !strings.HasPrefix(etag, `"`) ||
					answer.Header.Get("Cache-Control") != c.cacheControl ||
					answer.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
					t.Errorf("%q: %d with %d bytes, %v", encoding, answer.StatusCode, len(body), answer.Header)
				}
				takes := slices.Contains([]string{"gzip", "br, gzip;q=0.5", "*"}, encoding)
				if compressed := strings.HasSuffix(c.path, ".js"); (coding == "gzip") != (takes && compressed) ||
					compressed && answer.Header.Get("Vary") != "Accept-Encoding" {
					t.Errorf("%q: %v", encoding, answer.Header)
				}
				if coding == "gzip" {
					r, err := gzip.NewReader(strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					if unpacked, err := io.ReadAll(r); err != nil || string(unpacked) != plain {
						t.Errorf("%q: the %d decompressed bytes differ from the plain file, %v", encoding,
							len(unpacked), err)
					}
				}
				if known, seen := etags[coding]; seen && known != etag {
					t.Errorf("%q: the ETag changes from %s to %s", encoding, known, etag)
				}
				etags[coding] = etag
				head, nothing := send(t, e, "HEAD", c.path, "Accept-Encoding", encoding)
				head.Header.Set("X-Request-Id", answer.Header.Get("X-Request-Id"))
				if nothing != "" || !maps.EqualFunc(head.Header, answer.Header, slices.Equal) {
					t.Errorf("%q: HEAD returns %q, %v, GET %v", encoding, nothing, head.Header, answer.Header)
				}
				for _, match := range []struct {
					value  string
					status int
				}{
					{etag, 304}, {"W/" + etag, 304}, {`"x", ` + etag, 304}, {"*", 304},
					{`"x"`, 200}, {"", 200}, {strings.Trim(etag, `"`), 200}, {etag[:len(etag)-2] + `"`, 200},
				} {
					answer, body := send(t, e, "GET", c.path, "Accept-Encoding", encoding, "If-None-Match", match.value)
					if answer.StatusCode != match.status || match.status == 304 &&
						(body != "" || answer.Header.Get("ETag") != etag) {
						t.Errorf("%q: If-None-Match %s returns %d", encoding, match.value, answer.StatusCode)
					}
				}
			}
			if len(etags) == 2 && etags[""] == etags["gzip"] {
				t.Errorf("both codings have the ETag %s", etags[""])
			}
		})
	}
	for _, path := range []string{"/docs", "/docs/oauth2-redirect.html"} {
		answer, _ := send(t, e, "GET", path)
		if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != 200 ||
			!strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: %d with the policy %q", path, answer.StatusCode, policy)
		}
	}
	for _, path := range []string{strings.Replace(versioned, ".js", "0.js", 1), "/docs/swagger-ui-bundle.js.gz",
		"/docs/..", "/docs/embed.go"} {
		if answer, _ := send(t, e, "GET", path); answer.StatusCode != 404 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// TestTokensOfTheContract checks that the contract says whether a server needs a token, so that the page shows padlocks
// only where one is needed.
func TestTokensOfTheContract(t *testing.T) {
	for _, c := range []struct {
		name     string
		tokens   bool
		security string
		says     string
	}{
		{"open", false, "[]", "This server needs no token."},
		{"tokens", true, `[{"bearer":[]}]`, "This server needs a token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := app.New(nil, app.Options{})
			about.Mount(e, "/api", c.tokens, about.Version{}, func() error { return nil }, fine)
			_, contract := send(t, e, "GET", "/openapi.json")
			var parsed struct {
				Info    struct{ Description string }
				Servers []struct{ URL string }
				Paths   map[string]map[string]json.RawMessage
			}
			if err := json.Unmarshal([]byte(contract), &parsed); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(contract, "securitySchemes") != c.tokens {
				t.Error("the page offers to authorize on a server that is open, or the other way round")
			}
			if !strings.Contains(parsed.Info.Description, c.says) {
				t.Errorf("the description is %q", parsed.Info.Description)
			}
			if len(parsed.Servers) != 1 || parsed.Servers[0].URL != "/api" {
				t.Errorf("the servers are %v", parsed.Servers)
			}
			for path, operations := range parsed.Paths {
				for method, operation := range operations {
					if method == "parameters" {
						continue
					}
					want := "[]"
					if strings.HasPrefix(path, "/notes") {
						want = c.security
					}
					var found struct{ Security json.RawMessage }
					if err := json.Unmarshal(operation, &found); err != nil {
						t.Fatal(err)
					}
					var compact bytes.Buffer
					if err := json.Compact(&compact, found.Security); err != nil || compact.String() != want {
						t.Errorf("%s %s: security %s, want %s", method, path, &compact, want)
					}
				}
			}
		})
	}
}
