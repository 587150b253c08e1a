package ingester

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// HandOver stores streams on other members, whatever their limits say. When it returns nil they are safe there.
type HandOver func(ctx context.Context, tenant string, streams []wire.Stream) error

// handOverBytes is about how much is handed over in one call.
const handOverBytes = 1 << 20

// acceptWindow is how far behind its stream an entry may be that another member hands over: any time.
const acceptWindow = time.Duration(1 << 61)

// accepting are the limits of what other members hand over: it was accepted once already.
var accepting = &limits.Limits{UnorderedWrites: true}

// Accept stores what another member hands over. It is Push, but nothing is refused for its age or the tenant's limits.
func (i *Ingester) Accept(ctx context.Context, tenant string, streams []wire.Stream) error {
	return i.push(ctx, tenant, streams, accepting, acceptWindow)
}

// handOverRest gives the pieces that could not be flushed to other members, as far as time allows. What was taken is marked as
// flushed; the rest stays in the log. All flushers have ended.
func (i *Ingester) handOverRest() {
	if i.handOver == nil || i.flushes.outstanding.Load() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), i.cfg.ShutdownTimeout-i.cfg.ShutdownTimeout*2/3)
	defer cancel()
	begin, done, left := time.Now(), 0, 0
	for k := range shardCount {
		for _, p := range i.unflushed(k) {
			err := ctx.Err()
			if err == nil {
				err = i.handOverPiece(ctx, p)
			}
			if err != nil {
				if left == 0 {
					i.log.Warn("cannot hand a chunk over to another member", "tenant", p.stream.tenant.name, "stream", p.stream.labels.String(), "err", err)
				}
				left++
				continue
			}
			i.indexed([]*piece{p})
			done++
		}
	}
	i.metrics.handedOver.Add(float64(done))
	i.log.Info("handed over to other members what could not be flushed", "chunks", done, "left", left, "duration", time.Since(begin))
}

// unflushed returns the pieces of a shard that are not indexed.
func (i *Ingester) unflushed(shard int) []*piece {
	var out []*piece
	i.streams.each(shard, func(s *stream) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.piecesLocked(func(p *piece) {
			if p.state != pieceIndexed {
				out = append(out, p)
			}
		})
	})
	return out
}

// handOverPiece sends the entries of a piece.
func (i *Ingester) handOverPiece(ctx context.Context, p *piece) error {
	c, err := i.assemble(p)
	if err != nil {
		return err
	}
	s := p.stream
	out := []wire.Stream{{Labels: s.labels, Text: labelText(s.labels), Hash: s.hash}}
	size := 0
	send := func() error {
		if len(out[0].Entries) == 0 {
			return nil
		}
		if err := i.handOver(ctx, s.tenant.name, out); err != nil {
			return err
		}
		out[0].Entries, size = out[0].Entries[:0], 0
		return nil
	}
	it := chunk.Iterate(c.Chunk)
	defer it.Close()
	for it.Next() {
		// The iterator's memory is its own; a message is made of several blocks.
		e := wire.PushEntry{Timestamp: it.Timestamp(), Line: append([]byte(nil), it.Line()...), Metadata: clonePairs(it.Metadata())}
		out[0].Entries = append(out[0].Entries, e)
		if size += e.Size() + chunk.EntryBound; size >= handOverBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("cannot read a chunk that is to be handed over: %w", err)
	}
	return send()
}

// labelText returns labels in canonical form.
func labelText(lbls labels.Labels) string {
	list := make([]labels.Label, 0, lbls.Len())
	lbls.Range(func(l labels.Label) { list = append(list, l) })
	return string(wire.AppendLabels(nil, list))
}

// clonePairs copies pairs whose memory is used again.
func clonePairs(pairs []model.Pair) []model.Pair {
	if len(pairs) == 0 {
		return nil
	}
	out := make([]model.Pair, len(pairs))
	for i, p := range pairs {
		out[i] = model.Pair{Name: strings.Clone(p.Name), Value: strings.Clone(p.Value)}
	}
	return out
}
