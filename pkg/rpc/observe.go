package rpc

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// observeName is the stream of the pushes that a member stores.
const observeName = "observe"

// observeQueue is how many pushes may wait for a slow reader; more are dropped, as a tail is no promise.
const observeQueue = 256

// HandleObserve sends the pushes of a tenant's streams to other members. observe has its argument called for each push that is
// stored, which must not block and keeps nothing, until cancel is called.
func (s *Server) HandleObserve(observe func(fn func(tenant string, streams []wire.Stream)) (cancel func())) {
	s.HandleStream(observeName, func(ctx context.Context, req []byte, send func([]byte) error) error {
		id, err := tenant.ID(ctx)
		if err != nil {
			return err
		}
		d := newDecoder(req)
		sel := d.selection()
		if err := d.end(); err != nil {
			return err
		}
		queue := make(chan []byte, observeQueue)
		defer observe(func(who string, streams []wire.Stream) {
			if who != id {
				return
			}
			var wanted []*wire.Stream
			for i := range streams {
				if matchAll(sel.Matchers, streams[i].Labels) {
					wanted = append(wanted, &streams[i])
				}
			}
			if len(wanted) == 0 || len(queue) == cap(queue) {
				return
			}
			select {
			case queue <- EncodePush(wanted):
			default:
			}
		})()
		for {
			select {
			case message := <-queue:
				if err := send(message); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

func matchAll(matchers []*labels.Matcher, lbls labels.Labels) bool {
	for _, m := range matchers {
		if !m.Matches(lbls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Observe calls fn for the pushes that a member stores of the context's tenant, one after the other, until the context ends or
// the member fails. The streams are valid until fn returns, but for their labels, which may be kept.
func (p *Pool) Observe(ctx context.Context, member string, matchers []*labels.Matcher, fn func(streams []wire.Stream)) error {
	messages, err := p.Stream(ctx, member, observeName, appendSelection([]byte{formatVersion}, logql.Selection{Matchers: matchers}))
	if err != nil {
		return err
	}
	defer messages.Close()
	cache := newLabelCache()
	for {
		message, err := messages.Next()
		if err != nil {
			return err
		}
		d := pushDecoders.Get().(*pushDecoder)
		if err := d.decode(message, cache); err != nil {
			return errors.Join(err, ctx.Err())
		}
		fn(d.streams)
		d.release()
	}
}
