package shipper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/fileutil"

	"logstore/pkg/index"
	"logstore/pkg/logql"
	"logstore/pkg/schema"
	"logstore/pkg/tsdb"
)

// TSDB is the index of the periods with store tsdb. It only reads: what a Loki wrote before the bucket came here stays
// visible. It is safe for concurrent use.
type TSDB struct {
	copies *copies[*tsdbFile]
}

// NewTSDB opens the folder of the copies.
func NewTSDB(cfg CacheConfig, deps Deps) (*TSDB, error) {
	if err := cfg.validate("tsdb_shipper"); err != nil {
		return nil, err
	}
	if err := deps.Periods.Validate(); err != nil {
		return nil, err
	}
	open := promauto.With(deps.Registerer).NewGauge(prometheus.GaugeOpts{
		Name: "logstore_index_open_tsdb_files", Help: "TSDB index files that are open.",
	})
	files := format[*tsdbFile]{store: schema.StoreTSDB, unpack: unpackTSDB, open: openTSDB, corrupt: tsdb.ErrCorrupt, accepts: isTSDB}
	x := &TSDB{copies: newCopies(cfg, files, deps, newPool(cfg.MaxOpenFiles, openTSDB, open), newCopyMetrics(deps.Registerer, "tsdb"), nil)}
	return x, x.copies.openCache()
}

// Run keeps tables fresh until the context ends, and closes all files.
func (x *TSDB) Run(ctx context.Context) error {
	x.copies.becomeReady(ctx)
	ticker := time.NewTicker(x.copies.cfg.ResyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return x.copies.pool.close()
		case <-ticker.C:
			x.copies.resync(ctx)
		}
	}
}

// Ready returns why queries would wait for the download of tables that must be here, or nil.
func (x *TSDB) Ready() error { return x.copies.Ready() }

// tsdbFile is an index file that is mapped into memory.
type tsdbFile struct {
	*tsdb.Index
	mapped *fileutil.MmapFile
}

// Close unmaps the file; nothing that it returned points into it.
func (f *tsdbFile) Close() error { return f.mapped.Close() }

func openTSDB(path string) (*tsdbFile, error) {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return nil, fmt.Errorf("cannot open TSDB index file %s: %w: it is empty", path, tsdb.ErrCorrupt) // nothing to map
	}
	mapped, err := fileutil.OpenMmapFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open TSDB index file %s: %w", path, err)
	}
	x, err := tsdb.Open(mapped.Bytes())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open TSDB index file %s: %w", path, err), mapped.Close())
	}
	return &tsdbFile{Index: x, mapped: mapped}, nil
}

// isTSDB reports whether an index object is a TSDB file.
func isTSDB(name string) bool { return strings.HasSuffix(strings.TrimSuffix(name, ".gz"), ".tsdb") }

// unpackTSDB writes an index object to a file, checked from end to end.
func unpackTSDB(path string, object io.Reader, compressed bool) error {
	err := index.UnpackWith(path, object, compressed, func(path string) error {
		f, err := openTSDB(path)
		if err != nil {
			return err
		}
		if err = f.Check(); err != nil {
			err = fmt.Errorf("cannot read TSDB index file %s: %w", path, err)
		}
		return errors.Join(err, f.Close())
	})
	if errors.Is(err, index.ErrCorrupt) {
		return fmt.Errorf("%w: %w", tsdb.ErrCorrupt, err)
	}
	return err
}

// tsdbView is a file of a table as a tenant sees it.
type tsdbView struct {
	*tsdbFile
	tenant string
	// common is set if the file holds all tenants.
	common bool
}

// query returns the references of the streams that match.
func (v *tsdbView) query(matchers []*labels.Matcher) ([]uint32, error) {
	q := tsdb.Query{Matchers: matchers}
	if v.common {
		q.Tenant = v.tenant
	}
	return v.Select(q)
}

// forFiles runs fn for each file of the tables of spans that has a chunk in the interval, the tables some at a time, and
// returns what it returned for each table. Results of a table's files are handed on to the next one.
func forFiles[T any](ctx context.Context, x *TSDB, tenant string, sel logql.Selection, spans []schema.Span, fn func(v *tsdbView, span schema.Span, sum T) (T, error)) ([]T, error) {
	c := x.copies
	from, through := millis(sel)
	spans, err := c.existing(ctx, spans, nil)
	if err != nil {
		return nil, err
	}
	return forSpans(ctx, c.cfg.Parallelism, spans, func(ctx context.Context, span schema.Span) (sum T, err error) {
		files, release, err := c.open(ctx, tableKey{span.Period, span.Day}, tenant, nil)
		if err != nil {
			return sum, err
		}
		defer release()
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return sum, err
			}
			if first, last := f.file.Bounds(); first > through || last < from {
				continue
			}
			if sum, err = fn(&tsdbView{tsdbFile: f.file, tenant: tenant, common: f.object.Tenant == ""}, span, sum); err != nil {
				return sum, fmt.Errorf("cannot read TSDB index file %s: %w", f.object.Key(c.table(tableKey{span.Period, span.Day}).keyPrefix()), err)
			}
		}
		return sum, nil
	})
}

// Select returns the streams of a tenant that match, with the chunks that may hold entries of the interval, as Shipper.Select.
func (x *TSDB) Select(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	from, through := millis(sel)
	return x.find(ctx, tenant, sel, spans, func(int64) (int64, int64) { return from, through })
}

