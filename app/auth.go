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
	Write bool   // whether it may change them; whoever is known may read them
}

// Authenticate tells who sent a bearer token (RFC 6750). An error is a token that nobody has: its text is for the client,
// and says no more than that.
type Authenticate func(ctx context.Context, token string) (Caller, error)

// ErrUnknownToken is for tokens that nobody has.
var ErrUnknownToken = errors.New("the token is unknown or has expired")

// everybody is the caller where nobody is asked who they are.
var everybody = Caller{Owner: "local", Write: true}

const callerKey = "caller"

// callerOf is who sent a request.
func callerOf(c echo.Context) Caller { return c.Get(callerKey).(Caller) }

// maxToken is the most bytes of a token that is looked at.
const maxToken = 8 << 10

// identify lets a request through as its caller's. The answers to others are those of RFC 6750, section 3.
func identify(authenticate Authenticate) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
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
			if given == "" {
				return challenge(unauthenticated("a bearer token is needed: Authorization: Bearer TOKEN"), "")
			}
			if !strings.EqualFold(scheme, "Bearer") || !visible(token, maxToken) || strings.Contains(token, ",") {
				return challenge(unauthenticated("the header Authorization must be one bearer token: Bearer TOKEN"), `, error="invalid_token"`)
			}
			caller, err := authenticate(c.Request().Context(), token)
			if err != nil {
				return challenge(unauthenticated(ErrUnknownToken.Error()), fmt.Sprintf(`, error="invalid_token", error_description=%q`, ErrUnknownToken))
			}
			if method := c.Request().Method; method != http.MethodGet && method != http.MethodHead && !caller.Write {
				return challenge(forbidden(), `, error="insufficient_scope", scope="notes:write"`)
			}
			c.Set(callerKey, caller)
			return next(c)
		}
	}
}

func unauthenticated(detail string) *problem {
	return &problem{Status: 401, Code: "unauthenticated", Title: "The caller is not known", Detail: detail}
}

func forbidden() *problem {
	return &problem{Status: 403, Code: "forbidden", Title: "This is not allowed", Detail: "this token may read notes, not change them"}
}
