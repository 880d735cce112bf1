// Package about adds the routes about the service itself: /healthz, /readyz, /version, /openapi.json and /docs.
//
// Only adapters/server has them. API Gateway publishes only the routes for notes, so the Lambda does not link the
// contract and the reference page.
package about

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5/static"
	"golang.org/x/sync/singleflight"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/asset"
)

// Contract is the OpenAPI 3.1 description of the service, served at /openapi.json.
//
//go:embed openapi.json
var Contract []byte

// Version is the response of /version.
type Version struct {
	Version string `json:"version"` // the version of the build
	Commit  string `json:"commit"`  // the commit that it was built from, or "" if unknown
	Store   string `json:"store"`   // bolt or dynamodb
	Adapter string `json:"adapter"` // server or lambda
}

// readyWithin is the timeout of the readiness check of the store, and how long its result is cached.
const readyWithin = time.Second

// Mount adds the routes. The service is ready while both welcome and ready return nil: welcome says whether the server
// accepts requests, and ready checks the store and is called at most once a second. Base is the base path at which
// clients see the service, or "". Tokens says whether requests for notes need a token, which the contract shows.
func Mount(
	e *echo.Echo, base string, tokens bool, version Version, welcome func() error, ready func(context.Context) error,
) {
	ready = cached(ready)
	app.Get(e, app.Probes[0], func(c echo.Context) error {
		return app.JSON(c, http.StatusOK, map[string]string{"status": "ok"})
	})
	app.Get(e, app.Probes[1], func(c echo.Context) error {
		if err := errors.Join(welcome(), ready(c.Request().Context())); err != nil {
			return app.Unavailable(err)
		}
		return app.JSON(c, http.StatusOK, map[string]string{"status": "ready"})
	})
	app.Get(e, "/version", func(c echo.Context) error {
		return app.JSON(c, http.StatusOK, version)
	})

	contract := contractFor(base, tokens)
	app.Get(e, "/openapi.json", asset.New("application/json", contract).Serve)
	files := readFiles()
	page := bytes.ReplaceAll(docs, []byte("BASE"), []byte(base))
	for name, file := range files {
		page = bytes.ReplaceAll(page, []byte("/docs/"+name+`"`), []byte("/docs/"+file.Versioned(name)+`"`))
	}
	app.Get(e, "/docs", serve(asset.New("text/html; charset=utf-8", page)))
	for name, file := range maps.Clone(files) {
		files[file.Versioned(name)] = file.Forever()
	}
	app.Get(e, "/docs/:asset", func(c echo.Context) error {
		file, ok := files[c.Param("asset")]
		if !ok {
			return echo.ErrNotFound
		}
		return serve(file)(c)
	})
	e.RouteNotFound("/docs/:asset/*", echo.NotFoundHandler)
}

// readFiles returns the files of Swagger UI by name. Its module embeds most of them compressed.
func readFiles() map[string]asset.File {
	files := map[string]asset.File{}
	names, _ := fs.Glob(static.FS, "*") // embedded files cannot fail
	for _, stored := range names {
		content, _ := fs.ReadFile(static.FS, stored)
		name, compressed := strings.CutSuffix(stored, ".gz")
		create := asset.New
		if compressed {
			create = asset.NewCompressed
		}
		files[name] = create(mime.TypeByExtension(path.Ext(name)), content)
	}
	return files
}

// serve returns a handler that sends a file. Pages get the policy of CSP Level 3: no frames, no <base>, no plug-ins.
func serve(file asset.File) echo.HandlerFunc {
	return func(c echo.Context) error {
		if strings.HasPrefix(file.MediaType(), "text/html") {
			c.Response().Header().Set("Content-Security-Policy",
				"frame-ancestors 'none'; base-uri 'none'; object-src 'none'")
		}
		return file.Serve(c)
	}
}

// The parts of the contract that differ between servers.
const (
	serverURL    = `"url": "/"`
	authOptional = `"security": [
          {},
          {
            "bearer": []
          }
        ]`
	authRequired = `"security": [
          {
            "bearer": []
          }
        ]`
	schemes = `,
    "securitySchemes": {
      "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Required if authentication is on."
      }
    }`
	endOfDescription = "`misdirected_request`.\""
)

// contractFor returns the contract of a server with a base path, on which requests for notes need a token or not.
func contractFor(base string, tokens bool) []byte {
	security, kept, sentence := `"security": []`, "", "This server needs no token."
	if tokens {
		security, kept, sentence = authRequired, schemes, "This server needs a token for every request for notes: "+
			"`Authorization: Bearer TOKEN`."
	}
	return []byte(strings.NewReplacer(
		serverURL, `"url": "`+cmp.Or(base, "/")+`"`,
		authOptional, security,
		schemes, kept,
		endOfDescription, strings.TrimSuffix(endOfDescription, `"`)+" "+sentence+`"`,
	).Replace(string(Contract)))
}

// cached returns a function that calls ready and caches the result for readyWithin.
func cached(ready func(context.Context) error) func(context.Context) error {
	type result struct {
		at  time.Time
		err error
	}
	var group singleflight.Group
	var last atomic.Pointer[result]
	return func(ctx context.Context) error {
		_, err, _ := group.Do("", func() (any, error) {
			if r := last.Load(); r != nil && time.Since(r.at) < readyWithin {
				return nil, r.err
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyWithin)
			defer cancel()
			err := ready(ctx)
			last.Store(&result{time.Now(), err})
			return nil, err
		})
		return err
	}
}

// docs is the reference page: Swagger UI for the contract.
//
//go:embed docs.html
var docs []byte
