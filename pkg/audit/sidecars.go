package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/store"
)

// SidecarBuilder makes the sidecars that chunks of past days lack: Loki wrote them, or sidecars were switched off, or one was lost, or it
// is of a version that is not read any more. Then it packs those of a table, and packs are the only place of what they hold.
//
// A table all of whose chunks were looked at gets a note, an object below tablesPrefix that is named by the table, its files and the
// versions of sidecars and packs. While these stay, the table is not read again. Things happen in an order in which each chunk has its
// sidecar all the time, wherever a pass ends: the missing ones are built, to lie alone; new packs are made of old ones and of those that
// lie alone; the note says which packs these are; once it is older than store.PackGrace, the other packs of the table and the sidecars that
// lie alone beside those in its packs are removed; the note is emptied, which says that nothing is left to remove.
type SidecarBuilder struct {
	// Bucket is looked at; its Dir, which is made when it is needed, takes index files while they are read.
	Bucket *Bucket
	// Build makes one sidecar, to lie alone; it reports false for a chunk that needs none. *store.Store has it.
	Build func(ctx context.Context, name schema.ChunkName) (bool, error)
	// Current reports whether the sidecar of a chunk that lies alone is one that can be read; *store.Store has it. Nil believes it of all.
	Current func(ctx context.Context, name schema.ChunkName) (bool, error)
	// Packed returns the sidecar of a chunk for a pack, nil if it has none; there says whether one lies alone. *store.Store has it.
	// Nil makes no packs.
	Packed func(ctx context.Context, name schema.ChunkName, there bool) ([]byte, error)
	// PerPass bounds the chunks that a pass reads, the sidecars to peeksPerChunk and those that it removes to prunesPerChunk times as many;
	// the last table may go beyond while it is packed. With 0, packs of tables that are gone are removed, and nothing is made.
	PerPass int
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	metrics *sidecarMetrics
	// bare is how many chunks were looked at and need no sidecar in tables that are not done, by doneKey.
	bare map[string]int
	// current are the sidecars whose beginning was looked at, in tables that are not done, as hashes of their chunks' keys.
	current map[uint64]struct{}
	// idleUntil is when tables are listed again after all were found done.
	idleUntil time.Time
}

type sidecarMetrics struct {
	chunks *prometheus.CounterVec
	left   prometheus.Gauge
	packs  prometheus.Counter
	pruned prometheus.Counter
}

const (
	// settled is how long after its end a day's tables are looked at: before, chunks are still flushed that bring their sidecars along.
	settled = store.Settled
	// peeksPerChunk is how many sidecars may be looked at in place of one chunk.
	peeksPerChunk = 16
	// prunesPerChunk is how many sidecars that packs hold may be removed for each chunk that may be read.
	prunesPerChunk = 64
	// idle is how long a bucket that has all sidecars is left alone.
	idle = time.Hour
)

// Register makes the builder's metrics.
func (s *SidecarBuilder) Register(r prometheus.Registerer) {
	f := promauto.With(r)
	s.metrics = &sidecarMetrics{
		chunks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "logstore_compactor_sidecar_chunks_total",
			Help: "Chunks of past days without a sidecar that the compactor read, by what came of it: built, small (needs none), failed.",
		}, []string{"result"}),
		left: f.NewGauge(prometheus.GaugeOpts{
			Name: "logstore_compactor_sidecar_tables_left",
			Help: "Index tables of past days whose chunks were not all looked at for sidecars yet.",
		}),
		packs: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_compactor_sidecar_packs_total",
			Help: "Packs that the compactor made of sidecars of past days.",
		}),
		pruned: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_compactor_sidecars_pruned_total",
			Help: "Sidecars of past days that the compactor removed because packs hold them.",
		}),
	}
}

