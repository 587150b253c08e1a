package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
)

// operators has a query for each operator of the language; % stands for the selector.
var operators = []struct{ name, query string }{
	{"filter/contains", `count_over_time(% |= "deadline" [1h])`},
	{"filter/not_contains", `count_over_time(% != "deadline" [1h])`},
	{"filter/or", `count_over_time(% |= "deadline" or "refused" [1h])`},
	{"filter/regexp", "count_over_time(% |~ `duration=1[0-9]{3}ms` [1h])"},
	{"filter/regexp_fold", `count_over_time(% |~ "(?i)DEADLINE" [1h])`},
	{"filter/pattern", `count_over_time(% |> "<_> msg=\"deadline<_>" [1h])`},
	{"filter/ip", `count_over_time(% |= ip("10.0.0.0/8") [1h])`},
	{"parser/logfmt", `sum by (user) (count_over_time(% | logfmt [1h]))`},
	{"parser/logfmt_named", `sum by (u) (count_over_time(% | logfmt u="user" [1h]))`},
	{"parser/json", `sum by (user) (count_over_time(% | line_format "{\"user\":\"{{.pod}}\"}" | json [1h]))`},
	{"parser/regexp", "sum by (user) (count_over_time(% | regexp `user=(?P<user>\\w+)` [1h]))"},
	{"parser/pattern", "sum by (user) (count_over_time(% | pattern `<_> user=<user>` [1h]))"},
	{"label/string", `sum(count_over_time(% | logfmt | user="u7" [1h]))`},
	{"label/number", `sum(count_over_time(% | logfmt | bytes > 500000 [1h]))`},
	{"label/duration", `sum(count_over_time(% | logfmt | duration > 1s [1h]))`},
	{"label/bytes", `sum(count_over_time(% | logfmt | bytes > 500KB [1h]))`},
	{"label/or", `sum(count_over_time(% | logfmt | user="u7" or user="u8" [1h]))`},
	{"format/label", "sum by (x) (count_over_time(% | logfmt | label_format x=user [1h]))"},
	{"format/template", "sum by (x) (count_over_time(% | logfmt | label_format x=`{{.user}}-{{.level}}` [1h]))"},
	{"labels/drop", `sum by (user) (count_over_time(% | logfmt | drop trace_id, ts [1h]))`},
	{"labels/keep", `sum by (user) (count_over_time(% | logfmt | keep user [1h]))`},
	{"range/count", `count_over_time(%[5m])`},
	{"range/rate", `rate(%[5m])`},
	{"range/bytes", `bytes_over_time(%[5m])`},
	{"range/absent", `absent_over_time(%[5m])`},
	{"unwrap/sum", `sum_over_time(% | logfmt bytes | unwrap bytes [5m])`},
	{"unwrap/avg_by", `avg_over_time(% | logfmt | unwrap bytes [5m]) by (level)`},
	{"unwrap/max_by", `max_over_time(% | logfmt | unwrap duration(duration) [5m]) by (level)`},
	{"unwrap/stddev_by", `stddev_over_time(% | logfmt | unwrap bytes [5m]) by (level)`},
	{"unwrap/quantile_by", `quantile_over_time(0.99, % | logfmt | unwrap bytes [5m]) by (level)`},
	{"unwrap/rate_counter", `sum(rate_counter(% | logfmt bytes | unwrap bytes [5m]))`},
	{"vector/sum", `sum by (level) (rate(%[5m]))`},
	{"vector/topk", `topk(5, rate(%[5m]))`},
	{"vector/label_replace", `label_replace(rate(%[5m]), "p", "$1", "pod", "pod-(.*)")`},
	{"binary/arithmetic", `rate(%[5m]) / on (pod, level) group_left rate(%[5m])`},
	{"binary/and", `rate(%[5m]) and rate(%[5m])`},
}

// BenchmarkOperators runs each operator over an hour in steps of five minutes.
func BenchmarkOperators(b *testing.B) {
	src, bytes := benchSource(b)
	for _, op := range operators {
		b.Run(op.name, func(b *testing.B) {
			expr, err := syntax.Parse(strings.ReplaceAll(op.query, "%", `{app="web"}`))
			require.NoError(b, err)
			p := engine.Params{Expr: expr, Start: benchStart + int64(5*time.Minute), End: benchStart + benchSpan, Step: 5 * time.Minute}
			b.ReportAllocs()
			b.SetBytes(bytes)
			for b.Loop() {
				if _, err := new(engine.Engine).Run(context.Background(), src, p, engine.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestOperatorsOfBenchmark keeps the queries of the benchmark sound.
func TestOperatorsOfBenchmark(t *testing.T) {
	names := map[string]bool{}
	for _, op := range operators {
		_, err := syntax.ParseSample(strings.ReplaceAll(op.query, "%", `{app="web"}`))
		require.NoError(t, err, op.name)
		require.False(t, names[op.name], op.name)
		names[op.name] = true
	}
}
