package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
)

// SidecarConfig says what sidecars hold and how many of them stay in memory.
type SidecarConfig struct {
	// Enabled writes sidecars and uses them.
	Enabled bool
	// FilterBits is the size of filters in bits for each key; 0 writes none.
	FilterBits float64
	// MaxShare bounds a sidecar by the size of its chunk.
	MaxShare float64
	// MinChunk is the size of chunks below which they have no sidecar: to read it would cost as much.
	MinChunk int
	// CacheBytes is how much memory sidecars that were read may take.
	CacheBytes int64
}

// DefaultSidecarConfig writes sidecars of about a tenth of a chunk.
var DefaultSidecarConfig = SidecarConfig{Enabled: true, FilterBits: 6, MaxShare: 0.12, MinChunk: 16 << 10, CacheBytes: 64 << 20}

// Validate reports the first setting that cannot work.
func (c SidecarConfig) Validate() error {
	switch {
	case c.FilterBits < 0 || c.FilterBits > 32:
		return fmt.Errorf("sidecar.filter_bits must be from 0 to 32, not %g", c.FilterBits)
	case c.MaxShare < 0 || c.MaxShare > 1:
		return fmt.Errorf("sidecar.max_share must be from 0 to 1, not %g", c.MaxShare)
	case c.MinChunk < 0 || c.CacheBytes < 0:
		return errors.New("sidecar: sizes must not be negative")
	}
	return nil
}

const (
	// rowBytes is about what a block's row takes in a sidecar.
	rowBytes = 56
	// keyBytes is about what a chunk's key takes in its sidecar and in the directory of a pack. Each block leaves room for it, as it may be
	// the only one.
	keyBytes = 96
)

// DescribeBlock makes the sidecar's part of a block that was loaded and walked, the compressed size of which is given.
func (c SidecarConfig) DescribeBlock(b *chunk.Batch, size int) sidecar.Block {
	room := max(0, int(c.MaxShare*float64(size))-rowBytes-keyBytes)
	return logql.Describe(b, sidecar.Options{BitsPerKey: c.FilterBits, MaxBytes: room})
}

// Describe makes the sidecar of a chunk object. known, which may be nil, returns blocks that were described before; the others are
// loaded.
func (c SidecarConfig) Describe(object []byte, ref model.ChunkRef, known func(*chunk.Block) (sidecar.Block, bool)) (*sidecar.Object, error) {
	opened, err := chunk.Open(object)
	if err != nil {
		return nil, err
	}
	return describe(opened, len(object), ref, c.DescribeBlock, known)
}

// describe is Describe of a chunk that was opened from an object of the given size.
func describe(opened *chunk.Chunk, size int, ref model.ChunkRef, block func(*chunk.Batch, int) sidecar.Block, known func(*chunk.Block) (sidecar.Block, bool)) (*sidecar.Object, error) {
	outline := opened.Outline()
	o := &sidecar.Object{
		Ref: ref, Size: size, Version: outline.Version, Encoding: byte(outline.Encoding),
		SymbolsOffset: outline.Symbols.Offset, SymbolsLength: outline.Symbols.Length,
		Places: make([]sidecar.Place, len(outline.Blocks)), Blocks: make([]sidecar.Block, len(outline.Blocks)),
	}
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	for i, p := range outline.Blocks {
		o.Places[i] = sidecar.Place{Offset: p.Offset, Length: p.Length, Sum: p.Sum, Size: p.Size}
		if known != nil {
			var ok bool
			if o.Blocks[i], ok = known(&opened.Blocks[i]); ok {
				continue
			}
		}
		if err := b.Load(&opened.Blocks[i]); err != nil {
			return nil, err
		}
		if err := b.Walk(); err != nil {
			return nil, err
		}
		o.Blocks[i] = block(b, p.Length)
	}
	return o, nil
}

// SidecarPrefix is where the sidecars of all tenants are in a bucket. Loki knows nothing below logstore/.
const SidecarPrefix = "logstore/sidecar/"

