package testservers

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

const startTimeout = 30 * time.Second

// Process is a server that runs for one test.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	output lockedBuffer
}

// startProcess starts the program and has it killed at the test's end. The goroutine that starts it stays on its thread
// until it has ended, since the system ends the process with that thread: a test that dies leaves no server behind.
func startProcess(tb testing.TB, path string, env []string, args ...string) *Process {
	tb.Helper()
	p := &Process{cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	dieWithParent(p.cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(p.exited)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		tb.Fatalf("cannot start %s: %v", path, err)
	}
	tb.Cleanup(p.Kill)
	return p
}

// Kill ends the process at once and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns what the process has printed so far.
func (p *Process) Output() string { return p.output.String() }

// waitReady returns nil as soon as the URL answers 200, and an error when the process ends before or time runs out.
func (p *Process) waitReady(url string) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if resp, err := client.Get(url); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended at once:\n%s", p.cmd.Path, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s:\n%s", p.cmd.Path, startTimeout, p.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// FreeAddress returns an address of the loopback interface on which nothing listens, below the ports that the system gives
// to clients. Somebody else may take it before it is used; starters try again then.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	const first, end = 10_000, 32_000
	for range 1000 {
		address := "127.0.0.1:" + strconv.Itoa(first+rand.IntN(end-first))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close() // it was never used
			return address
		}
	}
	tb.Fatalf("no free port between %d and %d", first, end)
	return ""
}

// repositoryRoot returns the folder with go.mod above the test's own.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("there is no go.mod above the test's folder")
		}
		dir = parent
	}
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
