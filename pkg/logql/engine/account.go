package engine

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
)

// Budget is what several runs of one query may read and hold together. Its zero value is ready.
type Budget struct{ bytes, memory atomic.Int64 }

// Hold counts bytes that stay in memory between the runs, such as results; lim has the bound.
func (b *Budget) Hold(n int64, lim Limits) error { return checkMemory(b.memory.Add(n), n, lim) }

// Read counts bytes that were read elsewhere or by other means; lim has the bound.
func (b *Budget) Read(n int64, lim Limits) error { return checkRead(b.bytes.Add(n), lim) }

// BytesRead is how much was read so far.
func (b *Budget) BytesRead() int64 { return b.bytes.Load() }

// account counts what a query reads and holds, and says when that is too much.
type account struct {
	lim Limits

	memory                      atomic.Int64
	streams, chunks, blocks     atomic.Int64
	bytes, lines, passed, pairs atomic.Int64
	// skipped blocks were ruled out, described ones answered, without being read.
	skipped, described atomic.Int64
	returned           int64
}

// load decompresses the block into the batch and counts its bytes.
func (a *account) load(b *chunk.Batch, blk *chunk.Block) error {
	if err := b.Load(blk); err != nil {
		return err
	}
	a.blocks.Add(1)
	read := a.bytes.Add(int64(len(b.Buf)))
	if a.lim.Budget != nil {
		read = a.lim.Budget.bytes.Add(int64(len(b.Buf)))
	}
	return checkRead(read, a.lim)
}

func checkRead(read int64, lim Limits) error {
	if lim.MaxBytesRead > 0 && read > lim.MaxBytesRead {
		return queryErrorf(ErrMaxBytesRead, "%s (limit: %d bytes); consider adding more specific stream selectors or reduce the time range of the query",
			ErrMaxBytesRead, lim.MaxBytesRead)
	}
	return nil
}

// hold counts bytes that stay in memory until the query ends; a negative number gives them back.
func (a *account) hold(n int64) error {
	held := a.memory.Add(n)
	if a.lim.Budget != nil {
		held = a.lim.Budget.memory.Add(n)
	}
	return checkMemory(held, n, a.lim)
}

func checkMemory(held, n int64, lim Limits) error {
	if lim.MaxMemory > 0 && n > 0 && held > lim.MaxMemory {
		return queryErrorf(ErrMaxMemory, "%s (limit: %d bytes); consider aggregating by fewer labels, a longer step or a shorter time range",
			ErrMaxMemory, lim.MaxMemory)
	}
	return nil
}

// scarce reports whether more than half of the memory that the query may hold is taken, with n bytes to come.
func (a *account) scarce(n int64) bool {
	return a.lim.MaxMemory > 0 && a.held()+n > a.lim.MaxMemory/2
}

// held is how much the query holds, in all of its runs.
func (a *account) held() int64 {
	if a.lim.Budget != nil {
		return a.lim.Budget.memory.Load()
	}
	return a.memory.Load()
}

// giveBack ends a run: what it held is the result, for which the caller accounts, or nothing.
func (a *account) giveBack() {
	if a.lim.Budget != nil {
		a.lim.Budget.memory.Add(-a.memory.Load())
	}
}

func (a *account) stats(started time.Time) Stats {
	return Stats{
		Streams: a.streams.Load(), ChunksOpened: a.chunks.Load(), BlocksDecompressed: a.blocks.Load(),
		BytesProcessed: a.bytes.Load(), LinesProcessed: a.lines.Load(),
		PostFilterLines: a.passed.Load(), MetadataBytesProcessed: a.pairs.Load(),
		BlocksSkipped: a.skipped.Load(), BlocksDescribed: a.described.Load(),
		EntriesReturned: a.returned, ExecTime: time.Since(started),
	}
}

// labelBytes is about how many bytes a label set takes.
func labelBytes(l labels.Labels) int64 { return int64(l.ByteSize()) + 16 }

// metaBytes is the length of an entry's metadata.
func metaBytes(meta []model.Pair) int64 {
	n := 0
	for _, p := range meta {
		n += len(p.Name) + len(p.Value)
	}
	return int64(n)
}
