package compactor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/index"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// The largest day that is tested: so many files with so many chunks in all. Its short form is a twentieth of it.
const (
	largeFiles  = 200
	largeChunks = 1_000_000
	// largeMemory is how much the process may need for it at the most, the test itself included.
	largeMemory = 512 << 20
)

// TestLargeDay compacts a day of many files, and bounds the memory that it takes.
func TestLargeDay(t *testing.T) {
	files, chunks := largeFiles/20, largeChunks/20
	if os.Getenv("LOGSTORE_SOAK") != "" {
		files, chunks = largeFiles, largeChunks
	}
	dir := t.TempDir()
	bucket, err := objstore.NewFilesystem(objstore.FilesystemConfig{Directory: filepath.Join(dir, "bucket")})
	require.NoError(t, err)
	periods := schema.Periods{schema.DefaultPeriod}
	day := schema.Day(time.Now().UnixMilli()) - 1
	uploaded := 0
	for n := range files {
		uploaded += writeLargeFile(t, bucket, &periods[0], day, n, chunks/files, filepath.Join(dir, "file"))
	}
	overrides, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	cfg := DefaultConfig
	cfg.Directory, cfg.MergeAfter = filepath.Join(dir, "work"), 0
	reg := prometheus.NewRegistry()
	c, err := New(cfg, Deps{Periods: periods, Bucket: func(int) objstore.Bucket { return bucket }, Limits: overrides, Registerer: reg})
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, c.RunOnce(t.Context()))
	took := time.Since(began)

	tb := &table{day: day, name: periods[0].Table(day), p: &periods[0], bucket: bucket}
	ms, err := readManifests(t.Context(), bucket)
	require.NoError(t, err)
	require.NoError(t, tb.list(t.Context(), ms))
	require.Len(t, tb.files, 1)
	o, err := c.open(t.Context(), tb)
	require.NoError(t, err)
	defer o.close()
	found := 0
	require.NoError(t, index.MergeRows(o.units[0].sources, func(row schema.Row) error {
		if r, err := periods[0].ParseRow(row.Key, row.Value); err == nil && r.Kind == schema.KindChunk {
			found++
		}
		return nil
	}))
	require.Equal(t, chunks/files*files, found)
	peak := peakMemory(t)
	require.Less(t, peak, int64(largeMemory))
	t.Logf("%d files, %d chunk rows: %s, peak memory of the whole test %d MiB, fetched %d MB, uploaded %.0f MB",
		files, found, took.Round(time.Millisecond), peak>>20, uploaded/1e6, testutil.ToFloat64(c.metrics.bytesUploaded)/1e6)
}

// writeLargeFile uploads an index file of a writer: a thousand streams in turn, each with some chunks.
func writeLargeFile(t *testing.T, bucket objstore.Bucket, p *schema.PeriodConfig, day int64, number, chunks int, path string) int {
	t.Helper()
	var rows schema.RowBuffer
	start := day * schema.MillisPerDay
	for i := range chunks {
		stream := i % 1000
		lbls := labels.FromStrings("app", "app-"+strconv.Itoa(stream%50), "pod", fmt.Sprintf("pod-%d-%d", stream, number%10), "namespace", "prod")
		id := schema.SeriesIDOf(lbls)
		if i < 1000 {
			p.AppendSeries(&rows, "fake", day, id, lbls)
		}
		from := start + int64(i/1000)*60_000 + int64(number)
		ref := model.ChunkRef{Tenant: "fake", Fingerprint: schema.Fingerprint(lbls), From: from, Through: from + 50_000, Checksum: uint32(number*chunks + i)}
		for _, span := range (schema.Periods{*p}).Spans(ref.From, ref.Through) {
			p.AppendChunk(&rows, span, id, schema.ChunkName{ChunkRef: ref, Layout: schema.Nested})
		}
	}
	slices.SortFunc(rows.Rows, func(a, b schema.Row) int { return bytes.Compare(a.Key, b.Key) })
	b, err := index.NewBuilder(path)
	require.NoError(t, err)
	require.NoError(t, b.Bucket(index.SharedBucket))
	var last []byte
	for _, row := range rows.Rows {
		if !bytes.Equal(row.Key, last) {
			require.NoError(t, b.Add(row))
		}
		last = row.Key
	}
	require.NoError(t, b.Close())
	object, err := index.Compress(path)
	require.NoError(t, err)
	key := schema.IndexFile{Name: fmt.Sprintf("writer-%d-1700000000-%d.gz", number%10, 1700000000+number)}.Key(p.TableKey(p.Table(day)))
	require.NoError(t, bucket.Put(t.Context(), key, object))
	require.NoError(t, os.Remove(path))
	return len(object)
}

// peakMemory returns the most memory that the process had, in bytes.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			require.NoError(t, err)
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
