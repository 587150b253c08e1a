package shipper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/index"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// remoteTable is a table as it stands in the bucket, and the copies of its files.
type remoteTable struct {
	s    *Shipper
	key  tableKey
	name string

	mu sync.Mutex
	// listed is when the last listing began, zero before the first.
	listed time.Time
	// stale tells that the listing is known to lack something.
	stale bool
	used  time.Time
	files map[schema.IndexFile]*remoteFile
	// listing is set while a listing runs.
	listing *turn
}

// remoteFile is an object of a table.
type remoteFile struct {
	object schema.IndexFile
	path   string

	// Guarded by the table's mutex:
	ready       bool
	downloading *turn
}

func (s *Shipper) remoteTable(key tableKey) *remoteTable {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.remote[key]
	if t == nil {
		t = &remoteTable{s: s, key: key, name: s.periods[key.period].Table(key.day), files: make(map[schema.IndexFile]*remoteFile)}
		s.remote[key] = t
		s.metrics.tables.Set(float64(len(s.remote)))
	}
	return t
}

func (t *remoteTable) bucket() objstore.Bucket { return t.s.bucket(t.key.period) }

func (t *remoteTable) keyPrefix() string { return t.s.periods[t.key.period].TableKey(t.name) }

// refresh lists the table unless a listing is at most maxAge old. If the bucket fails, an older listing is good enough as
// long as no local file can have been removed since.
func (t *remoteTable) refresh(ctx context.Context, maxAge time.Duration) error {
	err := share(ctx, &t.mu, func() (**turn, bool) {
		return &t.listing, !t.stale && !t.listed.IsZero() && t.s.now().Sub(t.listed) <= maxAge
	}, t.list)
	if err == nil || ctx.Err() != nil {
		return err
	}
	t.mu.Lock()
	age := t.s.now().Sub(t.listed)
	known := !t.listed.IsZero() && age <= 3*t.s.cfg.ResyncInterval
	t.mu.Unlock()
	if !known {
		return err
	}
	t.s.logger.Warn("cannot list an index table, an older listing is used", "table", t.name, "age", age, "err", err)
	return nil
}

// list reads the names of the table's objects and forgets the copies of those that are gone.
func (t *remoteTable) list(ctx context.Context) error {
	began := t.s.now()
	t.mu.Lock()
	t.stale = false
	t.mu.Unlock()
	prefix := t.keyPrefix()
	found := make(map[schema.IndexFile]bool)
	err := t.bucket().List(ctx, prefix, func(o objstore.ObjectInfo) error {
		if f, ok := schema.ParseIndexKey(prefix, o.Key); ok && !isPartial(f.Name) {
			found[f] = true
		}
		return nil
	})
	t.s.metrics.syncs.WithLabelValues(status(err)).Inc()
	if err != nil {
		t.mu.Lock()
		t.stale = true
		t.mu.Unlock()
		return fmt.Errorf("cannot list index table %s in %s: %w", t.name, t.bucket().Name(), err)
	}
	var gone []*remoteFile
	t.mu.Lock()
	for object, f := range t.files {
		if !found[object] {
			delete(t.files, object)
			gone = append(gone, f)
		}
	}
	for object := range found {
		if t.files[object] == nil {
			t.files[object] = &remoteFile{object: object, path: t.localPath(object)}
		}
	}
	t.listed = began
	t.mu.Unlock()
	for _, f := range gone {
		t.s.forget(f.path)
	}
	return nil
}

// isPartial tells temporary names, which a copy must not have.
func isPartial(name string) bool {
	return strings.HasSuffix(name, tempSuffix) || strings.HasSuffix(name, corruptSuffix)
}

func (t *remoteTable) localPath(object schema.IndexFile) string {
	return filepath.Join(t.s.cfg.CacheLocation, t.name, filepath.FromSlash(object.LocalName()))
}

func (s *Shipper) forget(path string) {
	s.sets.forget(path)
	if err := s.pool.forget(path); err != nil {
		s.logger.Warn("cannot remove the copy of an index file", "path", path, "err", err)
	}
}

// filesOf returns the files that concern a tenant, without those that are uploads of local files.
func (t *remoteTable) filesOf(tenant string, own map[schema.IndexFile]bool) []*remoteFile {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = t.s.now()
	var out []*remoteFile
	for object, f := range t.files {
		if (object.Tenant == "" || object.Tenant == tenant) && !own[object] {
			out = append(out, f)
		}
	}
	return out
}

// open returns the files that concern a tenant, downloaded and open. release lets go of them.
func (t *remoteTable) open(ctx context.Context, tenant string, own map[schema.IndexFile]bool) (files []tableFile, release func(), err error) {
	maxAge := t.s.cfg.ResyncInterval
	for attempt := 0; ; attempt++ {
		if err := t.refresh(ctx, maxAge); err != nil {
			return nil, nil, err
		}
		files, release, err = t.openAll(ctx, t.filesOf(tenant, own))
		// A file of the listing that is gone was compacted meanwhile: a new listing has what it was merged into.
		if err == nil || attempt == 2 || !(errors.Is(err, objstore.ErrNotFound) || errors.Is(err, fs.ErrNotExist)) {
			return files, release, err
		}
		maxAge = 0
	}
}

