package ring

import (
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// randomEntries makes entries that often meet: few IDs, few versions, and bodies that differ in the last place only.
func randomEntries(rnd *rand.Rand) []entry {
	out := make([]entry, rnd.IntN(6))
	for i := range out {
		e := entry{ID: string(rune('a' + rnd.IntN(3))), Beat: rnd.Uint64N(4)}
		if e.Body.Version = rnd.Uint64N(4); e.Body.Version > 0 {
			e.Body.Incarnation, e.Body.State, e.Body.Registered = rnd.Uint64N(2), State(rnd.IntN(5)), rnd.Uint64N(2)
			e.Body.Addr = []string{"", "x:1", "y:2"}[rnd.IntN(3)]
			for t := range uint32(4) {
				if rnd.IntN(2) == 0 {
					e.Body.Tokens = append(e.Body.Tokens, t<<30)
				}
			}
		}
		out[i] = e
	}
	return out
}

func merged(lists ...[]entry) state {
	s := state{}
	for _, l := range lists {
		s.merge(l)
	}
	return s
}

// Messages may come in any order, in any grouping and more than once: all members end up with the same.
func TestMergeLaws(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		a, b, c := randomEntries(rnd), randomEntries(rnd), randomEntries(rnd)
		ab, ba := merged(a, b), merged(b, a)
		require.Empty(t, cmp.Diff(ab, ba), "commutative")
		left, right := merged(ab.entries(), c), merged(a, merged(b, c).entries())
		require.Empty(t, cmp.Diff(left, right), "associative")
		again := maps.Clone(left)
		require.Empty(t, again.merge(left.entries()), "idempotent: nothing is new")
		require.Empty(t, cmp.Diff(left, again))
		// What a merge reports as changed is all that another member needs.
		other := merged(a)
		for _, change := range merged(a).merge(b) {
			other.merge([]entry{change.entry})
		}
		require.Empty(t, cmp.Diff(ab, other))
	}
}

func TestLaterBodyWins(t *testing.T) {
	active := entry{ID: "a", Body: body{Version: 5, State: Active}, Beat: 9}
	s := merged([]entry{active})
	require.Empty(t, s.merge([]entry{{ID: "a", Body: body{Version: 4, State: Left}, Beat: 8}}))
	changes := s.merge([]entry{{ID: "a", Beat: 10}})
	require.Len(t, changes, 1)
	require.True(t, changes[0].newBeat)
	require.False(t, changes[0].newBody)
	require.Equal(t, Active, s["a"].Body.State)
	s.merge([]entry{{ID: "a", Body: body{Version: 5, State: Left}}})
	require.Equal(t, Left, s["a"].Body.State, "at the same time the further state wins")
	require.EqualValues(t, 10, s["a"].Beat)
}

var goldenEntries = []entry{
	{ID: "loki-1", Beat: 1700000000123, Body: body{
		Version: 1700000000000, Incarnation: 1700000000000 << 20, State: Active, Registered: 1690000000000, Addr: "10.0.0.1:9095",
		HTTPAddr: "10.0.0.1:3100", Zone: "z", Build: "v1", Tokens: []uint32{0, 7, 1 << 31, 1<<32 - 1},
	}},
	{ID: "loki-2", Beat: 5},
}

const golden = "6c73723100" + "02" + "066c6f6b692d31" + "80d095ffbc31" + "80808080e8cabfde18" + "02" + "8088e6de9731" +
	"0d31302e302e302e313a39303935" + "0d31302e302e302e313a33313030" + "017a" + "027631" + "04" + "00" + "07" + "f9ffffff07" + "ffffffff07" +
	"fbd095ffbc31" + "066c6f6b692d32" + "00" + "05"

func TestGolden(t *testing.T) {
	b, err := encodeState(goldenEntries, false)
	require.NoError(t, err)
	require.Equal(t, golden, hex.EncodeToString(b[:len(b)-4]))
	for _, packed := range []bool{false, true} {
		b, err := encodeState(goldenEntries, packed)
		require.NoError(t, err)
		got, err := decodeState(b)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(goldenEntries, got))
		for i := range b {
			_, err := decodeState(b[:i])
			require.ErrorIs(t, err, errBadState)
			bad := slices.Clone(b)
			bad[i] ^= 0x40
			_, err = decodeState(bad)
			require.ErrorIs(t, err, errBadState)
		}
	}
}

// FuzzDecodeState: any bytes are a state or an error, and what is read is written and read again the same.
func FuzzDecodeState(f *testing.F) {
	for _, packed := range []bool{false, true} {
		b, err := encodeState(goldenEntries, packed)
		require.NoError(f, err)
		f.Add(b[stateHeaderSize:len(b)-4], packed)
	}
	f.Add([]byte{1, 1, 'a', 1, 0, 5}, false)
	f.Fuzz(func(t *testing.T, payload []byte, packed bool) {
		flags := byte(0)
		if packed {
			flags = flagCompressed
		}
		entries, err := decodeState(appendSum(append(append([]byte(stateMagic), flags), payload...)))
		if err != nil {
			require.ErrorIs(t, err, errBadState)
			return
		}
		b, err := encodeState(entries, packed)
		require.NoError(t, err)
		again, err := decodeState(b)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(entries, again))
		merged(entries)
	})
}
