package remotewrite

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver takes samples, reads them with Prometheus' own types, and answers as it is told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	refuse string // a value of the label n that makes a request bad
	got    []string
	times  []int64
	header http.Header
	asked  int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked++
		r.header = req.Header
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // who sent it stopped on the way
		}
		raw, err := snappy.Decode(nil, body)
		if err != nil {
			t.Error(err)
		}
		var wr prompb.WriteRequest
		if err := wr.Unmarshal(raw); err != nil {
			t.Error(err)
		}
		if r.status != http.StatusOK {
			w.WriteHeader(r.status)
			return
		}
		var got []string
		var times []int64
		for _, ts := range wr.Timeseries {
			name := ""
			for _, l := range ts.Labels {
				if l.Name == "n" {
					name = l.Value
				}
			}
			if name == r.refuse {
				http.Error(w, "out of order sample", http.StatusBadRequest)
				return
			}
			got, times = append(got, name), append(times, ts.Samples[0].Timestamp)
		}
		r.got, r.times = append(r.got, got...), append(r.times, times...)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(change func(*receiver)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *receiver) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.got...)
}

func (r *receiver) target(name string) Target {
	t := DefaultTarget
	t.Name, t.URL, t.Deadline, t.MinBackoff, t.MaxBackoff = name, r.URL+"/write", 0, time.Millisecond, 5*time.Millisecond
	t.Headers = map[string]string{"X-Own": "value"}
	return t
}

func config(dir string, targets ...Target) Config {
	c := DefaultConfig
	c.Dir = dir
	c.Targets = func(string) ([]Target, error) { return targets, nil }
	return c
}

func run(t *testing.T, cfg Config) (*Writers, func()) {
	t.Helper()
	ws, err := New(cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ws.Run(ctx) }()
	require.Eventually(t, func() bool { ws.mu.Lock(); defer ws.mu.Unlock(); return ws.ctx != nil }, 10*time.Second, time.Millisecond)
	return ws, func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// samples returns one sample for each number from first on; its label n is the number.
func samples(first, count int) []Sample {
	var out []Sample
	for i := range count {
		out = append(out, Sample{Labels: labels.FromStrings("__name__", "r", "n", fmt.Sprint(first+i)), Time: int64(first + i), Value: float64(first + i)})
	}
	return out
}

func numbers(first, count int) (out []string) {
	for i := range count {
		out = append(out, fmt.Sprint(first+i))
	}
	return out
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 20*time.Second, time.Millisecond)
}

func TestSend(t *testing.T) {
	r := newReceiver(t)
	cfg := config(t.TempDir(), r.target("a"))
	cfg.ExternalLabels = labels.FromStrings("cluster", "one")
	ws, stop := run(t, cfg)
	require.NoError(t, ws.Append("t", samples(0, 1200)))
	eventually(t, func() bool { return len(r.names()) == 1200 })
	require.Equal(t, numbers(0, 1200), r.names(), "in order")
	require.Equal(t, "value snappy application/x-protobuf 0.1.0", strings.Join([]string{r.header.Get("X-Own"), r.header.Get("Content-Encoding"), r.header.Get("Content-Type"), r.header.Get("X-Prometheus-Remote-Write-Version")}, " "))
	eventually(t, func() bool { return testutil.ToFloat64(ws.m.pending.WithLabelValues("t", "a")) == 0 })
	require.NotZero(t, testutil.ToFloat64(ws.m.lastSuccess.WithLabelValues("t", "a")))
	stop()
	require.ErrorIs(t, ws.Append("t", samples(0, 1)), ErrStopped)
}

