// Package app is how notes look over HTTP: the routes /notes and /notes/{id}, their JSON, preconditions and problems.
//
// It is one Echo app that knows nothing of where it runs. An adapter (adapters/server, adapters/lambda) makes it with
// [New], hands requests in, and may mount more routes with [Get]. A handler decodes, calls [notes.Service] and
// encodes; it returns errors, which problem.go turns into answers.
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

// Paths are the paths of the notes API as templates, for who has to publish them (API Gateway's routes). Every method
// must reach the app, which answers 405, HEAD and OPTIONS itself.
var Paths = []string{"/notes", "/notes/{id}"}

// Options are what an adapter decides. The zero value is usable.
type Options struct {
	Log         *slog.Logger  // one line a request; nil for none
	CORSOrigins []string      // origins whose pages may call, as they are sent, or "*" for all; none switches CORS off
	Timeout     time.Duration // how long the store may take for one request, once its body is here; 0 is 5 s

	// Admit is asked about each request before anything else. Its error is the answer, such as [Misdirected]; nil
	// admits.
	Admit func(*http.Request) error

	// MaxInFlight bounds the bytes of request bodies and answers for notes that are in memory at once; one caller (an
	// owner, or an address where nobody is asked who they are) may have a quarter of it. A request that finds no room
	// waits for it as long as for the store, and is then answered with 503. 0 sets no bound; else it is at least
	// [MinInFlight].
	MaxInFlight int64

	// Authenticate tells who sends a request to the notes; nil for everybody, who are one owner then.
	Authenticate Authenticate

	// Limit bounds the requests of one address, but for [Probes], and those of one caller for notes; nil for no bounds.
	Limit Limit

	// Client is the address that a request comes from, for limits and the log; nil for that of its connection.
	Client func(*http.Request) string

	// Trace is the id of the trace that a request belongs to, for the log: the adapter's to tell, and to check. "" for
	// none.
	Trace func(*http.Request) string

	// Observe is told of each request that was answered. What it returns stands in the request's line in the log too.
	Observe func(context.Context, Seen) []slog.Attr

	// LogKey keys the hash by which the log knows owners: with the same key the same owner has the same hash.
	LogKey []byte

	// RequestID names a request that its caller did not name, as API Gateway has done already; where it is nil, or
	// names none, the name is a random UUID.
	RequestID func(*http.Request) string
}

// New makes the app.
func New(service *notes.Service, options Options) *echo.Echo {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Second
	}
	e := Bare(options)
	if len(options.CORSOrigins) > 0 {
		if options.Limit != nil {
			e.Pre(limitPreflights(options.Limit))
		}
		e.Pre(echo.WrapMiddleware(cors.New(cors.Options{
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
	e.Use(identify(options.Authenticate, options.Limit))
	if options.MaxInFlight > 0 {
		e.Use(holdRoom(options.MaxInFlight, options.Timeout, options.Authenticate != nil))
	}
	h := handlers{service: service, timeout: options.Timeout}
	Get(e, "/notes", h.list)
	e.POST("/notes", h.create)
	Get(e, "/notes/:id", h.get)
	e.PUT("/notes/:id", h.replace)
	e.PATCH("/notes/:id", h.patch)
	e.DELETE("/notes/:id", h.remove)
	// Echo lets a last parameter run over slashes; with this below it, it ends at the first.
	e.RouteNotFound("/notes/:id/*", echo.NotFoundHandler)
	return e
}

// Bare makes an app without routes, for an adapter's own: it answers errors as problems, names each request, and logs
// it.
func Bare(options Options) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = answerError
	e.IPExtractor = echo.ExtractIPDirect() // no header that a client can send says who it is
	if options.Client != nil {
		e.IPExtractor = options.Client
	}
	e.Pre(observe(options), recovered)
	if options.Admit != nil {
		e.Pre(admitted(options.Admit))
	}
	e.Pre(normalize)
	return e
}

// Get mounts a route that answers GET, and HEAD likewise without the body.
func Get(e *echo.Echo, path string, handler echo.HandlerFunc) {
	e.GET(path, handler)
	e.HEAD(path, handler)
}
