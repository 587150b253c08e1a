package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/decbuf"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
)

// The calls of a member's recent logs.
const (
	selectName      = "select"
	openName        = "open"
	labelNamesName  = "label-names"
	labelValuesName = "label-values"
	seriesName      = "series"
)

// RefPiece is a Piece whose content is a chunk in the bucket, which every member can fetch.
type RefPiece interface {
	Ref() model.ChunkRef
}

const (
	// inlineBytes is the size up to which a piece is sent with the selection: asking for it would take longer.
	inlineBytes = 16 << 10
	// inlineTotal bounds what is sent so of one selection.
	inlineTotal = 32 << 20
	// selectMessage is about the size of a message of streams.
	selectMessage = 256 << 10
)

// The kinds of pieces in a selection.
const (
	pieceInline byte = iota
	pieceLater
	pieceRef
)

// sizedPiece is a Piece that knows about how many bytes Open has to give.
type sizedPiece interface {
	Size() int
}

// selections are those whose pieces others may still ask for.
type selections struct {
	last atomic.Uint64
	mu   sync.Mutex
	byID map[uint64][]logql.Piece
}

func (s *selections) put(pieces []logql.Piece) uint64 {
	id := s.last.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id] = pieces
	return id
}

func (s *selections) drop(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

func (s *selections) piece(id uint64, n int) (logql.Piece, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pieces, ok := s.byID[id]
	if !ok || n >= len(pieces) {
		return nil, errors.New("the selection has ended")
	}
	return pieces[n], nil
}

// HandleSource answers the queries of other members over a source.
func (s *Server) HandleSource(src logql.Source) {
	open := &selections{byID: map[uint64][]logql.Piece{}}
	s.HandleStream(selectName, func(ctx context.Context, req []byte, send func([]byte) error) error {
		return serveSelect(ctx, src, open, req, send)
	})
	s.Handle(openName, func(ctx context.Context, req []byte) ([]byte, error) {
		d := newDecoder(req)
		id, n := d.Uvarint(), d.int()
		if err := d.end(); err != nil {
			return nil, err
		}
		p, err := open.piece(id, n)
		if err != nil {
			return nil, err
		}
		c, err := p.Open(ctx)
		if err != nil {
			return nil, err
		}
		return chunk.AppendTransfer(nil, c)
	})
	list := func(name string, ask func(ctx context.Context, d *decoder) ([]string, error)) {
		s.Handle(name, func(ctx context.Context, req []byte) ([]byte, error) {
			found, err := ask(ctx, newDecoder(req))
			if err != nil {
				return nil, err
			}
			return appendStrings([]byte{formatVersion}, found), nil
		})
	}
	list(labelNamesName, func(ctx context.Context, d *decoder) ([]string, error) {
		sel := d.selection()
		if err := d.end(); err != nil {
			return nil, err
		}
		return src.LabelNames(ctx, sel)
	})
	list(labelValuesName, func(ctx context.Context, d *decoder) ([]string, error) {
		sel, name := d.selection(), d.Text()
		if err := d.end(); err != nil {
			return nil, err
		}
		return src.LabelValues(ctx, name, sel)
	})
	s.Handle(seriesName, func(ctx context.Context, req []byte) ([]byte, error) {
		d := newDecoder(req)
		sel := d.selection()
		if err := d.end(); err != nil {
			return nil, err
		}
		found, err := src.Series(ctx, sel)
		if err != nil {
			return nil, err
		}
		b := binary.AppendUvarint([]byte{formatVersion}, uint64(len(found)))
		for _, l := range found {
			b = appendLabels(b, l)
		}
		return b, nil
	})
}

// serveSelect sends the streams, and keeps the pieces that were not sent with them until the caller ends the call.
func serveSelect(ctx context.Context, src logql.Source, open *selections, req []byte, send func([]byte) error) error {
	d := newDecoder(req)
	sel := d.selection()
	if err := d.end(); err != nil {
		return err
	}
	streams, err := src.Select(ctx, sel)
	if err != nil {
		return err
	}
	e := &selectEncoder{ctx: ctx, send: send}
	for i := range streams {
		if err := e.stream(&streams[i]); err != nil {
			return err
		}
	}
	if err := e.flush(); err != nil {
		return err
	}
	if len(e.later) == 0 {
		return send(binary.AppendUvarint([]byte{formatVersion, messageEnd}, 0))
	}
	id := open.put(e.later)
	defer open.drop(id)
	if err := send(binary.AppendUvarint([]byte{formatVersion, messageEnd}, id)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// The kinds of messages of a selection.
const (
	messageStreams byte = iota
	messageEnd
)

// selectEncoder gathers streams into messages.
type selectEncoder struct {
	ctx    context.Context
	send   func([]byte) error
	b      []byte
	inline int
	later  []logql.Piece
}

func (e *selectEncoder) stream(s *logql.Stream) error {
	if len(e.b) == 0 {
		e.b = append(make([]byte, 0, selectMessage+selectMessage/4), formatVersion, messageStreams)
	}
	e.b = appendLabels(e.b, s.Labels)
	e.b = binary.AppendUvarint(e.b, uint64(len(s.Pieces)))
	for _, p := range s.Pieces {
		if err := e.piece(p); err != nil {
			return err
		}
	}
	if len(e.b) >= selectMessage {
		return e.flush()
	}
	return nil
}

func (e *selectEncoder) piece(p logql.Piece) error {
	if r, ok := p.(RefPiece); ok {
		e.b = appendRef(append(e.b, pieceRef), r.Ref())
		return nil
	}
	first, last := p.Bounds()
	head := func(kind byte) {
		e.b = decbuf.AppendString(append(e.b, kind), p.Key())
		e.b = binary.AppendVarint(e.b, first)
		e.b = binary.AppendVarint(e.b, last)
	}
	if sized, ok := p.(sizedPiece); !ok || sized.Size() > inlineBytes || e.inline > inlineTotal {
		head(pieceLater)
		e.b = binary.AppendUvarint(e.b, uint64(len(e.later)))
		e.later = append(e.later, p)
		return nil
	}
	c, err := p.Open(e.ctx)
	if err != nil {
		return err
	}
	head(pieceInline)
	content, err := chunk.AppendTransfer(nil, c)
	if err != nil {
		return err
	}
	e.b = binary.AppendUvarint(e.b, uint64(len(content)))
	e.b = append(e.b, content...)
	e.inline += len(content)
	return nil
}

func (e *selectEncoder) flush() error {
	if len(e.b) == 0 {
		return nil
	}
	b := e.b
	e.b = nil
	return e.send(b)
}

// Source is the recent logs of a member.
type Source struct {
	pool   *Pool
	member string
	// bucket makes a piece of a chunk in the bucket.
	bucket func(model.ChunkRef) logql.Piece
}

var _ logql.Source = (*Source)(nil)

// Source returns the recent logs of the member at an address. Chunks that are in the bucket are made pieces by bucket.
func (p *Pool) Source(member string, bucket func(model.ChunkRef) logql.Piece) *Source {
	return &Source{pool: p, member: member, bucket: bucket}
}

// Select asks the member for its streams. Pieces can be opened until ctx ends, which it must.
func (s *Source) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, err
	}
	messages, err := s.pool.Stream(ctx, s.member, selectName, appendSelection([]byte{formatVersion}, sel))
	if err != nil {
		return nil, err
	}
	r := &selectReader{source: s, tenant: id, selection: &remoteSelection{}}
	for !r.done {
		b, err := messages.Next()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the selection ends early", errMessage)
		}
		if err == nil {
			err = r.message(b)
		}
		if err != nil {
			messages.Close()
			return nil, fmt.Errorf("cannot ask member %s for recent logs: %w", s.member, err)
		}
	}
	if r.selection.id == 0 {
		messages.Close()
	}
	return r.streams, nil
}

