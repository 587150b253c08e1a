package compactor

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/deletes"
	"logstore/pkg/limits"
	"logstore/pkg/logql/syntax"
)

// forever is the cutoff of streams that are kept.
const forever = math.MinInt64

// retention says from when on the chunks of a tenant are kept. Cutoffs are milliseconds: a chunk that ends before its cutoff
// is expired.
type retention struct {
	// cutoff is that of streams for which no rule of their own holds.
	cutoff int64
	rules  []streamRule
}

// streamRule is an entry of retention_stream.
type streamRule struct {
	matchers []*labels.Matcher
	priority int
	cutoff   int64
}

// of returns the cutoff of a stream: that of the matching rule with the greatest priority, of equal ones the shortest period.
func (r *retention) of(lbls labels.Labels) int64 {
	cutoff, priority, found := r.cutoff, 0, false
	for i := range r.rules {
		rule := &r.rules[i]
		if found && rule.priority < priority || !matches(rule.matchers, lbls) {
			continue
		}
		if !found || rule.priority > priority || rule.cutoff > cutoff {
			cutoff, priority, found = rule.cutoff, rule.priority, true
		}
	}
	return cutoff
}

func matches(matchers []*labels.Matcher, lbls labels.Labels) bool {
	for _, m := range matchers {
		if !m.Matches(lbls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// cutoffOf returns the cutoff of a period; 0 keeps everything.
func cutoffOf(now time.Time, period time.Duration) int64 {
	if period <= 0 {
		return forever
	}
	return now.Add(-period).UnixMilli()
}

// ruleset is what a cycle knows about what is to go. Its parts for tenants are made when they are asked for. It is used by one
// goroutine at a time.
type ruleset struct {
	c   *Compactor
	now time.Time
	// enabled tells whether this cycle applies retention_period and retention_stream.
	enabled bool
	// sizeCutoff is the end of the days that go because the store is too large.
	sizeCutoff int64
	tenants    map[string]*retention
	// filters are the delete requests that are due.
	filters map[string][]*deletes.Filter
}

// of returns a tenant's retention.
func (s *ruleset) of(tenant string) *retention {
	if r := s.tenants[tenant]; r != nil {
		return r
	}
	r := &retention{cutoff: s.sizeCutoff}
	if s.enabled {
		l := s.c.deps.Limits.For(tenant)
		r.cutoff = max(r.cutoff, cutoffOf(s.now, l.RetentionPeriod))
		for _, rule := range l.RetentionStream {
			matchers, err := syntax.ParseMatchers(rule.Selector)
			if err != nil {
				s.c.logger.Error("a retention_stream rule cannot be read and deletes nothing", "tenant", tenant, "selector", rule.Selector, "err", err)
				continue
			}
			r.rules = append(r.rules, streamRule{matchers, rule.Priority, max(s.sizeCutoff, cutoffOf(s.now, rule.Period))})
		}
	}
	s.tenants[tenant] = r
	return r
}

// fingerprint tells whether the rules of tenants have changed since a table was looked at. Cutoffs are left out: they move
// all the time, and a table remembers when its next chunk expires.
func (s *ruleset) fingerprint(tenants []string) string {
	text := ""
	for _, t := range tenants {
		l := s.c.deps.Limits.For(t)
		text += fmt.Sprintf("%s %s %v\n", t, l.RetentionPeriod, l.RetentionStream)
	}
	return fmt.Sprintf("%v %d\n%s", s.enabled, s.sizeCutoff, text)
}

// shortest returns the shortest period of any stream of a tenant with these limits, 0 if there is none.
func shortest(l *limits.Limits) time.Duration {
	shortest := l.RetentionPeriod
	for _, r := range l.RetentionStream {
		if shortest == 0 || r.Period < shortest {
			shortest = r.Period
		}
	}
	return shortest
}

// mayExpire reports whether the table of a day can have an expired chunk: each of its chunks ends in it or later.
func (s *ruleset) mayExpire(firstMilli int64) bool {
	if s.sizeCutoff > firstMilli {
		return true
	}
	if !s.enabled {
		return false
	}
	o := s.c.deps.Limits
	all := []*limits.Limits{o.Defaults()}
	for _, t := range o.Tenants() {
		all = append(all, o.For(t))
	}
	for _, l := range all {
		if p := shortest(l); p > 0 && cutoffOf(s.now, p) > firstMilli {
			return true
		}
	}
	return false
}

// concerns reports whether a delete request may touch a chunk that has a row in the table of a day. A chunk over midnight has
// its row in each of its days' tables, also in those of days which the request leaves alone; all of them must name the chunk
// that takes its place, or what was deleted is found again through the others.
func (c *Compactor) concerns(f *deletes.Filter, day int64) bool {
	around := int64((c.cfg.MaxChunkSpan + 24*time.Hour - 1) / (24 * time.Hour))
	return f.Overlaps((day-around)*dayNanos, (day+around+1)*dayNanos-1)
}

// filtersOn returns the delete requests of a tenant if one of them concerns the table of a day: a chunk is rewritten to the
// same bytes in each of its tables, so that all of them count.
func (s *ruleset) filtersOn(tenant string, day int64) []*deletes.Filter {
	for _, f := range s.filters[tenant] {
		if s.c.concerns(f, day) {
			return s.filters[tenant]
		}
	}
	return nil
}
