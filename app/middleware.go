package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// Seen is a request that was answered. None of its texts is of a client's making.
type Seen struct {
	Method  string // one of HTTP's, or OTHER
	Route   string // its template, such as /notes/:id; "" for a path that nobody serves
	Status  int
	Took    time.Duration
	Refused Refusal // why its token was not taken; "" where it was, or where there was nothing to take
}

// observe stands outermost: it names the request, sets the headers that every answer carries, has errors answered,
// and logs one line. The line holds nothing that a client wrote but the ids of the request and its trace, which were
// checked: no path, no query, no text, no token. A fault of ours is logged here and nowhere else.
func observe(options Options) echo.MiddlewareFunc {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	newID := options.RequestID
	if newID == nil {
		newID = func(*http.Request) string { return "" }
	}
	hash := HashOwner(options.LogKey)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			r, header := c.Request(), c.Response().Header()
			id := joined(r.Header, echo.HeaderXRequestID)
			if !visible(id, 128) {
				id = newID(r)
			}
			if !visible(id, 128) {
				id = uuid.NewString()
			}
			header.Set(echo.HeaderXRequestID, id)
			header.Set("X-Content-Type-Options", "nosniff")
			header.Set("Cache-Control", "private, no-cache")

			err := next(c)
			if err != nil {
				c.Error(err)
			}

			seen := Seen{Method: knownMethod(r.Method), Route: c.Path(), Status: c.Response().Status,
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
			if caller, ok := c.Get(callerKey).(Caller); ok && options.Authenticate != nil {
				attrs = append(attrs, slog.String("caller", hash(caller.Owner)))
			}
			if refusal, ok := c.Get(refusedKey).(Refusal); ok {
				seen.Refused = refusal
				attrs = append(attrs, slog.String("refused", string(refusal)))
			}
			if seen.Status >= http.StatusInternalServerError {
				level = slog.LevelError
				if errors.Is(err, context.Canceled) { // the client is gone
					level = slog.LevelInfo
				}
				attrs = append(attrs, slog.Any("error", err))
			}
			if options.Observe != nil {
				attrs = append(attrs, options.Observe(r.Context(), seen)...)
			}
			log.LogAttrs(r.Context(), level, "request", attrs...)
			return nil
		}
	}
}

// HashOwner returns a function that hashes an owner as the log does: the first 16 hexadecimal digits of the
// HMAC-SHA-256 of the owner's name under key, which is Options.LogKey. The hash tells callers apart, and does not tell
// who they are. The function is safe for use by many goroutines.
func HashOwner(key []byte) func(owner string) string {
	idle := sync.Pool{New: func() any { return hmac.New(sha256.New, key) }} // with the key worked in
	return func(owner string) string {
		h := idle.Get().(hash.Hash)
		defer idle.Put(h)
		h.Reset()
		_, _ = io.WriteString(h, owner) // a hash does not fail
		var sum [sha256.Size]byte
		return hex.EncodeToString(h.Sum(sum[:0])[:8])
	}
}

// recovered turns a panic into an error with its stack: for the client a 500, for the log the line of its request.
var recovered = middleware.RecoverWithConfig(middleware.RecoverConfig{
	DisableErrorHandler: true,
	LogErrorFunc: func(_ echo.Context, err error, stack []byte) error {
		return fmt.Errorf("panic: %w\n%s", err, stack)
	},
})

// admitted answers requests that an adapter does not admit.
func admitted(admit func(*http.Request) error) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := admit(c.Request()); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// normalize gives every adapter the same request: a header sent more than once is one value, as API Gateway folds it,
// and paths are routed as decoded, as API Gateway hands them on.
func normalize(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		for name, values := range r.Header {
			if len(values) > 1 {
				r.Header[name] = []string{strings.Join(values, ",")}
			}
		}
		r.URL.RawPath = ""
		return next(c)
	}
}

// joined is a header's one value, also before normalize.
func joined(h http.Header, name string) string { return strings.Join(h.Values(name), ",") }

// visible reports whether s is 1 to limit visible ASCII characters.
func visible(s string, limit int) bool {
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

// knownMethod keeps what a client made up out of the log.
func knownMethod(method string) string {
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"},
		method) {
		return method
	}
	return "OTHER"
}

type baseKey struct{}

// WithBase tells the app the path under which its client sees it, such as /dev behind a stage of API Gateway: it stands
// before the links that the app makes.
func WithBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, base)
}

// Base is what [WithBase] told.
func Base(ctx context.Context) string {
	base, _ := ctx.Value(baseKey{}).(string)
	return base
}

// basePath is a path that needs no escaping, or nothing.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

// CheckBase returns what is wrong with a base path for [Under]; "" is one.
func CheckBase(base string) error {
	if !basePath.MatchString(base) || strings.HasPrefix(base+"/", "/notes/") {
		return errors.New("must be segments of letters, digits and . _ ~ -, each after a slash, such as /api, " +
			"and the first not notes")
	}
	return nil
}

// Under serves a handler whose clients see it under a base path such as /api: it takes the base off the paths of
// requests that carry it whole (a proxy may have done so already) and lets the links that the app makes begin with it.
// The base begins with a slash and does not end with one; "" changes nothing.
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
