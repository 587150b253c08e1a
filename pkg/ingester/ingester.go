package ingester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/changes"
	"logstore/pkg/chunk"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
	"logstore/pkg/wal"
	"logstore/pkg/wire"
)

// Store is where finished chunks go. Both calls may be repeated with the same arguments.
type Store interface {
	// PutObject stores a chunk object, unless it finds that another replica did. It keeps no reference to the bytes.
	PutObject(ctx context.Context, ref model.ChunkRef, object []byte) (written bool, err error)
	// PutIndex writes the index rows of chunks whose objects are stored. When it returns nil, queries find them.
	PutIndex(ctx context.Context, entries []schema.IndexEntry) error
}

// Sidecars describe chunks for queries (package sidecar).
type Sidecars interface {
	// DescribeBlock describes a block that was loaded and walked; size is its compressed size.
	DescribeBlock(b *chunk.Batch, size int) sidecar.Block
	// StoreSidecar stores the sidecar of a chunk object. known returns blocks that were described before.
	StoreSidecar(ctx context.Context, ref model.ChunkRef, object []byte, known func(*chunk.Block) (sidecar.Block, bool)) error
	// LacksSidecar reports whether a chunk object that another replica stored needs a sidecar.
	LacksSidecar(ctx context.Context, ref model.ChunkRef, object []byte) bool
}

// Deps are what an ingester needs of others.
type Deps struct {
	Store Store
	// Sidecars may be nil.
	Sidecars Sidecars
	Limits   *limits.Overrides
	// Periods decide about the version of chunks.
	Periods schema.Periods
	// LocalStreams turns a tenant's limit of streams in the whole cluster into that of this member. nil: they are the same.
	LocalStreams func(global int) int
	// Changes is told where entries were written; it may be nil.
	Changes *changes.Log
	// HandOver takes what could not be flushed before the stop; nil: it stays in the log.
	HandOver HandOver
	// Second tells that another member holds the stream of a tenant and hash as well, describes its blocks, and stores its chunks first;
	// nil: none does. It is asked for each block and chunk, and may answer otherwise each time.
	Second func(tenant string, hash uint64) bool
	// DiskUsage tells how many bytes of the disk that holds a folder are used, and how many there are; nil: nobody watches it.
	DiskUsage func(dir string) (used, size int64, err error)
	// FS is where the logs are; nil: the file system.
	FS       wal.FS
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// State is where an ingester is in its life.
type State int32

// The states, in order.
const (
	// Starting: the log has not been replayed to its end. Neither pushes nor queries are answered.
	Starting State = iota
	// Running: everything is answered.
	Running
	// Stopping: pushes are refused, queries are answered, what is in memory is being flushed.
	Stopping
	// Stopped: Run has returned.
	Stopped
)

func (s State) String() string {
	return [...]string{"starting", "running", "stopping", "stopped"}[s]
}

// Errors of pushes and queries. All of them are wire.ErrUnavailable as well.
var (
	// ErrNotReady is returned before Run has replayed the log, and by pushes once it ends.
	ErrNotReady = fmt.Errorf("%w: not running", wire.ErrUnavailable)
	// ErrMemory is returned by pushes while entries take more memory than they may.
	ErrMemory = fmt.Errorf("%w: memory limit of the ingester reached", wire.ErrUnavailable)
	// ErrLog is returned by pushes that could not be written to the log; on a full disk it is a wal.ErrNoSpace too.
	ErrLog = fmt.Errorf("%w: cannot write the log", wire.ErrUnavailable)
)

// Ingester holds the recent entries of all tenants. It is safe for concurrent use.
type Ingester struct {
	cfg       Config
	store     Store
	asides    Sidecars
	limits    *limits.Overrides
	periods   schema.Periods
	local     func(int) int
	changes   *changes.Log
	handOver  HandOver
	second    func(tenant string, hash uint64) bool
	diskUsage func(dir string) (used, size int64, err error)
	log       *slog.Logger
	metrics   *metrics

	// The logs; nil without one.
	data, parts, marks *wal.Log

	streams *streamMap
	nextID  atomic.Uint64
	seals   *sealQueue
	late    *lateQueue
	flushes *flushQueue
	rows    chan *piece
	pins    pins
	trim    trimmer
	tails   observers
	disk    disk

	state atomic.Int32
	// keep tells that the stop is to flush nothing.
	keep atomic.Bool
	// logSaid is when the log was last said to take nothing, in nanoseconds, 0 if it takes records; logFailedAt when it last did not.
	logSaid, logFailedAt atomic.Int64
	// memory is what the builders hold, heads the part of it that is not compressed.
	memory, heads atomic.Int64
	// kick wakes the goroutine that relieves memory and the one that keeps the log short.
	kickMemory, kickLog chan struct{}
	// hand is where the search for memory to relieve goes on.
	hand atomic.Int64

	pages pageCache
	// spilling is held by the one that writes pages; it guards spill and the file that is written to. It is held over I/O,
	// and comes before all other locks.
	spilling        sync.Mutex
	spill           spill
	lastFile        *segmentFile
	lastFileSegment uint64
	progress        progress
}

// New opens the logs and repairs their ends. It starts nothing and reads no records.
func New(cfg Config, deps Deps) (*Ingester, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot configure the ingester: %w", err)
	}
	if err := deps.Periods.Validate(); err != nil {
		return nil, fmt.Errorf("cannot configure the ingester: %w", err)
	}
	i := &Ingester{
		cfg: cfg.withDefaults(), store: deps.Store, asides: deps.Sidecars, limits: deps.Limits, periods: deps.Periods, local: deps.LocalStreams,
		changes: deps.Changes, handOver: deps.HandOver, second: deps.Second, diskUsage: deps.DiskUsage,
		log: deps.Log, streams: newStreamMap(), seals: newSealQueue(), late: newLateQueue(), flushes: newFlushQueue(),
		rows: make(chan *piece, rowsBatch), kickMemory: make(chan struct{}, 1), kickLog: make(chan struct{}, 1),
	}
	if i.local == nil {
		i.local = func(n int) int { return n }
	}
	i.pins.init()
	i.pages.init()
	fs := deps.FS
	if fs == nil {
		fs = wal.OS
	}
	if cfg.WALDir != "" {
		if err := i.openLogs(fs); err != nil {
			return nil, err
		}
	}
	i.metrics = newMetrics(deps.Registry, i)
	return i, nil
}

