package shipper

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"logstore/pkg/index"
	"logstore/pkg/logql"
	"logstore/pkg/schema"
)

// tableFile is an open file of a table. Its streams are decoded unless it is part of a file of this process. It is fixed if no rows
// come to it any more.
type tableFile struct {
	path          string
	file          *index.File
	decode, fixed bool
}

// tableView is what a lookup sees of a table.
type tableView struct {
	s      *Shipper
	key    tableKey
	tenant string
	files  []tableFile
	// live are the streams of the files of this process.
	live    []*seriesSet
	release func()
}

// openTable opens all files of a table that concern a tenant.
func (s scope) openTable(ctx context.Context, key tableKey, tenant string) (*tableView, error) {
	for attempt := 0; ; attempt++ {
		v, err := s.tryOpenTable(ctx, key, tenant)
		// A local file that was removed after it was found is in the bucket, and a part was merged with others.
		if err == nil || attempt == 5 || !errors.Is(err, fs.ErrNotExist) {
			return v, err
		}
	}
}

func (s scope) tryOpenTable(ctx context.Context, key tableKey, tenant string) (*tableView, error) {
	v := &tableView{s: s.Shipper, key: key, tenant: tenant}
	var releases []func()
	v.release = func() {
		for _, r := range releases {
			r()
		}
	}
	// A listing that is due is read first, so that local files are seen no longer than it allows after the compactor has
	// replaced their uploads. Without the bucket a lookup fails below, where an older listing may do.
	_ = s.copies.table(key).refresh(ctx, s.cfg.ResyncInterval)
	own := make(map[schema.IndexFile]bool)
	for _, f := range s.local.of(key.period, key.day) {
		own[f.object()] = true
		if f.sets != nil {
			// The sets are taken before the parts: what they have is in the parts.
			v.live = append(v.live, f.sets.Load()[tenant]...)
		}
		for _, p := range *f.parts.Load() {
			file, r, err := s.pool.acquire(p.path)
			if err != nil {
				v.release()
				return nil, err
			}
			v.files = append(v.files, tableFile{path: p.path, file: file, decode: f.sets == nil, fixed: f.sets == nil || p.level > 0})
			releases = append(releases, r)
		}
	}
	if s.own {
		return v, nil
	}
	remote, r, err := s.copies.open(ctx, key, tenant, own)
	if err != nil {
		v.release()
		return nil, err
	}
	releases = append(releases, r)
	for _, f := range remote {
		v.files = append(v.files, tableFile{path: f.path, file: f.file, decode: true, fixed: true})
	}
	return v, nil
}

