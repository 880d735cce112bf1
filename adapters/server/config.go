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

// config holds the settings.
type config struct {
	addr        string // host:port
	file        string // of the bolt store; "" if the notes are in a table
	table       string // in DynamoDB; "" if the notes are in a file
	logLevel    slog.Level
	logFormat   string        // auto, text or json
	corsOrigins []string      // empty disables CORS
	basePath    string        // begins with a slash, or is ""
	page        bool          // serves the notes page
	timeout     time.Duration // of the store, for one request
	drain       time.Duration // from the signal to stop until the listener closes
	connections int           // maximum
	inFlight    int64         // maximum bytes of request bodies and answers in memory
	auth        settings.Auth
	rate        rate             // of each address and of each caller
	proxies     []*net.IPNet     // whose X-Forwarded-For is trusted
	adminAddr   string           // host:port, or "" for none
	backup      app.Authenticate // accepts the token of NOTES_BACKUP_TOKEN; nil if that is not set
	logKey      []byte
}

// allSettings lists the settings in the order of -h and of docs/operate.md.
var allSettings = slices.Concat([]settings.Setting[config]{
	settings.New("NOTES_ADDR", "127.0.0.1:8080", "address to listen on; :8080 listens on every address of this "+
		"machine and needs NOTES_AUTH, port 0 on any free port",
		func(c *config, v string) error {
			c.addr = v
			return settings.Expect(isAddress(v), "must be HOST:PORT, such as 127.0.0.1:8080")
		}),
	settings.New("NOTES_STORE", "bolt:notes.db", "where the notes are kept: bolt:FILE, which is created if it does "+
		"not exist, or dynamodb:TABLE",
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
	settings.New("NOTES_RATE_LIMIT", "", "requests per second allowed for each address and for each caller: "+
		"RATE or RATE:BURST, such as 20:40; empty sets no limit",
		func(c *config, v string) (err error) { c.rate, err = parseRate(v); return }),
	settings.New("NOTES_TRUSTED_PROXIES", "", "addresses or networks of proxies whose X-Forwarded-For is trusted, "+
		"separated by commas, such as 10.0.0.0/8",
		func(c *config, v string) (err error) { c.proxies, err = parseProxies(v); return }),
	settings.New("NOTES_ADMIN_ADDR", "", "address for the operator only: it serves /metrics for Prometheus and, "+
		"if it is a loopback address, /backup, a copy of the notes file; empty serves neither",
		func(c *config, v string) error {
			c.adminAddr = v
			return settings.Expect(v == "" || isAddress(v), "must be HOST:PORT, such as 127.0.0.1:9090")
		}),
	settings.New(
		"NOTES_BACKUP_TOKEN",
		"",
		"hash of the bearer token that /backup accepts, as server token new prints "+
			"it: sha256:HEX; /backup requires it if NOTES_AUTH is token or jwt",
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
		},
	),
	settings.New(
		"NOTES_LOG_KEY",
		"",
		"secret key, of at least 16 bytes, of the hashes that stand for callers in the log; empty makes a "+
			"new key at each start",
		func(c *config, v string) (err error) { c.logKey, err = settings.LogKey(v); return },
	),
	settings.New("NOTES_LOG_LEVEL", "info", "lowest level that is logged: debug, info, warn or error",
		func(c *config, v string) (err error) { c.logLevel, err = settings.LogLevel(v); return }),
	settings.New("NOTES_LOG_FORMAT", "auto", "text, json or auto: text on a terminal, else json",
		func(c *config, v string) error {
			c.logFormat = v
			return settings.Expect(slices.Contains([]string{"auto", "text", "json"}, v), "must be auto, text or json")
		}),
	settings.New("NOTES_CORS_ORIGINS", "", "origins whose pages may call the service, separated by commas, or * "+
		"for all; empty disables CORS",
		func(c *config, v string) (err error) { c.corsOrigins, err = settings.CORSOrigins(v); return }),
	settings.New("NOTES_BASE_PATH", "", "path under which clients see the service, such as /api behind a proxy",
		func(c *config, v string) (err error) { c.basePath, err = settings.BasePath(v); return }),
	settings.New("NOTES_PAGE", "on", "on or off: whether / is a page on which people read and write notes in a browser",
		func(c *config, v string) (err error) { c.page, err = settings.Switch(v); return }),
	settings.New("NOTES_REQUEST_TIMEOUT", "5s", "time that the store may take for one request; after it the answer "+
		"is 503",
		func(c *config, v string) (err error) { c.timeout, err = settings.RequestTimeout(v); return }),
	settings.New(
		"NOTES_DRAIN",
		"2s",
		"time after the signal to stop in which requests on open connections are still served",
		func(c *config, v string) (err error) { c.drain, err = settings.Duration(v, 0, time.Minute); return },
	),
	settings.New("NOTES_MAX_CONNECTIONS", "4096", "maximum number of open connections; further ones wait",
		func(c *config, v string) (err error) {
			c.connections, err = strconv.Atoi(v)
			return settings.Expect(err == nil && c.connections >= 1 && c.connections <= 1_000_000,
				"must be a whole number from 1 to 1000000")
		}),
	settings.New("NOTES_MAX_IN_FLIGHT", "48", "maximum MiB of request bodies and answers in memory, a quarter of it "+
		"for each caller; further requests wait, and get a 503 if they wait too long",
		func(c *config, v string) error {
			mebibytes, err := strconv.ParseInt(v, 10, 64)
			c.inFlight = mebibytes << 20
			return settings.Expect(err == nil && c.inFlight >= app.MinInFlight && mebibytes <= 1<<20,
				fmt.Sprintf("must be a whole number of MiB from %d to %d", app.MinInFlight>>20, 1<<20))
		}),
})

