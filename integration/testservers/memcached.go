package testservers

import (
	"net"
	"syscall"
	"testing"
)

// Memcached is a running memcached.
type Memcached struct {
	*Process
	// Address is host:port.
	Address string
}

// StartMemcached starts a server; args are further options, as "-I", "8m".
func StartMemcached(tb testing.TB, args ...string) *Memcached {
	tb.Helper()
	var failed error
	for range 3 {
		m := &Memcached{Address: FreeAddress(tb)}
		_, port, err := net.SplitHostPort(m.Address)
		if err != nil {
			tb.Fatal(err)
		}
		// Run by root, it wants to be told who it is to be.
		m.Process = startProcess(tb, find(tb, "memcached"), nil, append([]string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "nobody", "-m", "64"}, args...)...)
		if failed = m.waitListening(m.Address); failed == nil {
			return m
		}
		m.Kill()
	}
	tb.Fatal(failed)
	return nil
}

// Pause stops the process without ending it; Resume lets it go on.
func (m *Memcached) Pause() error { return m.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a pause.
func (m *Memcached) Resume() error { return m.cmd.Process.Signal(syscall.SIGCONT) }
