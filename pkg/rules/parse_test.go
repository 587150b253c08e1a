package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBadFiles reads files that say in their remarks what is wrong with them: "# want: " and the error, one a line.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var want []string
			for line := range strings.Lines(string(text)) {
				if w, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimSpace(w))
				}
			}
			_, errs := ParseFile(text)
			require.Len(t, errs, len(want), "%v", errs)
			for i, err := range errs {
				require.Contains(t, strings.ReplaceAll(err.Error(), "\n", " "), want[i])
			}
		})
	}
}

func TestParseFile(t *testing.T) {
	f, errs := ParseFile([]byte(`
namespace: ns
groups:
- name: good
  interval: 1m30s
  query_offset: 0s
  limit: 3
  labels: {a: b}
  remote_write: [{url: "http://of.another.ruler"}]
  rules:
  - &base
    alert: A
    expr: count_over_time({a="b"}[1m]) > 0
    for: 5m
    keep_firing_for: 1m
    labels: {n: 1}
    annotations: {text: "{{ $value }}"}
  - <<: *base
    alert: B
- name: bad
  rules: [{record: r}]
`))
	require.Len(t, errs, 1)
	require.Equal(t, "ns", f.Namespace)
	require.Len(t, f.Groups, 1, "a bad group leaves the others alone")
	g := f.Groups[0]
	require.Equal(t, Duration(90*time.Second), g.Interval)
	require.NotNil(t, g.QueryOffset)
	require.Equal(t, "1", g.Rules[0].Labels["n"])
	require.Equal(t, g.Rules[0].Expr, g.Rules[1].Expr)
	require.Equal(t, "B", g.Rules[1].Name())
	text, err := Marshal(g)
	require.NoError(t, err)
	again, err := DecodeGroup(text)
	require.NoError(t, err)
	require.Equal(t, Duration(time.Minute), again.Rules[1].KeepFiringFor)
	require.Equal(t, string(text), func() string { b, _ := Marshal(again); return string(b) }())

	for _, empty := range []string{"", "groups:\n", "groups: []\n", "# nothing\n"} {
		f, errs := ParseFile([]byte(empty))
		require.Empty(t, errs)
		require.Empty(t, f.Groups)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("groups: [{name: g, interval: 1m, rules: [{alert: A, expr: 'vector(1)', for: 1m, labels: {a: b}}]}]"))
	f.Add([]byte("groups: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, errs := ParseFile(text)
		for _, err := range errs {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
		}
		for _, g := range file.Groups {
			out, err := Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodeGroup(out)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if errs := again.Validate(); len(errs) > 0 {
				t.Fatalf("%v\n%s", errs, out)
			}
		}
	})
}
