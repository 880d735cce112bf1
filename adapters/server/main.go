// Command server serves the notes API over HTTP and keeps the notes in one local file or in a DynamoDB table.
//
// It is configured by environment variables; -h lists them. On SIGTERM or SIGINT it finishes the requests in progress
// and exits with 0; a second signal ends it at once. It exits with 2 if its arguments or settings are invalid and with
// 1 on any other failure.
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
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"
	"github.com/google/uuid"
	"github.com/mattn/go-isatty"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app"
	"example.com/portable-notes/app/about"
	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/app/web"
	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
)

// errUsage is wrapped by errors that the person who starts the program can fix; they exit with 2.
var errUsage = errors.New("invalid arguments or settings")

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
	if len(args) > 0 && args[0] == "token" {
		return runToken(args[1:], stdout)
	}
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	showVersion := flags.Bool("version", false, "print the version and exit")
	healthcheck := flags.Bool("healthcheck", false,
		"ask the server at NOTES_ADDR whether it is ready, and exit with 0 or 1")
	var check *string // nil without the flag
	flags.Func("check", "check a notes `FILE` that no server has open, and exit with 0 if it is undamaged",
		func(file string) error {
			check = &file
			return nil
		})
	var tokenOwner *string
	flags.Func("new-token", "the same as server token new `OWNER`",
		func(owner string) error {
			tokenOwner = &owner
			return nil
		})
	hash := flags.Bool("hash-owner", false, "read owners from standard input, one per line, and print the hash that "+
		"stands for each in the log, keyed by NOTES_LOG_KEY; with NOTES_AUTH=jwt an owner is ISSUER SUBJECT")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(flags, stdout)
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 0:
		return fmt.Errorf("%w: unexpected argument %q; settings are environment variables", errUsage, flags.Arg(0))
	case countActions(flags) > 1:
		return fmt.Errorf("%w: give one flag only", errUsage)
	case *showVersion:
		build := buildVersion()
		fmt.Fprintln(stdout, "portable-notes server", build.Version, build.Commit)
		return nil
	case tokenOwner != nil:
		return createToken(*tokenOwner, app.Write, time.Time{}, "", stdout)
	case *hash:
		return hashOwners(environ, stdin, stdout)
	case check != nil:
		return checkFile(*check, stdout)
	}
	c, err := settings.Read(environ, allSettings)
	if !*healthcheck {
		err = errors.Join(err, c.validate())
	}
	if err != nil {
		return fmt.Errorf("%w:\n%w", errUsage, err)
	}
	if *healthcheck {
		return checkReady(ctx, c.addr)
	}
	// The heap is a few megabytes. With the default GOGC of 100, collecting it takes a fifth of the CPU under load;
	// with 300, a twentieth.
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(300))
	}
	// Take the memory limit from the container's cgroup, unless GOMEMLIMIT is set.
	_, err = memlimit.Set()
	if err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		fmt.Fprintln(stderr, "server: cannot read the memory limit of this container:", err)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return openAndServe(ctx, c, stderr)
}

// countActions returns how many flags are given. Each asks for an action instead of a start.
func countActions(flags *flag.FlagSet) (n int) {
	flags.Visit(func(*flag.Flag) { n++ })
	return n
}

// openAndServe opens the store and serves it until ctx ends.
func openAndServe(ctx context.Context, c config, stderr io.Writer) error {
	log, announce := newLogger(c, stderr)
	rec := newRecorder()
	authenticate, err := c.auth.Open(ctx, log, jwt.Open, token.Rejected(rec.recordRejection))
	if err != nil {
		return fmt.Errorf("%w:\n%w", errUsage, err)
	}
	listener, err := net.Listen("tcp", c.addr) // before the store, so that a failure here leaves no new file
	if err != nil {
		return listenError("NOTES_ADDR", c.addr, err)
	}
	store, closeStore, err := openStore(ctx, &c, rec, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if authenticate != nil {
		warnOfLocalNotes(ctx, store, log)
	}
	return errors.Join(serve(ctx, c, listener, store, rec, authenticate, log, announce), closeStore())
}

// warnOfLocalNotes warns of notes that were made without authentication, because only the owner local sees them now.
func warnOfLocalNotes(ctx context.Context, store notes.Store, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for n, err := range store.Newest(ctx, app.LocalOwner, uuid.Max, 1) {
		if err == nil && !n.Deleted() {
			log.Warn("the store has notes that were made without NOTES_AUTH; only a token of the owner local shows " +
				"them, and deploy copy --owner local=NAME gives them to another owner")
		}
		return
	}
}

// sdkLogger passes what the AWS SDK logs to our log. Otherwise it would print lines of its own to standard error.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(kind logging.Classification, format string, args ...any) {
		level := slog.LevelDebug
		if kind == logging.Warn {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, fmt.Sprintf(format, args...), "source", "aws-sdk-go-v2")
	})
}

