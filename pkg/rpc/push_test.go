package rpc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// pushStreams are streams of all kinds of entries.
func pushStreams() []*wire.Stream {
	stream := func(lbls labels.Labels, entries ...wire.PushEntry) *wire.Stream {
		return &wire.Stream{Labels: lbls, Text: lbls.String(), Hash: labels.StableHash(lbls), Entries: entries}
	}
	var many []wire.PushEntry
	for i := range 1000 {
		many = append(many, wire.PushEntry{Timestamp: int64(1000 - i), Line: []byte(strings.Repeat("x", 300))})
	}
	pairs := []model.Pair{{Name: "a", Value: "1"}, {Name: "b", Value: ""}}
	return []*wire.Stream{
		stream(labels.FromStrings("app", "a\"b\\c\n", "x", "é")),
		stream(labels.FromStrings("app", "b"), wire.PushEntry{Timestamp: -5, Line: []byte{}}, wire.PushEntry{Timestamp: 1 << 62, Line: []byte("x")}),
		stream(labels.FromStrings("app", "c"),
			wire.PushEntry{Timestamp: 1, Line: []byte("plain")}, wire.PushEntry{Timestamp: 2, Line: []byte("rich"), Metadata: pairs},
			wire.PushEntry{Timestamp: 3, Line: []byte("rich too"), Metadata: pairs[:1]}, wire.PushEntry{Timestamp: 4, Line: []byte("plain")}),
		stream(labels.FromStrings("app", "d"), many...),
	}
}

func TestPush(t *testing.T) {
	m := startMember(t, testConfig())
	want := pushStreams()
	m.HandlePush(func(ctx context.Context, id string, streams []wire.Stream) error {
		if id != "acme" || len(streams) != len(want) {
			return errors.New("wrong tenant or number of streams")
		}
		for i := range streams {
			got := &streams[i]
			require.Equal(t, want[i].Labels.String(), got.Labels.String())
			require.Equal(t, want[i].Text, got.Text)
			require.Equal(t, want[i].Hash, got.Hash)
			require.Len(t, got.Entries, len(want[i].Entries))
			for k := range got.Entries {
				require.Equal(t, want[i].Entries[k].Timestamp, got.Entries[k].Timestamp)
				require.Equal(t, string(want[i].Entries[k].Line), string(got.Entries[k].Line))
				require.ElementsMatch(t, want[i].Entries[k].Metadata, got.Entries[k].Metadata)
			}
			runs := 0
			for _, r := range got.Runs {
				runs += r.Entries
				require.Less(t, len(r.Data), wire.RunSize+400)
			}
			require.Equal(t, len(got.Entries), runs)
		}
		require.Len(t, streams[2].Runs, 3)
		return &wire.RefusedError{Refusals: []wire.Refusal{{
			Stream: 2, Kind: wire.TooFarBehind, Entries: 2, Bytes: 11, Total: 4, Limit: 7,
			First: []wire.RefusedEntry{{Timestamp: 1, Oldest: 5}, {Timestamp: -2, Oldest: 5, Bytes: 3}},
		}}}
	})
	p := startPool(t, testConfig(), nil)
	err := p.Push(t.Context(), m.addr, "acme", EncodePush(want))
	var refused *wire.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []wire.Refusal{{
		Stream: 2, Kind: wire.TooFarBehind, Entries: 2, Bytes: 11, Total: 4, Limit: 7,
		First: []wire.RefusedEntry{{Timestamp: 1, Oldest: 5}, {Timestamp: -2, Oldest: 5, Bytes: 3}},
	}}, refused.Refusals)
	require.ErrorContains(t, p.Push(t.Context(), m.addr, "other", EncodePush(want)), "wrong tenant")
	require.ErrorIs(t, p.Push(t.Context(), m.addr, "", EncodePush(want)), tenant.ErrNoOrgID)
}

// TestBadPush changes every byte of a message: it is refused, or read as something that is sound in itself.
func TestBadPush(t *testing.T) {
	cache := newLabelCache()
	good := EncodePush(pushStreams()[1:3])
	for i := range good {
		for _, x := range []byte{1, 0x80, 0xff} {
			bad := append([]byte(nil), good...)
			bad[i] ^= x
			checkPush(t, bad, cache)
		}
		require.Error(t, new(pushDecoder).decode(good[:i], cache))
	}
}

func checkPush(t *testing.T, message []byte, cache *labelCache) {
	var d pushDecoder
	if d.decode(message, cache) != nil {
		return
	}
	for i := range d.streams {
		s := &d.streams[i]
		require.Equal(t, labels.StableHash(s.Labels), s.Hash)
		n := 0
		for _, r := range s.Runs {
			n += r.Entries
			for data := r.Data; !r.Rich && len(data) > 0; {
				ts, _, rest, err := chunk.ReadEntry(data)
				require.NoError(t, err)
				require.True(t, r.Oldest <= ts && ts <= r.Newest)
				data = rest
			}
		}
		require.Len(t, s.Entries, n)
	}
}

func FuzzPush(f *testing.F) {
	f.Add(EncodePush(pushStreams()[:3]))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, message []byte) { checkPush(t, message, newLabelCache()) })
}

func FuzzRefusals(f *testing.F) {
	f.Add(appendRefusals(nil, &wire.RefusedError{Refusals: []wire.Refusal{{Stream: 1, Kind: wire.StreamRate, First: []wire.RefusedEntry{{Timestamp: 1}}}}}))
	f.Fuzz(func(t *testing.T, message []byte) {
		_, _ = readRefusals(message) // it must not panic
	})
}
