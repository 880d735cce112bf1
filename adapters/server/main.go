// Command server serves the notes API over HTTP and keeps the notes in one local file, or in a DynamoDB table.
//
// It is configured by environment variables; -h lists them. SIGTERM and SIGINT let it finish what it has begun and exit
// with 0; a second one ends it at once. Mistakes in the settings exit with 2, other failures with 1.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/mattn/go-isatty"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/app/about"
	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
)

// errUsage is a mistake of the person who started the program.
var errUsage = errors.New("this cannot be run")

func main() {
	switch err := run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr); {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "server: %v\n-h lists settings and flags\n", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	version := flags.Bool("version", false, "print the version and exit")
	healthcheck := flags.Bool("healthcheck", false,
		"ask the server at NOTES_ADDR whether it is ready, and exit with 0 or 1")
	var check *string // nil without the flag
	flags.Func("check", "check a notes `FILE` that no server has open, and exit with 0 if it is sound",
		func(file string) error {
			check = &file
			return nil
		})
	var newToken *string
	flags.Func("new-token", "make a bearer token for an `OWNER`, and print it and the line that configures it",
		func(owner string) error {
			newToken = &owner
			return nil
		})
	hash := flags.Bool("hash-owner", false, "read owners, one a line, from standard input, and print the hash that "+
		"stands in the log for each, by NOTES_LOG_KEY; with NOTES_AUTH=jwt an owner is ISSUER SUBJECT")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(flags, stdout)
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 0:
		return fmt.Errorf("%w: %q is not expected; settings are environment variables", errUsage, flags.Arg(0))
	case *version:
		build := buildVersion()
		fmt.Fprintln(stdout, "portable-notes server", build.Version, build.Commit)
		return nil
	case newToken != nil:
		made, line, err := token.New(*newToken)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		fmt.Fprintf(stdout, "%s\n\nThat is the token; it is shown only now. It is known to a server that has "+
			"NOTES_AUTH=token and\nNOTES_TOKENS='%s'\nor that line in NOTES_TOKENS_FILE. \"read\" in place of "+
			"\"write\" lets it only read; an expiry time such as 2027-01-31T12:00:00Z may follow the hash.\n", made,
			line)
		return nil
	case *hash:
		return hashOwners(environ, stdin, stdout)
	case check != nil:
		return checkFile(*check, stdout)
	}
	c, err := settings.Read(environ, all)
	if err == nil && !*healthcheck {
		err = c.mistake()
	}
	if err != nil {
		return fmt.Errorf("%w, the settings are wrong:\n%w", errUsage, err)
	}
	if *healthcheck {
		return askReady(ctx, c.addr)
	}
	// The heap is a few megabytes, and collected at every doubling that took a fifth of the processor under load.
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(200))
	}
	// In a container the collector works harder before the memory is used up. GOMEMLIMIT says otherwise, if it is set.
	_, err = memlimit.Set()
	if err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		fmt.Fprintln(stderr, "server: the memory of this container is not known:", err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal kills
	return start(ctx, c, stderr)
}

// start is the server's life.
func start(ctx context.Context, c config, stderr io.Writer) error {
	log, say := logger(c, stderr)
	f := newFigures()
	authenticate, err := c.auth.Open(ctx, log, jwt.Open, token.Rejected(f.tokensRejected))
	if err != nil {
		return fmt.Errorf("%w, the settings are wrong:\n%w", errUsage, err)
	}
	listener, err := net.Listen("tcp", c.addr) // first, so that a start that fails here makes no file
	if err != nil {
		return listenError("NOTES_ADDR", c.addr, err)
	}
	store, closeStore, err := open(ctx, &c, f, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return errors.Join(serve(ctx, c, listener, store, f, authenticate, log, say), closeStore())
}

// open opens the store that the settings name.
func open(ctx context.Context, c *config, f *figures, log *slog.Logger) (notes.Store, func() error, error) {
	if c.table == "" {
		store, err := bolt.Open(c.file, log, bolt.Commits(f.commit))
		if err != nil {
			return nil, nil, err
		}
		if file, err := filepath.Abs(c.file); err == nil {
			c.file = file
		}
		return store, store.Close, nil
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the AWS settings cannot be read: %w", err)
	}
	if sdk.Region == "" {
		return nil, nil, errors.New("no AWS region is set: set AWS_REGION, such as AWS_REGION=eu-central-1")
	}
	var options []func(*dynamodb.Options)
	if c.adminAddr != "" {
		options = append(options, dynamo.Units(f.units))
	}
	store, err := dynamo.Open(ctx, sdk, c.table, log, options...)
	return store, func() error { return nil }, err
}

// serve serves the notes of a store until ctx ends.
func serve(ctx context.Context, c config, listener net.Listener, store notes.Store, f *figures,
	authenticate app.Authenticate, log *slog.Logger, say func(format string, args ...any)) error {
	limit, err := newLimit(c.rate, steadily(time.Now()))
	if err != nil {
		return err
	}
	options := app.Options{
		Log: log, LogKey: c.logKey, CORSOrigins: c.corsOrigins, Timeout: c.timeout, MaxInFlight: c.inFlight,
		Admit: admit(c.auth.Kind == ""), Client: addressOf(c.proxies), Authenticate: authenticate, Limit: limit,
	}
	var watch watching
	if c.adminAddr != "" {
		file, _ := store.(*bolt.Store)
		o := &operator{
			figures: f, file: file, backup: c.backup, log: log,
			guarded: authenticate != nil, onlyLocal: c.auth.Kind == "",
		}
		url, stop, err := o.serve(ctx, c.adminAddr)
		if err != nil {
			return err
		}
		defer func() { _ = stop() }()
		say("metrics are at %s/metrics", url)
		if !loopback(c.adminAddr) {
			log.Warn("NOTES_ADMIN_ADDR can be reached from outside: whoever does sees the metrics; /backup is not " +
				"served there")
		}
		watch.add(func(_ context.Context, s app.Seen) { f.seen(s) }, f.begin)
	}
	tracing, err := startTracing(ctx, log)
	if err != nil {
		return err
	}
	defer tracing.end(ctx, log)
	options.Trace = tracing.traceID
	watch.add(tracing.seen, tracing.begin)
	service := notes.NewService(watch.store(store), time.Now, rand.Reader)
	options.Observe = watch.observe()
	web := app.New(service, options)
	build := buildVersion()
	build.Store, build.Adapter = "bolt", "server"
	if c.table != "" {
		build.Store = "dynamodb"
	}
	drain := newDrain(tracing.wrap(app.Under(c.basePath, web)))
	about.Mount(web, c.basePath, build, drain.refusal, service.Ready)
	greet(c, listener.Addr().String(), say)
	return drain.serve(ctx, listener, c, log)
}

// greet tells a person what was started.
func greet(c config, addr string, say func(format string, args ...any)) {
	url := "http://" + reachable(addr) + c.basePath
	everywhere := ""
	if reachable(addr) != addr {
		everywhere = ", and on every other address of this machine"
	}
	say("listening on %s%s (reference: %s/docs)", url, everywhere, url)
	where := c.file
	if c.table != "" {
		where = "the DynamoDB table " + c.table
	}
	say("notes are kept in %s", where)
	say("%s", c.auth.Describe())
	bearer := ""
	if c.auth.Kind == "token" || c.auth.Kind == "jwt" {
		bearer = " -H 'Authorization: Bearer TOKEN'" // #nosec G101 -- a place for one
	}
	say(`try: curl -s %s/notes -H 'Content-Type: application/json'%s -d '{"title":"Hello"}'`, url, bearer)
}

// listenError says what to do about an address that a setting names and that cannot be had.
func listenError(setting, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("address %s is in use: stop who has it, or set %s to another, such as 127.0.0.1:8081", addr,
			setting)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: %w: set %s to a port from 1024 on, or give this user the right", addr, err,
			setting)
	}
	return fmt.Errorf("listen on %s: %w: set %s to an address of this machine", addr, err, setting)
}

