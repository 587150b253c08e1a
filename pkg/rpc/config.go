package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"logstore/pkg/trace"
)

// Config has the settings of the server and the pool. Names in comments are Loki's keys.
type Config struct {
	// Server is `server.grpc_*`.
	Server ServerConfig
	// Client is `ingester_client`.
	Client ClientConfig
	// Cluster (memberlist.cluster_label) is sent with every call; a server with another one refuses.
	Cluster string
	// Secret (logstore.auth.cluster_secret) is sent with every call; a server with another one refuses. Empty: none is wanted.
	Secret string
	// Tracer begins the spans of calls that come in; nil begins none.
	Tracer *trace.Tracer
	// MaxMessage bounds a message that is put together from frames.
	MaxMessage int
}

// ServerConfig has the settings of the server.
type ServerConfig struct {
	// ConnLimit (grpc_listen_conn_limit) bounds the connections; 0 does not.
	ConnLimit int
	// MaxRecv and MaxSend (grpc_server_max_recv_msg_size, ..._send_...) bound a frame.
	MaxRecv, MaxSend int
	// MaxStreams (grpc_server_max_concurrent_streams) bounds the calls under way on one connection; more wait.
	MaxStreams int
	// KeepaliveTime and KeepaliveTimeout find dead clients; MinPing and PingWithoutStream say which pings are too many.
	KeepaliveTime, KeepaliveTimeout, MinPing time.Duration
	PingWithoutStream                        bool
	// Grace bounds how long calls under way may take once the server is to end.
	Grace time.Duration
	// TLS is nil for plain text.
	TLS *tls.Config
}

// ClientConfig has the settings of the pool.
type ClientConfig struct {
	// MaxRecv and MaxSend (grpc_client_config) bound a frame.
	MaxRecv, MaxSend int
	// Compression (grpc_compression) is "", "gzip" or "snappy".
	Compression string
	// ConnectTimeout bounds one attempt to connect.
	ConnectTimeout time.Duration
	// HealthCheck (pool_config.health_check_ingesters) pings all peers every PingPeriod; those that are down are pinged in
	// any case. A ping must be answered within PingTimeout (pool_config.remote_timeout).
	HealthCheck             bool
	PingPeriod, PingTimeout time.Duration
	// Cleanup (pool_config.client_cleanup_period) is the time between two looks for forgotten members.
	Cleanup time.Duration
	// TLS is nil for plain text.
	TLS *tls.Config
}

// DefaultConfig has Loki's defaults.
var DefaultConfig = Config{
	Server: ServerConfig{
		MaxRecv: 4 << 20, MaxSend: 4 << 20, MaxStreams: 100, KeepaliveTime: 2 * time.Hour, KeepaliveTimeout: 20 * time.Second,
		MinPing: 10 * time.Second, PingWithoutStream: true, Grace: 30 * time.Second,
	},
	Client: ClientConfig{
		MaxRecv: 100 << 20, MaxSend: 100 << 20, ConnectTimeout: 5 * time.Second, HealthCheck: true,
		PingPeriod: time.Second, PingTimeout: time.Second, Cleanup: 15 * time.Second,
	},
	MaxMessage: 1 << 30,
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []int{c.Server.MaxRecv, c.Server.MaxSend, c.Client.MaxRecv, c.Client.MaxSend} {
		if n < 1<<10 {
			errs = append(errs, errors.New("message sizes of gRPC must be at least 1024 bytes"))
			break
		}
	}
	if c.Client.PingPeriod <= 0 || c.Client.PingTimeout <= 0 || c.Client.Cleanup <= 0 || c.MaxMessage <= 0 {
		errs = append(errs, errors.New("periods and time-outs of the member pool must be positive"))
	}
	switch c.Client.Compression {
	case "", "gzip", "snappy":
	default:
		errs = append(errs, errors.New("grpc_compression must be empty, gzip or snappy"))
	}
	return errors.Join(errs...)
}

// request begins the span of a call that comes in. Only its caller begins a trace, or the pings would.
func (c Config) request(ctx context.Context, name, parent string) (context.Context, *trace.Span) {
	if parent == "" {
		return ctx, nil
	}
	return c.Tracer.Request(ctx, "member "+name, parent, "")
}

// frameSize is the largest frame that this member sends, with room for what gRPC adds.
func (c Config) frameSize() int {
	return min(maxFrame, c.Server.MaxRecv, c.Server.MaxSend, c.Client.MaxRecv, c.Client.MaxSend) - 64
}

// maxFrame bounds frames whatever the configuration allows, so that calls that share a connection take turns.
const maxFrame = 1 << 20
