package rules

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// State is the state of an alert.
type State uint8

// The states of an alert; a rule has the greatest of its alerts.
const (
	Inactive State = iota
	Pending
	Firing
)

// String returns the state as the API writes it.
func (s State) String() string { return [...]string{"inactive", "pending", "firing"}[s] }

// Alert is one label set for which an alerting rule holds, or did until lately. Times that have not come are zero.
type Alert struct {
	Labels      labels.Labels `json:"labels"`
	Annotations labels.Labels `json:"annotations"`
	State       State         `json:"state"`
	// Value is what the expression had at the last evaluation in which it was there.
	Value float64 `json:"-"`
	// ActiveAt is since when the expression holds, FiredAt since when the alert fires, ResolvedAt when it stopped.
	ActiveAt   time.Time `json:"activeAt"`
	FiredAt    time.Time `json:"firedAt,omitzero"`
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
	// LastSentAt is when the alert was last handed out, ValidUntil how long that word holds.
	LastSentAt time.Time `json:"lastSentAt,omitzero"`
	ValidUntil time.Time `json:"validUntil,omitzero"`
	// KeepFiringSince is since when only keep_firing_for keeps the alert firing.
	KeepFiringSince time.Time `json:"keepFiringSince,omitzero"`
}

// resolvedRetention is how long a resolved alert is kept and sent again, so that an Alertmanager that was away hears of it.
const resolvedRetention = 15 * time.Minute

// needsSending tells whether the alert is due at ts.
func (a *Alert) needsSending(ts time.Time, resendDelay time.Duration) bool {
	switch {
	case a.State == Pending:
		return false
	case a.ResolvedAt.After(a.LastSentAt):
		return true
	}
	return a.LastSentAt.Add(resendDelay).Before(ts)
}

// alerts are the alerts of one rule by the hash of their labels.
type alerts map[uint64]*Alert

// advance takes what an evaluation at ts found and moves every alert on. It returns how many alerts are pending or firing, and
// whether any is in another state than before.
func (as alerts) advance(found alerts, r *Rule, ts time.Time) (active int, changed bool) {
	for h, f := range found {
		if a, ok := as[h]; ok && a.State != Inactive {
			a.Value, a.Annotations = f.Value, f.Annotations
			continue
		}
		as[h], changed = f, true
	}
	for h, a := range as {
		if _, ok := found[h]; ok {
			a.KeepFiringSince = time.Time{}
		} else if !a.keepsFiring(r, ts) {
			if a.State == Pending || !a.ResolvedAt.IsZero() && ts.Sub(a.ResolvedAt) > resolvedRetention {
				delete(as, h)
				changed = true
			}
			if a.State != Inactive {
				a.State, a.ResolvedAt, changed = Inactive, ts, true
			}
			continue
		}
		active++
		before := a.State
		a.hold(r, ts)
		changed = changed || a.State != before
	}
	return active, changed
}

// keepsFiring tells whether keep_firing_for holds an alert whose expression is gone.
func (a *Alert) keepsFiring(r *Rule, ts time.Time) bool {
	if a.State != Firing || r.KeepFiringFor <= 0 {
		return false
	}
	if a.KeepFiringSince.IsZero() {
		a.KeepFiringSince = ts
	}
	return ts.Sub(a.KeepFiringSince) < time.Duration(r.KeepFiringFor)
}

// hold fires an alert that was pending for long enough, and takes one back whose rule now wants it to wait longer.
func (a *Alert) hold(r *Rule, ts time.Time) {
	waited := ts.Sub(a.ActiveAt) >= time.Duration(r.For)
	switch {
	case a.State == Pending && waited:
		a.State, a.FiredAt = Firing, ts
	case a.State == Firing && !waited:
		a.State, a.FiredAt, a.LastSentAt, a.KeepFiringSince = Pending, time.Time{}, time.Time{}, time.Time{}
	}
}

// due returns copies of the alerts that must be sent at ts and marks them as sent.
func (as alerts) due(ts time.Time, resendDelay, interval time.Duration) []Alert {
	var out []Alert
	for _, a := range as {
		if !a.needsSending(ts, resendDelay) {
			continue
		}
		a.LastSentAt = ts
		// Two evaluations or deliveries may fail before the receiver takes the alert for resolved.
		a.ValidUntil = ts.Add(4 * max(interval, resendDelay))
		out = append(out, *a)
	}
	return out
}
