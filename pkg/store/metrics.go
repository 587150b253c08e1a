package store

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	chunksStored   *prometheus.CounterVec
	bytesStored    *prometheus.CounterVec
	chunksPerQuery prometheus.Histogram
	fetched        *prometheus.CounterVec
	fetchedBytes   prometheus.Counter
	corrupt        prometheus.Counter
	corruptCached  prometheus.Counter
	duplicates     prometheus.Counter
	sidecarsStored prometheus.Counter
	sidecarBytes   prometheus.Counter
	sidecarsRead   *prometheus.CounterVec
	sidecarLists   prometheus.Counter
	packRequests   *prometheus.CounterVec
	packBytes      prometheus.Counter
	packsFailed    prometheus.Counter
	blocksFetched  prometheus.Counter
	rangesFailed   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	return &metrics{
		chunksStored: vec("loki_chunk_store_stored_chunks_total", "Chunks written to the bucket, by tenant.", "user"),
		bytesStored:  vec("loki_chunk_store_stored_chunk_bytes_total", "Bytes of chunks written to the bucket, by tenant.", "user"),
		chunksPerQuery: f.NewHistogram(prometheus.HistogramOpts{
			Name: "loki_chunk_store_chunks_per_query", Help: "Chunks that a selection found.",
			Buckets: prometheus.ExponentialBuckets(10, 8, 7),
		}),
		fetched:        vec("loki_chunk_store_fetched_chunks_total", "Chunks opened for queries, by where they came from.", "from"),
		fetchedBytes:   counter("loki_chunk_store_fetched_chunk_bytes_total", "Bytes of chunks fetched from the bucket."),
		corrupt:        counter("logstore_store_corrupt_chunks_total", "Chunks in the bucket that could not be read."),
		sidecarsStored: counter("logstore_store_sidecars_stored_total", "Sidecars of chunks written to the bucket."),
		sidecarBytes:   counter("logstore_store_sidecar_stored_bytes_total", "Bytes of sidecars written to the bucket."),
		sidecarsRead:   vec("logstore_store_sidecars_read_total", "Sidecars that queries wanted and that were not in memory, by what came of it: cached ones were in the cache of chunks, packed ones in packs, described ones were made of small chunks that have none, failed ones were corrupt, foreign or could not be read.", "result"),
		sidecarLists:   counter("logstore_store_sidecar_lists_total", "Streams whose sidecars were listed because some were missing."),
		packRequests:   vec("logstore_store_sidecar_pack_requests_total", "Requests for packs of sidecars, by what they asked for: list, directory, sidecars.", "part"),
		packBytes:      counter("logstore_store_sidecar_pack_bytes_total", "Bytes of packs of sidecars that were read."),
		packsFailed:    counter("logstore_store_sidecar_packs_failed_total", "Packs of sidecars that were damaged or could not be read, so that queries did without."),
		blocksFetched:  counter("logstore_store_fetched_blocks_total", "Blocks read from the bucket without the rest of their chunk."),
		rangesFailed:   counter("logstore_store_failed_ranges_total", "Reads of single blocks that failed, so that the whole chunk was read."),
		duplicates:     counter("logstore_store_duplicate_chunks_total", "Chunks that were not written because a replica had written the same."),
		corruptCached:  counter("logstore_store_corrupt_cached_chunks_total", "Cached chunks that were not what their key says."),
	}
}
