package shipper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"logstore/pkg/index"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// ErrClosed is returned by Put after Run has ended.
var ErrClosed = errors.New("the index is closed")

// Shipper is the index of the periods with store boltdb-shipper. It is safe for concurrent use.
type Shipper struct {
	cfg     Config
	periods schema.Periods
	bucket  func(period int) objstore.Bucket
	// uploaded is Deps.Uploaded.
	uploaded func()
	logger   *slog.Logger
	metrics  *metrics
	now      func() time.Time
	handOver func(context.Context, Handed) error
	// uploader begins the names of the objects that this process uploads.
	uploader string
	started  time.Time
	copies   *copies[*index.File]
	// pool holds the open files: the local ones, and the copies.
	pool  *pool[*index.File]
	sets  *setCache
	rows  *rowCache
	local localFiles
	// uploadTurn holds a value while files are being uploaded.
	uploadTurn chan struct{}
	// work counts what runs on behalf of Put.
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	active map[tableKey]*activeTable
}

// tableKey names a table.
type tableKey struct {
	period int
	day    int64
}

// New opens the local folders: it removes what a crash left half done and takes up the files that were not uploaded.
func New(cfg Config, deps Deps) (*Shipper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := deps.Periods.Validate(); err != nil {
		return nil, err
	}
	m := newMetrics(deps.Registerer)
	s := &Shipper{
		cfg: cfg, periods: deps.Periods, bucket: deps.Bucket, uploaded: deps.Uploaded, handOver: deps.HandOver, logger: deps.Logger, metrics: m, now: time.Now,
		started: time.Now(), pool: newPool(cfg.MaxOpenFiles, index.Open, m.openFiles), sets: newSetCache(cfg.SeriesCacheBytes, m),
		rows:       newRowCache(cfg.RowCacheBytes, m),
		uploadTurn: make(chan struct{}, 1), active: make(map[tableKey]*activeTable),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	files := format[*index.File]{
		store: schema.StoreBoltDB, unpack: index.Unpack, open: index.Open, corrupt: index.ErrCorrupt,
		accepts: func(name string) bool { return !isTSDB(name) },
	}
	s.copies = newCopies(cfg.CacheConfig, files, deps, s.pool, newCopyMetrics(deps.Registerer, "boltdb"), s.forgetDecoded)
	s.copies.listed = s.dropCompacted
	if err := s.openActiveDirectory(); err != nil {
		return nil, err
	}
	return s, nil
}

// Run uploads finished files and keeps tables fresh until the context ends. Then it uploads all files, or hands them over, within
// Config.ShutdownTimeout, and closes the index; what could go nowhere is taken up by the next start.
func (s *Shipper) Run(ctx context.Context) error {
	s.uploadLogged(ctx, true)
	preparing := make(chan struct{})
	go func() {
		defer close(preparing)
		s.copies.becomeReady(ctx)
	}()
	defer func() { <-preparing }()
	ticker := time.NewTicker(s.cfg.UploadInterval)
	defer ticker.Stop()
	resync := time.NewTicker(s.cfg.ResyncInterval)
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.shutdown(context.WithoutCancel(ctx))
		case <-ticker.C:
			if err := s.sealBefore(ctx, s.now().Add(-time.Minute).Truncate(fileSpan).Unix()); err != nil {
				s.logger.Error("cannot finish index files; they are tried again", "err", err)
			}
			s.uploadLogged(ctx, false)
			s.dropUploaded()
		case <-resync.C:
			s.copies.resync(ctx)
			sweepCorrupt(s.cfg.ActiveIndexDirectory, maxCorruptFiles, s.logger)
		}
	}
}

// Ready returns why queries would wait for the download of tables that must be here, or nil.
func (s *Shipper) Ready() error { return s.copies.Ready() }

// Flush uploads all files now. The rows written before the call are in the bucket when it returns nil.
func (s *Shipper) Flush(ctx context.Context) error {
	if err := s.sealBefore(ctx, math.MaxInt64); err != nil {
		return err
	}
	return s.upload(ctx, true)
}

