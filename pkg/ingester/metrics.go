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

	streamsCreated, streamsRemoved                          *prometheus.CounterVec // by tenant
	chunksCreated                                           prometheus.Counter
	entriesAppended, bytesAppended, memoryRefused           prometheus.Counter
	lostRuns, earlySeals, flushFailures, handedOver         prometheus.Counter
	lostEntries                                             prometheus.Counter
	sidecarFailures                                         prometheus.Counter
	describedSealed, describedRead, undescribed             prometheus.Counter
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

// collectors gathers metrics until they are registered together.
type collectors []prometheus.Collector

func (c *collectors) count(name, help string) prometheus.Counter {
	m := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	*c = append(*c, m)
	return m
}

func (c *collectors) countBy(name, help string, labels ...string) *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	*c = append(*c, m)
	return m
}

func (c *collectors) gauge(name, help string) prometheus.Gauge {
	m := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	*c = append(*c, m)
	return m
}

func (c *collectors) value(name, help string, fn func() float64) {
	*c = append(*c, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, fn))
}

func (c *collectors) histogram(name, help string, buckets []float64) prometheus.Histogram {
	m := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	*c = append(*c, m)
	return m
}

func newMetrics(reg prometheus.Registerer, i *Ingester) *metrics {
	m := &metrics{}
	c := &collectors{}
	m.ofPushes(c)
	m.ofFlushes(c)
	m.ofLogs(c, i)
	m.ofState(c, i)
	if reg != nil {
		reg.MustRegister(*c...)
	}
	return m
}

func (m *metrics) ofPushes(c *collectors) {
	m.streamsCreated = c.countBy("loki_ingester_streams_created_total", "Streams that came into memory.", "tenant")
	m.streamsRemoved = c.countBy("loki_ingester_streams_removed_total", "Streams that left memory.", "tenant")
	m.chunksCreated = c.count("loki_ingester_chunks_created_total", "Chunks begun.")
	m.entriesAppended = c.count("logstore_ingester_entries_appended_total", "Entries stored by pushes.")
	m.bytesAppended = c.count("logstore_ingester_bytes_appended_total", "Bytes of entries stored by pushes, as they are encoded.")
	m.memoryRefused = c.count("logstore_ingester_memory_refused_total", "Pushes refused because of the memory limit.")
	m.handedOver = c.count("logstore_ingester_handed_over_chunks_total", "Chunks that could not be flushed before the stop and were given to other members.")
	m.lostRuns = c.count("logstore_ingester_lost_runs_total", "Runs of entries of the log that could not be understood.")
	m.lostEntries = c.count("logstore_ingester_lost_entries_total", "Entries in pages that are damaged on the disk.")
	m.earlySeals = c.count("logstore_ingester_early_seals_total", "Blocks compressed before they were full to save memory.")
	m.pages = c.count("logstore_ingester_pages_total", "Pages of entries of many streams moved out of memory.")
	m.pageBytes = c.count("logstore_ingester_page_bytes_total", "Bytes of these pages before compression.")
	m.fragments = c.count("logstore_ingester_page_fragments_total", "Parts of streams in these pages.")
	m.rawBytes = c.count("logstore_ingester_sealed_raw_bytes_total", "Bytes of blocks before compression.")
	m.sealedBytes = c.count("logstore_ingester_sealed_bytes_total", "Bytes of blocks after compression.")
}

func (m *metrics) ofFlushes(c *collectors) {
	m.chunksFlushed = c.countBy("loki_ingester_chunks_flushed_total", "Chunks stored and indexed, by the reason for which they were closed.", "reason")
	m.sidecarFailures = c.count("logstore_ingester_sidecar_failures_total", "Sidecars of chunks that could not be stored.")
	described := c.countBy("logstore_ingester_described_blocks_total", "Blocks in memory that were described for queries: when they were sealed, or after a query read them.", "when")
	m.describedSealed, m.describedRead = described.WithLabelValues("sealed"), described.WithLabelValues("read")
	m.undescribed = c.count("logstore_ingester_undescribed_blocks_total", "Blocks that were sealed and not described, since another member is the first that holds the stream.")
	m.flushFailures = c.count("loki_ingester_chunks_flush_failures_total", "Attempts to store or index a chunk that failed.")
	m.chunkEntries = c.histogram("loki_ingester_chunk_entries", "Entries of stored chunks.", prometheus.ExponentialBuckets(200, 2, 9))
	m.chunkSize = c.histogram("loki_ingester_chunk_size_bytes", "Sizes of stored chunk objects.", prometheus.ExponentialBuckets(20000, 2, 10))
	m.chunkCompression = c.histogram("loki_ingester_chunk_compression_ratio", "Uncompressed by stored size of chunks.", prometheus.LinearBuckets(.75, 2, 10))
	m.flushSeconds = c.histogram("logstore_ingester_chunk_store_seconds", "Time that storing a chunk object took.", prometheus.ExponentialBuckets(.001, 4, 8))
	m.storedBytes = c.count("loki_ingester_chunk_stored_bytes_total", "Bytes of chunk objects stored.")
}

