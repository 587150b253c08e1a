package compactor

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/chunk"
	"logstore/pkg/deletes"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// Chunks are the chunk objects; *store.Store has them.
type Chunks interface {
	// OpenChunk reads a chunk. One that is not there, damaged or foreign is objstore.ErrNotFound, chunk.ErrCorrupt or
	// chunk.ErrForeign.
	OpenChunk(ctx context.Context, name schema.ChunkName) (*chunk.Chunk, error)
	ChunkSize(ctx context.Context, name schema.ChunkName) (int64, error)
	// PutObject writes a chunk, and reports whether it was not there already.
	PutObject(ctx context.Context, ref model.ChunkRef, object []byte) (written bool, err error)
	// SyncObjects makes durable what was put.
	SyncObjects(ctx context.Context) error
	DeleteChunk(ctx context.Context, name schema.ChunkName) error
	// EachChunk walks through the chunks of folders.
	EachChunk(ctx context.Context, fn func(name schema.ChunkName, size int64) error) error
}

// Deps are what a Compactor works with.
type Deps struct {
	Periods schema.Periods
	// Bucket returns where the index objects of a period are. The lock is in that of the newest boltdb period.
	Bucket func(period int) objstore.Bucket
	Chunks Chunks
	Limits *limits.Overrides
	// Deletes may be nil.
	Deletes *deletes.Store
	// Owner tells whether the ring wants this member to work; nil means always.
	Owner func() bool
	// Flush brings all entries that are in memory into the bucket, before delete requests are processed; it may be nil.
	Flush func(ctx context.Context) error
	// Disk returns how many bytes of the chunks' disk are used and how many it has; it is asked if MaxDiskPercent is set.
	Disk func() (used, size int64, err error)
	// AfterPass is called at the end of each pass, while the lock is held; its context ends when the lock is lost. It may be nil. Work
	// that one member of the cluster is to do belongs here, such as building what is missing beside chunks.
	AfterPass func(ctx context.Context) error
	// OnChunkDeleted is called when a chunk's object was removed; it may be nil.
	OnChunkDeleted func(ctx context.Context, name schema.ChunkName) error
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Compactor keeps the bucket in order. Its methods but Status are for one goroutine.
type Compactor struct {
	cfg     Config
	deps    Deps
	periods schema.Periods
	logger  *slog.Logger
	metrics *metrics
	now     func() time.Time
	lock    *lock
	status  status

	// seen is what is known of tables that were looked into, by table.
	seen map[tableID]*seenTable
	// carried says on which tables delete requests were carried out, by Part.Name.
	carried map[string]map[tableID]string
	// lastRetention is when retention was applied last.
	lastRetention time.Time
	// next is when there is something to do before the interval has passed; zero if there is not.
	next time.Time
}

// seenTable is what a pass found out about a table, so that the next one need not fetch it.
type seenTable struct {
	state string
	// rules is the fingerprint of the rules that were applied, nextExpiry when they would remove more.
	rules      string
	tenants    []string
	nextExpiry int64
	// merged tells that the small chunks were merged.
	merged bool
}

// New returns a compactor. Working folders of earlier runs are removed.
func New(cfg Config, deps Deps) (*Compactor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Compactor{
		cfg: cfg, deps: deps, periods: deps.Periods, logger: deps.Logger, metrics: newMetrics(deps.Registerer), now: deps.Now,
		seen: map[tableID]*seenTable{}, carried: map[string]map[tableID]string{},
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	c.status.metrics = c.metrics
	newest := -1
	for i := range c.periods {
		if c.periods[i].Store == schema.StoreBoltDB {
			newest = i
		}
	}
	if newest < 0 {
		return nil, errors.New("no schema period has store " + schema.StoreBoltDB + ": there is nothing to compact")
	}
	c.lock = &lock{
		bucket: deps.Bucket(newest), id: cfg.ID, nonce: rand.Text(), ttl: cfg.LockTTL, settle: min(cfg.LockTTL/4, 5*time.Second),
		now: c.now, logger: c.logger,
	}
	return c, c.removeWork()
}

// removeWork removes what a crash left in the working folder.
func (c *Compactor) removeWork() error {
	entries, err := os.ReadDir(c.cfg.Directory)
	if err != nil {
		return nil // It is made when it is needed.
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), workPrefix) {
			if err := os.RemoveAll(filepath.Join(c.cfg.Directory, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstRun is the longest time before the first pass.
const firstRun = 15 * time.Second

// Run works whenever the interval has passed or something is due, until the context ends. It returns after the pass at hand
// has stopped, and lets another member take over.
func (c *Compactor) Run(ctx context.Context) error {
	timer := time.NewTimer(min(firstRun, c.cfg.Interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			c.metrics.running.Set(0)
			return c.lock.release(release)
		case <-timer.C:
		}
		if err := c.RunOnce(ctx); err != nil && ctx.Err() == nil {
			c.logger.Error("compaction failed in part; what is left is tried again", "err", err)
		}
		timer.Reset(c.pause())
	}
}

// pause returns how long to wait for the next pass.
func (c *Compactor) pause() time.Duration {
	d := c.cfg.Interval
	if c.deps.Deletes != nil {
		if at, ok := c.deps.Deletes.NextDue(); ok && at.After(c.now()) {
			d = min(d, at.Sub(c.now()))
		}
	}
	if !c.next.IsZero() {
		d = min(d, c.next.Sub(c.now()))
	}
	return max(d, min(time.Second, c.cfg.Interval))
}

// RunOnce makes one pass if this member is the one to do so.
func (c *Compactor) RunOnce(ctx context.Context) error {
	if c.deps.Owner != nil && !c.deps.Owner() {
		c.metrics.running.Set(0)
		return c.lock.release(ctx)
	}
	held, err := c.lock.acquire(ctx)
	if err != nil || !held {
		c.metrics.running.Set(0)
		return err
	}
	c.metrics.running.Set(1)
	work, stop := c.lock.keep(ctx)
	began := c.now()
	err = c.cycle(work)
	stop()
	if cause := context.Cause(work); errors.Is(cause, errLost) {
		err = errors.Join(errLost, err)
	}
	c.metrics.duration.Set(c.now().Sub(began).Seconds())
	c.metrics.runs.WithLabelValues(statusOf(err)).Inc()
	if err == nil {
		c.metrics.lastSuccess.Set(float64(c.now().Unix()))
	}
	c.status.update(func(s *Status) {
		s.LastRun, s.LastError = began, ""
		if err != nil {
			s.LastError = err.Error()
		} else {
			s.LastSuccess = c.now()
		}
	})
	return err
}

func statusOf(err error) string {
	if err != nil {
		return "failure"
	}
	return "success"
}
