package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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

// knownAtOnce is of how many addresses and callers is kept what they have left. Who was not seen for longest is forgotten.
const knownAtOnce = 1 << 16

// newLimit makes a limit of a rate; nil for none.
func newLimit(r rate) (app.Limit, error) {
	if r.second == 0 {
		return nil, nil
	}
	store, err := memstore.NewCtx(knownAtOnce)
	if err != nil {
		return nil, err
	}
	limiter, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(r.second), MaxBurst: r.burst - 1})
	if err != nil {
		return nil, err
	}
	limiter.SetMaxCASAttemptsLimit(1000)
	return func(policy, who string) app.Quota {
		if policy == app.PolicyAddress {
			who = network(who)
		}
		// An error is a request that lost a thousand races for its own count: one of a flood.
		refused, is, err := limiter.RateLimitCtx(context.Background(), policy+" "+who, 1)
		return app.Quota{Refused: refused || err != nil, Most: is.Limit, Remaining: is.Remaining, Reset: is.ResetAfter, Retry: is.RetryAfter}
	}, nil
}

// network is whom an address belongs to: of IPv6 one customer has a /64 at least (RFC 6177).
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

// addressOf tells whom a request comes from: the last address in X-Forwarded-For that no trusted proxy is of, if it comes from
// one. What anybody else says there is not heeded.
func addressOf(proxies []*net.IPNet) func(*http.Request) string {
	if proxies == nil {
		return nil
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, proxy := range proxies {
		options = append(options, echo.TrustIPRange(proxy))
	}
	direct, forwarded := echo.ExtractIPDirect(), echo.ExtractIPFromXFFHeader(options...)
	return func(r *http.Request) string {
		addr := forwarded(r)
		ip := net.ParseIP(addr)
		if slices.ContainsFunc(proxies, func(proxy *net.IPNet) bool { return proxy.Contains(ip) }) {
			return direct(r) // a client among the proxies may have written all that there is
		}
		return addr
	}
}

// local lets requests through that come from this machine. On a loopback address with no setting anybody who reaches it may
// write. A page in a browser on this machine reaches it too, under a name of its own that it has point here (DNS rebinding),
// and is told apart by that name; and a proxy hands on what comes from outside, and is told apart by what it adds.
func local(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied := slices.ContainsFunc([]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}, func(name string) bool { return r.Header[name] != nil })
		if proxied || !loopback(r.Host) {
			log.InfoContext(r.Context(), "a request for another name than localhost, or through a proxy, was refused: NOTES_AUTH is not set", "remote", r.RemoteAddr, "status", http.StatusMisdirectedRequest)
			http.Error(w, "this server is for 127.0.0.1 and localhost alone, and for no proxy: set NOTES_AUTH to say who else may come", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
