package compactor

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	running        prometheus.Gauge
	runs           *prometheus.CounterVec
	duration       prometheus.Gauge
	lastSuccess    prometheus.Gauge
	retentionRuns  *prometheus.CounterVec
	retentionLast  prometheus.Gauge
	tables         *prometheus.CounterVec
	bytesFetched   prometheus.Counter
	bytesUploaded  prometheus.Counter
	bytesWritten   prometheus.Counter
	chunksWritten  prometheus.Counter
	chunksMerged   prometheus.Counter
	chunksMarked   *prometheus.CounterVec
	chunksDeleted  prometheus.Counter
	badChunks      prometheus.Counter
	linesDeleted   *prometheus.CounterVec
	filesRemoved   prometheus.Counter
	expired, freed *prometheus.GaugeVec
	storeBytes     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	days := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"day"})
	}
	return &metrics{
		running:       gauge("loki_compactor_running", "1 while this member holds the compactor's lock."),
		runs:          vec("loki_boltdb_shipper_compact_tables_operation_total", "Passes over all tables, by status.", "status"),
		duration:      gauge("loki_boltdb_shipper_compact_tables_operation_duration_seconds", "Duration of the last pass over all tables."),
		lastSuccess:   gauge("loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds", "When the last pass ended that had no failure."),
		retentionRuns: vec("loki_compactor_apply_retention_operation_total", "Passes that applied retention, by status.", "status"),
		retentionLast: gauge("loki_compactor_apply_retention_operation_last_successful_run_timestamp_seconds", "When the last pass ended that applied retention without a failure."),
		tables:        vec("logstore_compactor_tables_total", "Tables that were looked into, by what came of it.", "result"),
		bytesFetched:  counter("logstore_compactor_index_bytes_fetched_total", "Bytes of index objects that were fetched."),
		bytesUploaded: counter("logstore_compactor_index_bytes_uploaded_total", "Bytes of index objects that were uploaded."),
		bytesWritten:  counter("logstore_compactor_chunk_bytes_written_total", "Bytes of chunks that were rewritten or merged."),
		chunksWritten: counter("logstore_compactor_chunks_written_total", "Chunks that were rewritten or merged from others."),
		chunksMerged:  counter("logstore_compactor_chunks_merged_total", "Small chunks that were merged into others."),
		chunksMarked:  vec("logstore_compactor_chunks_marked_total", "Index rows of chunks that were removed, by reason.", "reason"),
		chunksDeleted: counter("logstore_compactor_chunks_deleted_total", "Chunk objects that were removed."),
		badChunks:     counter("logstore_compactor_bad_chunks_total", "Chunks of the index that were missing or damaged."),
		linesDeleted:  vec("loki_compactor_deleted_lines", "Lines that delete requests removed from rewritten chunks, by tenant.", "user"),
		filesRemoved:  counter("logstore_compactor_index_files_removed_total", "Index files that were removed because others stand for them."),
		expired:       days("logstore_compactor_day_chunks_marked", "Chunks of a day that this process took out of the index and that go after retention_delete_delay."),
		freed:         days("logstore_compactor_day_chunks_deleted", "Chunks of a day that this process removed from the bucket."),
		storeBytes:    gauge("logstore_compactor_store_bytes", "Bytes of the chunks in the folder, where max_bytes or max_disk_percent is set."),
	}
}
