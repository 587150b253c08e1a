package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests   *prometheus.CounterVec
	checks     prometheus.Counter
	successful prometheus.Gauge
	loaded     prometheus.Gauge
	users      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "logstore_auth_requests_total",
			Help: "Requests by what their credentials were: ok, missing, bad, busy; forbidden_tenant and forbidden_scope are among ok, too.",
		}, []string{"result"}),
		checks: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_auth_password_checks_total", Help: "Passwords that were compared by bcrypt, and not found among those remembered."}),
		successful: f.NewGauge(prometheus.GaugeOpts{
			Name: "logstore_auth_last_reload_successful", Help: "Whether the users file was good when it was read last."}),
		loaded: f.NewGauge(prometheus.GaugeOpts{
			Name: "logstore_auth_last_load_timestamp_seconds", Help: "When the users that hold were loaded."}),
		users: f.NewGauge(prometheus.GaugeOpts{Name: "logstore_auth_users", Help: "Users that are known."}),
	}
	for _, r := range []string{"ok", "missing", "bad", "busy", "forbidden_tenant", "forbidden_scope"} {
		m.requests.WithLabelValues(r)
	}
	return m
}
