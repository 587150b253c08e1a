package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"

	"logstore/pkg/config"
)

// server is the HTTP server on its port.
type server struct {
	http     *http.Server
	listener net.Listener
	tls      bool
	grace    time.Duration
}

// listen takes the port, so that a taken one is an error at once.
func (a *App) listen() (*server, error) {
	cfg := a.cfg.Server
	addr := net.JoinHostPort(cfg.HTTPListenAddress, strconv.Itoa(cfg.HTTPListenPort))
	l, err := net.Listen(cfg.HTTPListenNetwork, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for HTTP on %s (server.http_listen_address, server.http_listen_port): %w", addr, err)
	}
	if cfg.HTTPListenConnLimit > 0 {
		// More connections wait until one of these ends, as in Loki.
		l = netutil.LimitListener(l, cfg.HTTPListenConnLimit)
	}
	s := &server{listener: l, tls: cfg.HTTPTLSConfig.Enabled(), grace: cfg.GracefulShutdownTimeout}
	s.http = &http.Server{
		Handler: a.api.Handler(), ReadHeaderTimeout: headerTimeout(cfg), ReadTimeout: cfg.HTTPServerReadTimeout,
		WriteTimeout: cfg.HTTPServerWriteTimeout, IdleTimeout: cfg.HTTPServerIdleTimeout, MaxHeaderBytes: maxHeader,
		HTTP2:    &http.HTTP2Config{WriteByteTimeout: cfg.HTTPServerWriteTimeout, SendPingTimeout: http2Ping},
		ErrorLog: slog.NewLogLogger(a.logger.With("component", "http").Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(a.api.CloseTails)
	if s.tls {
		if s.http.TLSConfig, err = a.serverTLS("http", cfg.HTTPTLSConfig, "h2", "http/1.1"); err != nil {
			_ = l.Close() // it was never used
			return nil, err
		}
	}
	return s, nil
}

const (
	// maxHeader bounds the headers of a request.
	maxHeader = 1 << 20
	// http2Ping is the time after which a silent client of HTTP/2 is asked whether it is there.
	http2Ping = 30 * time.Second
)

// headerTimeout bounds how long a client may take to send its headers, so that slow clients cannot hold connections.
func headerTimeout(cfg config.Server) time.Duration {
	if cfg.HTTPServerHeaderTimeout > 0 {
		return cfg.HTTPServerHeaderTimeout
	}
	return 30 * time.Second
}

func (s *server) addr() string { return s.listener.Addr().String() }

// run serves until ctx ends and lets requests under way finish within the grace period.
func (s *server) run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		if s.tls {
			done <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		done <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	err := s.http.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // the rest of the stop must not wait for slow clients
	}
	if serve := <-done; !errors.Is(serve, http.ErrServerClosed) {
		err = errors.Join(err, serve)
	}
	return err
}
