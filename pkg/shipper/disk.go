package shipper

import (
	"cmp"
	"container/list"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"logstore/pkg/schema"
)

// maxCorruptCopies and maxCorruptFiles are how many files that were set aside are kept for a human: damaged copies can be had
// again from the bucket; files of this process were not there yet.
const (
	maxCorruptCopies = 8
	maxCorruptFiles  = 64
)

// remoteFile is an object of a table. Its state is guarded by copies.mu.
type remoteFile struct {
	object schema.IndexFile
	// where is the path of the copy. It is another one once the copy had to be put on another disk.
	where atomic.Pointer[string]

	// ready is set while the copy is on the disk; busy while it is fetched or evicted.
	ready bool
	busy  *turn
	// gone is set when the object is no part of the table any more.
	gone bool
	// users are the lookups that read the copy.
	users int
	// fetched counts the copies that there were.
	fetched int
	size    int64
	elem    *list.Element
}

func newRemoteFile(object schema.IndexFile, path string) *remoteFile {
	f := &remoteFile{object: object}
	f.where.Store(&path)
	return f
}

func (f *remoteFile) path() string { return *f.where.Load() }

// disk keeps account of the copies. It is guarded by copies.mu.
type disk struct {
	bytes int64
	// idle holds the copies that nobody reads, least recently used first.
	idle *list.List
}

// holdLocked notes that somebody reads a copy.
func (d *disk) holdLocked(f *remoteFile) {
	f.users++
	if f.elem != nil {
		d.idle.Remove(f.elem)
		f.elem = nil
	}
}

// removeLocked notes that a copy is not used any more.
func (d *disk) removeLocked(f *remoteFile) {
	if f.ready {
		d.bytes -= f.size
		f.ready = false
	}
	if f.elem != nil {
		d.idle.Remove(f.elem)
		f.elem = nil
	}
}

// arrived notes that a copy is on the disk, and makes room.
func (c *copies[F]) arrived(f *remoteFile, size int64) {
	c.mu.Lock()
	if !f.gone && !f.ready {
		f.ready, f.size = true, size
		f.fetched++
		c.disk.bytes += size
		if f.users == 0 {
			f.elem = c.disk.idle.PushBack(f)
		}
	}
	c.mu.Unlock()
	c.evict(f)
}

// letGo notes that a lookup does not read a copy any more, and makes room.
func (c *copies[F]) letGo(f *remoteFile) {
	c.mu.Lock()
	f.users--
	if f.users == 0 && f.ready {
		f.elem = c.disk.idle.PushBack(f)
	}
	c.mu.Unlock()
	c.evict(nil)
}

// evict removes copies that nobody reads while there are too many bytes, except one that just arrived.
func (c *copies[F]) evict(except *remoteFile) {
	var victims []*remoteFile
	c.mu.Lock()
	for e := c.disk.idle.Front(); e != nil && c.cfg.CacheBytes > 0 && c.disk.bytes > c.cfg.CacheBytes; {
		f := e.Value.(*remoteFile)
		e = e.Next()
		if f == except || f.busy != nil {
			continue
		}
		c.disk.removeLocked(f)
		// Who wants the file meanwhile waits until it is away, and fetches it then.
		f.busy = &turn{done: make(chan struct{})}
		victims = append(victims, f)
	}
	c.metrics.bytes.Set(float64(c.disk.bytes))
	c.mu.Unlock()
	for _, f := range victims {
		c.forget(f.path())
		c.metrics.evictions.Inc()
		c.mu.Lock()
		done := f.busy.done
		f.busy = nil
		c.mu.Unlock()
		close(done)
	}
}

// openCache makes the folder of the copies and takes up what is in it.
func (c *copies[F]) openCache() error {
	c.dropSpares() // an earlier run may have died
	err := os.MkdirAll(c.cfg.CacheLocation, 0o777)
	if err == nil {
		err = c.adopt()
	}
	if err != nil {
		return fmt.Errorf("cannot open cache location of the index: %w", err)
	}
	return nil
}

// adopt takes up the copies that an earlier run left, so that they count and are removed in time, and removes what it left
// half done.
func (c *copies[F]) adopt() error {
	folders, err := os.ReadDir(c.cfg.CacheLocation)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		period, day, ok := c.periods.FindTable(folder.Name())
		if !ok || !folder.IsDir() || c.periods[period].Store != c.format.store {
			continue
		}
		if err := c.adoptTable(tableKey{period, day}, filepath.Join(c.cfg.CacheLocation, folder.Name())); err != nil {
			return err
		}
	}
	sweepCorrupt(c.cfg.CacheLocation, maxCorruptCopies, c.logger)
	c.evict(nil)
	return nil
}

func (c *copies[F]) adoptTable(key tableKey, dir string) error {
	var t *remoteTable[F]
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(rel, tempSuffix) {
			return os.Remove(path)
		}
		info, err := e.Info()
		object, ok := schema.ParseIndexKey("", filepath.ToSlash(rel)+".gz")
		if err != nil || !ok || isPartial(object.Name) || !c.format.accepts(object.Name) {
			return err
		}
		if t == nil {
			t = c.table(key)
		}
		if t.used.Before(info.ModTime()) {
			t.used = info.ModTime()
		}
		f := newRemoteFile(object, path)
		t.files[object] = f
		c.arrived(f, info.Size())
		return nil
	})
	removeEmptyFolders(dir)
	return err
}

// sweepCorrupt removes files that were set aside, except the newest few.
func sweepCorrupt(dir string, keep int, logger *slog.Logger) {
	type aside struct {
		path string
		at   time.Time
	}
	var files []aside
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, corruptSuffix) {
			return nil // what cannot be read is not swept
		}
		if info, err := e.Info(); err == nil {
			files = append(files, aside{path, info.ModTime()})
		}
		return nil
	})
	slices.SortFunc(files, func(a, b aside) int { return b.at.Compare(a.at) })
	for _, f := range files[min(keep, len(files)):] {
		if err := os.Remove(f.path); err != nil {
			logger.Warn("cannot remove an index file that was set aside", "path", f.path, "err", err)
			continue
		}
		logger.Info("removed an index file that was set aside long ago", "path", f.path)
	}
}

// compareKeys orders tables, newest first.
func compareKeys(a, b tableKey) int {
	return cmp.Or(cmp.Compare(b.day, a.day), cmp.Compare(b.period, a.period))
}
