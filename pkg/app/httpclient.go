package app

import (
	"net/url"

	promconfig "github.com/prometheus/common/config"

	"logstore/pkg/buckets"
	"logstore/pkg/config"
)

// remoteWriteHTTP says how a receiver of samples is spoken to.
func remoteWriteHTTP(c config.RemoteWriteClient) (promconfig.HTTPClientConfig, error) {
	out := promconfig.DefaultHTTPClientConfig
	if b := c.BasicAuth; b.Username != "" {
		out.BasicAuth = &promconfig.BasicAuth{Username: b.Username, Password: promconfig.Secret(b.Password), PasswordFile: b.PasswordFile}
	}
	out.Authorization = buckets.Authorization(c.Authorization.Type, c.Authorization.Credentials, c.Authorization.CredentialsFile)
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
