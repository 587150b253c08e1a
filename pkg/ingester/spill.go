package ingester

import (
	"fmt"
	"runtime"
	"slices"

	"logstore/pkg/bufpool"
	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
	"logstore/pkg/wal"
)

// smallBuffers are those of small content: streams that are moved into pages over and over need many. A buffer that a reader may hold is
// left to the garbage collector.
var smallBuffers = bufpool.New(256, 20)

// smallPiece is the size up to which a piece keeps its entries as the runs came: a quarter of a block. Beyond it they move into
// a builder. Tenants with very many streams have few entries in each: for them a builder and blocks of their own are too much.
func (i *Ingester) smallPiece() int { return i.cfg.BlockSize / 4 }

// spillItem is what one piece gives to a page.
type spillItem struct {
	p        *piece
	seqs     seqSet
	fragment fragment
}

// spill collects the small content of pieces for one page.
type spill struct {
	items []spillItem
	data  []byte
}

// takeLocked moves a piece's small content into the page that is being collected. Until the page is written queries find it in
// p.spilling.
func (w *spill) takeLocked(p *piece) {
	f := fragment{lo: uint32(len(w.data)), entries: uint32(p.smallEntries), oldest: p.smallOldest, newest: p.smallNewest}
	w.data = append(w.data, p.small...)
	f.hi = uint32(len(w.data))
	w.items = append(w.items, spillItem{p: p, seqs: p.fresh, fragment: f})
	p.spilling, p.spillingShared = p.small, p.smallShared
	p.small, p.smallShared, p.smallEntries = nil, false, 0
	p.fresh, p.logging, p.segment = seqSet{}, p.segment, 0
}

// canSpillLocked reports whether a piece has small content and nothing of it under way.
func (p *piece) canSpillLocked() bool {
	return len(p.small) > 0 && p.spilling == nil && p.logging == 0 && p.state != pieceIndexed
}

// writeSpill writes a page and lets the pieces refer to it. If the log takes no page it stays in memory.
func (i *Ingester) writeSpill(w *spill) error {
	if len(w.items) == 0 {
		return nil
	}
	pg, seg, err := i.writePage(w)
	if err != nil {
		i.log.Error("cannot write a page; it stays in memory", "err", err)
	}
	for k := range w.items {
		item := &w.items[k]
		p := item.p
		s := p.stream
		s.mu.Lock()
		if p.state != pieceIndexed {
			item.fragment.page = pg
			p.fragments = append(p.fragments, item.fragment)
			if seg == 0 {
				p.stuck = lowest(p.stuck, p.logging)
			} else if p.parts == 0 {
				p.parts = seg
			}
		}
		if !p.spillingShared {
			smallBuffers.Put(p.spilling)
		}
		p.spilling, p.logging = nil, 0
		i.accountLocked(p)
		s.mu.Unlock()
	}
	w.items, w.data = w.items[:0], w.data[:0]
	return err
}

// writePage compresses the page and logs it. The segment is 0 if the page is in memory only.
func (i *Ingester) writePage(w *spill) (*page, uint64, error) {
	var record []byte
	if i.parts != nil {
		record = appendPage(record, w)
	}
	head := len(record)
	record, err := pageEncoding.AppendCompress(record, w.data)
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot compress a page: %v", err))
	}
	pg := &page{size: len(w.data)}
	i.metrics.spilled(len(w.items), len(w.data))
	if i.parts != nil {
		at, err := i.parts.Append(record, wal.AnySegment)
		if err == nil {
			pg.file, err = i.segmentFile(at.Segment)
		}
		if err == nil {
			pg.offset, pg.skip = at.Offset, head-wal.HeaderSize
			return pg, at.Segment, nil
		}
		i.logFailed(err)
		pg.memory = slices.Clone(record[head:])
		return pg, 0, err
	}
	pg.memory = slices.Clone(record[head:])
	return pg, 0, nil
}

// segmentFile opens a segment of parts once for all pages in it.
func (i *Ingester) segmentFile(seg uint64) (*segmentFile, error) {
	if i.lastFile != nil && i.lastFileSegment == seg {
		return i.lastFile, nil
	}
	f, err := i.parts.OpenSegment(seg)
	if err != nil {
		return nil, err
	}
	i.lastFile, i.lastFileSegment = &segmentFile{f}, seg
	runtime.AddCleanup(i.lastFile, func(f wal.Source) { _ = f.Close() }, f)
	return i.lastFile, nil
}

