package main

import (
	"bytes"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/adapters/settings"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// checkGolden compares a text with testdata/name.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func TestDefaults(t *testing.T) {
	for _, environ := range [][]string{nil, {"PATH=/bin", "NOTES_ADDR=", "NOTES_STORE=", "NOTES_TEST_REQUIRE=all",
		"XNOTES_ADDR=x"},
		// Kubernetes
		{"NOTES_SERVICE_HOST=10.0.0.1", "NOTES_SERVICE_PORT=80", "NOTES_SERVICE_PORT_HTTP=80",
			"NOTES_PORT=tcp://10.0.0.1:80", "NOTES_PORT_80_TCP=tcp://10.0.0.1:80", "NOTES_PORT_80_TCP_ADDR=10.0.0.1"},
	} {
		got, err := settings.Read(environ, allSettings)
		want := config{addr: "127.0.0.1:8080", file: "notes.db", logFormat: "auto", page: true,
			timeout: 5 * time.Second, drain: 2 * time.Second, connections: 4096, inFlight: 48 << 20}
		if len(got.logKey) != 32 {
			t.Errorf("the log key has %d bytes, want 32", len(got.logKey))
		}
		got.logKey = nil
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %+v, %v", environ, got, err)
		}
	}
}

func TestTableSetting(t *testing.T) {
	if got, err := settings.Read([]string{"NOTES_STORE=dynamodb:my-notes.1"}, allSettings); err != nil ||
		got.table != "my-notes.1" || got.file != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEverySetting(t *testing.T) {
	anna := "anna read sha256:" + strings.Repeat("a", 64)
	got, err := settings.Read([]string{
		"NOTES_ADDR=:0", "NOTES_STORE=bolt:/var/lib/notes: a.db", "NOTES_LOG_LEVEL=error", "NOTES_LOG_FORMAT=text",
		"NOTES_CORS_ORIGINS=https://a.example, http://b.example:1",
		"NOTES_BASE_PATH=/a/b", "NOTES_PAGE=off", "NOTES_REQUEST_TIMEOUT=25s", "NOTES_DRAIN=0s",
		"NOTES_MAX_CONNECTIONS=1", "NOTES_MAX_IN_FLIGHT=24",
		"NOTES_AUTH=token", "NOTES_TOKENS=" + anna, "NOTES_TOKENS_FILE=b", "NOTES_JWT_ISSUER=c", "NOTES_JWT_AUDIENCE=d",
		"NOTES_RATE_LIMIT=20:40", "NOTES_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.1,::1",
		"NOTES_ADMIN_ADDR=127.0.0.1:9090", "NOTES_LOG_KEY=0123456789abcdef",
	}, allSettings)
	want := config{addr: ":0", file: "/var/lib/notes: a.db", logLevel: 8, logFormat: "text", corsOrigins: []string{
		"https://a.example", "http://b.example:1"}, basePath: "/a/b", timeout: 25 * time.Second, connections: 1,
		inFlight: 24 << 20, auth: settings.Auth{Kind: "token", Tokens: anna, TokensFile: "b", Issuer: "c",
			Audience: "d"},
		rate: rate{20, 40}, proxies: []*net.IPNet{
			{IP: net.IP{10, 0, 0, 0}, Mask: net.CIDRMask(8, 32)}, {
				IP: net.IP{192, 0, 2, 1}, Mask: net.CIDRMask(32, 32)}, {
				IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)}},
		adminAddr: "127.0.0.1:9090", logKey: []byte("0123456789abcdef")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// wrongSettings are invalid settings.
var wrongSettings = []string{
	"NOTES_ADDR=8080", "NOTES_ADDR=localhost", "NOTES_ADDR=127.0.0.1:http", "NOTES_ADDR=127.0.0.1:65536",
	"NOTES_ADDR=127.0.0.1:-1", "NOTES_ADDR=http://127.0.0.1:80",
	"NOTES_STORE=notes.db", "NOTES_STORE=bolt:", "NOTES_STORE=sqlite:notes.db", "NOTES_STORE=BOLT:notes.db",
	"NOTES_STORE=dynamodb:", "NOTES_STORE=dynamodb:a b",
	"NOTES_LOG_LEVEL=verbose", "NOTES_LOG_LEVEL=INFO",
	"NOTES_LOG_FORMAT=xml",
	"NOTES_AUTH=oidc", "NOTES_AUTH=NONE",
	"NOTES_RATE_LIMIT=fast", "NOTES_RATE_LIMIT=0", "NOTES_RATE_LIMIT=10:", "NOTES_RATE_LIMIT=10:0",
	"NOTES_RATE_LIMIT=1.5", "NOTES_RATE_LIMIT=1:2:3", "NOTES_RATE_LIMIT=10000000",
	"NOTES_TRUSTED_PROXIES=proxy", "NOTES_TRUSTED_PROXIES=10.0.0.0/33", "NOTES_TRUSTED_PROXIES=10.0.0.1,",
	"NOTES_TRUSTED_PROXIES=*",
	"NOTES_ADMIN_ADDR=9090", "NOTES_ADMIN_ADDR=http://127.0.0.1:9090",
	"NOTES_BACKUP_TOKEN=notes_x", "NOTES_BACKUP_TOKEN=sha256:12",
	"NOTES_LOG_KEY=secret",
	"NOTES_CORS_ORIGINS=example.com", "NOTES_CORS_ORIGINS=https://a.example/", "NOTES_CORS_ORIGINS=https://*.example",
	"NOTES_CORS_ORIGINS=https://a.example,,", "NOTES_CORS_ORIGINS=null",
	"NOTES_BASE_PATH=api", "NOTES_BASE_PATH=/", "NOTES_BASE_PATH=/api/", "NOTES_BASE_PATH=/a//b",
	"NOTES_BASE_PATH=/a?b", "NOTES_BASE_PATH=/%61", "NOTES_BASE_PATH=/a b", "NOTES_BASE_PATH=/a/../b",
	"NOTES_BASE_PATH=/notes", "NOTES_CORS_ORIGINS=https://a.example,*",
	"NOTES_REQUEST_TIMEOUT=5", "NOTES_REQUEST_TIMEOUT=0s", "NOTES_REQUEST_TIMEOUT=1h", "NOTES_REQUEST_TIMEOUT=-5s",
	"NOTES_DRAIN=soon", "NOTES_DRAIN=2m",
	"NOTES_MAX_CONNECTIONS=0", "NOTES_MAX_CONNECTIONS=many", "NOTES_MAX_CONNECTIONS=1e3",
	"NOTES_MAX_CONNECTIONS=10000000",
	"NOTES_MAX_IN_FLIGHT=23", "NOTES_MAX_IN_FLIGHT=-1", "NOTES_MAX_IN_FLIGHT=48MiB",
	"NOTES_MAX_IN_FLIGHT=9000000000000",
	"NOTES_ADDRESS=x", "NOTES_PORT=8080", "NOTES_DATABASE=x", "NOTES_=x", "NOTES_stores=x", "NOTES_COLOUR=x",
}

func TestEveryWrongSettingAlone(t *testing.T) {
	var text strings.Builder
	for _, entry := range wrongSettings {
		_, err := settings.Read([]string{entry}, allSettings)
		name, _, _ := strings.Cut(entry, "=")
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), name+" ") {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		text.WriteString(err.Error() + "\n")
	}
	checkGolden(t, "mistakes-alone.txt", text.String())
}

func TestAllWrongSettingsTogether(t *testing.T) {
	environ := []string{}
	for _, entry := range wrongSettings {
		name, _, _ := strings.Cut(entry, "=")
		if !slices.ContainsFunc(environ, func(other string) bool { return strings.HasPrefix(other, name+"=") }) {
			environ = append(environ, entry)
		}
	}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), nil, environ, nil, &stdout, &stderr)
	if !errors.Is(err, errUsage) || stdout.Len()+stderr.Len() > 0 {
		t.Fatalf("error is %v, output %s%s", err, &stdout, &stderr)
	}
	checkGolden(t, "mistakes-together.txt", err.Error()+"\n")
}

