package app

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// observePushes lets the querier see what is stored of a tenant, for tails: here, and on the other members.
func (a *App) observePushes(id string, matchers []*labels.Matcher, fn func(streams []wire.Stream)) (cancel func()) {
	stopOwn := a.ingester.Observe(func(who string, streams []wire.Stream) {
		if who == id {
			fn(streams)
		}
	})
	if !a.clustered() {
		return stopOwn
	}
	ctx, stop := context.WithCancel(tenant.Inject(context.Background(), id))
	var wg sync.WaitGroup
	wg.Go(func() { a.followMembers(ctx, matchers, fn) })
	return func() {
		stopOwn()
		stop()
		wg.Wait()
	}
}

// followMembers observes the members that there are, and those that come, until ctx ends. One that fails is tried again: what it
// stores meanwhile is also stored by others.
func (a *App) followMembers(ctx context.Context, matchers []*labels.Matcher, fn func(streams []wire.Stream)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex
	following := map[string]bool{}
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		changed := a.ring.Changed()
		for _, addr := range a.memberAddrs() {
			mu.Lock()
			known := following[addr]
			following[addr] = true
			mu.Unlock()
			if known {
				continue
			}
			wg.Go(func() {
				if err := a.peers.Observe(ctx, addr, matchers, fn); err != nil && ctx.Err() == nil {
					a.logger.Debug("a tail lost a member", "member", addr, "err", err)
				}
				mu.Lock()
				defer mu.Unlock()
				delete(following, addr)
			})
		}
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