func TestOutageOverRestarts(t *testing.T) {
	down, r, other := newReceiver(t), newReceiver(t), newReceiver(t)
	down.set(func(r *receiver) { r.status = http.StatusServiceUnavailable })
	r.set(func(r *receiver) { r.status = http.StatusServiceUnavailable })
	cfg := config(t.TempDir(), down.target("a"), other.target("b"))
	cfg.Memory = 1000 // most must come from the log
	n := 0
	for range 3 {
		ws, stop := run(t, cfg)
		for range 20 {
			require.NoError(t, ws.Append("t", samples(n, 50)))
			n += 50
		}
		eventually(t, func() bool { // who is there has it at once
			w := ws.writers["t"]
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.acked["b"] == w.next-1
		})
		stop()
	}
	require.Empty(t, down.names())
	// It is up again elsewhere: a request that was on its way at a stop may be read later, and must not be taken then.
	cfg.Targets = func(string) ([]Target, error) { return []Target{r.target("a"), other.target("b")}, nil }
	ws, stop := run(t, cfg)
	require.NoError(t, ws.Append("t", samples(n, 50)))
	n += 50
	r.set(func(r *receiver) { r.status = http.StatusOK })
	eventually(t, func() bool { return len(r.names()) >= n })
	require.Equal(t, numbers(0, n), r.names())
	eventually(t, func() bool { return len(other.names()) >= n })
	require.Equal(t, numbers(0, n), other.names(), "nothing is sent twice to who had it")
	// When all have it the log is empty.
	w := ws.writers["t"]
	eventually(t, func() bool { return w.truncate(time.Now()) == nil && w.wal.Size() == 0 })
	stop()
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "t", "log", "*"))
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestNoReplay(t *testing.T) {
	down, r := newReceiver(t), newReceiver(t)
	down.set(func(r *receiver) { r.status = http.StatusServiceUnavailable })
	cfg := config(t.TempDir(), down.target("a"))
	ws, stop := run(t, cfg)
	require.NoError(t, ws.Append("t", samples(0, 5)))
	stop()
	cfg.Targets = func(string) ([]Target, error) { return []Target{r.target("a")}, nil } // the same one, elsewhere
	cfg.Replay = func(string) bool { return false }
	ws, stop = run(t, cfg)
	require.NoError(t, ws.Append("t", samples(5, 5)))
	eventually(t, func() bool { return len(r.names()) == 5 })
	require.Equal(t, numbers(5, 5), r.names())
	stop()
}

func TestOneBadSampleHarmsNoOther(t *testing.T) {
	r := newReceiver(t)
	r.set(func(r *receiver) { r.refuse = "13" })
	ws, stop := run(t, config(t.TempDir(), r.target("a")))
	require.NoError(t, ws.Append("t", samples(0, 100)))
	require.NoError(t, ws.Append("t", samples(100, 1)))
	eventually(t, func() bool { return len(r.names()) == 100 })
	require.NotContains(t, r.names(), "13")
	require.Equal(t, float64(1), testutil.ToFloat64(ws.m.failed.WithLabelValues("t", "a")))
	require.Less(t, r.asked, 30, "it is found by halves")
	stop()
}

func TestTooOldIsDropped(t *testing.T) {
	r := newReceiver(t)
	r.set(func(r *receiver) { r.status = http.StatusBadGateway })
	cfg := config(t.TempDir(), r.target("a"))
	cfg.MaxAge = 50 * time.Millisecond
	ws, stop := run(t, cfg)
	gone := func() int {
		return int(testutil.ToFloat64(ws.m.failed.WithLabelValues("t", "a")) + testutil.ToFloat64(ws.m.dropped.WithLabelValues("t", "a")))
	}
	require.NoError(t, ws.Append("t", samples(0, 5)))
	eventually(t, func() bool { return gone() == 5 })
	r.set(func(r *receiver) { r.status = http.StatusOK })
	n := 5
	for len(r.names()) == 0 { // on a busy machine some more become too old
		require.NoError(t, ws.Append("t", samples(n, 5)))
		n += 5
		eventually(t, func() bool { return gone()+len(r.names()) == n })
	}
	require.Equal(t, numbers(n-5, 5), r.names())
	stop()
}

func TestSizeIsBounded(t *testing.T) {
	r := newReceiver(t)
	r.set(func(r *receiver) { r.status = http.StatusBadGateway })
	cfg := config(t.TempDir(), r.target("a"))
	cfg.MaxSize, cfg.Memory = 10_000, 1000
	ws, stop := run(t, cfg)
	w, err := ws.writer("t")
	require.NoError(t, err)
	for i := range 50 {
		require.NoError(t, ws.Append("t", samples(i*50, 50)))
		w.wal.Cut()
	}
	require.NoError(t, w.truncate(time.Now()))
	require.LessOrEqual(t, w.wal.Size(), cfg.MaxSize)
	r.set(func(r *receiver) { r.status = http.StatusOK })
	eventually(t, func() bool { got := r.names(); return len(got) > 0 && got[len(got)-1] == "2499" })
	stop()
}

