// Package settings reads the adapters' settings from environment variables. Each adapter has its own list; this package
// parses the values that several of them use.
package settings

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes/dynamo"
)

// Prefix begins the name of every variable of ours. Those that begin with testPrefix are for tests only.
const (
	Prefix     = "NOTES_"
	testPrefix = "NOTES_TEST_"
)

// Setting is one environment variable of an adapter whose configuration is a C.
type Setting[C any] struct {
	Name    string
	Initial string                         // the value if the variable is not set or is empty
	Meaning string                         // the help text
	Set     func(c *C, value string) error // the error says what the value must be
}

// secretSettings are settings whose values never appear in an error.
var secretSettings = []string{"NOTES_LOG_KEY", "NOTES_BACKUP_TOKEN", "NOTES_TOKENS"}

// New returns a setting.
func New[C any](name, initial, meaning string, set func(c *C, value string) error) Setting[C] {
	return Setting[C]{Name: name, Initial: initial, Meaning: meaning, Set: set}
}

// kubernetesLink matches the variables that Kubernetes sets in every container of a namespace with a Service named
// notes (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var kubernetesLink = regexp.MustCompile(`^NOTES_(SERVICE_(HOST|PORT)|PORT_\d+_|PORT=\w+://)`)

// Read reads settings from environ, in the format of os.Environ. An empty variable counts as unset. The error names
// every mistake at once, including variables that have our prefix but are not settings.
func Read[C any](environ []string, all []Setting[C]) (C, error) {
	var c C
	var mistakes []error
	given := map[string]string{}
	names := []string{}
	for _, s := range all {
		names = append(names, s.Name)
	}
	slices.Sort(environ)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		given[name] = value
		if strings.HasPrefix(name, Prefix) && !strings.HasPrefix(name, testPrefix) &&
			!kubernetesLink.MatchString(entry) && !slices.Contains(names, name) {
			near := slices.MinFunc(names, func(a, b string) int {
				upper := strings.ToUpper(name)
				return levenshtein.Distance(upper, a, nil) - levenshtein.Distance(upper, b, nil)
			})
			mistakes = append(mistakes, fmt.Errorf("%s is not a setting; did you mean %s?", name, near))
		}
	}
	for _, s := range all {
		value := cmp.Or(given[s.Name], s.Initial)
		if err := s.Set(&c, value); err != nil {
			err = fmt.Errorf("%s %w", s.Name, err)
			if !slices.Contains(secretSettings, s.Name) {
				err = fmt.Errorf("%w; it is %q", err, value)
			}
			mistakes = append(mistakes, err)
		}
	}
	return c, errors.Join(mistakes...)
}

// Expect returns nil if ok, else an error with the text what, which says what a value must be.
func Expect(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}

// Duration parses a duration from low to high.
func Duration(v string, low, high time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	return d, Expect(err == nil && d >= low && d <= high,
		fmt.Sprintf("must be a duration from %v to %v, such as 5s", low, high))
}

// RequestTimeout parses the time that the store may take for one request: 100 ms to 25 s.
func RequestTimeout(v string) (time.Duration, error) {
	return Duration(v, 100*time.Millisecond, 25*time.Second)
}

// Table validates the name of a DynamoDB table.
func Table(v string) (string, error) {
	return v, Expect(dynamo.IsTableName(v), "must name a table: "+dynamo.TableNames)
}

// LogLevel parses the lowest level that is logged.
func LogLevel(v string) (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	level, ok := levels[v]
	return level, Expect(ok, "must be debug, info, warn or error")
}

// LogKey parses the key of the hashes that stand for owners in the log. Without one it returns a new random key.
func LogKey(v string) ([]byte, error) {
	if v == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never returns an error
		return key, nil
	}
	return []byte(v), Expect(len(v) >= 16, "must have at least 16 bytes")
}

// CORSOrigins parses the origins whose pages may call the service: none, "*" alone, or a comma-separated list of exact
// origins.
func CORSOrigins(v string) (origins []string, err error) {
	switch v {
	case "":
		return nil, nil
	case "*":
		return []string{v}, nil
	}
	for origin := range strings.SplitSeq(v, ",") {
		origin = strings.TrimSpace(origin)
		u, err := url.Parse(origin)
		exact := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+
			"://"+u.Host
		if !exact || strings.Contains(origin, "*") {
			return nil, errors.New("must be * or origins without a path, such as " +
				"https://example.com,http://localhost:3000")
		}
		origins = append(origins, origin)
	}
	return origins, nil
}

// Switch parses on or off.
func Switch(v string) (bool, error) {
	return v == "on", Expect(v == "on" || v == "off", "must be on or off")
}

// BasePath validates the path under which clients see the service: "", or a path that begins with a slash and does not
// end with one.
func BasePath(v string) (string, error) {
	return v, app.CheckBase(v)
}
