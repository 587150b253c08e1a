package config

import "github.com/prometheus/client_golang/prometheus"

type runtimeMetrics struct {
	successful prometheus.Gauge
}

func newRuntimeMetrics(reg prometheus.Registerer) *runtimeMetrics {
	m := &runtimeMetrics{successful: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "loki_runtime_config_last_reload_successful",
		Help: "Whether the runtime configuration file was good when it was read last.",
	})}
	if reg != nil {
		reg.MustRegister(m.successful)
	}
	return m
}
