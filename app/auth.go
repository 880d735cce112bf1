package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// Authenticate tells who sent a bearer token (RFC 6750). A [Refusal] is a token that nobody has; [ErrCannotTell] is one that
// cannot be judged for now; any other error is a fault.
type Authenticate func(ctx context.Context, token string) (Caller, error)

// Refusal is why a token is not taken, for logs and figures: one of a few words, none of which a client chose. The client is
// told the same whatever it is.
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

// maxToken is the most bytes of a token that is looked at.
const maxToken = 8 << 10

// identify lets a request through as its caller's, if neither its address nor its caller sends too many. The answers to
// others are those of RFC 6750, section 3.
func identify(authenticate Authenticate, limit Limit) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if limit != nil {
				if err := limited(c, limit, PolicyAddress, c.RealIP()); err != nil {
					return err
				}
			}
			if authenticate == nil {
				c.Set(callerKey, everybody)
				return next(c)
			}
			challenge := func(p *problem, attributes string) error {
				c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="notes"`+attributes)
				return p
			}
			given := joined(c.Request().Header, echo.HeaderAuthorization)
			scheme, token, _ := strings.Cut(given, " ")
			if !strings.EqualFold(scheme, "Bearer") {
				c.Set(refusedKey, noToken)
				return challenge(unauthenticated("a bearer token is needed: Authorization: Bearer TOKEN"), "")
			}
			if !visible(token, maxToken) || strings.Contains(token, ",") {
				c.Set(refusedKey, malformedToken)
				return challenge(unauthenticated("the header Authorization must be one bearer token: Bearer TOKEN"), `, error="invalid_token"`)
			}
			caller, err := authenticate(c.Request().Context(), token)
			var refusal Refusal
			if errors.As(err, &refusal) {
				const told = "the token is unknown or has expired"
				c.Set(refusedKey, refusal)
				return challenge(unauthenticated(told), fmt.Sprintf(`, error="invalid_token", error_description=%q`, told))
			}
			if err != nil {
				return err
			}
			c.Set(callerKey, caller)
			if limit != nil {
				if err := limited(c, limit, PolicyCaller, caller.Owner); err != nil {
					return err
				}
			}
			needed, name := Read, "notes:read"
			if method := c.Request().Method; method != http.MethodGet && method != http.MethodHead {
				needed, name = Write, "notes:write"
			}
			if caller.Scope < needed {
				return challenge(forbidden(name), fmt.Sprintf(`, error="insufficient_scope", scope=%q`, name))
			}
			return next(c)
		}
	}
}

func unauthenticated(detail string) *problem {
	return &problem{Status: 401, Code: "unauthenticated", Title: "The caller is not known", Detail: detail}
}

func forbidden(scope string) *problem {
	return &problem{Status: 403, Code: "forbidden", Title: "This is not allowed", Detail: "this takes a token with the scope " + scope}
}
