package testservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisPassword is the password of the servers that want one; it holds what URLs stumble over.
const RedisPassword = "p@ss:w/rd%"

// Redis is a running redis-server.
type Redis struct {
	*Process
	// Address is host:port.
	Address string

	args []string
}

// StartRedis starts a server that keeps nothing on disk; args are further options, as "--requirepass", "secret".
func StartRedis(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	var failed error
	for range 3 {
		r := &Redis{Address: FreeAddress(tb), args: args}
		if failed = r.start(tb); failed == nil {
			return r
		}
		r.Kill()
	}
	tb.Fatal(failed)
	return nil
}

func (r *Redis) start(tb testing.TB) error {
	tb.Helper()
	_, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		return err
	}
	args := []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tb.TempDir(), "--enable-debug-command", "yes"}
	if !contains(r.args, "--tls-port") {
		args = append(args, "--port", port)
	}
	for _, a := range r.args {
		args = append(args, strings.ReplaceAll(a, "$PORT", port))
	}
	r.Process = startProcess(tb, redisProgram(tb, "redis-server"), nil, args...)
	return r.waitListening(r.Address)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// Restart starts a killed server again on its address, empty.
func (r *Redis) Restart(tb testing.TB) {
	tb.Helper()
	if err := r.start(tb); err != nil {
		tb.Fatal(err)
	}
}

// Pause stops the process without ending it: it takes connections and answers nothing. Resume lets it go on.
func (r *Redis) Pause() error { return r.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a pause.
func (r *Redis) Resume() error { return r.cmd.Process.Signal(syscall.SIGCONT) }

// CLI runs a command by redis-cli and returns what it prints.
func (r *Redis) CLI(tb testing.TB, args ...string) string {
	tb.Helper()
	_, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(redisProgram(tb, "redis-cli"), append([]string{"-p", port}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// waitListening returns nil as soon as somebody listens at the address.
func (p *Process) waitListening(address string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended at once:\n%s", p.cmd.Path, p.Output())
		default:
		}
	}
	return fmt.Errorf("%s is not ready after %s:\n%s", p.cmd.Path, startTimeout, p.Output())
}

// StartRedisTLS starts a server that speaks TLS only, with a certificate that nobody has signed.
func StartRedisTLS(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	cert, key := selfSigned(tb)
	return StartRedis(tb, append([]string{
		"--port", "0", "--tls-port", "$PORT", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no",
	}, args...)...)
}

// StartRedisCluster starts three nodes that share the slots.
func StartRedisCluster(tb testing.TB) []*Redis {
	tb.Helper()
	var nodes []*Redis
	args := []string{"--cluster", "create"}
	for range 3 {
		bus := FreeAddress(tb)
		_, port, err := net.SplitHostPort(bus)
		if err != nil {
			tb.Fatal(err)
		}
		n := StartRedis(tb, "--cluster-enabled", "yes", "--cluster-port", port, "--cluster-node-timeout", "2000")
		nodes = append(nodes, n)
		args = append(args, n.Address)
	}
	cmd := exec.Command(redisProgram(tb, "redis-cli"), append(args, "--cluster-yes")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("cannot make a cluster: %v\n%s", err, out)
	}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		ready := 0
		for _, n := range nodes {
			if strings.Contains(n.CLI(tb, "cluster", "info"), "cluster_state:ok") {
				ready++
			}
		}
		if ready == len(nodes) {
			return nodes
		}
		if time.Now().After(deadline) {
			tb.Fatal("the cluster does not get ready")
		}
	}
}

// SentinelMaster is the name of the group that StartRedisSentinels watches.
const SentinelMaster = "logs"

// StartRedisSentinels starts a master, a replica of it, and three sentinels that fail over after a second.
func StartRedisSentinels(tb testing.TB) (master, replica *Redis, sentinels []*Redis) {
	tb.Helper()
	master = StartRedis(tb)
	host, port, err := net.SplitHostPort(master.Address)
	if err != nil {
		tb.Fatal(err)
	}
	replica = StartRedis(tb, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	for range 3 {
		// A sentinel rewrites its file.
		file := filepath.Join(tb.TempDir(), "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor %s %s %s 2\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 5000\n",
			SentinelMaster, host, port)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		s := &Redis{Address: FreeAddress(tb)}
		_, sentinelPort, err := net.SplitHostPort(s.Address)
		if err != nil {
			tb.Fatal(err)
		}
		s.Process = startProcess(tb, redisProgram(tb, "redis-server"), nil, file, "--sentinel", "--bind", "127.0.0.1", "--port", sentinelPort)
		if err := s.waitListening(s.Address); err != nil {
			tb.Fatal(err)
		}
		sentinels = append(sentinels, s)
	}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		info := sentinels[0].CLI(tb, "sentinel", "master", SentinelMaster)
		if strings.Contains(info, "num-slaves\n1") && strings.Contains(info, "num-other-sentinels\n2") {
			return master, replica, sentinels
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the sentinels do not find each other:\n%s", info)
		}
	}
}

// Addresses returns those of the servers, separated by commas.
func Addresses(servers []*Redis) string {
	var list []string
	for _, s := range servers {
		list = append(list, s.Address)
	}
	return strings.Join(list, ",")
}

// redisProgram returns the path of a program of Debian's redis package.
func redisProgram(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("there is no %s: run scripts/install-test-tools.sh", name)
	}
	return path
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(tb testing.TB) (certFile, keyFile string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "redis " + strconv.Itoa(os.Getpid())},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return certFile, keyFile
}
