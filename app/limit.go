package app

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Limit counts a request and returns the remaining quota. Who is an address for PolicyAddress and an owner for
// PolicyCaller.
type Limit func(policy, who string) Quota

// The policies.
const (
	PolicyAddress = "address"
	PolicyCaller  = "caller"
)

// Quota is the state of a rate limit after a request.
type Quota struct {
	Refused   bool          // the request exceeds the limit
	Most      int           // the burst: requests allowed without a pause
	Remaining int           // requests left of the burst
	Reset     time.Duration // time until the whole burst is available again
	Retry     time.Duration // if the request is refused, time until the next is allowed
}

// checkLimit counts a request, sets the headers of draft-ietf-httpapi-ratelimit-headers-10, and returns a 429 problem
// if the limit is exceeded.
func checkLimit(c echo.Context, limit Limit, policy, who string) error {
	quota := limit(policy, who)
	header := c.Response().Header()
	header.Set("RateLimit-Policy", fmt.Sprintf(`%q;q=%d`, policy, quota.Most))
	header.Set("RateLimit", fmt.Sprintf(`%q;r=%d;t=%d`, policy, quota.Remaining, seconds(quota.Reset)))
	if !quota.Refused {
		return nil
	}
	header.Set("Retry-After", strconv.Itoa(max(1, seconds(quota.Retry))))
	return &problem{Status: http.StatusTooManyRequests, Code: "too_many_requests", Title: "Too many requests",
		Detail: "this " + policy + " sends too many requests; the header Retry-After says when to send the next one"}
}

// seconds returns d in whole seconds, rounded up so that clients do not retry too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
