package certs_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/certs"
	"logstore/pkg/certs/certstest"
)

// handshake connects a client to a server and returns the server's certificate name, the client's and the first failure.
func handshake(server, client *tls.Config) (serverName, clientName string, err error) {
	a, b := net.Pipe()
	// Both may wait for the other to read an alert; in a bubble of synctest this costs no time.
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(time.Second / 2)); err != nil {
			return "", "", err
		}
	}
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		done <- err
		if err == nil {
			_, _ = s.Write([]byte("x"))
		}
		_ = a.Close()
	}()
	if err = c.Handshake(); err == nil {
		_, err = io.ReadFull(c, make([]byte, 1)) // in TLS 1.3 the server's verdict comes after the client's handshake
	}
	_ = b.Close()
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	if err != nil {
		return "", "", err
	}
	if peers := s.ConnectionState().PeerCertificates; len(peers) > 0 {
		clientName = peers[0].Subject.CommonName
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, clientName, nil
}

// TestReload gives new connections the certificate of the file, and the last good one while the file is bad.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ca, other := certstest.NewCA(t, "ca"), certstest.NewCA(t, "other")
		write := func(name string, text []byte) string {
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, text, 0o600))
			return path
		}
		pair := func(a *certstest.CA, name string) {
			cert, key := a.Issue(t, name)
			write("cert", cert)
			write("key", key)
		}
		pair(ca, "first")
		files := certs.Files{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key"), CAFile: write("ca", ca.PEM)}
		reg := prometheus.NewRegistry()
		m, log := certs.NewMetrics(reg), slog.New(slog.DiscardHandler)
		server, err := certs.Server("http", certs.ServerConfig{Files: files, ClientAuth: "RequireAndVerifyClientCert"}, m, log)
		require.NoError(t, err)
		cert, key := ca.Issue(t, "client")
		client, err := certs.Client("client", certs.ClientConfig{Files: certs.Files{Cert: string(cert), Key: string(key), CA: string(ca.PEM)}, ServerName: "localhost"}, m, log)
		require.NoError(t, err)
		f := func(want string, ok bool) {
			t.Helper()
			name, who, err := handshake(server, client)
			if !ok {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, want, name)
			require.Equal(t, "client", who)
		}
		good := func(want float64) {
			t.Helper()
			families, err := reg.Gather()
			require.NoError(t, err)
			for _, family := range families {
				if family.GetName() == "logstore_tls_last_reload_successful" {
					require.Equal(t, want, family.GetMetric()[1].GetGauge().GetValue(), family.GetMetric()[1].String())
				}
			}
		}
		f("first", true)
		pair(ca, "second")
		f("first", true) // nobody looks twice within a second
		time.Sleep(time.Second)
		f("second", true)
		good(1)
		cert, _ = ca.Issue(t, "third")
		write("cert", cert) // not its key yet
		time.Sleep(time.Second)
		f("second", true)
		good(0)
		require.NoError(t, os.Remove(filepath.Join(dir, "key")))
		time.Sleep(time.Second)
		f("second", true)
		pair(ca, "fourth")
		time.Sleep(time.Second)
		f("fourth", true)
		good(1)
		write("ca", other.PEM) // the client's authority is gone
		time.Sleep(time.Second)
		f("", false)
	})
}

func TestServer(t *testing.T) { synctest.Test(t, testServer) }

func testServer(t *testing.T) {
	ca, other := certstest.NewCA(t, "ca"), certstest.NewCA(t, "other")
	cert, key := ca.Issue(t, "server")
	m, log := certs.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler)
	server := func(change func(*certs.ServerConfig)) *tls.Config {
		t.Helper()
		c := certs.ServerConfig{Files: certs.Files{Cert: string(cert), Key: string(key)}}
		change(&c)
		out, err := certs.Server("x", c, m, log)
		require.NoError(t, err)
		return out
	}
	client := func(change func(*tls.Config)) *tls.Config {
		c := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
		change(c)
		return c
	}
	f := func(s, c *tls.Config, ok bool) {
		t.Helper()
		_, _, err := handshake(s, c)
		require.Equal(t, ok, err == nil, "%v", err)
	}
	plain := func(*certs.ServerConfig) {}
	same := func(*tls.Config) {}
	f(server(plain), client(same), true)
	f(server(plain), client(func(c *tls.Config) { c.RootCAs = other.Pool() }), false)
	f(server(plain), client(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }), false)
	f(server(func(c *certs.ServerConfig) { c.MinVersion = "VersionTLS13" }), client(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), false)
	suite := func(c *certs.ServerConfig) { c.CipherSuites = []string{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"} }
	f(server(suite), client(func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	}), true)
	f(server(suite), client(func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	}), false)
	verify := func(c *certs.ServerConfig) { c.ClientAuth, c.CA = "RequireAndVerifyClientCert", string(ca.PEM) }
	f(server(verify), client(same), false)
	f(server(verify), client(func(c *tls.Config) { c.Certificates = []tls.Certificate{ca.Pair(t, "client")} }), true)
	f(server(verify), client(func(c *tls.Config) { c.Certificates = []tls.Certificate{other.Pair(t, "client")} }), false)

	for _, c := range []certs.ServerConfig{
		{}, {Files: certs.Files{Cert: string(cert)}}, {Files: certs.Files{Cert: string(cert), KeyFile: "nowhere"}},
		{Files: certs.Files{Cert: string(cert), Key: string(key), CA: "x"}},
		{Files: certs.Files{Cert: string(cert), Key: string(key)}, ClientAuth: "x"},
		{Files: certs.Files{Cert: string(cert), Key: string(key)}, MinVersion: "x"},
		{Files: certs.Files{Cert: string(cert), Key: string(key)}, CipherSuites: []string{"x"}},
	} {
		_, err := certs.Server("x", c, m, log)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "PRIVATE")
	}
}
