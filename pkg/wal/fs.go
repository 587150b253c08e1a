package wal

import (
	"io"
	"os"
	"path/filepath"
)

// FS is the part of a file system that a log needs. Tests put one that fails in place of OS.
type FS interface {
	// MkdirAll creates the folder and those above it.
	MkdirAll(dir string) error
	// List returns the regular files of the folder.
	List(dir string) ([]FileInfo, error)
	// Open opens a file for reading. It can be read after it was removed, until it is closed.
	Open(name string) (Source, error)
	// Create makes a file for writing; one that exists is emptied.
	Create(name string) (File, error)
	// Truncate cuts a file to size bytes.
	Truncate(name string, size int64) error
	// Remove deletes a file.
	Remove(name string) error
}

// FileInfo is a file's name without its folder, and its size.
type FileInfo struct {
	Name string
	Size int64
}

// Source is a file that is read, from its beginning or anywhere.
type Source interface {
	io.ReadCloser
	io.ReaderAt
}

// File is a segment that is written.
type File interface {
	// WriteAt writes all of p at the offset or returns an error; what a failed call left behind is undefined.
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// OS is the operating system's file system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

func (osFS) List(dir string) ([]FileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var infos []FileInfo
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		infos = append(infos, FileInfo{Name: e.Name(), Size: info.Size()})
	}
	return infos, nil
}

func (osFS) Open(name string) (Source, error) { return os.Open(filepath.Clean(name)) }

func (osFS) Create(name string) (File, error) {
	return os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
}

func (osFS) Truncate(name string, size int64) error { return os.Truncate(name, size) }

func (osFS) Remove(name string) error { return os.Remove(name) }
