package ruler

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those that Loki shows of its rule managers, and our own.
type metrics struct {
	evaluations, failures, missed, scheduled   *prometheus.CounterVec
	interval, lastTime, lastDuration, numRules *prometheus.GaugeVec
	samples                                    *prometheus.GaugeVec
	ruleSeconds, groupSeconds                  *prometheus.SummaryVec

	lag          prometheus.Histogram
	owned, known prometheus.Gauge
	loadFailures prometheus.Gauge
	syncs        *prometheus.CounterVec
	caughtUp     prometheus.Counter
	restored     prometheus.Counter
	stateSaved   prometheus.Gauge
	groupLabel   bool
}

func newMetrics(reg prometheus.Registerer, groupLabel bool) *metrics {
	f := promauto.With(reg)
	byGroup, byUser := []string{"user", "rule_group"}, []string{"user"}
	if !groupLabel {
		byGroup = byUser
	}
	objectives := map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001}
	const p = "loki_prometheus_rule_"
	counter := func(name, help string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: p + name, Help: help}, byGroup)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: p + name, Help: help}, byGroup)
	}
	return &metrics{
		groupLabel:   groupLabel,
		evaluations:  counter("evaluations_total", "Rule evaluations."),
		failures:     counter("evaluation_failures_total", "Rule evaluations that failed."),
		missed:       counter("group_iterations_missed_total", "Evaluations of rule groups that were left out because the one before took too long."),
		scheduled:    counter("group_iterations_total", "Evaluations of rule groups that were due, those that were missed among them."),
		interval:     gauge("group_interval_seconds", "The interval of a rule group."),
		lastTime:     gauge("group_last_evaluation_timestamp_seconds", "When a rule group was last evaluated."),
		lastDuration: gauge("group_last_duration_seconds", "How long the last evaluation of a rule group took."),
		numRules:     gauge("group_rules", "The rules of a group."),
		samples:      gauge("group_last_evaluation_samples", "The samples that the last evaluation of a rule group recorded."),
		ruleSeconds:  f.NewSummaryVec(prometheus.SummaryOpts{Name: p + "evaluation_duration_seconds", Help: "How long a rule took.", Objectives: objectives}, byUser),
		groupSeconds: f.NewSummaryVec(prometheus.SummaryOpts{Name: p + "group_duration_seconds", Help: "How long a rule group took.", Objectives: objectives}, byUser),
		lag: f.NewHistogram(prometheus.HistogramOpts{Name: "logstore_ruler_evaluation_lag_seconds",
			Help: "How long after its instant the evaluation of a group began.", Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 15, 60}}),
		owned:        f.NewGauge(prometheus.GaugeOpts{Name: "logstore_ruler_owned_groups", Help: "The rule groups that this member evaluates."}),
		known:        f.NewGauge(prometheus.GaugeOpts{Name: "logstore_ruler_known_groups", Help: "The rule groups of all members."}),
		loadFailures: f.NewGauge(prometheus.GaugeOpts{Name: "logstore_ruler_bad_rules", Help: "What could not be loaded the last time the rules were read: groups, files or whole stores."}),
		syncs:        f.NewCounterVec(prometheus.CounterOpts{Name: "loki_ruler_sync_rules_total", Help: "How often the rules were read, by what it was done for."}, []string{"reason"}),
		caughtUp:     f.NewCounter(prometheus.CounterOpts{Name: "logstore_ruler_caught_up_evaluations_total", Help: "Evaluations of recording rules for instants that nobody evaluated in time."}),
		restored:     f.NewCounter(prometheus.CounterOpts{Name: "logstore_ruler_restored_groups_total", Help: "Groups whose state was taken over from an earlier owner or process."}),
		stateSaved:   f.NewGauge(prometheus.GaugeOpts{Name: "logstore_ruler_state_saved_timestamp_seconds", Help: "When the state of alerts was last saved."}),
	}
}

// labelsOf are the label values of a group's metrics.
func (m *metrics) labelsOf(k key) []string {
	if !m.groupLabel {
		return []string{k.tenant}
	}
	return []string{k.tenant, k.namespace + ";" + k.group}
}

// forget removes the metrics of a group that is no longer evaluated here.
func (m *metrics) forget(k key) {
	if !m.groupLabel {
		return
	}
	l := m.labelsOf(k)
	for _, c := range []*prometheus.CounterVec{m.evaluations, m.failures, m.missed, m.scheduled} {
		c.DeleteLabelValues(l...)
	}
	for _, g := range []*prometheus.GaugeVec{m.interval, m.lastTime, m.lastDuration, m.numRules, m.samples} {
		g.DeleteLabelValues(l...)
	}
}
