package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
)

// TLSConfig is about certificates.
type TLSConfig struct {
	CAFile, CertFile, KeyFile string
	ServerName                string
	SkipVerify                bool
}

// Load reads the files.
func (t TLSConfig) Load() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.SkipVerify} //nolint:gosec // asked for
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificate authority: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("a client certificate needs both, its file and that of its key")
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// TLSFlags are the flags of certificates, with logcli's names and variables.
type TLSFlags struct{ cfg TLSConfig }

// Register adds the flags to a set.
func (f *TLSFlags) Register(set *flag.FlagSet) {
	*f = TLSFlags{}
	set.StringVar(&f.cfg.CAFile, "ca-cert", "", "`FILE` with the authority that signed the store's certificate; $LOKI_CA_CERT_PATH")
	set.StringVar(&f.cfg.CertFile, "cert", "", "`FILE` with a client certificate; $LOKI_CLIENT_CERT_PATH")
	set.StringVar(&f.cfg.KeyFile, "key", "", "`FILE` with the client certificate's key; $LOKI_CLIENT_KEY_PATH")
	set.StringVar(&f.cfg.ServerName, "tls-server-name", "", "`NAME` that the store's certificate is for, if the address has another")
	set.BoolVar(&f.cfg.SkipVerify, "tls-skip-verify", false, "do not check the store's certificate; $LOKI_TLS_SKIP_VERIFY")
}

// Config returns what the flags say, and the environment where a flag was not given.
func (f *TLSFlags) Config(lookup func(string) (string, bool)) TLSConfig {
	cfg := f.cfg
	for to, name := range map[*string]string{&cfg.CAFile: "LOKI_CA_CERT_PATH", &cfg.CertFile: "LOKI_CLIENT_CERT_PATH", &cfg.KeyFile: "LOKI_CLIENT_KEY_PATH"} {
		if value, ok := lookup(name); ok && *to == "" {
			*to = value
		}
	}
	skip, _ := lookup("LOKI_TLS_SKIP_VERIFY")
	cfg.SkipVerify = cfg.SkipVerify || skip == "true" || skip == "1"
	return cfg
}
