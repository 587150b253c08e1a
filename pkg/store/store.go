package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/tenant"
	"logstore/pkg/trace"
)

// ErrUnsupported is wrapped by errors that say what a period's index store cannot do.
var ErrUnsupported = errors.New("not supported")

// Index finds streams and their chunks in the tables of spans, which belong to periods of its kind.
type Index interface {
	// Select returns the matching streams with the chunks that may hold entries of the interval: streams ascending by id,
	// each once, none without a chunk; chunks each once. The list of streams belongs to the caller; those of chunks may be shared
	// and are changed by nobody.
	Select(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error)
	// Series is Select for those who want the streams alone. The end of their interval is inclusive, and what that means
	// for a chunk that begins in its last nanosecond is the index's to say, since Loki's two indexes differ in it.
	Series(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error)
	// LabelNames and LabelValues return sorted lists without repeats.
	LabelNames(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]string, error)
	LabelValues(ctx context.Context, tenant, name string, sel logql.Selection, spans []schema.Span) ([]string, error)
}

// Writer is an Index that takes new chunks. Put returns when the rows of all entries are durable and can be looked up.
type Writer interface {
	Put(ctx context.Context, entries []schema.IndexEntry) error
}

// Cache keeps chunk objects. Get's result is not changed by anybody. A cache that fails has no entry; it logs on its own.
type Cache interface {
	Get(ctx context.Context, key string) (object []byte, ok bool)
	Put(ctx context.Context, key string, object []byte)
}

// ObjectStore is the bucket of a period.
type ObjectStore struct {
	Bucket objstore.Bucket
	// Filesystem is set for a folder, where chunk names are base64.
	Filesystem bool
	// ChunkDelimiter stands for each colon in chunk keys; empty means the colon.
	ChunkDelimiter string
}

// ChunkKey returns the name of a chunk in the bucket.
func (o ObjectStore) ChunkKey(c schema.ChunkName) string {
	if o.Filesystem {
		return schema.ChunkPath(c.ChunkRef, c.Layout)
	}
	key := c.Key()
	if o.ChunkDelimiter != "" && o.ChunkDelimiter != ":" {
		key = strings.ReplaceAll(key, ":", o.ChunkDelimiter)
	}
	return key
}

// ParseChunkKey is the inverse of ChunkKey. Other objects are an error.
func (o ObjectStore) ParseChunkKey(key string) (schema.ChunkName, error) {
	if o.Filesystem {
		return schema.ParseChunkPath(key)
	}
	if d := o.ChunkDelimiter; d != "" && d != ":" {
		// Only the last parts of a key have delimiters; a tenant may contain the character.
		if i := strings.IndexByte(key, '/'); i >= 0 {
			key = key[:i] + strings.ReplaceAll(key[i:], d, ":")
		}
	}
	return schema.ParseChunkKey(key)
}

// Deps are what a Store works with.
type Deps struct {
	Periods schema.Periods
	// Stores holds the bucket for each object_store that a period names.
	Stores map[string]ObjectStore
	// Indexes holds the index for each store that a period names. A period without one is refused when it is asked for.
	Indexes map[string]Index
	// Cache may be nil.
	Cache Cache
	// SkipWriteBackOlderThan keeps chunks that are older out of the cache when queries fetch them; zero keeps none out.
	SkipWriteBackOlderThan time.Duration
	// Replicated tells that other members may have written an object, so that it is looked for before it is written. Written remembers
	// which were, by whatever replica, lest the bucket be asked for each; it may be nil.
	Replicated bool
	Written    Cache
	// Sidecars says how chunks are described.
	Sidecars   SidecarConfig
	Registerer prometheus.Registerer
}

// Store finds, fetches and stores chunks. It is safe for concurrent use.
type Store struct {
	periods schema.Periods
	stores  []ObjectStore
	indexes map[string]Index
	cache   Cache
	skipOld time.Duration
	// replicated tells that objects are looked for before they are written.
	replicated bool
	written    Cache
	sidecars   *sidecars
	metrics    *metrics
}

var _ logql.Source = (*Store)(nil)

// New returns a store.
func New(deps Deps) (*Store, error) {
	if err := deps.Periods.Validate(); err != nil {
		return nil, err
	}
	if err := deps.Sidecars.Validate(); err != nil {
		return nil, err
	}
	s := &Store{
		periods: deps.Periods, indexes: deps.Indexes, cache: deps.Cache, skipOld: deps.SkipWriteBackOlderThan, replicated: deps.Replicated, written: deps.Written,
		sidecars: newSidecars(deps.Sidecars), metrics: newMetrics(deps.Registerer),
	}
	for i, p := range deps.Periods {
		o, ok := deps.Stores[p.ObjectStore]
		if !ok || o.Bucket == nil {
			return nil, fmt.Errorf("schema_config.configs[%d]: no bucket for object_store %q", i, p.ObjectStore)
		}
		if len(o.ChunkDelimiter) > 1 {
			return nil, fmt.Errorf("chunk_delimiter %q is longer than one character", o.ChunkDelimiter)
		}
		s.stores = append(s.stores, o)
	}
	return s, nil
}

