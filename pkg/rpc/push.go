package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/decbuf"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// pushName is the call that stores streams on a member.
const pushName = "push"

// transferName is the call by which a member hands over what it could not flush.
const transferName = "transfer"

// formatVersion is that of all messages of FORMAT.md.
const formatVersion = 1

// runHead is the size of what stands before the bytes of a run; runsEnd stands behind the last run.
const (
	runHead      = 1 + 4 + 4 + 4 + 8 + 8
	runsEnd byte = 2
)

// maxInflight bounds the bytes of unanswered pushes to one member.
const maxInflight = 64 << 20

// ErrBusy is returned by pushes to a member that has too many to answer.
var ErrBusy = fmt.Errorf("%w: too many bytes are on their way to it", wire.ErrUnavailable)

// EncodePush returns the message that stores streams, which must be less than 4 GiB. It keeps nothing of the streams.
func EncodePush(streams []*wire.Stream) []byte {
	size := 16
	for _, s := range streams {
		size += 24 + len(s.Text) + runHead
		if len(s.Runs) > 0 {
			for i := range s.Runs {
				size += runHead + len(s.Runs[i].Data)
			}
			continue
		}
		for i := range s.Entries {
			size += chunk.EntryBound + s.Entries[i].Size() + 4*len(s.Entries[i].Metadata)
		}
	}
	b := append(getMessage(size), formatVersion)
	b = binary.AppendUvarint(b, uint64(len(streams)))
	for _, s := range streams {
		b = binary.LittleEndian.AppendUint64(b, s.Hash)
		b = binary.AppendUvarint(b, uint64(len(s.Text)))
		b = append(b, s.Text...)
		if len(s.Runs) > 0 {
			for i := range s.Runs {
				b = appendRun(b, &s.Runs[i])
			}
		} else {
			b = appendRuns(b, s.Entries)
		}
		b = append(b, runsEnd)
	}
	return b
}

// appendRuns encodes entries.
func appendRuns(b []byte, entries []wire.PushEntry) []byte {
	for len(entries) > 0 {
		rich := len(entries[0].Metadata) > 0
		head := len(b)
		b = append(b, make([]byte, runHead)...)
		size, n := 0, 0
		oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
		for ; n < len(entries); n++ {
			e := &entries[n]
			if (len(e.Metadata) > 0) != rich || n > 0 && len(b)-head-runHead >= wire.RunSize {
				break
			}
			if rich {
				b = chunk.AppendRichEntry(b, e.Timestamp, e.Line, e.Metadata)
				size += e.Size()
			} else {
				b = chunk.AppendEntry(b, e.Timestamp, e.Line)
				size += len(e.Line)
			}
			oldest, newest = min(oldest, e.Timestamp), max(newest, e.Timestamp)
		}
		putRunHead(b[head:], &wire.Run{Rich: rich, Data: b[head+runHead:], Entries: n, Size: size, Oldest: oldest, Newest: newest})
		entries = entries[n:]
	}
	return b
}

// putRunHead writes what stands before the bytes of a run.
func putRunHead(h []byte, r *wire.Run) {
	h[0] = 0
	if r.Rich {
		h[0] = 1
	}
	binary.LittleEndian.PutUint32(h[1:], uint32(len(r.Data)))
	binary.LittleEndian.PutUint32(h[5:], uint32(r.Entries))
	binary.LittleEndian.PutUint32(h[9:], uint32(r.Size))
	binary.LittleEndian.PutUint64(h[13:], uint64(r.Oldest))
	binary.LittleEndian.PutUint64(h[21:], uint64(r.Newest))
}

// appendRun copies a run that is encoded.
func appendRun(b []byte, r *wire.Run) []byte {
	head := len(b)
	b = append(b, make([]byte, runHead)...)
	putRunHead(b[head:], r)
	return append(b, r.Data...)
}

// RunMemory is the memory of the runs of a push. It may be used again when nobody reads them any more.
type RunMemory struct {
	buf  []byte
	runs []wire.Run
}

// EncodeRuns encodes the entries of streams and sets their Runs, so that whoever stores or sends them copies bytes only.
func (m *RunMemory) EncodeRuns(streams []wire.Stream) {
	m.buf, m.runs = m.buf[:0], m.runs[:0]
	for i := range streams {
		s := &streams[i]
		if len(s.Runs) > 0 {
			continue
		}
		// Where the memory grows, the runs that were encoded stay in the old one.
		from, first := len(m.buf), len(m.runs)
		m.buf = appendRuns(m.buf, s.Entries)
		d := decoder{decbuf.Buf{B: m.buf[from:]}}
		for len(d.B) > 0 {
			kind := d.Byte()
			r, length := readRunHead(&d, kind == 1)
			r.Data = d.Take(uint64(length))
			m.runs = append(m.runs, r)
		}
		s.Runs = m.runs[first:len(m.runs):len(m.runs)]
	}
}

