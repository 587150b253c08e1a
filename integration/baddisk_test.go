package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// damages are what happens to files on disks.
var damages = []struct {
	name string
	do   func(content []byte) []byte
}{
	{"a bit flipped", func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b }},
	{"cut in half", func(b []byte) []byte { return b[:len(b)/2] }},
	{"emptied", func([]byte) []byte { return nil }},
	{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
	{"something else", func([]byte) []byte { return bytes.Repeat([]byte("something else\n"), 100) }},
	{"a part overwritten", func(b []byte) []byte { copy(b[len(b)/3:], bytes.Repeat([]byte{0xff}, len(b)/3)); return b }},
}

func damage(t *testing.T, file string, do func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotEmpty(t, content)
	require.NoError(t, os.WriteFile(file, do(content), 0o600))
}

// filesBelow returns the files of a folder whose paths hold a text, in order.
func filesBelow(t *testing.T, dir, holds string) []string {
	t.Helper()
	var files []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, holds) {
			files = append(files, path)
		}
		return err
	}))
	slices.Sort(files)
	return files
}

const damageStreams, damageLines = 10, 20

// pushDamageStreams pushes numbered lines to ten streams, each line by itself.
func pushDamageStreams(t *testing.T, p *Process, app string, at time.Time) {
	t.Helper()
	for n := range damageStreams * damageLines {
		err := pushProto(t.Context(), http.DefaultClient, p.URL, []wire.PushStream{{
			Labels:  fmt.Sprintf(`{app=%q, stream="s%d"}`, app, n%damageStreams),
			Entries: []wire.PushEntry{{Timestamp: at.Add(time.Duration(n) * time.Millisecond).UnixNano(), Line: fmt.Appendf(nil, "line %d of %s", n, app)}},
		}})
		require.NoError(t, err)
	}
}

// ask returns the answer to a log query.
func ask(t *testing.T, p *Process, query string, start time.Time) (status int, body string) {
	t.Helper()
	status, body, err := p.Get("/loki/api/v1/query_range?" + url.Values{
		"query": {query}, "start": {fmt.Sprint(start.Add(-time.Minute).UnixNano())}, "end": {fmt.Sprint(start.Add(time.Hour).UnixNano())},
		"limit": {"1000"},
	}.Encode())
	require.NoError(t, err)
	return status, body
}

// wantLines wants exactly so many lines of an app.
func wantLines(t *testing.T, p *Process, app string, at time.Time, want int) {
	t.Helper()
	lines := queryAll(t, p.URL, fmt.Sprintf(`{app=%q}`, app), at.Add(-time.Minute), at.Add(time.Hour))
	require.Len(t, lines, want)
	slices.Sort(lines)
	require.Len(t, slices.Compact(lines), want)
}

// TestDamagedLog damages the write-ahead log of a killed process: the next one says so and has all that is whole.
func TestDamagedLog(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			dir := t.TempDir()
			p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
			p.Start()
			at := time.Now().Add(-10 * time.Minute)
			pushDamageStreams(t, p, "first", at)
			p.Kill()
			p.Start() // a segment of its own
			pushDamageStreams(t, p, "second", at)
			p.Kill()
			segments := filesBelow(t, filepath.Join(dir, "wal", "data"), "")
			require.Greater(t, len(segments), 1, segments)
			damage(t, segments[0], d.do)
			p.Start()
			wantLines(t, p, "second", at, damageStreams*damageLines)
			kept := len(queryAll(t, p.URL, `{app="first"}`, at.Add(-time.Minute), at.Add(time.Hour)))
			switch d.name {
			case "a bit flipped":
				require.GreaterOrEqual(t, kept, damageStreams*damageLines-2)
			case "cut in half":
				require.Greater(t, kept, damageStreams*damageLines/3)
			}
			require.Less(t, kept, damageStreams*damageLines)
			if d.name != "emptied" { // there is nothing left that could be wrong
				require.Contains(t, p.Log(), filepath.Base(segments[0]), "the damage is named")
				require.NotZero(t, p.Metric("loki_ingester_wal_corruptions_total"))
			}
			pushDamageStreams(t, p, "third", at)
			wantLines(t, p, "third", at, damageStreams*damageLines)
			require.NoError(t, p.Stop(), p.Log())
			p.Start()
			wantLines(t, p, "second", at, damageStreams*damageLines)
			wantLines(t, p, "third", at, damageStreams*damageLines)
			require.Len(t, queryAll(t, p.URL, `{app="first"}`, at.Add(-time.Minute), at.Add(time.Hour)), kept)
		})
	}
}

// flushed pushes to ten streams, yesterday and today, and stops: everything is in the bucket then.
func flushed(t *testing.T) (p *Process, yesterday, today time.Time) {
	t.Helper()
	dir := t.TempDir()
	p = NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
	p.Start()
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	today, yesterday = midnight.Add(5*time.Minute), midnight.Add(-12*time.Hour)
	pushDamageStreams(t, p, "today", today)
	pushDamageStreams(t, p, "yesterday", yesterday)
	require.NoError(t, p.Stop(), p.Log())
	return p, yesterday, today
}