func (m *metrics) ofLogs(c *collectors, i *Ingester) {
	m.diskFull = c.count("loki_ingester_wal_disk_full_failures_total", "Pushes and other writes to the log that failed because the disk was full, or nearly.")
	m.logFailures = c.count("logstore_ingester_wal_write_failures_total", "Writes to the log that failed for other reasons.")
	m.segmentsRemoved = c.count("logstore_ingester_wal_segments_removed_total", "Segments of the log that nobody needed any more.")
	m.checkpoints = c.count("loki_ingester_checkpoint_creations_total", "Checkpoints begun.")
	m.checkpointFailures = c.count("loki_ingester_checkpoint_creations_failed_total", "Checkpoints that failed.")
	m.checkpointBytes = c.count("loki_ingester_checkpoint_logged_bytes_total", "Bytes written by checkpoints.")
	m.corruptions = c.count("loki_ingester_wal_corruptions_total", "Damaged stretches found in the log.")
	m.duplicates = c.count("logstore_ingester_wal_known_runs_total", "Runs of entries that a replay left out because they were flushed or known already.")
	m.recoveredStreams = c.count("loki_ingester_wal_recovered_streams_total", "Streams that came back by a replay.")
	m.recoveredEntries = c.count("loki_ingester_wal_recovered_entries_total", "Entries that came back by a replay.")
	m.recoveredBytes = c.count("loki_ingester_wal_recovered_bytes_total", "Bytes of entries that came back by a replay.")
	m.replayActive = c.gauge("loki_ingester_wal_replay_active", "Whether the log is being replayed.")
	m.replaySeconds = c.gauge("loki_ingester_wal_replay_duration_seconds", "Time that the replay took.")
	stat := func(name, help string, of func(wal.Stats) int64) {
		*c = append(*c, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
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

// ofState shows what is in memory and on disk now.
func (m *metrics) ofState(c *collectors, i *Ingester) {
	c.value("loki_ingester_wal_disk_usage_percent", "Share of the disk of the log that is in use, 0 to 1.", i.disk.usedShare)
	c.value("logstore_ingester_wal_disk_full", "Whether pushes are refused because the disk of the log is nearly full.", func() float64 {
		if i.disk.full.Load() {
			return 1
		}
		return 0
	})
	c.value("loki_ingester_memory_chunks", "Chunks in memory that are not stored and indexed.", func() float64 { return float64(m.chunks.Load()) })
	c.value("loki_ingester_memory_streams", "Streams in memory.", func() float64 { return float64(i.countStreams()) })
	c.value("logstore_ingester_memory_bytes", "Memory taken by entries.", func() float64 { return float64(i.memory.Load()) })
	c.value("logstore_ingester_memory_head_bytes", "Memory taken by entries that are not compressed.", func() float64 { return float64(i.heads.Load()) })
	c.value("logstore_ingester_memory_limit_bytes", "Memory that entries may take.", func() float64 { return float64(i.cfg.MemoryLimit) })
	c.value("loki_ingester_flush_queue_length", "Closed chunks that are not indexed.", func() float64 { return float64(i.flushes.outstanding.Load()) })
	c.value("loki_ingester_wal_bytes_in_use", "Size of the logs on disk.", func() float64 { return float64(i.logBytes()) })
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

// sayLogFails is the time between two messages that the log takes nothing.
const sayLogFails = 30 * time.Second

// logFailed counts a write to the log that failed, and says so from time to time.
func (i *Ingester) logFailed(err error) {
	if errors.Is(err, wal.ErrNoSpace) {
		i.metrics.diskFull.Inc()
	} else {
		i.metrics.logFailures.Inc()
	}
	now, said := time.Now().UnixNano(), i.logSaid.Load()
	i.logFailedAt.Store(now)
	if (said == 0 || now-said > int64(sayLogFails)) && i.logSaid.CompareAndSwap(said, now) {
		i.log.Error("the write-ahead log cannot be written: pushes are refused here, and other members take them if there are any", "err", err)
	}
}

// logWorks takes note that a push was logged, and says so if for a while none was not.
func (i *Ingester) logWorks() {
	said := i.logSaid.Load()
	if said != 0 && time.Now().UnixNano()-i.logFailedAt.Load() > int64(5*time.Second) && i.logSaid.CompareAndSwap(said, 0) {
		i.log.Info("the write-ahead log can be written again")
	}
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
