package buckets

import (
	promconfig "github.com/prometheus/common/config"

	"logstore/pkg/cache"
	"logstore/pkg/config"
	"logstore/pkg/limits"
)

// Redis says the same in the words of package cache. Without an endpoint it is no Redis.
func Redis(c config.Cache) cache.RedisConfig {
	r := c.Redis
	if r.Endpoint == "" {
		return cache.RedisConfig{}
	}
	out := cache.RedisConfig{
		Endpoint: r.Endpoint, MasterName: r.MasterName, Username: r.Username, Password: r.Password, DB: r.DB,
		TLS: r.TLSEnabled, TLSInsecureSkipVerify: r.TLSInsecureSkipVerify, PoolSize: r.PoolSize, Timeout: r.Timeout,
		IdleTimeout: r.IdleTimeout, MaxConnectionAge: r.MaxConnectionAge, Expiration: r.Expiration, RouteRandomly: r.RouteRandomly,
	}
	if out.Expiration == 0 {
		out.Expiration = c.DefaultValidity
	}
	return out
}

// AlertmanagerHTTP says how Alertmanagers are spoken to, in the words of Prometheus' client.
func AlertmanagerHTTP(c limits.AlertManagerClient) promconfig.HTTPClientConfig {
	out := promconfig.DefaultHTTPClientConfig
	if c.BasicAuthUsername != "" {
		out.BasicAuth = &promconfig.BasicAuth{Username: c.BasicAuthUsername, Password: promconfig.Secret(c.BasicAuthPassword)}
	}
	out.Authorization = Authorization(c.Type, c.Credentials, c.CredentialsFile)
	out.TLSConfig = promconfig.TLSConfig{
		CAFile: c.TLSCAPath, CertFile: c.TLSCertPath, KeyFile: c.TLSKeyPath, ServerName: c.TLSServerName, InsecureSkipVerify: c.TLSInsecureSkipVerify,
	}
	return out
}

// Authorization returns the header of that name, or nil without credentials.
func Authorization(kind, credentials, file string) *promconfig.Authorization {
	if credentials == "" && file == "" {
		return nil
	}
	return &promconfig.Authorization{Type: kind, Credentials: promconfig.Secret(credentials), CredentialsFile: file}
}
