package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// The benchmarks' data: an hour of lines in 40 streams.
const (
	benchStart   = int64(1768435200e9)
	benchSpan    = int64(time.Hour)
	benchStreams = 40
	benchLines   = 400_000
)

var words = []string{"connect", "refused", "timeout", "upstream", "GET /index.html", "POST /api/v1/push", "deadline exceeded", "ok", "retry", "cache miss"}

// benchLine is about 150 bytes of logfmt.
func benchLine(r *rand.Rand, level string) string {
	return fmt.Sprintf(`ts=2026-01-15T00:%02d:%02d.%03dZ level=%s caller=server.go:%d msg="%s" duration=%dms bytes=%d trace_id=%016x user=u%d`,
		r.IntN(60), r.IntN(60), r.IntN(1000), level, r.IntN(400), words[r.IntN(len(words))], r.IntN(2000), r.IntN(1<<20), r.Uint64(), r.IntN(50))
}

func benchSource(b *testing.B) (src *enginetest.Source, bytes int64) {
	b.Helper()
	src = enginetest.New(enginetest.Options{BlockEntries: 1800, PieceEntries: 10000, Encoding: compress.Snappy})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range benchLines {
		level := []string{"info", "info", "warn", "error"}[i%4]
		line := benchLine(r, level)
		bytes += int64(len(line))
		src.Add(labels.FromStrings("app", "web", "level", level, "pod", fmt.Sprint("pod-", i%benchStreams)),
			model.Entry{Timestamp: benchStart + int64(i)*benchSpan/benchLines, Line: line})
	}
	_, err := src.Select(context.Background(), logql.Selection{Interval: model.Interval{Start: 0, End: 1 << 62}})
	require.NoError(b, err)
	return src, bytes
}

func BenchmarkQuery(b *testing.B) {
	src, bytes := benchSource(b)
	end := benchStart + benchSpan
	for _, bench := range []struct {
		name, query string
		step        time.Duration
		limit       int
	}{
		{"count", `sum(count_over_time({app="web"}[1h]))`, 0, 0},
		{"count_literal", `sum(count_over_time({app="web"} |= "deadline" [1h]))`, 0, 0},
		{"count_absent_literal", `sum(count_over_time({app="web"} |= "nowhere" [1h]))`, 0, 0},
		{"sum_by_label_60s", `sum by (level) (count_over_time({app="web"}[1m]))`, time.Minute, 0},
		{"rate_by_pod_5m", `sum by (pod) (rate({app="web"}[5m]))`, time.Minute, 0},
		{"bytes_by_pod", `sum by (pod) (bytes_over_time({app="web"}[1h]))`, 0, 0},
		{"logfmt_sum_by", `sum by (user) (count_over_time({app="web"} | logfmt | duration > 1s [1h]))`, 0, 0},
		{"quantile", `quantile_over_time(0.99, {app="web"} | logfmt | unwrap bytes [1h]) by (level)`, 0, 0},
		{"tail100", `{app="web"}`, 0, 100},
		{"tail100_filter", `{app="web"} |= "deadline"`, 0, 100},
		{"needle", `{app="web"} |= "nowhere"`, 0, 100},
	} {
		b.Run(bench.name, func(b *testing.B) {
			expr, err := syntax.Parse(bench.query)
			require.NoError(b, err)
			p := engine.Params{Expr: expr, Start: benchStart, End: end, Step: bench.step, Limit: bench.limit, Instant: bench.limit+int(bench.step) == 0}
			b.ReportAllocs()
			b.SetBytes(bytes)
			for b.Loop() {
				if _, err := new(engine.Engine).Run(context.Background(), src, p, engine.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkManyStreams counts and tails a tenant of very many streams of a few lines each.
func BenchmarkManyStreams(b *testing.B) {
	src := enginetest.New(enginetest.Options{Live: true})
	const streams = 100_000
	for i := range 3 * streams {
		src.Add(labels.FromStrings("app", fmt.Sprint("app-", i%50), "pod", fmt.Sprint("pod-", i%streams)),
			model.Entry{Timestamp: benchStart + int64(i)*1e6, Line: "level=info msg=\"connect timeout\""})
	}
	_, err := src.Select(context.Background(), logql.Selection{Interval: model.Interval{Start: 0, End: 1 << 62}})
	require.NoError(b, err)
	for _, query := range []string{
		`sum by (app) (count_over_time({app=~".+"}[1h]))`, `sum by (app) (count_over_time({app=~".+"} |= "timeout" [1h]))`, `{app=~".+"}`,
	} {
		b.Run(query, func(b *testing.B) {
			expr, err := syntax.Parse(query)
			require.NoError(b, err)
			_, metric := expr.(syntax.SampleExpr)
			p := engine.Params{Expr: expr, Start: benchStart, End: benchStart + benchSpan, Limit: 100, Instant: metric}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := new(engine.Engine).Run(context.Background(), src, p, engine.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
