package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Binary returns the path of the logstore binary: $LOGSTORE_BIN, or one built for this test run.
func Binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("LOGSTORE_BIN"); bin != "" {
		return bin
	}
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "logstore-test")
		if err != nil {
			buildErr = err
			return
		}
		built = filepath.Join(dir, "logstore")
		out, err := exec.Command("go", "build", "-o", built, "logstore/cmd/logstore").CombinedOutput()
		if err != nil {
			buildErr = fmt.Errorf("cannot build logstore: %w: %s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return built
}

var (
	buildOnce sync.Once
	built     string
	buildErr  error
)

// Process is a running logstore.
type Process struct {
	// URL is where it serves HTTP.
	URL  string
	Port int
	Dir  string
	// Env holds variables of the process besides those of the test, as "name=value".
	Env []string

	t    testing.TB
	cmd  *exec.Cmd
	args []string
	log  *tail
	done chan error
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("not a TCP address: %v", l.Addr())
	}
	return addr.Port
}

// NewProcess prepares a logstore that works in dir on free ports. Start starts it; it is killed when the test ends.
func NewProcess(t testing.TB, dir string, args ...string) *Process {
	t.Helper()
	port := FreePort(t)
	p := &Process{URL: "http://127.0.0.1:" + strconv.Itoa(port), Port: port, Dir: dir, t: t}
	p.args = append([]string{
		"-server.http-listen-address=127.0.0.1", "-server.http-listen-port=" + strconv.Itoa(port),
		"-server.grpc-listen-address=127.0.0.1", "-server.grpc-listen-port=" + strconv.Itoa(FreePort(t)),
	}, args...)
	t.Cleanup(p.Kill)
	return p
}

// Start starts the process and waits until it is ready.
func (p *Process) Start() {
	p.t.Helper()
	p.Launch()
	p.WaitReady(60 * time.Second)
}

// Launch starts the process without waiting.
func (p *Process) Launch() {
	p.t.Helper()
	p.log = &tail{}
	p.cmd = exec.Command(Binary(p.t), p.args...)
	p.cmd.Dir = p.Dir
	p.cmd.Env = append(append(os.Environ(), "TZ=UTC"), p.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("cannot start logstore: %v", err)
	}
	p.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(p.cmd, p.done)
}

// WaitReady waits until /ready answers 200.
func (p *Process) WaitReady(timeout time.Duration) {
	p.t.Helper()
	deadline := time.Now().Add(timeout)
	last := ""
	for time.Now().Before(deadline) {
		select {
		case err := <-p.done:
			p.done <- err
			p.t.Fatalf("logstore ended before it was ready: %v\n%s", err, p.log)
		default:
		}
		status, body, err := p.Get("/ready")
		if err == nil && status == http.StatusOK {
			return
		}
		last = fmt.Sprint(status, " ", body, " ", err)
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatalf("logstore was not ready within %s: %s\n%s", timeout, last, p.log)
}

// Get fetches a path.
func (p *Process) Get(path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// Kill ends the process at once, as a crash does.
func (p *Process) Kill() { p.signal(syscall.SIGKILL, time.Minute) }

// Stop asks the process to end and waits; it returns how the process ended.
func (p *Process) Stop() error { return p.signal(syscall.SIGTERM, 2*time.Minute) }

func (p *Process) signal(sig syscall.Signal, wait time.Duration) error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case err := <-p.done:
		p.cmd = nil
		return err
	case <-time.After(wait):
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("logstore did not end within %s\n%s", wait, p.log)
	}
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns the end of what the process printed.
func (p *Process) Log() string { return p.log.String() }

// tail keeps the last part of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 256 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.buf, []byte("?"))))
}
