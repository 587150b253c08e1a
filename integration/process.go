package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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
	// through is the command, if any, that runs the program: one that replaces itself by it.
	through []string

	t    testing.TB
	cmd  *exec.Cmd
	args []string
	log  *tail
	done chan error
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago. It lies below the ports that the system gives to
// clients, lest a connection take it before the server does.
func FreePort(t testing.TB) int {
	t.Helper()
	const first, end = 10_000, 32_000
	for range 1000 {
		port := first + rand.IntN(end-first)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		_ = l.Close() // it was never used
		return port
	}
	t.Fatalf("no free port between %d and %d", first, end)
	return 0
}

// NewProcess prepares a logstore that works in dir on free ports. Start starts it; it is killed when the test ends.
func NewProcess(t testing.TB, dir string, args ...string) *Process {
	t.Helper()
	p := newProcess(t, dir)
	p.args = append([]string{
		"-server.http-listen-address=127.0.0.1", "-server.http-listen-port=" + strconv.Itoa(p.Port),
		"-server.grpc-listen-address=127.0.0.1", "-server.grpc-listen-port=" + strconv.Itoa(FreePort(t)),
	}, args...)
	return p
}

// newProcess prepares a logstore whose arguments are all given: they must make it listen on Port.
func newProcess(t testing.TB, dir string, args ...string) *Process {
	t.Helper()
	port := FreePort(t)
	p := &Process{URL: "http://127.0.0.1:" + strconv.Itoa(port), Port: port, Dir: dir, t: t, args: args}
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
	command := append(append(slices.Clone(p.through), Binary(p.t)), p.args...)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir = p.Dir
	p.cmd.Env = append(append(os.Environ(), "TZ=UTC"), p.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	p.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) {
		// The system kills the process when the thread that started it ends: that must be when this goroutine does.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}(p.cmd, p.done)
	if err := <-started; err != nil {
		p.cmd = nil
		p.t.Fatalf("cannot start logstore: %v", err)
	}
}

// Wait waits until the process has ended by itself and returns its exit code.
func (p *Process) Wait(timeout time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		code := p.cmd.ProcessState.ExitCode()
		p.cmd = nil
		return code
	case <-time.After(timeout):
		p.t.Fatalf("logstore did not end within %s\n%s", timeout, p.Log())
		return -1
	}
}

// Running reports whether the process was started and has not been stopped.
func (p *Process) Running() bool { return p.cmd != nil }

// PeakMemory returns the most resident memory that the process had, in bytes.
func (p *Process) PeakMemory() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	p.t.Fatalf("no VmHWM in %s", text)
	return 0
}

// Metric returns the sum of a metric's series that hold all of the given pieces of text, as `reason="idle"`.
func (p *Process) Metric(name string, with ...string) float64 {
	p.t.Helper()
	status, body, err := p.Get("/metrics")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("cannot read metrics: %d %v", status, err)
	}
	return sumOf(p.t, body, name, with...)
}

// sumOf adds up a metric in the text of all.
func sumOf(t testing.TB, body, name string, with ...string) float64 {
	t.Helper()
	sum := 0.0
lines:
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		for _, w := range with {
			if !strings.Contains(rest, w) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
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
func (p *Process) Kill() { _ = p.signal(syscall.SIGKILL, time.Minute) }

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
