// Package settings reads what the adapters are told by environment variables: each adapter has its list, and the
// values that several of them take are read here.
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
)

// Prefix is what the names of all our variables begin with. Those below testPrefix are for the tests alone.
const (
	Prefix     = "NOTES_"
	testPrefix = "NOTES_TEST_"
)

// Setting is one environment variable of an adapter whose settings are a C.
type Setting[C any] struct {
	Name, Initial, Meaning string
	Set                    func(c *C, value string) error // the error says what the value must be
}

// secrets are settings whose values are never shown.
var secrets = []string{"NOTES_LOG_KEY", "NOTES_BACKUP_TOKEN"}

// New makes a setting.
func New[C any](name, initial, meaning string, set func(c *C, value string) error) Setting[C] {
	return Setting[C]{name, initial, meaning, set}
}

// serviceLink is a variable that Kubernetes sets for every container beside a Service that is called notes.
var serviceLink = regexp.MustCompile(`^NOTES_(SERVICE_(HOST|PORT)|PORT_\d+_|PORT=\w+://)`)

// Read reads settings from an environment as os.Environ gives it. An empty variable counts as absent. The error names
// every mistake at once, also a variable of our prefix that is no setting.
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
			!serviceLink.MatchString(entry) && !slices.Contains(names, name) {
			near := slices.MinFunc(names, func(a, b string) int {
				upper := strings.ToUpper(name)
				return levenshtein.Distance(upper, a, nil) - levenshtein.Distance(upper, b, nil)
			})
			mistakes = append(mistakes, fmt.Errorf("%s is no setting; the nearest is %s", name, near))
		}
	}
	for _, s := range all {
		value := cmp.Or(given[s.Name], s.Initial)
		if err := s.Set(&c, value); err != nil {
			err = fmt.Errorf("%s %w", s.Name, err)
			if !slices.Contains(secrets, s.Name) {
				err = fmt.Errorf("%w, is %q", err, value)
			}
			mistakes = append(mistakes, err)
		}
	}
	return c, errors.Join(mistakes...)
}

// Expect is an error that says what a value must be, unless it is so.
func Expect(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}

// Duration reads a duration within bounds.
func Duration(v string, low, high time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	return d, Expect(err == nil && d >= low && d <= high,
		fmt.Sprintf("must be a duration from %v to %v, such as 5s", low, high))
}

// RequestTimeout reads how long the store may take for one request.
func RequestTimeout(v string) (time.Duration, error) {
	return Duration(v, 100*time.Millisecond, 25*time.Second)
}

// tableName is what DynamoDB takes as one (Naming rules in the DynamoDB developer guide).
var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// Table reads the name of a DynamoDB table.
func Table(v string) (string, error) {
	return v, Expect(len(v) >= 3 && len(v) <= 255 && tableName.MatchString(v),
		"must name a table with 3 to 255 of the characters a-z A-Z 0-9 _ . -")
}

// LogLevel reads the lowest level that is logged.
func LogLevel(v string) (slog.Level, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	level, ok := levels[v]
	return level, Expect(ok, "must be debug, info, warn or error")
}

// LogKey reads the secret that keys the hashes of owners in the log. Where none is given it is a new one.
func LogKey(v string) ([]byte, error) {
	if v == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // which never fails (crypto/rand)
		return key, nil
	}
	return []byte(v), Expect(len(v) >= 16, "must have at least 16 bytes")
}

// CORSOrigins reads the origins whose pages may call: none, "*" alone, or exact ones with commas between them.
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

// BasePath reads the path under which clients see the service: "" or one that begins with a slash and does not end with
// one.
func BasePath(v string) (string, error) {
	return v, app.CheckBase(v)
}
