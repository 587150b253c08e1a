package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
	"logstore/pkg/logql/syntax"
)

// ofMeaning are parts of our errors about queries that are well formed and still mean nothing: an editor's grammar does not
// know these rules.
var ofMeaning = []string{
	"invalid regular expression", "empty-compatible", "wrong escape", "cannot be grouped", "needs an unwrap", "takes no unwrap", "takes no number",
	"a log query has no samples", "a number cannot stand beside", "ip() cannot stand behind", "cannot be formatted", "written twice",
	"expected a whole number above zero", "takes a whole number above zero", "expected a number", "holds no duration", "unexpected + behind the query",
	"takes a vector, not a number", "unexpected and behind the query", "unexpected > behind the query", "is no number",
}

// TestLezer holds the parser against the grammar of Grafana's editor, with which it draws and builds queries: what that
// grammar finds no error in, ours parses, or refuses for what it means.
func TestLezer(t *testing.T) {
	cases, err := conformance.ReadDir("testdata/conformance/cases", "logql-*.jsonl")
	require.NoError(t, err)
	taken := map[string]bool{} // whether the reference took the query
	var queries []string
	for i := range cases {
		q := cases[i].Query()
		if _, ok := taken[q]; !ok {
			queries = append(queries, q)
		}
		taken[q] = taken[q] || cases[i].Expect.Status == 200
	}
	own, err := os.ReadFile("testdata/node/queries.txt")
	require.NoError(t, err)
	for q := range strings.Lines(string(own)) {
		if q = strings.TrimSpace(q); q != "" {
			queries = append(queries, q)
			taken[q] = true
		}
	}
	stdin, err := json.Marshal(queries)
	require.NoError(t, err)
	var parsed []bool
	require.NoError(t, json.Unmarshal(node(t, stdin, "lezer.mjs"), &parsed))
	require.Len(t, parsed, len(queries))

	both := 0
	for i, q := range queries {
		_, err := syntax.Parse(q)
		switch {
		case err == nil && parsed[i]:
			both++
		case err == nil || !parsed[i]:
		case taken[q]:
			t.Errorf("%s\n  is well formed and was taken by the reference, but: %v", q, err)
		default:
			meaning := false
			for _, text := range ofMeaning {
				meaning = meaning || strings.Contains(err.Error(), text)
			}
			if !meaning {
				t.Errorf("%s\n  is well formed, but: %v", q, err)
			}
		}
	}
	require.Greater(t, both, 1000)
	t.Logf("%d queries, %d parsed by both", len(queries), both)
}
