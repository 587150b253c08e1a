package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuckets(t *testing.T) {
	f := func(start, step int64, n int, interval, offset time.Duration) {
		t.Helper()
		s := steps{start: start, step: step, n: n}
		b := newBuckets(s, interval, offset)
		inWindow := func(ts int64) bool {
			for k := range n {
				end := s.at(k) - int64(offset)
				if ts > end-int64(interval) && ts <= end {
					return true
				}
			}
			return false
		}
		low, high := start-int64(interval)-int64(offset)-5, s.at(n-1)-int64(offset)+5
		for ts := low; ts <= high; ts++ {
			j := b.index(ts)
			require.Equal(t, inWindow(ts), b.wanted(j), "ts %d bucket %d", ts, j)
			require.Equal(t, inWindow(ts), b.touches(ts, ts))
			for k := range n {
				end := s.at(k) - int64(offset)
				require.Equal(t, ts > end-int64(interval) && ts <= end, b.from[k] <= j && j < b.to[k])
			}
		}
		require.True(t, b.touches(low, high) == (interval > 0))
		first, last := b.span()
		require.False(t, inWindow(first-1) || inWindow(last+1))
	}
	f(100, 10, 5, 10, 0)  // windows side by side
	f(100, 10, 5, 3, 0)   // gaps
	f(100, 10, 5, 25, 0)  // overlaps that are no multiple of the step
	f(100, 10, 5, 40, 7)  // offset
	f(100, 10, 5, 40, -7) // negative offset
	f(100, 1, 1, 30, 0)   // instant
	f(100, 10, 3, 0, 0)   // empty windows
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		f(r.Int64N(50), 1+r.Int64N(9), 1+r.IntN(8), time.Duration(1+r.Int64N(30)), time.Duration(r.Int64N(20)-10))
	}
}

func TestSteps(t *testing.T) {
	s, err := newSteps(Params{Start: 100, End: 130, Step: 10})
	require.NoError(t, err)
	require.Equal(t, steps{start: 100, step: 10, n: 4}, s)
	s, err = newSteps(Params{Start: 100, End: 139, Step: 10})
	require.NoError(t, err)
	require.Equal(t, 4, s.n)
	s, err = newSteps(Params{Start: 5, End: 139, Instant: true})
	require.NoError(t, err)
	require.Equal(t, 1, s.n)
	require.Equal(t, int64(139), s.at(0))
	s, err = newSteps(Params{Start: 100, End: 99, Step: 10})
	require.NoError(t, err)
	require.Zero(t, s.n)
	_, err = newSteps(Params{Start: 100, End: 101})
	require.ErrorIs(t, err, ErrStep)
	_, err = newSteps(Params{Start: 0, End: 1 << 60, Step: 1})
	require.ErrorIs(t, err, ErrStep)
}
