// Command lambda serves the notes API as an AWS Lambda function behind an API Gateway HTTP API (payload format 2.0),
// and keeps the notes in a DynamoDB table.
//
// It is configured by environment variables. If they are invalid, it logs one line and exits with 1. Everything that it
// links costs time at each cold start, so it reads region, credentials and endpoint from Lambda's environment variables
// itself, without the SDK's config package.
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
	"github.com/labstack/echo/v4"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/meter"
)

// config holds the settings.
type config struct {
	table       string
	auth        settings.Auth
	logKey      []byte
	logLevel    slog.Level
	corsOrigins []string
	basePath    string
	page        bool // serves the notes page
	timeout     time.Duration
}

// allSettings lists the settings in the order of docs/operate.md.
var allSettings = slices.Concat([]settings.Setting[config]{
	settings.New("NOTES_STORE", "", "where the notes are kept: dynamodb:TABLE",
		func(c *config, v string) (err error) {
			table, ok := strings.CutPrefix(v, "dynamodb:")
			if !ok {
				return errors.New("must be dynamodb:TABLE, since a Lambda has no lasting files")
			}
			c.table, err = settings.Table(table)
			return
		}),
}, settings.AuthSettings(func(c *config) *settings.Auth { return &c.auth }, false), []settings.Setting[config]{
	settings.New("NOTES_LOG_KEY", "", "secret key of the hashes that stand for callers in the log; empty makes a "+
		"new key for each instance",
		func(c *config, v string) (err error) { c.logKey, err = settings.LogKey(v); return }),
	settings.New("NOTES_LOG_LEVEL", "info", "lowest level that is logged: debug, info, warn or error",
		func(c *config, v string) (err error) { c.logLevel, err = settings.LogLevel(v); return }),
	settings.New("NOTES_CORS_ORIGINS", "", "origins whose pages may call the service, separated by commas, or * "+
		"for all; empty disables CORS",
		func(c *config, v string) (err error) { c.corsOrigins, err = settings.CORSOrigins(v); return }),
	settings.New("NOTES_BASE_PATH", "", "path under which clients see the service on a custom domain, such as /api",
		func(c *config, v string) (err error) { c.basePath, err = settings.BasePath(v); return }),
	settings.New("NOTES_PAGE", "off", "on or off: whether / is a page on which people read and write notes in a "+
		"browser",
		func(c *config, v string) (err error) { c.page, err = settings.Switch(v); return }),
	settings.New("NOTES_REQUEST_TIMEOUT", "5s", "time that the store may take for one request; after it the answer "+
		"is 503",
		func(c *config, v string) (err error) { c.timeout, err = settings.RequestTimeout(v); return }),
})

// openJWT is jwt.Open in builds with the tag jwt, else nil: without it, a cold start does not load the packages for
// JSON Web Tokens.
var openJWT settings.OpenJWT

// mountPage adds the notes page in builds with the tag page, else it is nil: without it, the program is smaller.
var mountPage func(*echo.Echo, settings.Auth)

