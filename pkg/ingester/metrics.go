package ingester

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/chunk"
	"logstore/pkg/wal"
)

// metrics are the ingester's. Those with Loki's names mean what Loki's mean.
type metrics struct {
	// chunks is the number of chunks in memory that are not stored and indexed.
	chunks atomic.Int64

	streamsCreated, streamsRemoved, chunksCreated           prometheus.Counter
	entriesAppended, bytesAppended, memoryRefused           prometheus.Counter
	lostRuns, earlySeals, flushFailures                     prometheus.Counter
	pages, pageBytes, fragments                             prometheus.Counter
	chunksFlushed                                           *prometheus.CounterVec
	chunkEntries, chunkSize, chunkCompression, flushSeconds prometheus.Histogram
	rawBytes, sealedBytes, storedBytes                      prometheus.Counter

	diskFull, logFailures, segmentsRemoved           prometheus.Counter
	checkpoints, checkpointFailures, checkpointBytes prometheus.Counter
	corruptions, duplicates                          prometheus.Counter
	recoveredStreams, recoveredEntries               prometheus.Counter
	recoveredBytes                                   prometheus.Counter
	replayActive, replaySeconds                      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, i *Ingester) *metrics {
	m := &metrics{}
	var all []prometheus.Collector
	count := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		all = append(all, c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		all = append(all, g)
		return g
	}
	value := func(name, help string, fn func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, fn))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		all = append(all, h)
		return h
	}
	m.streamsCreated = count("loki_ingester_streams_created_total", "Streams that came into memory.")
	m.streamsRemoved = count("loki_ingester_streams_removed_total", "Streams that left memory.")
	m.chunksCreated = count("loki_ingester_chunks_created_total", "Chunks begun.")
	m.entriesAppended = count("logstore_ingester_entries_appended_total", "Entries stored by pushes.")
	m.bytesAppended = count("logstore_ingester_bytes_appended_total", "Bytes of entries stored by pushes, as they are encoded.")
	m.memoryRefused = count("logstore_ingester_memory_refused_total", "Pushes refused because of the memory limit.")
	m.lostRuns = count("logstore_ingester_lost_runs_total", "Runs of entries of the log that could not be understood.")
	m.earlySeals = count("logstore_ingester_early_seals_total", "Blocks compressed before they were full to save memory.")
	m.pages = count("logstore_ingester_pages_total", "Pages of entries of many streams moved out of memory.")
	m.pageBytes = count("logstore_ingester_page_bytes_total", "Bytes of these pages before compression.")
	m.fragments = count("logstore_ingester_page_fragments_total", "Parts of streams in these pages.")
	m.flushFailures = count("loki_ingester_chunks_flush_failures_total", "Attempts to store or index a chunk that failed.")
	m.chunksFlushed = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "loki_ingester_chunks_flushed_total",
		Help: "Chunks stored and indexed, by the reason for which they were closed."}, []string{"reason"})
	all = append(all, m.chunksFlushed)
	m.chunkEntries = histogram("loki_ingester_chunk_entries", "Entries of stored chunks.", prometheus.ExponentialBuckets(200, 2, 9))
	m.chunkSize = histogram("loki_ingester_chunk_size_bytes", "Sizes of stored chunk objects.", prometheus.ExponentialBuckets(20000, 2, 10))
	m.chunkCompression = histogram("loki_ingester_chunk_compression_ratio", "Uncompressed by stored size of chunks.", prometheus.LinearBuckets(.75, 2, 10))
	m.flushSeconds = histogram("logstore_ingester_chunk_store_seconds", "Time that storing a chunk object took.", prometheus.ExponentialBuckets(.001, 4, 8))
	m.storedBytes = count("loki_ingester_chunk_stored_bytes_total", "Bytes of chunk objects stored.")
	m.rawBytes = count("logstore_ingester_sealed_raw_bytes_total", "Bytes of blocks before compression.")
	m.sealedBytes = count("logstore_ingester_sealed_bytes_total", "Bytes of blocks after compression.")
	m.diskFull = count("loki_ingester_wal_disk_full_failures_total", "Writes to the log that failed because the disk was full.")
	m.logFailures = count("logstore_ingester_wal_write_failures_total", "Writes to the log that failed for other reasons.")
	m.segmentsRemoved = count("logstore_ingester_wal_segments_removed_total", "Segments of the log that nobody needed any more.")
	m.checkpoints = count("loki_ingester_checkpoint_creations_total", "Checkpoints begun.")
	m.checkpointFailures = count("loki_ingester_checkpoint_creations_failed_total", "Checkpoints that failed.")
	m.checkpointBytes = count("loki_ingester_checkpoint_logged_bytes_total", "Bytes written by checkpoints.")
	m.corruptions = count("loki_ingester_wal_corruptions_total", "Damaged stretches found in the log.")
	m.duplicates = count("loki_ingester_wal_duplicate_runs_total", "Runs of entries that a replay left out because they were flushed or known already.")
	m.recoveredStreams = count("loki_ingester_wal_recovered_streams_total", "Streams that came back by a replay.")
	m.recoveredEntries = count("loki_ingester_wal_recovered_entries_total", "Entries that came back by a replay.")
	m.recoveredBytes = count("loki_ingester_wal_recovered_bytes_total", "Bytes of entries that came back by a replay.")
	m.replayActive = gauge("loki_ingester_wal_replay_active", "Whether the log is being replayed.")
	m.replaySeconds = gauge("loki_ingester_wal_replay_duration_seconds", "Time that the replay took.")
	value("loki_ingester_memory_chunks", "Chunks in memory that are not stored and indexed.", func() float64 { return float64(m.chunks.Load()) })
	value("loki_ingester_memory_streams", "Streams in memory.", func() float64 { return float64(i.countStreams()) })
	value("logstore_ingester_memory_bytes", "Memory taken by entries.", func() float64 { return float64(i.memory.Load()) })
	value("logstore_ingester_memory_head_bytes", "Memory taken by entries that are not compressed.", func() float64 { return float64(i.heads.Load()) })
	value("logstore_ingester_memory_limit_bytes", "Memory that entries may take.", func() float64 { return float64(i.cfg.MemoryLimit) })
	value("loki_ingester_flush_queue_length", "Closed chunks that are not indexed.", func() float64 { return float64(i.flushes.outstanding.Load()) })
	value("loki_ingester_wal_bytes_in_use", "Size of the logs on disk.", func() float64 { return float64(i.logBytes()) })
	m.logCounters(&all, i)
	if reg != nil {
		reg.MustRegister(all...)
	}
	return m
}

