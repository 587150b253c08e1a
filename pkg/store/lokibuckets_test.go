package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/integration/lokibuckets"
	"logstore/pkg/chunk"
	"logstore/pkg/index"
	"logstore/pkg/logql"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/tenant"
)

// casePeriods reads the schema periods of a case's configuration.
func casePeriods(t *testing.T, c *lokibuckets.Case) schema.Periods {
	t.Helper()
	text, err := os.ReadFile(c.Config)
	require.NoError(t, err)
	re := regexp.MustCompile(`- from: (\S+)\n\s+store: (\S+)\n\s+object_store: (\S+)\n\s+schema: (\S+)\n`)
	var periods schema.Periods
	for _, m := range re.FindAllStringSubmatch(string(text), -1) {
		p := schema.DefaultPeriod
		p.From, err = time.Parse(time.DateOnly, m[1])
		require.NoError(t, err)
		p.Store, p.ObjectStore = m[2], m[3]
		p.Schema, err = schema.ParseVersion(m[4])
		require.NoError(t, err)
		periods = append(periods, p)
	}
	require.NoError(t, periods.Validate())
	return periods
}

// caseStore opens a store over a case's bucket.
func caseStore(t *testing.T, c *lokibuckets.Case) (*Store, schema.Periods, ObjectStore) {
	t.Helper()
	periods := casePeriods(t, c)
	o := ObjectStore{Filesystem: periods[0].ObjectStore == schema.Filesystem}
	if o.Filesystem {
		cfg := objstore.FilesystemConfig{Directory: c.Bucket}
		fsBucket, err := objstore.NewFilesystem(cfg)
		require.NoError(t, err)
		o.Bucket = fsBucket
	} else {
		o.Bucket = objstore.NewMemory()
		require.NoError(t, filepath.WalkDir(c.Bucket, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := os.ReadFile(path)
			require.NoError(t, err)
			key, err := filepath.Rel(c.Bucket, path)
			require.NoError(t, err)
			return o.Bucket.Put(t.Context(), filepath.ToSlash(key), body)
		}))
	}
	cfg := shipper.DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = t.TempDir(), t.TempDir()
	ship, err := shipper.New(cfg, shipper.Deps{Periods: periods, Bucket: func(int) objstore.Bucket { return o.Bucket }})
	require.NoError(t, err)
	cfg.CacheLocation = t.TempDir()
	tsdbIndex, err := shipper.NewTSDB(cfg.CacheConfig, shipper.Deps{Periods: periods, Bucket: func(int) objstore.Bucket { return o.Bucket }})
	require.NoError(t, err)
	s, err := New(Deps{
		Periods: periods, Stores: map[string]ObjectStore{periods[0].ObjectStore: o},
		Indexes: map[string]Index{schema.StoreBoltDB: ship, schema.StoreTSDB: tsdbIndex},
	})
	require.NoError(t, err)
	return s, periods, o
}

// TestLokiBuckets answers the recorded queries that need no more than a selector and line filters.
func TestLokiBuckets(t *testing.T) {
	for _, name := range lokibuckets.Names(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lokibuckets.Open(t, name)
			s, _, _ := caseStore(t, c)
			answered := map[string]int{}
			for _, q := range c.Queries {
				t.Run(q.ID, func(t *testing.T) {
					if answer(t, s, &q) {
						answered[q.Group]++
					}
				})
			}
			require.Greater(t, answered["logs"], 10)
			require.Greater(t, answered["labels"], 20)
			require.Greater(t, answered["series"], 5)
		})
	}
}

// answer compares the store's answer with the recorded one. It returns false for queries that need the whole language.
func answer(t *testing.T, s *Store, q *lokibuckets.Query) bool {
	ctx := tenant.Inject(t.Context(), q.Tenant)
	sel := logql.Selection{Interval: model.Interval{Start: number(t, q.Param("start")), End: number(t, q.Param("end"))}}
	require.Equal(t, 200, q.Expect.Status)
	switch {
	case q.Group == "labels":
		// The end of a label request is inclusive.
		sel.Interval.End++
		if query := q.Param("query"); query != "" {
			sel.Matchers = parse(t, query).Matchers
		}
		var got []string
		var err error
		if strings.HasSuffix(q.Path, "/labels") {
			got, err = s.LabelNames(ctx, sel)
		} else {
			got, err = s.LabelValues(ctx, strings.Split(q.Path, "/")[5], sel)
		}
		require.NoError(t, err)
		var want struct{ Data []string }
		require.NoError(t, json.Unmarshal(q.Expect.Body, &want))
		require.ElementsMatch(t, want.Data, got)
	case q.Group == "series":
		answerSeries(t, ctx, s, q, sel)
	case q.Group == "logs":
		log, ok := mustParse(t, q.Param("query")).(*syntax.LogQuery)
		if !ok || !onlyContains(log) {
			return false
		}
		answerLogs(t, ctx, s, q, sel, log)
	default:
		return false
	}
	return true
}