// storeOf returns where the object of a chunk is.
func (s *Store) storeOf(c schema.ChunkName) ObjectStore { return s.stores[s.periods.At(c.From)] }

// forIndexes calls fn for each index that the interval concerns, with the spans that are its.
func (s *Store) forIndexes(sel logql.Selection, fn func(ix Index, spans []schema.Span) error) error {
	kinds := make(map[string][]schema.Span)
	var order []string
	for _, span := range s.periods.SpansOf(sel.Interval) {
		kind := s.periods[span.Period].Store
		if kinds[kind] == nil {
			order = append(order, kind)
		}
		kinds[kind] = append(kinds[kind], span)
	}
	for _, kind := range order {
		ix := s.indexes[kind]
		if ix == nil {
			p := s.periods[kinds[kind][0].Period]
			return fmt.Errorf("cannot read the schema period from %s: store %s is %w", p.From.UTC().Format("2006-01-02"), kind, ErrUnsupported)
		}
		if err := fn(ix, kinds[kind]); err != nil {
			return err
		}
	}
	return nil
}

// lookup is Index.Select or Index.Series.
type lookup func(ix Index, ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error)

// find returns the matching streams of the context's tenant.
func (s *Store) find(ctx context.Context, sel logql.Selection, look lookup) ([]schema.Series, error) {
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, err
	}
	ctx, span := trace.Start(ctx, "index lookup")
	defer func() { span.End(err) }()
	var lists [][]schema.Series
	err = s.forIndexes(sel, func(ix Index, spans []schema.Span) error {
		series, err := look(ix, ctx, id, sel, spans)
		lists = append(lists, series)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(lists) == 1 {
		return lists[0], nil
	}
	return schema.MergeSeries(lists...), nil
}

// Select implements logql.Source.
func (s *Store) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	series, err := s.find(ctx, sel, Index.Select)
	if err != nil {
		return nil, err
	}
	family, named := &siblings{store: s}, 0
	for i := range series {
		named += len(series[i].Chunks)
	}
	// Two pieces of memory for all, since there may be very many streams of few chunks.
	streams, list, pieces := make([]logql.Stream, 0, len(series)), make([]piece, named), make([]logql.Piece, 0, named)
	for i := range series {
		from := len(pieces)
		for _, c := range series[i].Chunks {
			// Rows are of milliseconds; the interval is exact to the nanosecond.
			if first, last := c.Bounds(); sel.Interval.Overlaps(first, last) {
				p := &list[len(pieces)]
				p.store, p.name, p.siblings = s, c, family
				pieces = append(pieces, p)
			}
		}
		n := len(pieces)
		if n == from {
			continue
		}
		if s.sidecars.cfg.Enabled {
			family.pieces = append(family.pieces, list[from:n:n])
		}
		streams = append(streams, logql.Stream{Labels: series[i].Labels, Pieces: pieces[from:n:n]})
	}
	s.metrics.chunksPerQuery.Observe(float64(len(pieces)))
	return streams, nil
}

// Series implements logql.Source.
func (s *Store) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	series, err := s.find(ctx, sel, Index.Series)
	if err != nil {
		return nil, err
	}
	out := make([]labels.Labels, len(series))
	for i := range series {
		out[i] = series[i].Labels
	}
	return out, nil
}

// LabelNames implements logql.Source. From schema v11 on, the streams of whole days count.
func (s *Store) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	return s.strings(ctx, sel, func(ix Index, id string, spans []schema.Span) ([]string, error) {
		return ix.LabelNames(ctx, id, sel, spans)
	})
}

// LabelValues implements logql.Source. The streams of whole days count, and only those that have all labels of the
// matchers: zone!="a" wants a zone.
func (s *Store) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	return s.strings(ctx, sel, func(ix Index, id string, spans []schema.Span) ([]string, error) {
		return ix.LabelValues(ctx, id, name, sel, spans)
	})
}

// strings merges sorted lists of all indexes.
func (s *Store) strings(ctx context.Context, sel logql.Selection, get func(ix Index, id string, spans []schema.Span) ([]string, error)) ([]string, error) {
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	err = s.forIndexes(sel, func(ix Index, spans []schema.Span) error {
		list, err := get(ix, id, spans)
		all = append(all, list...)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
