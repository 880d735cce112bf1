// Package about mounts the routes that tell about the service: /healthz, /readyz, /version, /openapi.json and /docs.
//
// They belong to a door that is its own host. Behind API Gateway only the notes are published, and the contract and its
// page stay out of that program.
package about

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5/static"

	"example.com/portable-notes/app"
)

// Contract is the OpenAPI 3.1 description of the service, served at /openapi.json.
//
//go:embed openapi.json
var Contract []byte

// Version is the answer of /version.
type Version struct {
	Version string `json:"version"` // of the build
	Commit  string `json:"commit"`  // that it was built from; "" where that is not known
	Store   string `json:"store"`   // that keeps the notes: bolt or dynamodb
	Door    string `json:"door"`    // through which the request came: server or lambda
}

// readyWithin is how long the store may take to prove that it answers.
const readyWithin = time.Second

// Mount adds the routes. Ready returns nil while requests are welcome and the store answers; base is the path under
// which clients see the service ("" for none).
func Mount(e *echo.Echo, base string, version Version, ready func(context.Context) error) {
	app.Get(e, "/healthz", func(c echo.Context) error {
		return app.JSON(c, http.StatusOK, map[string]string{"status": "ok"})
	})
	app.Get(e, "/readyz", func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), readyWithin)
		defer cancel()
		if err := ready(ctx); err != nil {
			return app.Unavailable(err)
		}
		return app.JSON(c, http.StatusOK, map[string]string{"status": "ready"})
	})
	app.Get(e, "/version", func(c echo.Context) error {
		return app.JSON(c, http.StatusOK, version)
	})

	contract := bytes.Replace(Contract, []byte(`"url": "/"`), []byte(`"url": "`+base+`/"`), 1)
	app.Get(e, "/openapi.json", constant("application/json", contract))
	app.Get(e, "/docs", constant("text/html; charset=utf-8", bytes.ReplaceAll(docs, []byte("BASE"), []byte(base))))
	app.Get(e, "/docs/:asset", asset)
	e.RouteNotFound("/docs/:asset/*", echo.NotFoundHandler)
}

// constant answers with the same bytes always.
func constant(mediaType string, body []byte) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Content-Length", strconv.Itoa(len(body)))
		return c.Blob(http.StatusOK, mediaType, body)
	}
}

// docs is the reference page: Swagger UI over the contract.
//
//go:embed docs.html
var docs []byte

// asset serves one of Swagger UI's files. Its module holds most of them compressed.
func asset(c echo.Context) error {
	name := c.Param("asset")
	mediaType := mime.TypeByExtension(path.Ext(name))
	if file, err := static.FS.Open(name); err == nil && path.Ext(name) == ".png" {
		defer file.Close()
		return c.Stream(http.StatusOK, mediaType, file)
	}
	file, err := static.FS.Open(name + ".gz")
	if err != nil {
		return echo.ErrNotFound
	}
	defer file.Close()
	content, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	return c.Stream(http.StatusOK, mediaType, content)
}