func mustParse(t *testing.T, query string) syntax.Expr {
	t.Helper()
	e, err := syntax.Parse(query)
	require.NoError(t, err)
	return e
}

func parse(t *testing.T, query string) *syntax.LogQuery {
	return mustParse(t, query).(*syntax.LogQuery)
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}

func answerSeries(t *testing.T, ctx context.Context, s *Store, q *lokibuckets.Query, sel logql.Selection) {
	t.Helper()
	// The end of a series request is inclusive, and Loki rounds it up to a millisecond.
	sel.Interval.End = (sel.Interval.End+999999)/1e6*1e6 + 1
	got := map[string]bool{}
	for _, p := range q.Params {
		if p[0] != "match[]" {
			continue
		}
		sel.Matchers = parse(t, p[1]).Matchers
		list, err := s.Series(ctx, sel)
		require.NoError(t, err)
		for _, l := range list {
			got[l.String()] = true
		}
	}
	var body struct{ Data []map[string]string }
	require.NoError(t, json.Unmarshal(q.Expect.Body, &body))
	want := map[string]bool{}
	for _, m := range body.Data {
		want[labels.FromMap(m).String()] = true
	}
	require.Equal(t, want, got)
}

func onlyContains(log *syntax.LogQuery) bool {
	for _, stage := range log.Stages {
		f, ok := stage.(*syntax.LineFilter)
		if !ok || f.Op != syntax.LineContains || len(f.Alternatives) != 1 || f.Alternatives[0].IP {
			return false
		}
	}
	return true
}

// entry is a line of an answer with the labels of its stream.
type entry struct {
	ts           int64
	line, labels string
}

func answerLogs(t *testing.T, ctx context.Context, s *Store, q *lokibuckets.Query, sel logql.Selection, log *syntax.LogQuery) {
	t.Helper()
	sel.Matchers = log.Matchers
	got := readAll(t, ctx, s, sel, func(line []byte) bool {
		for _, stage := range log.Stages {
			if !bytes.Contains(line, []byte(stage.(*syntax.LineFilter).Alternatives[0].Text)) {
				return false
			}
		}
		return true
	})
	var body struct {
		Data struct {
			Result []struct {
				Stream map[string]string
				Values [][]json.RawMessage
			}
		}
	}
	require.NoError(t, json.Unmarshal(q.Expect.Body, &body))
	var want []entry
	for _, r := range body.Data.Result {
		for _, v := range r.Values {
			var ts, line string
			require.NoError(t, json.Unmarshal(v[0], &ts))
			require.NoError(t, json.Unmarshal(v[1], &line))
			want = append(want, entry{number(t, ts), line, labels.FromMap(r.Stream).String()})
		}
	}
	limit := int(number(t, q.Param("limit")))
	compareEntries(t, want, got, limit, q.Param("direction") == "backward")
}

// compareEntries compares two answers. At the limit, which of several lines of one instant are returned is free.
func compareEntries(t *testing.T, want, got []entry, limit int, backward bool) {
	t.Helper()
	order := func(a, b entry) int {
		c := cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.labels, b.labels), cmp.Compare(a.line, b.line))
		if backward {
			return -c
		}
		return c
	}
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	if len(got) > limit {
		require.Len(t, want, limit)
		last := got[limit-1].ts
		require.Equal(t, last, want[limit-1].ts)
		got = got[:limit]
		drop := func(e entry) bool { return e.ts == last }
		want, got = slices.DeleteFunc(want, drop), slices.DeleteFunc(got, drop)
	}
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.Equal(t, want[i], got[i])
	}
}

func readAll(t *testing.T, ctx context.Context, s *Store, sel logql.Selection, keep func(line []byte) bool) []entry {
	t.Helper()
	streams, err := s.Select(ctx, sel)
	require.NoError(t, err)
	var got []entry
	for _, stream := range streams {
		chunks := make([]*chunk.Chunk, len(stream.Pieces))
		for i, p := range stream.Pieces {
			chunks[i], err = p.Open(ctx)
			require.NoError(t, err)
			require.True(t, labels.Equal(stream.Labels, chunks[i].Labels), "%s and %s", stream.Labels, chunks[i].Labels)
		}
		it := chunk.Iterate(chunks...)
		for it.Next() {
			ts, line, pairs := it.Timestamp(), it.Line(), it.Metadata()
			if !sel.Interval.Contains(ts) || !keep(line) {
				continue
			}
			b := labels.NewBuilder(stream.Labels)
			for _, p := range pairs {
				b.Set(p.Name, p.Value)
			}
			got = append(got, entry{ts, string(line), b.Labels().String()})
		}
		require.NoError(t, it.Err())
	}
	return got
}

