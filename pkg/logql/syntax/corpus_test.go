package syntax

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// corpusQuery is a query of the recorded cases and whether the reference accepted it.
type corpusQuery struct {
	id, group, text string
	status          int
}

func corpus(t testing.TB) []corpusQuery {
	t.Helper()
	names, err := filepath.Glob("../../../integration/testdata/conformance/cases/logql-*.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	var queries []corpusQuery
	for _, name := range names {
		f, err := os.Open(name)
		require.NoError(t, err)
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 64<<20)
		for sc.Scan() {
			var c struct {
				ID, Group string
				Params    [][2]any
				Expect    struct{ Status int }
			}
			require.NoError(t, json.Unmarshal(sc.Bytes(), &c))
			for _, p := range c.Params {
				if p[0] == "query" {
					queries = append(queries, corpusQuery{c.ID, c.Group, p[1].(string), c.Expect.Status})
				}
			}
		}
		require.NoError(t, sc.Err())
		require.NoError(t, f.Close())
	}
	return queries
}

// diffExpr compares trees; matchers by their text.
func diffExpr(a, b Expr) string {
	return cmp.Diff(a, b, cmp.Comparer(func(a, b *labels.Matcher) bool {
		return a == b || a != nil && b != nil && a.String() == b.String()
	}), cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b }))
}

// byPipelineOrEngine are the groups and queries that the parser accepts and a later step refuses.
func refusedLater(q corpusQuery) bool {
	if q.group == "error.params" || q.group == "error.limit" {
		return true
	}
	for _, part := range []string{"| pattern", "|> `", "!> `", "line_format `", "line_format \"", "label_format a=`", "| json a=", "| logfmt a=", "ip(",
		"unwrap flaky", "app=\"mixed\"} | json", "task > 5", "(?P<a>x)(?P<a>y)"} {
		if strings.Contains(q.text, part) {
			return true
		}
	}
	return q.status == 500
}

func TestCorpus(t *testing.T) {
	for _, q := range corpus(t) {
		expr, err := Parse(q.text)
		switch {
		case q.status == 200:
			require.NoError(t, err, "%s: %s", q.id, q.text)
		case err == nil && !refusedLater(q):
			t.Errorf("%s: accepted %s as %s", q.id, q.text, expr)
		case err != nil && strings.HasPrefix(q.group, "error.stage"):
			t.Logf("%s", err)
		}
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "parse error at line "), "%s: %v", q.id, err)
			continue
		}
		for _, text := range []string{expr.String(), Format(expr)} {
			again, err := Parse(text)
			require.NoError(t, err, "%s: %s printed as %s", q.id, q.text, text)
			require.Empty(t, diffExpr(expr, again), "%s: %s printed as %s", q.id, q.text, text)
		}
	}
}
