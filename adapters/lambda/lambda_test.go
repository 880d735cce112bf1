package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// newFileStore opens a store in a new file. It replaces a table where the kind of store does not matter, since it is
// faster.
func newFileStore(t testing.TB) notes.Store {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "notes.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// newTableStore opens a store in a new table.
func newTableStore(t testing.TB) notes.Store {
	t.Helper()
	cfg := dynamotest.Config(t)
	store, err := dynamo.Open(t.Context(), cfg, dynamotest.NewTable(t, cfg), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// newTestAdapter returns an adapter with the given store, and its log.
func newTestAdapter(store notes.Store, basePath string) (*adapter, *bytes.Buffer) {
	var log bytes.Buffer
	handler := idHandler{slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})}
	return newAdapter(notes.NewService(store, time.Now, rand.Reader), config{basePath: basePath}, nil, &recorder{},
		slog.New(handler)), &log
}

// invokeFunc returns a function that invokes an adapter as Lambda does.
func invokeFunc(fn *adapter) func([]byte) ([]byte, error) {
	return func(payload []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{
			AwsRequestID: "8476a536-e9f4-11e8-9739-2dfe598c3fcd"})
		return fn.Invoke(ctx, payload)
	}
}

// gatewayBasePath returns the NOTES_BASE_PATH that fits a gateway.
func gatewayBasePath(g gateway) string {
	if strings.Contains(g.domain, "execute-api") {
		return ""
	}
	return g.prefix
}

func TestContract(t *testing.T) {
	storetest.NotWithRace(t)
	for name, g := range gateways {
		t.Run(name, func(t *testing.T) {
			fn, _ := newTestAdapter(newFileStore(t), gatewayBasePath(g))
			apptest.Run(t, g.baseURL(), g.send(invokeFunc(fn)))
		})
	}
	t.Run("OnDynamoDB", func(t *testing.T) {
		g := gateways["NamedStage"]
		fn, _ := newTestAdapter(newTableStore(t), "")
		apptest.Run(t, g.baseURL(), g.send(invokeFunc(fn)))
	})
}

// TestParity: through every gateway, in process and in the real program, the Lambda gives byte for byte the same
// answers as a server.
func TestParity(t *testing.T) {
	storetest.NotWithRace(t)
	sent := 0
	for name, g := range gateways {
		t.Run(name, func(t *testing.T) {
			fn, _ := newTestAdapter(newFileStore(t), gatewayBasePath(g))
			sent = apptest.Parity(t, g.baseURL(), g.send(invokeFunc(fn)))
		})
	}
	t.Run("Bootstrap", func(t *testing.T) {
		g := gateways["NamedStage"]
		l := startBootstrap(t, buildBootstrap(t), functionEnv(t)...)
		apptest.Parity(t, g.baseURL(), g.send(l.invokeDefault))
	})
	storetest.Proved(t, fmt.Sprintf("%d requests through %d gateways and the real program", sent, len(gateways)),
		"0 differences", "the library alone: see TestTheLibraryAlone")
}

func TestSettings(t *testing.T) {
	environ := []string{"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=none", "NOTES_LOG_LEVEL=debug",
		"NOTES_CORS_ORIGINS=*", "NOTES_BASE_PATH=/v1", "NOTES_REQUEST_TIMEOUT=3s"}
	c, err := settings.Read(environ, allSettings)
	if err != nil || c.table != "notes" || c.logLevel != slog.LevelDebug || c.basePath != "/v1" ||
		c.timeout != 3*time.Second || len(c.corsOrigins) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	// The error names all mistakes at once, one of them a store in a file.
	_, err = run(t.Context(), []string{"NOTES_STORE=bolt:/tmp/notes.db", "NOTES_LOG_LEVEL=x", "NOTES_ADDR=:80"},
		func(string) string { return "" })
	for _, says := range []string{"NOTES_AUTH is not set: set it to token or jwt, or to none",
		"NOTES_STORE must be dynamodb:TABLE, since a Lambda has no lasting files", "NOTES_LOG_LEVEL must be",
		"NOTES_ADDR is not a setting", "AWS_REGION is not set"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("does not say %q: %v", says, err)
		}
	}
	region := func(name string) string { return map[string]string{"AWS_REGION": "us-east-1"}[name] }
	for says, environ := range map[string][]string{
		"NOTES_AUTH is not set":      {"NOTES_STORE=dynamodb:notes"},
		"NOTES_TOKENS token 1: must": {"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=token", "NOTES_TOKENS=anna"},
		"NOTES_AUTH=token needs":     {"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=token"},
		"this build does not support JSON Web": {"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=jwt",
			"NOTES_JWT_ISSUER=https://example.com", "NOTES_JWT_AUDIENCE=notes"},
		"NOTES_TOKENS_FILE is not a setting": {"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=token",
			"NOTES_TOKENS_FILE=/tmp/x"},
	} {
		if _, err := run(t.Context(), environ, region); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("does not say %q: %v", says, err)
		}
	}
	fips := func(name string) string {
		return map[string]string{"AWS_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"}[name]
	}
	if _, err := run(t.Context(), []string{"NOTES_STORE=dynamodb:notes", "NOTES_AUTH=none"}, fips); err == nil ||
		!strings.Contains(err.Error(), "AWS_USE_FIPS_ENDPOINT is set, but not supported here") {
		t.Errorf("with FIPS endpoints: %v", err)
	}
	if _, err := run(t.Context(), nil, os.Getenv); err == nil ||
		!strings.Contains(err.Error(), "NOTES_STORE must be dynamodb:TABLE") {
		t.Errorf("without a store: %v", err)
	}
}

