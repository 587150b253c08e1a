package rules

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Snapshot is the state of a group.
type Snapshot struct {
	// Last is the instant of the last evaluation.
	Last  time.Time      `json:"last"`
	Rules []RuleSnapshot `json:"rules,omitempty"`
}

// RuleSnapshot is the state of a rule with alerts or recorded series. Key finds the rule again though the group was changed.
type RuleSnapshot struct {
	Key    string          `json:"key"`
	Alerts []AlertSnapshot `json:"alerts,omitempty"`
	Series []labels.Labels `json:"series,omitempty"`
}

// AlertSnapshot is an alert; its value is text, since JSON has no NaN.
type AlertSnapshot struct {
	Alert
	Value string `json:"value"`
}

// maxSnapshotSeries bounds the recorded series of a rule that a snapshot holds. They only serve to mark the end of those
// that are gone after a restart; without it receivers find that out by themselves, minutes later.
const maxSnapshotSeries = 1000

// Snapshot returns the state of the group, and whether there is any beyond the time of the last evaluation.
func (e *Evaluator) Snapshot() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := Snapshot{Last: e.last}
	for i, st := range e.rules {
		rs := RuleSnapshot{Key: e.ruleKey(i)}
		for _, h := range slices.Sorted(maps.Keys(st.active)) {
			a := st.active[h]
			rs.Alerts = append(rs.Alerts, AlertSnapshot{Alert: *a, Value: strconv.FormatFloat(a.Value, 'g', -1, 64)})
		}
		if len(st.series) <= maxSnapshotSeries {
			for _, key := range slices.Sorted(maps.Keys(st.series)) {
				rs.Series = append(rs.Series, st.series[key])
			}
		}
		if len(rs.Alerts) > 0 || len(rs.Series) > 0 {
			out.Rules = append(out.Rules, rs)
		}
	}
	return out
}

// ruleKey names a rule by what it is; of equal ones each has a number.
func (e *Evaluator) ruleKey(i int) string {
	name := func(st *ruleState) string {
		return strconv.FormatBool(st.rule.Alert != "") + " " + st.rule.Name() + " " + labels.FromMap(st.labels).String()
	}
	n, key := 0, name(e.rules[i])
	for _, st := range e.rules[:i] {
		if name(st) == key {
			n++
		}
	}
	return fmt.Sprintf("%s %d", key, n)
}

// CopyState takes over the state of another version of the group. It returns markers for recorded series whose rule is gone.
func (e *Evaluator) CopyState(from *Evaluator, ts time.Time) []Sample {
	states := map[string]*ruleState{}
	from.mu.Lock()
	defer from.mu.Unlock()
	for i, st := range from.rules {
		states[from.ruleKey(i)] = st
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = from.last
	for i, st := range e.rules {
		old := states[e.ruleKey(i)]
		if old == nil {
			continue
		}
		st.active, st.series = old.active, old.series
		if st.rule.Expr == old.rule.Expr {
			st.err, st.evaluated, st.last, st.took = old.err, old.evaluated, old.last, old.took
		}
		old.active, old.series = alerts{}, nil
	}
	var out []Sample
	for _, st := range from.rules {
		out = append(out, gone(st.series, nil, ts.Add(-e.offset()))...)
		st.series = nil
	}
	return out
}

// Restore takes over the state that a snapshot holds, at the time ts of the next evaluation. An outage of up to two
// intervals leaves no trace. After a longer one pending alerts wait on from where they were, but at least GracePeriod if
// their `for` is that long; after one beyond OutageTolerance nothing is restored. It tells whether something was.
func (e *Evaluator) Restore(s Snapshot, ts time.Time) bool {
	down := ts.Sub(s.Last)
	if s.Last.IsZero() || down > e.opts.OutageTolerance {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	byKey := map[string]*ruleState{}
	for i, st := range e.rules {
		byKey[e.ruleKey(i)] = st
	}
	e.last = s.Last
	for _, rs := range s.Rules {
		st := byKey[rs.Key]
		if st == nil {
			continue
		}
		for _, a := range rs.Alerts {
			st.restore(a, down, e.interval, e.opts.GracePeriod, s.Last, ts)
		}
		st.series = make(map[string]labels.Labels, len(rs.Series))
		for _, set := range rs.Series {
			st.series[string(set.Bytes(nil))] = set
		}
	}
	return true
}

func (st *ruleState) restore(saved AlertSnapshot, down, interval, grace time.Duration, last, ts time.Time) {
	a := saved.Alert
	a.Value = math.NaN()
	if v, err := strconv.ParseFloat(saved.Value, 64); err == nil {
		a.Value = v
	}
	// Whether the last word reached anybody is not known; it is said again, and receivers know it for the same.
	a.LastSentAt = time.Time{}
	if hold := time.Duration(st.rule.For); a.State == Pending && down > 2*interval {
		left := hold - last.Sub(a.ActiveAt)
		switch {
		case left <= 0: // it would have fired
		case hold >= grace && left < grace:
			a.ActiveAt = ts.Add(grace - hold)
		default:
			a.ActiveAt = a.ActiveAt.Add(down)
		}
	}
	st.active[a.Labels.Hash()] = &a
}