// appendSmallLocked adds a run to the small content of a piece.
func (p *piece) appendSmall(kind byte, data []byte, entries int, oldest, newest int64) {
	need := len(data) + 1 + 5
	if cap(p.small)-len(p.small) < need {
		bigger := append(smallBuffers.Get(len(p.small)+need), p.small...)
		if !p.smallShared {
			smallBuffers.Put(p.small)
		}
		p.small, p.smallShared = bigger, false
	}
	if p.smallEntries == 0 {
		p.smallOldest, p.smallNewest = oldest, newest
	}
	p.small = appendSmallRun(p.small, kind, data)
	p.smallEntries += entries
	p.smallOldest, p.smallNewest = min(p.smallOldest, oldest), max(p.smallNewest, newest)
}

// promoteLocked moves the small content of a piece into a builder.
func (i *Ingester) promoteLocked(p *piece, pairs *[]model.Pair) {
	p.b = chunk.NewBuilder(p.version)
	p.rich = p.version >= chunk.Version4
	small, shared := p.small, p.smallShared
	p.small, p.smallShared, p.smallEntries = nil, false, 0
	if err := i.appendSmallRuns(p.b, small, pairs, func(kind byte) { i.beforeRunLocked(p, kind) }); err != nil {
		i.log.Error("BUG: cannot read back a run", "stream", p.stream.labels.String(), "err", err)
		i.metrics.lostRuns.Inc()
	}
	if !shared {
		smallBuffers.Put(small)
	}
}

// appendSmallRuns adds runs as a small piece has them to a builder. before is called before each run.
func (i *Ingester) appendSmallRuns(b *chunk.Builder, data []byte, pairs *[]model.Pair, before func(kind byte)) error {
	for len(data) > 0 {
		kind, run, rest, err := readSmallRun(data)
		if err != nil {
			return err
		}
		before(kind)
		if err := appendRun(b, kind, run, pairs); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// pieceContent is what a piece holds at a moment, to be read without the stream's lock.
type pieceContent struct {
	fragments       []fragment
	spilling, small []byte
	blocks          []chunk.Block
	// asides describe the first of the blocks.
	asides []sidecar.Block
}

func (p *piece) contentLocked() pieceContent {
	p.smallShared, p.spillingShared = true, true
	c := pieceContent{fragments: p.fragments, spilling: p.spilling, small: p.small, asides: p.asides}
	if p.b != nil {
		c.blocks = p.b.Chunk().Blocks
	}
	return c
}

// assembled is all that a piece holds at a moment, as a chunk.
type assembled struct {
	*chunk.Chunk
	// small is how many of the blocks were made of small content for this chunk; the builder's follow.
	small int
	// asides describe the first of the builder's blocks.
	asides []sidecar.Block
}

// assemble makes a chunk of all that a piece holds. Tenant and labels are set.
func (i *Ingester) assemble(p *piece) (assembled, error) {
	s := p.stream
	s.mu.Lock()
	content := p.contentLocked()
	s.mu.Unlock()
	out := assembled{Chunk: &chunk.Chunk{Labels: s.labels, Tenant: s.tenant.name, Blocks: content.blocks}, asides: content.asides}
	if len(content.fragments) == 0 && len(content.spilling) == 0 && len(content.small) == 0 {
		return out, nil
	}
	b := chunk.NewBuilder(p.version)
	rich := p.version >= chunk.Version4
	var pairs []model.Pair
	before := func(kind byte) {
		if b.HeadSize() >= i.cfg.BlockSize || kind == runRich && !rich {
			b.Cut()
			rich = rich || kind == runRich
		}
	}
	add := func(data []byte) error { return i.appendSmallRuns(b, data, &pairs, before) }
	for _, f := range content.fragments {
		data, err := i.pages.fragment(f)
		if err != nil {
			return assembled{}, err
		}
		if err := add(data); err != nil {
			return assembled{}, err
		}
	}
	if err := add(content.spilling); err != nil {
		return assembled{}, err
	}
	if err := add(content.small); err != nil {
		return assembled{}, err
	}
	old := b.Chunk().Blocks
	out.Blocks, out.small = append(old, content.blocks...), len(old)
	return out, nil
}
