package config

import "time"

// Server is the block `server`: the HTTP and gRPC servers and the log.
type Server struct {
	HTTPListenNetwork        string        `loki:"http_listen_network" allow:"tcp|tcp4|tcp6"`
	HTTPListenAddress        string        `loki:"http_listen_address"`
	HTTPListenPort           int           `loki:"http_listen_port"`
	HTTPListenConnLimit      int           `loki:"http_listen_conn_limit"`
	HTTPPathPrefix           string        `loki:"http_path_prefix"`
	HTTPServerReadTimeout    time.Duration `loki:"http_server_read_timeout"`
	HTTPServerHeaderTimeout  time.Duration `loki:"http_server_read_header_timeout"`
	HTTPServerWriteTimeout   time.Duration `loki:"http_server_write_timeout"`
	HTTPServerIdleTimeout    time.Duration `loki:"http_server_idle_timeout"`
	HTTPTLSConfig            ServerTLS     `loki:"http_tls_config"`
	GRPCListenNetwork        string        `loki:"grpc_listen_network" allow:"tcp|tcp4|tcp6"`
	GRPCListenAddress        string        `loki:"grpc_listen_address"`
	GRPCListenPort           int           `loki:"grpc_listen_port"`
	GRPCListenConnLimit      int           `loki:"grpc_listen_conn_limit"`
	GRPCMaxRecvMsgSize       int           `loki:"grpc_server_max_recv_msg_size,bytes"`
	GRPCMaxSendMsgSize       int           `loki:"grpc_server_max_send_msg_size,bytes"`
	GRPCMaxConcurrentStreams int           `loki:"grpc_server_max_concurrent_streams"`
	GRPCKeepaliveTime        time.Duration `loki:"grpc_server_keepalive_time"`
	GRPCKeepaliveTimeout     time.Duration `loki:"grpc_server_keepalive_timeout"`
	GRPCMinTimeBetweenPings  time.Duration `loki:"grpc_server_min_time_between_pings"`
	GRPCPingWithoutStream    bool          `loki:"grpc_server_ping_without_stream_allowed"`
	GRPCTLSConfig            ServerTLS     `loki:"grpc_tls_config"`
	TLSCipherSuites          []string      `loki:"tls_cipher_suites,list"`
	TLSMinVersion            string        `loki:"tls_min_version" allow:"|VersionTLS10|VersionTLS11|VersionTLS12|VersionTLS13"`
	RegisterInstrumentation  bool          `loki:"register_instrumentation"`
	GracefulShutdownTimeout  time.Duration `loki:"graceful_shutdown_timeout"`
	LogFormat                string        `loki:"log_format" allow:"logfmt|json"`
	LogLevel                 string        `loki:"log_level" allow:"debug|info|warn|error"`
	LogRequestAtInfoLevel    bool          `loki:"log_request_at_info_level_enabled"`
}

// ServerTLS makes a server speak TLS when it has a certificate and a key, from files or as text in PEM form.
type ServerTLS struct {
	Cert           string `loki:"cert"`
	CertFile       string `loki:"cert_file"`
	Key            string `loki:"key,secret"`
	KeyFile        string `loki:"key_file"`
	ClientAuthType string `loki:"client_auth_type" allow:"|NoClientCert|RequestClientCert|RequireAnyClientCert|VerifyClientCertIfGiven|RequireAndVerifyClientCert"`
	ClientCA       string `loki:"client_ca"`
	ClientCAFile   string `loki:"client_ca_file"`
}

// Enabled tells whether the server speaks TLS.
func (t ServerTLS) Enabled() bool {
	return (t.Cert != "" || t.CertFile != "") && (t.Key != "" || t.KeyFile != "")
}

func defaultServer() Server {
	return Server{
		HTTPListenNetwork:        "tcp",
		HTTPListenPort:           3100,
		HTTPServerReadTimeout:    30 * time.Second,
		HTTPServerWriteTimeout:   30 * time.Second,
		HTTPServerIdleTimeout:    2 * time.Minute,
		GRPCListenNetwork:        "tcp",
		GRPCListenPort:           9095,
		GRPCMaxRecvMsgSize:       4 << 20,
		GRPCMaxSendMsgSize:       4 << 20,
		GRPCMaxConcurrentStreams: 100,
		GRPCKeepaliveTime:        2 * time.Hour,
		GRPCKeepaliveTimeout:     20 * time.Second,
		GRPCMinTimeBetweenPings:  10 * time.Second,
		GRPCPingWithoutStream:    true,
		RegisterInstrumentation:  true,
		GracefulShutdownTimeout:  30 * time.Second,
		LogFormat:                "logfmt",
		LogLevel:                 "info",
	}
}
