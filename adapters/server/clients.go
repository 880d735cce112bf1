package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"

	"example.com/portable-notes/app"
)

// rate is how many requests one may send: a second, and at once.
type rate struct{ second, burst int }

// maxRate bounds a rate; more is no limit.
const maxRate = 1_000_000

// parseRate reads RATE or RATE:BURST.
func parseRate(v string) (r rate, err error) {
	if v == "" {
		return r, nil
	}
	second, burst, both := strings.Cut(v, ":")
	r.second, err = strconv.Atoi(second)
	r.burst = r.second
	if err == nil && both {
		r.burst, err = strconv.Atoi(burst)
	}
	if err != nil || min(r.second, r.burst) < 1 || max(r.second, r.burst) > maxRate {
		return rate{}, fmt.Errorf("must be RATE or RATE:BURST, whole numbers from 1 to %d, such as 20:40", maxRate)
	}
	return r, nil
}

// maxTracked is the number of addresses and callers that a limit remembers; the one not seen for longest is forgotten
// first.
const maxTracked = 1 << 16

// steadily returns a clock that shows the time that has passed since now, whatever the wall clock is set to.
func steadily(now time.Time) func() time.Time {
	return func() time.Time { return now.Add(time.Since(now)) } // time.Since is by the monotonic clock
}

// newLimit makes a limit of a rate, which counts by a clock; nil for none.
func newLimit(r rate, now func() time.Time) (app.Limit, error) {
	if r.second == 0 {
		return nil, nil
	}
	store, err := memstore.New(maxTracked)
	if err != nil {
		return nil, err
	}
	store.SetTimeNow(now)
	quota := throttled.RateQuota{MaxRate: throttled.PerSec(r.second), MaxBurst: r.burst - 1}
	limiter, err := throttled.NewGCRARateLimiterCtx(throttled.WrapStoreWithContext(store), quota)
	if err != nil {
		return nil, err
	}
	limiter.SetMaxCASAttemptsLimit(1000)
	return func(policy, who string) app.Quota {
		// An error is a request that lost a thousand races for its own count: one of a flood.
		refused, is, err := limiter.RateLimitCtx(context.Background(), policy+" "+who, 1)
		return app.Quota{
			Refused: refused || err != nil,
			Most:    is.Limit, Remaining: is.Remaining, Reset: is.ResetAfter, Retry: is.RetryAfter,
		}
	}, nil
}

// parseProxies reads networks with commas between them.
func parseProxies(v string) (proxies []*net.IPNet, err error) {
	if v == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(v, ",") {
		text = strings.TrimSpace(text)
		if ip := net.ParseIP(text); ip != nil { // an address is a network of one
			text += map[bool]string{true: "/32", false: "/128"}[ip.To4() != nil]
		}
		_, proxy, err := net.ParseCIDR(text)
		if err != nil {
			return nil, errors.New("must be addresses or networks, such as 10.0.0.0/8,fd00::/8")
		}
		proxies = append(proxies, proxy)
	}
	return proxies, nil
}

// addressOf returns how to find the address that a request comes from: behind trusted proxies the last address in
// X-Forwarded-For that is not one of theirs. Whatever others write there is not heeded. nil for no proxies.
func addressOf(proxies []*net.IPNet) func(*http.Request) string {
	if proxies == nil {
		return nil
	}
	trusted := func(addr netip.Addr) bool {
		ip := net.IP(addr.AsSlice())
		return slices.ContainsFunc(proxies, func(proxy *net.IPNet) bool { return proxy.Contains(ip) })
	}
	direct := echo.ExtractIPDirect()
	return func(r *http.Request) string {
		remote := direct(r)
		if addr, ok := parseAddress(remote); !ok || !trusted(addr) {
			return remote
		}
		hops := strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), ",")
		for _, hop := range slices.Backward(hops) {
			addr, ok := parseAddress(hop)
			if !ok {
				break // and nothing before it was written by a proxy that is known
			}
			if !trusted(addr) {
				return addr.String()
			}
		}
		return remote // a client among the proxies may have written all of it
	}
}

// parseAddress reads an entry of X-Forwarded-For: an address, in brackets if it is of IPv6, and some proxies add a
// port.
func parseAddress(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if addrPort, err := netip.ParseAddrPort(s); err == nil {
		return addrPort.Addr().Unmap(), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return addr.Unmap(), err == nil
}

// admit returns what the server admits: requests whose headers are not too large and, where onlyLocal, those that come
// from this machine. On a loopback address with no setting anybody who reaches it may write. A page in a browser on
// this machine reaches it too, under a name of its own that it has point here (DNS rebinding), and is told apart by
// that name; a proxy hands on what comes from outside, and is told apart by the headers that it adds.
func admit(onlyLocal bool) func(*http.Request) error {
	return func(r *http.Request) error {
		if headerSize(r) > headerLimit { // net/http holds only the first request of a connection to it exactly
			return app.HeadersTooLarge(headerLimit)
		}
		if onlyLocal && (proxied(r) || !loopback(r.Host)) {
			return app.Misdirected("this server is for 127.0.0.1 and localhost alone, and for no proxy: " +
				"set NOTES_AUTH to say who else may come")
		}
		return nil
	}
}

// proxied reports whether a request has a header that proxies add.
func proxied(r *http.Request) bool {
	return slices.ContainsFunc(
		[]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"},
		func(name string) bool { return r.Header[name] != nil })
}