func TestRelabel(t *testing.T) {
	r := newReceiver(t)
	target := r.target("a")
	drop, set := relabel.DefaultRelabelConfig, relabel.DefaultRelabelConfig
	drop.SourceLabels, drop.Regex, drop.Action = model.LabelNames{"n"}, relabel.MustNewRegexp("1|2"), relabel.Drop
	set.Regex, set.TargetLabel, set.Replacement = relabel.MustNewRegexp("(.*)"), "n", "new"
	target.Relabel = []*relabel.Config{&drop, &set}
	for _, c := range target.Relabel {
		require.NoError(t, c.Validate(model.LegacyValidation))
	}
	ws, stop := run(t, config(t.TempDir(), target))
	require.NoError(t, ws.Append("t", samples(0, 4)))
	eventually(t, func() bool { return len(r.names()) == 2 })
	require.Equal(t, []string{"new", "new"}, r.names())
	stop()
}

func TestTargetsChange(t *testing.T) {
	a, b := newReceiver(t), newReceiver(t)
	var mu sync.Mutex
	var targets []Target
	set := func(list ...Target) {
		mu.Lock()
		defer mu.Unlock()
		targets = list
	}
	cfg := config(t.TempDir())
	cfg.RefreshPeriod = time.Millisecond
	cfg.Targets = func(string) ([]Target, error) {
		mu.Lock()
		defer mu.Unlock()
		return targets, nil
	}
	ws, stop := run(t, cfg)
	require.NoError(t, ws.Append("t", samples(0, 5)), "without a target they are dropped")
	set(a.target("a"))
	eventually(t, func() bool { return ws.Append("t", samples(5, 1)) == nil && len(a.names()) > 0 })
	set(a.target("a"), b.target("b"))
	eventually(t, func() bool {
		require.NoError(t, ws.Append("t", samples(6, 1)))
		return len(b.names()) > 0
	})
	require.NotContains(t, b.names(), "5", "a new target gets what is new")
	set(b.target("b"))
	eventually(t, func() bool { ws.mu.Lock(); defer ws.mu.Unlock(); return len(ws.writers["t"].targets) == 1 })
	stop()
}

func TestDamagedLogAndPositions(t *testing.T) {
	r := newReceiver(t)
	r.set(func(r *receiver) { r.status = http.StatusBadGateway })
	cfg := config(t.TempDir(), r.target("a"))
	ws, stop := run(t, cfg)
	for i := range 10 {
		require.NoError(t, ws.Append("t", samples(i*10, 10)))
	}
	stop()
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "t", "log", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	copy(text[len(text)/2:], make([]byte, 50))
	require.NoError(t, os.WriteFile(files[0], text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, "t", positionsFile), []byte("{"), 0o600))
	r.set(func(r *receiver) { r.status = http.StatusOK })
	ws, stop = run(t, cfg)
	require.NoError(t, ws.Append("t", samples(100, 10)))
	eventually(t, func() bool { got := r.names(); return len(got) > 0 && got[len(got)-1] == "109" })
	require.NotZero(t, testutil.ToFloat64(ws.m.damaged))
	stop()
}

func TestSampleRoundTrip(t *testing.T) {
	for _, s := range []Sample{{Labels: labels.FromStrings("__name__", "r", "a", "ü"), Time: 1700000000123, Value: -1.5}, {Labels: labels.FromStrings("a", "b"), Time: -1, Value: math.Inf(1)}} {
		parts, err := splitSeries(append(appendSample(nil, &s), appendSample(nil, &s)...))
		require.NoError(t, err)
		require.Len(t, parts, 2)
		got, err := decodeSample(parts[1])
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add((&record{seq: 1, n: 1, body: appendSample(nil, &samples(0, 1)[0])}).encode())
	f.Fuzz(func(_ *testing.T, b []byte) {
		rec, err := decodeRecord(b)
		if err != nil {
			return
		}
		parts, err := splitSeries(rec.body)
		if err != nil {
			return
		}
		for _, p := range parts {
			_, _ = decodeSample(p) // it must only not panic
		}
	})
}
