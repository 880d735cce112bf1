package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// The limits of one connection.
const (
	headerTimeout = 5 * time.Second  // for the request line and headers
	readTimeout   = 20 * time.Second // for the whole request: 1 MiB at 50 KiB/s
	writeTimeout  = 60 * time.Second // from the end of the headers to the end of the answer
	idleTimeout   = 2 * time.Minute  // between two requests
	finishTimeout = 5 * time.Second  // for requests still in progress when the listener closes

	// headerLimit is the maximum size of the request line and headers in bytes. It equals API Gateway's quota
	// (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html).
	headerLimit = 10_240

	netHTTPMargin = 4096 // bytes that net/http allows beyond Server.MaxHeaderBytes
)

var errDraining = errors.New("the server is stopping")

// drainer serves a handler and can stop without losing a request.
//
// http.Server.Shutdown closes connections that look idle, even one on which a client has just sent a request. So a
// drainer first answers every request with Connection: close, which makes clients close, and calls Shutdown once no
// connection is open or config.drain has passed.
type drainer struct {
	handler  http.Handler
	draining atomic.Bool

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	drained chan struct{} // closed once the drain has begun and no connection is open
}

func newDrainer(handler http.Handler) *drainer {
	return &drainer{handler: handler, conns: map[net.Conn]struct{}{}, drained: make(chan struct{})}
}

// checkDraining returns errDraining once the drain has begun, else nil.
func (d *drainer) checkDraining() error {
	if d.draining.Load() {
		return errDraining
	}
	return nil
}

func (d *drainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	d.handler.ServeHTTP(w, r)
}

// closeChunked closes the connection after each request with a chunked body. If such a request also has a
// Content-Length, it may smuggle the next request past a proxy (RFC 9112, section 6.1), and net/http removes that
// header before a handler can see it.
func closeChunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) { // for HTTP/1.0, net/http hides Transfer-Encoding too
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// headerSize returns the size of the request line and headers in bytes, not counting optional white space.
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

// track keeps account of open connections. It is an http.Server.ConnState.
func (d *drainer) track(conn net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateNew:
		d.conns[conn] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(d.conns, conn)
		d.signalDrained()
	}
}

// signalDrained closes d.drained if the drain has begun and no connection is open. The caller holds d.mu.
func (d *drainer) signalDrained() {
	if d.draining.Load() && len(d.conns) == 0 {
		select {
		case <-d.drained:
		default:
			close(d.drained)
		}
	}
}

// serve serves requests until ctx ends, then drains. It returns nil after a clean stop.
func (d *drainer) serve(ctx context.Context, listener net.Listener, c config, log *slog.Logger) error {
	server := &http.Server{
		Handler: closeChunked(d),

		DisableGeneralOptionsHandler: true, // it would answer OPTIONS * before the handler
		ConnState:                    d.track,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               headerLimit - netHTTPMargin,
		// these are clients' faults, such as broken connections
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
	d.draining.Store(true)
	d.signalDrained()
	d.mu.Unlock()
	select {
	case <-d.drained:
	case <-time.After(c.drain):
	}
	finish, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	err := server.Shutdown(finish)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(fmt.Errorf("some requests did not finish within %v and were cut off", finishTimeout),
			server.Close())
	}
	log.Info("stopped")
	return err
}
