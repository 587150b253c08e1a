package querier

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/tenant"
	"logstore/pkg/trace"
)

type metrics struct {
	seconds *prometheus.HistogramVec
	bytes   prometheus.Counter
	lines   prometheus.Counter
	chunks  prometheus.Counter
	blocks  prometheus.Counter
	blocked *prometheus.CounterVec

	retries      prometheus.Counter
	waiting      prometheus.Gauge
	queueSeconds prometheus.Histogram
	subqueries   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loki_logql_querystats_latency_seconds", Help: "How long queries took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"type", "status"}),
		bytes: f.NewCounter(prometheus.CounterOpts{
			Name: "loki_logql_querystats_bytes_processed_total", Help: "Uncompressed bytes that queries read."}),
		lines: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_query_lines_processed_total", Help: "Lines that queries read."}),
		chunks: f.NewCounter(prometheus.CounterOpts{
			Name: "loki_logql_querystats_chunk_opened_total", Help: "Chunks that queries opened."}),
		blocks: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_query_blocks_decompressed_total", Help: "Blocks that queries decompressed."}),
		blocked: f.NewCounterVec(prometheus.CounterOpts{
			Name: "loki_blocked_queries", Help: "Queries that the limit blocked_queries refused."}, []string{"user"}),
		retries: f.NewCounter(prometheus.CounterOpts{
			Name: "loki_query_frontend_retries_total", Help: "Parts of queries that were tried again."}),
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "loki_query_scheduler_queue_length", Help: "Parts of queries that wait for their turn."}),
		subqueries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "logstore_query_parts_total",
			Help: "Parts of queries that other members ran (remote), did not run (failed), or that were run for them (served)."}, []string{"outcome"}),
		queueSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "loki_query_scheduler_queue_duration_seconds", Help: "How long parts of queries waited for their turn.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
}

// observe counts a finished query and writes it to the query log if it took long.
func (q *Querier) observe(ctx context.Context, p engine.Params, res engine.Result, err error, took time.Duration) {
	status := "ok"
	if err != nil {
		status = "error"
	}
	q.metrics.seconds.WithLabelValues(kindOf(p), status).Observe(took.Seconds())
	q.metrics.bytes.Add(float64(res.Stats.BytesProcessed))
	q.metrics.lines.Add(float64(res.Stats.LinesProcessed))
	q.metrics.chunks.Add(float64(res.Stats.ChunksOpened))
	q.metrics.blocks.Add(float64(res.Stats.BlocksDecompressed))
	rule := q.cfg.LogRules && SourceOf(ctx) == RuleSource
	if !rule && (q.cfg.LogLongerThan == 0 || q.cfg.LogLongerThan > 0 && took < q.cfg.LogLongerThan) {
		return
	}
	id, _ := tenant.Raw(ctx) // a query without tenant was refused before
	attrs := []slog.Attr{
		slog.String("tenant", id), slog.String("query", p.Text), slog.String("type", kindOf(p)),
		slog.Duration("duration", took), slog.Duration("length", time.Duration(p.End-p.Start)),
		slog.Int64("bytes", res.Stats.BytesProcessed), slog.Int64("lines", res.Stats.LinesProcessed),
		slog.Int64("chunks", res.Stats.ChunksOpened), slog.String("status", status),
		slog.Int64("splits", res.Stats.Splits), slog.Int64("subqueries", res.Stats.Subqueries),
		slog.Duration("queue_time", res.Stats.QueueTime), slog.Int64("results_cached", res.Stats.Results.Found),
		slog.Int64("chunks_cached", res.Stats.Chunks.FromCache),
	}
	if id := trace.ID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	if source := SourceOf(ctx); source != "" {
		attrs = append(attrs, slog.String("source", source))
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	q.logger.LogAttrs(ctx, slog.LevelInfo, "query", attrs...)
}

func kindOf(p engine.Params) string {
	_, metric := p.Expr.(syntax.SampleExpr)
	switch {
	case !metric:
		return "limited"
	case p.Instant:
		return "instant"
	}
	return "range"
}

// traceQuery ends the span of a query, or of a part of one, with what it took.
func traceQuery(span *trace.Span, p *engine.Params, res *engine.Result, err error) {
	if span == nil {
		return
	}
	span.Text("logstore.query", p.Text)
	span.Text("logstore.query.type", kindOf(*p))
	span.Int("logstore.query.start", p.Start)
	span.Int("logstore.query.end", p.End)
	span.Int("logstore.bytes", res.Stats.BytesProcessed)
	span.Int("logstore.lines", res.Stats.LinesProcessed)
	span.Int("logstore.chunks", res.Stats.ChunksOpened)
	span.End(err)
}
