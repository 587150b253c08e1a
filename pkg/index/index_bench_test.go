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

// BenchmarkFlush measures 100,000 chunks of 8 labels, each of its own stream: files of their own for batches, and their merge.
func BenchmarkFlush(b *testing.B) {
	const batch = 10000
	for range b.N {
		dir := b.TempDir()
		var files []*File
		for i := 0; i < 100000; i += batch {
			path := filepath.Join(dir, fmt.Sprint(i))
			require.NoError(b, Build(path, map[string][]schema.Row{SharedBucket: benchRows(i, i+batch)}))
			f, err := Open(path)
			require.NoError(b, err)
			files = append(files, f)
		}
		path := filepath.Join(dir, "all")
		require.NoError(b, Merge(path, files...))
		info, err := os.Stat(path)
		require.NoError(b, err)
		b.ReportMetric(float64(info.Size())/1e6, "MB")
		for _, f := range files {
			require.NoError(b, f.Close())
		}
	}
}

// BenchmarkPut measures the same chunks in transactions.
func BenchmarkPut(b *testing.B) {
	for range b.N {
		f, err := Create(filepath.Join(b.TempDir(), "t"))
		require.NoError(b, err)
		for i := 0; i < 100000; i += 10000 {
			require.NoError(b, f.Put(map[string][]schema.Row{SharedBucket: benchRows(i, i+10000)}))
		}
		require.NoError(b, f.Close())
	}
}

func BenchmarkPack(b *testing.B) {
	path := filepath.Join(b.TempDir(), "t")
	require.NoError(b, Build(path, map[string][]schema.Row{SharedBucket: benchRows(0, 50000)}))
	info, err := os.Stat(path)
	require.NoError(b, err)
	b.Run("compress", func(b *testing.B) {
		b.SetBytes(info.Size())
		for b.Loop() {
			gz, err := Compress(path)
			require.NoError(b, err)
			b.ReportMetric(float64(len(gz))/float64(info.Size()), "ratio")
		}
	})
	b.Run("check", func(b *testing.B) {
		b.SetBytes(info.Size())
		for b.Loop() {
			require.NoError(b, Check(path))
		}
	})
}
