package enginetest

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// Options say how entries are put into chunks.
type Options struct {
	// BlockEntries and PieceEntries are how many entries a block and a piece have at most; zero means 1000 and 10000.
	BlockEntries, PieceEntries int
	// Replicas is how many times every entry is stored, in chunks cut at different places; zero means once.
	Replicas int
	// Live leaves the last block of each piece as it was written: not compressed, not in order, with its repeats.
	Live bool
	// Tenant is put on every stream of Select.
	Tenant string
	// Encoding of the blocks; the zero value is none.
	Encoding compress.Encoding
	// Described makes pieces show an outline, with descriptions of their sealed blocks, by these options.
	Described *sidecar.Options
	// Bare leaves every so many-th piece of a stream without an outline; zero leaves none.
	Bare int
}

// Source holds entries in memory. It is safe for concurrent use once it is filled.
type Source struct {
	opts    Options
	mu      sync.Mutex
	streams map[string]*stream
	order   []*stream
	// Opened counts the calls of Piece.Open, Outlined those of Outline, Read the blocks that were read by outlines.
	Opened, Outlined, Read atomic.Int64
}

type stream struct {
	labels  labels.Labels
	entries []model.Entry
	pieces  []logql.Piece
}

// New returns an empty source.
func New(opts Options) *Source {
	if opts.BlockEntries <= 0 {
		opts.BlockEntries = 1000
	}
	if opts.PieceEntries <= 0 {
		opts.PieceEntries = 10000
	}
	if opts.Replicas <= 0 {
		opts.Replicas = 1
	}
	return &Source{opts: opts, streams: map[string]*stream{}}
}

// Add appends an entry to the stream of the labels.
func (s *Source) Add(l labels.Labels, e model.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := l.String()
	st := s.streams[key]
	if st == nil {
		st = &stream{labels: l}
		s.streams[key] = st
		s.order = append(s.order, st)
	}
	st.entries = append(st.entries, e)
	st.pieces = nil
}

// Select implements logql.Source.
func (s *Source) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	var out []logql.Stream
	err := s.each(ctx, sel, func(st *stream) error {
		pieces, err := s.build(st)
		if err != nil {
			return err
		}
		o := logql.Stream{Labels: st.labels, Tenant: s.opts.Tenant}
		for _, p := range pieces {
			if first, last := p.Bounds(); sel.Interval.Overlaps(first, last) {
				o.Pieces = append(o.Pieces, p)
			}
		}
		if len(o.Pieces) > 0 {
			out = append(out, o)
		}
		return nil
	})
	return out, err
}

// each calls fn for the streams that match and have entries in the interval.
func (s *Source) each(ctx context.Context, sel logql.Selection, fn func(*stream) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if sel.ShardCount > 0 && labels.StableHash(st.labels)%sel.ShardCount != sel.ShardIndex {
			continue
		}
		if slices.ContainsFunc(sel.Matchers, func(m *labels.Matcher) bool { return !m.Matches(st.labels.Get(m.Name)) }) {
			continue
		}
		if err := fn(st); err != nil {
			return err
		}
	}
	return nil
}

// LabelNames implements logql.Source.
func (s *Source) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	seen := map[string]bool{}
	err := s.each(ctx, sel, func(st *stream) error {
		st.labels.Range(func(l labels.Label) { seen[l.Name] = true })
		return nil
	})
	return sortedKeys(seen), err
}

// LabelValues implements logql.Source.
func (s *Source) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	seen := map[string]bool{}
	err := s.each(ctx, sel, func(st *stream) error {
		if st.labels.Has(name) {
			seen[st.labels.Get(name)] = true
		}
		return nil
	})
	return sortedKeys(seen), err
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Series implements logql.Source.
func (s *Source) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	var out []labels.Labels
	err := s.each(ctx, sel, func(st *stream) error {
		out = append(out, st.labels)
		return nil
	})
	return out, err
}

// build cuts the entries of a stream into pieces, if that was not done before. The caller holds the lock.
func (s *Source) build(st *stream) ([]logql.Piece, error) {
	if st.pieces != nil {
		return st.pieces, nil
	}
	for r := range s.opts.Replicas {
		// Replicas are cut elsewhere.
		rest := st.entries
		for n := max(1, s.opts.PieceEntries*(r+1)/s.opts.Replicas); len(rest) > 0; n = s.opts.PieceEntries {
			n = min(n, len(rest))
			c, err := s.chunk(st.labels, rest[:n])
			if err != nil {
				return nil, err
			}
			p := &piece{source: s, chunk: c}
			bare := s.opts.Bare > 0 && len(st.pieces)%s.opts.Bare == 0
			if st.pieces = append(st.pieces, p); s.opts.Described != nil && !bare {
				st.pieces[len(st.pieces)-1], err = describe(p, *s.opts.Described)
			}
			if err != nil {
				return nil, err
			}
			rest = rest[n:]
		}
	}
	return st.pieces, nil
}

func (s *Source) chunk(l labels.Labels, entries []model.Entry) (*chunk.Chunk, error) {
	version := byte(chunk.Version3)
	if slices.ContainsFunc(entries, func(e model.Entry) bool { return len(e.Metadata) > 0 }) {
		version = chunk.Version4
	}
	b := chunk.NewBuilder(version)
	cut := func() error {
		index, raw, ok := b.Cut()
		if !ok {
			return nil
		}
		sealed, err := chunk.Seal(raw, s.opts.Encoding)
		if err != nil {
			return err
		}
		b.Replace(index, sealed)
		return nil
	}
	for _, e := range entries {
		if err := b.Append(e.Timestamp, []byte(e.Line), e.Metadata); err != nil {
			return nil, err
		}
		if b.HeadEntries() >= s.opts.BlockEntries {
			if err := cut(); err != nil {
				return nil, err
			}
		}
	}
	if !s.opts.Live {
		if err := cut(); err != nil {
			return nil, err
		}
	}
	c := b.Chunk()
	c.Labels = l
	return c, nil
}

// piece is a chunk in memory.
type piece struct {
	source *Source
	chunk  *chunk.Chunk
}

// Key implements logql.Piece.
func (p *piece) Key() string { return "" }

// Bounds implements logql.Piece. They are those of whole milliseconds, as in the bucket's keys.
func (p *piece) Bounds() (first, last int64) {
	first, last = math.MaxInt64, math.MinInt64
	for i := range p.chunk.Blocks {
		first, last = min(first, p.chunk.Blocks[i].MinTime), max(last, p.chunk.Blocks[i].MaxTime)
	}
	const ms = int64(1e6)
	return first / ms * ms, (last + ms - 1) / ms * ms
}

// Open implements logql.Piece.
func (p *piece) Open(ctx context.Context) (*chunk.Chunk, error) {
	p.source.Opened.Add(1)
	return p.chunk, ctx.Err()
}
