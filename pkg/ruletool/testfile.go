package ruletool

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/rules"
)

// Tests is a test file.
type Tests struct {
	RuleFiles          []string          `yaml:"rule_files"`
	EvaluationInterval rules.Duration    `yaml:"evaluation_interval"`
	ExternalLabels     map[string]string `yaml:"external_labels"`
	ExternalURL        string            `yaml:"external_url"`
	Start              time.Time         `yaml:"start"`
	Tests              []Test            `yaml:"tests"`
}

// Test is lines and what the rules make of them.
type Test struct {
	Name   string        `yaml:"name"`
	Input  []InputStream `yaml:"input_lines"`
	Alerts []AlertTest   `yaml:"alert_rule_test"`
	Record []SampleTest  `yaml:"record_test"`
	Exprs  []SampleTest  `yaml:"logql_expr_test"`
}

// InputStream is a stream with its lines.
type InputStream struct {
	Stream string      `yaml:"stream"`
	Lines  []InputLine `yaml:"lines"`
}

// InputLine is a line, or several of them.
type InputLine struct {
	At       rules.Duration    `yaml:"at"`
	Every    rules.Duration    `yaml:"every"`
	Times    int               `yaml:"times"`
	Line     string            `yaml:"line"`
	Metadata map[string]string `yaml:"metadata"`
}

// AlertTest expects alerts of a rule.
type AlertTest struct {
	EvalTime  rules.Duration `yaml:"eval_time"`
	AlertName string         `yaml:"alertname"`
	State     string         `yaml:"state"`
	Want      []WantedAlert  `yaml:"exp_alerts"`
}

// WantedAlert is an alert that is expected; without annotations any will do.
type WantedAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// SampleTest expects samples of a recording rule or of an expression.
type SampleTest struct {
	EvalTime rules.Duration `yaml:"eval_time"`
	Record   string         `yaml:"record"`
	Expr     string         `yaml:"expr"`
	Want     []struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	} `yaml:"exp_samples"`
}

// Failure is an expectation that did not hold.
type Failure struct {
	Test     string   `json:"test"`
	What     string   `json:"what"`
	At       string   `json:"at"`
	Expected []string `json:"expected"`
	Got      []string `json:"got"`
}

// suite is a test file that is ready to run.
type suite struct {
	Tests
	groups   []rules.Group
	external *url.URL
}

