package shipper

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// CacheConfig says how copies of index files are kept. Both kinds of index have it.
type CacheConfig struct {
	// CacheLocation holds copies of files from the bucket.
	CacheLocation string
	// CacheTTL is how long the copies of a table are kept without being used.
	CacheTTL time.Duration
	// CacheBytes bounds the copies on the disk: above it, those that were not used for longest are removed, unless a query
	// reads them. Zero is no bound.
	CacheBytes int64
	// ResyncInterval is the greatest age of a table's listing that a lookup uses.
	ResyncInterval time.Duration
	// QueryReadyDays is how many days before today have their tables fetched before the process is ready, and kept fresh
	// from then on. Zero: tables are fetched when a query wants them.
	QueryReadyDays int
	// MaxOpenFiles bounds the fetched files that are open at a time.
	MaxOpenFiles int
	// Parallelism bounds the downloads of one lookup and the tables that it reads at a time.
	Parallelism int
}

// DefaultCacheConfig holds Loki's defaults where Loki has the setting.
var DefaultCacheConfig = CacheConfig{
	CacheLocation:  "boltdb-shipper-cache",
	CacheTTL:       24 * time.Hour,
	ResyncInterval: 5 * time.Minute,
	MaxOpenFiles:   1024,
	Parallelism:    8,
}

// validate reports the first setting that cannot work. block is the configuration's name for the whole.
func (c *CacheConfig) validate(block string) error {
	switch {
	case c.CacheLocation == "":
		return fmt.Errorf("%s.cache_location is empty", block)
	case c.CacheTTL <= 0 || c.ResyncInterval <= 0:
		return fmt.Errorf("%s.cache_ttl and resync_interval must be above zero", block)
	case c.CacheBytes < 0 || c.QueryReadyDays < 0:
		return fmt.Errorf("%s: the bound of the cache and query_ready_num_days must not be below zero", block)
	case c.MaxOpenFiles < 1 || c.Parallelism < 1:
		return errors.New("the bounds of open files and parallel downloads must be above zero")
	}
	return nil
}

// format is how the files of an index are opened.
type format[F io.Closer] struct {
	// store is the index store of the periods whose tables have such files.
	store string
	// unpack writes an object to a file, checked and on disk.
	unpack func(path string, object io.Reader, compressed bool) error
	open   func(path string) (F, error)
	// accepts tells the index's files from those of another, which may lie in the same table on the day of a change.
	accepts func(name string) bool
	// corrupt is wrapped by errors that say that a file is damaged.
	corrupt error
}

// copies are the tables of an index in the bucket, and the copies of their files on this disk.
type copies[F io.Closer] struct {
	cfg     CacheConfig
	format  format[F]
	periods schema.Periods
	bucket  func(period int) objstore.Bucket
	logger  *slog.Logger
	metrics *copyMetrics
	now     func() time.Time
	pool    *pool[F]
	// forgotten is called when a copy is about to be removed.
	forgotten func(path string)
	// listed is told what a listing of a table found that began at a time; it may be nil.
	listed func(key tableKey, found map[schema.IndexFile]bool, began time.Time)
	// names are the tables in the bucket, by period.
	names []tableNames

	mu sync.Mutex
	// tables are those that somebody asked for, or that an earlier run left.
	tables map[tableKey]*remoteTable[F]
	disk   disk
	ready  bool
}

