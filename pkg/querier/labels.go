package querier

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
)

// LabelRequest asks for names, values or series. Matchers may be empty.
type LabelRequest struct {
	Matchers []*labels.Matcher
	Interval model.Interval

	// slack is by how much the end may have been rounded up.
	slack time.Duration
}

// ask checks a request, whose interval it bounds, and runs fn under query_timeout. It does not for an empty interval: nothing is there.
func (q *Querier) ask(ctx context.Context, r *LabelRequest, fn func(context.Context, logql.Source) error) error {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return err
	}
	lim := q.strictest(ids)
	if err := checkRounded(&r.Interval, r.slack, lim, q.now()); err != nil || r.Interval.Empty() {
		return err
	}
	if len(ids) == 1 {
		ctx = tenant.Inject(ctx, ids[0])
	}
	return within(ctx, lim, func(ctx context.Context) error { return fn(ctx, q.sourceOf(ids)) })
}

// LabelNames returns the label names within the interval, sorted.
func (q *Querier) LabelNames(ctx context.Context, r LabelRequest) ([]string, error) {
	return q.labelList(ctx, r, "names", func(ctx context.Context, src logql.Source, sel logql.Selection) ([]string, error) {
		return src.LabelNames(ctx, sel)
	})
}

// LabelValues returns the values of one label within the interval, sorted.
func (q *Querier) LabelValues(ctx context.Context, name string, r LabelRequest) ([]string, error) {
	return q.labelList(ctx, r, "values "+name, func(ctx context.Context, src logql.Source, sel logql.Selection) ([]string, error) {
		return src.LabelValues(ctx, name, sel)
	})
}

func (q *Querier) labelList(ctx context.Context, r LabelRequest, what string, list func(context.Context, logql.Source, logql.Selection) ([]string, error)) (all []string, err error) {
	err = q.ask(ctx, &r, func(ctx context.Context, src logql.Source) error {
		from, err := q.recall(ctx, q.deps.Caches.Labels, what, matchersText(r.Matchers))
		if err != nil {
			return err
		}
		all, err = recallParts(ctx, from, r.Interval, stringsCodec, func(ctx context.Context, span model.Interval) ([]string, error) {
			return list(ctx, src, logql.Selection{Matchers: r.Matchers, Interval: span})
		}, func(lists [][]string) []string {
			if len(lists) == 1 {
				return lists[0]
			}
			all := slices.Concat(lists...)
			slices.Sort(all)
			return slices.Compact(all)
		})
		return err
	})
	return all, err
}

// Series returns the label sets that match any of the selectors, sorted, each once. No selector means all.
func (q *Querier) Series(ctx context.Context, selectors [][]*labels.Matcher, interval model.Interval) (all []labels.Labels, err error) {
	if len(selectors) == 0 {
		selectors = [][]*labels.Matcher{nil}
	}
	what := []string{"series"}
	for _, matchers := range selectors {
		what = append(what, matchersText(matchers))
	}
	r := LabelRequest{Interval: interval, slack: time.Millisecond}
	err = q.ask(ctx, &r, func(ctx context.Context, src logql.Source) error {
		from, err := q.recall(ctx, q.deps.Caches.Series, what...)
		if err != nil {
			return err
		}
		all, err = recallParts(ctx, from, r.Interval, seriesCodec, func(ctx context.Context, span model.Interval) ([]labels.Labels, error) {
			return seriesWithin(ctx, src, selectors, span)
		}, func(lists [][]labels.Labels) []labels.Labels { return distinct(slices.Concat(lists...)) })
		return err
	})
	return all, err
}

func seriesWithin(ctx context.Context, src logql.Source, selectors [][]*labels.Matcher, span model.Interval) ([]labels.Labels, error) {
	var all []labels.Labels
	for _, matchers := range selectors {
		series, err := src.Series(ctx, logql.Selection{Matchers: matchers, Interval: span})
		if err != nil {
			return nil, err
		}
		all = append(all, series...)
	}
	return distinct(all), nil
}
