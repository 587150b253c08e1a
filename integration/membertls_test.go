package integration

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memberTLS are the arguments that make members gossip and call each other over TLS, both sides showing certificates of a folder.
func memberTLS(dir string) []string {
	cert, key, ca := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	return []string{
		"-memberlist.tls-enabled=true", "-memberlist.tls-cert-path=" + cert, "-memberlist.tls-key-path=" + key,
		"-memberlist.tls-ca-path=" + ca, "-memberlist.tls-server-name=loki",
		"-server.grpc-tls-cert-path=" + cert, "-server.grpc-tls-key-path=" + key, "-server.grpc-tls-ca-path=" + ca,
		"-server.grpc-tls-client-auth=RequireAndVerifyClientCert",
		"-ingester.client.tls-enabled=true", "-ingester.client.tls-cert-path=" + cert, "-ingester.client.tls-key-path=" + key,
		"-ingester.client.tls-ca-path=" + ca, "-ingester.client.tls-server-name=loki",
	}
}

// TestMembersOverTLS has members gossip, push and query over TLS. Who has no certificate, or one of another authority, is not let in,
// neither to the gossip nor to the calls.
func TestMembersOverTLS(t *testing.T) {
	own, strange := t.TempDir(), t.TempDir()
	newAuthority(t).issue(t, own, "loki")
	newAuthority(t).issue(t, strange, "loki")
	c := NewCluster(t, 2, memberTLS(own)...)
	l := startLoad("crash", 2, c.URLs())
	time.Sleep(time.Second)
	l.end()
	require.Zero(t, l.lost.Load())
	for _, p := range c.Members {
		require.Zero(t, p.Metric("logstore_distributor_degraded_writes_total"), "each line has two copies")
		l.w.check(t, p.URL)
	}
	for _, port := range []int{c.grpc, c.gossip} {
		address := net.JoinHostPort(c.net+"1", fmt.Sprint(port))
		require.Error(t, shake(t, address, ""), "no certificate")
		require.Error(t, shake(t, address, strange), "a stranger's certificate")
		require.NoError(t, shake(t, address, own))
	}
	// A member that gossips in the clear stays outside.
	c.args = nil
	plain := c.Add()
	plain.Launch()
	time.Sleep(3 * time.Second)
	require.Equal(t, 2, c.active(c.Members[0]))
}

// shake does a TLS handshake with the certificate of a folder, if any, and waits whether the server lets the connection live.
func shake(t *testing.T, address, dir string) error {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	if dir != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		require.NoError(t, err)
		cfg.Certificates = []tls.Certificate{pair}
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	// With TLS 1.3 the client learns only now what the server thinks of its certificate. A server of gRPC speaks first.
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
