package app

import (
	"fmt"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb/fileutil"
)

// lockLog takes the folder of the write-ahead log until the process ends: two processes in one would mix their records and
// drop each other's.
func (a *App) lockLog() error {
	if !a.cfg.Ingester.WAL.Enabled {
		return nil
	}
	dir := a.cfg.Ingester.WAL.Dir
	lock, _, err := fileutil.Flock(filepath.Join(dir, "lock"))
	if err != nil {
		return fmt.Errorf("cannot lock the write-ahead log in %s (ingester.wal.dir), another process may be using it: %w", dir, err)
	}
	a.lock = lock
	return nil
}

// unlockLog lets the next process in; the end of the process does it too.
func (a *App) unlockLog() {
	if a.lock != nil {
		_ = a.lock.Release()
		a.lock = nil
	}
}
