package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/app/token"
)

// config is what the environment says.
type config struct {
	addr        string        // host:port
	file        string        // of the bolt store, or ""
	table       string        // of the DynamoDB store, or ""
	logLevel    slog.Level    //
	logFormat   string        // auto, text or json
	corsOrigins []string      // none: off
	basePath    string        // begins with a slash, or is ""
	timeout     time.Duration // of the store, for one request
	drain       time.Duration // between the signal to stop and the closed listener
	connections int           // at once
	inFlight    int64         // bytes of bodies and answers, at once
	auth        settings.Auth
	rate        rate             // of one address, and of one caller
	proxies     []*net.IPNet     // that are believed
	adminAddr   string           // host:port, or "" for none
	backup      app.Authenticate // who may have a backup; nil for nobody in particular
	logKey      []byte
}

// settings are all that there are, in the order of -h and of docs/operate.md.
var all = slices.Concat([]settings.Setting[config]{
	settings.New("NOTES_ADDR", "127.0.0.1:8080", "address to listen on; :8080 is every address of this machine, "+
		"port 0 any free one",
		func(c *config, v string) error {
			c.addr = v
			return settings.Expect(address(v), "must be HOST:PORT, such as 127.0.0.1:8080")
		}),
	settings.New("NOTES_STORE", "bolt:notes.db", "where the notes are kept: bolt:FILE, a file that is made if it "+
		"is not there, or dynamodb:TABLE",
		func(c *config, v string) error {
			kind, name, _ := strings.Cut(v, ":")
			switch kind {
			case "bolt":
				c.file = name
			case "dynamodb":
				var err error
				if c.table, err = settings.Table(name); err != nil {
					return err
				}
			}
			return settings.Expect(c.file+c.table != "",
				"must be bolt:FILE or dynamodb:TABLE, such as bolt:notes.db or dynamodb:notes")
		}),
}, settings.AuthSettings(func(c *config) *settings.Auth { return &c.auth }, true), []settings.Setting[config]{
	settings.New("NOTES_RATE_LIMIT", "", "requests a second that one address, and one caller, may send: "+
		"RATE, or RATE:BURST, such as 20:40; empty is no limit",
		func(c *config, v string) (err error) { c.rate, err = parseRate(v); return }),
	settings.New("NOTES_TRUSTED_PROXIES", "", "addresses or networks of proxies whose X-Forwarded-For is believed, "+
		"with commas between them, such as 10.0.0.0/8",
		func(c *config, v string) (err error) { c.proxies, err = parseProxies(v); return }),
	settings.New("NOTES_ADMIN_ADDR", "", "address for the operator alone: /metrics for Prometheus and, on a "+
		"loopback address, /backup, a copy of the notes file; empty is none",
		func(c *config, v string) error {
			c.adminAddr = v
			return settings.Expect(v == "" || address(v), "must be HOST:PORT, such as 127.0.0.1:9090")
		}),
	settings.New("NOTES_BACKUP_TOKEN", "", "hash of the bearer token that /backup takes, as -new-token prints it: "+
		"sha256:HEX; needed for it where NOTES_AUTH is token or jwt",
		func(c *config, v string) error {
			if v == "" {
				return nil
			}
			tokens, err := token.Parse("operator read "+v, time.Now)
			if err != nil {
				return errors.New("must be sha256: and 64 hexadecimal digits")
			}
			c.backup = tokens.Caller
			return nil
		}),
	settings.New("NOTES_LOG_KEY", "", "secret that keys the hash by which the log knows callers; empty is another "+
		"one at each start",
		func(c *config, v string) (err error) { c.logKey, err = settings.LogKey(v); return }),
	settings.New("NOTES_LOG_LEVEL", "info", "lowest level that is logged: debug, info, warn or error",
		func(c *config, v string) (err error) { c.logLevel, err = settings.LogLevel(v); return }),
	settings.New("NOTES_LOG_FORMAT", "auto", "text, json, or auto: text on a terminal, else json",
		func(c *config, v string) error {
			c.logFormat = v
			return settings.Expect(slices.Contains([]string{"auto", "text", "json"}, v), "must be auto, text or json")
		}),
	settings.New("NOTES_CORS_ORIGINS", "", "origins whose pages may call, with commas between them, or * for all; "+
		"empty switches CORS off",
		func(c *config, v string) (err error) { c.corsOrigins, err = settings.CORSOrigins(v); return }),
	settings.New("NOTES_BASE_PATH", "", "path under which clients see the service, such as /api behind a proxy",
		func(c *config, v string) (err error) { c.basePath, err = settings.BasePath(v); return }),
	settings.New("NOTES_REQUEST_TIMEOUT", "5s", "how long the store may take for one request before it is answered "+
		"with 503",
		func(c *config, v string) (err error) { c.timeout, err = settings.RequestTimeout(v); return }),
	settings.New(
		"NOTES_DRAIN",
		"2s",
		"how long requests on open connections are still taken after the signal to stop",
		func(c *config, v string) (err error) { c.drain, err = settings.Duration(v, 0, time.Minute); return },
	),
	settings.New("NOTES_MAX_CONNECTIONS", "4096", "connections that are served at once; further ones wait",
		func(c *config, v string) (err error) {
			c.connections, err = strconv.Atoi(v)
			return settings.Expect(err == nil && c.connections >= 1 && c.connections <= 1_000_000,
				"must be a whole number from 1 to 1000000")
		}),
	settings.New("NOTES_MAX_IN_FLIGHT", "48", "MiB of request bodies and answers that are in memory at once, "+
		"a quarter of it for one caller; further ones wait, and get a 503 when that takes too long",
		func(c *config, v string) error {
			mebibytes, err := strconv.ParseInt(v, 10, 64)
			c.inFlight = mebibytes << 20
			return settings.Expect(err == nil && c.inFlight >= app.MinInFlight && mebibytes <= 1<<20,
				fmt.Sprintf("must be a whole number of MiB from %d to %d", app.MinInFlight>>20, 1<<20))
		}),
})

// logKey reads NOTES_LOG_KEY alone, which must be set.
func logKey(environ []string) ([]byte, error) {
	const name = "NOTES_LOG_KEY"
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok && value != "" {
			key, err := settings.LogKey(value)
			if err != nil {
				err = fmt.Errorf("%s %w", name, err)
			}
			return key, err
		}
	}
	return nil, errors.New(name + " is not set: set it to the key of the server whose log it is")
}

// mistake is what does not go together in the settings.
func (c config) mistake() error {
	err := c.auth.Validate(true)
	if c.auth.Kind != "" {
		return err
	}
	const choose = "set NOTES_AUTH=token or NOTES_AUTH=jwt, or NOTES_AUTH=none if anyone may read and write the notes"
	if c.proxies != nil {
		err = errors.Join(err, errors.New("NOTES_TRUSTED_PROXIES is set, so there are clients outside: "+choose))
	}
	if !loopback(c.addr) {
		err = errors.Join(err, fmt.Errorf("NOTES_ADDR=%s can be reached from outside: %s", c.addr, choose))
	}
	if slices.Contains(c.corsOrigins, "*") {
		err = errors.Join(err, errors.New("NOTES_CORS_ORIGINS=* lets the pages of every website use the notes: "+
			choose))
	}
	return err
}

// address tells that a text is one to listen on.
func address(v string) bool {
	_, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err == nil
}

// loopback reports whether only this machine reaches an address. The case of a host's name does not matter (RFC 9110,
// section 4.2.3).
func loopback(addr string) bool {
	host := (&url.URL{Host: addr}).Hostname() // with a port, or as a Host header without one
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
