package app

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Limit counts a request of somebody, and tells what that leaves: of an address (PolicyAddress) or an owner
// (PolicyCaller).
type Limit func(policy, who string) Quota

// The policies of a limit.
const (
	PolicyAddress = "address"
	PolicyCaller  = "caller"
)

// Quota is what is left of somebody's requests.
type Quota struct {
	Refused   bool          // this request is one too many
	Most      int           // requests that may come at once
	Remaining int           // of them
	Reset     time.Duration // until all of them are there again
	Retry     time.Duration // until the next may come, if this one is refused
}

// limited holds the policy that is named to a quota, and tells the client of it in the headers of
// draft-ietf-httpapi-ratelimit-headers-10.
func limited(c echo.Context, limit Limit, policy, who string) error {
	quota := limit(policy, who)
	header := c.Response().Header()
	header.Set("RateLimit-Policy", fmt.Sprintf(`%q;q=%d`, policy, quota.Most))
	header.Set("RateLimit", fmt.Sprintf(`%q;r=%d;t=%d`, policy, quota.Remaining, seconds(quota.Reset)))
	if !quota.Refused {
		return nil
	}
	header.Set("Retry-After", strconv.Itoa(max(1, seconds(quota.Retry))))
	return &problem{Status: http.StatusTooManyRequests, Code: "too_many_requests", Title: "There are too many requests",
		Detail: "this " + policy + " sends more requests than it may; the header Retry-After says when the next " +
			"one is welcome"}
}

// seconds rounds up: what is told must not be too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