// Pass reads some chunks that have no sidecar and builds it, those of the newest days first. A chunk that cannot be read counts as
// looked at: the check of the bucket is another's work.
func (s *SidecarBuilder) Pass(ctx context.Context) error {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if now().Before(s.idleUntil) {
		return nil
	}
	if s.PerPass <= 0 {
		if some, err := s.anyPacks(ctx); err != nil || !some {
			return err
		}
	}
	tables, err := s.survey(ctx, now())
	if err != nil {
		return err
	}
	p := &sidecarPass{own: map[tableDay]*pastTable{}, near: map[tableDay]*oldPacks{}, read: map[uint64]bool{}, room: s.PerPass, peeks: peeksPerChunk * s.PerPass}
	var open, ripe []*pastTable
	rest := now().Add(idle)
	for i := range tables {
		t := &tables[i]
		p.own[tableDay{t.Period, t.Day}] = t
		switch due := t.since.Add(store.PackGrace); {
		case !t.done:
			open = append(open, t)
		case t.pruned:
		case now().Before(due):
			rest = minTime(rest, due)
		default:
			ripe = append(ripe, t)
		}
	}
	s.metrics.left.Set(float64(len(open)))
	if s.PerPass <= 0 || len(open) == 0 && len(ripe) == 0 {
		s.current, s.idleUntil = nil, rest
		return nil
	}
	if len(open) == 0 {
		s.current = nil
	}
	if err := s.prune(ctx, ripe, p); err != nil {
		return err
	}
	return s.build(ctx, open, p)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// build builds and packs the sidecars of tables that are not done, which are oldest first, as far as there is room.
func (s *SidecarBuilder) build(ctx context.Context, tables []*pastTable, p *sidecarPass) error {
	if len(tables) == 0 {
		return nil
	}
	if err := os.MkdirAll(s.Bucket.Dir, 0o777); err != nil {
		return fmt.Errorf("cannot make room for index files: %w", err)
	}
	if s.bare == nil {
		s.bare = map[string]int{}
	}
	if s.current == nil {
		s.current = map[uint64]struct{}{}
	}
	for i := len(tables) - 1; i >= 0 && p.room > 0 && p.peeks > 0; i-- {
		t := tables[i]
		old, err := openPacks(ctx, s.chunksOf(&t.Table), t.packs)
		if err != nil {
			return err
		}
		done, err := s.table(ctx, t, old, p)
		if err != nil {
			return fmt.Errorf("cannot build sidecars of table %s: %w", t.Name, err)
		}
		if done {
			if err := s.finish(ctx, t, old, p); err != nil {
				return err
			}
			s.metrics.left.Dec()
		}
	}
	return nil
}

// finish packs the sidecars of a table all of whose chunks were looked at, and notes that it is done.
func (s *SidecarBuilder) finish(ctx context.Context, t *pastTable, old *oldPacks, p *sidecarPass) error {
	packs, err := s.pack(ctx, t, old, p)
	if err != nil {
		return fmt.Errorf("cannot pack the sidecars of table %s: %w", t.Name, err)
	}
	delete(s.bare, t.doneKey())
	return s.note(ctx, t, packs)
}

// errEnough ends the walk through a file.
var errEnough = errors.New("enough for this pass")

// sidecarPass is what a pass shares between tables.
type sidecarPass struct {
	// own are the tables that there are, near the packs of those beside the one that is looked at, as far as they were asked for.
	own  map[tableDay]*pastTable
	near map[tableDay]*oldPacks
	// there are the sidecars that lay alone at its beginning, read the chunks that it has read; both are hashes of keys.
	there []uint64
	read  map[uint64]bool
	// room is how many chunks it may still read, peeks how many beginnings of sidecars.
	room, peeks int
}

// table builds the missing sidecars of a table as far as there is room, and reports whether all chunks were looked at.
func (s *SidecarBuilder) table(ctx context.Context, t *pastTable, old *oldPacks, p *sidecarPass) (done bool, err error) {
	// Chunks that need no sidecar are passed over the next time by their number.
	bare, skip := 0, s.bare[t.doneKey()]
	defer clear(p.near)
	for i := range t.Files {
		err := s.Bucket.Scan(ctx, &t.Table, &t.Files[i], Visitor{Chunk: func(n Named) error {
			if packed, err := s.packed(ctx, t, old, n.ChunkRef, p); packed || err != nil {
				return err
			}
			name := s.Bucket.nameOf(n.ChunkRef)
			h := hashOf("", name.Key())
			if good, err := s.good(ctx, p, name, h); good || err != nil {
				return err
			}
			if bare < skip {
				bare++
				return nil
			}
			if p.room <= 0 {
				return errEnough
			}
			p.room--
			p.read[h] = true
			built, err := s.buildOne(ctx, name)
			if !built {
				bare++
			}
			return err
		}})
		if errors.Is(err, errEnough) {
			s.bare[t.doneKey()] = bare
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// packed reports whether the sidecar of a chunk that a table names is in a pack, or will be looked for with the table of the day on which
// the chunk begins.
func (s *SidecarBuilder) packed(ctx context.Context, t *pastTable, old *oldPacks, ref model.ChunkRef, p *sidecarPass) (bool, error) {
	own := s.Bucket.ownTable(ref)
	other := p.own[own]
	switch {
	case other == nil:
		return false, nil
	case other == t:
		return old.has(ref), nil
	case !other.done:
		return true, nil
	}
	packs := p.near[own]
	if packs == nil {
		var err error
		if packs, err = openPacks(ctx, s.chunksOf(&other.Table), other.packs); err != nil {
			return false, err
		}
		p.near[own] = packs
	}
	return packs.has(ref), nil
}

// good reports whether a chunk, the hash of whose key is h, has a sidecar that lies alone and can be read, or was read in this pass.
func (s *SidecarBuilder) good(ctx context.Context, p *sidecarPass, name schema.ChunkName, h uint64) (bool, error) {
	if p.read[h] {
		return true, nil
	}
	if _, ok := slices.BinarySearch(p.there, h); !ok || s.Current == nil {
		return ok, nil
	}
	if _, ok := s.current[h]; ok {
		return true, nil
	}
	if p.peeks <= 0 {
		return false, errEnough
	}
	p.peeks--
	ok, err := s.Current(ctx, name)
	if ok {
		s.current[h] = struct{}{}
	}
	return ok, err
}

func (s *SidecarBuilder) buildOne(ctx context.Context, name schema.ChunkName) (built bool, err error) {
	built, err = s.Build(ctx, name)
	result := "small"
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, objstore.ErrNotFound), errors.Is(err, chunk.ErrCorrupt), errors.Is(err, chunk.ErrForeign):
		result = "failed"
	case err != nil:
		return false, err
	case built:
		result = "built"
		s.current[hashOf("", name.Key())] = struct{}{}
	}
	s.metrics.chunks.WithLabelValues(result).Inc()
	return built, nil
}
