package rpc

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var buckets = []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30}

type serverMetrics struct{ duration *prometheus.HistogramVec }

func newServerMetrics(reg prometheus.Registerer) *serverMetrics {
	return &serverMetrics{duration: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
		Name: "logstore_rpc_server_duration_seconds", Help: "Time that calls of other members took here.", Buckets: buckets,
	}, []string{"call", "status"})}
}

func (m *serverMetrics) observe(name string, err error, d time.Duration) {
	if errors.Is(err, ErrUnknown) {
		name = "unknown" // the name is the caller's, and would be a series of its own
	}
	m.duration.WithLabelValues(name, statusOf(err)).Observe(d.Seconds())
}

type poolMetrics struct {
	duration *prometheus.HistogramVec
	downs    prometheus.Counter
	lates    prometheus.Counter
}

func newPoolMetrics(reg prometheus.Registerer, p *Pool) *poolMetrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "loki_ingester_client_pool_peers", Help: "Members that this one has connections to."},
		func() float64 { return float64(len(p.all())) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "logstore_rpc_peers_down", Help: "Members that do not answer this one."},
		func() float64 {
			n := 0
			for _, m := range p.all() {
				if m.isDown() {
					n++
				}
			}
			return float64(n)
		})
	return &poolMetrics{
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "loki_ingester_client_request_duration_seconds", Help: "Time that calls of other members took.", Buckets: buckets,
		}, []string{"operation", "status_code"}),
		lates: f.NewCounter(prometheus.CounterOpts{Name: "logstore_rpc_peer_late_total", Help: "How often a member became slow to answer pushes."}),
		downs: f.NewCounter(prometheus.CounterOpts{Name: "logstore_rpc_peer_failures_total", Help: "How often a member stopped to answer."}),
	}
}

func (m *poolMetrics) observe(name string, err error, d time.Duration) {
	m.duration.WithLabelValues(name, statusOf(err)).Observe(d.Seconds())
}

func statusOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrUnreachable):
		return "unreachable"
	}
	return "error"
}