// shutdown uploads what is left and closes all files.
func (s *Shipper) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ShutdownTimeout)
	defer cancel()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.work.Wait()
	err := s.lastUpload(ctx)
	if err == nil {
		err = s.dropAllUploaded()
	} else {
		s.logger.Error("index files are left for the next start", "files", s.local.waiting(), "err", err)
	}
	err = errors.Join(err, s.pool.close())
	s.copies.dropSpares()
	return err
}

// lastUpload uploads what is left, or hands it over to others that stay if the bucket does not take it. It waits on for the bucket
// if these do not take it either.
func (s *Shipper) lastUpload(ctx context.Context) error {
	if s.handOver == nil {
		return s.Flush(ctx)
	}
	short, cancel := context.WithTimeout(ctx, maxUploadWait)
	defer cancel()
	err := s.Flush(short)
	if err == nil {
		return nil
	}
	if s.handOverRest(ctx); s.local.waiting() == 0 {
		return nil
	}
	return s.Flush(ctx)
}

// uploadLogged is upload for those who cannot hand on the error: each file's failure was logged, and it is tried again.
func (s *Shipper) uploadLogged(ctx context.Context, force bool) {
	if err := s.upload(ctx, force); err != nil {
		s.logger.Debug("some index files were not uploaded yet", "err", err)
	}
}

// sealBefore ends the active files of earlier slots.
func (s *Shipper) sealBefore(ctx context.Context, slot int64) error {
	s.mu.Lock()
	tables := make([]*activeTable, 0, len(s.active))
	for _, t := range s.active {
		tables = append(tables, t)
	}
	s.mu.Unlock()
	for _, t := range tables {
		if err := t.seal(ctx, slot); err != nil {
			return err
		}
	}
	return nil
}

// begin enters a call that Close waits for, unless the shipper is closed. The caller calls work.Done.
func (s *Shipper) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.work.Add(1)
	return nil
}

// Put writes the index rows of chunks to the tables of all days that they touch. Rows are on disk and visible to lookups
// when it returns nil. Many chunks in one call cost far less than many calls. If it returns an error, some rows may have been
// written; repeating the call is harmless.
func (s *Shipper) Put(ctx context.Context, entries []schema.IndexEntry) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.work.Done()

	tables, err := s.split(entries)
	if err != nil {
		return err
	}
	errs := make([]error, 0, len(tables))
	var wait sync.WaitGroup
	var mu sync.Mutex
	for key, list := range tables {
		t := s.activeTable(key)
		wait.Go(func() {
			if err := t.put(ctx, list); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// split finds the tables of chunks.
func (s *Shipper) split(entries []schema.IndexEntry) (map[tableKey][]entry, error) {
	tables := make(map[tableKey][]entry)
	for i := range entries {
		e := &entries[i]
		if e.Ref.Through < e.Ref.From || e.Ref.Tenant == "" {
			return nil, fmt.Errorf("cannot index chunk %s: bounds or tenant are not valid", schema.ChunkKey(e.Ref, schema.Nested))
		}
		series := schema.Series{ID: schema.SeriesIDOf(e.Labels), Labels: e.Labels}
		chunk := schema.ChunkName{ChunkRef: e.Ref, Layout: s.periods.LayoutOf(e.Ref.From)}
		for _, span := range s.periods.Spans(e.Ref.From, e.Ref.Through) {
			if s.periods[span.Period].Store != schema.StoreBoltDB {
				if e.Ref.From < span.From && span.From == span.Through && span.End == 0 {
					continue // Only the rounding of the end reaches into the period.
				}
				return nil, fmt.Errorf("cannot index chunk %s: its period has store %s", chunk.Key(), s.periods[span.Period].Store)
			}
			key := tableKey{span.Period, span.Day}
			tables[key] = append(tables[key], entry{series: series, chunk: chunk, span: span})
		}
	}
	return tables, nil
}

func (s *Shipper) activeTable(key tableKey) *activeTable {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.active[key]
	if t == nil {
		t = &activeTable{s: s, period: key.period, day: key.day, name: s.periods[key.period].Table(key.day)}
		s.active[key] = t
	}
	return t
}