// logCounters shows what the log counts itself.
func (m *metrics) logCounters(all *[]prometheus.Collector, i *Ingester) {
	stat := func(name, help string, of func(wal.Stats) int64) {
		*all = append(*all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
			if i.data == nil {
				return 0
			}
			return float64(of(i.data.Stats()))
		}))
	}
	stat("loki_ingester_wal_records_logged_total", "Pushes written to the log.", func(s wal.Stats) int64 { return s.Records })
	stat("loki_ingester_wal_logged_bytes_total", "Bytes written to the log.", func(s wal.Stats) int64 { return s.Bytes })
	stat("logstore_ingester_wal_writes_total", "Write calls, each with the pushes that came together.", func(s wal.Stats) int64 { return s.Writes })
}

func (i *Ingester) countStreams() int {
	n := 0
	i.streams.mu.RLock()
	defer i.streams.mu.RUnlock()
	for _, t := range i.streams.tenants {
		n += int(t.streams.Load())
	}
	return n
}

func (i *Ingester) logBytes() int64 {
	if i.data == nil {
		return 0
	}
	return i.data.Size() + i.parts.Size() + i.marks.Size()
}

func (m *metrics) logFailed(err error) {
	if errors.Is(err, wal.ErrNoSpace) {
		m.diskFull.Inc()
		return
	}
	m.logFailures.Inc()
}

func (m *metrics) appended(entries, bytes int) {
	m.entriesAppended.Add(float64(entries))
	m.bytesAppended.Add(float64(bytes))
}

func (m *metrics) spilled(fragments, bytes int) {
	m.pages.Inc()
	m.fragments.Add(float64(fragments))
	m.pageBytes.Add(float64(bytes))
}

func (m *metrics) blockRatio(raw, sealed int) {
	m.rawBytes.Add(float64(raw))
	m.sealedBytes.Add(float64(sealed))
}

func (m *metrics) stored(c *chunk.Chunk, bytes int, took time.Duration) {
	size := 0
	for i := range c.Blocks {
		size += c.Blocks[i].Size
	}
	m.chunkEntries.Observe(float64(c.Entries()))
	m.chunkSize.Observe(float64(bytes))
	m.chunkCompression.Observe(float64(size) / float64(max(bytes, 1)))
	m.storedBytes.Add(float64(bytes))
	m.flushSeconds.Observe(took.Seconds())
}

func (m *metrics) flushed(reason flushReason) { m.chunksFlushed.WithLabelValues(string(reason)).Inc() }
