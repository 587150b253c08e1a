package remotewrite

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	appended  *prometheus.CounterVec
	diskBytes *prometheus.GaugeVec
	damaged   prometheus.Counter

	sent, failed, dropped, retried *prometheus.CounterVec
	pending, lastSuccess, lastTime *prometheus.GaugeVec
	seconds                        *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	const p, remote = "loki_ruler_wal_", "loki_ruler_wal_prometheus_remote_storage_"
	byUser, byTarget := []string{"user"}, []string{"user", "remote_name"}
	counter := func(name, help string, by []string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, by)
	}
	gauge := func(name, help string, by []string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, by)
	}
	return &metrics{
		appended:    counter(p+"samples_appended_total", "Samples that recording rules made.", byUser),
		diskBytes:   gauge(p+"disk_size", "Bytes of the log of samples that a receiver has not taken yet.", byUser),
		damaged:     f.NewCounter(prometheus.CounterOpts{Name: p + "corruptions_total", Help: "Damaged places in logs of samples."}),
		sent:        counter(remote+"samples_total", "Samples in requests that were sent.", byTarget),
		failed:      counter(remote+"samples_failed_total", "Samples that a receiver refused for good.", byTarget),
		dropped:     counter(remote+"samples_dropped_total", "Samples that were not sent: too old or too many, or relabelling dropped them.", byTarget),
		retried:     counter(remote+"samples_retried_total", "Samples in requests that failed and were sent again.", byTarget),
		pending:     gauge(remote+"samples_pending", "Samples that wait to be sent.", byTarget),
		lastTime:    gauge(remote+"queue_highest_sent_timestamp_seconds", "The latest time of a sample that was taken.", byTarget),
		lastSuccess: gauge("logstore_ruler_remote_write_last_success_timestamp_seconds", "When a receiver last took samples; 0: never.", byTarget),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{Name: remote + "sent_batch_duration_seconds", Help: "How long requests took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25}}, byTarget),
	}
}

// begin makes the series of a target, so that they are there before anything happens.
func (m *metrics) begin(user, target string) {
	for _, c := range []*prometheus.CounterVec{m.sent, m.failed, m.dropped, m.retried} {
		c.WithLabelValues(user, target).Add(0)
	}
	m.lastSuccess.WithLabelValues(user, target).Set(0)
	m.pending.WithLabelValues(user, target).Set(0)
}

func (m *metrics) forget(user, target string) {
	for _, c := range []*prometheus.CounterVec{m.sent, m.failed, m.dropped, m.retried} {
		c.DeleteLabelValues(user, target)
	}
	for _, g := range []*prometheus.GaugeVec{m.pending, m.lastSuccess, m.lastTime} {
		g.DeleteLabelValues(user, target)
	}
	m.seconds.DeleteLabelValues(user, target)
}
