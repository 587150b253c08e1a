package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// workload pushes numbered lines from several writers and remembers which were acknowledged. Each writer has a few
// streams of its own; every line of a run is different.
type workload struct {
	// app is the label app of all lines.
	app     string
	writers int
	// pause is how long a writer waits between two pushes.
	pause time.Duration
	// base is the time of the first line; each line of a writer is a millisecond later.
	base time.Time

	mu      sync.Mutex
	refusal string           // why the last refused push was
	acked   map[string]int64 // line -> timestamp
	tried   map[string]struct{}
	seq     atomic.Int64
}

func newWorkload(writers int) *workload {
	return &workload{app: "crash", writers: writers, pause: 5 * time.Millisecond, base: time.Now().Add(-30 * time.Minute), acked: map[string]int64{}, tried: map[string]struct{}{}}
}

const (
	streamsPerWriter = 3
	linesPerPush     = 20
)

// run pushes until the context ends. Failed pushes are simply not remembered as acknowledged:
// their lines may be there or not.
func (w *workload) run(ctx context.Context, base string) {
	var wg sync.WaitGroup
	for n := range w.writers {
		wg.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			for ctx.Err() == nil {
				w.pushOnce(ctx, client, base, n)
				time.Sleep(w.pause)
			}
		})
	}
	wg.Wait()
}

func (w *workload) pushOnce(ctx context.Context, client *http.Client, base string, writer int) {
	streams, lines := w.next(writer)
	err := pushProto(ctx, client, base, streams)
	if err == nil {
		w.ack(lines)
		return
	}
	if refused := (*refusedError)(nil); errors.As(err, &refused) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refusal = err.Error()
	}
}

// next returns the next push of a writer and its lines, which count as tried.
func (w *workload) next(writer int) ([]wire.PushStream, map[string]int64) {
	streams := make([]wire.PushStream, streamsPerWriter)
	lines := map[string]int64{}
	for i := range streams {
		streams[i].Labels = fmt.Sprintf(`{app="%s", writer="%d", stream="%d"}`, w.app, writer, i)
		for range linesPerPush {
			seq := w.seq.Add(1)
			ts := w.base.Add(time.Duration(seq) * 100 * time.Microsecond).UnixNano()
			line := fmt.Sprintf("writer=%d stream=%d seq=%d some words so that the line is not too short", writer, i, seq)
			streams[i].Entries = append(streams[i].Entries, wire.PushEntry{Timestamp: ts, Line: []byte(line)})
			lines[line] = ts
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range lines {
		w.tried[line] = struct{}{}
	}
	return streams, lines
}

func (w *workload) ack(lines map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line, ts := range lines {
		w.acked[line] = ts
	}
}

func (w *workload) acks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

func (w *workload) tries() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.tried)
}

// pushProto sends snappy protobuf, as promtail does.
func pushProto(ctx context.Context, client *http.Client, base string, streams []wire.PushStream) error {
	body := snappy.Encode(nil, wire.AppendProto(nil, streams))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/loki/api/v1/push", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusNoContent {
		return &refusedError{status: resp.StatusCode, text: string(text), retryAfter: resp.Header.Get("Retry-After")}
	}
	return nil
}

// refusedError is an answer other than 204.
type refusedError struct {
	status           int
	text, retryAfter string
}

func (e *refusedError) Error() string { return fmt.Sprintf("status %d: %.300s", e.status, e.text) }

// lastRefusal returns the last answer to a push that was not 204, or "".
func (w *workload) lastRefusal() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refusal
}

// check wants every acknowledged line exactly once, no other line than those tried, and counts that agree.
func (w *workload) check(t *testing.T, base string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]int{}
	for n := range w.writers {
		for i := range streamsPerWriter {
			for _, line := range queryAll(t, base, fmt.Sprintf(`{app="%s", writer="%d", stream="%d"}`, w.app, n, i), w.base.Add(-time.Second), time.Now().Add(time.Hour)) {
				seen[line]++
			}
		}
	}
	missing, double, strange := 0, 0, 0
	example := ""
	for line := range w.acked {
		if seen[line] == 0 {
			missing++
			example = line
		}
	}
	for line, n := range seen {
		if n > 1 {
			double++
			example = line
		}
		if _, ok := w.tried[line]; !ok {
			strange++
			example = line
		}
	}
	require.Zerof(t, missing+double+strange, "of %d acked lines %d are missing, %d double, %d never pushed, e.g. %q", len(w.acked), missing, double, strange, example)
	require.NotEmpty(t, w.acked)
	got := instantValue(t, base, `sum(count_over_time({app="`+w.app+`"}[2h]))`, time.Now().Add(time.Minute))
	require.Equal(t, float64(len(seen)), got, "count_over_time and the lines disagree")
}

// queryAll returns all lines of a selector, page by page.
func queryAll(t *testing.T, base, query string, start, end time.Time) []string {
	t.Helper()
	const page = 5000
	var lines []string
	from := start.UnixNano()
	for {
		var answer struct {
			Data struct {
				Result []struct {
					Values [][2]string `json:"values"`
				} `json:"result"`
			} `json:"data"`
		}
		getJSON(t, base, "/loki/api/v1/query_range", url.Values{
			"query": {query}, "start": {strconv.FormatInt(from, 10)}, "end": {strconv.FormatInt(end.UnixNano(), 10)},
			"limit": {strconv.Itoa(page)}, "direction": {"forward"},
		}, &answer)
		n := 0
		for _, s := range answer.Data.Result {
			for _, v := range s.Values {
				n++
				lines = append(lines, v[1])
				ts, err := strconv.ParseInt(v[0], 10, 64)
				require.NoError(t, err)
				from = max(from, ts+1)
			}
		}
		if n < page {
			return lines
		}
	}
}

func instantValue(t *testing.T, base, query string, at time.Time) float64 {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	getJSON(t, base, "/loki/api/v1/query", url.Values{"query": {query}, "time": {strconv.FormatInt(at.UnixNano(), 10)}}, &answer)
	require.Len(t, answer.Data.Result, 1)
	v, err := strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
	require.NoError(t, err)
	return v
}

func getJSON(t *testing.T, base, path string, params url.Values, into any) {
	t.Helper()
	resp, err := http.Get(base + path + "?" + params.Encode())
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equalf(t, http.StatusOK, resp.StatusCode, "%s?%s: %s", path, params.Encode(), body)
	require.NoError(t, json.Unmarshal(body, into))
}

func expand(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