// TestDependentSettings checks that settings that contradict each other are named beside all other mistakes.
func TestDependentSettings(t *testing.T) {
	expired := "anna read sha256:" + strings.Repeat("a", 64) + " 2020-01-01T00:00:00Z"
	backup := "NOTES_BACKUP_TOKEN=sha256:" + strings.Repeat("b", 64)
	for _, c := range []struct {
		name    string
		environ []string
		says    []string // a part of each line of the error
	}{
		{"tokens, and another setting", []string{"NOTES_AUTH=token", "NOTES_TOKENS=anna admin sha256:abc",
			"NOTES_LOG_LEVEL=loud"}, []string{"NOTES_TOKENS token 1: its scope", "NOTES_LOG_LEVEL must be"}},
		{"a file of tokens, and another setting", []string{"NOTES_AUTH=token", "NOTES_TOKENS_FILE=/nowhere/tokens",
			"NOTES_LOG_LEVEL=loud"}, []string{"NOTES_LOG_LEVEL must be", "NOTES_TOKENS_FILE: "}},
		{"tokens and a file of tokens", []string{"NOTES_AUTH=token", "NOTES_TOKENS=" + expired,
			"NOTES_TOKENS_FILE=tokens"},
			[]string{"needs either NOTES_TOKENS or NOTES_TOKENS_FILE", "NOTES_TOKENS_FILE: "}},
		{"tokens without authentication", []string{"NOTES_TOKENS=" + expired}, []string{"NOTES_AUTH is not token"}},
		{"an address and a wrong log", []string{"NOTES_ADDR=:8080", "NOTES_LOG_FORMAT=xml"},
			[]string{"NOTES_LOG_FORMAT must be", "can be reached from other machines"}},
		{"a wrong address", []string{"NOTES_ADDR=8080"}, []string{"NOTES_ADDR must be HOST:PORT"}},
		{"a wrong kind of authentication", []string{"NOTES_AUTH=tokens", "NOTES_TOKENS=" + expired},
			[]string{"NOTES_AUTH must be none, token or jwt"}},
		{"a backup that is nowhere", []string{backup}, []string{"only at NOTES_ADMIN_ADDR"}},
		{"a backup that others could reach", []string{backup, "NOTES_ADMIN_ADDR=:9090"},
			[]string{"is not served at NOTES_ADMIN_ADDR=:9090"}},
		{"a backup of a table", []string{backup, "NOTES_STORE=dynamodb:notes", "NOTES_ADMIN_ADDR=127.0.0.1:9090"},
			[]string{"NOTES_STORE is a table"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), nil, c.environ, nil, &out, &out)
			if !errors.Is(err, errUsage) || out.Len() > 0 {
				t.Fatalf("error %v, output %s", err, &out)
			}
			lines := strings.Split(err.Error(), "\n")[1:]
			if len(lines) != len(c.says) {
				t.Errorf("the mistakes are %q", lines)
			}
			for i, says := range c.says {
				if i < len(lines) && !strings.Contains(lines[i], says) {
					t.Errorf("mistake %d is %q, want %q", i, lines[i], says)
				}
			}
		})
	}
}

// TestOneAction checks that flags which exclude each other are refused.
func TestOneAction(t *testing.T) {
	for _, args := range [][]string{{"-check", "x.db", "-new-token", "anna"}, {"-version", "-healthcheck"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, nil, nil, &out, &out); !errors.Is(err, errUsage) ||
			!strings.Contains(err.Error(), "one flag only") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestUsage(t *testing.T) {
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, nil, nil, &stdout, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error is %v", err)
	}
	checkGolden(t, "usage.txt", stdout.String())
	for _, args := range [][]string{{"-x"}, {"serve"}, {"-version=maybe"}, {"-check"}, {"-version", "x"}} {
		stdout.Reset()
		if err := run(t.Context(), args, nil, nil, &stdout, nil); !errors.Is(err, errUsage) || stdout.Len() > 0 {
			t.Errorf("%v: error is %v, output %s", args, err, &stdout)
		}
	}
}
