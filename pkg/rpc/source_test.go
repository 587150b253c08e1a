package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
)

// memorySource has streams of pieces of all kinds.
type memorySource struct {
	asked   logql.Selection
	tenant  string
	streams []logql.Stream
	err     error
	opened  atomic.Int64
}

type memoryPiece struct {
	source *memorySource
	key    string
	size   int
	n      int
}

func (p *memoryPiece) Key() string            { return p.key }
func (p *memoryPiece) Bounds() (int64, int64) { return int64(-p.n), int64(p.n) }
func (p *memoryPiece) Size() int              { return p.size }
func (p *memoryPiece) Open(context.Context) (*chunk.Chunk, error) {
	p.source.opened.Add(1)
	if p.n < 0 {
		return nil, errors.New("cannot be opened")
	}
	b := chunk.NewBuilder(chunk.Version3)
	for i := range p.n {
		if err := b.Append(int64(i), fmt.Appendf(nil, "line %d of %d", i, p.n), nil); err != nil {
			return nil, err
		}
	}
	return b.Chunk(), nil
}

type bucketPiece struct {
	memoryPiece
	ref model.ChunkRef
}

func (p *bucketPiece) Ref() model.ChunkRef { return p.ref }

func (s *memorySource) note(ctx context.Context, sel logql.Selection) error {
	s.asked = sel
	s.tenant, _ = tenant.ID(ctx)
	return s.err
}

func (s *memorySource) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	return s.streams, s.note(ctx, sel)
}

func (s *memorySource) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	return []string{"a", "b"}, s.note(ctx, sel)
}

func (s *memorySource) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	return []string{name + "1"}, s.note(ctx, sel)
}

func (s *memorySource) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	var out []labels.Labels
	for i := range s.streams {
		out = append(out, s.streams[i].Labels)
	}
	return out, s.note(ctx, sel)
}

func testSelection() logql.Selection {
	var matchers []*labels.Matcher
	for i, t := range []labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp} {
		matchers = append(matchers, labels.MustNewMatcher(t, fmt.Sprint("l", i), "v.*"))
	}
	return logql.Selection{Matchers: matchers, Interval: model.Interval{Start: -5, End: 1 << 60}, ShardIndex: 2, ShardCount: 7}
}

func requireSameSelection(t *testing.T, want, got logql.Selection) {
	t.Helper()
	require.Equal(t, want.Interval, got.Interval)
	require.Equal(t, [2]uint64{want.ShardIndex, want.ShardCount}, [2]uint64{got.ShardIndex, got.ShardCount})
	require.Equal(t, fmt.Sprint(want.Matchers), fmt.Sprint(got.Matchers))
}

// lines returns what a piece holds.
func lines(t *testing.T, ctx context.Context, p logql.Piece) []string {
	t.Helper()
	c, err := p.Open(ctx)
	require.NoError(t, err)
	var out []string
	it := chunk.Iterate(c)
	defer it.Close()
	for it.Next() {
		out = append(out, string(it.Line()))
	}
	require.NoError(t, it.Err())
	return out
}

func TestSource(t *testing.T) {
	m := startMember(t, testConfig())
	src := &memorySource{}
	ref := model.ChunkRef{Tenant: "acme", Fingerprint: 1 << 63, From: -1, Through: 5, Checksum: 1 << 31}
	for i := range 2000 {
		src.streams = append(src.streams, logql.Stream{
			Labels: labels.FromStrings("app", "x", "n", fmt.Sprint(i)),
			Pieces: []logql.Piece{&memoryPiece{source: src, n: 3 + i%10, size: 100}},
		})
	}
	src.streams[7].Pieces = append(src.streams[7].Pieces,
		&memoryPiece{source: src, n: 50_000, size: 2 << 20, key: "some:key"}, &bucketPiece{ref: ref}, &memoryPiece{source: src, n: -1, size: 1 << 20})
	m.HandleSource(src)
	p := startPool(t, testConfig(), nil)
	var got model.ChunkRef
	remote := p.Source(m.addr, func(r model.ChunkRef) logql.Piece {
		got = r
		return &bucketPiece{ref: r}
	})
	ctx, cancel := context.WithCancel(tenant.Inject(t.Context(), "acme"))
	defer cancel()
	streams, err := remote.Select(ctx, testSelection())
	require.NoError(t, err)
	require.Equal(t, "acme", src.tenant)
	requireSameSelection(t, testSelection(), src.asked)
	require.Len(t, streams, 2000)
	require.Equal(t, int64(2000), src.opened.Load(), "small pieces come with the selection")
	for i, s := range streams {
		require.Equal(t, src.streams[i].Labels, s.Labels)
		first, last := s.Pieces[0].Bounds()
		require.Equal(t, [2]int64{int64(-3 - i%10), int64(3 + i%10)}, [2]int64{first, last})
		require.Len(t, lines(t, ctx, s.Pieces[0]), 3+i%10)
	}
	require.Len(t, streams[7].Pieces, 4)
	require.Equal(t, "some:key", streams[7].Pieces[1].Key())
	require.Len(t, lines(t, ctx, streams[7].Pieces[1]), 50_000)
	require.Equal(t, ref, got)
	_, err = streams[7].Pieces[3].Open(ctx)
	require.ErrorContains(t, err, "cannot be opened")
	cancel()
	require.Eventually(t, func() bool {
		_, err := streams[7].Pieces[1].Open(tenant.Inject(t.Context(), "acme"))
		return err != nil
	}, eventually, tick, "the member lets go of a selection when the query has ended")
	ctx = tenant.Inject(t.Context(), "acme")
	names, err := remote.LabelNames(ctx, testSelection())
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, names)
	values, err := remote.LabelValues(ctx, "x", testSelection())
	require.NoError(t, err)
	require.Equal(t, []string{"x1"}, values)
	requireSameSelection(t, testSelection(), src.asked)
	series, err := remote.Series(ctx, testSelection())
	require.NoError(t, err)
	require.Len(t, series, 2000)
	require.True(t, slices.ContainsFunc(series, func(l labels.Labels) bool { return labels.Equal(l, src.streams[9].Labels) }))
	src.err = errors.New("not now")
	_, err = remote.Select(ctx, testSelection())
	require.ErrorContains(t, err, "not now")
	_, err = remote.Series(ctx, testSelection())
	require.ErrorContains(t, err, "not now")
}

func FuzzSelect(f *testing.F) {
	f.Add([]byte{1, messageStreams, 1, 1, 'a', 1, 'b', 1, pieceInline, 0, 0, 0, 1, 1})
	f.Add(appendSelection([]byte{1}, testSelection()))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &selectReader{source: &Source{bucket: func(model.ChunkRef) logql.Piece { return &bucketPiece{} }}, selection: &remoteSelection{}}
		_ = r.message(b) // it must not panic
		d := newDecoder(b)
		_ = d.selection()
		_, _ = readStrings(b)
	})
}
