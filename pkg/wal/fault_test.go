package wal

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
)

// faultFS is the real file system with a disk that can be full and calls that can fail.
type faultFS struct {
	FS
	mu sync.Mutex
	// free is the number of bytes that can still be written; negative: no end.
	free int64
	// failTruncate, failSync and failCreate make those calls fail.
	failTruncate, failSync, failCreate bool
	writes                             atomic.Int64
	// gate, if not nil, is received from before each write.
	gate chan struct{}
}

var errInjected = errors.New("injected failure")

func newFaultFS() *faultFS { return &faultFS{FS: OS, free: -1} }

func (f *faultFS) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faultFS) Create(name string) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failCreate {
		return nil, errInjected
	}
	if f.free == 0 {
		return nil, &errPath{syscall.ENOSPC}
	}
	file, err := f.FS.Create(name)
	return &faultFile{File: file, fs: f}, err
}

type errPath struct{ error }

func (e *errPath) Unwrap() error { return e.error }

type faultFile struct {
	File
	fs *faultFS
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.gate != nil {
		<-f.fs.gate
	}
	f.fs.writes.Add(1)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.free < 0 || int64(len(p)) <= f.fs.free {
		if f.fs.free >= 0 {
			f.fs.free -= int64(len(p))
		}
		return f.File.WriteAt(p, off)
	}
	n, err := f.File.WriteAt(p[:f.fs.free], off)
	f.fs.free = 0
	if err != nil {
		return n, err
	}
	return n, syscall.ENOSPC
}

func (f *faultFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.failTruncate {
		return errInjected
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.failSync {
		return errInjected
	}
	return f.File.Sync()
}