// sidecarKey names the sidecar of a chunk in the bucket.
func sidecarKey(ref model.ChunkRef) string {
	return fmt.Sprintf("%s%s/%x/%x-%x-%x", SidecarPrefix, ref.Tenant, ref.Fingerprint, ref.From, ref.Through, ref.Checksum)
}

// ParseSidecarKey returns of which chunk an object is the sidecar; ok is false for other objects.
func ParseSidecarKey(key string) (ref model.ChunkRef, ok bool) {
	rest, ok := strings.CutPrefix(key, SidecarPrefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return ref, false
	}
	n, err := fmt.Sscanf(parts[1]+" "+strings.ReplaceAll(parts[2], "-", " "), "%x %x %x %x", &ref.Fingerprint, &ref.From, &ref.Through, &ref.Checksum)
	ref.Tenant = parts[0]
	return ref, err == nil && n == 4 && sidecarKey(ref) == key
}

// DescribeBlock describes a block by the store's settings; see SidecarConfig.DescribeBlock.
func (s *Store) DescribeBlock(b *chunk.Batch, size int) sidecar.Block {
	return s.sidecars.cfg.DescribeBlock(b, size)
}

// StoreSidecar describes a chunk object that was stored and stores its sidecar, if it is large enough for one. See
// SidecarConfig.Describe for known.
func (s *Store) StoreSidecar(ctx context.Context, ref model.ChunkRef, object []byte, known func(*chunk.Block) (sidecar.Block, bool)) error {
	if !s.sidecars.cfg.Enabled || len(object) < s.sidecars.cfg.MinChunk {
		return nil
	}
	o, err := s.sidecars.cfg.Describe(object, ref, known)
	if err != nil {
		return fmt.Errorf("cannot describe chunk %s: %w", schema.ContentKey(ref), err)
	}
	return s.PutSidecar(ctx, o)
}

// LacksSidecar reports whether a chunk object that another replica stored is large enough for a sidecar and has none. The cache of what was
// written is believed: a sidecar that is gone since is not missed by anybody.
func (s *Store) LacksSidecar(ctx context.Context, ref model.ChunkRef, object []byte) bool {
	if !s.sidecars.cfg.Enabled || len(object) < s.sidecars.cfg.MinChunk {
		return false
	}
	key := sidecarKey(ref)
	if s.written != nil {
		if _, ok := s.written.Get(ctx, key); ok {
			return false
		}
	}
	_, err := s.storeOf(schema.ChunkName{ChunkRef: ref}).Bucket.Stat(ctx, key)
	return err != nil && !s.packed(ctx, ref)
}

// PutSidecar stores the sidecar of a chunk.
func (s *Store) PutSidecar(ctx context.Context, o *sidecar.Object) error {
	data := o.Append(nil)
	bucket := s.storeOf(schema.ChunkName{ChunkRef: o.Ref}).Bucket
	if err := bucket.Put(ctx, sidecarKey(o.Ref), data); err != nil {
		return fmt.Errorf("cannot write the sidecar of chunk %s: %w", schema.ContentKey(o.Ref), err)
	}
	if s.written != nil {
		s.written.Put(ctx, sidecarKey(o.Ref), writtenMark)
	}
	s.metrics.sidecarsStored.Inc()
	s.metrics.sidecarBytes.Add(float64(len(data)))
	s.sidecars.put(o.Ref, o, sidecar.Whole)
	s.sidecars.listings.add(o.Ref)
	s.keepSidecar(ctx, schema.ChunkName{ChunkRef: o.Ref}, data)
	return nil
}

// DeleteSidecar removes the sidecar of a chunk that lies alone, if there is one. One in a pack stays until the pack is made anew: no index
// names its chunk any more, and no other chunk has its key.
func (s *Store) DeleteSidecar(ctx context.Context, ref model.ChunkRef) error {
	s.sidecars.drop(ref)
	if err := s.storeOf(schema.ChunkName{ChunkRef: ref}).Bucket.Delete(ctx, sidecarKey(ref)); err != nil {
		return fmt.Errorf("cannot delete the sidecar of chunk %s: %w", schema.ContentKey(ref), err)
	}
	return nil
}