// load reads a test file and the rule files that it names.
func load(path string) (*suite, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	s := &suite{Tests: Tests{EvaluationInterval: rules.Duration(time.Minute), Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	if err := rules.Decode(text, &s.Tests); err != nil {
		return nil, err
	}
	if s.external, err = url.Parse(s.ExternalURL); err != nil {
		return nil, fmt.Errorf("external_url: %w", err)
	}
	for _, pattern := range s.RuleFiles {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(path), pattern)
		}
		files, err := filepath.Glob(pattern)
		if err == nil && len(files) == 0 {
			err = os.ErrNotExist
		}
		if err != nil {
			return nil, fmt.Errorf("rule_files: %s: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Clean(file))
			if err != nil {
				return nil, err
			}
			f, errs := rules.ParseFile(text)
			if len(errs) > 0 {
				return nil, fmt.Errorf("%s: %w", file, errs[0])
			}
			s.groups = append(s.groups, f.Groups...)
		}
	}
	return s, nil
}

// run runs all tests whose names contain filter.
func (s *suite) run(ctx context.Context, filter string) (ran int, failures []Failure, err error) {
	for i := range s.Tests.Tests {
		t := &s.Tests.Tests[i]
		if t.Name == "" {
			t.Name = fmt.Sprintf("test %d", i+1)
		}
		if !strings.Contains(t.Name, filter) {
			continue
		}
		ran++
		f, err := s.runTest(ctx, t)
		if err != nil {
			return ran, failures, fmt.Errorf("%s: %w", t.Name, err)
		}
		failures = append(failures, f...)
	}
	return ran, failures, nil
}

// check is an expectation at a time.
type check struct {
	at   time.Duration
	look func() (Failure, bool, error)
}

func (s *suite) runTest(ctx context.Context, t *Test) ([]Failure, error) {
	b, err := s.newBoard(t)
	if err != nil {
		return nil, err
	}
	var checks []check
	for i := range t.Alerts {
		a := &t.Alerts[i]
		checks = append(checks, check{time.Duration(a.EvalTime), func() (Failure, bool, error) { return b.alerts(a) }})
	}
	for i := range t.Record {
		r := &t.Record[i]
		checks = append(checks, check{time.Duration(r.EvalTime), func() (Failure, bool, error) { return b.recorded(r) }})
	}
	for i := range t.Exprs {
		e := &t.Exprs[i]
		checks = append(checks, check{time.Duration(e.EvalTime), func() (Failure, bool, error) { return b.expr(ctx, e) }})
	}
	slices.SortStableFunc(checks, func(x, y check) int { return int(x.at - y.at) })
	var failures []Failure
	for _, c := range checks {
		if err := b.advance(ctx, c.at); err != nil {
			return nil, err
		}
		f, ok, err := c.look()
		if err != nil {
			return nil, err
		}
		if !ok {
			f.Test, f.At = t.Name, c.at.String()
			failures = append(failures, f)
		}
	}
	return failures, nil
}

// board is a test that runs: lines, and groups with their state.
type board struct {
	s      *suite
	source *enginetest.Source
	groups []*timedGroup
}

type timedGroup struct {
	eval *rules.Evaluator
	next time.Duration
	last map[string][]rules.Sample // by the name of the series
}

func (s *suite) newBoard(t *Test) (*board, error) {
	b := &board{s: s, source: enginetest.New(enginetest.Options{})}
	for _, in := range t.Input {
		matchers, err := syntax.ParseMatchers(in.Stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", in.Stream, err)
		}
		set := labels.NewScratchBuilder(len(matchers))
		for _, m := range matchers {
			if m.Type != labels.MatchEqual {
				return nil, fmt.Errorf("stream %s: a stream's labels have = only", in.Stream)
			}
			set.Add(m.Name, m.Value)
		}
		set.Sort()
		for _, l := range in.Lines {
			b.add(set.Labels(), &l)
		}
	}
	for _, g := range s.groups {
		b.groups = append(b.groups, &timedGroup{last: map[string][]rules.Sample{}, eval: rules.NewEvaluator(g, rules.Options{
			ExternalURL: s.external, ExternalLabels: labels.FromMap(s.ExternalLabels), DefaultInterval: time.Duration(s.EvaluationInterval),
			Logger: slog.New(slog.DiscardHandler),
		})})
	}
	return b, nil
}

func (b *board) add(set labels.Labels, l *InputLine) {
	var metadata []model.Pair
	for _, name := range slices.Sorted(maps.Keys(l.Metadata)) {
		metadata = append(metadata, model.Pair{Name: name, Value: l.Metadata[name]})
	}
	for i := range max(1, l.Times) {
		at := b.s.Start.Add(time.Duration(l.At) + time.Duration(i)*time.Duration(l.Every))
		b.source.Add(set, model.Entry{Timestamp: at.UnixNano(), Line: l.Line, Metadata: metadata})
	}
}

// advance evaluates all groups up to a time.
func (b *board) advance(ctx context.Context, to time.Duration) error {
	for {
		var first *timedGroup
		for _, g := range b.groups {
			if g.next <= to && (first == nil || g.next < first.next) {
				first = g
			}
		}
		if first == nil {
			return ctx.Err()
		}
		res := first.eval.Eval(ctx, b.s.Start.Add(first.next), b.query)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, rs := range first.eval.Status().Rules {
			if rs.Err != nil {
				return fmt.Errorf("group %s, rule %s, after %s: %w", first.eval.Group().Name, rs.Rule.Name(), first.next, rs.Err)
			}
		}
		clear(first.last)
		for _, s := range res.Samples {
			if !math.IsNaN(s.Value) || math.Float64bits(s.Value) != staleBits {
				name := s.Labels.Get("__name__")
				first.last[name] = append(first.last[name], s)
			}
		}
		first.next += first.eval.Interval()
	}
}

// staleBits is the value that marks the end of a series.
const staleBits = 0x7ff0000000000002

// query is a rules.QueryFunc over the lines.
func (b *board) query(ctx context.Context, query string, ts time.Time) ([]rules.Sample, error) {
	expr, err := syntax.Parse(query)
	if err != nil {
		return nil, err
	}
	at := ts.UnixNano()
	res, err := (&engine.Engine{}).Run(ctx, b.source, engine.Params{Text: query, Expr: expr, Start: at, End: at, Instant: true}, engine.Limits{})
	if err != nil {
		return nil, err
	}
	return samplesOf(res.Value)
}

// samplesOf returns the samples of a vector or a scalar.
func samplesOf(value engine.Value) ([]rules.Sample, error) {
	switch v := value.(type) {
	case engine.Scalar:
		return []rules.Sample{{Time: v.T, Value: v.V}}, nil
	case engine.Vector:
		out := make([]rules.Sample, len(v))
		for i, s := range v {
			out[i] = rules.Sample{Labels: s.Labels, Time: s.Points[0].T, Value: s.Points[0].V}
		}
		return out, nil
	}
	return nil, fmt.Errorf("the result is not a vector or scalar but %s", value.Type())
}

func (b *board) alerts(want *AlertTest) (Failure, bool, error) {
	state := rules.Firing
	switch want.State {
	case "", "firing":
	case "pending":
		state = rules.Pending
	default:
		return Failure{}, false, fmt.Errorf("state %q: it must be firing or pending", want.State)
	}
	known := false
	f := Failure{What: fmt.Sprintf("alerts %s, %s", want.AlertName, state)}
	withAnnotations := slices.ContainsFunc(want.Want, func(w WantedAlert) bool { return w.Annotations != nil })
	text := func(set, annotations labels.Labels) string {
		if !withAnnotations {
			return set.String()
		}
		return set.String() + " " + annotations.String()
	}
	for _, g := range b.groups {
		for _, rs := range g.eval.Status().Rules {
			if rs.Rule.Alert != want.AlertName {
				continue
			}
			known = true
			for _, a := range rs.Alerts {
				if a.State == state {
					f.Got = append(f.Got, text(a.Labels, a.Annotations))
				}
			}
		}
	}
	if !known {
		return f, false, fmt.Errorf("no rule of the files alerts as %q", want.AlertName)
	}
	for _, w := range want.Want {
		set := maps.Clone(w.Labels)
		if set == nil {
			set = map[string]string{}
		}
		set[labels.AlertName] = want.AlertName
		f.Expected = append(f.Expected, text(labels.FromMap(set), labels.FromMap(w.Annotations)))
	}
	return f, sameSet(&f), nil
}

func (b *board) recorded(want *SampleTest) (Failure, bool, error) {
	f := Failure{What: "record " + want.Record}
	var got []rules.Sample
	for _, g := range b.groups {
		for _, s := range g.last[want.Record] {
			s.Labels = labels.NewBuilder(s.Labels).Del("__name__").Labels()
			got = append(got, s)
		}
	}
	return compare(f, want, got)
}

func (b *board) expr(ctx context.Context, want *SampleTest) (Failure, bool, error) {
	got, err := b.query(ctx, want.Expr, b.s.Start.Add(time.Duration(want.EvalTime)))
	if err != nil {
		return Failure{}, false, fmt.Errorf("%s: %w", want.Expr, err)
	}
	return compare(Failure{What: want.Expr}, want, got)
}

func compare(f Failure, want *SampleTest, got []rules.Sample) (Failure, bool, error) {
	values := map[string]float64{}
	for _, s := range got {
		values[s.Labels.String()] = s.Value
		f.Got = append(f.Got, fmt.Sprintf("%s %v", s.Labels, s.Value))
	}
	ok := len(values) == len(want.Want)
	for _, w := range want.Want {
		text := w.Labels
		if text == "" {
			text = "{}"
		}
		matchers, err := syntax.ParseMatchers(text)
		if err != nil {
			return f, false, fmt.Errorf("labels %s: %w", w.Labels, err)
		}
		set := labels.NewScratchBuilder(len(matchers))
		for _, m := range matchers {
			set.Add(m.Name, m.Value)
		}
		set.Sort()
		key := set.Labels().String()
		f.Expected = append(f.Expected, fmt.Sprintf("%s %v", key, w.Value))
		v, there := values[key]
		same := v == w.Value || math.IsNaN(v) && math.IsNaN(w.Value) || math.Abs(v-w.Value) <= 1e-9*max(math.Abs(v), math.Abs(w.Value))
		ok = ok && there && same
	}
	slices.Sort(f.Got)
	slices.Sort(f.Expected)
	return f, ok, nil
}

func sameSet(f *Failure) bool {
	slices.Sort(f.Got)
	slices.Sort(f.Expected)
	return slices.Equal(f.Got, f.Expected)
}