// sets returns the streams of each file.
func (v *tableView) sets(ctx context.Context) ([]*seriesSet, error) {
	out := v.live
	p := &v.s.periods[v.key.period]
	for _, f := range v.files {
		if !f.decode {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		set, err := v.s.sets.get(setKey{f.path, v.tenant}, func() (*seriesSet, error) {
			return decodeSeries(f.file, p, v.tenant, v.key.day)
		})
		if err != nil {
			return nil, err
		}
		out = append(out, set)
	}
	return out, nil
}

// find returns the streams that match, of all files together.
func (v *tableView) find(ctx context.Context, q query) ([]schema.Series, error) {
	sets, err := v.sets(ctx)
	if err != nil {
		return nil, err
	}
	lists := make([][]schema.Series, 0, len(sets))
	for _, s := range sets {
		matched := s.match(q)
		list := make([]schema.Series, len(matched))
		for i, n := range matched {
			list[i] = schema.Series{ID: s.ids[n], Labels: s.labels[n]}
		}
		lists = append(lists, list)
	}
	return schema.MergeSeries(lists...), nil
}

// chunks adds to series, ascending by id, the chunks that a file names for them and that touch the milliseconds [from, through].
// The lists may be shared with other lookups.
func (v *tableView) chunks(f tableFile, from, through int64, series []schema.Series) error {
	if f.fixed && v.s.cfg.RowCacheBytes > 0 {
		return v.s.rows.lookup(f.file, setKey{f.path, v.tenant}, v.key.day, from, through, series)
	}
	return lookupChunks(f.file, v.tenant, v.key.day, from, through, series)
}

// forTables runs fn for the tables of spans, some at a time, and returns what it returned for those that there are.
func forTables[T any](ctx context.Context, s scope, tenant string, spans []schema.Span, fn func(ctx context.Context, v *tableView) (T, error)) ([]T, error) {
	var err error
	if s.own {
		spans = s.ownSpans(spans)
	} else if spans, err = s.copies.existing(ctx, spans, s.local.tables()); err != nil {
		return nil, err
	}
	return forSpans(ctx, s.cfg.Parallelism, spans, func(ctx context.Context, span schema.Span) (out T, err error) {
		v, err := s.openTable(ctx, tableKey{span.Period, span.Day}, tenant)
		if err != nil {
			return out, err
		}
		defer v.release()
		return fn(ctx, v)
	})
}

// forSpans runs fn for each span, limit at a time.
func forSpans[T any](ctx context.Context, limit int, spans []schema.Span, fn func(ctx context.Context, span schema.Span) (T, error)) ([]T, error) {
	out := make([]T, len(spans))
	if len(spans) == 1 {
		var err error
		out[0], err = fn(ctx, spans[0])
		return out, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i, span := range spans {
		group.Go(func() (err error) {
			out[i], err = fn(ctx, span)
			return err
		})
	}
	return out, group.Wait()
}

func queryOf(sel logql.Selection) query {
	return query{matchers: sel.Matchers, shardIndex: sel.ShardIndex, shardCount: sel.ShardCount}
}

// Select is that of Shipper and Own.
func (s scope) Select(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	from, through := millis(sel)
	lists, err := forTables(ctx, s, tenant, spans, func(ctx context.Context, v *tableView) ([]schema.Series, error) {
		series, err := v.find(ctx, queryOf(sel))
		if err != nil {
			return nil, err
		}
		for _, f := range v.files {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := v.chunks(f, from, through, series); err != nil {
				return nil, err
			}
		}
		return slices.DeleteFunc(series, func(s schema.Series) bool { return len(s.Chunks) == 0 }), nil
	})
	if err != nil {
		return nil, err
	}
	return schema.MergeSeries(lists...), nil
}

// millis returns the interval in milliseconds, both inclusive, rounded outwards: the bounds of chunks are so too.
func millis(sel logql.Selection) (from, through int64) {
	const ms = int64(time.Millisecond)
	from, through = sel.Interval.Start/ms, (sel.Interval.End-1)/ms
	if sel.Interval.Start%ms < 0 {
		from--
	}
	return from, through
}

// LabelNames is that of Shipper and Own.
func (s scope) LabelNames(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	var exact, daily []schema.Span
	for _, span := range spans {
		if s.periods[span.Period].Schema.HasLabelNames() {
			daily = append(daily, span)
		} else {
			exact = append(exact, span)
		}
	}
	series, err := s.Select(ctx, tenant, sel, exact)
	if err != nil {
		return nil, err
	}
	names := make(map[string]struct{})
	for i := range series {
		addNames(names, series[i].Labels)
	}
	q := queryOf(sel)
	q.present = true
	found, err := forTables(ctx, s, tenant, daily, func(ctx context.Context, v *tableView) (map[string]struct{}, error) {
		sets, err := v.sets(ctx)
		found := make(map[string]struct{})
		for _, set := range sets {
			set.labelNames(q, found)
		}
		return found, err
	})
	if err != nil {
		return nil, err
	}
	return sortedKeys(append(found, names)...), nil
}

// LabelValues is that of Shipper and Own.
func (s scope) LabelValues(ctx context.Context, tenant, name string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	q := queryOf(sel)
	q.present = true
	found, err := forTables(ctx, s, tenant, spans, func(ctx context.Context, v *tableView) (map[string]struct{}, error) {
		sets, err := v.sets(ctx)
		found := make(map[string]struct{})
		for _, set := range sets {
			set.labelValues(q, name, found)
		}
		return found, err
	})
	if err != nil {
		return nil, err
	}
	return sortedKeys(found...), nil
}

func (s *seriesSet) labelNames(q query, found map[string]struct{}) {
	if len(q.matchers) == 0 && q.shardCount <= 1 {
		for name := range s.postings() {
			found[name] = struct{}{}
		}
		return
	}
	for _, n := range s.match(q) {
		addNames(found, s.labels[n])
	}
}

func (s *seriesSet) labelValues(q query, name string, found map[string]struct{}) {
	p := s.postings()[name]
	if p == nil {
		return
	}
	if len(q.matchers) == 0 && q.shardCount <= 1 {
		for _, value := range p.values {
			found[value] = struct{}{}
		}
		return
	}
	for _, n := range s.match(q) {
		if value := s.labels[n].Get(name); value != "" {
			found[value] = struct{}{}
		}
	}
}

func addNames(names map[string]struct{}, lbls labels.Labels) {
	lbls.Range(func(l labels.Label) { names[l.Name] = struct{}{} })
}

func sortedKeys(sets ...map[string]struct{}) []string {
	all := make(map[string]struct{})
	for _, set := range sets {
		for k := range set {
			all[k] = struct{}{}
		}
	}
	out := make([]string, 0, len(all))
	for k := range all {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