func TestAWSConfig(t *testing.T) {
	env := map[string]string{"AWS_REGION": "eu-west-3", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_SESSION_TOKEN": "token"}
	getenv := func(name string) string { return env[name] }
	cfg := awsConfig(getenv)
	c, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || c.AccessKeyID != "id" || c.SecretAccessKey != "secret" || c.SessionToken != "token" ||
		cfg.Region != "eu-west-3" || cfg.BaseEndpoint != nil {
		t.Errorf("%+v, %v", c, err)
	}
	env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
	if cfg := awsConfig(getenv); *cfg.BaseEndpoint != "http://127.0.0.1:1" {
		t.Errorf("the endpoint is %s", *cfg.BaseEndpoint)
	}
	env["AWS_ENDPOINT_URL_DYNAMODB"] = "http://127.0.0.1:2"
	if cfg := awsConfig(getenv); *cfg.BaseEndpoint != "http://127.0.0.1:2" {
		t.Errorf("the endpoint is %s", *cfg.BaseEndpoint)
	}
	env["AWS_ACCESS_KEY_ID"] = ""
	if _, err := awsConfig(getenv).Credentials.Retrieve(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "with a role") {
		t.Errorf("without credentials: %v", err)
	}
}

// TestLogHasAllIDs: a line has our request id, API Gateway's and Lambda's.
func TestLogHasAllIDs(t *testing.T) {
	fn, log := newTestAdapter(broken{errors.New("the table is gone")}, "")
	payload := sampleEvent(t, func(e map[string]any) { e["headers"].(map[string]any)["x-request-id"] = "the-callers" })
	if _, err := invokeFunc(fn)(payload); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{`"request_id":"the-callers"`, `"gateway_request_id":"JKJaXmPLvHcESHA="`,
		`"lambda_request_id":"8476a536-e9f4-11e8-9739-2dfe598c3fcd"`, "the table is gone"} {
		if !strings.Contains(log.String(), says) {
			t.Errorf("the log does not say %s: %s", says, log)
		}
	}
}

// broken is a store whose calls all return err.
type broken struct{ err error }

func (b broken) Create(context.Context, string, notes.Note, *notes.IdempotencyKey) (notes.Note, error) {
	return notes.Note{}, b.err
}
func (b broken) Get(context.Context, string, notes.ID) (notes.Note, error) {
	return notes.Note{}, b.err
}
func (b broken) Update(context.Context, string, notes.ID, notes.Patch, time.Time, notes.Condition) (notes.Note, error) {
	return notes.Note{}, b.err
}
func (b broken) Delete(context.Context, string, notes.ID, time.Time, notes.Condition) error {
	return b.err
}
func (b broken) Newest(context.Context, string, notes.ID, int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) { yield(notes.Note{}, b.err) }
}

// TestIsolation: through events, on either store, another owner's note is the same as one that does not exist.
func TestIsolation(t *testing.T) {
	for name, store := range map[string]notes.Store{"File": newFileStore(t), "DynamoDB": newTableStore(t)} {
		t.Run(name, func(t *testing.T) {
			anna, annas, err := token.New("anna")
			if err != nil {
				t.Fatal(err)
			}
			ben, bens, err := token.New("ben")
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := token.Parse(annas+","+bens, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			g := gateways["NamedStage"]
			fn := newAdapter(notes.NewService(store, time.Now, rand.Reader), config{}, tokens.Caller, &recorder{},
				slog.New(slog.DiscardHandler))
			cases, leaks := apptest.Isolation(t, apptest.Guarded{
				Base: g.baseURL(), Send: g.send(invokeFunc(fn)), Anna: anna, Ben: ben})
			if len(leaks) > 0 || cases < 200 {
				t.Errorf("%d of %d cases leak: %s", len(leaks), cases, strings.Join(leaks, "\n"))
			}
		})
	}
}
