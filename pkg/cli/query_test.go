package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// runQuery runs the command query as its user does.
func runQuery(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := &command.Command{Name: "logstore", Sub: []*command.Command{queryCommand()}}
	code = root.Main(t.Context(), &command.IO{Stdin: stdin, Stdout: &out, Stderr: &errs}, append([]string{"query"}, args...))
	return code, out.String(), errs.String()
}

func TestQueryOfStdin(t *testing.T) {
	const in = `level=info path=/a took=3ms
level=error path=/b took=30ms
not logfmt =
level=error path=/c took=1s`
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{`|= "error"`}, "level=error path=/b took=30ms\nlevel=error path=/c took=1s\n"},
		{[]string{"-limit=1", `{app="any"} |= "error"`}, "level=error path=/b took=30ms\n"},
		{[]string{`| logfmt | took > 10ms | line_format "{{.path}}"`}, "/b\n/c\n"},
		{[]string{`{a="b"}`}, in + "\n"},
		{[]string{`!~ "level"`}, "not logfmt =\n"},
	} {
		code, out, errs := runQuery(t, strings.NewReader(in), append([]string{"-stdin", "-output=raw"}, c.args...)...)
		require.Equal(t, 0, code, errs)
		require.Equal(t, c.want, out, c.args)
	}
	code, out, errs := runQuery(t, strings.NewReader(in), "-stdin", "-output=jsonl", `| logfmt | path="/c"`)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, `{"labels":{"level":"error","path":"/c","took":"1s"},"line":"level=error path=/c took=1s","timestamp":"`)
	code, out, _ = runQuery(t, strings.NewReader(in), "-stdin", `| logfmt | path="/c"`)
	require.Equal(t, 0, code)
	require.Contains(t, out, `{level="error", path="/c", took="1s"} level=error`)
	code, _, _ = runQuery(t, strings.NewReader(in), "-stdin", "-fail-if-empty", `|= "nothing"`)
	require.Equal(t, 3, code)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{`{a="b"} | bad`}, "parse error"},
		{[]string{`sum(rate({a="b"}[1m]))`}, "for log queries, not for metrics"},
		{[]string{"-tail", `|= "x"`}, "nothing to follow"},
		{[]string{"-output=table", `|= "x"`}, "metric queries"},
		{[]string{"-"}, "the query is an argument"},
	} {
		code, out, errs := runQuery(t, strings.NewReader(in), append([]string{"-stdin"}, c.args...)...)
		require.NotZero(t, code, c.args)
		require.Empty(t, out)
		require.Contains(t, errs, c.says, c.args)
	}
}

// TestQueryOfStdinAsItComes wants a line before the next one is there.
func TestQueryOfStdinAsItComes(t *testing.T) {
	in, feed := io.Pipe()
	out, result := io.Pipe()
	done := make(chan int, 1)
	go func() {
		root := &command.Command{Name: "logstore", Sub: []*command.Command{queryCommand()}}
		done <- root.Main(t.Context(), &command.IO{Stdin: in, Stdout: result, Stderr: io.Discard}, []string{"query", "-stdin", "-output=raw", `|= "yes"`})
	}()
	buf := make([]byte, 100)
	for i := range 3 {
		line := "yes " + strconv.Itoa(i) + "\n"
		_, err := io.WriteString(feed, "no\n"+line)
		require.NoError(t, err)
		n, err := out.Read(buf)
		require.NoError(t, err)
		require.Equal(t, line, string(buf[:n]))
	}
	require.NoError(t, feed.Close())
	require.Zero(t, <-done)
}

// breakingStore is a fakeStore that answers that many requests, and then no more.
type breakingStore struct {
	mu     sync.Mutex
	store  fakeStore
	answer int
}

func (b *breakingStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answer--; b.answer < 0 {
		http.Error(w, "broken", http.StatusBadRequest)
		return
	}
	b.store.ServeHTTP(w, r)
}

func (b *breakingStore) set(answers int) (asked int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked = b.store.requests
	b.answer, b.store.requests = answers, 0
	return asked
}

// TestParts downloads ten hours in files, is broken off, goes on, and merges.
func TestParts(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := &breakingStore{}
	var forward, backward string
	for i := range 600 {
		line := strconv.Itoa(i)
		b.store.entries = append(b.store.entries, client.Entry{Timestamp: start.Add(time.Duration(i) * time.Minute).UnixNano(), Labels: map[string]string{"a": "b"}, Line: line})
		forward, backward = forward+line+"\n", line+"\n"+backward
	}
	srv := httptest.NewServer(b)
	defer srv.Close()
	prefix := filepath.Join(t.TempDir(), "part")
	files := func(glob string) []string {
		list, err := filepath.Glob(prefix + glob)
		require.NoError(t, err)
		return list
	}
	download := func(args ...string) (int, string, string) {
		return runQuery(t, nil, append([]string{
			"-addr", srv.URL, "-from=2026-01-01T00:00:00Z", "-to=2026-01-01T10:00:00Z", "-output=raw", "-parallel-max-workers=3", "-part-path-prefix", prefix, `{a="b"}`,
		}, args...)...)
	}
	b.set(4)
	// One worker: of several, the first that fails breaks off what the others have under way.
	code, out, errs := download("-forward", "-merge-parts", "-parallel-max-workers=1")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "broken")
	require.Empty(t, out, "nothing is merged before all is there")
	require.Len(t, files("-*.part"), 4)
	require.Empty(t, files("*.tmp"))
	b.set(1000)
	code, out, errs = download("-forward", "-merge-parts", "-keep-parts")
	require.Equal(t, 0, code, errs)
	require.Contains(t, errs, "6 parts with 360 entries, and 4 parts that were there already")
	require.Equal(t, forward, out)
	require.Equal(t, 6, b.set(1000))

	list := files("-*.part") // their order by name is that of the times
	require.Len(t, list, 10)
	require.Contains(t, list[0], "-20260101T000000Z-20260101T010000Z-")
	var joined strings.Builder
	for _, name := range list {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		joined.Write(text)
	}
	require.Equal(t, forward, joined.String())

	code, out, errs = download() // another direction is another download
	require.Equal(t, 0, code, errs)
	require.Empty(t, out)
	require.Len(t, files("-*.part"), 20)
	require.Equal(t, 10, b.set(1000))
	code, out, errs = download("-overwrite-completed-parts", "-merge-parts")
	require.Equal(t, 0, code, errs)
	require.Equal(t, backward, out)
	require.Equal(t, 10, b.set(1000))
	require.Len(t, files("-*.part"), 10, "merged parts are removed")

	for _, args := range [][]string{{"-merge-parts", `{a="b"}`}, {"-keep-parts", "-part-path-prefix=x", `{a="b"}`}, {"-part-path-prefix=x", `rate({a="b"}[1m])`}, {"-part-path-prefix=" + prefix + "/no/x", `{a="b"}`}} {
		code, _, errs := runQuery(t, nil, append(args, "-addr", srv.URL)...)
		require.NotZero(t, code, args)
		require.Contains(t, errs, "part", args)
	}
}
