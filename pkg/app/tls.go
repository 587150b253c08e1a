package app

import (
	"crypto/tls"
	"errors"

	"logstore/pkg/certs"
	"logstore/pkg/config"
)

// serverTLS returns how one of the servers speaks TLS; its version and ciphers are those of all servers.
func (a *App) serverTLS(name string, c config.ServerTLS, protocols ...string) (*tls.Config, error) {
	return certs.Server(name, certs.ServerConfig{
		Files:      certs.Files{Cert: c.Cert, CertFile: c.CertFile, Key: c.Key, KeyFile: c.KeyFile, CA: c.ClientCA, CAFile: c.ClientCAFile},
		ClientAuth: c.ClientAuthType, MinVersion: a.cfg.Server.TLSMinVersion, CipherSuites: a.cfg.Server.TLSCipherSuites, Protocols: protocols,
	}, a.certs, a.logger.With("component", "tls"))
}

// clientTLS returns how this member calls others that speak TLS.
func (a *App) clientTLS(name string, c config.GRPCClient) (*tls.Config, error) {
	return certs.Client(name, certs.ClientConfig{
		Files:      certs.Files{CertFile: c.TLSCertPath, KeyFile: c.TLSKeyPath, CAFile: c.TLSCAPath},
		ServerName: c.TLSServerName, Insecure: c.TLSInsecureSkipVerify,
	}, a.certs, a.logger.With("component", "tls"))
}

// gossipTLS makes members show their certificates to each other, both ways if it is said where these come from.
func (a *App) gossipTLS(m *config.Memberlist) (*tls.Config, error) {
	c, err := a.clientTLS("gossip", config.GRPCClient{
		TLSCertPath: m.TLSCertPath, TLSKeyPath: m.TLSKeyPath, TLSCAPath: m.TLSCAPath, TLSServerName: m.TLSServerName,
		TLSInsecureSkipVerify: m.TLSInsecureSkipVerify,
	})
	if err != nil {
		return nil, err
	}
	if c.GetCertificate == nil {
		return nil, errors.New("tls_cert_path and tls_key_path are needed: every member is a server, too")
	}
	if c.RootCAs != nil && !m.TLSInsecureSkipVerify {
		c.ClientCAs, c.ClientAuth = c.RootCAs, tls.RequireAndVerifyClientCert
	}
	if c.MinVersion, err = certs.Version(m.TLSMinVersion); err != nil {
		return nil, err
	}
	c.CipherSuites, err = certs.CipherSuites(m.TLSCipherSuites)
	return c, err
}