// openStore opens the store that NOTES_STORE names. It makes c.file absolute.
func openStore(ctx context.Context, c *config, rec *recorder, log *slog.Logger) (notes.Store, func() error, error) {
	if c.table == "" {
		store, err := bolt.Open(c.file, log, bolt.Commits(rec.recordCommit))
		if err != nil {
			return nil, nil, err
		}
		if file, err := filepath.Abs(c.file); err == nil {
			c.file = file
		}
		return store, store.Close, nil
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithLogger(sdkLogger(log)))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the AWS configuration: %w", err)
	}
	if sdk.Region == "" {
		return nil, nil, errors.New("no AWS region is set: set AWS_REGION, such as AWS_REGION=eu-central-1")
	}
	var options []func(*dynamodb.Options)
	if c.adminAddr != "" {
		options = append(options, dynamo.Units(rec.recordUnits))
	}
	store, err := dynamo.Open(ctx, sdk, c.table, log, options...)
	return store, func() error { return nil }, err
}

// serve serves the notes in store on listener until ctx ends.
func serve(ctx context.Context, c config, listener net.Listener, store notes.Store, rec *recorder,
	authenticate app.Authenticate, log *slog.Logger, announce func(format string, args ...any)) error {
	limit, err := newLimit(c.rate, monotonicClock(time.Now()))
	if err != nil {
		return err
	}
	options := app.Options{
		Log: log, LogKey: c.logKey, CORSOrigins: c.corsOrigins, Timeout: c.timeout, MaxInFlight: c.inFlight,
		Admit: admit(c.auth.Kind == ""), Client: clientAddrFunc(c.proxies), Authenticate: authenticate, Limit: limit,
	}
	var watch observers
	if c.adminAddr != "" {
		file, _ := store.(*bolt.Store)
		srv := &adminServer{
			recorder: rec, store: file, authenticate: c.backup, log: log,
			hasOwners: authenticate != nil, onlyLocal: c.auth.Kind == "",
		}
		url, stop, err := srv.start(ctx, c.adminAddr)
		if err != nil {
			return err
		}
		defer func() { _ = stop() }()
		announce("metrics are at %s/metrics", url)
		if !isLoopback(c.adminAddr) {
			log.Warn("NOTES_ADMIN_ADDR can be reached from other machines: anyone there can read /metrics; /backup " +
				"is refused")
		}
		watch.add(func(_ context.Context, s app.Seen) { rec.recordRequest(s) }, rec.recordCall)
	}
	tr, err := startTracing(ctx, log)
	if err != nil {
		return err
	}
	defer tr.shutdown(ctx, log)
	options.Trace = tr.traceID
	watch.add(tr.seen, tr.begin)
	service := notes.NewService(watch.wrap(store), time.Now, rand.Reader)
	options.Observe = watch.observe()
	e := app.New(service, options)
	build := buildVersion()
	build.Store, build.Adapter = "bolt", "server"
	if c.table != "" {
		build.Store = "dynamodb"
	}
	d := newDrainer(tr.wrap(app.Under(c.basePath, e)))
	if c.page {
		web.Mount(e, web.Options{Auth: c.auth.Kind, Issuer: c.auth.Issuer, Reference: true})
	}
	about.Mount(e, c.basePath, authenticate != nil, build, d.checkDraining, service.Ready)
	greet(c, listener.Addr().String(), announce)
	return d.serve(ctx, listener, c, log)
}