// logger makes the log, and the way to say the few lines that are for a person.
func logger(c config, w io.Writer) (log *slog.Logger, say func(format string, args ...any)) {
	file, isFile := w.(*os.File)
	terminal := isFile && isatty.IsTerminal(file.Fd())
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "text" || c.logFormat == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, options)), func(format string, args ...any) {
			fmt.Fprintf(w, format+"\n", args...)
		}
	}
	log = slog.New(slog.NewJSONHandler(w, options))
	return log, func(format string, args ...any) { log.Info(fmt.Sprintf(format, args...)) }
}

// reachable is an address that a client on this machine can use for one that was listened on.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

func usage(flags *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, "server serves the notes API over HTTP and keeps the notes in one local file, or in a DynamoDB "+
		"table.\n\nSettings, from the environment:\n")
	for _, s := range all {
		fmt.Fprintf(w, "  %-22s %s\n", s.Name, s.Meaning)
		if s.Initial != "" {
			fmt.Fprintf(w, "  %-22s default %s\n", "", s.Initial)
		}
	}
	fmt.Fprint(w, "\nFor DynamoDB, those of the AWS SDK: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_DYNAMODB, "+
		"credentials and so on.\n\nFlags:\n")
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// hashOwners prints the hash that stands in the log for each owner, which is a line. The key comes from the environment
// and the owners from a stream, because every user of a machine sees the arguments of its processes.
func hashOwners(environ []string, owners io.Reader, w io.Writer) error {
	key, err := logKey(environ)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	hash := app.HashOwner(key)
	var hashes strings.Builder // printed whole, or not at all
	n := 0
	lines := bufio.NewScanner(owners)
	for lines.Scan() {
		owner := strings.TrimPrefix(lines.Text(), "\ufeff") // a byte order mark of a file
		if n++; owner == "" {
			return fmt.Errorf("%w: line %d of standard input is empty, must be an owner", errUsage, n)
		}
		fmt.Fprintln(&hashes, hash(owner))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("standard input cannot be read: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: standard input is empty, must have an owner on each line", errUsage)
	}
	_, err = io.WriteString(w, hashes.String())
	return err
}

// checkFile prints what bolt.Check finds.
func checkFile(path string, w io.Writer) error {
	report, err := bolt.Check(path)
	if err != nil {
		return err
	}
	for _, finding := range report.Findings {
		fmt.Fprintln(w, finding)
	}
	fmt.Fprintf(w, "readable: notes %d, idempotency keys %d\n", report.Notes, report.Keys)
	if len(report.Findings) > 0 {
		return fmt.Errorf("notes file %s is damaged: restore a copy, or go on with what can be read", path)
	}
	fmt.Fprintln(w, "no damage was found")
	return nil
}

// askReady asks a server on this machine for /readyz.
func askReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(addr)+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", answer.Status)
	}
	return nil
}

// version and commit are set by the linker where the Go tool cannot know them, as in an image.
var version, commit string

// buildVersion is what the Go tool recorded of this build, or the linker was told.
func buildVersion() about.Version {
	v := about.Version{Version: cmp.Or(version, "(devel)"), Commit: commit}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if version == "" && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}
