package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/notes/bolt"
)

// backupWithin is how long a client may take for a backup.
const backupWithin = 30 * time.Minute

// operator serves what is for the operator alone, on an address of its own: /metrics, and where only this machine reaches that
// address /backup, a copy of the notes file, which holds everybody's notes.
type operator struct {
	figures *figures
	file    *bolt.Store      // nil where the notes are in a table
	backup  app.Authenticate // who may have a copy
	guarded bool             // the notes are not everybody's, so a copy is not either
	addr    string
	log     *slog.Logger
	copying sync.Mutex // one at a time: each takes as much room as the file
}

func (o *operator) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		o.figures.write(w)
	})
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		if status, why := o.refusal(r); why != "" {
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="backup"`)
			}
			http.Error(w, why, status)
			return
		}
		if !o.copying.TryLock() {
			http.Error(w, "another backup is on its way: ask again when it is done", http.StatusConflict)
			return
		}
		defer o.copying.Unlock()
		o.send(w, r)
	})
	return mux
}

// refusal tells why a client may have no backup; "" where it may.
func (o *operator) refusal(r *http.Request) (status int, why string) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case o.file == nil:
		return http.StatusNotFound, "the notes are in DynamoDB, which makes backups of its own"
	case !loopback(o.addr) || !loopback(r.Host) || r.Header.Get("Origin") != "" || site != "" && site != "none":
		// A name could be another's, whose page a browser on this machine has open (DNS rebinding).
		return http.StatusForbidden, "a backup is given only on a loopback address, such as NOTES_ADMIN_ADDR=127.0.0.1:9090, and to no page of a browser"
	case o.guarded && o.backup == nil:
		return http.StatusForbidden, "a backup holds everybody's notes: set NOTES_BACKUP_TOKEN to say who may have it"
	case o.backup != nil:
		if _, err := o.backup(r.Context(), bearer); err != nil || !strings.EqualFold(scheme, "Bearer") {
			return http.StatusUnauthorized, "a backup takes the token whose hash is in NOTES_BACKUP_TOKEN: Authorization: Bearer TOKEN"
		}
	}
	return 0, ""
}

// send makes a backup and sends it. One that does not come whole is cut off before its Content-Length, which clients see.
func (o *operator) send(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	backup, err := o.file.Backup(r.Context())
	if err != nil {
		o.log.ErrorContext(r.Context(), "no backup", "error", err)
		http.Error(w, "a backup cannot be made for now; the log says why", http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = backup.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="notes.db"`)
	http.ServeContent(w, r, "", time.Time{}, backup)
	o.log.InfoContext(r.Context(), "backup", "took_us", time.Since(start).Microseconds())
}

// serve begins to serve an address, until it is stopped.
func (o *operator) serve(ctx context.Context, addr string) (url string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, listenError("NOTES_ADMIN_ADDR", addr, err)
	}
	o.addr = listener.Addr().String()
	server := &http.Server{Handler: o.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: backupWithin, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelDebug)}
	go func() { _ = server.Serve(listener) }() // which ends with an error always
	return "http://" + reachable(o.addr), server.Close, nil
}
