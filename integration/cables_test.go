package integration

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ownNetwork names the test that runs in a network of its own.
const ownNetwork = "LOGSTORE_TEST_NETWORK"

// mayLayCables reports whether the test may lay cables, because it runs in a network of its own. If it does not, the test is run
// once more, as a process in one, and the caller has nothing left to do. Nothing of it stays on the machine.
func mayLayCables(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetwork) == t.Name() {
		return true
	}
	for _, program := range []string{"ip", "nsenter", "unshare"} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, "scripts/install-test-tools.sh installs it")
	}
	limit := 10 * time.Minute
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) - 5*time.Second
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout="+limit.String())
	cmd.Env = append(os.Environ(), ownNetwork+"="+t.Name(), "LOGSTORE_BIN="+Binary(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // the system kills the process when the thread that started it ends
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Logf("this machine lets nobody have a network of his own (%v); package ring's own tests split one that is made of Go", err)
		return false
	}
	require.NoError(t, err, string(out))
	t.Logf("in a network of its own:\n%s", out)
	return false
}

// gatewayIP is this process's address in its own network; members are those beside it.
const gatewayIP = "10.77.0.254"

// cables is a network in which each member is a machine of its own, with one cable to this process, which passes packets on.
type cables struct {
	t    testing.TB
	keep map[int]*exec.Cmd // processes that do nothing but keep a machine's network, by the member's number
	cuts []string          // rules by which packets are lost
}

// newCables makes the network of the process ready. Packets are looked at before they are taken, so that also those to this process
// can be lost.
func newCables(t testing.TB) *cables {
	t.Helper()
	c := &cables{t: t, keep: map[int]*exec.Cmd{}}
	c.ip("link set lo up")
	c.ip("addr add " + gatewayIP + "/32 dev lo")
	c.ip("rule add pref 200 lookup local")
	c.ip("rule del pref 0")
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600))
	return c
}

func (c *cables) ip(args string) {
	c.t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	require.NoError(c.t, err, "ip %s: %s", args, out)
}

func machineIP(n int) string { return "10.77.0." + strconv.Itoa(n) }

// plug gives member n a machine, and returns the command by which a program runs there.
func (c *cables) plug(n int) []string {
	c.t.Helper()
	keep := exec.Command("unshare", "--net", "sleep", "infinity")
	keep.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := keep.Start()
		started <- err
		if err == nil {
			_ = keep.Wait() // it was killed
		}
	}()
	require.NoError(c.t, <-started)
	c.t.Cleanup(func() { _ = keep.Process.Kill() })
	c.keep[n] = keep
	pid := strconv.Itoa(keep.Process.Pid)
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(c.t, err)
	require.Eventually(c.t, func() bool {
		its, err := os.Readlink("/proc/" + pid + "/ns/net")
		return err == nil && its != own
	}, 10*time.Second, 5*time.Millisecond)
	there := []string{"nsenter", "--net=/proc/" + pid + "/ns/net", "--"}
	name, ip := "member"+strconv.Itoa(n), machineIP(n)
	c.ip("link add " + name + " type veth peer name eth0 netns " + pid)
	c.ip("link set " + name + " up")
	c.ip("route add " + ip + "/32 dev " + name + " src " + gatewayIP)
	for _, line := range []string{
		"link set lo up", "addr add " + ip + "/32 dev eth0", "link set eth0 up", "route add " + gatewayIP + " dev eth0", "route add default via " + gatewayIP,
	} {
		cmd := append(append(there[1:], "ip"), strings.Fields(line)...)
		out, err := exec.Command(there[0], cmd...).CombinedOutput()
		require.NoError(c.t, err, "%s: %s", line, out)
	}
	return there
}

// cut loses all packets between two machines, silently, as a switch does that has no power.
func (c *cables) cut(a, b string) {
	c.t.Helper()
	for _, way := range []string{"from " + a + " to " + b, "from " + b + " to " + a} {
		c.ip("rule add pref 100 " + way + " blackhole")
		c.cuts = append(c.cuts, "pref 100 "+way)
	}
}

// isolate cuts a member off from the others and from everything else. This process still sends to it, but hears nothing.
func (c *cables) isolate(n int) {
	c.t.Helper()
	for other := range c.keep {
		if other != n {
			c.cut(machineIP(n), machineIP(other))
		}
	}
	rule := "pref 100 from " + machineIP(n) + " to " + gatewayIP
	c.ip("rule add " + rule + " blackhole")
	c.cuts = append(c.cuts, rule)
}

// split cuts every member of one side off from every one of the other.
func (c *cables) split(one, other []int) {
	c.t.Helper()
	for _, a := range one {
		for _, b := range other {
			c.cut(machineIP(a), machineIP(b))
		}
	}
}

// mend undoes all cuts.
func (c *cables) mend() {
	c.t.Helper()
	for _, rule := range c.cuts {
		c.ip("rule del " + rule + " blackhole")
	}
	c.cuts = nil
}

// serve makes a server that listens on this process's loopback interface reachable for the members, and returns under which address.
func (c *cables) serve(server string) string {
	c.t.Helper()
	l, err := net.Listen("tcp", gatewayIP+":0")
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = l.Close() }) // connections end with the members
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, server)
		}
	}()
	return l.Addr().String()
}

// relay copies between a connection and one to the server.
func relay(conn net.Conn, server string) {
	defer func() { _ = conn.Close() }()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go pass(up, conn)
	go pass(conn, up)
	<-done
}