// TestDamagedChunk damages one chunk in the bucket: queries that need it fail and name it, all others are answered.
func TestDamagedChunk(t *testing.T) {
	p, yesterday, today := flushed(t)
	days := map[string]time.Time{"yesterday": yesterday, "today": today}
	chunks := filesBelow(t, filepath.Join(p.Dir, "chunks", "fake"), "")
	require.Len(t, chunks, 2*damageStreams)
	original, err := os.ReadFile(chunks[0])
	require.NoError(t, err)
	check := func(name string) {
		p.Start()
		bad := 0
		for app, day := range days {
			for n := range damageStreams {
				status, body := ask(t, p, fmt.Sprintf(`{app=%q, stream="s%d"}`, app, n), day)
				if status == http.StatusOK {
					require.Equal(t, damageLines, strings.Count(body, "line "), "%s %d", app, n)
					continue
				}
				bad++
				require.Equal(t, http.StatusInternalServerError, status, body)
				require.Contains(t, body, "chunk fake/", name)
			}
		}
		require.Equal(t, 1, bad, "%s: one stream is harmed, and no other", name)
		pushDamageStreams(t, p, "after "+name, time.Now())
		p.Kill()
	}
	for _, d := range damages {
		require.NoError(t, os.WriteFile(chunks[0], original, 0o600))
		damage(t, chunks[0], d.do)
		check(d.name)
	}
	require.NoError(t, os.Remove(chunks[0]))
	check("removed")
}

// TestDamagedIndex damages yesterday's index file in the bucket: queries of yesterday fail and name it, today is
// answered, and when the file is whole again so is yesterday.
func TestDamagedIndex(t *testing.T) {
	p, yesterday, today := flushed(t)
	tables := filesBelow(t, filepath.Join(p.Dir, "chunks", "index"), "")
	require.Len(t, tables, 2, tables)
	original, err := os.ReadFile(tables[0])
	require.NoError(t, err)
	for _, d := range damages {
		removeLocal(t, p.Dir)
		require.NoError(t, os.WriteFile(tables[0], original, 0o600))
		damage(t, tables[0], d.do)
		p.Start()
		status, body := ask(t, p, `{app="yesterday"}`, yesterday)
		require.Equal(t, http.StatusInternalServerError, status, "%s: %.200s", d.name, body)
		require.Contains(t, body, filepath.Base(tables[0]), d.name)
		wantLines(t, p, "today", today, damageStreams*damageLines)
		require.NoError(t, os.WriteFile(tables[0], original, 0o600))
		wantLines(t, p, "yesterday", yesterday, damageStreams*damageLines)
		p.Kill()
	}
}

// TestDamagedIndexCopy damages the local copy of an index file: it is fetched again.
func TestDamagedIndexCopy(t *testing.T) {
	p, yesterday, _ := flushed(t)
	for _, d := range damages {
		p.Start()
		wantLines(t, p, "yesterday", yesterday, damageStreams*damageLines)
		p.Kill()
		copies := filesBelow(t, filepath.Join(p.Dir, "boltdb-shipper-cache"), "index_")
		require.NotEmpty(t, copies)
		for _, file := range copies {
			if !strings.HasSuffix(file, ".corrupt") {
				damage(t, file, d.do)
			}
		}
	}
	p.Start()
	wantLines(t, p, "yesterday", yesterday, damageStreams*damageLines)
}

// TestDamagedActiveIndex damages index files that wait for their upload: they are set aside, the log says so, and the
// rest works. The chunks that only they knew are still in the bucket.
func TestDamagedActiveIndex(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
			p.Start()
			at := time.Now().Add(-10 * time.Minute)
			pushDamageStreams(t, p, "a", at)
			require.Eventually(t, func() bool { return p.Metric("loki_ingester_memory_chunks") == 0 }, 30*time.Second, 50*time.Millisecond)
			p.Kill()
			active := filesBelow(t, filepath.Join(dir, "boltdb-shipper-active"), "index_")
			require.NotEmpty(t, active)
			damage(t, active[0], d.do)
			p.Start()
			// A change in a part of the file that is not in use does no harm.
			if !strings.Contains(p.Log(), filepath.Base(active[0])+".corrupt") {
				wantLines(t, p, "a", at, damageStreams*damageLines)
				require.Contains(t, []string{"a bit flipped", "cut in half"}, d.name)
			}
			pushDamageStreams(t, p, "b", at)
			wantLines(t, p, "b", at, damageStreams*damageLines)
			require.NoError(t, p.Stop(), p.Log())
			p.Start()
			wantLines(t, p, "b", at, damageStreams*damageLines)
		})
	}
}
