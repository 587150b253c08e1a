package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"logstore/pkg/logql/syntax"
)

// Validate returns everything that is wrong with the group. The texts are those that clients know from Loki.
func (g *Group) Validate() []error {
	var errs []error
	if g.Name == "" {
		errs = append(errs, &Error{place: g.place, Message: "group 0: Groupname must not be empty"})
	}
	if !utf8.ValidString(g.Name) {
		errs = append(errs, &Error{place: g.place, Message: "the name of a group must be valid UTF-8"})
	}
	if g.Limit < 0 {
		errs = append(errs, &Error{place: g.place, Group: g.Name, Message: "limit must not be negative"})
	}
	for _, msg := range badLabels(g.Labels) {
		errs = append(errs, &Error{place: g.place, Group: g.Name, Message: msg})
	}
	for i := range g.Rules {
		errs = append(errs, g.validateRule(i)...)
	}
	return errs
}

func (g *Group) validateRule(i int) (errs []error) {
	r := &g.Rules[i]
	bad := func(key, format string, args ...any) {
		at, ok := r.places[key]
		if !ok {
			at = r.place
		}
		errs = append(errs, &Error{place: at, Group: g.Name, Rule: i + 1, RuleName: r.Name(), Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case r.Record != "" && r.Alert != "":
		bad("alert", "only one of 'record' and 'alert' must be set")
	case r.Record == "" && r.Alert == "":
		bad("", "one of 'record' or 'alert' must be set")
	case r.Record != "":
		r.validateRecord(bad)
	default:
		r.validateAlert(bad)
	}
	if r.Expr == "" {
		bad("expr", "field 'expr' must be set in rule")
	} else if _, err := syntax.Parse(r.Expr); err != nil {
		kind := "alert"
		if r.Record != "" {
			kind = "record"
		}
		bad("expr", "could not parse expression for %s '%s' in group '%s': %v", kind, r.Name(), g.Name, err)
	}
	for _, msg := range badLabels(r.Labels) {
		bad("labels", "%s", msg)
	}
	return errs
}

func (r *Rule) validateRecord(bad func(key, format string, args ...any)) {
	if len(r.Annotations) > 0 {
		bad("annotations", "invalid field 'annotations' in recording rule")
	}
	if r.For != 0 {
		bad("for", "invalid field 'for' in recording rule")
	}
	if r.KeepFiringFor != 0 {
		bad("keep_firing_for", "invalid field 'keep_firing_for' in recording rule")
	}
	if !model.LegacyValidation.IsValidMetricName(r.Record) {
		bad("record", "invalid recording rule name: %s", r.Record)
	}
}

func (r *Rule) validateAlert(bad func(key, format string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(r.Annotations)) {
		if !model.LegacyValidation.IsValidLabelName(name) {
			bad("annotations", "invalid annotation name: %s", name)
		}
		if err := checkTemplate(r.Alert, r.Annotations[name]); err != nil {
			bad("annotations", "annotation %q: %v", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		if err := checkTemplate(r.Alert, r.Labels[name]); err != nil {
			bad("labels", "label %q: %v", name, err)
		}
	}
}

func badLabels(set map[string]string) (msgs []string) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !model.LegacyValidation.IsValidLabelName(name) || name == model.MetricNameLabel {
			msgs = append(msgs, "invalid label name: "+name)
		}
		if !utf8.ValidString(set[name]) {
			msgs = append(msgs, "invalid label value: "+strings.ToValidUTF8(set[name], "\ufffd"))
		}
	}
	return msgs
}