// BuildSidecar reads a chunk and stores its sidecar, alone. It reports false for a chunk that is too small for one. Errors are those of a
// piece.
func (s *Store) BuildSidecar(ctx context.Context, name schema.ChunkName) (bool, error) {
	o := s.storeOf(name)
	object, err := o.Bucket.Get(ctx, o.ChunkKey(name))
	if err == nil && len(object) < s.sidecars.cfg.MinChunk {
		return false, nil
	}
	if err == nil {
		_, err = chunk.OpenRef(object, name.ChunkRef)
	}
	if err != nil {
		return false, fmt.Errorf("cannot read chunk %s: %w", name.Key(), err)
	}
	return true, s.StoreSidecar(ctx, name.ChunkRef, object, nil)
}

// CurrentSidecar reports whether the sidecar of a chunk that lies alone is one of the version that is written now, as far as its beginning
// tells. One that is not there is not. Of which version those in a pack are, its name tells.
func (s *Store) CurrentSidecar(ctx context.Context, name schema.ChunkName) (bool, error) {
	data, err := s.storeOf(name).Bucket.GetRange(ctx, sidecarKey(name.ChunkRef), 0, int64(sidecar.PeekSize))
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read the sidecar of chunk %s: %w", name.Key(), err)
	}
	return sidecar.Current(data), nil
}

// firstRead is how much of a sidecar is asked for where only its columns are wanted: more than most have.
const firstRead = 32 << 10

// sidecarOf returns the sidecar of a chunk with the wanted parts at least, nil if there is none that can be used. family are the pieces that
// are asked for with it.
func (s *Store) sidecarOf(ctx context.Context, name schema.ChunkName, want sidecar.Parts, family *siblings) (*sidecar.Object, error) {
	if !s.sidecars.cfg.Enabled {
		return nil, nil
	}
	if o, known := s.sidecars.get(name.ChunkRef, want); known {
		return o, nil
	}
	if o := s.cachedSidecar(ctx, name); o != nil {
		s.sidecars.put(name.ChunkRef, o, sidecar.Whole)
		return o, nil
	}
	if o, err := s.packedSidecar(ctx, name, want, family); o != nil || err != nil {
		return o, err
	}
	if s.sidecars.listings.lacks(name.ChunkRef) || !s.sidecars.worthTrying(name.Tenant) {
		return nil, nil
	}
	o, got, err := s.fetchSidecar(ctx, name, want)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, objstore.ErrNotFound):
		s.metrics.sidecarsRead.WithLabelValues("missing").Inc()
		if s.sidecars.listings.missed(name.ChunkRef) {
			s.listStream(ctx, s.storeOf(name).Bucket, name.ChunkRef)
		}
	case err != nil:
		// A query does without.
		s.metrics.sidecarsRead.WithLabelValues("failed").Inc()
	default:
		s.metrics.sidecarsRead.WithLabelValues("read").Inc()
	}
	s.sidecars.tried(name.Tenant, o != nil)
	o, _ = s.sidecars.put(name.ChunkRef, o, got)
	return o, nil
}

// cachedSidecar returns a sidecar that is in the cache of chunks, nil if none is. One that is damaged there is none.
func (s *Store) cachedSidecar(ctx context.Context, name schema.ChunkName) *sidecar.Object {
	if s.cache == nil {
		return nil
	}
	data, ok := s.cache.Get(ctx, sidecarKey(name.ChunkRef))
	if !ok {
		return nil
	}
	o, err := openSidecar(data, name)
	if err != nil {
		return nil
	}
	s.metrics.sidecarsRead.WithLabelValues("cached").Inc()
	return o
}

// keepSidecar puts a whole sidecar into the cache of chunks, as chunks of its age are.
func (s *Store) keepSidecar(ctx context.Context, name schema.ChunkName, data []byte) {
	if s.cache != nil && !s.tooOld(name) {
		s.cache.Put(ctx, sidecarKey(name.ChunkRef), data)
	}
}