func main() {
	tuneRuntime(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	handler, err := run(context.Background(), os.Environ(), os.Getenv)
	if err != nil {
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Error("the function cannot start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(handler)
}

// fullCPUMemory is the memory in MB at which a function has one full vCPU. With less it has a proportional share
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
const fullCPUMemory = 1769

// tuneRuntime tunes the Go runtime to the memory of the function, in MB as Lambda sets it. A small heap is collected
// often, and each collection takes a small function's CPU share for many milliseconds. Since the program needs only
// 10 of at least 128 MB, it collects less often. With less than a full vCPU it also uses one thread: parallel threads
// would only use up the CPU quota of a period sooner and then all wait for the next.
func tuneRuntime(megabytes string) {
	debug.SetGCPercent(400)
	if n, err := strconv.ParseInt(megabytes, 10, 64); err == nil {
		debug.SetMemoryLimit(n << 20 * 3 / 4)
		if n < fullCPUMemory {
			runtime.GOMAXPROCS(1)
		}
	}
}

// unsupportedEnv lists variables that change which endpoint the AWS SDK calls or trusts, and that only its config
// package reads. Setting one is an error, since to ignore it could violate the policy that it is meant to enforce.
var unsupportedEnv = []string{"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_CA_BUNDLE"}

// startTimeout limits the reads that warm up the connection to the table. Lambda's init phase has 10 s in all
// (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
const startTimeout = 2 * time.Second

// run returns the function's handler.
func run(ctx context.Context, environ []string, getenv func(string) string) (lambda.Handler, error) {
	c, err := settings.Read(environ, allSettings)
	err = errors.Join(err, c.auth.Validate(false))
	if c.auth.Kind == "" {
		err = errors.Join(err, errors.New("NOTES_AUTH is not set: set it to token or jwt, or to none if anyone may "+
			"read and write the notes"))
	}
	if c.page && mountPage == nil {
		err = errors.Join(err, errors.New("NOTES_PAGE=on: this build does not have the notes page: build it with "+
			"deploy zip --page or with -tags page"))
	}
	if getenv("AWS_REGION") == "" {
		err = errors.Join(err, errors.New("AWS_REGION is not set; Lambda sets it"))
	}
	for _, name := range unsupportedEnv {
		if getenv(name) != "" {
			err = errors.Join(err, fmt.Errorf("%s is set, but not supported here: to use another endpoint, set "+
				"AWS_ENDPOINT_URL_DYNAMODB", name))
		}
	}
	if err != nil {
		return nil, err
	}
	_ = os.Unsetenv(core.CustomHostVariable) // it would make aws-lambda-go-api-proxy rewrite every URL
	log := slog.New(idHandler{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: c.logLevel})})
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	authenticate, err := c.auth.Open(ctx, log, openJWT)
	if err != nil {
		return nil, err
	}
	rec := &recorder{function: getenv("AWS_LAMBDA_FUNCTION_NAME")}
	store, err := openStore(ctx, c.table, getenv, log, dynamo.Units(rec.recordUnits))
	if err != nil {
		return nil, err
	}
	service := notes.NewService(meter.New(store, rec.recordCall), time.Now, rand.Reader)
	// The first request is slow. So send one now, while the function still has a full vCPU; afterwards it has perhaps
	// a fourteenth.
	_, _ = newAdapter(service, c, nil, rec, slog.New(slog.DiscardHandler)).Invoke(ctx, []byte(warmUpEvent))
	return newAdapter(service, c, authenticate, rec, log), nil
}

// warmUpEvent requests a note that does not exist.
const warmUpEvent = `{"version":"2.0","rawPath":"/notes/00000000-0000-0000-0000-000000000000",` +
	`"headers":{"host":"localhost"},` +
	`"requestContext":{"http":{"method":"GET","sourceIp":"127.0.0.1"},"stage":"$default"}}`

// roots are the root certificates of AWS's own endpoints (https://www.amazontrust.com/repository/). Parsing these five
// takes a hundredth of the time that the system's more than a hundred take.
//
//go:embed roots.pem
var roots []byte

// openStore opens the table and reads from it, so that the first request finds an open connection. It trusts AWS's
// endpoints by roots. For another endpoint, or if AWS does not answer that way, it uses the system's roots.
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
		log.Warn("cannot read the table yet", "error", err)
		if !errors.Is(err, dynamo.ErrNoAnswer) {
			return store, nil // the table answered, so its certificate is trusted
		}
	}
	return dynamo.Open(ctx, cfg, table, log, options...)
}

// awsConfig returns the region and credentials that Lambda sets, and the endpoint of DynamoDB if it is not AWS's own.
func awsConfig(getenv func(string) string) aws.Config {
	cfg := aws.Config{
		Region: getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := aws.Credentials{AccessKeyID: getenv("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN"),
				Source: "environment"}
			if !c.HasKeys() {
				return c, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; Lambda sets them " +
					"for a function with a role")
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

// adapter is a lambda.Handler that serves the app.
type adapter struct {
	proxy    func(context.Context, *incoming) (response, error)
	basePath string
	log      *slog.Logger
}

func newAdapter(service *notes.Service, c config, authenticate app.Authenticate, rec *recorder,
	log *slog.Logger) *adapter {
	web := app.New(service, app.Options{
		Log: log, CORSOrigins: c.corsOrigins, Timeout: c.timeout, Authenticate: authenticate, LogKey: c.logKey,
		Trace: traceID, Observe: rec.metricAttrs,
		RequestID: func(r *http.Request) string { return gatewayContext(r.Context()).RequestID },
	})
	if c.page {
		mountPage(web, c.auth)
	}
	return &adapter{proxy: newProxy(web), basePath: c.basePath, log: log}
}
