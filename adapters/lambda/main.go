// Command lambda serves the notes API as an AWS Lambda function behind an API Gateway HTTP API (payload format 2.0),
// and keeps the notes in a DynamoDB table.
//
// It is configured by environment variables; a mistake in them is one line of the log and ends the start. All that it
// links costs time at every cold start, so it reads region, credentials and endpoint itself, from the variables that
// Lambda sets, instead of with the SDK's configuration package.
package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/meter"
)

// config is what the environment says.
type config struct {
	table       string
	auth        settings.Auth
	logKey      []byte
	logLevel    slog.Level
	corsOrigins []string
	basePath    string
	timeout     time.Duration
}

// all are all settings that there are, in the order of docs/operate.md.
var all = slices.Concat([]settings.Setting[config]{
	settings.New("NOTES_STORE", "", "where the notes are kept: dynamodb:TABLE",
		func(c *config, v string) (err error) {
			table, ok := strings.CutPrefix(v, "dynamodb:")
			if !ok {
				return errors.New("must be dynamodb:TABLE: a Lambda has no file that lasts")
			}
			c.table, err = settings.Table(table)
			return
		}),
}, settings.AuthSettings(func(c *config) *settings.Auth { return &c.auth }, false), []settings.Setting[config]{
	settings.New("NOTES_LOG_KEY", "", "secret that keys the hash by which the log knows callers; empty is another "+
		"one for each instance",
		func(c *config, v string) (err error) { c.logKey, err = settings.LogKey(v); return }),
	settings.New("NOTES_LOG_LEVEL", "info", "lowest level that is logged: debug, info, warn or error",
		func(c *config, v string) (err error) { c.logLevel, err = settings.LogLevel(v); return }),
	settings.New("NOTES_CORS_ORIGINS", "", "origins whose pages may call, with commas between them, or * for all; "+
		"empty switches CORS off",
		func(c *config, v string) (err error) { c.corsOrigins, err = settings.CORSOrigins(v); return }),
	settings.New("NOTES_BASE_PATH", "", "path under which clients see the service on a custom domain, such as /api",
		func(c *config, v string) (err error) { c.basePath, err = settings.BasePath(v); return }),
	settings.New("NOTES_REQUEST_TIMEOUT", "5s", "how long the store may take for one request before it is answered "+
		"with 503",
		func(c *config, v string) (err error) { c.timeout, err = settings.RequestTimeout(v); return }),
})

// openJWT knows callers by JSON Web Tokens, in a function that was built with the tag jwt: they need packages that the
// others do not have to load.
var openJWT settings.OpenJWT