// openSidecar opens a sidecar that was read whole.
func openSidecar(data []byte, name schema.ChunkName) (*sidecar.Object, error) {
	o, layout, err := sidecar.Open(data, name.ChunkRef)
	if err == nil && layout.Filters > len(data) {
		return nil, fmt.Errorf("%w: it has %d bytes instead of %d", sidecar.ErrCorrupt, len(data), layout.Filters)
	}
	return o, err
}

// fetchSidecar reads a sidecar, without its filters if they are not wanted and not small. got are the parts that were read.
func (s *Store) fetchSidecar(ctx context.Context, name schema.ChunkName, wanted sidecar.Parts) (o *sidecar.Object, got sidecar.Parts, err error) {
	bucket, key := s.storeOf(name).Bucket, sidecarKey(name.ChunkRef)
	if wanted.Has(sidecar.Filters) {
		data, err := bucket.Get(ctx, key)
		if err != nil {
			return nil, 0, err
		}
		if o, err = openSidecar(data, name); err == nil {
			s.keepSidecar(ctx, name, data)
		}
		return o, sidecar.Whole, err
	}
	want := firstRead
	for {
		data, err := bucket.GetRange(ctx, key, 0, int64(want))
		if err != nil {
			return nil, 0, err
		}
		all := len(data) < want
		o, layout, err := sidecar.Open(data, name.ChunkRef)
		var short *sidecar.ShortError
		switch {
		case errors.As(err, &short) && !all && short.Need > want:
			want = short.Need + firstRead
		case err != nil:
			return nil, 0, err
		case layout.Columns > len(data) && !all && layout.Columns > want && wanted.Has(sidecar.Columns):
			want = layout.Columns
		case layout.Filters <= len(data):
			s.keepSidecar(ctx, name, data)
			return o, sidecar.Whole, nil
		case layout.Columns > len(data) && !all:
			return o, 0, nil
		default:
			return o, sidecar.Columns, nil // of one that was cut off, as many as there are
		}
	}
}

var _ logql.Rememberer = (*piece)(nil)

// Outline implements logql.Outliner by the chunk's sidecar.
func (p *piece) Outline(ctx context.Context, want sidecar.Parts) (logql.Outline, error) {
	o, err := p.store.sidecarOf(ctx, p.name, want, p.siblings)
	if err == nil && o == nil {
		p.bare.Store(true)
	}
	if o == nil || err != nil {
		return nil, err
	}
	return &outline{piece: p, object: o}, nil
}

// Remembered implements logql.Rememberer.
func (p *piece) Remembered(want sidecar.Parts) logql.Outline {
	if o, _ := p.store.sidecars.get(p.name.ChunkRef, want); o != nil {
		return &outline{piece: p, object: o}
	}
	return nil
}

var _ logql.Totaler = (*piece)(nil)

// Totals implements logql.Totaler.
func (p *piece) Totals() (sidecar.Totals, bool) { return p.store.sidecars.totals(&p.name.ChunkRef) }

// remember describes a chunk that is too small for a sidecar of its own, so that the next queries need not open it. In memory its
// description may be larger than in the bucket.
func (s *Store) remember(c *chunk.Chunk, size int, ref model.ChunkRef) {
	if !s.sidecars.cfg.Enabled || size >= s.sidecars.cfg.MinChunk {
		return
	}
	o, err := describe(c, size, ref, s.sidecars.cfg.describeSmall, nil)
	if err != nil {
		return // whoever reads the chunk will say so
	}
	s.sidecars.put(ref, o, sidecar.Whole)
	s.metrics.sidecarsRead.WithLabelValues("described").Inc()
}

// smallRoom is how much the description of a block of a small chunk takes at most.
const smallRoom = 4 << 10

// describeSmall describes a block of a small chunk, the size of which says little about how much there is to say.
func (c SidecarConfig) describeSmall(b *chunk.Batch, size int) sidecar.Block {
	return logql.Describe(b, sidecar.Options{BitsPerKey: c.FilterBits, MaxBytes: min(smallRoom, max(size, rowBytes))})
}

// negativeFor is how long a missing sidecar is not asked for again.
const negativeFor = 5 * time.Minute
