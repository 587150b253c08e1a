package alertmanager

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the series of all notifiers of a process; Loki has them under the same names.
type Metrics struct {
	sent, errors *prometheus.CounterVec
	dropped      *prometheus.CounterVec
	length       *prometheus.GaugeVec
	capacity     *prometheus.GaugeVec
	discovered   *prometheus.GaugeVec
	latency      *prometheus.SummaryVec
	lastSuccess  *prometheus.GaugeVec
}

// NewMetrics registers the series.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	const p = "loki_prometheus_notifications_"
	byTarget, byUser := []string{"user", "alertmanager"}, []string{"user"}
	return &Metrics{
		sent:        f.NewCounterVec(prometheus.CounterOpts{Name: p + "sent_total", Help: "Alerts that were delivered."}, byTarget),
		errors:      f.NewCounterVec(prometheus.CounterOpts{Name: p + "errors_total", Help: "Alerts in requests that failed; they are tried again unless they were refused."}, byTarget),
		dropped:     f.NewCounterVec(prometheus.CounterOpts{Name: p + "dropped_total", Help: "Alerts that were dropped: the queue was full, or the receiver refused them."}, byUser),
		length:      f.NewGaugeVec(prometheus.GaugeOpts{Name: p + "queue_length", Help: "Alerts that wait."}, byTarget),
		capacity:    f.NewGaugeVec(prometheus.GaugeOpts{Name: p + "queue_capacity", Help: "The most alerts that may wait for an Alertmanager."}, byUser),
		discovered:  f.NewGaugeVec(prometheus.GaugeOpts{Name: p + "alertmanagers_discovered", Help: "Alertmanagers that alerts are sent to."}, byUser),
		latency:     f.NewSummaryVec(prometheus.SummaryOpts{Name: p + "latency_seconds", Help: "How long requests took.", Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001}}, byTarget),
		lastSuccess: f.NewGaugeVec(prometheus.GaugeOpts{Name: "logstore_ruler_notifications_last_success_timestamp_seconds", Help: "When an Alertmanager last took alerts; 0: never."}, byTarget),
	}
}

// forget removes the series of an Alertmanager that is gone.
func (m *Metrics) forget(user, target string) {
	for _, c := range []*prometheus.CounterVec{m.sent, m.errors} {
		c.DeleteLabelValues(user, target)
	}
	m.length.DeleteLabelValues(user, target)
	m.lastSuccess.DeleteLabelValues(user, target)
	m.latency.DeleteLabelValues(user, target)
}

func (m *Metrics) forgetUser(user string) {
	m.dropped.DeleteLabelValues(user)
	m.capacity.DeleteLabelValues(user)
	m.discovered.DeleteLabelValues(user)
}
