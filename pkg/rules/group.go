package rules

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Group is a rule group as it is written.
type Group struct {
	Name     string   `yaml:"name"`
	Interval Duration `yaml:"interval,omitempty"`
	// QueryOffset moves what the rules ask for into the past, for lines that come late; nil: as the tenant's limits say.
	QueryOffset *Duration `yaml:"query_offset,omitempty"`
	// Limit is the most alerts or series that a rule of the group may make; 0: any number.
	Limit int    `yaml:"limit,omitempty"`
	Rules []Rule `yaml:"rules"`
	// Labels are added to those of every rule that does not name them itself.
	Labels map[string]string `yaml:"labels,omitempty"`

	place place
}

// Rule alerts or records, as it is written.
type Rule struct {
	Record        string            `yaml:"record,omitempty"`
	Alert         string            `yaml:"alert,omitempty"`
	Expr          string            `yaml:"expr"`
	For           Duration          `yaml:"for,omitempty"`
	KeepFiringFor Duration          `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty"`

	place  place
	places map[string]place // of the keys' values
}

// Name returns the name of the alert or of the recorded series.
func (r *Rule) Name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}

// place is where something stands in the text, counted from 1; zero is unknown.
type place struct{ line, col int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// Duration is a duration in the words of Prometheus: 1h30m, 5s.
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := model.ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		if err == nil {
			err = fmt.Errorf("not a valid duration string: %q", n.Value)
		}
		return &Error{place: placeOf(n), Message: err.Error()}
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (d Duration) MarshalYAML() (any, error) { return model.Duration(d).String(), nil }

// IsZero leaves an unset duration out of the YAML.
func (d Duration) IsZero() bool { return d == 0 }

// ignoredKeys are keys of other rulers' groups that change nothing here.
var ignoredKeys = map[string]bool{
	"remote_write": true, "source_tenants": true, "evaluation_delay": true, "align_evaluation_time_on_interval": true,
	"partial_response_strategy": true, "namespace": true, "user": true,
}

var (
	groupKeys = keySet("name", "interval", "query_offset", "limit", "rules", "labels")
	ruleKeys  = keySet("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
)

func keySet(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

// UnmarshalYAML implements yaml.Unmarshaler; it refuses unknown keys and remembers where the group stands.
func (g *Group) UnmarshalYAML(n *yaml.Node) error {
	type plain Group
	if _, err := mapping(n, groupKeys, "rule group"); err != nil {
		return err
	}
	if err := n.Decode((*plain)(g)); err != nil {
		return err
	}
	g.place = placeOf(n)
	return nil
}

// UnmarshalYAML implements yaml.Unmarshaler; it refuses unknown keys and remembers where the rule stands.
func (r *Rule) UnmarshalYAML(n *yaml.Node) error {
	type plain Rule
	places, err := mapping(n, ruleKeys, "rule")
	if err != nil {
		return err
	}
	if err := n.Decode((*plain)(r)); err != nil {
		return err
	}
	r.place, r.places = placeOf(n), places
	return nil
}

// mapping checks the keys of a mapping and returns where their values stand.
func mapping(n *yaml.Node, known map[string]bool, what string) (map[string]place, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil, &Error{place: placeOf(n), Message: "a " + what + " must be a mapping of keys to values"}
	}
	places := make(map[string]place, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !known[key.Value] && !ignoredKeys[key.Value] && key.Tag != "!!merge" {
			return nil, &Error{place: placeOf(key), Message: fmt.Sprintf("unknown key %q in a %s", key.Value, what)}
		}
		places[key.Value] = placeOf(n.Content[i+1])
	}
	return places, nil
}

// Marshal writes a group, a list of groups or a map of namespaces as YAML.
func Marshal(v any) ([]byte, error) { return yaml.Marshal(v) }
