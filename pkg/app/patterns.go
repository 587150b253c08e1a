package app

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/patterns"
	"logstore/pkg/ring"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// maxPatternStreams bounds the streams of a tenant whose lines are mined.
const maxPatternStreams = 10_000

// levelLabel is the metadata that holds a line's level.
const levelLabel = "detected_level"

// newPatterns builds the miner of line templates, if it is switched on.
func (a *App) newPatterns() error {
	c := a.cfg.PatternIngester
	if !c.Enabled {
		return nil
	}
	cfg := patterns.DefaultConfig()
	cfg.MaxTemplates, cfg.MaxLine = c.MaxClusters, c.MaxAllowedLineLength
	cfg.Resolution, cfg.Keep = c.SampleInterval, c.RetainFor
	var err error
	if a.patterns, err = patterns.NewStore(cfg, maxPatternStreams); err == nil {
		a.rpcServer.Handle(patternsCall, a.servePatterns)
	}
	return err
}

// runPatterns mines what is pushed until ctx ends.
func (a *App) runPatterns(ctx context.Context) error {
	if a.patterns == nil {
		<-ctx.Done()
		return nil
	}
	defer a.ingester.Observe(a.mine)()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			a.patterns.Prune(now)
		}
	}
}

func (a *App) mine(id string, streams []wire.Stream) {
	for i := range streams {
		s := &streams[i]
		// Replicas have the same lines, which are to count once.
		if owner, ok := a.ring.Owner(ring.Token(id, s.Hash)); ok && !owner.Self {
			continue
		}
		train := a.patterns.Stream(id, s.Text, s.Labels)
		if train == nil {
			continue
		}
		for j := range s.Entries {
			e := &s.Entries[j]
			train(patterns.Line{Timestamp: e.Timestamp, Text: e.Line, Level: levelOf(e.Metadata)})
		}
	}
}

// levelOf copies the level, since metadata belongs to the request.
func levelOf(pairs []model.Pair) string {
	for _, p := range pairs {
		if p.Name == levelLabel {
			return string([]byte(p.Value))
		}
	}
	return ""
}

// patternsCall is the name of the call by which members ask each other for the templates that they have mined.
const patternsCall = "patterns"

// patternsQuery is its request; the answer is a list of patterns.
type patternsQuery struct {
	Selector       string
	From, To, Step int64
}

// servePatterns answers other members.
func (a *App) servePatterns(ctx context.Context, req []byte) ([]byte, error) {
	var q patternsQuery
	if err := json.Unmarshal(req, &q); err != nil {
		return nil, fmt.Errorf("cannot read a question for patterns: %w", err)
	}
	matchers, err := syntax.ParseSelector(q.Selector)
	if err != nil {
		return nil, err
	}
	found, err := a.ownPatterns(ctx, matchers, q.From, q.To, q.Step)
	if err != nil {
		return nil, err
	}
	return json.Marshal(found)
}

// ownPatterns returns what this member has mined for the tenants of the context.
func (a *App) ownPatterns(ctx context.Context, matchers []*labels.Matcher, from, to, step int64) ([]patterns.Pattern, error) {
	ids, err := tenant.IDs(ctx)
	if err != nil {
		return nil, err
	}
	var all []patterns.Pattern
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all = append(all, a.patterns.Patterns(id, matchers, from, to, step)...)
	}
	return all, nil
}

// patternsPatience bounds the wait for another member; what it has mined is then missing.
const patternsPatience = 5 * time.Second

// timedPatterns is findPatterns under the tenants' query_timeout: late is an error, not fewer patterns.
func (a *App) timedPatterns(ctx context.Context, matchers []*labels.Matcher, from, to, step int64) (found []patterns.Pattern, err error) {
	err = a.querier.WithTimeout(ctx, func(ctx context.Context) error {
		found, err = a.findPatterns(ctx, matchers, from, to, step)
		return err
	})
	return found, err
}

// findPatterns answers the API: each member has mined the streams that it owns.
func (a *App) findPatterns(ctx context.Context, matchers []*labels.Matcher, from, to, step int64) ([]patterns.Pattern, error) {
	all, err := a.ownPatterns(ctx, matchers, from, to, step)
	if err != nil {
		return nil, err
	}
	req, err := json.Marshal(patternsQuery{Selector: (&syntax.LogQuery{Matchers: matchers}).String(), From: from, To: to, Step: step})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patternsPatience)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, member := range a.upMembers() {
		wg.Go(func() {
			var found []patterns.Pattern
			answer, err := a.peers.Call(ctx, member, patternsCall, req)
			if err == nil {
				err = json.Unmarshal(answer, &found)
			}
			if err != nil {
				a.logger.Warn("a member did not say what patterns it has found", "member", member, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, found...)
		})
	}
	wg.Wait()
	return patterns.Merge(all), nil
}
