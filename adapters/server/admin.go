package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes/bolt"
)

// backupTimeout is the time that a client may take to download a backup.
const backupTimeout = 30 * time.Minute

// adminServer serves the operator on NOTES_ADMIN_ADDR: /metrics and, if that is a loopback address, /backup, a copy of
// the notes file with the notes of all owners.
type adminServer struct {
	recorder     *recorder
	store        *bolt.Store      // nil if the notes are in a table
	authenticate app.Authenticate // accepts the token of NOTES_BACKUP_TOKEN; nil if that is not set
	hasOwners    bool             // callers are authenticated, so a backup needs a token too
	onlyLocal    bool             // NOTES_AUTH is not set, so requests through a proxy are refused
	addr         string           // that it listens on
	log          *slog.Logger
	backupMu     sync.Mutex // allows one backup at a time: each needs as much disk space as the notes file
}

func (srv *adminServer) handler() http.Handler {
	e := app.Bare(app.Options{Log: srv.log, Admit: admit(false)})
	app.Get(e, "/metrics", func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
		c.Response().WriteHeader(http.StatusOK)
		if c.Request().Method != http.MethodHead {
			srv.recorder.write(c.Response())
		}
		return nil
	})
	app.Get(e, "/backup", func(c echo.Context) error {
		if err := srv.checkBackup(c); err != nil {
			return err
		}
		if c.Request().Method == http.MethodHead {
			c.Response().Header().Set(echo.HeaderContentType, echo.MIMEOctetStream)
			return c.NoContent(http.StatusOK)
		}
		if !srv.backupMu.TryLock() {
			return app.Conflict("another backup is in progress: try again when it is done")
		}
		defer srv.backupMu.Unlock()
		return srv.sendBackup(c)
	})
	return closeChunked(e)
}

// checkBackup returns the error that refuses a client a backup; nil if the client may have one.
func (srv *adminServer) checkBackup(c echo.Context) error {
	r := c.Request()
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case srv.store == nil:
		return app.NotFound("the notes are in DynamoDB, which makes its own backups")
	case srv.onlyLocal && isProxied(r):
		return app.Misdirected("a backup is only for this machine, without a proxy: " +
			"to allow more, set NOTES_AUTH and NOTES_BACKUP_TOKEN")
	case !isLoopback(srv.addr) || !isLoopback(r.Host) || r.Header.Get("Origin") != "" || site != "" && site != "none":
		// Another host name, or one of these headers, may come from a web page in a local browser (DNS rebinding).
		return app.Forbidden("a backup is available only on a loopback address, such as " +
			"NOTES_ADMIN_ADDR=127.0.0.1:9090, and not to web pages")
	case srv.hasOwners && srv.authenticate == nil:
		return app.Forbidden("a backup holds the notes of all owners: set NOTES_BACKUP_TOKEN to allow it")
	case srv.authenticate != nil:
		bearer, refusal := app.BearerToken(r)
		if _, err := srv.authenticate(r.Context(), bearer); err != nil || refusal != "" {
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="backup"`)
			return app.Unauthenticated(
				"a backup requires the token whose hash is in NOTES_BACKUP_TOKEN: Authorization: Bearer TOKEN")
		}
	}
	return nil
}

// sendBackup makes a backup and sends all of it. It ignores Range, since parts of two backups do not make a valid file.
// If it fails midway, the body is shorter than its Content-Length, which clients notice.
func (srv *adminServer) sendBackup(c echo.Context) error {
	ctx, start := c.Request().Context(), time.Now()
	backup, err := srv.store.Backup(ctx)
	if err != nil {
		return app.Unavailable(err)
	}
	defer func() { _ = backup.Close() }()
	info, err := backup.Stat()
	if err != nil {
		return app.Unavailable(err)
	}
	header := c.Response().Header()
	header.Set("Accept-Ranges", "none")
	header.Set("Content-Disposition", `attachment; filename="notes.db"`)
	header.Set(echo.HeaderContentLength, strconv.FormatInt(info.Size(), 10))
	header.Set(echo.HeaderContentType, echo.MIMEOctetStream)
	c.Response().WriteHeader(http.StatusOK)
	sent, err := io.Copy(c.Response(), backup)
	if flushErr := http.NewResponseController(c.Response()).Flush(); err == nil {
		err = flushErr
	}
	if err == nil {
		err = ctx.Err() // the client has gone
	}
	if err != nil {
		srv.log.WarnContext(ctx, "backup interrupted", "bytes", sent, "of", info.Size(), "error", err)
		return nil // net/http closes the connection
	}
	srv.log.InfoContext(ctx, "backup sent", "bytes", sent, "took_us", time.Since(start).Microseconds())
	return nil
}

// start serves addr until stop is called.
func (srv *adminServer) start(ctx context.Context, addr string) (url string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, listenError("NOTES_ADMIN_ADDR", addr, err)
	}
	srv.addr = listener.Addr().String()
	server := &http.Server{Handler: srv.handler(), DisableGeneralOptionsHandler: true, ReadHeaderTimeout: headerTimeout,
		ReadTimeout: readTimeout, WriteTimeout: backupTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(srv.log.Handler(), slog.LevelDebug)}
	go func() { _ = server.Serve(listener) }() // always returns an error
	return "http://" + clientAddr(srv.addr), server.Close, nil
}