// readLogKey reads only NOTES_LOG_KEY, which must be set.
func readLogKey(environ []string) ([]byte, error) {
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
	return nil, errors.New(name + " is not set: set it to the value that the server has")
}

// validate returns an error for each setting that conflicts with another, or that opens the service to others while
// NOTES_AUTH does not say who may use it.
func (c config) validate() error {
	err := c.auth.Validate(true)
	switch {
	case c.backup == nil:
	case c.table != "":
		err = errors.Join(
			err,
			errors.New("NOTES_BACKUP_TOKEN is set, but /backup copies a notes file, and NOTES_STORE "+
				"is a table: remove it"),
		)
	case c.adminAddr == "":
		err = errors.Join(
			err,
			errors.New("NOTES_BACKUP_TOKEN is set, but /backup is served only at NOTES_ADMIN_ADDR: "+
				"set that to a loopback address, such as 127.0.0.1:9090, or remove it"),
		)
	case isAddress(c.adminAddr) && !isLoopback(c.adminAddr):
		err = errors.Join(
			err,
			fmt.Errorf("NOTES_BACKUP_TOKEN is set, but /backup is not served at NOTES_ADMIN_ADDR=%s, "+
				"which other machines can reach: set a loopback address, such as 127.0.0.1:9090", c.adminAddr),
		)
	}
	if c.auth.Kind != "" {
		return err
	}
	const choose = "set NOTES_AUTH=token or NOTES_AUTH=jwt, or NOTES_AUTH=none if anyone may read and write the notes"
	if c.proxies != nil {
		err = errors.Join(err, errors.New("NOTES_TRUSTED_PROXIES is set, so clients on other machines can reach the "+
			"notes: "+choose))
	}
	if isAddress(c.addr) && !isLoopback(c.addr) {
		err = errors.Join(err, fmt.Errorf("NOTES_ADDR=%s can be reached from other machines: %s", c.addr, choose))
	}
	if slices.Contains(c.corsOrigins, "*") {
		err = errors.Join(err, errors.New("NOTES_CORS_ORIGINS=* lets pages of every website use the notes: "+choose))
	}
	return err
}

// isAddress reports whether v is HOST:PORT with a numeric port.
func isAddress(v string) bool {
	_, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err == nil
}

// isLoopback reports whether only this machine can reach addr, which may lack a port. Host names are case-insensitive
// (RFC 9110, section 4.2.3).
func isLoopback(addr string) bool {
	host := (&url.URL{Host: addr}).Hostname()
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