// TestLokiRows derives the index rows of all chunks of a bucket and wants Loki's rows, byte for byte.
func TestLokiRows(t *testing.T) {
	for _, name := range lokibuckets.Names(t) {
		if name == "l29-v12-deletes" {
			continue // A deletion took rows of label names that other streams still need.
		}
		if strings.Contains(name, "tsdb") {
			continue // It has no rows: TestTSDBChunks looks at it.
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lokibuckets.Open(t, name)
			_, periods, o := caseStore(t, c)
			require.Equal(t, derivedRows(t, c, periods, o), storedRows(t, c))
		})
	}
}

// derivedRows returns the rows of each table, as the writer makes them.
func derivedRows(t *testing.T, c *lokibuckets.Case, periods schema.Periods, o ObjectStore) map[string]map[string]string {
	t.Helper()
	tables := map[string]map[string]string{}
	chunks := 0
	require.NoError(t, filepath.WalkDir(c.Bucket, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(c.Bucket, path)
		require.NoError(t, err)
		if strings.HasPrefix(rel, "index") {
			return nil
		}
		name, err := schema.ParseChunkKey(filepath.ToSlash(rel))
		if o.Filesystem {
			name, err = schema.ParseChunkPath(filepath.ToSlash(rel))
		}
		if err != nil {
			require.NotContains(t, rel, "acme")
			return nil
		}
		chunks++
		require.Equal(t, periods.LayoutOf(name.From), name.Layout)
		require.Equal(t, filepath.ToSlash(rel), o.ChunkKey(name))
		object, err := os.ReadFile(path)
		require.NoError(t, err)
		h, err := chunk.OpenHeader(object)
		require.NoError(t, err)
		require.Equal(t, schema.Fingerprint(h.Labels), name.Fingerprint)
		addRows(tables, periods, name, h.Labels)
		return nil
	}))
	require.Greater(t, chunks, 50)
	return tables
}

func addRows(tables map[string]map[string]string, periods schema.Periods, name schema.ChunkName, lbls labels.Labels) {
	id := schema.SeriesIDOf(lbls)
	for _, span := range periods.Spans(name.From, name.Through) {
		p := &periods[span.Period]
		var rows schema.RowBuffer
		p.AppendSeries(&rows, name.Tenant, span.Day, id, lbls)
		p.AppendChunk(&rows, span, id, name)
		table := tables[p.Table(span.Day)]
		if table == nil {
			table = map[string]string{}
			tables[p.Table(span.Day)] = table
		}
		for _, r := range rows.Rows {
			table[string(r.Key)] = string(r.Value)
		}
	}
}

// storedRows returns the rows of each table, as they are in the bucket's files.
func storedRows(t *testing.T, c *lokibuckets.Case) map[string]map[string]string {
	t.Helper()
	tables := map[string]map[string]string{}
	require.NoError(t, filepath.WalkDir(filepath.Join(c.Bucket, "index"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(filepath.Join(c.Bucket, "index"), path)
		require.NoError(t, err)
		name, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		object, err := os.Open(path)
		require.NoError(t, err)
		defer object.Close()
		local := filepath.Join(t.TempDir(), "table")
		require.NoError(t, index.Unpack(local, object, true))
		f, err := index.Open(local)
		require.NoError(t, err)
		defer f.Close()
		if tables[name] == nil {
			tables[name] = map[string]string{}
		}
		return f.ViewBuckets(func(_ string, c *index.Cursor) error {
			for k, v := c.First(); k != nil; k, v = c.Next() {
				tables[name][string(k)] = string(v)
			}
			return nil
		})
	}))
	return tables
}

// TestTSDBChunks wants a TSDB index to name exactly the chunks that are in the bucket, each in every day that it touches.
func TestTSDBChunks(t *testing.T) {
	for _, name := range []string{"l29-tsdb-v12", "l37-tsdb-raw", "l37-tsdb-compacted"} {
		c := lokibuckets.Open(t, name)
		s, periods, o := caseStore(t, c)
		want, got := map[string]int{}, map[string]int{}
		for _, tenantID := range []string{"acme", "beta-2"} {
			require.NoError(t, o.Bucket.List(t.Context(), tenantID+"/", func(info objstore.ObjectInfo) error {
				name, err := schema.ParseChunkPath(info.Key)
				require.NoError(t, err)
				for _, span := range periods.Spans(name.From, name.Through) {
					want[fmt.Sprint(span.Day, " ", name.Key())]++
				}
				return nil
			}))
			for day := int64(20463); day <= 20465; day++ {
				i := model.Interval{Start: day * dayNanos, End: (day + 1) * dayNanos}
				series, err := s.indexes[schema.StoreTSDB].Select(t.Context(), tenantID, logql.Selection{Interval: i}, periods.SpansOf(i))
				require.NoError(t, err)
				for _, stream := range series {
					for _, chunk := range stream.Chunks {
						got[fmt.Sprint(day, " ", chunk.Key())]++
					}
				}
			}
		}
		require.Greater(t, len(want), 100)
		require.Equal(t, want, got, name)
	}
}
