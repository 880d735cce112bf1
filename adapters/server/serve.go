package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// The bounds of one connection.
const (
	headerTimeout = 5 * time.Second  // for the request line and headers
	readTimeout   = 20 * time.Second // for the whole request: 1 MiB at 50 KiB/s
	writeTimeout  = 60 * time.Second // from the end of the headers to the end of the answer
	idleTimeout   = 2 * time.Minute  // between two requests
	finishTimeout = 5 * time.Second  // for requests that are under way when the listener closes

	// headerLimit is how many bytes a request line and headers may have: API Gateway's quota. net/http adds 4,096 to
	// what it is given (Server.MaxHeaderBytes).
	headerLimit   = 10_240
	netHTTPMargin = 4096
)

var errDraining = errors.New("the server is stopping")

// drain serves a handler so that a stop loses no request.
//
// http.Server.Shutdown closes connections that look idle, also one on which a client has just sent the next request. So
// before that every answer says Connection: close, which clients obey, and new requests are still taken, until no
// connection is open or the time for it is over.
type drain struct {
	handler http.Handler
	on      atomic.Bool

	mu   sync.Mutex
	open map[net.Conn]struct{}
	none chan struct{} // closed when draining and no connection is open
}

func newDrain(handler http.Handler) *drain {
	return &drain{handler: handler, open: map[net.Conn]struct{}{}, none: make(chan struct{})}
}

// refusal is why no more requests are wanted, or nil.
func (d *drain) refusal() error {
	if d.on.Load() {
		return errDraining
	}
	return nil
}

func (d *drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.on.Load() {
		w.Header().Set("Connection", "close")
	}
	d.handler.ServeHTTP(w, r)
}

// closeChunked has the connection closed after each request whose body comes in chunks. One that has a Content-Length
// too may be an attempt to smuggle the next request past a proxy (RFC 9112, section 6.1), and net/http does not show
// it.
func closeChunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) { // of HTTP/1.0, net/http hides the chunks too
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// headerSize is how many bytes the request line and headers had, give or take white space.
func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n") + len("Host: ") + len(r.Host) +
		len("\r\n\r\n")
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// track counts open connections; it is an http.Server.ConnState.
func (d *drain) track(conn net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateNew:
		d.open[conn] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(d.open, conn)
		d.settle()
	}
}

// settle closes none when it is time. The lock is held.
func (d *drain) settle() {
	if d.on.Load() && len(d.open) == 0 {
		select {
		case <-d.none:
		default:
			close(d.none)
		}
	}
}

// serve answers requests until ctx ends, then drains. It returns nil after a clean stop.
func (d *drain) serve(ctx context.Context, listener net.Listener, c config, log *slog.Logger) error {
	server := &http.Server{
		Handler: closeChunked(d),

		DisableGeneralOptionsHandler: true, // it would answer OPTIONS * before the handler
		ConnState:                    d.track,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               headerLimit - netHTTPMargin,
		// clients' faults: broken connections
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, c.connections)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping")
	d.mu.Lock()
	d.on.Store(true)
	d.settle()
	d.mu.Unlock()
	select {
	case <-d.none:
	case <-time.After(c.drain):
	}
	finish, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	err := server.Shutdown(finish)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(errors.New("some requests did not end in time and were cut off"), server.Close())
	}
	log.Info("stopped")
	return err
}
