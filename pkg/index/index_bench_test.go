package index

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/schema"
)

func benchLabels(i int) labels.Labels {
	return labels.FromStrings("cluster", "prod", "namespace", fmt.Sprintf("ns-%d", i%40), "app", fmt.Sprintf("app-%d", i%200),
		"pod", fmt.Sprintf("app-%d-%x", i%200, i*7919), "container", "main", "level", []string{"info", "warn", "error"}[i%3],
		"stream", "stderr", "region", "eu-west-1")
}

// benchRows returns the rows of chunks from..to-1, each of its own stream.
func benchRows(from, to int) []schema.Row {
	p := schema.DefaultPeriod
	var b schema.RowBuffer
	for i := from; i < to; i++ {
		lbls := benchLabels(i)
		id := schema.SeriesIDOf(lbls)
		ref := model.ChunkRef{Tenant: "fake", Fingerprint: schema.Fingerprint(lbls), From: 1768089600000, Through: 1768093200000, Checksum: uint32(i)}
		p.AppendSeries(&b, ref.Tenant, 20464, id, lbls)
		for _, span := range (schema.Periods{p}).Spans(ref.From, ref.Through) {
			p.AppendChunk(&b, span, id, schema.ChunkName{ChunkRef: ref, Layout: schema.Nested})
		}
	}
	return b.Rows
}

// BenchmarkFlush measures 100,000 chunks of 8 labels, each of its own stream, in batches.
func BenchmarkFlush(b *testing.B) {
	for _, batch := range []int{10000, 100000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			for range b.N {
				dir := b.TempDir()
				f, err := Create(filepath.Join(dir, "t"))
				require.NoError(b, err)
				for i := 0; i < 100000; i += batch {
					require.NoError(b, f.Put(map[string][]schema.Row{SharedBucket: benchRows(i, i+batch)}))
				}
				info, err := os.Stat(f.Path())
				require.NoError(b, err)
				b.ReportMetric(float64(info.Size())/1e6, "MB")
				require.NoError(b, f.Close())
			}
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	dir := b.TempDir()
	f, err := Create(filepath.Join(dir, "t"))
	require.NoError(b, err)
	for i := 0; i < 100000; i += 10000 {
		require.NoError(b, f.Put(map[string][]schema.Row{SharedBucket: benchRows(i, i+10000)}))
	}
	for b.Loop() {
		gz, err := f.Snapshot(filepath.Join(dir, "snap"))
		require.NoError(b, err)
		b.ReportMetric(float64(len(gz))/1e6, "MB")
	}
	b.Run("compact", func(b *testing.B) {
		for b.Loop() {
			_, err := f.Compact(filepath.Join(dir, "c"))
			require.NoError(b, err)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, Check(filepath.Join(dir, "c")))
		}
	})
}
