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

// backupWithin is how long a client may take for a backup.
const backupWithin = 30 * time.Minute

// operator serves what is for the operator alone, on an address of its own: /metrics, and where only this machine
// reaches that address /backup, a copy of the notes file, which holds everybody's notes.
type operator struct {
	figures   *figures
	file      *bolt.Store      // nil where the notes are in a table
	backup    app.Authenticate // who may have a copy
	guarded   bool             // the notes are not everybody's, so a copy is not either
	onlyLocal bool             // nobody is asked who they are: nothing is for a proxy
	addr      string
	log       *slog.Logger
	copying   sync.Mutex // one at a time: each takes as much room as the file
}

func (o *operator) handler() http.Handler {
	e := app.Bare(app.Options{Log: o.log, Admit: admit(false)})
	app.Get(e, "/metrics", func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
		c.Response().WriteHeader(http.StatusOK)
		if c.Request().Method != http.MethodHead {
			o.figures.write(c.Response())
		}
		return nil
	})
	app.Get(e, "/backup", func(c echo.Context) error {
		if err := o.refusal(c); err != nil {
			return err
		}
		if c.Request().Method == http.MethodHead {
			c.Response().Header().Set(echo.HeaderContentType, echo.MIMEOctetStream)
			return c.NoContent(http.StatusOK)
		}
		if !o.copying.TryLock() {
			return app.Conflict("another backup is on its way: ask again when it is done")
		}
		defer o.copying.Unlock()
		return o.send(c)
	})
	return closeChunked(e)
}

// refusal is why a client may have no backup; nil where it may.
func (o *operator) refusal(c echo.Context) error {
	r := c.Request()
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case o.file == nil:
		return app.NotFound("the notes are in DynamoDB, which makes backups of its own")
	case o.onlyLocal && proxied(r):
		return app.Misdirected("a backup is for this machine alone, and for no proxy: " +
			"set NOTES_AUTH to say who else may come")
	case !loopback(o.addr) || !loopback(r.Host) || r.Header.Get("Origin") != "" || site != "" && site != "none":
		// A name could be another's, whose page a browser on this machine has open (DNS rebinding).
		return app.Forbidden("a backup is given only on a loopback address, such as NOTES_ADMIN_ADDR=127.0.0.1:9090, " +
			"and to no page of a browser")
	case o.guarded && o.backup == nil:
		return app.Forbidden("a backup holds everybody's notes: set NOTES_BACKUP_TOKEN to say who may have it")
	case o.backup != nil:
		token, refusal := app.BearerToken(r)
		if _, err := o.backup(r.Context(), token); err != nil || refusal != "" {
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="backup"`)
			return app.Unauthenticated(
				"a backup takes the token whose hash is in NOTES_BACKUP_TOKEN: Authorization: Bearer TOKEN")
		}
	}
	return nil
}

// send makes a backup and sends it whole: parts of two copies would not make one, so a Range is not heeded. A copy that
// does not come whole is cut off before its Content-Length, which clients see.
func (o *operator) send(c echo.Context) error {
	ctx, start := c.Request().Context(), time.Now()
	backup, err := o.file.Backup(ctx)
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
	if err != nil {
		o.log.WarnContext(ctx, "a backup was cut off", "bytes", sent, "of", info.Size(), "error", err)
		return nil // net/http closes the connection
	}
	o.log.InfoContext(ctx, "backup", "bytes", sent, "took_us", time.Since(start).Microseconds())
	return nil
}

// serve begins to serve an address, until it is stopped.
func (o *operator) serve(ctx context.Context, addr string) (url string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, listenError("NOTES_ADMIN_ADDR", addr, err)
	}
	o.addr = listener.Addr().String()
	server := &http.Server{Handler: o.handler(), DisableGeneralOptionsHandler: true, ReadHeaderTimeout: headerTimeout,
		ReadTimeout: readTimeout, WriteTimeout: backupWithin, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelDebug)}
	go func() { _ = server.Serve(listener) }() // which ends with an error always
	return "http://" + reachable(o.addr), server.Close, nil
}
