package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"logstore/pkg/chunk"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

// SidecarBuilder makes the sidecars that chunks of past days lack: Loki wrote them, or sidecars were switched off, or one was lost, or it
// is of a version that is not read any more.
//
// A table all of whose chunks were looked at gets an object, below tablesPrefix, that is named by the table, its files and the version of
// sidecars. While these stay, the table is not read again. Before it is written, the sidecars of the table's chunks are put into packs,
// which go when it does.
type SidecarBuilder struct {
	// Bucket is looked at; its Dir, which is made when it is needed, takes index files while they are read.
	Bucket *Bucket
	// Build makes one sidecar; it reports false for a chunk that needs none. *store.Store has it.
	Build func(ctx context.Context, name schema.ChunkName) (bool, error)
	// Current reports whether the sidecar of a chunk is one that can be read; *store.Store has it. Nil believes it of all.
	Current func(ctx context.Context, name schema.ChunkName) (bool, error)
	// Packed returns the sidecar of a chunk for a pack, nil if it has none; there says whether one is in the bucket. *store.Store has it.
	// Nil makes no packs.
	Packed func(ctx context.Context, name schema.ChunkName, there bool) ([]byte, error)
	// PerPass bounds the chunks that a pass reads, and the sidecars to peeksPerChunk times as many; the last table may go beyond while it is
	// packed. With 0, packs of tables that changed are removed, and nothing is made.
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
}

const (
	tablesPrefix = ownPrefix + "sidecars/tables/"
	// settled is how long after its end a day's tables are looked at: before, chunks are still flushed that bring their sidecars along.
	settled = store.Settled
	// peeksPerChunk is how many sidecars may be looked at in place of one chunk.
	peeksPerChunk = 16
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
	tables, err := s.open(ctx, now())
	if err != nil {
		return err
	}
	s.metrics.left.Set(float64(len(tables)))
	if len(tables) == 0 || s.PerPass <= 0 {
		s.current = nil
		s.idleUntil = now().Add(idle)
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
	p := &sidecarPass{read: map[uint64]bool{}, room: s.PerPass, peeks: peeksPerChunk * s.PerPass}
	if p.there, err = s.described(ctx); err != nil {
		return err
	}
	for i := len(tables) - 1; i >= 0 && p.room > 0 && p.peeks > 0; i-- {
		t := &tables[i]
		done, err := s.table(ctx, t, p)
		if err != nil {
			return fmt.Errorf("cannot build sidecars of table %s: %w", t.Name, err)
		}
		if done {
			if err := s.finish(ctx, t, p); err != nil {
				return err
			}
			s.metrics.left.Dec()
		}
	}
	return nil
}

// open returns the tables of past days that are not done, oldest first. What says so of tables that changed or went is removed, and so are
// all packs but those of tables that are done.
func (s *SidecarBuilder) open(ctx context.Context, now time.Time) ([]Table, error) {
	past := Days{From: AllDays.From, Through: schema.Day(now.Add(-settled).UnixMilli()) - 1}
	tables, err := s.Bucket.Tables(ctx, past)
	if err != nil {
		return nil, err
	}
	byKey := make(map[string]int, len(tables))
	for i := range tables {
		if len(tables[i].Files) > 0 {
			byKey[doneKey(&tables[i])] = i
		}
	}
	seen, done := map[objstore.Bucket]bool{}, map[string]bool{}
	for _, b := range s.Bucket.Index {
		if seen[b] {
			continue
		}
		seen[b] = true
		var stale []string
		err := b.List(ctx, tablesPrefix, func(o objstore.ObjectInfo) error {
			if i, ok := byKey[o.Key]; ok {
				done[stateOf(&tables[i])] = true
			} else {
				stale = append(stale, o.Key)
			}
			delete(byKey, o.Key)
			return nil
		})
		for _, key := range stale {
			err = errors.Join(err, b.Delete(ctx, key))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot tell which tables have all sidecars: %w", err)
		}
	}
	if err := s.removePacks(ctx, done); err != nil {
		return nil, err
	}
	var open []Table
	for i := range tables {
		if _, ok := byKey[doneKey(&tables[i])]; ok {
			open = append(open, tables[i])
		}
	}
	return open, nil
}

// doneKey names the object that says that all chunks of a table, as its files are now, were looked at.
func doneKey(t *Table) string {
	return tablesPrefix + strings.ReplaceAll(t.Name, "/", "-") + "-" + stateOf(t)
}

// stateOf is a hash of the files of a table, and of the versions of what is made of its chunks.
func stateOf(t *Table) string {
	h := fnv.New128a()
	_, _ = h.Write([]byte{sidecar.Version, sidecar.PackVersion}) // never fails
	for i := range t.Files {
		_, _ = h.Write([]byte(t.Files[i].Key + "\n")) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// finish packs the sidecars of a table all of whose chunks were looked at, and notes that it is done.
func (s *SidecarBuilder) finish(ctx context.Context, t *Table, p *sidecarPass) error {
	if err := s.pack(ctx, t, p); err != nil {
		return fmt.Errorf("cannot pack the sidecars of table %s: %w", t.Name, err)
	}
	key := doneKey(t)
	delete(s.bare, key)
	if err := s.Bucket.Index[t.Period].Put(ctx, key, nil); err != nil {
		return fmt.Errorf("cannot note that table %s has all sidecars: %w", t.Name, err)
	}
	return nil
}

// described lists the sidecars that there are, as sorted hashes of their chunks' keys.
func (s *SidecarBuilder) described(ctx context.Context) ([]uint64, error) {
	var out []uint64
	for _, o := range s.Bucket.Chunks {
		err := o.Bucket.List(ctx, store.SidecarPrefix, func(info objstore.ObjectInfo) error {
			if ref, ok := store.ParseSidecarKey(info.Key); ok {
				out = append(out, hashOf("", s.Bucket.nameOf(ref).Key()))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list sidecars in %s: %w", o.Bucket.Name(), err)
		}
	}
	slices.Sort(out)
	return out, nil
}

// errEnough ends the walk through a file.
var errEnough = errors.New("enough for this pass")

// sidecarPass is what a pass shares between tables.
type sidecarPass struct {
	// there are the sidecars that there were at its beginning, read the chunks that it has read; both are hashes of keys.
	there []uint64
	read  map[uint64]bool
	// room is how many chunks it may still read, peeks how many beginnings of sidecars.
	room, peeks int
}

// table builds the missing sidecars of a table as far as there is room, and reports whether all chunks were looked at.
func (s *SidecarBuilder) table(ctx context.Context, t *Table, p *sidecarPass) (done bool, err error) {
	// Chunks that need no sidecar are passed over the next time by their number.
	bare, skip := 0, s.bare[doneKey(t)]
	for i := range t.Files {
		err := s.Bucket.Scan(ctx, t, &t.Files[i], Visitor{Chunk: func(n Named) error {
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
			built, err := s.build(ctx, name)
			if !built {
				bare++
			}
			return err
		}})
		if errors.Is(err, errEnough) {
			s.bare[doneKey(t)] = bare
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// good reports whether a chunk, the hash of whose key is h, has a sidecar that can be read, or was read in this pass.
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

func (s *SidecarBuilder) build(ctx context.Context, name schema.ChunkName) (built bool, err error) {
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
