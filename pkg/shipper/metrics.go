package shipper

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	statusSuccess = "success"
	statusFailure = "failure"
)

type metrics struct {
	uploads        *prometheus.CounterVec
	uploadedBytes  prometheus.Counter
	pendingFiles   prometheus.Gauge
	corruptFiles   prometheus.Counter
	handedOver     prometheus.Counter
	writtenRows    prometheus.Counter
	commits        *prometheus.CounterVec
	commitDuration prometheus.Histogram
	seriesBytes    prometheus.Gauge
	decodes        prometheus.Counter
	rowBytes       prometheus.Gauge
	rowStreams     *prometheus.CounterVec
	openFiles      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	vec := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"status"})
	}
	return &metrics{
		uploads:       vec("loki_boltdb_shipper_tables_upload_operation_total", "Uploads of index files, by status."),
		uploadedBytes: f.NewCounter(prometheus.CounterOpts{Name: "logstore_index_uploaded_bytes_total", Help: "Compressed bytes of uploaded index files."}),
		pendingFiles:  f.NewGauge(prometheus.GaugeOpts{Name: "logstore_index_files_not_uploaded", Help: "Local index files that are not yet in the bucket."}),
		handedOver:    f.NewCounter(prometheus.CounterOpts{Name: "logstore_index_handed_over_files_total", Help: "Index files that could not be uploaded before the stop and were given to other members."}),
		corruptFiles:  f.NewCounter(prometheus.CounterOpts{Name: "logstore_index_corrupt_files_total", Help: "Index files that were found to be corrupt and set aside."}),
		writtenRows:   f.NewCounter(prometheus.CounterOpts{Name: "logstore_index_written_rows_total", Help: "Rows written to active index files."}),
		commits:       vec("logstore_index_commits_total", "Transactions on active index files, by status."),
		commitDuration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "logstore_index_commit_duration_seconds", Help: "Time of a transaction on an active index file.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		seriesBytes: f.NewGauge(prometheus.GaugeOpts{Name: "logstore_index_series_cache_bytes", Help: "Memory of decoded series of fetched index files."}),
		decodes:     f.NewCounter(prometheus.CounterOpts{Name: "logstore_index_series_decoded_total", Help: "Decodings of a tenant's series in an index file."}),
		rowBytes:    f.NewGauge(prometheus.GaugeOpts{Name: "logstore_index_row_cache_bytes", Help: "Memory of chunk rows that are kept of index files that do not change."}),
		rowStreams: f.NewCounterVec(prometheus.CounterOpts{
			Name: "logstore_index_row_cache_streams_total",
			Help: "Streams whose chunks were looked up in an index file that does not change, by where its rows were found: cached, or read from the file.",
		}, []string{"from"}),
		openFiles: f.NewGauge(prometheus.GaugeOpts{Name: "logstore_index_open_files", Help: "Index files that are open."}),
	}
}

// copyMetrics are those of the copies of one kind of index.
type copyMetrics struct {
	syncs        *prometheus.CounterVec
	downloads    *prometheus.CounterVec
	corruptFiles prometheus.Counter
	tables       prometheus.Gauge
	bytes        prometheus.Gauge
	evictions    prometheus.Counter
}

// newCopyMetrics returns the metrics of a kind: boltdb or tsdb.
func newCopyMetrics(r prometheus.Registerer, kind string) *copyMetrics {
	f := promauto.With(r)
	vec := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "loki_" + kind + "_shipper_" + name, Help: help}, []string{"status"})
	}
	label := prometheus.Labels{"store": kind}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "logstore_index_" + name, Help: help, ConstLabels: label})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "logstore_index_" + name, Help: help, ConstLabels: label})
	}
	return &copyMetrics{
		syncs:        vec("tables_sync_operation_total", "Listings of tables in the bucket, by status."),
		downloads:    vec("tables_download_operation_total", "Downloads of index files, by status."),
		corruptFiles: counter("corrupt_copies_total", "Copies of index files that were damaged, and fetched again."),
		tables:       gauge("cached_tables", "Tables of which copies are kept."),
		bytes:        gauge("cache_bytes", "Bytes of copies of index files on the disk."),
		evictions:    counter("cache_evictions_total", "Copies that were removed to stay within the bound of the cache."),
	}
}

func status(err error) string {
	if err != nil {
		return statusFailure
	}
	return statusSuccess
}
