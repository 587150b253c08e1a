package ruler

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/rules"
)

// GroupStatus is a group that a member evaluates and what came of it last, in the JSON of Prometheus' API; members hand it
// to each other in this form, too.
type GroupStatus struct {
	Name           string       `json:"name"`
	File           string       `json:"file"`  // the namespace
	Rules          []RuleStatus `json:"rules"` // in the group's order
	Interval       float64      `json:"interval"`
	Limit          int          `json:"limit"`
	LastEvaluation time.Time    `json:"lastEvaluation"`
	EvaluationTime float64      `json:"evaluationTime"` // seconds
}

// Types of a RuleStatus.
const (
	TypeAlerting  = "alerting"
	TypeRecording = "recording"
)

// RuleStatus is a rule. The pointers are nil if it records.
type RuleStatus struct {
	State          string            `json:"state,omitempty"`
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Duration       *float64          `json:"duration,omitempty"`
	KeepFiringFor  float64           `json:"keepFiringFor,omitempty"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations,omitzero"`
	Alerts         *[]AlertStatus    `json:"alerts,omitempty"`
	Health         string            `json:"health"` // unknown, ok, err
	LastError      string            `json:"lastError"`
	Type           string            `json:"type"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	EvaluationTime float64           `json:"evaluationTime"`
}

// AlertStatus is an alert that is pending or fires.
type AlertStatus struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        time.Time     `json:"activeAt"`
	KeepFiringSince time.Time     `json:"keepFiringSince,omitzero"`
	Value           string        `json:"value"`
}

// Status returns the groups of a tenant that this member evaluates, by namespace and name.
func (r *Ruler) Status(tenant string) []GroupStatus {
	out := []GroupStatus{}
	r.mu.Lock()
	for k, run := range r.runners {
		if k.tenant == tenant {
			out = append(out, groupStatus(k.namespace, run.eval.Status()))
		}
	}
	r.mu.Unlock()
	return MergeStatus(out)
}

// MergeStatus sorts the groups of several members by namespace and name. Of a group that two of them evaluate, because it has
// just changed hands, it keeps what was evaluated last.
func MergeStatus(groups []GroupStatus) []GroupStatus {
	slices.SortFunc(groups, func(a, b GroupStatus) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return b.LastEvaluation.Compare(a.LastEvaluation)
	})
	return slices.CompactFunc(groups, func(a, b GroupStatus) bool { return a.File == b.File && a.Name == b.Name })
}

func groupStatus(namespace string, s rules.Status) GroupStatus {
	out := GroupStatus{
		Name: s.Group.Name, File: namespace, Interval: s.Interval.Seconds(), Limit: s.Group.Limit, LastEvaluation: s.Last,
		EvaluationTime: s.Took.Seconds(), Rules: []RuleStatus{},
	}
	for i := range s.Rules {
		out.Rules = append(out.Rules, ruleStatus(&s.Rules[i]))
	}
	return out
}

func ruleStatus(s *rules.RuleStatus) RuleStatus {
	out := RuleStatus{
		Name: s.Rule.Name(), Query: s.Query, Labels: s.Rule.Labels, Health: "unknown", Type: TypeRecording,
		LastEvaluation: s.Last, EvaluationTime: s.Took.Seconds(),
	}
	switch {
	case s.Err != nil:
		out.Health, out.LastError = "err", s.Err.Error()
	case s.Evaluated:
		out.Health = "ok"
	}
	if s.Rule.Alert == "" {
		return out
	}
	seconds := time.Duration(s.Rule.For).Seconds()
	alerts := []AlertStatus{}
	for _, a := range s.Alerts {
		alerts = append(alerts, AlertStatus{
			Labels: a.Labels, Annotations: a.Annotations, State: a.State.String(), ActiveAt: a.ActiveAt, KeepFiringSince: a.KeepFiringSince,
			Value: strconv.FormatFloat(a.Value, 'e', -1, 64),
		})
	}
	out.Type, out.State, out.Duration, out.Alerts = TypeAlerting, s.State.String(), &seconds, &alerts
	out.KeepFiringFor = time.Duration(s.Rule.KeepFiringFor).Seconds()
	if out.Annotations = s.Rule.Annotations; out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	return out
}
