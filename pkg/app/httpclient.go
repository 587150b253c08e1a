package app

import (
	"net/url"

	promconfig "github.com/prometheus/common/config"

	"logstore/pkg/config"
	"logstore/pkg/limits"
)

// alertmanagerHTTP says how Alertmanagers are spoken to, in the words of Prometheus' client.
func alertmanagerHTTP(c limits.AlertManagerClient) promconfig.HTTPClientConfig {
	out := promconfig.DefaultHTTPClientConfig
	if c.BasicAuthUsername != "" {
		out.BasicAuth = &promconfig.BasicAuth{Username: c.BasicAuthUsername, Password: promconfig.Secret(c.BasicAuthPassword)}
	}
	out.Authorization = authorization(c.Type, c.Credentials, c.CredentialsFile)
	out.TLSConfig = promconfig.TLSConfig{
		CAFile: c.TLSCAPath, CertFile: c.TLSCertPath, KeyFile: c.TLSKeyPath, ServerName: c.TLSServerName, InsecureSkipVerify: c.TLSInsecureSkipVerify,
	}
	return out
}

// remoteWriteHTTP says how a receiver of samples is spoken to.
func remoteWriteHTTP(c config.RemoteWriteClient) (promconfig.HTTPClientConfig, error) {
	out := promconfig.DefaultHTTPClientConfig
	if b := c.BasicAuth; b.Username != "" {
		out.BasicAuth = &promconfig.BasicAuth{Username: b.Username, Password: promconfig.Secret(b.Password), PasswordFile: b.PasswordFile}
	}
	out.Authorization = authorization(c.Authorization.Type, c.Authorization.Credentials, c.Authorization.CredentialsFile)
	out.BearerToken, out.BearerTokenFile = promconfig.Secret(c.BearerToken), c.BearerTokenFile
	t := c.TLSConfig
	out.TLSConfig = promconfig.TLSConfig{
		CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if c.FollowRedirects != nil {
		out.FollowRedirects = *c.FollowRedirects
	}
	if c.ProxyURL != "" {
		u, err := url.Parse(c.ProxyURL)
		if err != nil {
			return out, err
		}
		out.ProxyURL = promconfig.URL{URL: u}
	}
	return out, nil
}

// authorization returns the header of that name, or nil without credentials.
func authorization(kind, credentials, file string) *promconfig.Authorization {
	if credentials == "" && file == "" {
		return nil
	}
	return &promconfig.Authorization{Type: kind, Credentials: promconfig.Secret(credentials), CredentialsFile: file}
}