// remoteSelection is a selection whose pieces the member keeps.
type remoteSelection struct{ id uint64 }

// selectReader puts a selection together.
type selectReader struct {
	source    *Source
	tenant    string
	selection *remoteSelection
	streams   []logql.Stream
	done      bool
}

func (r *selectReader) message(b []byte) error {
	d := newDecoder(b)
	if d.Byte() == messageEnd {
		r.selection.id, r.done = d.Uvarint(), true
		return d.end()
	}
	for !d.Failed() && len(d.B) > 0 {
		s := logql.Stream{Labels: d.labels()}
		for n := d.Count(1); n > 0 && !d.Failed(); n-- {
			s.Pieces = append(s.Pieces, r.piece(d))
		}
		r.streams = append(r.streams, s)
	}
	return d.err()
}

func (r *selectReader) piece(d *decoder) logql.Piece {
	kind := d.Byte()
	if kind == pieceRef {
		return r.source.bucket(d.ref(r.tenant))
	}
	p := &remotePiece{source: r.source, selection: r.selection, key: d.Text(), first: d.Varint(), last: d.Varint()}
	switch kind {
	case pieceInline:
		p.content = d.Section()
	case pieceLater:
		p.number = d.int()
	default:
		d.Fail("unknown kind of piece")
	}
	return p
}

// remotePiece is a piece in the memory of a member.
type remotePiece struct {
	source      *Source
	selection   *remoteSelection
	key         string
	first, last int64
	// content is what was sent with the selection; number is that of a piece which was not.
	content []byte
	number  int
}

// Key is that of the chunk, if the member knows it already.
func (p *remotePiece) Key() string { return p.key }

// Bounds are those of the time of the Select.
func (p *remotePiece) Bounds() (first, last int64) { return p.first, p.last }

// Open fetches the content.
func (p *remotePiece) Open(ctx context.Context) (*chunk.Chunk, error) {
	content := p.content
	if content == nil {
		b := binary.AppendUvarint([]byte{formatVersion}, p.selection.id)
		b = binary.AppendUvarint(b, uint64(p.number))
		var err error
		if content, err = p.source.pool.Call(ctx, p.source.member, openName, b); err != nil {
			return nil, fmt.Errorf("cannot fetch recent logs of member %s: %w", p.source.member, err)
		}
	}
	c, err := chunk.OpenTransfer(content)
	if err != nil {
		return nil, fmt.Errorf("cannot read recent logs of member %s: %w", p.source.member, err)
	}
	return c, nil
}

// LabelNames asks the member.
func (s *Source) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	b, err := s.pool.Call(ctx, s.member, labelNamesName, appendSelection([]byte{formatVersion}, sel))
	if err != nil {
		return nil, err
	}
	return readStrings(b)
}

// LabelValues asks the member.
func (s *Source) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	b, err := s.pool.Call(ctx, s.member, labelValuesName, decbuf.AppendString(appendSelection([]byte{formatVersion}, sel), name))
	if err != nil {
		return nil, err
	}
	return readStrings(b)
}

// Series asks the member.
func (s *Source) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	b, err := s.pool.Call(ctx, s.member, seriesName, appendSelection([]byte{formatVersion}, sel))
	if err != nil {
		return nil, err
	}
	d := newDecoder(b)
	out := make([]labels.Labels, d.Count(1))
	for i := range out {
		out[i] = d.labels()
	}
	return out, d.end()
}
