package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"logstore/pkg/config"
	"logstore/pkg/rpc"
)

// rpcConfig says how members call each other.
func (a *App) rpcConfig() (rpc.Config, error) {
	c, s, m := rpc.DefaultConfig, a.cfg.Server, a.cfg.IngesterClient
	c.Cluster = a.cfg.Memberlist.ClusterLabel
	c.Server = rpc.ServerConfig{
		ConnLimit: s.GRPCListenConnLimit, MaxRecv: s.GRPCMaxRecvMsgSize, MaxSend: s.GRPCMaxSendMsgSize, MaxStreams: s.GRPCMaxConcurrentStreams,
		KeepaliveTime: s.GRPCKeepaliveTime, KeepaliveTimeout: s.GRPCKeepaliveTimeout, MinPing: s.GRPCMinTimeBetweenPings,
		PingWithoutStream: s.GRPCPingWithoutStream, Grace: s.GracefulShutdownTimeout,
	}
	c.Client.MaxRecv, c.Client.MaxSend = m.GRPCClientConfig.MaxRecvMsgSize, m.GRPCClientConfig.MaxSendMsgSize
	c.Client.Compression, c.Client.ConnectTimeout = m.GRPCClientConfig.GRPCCompression, m.GRPCClientConfig.ConnectTimeout
	c.Client.HealthCheck, c.Client.PingTimeout = m.PoolConfig.HealthCheckIngesters, m.PoolConfig.RemoteTimeout
	c.Client.Cleanup = m.PoolConfig.ClientCleanupPeriod
	var err error
	if s.GRPCTLSConfig.Enabled() {
		if c.Server.TLS, err = tlsConfig(s.GRPCTLSConfig); err != nil {
			return c, fmt.Errorf("server.grpc_tls_config: %w", err)
		}
	}
	if m.GRPCClientConfig.TLSEnabled {
		if c.Client.TLS, err = clientTLS(m.GRPCClientConfig); err != nil {
			return c, fmt.Errorf("ingester_client.grpc_client_config: %w", err)
		}
	}
	return c, c.Validate()
}

// clientTLS returns how this member calls others that speak TLS.
func clientTLS(c config.GRPCClient) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLSServerName, InsecureSkipVerify: c.TLSInsecureSkipVerify}
	if c.TLSCertPath != "" || c.TLSKeyPath != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCertPath, c.TLSKeyPath)
		if err != nil {
			return nil, fmt.Errorf("cannot use the TLS certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	ca, err := pemOf("", c.TLSCAPath)
	if err != nil {
		return nil, fmt.Errorf("cannot read the TLS authorities: %w", err)
	}
	if len(ca) > 0 {
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("cannot use the TLS authorities: no certificate in PEM form")
		}
	}
	return out, nil
}

// newRPC builds the server that other members call, and the pool of connections to them.
func (a *App) newRPC() error {
	cfg, err := a.rpcConfig()
	if err != nil {
		return err
	}
	log := a.logger.With("component", "rpc")
	if a.rpcServer, err = rpc.NewServer(cfg, a.registry, log); err != nil {
		return err
	}
	a.peers, err = rpc.NewPool(cfg, a.ring.Self().Addr, a.rpcServer, a.registry, log)
	return err
}

// listenRPC takes the port for the calls of other members.
func (a *App) listenRPC() (net.Listener, error) {
	cfg := a.cfg.Server
	addr := net.JoinHostPort(cfg.GRPCListenAddress, strconv.Itoa(cfg.GRPCListenPort))
	l, err := net.Listen(cfg.GRPCListenNetwork, addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for gRPC on %s (server.grpc_listen_address, server.grpc_listen_port): %w", addr, err)
	}
	return l, nil
}

// memberAddrs returns where the other members listen for calls.
func (a *App) memberAddrs() []string {
	var out []string
	for _, m := range a.ring.Readable(nil) {
		if !m.Self && strings.Contains(m.Addr, ":") {
			out = append(out, m.Addr)
		}
	}
	return out
}