// Forget lets go of what the runs hold, before the memory is used again.
func (m *RunMemory) Forget() {
	if cap(m.buf) > maxPooledMessage {
		m.buf = nil
	}
	clear(m.runs)
}

// readRunHead reads what stands before the bytes of a run, behind its kind.
func readRunHead(d *decoder, rich bool) (r wire.Run, length uint32) {
	length = d.Le32()
	r = wire.Run{Rich: rich, Entries: int(d.Le32()), Size: int(d.Le32())}
	r.Oldest, r.Newest = int64(d.Le64()), int64(d.Le64())
	return r, length
}

// Push stores the streams of a message of EncodePush on a member, for a tenant. The error is a *wire.RefusedError, whose
// streams are those of the message, without labels, if all but some entries are stored; otherwise nothing is known to be.
func (p *Pool) Push(ctx context.Context, member, id string, message []byte) error {
	if member == p.self {
		answer, err := p.local.call(tenant.Inject(ctx, id), pushName, message)
		return pushError(member, answer, err)
	}
	timeout := time.Minute
	if end, ok := ctx.Deadline(); ok {
		timeout = time.Until(end)
	}
	done := make(chan error, 1)
	p.Send(ctx, member, id, message, timeout, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Transfers is a Pool whose pushes are what this member could not flush: nothing of them is refused.
type Transfers struct{ *Pool }

// Send stores the streams of a message, as Pool.Send does.
func (t Transfers) Send(ctx context.Context, member, id string, message []byte, timeout time.Duration, done func(error)) {
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		answer, err := t.Call(tenant.Inject(ctx, id), member, transferName, message)
		done(pushError(member, answer, err))
	}()
}

func pushError(member string, answer []byte, err error) error {
	if err != nil || len(answer) == 0 {
		return err
	}
	refused, err := readRefusals(answer)
	if err != nil {
		return fmt.Errorf("answer of %s to a push: %w", member, err)
	}
	return refused
}

// HandlePush has store called for the pushes of other members. The streams, whose Runs are set, are valid until it returns,
// but for their labels, which may be kept. Pushes that came together are stored by one call: a stream may be there several times.
func (s *Server) HandlePush(store func(ctx context.Context, tenant string, streams []wire.Stream) error) {
	s.handlePush(pushName, store)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = &lineHandler{cfg: s.cfg, store: store, labels: newLabelCache()}
}

// HandleTransfer is HandlePush for what other members could not flush.
func (s *Server) HandleTransfer(store func(ctx context.Context, tenant string, streams []wire.Stream) error) {
	s.handlePush(transferName, store)
}

func (s *Server) handlePush(name string, store func(ctx context.Context, tenant string, streams []wire.Stream) error) {
	cache := newLabelCache()
	s.Handle(name, func(ctx context.Context, req []byte) ([]byte, error) {
		id, err := tenant.ID(ctx)
		if err != nil {
			return nil, err
		}
		d := pushDecoders.Get().(*pushDecoder)
		defer d.release()
		if err := d.decode(req, cache); err != nil {
			return nil, err
		}
		err = store(ctx, id, d.streams)
		var refused *wire.RefusedError
		if errors.As(err, &refused) {
			return appendRefusals(nil, refused), nil
		}
		return nil, err
	})
}

func appendRefusals(b []byte, refused *wire.RefusedError) []byte {
	b = append(b, formatVersion)
	for i := range refused.Refusals {
		r := &refused.Refusals[i]
		b = binary.AppendUvarint(b, uint64(r.Stream))
		b = append(b, byte(r.Kind))
		for _, n := range [...]int{r.Entries, r.Bytes, r.Total, r.Limit, len(r.First)} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		for _, e := range r.First {
			b = binary.AppendVarint(b, e.Timestamp)
			b = binary.AppendVarint(b, e.Oldest)
			b = binary.AppendUvarint(b, uint64(e.Bytes))
		}
	}
	return b
}

// readRefusals is its inverse. The labels are not there: the caller has the streams.
func readRefusals(b []byte) (*wire.RefusedError, error) {
	d := newDecoder(b)
	out := &wire.RefusedError{}
	for !d.Failed() && len(d.B) > 0 {
		r := wire.Refusal{Stream: d.int(), Kind: wire.RefusalKind(d.Byte()), Entries: d.int(), Bytes: d.int(), Total: d.int(), Limit: d.int()}
		n := d.int()
		if n > wire.MaxRefusedEntries {
			d.Fail("too many entries are named")
		}
		for ; n > 0 && !d.Failed(); n-- {
			r.First = append(r.First, wire.RefusedEntry{Timestamp: d.Varint(), Oldest: d.Varint(), Bytes: d.int()})
		}
		out.Refusals = append(out.Refusals, r)
	}
	return out, d.err()
}
