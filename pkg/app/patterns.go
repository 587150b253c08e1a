package app

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/model"
	"logstore/pkg/patterns"
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
	a.patterns, err = patterns.NewStore(cfg, maxPatternStreams)
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

// findPatterns answers the API for the tenants of the request.
func (a *App) findPatterns(ctx context.Context, matchers []*labels.Matcher, from, to, step int64) ([]patterns.Pattern, error) {
	ids, err := tenant.IDs(ctx)
	if err != nil {
		return nil, err
	}
	var all []patterns.Pattern
	for _, id := range ids {
		all = append(all, a.patterns.Patterns(id, matchers, from, to, step)...)
	}
	return patterns.Merge(all), nil
}
