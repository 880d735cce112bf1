package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Caller is who sends a request, and what it may do.
type Caller struct {
	Owner string // whose notes it reads and writes; 1 to 512 bytes of UTF-8
	Scope Scope
}

// Scope is what a caller may do; each includes those before it.
type Scope int

// The scopes.
const (
	NoScope Scope = iota
	Read
	Write
)

// Authenticate tells who sent a bearer token (RFC 6750). A [Refusal] is a token that nobody has; [ErrCannotTell] is
// one that cannot be judged for now; any other error is a fault.
type Authenticate func(ctx context.Context, token string) (Caller, error)

// Refusal is why a token is not taken, for logs and figures: one of a few words, none of which a client chose. The
// client is told the same whatever it is.
type Refusal string

func (r Refusal) Error() string { return "the token is refused: " + string(r) }

// ErrCannotTell is for a token that cannot be judged for now: a 503, which says that nothing was changed.
var ErrCannotTell = errors.New("a token cannot be judged")

// UnknownToken and ExpiredToken are what every way to know tokens may find.
const (
	UnknownToken Refusal = "unknown"
	ExpiredToken Refusal = "expired"
)

// The refusals of what is no token at all.
const (
	noToken        Refusal = "none"
	malformedToken Refusal = "malformed"
)

// everybody is the caller where nobody is asked who they are.
var everybody = Caller{Owner: "local", Scope: Write}

// The keys under which a request's context has its caller, and why it has none.
const (
	callerKey  = "caller"
	refusedKey = "refused"
)

// callerOf is who sent a request that identify let through.
func callerOf(c echo.Context) Caller { return c.Get(callerKey).(Caller) }

// maxToken is the largest token that is looked at, in bytes.
const maxToken = 8 << 10

// BearerToken returns the token of a request's Authorization header (RFC 6750, section 2.1), and the refusal of a
// header that has none.
func BearerToken(r *http.Request) (token string, refusal Refusal) {
	scheme, rest, _ := strings.Cut(joined(r.Header, echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", noToken
	}
	token = strings.TrimLeft(rest, " ")
	if !visible(token, maxToken) || strings.Contains(token, ",") {
		return "", malformedToken
	}
	return token, ""
}

// Probes are the paths that tell whether the service is up and ready. They are never answered with 429.
var Probes = []string{"/healthz", "/readyz"}

// limitAddress holds each address to its limit, on every path that is not a probe.
func limitAddress(limit Limit) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !slices.Contains(Probes, c.Request().URL.Path) {
				if err := limited(c, limit, PolicyAddress, network(c.RealIP())); err != nil {
					return err
				}
			}
			return next(c)
		}
	}
}

// limitPreflights holds the preflights of an address to its limit too: CORS answers them before they have a route.
func limitPreflights(limit Limit) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		limited := limitAddress(limit)(next)
		return func(c echo.Context) error {
			r := c.Request()
			if r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) != "" {
				return limited(c)
			}
			return next(c)
		}
	}
}

// network returns the network of an address whose addresses count as one: an IPv6 customer has a /64 at least (RFC
// 6177).
func network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil || ip.Unmap().Is4() {
		return addr
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.String()
}

// identify finds out who sends a request for the notes, on every path under /notes, and lets it through if its caller
// may do what the method does and does not send too many. The refusals are those of RFC 6750, section 3. OPTIONS tells
// what a path can do and needs no token.
func identify(authenticate Authenticate, limit Limit) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if r.URL.Path != "/notes" && !strings.HasPrefix(r.URL.Path, "/notes/") || r.Method == http.MethodOptions {
				return next(c)
			}
			if authenticate == nil {
				c.Set(callerKey, everybody)
				return next(c)
			}
			caller, err := authenticated(c, authenticate)
			if err != nil {
				return err
			}
			c.Set(callerKey, caller)
			if limit != nil {
				if err := limited(c, limit, PolicyCaller, caller.Owner); err != nil {
					return err
				}
			}
			needed, name := NoScope, ""
			switch r.Method {
			case http.MethodGet, http.MethodHead:
				needed, name = Read, "notes:read"
			case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
				needed, name = Write, "notes:write"
			}
			if caller.Scope < needed {
				return challenge(c, Forbidden("this takes a token with the scope "+name),
					fmt.Sprintf(`, error="insufficient_scope", scope=%q`, name))
			}
			return next(c)
		}
	}
}

func authenticated(c echo.Context, authenticate Authenticate) (Caller, error) {
	token, refusal := BearerToken(c.Request())
	switch refusal {
	case noToken:
		c.Set(refusedKey, refusal)
		return Caller{}, challenge(c, Unauthenticated("a bearer token is needed: Authorization: Bearer TOKEN"), "")
	case malformedToken:
		c.Set(refusedKey, refusal)
		const told = "the header Authorization must be one bearer token: Bearer TOKEN"
		return Caller{}, challenge(c, Unauthenticated(told), `, error="invalid_token"`)
	}
	caller, err := authenticate(c.Request().Context(), token)
	if errors.As(err, &refusal) {
		const told = "the token is unknown or has expired"
		c.Set(refusedKey, refusal)
		return Caller{}, challenge(c,
			Unauthenticated(told), fmt.Sprintf(`, error="invalid_token", error_description=%q`, told))
	}
	return caller, err
}

// challenge sets WWW-Authenticate beside a refusal.
func challenge(c echo.Context, refusal error, attributes string) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="notes"`+attributes)
	return refusal
}
