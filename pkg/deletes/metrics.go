package deletes

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	received  *prometheus.CounterVec
	processed *prometheus.CounterVec
	failures  prometheus.Counter
	pending   prometheus.Gauge
	oldest    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		received: f.NewCounterVec(prometheus.CounterOpts{
			Name: "loki_compactor_delete_requests_received_total", Help: "Delete requests made through this member.",
		}, []string{"user"}),
		processed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "loki_compactor_delete_requests_processed_total", Help: "Parts of delete requests processed by this member.",
		}, []string{"user"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_delete_requests_read_failures_total", Help: "Times that the delete requests could not be read.",
		}),
		pending: f.NewGauge(prometheus.GaugeOpts{
			Name: "loki_compactor_pending_delete_requests_count", Help: "Delete requests that are not processed.",
		}),
		oldest: f.NewGauge(prometheus.GaugeOpts{
			Name: "loki_compactor_oldest_pending_delete_request_age_seconds", Help: "Age of the oldest delete request that is not processed.",
		}),
	}
}

// observeLocked brings the gauges up to date.
func (s *Store) observeLocked(now time.Time) {
	pending, oldest := 0, now.UnixMilli()
	for _, r := range s.current.requests() {
		if r.Status() != Processed {
			pending++
			oldest = min(oldest, r.Created)
		}
	}
	s.metrics.pending.Set(float64(pending))
	s.metrics.oldest.Set(float64(now.UnixMilli()-oldest) / 1000)
}
