package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

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
	s := &server{listener: l, tls: cfg.HTTPTLSConfig.Enabled(), grace: cfg.GracefulShutdownTimeout}
	s.http = &http.Server{
		Handler: a.api.Handler(), ReadHeaderTimeout: headerTimeout(cfg), ReadTimeout: cfg.HTTPServerReadTimeout,
		WriteTimeout: cfg.HTTPServerWriteTimeout, IdleTimeout: cfg.HTTPServerIdleTimeout, MaxHeaderBytes: 1 << 20,
		ErrorLog: slog.NewLogLogger(a.logger.With("component", "http").Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(a.api.CloseTails)
	if s.tls {
		if s.http.TLSConfig, err = tlsConfig(cfg.HTTPTLSConfig); err != nil {
			_ = l.Close() // it was never used
			return nil, err
		}
	}
	return s, nil
}

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

var clientAuth = map[string]tls.ClientAuthType{
	"": tls.NoClientCert, "NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
	"RequireAnyClientCert": tls.RequireAnyClientCert, "VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven,
	"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

func tlsConfig(c config.ServerTLS) (*tls.Config, error) {
	cert, err := pemOf(c.Cert, c.CertFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the TLS certificate: %w", err)
	}
	key, err := pemOf(c.Key, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the TLS key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the TLS certificate: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: clientAuth[c.ClientAuthType]}
	ca, err := pemOf(c.ClientCA, c.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the TLS client authorities: %w", err)
	}
	if len(ca) > 0 {
		out.ClientCAs = x509.NewCertPool()
		if !out.ClientCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("cannot use the TLS client authorities: no certificate in PEM form")
		}
	}
	return out, nil
}

func pemOf(text, file string) ([]byte, error) {
	if file == "" {
		return []byte(text), nil
	}
	return os.ReadFile(file)
}
