package app

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Seen describes a request after its response. None of its strings is client input.
type Seen struct {
	Method  string // a method of HTTP, or OTHER
	Route   string // the path template, such as /notes/:id; "" if no route matches
	Status  int
	Took    time.Duration
	Refused Refusal // why the token was refused; "" if it was not, or if none is needed
}

// request is Echo's context of a request, with what middleware and handlers add. observe makes it.
type request struct {
	echo.Context
	owner    string       // of the notes; "" until it is known
	refused  Refusal      // why the token was refused; "" if it was not
	reserved *reservation // memory for the body and the response; nil if memory is not bounded
}

// observe is the first middleware after routing. It gives the request an id, sets the headers of every response,
// renders errors, and logs one line. The only client input in the line are the ids of the request and its trace, which
// have been checked; it has no path, query, text or token. Faults of the service are logged only here.
func observe(options Options) echo.MiddlewareFunc {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	newID := options.RequestID
	if newID == nil {
		newID = func(*http.Request) string { return "" }
	}
	hashOwner := HashOwner(options.LogKey)
	serve := func(c *request, next echo.HandlerFunc) error {
		start := time.Now()
		r, header := c.Request(), c.Response().Header()
		id := headerValue(r.Header, echo.HeaderXRequestID)
		if !isVisible(id, 128) {
			id = newID(r)
		}
		if !isVisible(id, 128) {
			id = uuid.NewString()
		}
		header.Set(echo.HeaderXRequestID, id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "private, no-cache")

		err := next(c)
		if err != nil {
			c.Error(err)
		}

		seen := Seen{Method: methodLabel(r.Method), Route: c.Path(), Status: c.Response().Status,
			Took: time.Since(start)}
		level := slog.LevelInfo
		attrs := append(make([]slog.Attr, 0, 16),
			slog.String("request_id", id),
			slog.String("method", seen.Method),
			slog.String("route", seen.Route),
			slog.Int("status", seen.Status),
			slog.Int64("bytes", c.Response().Size),
			slog.Int64("took_us", seen.Took.Microseconds()),
			slog.String("remote", c.RealIP()),
		)
		if options.Trace != nil {
			if trace := options.Trace(r); trace != "" {
				attrs = append(attrs, slog.String("trace_id", trace))
			}
		}
		if options.Authenticate != nil && c.owner != "" {
			attrs = append(attrs, slog.String("caller", hashOwner(c.owner)))
		}
		if c.refused != "" {
			seen.Refused = c.refused
			attrs = append(attrs, slog.String("refused", string(c.refused)))
		}
		if seen.Status >= http.StatusInternalServerError {
			level = slog.LevelError
			if errors.Is(err, context.Canceled) { // the client has disconnected
				level = slog.LevelInfo
			}
			attrs = append(attrs, slog.Any("error", err))
		}
		if options.Observe != nil {
			attrs = append(attrs, options.Observe(r.Context(), seen)...)
		}
		if log.Enabled(r.Context(), level) {
			// LogAttrs would also look up the source line, which is not logged.
			line := slog.NewRecord(time.Now(), level, "request", 0)
			line.AddAttrs(attrs...)
			_ = log.Handler().Handle(r.Context(), line)
		}
		return nil
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error { return serve(&request{Context: c}, next) }
	}
}

// HashOwner returns the function that hashes owners for the log: the first 16 hexadecimal digits of the HMAC-SHA-256
// of the owner's name with key, which is Options.LogKey. The hash tells callers apart without revealing who they are.
// The function is safe for concurrent use. It remembers up to maxRemembered hashes.
func HashOwner(key []byte) func(owner string) string {
	const maxRemembered = 1000 // owners; then all are forgotten, which bounds the memory
	var remembered sync.Map    // from owner to hash
	var count atomic.Int64
	return func(owner string) string {
		if hash, ok := remembered.Load(owner); ok {
			return hash.(string)
		}
		h := hmac.New(sha256.New, key)
		_, _ = io.WriteString(h, owner) // never fails
		hash := hex.EncodeToString(h.Sum(nil)[:8])
		if count.Add(1) > maxRemembered {
			remembered.Clear()
			count.Store(1)
		}
		remembered.Store(owner, hash)
		return hash
	}
}

// recoverPanics converts a panic to an error with its stack. The client gets a 500, and the error is logged in the line
// of the request. Echo's own middleware does the same, but links html/template into the program.
func recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler: // net/http closes the connection and logs nothing
				panic(r)
			default:
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
		}()
		return next(c)
	}
}

// admit refuses the requests for which check returns an error.
func admit(check func(*http.Request) error) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := check(c.Request()); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// useDecodedPath and joinHeaders make requests equal in all adapters by doing what API Gateway does: it routes the
// decoded path, and joins the values of a repeated header with commas. An empty path, which a base path without a slash
// after it leaves, is that of the root (RFC 9110, section 4.2.3).

func useDecodedPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		url := c.Request().URL
		url.Path, url.RawPath = cmp.Or(url.Path, "/"), ""
		return next(c)
	}
}

func joinHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Request().Header
		for name, values := range header {
			if len(values) > 1 {
				header[name] = []string{strings.Join(values, ",")}
			}
		}
		return next(c)
	}
}

// headerValue returns the values of a header, joined as by joinHeaders. It works before joinHeaders too.
func headerValue(h http.Header, name string) string { return strings.Join(h.Values(name), ",") }

// isVisible reports whether s consists of 1 to limit visible ASCII characters.
func isVisible(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// methodLabel returns method if it is one of HTTP's, and else OTHER, so that no client input gets into the log.
func methodLabel(method string) string {
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"},
		method) {
		return method
	}
	return "OTHER"
}

type baseKey struct{}

// WithBase sets the base path at which clients see the app, such as /dev for a stage of API Gateway. The links in
// responses begin with it.
func WithBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, base)
}

// Base returns the base path set by [WithBase], or "".
func Base(ctx context.Context) string {
	base, _ := ctx.Value(baseKey{}).(string)
	return base
}

// basePath matches "" and paths that need no escaping.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

// CheckBase returns an error if base is not a valid base path for [Under]. The empty path is valid.
func CheckBase(base string) error {
	if !basePath.MatchString(base) || strings.HasPrefix(base+"/", "/notes/") {
		return errors.New("must be segments of letters, digits and . _ ~ -, each after a slash, such as /api, " +
			"and the first not notes")
	}
	return nil
}

// Under serves h at a base path such as /api. It removes the base from the paths of requests; paths without it are
// served too, because a proxy may have removed it. It also calls [WithBase]. If base is "", Under returns h.
func Under(base string, h http.Handler) http.Handler {
	if base == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(WithBase(r.Context(), base))
		if rest, ok := strings.CutPrefix(r.URL.Path, base); ok && (rest == "" || rest[0] == '/') {
			url := *r.URL
			url.Path, url.RawPath = rest, ""
			r.URL = &url
		}
		h.ServeHTTP(w, r)
	})
}
