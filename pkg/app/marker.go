package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"logstore/pkg/config"
)

// shutdownMarker is a file that says that the next stop is the last one.
type shutdownMarker struct{ path string }

// markerDir is where the marker lies: its own folder, or that of the process.
func markerDir(cfg *config.Config) string {
	if dir := cfg.Ingester.ShutdownMarkerPath; dir != "" {
		return dir
	}
	return cfg.Common.PathPrefix
}

var errNoMarkerPath = errors.New("no path configured for the shutdown marker: set ingester.shutdown_marker_path or common.path_prefix")

func newShutdownMarker(dir string) shutdownMarker {
	if dir == "" {
		return shutdownMarker{}
	}
	return shutdownMarker{path: filepath.Join(dir, "shutdown-requested.txt")}
}

// Get reports whether the marker is set.
func (m shutdownMarker) Get() (bool, error) {
	if m.path == "" {
		return false, errNoMarkerPath
	}
	_, err := os.Stat(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Set sets or removes the marker.
func (m shutdownMarker) Set(set bool) error {
	if m.path == "" {
		return errNoMarkerPath
	}
	if !set {
		err := os.Remove(m.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(m.path, []byte("1\n"), 0o640)
}
