package changes

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

var everything = model.Interval{Start: math.MinInt64, End: math.MaxInt64}

func digest(l *Log, tenant string, first, last int64) uint64 {
	return NewView(l.State(tenant, model.Interval{Start: first, End: last + 1})).Digest(first, last)
}

func TestWritesChangeTheDigestsOfTheirMinutesOnly(t *testing.T) {
	l := NewLog()
	l.Touch("a", 100*minute, 200*minute)
	for range 300 {
		at := rand.Int64N(300 * minute)
		first := rand.Int64N(300 * minute)
		last := first + rand.Int64N(50*minute)
		before := digest(l, "a", first, last)
		other := digest(l, "b", first, last)
		l.Touch("a", at, at)
		within := at/minute >= first/minute && at/minute <= last/minute
		require.Equal(t, within, digest(l, "a", first, last) != before, "%d in [%d, %d]", at, first, last)
		require.Equal(t, other, digest(l, "b", first, last))
	}
}

func TestNegativeTimes(t *testing.T) {
	l := NewLog()
	before := digest(l, "a", -1, -1)
	l.Touch("a", -1, -1)
	require.NotEqual(t, before, digest(l, "a", -1, -1))
	require.Equal(t, []Count{{Minute: -1, Pushes: 1}}, l.State("a", everything).Counts)
}

// TestFarApart writes into more minutes than are told apart: digests change, and never stay the same by that.
func TestFarApart(t *testing.T) {
	l := NewLog()
	for i := range int64(3 * maxMinutes) {
		at := (i * 7919 % 1_000_003) * minute
		before := digest(l, "a", at, at)
		l.Touch("a", at, at)
		require.NotEqual(t, before, digest(l, "a", at, at), i)
	}
	l.Touch("a", math.MinInt64/2, math.MaxInt64/2)
	require.LessOrEqual(t, len(l.tenants["a"].counts), maxMinutes)
	before := digest(l, "a", 0, 0)
	l.Touch("a", math.MinInt64/2, math.MaxInt64/2)
	require.NotEqual(t, before, digest(l, "a", 0, 0))
}

func TestMembersMatter(t *testing.T) {
	a, b, c := NewLog(), NewLog(), NewLog()
	of := func(logs ...*Log) uint64 {
		var states []State
		for _, l := range logs {
			states = append(states, l.State("t", everything))
		}
		return NewView(states...).Digest(0, minute)
	}
	both := of(a, b)
	require.Equal(t, both, of(b, a), "the order does not matter")
	require.NotEqual(t, both, of(a), "one left")
	require.NotEqual(t, both, of(a, c), "one started anew")
	require.NotEqual(t, both, of(a, b, c), "one joined")
	b.Touch("t", 5, 5)
	require.NotEqual(t, both, of(a, b))
}

func TestStateRoundTrip(t *testing.T) {
	l := NewLog()
	for range 500 {
		at := rand.Int64N(1<<60) - 1<<59
		l.Touch("a", at, at+rand.Int64N(5*minute))
	}
	s := l.State("a", everything)
	got, err := ParseState(s.Append(nil))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(s, got))
	for i := range s.Append(nil) {
		_, err := ParseState(s.Append(nil)[:i])
		require.Error(t, err)
	}
}

func FuzzParseState(f *testing.F) {
	l := NewLog()
	l.Touch("a", 0, 10*minute)
	s := l.State("a", everything)
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseState(data)
		if err != nil {
			return
		}
		again, err := ParseState(s.Append(nil))
		if err != nil || !cmp.Equal(s, again) {
			t.Fatalf("%+v becomes %+v, %v", s, again, err)
		}
	})
}