func main() {
	fit(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	handler, err := run(context.Background(), os.Environ(), os.Getenv)
	if err != nil {
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Error("the function cannot start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(handler)
}

// oneProcessor is the memory, in MB, with which a function has one whole virtual processor; with less it has a share
// (AWS Lambda developer guide, "Configure Lambda function memory").
const oneProcessor = 1769

// fit makes the Go runtime fit the function, whose megabytes Lambda tells. A small heap is collected often, and a
// collection takes what a small function has of a processor for many milliseconds; there is room, the program needs
// 10 MB of at least 128. And threads that run side by side use a share of one processor up at once, and all wait for
// the next.
func fit(megabytes string) {
	debug.SetGCPercent(400)
	if n, err := strconv.ParseInt(megabytes, 10, 64); err == nil {
		debug.SetMemoryLimit(n << 20 * 3 / 4)
		if n < oneProcessor {
			runtime.GOMAXPROCS(1)
		}
	}
}

// unsupported are settings of the AWS SDK that would change which endpoint is called or trusted, and that only its
// configuration package reads. To pass over them in silence could break a rule that they are there for.
var unsupported = []string{"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_CA_BUNDLE"}

// startTimeout bounds the reads that warm the connection to the table during the start, for which a Lambda has 10 s.
const startTimeout = 2 * time.Second

// run makes the function's handler.
func run(ctx context.Context, environ []string, getenv func(string) string) (lambda.Handler, error) {
	c, err := settings.Read(environ, all)
	if err == nil {
		err = c.auth.Validate(false)
	}
	if c.auth.Kind == "" {
		err = errors.Join(err, errors.New("NOTES_AUTH is not set: set it to token or jwt, or to none if anyone may "+
			"read and write the notes"))
	}
	if getenv("AWS_REGION") == "" {
		err = errors.Join(err, errors.New("AWS_REGION is not set; Lambda sets it"))
	}
	for _, name := range unsupported {
		if getenv(name) != "" {
			err = errors.Join(err, fmt.Errorf("%s is set, but not heeded here: use AWS_ENDPOINT_URL_DYNAMODB to "+
				"name another endpoint", name))
		}
	}
	if err != nil {
		return nil, err
	}
	_ = os.Unsetenv(core.CustomHostVariable) // with it the adapter would rewrite every URL
	log := slog.New(withIDs{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: c.logLevel})})
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	authenticate, err := c.auth.Open(ctx, log, openJWT)
	if err != nil {
		return nil, err
	}
	f := &figures{function: getenv("AWS_LAMBDA_FUNCTION_NAME")}
	store, err := openStore(ctx, c.table, getenv, log, dynamo.Units(f.units))
	if err != nil {
		return nil, err
	}
	service := notes.NewService(meter.New(store, f.begin), time.Now, rand.Reader)
	// What is used for the first time is slow, and during the start a function has a whole processor, after it
	// perhaps a fourteenth: so a request goes all the way once.
	_, _ = newAdapter(service, c, nil, f, slog.New(slog.DiscardHandler)).Invoke(ctx, []byte(warmUp))
	return newAdapter(service, c, authenticate, f, log), nil
}

// warmUp is a request for a note that nobody has.
const warmUp = `{"version":"2.0","rawPath":"/notes/00000000-0000-0000-0000-000000000000",` +
	`"headers":{"host":"localhost"},` +
	`"requestContext":{"http":{"method":"GET","sourceIp":"127.0.0.1"},"stage":"$default"}}`

// roots are the certificates that AWS's own endpoints are signed with (https://www.amazontrust.com/repository/): to
// read five takes a hundredth of the time that the system's hundred and more take.
//
//go:embed roots.pem
var roots []byte

// openStore opens the table with a real read, so that the first request finds a connection. AWS's endpoints are
// trusted by a short list of roots; where that does not do, and for any other endpoint, the system's decide.
func openStore(ctx context.Context, table string, getenv func(string) string, log *slog.Logger,
	options ...func(*dynamodb.Options)) (*dynamo.Store, error) {
	cfg := awsConfig(getenv)
	if cfg.BaseEndpoint == nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		lean := cfg
		lean.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig.RootCAs = pool
		})
		store, err := dynamo.Open(ctx, lean, table, slog.New(slog.DiscardHandler), options...)
		if err != nil {
			return nil, err
		}
		err = notes.NewService(store, time.Now, rand.Reader).Ready(ctx)
		if err == nil {
			return store, nil
		}
		log.Warn("the table cannot be read yet", "error", err)
		if !errors.Is(err, dynamo.ErrNoAnswer) {
			return store, nil // it answered, so its certificate is trusted
		}
	}
	return dynamo.Open(ctx, cfg, table, log, options...)
}

// awsConfig is what Lambda says of region and credentials, and where DynamoDB is, if not at AWS.
func awsConfig(getenv func(string) string) aws.Config {
	cfg := aws.Config{
		Region: getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := aws.Credentials{AccessKeyID: getenv("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN"),
				Source: "environment"}
			if !c.HasKeys() {
				return c, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; Lambda sets them " +
					"for a function that has a role")
			}
			return c, nil
		}),
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"} {
		if url := getenv(name); url != "" {
			cfg.BaseEndpoint = &url
			break
		}
	}
	return cfg
}

// adapter is the app as a Lambda handler.
type adapter struct {
	proxy    func(context.Context, *incoming) (response, error)
	basePath string
	log      *slog.Logger
}

func newAdapter(service *notes.Service, c config, authenticate app.Authenticate, f *figures,
	log *slog.Logger) *adapter {
	web := app.New(service, app.Options{
		Log: log, CORSOrigins: c.corsOrigins, Timeout: c.timeout, Authenticate: authenticate, LogKey: c.logKey,
		Trace: traceID, Observe: f.seen,
		RequestID: func(r *http.Request) string { return gatewayOf(r.Context()).RequestID },
	})
	return &adapter{proxy: proxyTo(web), basePath: c.basePath, log: log}
}