func newCopies[F io.Closer](cfg CacheConfig, f format[F], deps Deps, p *pool[F], m *copyMetrics, forgotten func(string)) *copies[F] {
	c := &copies[F]{
		cfg: cfg, format: f, periods: deps.Periods, bucket: deps.Bucket, logger: deps.Logger, metrics: m, now: time.Now, pool: p,
		forgotten: forgotten, names: make([]tableNames, len(deps.Periods)), tables: make(map[tableKey]*remoteTable[F]),
		disk: disk{idle: list.New()},
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// open returns the files of a table that concern a tenant, except those that are uploads of local files. release lets go of
// them.
func (c *copies[F]) open(ctx context.Context, key tableKey, tenant string, own map[schema.IndexFile]bool) ([]openFile[F], func(), error) {
	return c.table(key).open(ctx, func(f schema.IndexFile) bool {
		return (f.Tenant == "" || f.Tenant == tenant) && !own[f]
	})
}

func (c *copies[F]) table(key tableKey) *remoteTable[F] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tableLocked(key)
}

func (c *copies[F]) tableLocked(key tableKey) *remoteTable[F] {
	t := c.tables[key]
	if t == nil {
		t = &remoteTable[F]{c: c, key: key, name: c.periods[key.period].Table(key.day), files: make(map[schema.IndexFile]*remoteFile)}
		c.tables[key] = t
		c.metrics.tables.Set(float64(len(c.tables)))
	}
	return t
}

// forget removes a copy as soon as nobody reads it.
func (c *copies[F]) forget(path string) {
	if c.forgotten != nil {
		c.forgotten(path)
	}
	if err := c.pool.forget(path); err != nil {
		c.logger.Warn("cannot remove the copy of an index file", "path", path, "err", err)
	}
}

// resync lists all tables that are in use, drops those that were not used for long, and fetches those that must be ready.
func (c *copies[F]) resync(ctx context.Context) {
	group := errgroup.Group{}
	group.SetLimit(c.cfg.Parallelism)
	for _, t := range c.all() {
		if c.dropUnused(t) {
			continue
		}
		group.Go(func() error {
			// A listing is renewed before it is too old for a lookup, so that lookups seldom wait for one.
			if err := t.refresh(ctx, c.cfg.ResyncInterval/2); err != nil && ctx.Err() == nil {
				c.logger.Warn("cannot list an index table", "table", t.name, "err", err)
			}
			return nil
		})
	}
	_ = group.Wait()
	c.prepareLogged(ctx)
	sweepCorrupt(c.cfg.CacheLocation, maxCorruptCopies, c.logger)
}

// all returns the tables that somebody asked for.
func (c *copies[F]) all() []*remoteTable[F] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.tables))
}

// dropUnused removes the copies of a table that nobody has asked for within the cache's time to live.
func (c *copies[F]) dropUnused(t *remoteTable[F]) bool {
	t.mu.Lock()
	unused := t.listing == nil && c.now().Sub(t.used) > c.cfg.CacheTTL && !c.wantedReady(t.key)
	var files []*remoteFile
	c.mu.Lock()
	if unused {
		for _, f := range t.files {
			unused = unused && f.busy == nil && f.users == 0
			files = append(files, f)
		}
	}
	if unused {
		for _, f := range files {
			c.disk.removeLocked(f)
			f.gone = true
		}
		delete(c.tables, t.key)
		c.metrics.tables.Set(float64(len(c.tables)))
		c.metrics.bytes.Set(float64(c.disk.bytes))
	}
	c.mu.Unlock()
	if unused {
		// A lookup that still holds the table lists it anew.
		t.files, t.listed = make(map[schema.IndexFile]*remoteFile), time.Time{}
	}
	t.mu.Unlock()
	if !unused {
		return false
	}
	for _, f := range files {
		c.forget(f.path())
	}
	removeEmptyFolders(filepath.Join(c.cfg.CacheLocation, t.name))
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

// setAside renames a corrupt file.
func setAside(path string, cause error, logger *slog.Logger) {
	logger.Error("an index file is corrupt and was set aside", "path", path+corruptSuffix, "err", cause)
	if err := os.Rename(path, path+corruptSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Error("cannot set an index file aside", "path", path, "err", err)
	}
}

// isPartial tells temporary names, which a copy must not have.
func isPartial(name string) bool {
	return strings.HasSuffix(name, tempSuffix) || strings.HasSuffix(name, corruptSuffix)
}
