package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/portable-notes/notes/bolt"
)

// backupWithin is how long a client may take for a backup: until then the file cannot use pages of it again.
const backupWithin = 30 * time.Minute

// admin serves what is for the operator alone, on an address of its own: /metrics, and where only this machine reaches that
// address /backup, a copy of the notes file, which holds everybody's notes.
func admin(listener net.Listener, f *figures, file *bolt.Store, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		f.write(w)
	})
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case file == nil:
			http.Error(w, "the notes are in DynamoDB, which makes backups of its own", http.StatusNotFound)
		case !loopback(listener.Addr().String()) || !loopback(withPort(r.Host)):
			// A name could be another's, whose page a browser on this machine has open (DNS rebinding).
			http.Error(w, "a backup is given only on 127.0.0.1 or another loopback address: set NOTES_ADMIN_ADDR to one", http.StatusForbidden)
		default:
			backup(w, r, file, log)
		}
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: backupWithin, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// withPort is a Host header as an address.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(strings.Trim(host, "[]"), "0")
	}
	return host
}

// backup sends the file. One that does not come whole is cut off before its Content-Length, which clients see.
func backup(w http.ResponseWriter, r *http.Request, file *bolt.Store, log *slog.Logger) {
	start, size := time.Now(), int64(0)
	err := file.Backup(r.Context(), func(n int64) io.Writer {
		size = n
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="notes.db"`)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		return w
	})
	if err != nil {
		log.ErrorContext(r.Context(), "backup", "error", err)
		if size == 0 {
			http.Error(w, "the notes file cannot be read for now", http.StatusServiceUnavailable)
			return
		}
		panic(http.ErrAbortHandler)
	}
	log.InfoContext(r.Context(), "backup", "bytes", size, "took_us", time.Since(start).Microseconds())
}

// startAdmin begins to serve the operator's address, until the context ends.
func startAdmin(ctx context.Context, addr string, f *figures, file *bolt.Store, log *slog.Logger) (url string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, listenError("NOTES_ADMIN_ADDR", addr, err)
	}
	server := admin(listener, f, file, log)
	go func() { _ = server.Serve(listener) }() // which ends with an error always
	return "http://" + reachable(listener.Addr().String()), server.Close, nil
}
