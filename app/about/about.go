// Package about mounts the routes that tell about the service: /healthz, /readyz, /version, /openapi.json and /docs.
//
// They belong to a door that is its own host. Behind API Gateway only the notes are published, and the contract and its
// page stay out of that program.
package about

import (
	"bytes"
	"context"
	_ "embed"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

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
	app.Get(e, "/openapi.json", func(c echo.Context) error {
		c.Response().Header().Set("Content-Type", "application/json")
		c.Response().Header().Set("Content-Length", strconv.Itoa(len(contract)))
		c.Response().WriteHeader(http.StatusOK)
		if c.Request().Method == http.MethodHead {
			return nil
		}
		_, err := c.Response().Write(contract)
		return err
	})
	swagger := v5emb.NewHandlerWithConfig(swgui.Config{
		Title:            "Notes",
		SwaggerJSON:      base + "/openapi.json",
		BasePath:         base + "/docs",
		InternalBasePath: "/docs",
	})
	page := func(c echo.Context) error {
		r := c.Request()
		r.Header.Del("If-None-Match")   // its entity tags have no quotes,
		r.Header.Del("Accept-Encoding") // and it does not read q=0
		w := &pageWriter{ResponseWriter: c.Response()}
		swagger.ServeHTTP(w, r)
		if w.missing {
			return echo.ErrNotFound
		}
		return nil
	}
	app.Get(e, "/docs", page)
	app.Get(e, "/docs/:asset", page)
	e.RouteNotFound("/docs/:asset/*", echo.NotFoundHandler)
}

// pageWriter passes an answer of the reference page on, but for a 404, which is the app's to make.
type pageWriter struct {
	http.ResponseWriter
	missing bool
}

func (w *pageWriter) WriteHeader(status int) {
	w.Header().Del("Etag")
	if w.missing = status == http.StatusNotFound; !w.missing {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *pageWriter) Write(b []byte) (int, error) {
	if w.missing {
		return len(b), nil
	}
	w.Header().Del("Etag")
	return w.ResponseWriter.Write(b)
}
