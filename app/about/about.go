// Package about mounts the routes that tell about the service: /healthz, /readyz, /version, /openapi.json and /docs.
//
// They belong to an adapter that is its own host. Behind API Gateway only the notes are published, and the contract
// and its page stay out of that program.
package about

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/singleflight"

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
	Adapter string `json:"adapter"` // through which the request came: server or lambda
}

// readyWithin is how long the store may take to prove that it answers, and for how long that holds for others who ask.
const readyWithin = time.Second

// Mount adds the routes. Welcome returns nil while requests are welcome, and ready while the store answers, which is
// asked at most once a second; base is the path under which clients see the service ("" for none).
func Mount(e *echo.Echo, base string, version Version, welcome func() error, ready func(context.Context) error) {
	ready = shared(ready)
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

	contract := bytes.Replace(Contract, []byte(`"url": "/"`), []byte(`"url": "`+base+`/"`), 1)
	app.Get(e, "/openapi.json", newFile("application/json", contract).serve)
	assets := readAssets()
	page := bytes.ReplaceAll(docs, []byte("BASE"), []byte(base))
	for name, asset := range assets {
		page = bytes.ReplaceAll(page, []byte("/docs/"+name+`"`), []byte("/docs/"+asset.versioned(name)+`"`))
	}
	app.Get(e, "/docs", newFile("text/html; charset=utf-8", page).serve)
	for name, asset := range maps.Clone(assets) {
		assets[asset.versioned(name)] = asset.forever()
	}
	app.Get(e, "/docs/:asset", func(c echo.Context) error {
		asset, ok := assets[c.Param("asset")]
		if !ok {
			return echo.ErrNotFound
		}
		return asset.serve(c)
	})
	e.RouteNotFound("/docs/:asset/*", echo.NotFoundHandler)
}

// shared returns a function that asks ready and gives the answer to everybody who asks within the next second.
func shared(ready func(context.Context) error) func(context.Context) error {
	type answer struct {
		at  time.Time
		err error
	}
	var asking singleflight.Group
	var last atomic.Pointer[answer]
	return func(ctx context.Context) error {
		_, err, _ := asking.Do("", func() (any, error) {
			if known := last.Load(); known != nil && time.Since(known.at) < readyWithin {
				return nil, known.err
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyWithin)
			defer cancel()
			err := ready(ctx)
			last.Store(&answer{time.Now(), err})
			return nil, err
		})
		return err
	}
}

// docs is the reference page: Swagger UI over the contract.
//
//go:embed docs.html
var docs []byte
