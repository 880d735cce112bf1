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

// rate limits the requests of one address or caller. The zero rate sets no limit.
type rate struct{ perSecond, burst int }

// maxRate is the highest rate and burst that NOTES_RATE_LIMIT accepts.
const maxRate = 1_000_000

// parseRate parses RATE or RATE:BURST. The default burst is RATE.
func parseRate(v string) (r rate, err error) {
	if v == "" {
		return r, nil
	}
	perSecond, burst, hasBurst := strings.Cut(v, ":")
	r.perSecond, err = strconv.Atoi(perSecond)
	r.burst = r.perSecond
	if err == nil && hasBurst {
		r.burst, err = strconv.Atoi(burst)
	}
	if err != nil || min(r.perSecond, r.burst) < 1 || max(r.perSecond, r.burst) > maxRate {
		return rate{}, fmt.Errorf("must be RATE or RATE:BURST, whole numbers from 1 to %d, such as 20:40", maxRate)
	}
	return r, nil
}

// maxTracked is the number of addresses and callers that a limit remembers; the least recently seen is evicted first.
const maxTracked = 1 << 16

// monotonicClock returns a clock that starts at now and ignores later changes of the wall clock.
func monotonicClock(now time.Time) func() time.Time {
	return func() time.Time { return now.Add(time.Since(now)) } // time.Since reads the monotonic clock
}

// newLimit returns a limit that enforces r by the clock now; nil if r sets no limit.
func newLimit(r rate, now func() time.Time) (app.Limit, error) {
	if r.perSecond == 0 {
		return nil, nil
	}
	store, err := memstore.New(maxTracked)
	if err != nil {
		return nil, err
	}
	store.SetTimeNow(now)
	quota := throttled.RateQuota{MaxRate: throttled.PerSec(r.perSecond), MaxBurst: r.burst - 1}
	limiter, err := throttled.NewGCRARateLimiterCtx(throttled.WrapStoreWithContext(store), quota)
	if err != nil {
		return nil, err
	}
	limiter.SetMaxCASAttemptsLimit(1000)
	return func(policy, who string) app.Quota {
		// An error means that a thousand attempts to update the count failed: the request is one of a flood.
		refused, result, err := limiter.RateLimitCtx(context.Background(), policy+" "+who, 1)
		return app.Quota{
			Refused: refused || err != nil,
			Most:    result.Limit, Remaining: result.Remaining, Reset: result.ResetAfter, Retry: result.RetryAfter,
		}
	}, nil
}

// parseProxies parses a comma-separated list of addresses and networks.
func parseProxies(v string) (proxies []*net.IPNet, err error) {
	if v == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(v, ",") {
		text = strings.TrimSpace(text)
		if ip := net.ParseIP(text); ip != nil {
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

// clientAddrFunc returns a function that returns the address of the client that sent a request. If the request comes
// from one of the proxies, that is the last address in X-Forwarded-For that is not a proxy's; else the header is
// ignored. Without proxies clientAddrFunc returns nil.
func clientAddrFunc(proxies []*net.IPNet) func(*http.Request) string {
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
				break // no trusted proxy wrote the entries before it
			}
			if !trusted(addr) {
				return addr.String()
			}
		}
		return remote // a client inside a trusted network may have written the whole header
	}
}

// parseAddress parses an entry of X-Forwarded-For: an address, for IPv6 perhaps in brackets, perhaps with a port.
func parseAddress(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if addrPort, err := netip.ParseAddrPort(s); err == nil {
		return addrPort.Addr().Unmap(), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return addr.Unmap(), err == nil
}

// admit returns a check that refuses requests with too large headers and, if onlyLocal, requests that do not come from
// this machine. Without NOTES_AUTH the server listens on a loopback address and lets everybody read and write. Two
// kinds of outsiders still reach it: web pages in a local browser, under a host name that resolves to this machine (DNS
// rebinding), and clients of a local proxy. The check recognizes the former by the Host header, the latter by the
// headers that proxies add.
func admit(onlyLocal bool) func(*http.Request) error {
	return func(r *http.Request) error {
		if headerSize(r) > headerLimit { // net/http enforces it exactly only for the first request of a connection
			return app.HeadersTooLarge(headerLimit)
		}
		if onlyLocal && (isProxied(r) || !isLoopback(r.Host)) {
			return app.Misdirected("this server serves only 127.0.0.1 and localhost, without a proxy: " +
				"to serve others, set NOTES_AUTH")
		}
		return nil
	}
}

// isProxied reports whether a request has a header that proxies add.
func isProxied(r *http.Request) bool {
	return slices.ContainsFunc(
		[]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"},
		func(name string) bool { return r.Header[name] != nil })
}
