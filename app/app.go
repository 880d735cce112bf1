// Package app serves notes over HTTP: the routes /notes and /notes/{id}, their JSON, preconditions and problems.
//
// It is one Echo app that does not depend on where it runs. An adapter (adapters/server, adapters/lambda) creates it
// with [New], passes requests to it, and may add routes with [Get]. A handler decodes the request, calls
// [notes.Service] and encodes the result; it returns errors, which problem.go turns into responses.
package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/cors"

	"example.com/portable-notes/notes"
)

// Paths are the path templates of the notes API, for routers in front of the app such as API Gateway. They must pass
// on every method: the app itself answers HEAD and OPTIONS, and unknown methods with 405.
var Paths = []string{"/notes", "/notes/{id}"}

// Options configure an app. The zero value is usable.
type Options struct {
	Log         *slog.Logger  // gets one line per request; nil logs nothing
	CORSOrigins []string      // allowed origins, as browsers send them, or "*" for all; empty disables CORS
	Timeout     time.Duration // bounds the store calls of one request, after its body has been read; 0 means 5 s

	// Admit is called for each request before authentication, limits and handlers, with the headers as they arrived.
	// If it returns an error, such as [Misdirected], the error is the response. Nil admits every request.
	Admit func(*http.Request) error

	// MaxInFlight bounds the memory for request bodies and responses, in bytes. One caller (an owner, or a network
	// where callers are not authenticated) may use a quarter of it. A request waits for memory for at most Timeout and
	// then fails with 503. 0 sets no bound; other values must be at least [MinInFlight].
	MaxInFlight int64

	// Authenticate identifies the callers of the notes API. If it is nil, all callers are one owner.
	Authenticate Authenticate

	// Limit is the rate limit for each address, except on the paths in [Probes], and for each caller of the notes API.
	// Nil sets none.
	Limit Limit

	// Client returns the client's address, for limits and the log. Nil takes that of the connection.
	Client func(*http.Request) string

	// Trace returns the trace id of a request for the log, or "". It must not return unchecked client input.
	Trace func(*http.Request) string

	// Observe is called after each response. The attributes that it returns are added to the request's log line.
	Observe func(context.Context, Seen) []slog.Attr

	// LogKey is the key for [HashOwner] in the log.
	LogKey []byte

	// RequestID returns the id of a request that came without X-Request-Id, such as the one of API Gateway. If it is
	// nil or returns none, the id is a random UUID.
	RequestID func(*http.Request) string
}

// New creates the app.
func New(service *notes.Service, options Options) *echo.Echo {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Second
	}
	e := Bare(options)
	if len(options.CORSOrigins) > 0 {
		if options.Limit != nil {
			e.Use(limitPreflights(options.Limit))
		}
		e.Use(echo.WrapMiddleware(cors.New(cors.Options{
			AllowedOrigins: options.CORSOrigins,
			AllowedMethods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
			AllowedHeaders: []string{"Authorization", "Content-Type", "If-Match", "If-None-Match",
				headerIdempotencyKey, echo.HeaderXRequestID},
			ExposedHeaders: []string{headerETag, "Location", headerLink, "Retry-After", echo.HeaderXRequestID,
				headerReplayed},
			MaxAge: 600,
		}).Handler))
	}
	if options.Limit != nil {
		e.Use(limitAddress(options.Limit))
	}
	h := handlers{service: service, timeout: options.Timeout, authenticates: options.Authenticate != nil}
	if h.authenticates {
		e.Use(identify(options.Authenticate, options.Limit))
	}
	if options.MaxInFlight > 0 {
		h.budget = newBudget(options.MaxInFlight, options.Timeout)
	}
	Get(e, "/notes", h.handle(h.list))
	e.POST("/notes", h.handle(h.create))
	Get(e, "/notes/:id", h.handle(h.get))
	e.PUT("/notes/:id", h.handle(h.replace))
	e.PATCH("/notes/:id", h.handle(h.patch))
	e.DELETE("/notes/:id", h.handle(h.remove))
	// In Echo the last parameter of a path matches slashes too. This route makes it end at the first one.
	e.RouteNotFound("/notes/:id/*", echo.NotFoundHandler)
	return e
}

// Bare creates an app without routes, for the adapters' own. It gives each request an id, logs it, and renders errors
// as problems.
func Bare(options Options) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = answerError
	e.IPExtractor = echo.ExtractIPDirect() // clients can forge X-Forwarded-For and the like
	if options.Client != nil {
		e.IPExtractor = options.Client
	}
	e.Pre(useDecodedPath)
	e.Use(observe(options), recoverPanics)
	if options.Admit != nil {
		e.Use(admit(options.Admit))
	}
	e.Use(joinHeaders)
	return e
}

// Get adds a route for GET and HEAD.
func Get(e *echo.Echo, path string, handler echo.HandlerFunc) {
	e.GET(path, handler)
	e.HEAD(path, handler)
}