func (i *Ingester) openLogs(fs wal.FS) error {
	for _, l := range []struct {
		name string
		size int64
		log  **wal.Log
	}{
		{"data", i.cfg.WALSegmentSize, &i.data},
		{"parts", i.cfg.WALSegmentSize / 4, &i.parts},
		{"marks", max(i.cfg.WALSegmentSize/64, 4096), &i.marks},
	} {
		w, err := wal.Open(wal.Config{Dir: filepath.Join(i.cfg.WALDir, l.name), SegmentSize: max(l.size, 4096), Sync: i.cfg.WALSync}, fs)
		if err != nil {
			return fmt.Errorf("cannot open the log %q: %w", l.name, err)
		}
		for _, d := range w.Repairs() {
			i.log.Warn("the log ended in a torn record, which was cut off", "file", d.File, "offset", d.Offset, "bytes", d.Length, "reason", d.Reason)
		}
		*l.log = w
	}
	i.trim.init(i)
	return nil
}

// State returns where the ingester is in its life.
func (i *Ingester) State() State { return State(i.state.Load()) }

// StopPushes lets a running ingester take no more pushes; it still answers queries. It returns false if it was not running.
func (i *Ingester) StopPushes() bool { return i.state.CompareAndSwap(int32(Running), int32(Stopping)) }

// KeepUnflushed lets the stop flush nothing: what is in memory stays in the log.
func (i *Ingester) KeepUnflushed() { i.keep.Store(true) }

// Ready returns nil if the ingester answers everything, else the reason why not.
func (i *Ingester) Ready() error {
	switch s := i.State(); s {
	case Running:
		return nil
	case Starting:
		return fmt.Errorf("%w: %s", ErrNotReady, i.Progress())
	default:
		return fmt.Errorf("%w: %s", ErrNotReady, s)
	}
}

// Run replays the log, then serves until ctx ends, then flushes if so configured. It returns when all it started has ended.
// What could not be flushed in time stays in the log and is no error.
func (i *Ingester) Run(ctx context.Context) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var sealers, flushers sync.WaitGroup
	for range i.cfg.SealWorkers {
		sealers.Go(i.runSealer)
	}
	for range i.cfg.ConcurrentFlushes {
		flushers.Go(func() { i.runFlusher(work) })
	}
	flushers.Go(func() { i.runIndexer(work) })
	flushers.Go(func() { i.runRetries(work) })

	flushers.Go(func() { i.runMemory(work) })
	if i.asides != nil {
		flushers.Go(i.runLate)
	}
	if i.data != nil && i.diskUsage != nil && i.lookAtDisk() {
		flushers.Go(func() { i.runDisk(work) })
	}

	err := i.replay(ctx)
	if err == nil {
		i.state.Store(int32(Running))
		i.serve(ctx)
	}
	i.state.Store(int32(Stopping))
	i.pins.close()
	if err == nil && i.cfg.FlushOnShutdown && !i.keep.Load() && ctx.Err() != nil {
		err = i.flushBeforeStop()
	}
	// Blocks that wait for compression need none any more: their entries are in the log.
	i.seals.close()
	sealers.Wait()
	stopWork()
	i.late.close()
	i.flushes.close()
	flushers.Wait()
	if err == nil && i.cfg.FlushOnShutdown && !i.keep.Load() && ctx.Err() != nil {
		i.handOverRest()
	}
	closing := i.closeLogs()
	i.state.Store(int32(Stopped))
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	return errors.Join(err, closing)
}

// serve runs what looks after the streams until ctx ends.
func (i *Ingester) serve(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { i.runSweeper(ctx) })
	if i.data != nil {
		wg.Go(func() { i.runTrimmer(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
}

// flushBeforeStop flushes everything as long as there is time. What is left is safe in the log; without one it is lost.
func (i *Ingester) flushBeforeStop() error {
	timeout := i.cfg.ShutdownTimeout
	if i.handOver != nil {
		timeout = timeout * 2 / 3 // the rest is for handing over what is left
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	begin := time.Now()
	if err := i.FlushWait(ctx); err != nil {
		left := i.flushes.outstanding.Load()
		if i.data == nil && i.handOver == nil {
			return fmt.Errorf("cannot flush everything before the stop: there is no write-ahead log, so %d chunks are lost: %w", left, err)
		}
		i.log.Warn("not everything could be flushed before the stop; the rest stays in the log", "chunks", left, "err", err)
		return nil
	}
	i.log.Info("flushed everything before the stop", "duration", time.Since(begin))
	return nil
}

func (i *Ingester) closeLogs() error {
	if i.data == nil {
		return nil
	}
	i.trimLogs()
	return errors.Join(i.data.Close(), i.parts.Close(), i.marks.Close())
}

// newStream makes a stream with a number of its own. The labels are kept.
func (i *Ingester) newStream(t *tenantState, lbls labels.Labels, hash uint64) *stream {
	return &stream{id: i.nextID.Add(1), tenant: t, labels: lbls, hash: hash, newest: minTime}
}

// minTime is older than every entry, with room for the reject window.
const minTime = -1 << 62

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