func (t *remoteTable) openAll(ctx context.Context, remote []*remoteFile) ([]tableFile, func(), error) {
	files := make([]tableFile, len(remote))
	releases := make([]func(), len(remote))
	release := func() {
		for _, r := range releases {
			if r != nil {
				r()
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.s.cfg.Parallelism)
	for i, f := range remote {
		group.Go(func() error {
			file, r, err := t.openFile(ctx, f)
			files[i], releases[i] = tableFile{path: f.path, file: file, decode: true}, r
			return err
		})
	}
	if err := group.Wait(); err != nil {
		release()
		return nil, nil, err
	}
	return files, release, nil
}

// openFile opens the copy of a file. A copy that a crash or the disk has torn is set aside and fetched again.
func (t *remoteTable) openFile(ctx context.Context, f *remoteFile) (*index.File, func(), error) {
	for attempt := 0; ; attempt++ {
		err := share(ctx, &t.mu, func() (**turn, bool) { return &f.downloading, f.ready }, func(ctx context.Context) error {
			return t.download(ctx, f)
		})
		if err != nil {
			return nil, nil, err
		}
		file, release, err := t.s.pool.acquire(f.path)
		if err == nil || attempt > 0 || !(errors.Is(err, index.ErrCorrupt) || errors.Is(err, fs.ErrNotExist)) {
			return file, release, err
		}
		t.mu.Lock()
		f.ready = false
		t.mu.Unlock()
		if errors.Is(err, index.ErrCorrupt) {
			t.s.setAside(f.path, err)
		}
	}
}

// downloadAttempts is how often an object is fetched that arrives damaged.
const downloadAttempts = 3

// download makes the copy of a file unless an earlier run left it.
func (t *remoteTable) download(ctx context.Context, f *remoteFile) error {
	if _, err := os.Stat(f.path); err == nil {
		t.setReady(f)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o777); err != nil {
		return fmt.Errorf("cannot make a folder for an index table: %w", err)
	}
	var err error
	for range downloadAttempts {
		err = t.fetch(ctx, f)
		t.s.metrics.downloads.WithLabelValues(status(err)).Inc()
		if !errors.Is(err, index.ErrCorrupt) {
			break
		}
		t.s.metrics.corruptFiles.Inc()
		t.s.logger.Error("an index file arrived damaged", "key", f.object.Key(t.keyPrefix()), "err", err)
	}
	if err != nil {
		return fmt.Errorf("cannot fetch index file %s: %w", f.object.Key(t.keyPrefix()), err)
	}
	t.setReady(f)
	return nil
}

func (t *remoteTable) setReady(f *remoteFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.ready = true
}

func (t *remoteTable) fetch(ctx context.Context, f *remoteFile) error {
	r, err := t.bucket().GetReader(ctx, f.object.Key(t.keyPrefix()))
	if err != nil {
		return err
	}
	defer r.Close()
	temp := f.path + tempSuffix
	if err := index.Unpack(temp, r, f.object.Compressed()); err != nil {
		return err
	}
	return os.Rename(temp, f.path)
}

// resync lists all tables that are in use and drops those that were not used for long.
func (s *Shipper) resync(ctx context.Context) {
	s.mu.Lock()
	tables := make([]*remoteTable, 0, len(s.remote))
	for _, t := range s.remote {
		tables = append(tables, t)
	}
	s.mu.Unlock()
	group := errgroup.Group{}
	group.SetLimit(s.cfg.Parallelism)
	for _, t := range tables {
		if s.dropUnused(t) {
			continue
		}
		group.Go(func() error {
			// A listing is renewed before it is too old for a lookup, so that lookups seldom wait for one.
			if err := t.refresh(ctx, s.cfg.ResyncInterval/2); err != nil && ctx.Err() == nil {
				s.logger.Warn("cannot list an index table", "table", t.name, "err", err)
			}
			return nil
		})
	}
	_ = group.Wait()
}

// dropUnused removes the copies of a table that nobody has asked for within the cache's time to live.
func (s *Shipper) dropUnused(t *remoteTable) bool {
	t.mu.Lock()
	unused := t.listing == nil && s.now().Sub(t.used) > s.cfg.CacheTTL
	var files []*remoteFile
	if unused {
		for _, f := range t.files {
			unused = unused && f.downloading == nil
			files = append(files, f)
		}
	}
	if unused {
		// A lookup that still holds the table lists it anew.
		t.files, t.listed = make(map[schema.IndexFile]*remoteFile), time.Time{}
	}
	t.mu.Unlock()
	if !unused {
		return false
	}
	s.mu.Lock()
	delete(s.remote, t.key)
	s.metrics.tables.Set(float64(len(s.remote)))
	s.mu.Unlock()
	for _, f := range files {
		s.forget(f.path)
	}
	removeEmptyFolders(filepath.Join(s.cfg.CacheLocation, t.name))
	return true
}

func removeEmptyFolders(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}
