package rpc

import (
	"context"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// TestObserve sends pushes of a tenant's matching streams, and ends with its context.
func TestObserve(t *testing.T) {
	m := startMember(t, testConfig())
	var mu sync.Mutex
	var watching func(string, []wire.Stream)
	m.HandleObserve(func(fn func(string, []wire.Stream)) func() {
		mu.Lock()
		defer mu.Unlock()
		watching = fn
		return func() {
			mu.Lock()
			defer mu.Unlock()
			watching = nil
		}
	})
	watched := func() func(string, []wire.Stream) {
		mu.Lock()
		defer mu.Unlock()
		return watching
	}
	p := startPool(t, testConfig(), nil)
	ctx, cancel := context.WithCancel(tenant.Inject(t.Context(), "acme"))
	got, done := make(chan string, 100), make(chan error, 1)
	go func() {
		done <- p.Observe(ctx, m.addr, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "app", "c|d")}, func(streams []wire.Stream) {
			for i := range streams {
				got <- streams[i].Labels.Get("app") + string(streams[i].Entries[0].Line)
			}
		})
	}()
	require.Eventually(t, func() bool { return watched() != nil }, eventually, tick)
	var streams []wire.Stream
	for _, s := range pushStreams()[1:3] {
		streams = append(streams, *s)
	}
	watched()("other", streams)
	watched()("acme", streams)
	require.Equal(t, "cplain", <-got)
	cancel()
	require.Error(t, <-done)
	require.Eventually(t, func() bool { return watched() == nil }, eventually, tick)
	require.Empty(t, got)
}
