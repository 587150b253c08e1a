package shipper

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

const benchStreams = 100_000

func benchEntries() []schema.IndexEntry {
	set := bigSet(benchStreams)
	entries := make([]schema.IndexEntry, len(set.labels))
	for i, l := range set.labels {
		entries[i] = chunkOf("acme", i%80000, l)
	}
	return entries
}

func benchShipper(b *testing.B, bucket objstore.Bucket) *Shipper {
	cfg := DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = b.TempDir(), b.TempDir()
	s, err := New(cfg, Deps{Periods: schema.Periods{schema.DefaultPeriod}, Bucket: func(int) objstore.Bucket { return bucket }})
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.pool.close() })
	return s
}

// BenchmarkPut indexes 100,000 chunks of 7 labels, each of its own stream, in calls of some size, and uploads them.
func BenchmarkPut(b *testing.B) {
	entries := benchEntries()
	for _, batch := range []int{1000, 10_000, benchStreams} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := benchShipper(b, objstore.NewMemory())
				for i := 0; i < len(entries); i += batch {
					require.NoError(b, s.Put(b.Context(), entries[i:i+batch]))
				}
				require.NoError(b, s.Flush(b.Context()))
			}
		})
	}
}

// BenchmarkSelect looks up in a table of 100,000 streams: the writer's own, and one that was fetched.
func BenchmarkSelect(b *testing.B) {
	bucket := objstore.NewMemory()
	writer := benchShipper(b, bucket)
	require.NoError(b, writer.Put(b.Context(), benchEntries()))
	require.NoError(b, writer.Flush(b.Context()))
	reader := benchShipper(b, bucket)
	all := labels.MustNewMatcher(labels.MatchRegexp, "cluster", ".+")
	one := labels.MustNewMatcher(labels.MatchEqual, "pod", fmt.Sprintf("app-7-%x", 207*7919))
	some := labels.MustNewMatcher(labels.MatchRegexp, "pod", "app-7-.*")
	run := func(name string, s *Shipper, m *labels.Matcher, want int) {
		b.Run(name, func(b *testing.B) {
			sel := logql.Selection{Interval: wholeDay, Matchers: []*labels.Matcher{m}}
			for b.Loop() {
				series, err := s.Select(b.Context(), "acme", sel, s.periods.SpansOf(wholeDay))
				require.NoError(b, err)
				require.Len(b, series, want)
			}
		})
	}
	for name, s := range map[string]*Shipper{"own": writer, "fetched": reader} {
		run(name+"/all", s, all, benchStreams)
		run(name+"/regex", s, some, benchStreams/200)
		run(name+"/one", s, one, 1)
	}
	b.Run("decode", func(b *testing.B) {
		sel := logql.Selection{Interval: wholeDay, Matchers: []*labels.Matcher{one}}
		for b.Loop() {
			for _, t := range reader.copies.tables {
				for _, f := range t.files {
					reader.sets.forget(f.path())
				}
			}
			_, err := reader.Select(b.Context(), "acme", sel, reader.periods.SpansOf(wholeDay))
			require.NoError(b, err)
			b.ReportMetric(float64(reader.sets.bytes)/1e6, "MB")
		}
	})
}
