package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
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
}

// setting is one environment variable.
type setting struct {
	name, initial, meaning string
	set                    func(c *config, value string) error
}

// settings are all that there are, in the order of -h and of the README.
var settings = []setting{
	{"NOTES_ADDR", "127.0.0.1:8080", "address to listen on; :8080 is every address of this machine, port 0 any free one",
		func(c *config, v string) error {
			_, port, err := net.SplitHostPort(v)
			if err == nil {
				_, err = strconv.ParseUint(port, 10, 16)
			}
			c.addr = v
			return expect(err == nil, "must be HOST:PORT, such as 127.0.0.1:8080")
		}},
	{"NOTES_STORE", "bolt:notes.db", "where the notes are kept: bolt:FILE, a file that is made if it is not there, or dynamodb:TABLE",
		func(c *config, v string) error {
			kind, name, _ := strings.Cut(v, ":")
			switch kind {
			case "bolt":
				c.file = name
			case "dynamodb":
				c.table = name
				if !tableName.MatchString(name) {
					return errors.New("must name a table with 3 to 255 of the characters a-z A-Z 0-9 _ . -")
				}
			}
			return expect(c.file+c.table != "", "must be bolt:FILE or dynamodb:TABLE, such as bolt:notes.db or dynamodb:notes")
		}},
	{"NOTES_LOG_LEVEL", "info", "lowest level that is logged: debug, info, warn or error",
		func(c *config, v string) error {
			levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
			level, ok := levels[v]
			c.logLevel = level
			return expect(ok, "must be debug, info, warn or error")
		}},
	{"NOTES_LOG_FORMAT", "auto", "text, json, or auto: text on a terminal, else json",
		func(c *config, v string) error {
			c.logFormat = v
			return expect(slices.Contains([]string{"auto", "text", "json"}, v), "must be auto, text or json")
		}},
	{"NOTES_CORS_ORIGINS", "", "origins whose pages may call, with commas between them, or * for all; empty switches CORS off",
		func(c *config, v string) error {
			if v == "" {
				return nil
			}
			if v == "*" {
				c.corsOrigins = []string{v}
				return nil
			}
			for origin := range strings.SplitSeq(v, ",") {
				origin = strings.TrimSpace(origin)
				u, err := url.Parse(origin)
				exact := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host
				if !exact || strings.Contains(origin, "*") {
					return errors.New("must be * or origins without a path, such as https://example.com,http://localhost:3000")
				}
				c.corsOrigins = append(c.corsOrigins, origin)
			}
			return nil
		}},
	{"NOTES_BASE_PATH", "", "path under which clients see the service, such as /api behind a proxy",
		func(c *config, v string) error {
			c.basePath = v
			return expect(basePath.MatchString(v) && !strings.HasPrefix(v+"/", "/notes/"),
				"must be segments of letters, digits and . _ ~ -, each after a slash, such as /api, and the first not notes")
		}},
	{"NOTES_REQUEST_TIMEOUT", "5s", "how long the store may take for one request before it is answered with 503",
		func(c *config, v string) (err error) {
			c.timeout, err = duration(v, 100*time.Millisecond, 25*time.Second)
			return
		}},
	{"NOTES_DRAIN", "2s", "how long requests on open connections are still taken after the signal to stop",
		func(c *config, v string) (err error) { c.drain, err = duration(v, 0, time.Minute); return }},
	{"NOTES_MAX_CONNECTIONS", "4096", "connections that are served at once; further ones wait",
		func(c *config, v string) (err error) {
			c.connections, err = strconv.Atoi(v)
			return expect(err == nil && c.connections >= 1 && c.connections <= 1_000_000, "must be a whole number from 1 to 1000000")
		}},
}

// tableName is what DynamoDB takes as one (Naming rules in the DynamoDB developer guide).
var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// basePath is a path that needs no escaping, or nothing.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

func expect(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}

func duration(v string, low, high time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	return d, expect(err == nil && d >= low && d <= high, fmt.Sprintf("must be a duration from %v to %v, such as 5s", low, high))
}

// prefix is what the names of all our variables begin with. Those below testPrefix are for the tests alone.
const (
	prefix     = "NOTES_"
	testPrefix = "NOTES_TEST_"
)

// serviceLink is a variable that Kubernetes sets for every container beside a Service that is called notes.
var serviceLink = regexp.MustCompile(`^NOTES_(SERVICE_(HOST|PORT)|PORT_\d+_|PORT=\w+://)`)

// configure reads the settings from an environment as os.Environ gives it. An empty variable counts as absent. The error
// names every mistake at once.
func configure(environ []string) (config, error) {
	var c config
	var mistakes []error
	given := map[string]string{}
	names := []string{}
	for _, s := range settings {
		names = append(names, s.name)
	}
	slices.Sort(environ)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		given[name] = value
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, testPrefix) && !serviceLink.MatchString(entry) && !slices.Contains(names, name) {
			near := slices.MinFunc(names, func(a, b string) int {
				upper := strings.ToUpper(name)
				return levenshtein.Distance(upper, a, nil) - levenshtein.Distance(upper, b, nil)
			})
			mistakes = append(mistakes, fmt.Errorf("%s is no setting; the nearest is %s", name, near))
		}
	}
	for _, s := range settings {
		value := cmp.Or(given[s.name], s.initial)
		if err := s.set(&c, value); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s %w, is %q", s.name, err, value))
		}
	}
	return c, errors.Join(mistakes...)
}
