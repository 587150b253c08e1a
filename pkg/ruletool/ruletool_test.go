package ruletool

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/command"
)

func runRules(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	io := command.OS()
	io.Stdout, io.Stderr = &out, &errs
	root := &command.Command{Name: "logstore", Sub: []*command.Command{Command()}}
	code = root.Main(t.Context(), io, append([]string{"rules"}, args...))
	return code, out.String(), errs.String()
}

func TestRuleTests(t *testing.T) {
	code, out, errs := runRules(t, "test", "testdata/good.yaml")
	require.Equal(t, command.ExitOK, code, out+errs)
	require.Equal(t, "testdata/good.yaml: 2 tests, 0 failures\n", out)
	code, out, _ = runRules(t, "test", "-json", "testdata/failing.yaml", "testdata/good.yaml")
	require.Equal(t, command.ExitFindings, code)
	var results []TestResult
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	require.Len(t, results[0].Failures, 2)
	f := results[0].Failures[0]
	require.Equal(t, "2m0s", f.At, "in the order of time")
	require.Equal(t, []string{`{app="web"} 61`}, f.Expected)
	require.Equal(t, []string{`{app="web"} 60`}, f.Got)
	require.Empty(t, results[1].Failures)
	code, out, _ = runRules(t, "test", "-run", "silence", "testdata/good.yaml")
	require.Equal(t, command.ExitOK, code)
	require.Contains(t, out, "1 tests")
}

func TestBadTestFiles(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"tests: [{nme: x}]":          "field nme not found",
		"rule_files: [missing.yaml]": "missing.yaml",
		"tests: [{alert_rule_test: [{alertname: x, eval_time: 1m}]}]":          `no rule of the files alerts as "x"`,
		"tests: [{logql_expr_test: [{expr: 'sum(', eval_time: 1m}]}]":          "parse error",
		"tests: [{input_lines: [{stream: '{a=~\"b\"}', lines: [{line: x}]}]}]": "a stream's labels have = only",
		"tests: [{record_test: [{record: r, eval_time: soon}]}]":               "soon",
	} {
		file := filepath.Join(dir, "test.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		code, _, errs := runRules(t, "test", file)
		require.Equal(t, command.ExitUsage, code, text)
		require.Contains(t, errs, want)
	}
}

func TestCheck(t *testing.T) {
	code, out, _ := runRules(t, "check", "testdata/rules.yaml")
	require.Equal(t, command.ExitOK, code)
	require.Contains(t, out, "1 groups, 2 rules, 0 errors")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("groups:\n- name: g\n  rules:\n  - {record: r, expr: '{a=\"b\"}'}\n  - {alert: x, expr: 'sum('}\n- name: h\n  rules:\n  - {record: r, expr: '{a=\"b\"}'}\n"), 0o600))
	code, out, _ = runRules(t, "check", "-json", dir)
	require.Equal(t, command.ExitFindings, code)
	var results []CheckResult
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	require.Len(t, results[0].Errors, 2)
	require.Contains(t, results[0].Errors[0], `(group "g", rule 2 "x", line 5, column 22)`)
	require.Contains(t, results[0].Errors[1], "not a metric query")
	code, _, _ = runRules(t, "check")
	require.Equal(t, command.ExitUsage, code)
}

func TestRemote(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("X-Scope-OrgID")+" "+string(body))
		if r.Method == http.MethodGet && r.URL.Path == "/loki/api/v1/rules/none" {
			http.Error(w, "no rule groups found", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("ns:\n- name: g\n"))
	}))
	defer server.Close()
	to := []string{"-url", server.URL + "/", "-tenant", "team"}
	code, out, _ := runRules(t, append([]string{"list", "-json"}, to...)...)
	require.Equal(t, command.ExitOK, code)
	require.JSONEq(t, `{"ns":[{"name":"g"}]}`, out)
	code, _, errs := runRules(t, append([]string{"list", "none"}, to...)...)
	require.Equal(t, command.ExitFailure, code)
	require.Contains(t, errs, "no rule groups found")
	code, _, _ = runRules(t, append([]string{"get", "a/b", "g"}, to...)...)
	require.Equal(t, command.ExitOK, code)
	code, _, errs = runRules(t, append([]string{"set", "ns", "testdata/rules.yaml"}, to...)...)
	require.Equal(t, command.ExitOK, code)
	require.Equal(t, "stored ns/errors\n", errs)
	code, _, _ = runRules(t, append([]string{"delete", "ns"}, to...)...)
	require.Equal(t, command.ExitOK, code)
	require.Len(t, asked, 5)
	require.Equal(t, "GET /loki/api/v1/rules/a%2Fb/g team ", asked[2])
	require.Contains(t, asked[3], "POST /loki/api/v1/rules/ns team name: errors\n")
	require.Equal(t, "DELETE /loki/api/v1/rules/ns team ", asked[4])
}
