package app

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/changes"
	"logstore/pkg/config"
	"logstore/pkg/ingester"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/rpc"
	"logstore/pkg/tenant"
)

func (a *App) newQuerier() error {
	sources := []logql.Source{a.recentLogs(), querier.Bounded(a.store, a.limits)}
	switch {
	case a.cfg.Querier.QueryStoreOnly:
		sources = sources[1:]
	case a.cfg.Querier.QueryIngesterOnly:
		sources = sources[:1]
	}
	var generation func(string) string
	if a.deletes != nil {
		generation = a.deletes.Generation
	}
	a.rpcServer.Handle(changesCall, a.serveChanges)
	var err error
	a.querier, err = querier.New(a.querierConfig(), querier.Deps{
		Sources: a.hideDeleted(sources), Limits: a.limits, Observe: a.observePushes, Logger: a.logger.With("component", "querier"), Registerer: a.registry,
		Changes: a.changesOf, Generation: generation,
		Caches: querier.Caches{
			Results: a.caches.results, Instant: a.caches.instant, Stats: a.caches.stats, Volume: a.caches.volume,
			Series: a.caches.series, Labels: a.caches.labels, Index: a.caches.index,
		},
		Peers: a.queryPeers(),
	})
	if err == nil {
		a.rpcServer.Handle(subqueryCall, a.querier.Serve)
	}
	return err
}

func (a *App) querierConfig() querier.Config {
	cfg := querier.DefaultConfig
	cfg.MultiTenantQueries = a.cfg.Querier.MultiTenantQueriesEnabled
	cfg.AlignStep = a.cfg.QueryRange.AlignQueriesWithStep
	cfg.MaxConcurrent = parallelism(a.cfg.Querier.MaxConcurrent)
	cfg.TailMaxDuration = a.cfg.Querier.TailMaxDuration
	cfg.LogLongerThan = a.cfg.Frontend.LogQueriesLongerThan
	if a.cfg.Frontend.QueryStatsEnabled {
		cfg.LogLongerThan = -1
	}
	cfg.LogRules = a.cfg.Ruler.QueryStatsEnabled
	cfg.MaxRetries = a.cfg.QueryRange.MaxRetries
	cfg.MaxWaiting = smallest(a.cfg.Frontend.MaxOutstandingPerTenant, a.cfg.QueryScheduler.MaxOutstandingRequestsPerTenant)
	cfg.MaxMemory = max(ingester.AvailableMemory()/8, 32<<20)
	cfg.MaxFetches = a.cfg.Storage.MaxParallelGetChunk
	cfg.Shards = a.cfg.QueryRange.ParalleliseShardableQueries
	cfg.KeepLookupsAfter = a.cfg.ChunkStore.CacheLookupsOlderThan
	return cfg
}

// subqueryCall is the name of the call by which members run parts of each other's queries.
const subqueryCall = "query.part"

// upMembers returns the addresses of the other members that answer, as far as is known.
func (a *App) upMembers() []string {
	var up []string
	for _, m := range a.ring.Readable(nil) {
		if !m.Self && m.Healthy && a.peers.Standing(m.Addr) == rpc.Good {
			up = append(up, m.Addr)
		}
	}
	return up
}

// queryPeers are the members that may run parts of this one's queries.
func (a *App) queryPeers() querier.Peers {
	if !a.clustered() {
		return querier.Peers{}
	}
	return querier.Peers{
		List: a.upMembers,
		Call: func(ctx context.Context, member string, req []byte) ([]byte, error) {
			return a.peers.Call(ctx, member, subqueryCall, req)
		},
		Recent: a.ingester, Stored: a.store, Copies: a.replicationFactor(),
		TSDB: func(at int64) bool {
			p := a.cfg.Schema.At(time.Unix(0, at))
			return p != nil && p.Store == config.StoreTSDB
		},
	}
}

// smallest returns the stricter of two bounds, where zero means none.
func smallest(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// changesCall is the name of the call by which members ask each other what was written.
const changesCall = "changes.state"

// changesPatience bounds the wait for another member; without its answer results are not kept.
const changesPatience = time.Second

var errInterval = errors.New("an interval is sixteen bytes")

// serveChanges answers what this member knows to have been written in an interval.
func (a *App) serveChanges(ctx context.Context, req []byte) ([]byte, error) {
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, err
	}
	if len(req) != 16 {
		return nil, errInterval
	}
	if err := a.ingester.Ready(); err != nil {
		return nil, err // the replay is not counted
	}
	span := model.Interval{Start: int64(binary.LittleEndian.Uint64(req)), End: int64(binary.LittleEndian.Uint64(req[8:]))}
	s := a.changes.State(id, span)
	return s.Append(nil), nil
}

// changesOf returns what each member that a query asks knows to have been written in an interval.
func (a *App) changesOf(ctx context.Context, id string, span model.Interval) ([]changes.State, error) {
	states := []changes.State{a.changes.State(id, span)}
	var members []string
	for _, m := range a.ring.Readable(nil) {
		if !m.Self && m.Healthy {
			members = append(members, m.Addr)
		}
	}
	if len(members) == 0 {
		return states, nil
	}
	ctx, cancel := context.WithTimeout(tenant.Inject(ctx, id), changesPatience)
	defer cancel()
	req := binary.LittleEndian.AppendUint64(nil, uint64(span.Start))
	req = binary.LittleEndian.AppendUint64(req, uint64(span.End))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for _, member := range members {
		g.Go(func() error {
			answer, err := a.peers.Call(ctx, member, changesCall, req)
			if err != nil {
				return fmt.Errorf("cannot ask %s what was written: %w", member, err)
			}
			s, err := changes.ParseState(answer)
			if err != nil {
				return fmt.Errorf("cannot read what %s says was written: %w", member, err)
			}
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s)
			return nil
		})
	}
	return states, g.Wait()
}
