package rules

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// The series that tell of alerts, as Prometheus names them.
const (
	alertsSeries        = "ALERTS"
	alertsForState      = "ALERTS_FOR_STATE"
	alertStateLabelName = "alertstate"
)

// recordAlerts adds two samples for each alert that is pending or firing: ALERTS, which is 1 and has its state as a label,
// and ALERTS_FOR_STATE, which is the second since which the expression holds. Of alerts that are gone, or in another state
// than before, the old series end. The Evaluator's mu is held.
func (st *ruleState) recordAlerts(at time.Time, res *Result) {
	before := st.series
	st.series = make(map[string]labels.Labels, 2*len(st.active))
	var samples []Sample
	add := func(set labels.Labels, v float64) {
		st.series[string(set.Bytes(nil))] = set
		samples = append(samples, Sample{Labels: set, Time: at.UnixMilli(), Value: v})
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, a := range st.active {
		if a.State == Inactive {
			continue
		}
		b.Reset(a.Labels)
		b.Set(model.MetricNameLabel, alertsForState)
		add(b.Labels(), float64(a.ActiveAt.Unix()))
		b.Set(model.MetricNameLabel, alertsSeries)
		b.Set(alertStateLabelName, a.State.String())
		add(b.Labels(), 1)
	}
	slices.SortFunc(samples, func(a, b Sample) int { return labels.Compare(a.Labels, b.Labels) })
	res.Samples = append(res.Samples, samples...)
	res.Samples = append(res.Samples, gone(before, st.series, at)...)
}
