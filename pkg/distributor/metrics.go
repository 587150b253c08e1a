package distributor

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
)

// The reasons of discarded entries, as Loki names them. Those of ingesters are in package wire.
const (
	reasonNoLabels          = "missing_labels"
	reasonDuplicateLabel    = "duplicate_label_names"
	reasonLabelCount        = "max_label_names_per_series"
	reasonLabelName         = "label_name_too_long"
	reasonLabelValue        = "label_value_too_long"
	reasonEnforcedLabels    = "missing_enforced_labels"
	reasonLineTooLong       = "line_too_long"
	reasonTooOld            = "greater_than_max_sample_age"
	reasonReadOnly          = "read_only_period"
	reasonTooNew            = "too_far_in_future"
	reasonMetadataTooLarge  = "structured_metadata_too_large"
	reasonMetadataTooMany   = "structured_metadata_too_many"
	reasonMetadataForbidden = "disallowed_structured_metadata"
	reasonRateLimited       = "rate_limited"
	reasonBlocked           = "blocked_ingestion"
	reasonBlockedPolicy     = "blocked_ingestion_policy"
)

type metrics struct {
	bytes, lines                     *prometheus.CounterVec
	discarded, discardedBytes        *prometheus.CounterVec
	mutated, mutatedBytes            *prometheus.CounterVec
	appends, appendFailures          *prometheus.CounterVec
	degraded, hedged                 prometheus.Counter
	cachedStreamHits, parsedLabelSet prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	perTenant := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"tenant"})
	}
	perReason := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"reason", "tenant"})
	}
	perIngester := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"ingester"})
	}
	count := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		bytes:            perTenant("loki_distributor_bytes_received_total", "Bytes of lines and structured metadata received."),
		lines:            perTenant("loki_distributor_lines_received_total", "Lines received."),
		discarded:        perReason("loki_discarded_samples_total", "Entries refused."),
		discardedBytes:   perReason("loki_discarded_bytes_total", "Bytes of the lines and structured metadata of refused entries."),
		mutated:          perReason("loki_mutated_samples_total", "Entries that were changed to fit a limit."),
		mutatedBytes:     perReason("loki_mutated_bytes_total", "Bytes that were cut from entries to fit a limit."),
		appends:          perIngester("loki_distributor_ingester_appends_total", "Pushes handed to ingesters."),
		appendFailures:   perIngester("loki_distributor_ingester_append_failures_total", "Pushes that an ingester failed to store."),
		degraded:         count("logstore_distributor_degraded_writes_total", "Streams of pushes that were stored in fewer copies than the replication factor says."),
		hedged:           count("logstore_distributor_hedged_writes_total", "Calls of ingesters that took so long that the next one was called as well."),
		cachedStreamHits: count("logstore_distributor_stream_cache_hits_total", "Streams of pushes whose label set was known."),
		parsedLabelSet:   count("logstore_distributor_stream_cache_misses_total", "Streams of pushes whose label set had to be parsed."),
	}
}

// append counts a push handed to an ingester.
func (m *metrics) append(ingester string, stored bool) {
	m.appends.WithLabelValues(ingester).Inc()
	if !stored {
		m.appendFailures.WithLabelValues(ingester).Inc()
	}
}

// forget drops a tenant's series.
func (m *metrics) forget(tenant string) {
	l := prometheus.Labels{"tenant": tenant}
	for _, v := range []*prometheus.CounterVec{m.bytes, m.lines, m.discarded, m.discardedBytes, m.mutated, m.mutatedBytes} {
		v.DeletePartialMatch(l)
	}
}

// discard counts refused entries.
func (m *metrics) discard(tenant, reason string, entries, bytes int) {
	m.discarded.WithLabelValues(reason, tenant).Add(float64(entries))
	m.discardedBytes.WithLabelValues(reason, tenant).Add(float64(bytes))
}

// counterValue reads a counter.
func counterValue(c prometheus.Counter) int64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return int64(m.GetCounter().GetValue())
}