// greet announces where the server listens, where the notes are, who can use them, and a command to try.
func greet(c config, addr string, announce func(format string, args ...any)) {
	url := "http://" + clientAddr(addr) + c.basePath
	everywhere := ""
	if clientAddr(addr) != addr {
		everywhere = ", and on every other address of this machine"
	}
	what := "reference: " + url + "/docs"
	if c.page {
		what = "open it in a browser; " + what
	}
	announce("listening on %s%s (%s)", url, everywhere, what)
	where := c.file
	if c.table != "" {
		where = "the DynamoDB table " + c.table
	}
	announce("notes are kept in %s", where)
	announce("%s", c.auth.Describe())
	bearer := ""
	if c.auth.Kind == "token" || c.auth.Kind == "jwt" {
		bearer = " -H 'Authorization: Bearer TOKEN'" // #nosec G101 -- a placeholder
	}
	announce(`try: curl -s %s/notes -H 'Content-Type: application/json'%s -d '{"title":"Hello"}'`, url, bearer)
}

// listenError adds to the error of a listen on addr what to do about it. Setting is the variable that names addr.
func listenError(setting, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf(
			"address %s is in use: stop the program that uses it, or set %s to another address, such as "+
				"127.0.0.1:8081",
			addr,
			setting,
		)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: %w: set %s to a port from 1024 up, or grant this user the right to use "+
			"lower ones", addr, err, setting)
	}
	return fmt.Errorf("listen on %s: %w: set %s to an address of this machine", addr, err, setting)
}

// newLogger returns the log, and a function that announces the few lines meant for a person: as plain lines if the log
// is text, else as records of the log.
func newLogger(c config, w io.Writer) (log *slog.Logger, announce func(format string, args ...any)) {
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

// clientAddr returns the address at which a client on this machine reaches a server that listens on addr.
func clientAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

func usage(flags *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, "server serves the notes API over HTTP and keeps the notes in one local file or in a DynamoDB "+
		"table.\n\nSettings (environment variables):\n")
	for _, s := range allSettings {
		fmt.Fprintf(w, "  %-22s %s\n", s.Name, s.Meaning)
		if s.Initial != "" {
			fmt.Fprintf(w, "  %-22s default %s\n", "", s.Initial)
		}
	}
	fmt.Fprint(w, "\nFor DynamoDB, the AWS SDK reads its own variables: AWS_REGION, AWS_PROFILE, "+
		"AWS_ENDPOINT_URL_DYNAMODB, credentials and so on.\n\nCommands:\n"+
		"  server token  make, list and revoke bearer tokens; server token -h\n\nFlags, each instead of a start:\n")
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// hashOwners reads owners, one per line, and prints the hash that stands for each in the log. It takes the key from the
// environment and the owners from a stream, because every user of a machine can see the arguments of its processes.
func hashOwners(environ []string, owners io.Reader, w io.Writer) error {
	key, err := readLogKey(environ)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	hash := app.HashOwner(key)
	var hashes strings.Builder // so that an error prints nothing
	n := 0
	lines := bufio.NewScanner(owners)
	for lines.Scan() {
		owner := strings.TrimPrefix(lines.Text(), "\ufeff") // a byte order mark
		if n++; owner == "" {
			return fmt.Errorf("%w: line %d of standard input is empty; it must be an owner", errUsage, n)
		}
		fmt.Fprintln(&hashes, hash(owner))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: standard input is empty; it must have an owner on each line", errUsage)
	}
	_, err = io.WriteString(w, hashes.String())
	return err
}

// checkFile prints what bolt.Check finds, and returns an error if the file is damaged.
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
		return fmt.Errorf("notes file %s is damaged: restore a backup, or continue with the notes that are still "+
			"readable", path)
	}
	fmt.Fprintln(w, "no damage found")
	return nil
}

// checkReady returns an error unless /readyz of the server at addr answers 200 within 3 s.
func checkReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+clientAddr(addr)+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("no answer from the server: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", answer.Status)
	}
	return nil
}

// version and commit are set by the linker in builds without Git, such as the container image (see the Dockerfile).
var version, commit string

// buildVersion returns the version and commit that the Go tool recorded for this build, or those set by the linker.
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