// Series is Select as Loki answers requests for series from this index: it asks day by day, and a chunk belongs to an interval
// if it begins before its end, or before the last millisecond of a day that others follow. So a stream of which nothing else
// is in the interval than a chunk that begins in that millisecond is missing here; queries of its entries find it.
func (x *TSDB) Series(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]schema.Series, error) {
	from, through := millis(sel)
	return x.find(ctx, tenant, sel, spans, func(day int64) (int64, int64) {
		next := (day + 1) * schema.MillisPerDay
		if through > next {
			return from, next - 2
		}
		return from, through - 1
	})
}

// find returns the streams that match, with the chunks that touch what bounds says of each day: the first and the last
// millisecond, both inclusive.
func (x *TSDB) find(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span, bounds func(day int64) (from, through int64)) ([]schema.Series, error) {
	type lists = [][]schema.Series
	found, err := forFiles(ctx, x, tenant, sel, spans, func(v *tsdbView, span schema.Span, sum lists) (lists, error) {
		from, through := bounds(span.Day)
		series, err := v.series(ctx, sel, from, through, x.copies.periods)
		return append(sum, series), err
	})
	if err != nil {
		return nil, err
	}
	return schema.MergeSeries(slices.Concat(found...)...), nil
}

// series returns the streams with a chunk in [from, through], ascending by id.
func (v *tsdbView) series(ctx context.Context, sel logql.Selection, from, through int64, periods schema.Periods) ([]schema.Series, error) {
	var out []schema.Series
	err := v.each(ctx, sel, func(s *tsdb.Series, lbls labels.Labels) error {
		found := schema.Series{Labels: lbls}
		err := s.Chunks(from, through, func(c tsdb.Chunk) error {
			name := schema.ChunkName{
				Layout: periods.LayoutOf(c.From), Sized: true,
				KB: uint32(min(c.KB, math.MaxUint32)), Entries: uint32(min(c.Entries, math.MaxUint32)),
			}
			name.Tenant, name.Fingerprint = v.tenant, s.Fingerprint
			name.From, name.Through, name.Checksum = c.From, c.Through, c.Checksum
			found.Chunks = append(found.Chunks, name)
			return nil
		})
		if len(found.Chunks) > 0 {
			found.ID = schema.SeriesIDOf(lbls)
			out = append(out, found)
		}
		return err
	})
	slices.SortFunc(out, func(a, b schema.Series) int { return a.ID.Compare(&b.ID) })
	return out, err
}

// each calls fn for each stream that matches.
func (v *tsdbView) each(ctx context.Context, sel logql.Selection, fn func(s *tsdb.Series, lbls labels.Labels) error) error {
	refs, err := v.query(sel.Matchers)
	if err != nil {
		return err
	}
	r := v.NewReader()
	for i, ref := range refs {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var s tsdb.Series
		if err := r.Series(ref, &s); err != nil {
			return err
		}
		lbls, _, err := s.Labels()
		if err != nil {
			return err
		}
		if sel.ShardCount > 1 && labels.StableHash(lbls)%sel.ShardCount != sel.ShardIndex {
			continue
		}
		if err := fn(&s, lbls); err != nil {
			return err
		}
	}
	return nil
}

// LabelNames returns the label names of the matching streams, sorted, each once. All streams of a
// day count, unless no chunk of the day's file is in the interval. Unlike the rows of boltdb-shipper, this index decides a matcher that accepts the empty string for streams without the label too.
func (x *TSDB) LabelNames(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	return x.texts(ctx, tenant, sel, spans, func(v *tsdbView, add func(string)) {
		v.LabelNames(add)
	}, func(lbls labels.Labels, add func(string)) {
		lbls.Range(func(l labels.Label) { add(l.Name) })
	})
}

// LabelValues returns the values that the matching streams have under a name, sorted, each once. All streams of a day count.
func (x *TSDB) LabelValues(ctx context.Context, tenant, name string, sel logql.Selection, spans []schema.Span) ([]string, error) {
	return x.texts(ctx, tenant, sel, spans, func(v *tsdbView, add func(string)) {
		v.LabelValues(name, func(value []byte) { add(string(value)) })
	}, func(lbls labels.Labels, add func(string)) {
		if value := lbls.Get(name); value != "" {
			add(value)
		}
	})
}

// texts collects texts from the table of a file whose streams are all wanted, and else from the labels of each stream.
func (x *TSDB) texts(ctx context.Context, tenant string, sel logql.Selection, spans []schema.Span,
	whole func(v *tsdbView, add func(string)), of func(lbls labels.Labels, add func(string)),
) ([]string, error) {
	type set = map[string]struct{}
	found, err := forFiles(ctx, x, tenant, sel, spans, func(v *tsdbView, _ schema.Span, sum set) (set, error) {
		if sum == nil {
			sum = make(set)
		}
		add := func(text string) { sum[text] = struct{}{} }
		if !v.common && len(sel.Matchers) == 0 && sel.ShardCount <= 1 {
			whole(v, add)
			return sum, nil
		}
		return sum, v.each(ctx, sel, func(_ *tsdb.Series, lbls labels.Labels) error {
			of(lbls, add)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return sortedKeys(found...), nil
}
