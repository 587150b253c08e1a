package cache

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	fetched, hits, evicted, dropped, corrupt, failures prometheus.Counter
	items, bytes, queued, open                         prometheus.Gauge
	seconds                                            prometheus.Observer
}

// newMetrics returns the series of one cache. Caches share the names and differ in the labels name and tier.
func newMetrics(name, tier string, reg prometheus.Registerer) *metrics {
	labels := []string{"name", "tier"}
	counter := func(metric, help string) prometheus.Counter {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: metric, Help: help}, labels)).WithLabelValues(name, tier)
	}
	gauge := func(metric, help string) prometheus.Gauge {
		return register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metric, Help: help}, labels)).WithLabelValues(name, tier)
	}
	return &metrics{
		fetched:  counter("loki_cache_fetched_keys", "Keys that a cache was asked for."),
		hits:     counter("loki_cache_hits", "Keys that a cache had a value for."),
		evicted:  counter("logstore_cache_evicted_total", "Values that made room for others."),
		dropped:  counter("loki_cache_dropped_background_writes_total", "Values that were not written because too many waited."),
		corrupt:  counter("logstore_cache_corrupt_values_total", "Values in a cache that were foreign or damaged, and so counted as missing."),
		failures: counter("logstore_cache_failures_total", "Calls to a cache that failed or came too late."),
		items:    gauge("logstore_cache_items", "Values in a cache of this process."),
		bytes:    gauge("logstore_cache_bytes", "Bytes in a cache of this process."),
		queued:   gauge("loki_cache_background_queue_bytes", "Bytes that wait to be written to a cache."),
		open:     gauge("logstore_cache_breaker_open", "Servers of a cache that are not asked because they do not answer in time."),
		seconds: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loki_cache_request_duration_seconds", Help: "How long reads from a cache took.",
			Buckets: prometheus.ExponentialBuckets(0.000125, 4, 7),
		}, labels)).WithLabelValues(name, tier),
	}
}

// register returns the collector, or the one that another cache has registered under the same name.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if exists := (prometheus.AlreadyRegisteredError{}); errors.As(err, &exists) {
		if have, ok := exists.ExistingCollector.(C); ok {
			return have
		}
	}
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return c
}
