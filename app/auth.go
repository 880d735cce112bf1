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

// Caller is the sender of a request and its rights.
type Caller struct {
	Owner string // the owner whose notes it reads and writes; 1 to 512 bytes of UTF-8
	Scope Scope
}

// Scope is what a caller may do. Each scope includes the ones before it.
type Scope int

// The scopes.
const (
	NoScope Scope = iota
	Read
	Write
)

// Authenticate returns the caller that a bearer token (RFC 6750) belongs to. The error is a [Refusal] if the token is
// not valid, and [ErrCannotVerify] if it cannot be verified at present; any other error is a fault of the service.
type Authenticate func(ctx context.Context, token string) (Caller, error)

// Refusal is the reason why a token is refused, for logs and metrics. It is one of a few fixed words and never client
// input. The response does not depend on it.
type Refusal string

func (r Refusal) Error() string { return "the token is refused: " + string(r) }

// ErrCannotVerify says that a token cannot be verified at present. The response is a 503, which says that nothing was
// changed.
var ErrCannotVerify = errors.New("the token cannot be verified")

// The refusals that every implementation of Authenticate may return.
const (
	UnknownToken Refusal = "unknown"
	ExpiredToken Refusal = "expired"
)

// The refusals of requests without a well-formed token.
const (
	noToken        Refusal = "none"
	malformedToken Refusal = "malformed"
)

// LocalOwner is the owner of notes that are made without authentication.
const LocalOwner = "local"

// maxToken is the longest accepted token, in bytes.
const maxToken = 8 << 10

// BearerToken returns the token in the Authorization header of a request (RFC 6750, section 2.1), or the refusal if
// there is no well-formed one.
func BearerToken(r *http.Request) (token string, refusal Refusal) {
	scheme, rest, _ := strings.Cut(headerValue(r.Header, echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", noToken
	}
	token = strings.TrimLeft(rest, " ")
	if !isVisible(token, maxToken) || strings.Contains(token, ",") {
		return "", malformedToken
	}
	return token, ""
}

// Probes are the paths of the liveness and readiness checks. They have no rate limit.
var Probes = []string{"/healthz", "/readyz"}

// limitAddress applies the rate limit of the client's address, except to Probes.
func limitAddress(limit Limit) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !slices.Contains(Probes, c.Request().URL.Path) {
				if err := checkLimit(c, limit, PolicyAddress, network(c.RealIP())); err != nil {
					return err
				}
			}
			return next(c)
		}
	}
}

// limitPreflights applies the rate limit of the client's address to CORS preflights, which are answered before
// limitAddress runs.
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

// network returns the network by which limits count an address: the /64 of an IPv6 address, because every customer has
// at least that (RFC 6177), and any other address itself.
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

// identify authenticates requests on /notes and every path below it, applies the caller's rate limit, and checks that
// its scope allows the method. It refuses as RFC 6750, section 3, says. OPTIONS needs no token.
func identify(authenticate Authenticate, limit Limit) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			rq, r := c.(*request), c.Request()
			if r.URL.Path != "/notes" && !strings.HasPrefix(r.URL.Path, "/notes/") || r.Method == http.MethodOptions {
				return next(c)
			}
			caller, err := callerFromToken(rq, authenticate)
			if err != nil {
				return err
			}
			rq.owner = caller.Owner
			if limit != nil {
				if err := checkLimit(c, limit, PolicyCaller, caller.Owner); err != nil {
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
				return challenge(c, Forbidden("this method needs a token with the scope "+name),
					fmt.Sprintf(`, error="insufficient_scope", scope=%q`, name))
			}
			return next(c)
		}
	}
}

// callerFromToken returns the caller that the token of a request belongs to.
func callerFromToken(c *request, authenticate Authenticate) (Caller, error) {
	token, refusal := BearerToken(c.Request())
	switch refusal {
	case noToken:
		c.refused = refusal
		return Caller{}, challenge(c, Unauthenticated("a bearer token is required: send Authorization: Bearer TOKEN"),
			"")
	case malformedToken:
		c.refused = refusal
		const detail = "the header Authorization must be one bearer token: Bearer TOKEN"
		return Caller{}, challenge(c, Unauthenticated(detail), `, error="invalid_token"`)
	}
	caller, err := authenticate(c.Request().Context(), token)
	if errors.As(err, &refusal) {
		const detail = "the token is unknown or has expired"
		c.refused = refusal
		return Caller{}, challenge(c,
			Unauthenticated(detail), fmt.Sprintf(`, error="invalid_token", error_description=%q`, detail))
	}
	return caller, err
}

// challenge sets the header WWW-Authenticate and returns refusal.
func challenge(c echo.Context, refusal error, attributes string) error {
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="notes"`+attributes)
	return refusal
}
