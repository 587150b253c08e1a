package querier

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/engine"
)

// TestQueueServesTheOneThatUsedLeast lets one tenant ask for much and another for little: the second does not wait for the
// first.
func TestQueueServesTheOneThatUsedLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2, 0, newMetrics(prometheus.NewRegistry()))
		var mu sync.Mutex
		var order []string
		ask := func(tenant string, takes time.Duration) {
			go func() {
				release, err := q.acquire(t.Context(), tenant)
				if err != nil {
					return
				}
				mu.Lock()
				order = append(order, tenant)
				mu.Unlock()
				time.Sleep(takes)
				release()
			}()
			synctest.Wait()
		}
		for range 20 {
			ask("greedy", time.Second)
		}
		time.Sleep(1500 * time.Millisecond)
		for range 3 {
			ask("modest", 10*time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, order, 23)
		// The last of them begins at the same instant as one of the others.
		slices.Sort(order[6:8])
		require.Equal(t, []string{"modest", "modest", "greedy", "modest"}, order[4:8], "what waited longer has used more")
		require.Zero(t, q.running)
		require.Empty(t, q.tenants)
	})
}

func TestQueueWaitsAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1, 2, newMetrics(prometheus.NewRegistry()))
		release, err := q.acquire(t.Context(), "a")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := q.acquire(ctx, "a")
				failed <- err
			}()
		}
		synctest.Wait()
		_, err = q.acquire(t.Context(), "a")
		require.ErrorIs(t, err, ErrOutstanding)
		for range 2 {
			err := <-failed
			require.ErrorIs(t, err, errWaited)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		release()
		release, err = q.acquire(t.Context(), "b")
		require.NoError(t, err, "those who gave up hold nothing")
		release()
		require.Empty(t, q.tenants)
	})
}

func TestRunningQueriesAreListedAndStopped(t *testing.T) {
	q := &Querier{}
	ctx := WithSource(t.Context(), "logvolhist")
	run, inner, done := q.registry.add(ctx, "acme", &engine.Params{Text: "{a=\"b\"}"}, time.Now())
	q.registry.wait(run, 1)
	list := q.Running("acme")
	require.Len(t, list, 1)
	require.True(t, list[0].Queued)
	require.Equal(t, "logvolhist", list[0].Source)
	require.Empty(t, q.Running("other"), "nobody sees what others ask")
	require.False(t, q.Stop("other", list[0].ID))
	require.NoError(t, inner.Err())
	require.True(t, q.Stop("acme", list[0].ID))
	require.ErrorIs(t, context.Cause(inner), ErrStopped)
	done()
	require.Empty(t, q.Running("acme"))
}

func FuzzDecodeExtents(f *testing.F) {
	series := engine.Matrix{{Labels: labels.FromStrings("a", "b"), Points: []engine.Point{{T: 5, V: 1}, {T: 9, V: 2}}}}
	f.Add(appendExtents(nil, []extent{{first: -5, last: 7, digest: 3, series: series}, {first: 9, last: 9}}))
	f.Add([]byte{extentsVersion, 200, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		list := decodeExtents(data)
		if list == nil {
			return
		}
		again := decodeExtents(appendExtents(nil, list))
		if !bytes.Equal(appendExtents(nil, again), appendExtents(nil, list)) {
			t.Fatalf("%v becomes %v", list, again)
		}
	})
}
